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
    check_ok(parse("[{\"bn\":\"sensor/\",\"bt\":1422886740,\"bu\":\"Cel\",\"n\":\"temperature\",\"v\":23.7},"
                   "{\"n\":\"light\",\"u\":\"lx\",\"t\":60,\"v\":585.5},{\"n\":\"open\",\"vb\":true},"
                   "{\"n\":\"label\",\"vs\":\"a\\\"\\n\"},{\"n\":\"raw\",\"vd\":\"AQI\"},{\"n\":\"energy\",\"s\":5}]",
                   ENGINE_SENML_JSON));
    assert_int_equal(6, batch.count);
    assert_string_equal("temperature", batch.events[0].type);
    assert_string_equal("sensor", batch.events[0].source);
    assert_string_equal("{\"value\":23.7,\"unit\":\"Cel\"}", batch.events[0].properties);
    assert_true(batch.events[1].time_ms == NOW + 60000);
    assert_string_equal("{\"value\":true,\"unit\":\"Cel\"}", batch.events[2].properties);
    assert_string_equal("{\"value\":\"a\\\"\\n\",\"unit\":\"Cel\"}", batch.events[3].properties);
    assert_string_equal("{\"value\":\"AQI\",\"unit\":\"Cel\"}", batch.events[4].properties);
    assert_string_equal("{\"sum\":5,\"unit\":\"Cel\"}", batch.events[5].properties);
    engine_batch_done(&batch);
}

static void senml_bases_add_up_and_times_below_2_to_the_28_are_relative(void **state)
{
    (void)state;
    check_ok(parse("[{\"bn\":\"urn:dev:mac:0024befffe804ff1:\",\"bv\":20,\"bs\":100,\"bver\":10},"
                   "{\"n\":\"voltage\",\"v\":0.5,\"s\":1,\"t\":-5},{\"n\":\"x\",\"v\":1,\"t\":268435455},"
                   "{\"n\":\"x\",\"v\":1e3,\"t\":268435456}]",
                   ENGINE_SENML_JSON));
    assert_int_equal(3, batch.count);
    assert_string_equal("urn/dev/mac/0024befffe804ff1/voltage", batch.events[0].type);
    assert_string_equal("{\"value\":20.5,\"sum\":101}", batch.events[0].properties);
    assert_true(batch.events[0].time_ms == NOW - 5000);
    assert_true(batch.events[1].time_ms == NOW + INT64_C(268435455000));
    assert_true(batch.events[2].time_ms == INT64_C(268435456000));
    assert_string_equal("{\"value\":1020}", batch.events[2].properties);
    engine_batch_done(&batch);
}

static void senml_that_is_wrong_is_refused_as_a_whole(void **state)
{
    (void)state;
    static const struct {
        const char *text, *field;
    } cases[] = {
        {"{}", "body"},
        {"[]", "events"},
        {"[7]", "events[0].record"},
        {"[{\"n\":\"x\",\"v\":1},{\"n\":\"x\"}]", "events[1].v"},
        {"[{\"n\":\"x\",\"v\":1,\"vb\":true}]", "events[0].v"},
        {"[{\"n\":\"x\",\"v\":1,\"must_\":true}]", "events[0].label"},
        {"[{\"bn\":\"x\"}]", "events"},
        {"[{\"n\":\"a b\",\"v\":1}]", "events[0].n"},
        {"[{\"v\":1}]", "events[0].n"},
        {"[{\"bn\":\"sensor\",\"n\":\"/\",\"v\":1}]", "events[0].n"},
        {"[{\"n\":\"x\",\"v\":\"1\"}]", "events[0].record"},
        {"[{\"n\":\"x\",\"vb\":1}]", "events[0].record"},
        {"[{\"bn\":1,\"n\":\"x\",\"v\":1}]", "events[0].bn"},
        {"[{\"bu\":1,\"n\":\"x\",\"v\":1}]", "events[0].bu"},
        {"[{\"bt\":\"\",\"n\":\"x\",\"v\":1}]", "events[0].bt"},
        {"[{\"bv\":\"\",\"n\":\"x\",\"v\":1}]", "events[0].bv"},
        {"[{\"bs\":\"\",\"n\":\"x\",\"v\":1}]", "events[0].bs"},
        {"[{\"bver\":11,\"n\":\"x\",\"v\":1}]", "events[0].bver"},
        {"[{\"bv\":1e308,\"n\":\"x\",\"v\":1e308}]", "events[0].v"},
        {"[{\"n\":\"x\",\"v\":1,\"t\":1e12}]", "events[0].t"},
        {"[{\"n\":\"x\",\"v\":1,\"t\":-1e12}]", "events[0].t"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_status(DENIED, parse(cases[i].text, ENGINE_SENML_JSON));
        assert_string_equal(cases[i].field, refusal.field);
        assert_int_equal(0, batch.count);
    }
}

/* RFC 8428 §6: [{-2: "sensor/", 0: "t", 2: 23.5}] */
static void senml_in_cbor_has_numbers_for_labels(void **state)
{
    (void)state;
    static const uint8_t body[] = {0x81, 0xa3, 0x21, 0x67, 's', 'e',  'n',  's',  'o',
                                   'r',  '/',  0x00, 0x61, 't', 0x02, 0xf9, 0x4d, 0xe0};
    check_ok(engine_parse_events(BYTES_OF(body), ENGINE_SENML_CBOR, "sensor", NOW, &batch, &refusal));
    assert_string_equal("t", batch.events[0].type);
    assert_string_equal("{\"value\":23.5}", batch.events[0].properties);
    engine_batch_done(&batch);
}

static void properties_stay_as_the_client_wrote_them(void **state)
{
    (void)state;
    check_ok(parse(" [ {\"properties\" : { \"a\\\\\" : [ 23.7 , 1e2, {} ] ,\n \"b }\":\" ] \" } , \"type\":\"x\"},\n"
                   "{\"type\":\"properties\"}, {\"type\":\"x\",\"pr\\u006fperties\":{\"c\":1}}, "
                   "{\"type\":\"x\",\"id\":\"{\\\"properties\\\":{}\",\"properties\":{\"properties\":{\"d\":1}}} ] ",
                   ENGINE_JSON));
    assert_int_equal(4, batch.count);
    assert_string_equal("{\"a\\\\\":[23.7,1e2,{}],\"b }\":\" ] \"}", batch.events[0].properties);
    assert_string_equal("{}", batch.events[1].properties);
    assert_string_equal("{\"c\":1}", batch.events[2].properties);
    assert_string_equal("{\"properties\":{\"d\":1}}", batch.events[3].properties);
    engine_batch_done(&batch);
}

static void every_shorter_prefix_and_one_more_byte_is_malformed(void **state)
{
    (void)state;
    static const char good[] = "[{\"type\":\"a\",\"id\":\"x\",\"properties\":{\"n\":[1,2]}}]x";
    for (size_t len = 0; len < sizeof good; len++) {
        enum status status = engine_parse_events(bytes_from(good, len), ENGINE_JSON, "sensor", NOW, &batch, &refusal);
        assert_int_equal(len == sizeof good - 2 ? OK : MALFORMED, status);
        if (status == OK)
            engine_batch_done(&batch);
    }
}

static void the_owner_may_name_any_source_and_must(void **state)
{
    (void)state;
    check_ok(engine_parse_events(bytes_from_text("{\"type\":\"a\",\"source\":\"any/one\"}"), ENGINE_JSON, NULL, NOW,
                                 &batch, &refusal));
    assert_string_equal("any/one", batch.events[0].source);
    engine_batch_done(&batch);
    check_status(DENIED,
                 engine_parse_events(bytes_from_text("{\"type\":\"a\"}"), ENGINE_JSON, NULL, NOW, &batch, &refusal));
    assert_string_equal("events[0].source", refusal.field);
    check_status(DENIED, engine_parse_events(bytes_from_text("[{\"n\":\"a\",\"v\":1}]"), ENGINE_SENML_JSON, NULL, NOW,
                                             &batch, &refusal));
    assert_string_equal("body", refusal.field);
}

static void a_refusal_is_always_text(void **state)
{
    (void)state;
    check_status(MALFORMED,
                 parse("{\"a\":\"\\ud8\xd4\x9b", ENGINE_JSON)); /* the parser's own words end in half of it */
    assert_null(strchr(refusal.reason, '\xd4'));
    check_status(DENIED, parse("{\"\":1}", ENGINE_JSON));
    assert_string_equal("events[0].\"\"", refusal.field);
    /* 40 bytes of a name are told, and the 40th is the first of an é */
    check_status(DENIED, parse("{\"type\":\"a\",\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaé\":1}", ENGINE_JSON));
    assert_string_equal("events[0].aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?", refusal.field);
    check_status(DENIED, parse("{\"type\":\"a\",\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaé\":1}", ENGINE_JSON));
    assert_string_equal("events[0].aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaé", refusal.field);
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
    check_ok(parse("{\"type\":\"a\",\"time\":253402300799999}", ENGINE_JSON));
    engine_batch_done(&batch);
    check_status(DENIED, parse("{\"type\":\"a\",\"time\":253402300800000}", ENGINE_JSON));
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
        cmocka_unit_test(senml_bases_add_up_and_times_below_2_to_the_28_are_relative),
        cmocka_unit_test(senml_that_is_wrong_is_refused_as_a_whole),
        cmocka_unit_test(senml_in_cbor_has_numbers_for_labels),
        cmocka_unit_test(properties_stay_as_the_client_wrote_them),
        cmocka_unit_test(every_shorter_prefix_and_one_more_byte_is_malformed),
        cmocka_unit_test(the_owner_may_name_any_source_and_must),
        cmocka_unit_test(a_refusal_is_always_text),
        cmocka_unit_test(times_round_trip_without_a_time_zone_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
