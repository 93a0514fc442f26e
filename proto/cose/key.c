/* COSE_Key with a public key (RFC 9052 §7, RFC 9053 §7). */
#include "cose_internal.h"

enum { KTY = 1, KEY_KID = 2, KEY_ALG = 3, CRV = -1, X = -2, Y = -3, D = -4 };
enum { KTY_OKP = 1, KTY_EC2 = 2 };

static bool is_ec2(enum crypto_curve curve)
{
    return curve == CRYPTO_P256 || curve == CRYPTO_P384;
}

void cose_put_key(struct writer *writer, const struct crypto_public *key, struct bytes kid)
{
    bool ec2 = is_ec2(key->curve);
    struct bytes x = crypto_public_x(key);
    if (x.len == 0)
        writer_fail(writer, UNSUPPORTED);
    cbor_put_map(writer, (kid.len ? 1u : 0u) + (ec2 ? 4u : 3u));
    cbor_put_uint(writer, KTY);
    cbor_put_uint(writer, ec2 ? KTY_EC2 : KTY_OKP);
    if (kid.len) {
        cbor_put_uint(writer, KEY_KID);
        cbor_put_bytes(writer, kid);
    }
    cbor_put_int(writer, CRV);
    cbor_put_uint(writer, (uint64_t)key->curve);
    cbor_put_int(writer, X);
    cbor_put_bytes(writer, x);
    if (ec2) {
        cbor_put_int(writer, Y);
        cbor_put_bytes(writer, bytes_slice(crypto_public_bytes(key), 1 + x.len, x.len));
    }
}

/* The parts of a COSE_Key as they come. */
struct parts {
    uint64_t kty;
    int64_t alg, crv;
    struct bytes kid, x, y;
    bool has_y, y_is_sign, y_sign;
};

static void take_parts(struct reader *reader, struct parts *parts)
{
    struct cbor_map_walk walk = cbor_walk_map(reader);
    while (cbor_next_key(reader, &walk)) {
        switch (cbor_key_number(&walk)) {
        case KTY:
            parts->kty = cbor_take_uint(reader);
            break;
        case KEY_KID:
            parts->kid = cbor_take_bytes(reader);
            break;
        case KEY_ALG:
            parts->alg = cbor_take_int(reader);
            break;
        case CRV:
            parts->crv = cbor_take_int(reader);
            break;
        case X:
            parts->x = cbor_take_bytes(reader);
            break;
        case Y:
            parts->has_y = true;
            parts->y_is_sign = cbor_peek_type(reader) == CBOR_BOOL;
            if (parts->y_is_sign)
                parts->y_sign = cbor_take_bool(reader);
            else
                parts->y = cbor_take_bytes(reader);
            break;
        case D:
            reader_fail(reader, DENIED);
            break;
        default:
            cbor_skip(reader);
        }
    }
}

/* The curve of kty and crv when they belong together and to us. */
static enum status find_curve(const struct parts *parts, enum crypto_curve *curve)
{
    static const enum crypto_curve curves[] = {CRYPTO_P256, CRYPTO_P384, CRYPTO_X25519, CRYPTO_ED25519};
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++) {
        if (parts->crv != (int64_t)curves[i] || parts->kty != (is_ec2(curves[i]) ? KTY_EC2 : KTY_OKP))
            continue;
        *curve = curves[i];
        return OK;
    }
    return UNSUPPORTED;
}

static enum status import_parts(const struct parts *parts, struct crypto_public *key)
{
    enum crypto_curve curve;
    TRY(find_curve(parts, &curve));
    size_t len = crypto_private_len(curve);
    if (parts->x.len != len || parts->has_y != is_ec2(curve))
        return MALFORMED;
    if (parts->alg != 0 && parts->alg != cose_curve_alg(curve))
        return UNSUPPORTED;
    uint8_t point[CRYPTO_PUBLIC_MAX];
    struct writer writer = writer_over(point, sizeof point);
    if (is_ec2(curve)) {
        if (!parts->y_is_sign && parts->y.len != len)
            return MALFORMED;
        put_u8(&writer, !parts->y_is_sign ? 4 : parts->y_sign ? 3 : 2);
    }
    put_bytes(&writer, parts->x);
    put_bytes(&writer, parts->y);
    TRY(writer_end(&writer));
    return crypto_public_import(key, curve, writer_bytes(&writer));
}

enum status cose_take_key(struct reader *reader, struct crypto_public *key, struct bytes *kid)
{
    struct parts parts = {0};
    take_parts(reader, &parts);
    if (reader->status == OK)
        reader_fail(reader, import_parts(&parts, key));
    if (reader->status == OK && kid)
        *kid = parts.kid;
    return reader->status;
}
