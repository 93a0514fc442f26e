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

struct hub_client *hub_client_new(const char *name, enum hub_role role)
{
    struct hub_client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    memcpy(client->name, name, strlen(name) + 1);
    client->role = role;
    client->pairs = -1;
    return client;
}

static void drop_client(struct hub *hub, struct hub_client *client)
{
    client->sessions++; /* not under our hands */
    client->removed = true;
    hub_sessions_drop_of(hub, client);
    if (client->provisioned)
        hub_session_drop(hub, client->provisioned);
    client->provisioned = NULL;
    client->sessions--;
    hub_client_release(client);
}

void hub_clients_free(struct hub *hub)
{
    hub_sessions_drop_of(hub, NULL);
    for (size_t i = 0; i < HUB_CLIENTS_MAX; i++)
        if (hub->clients[i])
            drop_client(hub, hub->clients[i]);
    if (hub->owner_client)
        drop_client(hub, hub->owner_client);
    if (hub->stranger)
        drop_client(hub, hub->stranger);
}

enum status hub_certificate_set(struct hub_certificate *certificate, struct bytes der)
{
    uint8_t hash[CRYPTO_HASH_MAX], *copy = malloc(der.len + 1);
    if (!copy)
        return NO_ROOM;
    if (der.len)
        memcpy(copy, der.data, der.len);
    struct bytes kept = bytes_from(copy, der.len);
    enum status status = crypto_hash(CRYPTO_SHA256, &kept, 1, hash);
    if (status != OK) {
        free(copy);
        return status;
    }
    memcpy(certificate->hash, hash, sizeof certificate->hash);
    free((void *)(uintptr_t)certificate->der.data);
    certificate->der = kept;
    return OK;
}

/* Whoever asked may never get the answer; then the former one is all he has to ask again with. One that was not used
 * yet is passed over, so that asking again does not end what he has. */
enum status hub_client_certify(struct hub_client *client, struct bytes der)
{
    if (client->former.der.len == 0)
        TRY(hub_certificate_set(&client->former, client->certificate.der));
    return hub_certificate_set(&client->certificate, der);
}

enum status hub_client_settle(struct hub *hub, struct hub_client *client)
{
    if (client->former.der.len == 0)
        return OK;
    TRY(hub_certificate_set(&client->former, (struct bytes){0}));
    return hub_credential_put(hub, client);
}

static struct hub_client *provisioned_client(const char *name, const struct oscore_input *input)
{
    struct hub_client *client = hub_client_new(name, HUB_CLIENT);
    if (!client)
        return NULL;
    client->provisioned = hub_session_new(client);
    if (client->provisioned && oscore_session_init(&client->provisioned->oscore, OSCORE_SERVER, input) == OK)
        return client;
    free(client->provisioned);
    free(client);
    return NULL;
}

/* Both are ours, so equality may take its time. */
static bool same_input(const struct hub_client *client, struct bytes encoded)
{
    if (!client->provisioned)
        return false;
    uint8_t room[OSCORE_INPUT_MAX];
    struct writer writer = writer_over(room, sizeof room);
    oscore_put_input(&writer, &client->provisioned->oscore.input);
    bool same = writer_end(&writer) == OK && writer.len == encoded.len && ct_equal(room, encoded.data, encoded.len);
    wipe(room, sizeof room);
    return same;
}

static enum status reload_client(struct hub *hub, const char *name, struct bytes encoded,
                                 const struct oscore_input *input, int64_t created_ms)
{
    size_t place = (size_t)input->recipient.data[0] << 8 | input->recipient.data[1];
    if (input->recipient.len != 2 || place >= HUB_CLIENTS_MAX || strlen(name) > ENGINE_NAME_MAX)
        return INTERNAL;
    struct hub_client *client = hub->clients[place];
    if (client && (strcmp(client->name, name) != 0 || !same_input(client, encoded))) {
        drop_client(hub, client);
        client = NULL;
    }
    if (!client)
        client = provisioned_client(name, input);
    hub->clients[place] = client;
    if (!client)
        return NO_ROOM;
    client->created_ms = created_ms;
    client->saved = true;
    client->pairs = -1;
    hub->client_count++;
    return OK;
}

static enum status reload_row(struct hub *hub, sqlite3_stmt *row)
{
    struct oscore_input input;
    struct bytes encoded = hub_column(row, 2);
    if (encoded.len == 0)
        return OK; /* it has a credential instead */
    TRY(oscore_input_decode(encoded, &input));
    enum status status = reload_client(hub, hub_column_text(row, 0), encoded, &input, sqlite3_column_int64(row, 3));
    oscore_input_wipe(&input);
    return status;
}

static struct hub_client **find_client(struct hub *hub, const char *name)
{
    for (size_t i = 0; i < HUB_CLIENTS_MAX; i++)
        if (hub->clients[i] && strcmp(hub->clients[i]->name, name) == 0)
            return &hub->clients[i];
    return NULL;
}

static struct hub_client **free_place(struct hub *hub)
{
    size_t place = 0;
    while (place < HUB_CLIENTS_MAX && hub->clients[place])
        place++;
    return place < HUB_CLIENTS_MAX ? &hub->clients[place] : NULL;
}

/* Its place means nothing, so it takes one that those with a secret left over. */
static enum status reload_credential(struct hub *hub, sqlite3_stmt *row)
{
    const char *name = hub_column_text(row, 0);
    struct bytes certificate = hub_column(row, 2), code_hash = hub_column(row, 3), former = hub_column(row, 5);
    struct hub_client **place = find_client(hub, name);
    if (strlen(name) > ENGINE_NAME_MAX || code_hash.len != X509_HASH_LEN)
        return INTERNAL;
    if (place && !bytes_equal((*place)->certificate.der, certificate)) {
        drop_client(hub, *place);
        *place = NULL;
        place = NULL;
    }
    if (!place) {
        place = free_place(hub);
        if (!place)
            return INTERNAL;
        *place = hub_client_new(name, HUB_CLIENT);
        if (!*place)
            return NO_ROOM;
        TRY(hub_certificate_set(&(*place)->certificate, certificate));
    }
    struct hub_client *client = *place;
    TRY(hub_certificate_set(&client->former, former));
    memcpy(client->code_hash, code_hash.data, sizeof client->code_hash);
    client->code_expires_ms = sqlite3_column_int64(row, 4);
    client->created_ms = sqlite3_column_int64(row, 1);
    client->saved = true;
    client->pairs = -1;
    hub->client_count++;
    return OK;
}

/* The certificates of the owner's daily key. */
static enum status reload_owner(struct hub *hub)
{
    sqlite3_stmt *get = hub_sql(hub, HUB_SQL_CREDENTIAL_OWNER);
    bool there = hub_row(get);
    enum status status =
        hub_certificate_set(&hub->owner_client->certificate, there ? hub_column(get, 0) : (struct bytes){0});
    if (status == OK)
        status = hub_certificate_set(&hub->owner_client->former, there ? hub_column(get, 1) : (struct bytes){0});
    sqlite3_reset(get);
    return status;
}

/* A client whose input or certificate is still the one in the table lives on, its sessions with windows and numbers. */
enum status hub_clients_reload(struct hub *hub)
{
    enum status status = OK;
    hub->client_count = 0;
    for (size_t i = 0; i < HUB_CLIENTS_MAX; i++)
        if (hub->clients[i])
            hub->clients[i]->saved = false;
    sqlite3_stmt *list = hub_sql(hub, HUB_SQL_CLIENT_LIST);
    while (status == OK && hub_row(list))
        status = reload_row(hub, list);
    sqlite3_reset(list);
    list = hub_sql(hub, HUB_SQL_CREDENTIAL_LIST);
    while (status == OK && hub_row(list))
        status = reload_credential(hub, list);
    sqlite3_reset(list);
    if (status == OK)
        status = reload_owner(hub);
    for (size_t i = 0; i < HUB_CLIENTS_MAX; i++) {
        if (!hub->clients[i] || hub->clients[i]->saved)
            continue;
        drop_client(hub, hub->clients[i]);
        hub->clients[i] = NULL;
    }
    return status;
}

/* ---- The resource ---- */

static json_t *time_text(int64_t time_ms)
{
    char text[ENGINE_TIME_LEN + 1];
    engine_format_time(time_ms, text);
    return json_string(text);
}

static json_t *describe(const struct hub_client *client)
{
    struct pki_certificate certificate;
    json_t *said = json_pack("{s:s,s:o}", "name", client->name, "created", time_text(client->created_ms));
    if (client->provisioned)
        json_object_set_new(said, "algorithm", json_string(algorithm_name(client->provisioned->oscore.input.aead)));
    else if (pki_certificate_decode(client->certificate.der, &certificate) == OK)
        json_object_set_new(said, "certificate_expires", time_text(certificate.not_after_s * 1000));
    if (client->code_expires_ms && client->certificate.der.len == 0)
        json_object_set_new(said, "code_expires", time_text(client->code_expires_ms));
    return said;
}

void hub_get_clients(struct hub *hub, struct hub_request *request)
{
    json_t *list = json_array();
    for (size_t i = 0; i < HUB_CLIENTS_MAX; i++)
        if (hub->clients[i])
            json_array_append_new(list, describe(hub->clients[i]));
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

static enum status put_client(struct hub *hub, const struct hub_client *client)
{
    uint8_t room[OSCORE_INPUT_MAX];
    struct writer writer = writer_over(room, sizeof room);
    if (client->provisioned)
        oscore_put_input(&writer, &client->provisioned->oscore.input);
    sqlite3_stmt *put = hub_sql(hub, HUB_SQL_CLIENT_PUT);
    hub_bind_text(put, 1, client->name);
    sqlite3_bind_int64(put, 2, 0); /* told owners from clients once */
    sqlite3_bind_blob64(put, 3, room, writer.len, SQLITE_STATIC);
    sqlite3_bind_int64(put, 4, client->created_ms);
    enum status status = writer_end(&writer);
    if (status == OK)
        status = hub_run(put);
    wipe(room, sizeof room);
    return status;
}

static void answer_input(struct hub_request *request, const struct hub_client *client)
{
    struct oscore_input mirrored;
    uint8_t room[OSCORE_INPUT_MAX];
    char text[(4 * OSCORE_INPUT_MAX + 2) / 3 + 1];
    struct writer writer = writer_over(room, sizeof room);
    oscore_input_mirror(&client->provisioned->oscore.input, &mirrored);
    oscore_put_input(&writer, &mirrored);
    if (base64url_encode(writer_bytes(&writer), text, sizeof text) == OK)
        hub_answer_json(request, COAP_CREATED, json_pack("{s:s,s:s}", "name", client->name, "input", text));
    else
        hub_refuse(request, COAP_INTERNAL_ERROR, "input", "could not be encoded");
    oscore_input_wipe(&mirrored);
    wipe(room, sizeof room);
    wipe(text, sizeof text);
}

static void bind_certificate(sqlite3_stmt *put, int index, const struct hub_certificate *certificate)
{
    hub_bind_bytes(put, index, certificate->der.len ? certificate->der : bytes_from("", 0));
}

enum status hub_credential_put(struct hub *hub, const struct hub_client *client)
{
    sqlite3_stmt *put = hub_sql(hub, HUB_SQL_CREDENTIAL_PUT);
    hub_bind_text(put, 1, client->name);
    bind_certificate(put, 2, &client->certificate);
    hub_bind_bytes(put, 3, BYTES_OF(client->code_hash));
    sqlite3_bind_int64(put, 4, client->code_expires_ms);
    bind_certificate(put, 5, &client->former);
    return hub_run(put);
}

static struct hub_client **place_for(struct hub *hub, struct hub_request *request)
{
    struct hub_client **place = free_place(hub);
    if (!place)
        hub_refuse(request, COAP_TOO_LARGE, "clients", "are %d already, and that is the limit", HUB_CLIENTS_MAX);
    return place;
}

static enum status settle(struct hub *hub, struct hub_client **place, struct hub_client *client)
{
    client->created_ms = (int64_t)hub->now_ms;
    client->saved = true;
    *place = client;
    hub->client_count++;
    return put_client(hub, client);
}

static void add_client(struct hub *hub, struct hub_request *request, const char *name, size_t algorithm)
{
    struct hub_client **place = place_for(hub, request);
    if (!place)
        return;
    struct oscore_input input;
    enum status status = make_input((size_t)(place - hub->clients), algorithm, &input);
    struct hub_client *client = status == OK ? provisioned_client(name, &input) : NULL;
    oscore_input_wipe(&input);
    if (!client) {
        hub_refuse_memory(request);
        return;
    }
    status = settle(hub, place, client);
    if (status == OK)
        answer_input(request, client);
    else
        hub_abandon_group(hub, request, "clients", status);
}

/* A client that will come with this code and ask for a certificate. */
static void invite(struct hub *hub, struct hub_request *request, const char *name, int64_t valid_ms)
{
    uint8_t code[HUB_CODE_LEN];
    char text[2 * HUB_CODE_LEN];
    struct hub_client **place = place_for(hub, request);
    struct hub_client *client = place ? hub_client_new(name, HUB_CLIENT) : NULL;
    if (!client) {
        if (place)
            hub_refuse_memory(request);
        return;
    }
    enum status status = hub_code_new(hub, client, valid_ms, code);
    if (status == OK)
        status = base64url_encode(BYTES_OF(code), text, sizeof text);
    enum status settled = settle(hub, place, client);
    if (status == OK)
        status = settled;
    if (status == OK)
        status = hub_credential_put(hub, client);
    if (status == OK)
        hub_answer_json(
            request, COAP_CREATED,
            json_pack("{s:s,s:s,s:o}", "name", name, "code", text, "expires", time_text(client->code_expires_ms)));
    else
        hub_abandon_group(hub, request, "clients", status);
    wipe(code, sizeof code);
    wipe(text, sizeof text);
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

static size_t algorithm_of(const json_t *wanted)
{
    size_t algorithm = 0, count = sizeof algorithms / sizeof algorithms[0];
    while (wanted && algorithm < count &&
           (!json_is_string(wanted) || strcmp(json_string_value(wanted), algorithms[algorithm].name) != 0))
        algorithm++;
    return algorithm;
}

static void invite_or_refuse(struct hub *hub, struct hub_request *request, const char *name, const json_t *valid_s)
{
    int64_t valid_ms = valid_s ? json_integer_value(valid_s) * 1000 : HUB_CODE_MS;
    if (hub->authority.certificate.len == 0)
        hub_refuse(request, COAP_CONFLICT, "code", "needs a site CA: bastide init has the owner sign it");
    else if (valid_ms <= 0 || valid_ms > HUB_CODE_MS_MAX)
        hub_refuse(request, COAP_UNPROCESSABLE, "valid_s", "must be 1 to %lld seconds", HUB_CODE_MS_MAX / 1000);
    else
        invite(hub, request, name, valid_ms);
}

void hub_post_client(struct hub *hub, struct hub_request *request)
{
    static const char *const known[] = {"name", "algorithm", "code", "valid_s", NULL};
    json_t *body = hub_json_body(request, known);
    if (!body)
        return;
    const char *name = json_string_value(json_object_get(body, "name"));
    const json_t *algorithm = json_object_get(body, "algorithm"), *valid_s = json_object_get(body, "valid_s");
    bool coded = json_is_true(json_object_get(body, "code"));
    if (algorithm_of(algorithm) == sizeof algorithms / sizeof algorithms[0])
        hub_refuse(request, COAP_UNPROCESSABLE, "algorithm",
                   "must be AES-CCM-16-64-128, AES-CCM-16-128-128, A128GCM or A256GCM");
    else if (coded ? algorithm != NULL : valid_s != NULL)
        hub_refuse(request, COAP_UNPROCESSABLE, coded ? "algorithm" : "valid_s", "does not go with \"code\" %s",
                   coded ? "true" : "false");
    else if (name_is_free(hub, request, name) && coded)
        invite_or_refuse(hub, request, name, valid_s);
    else if (request->code == 0)
        add_client(hub, request, name, algorithm_of(algorithm));
    json_decref(body);
}

static enum status drop_rows(struct hub *hub, const char *name)
{
    static const enum hub_sql drops[] = {HUB_SQL_CLIENT_DELETE, HUB_SQL_CREDENTIAL_DELETE, HUB_SQL_LAST_DROP,
                                         HUB_SQL_ID_DROP};
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
    struct hub_client **client = name ? find_client(hub, name) : NULL;
    if (!client) {
        hub_refuse(request, COAP_NOT_FOUND, "client", "\"%s\" is not there", name ? name : "");
        return;
    }
    drop_client(hub, *client);
    *client = NULL;
    hub->client_count--;
    enum status status = drop_rows(hub, name);
    if (status == OK)
        hub_answer_json(request, COAP_DELETED, json_pack("{s:s}", "name", name));
    else
        hub_abandon_group(hub, request, "client", status);
}
