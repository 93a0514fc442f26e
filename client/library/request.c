/* Requests, events and observations of an enrolled device. */
#include "library_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENT_MAX (64u * 1024u)
#define ID_LEN 16

static void give(const struct client_answer *from, struct bastide_answer *answer)
{
    *answer = (struct bastide_answer){.code = (from->code >> 5) * 100u + (from->code & 31u),
                                      .content_format = from->content_format,
                                      .payload = from->payload.data,
                                      .payload_len = from->payload.len};
}

enum bastide_status bastide_request(struct bastide *hub, const struct bastide_request *request,
                                    struct bastide_answer *answer)
{
    struct client_answer got;
    enum bastide_status status = library_ready(hub);
    if (status != BASTIDE_OK)
        return status;
    const struct client_request asked = {.code = (uint8_t)request->method,
                                         .path = request->path,
                                         .query = request->query,
                                         .content_format = request->content_format,
                                         .payload = bytes_from(request->payload, request->payload_len),
                                         .wait_ms = request->wait_ms};
    enum status asked_status = client_ask(hub->client, &asked, &got);
    if (asked_status != OK)
        return library_say(hub, library_status(asked_status), "%s", client_why(hub->client));
    give(&got, answer);
    return BASTIDE_OK;
}

enum bastide_status bastide_verify(struct bastide *hub)
{
    enum bastide_status status = library_ready(hub);
    if (status != BASTIDE_OK)
        return status;
    enum status verified = client_attest(hub->client);
    return verified == OK ? BASTIDE_OK : library_say(hub, library_status(verified), "%s", client_why(hub->client));
}

static bool is_name(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/");
    return len > 0 && len <= BASTIDE_NAME_MAX && text[len] == 0;
}

static enum bastide_status put_event(struct bastide *hub, struct writer *event, const char *type,
                                     const char *properties, const char *source)
{
    uint8_t id[ID_LEN];
    char hex[2 * ID_LEN + 1] = "";
    if (!type || !is_name(type) || !properties || (source && !is_name(source)))
        return library_say(hub, BASTIDE_USAGE,
                           "type and source are 1 to %d letters, digits and . _ - /, properties a JSON object",
                           BASTIDE_NAME_MAX);
    if (crypto_random(id, sizeof id) != OK || hex_encode(BYTES_OF(id), hex, sizeof hex) != OK)
        return library_say(hub, BASTIDE_INTERNAL, "no randomness");
    put_text(event, "{\"id\":\"");
    put_text(event, hex);
    put_text(event, "\",\"type\":\"");
    put_text(event, type);
    if (source) {
        put_text(event, "\",\"source\":\"");
        put_text(event, source);
    }
    put_text(event, "\",\"properties\":");
    put_text(event, properties);
    put_u8(event, '}');
    return writer_end(event) == OK ? BASTIDE_OK
                                   : library_say(hub, BASTIDE_TOO_LONG, "an event has at most %u bytes", EVENT_MAX);
}

enum bastide_status bastide_send(struct bastide *hub, const char *type, const char *properties, const char *source)
{
    struct bastide_answer answer;
    uint8_t *room = malloc(EVENT_MAX);
    struct writer event = writer_over(room, room ? EVENT_MAX : 0);
    enum bastide_status status = put_event(hub, &event, type, properties, source);
    if (status == BASTIDE_OK) {
        const struct bastide_request request = {.method = BASTIDE_POST,
                                                .path = "events",
                                                .content_format = BASTIDE_JSON,
                                                .payload = room,
                                                .payload_len = event.len};
        status = bastide_request(hub, &request, &answer);
    }
    free(room);
    if (status == BASTIDE_OK && answer.code / 100 != 2)
        status = library_say(hub, answer.code / 100 == 5 ? BASTIDE_UNREACHABLE : BASTIDE_USAGE,
                             "the hub answers %u.%02u: %.180s", answer.code / 100, answer.code % 100,
                             (const char *)answer.payload);
    return status;
}

/* ---- Observations ---- */

struct library_observation {
    struct library_observation *next;
    struct bastide *hub;
    bastide_notify *notify;
    void *user;
};

static void forget(struct library_observation *observation)
{
    struct library_observation **at = &observation->hub->observations;
    while (*at != observation)
        at = &(*at)->next;
    *at = observation->next;
    free(observation);
}

void library_forget_observations(struct bastide *hub)
{
    while (hub->observations)
        forget(hub->observations);
}

static void on_answer(void *user, enum status status, const struct client_answer *got, bool more)
{
    struct library_observation *observation = user, copy = *observation;
    struct bastide_answer answer;
    if (!more)
        forget(observation);
    if (status == OK && got) {
        give(got, &answer);
        copy.notify(copy.user, &answer);
    }
    if (!more)
        copy.notify(copy.user, NULL);
}

enum bastide_status bastide_observe(struct bastide *hub, const char *path, const char *query, bastide_notify *notify,
                                    void *user)
{
    enum bastide_status status = library_ready(hub);
    if (status != BASTIDE_OK)
        return status;
    struct library_observation *observation = malloc(sizeof *observation);
    if (!observation)
        return library_say(hub, BASTIDE_INTERNAL, "out of memory");
    *observation = (struct library_observation){hub->observations, hub, notify, user};
    hub->observations = observation;
    const struct client_request request = {.code = COAP_GET, .path = path, .query = query, .observe = true};
    enum status begun = client_begin(hub->client, &request, on_answer, observation);
    if (begun == OK)
        return BASTIDE_OK;
    forget(observation);
    return begun == BUSY ? library_say(hub, BASTIDE_UNREACHABLE, "too many requests at once")
                         : library_say(hub, library_status(begun), "%s", status_word(begun));
}

enum bastide_status bastide_run(struct bastide *hub, int wait_ms)
{
    enum bastide_status status = library_ready(hub);
    if (status != BASTIDE_OK)
        return status;
    return client_run(hub->client, wait_ms) == OK ? BASTIDE_OK
                                                  : library_say(hub, BASTIDE_INTERNAL, "the machine refuses to wait");
}
