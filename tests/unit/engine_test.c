/* engine: events in every format, times, and refusals that name the field. */
#include "check.h"

#include "engine.h"

#include <stdio.h>
#include <stdlib.h>

#define NOW INT64_C(1422886740000) /* 2015-02-02T14:19:00Z */

static struct engine_batch batch;
static struct engine_refusal refusal;

static enum status parse(const char *text, enum engine_format format)
{
    memset(&refusal, 0, sizeof refusal);
    return engine_parse_events(bytes_from_text(text), format, "sensor", NOW, &batch, &refusal);
}

static void a_plain_event_gets_the_client_as_source_and_now_as_time(void **state)
{
    (void)state;
    check_ok(parse("{\"type\":\"reading\",\"properties\":{\"light\":1.5}}", ENGINE_JSON));
    assert_int_equal(1, batch.count);
    assert_string_equal("sensor", batch.events[0].source);
    assert_string_equal("reading", batch.events[0].type);
    assert_string_equal("{\"light\":1.5}", batch.events[0].properties);
    assert_true(batch.events[0].time_ms == NOW);
    assert_null(batch.events[0].id);
    engine_batch_done(&batch);
}

static void a_refusal_names_the_field_and_takes_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *text, *field;
        enum status status;
    } cases[] = {
        {"", "body", MALFORMED},
        {"{", "body", MALFORMED},
        {"{\"type\":\"a\",\"type\":\"b\"}", "body", MALFORMED},
        {"[]", "events", DENIED},
        {"7", "body", MALFORMED},
        {"[7]", "events[0]", DENIED},
        {"{}", "events[0].type", DENIED},
        {"{\"type\":\"\"}", "events[0].type", DENIED},
        {"{\"type\":\"a b\"}", "events[0].type", DENIED},
        {"{\"type\":\"a\",\"colour\":1}", "events[0].colour", DENIED},
        {"{\"type\":\"a\",\"source\":\"valve\"}", "events[0].source", DENIED},
        {"{\"type\":\"a\",\"source\":\"sensors\"}", "events[0].source", DENIED},
        {"{\"type\":\"a\",\"time\":\"yesterday\"}", "events[0].time", DENIED},
        {"{\"type\":\"a\",\"time\":\"2015-02-30T00:00:00Z\"}", "events[0].time", DENIED},
        {"{\"type\":\"a\",\"time\":-1}", "events[0].time", DENIED},
        {"{\"type\":\"a\",\"properties\":[]}", "events[0].properties", DENIED},
        {"{\"type\":\"a\",\"id\":\"\"}", "events[0].id", DENIED},
        {"[{\"type\":\"a\"},{\"type\":7}]", "events[1].type", DENIED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_status(cases[i].status, parse(cases[i].text, ENGINE_JSON));
        assert_string_equal(cases[i].field, refusal.field);
        assert_true(refusal.reason[0] != 0);
        assert_int_equal(0, batch.count);
    }
}

static void names_ids_depth_and_counts_are_bounded_at_their_limits(void **state)
{
    (void)state;
    char text[8192];
    char name[ENGINE_NAME_MAX + 2];
    for (int extra = 0; extra < 2; extra++) {
        memset(name, 'n', sizeof name);
        name[ENGINE_NAME_MAX + extra] = 0;
        snprintf(text, sizeof text, "{\"type\":\"%s\"}", name);
        check_status(extra ? DENIED : OK, parse(text, ENGINE_JSON));
        engine_batch_done(&batch);
        snprintf(text, sizeof text, "{\"type\":\"a\",\"id\":\"%s\"}", name);
        check_status(extra ? DENIED : OK, parse(text, ENGINE_JSON));
        engine_batch_done(&batch);

        size_t depth = (size_t)(ENGINE_DEPTH_MAX - 2 + extra), used = 0;
        used += (size_t)snprintf(text, sizeof text, "{\"type\":\"a\",\"properties\":{\"x\":");
        for (size_t i = 0; i < depth; i++)
            text[used++] = '[';
        for (size_t i = 0; i < depth; i++)
            text[used++] = ']';
        snprintf(text + used, sizeof text - used, "}}");
        check_status(extra ? DENIED : OK, parse(text, ENGINE_JSON));
        engine_batch_done(&batch);

        used = 0;
        for (int i = 0; i < ENGINE_EVENTS_MAX + extra; i++)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s{\"type\":\"a\"}", i ? "," : "[");
        snprintf(text + used, sizeof text - used, "]");
        check_status(extra ? NO_ROOM : OK, parse(text, ENGINE_JSON));
        engine_batch_done(&batch);
    }
}

static void brackets_inside_strings_do_not_nest(void **state)
{
    (void)state;
    check_ok(engine_check_depth(bytes_from_text("\"[[[[[[[[[[[[[[[[[[[[[\\\"[[[\"")));
    check_status(DENIED, engine_check_depth(bytes_from_text("[[[[[[[[[[[[[[[[[")));
}

static void cbor_is_the_same_event(void **state)
{
    (void)state;
    /* {"type": "reading", "properties": {"on": true, "light": 585.5}} */
    static const uint8_t body[] = {0xa2, 0x64, 't', 'y', 'p', 'e', 0x67, 'r',  'e',  'a',  'd',  'i',  'n', 'g', 0x6a,
                                   'p',  'r',  'o', 'p', 'e', 'r', 't',  'i',  'e',  's',  0xa2, 0x62, 'o', 'n', 0xf5,
                                   0x65, 'l',  'i', 'g', 'h', 't', 0xfb, 0x40, 0x82, 0x4c, 0,    0,    0,   0,   0};
    check_ok(engine_parse_events(BYTES_OF(body), ENGINE_CBOR, "sensor", NOW, &batch, &refusal));
    assert_string_equal("{\"on\":true,\"light\":585.5}", batch.events[0].properties);
    engine_batch_done(&batch);
    for (size_t len = 0; len < sizeof body; len++)
        check_status(MALFORMED,
                     engine_parse_events(bytes_from(body, len), ENGINE_CBOR, "sensor", NOW, &batch, &refusal));
}

/* RFC 8428 §5.1.2: base name and unit, relative times. */
static void a_senml_pack_becomes_one_event_a_record(void **state)
{
    (void)state;
    check_ok(parse("[{\"bn\":\"sensor/\",\"bt\":1422886740,\"bu\":\"Cel\",\"n\":\"temperature\",\"v\":23.5},"
                   "{\"n\":\"light\",\"u\":\"lx\",\"t\":60,\"v\":585.5},{\"n\":\"open\",\"vb\":true}]",
                   ENGINE_SENML_JSON));
    assert_int_equal(3, batch.count);
    assert_string_equal("temperature", batch.events[0].type);
    assert_string_equal("sensor", batch.events[0].source);
    assert_string_equal("{\"value\":23.5,\"unit\":\"Cel\"}", batch.events[0].properties);
    assert_true(batch.events[1].time_ms == NOW + 60000);
    assert_string_equal("{\"value\":true,\"unit\":\"Cel\"}", batch.events[2].properties);
    engine_batch_done(&batch);
    check_status(DENIED, parse("[{\"n\":\"x\"}]", ENGINE_SENML_JSON));
    check_status(DENIED, parse("[{\"n\":\"x\",\"v\":1,\"vb\":true}]", ENGINE_SENML_JSON));
    check_status(DENIED, parse("[{\"n\":\"x\",\"v\":1,\"must_\":true}]", ENGINE_SENML_JSON));
    check_status(DENIED, parse("[{\"bn\":\"x\"}]", ENGINE_SENML_JSON));
}

static void times_round_trip_without_a_time_zone_file(void **state)
{
    (void)state;
    static const char *const texts[] = {"1970-01-01T00:00:00.000Z", "2000-02-29T23:59:59.999Z",
                                        "2015-02-02T14:19:00.000Z", "2026-11-24T15:00:00.120Z",
                                        "9999-12-31T23:59:59.999Z"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int64_t time_ms = -1;
        char text[ENGINE_TIME_LEN + 1];
        assert_true(engine_parse_time(texts[i], &time_ms));
        engine_format_time(time_ms, text);
        assert_string_equal(texts[i], text);
    }
    int64_t time_ms;
    assert_true(engine_parse_time("2015-02-02T14:19:00Z", &time_ms) && time_ms == NOW);
    assert_false(engine_parse_time("2015-02-29T00:00:00Z", &time_ms));
    assert_false(engine_parse_time("2015-02-02T24:00:00Z", &time_ms));
    assert_false(engine_parse_time("2015-02-02T14:19:00", &time_ms));
    assert_false(engine_parse_time("2015-02-02T14:19:00.Z", &time_ms));
    assert_false(engine_parse_time("1969-12-31T23:59:59Z", &time_ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_event_gets_the_client_as_source_and_now_as_time),
        cmocka_unit_test(a_refusal_names_the_field_and_takes_nothing),
        cmocka_unit_test(names_ids_depth_and_counts_are_bounded_at_their_limits),
        cmocka_unit_test(brackets_inside_strings_do_not_nest),
        cmocka_unit_test(cbor_is_the_same_event),
        cmocka_unit_test(a_senml_pack_becomes_one_event_a_record),
        cmocka_unit_test(times_round_trip_without_a_time_zone_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
