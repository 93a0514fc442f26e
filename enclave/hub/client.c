/* Clients: their place, their input in the sealed table, their session in memory. */
#include "hub_internal.h"

#include <stdlib.h>
#include <string.h>

#define SALT_LEN 8

static const struct {
    const char *name;
    enum crypto_aead_alg aead;
    size_t secret_len;
} algorithms[] = {
    {"AES-CCM-16-64-128", CRYPTO_AES_CCM_16_64_128, 16},
    {"AES-CCM-16-128-128", CRYPTO_AES_CCM_16_128_128, 16},
    {"A128GCM", CRYPTO_A128GCM, 16},
    {"A256GCM", CRYPTO_A256GCM, 32},
};

static const char *algorithm_name(enum crypto_aead_alg aead)
{
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++)
        if (algorithms[i].aead == aead)
            return algorithms[i].name;
    return "";
}

/* ---- Sessions ---- */

struct hub_session *hub_session_new(const char *name, enum hub_role role, const struct oscore_input *input)
{
    struct hub_session *session = calloc(1, sizeof *session);
    if (!session)
        return NULL;
    if (oscore_session_init(&session->oscore, OSCORE_SERVER, input) != OK) {
        free(session);
        return NULL;
    }
    memcpy(session->name, name, strlen(name) + 1);
    session->role = role;
    session->pairs = -1;
    return session;
}

static void session_free(struct hub_session *session)
{
    oscore_session_done(&session->oscore);
    wipe(session, sizeof *session);
    free(session);
}

void hub_session_release(struct hub_session *session)
{
    if (--session->uses == 0 && session->removed)
        session_free(session);
}

void hub_session_drop(struct hub *hub, struct hub_session *session)
{
    session->uses++; /* not under our hands */
    session->removed = true;
    free(session->answer);
    session->answer = NULL;
    hub_unwatch(hub, 0, session);
    hub_history_gone(hub, 0, session);
    hub_session_release(session);
}

void hub_sessions_free(struct hub *hub)
{
    for (size_t i = 0; i < HUB_CLIENTS_MAX; i++)
        if (hub->clients[i])
            hub_session_drop(hub, hub->clients[i]);
    for (size_t i = 0; i < HUB_OWNERS_MAX; i++)
        if (hub->owners[i])
            hub_session_drop(hub, hub->owners[i]);
}

/* Both are ours, so equality may take its time. */
static bool same_input(const struct hub_session *session, struct bytes encoded)
{
    uint8_t room[OSCORE_INPUT_MAX];
    struct writer writer = writer_over(room, sizeof room);
    oscore_put_input(&writer, &session->oscore.input);
    bool same = writer_end(&writer) == OK && writer.len == encoded.len && ct_equal(room, encoded.data, encoded.len);
    wipe(room, sizeof room);
    return same;
}

static enum status reload_owner(struct hub *hub, struct bytes encoded, const struct oscore_input *input)
{
    if (!hub->owners[0]) {
        hub->owners[0] = hub_session_new(HUB_OWNER_NAME, HUB_OWNER, input);
        if (!hub->owners[0])
            return NO_ROOM;
    }
    hub->owners[0]->saved = same_input(hub->owners[0], encoded);
    return OK;
}

static enum status reload_client(struct hub *hub, const char *name, struct bytes encoded,
                                 const struct oscore_input *input, int64_t created_ms)
{
    size_t place = (size_t)input->recipient.data[0] << 8 | input->recipient.data[1];
    if (input->recipient.len != 2 || place >= HUB_CLIENTS_MAX || strlen(name) > ENGINE_NAME_MAX)
        return INTERNAL;
    struct hub_session *session = hub->clients[place];
    if (session && (strcmp(session->name, name) != 0 || !same_input(session, encoded))) {
        hub_session_drop(hub, session);
        session = NULL;
    }
    if (!session)
        session = hub_session_new(name, HUB_CLIENT, input);
    hub->clients[place] = session;
    if (!session)
        return NO_ROOM;
    session->created_ms = created_ms;
    session->saved = true;
    session->pairs = -1;
    hub->client_count++;
    return OK;
}

static enum status reload_row(struct hub *hub, sqlite3_stmt *row)
{
    struct oscore_input input;
    struct bytes encoded = hub_column(row, 2);
    TRY(oscore_input_decode(encoded, &input));
    enum status status =
        sqlite3_column_int64(row, 1) == HUB_OWNER
            ? reload_owner(hub, encoded, &input)
            : reload_client(hub, hub_column_text(row, 0), encoded, &input, sqlite3_column_int64(row, 3));
    oscore_input_wipe(&input);
    return status;
}

/* A session whose input is still the one in the table lives on, with its window and its numbers. */
enum status hub_sessions_reload(struct hub *hub)
{
    enum status status = OK;
    hub->client_count = 0;
    for (size_t i = 0; i < HUB_CLIENTS_MAX; i++)
        if (hub->clients[i])
            hub->clients[i]->saved = false;
    if (hub->owners[0])
        hub->owners[0]->saved = false;
    sqlite3_stmt *list = hub_sql(hub, HUB_SQL_CLIENT_LIST);
    while (status == OK && hub_row(list))
        status = reload_row(hub, list);
    sqlite3_reset(list);
    for (size_t i = 0; i < HUB_CLIENTS_MAX; i++) {
        if (!hub->clients[i] || hub->clients[i]->saved)
            continue;
        hub_session_drop(hub, hub->clients[i]);
        hub->clients[i] = NULL;
    }
    return status;
}

static struct hub_session **find_client(struct hub *hub, const char *name)
{
    for (size_t i = 0; i < HUB_CLIENTS_MAX; i++)
        if (hub->clients[i] && strcmp(hub->clients[i]->name, name) == 0)
            return &hub->clients[i];
    return NULL;
}

/* ---- The resource ---- */

void hub_get_clients(struct hub *hub, struct hub_request *request)
{
    json_t *list = json_array();
    for (size_t i = 0; i < HUB_CLIENTS_MAX; i++) {
        const struct hub_session *session = hub->clients[i];
        if (!session)
            continue;
        char created[ENGINE_TIME_LEN + 1];
        engine_format_time(session->created_ms, created);
        json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "name", session->name, "created", created, "algorithm",
                                              algorithm_name(session->oscore.input.aead)));
    }
    hub_answer_json(request, COAP_CONTENT, json_pack("{s:o}", "clients", list));
}

/* The hub's own side of a new client: sender "h", recipient its place. */
static enum status make_input(size_t place, size_t algorithm, struct oscore_input *input)
{
    *input = (struct oscore_input){
        .aead = algorithms[algorithm].aead,
        .master_salt_len = SALT_LEN,
        .sender = {.data = {'h'}, .len = 1},
        .recipient = {.data = {(uint8_t)(place >> 8), (uint8_t)place}, .len = 2},
    };
    TRY(crypto_random(input->master_salt, SALT_LEN));
    input->master_secret.len = algorithms[algorithm].secret_len;
    return crypto_random(input->master_secret.data, input->master_secret.len);
}

static enum status put_client(struct hub *hub, const struct hub_session *session)
{
    uint8_t room[OSCORE_INPUT_MAX];
    struct writer writer = writer_over(room, sizeof room);
    oscore_put_input(&writer, &session->oscore.input);
    sqlite3_stmt *put = hub_sql(hub, HUB_SQL_CLIENT_PUT);
    hub_bind_text(put, 1, session->name);
    sqlite3_bind_int64(put, 2, session->role);
    hub_bind_bytes(put, 3, writer_bytes(&writer));
    sqlite3_bind_int64(put, 4, session->created_ms);
    enum status status = writer_end(&writer);
    if (status == OK)
        status = hub_run(put);
    wipe(room, sizeof room);
    return status;
}

static void answer_input(struct hub_request *request, const struct hub_session *session)
{
    struct oscore_input mirrored;
    uint8_t room[OSCORE_INPUT_MAX];
    char text[(4 * OSCORE_INPUT_MAX + 2) / 3 + 1];
    struct writer writer = writer_over(room, sizeof room);
    oscore_input_mirror(&session->oscore.input, &mirrored);
    oscore_put_input(&writer, &mirrored);
    if (base64url_encode(writer_bytes(&writer), text, sizeof text) == OK)
        hub_answer_json(request, COAP_CREATED, json_pack("{s:s,s:s}", "name", session->name, "input", text));
    else
        hub_refuse(request, COAP_INTERNAL_ERROR, "input", "could not be encoded");
    oscore_input_wipe(&mirrored);
    wipe(room, sizeof room);
    wipe(text, sizeof text);
}

static void add_client(struct hub *hub, struct hub_request *request, const char *name, size_t algorithm)
{
    size_t place = 0;
    while (place < HUB_CLIENTS_MAX && hub->clients[place])
        place++;
    if (place == HUB_CLIENTS_MAX) {
        hub_refuse(request, COAP_TOO_LARGE, "clients", "are %d already, and that is the limit", HUB_CLIENTS_MAX);
        return;
    }
    struct oscore_input input;
    enum status status = make_input(place, algorithm, &input);
    struct hub_session *session = status == OK ? hub_session_new(name, HUB_CLIENT, &input) : NULL;
    oscore_input_wipe(&input);
    if (!session) {
        hub_refuse_memory(request);
        return;
    }
    session->created_ms = (int64_t)hub->now_ms;
    session->saved = true;
    hub->clients[place] = session;
    hub->client_count++;
    status = put_client(hub, session);
    if (status == OK)
        answer_input(request, session);
    else
        hub_abandon_group(hub, request, "clients", status);
}

/* A name is what a client's sources begin with, so it may not reach into another's. */
static bool name_is_free(struct hub *hub, struct hub_request *request, const char *name)
{
    if (!name || !engine_name_is_valid(name) || strchr(name, '/') || strcmp(name, HUB_OWNER_NAME) == 0) {
        hub_refuse(request, COAP_UNPROCESSABLE, "name",
                   "must be 1 to %d letters, digits, and . _ -, and not \"" HUB_OWNER_NAME "\"", ENGINE_NAME_MAX);
        return false;
    }
    if (find_client(hub, name)) {
        hub_refuse(request, COAP_CONFLICT, "name", "\"%s\" is taken: remove that client first", name);
        return false;
    }
    return true;
}

void hub_post_client(struct hub *hub, struct hub_request *request)
{
    static const char *const known[] = {"name", "algorithm", NULL};
    json_t *body = hub_json_body(request, known);
    if (!body)
        return;
    const char *name = json_string_value(json_object_get(body, "name"));
    json_t *wanted = json_object_get(body, "algorithm");
    size_t algorithm = 0, count = sizeof algorithms / sizeof algorithms[0];
    while (wanted && algorithm < count &&
           (!json_is_string(wanted) || strcmp(json_string_value(wanted), algorithms[algorithm].name) != 0))
        algorithm++;
    if (algorithm == count)
        hub_refuse(request, COAP_UNPROCESSABLE, "algorithm",
                   "must be AES-CCM-16-64-128, AES-CCM-16-128-128, A128GCM or A256GCM");
    else if (name_is_free(hub, request, name))
        add_client(hub, request, name, algorithm);
    json_decref(body);
}

static enum status drop_rows(struct hub *hub, const char *name)
{
    static const enum hub_sql drops[] = {HUB_SQL_CLIENT_DELETE, HUB_SQL_LAST_DROP, HUB_SQL_ID_DROP};
    for (size_t i = 0; i < sizeof drops / sizeof drops[0]; i++) {
        sqlite3_stmt *drop = hub_sql(hub, drops[i]);
        hub_bind_text(drop, 1, name);
        TRY(hub_run(drop));
    }
    return OK;
}

void hub_delete_client(struct hub *hub, struct hub_request *request)
{
    char room[ENGINE_NAME_MAX + 1];
    const char *name = hub_name_in_path(request, "", room);
    struct hub_session **client = name ? find_client(hub, name) : NULL;
    if (!client) {
        hub_refuse(request, COAP_NOT_FOUND, "client", "\"%s\" is not there", name ? name : "");
        return;
    }
    hub_session_drop(hub, *client);
    *client = NULL;
    hub->client_count--;
    enum status status = drop_rows(hub, name);
    if (status == OK)
        hub_answer_json(request, COAP_DELETED, json_pack("{s:s}", "name", name));
    else
        hub_abandon_group(hub, request, "client", status);
}

bool hub_owner_save(struct hub *hub)
{
    struct hub_session *owner = hub->owners[0];
    if (owner->saved || !hub_may_write(hub))
        return false;
    owner->saved = put_client(hub, owner) == OK;
    return owner->saved;
}
