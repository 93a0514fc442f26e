/* The file of what is sealed: a magic, then fixed fields and length-prefixed blobs, big endian. All of it is public. */
#include "tpm_internal.h"

static const uint8_t magic[8] = "BSTDSEA2";

static void put_blob(struct writer *writer, const uint8_t *data, size_t len)
{
    put_u16be(writer, (uint16_t)len);
    put_bytes(writer, bytes_from(data, len));
}

static void put_object(struct writer *writer, const struct tpm_object *object)
{
    put_blob(writer, object->area, object->area_len);
    put_blob(writer, object->sensitive, object->sensitive_len);
}

void tpm_put_sealed(struct writer *writer, const struct tpm_sealed *sealed)
{
    put_bytes(writer, BYTES_OF(magic));
    put_object(writer, &sealed->root);
    put_object(writer, &sealed->ak);
    put_bytes(writer, BYTES_OF(sealed->boot_signer));
    put_bytes(writer, BYTES_OF(sealed->approval.policy));
    put_bytes(writer, BYTES_OF(sealed->approval.signature));
    put_bytes(writer, BYTES_OF(sealed->ek_name));
    put_u64be(writer, sealed->born_counter);
}

static void take_into(struct reader *reader, size_t len, uint8_t *out, size_t cap)
{
    struct bytes value = take_bytes(reader, len);
    struct writer writer = writer_over(out, cap);
    put_bytes(&writer, value);
    if (writer_end(&writer) != OK)
        reader_fail(reader, MALFORMED);
}

static void take_object(struct reader *reader, struct tpm_object *object)
{
    object->area_len = take_u16be(reader);
    take_into(reader, object->area_len, object->area, sizeof object->area);
    object->sensitive_len = take_u16be(reader);
    take_into(reader, object->sensitive_len, object->sensitive, sizeof object->sensitive);
}

enum status tpm_sealed_decode(struct bytes encoded, struct tpm_sealed *sealed)
{
    struct reader reader = reader_over(encoded);
    struct tpm_sealed got = {0};
    if (!bytes_equal(take_bytes(&reader, sizeof magic), BYTES_OF(magic)))
        reader_fail(&reader, MALFORMED);
    take_object(&reader, &got.root);
    take_object(&reader, &got.ak);
    take_into(&reader, sizeof got.boot_signer, got.boot_signer, sizeof got.boot_signer);
    take_into(&reader, sizeof got.approval.policy, got.approval.policy, sizeof got.approval.policy);
    take_into(&reader, sizeof got.approval.signature, got.approval.signature, sizeof got.approval.signature);
    take_into(&reader, sizeof got.ek_name, got.ek_name, sizeof got.ek_name);
    got.born_counter = take_u64be(&reader);
    TRY(reader_end(&reader));
    *sealed = got;
    return OK;
}
