/* engine: the text of a rule, checked field by field before any script runs. */
#include "check.h"

#include "engine.h"

#include <stdio.h>

static struct engine_refusal refusal;
static char name[ENGINE_NAME_MAX + 1];
static char room[1u << 17];

/* Single quotes stand for double ones. */
static enum status check(const char *rule)
{
    size_t len = strlen(rule);
    assert_true(len < sizeof room);
    for (size_t i = 0; i < len; i++)
        room[i] = rule[i] == '\'' ? '"' : rule[i];
    memset(&refusal, 0, sizeof refusal);
    memset(name, 0, sizeof name);
    return engine_rule_name(bytes_from(room, len), name, &refusal);
}

static const char whole[] =
    "{'name':'vacancy','when':[{'source':'sensor','type':'reading','condition':'() => true'},{}],"
    "'reads':[{'source':'phone','type':'*'}],'do':[{'target':'valve','type':'set','transform':'() => ({})'}],"
    "'sample':{'source':'sensor','type':'reading'}}";

static void a_good_rule_tells_its_name(void **state)
{
    (void)state;
    check_ok(check(whole));
    assert_string_equal("vacancy", name);
    check_ok(check("{'name':'r','when':[{}],'do':[{'target':'v','type':'t'}]}"));
    assert_string_equal("r", name);
    check_ok(check("{'name':'r','when':[{}],'do':[{'target':'v','type':'t'}],'reads':[],'sample':"
                   "[{'source':'a','type':'b'},{'source':'c','type':'d'}]}"));
}

static void every_shorter_prefix_and_one_more_byte_is_malformed(void **state)
{
    (void)state;
    char text[sizeof whole + 1];
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        memcpy(text, whole, len);
        text[len] = 0;
        check_status(MALFORMED, check(text));
        assert_string_equal("body", refusal.field);
    }
    snprintf(text, sizeof text, "%s}", whole);
    check_status(MALFORMED, check(text));
}

static void a_wrong_field_is_refused_by_its_name(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *field;
    } cases[] = {
        {"[]", "body"},
        {"{}", "name"},
        {"{'name':7}", "name"},
        {"{'name':'a b'}", "name"},
        {"{'name':''}", "name"},
        {"{'name':'r','then':[]}", "then"},
        {"{'name':'r'}", "when"},
        {"{'name':'r','when':{}}", "when"},
        {"{'name':'r','when':[]}", "when"},
        {"{'name':'r','when':[7]}", "when[0]"},
        {"{'name':'r','when':[{},{'script':''}]}", "when[1].script"},
        {"{'name':'r','when':[{'source':''}]}", "when[0].source"},
        {"{'name':'r','when':[{'source':'a*b'}]}", "when[0].source"},
        {"{'name':'r','when':[{'source':'**'}]}", "when[0].source"},
        {"{'name':'r','when':[{'source':null}]}", "when[0].source"},
        {"{'name':'r','when':[{'type':7}]}", "when[0].type"},
        {"{'name':'r','when':[{'condition':''}]}", "when[0].condition"},
        {"{'name':'r','when':[{'condition':true}]}", "when[0].condition"},
        {"{'name':'r','when':[{}]}", "do"},
        {"{'name':'r','when':[{}],'do':{}}", "do"},
        {"{'name':'r','when':[{}],'do':[]}", "do"},
        {"{'name':'r','when':[{}],'do':[{}]}", "do[0].target"},
        {"{'name':'r','when':[{}],'do':[[]]}", "do[0]"},
        {"{'name':'r','when':[{}],'do':[{'target':'v*','type':'t'}]}", "do[0].target"},
        {"{'name':'r','when':[{}],'do':[{'target':'v'}]}", "do[0].type"},
        {"{'name':'r','when':[{}],'do':[{'target':'v','type':'t','condition':''}]}", "do[0].condition"},
        {"{'name':'r','when':[{}],'do':[{'target':'v','type':'t','transform':7}]}", "do[0].transform"},
        {"{'name':'r','when':[{}],'reads':7,'do':[{'target':'v','type':'t'}]}", "reads"},
        {"{'name':'r','when':[{}],'reads':[{'name':''}],'do':[{'target':'v','type':'t'}]}", "reads[0].name"},
        {"{'name':'r','when':[{}],'reads':[{'type':''}],'do':[{'target':'v','type':'t'}]}", "reads[0].type"},
        {"{'name':'r','when':[{}],'do':[{'target':'v','type':'t'}],'sample':7}", "sample"},
        {"{'name':'r','when':[{}],'do':[{'target':'v','type':'t'}],'sample':[]}", "sample"},
        {"{'name':'r','when':[{}],'do':[{'target':'v','type':'t'}],'sample':[7]}", "sample[0]"},
        {"{'name':'r','when':[{}],'do':[{'target':'v','type':'t'}],'sample':{'type':'t'}}", "sample[0].source"},
        {"{'name':'r','when':[{'type':'x'}],'do':[{'target':'v','type':'t'}],'sample':{'source':'s','type':'t'}}",
         "sample[0]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_status(DENIED, check(cases[i].rule));
        assert_string_equal(cases[i].field, refusal.field);
        assert_true(refusal.reason[0] != 0);
        assert_int_equal(0, name[0]);
    }
    check_status(MALFORMED, check("{'name':'r','name':'r'}"));
}

/* `before`, then count times `each` with commas between, then `after`. */
static enum status check_list(const char *before, const char *each, size_t count, const char *after)
{
    static char text[1u << 16];
    size_t len = (size_t)snprintf(text, sizeof text, "%s", before);
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", i ? "," : "", each);
    snprintf(text + len, sizeof text - len, "%s", after);
    return check(text);
}

static void lists_are_taken_at_their_limit_and_not_one_past(void **state)
{
    (void)state;
    for (size_t extra = 0; extra < 2; extra++) {
        enum status expected = extra ? NO_ROOM : OK;
        check_status(expected, check_list("{'name':'r','when':[", "{}", ENGINE_CONDITIONS_MAX + extra,
                                          "],'do':[{'target':'v','type':'t'}]}"));
        assert_string_equal(extra ? "when" : "", refusal.field);
        check_status(expected, check_list("{'name':'r','when':[{}],'do':[", "{'target':'v','type':'t'}",
                                          ENGINE_CONDITIONS_MAX + extra, "]}"));
        assert_string_equal(extra ? "do" : "", refusal.field);
        check_status(expected, check_list("{'name':'r','when':[{}],'do':[{'target':'v','type':'t'}],'reads':[", "{}",
                                          ENGINE_READS_MAX + extra, "]}"));
        assert_string_equal(extra ? "reads" : "", refusal.field);
        check_status(expected, check_list("{'name':'r','when':[{}],'do':[{'target':'v','type':'t'}],'sample':[",
                                          "{'source':'s','type':'t'}", ENGINE_SAMPLES_MAX + extra, "]}"));
        assert_string_equal(extra ? "sample" : "", refusal.field);
    }
}

static void names_patterns_and_depth_are_bounded(void **state)
{
    (void)state;
    char text[1024], longest[ENGINE_NAME_MAX + 2];
    static const char *const shapes[] = {
        "{'name':'%s','when':[{}],'do':[{'target':'v','type':'t'}]}",
        "{'name':'r','when':[{'source':'%s'}],'do':[{'target':'v','type':'t'}]}",
        "{'name':'r','when':[{'type':'%s'}],'do':[{'target':'v','type':'t'}]}",
        "{'name':'r','when':[{}],'do':[{'target':'%s','type':'t'}]}",
        "{'name':'r','when':[{}],'do':[{'target':'v','type':'%s'}]}",
        "{'name':'r','when':[{}],'reads':[{'source':'%s'}],'do':[{'target':'v','type':'t'}]}",
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (size_t extra = 0; extra < 2; extra++) {
            const char *gap = strstr(shapes[i], "%s");
            memset(longest, 'n', sizeof longest);
            longest[ENGINE_NAME_MAX + extra] = 0;
            snprintf(text, sizeof text, "%.*s%s%s", (int)(gap - shapes[i]), shapes[i], longest, gap + 2);
            check_status(extra ? DENIED : OK, check(text));
        }
    for (int extra = 0; extra < 2; extra++) {
        size_t len = (size_t)snprintf(text, sizeof text,
                                      "{'name':'r','when':[{}],'do':[{'target':'v','type':'t'}],"
                                      "'sample':{'source':'s','type':'t','properties':{'n':");
        int depth = ENGINE_DEPTH_MAX - 3 + extra;
        for (int i = 0; i < 2 * depth; i++)
            text[len++] = i < depth ? '[' : ']';
        snprintf(text + len, sizeof text - len, "}}}");
        check_status(extra ? DENIED : OK, check(text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_rule_tells_its_name),
        cmocka_unit_test(every_shorter_prefix_and_one_more_byte_is_malformed),
        cmocka_unit_test(a_wrong_field_is_refused_by_its_name),
        cmocka_unit_test(lists_are_taken_at_their_limit_and_not_one_past),
        cmocka_unit_test(names_patterns_and_depth_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
