/* What the gateway translates between HTTP and CoAP: RFC 8075 §7, RFC 8613 §11. */
#include "check.h"

#include "gateway.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static void an_option_goes_through_the_header_and_back(void **state)
{
    (void)state;
    for (size_t len = 0; len <= GATEWAY_OPTION_MAX; len++) {
        uint8_t option[GATEWAY_OPTION_MAX], back[GATEWAY_OPTION_MAX];
        char header[GATEWAY_HEADER_MAX];
        size_t back_len = 999;
        for (size_t i = 0; i < len; i++)
            option[i] = (uint8_t)(i * 7 + 9);
        check_ok(gateway_option_to_header(bytes_from(option, len), header));
        check_ok(gateway_option_from_header(header, back, &back_len));
        check_bytes(bytes_from(option, len), bytes_from(back, back_len));
    }
}

/* RFC 8613 §11.2 and the example of §11.5. */
static void the_empty_option_is_AA_and_the_published_one_CSU(void **state)
{
    (void)state;
    char header[GATEWAY_HEADER_MAX];
    uint8_t option[GATEWAY_OPTION_MAX];
    size_t len = 999;
    check_ok(gateway_option_to_header((struct bytes){0}, header));
    assert_string_equal(header, "AA");
    check_ok(gateway_option_from_header("AA", option, &len));
    assert_int_equal(len, 0);
    check_ok(gateway_option_from_header("CSU", option, &len));
    check_bytes(bytes_from("\x09\x25", 2), bytes_from(option, len));
}

static void every_other_header_is_refused_and_leaves_the_output_alone(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "A",  "CSU=",  "C S",     "CSU ",    "CS+",
                                      "CSV", "AB", "CSUAA", "CSU,CSU", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t option[GATEWAY_OPTION_MAX] = {0xee};
        size_t len = 77;
        check_status(MALFORMED, gateway_option_from_header(bad[i], option, &len));
        assert_int_equal(option[0], 0xee);
        assert_int_equal(len, 77);
    }
}

static void an_option_past_the_limit_is_refused_both_ways(void **state)
{
    (void)state;
    uint8_t option[GATEWAY_OPTION_MAX + 2] = {0};
    char header[GATEWAY_HEADER_MAX], longer[GATEWAY_HEADER_MAX + 8];
    size_t len = 77;
    check_ok(base64url_encode(bytes_from(option, GATEWAY_OPTION_MAX + 1), longer, sizeof longer));
    check_status(NO_ROOM, gateway_option_from_header(longer, option, &len));
    assert_int_equal(len, 77);
    check_status(NO_ROOM, gateway_option_to_header(BYTES_OF(option), header));
}

static void codes_become_statuses_as_RFC_8075_says(void **state)
{
    (void)state;
    static const struct {
        uint8_t code;
        unsigned with, without;
    } rows[] = {
        {COAP_CREATED, 201, 201},
        {COAP_DELETED, 200, 204},
        {COAP_CHANGED, 200, 204},
        {COAP_CONTENT, 200, 200},
        {COAP_BAD_REQUEST, 400, 400},
        {COAP_UNAUTHORIZED, 403, 403},
        {COAP_BAD_OPTION, 400, 400},
        {COAP_FORBIDDEN, 403, 403},
        {COAP_NOT_FOUND, 404, 404},
        {COAP_METHOD_NOT_ALLOWED, 400, 400},
        {COAP_NOT_ACCEPTABLE, 406, 406},
        {COAP_PRECONDITION_FAILED, 412, 412},
        {COAP_TOO_LARGE, 413, 413},
        {COAP_UNSUPPORTED_FORMAT, 415, 415},
        {COAP_TOO_MANY_REQUESTS, 429, 429},
        {COAP_INTERNAL_ERROR, 500, 500},
        {COAP_NOT_IMPLEMENTED, 501, 501},
        {COAP_BAD_GATEWAY, 502, 502},
        {COAP_UNAVAILABLE, 503, 503},
        {COAP_GATEWAY_TIMEOUT, 504, 504},
        {COAP_CODE(4, 31), 400, 400}, /* unknown ones count as the first of their class (RFC 7252 §5.9) */
        {COAP_CODE(5, 31), 500, 500},
        {COAP_CONTINUE, 502, 502},
        {COAP_POST, 502, 502},
        {COAP_EMPTY, 502, 502},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(gateway_http_status(rows[i].code, true), rows[i].with);
        assert_int_equal(gateway_http_status(rows[i].code, false), rows[i].without);
    }
}

static void every_code_there_is_has_a_status_that_may_be_sent(void **state)
{
    (void)state;
    for (unsigned code = 0; code < 256; code++) {
        unsigned status = gateway_http_status((uint8_t)code, true);
        assert_true(status >= 200 && status < 600);
    }
}

static void media_types_are_found_whatever_their_case_and_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        uint32_t format;
    } rows[] = {{"application/oscore", COAP_FORMAT_OSCORE},
                {"Application/OSCORE", COAP_FORMAT_OSCORE},
                {"application/cbor; x=y", COAP_FORMAT_CBOR},
                {"application/json;charset=utf-8", COAP_FORMAT_JSON},
                {"text/plain", COAP_FORMAT_TEXT}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t format = 77;
        check_ok(gateway_content_format(rows[i].type, &format));
        assert_int_equal(format, rows[i].format);
        assert_non_null(gateway_media_type(format));
    }
    static const char *const unknown[] = {"", "application", "application/oscor", "application/oscorex",
                                          " application/cbor"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        uint32_t format = 77;
        check_status(NOT_FOUND, gateway_content_format(unknown[i], &format));
        assert_int_equal(format, 77);
    }
    assert_null(gateway_media_type(65000));
}

/* RFC 8613 §11.3: no Content-Format; the option as it was. */
static void an_OSCORE_request_is_a_POST_with_one_option(void **state)
{
    (void)state;
    uint8_t buffer[400];
    struct writer writer = writer_over(buffer, sizeof buffer);
    gateway_put_oscore_request(&writer, bytes_from("\x09\x25", 2), bytes_from_text("sealed"));
    check_ok(writer_end(&writer));
    check_bytes(bytes_from("\x02\x92\x09\x25\xffsealed", 11), writer_bytes(&writer));
    uint8_t option[GATEWAY_OPTION_MAX] = {1};
    writer = writer_over(buffer, sizeof buffer);
    gateway_put_oscore_request(&writer, BYTES_OF(option), bytes_from_text("x"));
    check_ok(writer_end(&writer));
}

static void edhoc_names_its_path_and_format(void **state)
{
    (void)state;
    uint8_t buffer[128], path[64];
    struct writer writer = writer_over(buffer, sizeof buffer), joined = writer_over(path, sizeof path);
    struct coap_body body;
    uint32_t format = 0;
    gateway_put_edhoc(&writer, bytes_from_text("nonce"));
    check_ok(writer_end(&writer));
    check_ok(coap_body_decode(writer_bytes(&writer), &body));
    assert_int_equal(body.code, COAP_POST);
    check_ok(coap_join_segments(body.options, COAP_URI_PATH, '/', &joined));
    check_bytes(bytes_from_text(".well-known/edhoc"), writer_bytes(&joined));
    check_ok(coap_option_find_uint(body.options, COAP_CONTENT_FORMAT, &format));
    assert_int_equal(format, COAP_FORMAT_CID_EDHOC);
    check_bytes(bytes_from_text("nonce"), body.payload);
}

static void a_request_without_room_fails_the_writer(void **state)
{
    (void)state;
    uint8_t buffer[10];
    struct writer writer = writer_over(buffer, sizeof buffer);
    gateway_put_oscore_request(&writer, bytes_from("\x09\x25", 2), bytes_from_text("sealed"));
    check_status(NO_ROOM, writer_end(&writer));
}

static void addresses_are_numeric_with_a_port(void **state)
{
    (void)state;
    struct coap_peer peer = {.len = 77};
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    check_ok(gateway_parse_address("127.0.0.1:5683", &peer));
    assert_int_equal(peer.len, sizeof v4);
    memcpy(&v4, peer.data, sizeof v4);
    assert_int_equal(v4.sin_port, htons(5683));
    assert_int_equal(v4.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    check_ok(gateway_parse_address("[::1]:0", &peer));
    assert_int_equal(peer.len, sizeof v6);
    memcpy(&v6, peer.data, sizeof v6);
    assert_int_equal(v6.sin6_port, 0);
    assert_memory_equal(&v6.sin6_addr, &in6addr_loopback, sizeof in6addr_loopback);
    static const char *const bad[] = {"",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:-1",
                                      "localhost:1",
                                      "[::1:1",
                                      "::1:1",
                                      "[::1]",
                                      "[127.0.0.1]:1",
                                      ":5683",
                                      "127.0.0.1:1x",
                                      "1.2.3.4: 1",
                                      "[]:1",
                                      "99999999999999999999999999999999999999999999999999999999:1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        peer.len = 77;
        check_status(MALFORMED, gateway_parse_address(bad[i], &peer));
        assert_int_equal(peer.len, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_option_goes_through_the_header_and_back),
        cmocka_unit_test(the_empty_option_is_AA_and_the_published_one_CSU),
        cmocka_unit_test(every_other_header_is_refused_and_leaves_the_output_alone),
        cmocka_unit_test(an_option_past_the_limit_is_refused_both_ways),
        cmocka_unit_test(codes_become_statuses_as_RFC_8075_says),
        cmocka_unit_test(every_code_there_is_has_a_status_that_may_be_sent),
        cmocka_unit_test(media_types_are_found_whatever_their_case_and_parameters),
        cmocka_unit_test(an_OSCORE_request_is_a_POST_with_one_option),
        cmocka_unit_test(edhoc_names_its_path_and_format),
        cmocka_unit_test(a_request_without_room_fails_the_writer),
        cmocka_unit_test(addresses_are_numeric_with_a_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
