/* Sessions: of a secret agreed on beforehand, one a client; of EDHOC, many, each in a place of a table. */
#include "hub_internal.h"

#include <stdlib.h>
#include <string.h>

#define KID_LEN 3

struct hub_session *hub_session_new(struct hub_client *client)
{
    struct hub_session *session = calloc(1, sizeof *session);
    if (!session)
        return NULL;
    session->client = client;
    client->sessions++;
    return session;
}

void hub_client_release(struct hub_client *client)
{
    if (!client->removed || client->sessions > 0)
        return;
    free((void *)(uintptr_t)client->certificate.der.data);
    free((void *)(uintptr_t)client->former.der.data);
    free(client);
}

static void session_free(struct hub_session *session)
{
    struct hub_client *client = session->client;
    oscore_session_done(&session->oscore);
    wipe(session, sizeof *session);
    free(session);
    client->sessions--;
    hub_client_release(client);
}

void hub_session_release(struct hub_session *session)
{
    if (--session->uses == 0 && session->removed)
        session_free(session);
}

static size_t slot_of(const struct hub_session *session)
{
    const struct oscore_id *kid = &session->oscore.input.recipient;
    return kid->len == KID_LEN ? (size_t)kid->data[0] << 8 | kid->data[1] : HUB_SLOTS;
}

void hub_session_drop(struct hub *hub, struct hub_session *session)
{
    size_t slot = slot_of(session);
    if (slot < HUB_SLOTS && hub->sessions[slot] == session) {
        hub->sessions[slot] = NULL;
        hub->session_count--;
    }
    session->uses++; /* not under our hands */
    session->removed = true;
    hub_unwatch(hub, 0, session);
    hub_history_gone(hub, 0, session);
    hub_session_release(session);
}

/* ---- The table ---- */

static bool is_reserved(const struct hub *hub, size_t slot)
{
    for (size_t i = 0; i < HUB_HANDSHAKES_MAX; i++) {
        const struct hub_handshake *handshake = hub->handshakes[i];
        const uint8_t *kid = handshake ? handshake->edhoc.c_r.data : NULL;
        if (kid && handshake->edhoc.c_r.len == KID_LEN && ((size_t)kid[0] << 8 | kid[1]) == slot)
            return true;
    }
    return false;
}

/* There are as many places as sessions and handshakes together, so one is free. The random byte tells a session from
 * the one that had the place before. */
enum status hub_session_reserve(struct hub *hub, struct edhoc_id *kid)
{
    for (size_t tried = 0; tried < HUB_SLOTS; tried++) {
        size_t slot = hub->next_slot;
        hub->next_slot = (slot + 1) % HUB_SLOTS;
        if (hub->sessions[slot] || is_reserved(hub, slot))
            continue;
        *kid = (struct edhoc_id){.data = {(uint8_t)(slot >> 8), (uint8_t)slot}, .len = KID_LEN};
        return crypto_random(kid->data + 2, 1);
    }
    return NO_ROOM;
}

/* Who has requests under way, a watch among them, goes last. */
static struct hub_session *least_used(struct hub *hub, const struct hub_client *client, size_t *count)
{
    struct hub_session *found = NULL;
    *count = 0;
    for (size_t i = 0; i < HUB_SLOTS; i++) {
        struct hub_session *session = hub->sessions[i];
        if (!session || (client && session->client != client))
            continue;
        ++*count;
        if (!found || (session->uses == 0) > (found->uses == 0) ||
            ((session->uses == 0) == (found->uses == 0) && session->used_ms < found->used_ms))
            found = session;
    }
    return found;
}

void hub_session_open(struct hub *hub, struct hub_session *session)
{
    size_t count;
    struct hub_session *old =
        session->client->sessions > HUB_SESSIONS_EACH ? least_used(hub, session->client, &count) : NULL;
    if (old && count >= HUB_SESSIONS_EACH)
        hub_session_drop(hub, old);
    if (hub->session_count == HUB_SESSIONS_MAX)
        hub_session_drop(hub, least_used(hub, NULL, &count));
    session->used_ms = hub->now_ms;
    hub->sessions[slot_of(session)] = session;
    hub->session_count++;
}

struct hub_session *hub_session_find(struct hub *hub, struct bytes kid)
{
    size_t place = kid.len >= 2 ? (size_t)kid.data[0] << 8 | kid.data[1] : SIZE_MAX;
    if (kid.len == 2 && place < HUB_CLIENTS_MAX && hub->clients[place])
        return hub->clients[place]->provisioned;
    return kid.len == KID_LEN && place < HUB_SLOTS ? hub->sessions[place] : NULL; /* OSCORE compares the rest */
}

void hub_sessions_drop_of(struct hub *hub, const struct hub_client *client)
{
    for (size_t i = 0; i < HUB_SLOTS && hub->session_count > 0; i++)
        if (hub->sessions[i] && (!client || hub->sessions[i]->client == client))
            hub_session_drop(hub, hub->sessions[i]);
}
