/* hub, inside: one client's session, one request's life, one group's commit. One file a resource, and beside them
 * request.c (OSCORE and the table of what may be asked), commit.c (durability), load.c and sql.c. */
#ifndef BASTIDE_HUB_INTERNAL_H
#define BASTIDE_HUB_INTERNAL_H

#include "hub.h"

#include "attest.h"
#include "coap.h"
#include "crypto.h"
#include "edhoc.h"
#include "engine.h"
#include "journal.h"
#include "oscore.h"
#include "pki.h"
#include "store.h"
#include "x509.h"

#include <jansson.h>
#include <sqlite3.h>

#define HUB_OWNER_NAME "owner"
#define HUB_ID_CRED_MAX (3 * PKI_CERTIFICATE_MAX + 16) /* an x5chain: the hub, the site CA, the owner */
#define HUB_OUTER_MAX (DOOR_MESSAGE_MAX - (uint32_t)sizeof(struct door_header)) /* of a CoAP body through the door */
#define HUB_ANSWER_MAX (HUB_OUTER_MAX - 1024u) /* of an answer's payload: OSCORE and options come on top */
#define HUB_GROUP_BYTES (96u * 1024u)          /* changes after which a group takes no more: one record holds 256 KiB */

enum hub_role { HUB_STRANGER, HUB_CLIENT, HUB_OWNER }; /* each may what the one before may */

/* Empty before enrolment. */
struct hub_certificate {
    struct bytes der; /* owned */
    uint8_t hash[X509_HASH_LEN];
};

/* Whom the site knows: the owner, and those the owner registered. Freed with the last session that points here. */
struct hub_client {
    char name[ENGINE_NAME_MAX + 1];
    enum hub_role role;
    int64_t created_ms;
    struct hub_session *provisioned; /* of a secret that was agreed on beforehand; NULL: it comes by EDHOC, with */
    struct hub_certificate certificate;
    struct hub_certificate former;    /* counts too, until a session shows that its successor has arrived */
    uint8_t code_hash[X509_HASH_LEN]; /* of the one-time code that enrols it: one key, as often as it asks */
    int64_t code_expires_ms;          /* 0: there is no code */
    uint32_t sessions;                /* that point here */
    bool removed;
    bool saved;         /* it is in the tables */
    int64_t pairs;      /* of source and type, -1: not counted yet */
    uint32_t ids_added; /* since the remembered ids were pruned */
};

/* One client's side of OSCORE. Lives in memory only: keys, sequence numbers and windows are never sealed. */
struct hub_session {
    struct hub_client *client;
    struct oscore_session oscore;
    struct attest_binder binder;      /* of one that EDHOC agreed on */
    uint8_t credential[EAT_HASH_LEN]; /* SHA-256 of the hub's, in that handshake */
    bool by_root;                     /* opened by the owner's own key */
    bool settles; /* opened by a certificate that had a former one beside it: which ends with the first request */
    uint64_t used_ms;
    uint32_t uses; /* requests that point here; a removed session is freed by the last of them */
    bool removed;
};

/* How the hub authenticates itself in EDHOC: a key of this launch for each curve and use, made when first needed. */
enum hub_identity_use {
    HUB_SIGN_P256,
    HUB_SIGN_P384,
    HUB_SIGN_ED25519,
    HUB_DH_P256,
    HUB_DH_P384,
    HUB_DH_X25519,
    HUB_IDENTITIES,
};

struct hub_identity {
    struct crypto_key key;
    bool certified;
    uint8_t value[PKI_CERTIFICATE_MAX]; /* CRED_R: a certificate, or before there is a site CA, claims */
    uint8_t id_cred[HUB_ID_CRED_MAX];
    size_t value_len, id_cred_len;
    int64_t renew_at_s; /* of a certificate */
};

/* An EDHOC session between message 1 and message 3. */
struct hub_handshake {
    struct edhoc_session edhoc;
    uint64_t begun_ms;
    uint8_t credential[EAT_HASH_LEN]; /* SHA-256 of CRED_R */
    bool attests;
};

/* A request from its arrival to its answer. */
struct hub_request {
    struct hub_request *next;
    struct hub_session *session;
    struct oscore_request oscore;
    uint64_t channel;
    uint32_t transport;     /* enum door_transport */
    struct coap_body inner; /* borrows; only while its handler runs */
    char path[2 * ENGINE_NAME_MAX];
    bool parked; /* its handler will answer later */

    uint8_t code;         /* the answer */
    struct bytes payload; /* owned; JSON, unless */
    uint16_t format;      /* says another content format */
    bool observed;        /* answered by the first of several notifications */
    uint32_t observe;     /* its Observe value */
};

/* Requests that are answered together once what they changed is durable. */
struct hub_group {
    struct hub_request *first, *last;
    size_t count;
    bool rows;    /* something was archived */
    bool actions; /* there may be news for those who watch */
};

/* A long poll, or an observation. */
struct hub_watch {
    struct hub_watch *next;
    struct hub_request *request; /* owned: the poll's, or the one that began the observation */
    bool observation;
    uint64_t after;       /* the newest cursor it knows of */
    uint64_t deadline_ms; /* of a long poll */
};

enum hub_state { HUB_LOADING, HUB_SERVING, HUB_STOPPED };

struct hub_statements;
struct hub_history;
struct hub_waiting;

struct hub {
    enum hub_state state;
    struct hub_port port;
    size_t body_max;
    uint8_t site_id[16];
    uint8_t config_id[32];
    uint64_t now_ms; /* the host's, never going back */

    struct store *store;
    struct hub_statements *sql;
    struct engine *engine;
    bool has_scripts;
    struct hub_client *clients[HUB_CLIENTS_MAX]; /* the kid of a client with a secret is its place here, two bytes */
    size_t client_count;
    struct hub_client *owner_client;
    struct hub_client *stranger;             /* whoever comes with a bare key, to enrol */
    struct bytes owner_certificate;          /* DER, owned */
    struct crypto_public owner;              /* its key */
    struct hub_session *sessions[HUB_SLOTS]; /* that EDHOC agreed on; the kid is the place and one random byte */
    size_t session_count, next_slot;
    struct hub_handshake *handshakes[HUB_HANDSHAKES_MAX];
    struct hub_identity identities[HUB_IDENTITIES];
    struct { /* the site CA; certificate empty until the owner signed it */
        struct crypto_key key;
        struct bytes certificate; /* DER, owned */
    } authority;
    uint64_t code_window_ms; /* since when `wrong_codes` are counted */
    unsigned wrong_codes;
    struct crypto_key attestation_key; /* of this launch, made with the evidence over it */
    uint8_t *launch_evidence;
    size_t launch_evidence_len;

    struct hub_group open;
    struct hub_group flying; /* sealed and handed to the host, not yet durable */
    enum { HUB_AT_REST, HUB_SYNCING, HUB_ADVANCING } commit;
    uint64_t sync_id;
    struct writer rows;   /* archive rows of the open group, at most DOOR_CHUNK_MAX */
    uint64_t retry_at_ms; /* while storage fails: when a write may be tried again; 0 while it works */
    char storage_problem[96];
    struct hub_waiting *waiting, **waiting_last; /* for the next group */
    size_t waiting_count, waiting_bytes;

    struct hub_watch *watches;
    size_t watch_count;
    bool news; /* for one that just began to watch */
    struct hub_history *histories;
    uint64_t next_id;               /* of questions to the host */
    uint64_t timer_ms;              /* what the host was last asked for; 0: nothing */
    struct monitor_head_reply head; /* the monitor's */

    struct { /* loading */
        struct journal_load journal;
        bool advancing;
        uint64_t id;
    } load;

    struct {
        uint64_t events, duplicates, actions, refused, commits, failed_commits;
        struct engine_counts engine;
    } counts;

    int exit_code;
    char sentence[384];
    uint8_t *plain; /* the request being served */
    uint8_t *outer; /* what is being sent */
};

/* hub.c */
void hub_stop(struct hub *hub, int exit_code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A line for the operator of the node, who may see nothing of the site: what happened, numbers, no names. */
void hub_audit(struct hub *hub, const char *format, ...) __attribute__((format(printf, 2, 3)));
void hub_send(struct hub *hub, enum door_operation operation, uint64_t id, struct bytes payload);
void hub_set_time(struct hub *hub, uint64_t time_ms);

/* answer.c. Each ends the handler's work; when the answer leaves is the route's to say. */
void hub_answer_json(struct hub_request *request, uint8_t code, json_t *value);          /* takes value */
void hub_answer_text(struct hub_request *request, uint8_t code, char *text, size_t len); /* takes text: JSON */
void hub_refuse(struct hub_request *request, uint8_t code, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void hub_refuse_as(struct hub_request *request, enum status status, const struct engine_refusal *refusal);
/* Copies. */
void hub_answer_bytes(struct hub_request *request, uint8_t code, uint16_t format, struct bytes bytes);
void hub_refuse_memory(struct hub_request *request);
void hub_send_answer(struct hub *hub, struct hub_request *request); /* protects, sends, frees */
/* False when the observer began anew, and its observation is over. */
bool hub_send_notification(struct hub *hub, struct hub_request *request, uint32_t observe, struct bytes payload);
void hub_send_plain(struct hub *hub, uint64_t channel, uint8_t code, uint16_t format, struct bytes payload);
void hub_send_error(struct hub *hub, uint64_t channel, enum status status); /* of OSCORE: unprotected */
void hub_request_free(struct hub *hub, struct hub_request *request);
/* Parameters of the query. NULL: there is none of that name. The text is in `room`; too long a value is cut. */
const char *hub_query(const struct hub_request *request, const char *name, char *room, size_t cap);
bool hub_number(const char *text, uint64_t *number);
/* A JSON object of a request, its depth bounded and its members known; NULL after a refusal. */
json_t *hub_json_body(struct hub_request *request, const char *const *known);

/* request.c */
void hub_request_arrived(struct hub *hub, uint64_t channel, uint32_t transport, struct bytes body);
/* What stands behind the first '/' of the path, without the suffix; NULL when that is no name. */
const char *hub_name_in_path(const struct hub_request *request, const char *suffix, char room[ENGINE_NAME_MAX + 1]);
void hub_serve_waiting(struct hub *hub);
void hub_waiting_gone(struct hub *hub, uint64_t channel);
void hub_waiting_free(struct hub *hub);

/* commit.c */
void hub_enqueue(struct hub *hub, struct hub_request *request); /* into the open group */
bool hub_group_is_full(const struct hub *hub);
MUST_USE enum status hub_archive(struct hub *hub, const char *source, const char *type, int64_t time_ms, char kind,
                                 struct bytes text);
/* What a failed write left half done goes, and with it what the open group did before. */
void hub_abandon_group(struct hub *hub, struct hub_request *request, const char *field, enum status status);
void hub_synced(struct hub *hub, enum status status);
bool hub_may_write(const struct hub *hub);
void hub_group_free(struct hub *hub, struct hub_group *group);

/* load.c */
void hub_load_take(struct hub *hub, enum status status, struct bytes payload);
void hub_load_advanced(struct hub *hub);
MUST_USE enum status hub_reload(struct hub *hub); /* memory from the tables: after loading, and after they went back */

/* session.c */
struct hub_session *hub_session_new(struct hub_client *client);
void hub_session_drop(struct hub *hub, struct hub_session *session); /* frees it once nobody uses it */
void hub_session_release(struct hub_session *session);
void hub_client_release(struct hub_client *client);
/* A place that neither a session nor a handshake has, and the kid that names it. */
MUST_USE enum status hub_session_reserve(struct hub *hub, struct edhoc_id *kid);
/* Into the place its kid names. The client's own least recently used session goes when it has too many, then anybody's.
 */
void hub_session_open(struct hub *hub, struct hub_session *session);
struct hub_session *hub_session_find(struct hub *hub, struct bytes kid);     /* NULL: none */
void hub_sessions_drop_of(struct hub *hub, const struct hub_client *client); /* NULL: everybody's */

/* client.c */
struct hub_client *hub_client_new(const char *name, enum hub_role role);
MUST_USE enum status hub_clients_reload(struct hub *hub);
void hub_clients_free(struct hub *hub);
/* Into its table, in the open group. */
MUST_USE enum status hub_credential_put(struct hub *hub, const struct hub_client *client);
MUST_USE enum status hub_certificate_set(struct hub_certificate *certificate, struct bytes der); /* copies */
/* What counted until now becomes the former one. */
MUST_USE enum status hub_client_certify(struct hub_client *client, struct bytes der);
MUST_USE enum status hub_client_settle(struct hub *hub, struct hub_client *client); /* the end of the former one */
void hub_get_clients(struct hub *hub, struct hub_request *request);
void hub_post_client(struct hub *hub, struct hub_request *request);
void hub_delete_client(struct hub *hub, struct hub_request *request);

/* handshake.c: strangers become sessions (EDHOC) */
void hub_edhoc(struct hub *hub, uint64_t channel, struct bytes payload);
void hub_handshakes_free(struct hub *hub);
size_t hub_handshake_count(const struct hub *hub); /* between their first and their third message */

/* identity.c: who the hub is, and the evidence for it */
MUST_USE enum status hub_identity(struct hub *hub, const struct edhoc_session *session,
                                  struct edhoc_credential *credential);
/* Evidence over the attestation key: of this launch, or made now for `nonce`. Borrows until the next call. */
MUST_USE enum status hub_launch_evidence(struct hub *hub, struct bytes *evidence);
MUST_USE enum status hub_session_evidence(struct hub *hub, const struct attest_binder *binder, struct bytes nonce,
                                          const uint8_t credential[EAT_HASH_LEN], struct writer *evidence);
void hub_identities_free(struct hub *hub);
void hub_identities_forget(struct hub *hub); /* the site CA is another */
void hub_post_report(struct hub *hub, struct hub_request *request);
void hub_post_attest(struct hub *hub, struct hub_request *request);

/* authority.c: the site CA */
MUST_USE enum status hub_authority_reload(struct hub *hub);
void hub_authority_free(struct hub *hub);
/* Issues for a key whose holder proved it. NOT_FOUND: there is no site CA yet. */
MUST_USE enum status hub_issue(struct hub *hub, enum x509_role role, struct bytes name, const struct crypto_public *key,
                               bool static_dh, struct writer *certificate);
void hub_get_site(struct hub *hub, struct hub_request *request);
void hub_post_site_request(struct hub *hub, struct hub_request *request);
void hub_post_site_certificate(struct hub *hub, struct hub_request *request);
void hub_post_site_ek(struct hub *hub, struct hub_request *request);       /* endorse.c */
void hub_post_site_platform(struct hub *hub, struct hub_request *request); /* so too */
void hub_post_site_owner(struct hub *hub, struct hub_request *request);

/* enrol.c: from a one-time code to a certificate */
MUST_USE enum status hub_code_new(struct hub *hub, struct hub_client *client, int64_t valid_ms,
                                  uint8_t code[HUB_CODE_LEN]);
void hub_get_crts(struct hub *hub, struct hub_request *request);
void hub_post_sen(struct hub *hub, struct hub_request *request);
void hub_post_sren(struct hub *hub, struct hub_request *request);

/* event.c */
void hub_post_events(struct hub *hub, struct hub_request *request);

/* status.c */
void hub_get_status(struct hub *hub, struct hub_request *request);

/* rule.c */
MUST_USE enum status hub_rules_reload(struct hub *hub);
void hub_get_rules(struct hub *hub, struct hub_request *request);
void hub_get_rule(struct hub *hub, struct hub_request *request);
void hub_post_rule(struct hub *hub, struct hub_request *request);
void hub_delete_rule(struct hub *hub, struct hub_request *request);
void hub_post_rule_test(struct hub *hub, struct hub_request *request);
MUST_USE enum status hub_evaluate(struct hub *hub, const struct engine_event *event);

/* action.c */
void hub_get_actions(struct hub *hub, struct hub_request *request);
void hub_tell_watchers(struct hub *hub);
void hub_watches_expire(struct hub *hub);
uint64_t hub_watches_due(const struct hub *hub);
/* The peer left (channel), or the client was removed (session): whoever watched for them stops. */
void hub_unwatch(struct hub *hub, uint64_t channel, const struct hub_session *session);
MUST_USE enum status hub_add_action(struct hub *hub, const char *rule, const char *target, const char *type,
                                    struct bytes properties, const struct engine_event *event);

/* history.c */
void hub_get_history(struct hub *hub, struct hub_request *request);
bool hub_history_rows(struct hub *hub, uint64_t id, enum status status, struct bytes payload); /* false: no such */
void hub_history_gone(struct hub *hub, uint64_t channel, const struct hub_session *session);

/* sql.c */
enum hub_sql {
    HUB_SQL_LAST_PUT,
    HUB_SQL_LAST_GET,
    HUB_SQL_LAST_COUNT,
    HUB_SQL_LAST_DROP,
    HUB_SQL_ID_GET,
    HUB_SQL_ID_PUT,
    HUB_SQL_ID_PRUNE,
    HUB_SQL_ID_DROP,
    HUB_SQL_ACTION_NEWEST,
    HUB_SQL_ACTION_DURABLE,
    HUB_SQL_ACTION_PUT,
    HUB_SQL_ACTION_PRUNE,
    HUB_SQL_ACTION_LIST,
    HUB_SQL_CLIENT_PUT,
    HUB_SQL_CLIENT_DELETE,
    HUB_SQL_CLIENT_LIST,
    HUB_SQL_CREDENTIAL_PUT,
    HUB_SQL_CREDENTIAL_DELETE,
    HUB_SQL_CREDENTIAL_LIST,
    HUB_SQL_CREDENTIAL_OWNER,
    HUB_SQL_AUTHORITY_PUT,
    HUB_SQL_AUTHORITY_GET,
    HUB_SQL_RULE_PUT,
    HUB_SQL_RULE_STATE,
    HUB_SQL_RULE_DELETE,
    HUB_SQL_RULE_GET,
    HUB_SQL_RULE_LIST,
    HUB_SQL_SITE_GET,
    HUB_SQL_SITE_PUT,
    HUB_SQL_COUNT,
};
extern const char *const hub_schema[];
extern const size_t hub_schema_count;
MUST_USE enum status hub_sql_open(struct hub *hub);
void hub_sql_close(struct hub *hub);
/* A prepared statement, reset and ready to bind. */
sqlite3_stmt *hub_sql(struct hub *hub, enum hub_sql which);
/* What is bound must live until the statement is run, which callers do at once. */
void hub_bind_text(sqlite3_stmt *statement, int index, const char *text);
void hub_bind_bytes(sqlite3_stmt *statement, int index, struct bytes bytes);
void hub_bind_view(sqlite3_stmt *statement, int index, struct bytes text);
MUST_USE enum status hub_run(sqlite3_stmt *statement); /* one that returns no row; NO_ROOM when the store is full */
bool hub_row(sqlite3_stmt *statement);                 /* one more row */
struct bytes hub_column(sqlite3_stmt *statement, int index);
const char *hub_column_text(sqlite3_stmt *statement, int index);

#endif
