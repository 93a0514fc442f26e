/* First contact: one unprotected request, resent until the node answers it. */
#include "client_internal.h"

#include <stdio.h>
#include <string.h>

struct meeting {
    struct client *client;
    struct writer *answer;
    enum status status;
    bool over;
    char *why;
    size_t cap;
};

/* Words of whoever answered: printable ASCII, cut. */
static void quote(struct bytes text, char out[QUOTE_MAX + 1])
{
    size_t len = text.len < QUOTE_MAX ? text.len : QUOTE_MAX;
    for (size_t i = 0; i < len; i++)
        out[i] = text.data[i] >= ' ' && text.data[i] <= '~' && text.data[i] != '"' ? (char)text.data[i] : '?';
    out[len] = 0;
}

static void take_answer(void *user, enum status status, const struct client_answer *answer, bool more)
{
    struct meeting *meeting = user;
    const char *who = meeting->client->url.base;
    char words[QUOTE_MAX + 1], code[COAP_CODE_TEXT];
    (void)more;
    meeting->over = true;
    meeting->status = status;
    if (status != OK) {
        snprintf(meeting->why, meeting->cap, "%s", client_why(meeting->client));
        return;
    }
    if (coap_code_class(answer->code) == 2) {
        struct writer room = *meeting->answer;
        put_bytes(&room, answer->payload);
        meeting->status = writer_end(&room);
        if (meeting->status == OK)
            *meeting->answer = room;
        else
            snprintf(meeting->why, meeting->cap, "the answer of %.120s is longer than expected", who);
        return;
    }
    bool refused = answer->code == COAP_UNAUTHORIZED || answer->code == COAP_FORBIDDEN;
    meeting->status = refused ? AUTH : answer->code == COAP_TOO_LARGE ? NO_ROOM : DENIED;
    quote(answer->payload, words);
    coap_code_text(answer->code, code);
    snprintf(meeting->why, meeting->cap, "%.120s refused the hello (%s): \"%s\"", who, code, words);
}

static enum status contact(const char *url, uint32_t content_format, struct bytes payload, uint32_t timeout_ms,
                           struct writer *answer, char *why, size_t cap)
{
    struct meeting meeting = {.answer = answer, .status = INTERNAL, .why = why, .cap = cap};
    const struct client_request request = {
        .code = COAP_POST, .path = ".well-known/bastide", .content_format = content_format, .payload = payload};
    struct client *client;
    TRY(client_open_plain(url, timeout_ms, &client, why, cap));
    meeting.client = client;
    enum status status = client_begin(client, &request, take_answer, &meeting);
    while (status == OK && !meeting.over)
        status = client_run(client, 1000);
    if (status != OK)
        snprintf(why, cap, "%s", client_why(client));
    client_close(client);
    return status == OK ? meeting.status : status;
}

enum status client_first_contact(const char *url, struct bytes hello, uint32_t timeout_ms, struct writer *answer,
                                 char *why, size_t cap)
{
    return contact(url, COAP_FORMAT_CBOR, hello, timeout_ms, answer, why, cap);
}

enum status client_prove(const char *url, struct bytes credential, uint32_t timeout_ms, struct writer *answer,
                         char *why, size_t cap)
{
    return contact(url, COAP_FORMAT_OCTETS, credential, timeout_ms, answer, why, cap);
}
