/* bastide watch: actions for a client as they come, one a line — by Observe over CoAP, by long polls over HTTP. */
#include "command_internal.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: bastide watch --as NAME [--after N] [--once] [--wait S] [--coap|--http|--url URL]\n\n"
    "Prints the actions whose target is the client, one a line: those that the hub has kept (the newest 1,024 of all\n"
    "targets), then each as it comes. Goes on through restarts of the node until it is interrupted.\n\n"
    "  --as NAME           the client (bastide client add)\n"
    "  --after N           begin after the action with this cursor (0: with the oldest kept)\n"
    "  --once              print what is there, waiting for the first if need be, then end; exit code 6 if none came\n"
    "  --wait S            with --once, how long to wait: 0 to 3600 seconds (30)\n"
    "  --coap, --http      Observe over CoAP, or long polls over HTTP (HTTP if neither)\n"
    "  --url URL           the hub, from another machine than the node: coap://HOST[:PORT] or http://HOST[:PORT]\n\n"
    "Examples:\n"
    "  bastide watch --as valve\n"
    "  bastide watch --as valve --coap --json\n"
    "  bastide watch --as valve --after 42 --once --wait 0\n";

#define POLL_S 30u
#define RETRY_MS 1000
#define CHECK_MS 15000u /* between looks at whether an observation still tells everything */

struct watch {
    const struct cli *cli;
    const char *as;
    char url[COMMAND_URL_MAX];
    uint64_t cursor, wait_s;
    bool begun;            /* an answer came: from now on cursors are contiguous */
    bool missed, checking; /* one was not: a plain request brings it */
    struct command_way way;
    bool once;
    struct owner_session session;
    int result;    /* of the last answer */
    bool lost;     /* the observation ended */
    bool troubled; /* said that the node does not answer */
    bool refused;  /* the result will not change by itself */
};

static uint64_t number_of(struct bytes text)
{
    char room[24] = "";
    snprintf(room, sizeof room, "%.*s", (int)(text.len < 23 ? text.len : 23), (const char *)text.data);
    return strtoull(room, NULL, 10);
}

/* A JSON string's inside, escapes and all: names have none. */
static struct bytes inside(struct bytes text)
{
    return text.len >= 2 && text.data[0] == '"' ? bytes_slice(text, 1, text.len - 2) : text;
}

static void print_action(const struct cli *cli, struct bytes action)
{
    if (cli->json) {
        fwrite(action.data, 1, action.len, stdout);
        putchar('\n');
        return;
    }
    struct bytes time = inside(cli_json_member(action, "time")), rule = inside(cli_json_member(action, "rule"));
    struct bytes cursor = cli_json_member(action, "cursor"), properties = cli_json_member(action, "properties");
    struct bytes type = inside(cli_json_member(action, "type"));
    printf("%s%.*s%s  ", cli_dim(cli), (int)time.len, (const char *)time.data, cli_plain(cli));
    printf("%s", cli_bold(cli));
    cli_put_foreign(stdout, type);
    printf("%s  ", cli_plain(cli));
    cli_put_foreign(stdout, properties);
    printf("  %s#%.*s by ", cli_dim(cli), (int)cursor.len, (const char *)cursor.data);
    cli_put_foreign(stdout, rule);
    printf("%s\n", cli_plain(cli));
}

/* Cursors of a target are contiguous. Whether one is missing before the first that is new. */
static bool has_gap(const struct watch *watch, struct bytes text)
{
    struct bytes actions = cli_json_member(text, "actions"), action;
    size_t off = 0;
    while ((action = cli_json_next(actions, &off)).len > 0) {
        uint64_t cursor = number_of(cli_json_member(action, "cursor"));
        if (cursor > watch->cursor)
            return cursor > watch->cursor + 1;
    }
    return false;
}

/* What was printed before is not printed again: an observation begun anew may repeat. How many were new. */
static size_t print_actions(struct watch *watch, struct bytes text)
{
    struct bytes actions = cli_json_member(text, "actions"), action;
    size_t off = 0, count = 0;
    cli_progress(watch->cli, NULL);
    if (watch->begun && has_gap(watch, text))
        cli_warn(watch->cli, "the hub no longer keeps all actions after %llu", (unsigned long long)watch->cursor);
    watch->begun = true;
    while ((action = cli_json_next(actions, &off)).len > 0) {
        uint64_t cursor = number_of(cli_json_member(action, "cursor"));
        if (cursor <= watch->cursor)
            continue;
        print_action(watch->cli, action);
        watch->cursor = cursor;
        count++;
    }
    if (fflush(stdout) != 0)
        watch->refused = true; /* nobody reads any more */
    return count;
}

static size_t take_answer(struct watch *watch, const struct client_answer *answer)
{
    watch->result = owner_judge(watch->cli, "actions", answer, NULL);
    watch->refused = watch->result == CLI_DENIED;
    watch->troubled = watch->troubled && watch->result != CLI_OK;
    return watch->result == CLI_OK ? print_actions(watch, answer->payload) : 0;
}

static void no_answer(struct watch *watch, enum status status)
{
    watch->refused = status == AUTH || status == DENIED;
    watch->result = CLI_UNREACHABLE;
    if (watch->refused || watch->once)
        watch->result = owner_unanswered(watch->cli, &watch->session, status);
    else if (!watch->troubled)
        cli_warn(watch->cli, "%s; trying on", client_why(watch->session.client));
    watch->troubled = true;
}

/* How many were new; waits at most wait_s for the first. */
static size_t poll_once(struct watch *watch, uint64_t wait_s)
{
    char query[64];
    struct client_answer answer;
    snprintf(query, sizeof query, "after=%llu&wait=%llu", (unsigned long long)watch->cursor,
             (unsigned long long)wait_s);
    const struct client_request question = {
        .code = COAP_GET, .path = "actions", .query = query, .wait_ms = (uint32_t)wait_s * 1000};
    enum status status = client_ask(watch->session.client, &question, &answer);
    if (status == OK)
        return take_answer(watch, &answer);
    no_answer(watch, status);
    return 0;
}

static int watch_once(struct watch *watch)
{
    uint64_t until = cli_now_ms() + watch->wait_s * 1000;
    for (;;) {
        uint64_t now = cli_now_ms(), left_s = now < until ? (until - now + 999) / 1000 : 0;
        size_t count = poll_once(watch, left_s < POLL_S ? left_s : POLL_S);
        if (watch->result)
            return watch->result;
        while (count > 0) /* an answer holds as many as fit */
            if ((count = poll_once(watch, 0)) == 0)
                return watch->result;
        if (left_s == 0)
            return cli_fail(watch->cli, CLI_NOT_FOUND, "no action for %s after %llu", watch->as,
                            (unsigned long long)watch->cursor);
    }
}

static int watch_by_polls(struct watch *watch)
{
    while (!watch->refused) {
        (void)poll_once(watch, POLL_S);
        if (watch->result && !watch->refused)
            (void)poll(NULL, 0, RETRY_MS);
    }
    return watch->result;
}

static void on_notice(void *user, enum status status, const struct client_answer *answer, bool more)
{
    struct watch *watch = user;
    /* The node drops notifications for a client that is slower than they come: what is missing is asked for. */
    if (status == OK && watch->begun && has_gap(watch, answer->payload))
        watch->missed = true;
    else if (status == OK)
        (void)take_answer(watch, answer);
    else
        no_answer(watch, status);
    watch->lost = watch->lost || !more;
}

static void on_check(void *user, enum status status, const struct client_answer *answer, bool more)
{
    struct watch *watch = user;
    bool missed = watch->missed;
    (void)more;
    watch->checking = watch->missed = false;
    if (status != OK)
        no_answer(watch, status);
    else if (take_answer(watch, answer) > 0 && !missed)
        watch->lost = true; /* it should have come by itself: the hub started anew and has forgotten us */
    watch->lost = watch->lost || watch->result != CLI_OK;
}

static enum status begin_observing(struct watch *watch)
{
    char query[32];
    snprintf(query, sizeof query, "after=%llu", (unsigned long long)watch->cursor);
    const struct client_request question = {.code = COAP_GET, .path = "actions", .query = query, .observe = true};
    watch->lost = watch->missed = watch->checking = false;
    return client_begin(watch->session.client, &question, on_notice, watch);
}

static enum status begin_check(struct watch *watch)
{
    char query[32];
    snprintf(query, sizeof query, "after=%llu", (unsigned long long)watch->cursor);
    const struct client_request question = {.code = COAP_GET, .path = "actions", .query = query};
    return client_begin(watch->session.client, &question, on_check, watch);
}

/* One observation, until it is lost. */
static enum status observe(struct watch *watch)
{
    uint64_t check_at = cli_now_ms() + CHECK_MS;
    enum status status = begin_observing(watch);
    while (status == OK && !watch->lost && !watch->refused) {
        uint64_t now = cli_now_ms();
        if (!watch->checking && (now >= check_at || watch->missed)) {
            check_at = now + CHECK_MS;
            watch->checking = true;
            status = begin_check(watch);
        }
        if (status == OK)
            status = client_run(watch->session.client, (int)(check_at - now < CHECK_MS ? check_at - now : CHECK_MS));
    }
    return status;
}

static int watch_by_notices(struct watch *watch)
{
    for (;;) {
        enum status status = observe(watch);
        if (watch->refused)
            return watch->result;
        if (status != OK)
            no_answer(watch, status);
        if (watch->refused)
            return watch->result;
        owner_session_close(&watch->session);
        if (watch->result)
            (void)poll(NULL, 0, RETRY_MS);
        int result = owner_session_open(watch->cli, watch->as, watch->url, &watch->session);
        if (result)
            return result;
    }
}

static int run(struct cli *cli, int argc, char **argv)
{
    const char *after = NULL, *wait = NULL;
    struct watch watch = {.cli = cli, .wait_s = POLL_S, .session = {.lock = -1}};
    const struct cli_option options[] = {
        {"as", &watch.as, NULL, NULL},     {"after", &after, NULL, NULL},  {"wait", &wait, NULL, NULL},
        {"once", NULL, &watch.once, NULL}, COMMAND_WAY_OPTIONS(watch.way),
    };
    int result = cli_options(cli, "watch", options, sizeof options / sizeof options[0], &argc, argv);
    if (result == CLI_OK && argc > 1)
        result = cli_usage(cli, "watch", "\"%s\" is one word too many", argv[1]);
    if (result == CLI_OK && !watch.as)
        result = cli_usage(cli, "watch", "--as NAME says whose actions");
    if (result == CLI_OK && wait && !watch.once)
        result = cli_usage(cli, "watch", "--wait goes with --once");
    if (result == CLI_OK)
        result = command_check_way(cli, "watch", &watch.way);
    if (result == CLI_OK)
        result = cli_number(cli, "watch", "after", after, 0, INT64_MAX, &watch.cursor);
    if (result == CLI_OK)
        result = cli_number(cli, "watch", "wait", wait, 0, 3600, &watch.wait_s);
    if (result == CLI_OK)
        result = command_url(cli, &watch.way, watch.url);
    if (result == CLI_OK)
        result = owner_session_open(cli, watch.as, watch.url, &watch.session);
    if (result)
        return result;
    result = watch.once ? watch_once(&watch) : watch.way.coap ? watch_by_notices(&watch) : watch_by_polls(&watch);
    owner_session_close(&watch.session);
    return result;
}

const struct command command_watch = {"watch", "print a client's actions as they come", help, run, NULL};
