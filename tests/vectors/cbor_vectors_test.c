/* cbor: every example of RFC 8949 Appendix A — read strictly, written again, and given as JSON.
 * cbor_appendix_a.tsv: hex, "same" when the encoding is deterministic or "lenient" when not, JSON or "-" for none. */
#include "check.h"

#include "cbor.h"

#include <stdio.h>

struct row {
    uint8_t data[64];
    struct bytes encoded;
    bool same;
    char json[128];
};

static bool next_row(FILE *file, struct row *row)
{
    char hex[129], kind[16];
    if (fscanf(file, "%128s\t%15s\t%127[^\n]", hex, kind, row->json) != 3)
        return false;
    struct writer writer = writer_over(row->data, sizeof row->data);
    check_ok(hex_decode(hex, &writer));
    row->encoded = writer_bytes(&writer);
    row->same = strcmp(kind, "same") == 0;
    return true;
}

/* One value, whatever it is, through the matching take and put; containers item by item. */
static void copy_item(struct reader *reader, struct writer *writer)
{
    size_t left = 1;
    while (left && reader->status == OK) {
        left--;
        size_t count;
        switch (cbor_peek_type(reader)) {
        case CBOR_UINT:
            cbor_put_uint(writer, cbor_take_uint(reader));
            break;
        case CBOR_BYTES:
            cbor_put_bytes(writer, cbor_take_bytes(reader));
            break;
        case CBOR_TEXT:
            cbor_put_text_bytes(writer, cbor_take_text(reader));
            break;
        case CBOR_ARRAY:
            left += count = cbor_take_array(reader);
            cbor_put_array(writer, count);
            break;
        case CBOR_MAP:
            count = cbor_take_map(reader);
            left += 2 * count;
            cbor_put_map(writer, count);
            break;
        case CBOR_TAG:
            cbor_put_tag(writer, cbor_take_tag(reader));
            left++;
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
        case CBOR_NINT:
            if (peek_u8(reader) != 0x3b) {
                cbor_put_int(writer, cbor_take_int(reader));
                break;
            }
            cbor_put_raw(writer, cbor_take_item(reader)); /* the one past 64 bits signed */
            break;
        case CBOR_UNDEFINED:
            cbor_skip(reader);
            cbor_put_undefined(writer);
            break;
        case CBOR_SIMPLE:
        case CBOR_NONE:
            cbor_put_raw(writer, cbor_take_item(reader));
        }
    }
}

static void check_strict(const struct row *row)
{
    uint8_t out[64];
    struct writer writer = writer_over(out, sizeof out);
    struct reader reader = reader_over(row->encoded), whole = reader_over(row->encoded);
    copy_item(&reader, &writer);
    cbor_skip(&whole);
    if (!row->same) {
        check_status(MALFORMED, reader_end(&reader));
        check_status(MALFORMED, reader_end(&whole));
        return;
    }
    check_ok(reader_end(&reader));
    check_ok(reader_end(&whole));
    check_bytes(row->encoded, writer_bytes(&writer));
    for (size_t len = 0; len < row->encoded.len; len++) {
        reader = reader_over(bytes_slice(row->encoded, 0, len));
        cbor_skip(&reader);
        check_status(TRUNCATED, reader_end(&reader));
    }
}

static void check_json(const struct row *row)
{
    char text[128];
    struct writer writer = writer_over(text, sizeof text);
    struct reader reader = reader_over(row->encoded);
    enum status status = cbor_to_json(&reader, &writer);
    if (strcmp(row->json, "-") == 0) {
        check_status(MALFORMED, status);
        assert_int_equal(0, writer.len);
        return;
    }
    check_ok(status);
    check_ok(reader_end(&reader));
    check_bytes(bytes_from_text(row->json), writer_bytes(&writer));
    for (size_t len = 0; len < row->encoded.len; len++) {
        reader = reader_over(bytes_slice(row->encoded, 0, len));
        writer.len = 0;
        check_status(TRUNCATED, cbor_to_json(&reader, &writer));
    }
}

static void appendix_a_reads_and_writes_as_printed(void **state)
{
    (void)state;
    FILE *file = fopen("tests/vectors/cbor_appendix_a.tsv", "r");
    assert_non_null(file);
    struct row row;
    size_t count = 0;
    for (; next_row(file, &row); count++) {
        check_strict(&row);
        check_json(&row);
    }
    fclose(file);
    assert_int_equal(81, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(appendix_a_reads_and_writes_as_printed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
