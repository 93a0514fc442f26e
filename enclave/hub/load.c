/* A launch: the monitor's head, the store back from the host (journal), then memory from the tables. */
#include "hub_internal.h"

#define SNAPSHOT_MAX (STORE_BYTES_MAX + (1u << 20))

static void ask(struct hub *hub)
{
    struct journal_question question;
    journal_question(&hub->load.journal, &question);
    hub->load.id = hub->next_id++;
    hub_send(hub, question.operation, hub->load.id, bytes_from(question.data, question.len));
}

enum status hub_start(struct hub *hub)
{
    if (hub->state != HUB_LOADING || hub->load.journal.store)
        return WRONG_STATE;
    TRY(store_begin_load(hub->store));
    TRY(hub->port.head(hub->port.user, &hub->head));
    hub->load.journal = (struct journal_load){.store = hub->store, .snapshot_max = SNAPSHOT_MAX};
    ask(hub);
    return OK;
}

static void serve(struct hub *hub)
{
    hub_audit(hub, "serving sequence=%llu", (unsigned long long)hub->head.sequence);
    hub->state = HUB_SERVING;
}

static void finish(struct hub *hub)
{
    bool advance = false;
    if (store_finish_load(hub->store, hub->head.sequence, hub->head.hash, &advance) != OK) {
        hub_stop(hub, store_refused_exit_code(hub->store), "%s", store_refused_sentence(hub->store));
        return;
    }
    enum status status = hub_sql_open(hub);
    if (status == OK)
        status = hub_reload(hub);
    if (status != OK) {
        hub_stop(hub, status == NO_ROOM ? 11 : 1, "the site's tables cannot be read: %s", status_word(status));
        return;
    }
    if (!advance) {
        serve(hub);
        return;
    }
    struct monitor_advance wanted = {0};
    store_sealed_head(hub->store, &wanted.sequence, wanted.hash);
    hub->load.advancing = true;
    if (hub->port.advance(hub->port.user, &wanted) != OK)
        hub_stop(hub, 4, "the monitor is gone");
}

void hub_load_advanced(struct hub *hub)
{
    if (hub->load.advancing)
        serve(hub);
}

void hub_load_take(struct hub *hub, enum status status, struct bytes payload)
{
    hub->load.id = 0; /* one answer to each question */
    switch (journal_take(&hub->load.journal, status, payload)) {
    case JOURNAL_ASK:
        ask(hub);
        return;
    case JOURNAL_READ:
        finish(hub);
        return;
    case JOURNAL_FAILED:
        hub_stop(hub, hub->load.journal.exit_code, "%s", hub->load.journal.why);
        return;
    }
}

/* ---- Memory from the tables ---- */

enum status hub_reload(struct hub *hub)
{
    sqlite3_stmt *site = hub_sql(hub, HUB_SQL_SITE_GET);
    if (hub_row(site))
        hub_set_time(hub, (uint64_t)sqlite3_column_int64(site, 0));
    sqlite3_reset(site);
    TRY(hub_authority_reload(hub));
    TRY(hub_clients_reload(hub));
    return hub_rules_reload(hub);
}
