/* hub, inside: one client's session, one request's life, one group's commit. */
#ifndef BASTIDE_HUB_INTERNAL_H
#define BASTIDE_HUB_INTERNAL_H

#include "hub.h"

#include "coap.h"
#include "crypto.h"
#include "engine.h"
#include "oscore.h"
#include "store.h"

#include <jansson.h>
#include <sqlite3.h>

enum hub_role { HUB_CLIENT = 0, HUB_OWNER = 1 };

/* One client's side of OSCORE. Lives in memory only: keys, sequence numbers and windows are never sealed. */
struct hub_session {
    struct hub_session *next;
    char name[ENGINE_NAME_MAX + 1];
    enum hub_role role;
    struct oscore_session oscore;
    uint32_t uses; /* requests that still point here; a removed session is freed by the last of them */
    bool removed;
};

/* A request from its arrival to its answer. */
struct hub_request {
    struct hub_request *next;
    struct hub_session *session; /* NULL for first contact, which is not protected */
    struct oscore_request oscore;
    uint64_t channel;
    uint32_t transport;     /* enum door_transport */
    struct coap_body inner; /* borrows; only while its handler runs */
    char path[ENGINE_NAME_MAX + 32];
    bool parked; /* its handler will answer later */

    uint8_t code; /* the answer */
    uint16_t format;
    struct bytes payload; /* owned */
    bool observed;        /* answered by the first of several notifications */
    uint32_t observe;     /* its Observe value */
};

/* Requests that are answered together once what they changed is durable. */
struct hub_group {
    struct hub_request *first, **last;
    size_t count;
    struct hub_action *actions, **last_action; /* to be told to those who watch */
};

/* An action that a watcher may want to hear of, once it is durable. */
struct hub_action {
    struct hub_action *next;
    char target[ENGINE_NAME_MAX + 1];
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

struct hub {
    enum hub_state state;
    struct hub_port port;
    size_t body_max;
    uint8_t site_id[16];
    uint8_t config_id[32];
    struct crypto_public owner; /* from the owner certificate of the configuration */
    uint64_t now_ms;            /* the host's, never going back */

    struct store *store;
    struct hub_statements *sql;
    struct engine *engine;
    struct hub_session *sessions;
    struct hub_session *owner_session;
    struct crypto_key first_key; /* of first contact; made at the first hello of this launch */

    struct hub_group open;
    struct hub_group flying; /* sealed and handed to the host, not yet durable */
    enum { HUB_AT_REST, HUB_SYNCING, HUB_ADVANCING } commit;
    uint64_t sync_id;
    struct writer rows;   /* archive rows on their way, at most DOOR_CHUNK_MAX */
    bool rows_sent;       /* of the open group */
    uint64_t retry_at_ms; /* while storage fails: when a write may be tried again */
    char storage_problem[128];

    struct hub_watch *watches;
    size_t watch_count;
    struct hub_history *histories;
    uint64_t next_id;  /* of questions to the host */
    uint64_t timer_ms; /* what the host was last asked for */

    struct { /* loading */
        struct monitor_head_reply head;
        uint8_t *snapshot;
        size_t total, have;
        uint64_t log_from;
        uint64_t id;
    } load;

    struct {
        uint64_t events, duplicates, actions, refused, commits, failed_commits;
        struct engine_counts engine;
    } counts;
    uint64_t archive_sequence; /* of the last row sealed; what is durable lags behind */
    uint64_t archive_confirmed;

    int exit_code;
    char sentence[256];
    uint8_t *scratch; /* one door message: plaintext of the request being served */
};

/* Answers. Each ends the handler's work: the answer leaves when the group it belongs to is durable. */
void hub_answer_json(struct hub_request *request, uint8_t code, json_t *value);          /* takes value */
void hub_answer_text(struct hub_request *request, uint8_t code, char *text, size_t len); /* takes text: JSON */
void hub_refuse(struct hub_request *request, uint8_t code, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void hub_refuse_as(struct hub_request *request, enum status status, const struct engine_refusal *refusal);
void hub_request_free(struct hub *hub, struct hub_request *request);

/* request.c */
void hub_request_arrived(struct hub *hub, uint64_t channel, uint32_t transport, struct bytes body);
void hub_send_answer(struct hub *hub, struct hub_request *request); /* protects, sends, frees */
void hub_send_notification(struct hub *hub, struct hub_request *request, uint32_t observe, struct bytes payload);

/* commit.c */
void hub_enqueue(struct hub *hub, struct hub_request *request); /* into the open group */
void hub_group_note_action(struct hub *hub, const char *target);
MUST_USE enum status hub_archive(struct hub *hub, const char *source, const char *type, int64_t time_ms,
                                 struct bytes message);
void hub_synced(struct hub *hub, enum status status);
bool hub_may_write(struct hub *hub);

/* load.c */
void hub_load_snapshot_piece(struct hub *hub, enum status status, struct bytes payload);
void hub_load_log(struct hub *hub, enum status status, struct bytes payload);
enum status hub_reload(struct hub *hub); /* memory from the database, after loading and after a revert */
void hub_stop(struct hub *hub, int exit_code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* client.c */
struct hub_session *hub_session_find(struct hub *hub, struct bytes kid);
void hub_session_release(struct hub *hub, struct hub_session *session);
enum status hub_sessions_reload(struct hub *hub);
void hub_get_clients(struct hub *hub, struct hub_request *request);
void hub_post_client(struct hub *hub, struct hub_request *request);
void hub_delete_client(struct hub *hub, struct hub_request *request);
enum status hub_put_owner(struct hub *hub, const struct oscore_input *input);

/* first.c: the first secret */
void hub_first_contact(struct hub *hub, struct hub_request *request);
void hub_post_report(struct hub *hub, struct hub_request *request);

/* event.c */
void hub_post_events(struct hub *hub, struct hub_request *request);
void hub_get_status(struct hub *hub, struct hub_request *request);

/* rule.c */
enum status hub_rules_reload(struct hub *hub);
void hub_get_rules(struct hub *hub, struct hub_request *request);
void hub_post_rule(struct hub *hub, struct hub_request *request);
void hub_delete_rule(struct hub *hub, struct hub_request *request);
void hub_post_rule_test(struct hub *hub, struct hub_request *request);
void hub_evaluate(struct hub *hub, const struct engine_event *event);

/* action.c */
void hub_get_actions(struct hub *hub, struct hub_request *request);
void hub_tell_watchers(struct hub *hub, const char *target);
void hub_watches_expire(struct hub *hub);
void hub_watch_gone(struct hub *hub, uint64_t channel);
enum status hub_add_action(struct hub *hub, const char *rule, const char *target, const char *type,
                           struct bytes properties, const struct engine_event *event);

/* history.c */
void hub_get_history(struct hub *hub, struct hub_request *request);
bool hub_history_rows(struct hub *hub, uint64_t id, enum status status, struct bytes payload);

/* sql.c */
enum hub_sql {
    HUB_SQL_LAST_PUT,
    HUB_SQL_LAST_GET,
    HUB_SQL_ID_GET,
    HUB_SQL_ID_PUT,
    HUB_SQL_ID_PRUNE,
    HUB_SQL_ACTION_NEXT,
    HUB_SQL_ACTION_PUT,
    HUB_SQL_ACTION_PRUNE,
    HUB_SQL_ACTION_LIST,
    HUB_SQL_ACTION_NEWEST,
    HUB_SQL_CLIENT_PUT,
    HUB_SQL_CLIENT_DELETE,
    HUB_SQL_CLIENT_LIST,
    HUB_SQL_RULE_PUT,
    HUB_SQL_RULE_STATE,
    HUB_SQL_RULE_DELETE,
    HUB_SQL_RULE_LIST,
    HUB_SQL_SITE_GET,
    HUB_SQL_SITE_PUT,
    HUB_SQL_COUNT,
};
extern const char *const hub_schema[];
extern const size_t hub_schema_count;
enum status hub_sql_open(struct hub *hub);
void hub_sql_close(struct hub *hub);
/* A prepared statement, reset and ready to bind. */
sqlite3_stmt *hub_sql(struct hub *hub, enum hub_sql which);
void hub_bind_text(sqlite3_stmt *statement, int index, const char *text);
void hub_bind_bytes(sqlite3_stmt *statement, int index, struct bytes bytes);
void hub_bind_view(sqlite3_stmt *statement, int index, struct bytes text);
enum status hub_run(sqlite3_stmt *statement); /* a statement that returns no row; NO_ROOM when the store is full */
bool hub_row(sqlite3_stmt *statement);        /* one more row */
struct bytes hub_column(sqlite3_stmt *statement, int index);
const char *hub_column_text(sqlite3_stmt *statement, int index);

/* query parameters of a request: the value of name=, percent-decoded; NULL when absent */
const char *hub_query(const struct hub_request *request, const char *name, char *room, size_t cap);

#endif
