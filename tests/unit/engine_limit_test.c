/* engine: what is refused when a rule is taken, and what becomes of a rule that misbehaves. */
#include "engine_rig.h"

static void scripts_that_fail_are_refused_with_their_field_named(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *field, *reason;
    } cases[] = {
        {"'when':[{'condition':'e => true'},{'condition':'(e) =>\\n  x = ;'}],'do':[{'target':'v','type':'t'}]",
         "when[1].condition", "line 2, column 7: SyntaxError: unexpected token in expression: ';'"},
        {"'when':[{'condition':'42'}],'do':[{'target':'v','type':'t'}]", "when[0].condition",
         "TypeError: the value of this source is not a function"},
        {"'when':[{'condition':'(() => { for (;;); })()'}],'do':[{'target':'v','type':'t'}]", "when[0].condition",
         "used up its processor budget"},
        {"'when':[{}],'do':[{'target':'v','type':'t'},{'target':'v','type':'t','transform':'})'}]", "do[1].transform",
         NULL},
        {"'when':[{'condition':'e => e.properties.n.m'}],'do':[{'target':'v','type':'t'}]", "when[0].condition",
         "fails on sample[0]: line 1: TypeError: cannot read property 'm' of undefined"},
        {"'when':[{'condition':'e => 1'}],'do':[{'target':'v','type':'t'}]", "when[0].condition",
         "fails on sample[0]: TypeError: must return true or false, not a number"},
        {"'when':[{'condition':'e => { while (true); }'}],'do':[{'target':'v','type':'t'}]", "when[0].condition",
         "fails on sample[0]: used up its processor budget"},
        {"'when':[{'condition':'e => false'}],'do':[{'target':'v','type':'t'},{'target':'v','type':'t','transform':"
         "'() => [1]'}]",
         "do[1].transform", "fails on sample[0]: TypeError: must return an object, not an array"},
        {"'when':[{'condition':'(e,s,t,c) => { c.state = 7; return false; }'}],'do':[{'target':'v','type':'t'}]",
         "when[0].condition", "fails on sample[0]: ctx.state: TypeError: must be an object, not a number"},
        {"'when':[{'condition':'(e,s,t,c) => c.last(`a`,`b`)'}],'do':[{'target':'v','type':'t'}]", "when[0].condition",
         "fails on sample[0]: line 1: Error: reads of this rule does not name a b"},
        {"'when':[{'condition':'(e,s,t,c) => c.last(`a`,`b`).n'}],'reads':[{}],'do':[{'target':'v','type':'t'}]",
         "when[0].condition", "fails on sample[0]: line 1: TypeError: cannot read property 'n' of null"},
    };
    check_ok(put_scripts("other", NULL, NULL));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char rule[1024];
        snprintf(rule, sizeof rule, "{'name':'r',%s,'sample':{'source':'s','type':'t'}}", cases[i].rule);
        memset(&refusal, 0, sizeof refusal);
        char text[1024];
        size_t len = 0;
        for (const char *at = rule; *at; at++) /* what a reason quotes stays as it is */
            text[len++] = *at == '\'' ? '"' : *at;
        check_status(DENIED, engine_put_rule(engine, bytes_from(text, len), (struct bytes){0}, &refusal));
        assert_string_equal(cases[i].field, refusal.field);
        if (cases[i].reason)
            assert_string_equal(cases[i].reason, refusal.reason);
        assert_int_equal(1, engine_rule_count(engine));
        assert_string_equal("action other valve set {}\n", evaluate("s", "t", "{}"));
    }
}

static void samples_run_through_all_scripts_with_the_state_handed_on(void **state)
{
    (void)state;
    static const char rule[] =
        "{'name':'r','when':[{'type':'a','condition':'(e,s,t,c) => { c.state.n = e.properties.n; return false; }'},"
        "{'type':'b','condition':'e => e.properties.b.b'}],"
        "'do':[{'target':'v','type':'t','transform':'(e,g,t,c) => ({n: c.state.n.toFixed(1)})'}],"
        "'sample':[{'source':'s','type':'a','properties':{'n':1}},{'source':'s','type':'%s','properties':{%s}}]}";
    char text[1024];
    snprintf(text, sizeof text, rule, "a", "'n':2");
    must_put(text);
    assert_string_equal("{}", listed("r", "state", NOW));
    snprintf(text, sizeof text, rule, "a", "");
    check_status(DENIED, put(text));
    assert_string_equal("do[0].transform", refusal.field);
    assert_string_equal("fails on sample[1]: line 1: TypeError: cannot read property 'toFixed' of undefined",
                        refusal.reason);
    snprintf(text, sizeof text, rule, "b", "");
    check_status(DENIED, put(text));
    assert_string_equal("when[1].condition", refusal.field);
    snprintf(text, sizeof text, rule, "c", "");
    check_status(DENIED, put(text));
    assert_string_equal("sample[1]", refusal.field);
    assert_int_equal(1, engine_rule_count(engine));
}

static void a_rule_from_before_is_taken_without_trial_and_fails_only_where_it_runs(void **state)
{
    (void)state;
    char big[ENGINE_STATE_MAX + 2];
    static const char rule[] = "{'name':'r','when':[{'condition':'e => nothing'}],'do':[{'target':'v','type':'t'}],"
                               "'sample':{'source':'s','type':'t'}}";
    check_status(DENIED, put(rule));
    check_ok(engine_put_rule(engine, quoted(rule), bytes_from_text("{}"), &refusal));
    assert_string_equal("", evaluate("s", "t", "{}"));
    assert_int_equal(1, counts.failures);
    memset(big, ' ', sizeof big);
    memcpy(big, "{}", 2);
    check_ok(engine_put_rule(engine, quoted(rule), bytes_from(big, ENGINE_STATE_MAX), &refusal));
    check_status(NO_ROOM, engine_put_rule(engine, quoted(rule), bytes_from(big, ENGINE_STATE_MAX + 1), &refusal));
    assert_string_equal("state", refusal.field);
}

/* A failure of its rule that has no effect, and is no matter to the rule beside it. What is said of it. */
static const char *fails_alone(const char *condition, const char *transform)
{
    check_ok(put_scripts("hostile", condition, transform));
    counts = (struct engine_counts){0};
    assert_string_equal("action beside valve set {}\n", evaluate("s", "t", "{}"));
    assert_int_equal(1, counts.failures);
    assert_int_equal(2, counts.evaluations);
    assert_string_equal("{}", listed("hostile", "state", NOW));
    return listed("hostile", "error", NOW);
}

static void hostile_scripts_fail_alone_and_without_effect(void **state)
{
    (void)state;
    static const struct {
        const char *condition, *transform, *error;
    } cases[] = {
        {"(e,s,t,c) => { c.state.n = 1; for (;;); }", NULL, "used up its processor budget"},
        {"(e,s,t,c) => { c.state.n = 1; return true; }", "() => { for (;;); }", "used up its processor budget"},
        {"() => /^(a+)+$/.test('a'.repeat(40) + 'b')", NULL, "used up its processor budget"},
        {"(e,s,t,c) => { c.state.n = 1; throw 'no'; }", NULL, "when[0].condition: no"},
        {"(e,s,t,c) => { c.state.n = 1; return true; }", "() => { throw Error('no'); }",
         "do[0].transform: line 1: Error: no"},
        {"() => { const f = () => f(); return f(); }", NULL,
         "when[0].condition: line 1: RangeError: Maximum call stack size exceeded"},
        {"(e,s,t,c) => { c.state.n = 1; const a = []; for (;;) try { a.push(new Uint8Array(10000)); } catch {} }", NULL,
         "used up its processor budget"},
        {"(e,s,t,c) => { c.state.n = 1; return new Uint8Array(1 << 24).length > 0; }", NULL,
         "when[0].condition: line 1: InternalError: out of memory"},
        {"(e,s,t,c) => { c.state.n = 'x'.repeat(5000); return true; }", NULL,
         "ctx.state: is 5008 bytes of JSON, and 4096 are allowed"},
        {"() => true", "() => ({n: 'x'.repeat(20000)})",
         "do[0].transform: is 20008 bytes of JSON, and 16384 are allowed"},
        {"() => true", "() => ({n: 'x'.repeat(200000)})", "gave too long a result"},
        {"() => true", "() => ({n: 1n})", "do[0].transform: TypeError: BigInt are forbidden in JSON.stringify"},
        {"() => true", "() => { const o = {}; o.o = o; return o; }", "do[0].transform: TypeError: circular reference"},
        {"() => true", "() => ({toJSON: () => '{'})",
         "do[0].transform: TypeError: must return an object, not an object"},
        {"() => true", "() => ({toJSON() { for (;;); }})", "used up its processor budget"},
        {"() => true", "() => null", "do[0].transform: TypeError: must return an object, not null"},
        {"() => true", "() => {}", "do[0].transform: TypeError: must return an object, not undefined"},
        {"() => {}", NULL, "when[0].condition: TypeError: must return true or false, not undefined"},
        {"() => 'true'", NULL, "when[0].condition: TypeError: must return true or false, not a string"},
        {"() => new Boolean(true)", NULL, "when[0].condition: TypeError: must return true or false, not an object"},
        {"async () => 1", NULL, "when[0].condition: TypeError: must return true or false, not a number"},
        {"() => new Promise(() => {})", NULL, "awaits what never comes"},
        {"() => ({then() {}})", NULL, "awaits what never comes"},
        {"() => ({get then() { throw Error('no'); }})", NULL, "when[0].condition: line 1: Error: no"},
        {"(e,s,t,c) => { c.last = 1; }", NULL, "when[0].condition: line 1: TypeError: 'last' is read-only"},
        {"() => { JSON.stringify = () => 'x'; }", NULL,
         "when[0].condition: line 1: TypeError: 'stringify' is read-only"},
        {"() => { Object.prototype.on = true; }", NULL,
         "when[0].condition: line 1: TypeError: object is not extensible"},
        {"() => { bastideRule = 1; }", NULL, "when[0].condition: line 1: TypeError: 'bastideRule' is read-only"},
        {"() => service.ask('key', 1)", NULL, "when[0].condition: line 1: Error: service key: not found"},
    };
    check_ok(put_scripts("beside", "(e,s,t,c) => { c.state.n = 1; return true; }", NULL));
    evaluate("s", "t", "{}");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *error = fails_alone(cases[i].condition, cases[i].transform);
        if (!strstr(error, cases[i].error))
            fail_msg("case %zu: %s instead of %s", i, error, cases[i].error);
    }
}

static void a_log_is_bounded_and_a_flood_is_a_failure(void **state)
{
    (void)state;
    char rule[256];
    for (int extra = 0; extra < 2; extra++) {
        snprintf(rule, sizeof rule, "(e,s,t,c) => { c.state.n = %d; c.log('x'.repeat(%d)); return true; }", extra,
                 ENGINE_LOG_MAX - 1 + extra);
        check_ok(put_scripts("r", rule, NULL));
        evaluate("s", "t", "{}");
        assert_int_equal(extra, counts.failures);
        assert_int_equal(1, counts.fired);
    }
    assert_string_equal("\"when[0].condition: line 1: logged more than allowed\"", listed("r", "error", NOW));
    check_ok(put_scripts("r", "(e,s,t,c) => { for (;;) try { c.log('again'); } catch {} }", NULL));
    evaluate("s", "t", "{}");
    assert_int_equal(2, counts.failures);
    assert_true(told_len <= ENGINE_LOG_MAX + sizeof "log r ");
    assert_null(strstr(told, "action"));
}

static void states_and_actions_are_taken_at_their_limit_and_not_one_past(void **state)
{
    (void)state;
    char rule[256];
    for (int extra = 0; extra < 2; extra++) {
        counts = (struct engine_counts){0};
        snprintf(rule, sizeof rule, "(e,s,t,c) => { c.state.n = 'x'.repeat(%d); return false; }",
                 ENGINE_STATE_MAX - 8 + extra);
        check_ok(put_scripts("r", rule, NULL));
        evaluate("s", "t", "{}");
        assert_int_equal(extra, counts.failures);
        snprintf(rule, sizeof rule, "() => ({n: 'x'.repeat(%d)})", ENGINE_ACTION_MAX - 8 + extra);
        check_ok(put_scripts("r", "() => true", rule));
        evaluate("s", "t", "{}");
        assert_int_equal(2 * extra, counts.failures);
        assert_int_equal(1 - extra, counts.fired);
    }
}

/* The largest result there is: a full state and eight full actions. */
static void a_rule_may_give_all_its_actions_at_their_largest(void **state)
{
    (void)state;
    char rule[4096];
    size_t len = (size_t)snprintf(rule, sizeof rule,
                                  "{'name':'r','when':[{'condition':'(e,s,t,c) => { c.state.n = `x`.repeat(%d); return "
                                  "true; }'}],'do':[",
                                  ENGINE_STATE_MAX - 8);
    for (int i = 0; i < ENGINE_CONDITIONS_MAX; i++)
        len += (size_t)snprintf(rule + len, sizeof rule - len,
                                "%s{'target':'v','type':'t','transform':'() => ({n: `y`.repeat(%d)})'}", i ? "," : "",
                                ENGINE_ACTION_MAX - 8);
    snprintf(rule + len, sizeof rule - len, "]}");
    must_put(rule);
    evaluate("s", "t", "{}");
    assert_int_equal(0, counts.failures);
    assert_int_equal(1, counts.fired);
    assert_true(told_len > ENGINE_STATE_MAX + ENGINE_CONDITIONS_MAX * ENGINE_ACTION_MAX);
}

static void a_rule_that_keeps_failing_pauses_and_is_tried_again(void **state)
{
    (void)state;
    check_ok(put_scripts("r", "e => { if (e.properties.bad) throw Error('bad'); return true; }", "() => ({})"));
    for (int i = 1; i < ENGINE_FAILURES_MAX; i++)
        evaluate("s", "t", "{\"bad\":true}");
    assert_string_equal("action r valve set {}\n", evaluate("s", "t", "{}")); /* counts begin anew */
    for (int i = 1; i < ENGINE_FAILURES_MAX; i++)
        evaluate("s", "t", "{\"bad\":true}");
    assert_string_equal("false", listed("r", "paused", NOW));
    evaluate("s", "t", "{\"bad\":true}");
    assert_string_equal("true", listed("r", "paused", NOW));
    assert_int_equal(2 * ENGINE_FAILURES_MAX - 1, counts.failures);
    assert_string_equal("", evaluate("s", "t", "{}"));
    assert_string_equal("", evaluate_at("s", "t", "{}", NOW + ENGINE_PAUSE_MS - 1));
    assert_int_equal(2 * ENGINE_FAILURES_MAX, counts.evaluations);
    /* one more failure is enough to pause again, one success to be well */
    evaluate_at("s", "t", "{\"bad\":true}", NOW + ENGINE_PAUSE_MS);
    assert_string_equal("true", listed("r", "paused", NOW + 2 * ENGINE_PAUSE_MS - 1));
    assert_string_equal("action r valve set {}\n", evaluate_at("s", "t", "{}", NOW + 2 * ENGINE_PAUSE_MS));
    assert_string_equal("false", listed("r", "paused", NOW + 2 * ENGINE_PAUSE_MS));
    evaluate_at("s", "t", "{\"bad\":true}", NOW + 2 * ENGINE_PAUSE_MS);
    assert_string_equal("false", listed("r", "paused", NOW + 2 * ENGINE_PAUSE_MS));
}

static void rules_are_bounded_in_number_and_scripts_in_length(void **state)
{
    (void)state;
    static char script[ENGINE_SCRIPT_MAX + 2];
    char name[16];
    for (int extra = 0; extra < 2; extra++) {
        memset(script, ' ', sizeof script);
        memcpy(script, "() => true", 10);
        script[ENGINE_SCRIPT_MAX + extra] = 0;
        check_status(extra ? DENIED : OK, put_scripts("long", script, NULL));
    }
    assert_string_equal("when[0].condition", refusal.field);
    engine_clear(engine);
    for (int i = 0; i < ENGINE_RULES_MAX; i++) {
        snprintf(name, sizeof name, "r%d", i);
        check_ok(put_scripts(name, "() => true", "() => ({})"));
    }
    check_status(NO_ROOM, put_scripts("more", NULL, NULL));
    assert_string_equal("rules", refusal.field);
    check_ok(put_scripts("r7", NULL, NULL)); /* one that is there may change */
    evaluate("s", "t", "{}");
    assert_int_equal(ENGINE_RULES_MAX, counts.fired);
    check_ok(engine_remove_rule(engine, "r0"));
    check_ok(put_scripts("more", NULL, NULL));
}

static void scripts_of_one_rule_are_bounded_together(void **state)
{
    (void)state;
    static char rule[1u << 17];
    static char script[ENGINE_SCRIPT_MAX + 1];
    memset(script, ' ', ENGINE_SCRIPT_MAX);
    memcpy(script, "() => true", 10);
    for (int count = 7; count <= 8; count++) {
        size_t len = (size_t)snprintf(rule, sizeof rule, "{'name':'r','when':[");
        for (int i = 0; i < count; i++)
            len += (size_t)snprintf(rule + len, sizeof rule - len, "%s{'condition':'%s'}", i ? "," : "", script);
        snprintf(rule + len, sizeof rule - len, "],'do':[{'target':'v','type':'t'}]}");
        check_status(count == 8 ? NO_ROOM : OK, put(rule));
    }
    assert_string_equal("scripts", refusal.field);
    assert_string_equal("its scripts are longer than 65536 bytes together", refusal.reason);
    assert_string_equal("action r v t {}\n", evaluate("s", "t", "{}")); /* the one before is still there */
}

int main(int count, char **arguments)
{
    if (count > 1)
        modules_dir = arguments[1];
    const struct CMUnitTest tests[] = {
        rule_test(scripts_that_fail_are_refused_with_their_field_named),
        rule_test(samples_run_through_all_scripts_with_the_state_handed_on),
        rule_test(a_rule_from_before_is_taken_without_trial_and_fails_only_where_it_runs),
        rule_test(hostile_scripts_fail_alone_and_without_effect),
        rule_test(a_log_is_bounded_and_a_flood_is_a_failure),
        rule_test(states_and_actions_are_taken_at_their_limit_and_not_one_past),
        rule_test(a_rule_may_give_all_its_actions_at_their_largest),
        rule_test(a_rule_that_keeps_failing_pauses_and_is_tried_again),
        rule_test(rules_are_bounded_in_number_and_scripts_in_length),
        rule_test(scripts_of_one_rule_are_bounded_together),
    };
    return cmocka_run_group_tests(tests, start_engine, NULL);
}
