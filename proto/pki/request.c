/* CertificationRequest (RFC 2986 §4): who, which key, and the key's own signature over both. */
#include "pki_internal.h"

#define VERSION_1 0

/* [0] IMPLICIT SET OF Attribute: there, and of the right shape. */
static void pass_attributes(struct reader *reader)
{
    struct reader list = reader_over(der_take(reader, DER_CONTEXT_HELD));
    while (list.status == OK && list.rest.len) {
        struct reader attribute = reader_over(der_take(&list, DER_SEQUENCE));
        (void)der_take_oid(&attribute);
        (void)der_take(&attribute, DER_SET);
        if (der_end(&attribute) != OK)
            reader_fail(&list, MALFORMED);
    }
    if (list.status != OK)
        reader_fail(reader, MALFORMED);
}

static enum status take_information(struct bytes information, struct pki_request *request)
{
    struct reader outer = reader_over(information);
    struct reader reader = reader_over(der_take(&outer, DER_SEQUENCE));
    uint16_t version = der_take_small(&reader);
    request->subject = name_take(&reader, &request->common_name);
    TRY(reader.status);
    if (version != VERSION_1)
        return UNSUPPORTED;
    TRY(key_take(&reader, &request->key));
    pass_attributes(&reader);
    return der_end(&reader);
}

enum status pki_request_open(struct bytes der, struct pki_request *request)
{
    struct pki_request made = {0};
    struct reader reader = reader_over(der);
    struct reader outer = reader_over(der_take(&reader, DER_SEQUENCE));
    TRY(reader_end(&reader));
    if (der.len > PKI_REQUEST_MAX)
        return NO_ROOM;
    struct bytes information = der_take_element(&outer, NULL);
    enum pki_algorithm algorithm = algorithm_take(&outer);
    struct bytes signature = der_take_bits(&outer);
    if (outer.status == UNSUPPORTED)
        return UNSUPPORTED;
    TRY(der_end(&outer));
    enum status status = take_information(information, &made);
    if (status != OK)
        return status == TRUNCATED ? MALFORMED : status;
    TRY(signed_verify(information, algorithm, signature, &made.key));
    *request = made;
    return OK;
}

enum status pki_request_sign(struct writer *writer, const struct crypto_key *key, struct bytes common_name)
{
    uint8_t room[PKI_REQUEST_MAX], whole[PKI_REQUEST_MAX];
    struct writer information = writer_over(room, sizeof room), out = writer_over(whole, sizeof whole);
    size_t opened = der_open(&information, DER_SEQUENCE);
    der_put_small(&information, VERSION_1);
    TRY(pki_put_name(&information, common_name));
    key_put(&information, &key->public_key);
    der_put(&information, DER_CONTEXT_HELD, (struct bytes){0});
    der_close(&information, opened);
    TRY(writer_end(&information));
    TRY(pki_put_signed(&out, key, writer_bytes(&information)));
    TRY(writer_end(writer));
    if (out.len > writer->cap - writer->len)
        return NO_ROOM;
    put_bytes(writer, writer_bytes(&out));
    return writer_end(writer);
}
