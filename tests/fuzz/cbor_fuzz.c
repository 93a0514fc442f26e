/* CBOR from anyone: what the strict decoder takes is, item by item, what the encoder writes; what is taken leniently
 * into JSON is JSON to another implementation. */
#include "cbor.h"

#include <jansson.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define INPUT_MAX 4096

static void hold(bool truth)
{
    if (!truth)
        abort();
}

/* The head of the next item, and what follows it where it is a string, written again. */
static void copy_head(struct reader *reader, struct writer *writer)
{
    switch (cbor_peek_type(reader)) {
    case CBOR_UINT:
        cbor_put_uint(writer, cbor_take_uint(reader));
        break;
    case CBOR_NINT: {
        struct reader copy = *reader;
        int64_t value = cbor_take_int(&copy);
        if (copy.status == OK) {
            cbor_put_int(writer, value);
            *reader = copy;
        } else { /* past 64 bits signed */
            hold(copy.status == UNSUPPORTED);
            cbor_put_raw(writer, cbor_take_item(reader));
        }
        break;
    }
    case CBOR_BYTES:
        cbor_put_bytes(writer, cbor_take_bytes(reader));
        break;
    case CBOR_TEXT:
        cbor_put_text_bytes(writer, cbor_take_text(reader));
        break;
    case CBOR_ARRAY:
        cbor_put_array(writer, cbor_take_array(reader));
        break;
    case CBOR_MAP:
        cbor_put_map(writer, cbor_take_map(reader));
        break;
    case CBOR_TAG:
        cbor_put_tag(writer, cbor_take_tag(reader));
        break;
    case CBOR_BOOL:
        cbor_put_bool(writer, cbor_take_bool(reader));
        break;
    case CBOR_NULL:
        cbor_take_null(reader);
        cbor_put_null(writer);
        break;
    case CBOR_FLOAT:
        cbor_put_double(writer, cbor_take_double(reader));
        break;
    case CBOR_UNDEFINED:
    case CBOR_SIMPLE:
        cbor_put_raw(writer, cbor_take_item(reader));
        break;
    case CBOR_NONE:
    default:
        abort();
    }
}

static void try_strict(struct bytes input)
{
    static uint8_t room[INPUT_MAX];
    struct reader reader = reader_over(input);
    struct bytes item = cbor_take_item(&reader);
    if (reader.status != OK)
        return;
    struct reader again = reader_over(item);
    struct writer writer = writer_over(room, sizeof room);
    while (again.status == OK && again.rest.len > 0)
        copy_head(&again, &writer);
    hold(again.status == OK);
    hold(bytes_equal(writer_bytes(&writer), item));
    for (size_t len = 0; len < item.len && len < 64; len++) {
        struct reader cut = reader_over(bytes_slice(item, 0, len));
        cbor_skip(&cut);
        hold(cut.status == TRUNCATED);
    }
}

static void try_map(struct bytes input)
{
    struct reader reader = reader_over(input);
    struct cbor_map_walk walk = cbor_walk_map(&reader);
    int64_t last = 0;
    size_t count = 0;
    while (cbor_next_key(&reader, &walk)) {
        int64_t number = cbor_key_number(&walk);
        hold(count++ == 0 || number == CBOR_NO_NUMBER || number != last);
        last = number;
        cbor_take_number(&reader);
        if (reader.status != OK)
            break;
    }
}

static void try_json(struct bytes input)
{
    static uint8_t room[16 * INPUT_MAX];
    struct reader reader = reader_over(input);
    struct writer writer = writer_over(room, sizeof room);
    put_text(&writer, "[");
    enum status status = cbor_to_json(&reader, &writer);
    hold(status == reader.status);
    if (status != OK) {
        hold(writer.len == 1 && writer.status == OK);
        return;
    }
    put_text(&writer, "]");
    struct bytes text = writer_bytes(&writer);
    json_error_t error;
    json_t *json = json_loadb((const char *)text.data, text.len, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &error);
    /* jansson's keys are C strings, whatever JSON says */
    hold(json || json_error_code(&error) == json_error_null_byte_in_key);
    hold(!json || json_array_size(json) == 1);
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes input = bytes_from(data, len);
    if (len > INPUT_MAX)
        return 0;
    try_strict(input);
    try_map(input);
    try_json(input);
    return 0;
}
