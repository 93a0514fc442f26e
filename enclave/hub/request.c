/* A request from the door to its handler: OSCORE first, then the table of what may be asked, by whom. The default is
 * refusal. */
#include "hub_internal.h"

#include <stdlib.h>
#include <string.h>

#define EDHOC_PATH ".well-known/edhoc"

/* When the answer leaves. */
enum when {
    AT_ONCE,    /* it tells only of what is durable */
    WITH_GROUP, /* it tells of tables that others may be changing */
    WRITES,     /* it changes them: refused while storage fails */
};

/* `path` may end in a name, or hold one before its end: '*' stands for it. */
struct route {
    uint8_t method;
    const char *path;
    enum hub_role role; /* the least */
    enum when when;
    void (*handle)(struct hub *hub, struct hub_request *request);
};

static const struct route routes[] = {
    {COAP_GET, "est/crts", HUB_STRANGER, AT_ONCE, hub_get_crts},
    {COAP_POST, "est/sen", HUB_STRANGER, WRITES, hub_post_sen},
    {COAP_POST, "est/sren", HUB_CLIENT, WRITES, hub_post_sren},
    {COAP_POST, ".well-known/attest", HUB_STRANGER, AT_ONCE, hub_post_attest},
    {COAP_GET, "site", HUB_OWNER, AT_ONCE, hub_get_site},
    {COAP_POST, "site/request", HUB_OWNER, WRITES, hub_post_site_request},
    {COAP_POST, "site/certificate", HUB_OWNER, WRITES, hub_post_site_certificate},
    {COAP_POST, "site/owner", HUB_OWNER, WRITES, hub_post_site_owner},
    {COAP_POST, "site/ek", HUB_OWNER, AT_ONCE, hub_post_site_ek},
    {COAP_POST, "site/platform", HUB_OWNER, AT_ONCE, hub_post_site_platform},
    {COAP_POST, "events", HUB_CLIENT, WRITES, hub_post_events},
    {COAP_GET, "actions", HUB_CLIENT, AT_ONCE, hub_get_actions},
    {COAP_GET, "clients", HUB_OWNER, WITH_GROUP, hub_get_clients},
    {COAP_POST, "clients", HUB_OWNER, WRITES, hub_post_client},
    {COAP_DELETE, "clients/*", HUB_OWNER, WRITES, hub_delete_client},
    {COAP_GET, "rules", HUB_OWNER, WITH_GROUP, hub_get_rules},
    {COAP_POST, "rules", HUB_OWNER, WRITES, hub_post_rule},
    {COAP_POST, "rules/*/test", HUB_OWNER, WITH_GROUP, hub_post_rule_test},
    {COAP_GET, "rules/*", HUB_OWNER, WITH_GROUP, hub_get_rule},
    {COAP_DELETE, "rules/*", HUB_OWNER, WRITES, hub_delete_rule},
    {COAP_GET, "history", HUB_OWNER, AT_ONCE, hub_get_history},
    {COAP_GET, "status", HUB_OWNER, AT_ONCE, hub_get_status},
    {COAP_POST, "report", HUB_OWNER, AT_ONCE, hub_post_report},
};

static bool path_matches(const char *pattern, const char *path)
{
    const char *star = strchr(pattern, '*');
    if (!star)
        return strcmp(pattern, path) == 0;
    size_t before = (size_t)(star - pattern), after = strlen(star + 1), len = strlen(path);
    return len > before + after && memcmp(pattern, path, before) == 0 && strcmp(star + 1, path + len - after) == 0;
}

const char *hub_name_in_path(const struct hub_request *request, const char *suffix, char room[ENGINE_NAME_MAX + 1])
{
    const char *slash = strchr(request->path, '/');
    size_t len = slash ? strlen(slash + 1) : 0, after = strlen(suffix);
    if (len <= after || len - after > ENGINE_NAME_MAX)
        return NULL;
    memcpy(room, slash + 1, len - after);
    room[len - after] = 0;
    return engine_name_is_valid(room) ? room : NULL;
}

/* NULL after a refusal. */
static const struct route *find_route(struct hub_request *request)
{
    bool path_known = false, method_known = false;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (!path_matches(routes[i].path, request->path))
            continue;
        path_known = true;
        if (routes[i].method != request->inner.code)
            continue;
        method_known = true;
        if (request->session->client->role >= routes[i].role)
            return &routes[i];
    }
    if (!path_known)
        hub_refuse(request, COAP_NOT_FOUND, "path", "\"%.64s\" is not there", request->path);
    else if (!method_known)
        hub_refuse(request, COAP_METHOD_NOT_ALLOWED, "method", "is not one of those that \"%.64s\" has", request->path);
    else
        hub_refuse(request, COAP_FORBIDDEN, "path", "\"%.64s\" is for %s", request->path,
                   request->session->client->role == HUB_STRANGER ? "clients" : "the owner");
    return NULL;
}

/* RFC 7252 §5.4.1: what we do not know and must not ignore. Inner block-wise transfer is among it. */
static bool options_fit(struct hub_request *request)
{
    struct coap_option_reader reader = coap_options_over(request->inner.options);
    struct coap_option option;
    while (coap_option_next(&reader, &option)) {
        bool known = option.number == COAP_URI_HOST || option.number == COAP_URI_PORT ||
                     option.number == COAP_URI_PATH || option.number == COAP_URI_QUERY || option.number == COAP_ACCEPT;
        if (coap_option_is_critical(option.number) && !known) {
            hub_refuse(request, COAP_BAD_OPTION, "option", "%u is critical and not known here", option.number);
            return false;
        }
    }
    uint16_t bad = 0;
    if (coap_options_check(request->inner.options, &bad) != OK) {
        hub_refuse(request, COAP_BAD_OPTION, "option", "%u has a length it cannot have, or is there twice", bad);
        return false;
    }
    uint32_t accept;
    if (coap_option_find_uint(request->inner.options, COAP_ACCEPT, &accept) == OK && accept != COAP_FORMAT_JSON &&
        accept != COAP_FORMAT_PKIX_CERT) {
        hub_refuse(request, COAP_NOT_ACCEPTABLE, "Accept", "must be %d: answers are JSON", COAP_FORMAT_JSON);
        return false;
    }
    return true;
}

static bool path_fits(struct hub_request *request)
{
    struct writer writer = writer_over(request->path, sizeof request->path - 1);
    if (coap_join_segments(request->inner.options, COAP_URI_PATH, '/', &writer) != OK || writer_end(&writer) != OK) {
        request->path[0] = 0;
        hub_refuse(request, COAP_NOT_FOUND, "path", "is none that is known here");
        return false;
    }
    request->path[writer.len] = 0;
    return true;
}

static const struct route *admit(struct hub *hub, struct hub_request *request)
{
    if (!options_fit(request) || !path_fits(request))
        return NULL;
    const struct route *route = find_route(request);
    if (!route)
        return NULL;
    if (request->inner.payload.len > hub->body_max) {
        hub_refuse(request, COAP_TOO_LARGE, "body", "has %zu bytes; the limit is %zu", request->inner.payload.len,
                   hub->body_max);
        return NULL;
    }
    if (route->when == WRITES && !hub_may_write(hub)) {
        hub_refuse(request, COAP_UNAVAILABLE, "storage", "%s", hub->storage_problem);
        return NULL;
    }
    return route;
}

/* The client holds its newest certificate, so the former one is of no more use. */
static void settle(struct hub *hub, struct hub_request *request)
{
    request->session->settles = false;
    enum status status = hub_client_settle(hub, request->session->client);
    if (status != OK)
        hub_abandon_group(hub, request, "client", status);
}

/* A refusal changed nothing, so it need not wait for the others. */
static void serve(struct hub *hub, struct hub_request *request)
{
    const struct route *route = admit(hub, request);
    if (route && route->when == WRITES && request->session->settles)
        settle(hub, request);
    if (route && request->code == 0)
        route->handle(hub, request);
    request->inner = (struct coap_body){0};
    if (request->parked)
        return;
    bool refused = coap_code_class(request->code) != 2;
    if (refused)
        hub->counts.refused++;
    if (refused || route->when == AT_ONCE)
        hub_send_answer(hub, request);
    else
        hub_enqueue(hub, request);
}

/* ---- OSCORE ---- */

/* One try under one session. OK: `request` is served. */
static enum status open_request(struct hub *hub, struct hub_session *session, const struct coap_body *outer,
                                struct hub_request *request)
{
    uint8_t random[OSCORE_PART_LEN];
    TRY(crypto_random(random, sizeof random));
    struct writer plain = writer_over(hub->plain, DOOR_MESSAGE_MAX);
    struct writer challenge = writer_over(hub->outer, HUB_OUTER_MAX);
    enum status status = oscore_unprotect_request(&session->oscore, outer, random, &request->oscore, &plain,
                                                  &request->inner, &challenge);
    if (status == BUSY)
        hub_send(hub, DOOR_REPLY, request->channel, writer_bytes(&challenge));
    if (status != OK)
        return status;
    request->session = session;
    session->used_ms = hub->now_ms;
    return OK;
}

static enum status open_by_kid(struct hub *hub, const struct coap_body *outer, struct hub_request *request)
{
    struct bytes kid;
    TRY(oscore_server_kid(outer, &kid));
    struct hub_session *session = hub_session_find(hub, kid);
    return session ? open_request(hub, session, outer, request) : NOT_FOUND;
}

static bool is_edhoc(const struct coap_body *outer)
{
    char path[sizeof EDHOC_PATH + 1];
    struct bytes value;
    struct writer writer = writer_over(path, sizeof path);
    return outer->code == COAP_POST && !coap_option_find(outer->options, COAP_OSCORE, &value) &&
           coap_join_segments(outer->options, COAP_URI_PATH, '/', &writer) == OK &&
           bytes_equal(writer_bytes(&writer), bytes_from_text(EDHOC_PATH));
}

static void take(struct hub *hub, uint64_t channel, uint32_t transport, struct bytes body)
{
    struct coap_body outer;
    if (coap_body_decode(body, &outer) != OK || !coap_code_is_request(outer.code)) {
        hub_send_plain(hub, channel, COAP_BAD_REQUEST, COAP_FORMAT_TEXT, bytes_from_text("not a CoAP request"));
        return;
    }
    if (is_edhoc(&outer)) {
        hub_edhoc(hub, channel, outer.payload);
        return;
    }
    struct hub_request *request = calloc(1, sizeof *request);
    if (!request) {
        hub_send_plain(hub, channel, COAP_UNAVAILABLE, COAP_FORMAT_TEXT, bytes_from_text("out of memory"));
        return;
    }
    request->channel = channel;
    request->transport = transport;
    enum status status = open_by_kid(hub, &outer, request);
    if (status == OK) {
        request->session->uses++;
        serve(hub, request);
        return;
    }
    free(request);
    if (status != BUSY)
        hub_send_error(hub, channel, status);
}

/* ---- Waiting for the next group ---- */

struct hub_waiting {
    struct hub_waiting *next;
    uint64_t channel;
    uint32_t transport;
    size_t len;
    uint8_t body[];
};

static bool wait(struct hub *hub, uint64_t channel, uint32_t transport, struct bytes body)
{
    if (hub->waiting_count >= HUB_BACKLOG_MAX || body.len > HUB_BACKLOG_BYTES - hub->waiting_bytes)
        return false;
    struct hub_waiting *waiting = malloc(sizeof *waiting + body.len);
    if (!waiting)
        return false;
    *waiting = (struct hub_waiting){.channel = channel, .transport = transport, .len = body.len};
    memcpy(waiting->body, body.data, body.len);
    *hub->waiting_last = waiting;
    hub->waiting_last = &waiting->next;
    hub->waiting_count++;
    hub->waiting_bytes += body.len;
    return true;
}

static struct hub_waiting *next_waiting(struct hub *hub)
{
    struct hub_waiting *waiting = hub->waiting;
    hub->waiting = waiting->next;
    if (!hub->waiting)
        hub->waiting_last = &hub->waiting;
    hub->waiting_count--;
    hub->waiting_bytes -= waiting->len;
    return waiting;
}

void hub_serve_waiting(struct hub *hub)
{
    while (hub->waiting && hub->state == HUB_SERVING && !hub_group_is_full(hub)) {
        struct hub_waiting *waiting = next_waiting(hub);
        take(hub, waiting->channel, waiting->transport, bytes_from(waiting->body, waiting->len));
        free(waiting);
    }
}

void hub_waiting_gone(struct hub *hub, uint64_t channel)
{
    for (struct hub_waiting **at = &hub->waiting; *at; at = &(*at)->next) {
        if ((*at)->channel != channel)
            continue;
        struct hub_waiting *gone = *at;
        *at = gone->next;
        if (!gone->next)
            hub->waiting_last = at;
        hub->waiting_count--;
        hub->waiting_bytes -= gone->len;
        free(gone);
        return;
    }
}

void hub_waiting_free(struct hub *hub)
{
    while (hub->waiting)
        free(next_waiting(hub));
}

void hub_request_arrived(struct hub *hub, uint64_t channel, uint32_t transport, struct bytes body)
{
    if (hub->state == HUB_LOADING)
        hub_send_plain(hub, channel, COAP_UNAVAILABLE, COAP_FORMAT_TEXT, bytes_from_text("the site is starting"));
    else if (!hub->waiting && !hub_group_is_full(hub))
        take(hub, channel, transport, body);
    else if (!wait(hub, channel, transport, body))
        hub_send_plain(hub, channel, COAP_UNAVAILABLE, COAP_FORMAT_TEXT, bytes_from_text("too many requests at once"));
}
