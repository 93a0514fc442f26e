/* Certificate (RFC 5280 §4.1): SEQUENCE { what is signed, how, signature }. What is written is read back before it is
 * signed, so that nothing leaves that decode would refuse. Secret: the issuer's key alone. */
#include "pki_internal.h"

#define VERSION_3 2

/* [0] EXPLICIT INTEGER; left out means version 1. */
static enum status take_version(struct reader *reader)
{
    if (!der_is_next(reader, DER_CONTEXT_HELD))
        return reader->status == OK ? UNSUPPORTED : reader->status;
    struct reader version = reader_over(der_take(reader, DER_CONTEXT_HELD));
    uint16_t number = der_take_small(&version);
    TRY(der_end(&version));
    return number == VERSION_3 ? OK : UNSUPPORTED;
}

/* TBSCertificate, whole. */
static enum status take_signed_part(struct bytes signed_part, struct pki_certificate *certificate)
{
    struct reader outer = reader_over(signed_part);
    struct reader reader = reader_over(der_take(&outer, DER_SEQUENCE));
    struct bytes ignored;
    TRY(take_version(&reader));
    certificate->serial = der_take_positive(&reader);
    if (certificate->serial.len > PKI_SERIAL_MAX ||
        (certificate->serial.len == PKI_SERIAL_MAX && (certificate->serial.data[0] & 0x80)))
        return NO_ROOM;
    certificate->algorithm = algorithm_take(&reader);
    certificate->issuer = name_take(&reader, &ignored);
    struct reader validity = reader_over(der_take(&reader, DER_SEQUENCE));
    certificate->not_before_s = der_take_time(&validity);
    certificate->not_after_s = der_take_time(&validity);
    certificate->subject = name_take(&reader, &certificate->common_name);
    TRY(reader.status);
    TRY(der_end(&validity));
    if (certificate->not_before_s > certificate->not_after_s || certificate->issuer.len <= 2) /* §4.1.2.4 */
        return MALFORMED;
    TRY(key_take(&reader, &certificate->key));
    if (der_is_next(&reader, DER_CONTEXT + 1) || der_is_next(&reader, DER_CONTEXT + 2)) /* unique identifiers */
        return UNSUPPORTED;
    if (reader.rest.len) {
        struct reader extensions = reader_over(der_take(&reader, DER_CONTEXT_HELD + 3));
        extensions_take(&extensions, certificate);
        TRY(der_end(&extensions));
    }
    return der_end(&reader);
}

enum status pki_certificate_decode(struct bytes der, struct pki_certificate *certificate)
{
    struct pki_certificate made = {0};
    struct reader reader = reader_over(der);
    struct reader outer = reader_over(der_take(&reader, DER_SEQUENCE));
    TRY(reader_end(&reader));
    if (der.len > PKI_CERTIFICATE_MAX)
        return NO_ROOM;
    made.signed_part = der_take_element(&outer, NULL);
    enum pki_algorithm algorithm = algorithm_take(&outer);
    made.signature = der_take_bits(&outer);
    if (outer.status == UNSUPPORTED)
        return UNSUPPORTED;
    TRY(der_end(&outer));
    enum status status = take_signed_part(made.signed_part, &made);
    if (status != OK)
        return status == TRUNCATED ? MALFORMED : status;
    if (made.algorithm != algorithm) /* §4.1.1.2 */
        return MALFORMED;
    *certificate = made;
    return OK;
}

enum status pki_certificate_verify(const struct pki_certificate *certificate, const struct crypto_public *issuer)
{
    return signed_verify(certificate->signed_part, certificate->algorithm, certificate->signature, issuer);
}

static void put_signed_part(struct writer *writer, enum crypto_curve signer, const struct pki_certificate *certificate)
{
    size_t opened = der_open(writer, DER_SEQUENCE);
    size_t version = der_open(writer, DER_CONTEXT_HELD);
    der_put_small(writer, VERSION_3);
    der_close(writer, version);
    der_put_positive(writer, certificate->serial);
    pki_put_algorithm(writer, signer);
    put_bytes(writer, certificate->issuer);
    size_t validity = der_open(writer, DER_SEQUENCE);
    der_put_time(writer, certificate->not_before_s);
    der_put_time(writer, certificate->not_after_s);
    der_close(writer, validity);
    put_bytes(writer, certificate->subject);
    key_put(writer, &certificate->key);
    extensions_put(writer, certificate);
    der_close(writer, opened);
}

enum status pki_certificate_sign(struct writer *writer, const struct crypto_key *issuer,
                                 const struct pki_certificate *certificate)
{
    uint8_t room[PKI_CERTIFICATE_MAX], whole[PKI_CERTIFICATE_MAX], key_id[PKI_KEY_ID_LEN];
    struct pki_certificate made = *certificate, read = {.algorithm = 0};
    struct writer signed_part = writer_over(room, sizeof room), out = writer_over(whole, sizeof whole);
    TRY(pki_key_id(&made.key, key_id));
    if (made.key_id.len == 0)
        made.key_id = BYTES_OF(key_id);
    put_signed_part(&signed_part, issuer->public_key.curve, &made);
    TRY(writer_end(&signed_part));
    enum status status = take_signed_part(writer_bytes(&signed_part), &read);
    if (status != OK)
        return status == TRUNCATED ? MALFORMED : status;
    if (read.usage != made.usage || read.purposes != made.purposes || read.has_path_len != made.has_path_len)
        return MALFORMED;
    TRY(pki_put_signed(&out, issuer, writer_bytes(&signed_part)));
    TRY(writer_end(writer));
    if (out.len > writer->cap - writer->len)
        return NO_ROOM;
    put_bytes(writer, writer_bytes(&out));
    return writer_end(writer);
}
