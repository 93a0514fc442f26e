/* hub, inside: one client's session, one request's life, one group's commit. One file a resource, and beside them
 * request.c (OSCORE and the table of what may be asked), commit.c (durability), load.c and sql.c. */
#ifndef BASTIDE_HUB_INTERNAL_H
#define BASTIDE_HUB_INTERNAL_H

#include "hub.h"

#include "coap.h"
#include "contact.h"
#include "crypto.h"
#include "engine.h"
#include "oscore.h"
#include "store.h"

#include <jansson.h>
#include <sqlite3.h>

#define HUB_OWNER_NAME "owner"
#define HUB_OWNERS_MAX 5                                                        /* one, and those that were just met */
#define HUB_OUTER_MAX (DOOR_MESSAGE_MAX - (uint32_t)sizeof(struct door_header)) /* of a CoAP body through the door */
#define HUB_ANSWER_MAX (HUB_OUTER_MAX - 1024u) /* of an answer's payload: OSCORE and options come on top */
#define HUB_GROUP_BYTES (96u * 1024u)          /* changes after which a group takes no more: one record holds 256 KiB */

enum hub_role { HUB_CLIENT = 0, HUB_OWNER = 1 };

/* One client's side of OSCORE. Lives in memory only: keys, sequence numbers and windows are never sealed. */
struct hub_session {
    char name[ENGINE_NAME_MAX + 1];
    enum hub_role role;
    struct oscore_session oscore;
    int64_t created_ms;
    uint32_t uses; /* requests that point here; a removed session is freed by the last of them */
    bool removed;
    bool saved;                       /* its input is in the tables */
    int64_t pairs;                    /* of source and type, -1: not counted yet */
    uint32_t ids_added;               /* since the remembered ids were pruned */
    uint8_t nonce[CONTACT_NONCE_LEN]; /* of the hello an owner's session came from, and what it was answered */
    uint8_t *answer;
    size_t answer_len;
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
    struct bytes payload; /* owned; JSON */
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
    struct crypto_public owner; /* of the owner certificate in the configuration */
    uint64_t now_ms;            /* the host's, never going back */

    struct store *store;
    struct hub_statements *sql;
    struct engine *engine;
    bool has_scripts;
    struct hub_session *clients[HUB_CLIENTS_MAX]; /* a client's kid is its place here, two bytes */
    size_t client_count;
    struct hub_session *owners[HUB_OWNERS_MAX]; /* kid "o"; the first is the owner's, the others are to prove it yet */
    size_t next_owner;
    struct crypto_key first_key; /* of first contact; made at the first hello of this launch */

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
        uint8_t *snapshot;
        size_t total, have;
        uint64_t sequence, log_from;
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
void hub_load_snapshot_piece(struct hub *hub, enum status status, struct bytes payload);
void hub_load_log(struct hub *hub, enum status status, struct bytes payload);
void hub_load_advanced(struct hub *hub);
MUST_USE enum status hub_reload(struct hub *hub); /* memory from the tables: after loading, and after they went back */

/* client.c */
struct hub_session *hub_session_new(const char *name, enum hub_role role, const struct oscore_input *input);
void hub_session_drop(struct hub *hub, struct hub_session *session); /* frees it once nobody uses it */
void hub_session_release(struct hub_session *session);
MUST_USE enum status hub_sessions_reload(struct hub *hub);
void hub_sessions_free(struct hub *hub);
void hub_get_clients(struct hub *hub, struct hub_request *request);
void hub_post_client(struct hub *hub, struct hub_request *request);
void hub_delete_client(struct hub *hub, struct hub_request *request);

/* owner.c: the first secret, and who the owner is from then on */
void hub_first_contact(struct hub *hub, uint64_t channel, struct bytes hello);
/* A request under the session at this place verified: it is the owner's now, and the former one ends. */
void hub_owner_proved(struct hub *hub, size_t place);
/* Into the open group, unless the tables have it already or storage fails. True: it is there now. */
bool hub_owner_save(struct hub *hub);
void hub_post_report(struct hub *hub, struct hub_request *request);

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
