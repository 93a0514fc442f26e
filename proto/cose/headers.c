/* The header buckets (RFC 9052 §3). */
#include "cose_internal.h"

enum { ALG = 1, CRIT = 2, CONTENT_TYPE = 3, KID = 4, IV = 5, PARTIAL_IV = 6 };

int64_t cose_curve_alg(enum crypto_curve curve)
{
    switch (curve) {
    case CRYPTO_P256:
        return COSE_ES256;
    case CRYPTO_P384:
        return COSE_ES384;
    case CRYPTO_ED25519:
        return COSE_EDDSA;
    case CRYPTO_X25519:
        break;
    }
    return 0;
}

void headers_put_protected(struct writer *writer, int64_t alg, const struct cose_headers *headers)
{
    bool typed = headers->has_content_type || headers->text_type.len;
    cbor_put_map(writer, typed ? 2 : 1);
    cbor_put_uint(writer, ALG);
    cbor_put_int(writer, alg);
    if (!typed)
        return;
    cbor_put_uint(writer, CONTENT_TYPE);
    if (headers->text_type.len)
        cbor_put_text_bytes(writer, headers->text_type);
    else
        cbor_put_uint(writer, headers->content_type);
}

void headers_put_unprotected(struct writer *writer, const struct cose_headers *headers)
{
    cbor_put_map(writer, (headers->kid.len ? 1 : 0) + (headers->iv.len ? 1u : 0u));
    if (headers->kid.len) {
        cbor_put_uint(writer, KID);
        cbor_put_bytes(writer, headers->kid);
    }
    if (headers->iv.len) {
        cbor_put_uint(writer, IV);
        cbor_put_bytes(writer, headers->iv);
    }
}

/* crit (RFC 9052 §3.1): at least one label, each one we understand and find in the same, protected, bucket. The labels
 * found come after it, so what it asks for is gathered first. */
static uint32_t take_crit(struct reader *reader)
{
    size_t count = cbor_take_array(reader);
    uint32_t asked = 0;
    if (reader->status == OK && count == 0)
        reader_fail(reader, MALFORMED);
    for (; count && reader->status == OK; count--) {
        if (cbor_peek_type(reader) == CBOR_TEXT) {
            (void)cbor_take_text(reader);
            reader_fail(reader, UNSUPPORTED);
        }
        int64_t label = cbor_take_int(reader);
        if (label < ALG || label > IV)
            reader_fail(reader, UNSUPPORTED);
        else
            asked |= 1u << label;
    }
    return asked;
}

static void take_content_type(struct reader *reader, struct cose_headers *headers)
{
    if (cbor_peek_type(reader) == CBOR_TEXT) {
        headers->text_type = cbor_take_text(reader);
        return;
    }
    uint64_t format = cbor_take_uint(reader);
    if (format > UINT16_MAX)
        reader_fail(reader, MALFORMED);
    headers->has_content_type = reader->status == OK;
    headers->content_type = (uint16_t)format;
}

/* One bucket; gives the labels seen as bits. */
static uint32_t take_bucket(struct reader *reader, bool is_protected, struct cose_headers *headers)
{
    uint32_t seen = 0, asked = 0;
    struct cbor_map_walk walk = cbor_walk_map(reader);
    while (cbor_next_key(reader, &walk)) {
        int64_t label = cbor_key_number(&walk);
        if (label >= ALG && label <= PARTIAL_IV)
            seen |= 1u << label;
        switch (label) {
        case ALG:
            if (cbor_peek_type(reader) == CBOR_TEXT)
                reader_fail(reader, UNSUPPORTED);
            headers->alg = cbor_take_int(reader);
            break;
        case CRIT:
            if (!is_protected)
                reader_fail(reader, MALFORMED);
            asked = take_crit(reader);
            break;
        case CONTENT_TYPE:
            take_content_type(reader, headers);
            break;
        case KID:
            headers->kid = cbor_take_bytes(reader);
            break;
        case IV:
            headers->iv = cbor_take_bytes(reader);
            break;
        default:
            cbor_skip(reader);
        }
    }
    if (asked & ~seen)
        reader_fail(reader, MALFORMED);
    return seen;
}

void headers_take(struct reader *reader, uint64_t tag, size_t count, struct cose_headers *headers,
                  struct bytes *protected_raw)
{
    *headers = (struct cose_headers){0};
    if (cbor_peek_type(reader) == CBOR_TAG && cbor_take_tag(reader) != tag)
        reader_fail(reader, UNSUPPORTED);
    if (cbor_take_array(reader) != count)
        reader_fail(reader, MALFORMED);
    *protected_raw = cbor_take_bytes(reader);
    uint32_t seen = 0;
    if (protected_raw->len) { /* an empty bucket is an empty string, never an encoded empty map */
        struct reader inner = reader_over(*protected_raw);
        seen = take_bucket(&inner, true, headers);
        if (reader_end(&inner) != OK)
            reader_fail(reader, reader_end(&inner) == UNSUPPORTED ? UNSUPPORTED : MALFORMED);
    }
    /* The algorithm must be under the signature; one that is not is no algorithm (RFC 9052 §3.1). */
    if (reader->status == OK && !(seen & 1u << ALG))
        reader_fail(reader, UNSUPPORTED);
    struct cose_headers first = *headers;
    uint32_t outside = take_bucket(reader, false, headers);
    if (seen & outside) /* a label in both buckets: RFC 9052 §3 */
        reader_fail(reader, MALFORMED);
    headers->alg = first.alg;
}
