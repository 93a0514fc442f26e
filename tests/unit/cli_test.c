/* cli: options, names, files, JSON text letter by letter, rules put together, services found again, pins, logs. */
#include "check.h"

#include "command.h"
#include "owner.h"
#include "service.h"
#include "walls.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct cli cli;

/* What is said goes to a file, where the tests look. */
static char said[PATH_MAX];

static const char *what_was_said(void)
{
    static char text[8192];
    fflush(stderr);
    int fd = open(said, O_RDONLY);
    ssize_t len = read(fd, text, sizeof text - 1);
    close(fd);
    text[len > 0 ? len : 0] = 0;
    assert_int_equal(truncate(said, 0), 0);
    fseek(stderr, 0, SEEK_SET);
    return text;
}

static void write_below(const char *name, const char *text)
{
    char path[PATH_MAX];
    check_ok(cli_write_file(cli_path(&cli, name, path), bytes_from_text(text)));
}

/* ---- Options ---- */

/* A word of an argv: nothing writes to its letters. */
static char *word(const char *text)
{
    return (char *)(uintptr_t)text;
}

static int parse(int argc, char **argv, const char **value, bool *flag, struct cli_list *list, int *left)
{
    const struct cli_option options[] = {
        {"value", value, NULL, NULL}, {"flag", NULL, flag, NULL}, {"list", NULL, NULL, list}};
    *left = argc;
    return cli_options(&cli, "test", options, 3, left, argv);
}

static void options_stand_anywhere_and_operands_stay(void **state)
{
    (void)state;
    static const char *const words[] = {"test",     "a",      "--value", "1",  "--flag", "b",
                                        "--list=x", "--list", "y",       "--", "--flag"};
    char *argv[12] = {0};
    for (size_t i = 0; i < 11; i++)
        argv[i] = word(words[i]);
    const char *value = NULL, *items[2];
    struct cli_list list = {items, 2, 0};
    bool flag = false;
    int left;
    assert_int_equal(parse(11, argv, &value, &flag, &list, &left), CLI_OK);
    assert_int_equal(left, 4);
    assert_string_equal(argv[1], "a");
    assert_string_equal(argv[2], "b");
    assert_string_equal(argv[3], "--flag");
    assert_null(argv[4]);
    assert_string_equal(value, "1");
    assert_true(flag);
    assert_int_equal(list.count, 2);
    assert_string_equal(items[0], "x");
    assert_string_equal(items[1], "y");
}

static void a_wrong_option_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *words[5];
        const char *named;
    } wrong[] = {
        {{"test", "--vlaue", "1"}, "--vlaue"},     {{"test", "--value"}, "--value needs"},
        {{"test", "--flag=1"}, "--flag takes no"}, {{"test", "--list=1", "--list=2", "--list=3"}, "--list is given"},
        {{"test", "--valu=1"}, "--valu"},          {{"test", "--values=1"}, "--values"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char *argv[6] = {0};
        int argc = 0, left;
        for (; argc < 5 && wrong[i].words[argc]; argc++)
            argv[argc] = word(wrong[i].words[argc]);
        const char *value = NULL, *items[2];
        struct cli_list list = {items, 2, 0};
        bool flag = false;
        (void)what_was_said();
        assert_int_equal(parse(argc, argv, &value, &flag, &list, &left), CLI_USAGE);
        const char *text = what_was_said();
        assert_non_null(strstr(text, wrong[i].named));
        assert_non_null(strstr(text, "bastide test --help"));
    }
}

static void numbers_addresses_and_names_have_limits(void **state)
{
    (void)state;
    uint64_t value = 7;
    assert_int_equal(cli_number(&cli, "test", "n", NULL, 1, 9, &value), CLI_OK);
    assert_int_equal(value, 7);
    assert_int_equal(cli_number(&cli, "test", "n", "9", 1, 9, &value), CLI_OK);
    assert_int_equal(value, 9);
    static const char *const bad_numbers[] = {"", "0", "10", "-1", "+1", " 1", "1x", "0x1", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad_numbers / sizeof bad_numbers[0]; i++)
        assert_int_equal(cli_number(&cli, "test", "n", bad_numbers[i], 1, 9, &value), CLI_USAGE);
    static const char *const good[] = {"127.0.0.1:1", "0.0.0.0:65535", "[::]:5683", "[2001:db8::1]:80"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(cli_check_address(&cli, "test", "a", good[i]), CLI_OK);
    static const char *const bad[] = {
        "",      "127.0.0.1", "127.0.0.1:",  "127.0.0.1:0",   "127.0.0.1:65536", "::1:80",
        "[::1]", "[]:80",     "localhost:1", "127.0.0.1:80x", "[1.2.3.4]:1",     "127.0.0.1:000080"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(cli_check_address(&cli, "test", "a", bad[i]), CLI_USAGE);
    char name[66] = "";
    memset(name, 'n', 65);
    assert_false(cli_name_is_plain(name));
    name[64] = 0;
    assert_true(cli_name_is_plain(name));
    assert_true(cli_name_is_plain("a.b_c-9"));
    static const char *const bad_names[] = {"", ".", "..", ".hidden", "a/b", "a b", "a:b", "ä"};
    for (size_t i = 0; i < sizeof bad_names / sizeof bad_names[0]; i++)
        assert_false(cli_name_is_plain(bad_names[i]));
    (void)what_was_said();
}

static void the_home_is_absolute_and_leaves_room_for_sockets(void **state)
{
    (void)state;
    struct cli other = {0};
    char here[PATH_MAX], expected[PATH_MAX + 16], name[120];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(cli_start(&other, "some/where/"), CLI_OK);
    snprintf(expected, sizeof expected, "%s/some/where", here);
    assert_string_equal(other.home, expected);
    assert_int_equal(setenv("BASTIDE_HOME", "/srv/site", 1), 0);
    assert_int_equal(cli_start(&other, NULL), CLI_OK);
    assert_string_equal(other.home, "/srv/site");
    assert_int_equal(cli_start(&other, "/other"), CLI_OK);
    assert_string_equal(other.home, "/other");
    assert_int_equal(unsetenv("BASTIDE_HOME"), 0);
    memset(name, 'n', sizeof name);
    name[0] = '/';
    name[91] = 0;
    assert_int_equal(cli_start(&other, name), CLI_USAGE);
    name[90] = 0;
    assert_int_equal(cli_start(&other, name), CLI_OK);
    assert_non_null(strstr(what_was_said(), "leave room for 90"));
}

/* ---- Files and operands ---- */

static void a_written_file_is_whole_and_private(void **state)
{
    (void)state;
    char path[PATH_MAX];
    struct stat facts;
    uint8_t *data = NULL;
    size_t len = 0;
    cli_path(&cli, "owner/some", path);
    check_ok(cli_write_file(path, bytes_from_text("content")));
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    assert_int_equal(cli_read_file(path, 6, &data, &len), NO_ROOM);
    check_ok(cli_read_file(path, 7, &data, &len));
    check_bytes(bytes_from_text("content"), bytes_from(data, len));
    assert_int_equal(data[len], 0);
    free(data);
    assert_int_equal(cli_read_file(cli_path(&cli, "owner/none", path), 7, &data, &len), NOT_FOUND);
    assert_int_equal(cli_write_file(cli_path(&cli, "owner/none/none", path), bytes_from_text("x")), IO);
}

static void an_operand_is_itself_or_a_file(void **state)
{
    (void)state;
    char path[PATH_MAX], operand[PATH_MAX + 1], *text = NULL;
    size_t len = 0;
    assert_int_equal(cli_take_text(&cli, "EVENT", "{}", 100, &text, &len), CLI_OK);
    assert_string_equal(text, "{}");
    free(text);
    write_below("owner/event.json", "{\"a\":1}");
    snprintf(operand, sizeof operand, "@%s", cli_path(&cli, "owner/event.json", path));
    assert_int_equal(cli_take_text(&cli, "EVENT", operand, 7, &text, &len), CLI_OK);
    assert_string_equal(text, "{\"a\":1}");
    free(text);
    assert_int_equal(cli_take_text(&cli, "EVENT", operand, 6, &text, &len), CLI_DENIED);
    assert_int_equal(cli_take_text(&cli, "EVENT", "@/nowhere", 6, &text, &len), CLI_NOT_FOUND);
    assert_non_null(strstr(what_was_said(), "EVENT: /nowhere is not there"));
}

/* ---- JSON text ---- */

static void members_and_elements_come_out_as_they_were_written(void **state)
{
    (void)state;
    static const char object[] = " { \"a\" : 23.70 , \"b\":{\"a\":[1,{\"x\":\"}]\"}],\"q\":\"\\\"}\"} ,\"c\":[ 1e2 "
                                 ",\"two, 2\", [3] , {} ],\"d\":null}";
    struct bytes text = bytes_from_text(object);
    check_bytes(bytes_from_text("23.70"), cli_json_member(text, "a"));
    check_bytes(bytes_from_text("{\"a\":[1,{\"x\":\"}]\"}],\"q\":\"\\\"}\"}"), cli_json_member(text, "b"));
    check_bytes(bytes_from_text("null"), cli_json_member(text, "d"));
    assert_int_equal(cli_json_member(text, "x").len, 0);
    assert_int_equal(cli_json_member(bytes_from_text("[1]"), "a").len, 0);
    struct bytes array = cli_json_member(text, "c");
    static const char *const elements[] = {"1e2", "\"two, 2\"", "[3]", "{}"};
    size_t off = 0;
    for (size_t i = 0; i < 4; i++)
        check_bytes(bytes_from_text(elements[i]), cli_json_next(array, &off));
    assert_int_equal(cli_json_next(array, &off).len, 0);
    off = 0;
    assert_int_equal(cli_json_next(bytes_from_text("[ ]"), &off).len, 0);
    off = 0;
    assert_int_equal(cli_json_next(bytes_from_text("{}"), &off).len, 0);
}

/* Text that was never parsed may be cut anywhere: nothing is read behind its end (the sanitizers watch). */
static void text_cut_anywhere_is_read_no_further(void **state)
{
    (void)state;
    static const char whole[] = "{\"a\":[1,\"\\\\\",{\"b\":2}],\"c\":{\"d\":[]}}";
    for (size_t len = 0; len < sizeof whole; len++) {
        uint8_t *cut = malloc(len ? len : 1);
        assert_non_null(cut);
        memcpy(cut, whole, len);
        size_t off = 0;
        struct bytes text = bytes_from(cut, len), value = cli_json_member(text, "c");
        (void)cli_json_member(text, "none");
        assert_true(value.len <= len);
        for (int i = 0; i < 10 && cli_json_next(cli_json_member(text, "a"), &off).len > 0; i++)
            assert_true(off <= len);
        free(cut);
    }
}

static void an_id_is_a_uuid_of_version_7_in_order_of_time(void **state)
{
    (void)state;
    static const uint8_t random[10] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    char first[37], second[37];
    check_ok(cli_make_id(0x0123456789ab, random, first));
    assert_string_equal(first, "01234567-89ab-7fff-bfff-ffffffffffff");
    check_ok(cli_make_id(0x0123456789ac, (const uint8_t[10]){0}, second));
    assert_string_equal(second, "01234567-89ac-7000-8000-000000000000");
    assert_true(strcmp(first, second) < 0);
}

/* ---- Events ---- */

static void an_event_keeps_the_letters_of_its_properties(void **state)
{
    (void)state;
    struct command_event event = {.type = "reading", .source = "s\"x", .time = "1422886740000", .id = "one"};
    char *body = NULL;
    assert_int_equal(command_event_body(&cli, &event, "{\"t\": 23.70}", &body), CLI_OK);
    assert_string_equal(body,
                        "{\"properties\":{\"t\": 23.70},\"type\":\"reading\",\"id\":\"one\",\"source\":\"s\\\"x\","
                        "\"time\":1422886740000}");
    free(body);
    event = (struct command_event){.type = "reading", .time = "2015-02-02T14:19:00Z"};
    assert_int_equal(command_event_body(&cli, &event, "{}", &body), CLI_OK);
    struct bytes text = bytes_from_text(body);
    assert_int_equal(cli_json_member(text, "id").len, 38);
    check_bytes(bytes_from_text("\"2015-02-02T14:19:00Z\""), cli_json_member(text, "time"));
    assert_int_equal(cli_json_member(text, "source").len, 0);
    free(body);
    static const char *const bad[] = {"", "5", "[]", "{", "{} {}", "{\"a\":1,\"a\":2}", "null"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(command_event_body(&cli, &event, bad[i], &body), CLI_DENIED);
    (void)what_was_said();
}

static void events_without_an_id_are_given_one(void **state)
{
    (void)state;
    char *body = NULL;
    size_t off = 0;
    assert_int_equal(command_events_body(&cli, " [ {\"type\":\"a\",\"id\":\"mine\"} , {\"type\":\"b\"}, { } ]", &body),
                     CLI_OK);
    struct bytes text = bytes_from_text(body);
    check_bytes(bytes_from_text("\"mine\""), cli_json_member(cli_json_next(text, &off), "id"));
    struct bytes second = cli_json_next(text, &off), third = cli_json_next(text, &off);
    assert_int_equal(cli_json_member(second, "id").len, 38);
    check_bytes(bytes_from_text("\"b\""), cli_json_member(second, "type"));
    assert_int_equal(cli_json_member(third, "id").len, 38);
    json_t *tree = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
    assert_int_equal(json_array_size(tree), 3);
    json_decref(tree);
    free(body);
    assert_int_equal(command_events_body(&cli, "\n{\"type\":\"a\"}", &body), CLI_OK);
    assert_int_equal(cli_json_member(bytes_from_text(body), "id").len, 38);
    free(body);
    assert_int_equal(command_events_body(&cli, "[1]", &body), CLI_DENIED);
    assert_int_equal(command_events_body(&cli, "1", &body), CLI_DENIED);
    (void)what_was_said();
}

/* ---- Rules ---- */

static void a_rule_is_put_together_from_options(void **state)
{
    (void)state;
    char condition[PATH_MAX], transform[PATH_MAX], sample[PATH_MAX], *text = NULL;
    write_below("owner/c.js", "(event) => true");
    write_below("owner/t.js", "(event) => ({on: false})");
    write_below("owner/s.json", "{\"source\":\"a\",\"type\":\"b\",\"properties\":{\"t\":23.7}}");
    const char *when[] = {"sensor:reading", "*:alarm*"};
    const char *conditions[] = {cli_path(&cli, "owner/c.js", condition)};
    const char *reads[] = {"phone:presence"}, *actions[] = {"valve:heating"};
    const char *transforms[] = {cli_path(&cli, "owner/t.js", transform)};
    struct command_rule rule = {.name = "r",
                                .when = {when, 2, 2},
                                .conditions = {conditions, 1, 1},
                                .reads = {reads, 1, 1},
                                .actions = {actions, 1, 1},
                                .transforms = {transforms, 1, 1},
                                .sample = cli_path(&cli, "owner/s.json", sample)};
    assert_int_equal(command_rule_from_options(&cli, &rule, &text), CLI_OK);
    assert_string_equal(text,
                        "{\"name\":\"r\",\"when\":[{\"source\":\"sensor\",\"type\":\"reading\",\"condition\":"
                        "\"(event) => true\"},{\"type\":\"alarm*\",\"condition\":\"(event) => true\"}],\"reads\":["
                        "{\"source\":\"phone\",\"type\":\"presence\"}],\"do\":[{\"target\":\"valve\",\"type\":"
                        "\"heating\",\"transform\":\"(event) => ({on: false})\"}],\"sample\":{\"source\":\"a\","
                        "\"type\":\"b\",\"properties\":{\"t\":23.7}}}");
    free(text);
}

static void a_rule_that_lacks_something_is_refused(void **state)
{
    (void)state;
    const char *when[] = {"sensor:reading", "b:c", "d:e"}, *actions[] = {"valve:heating"},
               *scripts[] = {"/none", "/none"};
    char *text = NULL;
    struct command_rule rule = {.name = "r", .when = {when, 3, 3}, .actions = {actions, 1, 1}};
    rule.name = NULL;
    assert_int_equal(command_rule_from_options(&cli, &rule, &text), CLI_USAGE);
    rule.name = "r";
    rule.conditions = (struct cli_list){scripts, 2, 2};
    assert_int_equal(command_rule_from_options(&cli, &rule, &text), CLI_USAGE);
    rule.conditions.count = 1;
    assert_int_equal(command_rule_from_options(&cli, &rule, &text), CLI_NOT_FOUND);
    rule.conditions.count = 0;
    when[1] = "no colon";
    assert_int_equal(command_rule_from_options(&cli, &rule, &text), CLI_USAGE);
    when[1] = "b:c";
    actions[0] = "*:heating";
    assert_int_equal(command_rule_from_options(&cli, &rule, &text), CLI_USAGE);
    actions[0] = "valve:";
    assert_int_equal(command_rule_from_options(&cli, &rule, &text), CLI_USAGE);
    (void)what_was_said();
}

static void a_rule_file_names_its_scripts_beside_it(void **state)
{
    (void)state;
    char path[PATH_MAX], *text = NULL;
    write_below("owner/c.js", "() => true");
    write_below("owner/s.json", "[1.5]");
    write_below("owner/rule.json", "{\"name\":\"r\",\"when\":[{\"condition\":\"@c.js\"}],\"do\":[{\"target\":\"a\","
                                   "\"type\":\"b\",\"transform\":\"@c.js\"}],\"sample\":\"@s.json\"}");
    assert_int_equal(command_rule_from_file(&cli, cli_path(&cli, "owner/rule.json", path), &text), CLI_OK);
    assert_string_equal(text, "{\"name\":\"r\",\"when\":[{\"condition\":\"() => true\"}],\"do\":[{\"target\":\"a\","
                              "\"type\":\"b\",\"transform\":\"() => true\"}],\"sample\":[1.5]}");
    free(text);
    write_below("owner/rule.json", "{\"when\":[{\"condition\":\"@none.js\"}]}");
    (void)what_was_said();
    assert_int_equal(command_rule_from_file(&cli, path, &text), CLI_NOT_FOUND);
    assert_non_null(strstr(what_was_said(), "none.js is not there"));
    write_below("owner/rule.json", "{\"when\":\n[,]}");
    assert_int_equal(command_rule_from_file(&cli, path, &text), CLI_DENIED);
    assert_non_null(strstr(what_was_said(), "line 2"));
    assert_int_equal(command_rule_from_file(&cli, "/none.json", &text), CLI_NOT_FOUND);
    (void)what_was_said();
}

/* ---- Services ---- */

static void a_service_is_found_again_until_it_ends(void **state)
{
    (void)state;
    struct service service = {.name = "sleeper", .pidfd = -1}, again = {.name = "sleeper", .pidfd = -1};
    const char *const argv[] = {"/bin/sleep", "100", NULL};
    int code = 0;
    char path[PATH_MAX];
    assert_false(service_adopt(&cli, &again));
    check_ok(service_start(&cli, &service, argv));
    assert_true(service_adopt(&cli, &again));
    assert_int_equal(again.pid, service.pid);
    assert_false(service_ended(&cli, &service, &code));
    close(again.pidfd);
    assert_int_equal(kill(service.pid, SIGKILL), 0);
    for (int i = 0; i < 500 && !service_ended(&cli, &service, &code); i++)
        usleep(10000);
    assert_int_equal(code, 128 + SIGKILL);
    assert_int_equal(access(cli_path(&cli, "run/sleeper.pid", path), F_OK), -1);
    assert_false(service_adopt(&cli, &again));
}

static void a_pid_that_belongs_to_another_now_is_not_adopted(void **state)
{
    (void)state;
    struct service service = {.name = "stranger", .pidfd = -1};
    char text[64];
    snprintf(text, sizeof text, "%d 1\n", (int)getpid());
    static const char *const bad[] = {"", "x", "0 0\n", "1 0\n", "-1 5\n", "99999999 5\n"};
    write_below("run/stranger.pid", text);
    assert_false(service_adopt(&cli, &service));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_below("run/stranger.pid", bad[i]);
        assert_false(service_adopt(&cli, &service));
    }
    check_ok(service_claim(&cli, &service));
    assert_true(service_adopt(&cli, &service));
    close(service.pidfd);
}

static void a_service_stops_by_force_when_it_must(void **state)
{
    (void)state;
    struct service service = {.name = "stubborn", .pidfd = -1};
    const char *const argv[] = {"/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done", NULL};
    check_ok(service_start(&cli, &service, argv));
    for (int i = 0; i < 500 && service_log_len(&cli, "stubborn") == 0; i++)
        usleep(10000);
    uint64_t begun = cli_now_ms();
    service_stop(&cli, &service, 200);
    assert_int_equal(service.pidfd, -1);
    assert_true(cli_now_ms() - begun >= 200);
    assert_false(service_adopt(&cli, &service));
    struct service none = {.name = "none", .pidfd = -1};
    const char *const missing[] = {"/nowhere/program", NULL};
    assert_int_equal(service_start(&cli, &none, missing), NOT_FOUND);
}

static void settings_come_back(void **state)
{
    (void)state;
    struct service_settings made, back;
    assert_int_equal(service_settings_load(&cli, &back), NOT_FOUND);
    service_settings_init(&cli, true, &made);
    assert_string_equal(made.tcti, "");
    snprintf(made.require, sizeof made.require, "secret-memory");
    made.pool_mib = 32;
    made.no_secret_memory = made.no_spare = true;
    check_ok(service_settings_save(&cli, &made));
    check_ok(service_settings_load(&cli, &back));
    assert_string_equal(made.image, back.image);
    assert_string_equal(made.coap, back.coap);
    assert_string_equal(made.http, back.http);
    assert_string_equal(back.require, "secret-memory");
    assert_string_equal(back.tcti, "");
    assert_true(back.pool_mib == 32 && back.insecure_dev && back.no_secret_memory && back.no_spare);
    write_below("run/node.json", "{\"image\":\"x\"}");
    assert_int_equal(service_settings_load(&cli, &back), MALFORMED);
    service_settings_init(&cli, false, &made);
    assert_string_equal(made.tcti, "device:/dev/tpmrm0");
}

static void a_url_reaches_what_listens_on_any_address(void **state)
{
    (void)state;
    char url[128];
    service_url("coap", "0.0.0.0:5683", url, sizeof url);
    assert_string_equal(url, "coap://127.0.0.1:5683");
    service_url("http", "[::]:80", url, sizeof url);
    assert_string_equal(url, "http://[::1]:80");
    service_url("http", "10.0.0.1:80", url, sizeof url);
    assert_string_equal(url, "http://10.0.0.1:80");
    assert_int_equal(service_health("127.0.0.1:1", 1000), SERVICE_UNREACHABLE);
}

static void the_log_tells_the_last_reason_and_the_refusal(void **state)
{
    (void)state;
    char reason[200];
    assert_false(service_log_reason(&cli, "keyholder", 0, reason, sizeof reason));
    write_below("run/keyholder.log",
                "error monitor old reason=\"old\"\n"
                "error monitor image_refused exit=12 reason=\"quickjs.so is not \\\"it\\\"\"\n"
                "warning monitor enclave_died pid=3 reason=\"refused the store: rolled back (exit code 7)\"\n"
                "info monitor fine reason=\"no\"\n");
    assert_true(service_log_reason(&cli, "keyholder", 0, reason, sizeof reason));
    assert_string_equal(reason, "quickjs.so is not \\\"it\\\"");
    assert_int_equal(service_log_refusal(&cli, 0), 7);
    assert_false(service_log_reason(&cli, "keyholder", service_log_len(&cli, "keyholder"), reason, sizeof reason));
    assert_int_equal(service_log_refusal(&cli, service_log_len(&cli, "keyholder")), 0);
    assert_false(service_log_wall(&cli, 0, reason, sizeof reason));
    write_below("run/keyholder.log", "error monitor wall_missing exit=10 wall=lockdown advice=\"boot so\"\n");
    assert_true(service_log_wall(&cli, 0, reason, sizeof reason));
    assert_string_equal(reason, "the wall lockdown is missing: boot so");
    assert_false(service_log_audit(&cli, "bastided", 0, reason, sizeof reason));
    write_below("run/bastided.log", "info daemon audit text=\"one\"\ninfo daemon audit text=\"the store is empty\"\n");
    assert_true(service_log_audit(&cli, "bastided", 0, reason, sizeof reason));
    assert_string_equal(reason, "the store is empty");
    write_below("run/keyholder.log", "warning monitor enclave_died reason=\"killed by SIGKILL\"\n");
    assert_int_equal(service_log_refusal(&cli, 0), 0);
    assert_true(service_log_reason(&cli, "keyholder", 0, reason, sizeof reason));
    assert_string_equal(reason, "killed by SIGKILL");
}

/* ---- Pins and walls ---- */

static void pins_come_back_and_every_broken_one_is_refused(void **state)
{
    (void)state;
    struct owner_pins pins = {.has_ek = true, .first_use = true, .required_walls = 5}, back;
    assert_int_equal(owner_pins_load(&cli, &back), NOT_FOUND);
    memset(pins.ek_name, 0x11, sizeof pins.ek_name);
    memset(pins.measurement, 0x22, sizeof pins.measurement);
    pins.seen = (struct evidence_freshness){.nv_counter = 1ull << 40, .reset_count = UINT32_MAX, .sequence = 9};
    check_ok(owner_pins_save(&cli, &pins));
    check_ok(owner_pins_load(&cli, &back));
    assert_memory_equal(pins.ek_name, back.ek_name, sizeof pins.ek_name);
    assert_memory_equal(pins.measurement, back.measurement, sizeof pins.measurement);
    assert_true(back.has_ek && !back.has_ak && back.first_use && !back.allow_unmeasured_monitor);
    assert_int_equal(back.required_walls, 5);
    assert_true(back.seen.nv_counter == 1ull << 40 && back.seen.reset_count == UINT32_MAX && back.seen.sequence == 9);
    assert_int_equal(back.boot_digest_count, 0);
    for (uint8_t i = 1; i <= OWNER_BOOT_DIGESTS_MAX + 1; i++) {
        const uint8_t digest[EAT_HASH_LEN] = {i};
        owner_pins_add_boot(&pins, digest);
        owner_pins_add_boot(&pins, digest);
        assert_int_equal(pins.boot_digest_count, i < OWNER_BOOT_DIGESTS_MAX ? i : OWNER_BOOT_DIGESTS_MAX);
        assert_int_equal(pins.boot_digests[0][0], i);
    }
    const uint8_t third[EAT_HASH_LEN] = {3};
    owner_pins_add_boot(&pins, third);
    check_ok(owner_pins_save(&cli, &pins));
    check_ok(owner_pins_load(&cli, &back));
    assert_int_equal(back.boot_digest_count, OWNER_BOOT_DIGESTS_MAX);
    static const uint8_t order[OWNER_BOOT_DIGESTS_MAX] = {3, 5, 4, 2};
    for (size_t i = 0; i < OWNER_BOOT_DIGESTS_MAX; i++)
        assert_int_equal(back.boot_digests[i][0], order[i]);
#define HASH "2222222222222222222222222222222222222222222222222222222222222222"
#define FRESH "\"required_walls\":0,\"freshness\":{\"nv_counter\":0,\"reset_count\":0,\"sequence\":0}}"
    static const char *const bad[] = {"",
                                      "{}",
                                      "{\"measurement\":\"22\"," FRESH,
                                      "{\"measurement\":null," FRESH,
                                      "{\"boot_digests\":[\"22\"],\"measurement\":\"" HASH "\"," FRESH,
                                      "{\"boot_digests\":\"" HASH "\",\"measurement\":\"" HASH "\"," FRESH};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_below("owner/pins.json", bad[i]);
        assert_int_equal(owner_pins_load(&cli, &back), MALFORMED);
    }
}

/* ---- The owner's files ---- */

static void a_site_is_made_once_and_opens_again(void **state)
{
    (void)state;
    struct owner owner, back;
    char path[PATH_MAX];
    struct stat facts;
    assert_int_equal(owner_open(&cli, true, &back), CLI_NOT_FOUND);
    assert_int_equal(owner_open(&cli, false, &back), CLI_NOT_FOUND);
    assert_non_null(strstr(what_was_said(), "bastide init makes one"));
    assert_int_equal(owner_make(&cli, true, &(struct owner_place){0}, &owner), CLI_OK);
    assert_int_equal(owner_open(&cli, false, &back), CLI_OK);
    assert_true(back.configuration.insecure_dev);
    assert_memory_equal(owner.configuration.config_id, back.configuration.config_id, IMAGE_HASH_LEN);
    check_bytes(crypto_public_bytes(&owner.key.public_key), crypto_public_bytes(&back.key.public_key));
    check_bytes(crypto_public_bytes(&owner.key.public_key), crypto_public_bytes(&back.configuration.owner));
    owner_done(&back);
    static const char *const files[] = {"owner/owner.key", "owner/owner.crt", "owner/configuration",
                                        "node/configuration"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(stat(cli_path(&cli, files[i], path), &facts), 0);
        assert_int_equal(facts.st_mode & 0777, 0600);
    }
    owner_done(&owner);
}

/* After the test above. */
static void an_owner_whose_files_do_not_belong_together_is_refused(void **state)
{
    (void)state;
    struct owner owner;
    struct crypto_key other = {0};
    uint8_t room[1024];
    char path[PATH_MAX];
    struct writer pem = writer_over(room, sizeof room);
    check_ok(crypto_key_generate(&other, CRYPTO_P256));
    check_ok(crypto_key_put_pem(&pem, &other));
    crypto_key_done(&other);
    check_ok(cli_write_file(cli_path(&cli, "owner/owner.key", path), writer_bytes(&pem)));
    assert_int_equal(owner_open(&cli, false, &owner), CLI_DENIED);
    assert_non_null(strstr(what_was_said(), "is not the key of the certificate"));
    write_below("owner/owner.key", "no key");
    assert_int_equal(owner_open(&cli, false, &owner), CLI_DENIED);
    write_below("owner/configuration", "no configuration");
    assert_int_equal(owner_open(&cli, false, &owner), CLI_DENIED);
    assert_non_null(strstr(what_was_said(), "is not a launch configuration"));
}

static void the_boot_signer_is_lent_and_taken_back(void **state)
{
    (void)state;
    char path[PATH_MAX];
    uint8_t *first = NULL, *second = NULL;
    size_t len = 0;
    assert_int_equal(owner_lend_boot_signer(&cli), CLI_OK);
    check_ok(cli_read_file(cli_path(&cli, "node/monitor/boot_signer", path), 64, &first, &len));
    assert_int_equal(len, 32);
    owner_take_boot_signer_back(&cli);
    owner_take_boot_signer_back(&cli);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(owner_lend_boot_signer(&cli), CLI_OK);
    check_ok(cli_read_file(path, 64, &second, &len));
    assert_memory_equal(first, second, 32);
    free(first);
    free(second);
    owner_take_boot_signer_back(&cli);
}

static void an_image_is_measured_and_every_bent_file_is_named(void **state)
{
    (void)state;
    uint8_t room[IMAGE_MANIFEST_MAX], measurement[IMAGE_HASH_LEN];
    char directory[PATH_MAX];
    struct crypto_key signer = {0};
    struct owner_image image;
    struct image_manifest manifest = {.product = "hub", .security_version = 3, .file_count = 1};
    const struct bytes program = bytes_from_text("program");
    struct writer writer = writer_over(room, sizeof room);
    check_ok(crypto_key_generate(&signer, CRYPTO_P256));
    snprintf(manifest.files[0].name, sizeof manifest.files[0].name, "program");
    manifest.files[0].kind = IMAGE_PROGRAM;
    manifest.files[0].len = program.len;
    check_ok(crypto_hash(CRYPTO_SHA256, &program, 1, manifest.files[0].hash));
    check_ok(image_manifest_sign(&writer, &signer, &manifest));
    crypto_key_done(&signer);
    cli_path(&cli, "owner", directory);
    assert_int_equal(owner_measure(&cli, directory, &image), CLI_IMAGE);
    assert_non_null(strstr(what_was_said(), "owner/manifest is not there"));
    char path[PATH_MAX];
    check_ok(cli_write_file(cli_path(&cli, "owner/manifest", path), writer_bytes(&writer)));
    assert_int_equal(owner_measure(&cli, directory, &image), CLI_IMAGE);
    assert_non_null(strstr(what_was_said(), "owner/program is not there"));
    write_below("owner/program", "program");
    assert_int_equal(owner_measure(&cli, directory, &image), CLI_OK);
    check_ok(image_manifest_open(writer_bytes(&writer), &manifest, measurement));
    assert_memory_equal(image.measurement, measurement, sizeof measurement);
    assert_int_equal(image.manifest.security_version, 3);
    write_below("owner/program", "progran");
    assert_int_equal(owner_measure(&cli, directory, &image), CLI_IMAGE);
    assert_non_null(strstr(what_was_said(), "owner/program is not the file that its manifest names"));
    room[writer.len - 1] ^= 1;
    check_ok(cli_write_file(path, writer_bytes(&writer)));
    assert_int_equal(owner_measure(&cli, directory, &image), CLI_IMAGE);
    assert_non_null(strstr(what_was_said(), "not a signed manifest"));
}

static void walls_have_the_monitors_names(void **state)
{
    (void)state;
    size_t count;
    uint32_t all = 0, parsed = 0;
    char unknown[64];
    const struct evidence_wall *walls = evidence_walls(&count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(walls[i].name, walls_name(walls[i].bit));
        all |= walls[i].bit;
    }
    assert_int_equal(all, WALLS_ALL);
    check_ok(owner_walls_parse("secret-memory,lockdown", &parsed, unknown, sizeof unknown));
    assert_int_equal(parsed, EAT_WALL_SECRET_MEMORY | EAT_SWITCH_LOCKDOWN);
    check_ok(owner_walls_parse("", &parsed, unknown, sizeof unknown));
    assert_int_equal(parsed, 0);
    assert_int_equal(owner_walls_parse("lockdown,moat", &parsed, unknown, sizeof unknown), NOT_FOUND);
    assert_string_equal(unknown, "moat");
}

static void what_others_wrote_cannot_steer_a_terminal(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    cli_put_foreign(out, bytes_from_text("a\033[2Jb\177\xc2\x9b"
                                         "c\xc3\xa4\n"));
    fclose(out);
    assert_string_equal(text, "a?[2Jb??c\xc3\xa4?");
    free(text);
}

static int make_home(void **state)
{
    (void)state;
    snprintf(cli.home, sizeof cli.home, "/tmp/bastide-cli-XXXXXX");
    if (!mkdtemp(cli.home) || cli_make_directories(&cli) != OK)
        return -1;
    cli_path(&cli, "said", said);
    return freopen(said, "w+", stderr) ? 0 : -1;
}

static int remove_home(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/rm", "rm", "-rf", cli.home, (char *)NULL);
        _exit(1);
    }
    int how = 1;
    return child > 0 && waitpid(child, &how, 0) == child ? how : -1;
}

int main(void)
{
    check_ok(crypto_init());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_anywhere_and_operands_stay),
        cmocka_unit_test(a_wrong_option_is_named),
        cmocka_unit_test(numbers_addresses_and_names_have_limits),
        cmocka_unit_test(the_home_is_absolute_and_leaves_room_for_sockets),
        cmocka_unit_test(a_written_file_is_whole_and_private),
        cmocka_unit_test(an_operand_is_itself_or_a_file),
        cmocka_unit_test(members_and_elements_come_out_as_they_were_written),
        cmocka_unit_test(text_cut_anywhere_is_read_no_further),
        cmocka_unit_test(an_id_is_a_uuid_of_version_7_in_order_of_time),
        cmocka_unit_test(an_event_keeps_the_letters_of_its_properties),
        cmocka_unit_test(events_without_an_id_are_given_one),
        cmocka_unit_test(a_rule_is_put_together_from_options),
        cmocka_unit_test(a_rule_that_lacks_something_is_refused),
        cmocka_unit_test(a_rule_file_names_its_scripts_beside_it),
        cmocka_unit_test(a_service_is_found_again_until_it_ends),
        cmocka_unit_test(a_pid_that_belongs_to_another_now_is_not_adopted),
        cmocka_unit_test(a_service_stops_by_force_when_it_must),
        cmocka_unit_test(settings_come_back),
        cmocka_unit_test(a_url_reaches_what_listens_on_any_address),
        cmocka_unit_test(the_log_tells_the_last_reason_and_the_refusal),
        cmocka_unit_test(pins_come_back_and_every_broken_one_is_refused),
        cmocka_unit_test(a_site_is_made_once_and_opens_again),
        cmocka_unit_test(an_owner_whose_files_do_not_belong_together_is_refused),
        cmocka_unit_test(the_boot_signer_is_lent_and_taken_back),
        cmocka_unit_test(an_image_is_measured_and_every_bent_file_is_named),
        cmocka_unit_test(walls_have_the_monitors_names),
        cmocka_unit_test(what_others_wrote_cannot_steer_a_terminal),
    };
    return cmocka_run_group_tests(tests, make_home, remove_home);
}
