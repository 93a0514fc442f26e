/* bastide send: events, acknowledged once they are durable. */
#include "command_internal.h"

#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: bastide send --as NAME TYPE PROPERTIES [--source S] [--time T] [--id ID] [--coap|--http|--url URL]\n"
    "       bastide send --as NAME --format events EVENTS\n"
    "       bastide send --as NAME --format senml PACK\n\n"
    "Sends as a client and waits for the hub's acknowledgement: the event is then durable and its rules have run.\n"
    "PROPERTIES is a JSON object, EVENTS one event or an array of them "
    "({\"type\",\"source\",\"time\",\"id\",\"properties\"}),\n"
    "PACK a SenML pack in JSON; each is given as it is, as @FILE, or as - for standard input. Events without an id "
    "are\n"
    "given one, so that sending again is no second event; SenML has no ids.\n\n"
    "  --as NAME           the client (bastide client add)\n"
    "  --source S          NAME, or a name that begins with NAME/\n"
    "  --time T            2015-02-02T14:19:00Z, or milliseconds since 1970; when it arrives if left out\n"
    "  --id ID             the event's own id: for sending again what was not acknowledged\n"
    "  --coap, --http      which way (HTTP if neither)\n"
    "  --url URL           the hub, from another machine than the node: coap://HOST[:PORT] or http://HOST[:PORT]\n\n"
    "Examples:\n"
    "  bastide send --as sensor reading '{\"light\": 585, \"co2\": 749}'\n"
    "  bastide send --as sensor reading @reading.json --source sensor/office --coap\n"
    "  bastide send --as sensor --format senml "
    "'[{\"bn\":\"urn:dev:\",\"n\":\"temperature\",\"u\":\"Cel\",\"v\":23.7}]'\n"
    "  generate | bastide send --as sensor --format events -\n";

struct send {
    const char *as, *format;
    struct command_event event;
    struct command_way way;
};

static int make_body(const struct cli *cli, struct send *send, int argc, char **argv, char **body, uint32_t *format)
{
    bool json = !send->format || strcmp(send->format, "json") == 0;
    bool senml = send->format && strcmp(send->format, "senml") == 0;
    const struct command_event *event = &send->event;
    char *operand = NULL;
    size_t len;
    if (!json && !senml && strcmp(send->format, "events") != 0)
        return cli_usage(cli, "send", "--format %s: give json, events or senml", send->format);
    if (argc != (json ? 3 : 2))
        return cli_usage(cli, "send", json ? "give TYPE and PROPERTIES" : "give one operand after --format %s",
                         send->format ? send->format : "");
    if (!json && (event->source || event->time || event->id))
        return cli_usage(cli, "send", "--source, --time and --id stand inside what --format %s takes", send->format);
    int result = cli_take_text(cli,
                               json    ? "PROPERTIES"
                               : senml ? "PACK"
                                       : "EVENTS",
                               argv[argc - 1], COMMAND_TEXT_MAX, &operand, &len);
    if (result)
        return result;
    *format = senml ? 110 : COAP_FORMAT_JSON;
    send->event.type = argv[1];
    if (strlen(operand) != len)
        result = cli_fail(cli, CLI_DENIED, "what is to be sent holds a zero byte: it is no JSON text");
    else if (json)
        result = command_event_body(cli, event, operand, body);
    else if (!senml)
        result = command_events_body(cli, operand, body);
    else if ((result = command_check_json(cli, "PACK", operand, true)) == CLI_OK) {
        *body = operand;
        operand = NULL;
    }
    free(operand);
    return result;
}

static void report(const struct cli *cli, const struct client_answer *answer, const json_t *json)
{
    if (cli->json) {
        command_print_answer(answer);
        return;
    }
    long long accepted = json_integer_value(json_object_get(json, "accepted"));
    long long duplicates = json_integer_value(json_object_get(json, "duplicates"));
    if (duplicates > 0)
        cli_line(cli, "accepted", "%lld, and %lld had been accepted before", accepted, duplicates);
    else
        cli_line(cli, "accepted", "%lld", accepted);
}

static int send_body(const struct cli *cli, const struct send *send, uint32_t format, const char *body)
{
    char url[COMMAND_URL_MAX];
    struct owner_session session;
    struct client_answer answer;
    json_t *json = NULL;
    int result = command_url(cli, &send->way, url);
    if (result == CLI_OK)
        result = owner_session_open(cli, send->as, url, &session);
    if (result)
        return result;
    const struct client_request question = {
        .code = COAP_POST, .path = "events", .content_format = format, .payload = bytes_from_text(body)};
    cli_progress(cli, "waiting for the acknowledgement …");
    result = owner_ask(cli, &session, &question, &answer, &json);
    if (result == CLI_OK)
        report(cli, &answer, json);
    else if (result == CLI_UNREACHABLE && format == COAP_FORMAT_JSON && send->event.type && !send->event.id &&
             cli_json_member(bytes_from_text(body), "id").len > 2)
        cli_warn(cli, "not acknowledged; to send it again as the same event: --id %.*s",
                 (int)cli_json_member(bytes_from_text(body), "id").len - 2,
                 (const char *)cli_json_member(bytes_from_text(body), "id").data + 1);
    json_decref(json);
    owner_session_close(&session);
    return result;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct send send = {0};
    uint32_t format = 0;
    char *body = NULL;
    const struct cli_option options[] = {
        {"as", &send.as, NULL, NULL},
        {"format", &send.format, NULL, NULL},
        {"source", &send.event.source, NULL, NULL},
        {"time", &send.event.time, NULL, NULL},
        {"id", &send.event.id, NULL, NULL},
        COMMAND_WAY_OPTIONS(send.way),
    };
    int result = cli_options(cli, "send", options, sizeof options / sizeof options[0], &argc, argv);
    if (result == CLI_OK && !send.as)
        result = cli_usage(cli, "send", "--as NAME says which client sends");
    if (result == CLI_OK)
        result = command_check_way(cli, "send", &send.way);
    if (result == CLI_OK)
        result = make_body(cli, &send, argc, argv, &body, &format);
    if (result == CLI_OK)
        result = send_body(cli, &send, format, body);
    free(body);
    return result;
}

const struct command command_send = {"send", "send events as a client", help, run, NULL};
