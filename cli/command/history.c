/* bastide history: what the archive keeps, decrypted and checked by the hub, newest first. */
#include "command_internal.h"

#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: bastide history [--source S] [--type T] [--from TIME] [--to TIME] [--limit N] [--cursor C] "
    "[--follow-pages]\n\n"
    "Prints events and actions, newest first. The archive is kept by the untrusted half of the node; the hub decrypts\n"
    "every row and refuses to answer when one is missing, exchanged or out of order.\n\n"
    "  --source S          of the event, or the action's target\n"
    "  --type T            of the event or action\n"
    "  --from, --to TIME   when the hub took it in: 2015-02-02T14:19:00Z\n"
    "  --limit N           rows of one page: 1 to 500 (100)\n"
    "  --cursor C          go on from where a page ended\n"
    "  --follow-pages      all pages; with --json one row a line instead of one document\n\n"
    "Examples:\n"
    "  bastide history --limit 10\n"
    "  bastide history --source sensor --type reading --from 2026-01-01T00:00:00Z --follow-pages\n"
    "  bastide history --json --follow-pages | jq -c .message.properties\n";

struct page {
    bool follow;
    uint64_t cursor;
    uint64_t rows;
};

static void print_row(const struct cli *cli, struct bytes row)
{
    struct bytes received = cli_json_member(row, "received"), kind = cli_json_member(row, "kind");
    struct bytes message = cli_json_member(row, "message"), properties = cli_json_member(message, "properties");
    bool action = bytes_equal(kind, bytes_from_text("\"action\""));
    struct bytes of = cli_json_member(message, action ? "target" : "source"), type = cli_json_member(message, "type");
    printf("%s%.*s%s  %-6s  ", cli_dim(cli), received.len > 2 ? (int)received.len - 2 : 0,
           (const char *)received.data + (received.len > 2), cli_plain(cli), action ? "action" : "event");
    printf("%s", cli_bold(cli));
    cli_put_foreign(stdout, bytes_slice(of, 1, of.len > 2 ? of.len - 2 : 0));
    printf(" ");
    cli_put_foreign(stdout, bytes_slice(type, 1, type.len > 2 ? type.len - 2 : 0));
    printf("%s  ", cli_plain(cli));
    cli_put_foreign(stdout, properties);
    putchar('\n');
}

static void show_page(const struct cli *cli, const struct client_answer *answer, const json_t *json, struct page *page)
{
    struct bytes rows = cli_json_member(answer->payload, "rows"), row;
    size_t off = 0;
    page->cursor = (uint64_t)json_integer_value(json_object_get(json, "cursor"));
    page->rows += json_array_size(json_object_get(json, "rows"));
    if (cli->json && !page->follow) {
        command_print_answer(answer);
        return;
    }
    cli_progress(cli, NULL);
    while ((row = cli_json_next(rows, &off)).len > 0) {
        if (cli->json) {
            fwrite(row.data, 1, row.len, stdout);
            putchar('\n');
        } else {
            print_row(cli, row);
        }
    }
    fflush(stdout);
}

static int ask_pages(const struct cli *cli, const char *query, struct page *page)
{
    struct owner_session session;
    struct client_answer answer;
    char whole[512];
    int result = command_open(cli, &session);
    if (result)
        return result;
    do {
        json_t *json = NULL;
        snprintf(whole, sizeof whole, "%s", query);
        if (page->cursor)
            snprintf(whole, sizeof whole, "%s%scursor=%llu", query, *query ? "&" : "",
                     (unsigned long long)page->cursor);
        const struct client_request question = {.code = COAP_GET, .path = "history", .query = *whole ? whole : NULL};
        if (page->rows > 0)
            cli_progress(cli, "%llu rows …", (unsigned long long)page->rows);
        result = owner_ask(cli, &session, &question, &answer, &json);
        if (result == CLI_OK)
            show_page(cli, &answer, json, page);
        json_decref(json);
    } while (result == CLI_OK && page->follow && page->cursor > 0 && !ferror(stdout));
    owner_session_close(&session);
    if (result == CLI_OK && !cli->json && page->cursor > 0)
        cli_line(cli, "more", "--cursor %llu, or --follow-pages for all", (unsigned long long)page->cursor);
    return result;
}

static int check_time(const struct cli *cli, const char *option, const char *text)
{
    return !text || (*text && strlen(text) < 40 && strspn(text, "0123456789TZ:.-") == strlen(text))
               ? CLI_OK
               : cli_usage(cli, "history", "--%s %s: give a time like 2015-02-02T14:19:00Z", option, text);
}

static int run(struct cli *cli, int argc, char **argv)
{
    const char *source = NULL, *type = NULL, *from = NULL, *to = NULL, *limit = NULL, *cursor = NULL;
    struct page page = {0};
    uint64_t rows = 0;
    char query[400];
    struct writer writer = writer_over(query, sizeof query - 1);
    const struct cli_option options[] = {
        {"source", &source, NULL, NULL},
        {"type", &type, NULL, NULL},
        {"from", &from, NULL, NULL},
        {"to", &to, NULL, NULL},
        {"limit", &limit, NULL, NULL},
        {"cursor", &cursor, NULL, NULL},
        {"follow-pages", NULL, &page.follow, NULL},
    };
    int result = cli_options(cli, "history", options, sizeof options / sizeof options[0], &argc, argv);
    if (result == CLI_OK && argc > 1)
        result = cli_usage(cli, "history", "\"%s\" is one word too many", argv[1]);
    if (result == CLI_OK && source)
        result = command_check_name(cli, "history", "--source", source);
    if (result == CLI_OK && type)
        result = command_check_name(cli, "history", "--type", type);
    if (result == CLI_OK)
        result = check_time(cli, "from", from);
    if (result == CLI_OK)
        result = check_time(cli, "to", to);
    if (result == CLI_OK)
        result = cli_number(cli, "history", "limit", limit, 1, 500, &rows);
    if (result == CLI_OK)
        result = cli_number(cli, "history", "cursor", cursor, 0, INT64_MAX, &page.cursor);
    if (result)
        return result;
    command_put_query(&writer, "source", source);
    command_put_query(&writer, "type", type);
    command_put_query(&writer, "from", from);
    command_put_query(&writer, "to", to);
    command_put_query(&writer, "limit", limit);
    query[writer.len] = 0;
    return ask_pages(cli, query, &page);
}

const struct command command_history = {"history", "events and actions from the archive, newest first", help, run,
                                        NULL};
