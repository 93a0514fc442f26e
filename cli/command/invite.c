/* bastide client add --code: an invitation, to be typed, scanned or piped. */
#include "command_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALID_S 3600u
#define VALID_MAX_S (7u * 24u * 3600u)

/* "90", "15m", "2h", "3d": seconds; 0 for what is none of them. */
static uint64_t seconds_of(const char *text)
{
    static const struct {
        const char *unit;
        uint64_t seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    char *end = NULL;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 7)
        return 0;
    uint64_t number = strtoull(text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(end, units[i].unit) == 0)
            return number * units[i].seconds;
    return 0;
}

static void print(const struct cli *cli, const char *name, const char *code, const char *expires)
{
    if (cli->json) {
        cli_print_json(json_pack("{s:s,s:s,s:s}", "name", name, "code", code, "expires", expires));
        return;
    }
    if (!isatty(STDOUT_FILENO)) {
        puts(code); /* and nothing else: bastide client add NAME --code | … */
        return;
    }
    command_print_qr(code);
    printf("\n%s\n\n", code);
    cli_line(cli, "client", "%s is invited until %s; the code works once", name, expires);
    cli_line(cli, "next",
             "scan or type it into the device, or there: bastide client enrol - --url http://THIS-NODE:8080");
}

static int ask(const struct cli *cli, struct owner_session *session, const char *name, const char *body)
{
    char code[ENROL_TEXT_MAX];
    struct client_answer answer;
    json_t *json = NULL;
    const struct client_request question = {
        .code = COAP_POST, .path = "clients", .content_format = COAP_FORMAT_JSON, .payload = bytes_from_text(body)};
    int result = owner_ask(cli, session, &question, &answer, &json);
    if (result)
        return result;
    const char *expires = json_string_value(json_object_get(json, "expires"));
    result = owner_code(session, name, json_string_value(json_object_get(json, "code")), code);
    if (result == CLI_OK)
        print(cli, name, code, expires ? expires : "?");
    wipe(code, sizeof code);
    json_decref(json);
    return result;
}

int command_invite(const struct cli *cli, const char *name, const char *valid)
{
    char body[160];
    struct owner_session session;
    uint64_t valid_s = valid ? seconds_of(valid) : VALID_S;
    if (valid_s == 0 || valid_s > VALID_MAX_S)
        return cli_usage(cli, "client", "--valid \"%.40s\": give 1s to 7d, as in 90s, 15m, 2h, 3d", valid);
    snprintf(body, sizeof body, "{\"name\":\"%s\",\"code\":true,\"valid_s\":%llu}", name, (unsigned long long)valid_s);
    int result = command_open(cli, &session);
    if (result)
        return result;
    result = ask(cli, &session, name, body);
    owner_session_close(&session);
    return result;
}
