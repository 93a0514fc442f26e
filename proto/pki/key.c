/* Keys and signatures inside certificates: SubjectPublicKeyInfo (RFC 5480, RFC 8410), AlgorithmIdentifier, and ECDSA's
 * SEQUENCE of two numbers, which COSE and the crypto room have as r || s. Secret: the signer's key alone. */
#include "pki_internal.h"

#define HALF_MAX (CRYPTO_SIGNATURE_MAX / 2)

static const uint8_t ec_public_key[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
static const uint8_t p256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t p384[] = {0x2b, 0x81, 0x04, 0x00, 0x22};
static const uint8_t x25519[] = {0x2b, 0x65, 0x6e};
static const uint8_t ed25519[] = {0x2b, 0x65, 0x70};
static const uint8_t ecdsa_sha256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
static const uint8_t ecdsa_sha384[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03};
static const uint8_t ecdsa_sha512[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04};

static const struct {
    enum crypto_curve curve;
    struct bytes type, parameter;
} key_kinds[] = {
    {CRYPTO_P256, {ec_public_key, sizeof ec_public_key}, {p256, sizeof p256}},
    {CRYPTO_P384, {ec_public_key, sizeof ec_public_key}, {p384, sizeof p384}},
    {CRYPTO_X25519, {x25519, sizeof x25519}, {0}},
    {CRYPTO_ED25519, {ed25519, sizeof ed25519}, {0}},
};

static const struct {
    enum pki_algorithm algorithm;
    struct bytes oid;
    enum crypto_hash_alg hash;
} algorithms[] = {
    {PKI_ECDSA_SHA256, {ecdsa_sha256, sizeof ecdsa_sha256}, CRYPTO_SHA256},
    {PKI_ECDSA_SHA384, {ecdsa_sha384, sizeof ecdsa_sha384}, CRYPTO_SHA384},
    {PKI_ECDSA_SHA512, {ecdsa_sha512, sizeof ecdsa_sha512}, CRYPTO_SHA512},
    {PKI_ED25519, {ed25519, sizeof ed25519}, 0},
};

enum status key_take(struct reader *reader, struct crypto_public *key)
{
    struct reader area = reader_over(der_take(reader, DER_SEQUENCE));
    struct reader kind = reader_over(der_take(&area, DER_SEQUENCE));
    struct bytes type = der_take_oid(&kind);
    bool named = der_is_next(&kind, DER_OID);
    struct bytes parameter = named ? der_take_oid(&kind) : (struct bytes){0};
    struct bytes point = der_take_bits(&area);
    TRY(reader->status);
    TRY(der_end(&area));
    if (kind.status != OK)
        return MALFORMED;
    if (kind.rest.len) /* parameters of another kind */
        return UNSUPPORTED;
    for (size_t i = 0; i < sizeof key_kinds / sizeof *key_kinds; i++)
        if (bytes_equal(type, key_kinds[i].type) && bytes_equal(parameter, key_kinds[i].parameter)) {
            if (point.len != crypto_public_len(key_kinds[i].curve))
                return UNSUPPORTED;
            return crypto_public_import(key, key_kinds[i].curve, point);
        }
    return UNSUPPORTED;
}

void key_put(struct writer *writer, const struct crypto_public *key)
{
    for (size_t i = 0; i < sizeof key_kinds / sizeof *key_kinds; i++)
        if (key->curve == key_kinds[i].curve && key->len == crypto_public_len(key->curve)) {
            size_t area = der_open(writer, DER_SEQUENCE);
            size_t kind = der_open(writer, DER_SEQUENCE);
            der_put(writer, DER_OID, key_kinds[i].type);
            if (key_kinds[i].parameter.len)
                der_put(writer, DER_OID, key_kinds[i].parameter);
            der_close(writer, kind);
            der_put_bits(writer, crypto_public_bytes(key));
            der_close(writer, area);
            return;
        }
    writer_fail(writer, MALFORMED);
}

enum status pki_key_id(const struct crypto_public *key, uint8_t id[PKI_KEY_ID_LEN])
{
    uint8_t hash[CRYPTO_HASH_MAX];
    struct bytes point = crypto_public_bytes(key);
    TRY(crypto_hash(CRYPTO_SHA256, &point, 1, hash));
    struct writer writer = writer_over(id, PKI_KEY_ID_LEN);
    put_bytes(&writer, bytes_from(hash, PKI_KEY_ID_LEN));
    return writer_end(&writer);
}

enum pki_algorithm algorithm_take(struct reader *reader)
{
    struct reader area = reader_over(der_take(reader, DER_SEQUENCE));
    struct bytes oid = der_take_oid(&area);
    if (area.status != OK)
        reader_fail(reader, MALFORMED);
    for (size_t i = 0; area.rest.len == 0 && i < sizeof algorithms / sizeof *algorithms; i++)
        if (bytes_equal(oid, algorithms[i].oid))
            return algorithms[i].algorithm;
    reader_fail(reader, UNSUPPORTED);
    return 0;
}

static enum pki_algorithm algorithm_of(enum crypto_curve signer)
{
    return signer == CRYPTO_P256 ? PKI_ECDSA_SHA256 : signer == CRYPTO_P384 ? PKI_ECDSA_SHA384 : PKI_ED25519;
}

void pki_put_algorithm(struct writer *writer, enum crypto_curve signer)
{
    size_t area = der_open(writer, DER_SEQUENCE);
    der_put(writer, DER_OID, algorithms[algorithm_of(signer) - 1].oid);
    der_close(writer, area);
}

/* A number of at most `half` bytes, with zeros in front. */
static void put_half(struct writer *writer, struct bytes number, size_t half)
{
    static const uint8_t zeros[HALF_MAX] = {0};
    if (number.len > half)
        writer_fail(writer, MALFORMED);
    else
        put_bytes(writer, bytes_from(zeros, half - number.len));
    put_bytes(writer, number);
}

static enum status ecdsa_to_raw(struct bytes signature, size_t half, struct writer *raw)
{
    struct reader outer = reader_over(signature);
    struct reader numbers = reader_over(der_take(&outer, DER_SEQUENCE));
    put_half(raw, der_take_positive(&numbers), half);
    put_half(raw, der_take_positive(&numbers), half);
    TRY(der_end(&outer));
    TRY(der_end(&numbers));
    return writer_end(raw);
}

enum status signed_verify(struct bytes signed_part, enum pki_algorithm algorithm, struct bytes signature,
                          const struct crypto_public *key)
{
    if (algorithm == PKI_ED25519)
        return key->curve == CRYPTO_ED25519
                   ? crypto_verify(key->curve, crypto_public_bytes(key), &signed_part, 1, signature)
                   : AUTH;
    if (algorithm < PKI_ECDSA_SHA256 || algorithm > PKI_ECDSA_SHA512)
        return UNSUPPORTED;
    uint8_t raw[CRYPTO_SIGNATURE_MAX], hash[CRYPTO_HASH_MAX];
    struct writer writer = writer_over(raw, sizeof raw);
    enum crypto_hash_alg alg = algorithms[algorithm - 1].hash;
    bool nist = key->curve == CRYPTO_P256 || key->curve == CRYPTO_P384;
    if (!nist || ecdsa_to_raw(signature, crypto_private_len(key->curve), &writer) != OK)
        return AUTH;
    TRY(crypto_hash(alg, &signed_part, 1, hash));
    return crypto_verify_hash(key->curve, crypto_public_bytes(key), bytes_from(hash, crypto_hash_len(alg)),
                              writer_bytes(&writer));
}

enum status pki_put_signed(struct writer *writer, const struct crypto_key *key, struct bytes signed_part)
{
    uint8_t raw[CRYPTO_SIGNATURE_MAX], room[CRYPTO_SIGNATURE_MAX + 16];
    enum crypto_curve curve = key->public_key.curve;
    struct bytes signature = bytes_from(raw, crypto_signature_len(curve));
    struct writer numbers = writer_over(room, sizeof room);
    TRY(crypto_sign(key, &signed_part, 1, raw));
    if (curve != CRYPTO_ED25519) {
        size_t half = crypto_private_len(curve), opened = der_open(&numbers, DER_SEQUENCE);
        der_put_positive(&numbers, bytes_slice(signature, 0, half));
        der_put_positive(&numbers, bytes_slice(signature, half, half));
        der_close(&numbers, opened);
        TRY(writer_end(&numbers));
        signature = writer_bytes(&numbers);
    }
    size_t opened = der_open(writer, DER_SEQUENCE);
    put_bytes(writer, signed_part);
    pki_put_algorithm(writer, curve);
    der_put_bits(writer, signature);
    der_close(writer, opened);
    return writer_end(writer);
}
