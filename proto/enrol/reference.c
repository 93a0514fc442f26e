/* What a hub is held to, in bytes. */
#include "enrol_internal.h"

#include "cbor.h"

#include <string.h>

#define FIELDS 9

void enrol_put_reference(struct writer *writer, const struct enrol_reference *reference)
{
    cbor_put_array(writer, FIELDS);
    cbor_put_bytes(writer, BYTES_OF(reference->site));
    cbor_put_bytes(writer, BYTES_OF(reference->owner));
    cbor_put_bytes(writer, BYTES_OF(reference->ak));
    cbor_put_bytes(writer, BYTES_OF(reference->signer));
    cbor_put_text(writer, reference->product);
    cbor_put_uint(writer, reference->min_security_version);
    cbor_put_uint(writer, reference->required_walls);
    cbor_put_bool(writer, reference->insecure_dev);
    cbor_put_bool(writer, reference->unmeasured_monitor);
}

static uint32_t take_u32(struct reader *reader)
{
    uint64_t value = cbor_take_uint(reader);
    if (value > UINT32_MAX)
        reader_fail(reader, MALFORMED);
    return (uint32_t)value;
}

void enrol_take_text(struct reader *reader, char *room, size_t max)
{
    struct bytes text = cbor_take_text(reader);
    if (reader->status == OK && (text.len == 0 || memchr(text.data, 0, text.len)))
        reader_fail(reader, MALFORMED);
    if (reader->status == OK && text.len > max)
        reader_fail(reader, NO_ROOM);
    if (reader->status == OK)
        memcpy(room, text.data, text.len);
}

enum status enrol_reference_decode(struct bytes encoded, struct enrol_reference *reference)
{
    struct enrol_reference got = {0};
    struct reader reader = reader_over(encoded);
    if (cbor_take_array(&reader) != FIELDS)
        reader_fail(&reader, MALFORMED);
    cbor_take_fixed(&reader, got.site, sizeof got.site);
    cbor_take_fixed(&reader, got.owner, sizeof got.owner);
    cbor_take_fixed(&reader, got.ak, sizeof got.ak);
    cbor_take_fixed(&reader, got.signer, sizeof got.signer);
    enrol_take_text(&reader, got.product, ENROL_PRODUCT_MAX);
    got.min_security_version = take_u32(&reader);
    got.required_walls = take_u32(&reader);
    got.insecure_dev = cbor_take_bool(&reader);
    got.unmeasured_monitor = cbor_take_bool(&reader);
    TRY(reader_end(&reader));
    *reference = got;
    return OK;
}
