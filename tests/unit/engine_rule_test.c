/* engine: what a rule does with an event. */
#include "engine_rig.h"

static void an_event_that_meets_a_condition_becomes_an_action(void **state)
{
    (void)state;
    must_put("{'name':'r','when':[{'source':'sensor','type':'reading','condition':"
             "'(event, source, type) => event.properties.n > 3 && source === `sensor` && type === `reading`'}],"
             "'do':[{'target':'valve','type':'set','transform':'(e, target, type, ctx) => "
             "({on: true, at: e.time, target, type, time: ctx.time, now: Date.now()})'}]}");
    assert_string_equal("action r valve set {\"on\":true,\"at\":\"2015-02-02T14:19:00.000Z\",\"target\":\"valve\","
                        "\"type\":\"set\",\"time\":1422886740000,\"now\":1422886740000}\n",
                        evaluate("sensor", "reading", "{\"n\":4}"));
    assert_string_equal("", evaluate("sensor", "reading", "{\"n\":3}"));
    assert_string_equal("", evaluate("sensor", "other", "{\"n\":4}"));
    assert_string_equal("", evaluate("sensors", "reading", "{\"n\":4}"));
    assert_int_equal(2, counts.evaluations);
    assert_int_equal(1, counts.fired);
    assert_int_equal(0, counts.failures);
}

static void conditions_are_ored_in_their_order_and_a_rule_fires_once_an_event(void **state)
{
    (void)state;
    must_put("{'name':'r','when':[{'condition':'(e,s,t,ctx) => { ctx.log(`first`); return e.properties.a; }'},"
             "{'condition':'(e,s,t,ctx) => { ctx.log(`second`); return e.properties.b; }'}],"
             "'do':[{'target':'valve','type':'set','transform':'() => ({})'}]}");
    assert_string_equal("action r valve set {}\nlog r first\n", evaluate("s", "t", "{\"a\":true,\"b\":true}"));
    assert_string_equal("action r valve set {}\nlog r first\nsecond\n", evaluate("s", "t", "{\"a\":false,\"b\":true}"));
    assert_string_equal("log r first\nsecond\n", evaluate("s", "t", "{\"a\":false,\"b\":false}"));
    assert_int_equal(3, counts.evaluations);
    assert_int_equal(2, counts.fired);
}

static void inside_one_condition_source_and_type_and_script_must_all_hold(void **state)
{
    (void)state;
    must_put("{'name':'r','when':[{'source':'a','type':'x','condition':'e => e.properties.n === 1'},"
             "{'source':'b','condition':'e => e.properties.n === 2'},{'type':'y','condition':'e => "
             "e.properties.n === 3'}],'do':[{'target':'valve','type':'set'}]}");
    static const struct {
        const char *source, *type, *properties;
        bool fires;
    } cases[] = {
        {"a", "x", "{\"n\":1}", true},  {"a", "x", "{\"n\":2}", false}, {"a", "y", "{\"n\":1}", false},
        {"b", "x", "{\"n\":1}", false}, {"b", "x", "{\"n\":2}", true},  {"b", "y", "{\"n\":2}", true},
        {"b", "y", "{\"n\":3}", true},  {"c", "y", "{\"n\":3}", true},  {"c", "x", "{\"n\":3}", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t before = counts.fired;
        evaluate(cases[i].source, cases[i].type, cases[i].properties);
        assert_int_equal(before + cases[i].fires, counts.fired);
    }
    assert_int_equal(8, counts.evaluations); /* the last one concerns no condition */
    assert_int_equal(0, counts.failures);
}

static void a_star_stands_for_any_end_of_a_name(void **state)
{
    (void)state;
    must_put("{'name':'r','when':[{'source':'floor-1/*','type':'*'}],'do':[{'target':'valve','type':'set'}]}");
    assert_string_equal("action r valve set {}\n", evaluate("floor-1/sensor", "t", "{}"));
    assert_string_equal("action r valve set {}\n", evaluate("floor-1/", "t", "{}"));
    assert_string_equal("", evaluate("floor-1", "t", "{}"));
    assert_string_equal("", evaluate("floor-2/sensor", "t", "{}"));
    must_put("{'name':'r','when':[{'source':'floor','type':'t'}],'do':[{'target':'valve','type':'set'}]}");
    assert_string_equal("", evaluate("floor-1", "t", "{}"));
    assert_string_equal("", evaluate("floo", "t", "{}"));
    assert_string_equal("action r valve set {}\n", evaluate("floor", "t", "{}"));
}

static void all_transformations_run_and_one_left_out_passes_the_properties_on(void **state)
{
    (void)state;
    must_put(
        "{'name':'r','when':[{}],'do':[{'target':'a','type':'x','transform':'e => ({first: e.properties.n})'},"
        "{'target':'b','type':'y'},{'target':'a','type':'x','transform':'(e, target, type) => ({target, type})'}]}");
    assert_string_equal("action r a x {\"first\":2}\naction r b y {\"n\":2}\n"
                        "action r a x {\"target\":\"a\",\"type\":\"x\"}\n",
                        evaluate("s", "t", "{\"n\":2}"));
}

static void state_is_the_rules_own_and_told_only_when_it_changed(void **state)
{
    (void)state;
    static const char rule[] =
        "{'name':'%c','when':[{'condition':'(e,s,t,ctx) => { ctx.state.n = (ctx.state.n ?? 0) + e.properties.n; "
        "return ctx.state.n > 3; }'}],'do':[{'target':'v','type':'set','transform':"
        "'(e,g,t,ctx) => { ctx.state.fired = true; return {n: ctx.state.n}; }'}]}";
    char text[512];
    for (int name = 'a'; name <= 'b'; name++) {
        snprintf(text, sizeof text, rule, name);
        must_put(text);
    }
    assert_string_equal("state a {\"n\":2}\nstate b {\"n\":2}\n", evaluate("s", "t", "{\"n\":2}"));
    assert_string_equal("", evaluate("s", "t", "{\"n\":0}"));
    check_ok(engine_remove_rule(engine, "b"));
    assert_string_equal("state a {\"n\":4,\"fired\":true}\naction a v set {\"n\":4}\n",
                        evaluate("s", "t", "{\"n\":2}"));
    assert_string_equal("action a v set {\"n\":4}\n", evaluate("s", "t", "{\"n\":0}"));
    assert_string_equal("{\"n\":4,\"fired\":true}", listed("a", "state", NOW));

    snprintf(text, sizeof text, rule, 'a'); /* a new text begins anew */
    must_put(text);
    assert_string_equal("{}", listed("a", "state", NOW));
    assert_string_equal("state a {\"n\":1}\n", evaluate("s", "t", "{\"n\":1}"));
    /* and one from before goes on where it was */
    check_ok(engine_put_rule(engine, quoted(text), bytes_from_text("{\"n\":3}"), &refusal));
    assert_string_equal("state a {\"n\":4,\"fired\":true}\naction a v set {\"n\":4}\n",
                        evaluate("s", "t", "{\"n\":1}"));
}

static void state_may_be_replaced_as_a_whole(void **state)
{
    (void)state;
    check_ok(put_scripts("r", "(e,s,t,ctx) => { ctx.state = {seen: e.properties.n}; return false; }", NULL));
    assert_string_equal("state r {\"seen\":1}\n", evaluate("s", "t", "{\"n\":1}"));
    assert_string_equal("", evaluate("s", "t", "{\"n\":1}"));
    assert_string_equal("state r {\"seen\":null}\n", evaluate("s", "t", "{\"n\":null}"));
    check_ok(put_scripts("r", "(e,s,t,ctx) => { ctx.state = [1]; return false; }", NULL));
    assert_string_equal("", evaluate("s", "t", "{}"));
    assert_string_equal("\"ctx.state: TypeError: must be an object, not an array\"", listed("r", "error", NOW));
}

static void last_gives_what_reads_names_and_nothing_else(void **state)
{
    (void)state;
    must_put("{'name':'r','when':[{'condition':'(e,s,t,ctx) => ctx.last(e.properties.s, e.properties.t)?.n === 1'}],"
             "'reads':[{'source':'phone','type':'presence'},{'source':'lamp/*','type':'state'}],"
             "'do':[{'target':'v','type':'set'}]}");
    last_answer = "{\"n\":1}";
    assert_string_equal("last phone presence\naction r v set {\"s\":\"phone\",\"t\":\"presence\"}\n",
                        evaluate("s", "t", "{\"s\":\"phone\",\"t\":\"presence\"}"));
    evaluate("s", "t", "{\"s\":\"lamp/7\",\"t\":\"state\"}");
    assert_int_equal(2, counts.fired);
    last_answer = NULL;
    assert_string_equal("last phone presence\n", evaluate("s", "t", "{\"s\":\"phone\",\"t\":\"presence\"}"));
    assert_int_equal(0, counts.failures);
    static const char *const denied[] = {
        "{\"s\":\"phone\",\"t\":\"planner\"}",      "{\"s\":\"phones\",\"t\":\"presence\"}", "{\"s\":7}",
        "{\"s\":\"phone\\\"\",\"t\":\"presence\"}", "{\"s\":\"\",\"t\":\"presence\"}",
    };
    for (size_t i = 0; i < sizeof denied / sizeof denied[0]; i++) {
        assert_string_equal("", evaluate("s", "t", denied[i]));
        assert_int_equal(i + 1, counts.failures);
    }
    assert_string_equal("\"when[0].condition: line 1: Error: reads of this rule does not name  presence\"",
                        listed("r", "error", NOW));
}

static void scripts_may_await(void **state)
{
    (void)state;
    must_put(
        "{'name':'r','when':[{'condition':'async e => (await e.properties.a) === 1'},{'condition':'async (e,s,t,ctx)"
        " => (await service.call(`last`, [`p`,`q`])) === null'}],'reads':[{'source':'p','type':'q'}],"
        "'do':[{'target':'v','type':'set','transform':'async (e,g,t,ctx) => { await null; ctx.state.n = 1; "
        "return {n: 1}; }'},{'target':'w','type':'set','transform':'() => ({n: 2})'}]}");
    assert_string_equal("state r {\"n\":1}\naction r v set {\"n\":1}\naction r w set {\"n\":2}\n",
                        evaluate("s", "t", "{\"a\":1}"));
    assert_string_equal("last p q\naction r v set {\"n\":1}\naction r w set {\"n\":2}\n",
                        evaluate("s", "t", "{\"a\":2}"));
    last_answer = "1";
    assert_string_equal("last p q\n", evaluate("s", "t", "{\"a\":2}"));
    assert_int_equal(0, counts.failures);
    check_ok(put_scripts("r", "() => true", "async () => { await null; throw new Error('late'); }"));
    assert_string_equal("", evaluate("s", "t", "{}"));
    assert_string_equal("\"do[0].transform: line 1: Error: late\"", listed("r", "error", NOW));
}

static void rules_go_by_name_and_can_be_replaced_removed_and_cleared(void **state)
{
    (void)state;
    static const char *const names[] = {"m", "z", "a", "k"};
    for (size_t i = 0; i < 4; i++)
        check_ok(put_scripts(names[i], NULL, "() => ({v: 1})"));
    check_ok(put_scripts("k", NULL, "() => ({v: 2})"));
    assert_int_equal(4, engine_rule_count(engine));
    assert_string_equal("action a valve set {\"v\":1}\naction k valve set {\"v\":2}\naction m valve set {\"v\":1}\n"
                        "action z valve set {\"v\":1}\n",
                        evaluate("s", "t", "{}"));
    check_ok(engine_remove_rule(engine, "m"));
    check_status(NOT_FOUND, engine_remove_rule(engine, "m"));
    assert_int_equal(3, engine_rule_count(engine));
    assert_string_equal("action a valve set {\"v\":1}\naction k valve set {\"v\":2}\naction z valve set {\"v\":1}\n",
                        evaluate("s", "t", "{}"));
    engine_clear(engine);
    assert_int_equal(0, engine_rule_count(engine));
    assert_string_equal("", evaluate("s", "t", "{}"));
    check_ok(put_scripts("a", NULL, NULL));
    assert_string_equal("action a valve set {}\n", evaluate("s", "t", "{}"));
}

static void functions_come_back_when_their_context_was_recycled(void **state)
{
    (void)state;
    struct script_context *context;
    check_ok(put_scripts("a", "(e,s,t,ctx) => { ctx.state.n = (ctx.state.n ?? 0) + 1; return true; }", NULL));
    check_ok(put_scripts("b", "() => true", NULL));
    evaluate("s", "t", "{}");
    for (uint64_t domain = 100; domain < 104; domain++) /* more than the pool has */
        check_ok(script_context(scripts, domain, &context));
    assert_string_equal("state a {\"n\":2}\naction a valve set {}\naction b valve set {}\n", evaluate("s", "t", "{}"));
    assert_int_equal(0, counts.failures);
}

static void the_same_event_gives_the_same_random_numbers_and_the_date_is_its_own(void **state)
{
    (void)state;
    char first[256];
    check_ok(put_scripts("r", NULL, "() => ({r: Math.random(), d: new Date().toISOString()})"));
    snprintf(first, sizeof first, "%s", evaluate("s", "t", "{}"));
    assert_string_equal(first, evaluate("s", "t", "{}"));
    assert_non_null(strstr(first, "\"d\":\"2015-02-02T14:19:00.000Z\""));
    assert_string_not_equal(first, evaluate_at("s", "t", "{}", NOW + 1));
}

static void scripts_see_the_event_as_the_hub_keeps_it(void **state)
{
    (void)state;
    struct engine_event event = {.source = "s", .type = "t", .time_ms = NOW, .properties = "{}", .id = "\"\n\x01\\"};
    check_ok(put_scripts("r", NULL, "e => e"));
    told_len = 0;
    engine_evaluate(engine, &event, NOW, &port, &counts);
    assert_string_equal("action r valve set {\"id\":\"\\\"\\n\\u0001\\\\\",\"source\":\"s\",\"type\":\"t\","
                        "\"time\":\"2015-02-02T14:19:00.000Z\",\"properties\":{}}\n",
                        told);
    event.text = bytes_from_text("{\"source\":\"s\",\"type\":\"t\",\"received\":\"now\"}");
    told_len = 0;
    engine_evaluate(engine, &event, NOW, &port, &counts);
    assert_string_equal("action r valve set {\"source\":\"s\",\"type\":\"t\",\"received\":\"now\"}\n", told);
}

static void a_port_without_functions_is_fine(void **state)
{
    (void)state;
    static const struct engine_port none = {0};
    struct engine_event event = {.source = "s", .type = "t", .time_ms = NOW, .properties = "{}"};
    must_put("{'name':'r','when':[{'condition':'(e,s,t,ctx) => { ctx.log(1); ctx.state.n = 1; return ctx.last(`a`,`b`) "
             "=== null }'}],'reads':[{}],'do':[{'target':'v','type':'set'}]}");
    engine_evaluate(engine, &event, NOW, &none, &counts);
    assert_int_equal(1, counts.fired);
}

static const char *trace(const char *rule, const char *source, const char *properties)
{
    static char text[4096];
    struct writer writer = writer_over(text, sizeof text - 1);
    struct engine_event event = {.source = source, .type = "t", .time_ms = NOW, .properties = properties};
    check_ok(engine_try_rule(engine, rule, &event, NOW, &port, &writer));
    text[writer.len] = 0;
    return text;
}

static void a_trial_tells_all_and_changes_nothing(void **state)
{
    (void)state;
    must_put("{'name':'r','when':[{'source':'s','condition':'(e,s,t,ctx) => { ctx.log(`n`, e.properties.n); "
             "ctx.state.n = 1; if (e.properties.n > 2) throw Error(`\\\"much\\\"`); return e.properties.n > 1; }'}],"
             "'do':[{'target':'v','type':'set'}]}");
    told_len = 0;
    told[0] = 0;
    assert_string_equal("{\"matched\":true,\"fired\":true,\"actions\":[{\"target\":\"v\",\"type\":\"set\","
                        "\"properties\":{\"n\":2}}],\"log\":\"n 2\\n\",\"error\":null}",
                        trace("r", "s", "{\"n\":2}"));
    assert_string_equal("{\"matched\":true,\"fired\":false,\"actions\":[],\"log\":\"n 1\\n\",\"error\":null}",
                        trace("r", "s", "{\"n\":1}"));
    assert_string_equal("{\"matched\":false,\"fired\":false,\"actions\":[],\"log\":\"\",\"error\":null}",
                        trace("r", "x", "{\"n\":2}"));
    for (int i = 0; i <= ENGINE_FAILURES_MAX; i++)
        assert_string_equal("{\"matched\":true,\"fired\":false,\"actions\":[],\"log\":\"n 3\\n\","
                            "\"error\":\"when[0].condition: line 1: Error: \\\"much\\\"\"}",
                            trace("r", "s", "{\"n\":3}"));
    assert_string_equal("", told);
    assert_string_equal("{}", listed("r", "state", NOW));
    assert_string_equal("0", listed("r", "evaluations", NOW));
    assert_string_equal("0", listed("r", "failures", NOW));
    assert_string_equal("false", listed("r", "paused", NOW));
    char small[8];
    struct writer writer = writer_over(small, sizeof small);
    struct engine_event event = {.source = "s", .type = "t", .time_ms = NOW, .properties = "{}"};
    check_status(NOT_FOUND, engine_try_rule(engine, "q", &event, NOW, &port, &writer));
    check_status(NO_ROOM, engine_try_rule(engine, "r", &event, NOW, &port, &writer));
}

static void the_list_tells_text_counts_and_the_last_error(void **state)
{
    (void)state;
    must_put("{ 'name' : 'r', 'when':[{'condition':'e => e.properties.n > e.properties.m.n'}],\n"
             " 'do':[{'target':'v','type':'set'}]}");
    evaluate("s", "t", "{\"n\":2,\"m\":{\"n\":1}}");
    evaluate("s", "t", "{\"n\":2}");
    assert_string_equal("2", listed("r", "evaluations", NOW));
    assert_string_equal("1", listed("r", "fired", NOW));
    assert_string_equal("1", listed("r", "failures", NOW));
    assert_string_equal("\"when[0].condition: line 1: TypeError: cannot read property 'n' of undefined\"",
                        listed("r", "error", NOW));
    assert_string_equal("{\"name\":\"r\",\"when\":[{\"condition\":\"e => e.properties.n > e.properties.m.n\"}],"
                        "\"do\":[{\"target\":\"v\",\"type\":\"set\"}]}",
                        listed("r", "rule", NOW));
    char small[64];
    struct writer writer = writer_over(small, sizeof small);
    check_status(NO_ROOM, engine_list_rules(engine, NOW, &writer));
}

int main(int count, char **arguments)
{
    if (count > 1)
        modules_dir = arguments[1];
    const struct CMUnitTest tests[] = {
        rule_test(an_event_that_meets_a_condition_becomes_an_action),
        rule_test(conditions_are_ored_in_their_order_and_a_rule_fires_once_an_event),
        rule_test(inside_one_condition_source_and_type_and_script_must_all_hold),
        rule_test(a_star_stands_for_any_end_of_a_name),
        rule_test(all_transformations_run_and_one_left_out_passes_the_properties_on),
        rule_test(state_is_the_rules_own_and_told_only_when_it_changed),
        rule_test(state_may_be_replaced_as_a_whole),
        rule_test(last_gives_what_reads_names_and_nothing_else),
        rule_test(scripts_may_await),
        rule_test(rules_go_by_name_and_can_be_replaced_removed_and_cleared),
        rule_test(functions_come_back_when_their_context_was_recycled),
        rule_test(the_same_event_gives_the_same_random_numbers_and_the_date_is_its_own),
        rule_test(scripts_see_the_event_as_the_hub_keeps_it),
        rule_test(a_port_without_functions_is_fine),
        rule_test(a_trial_tells_all_and_changes_nothing),
        rule_test(the_list_tells_text_counts_and_the_last_error),
    };
    return cmocka_run_group_tests(tests, start_engine, NULL);
}
