/* Certificates for tests, made piece by piece: any piece can be replaced, so that one rule at a time is broken. */
#ifndef BASTIDE_TESTS_PKI_RIG_H
#define BASTIDE_TESTS_PKI_RIG_H

#include "check.h"
#include "pki.h"
#include "pki_internal.h"

#define RIG_ROOM 4096

/* Pieces in DER, whole; NULL data: the usual one. */
struct rig_pieces {
    struct bytes version, serial, algorithm, issuer, validity, subject, key, before_extensions, extensions;
    struct bytes outer_algorithm, signature, behind;
};

static inline struct bytes rig_name(struct writer *room, const char *common_name)
{
    size_t from = room->len;
    check_ok(pki_put_name(room, bytes_from_text(common_name)));
    return bytes_slice(writer_bytes(room), from, room->len - from);
}

static inline void rig_piece(struct writer *writer, struct bytes given, const char *usual_hex)
{
    if (given.data)
        put_bytes(writer, given);
    else
        check_ok(hex_decode(usual_hex, writer));
}

/* A self-signed certificate out of pieces, signed by `key` whatever they say. */
static inline struct bytes rig_certificate(struct writer *out, const struct crypto_key *key,
                                           const struct rig_pieces *pieces)
{
    uint8_t room[RIG_ROOM], raw[CRYPTO_SIGNATURE_MAX], number[CRYPTO_SIGNATURE_MAX + 16];
    struct writer part = writer_over(room, sizeof room), numbers = writer_over(number, sizeof number);
    static const char algorithm[] = "300a06082a8648ce3d040302", name[] = "300c310a300806035504030c0161";
    size_t from = out->len, opened = der_open(&part, DER_SEQUENCE);
    rig_piece(&part, pieces->version, "a003020102");
    rig_piece(&part, pieces->serial, "020105");
    rig_piece(&part, pieces->algorithm, algorithm);
    rig_piece(&part, pieces->issuer, name);
    rig_piece(&part, pieces->validity, "301e170d3236303130313030303030305a170d3237303130313030303030305a");
    rig_piece(&part, pieces->subject, name);
    if (pieces->key.data)
        put_bytes(&part, pieces->key);
    else
        key_put(&part, &key->public_key);
    put_bytes(&part, pieces->before_extensions);
    put_bytes(&part, pieces->extensions);
    der_close(&part, opened);
    check_ok(writer_end(&part));
    struct bytes signed_part = writer_bytes(&part);
    check_ok(crypto_sign(key, &signed_part, 1, raw));
    opened = der_open(&numbers, DER_SEQUENCE);
    der_put_positive(&numbers, bytes_from(raw, 32));
    der_put_positive(&numbers, bytes_from(&raw[32], 32));
    der_close(&numbers, opened);
    opened = der_open(out, DER_SEQUENCE);
    put_bytes(out, signed_part);
    rig_piece(out, pieces->outer_algorithm, algorithm);
    if (pieces->signature.data)
        put_bytes(out, pieces->signature);
    else
        der_put_bits(out, writer_bytes(&numbers));
    put_bytes(out, pieces->behind);
    der_close(out, opened);
    check_ok(writer_end(out));
    return bytes_slice(writer_bytes(out), from, out->len - from);
}

/* [3] of one extension, or of several written one after the other. */
static inline struct bytes rig_extensions(struct writer *out, const char *hex)
{
    size_t from = out->len, outer = der_open(out, DER_CONTEXT_HELD + 3), list = der_open(out, DER_SEQUENCE);
    check_ok(hex_decode(hex, out));
    der_close(out, list);
    der_close(out, outer);
    check_ok(writer_end(out));
    return bytes_slice(writer_bytes(out), from, out->len - from);
}

#endif
