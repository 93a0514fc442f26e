/* The first secret between the owner and this hub (proto/contact), and reports on request. A session made from a hello
 * is the owner's only once a request under it verified: who replays a hello gains and changes nothing. */
#include "hub_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status make_evidence(struct hub *hub, const struct contact_hello *hello, struct writer *evidence)
{
    struct monitor_report report = {.nonce_len = CONTACT_NONCE_LEN};
    _Static_assert(sizeof report.user_data == CONTACT_USER_DATA_LEN, "user data");
    memcpy(report.nonce, hello->nonce, CONTACT_NONCE_LEN);
    if (!hub->first_key.pkey)
        TRY(crypto_key_generate(&hub->first_key, CRYPTO_P256));
    TRY(contact_user_data(&hub->first_key.public_key, hello->nonce, report.user_data));
    return hub->port.report(hub->port.user, &report, evidence);
}

static struct hub_session *make_session(struct hub *hub, const struct contact_hello *hello)
{
    struct oscore_input owners, ours;
    if (contact_derive(&hub->first_key, &hub->first_key.public_key, &hello->ephemeral, hello->nonce, hub->config_id,
                       &owners) != OK)
        return NULL;
    oscore_input_mirror(&owners, &ours);
    struct hub_session *session = hub_session_new(HUB_OWNER_NAME, HUB_OWNER, &ours);
    oscore_input_wipe(&owners);
    oscore_input_wipe(&ours);
    if (session)
        memcpy(session->nonce, hello->nonce, sizeof session->nonce);
    return session;
}

/* gives: the answer, kept in the session for a hello that comes twice. */
static enum status meet(struct hub *hub, const struct contact_hello *hello, struct hub_session **session)
{
    uint8_t *evidence = malloc(MONITOR_MESSAGE_MAX), *answer = malloc(MONITOR_MESSAGE_MAX + 256);
    struct writer writer = writer_over(evidence, evidence ? MONITOR_MESSAGE_MAX : 0);
    struct writer out = writer_over(answer, answer ? MONITOR_MESSAGE_MAX + 256 : 0);
    enum status status = make_evidence(hub, hello, &writer);
    if (status == OK)
        status = writer_end(&writer);
    if (status == OK) {
        struct contact_answer said = {.key = hub->first_key.public_key, .evidence = writer_bytes(&writer)};
        contact_put_answer(&out, &said);
        status = writer_end(&out);
    }
    *session = status == OK ? make_session(hub, hello) : NULL;
    free(evidence);
    if (!*session) {
        free(answer);
        return status == OK ? NO_ROOM : status;
    }
    (*session)->answer = answer;
    (*session)->answer_len = out.len;
    return OK;
}

static struct hub_session *find_met(struct hub *hub, const struct contact_hello *hello)
{
    for (size_t i = 0; i < HUB_OWNERS_MAX; i++) {
        struct hub_session *session = hub->owners[i];
        if (session && session->answer && memcmp(session->nonce, hello->nonce, CONTACT_NONCE_LEN) == 0)
            return session;
    }
    return NULL;
}

static void place_session(struct hub *hub, struct hub_session *session)
{
    size_t place = 1 + hub->next_owner++ % (HUB_OWNERS_MAX - 1);
    if (hub->owners[place])
        hub_session_drop(hub, hub->owners[place]);
    hub->owners[place] = session;
}

void hub_first_contact(struct hub *hub, uint64_t channel, struct bytes sign1)
{
    struct contact_hello hello;
    enum status status = contact_hello_open(sign1, &hub->owner, hub->config_id, &hello);
    if (status != OK) {
        hub_send_plain(hub, channel, status == AUTH ? COAP_UNAUTHORIZED : COAP_BAD_REQUEST, COAP_FORMAT_TEXT,
                       bytes_from_text(status == AUTH ? "not a hello of this site's owner" : "not a hello"));
        return;
    }
    struct hub_session *session = find_met(hub, &hello);
    if (!session) {
        status = meet(hub, &hello, &session);
        if (status != OK) {
            hub_send_plain(hub, channel, COAP_UNAVAILABLE, COAP_FORMAT_TEXT,
                           bytes_from_text("the monitor gave no evidence"));
            hub_audit(hub, "hello=failed status=\"%s\"", status_word(status));
            return;
        }
        place_session(hub, session);
    }
    hub_send_plain(hub, channel, COAP_CHANGED, COAP_FORMAT_CBOR, bytes_from(session->answer, session->answer_len));
}

void hub_owner_proved(struct hub *hub, size_t place)
{
    struct hub_session *former = hub->owners[0];
    hub->owners[0] = hub->owners[place];
    hub->owners[0]->created_ms = (int64_t)hub->now_ms;
    hub->owners[place] = NULL;
    if (former)
        hub_session_drop(hub, former);
    hub_audit(hub, "owner=met");
}

/* ---- POST /report ---- */

static bool nonce_of(struct hub_request *request, struct monitor_report *report)
{
    static const char *const known[] = {"nonce", NULL};
    json_t *body = hub_json_body(request, known);
    if (!body)
        return false;
    const char *text = json_string_value(json_object_get(body, "nonce"));
    struct writer nonce = writer_over(report->nonce, sizeof report->nonce);
    bool fits = text && hex_decode(text, &nonce) == OK && writer_end(&nonce) == OK && nonce.len >= 8;
    report->nonce_len = (uint32_t)nonce.len;
    if (!fits)
        hub_refuse(request, COAP_UNPROCESSABLE, "nonce", "must be 16 to %d hexadecimal digits", 2 * MONITOR_NONCE_MAX);
    json_decref(body);
    return fits;
}

void hub_post_report(struct hub *hub, struct hub_request *request)
{
    static const char head[] = "{\"evidence\":\"", tail[] = "\"}";
    struct monitor_report report = {0};
    if (!nonce_of(request, &report))
        return;
    uint8_t *evidence = malloc(MONITOR_MESSAGE_MAX);
    size_t cap = sizeof head + sizeof tail + (4 * (size_t)MONITOR_MESSAGE_MAX + 2) / 3;
    char *text = malloc(cap);
    struct writer writer = writer_over(evidence, evidence ? MONITOR_MESSAGE_MAX : 0);
    enum status status = evidence && text ? hub->port.report(hub->port.user, &report, &writer) : NO_ROOM;
    if (status == OK) {
        memcpy(text, head, sizeof head);
        status = base64url_encode(writer_bytes(&writer), text + sizeof head - 1, cap - sizeof head);
    }
    free(evidence);
    if (status != OK) {
        free(text);
        hub_refuse(request, COAP_UNAVAILABLE, "report", "the monitor gave no evidence: %s", status_word(status));
        return;
    }
    size_t len = strlen(text);
    memcpy(text + len, tail, sizeof tail);
    hub_answer_text(request, COAP_CONTENT, text, len + sizeof tail - 1);
}
