/* enrol: the one-time code as a line of text. */
#include "check.h"

#include "enrol.h"

#include <stdio.h>

static struct enrol_code example(void)
{
    struct enrol_code code = {
        .name = "thermometer",
        .reference = {
            .product = "bastide-hub", .min_security_version = 3, .required_walls = 0xf7f, .unmeasured_monitor = true}};
    memset(code.secret, 1, sizeof code.secret);
    memset(code.reference.site, 2, sizeof code.reference.site);
    memset(code.reference.owner, 3, sizeof code.reference.owner);
    memset(code.reference.ak, 4, sizeof code.reference.ak);
    memset(code.reference.signer, 5, sizeof code.reference.signer);
    return code;
}

static void a_code_goes_there_and_back(void **state)
{
    (void)state;
    struct enrol_code code = example(), back = {0};
    char text[ENROL_TEXT_MAX], around[ENROL_TEXT_MAX + 8];
    check_ok(enrol_code_encode(&code, text, sizeof text));
    assert_memory_equal("bastide:", text, 8);
    check_ok(enrol_code_decode(text, &back));
    assert_memory_equal(&code, &back, sizeof code);
    snprintf(around, sizeof around, " \t%s\r\n", text);
    memset(&back, 0, sizeof back);
    check_ok(enrol_code_decode(around, &back));
    assert_memory_equal(&code, &back, sizeof code);
}

static void every_shorter_text_is_refused_and_so_is_a_letter_more(void **state)
{
    (void)state;
    struct enrol_code code = example(), untouched = {0}, back = {0};
    char text[ENROL_TEXT_MAX], cut[ENROL_TEXT_MAX + 1];
    check_ok(enrol_code_encode(&code, text, sizeof text));
    for (size_t len = 0; len < strlen(text); len++) {
        snprintf(cut, sizeof cut, "%.*s", (int)len, text);
        check_status(MALFORMED, enrol_code_decode(cut, &back));
    }
    snprintf(cut, sizeof cut, "%sA", text);
    check_status(MALFORMED, enrol_code_decode(cut, &back));
    snprintf(cut, sizeof cut, "%s %s", "bastide:AA", "AA");
    check_status(MALFORMED, enrol_code_decode(cut, &back));
    assert_memory_equal(&untouched, &back, sizeof back);
}

static void it_fits_a_room_of_its_length_and_none_that_is_smaller(void **state)
{
    (void)state;
    struct enrol_code code = example();
    char text[ENROL_TEXT_MAX], room[ENROL_TEXT_MAX];
    check_ok(enrol_code_encode(&code, text, sizeof text));
    check_ok(enrol_code_encode(&code, room, strlen(text) + 1));
    for (size_t cap = 0; cap <= strlen(text); cap++)
        check_status(NO_ROOM, enrol_code_encode(&code, room, cap));
}

static void the_longest_product_fits_and_one_letter_more_does_not(void **state)
{
    (void)state;
    struct enrol_code code = example(), back;
    char text[ENROL_TEXT_MAX];
    uint8_t room[ENROL_REFERENCE_MAX];
    memset(code.reference.product, 'p', ENROL_PRODUCT_MAX);
    code.reference.min_security_version = code.reference.required_walls = UINT32_MAX;
    check_ok(enrol_code_encode(&code, text, sizeof text));
    check_ok(enrol_code_decode(text, &back));
    struct writer writer = writer_over(room, sizeof room);
    enrol_put_reference(&writer, &code.reference);
    check_ok(writer_end(&writer));
    /* text(64) is 0x78 0x40; one letter more is 0x78 0x40 and a byte inserted. */
    uint8_t *head = memmem(room, writer.len, "\x78\x40", 2);
    assert_non_null(head);
    size_t behind = writer.len - (size_t)(head + 2 - room);
    head[1] = ENROL_PRODUCT_MAX + 1;
    memmove(head + 3, head + 2, behind);
    head[2] = 'p';
    check_status(NO_ROOM, enrol_reference_decode(bytes_from(room, writer.len + 1), &back.reference));
}

static void a_product_has_a_letter_and_no_zero_byte(void **state)
{
    (void)state;
    struct enrol_code code = example();
    uint8_t room[ENROL_REFERENCE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    enrol_put_reference(&writer, &code.reference);
    uint8_t *product = (uint8_t *)memmem(room, writer.len, "bastide-hub", 11);
    assert_non_null(product);
    product[3] = 0;
    check_status(MALFORMED, enrol_reference_decode(writer_bytes(&writer), &code.reference));
    code.reference.product[0] = 0;
    writer = writer_over(room, sizeof room);
    enrol_put_reference(&writer, &code.reference);
    check_status(MALFORMED, enrol_reference_decode(writer_bytes(&writer), &code.reference));
}

static void another_version_is_told_apart_from_nonsense(void **state)
{
    (void)state;
    struct enrol_code code = example();
    char text[ENROL_TEXT_MAX], other[ENROL_TEXT_MAX + 16];
    uint8_t room[ENROL_TEXT_MAX];
    struct writer writer = writer_over(room, sizeof room);
    check_ok(enrol_code_encode(&code, text, sizeof text));
    check_ok(base64url_decode(text + 8, &writer));
    room[1] = 2;
    memcpy(other, "bastide:", 8);
    check_ok(base64url_encode(writer_bytes(&writer), other + 8, sizeof other - 8));
    check_status(UNSUPPORTED, enrol_code_decode(other, &code));
}

static void the_longest_name_fits_and_one_letter_more_does_not(void **state)
{
    (void)state;
    struct enrol_code code = example(), back;
    char text[ENROL_TEXT_MAX], longer[ENROL_TEXT_MAX + 16];
    uint8_t room[ENROL_TEXT_MAX];
    struct writer writer = writer_over(room, sizeof room - 1);
    memset(code.name, 'n', ENROL_NAME_MAX);
    check_ok(enrol_code_encode(&code, text, sizeof text));
    check_ok(enrol_code_decode(text, &back));
    assert_string_equal(code.name, back.name);
    check_ok(base64url_decode(text + 8, &writer));
    /* [1, bytes(16), text(64): 0x78 0x40 … */
    uint8_t *head = room + 2 + 1 + ENROL_SECRET_LEN;
    assert_int_equal(0x78, head[0]);
    head[1] = ENROL_NAME_MAX + 1;
    memmove(head + 3, head + 2, writer.len - (size_t)(head + 2 - room));
    head[2] = 'n';
    memcpy(longer, "bastide:", 8);
    check_ok(base64url_encode(bytes_from(room, writer.len + 1), longer + 8, sizeof longer - 8));
    check_status(NO_ROOM, enrol_code_decode(longer, &back));
    code.name[0] = 0;
    check_ok(enrol_code_encode(&code, text, sizeof text));
    check_status(MALFORMED, enrol_code_decode(text, &back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_code_goes_there_and_back),
        cmocka_unit_test(every_shorter_text_is_refused_and_so_is_a_letter_more),
        cmocka_unit_test(it_fits_a_room_of_its_length_and_none_that_is_smaller),
        cmocka_unit_test(the_longest_product_fits_and_one_letter_more_does_not),
        cmocka_unit_test(the_longest_name_fits_and_one_letter_more_does_not),
        cmocka_unit_test(a_product_has_a_letter_and_no_zero_byte),
        cmocka_unit_test(another_version_is_told_apart_from_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
