/* GET /status: how the site is, for its owner. */
#include "hub_internal.h"

static json_t *storage(const struct hub *hub)
{
    bool works = hub->retry_at_ms == 0;
    return json_pack("{s:s,s:s,s:I,s:I}", "state", works ? "works" : "read-only", "reason",
                     works ? "" : hub->storage_problem, "commits", (json_int_t)hub->counts.commits, "failures",
                     (json_int_t)hub->counts.failed_commits);
}

/* What the monitor can prove about this head, see abi/monitor.h. */
static json_t *freshness(const struct hub *hub)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I}", "sequence", (json_int_t)hub->head.sequence, "nv_counter",
                     (json_int_t)hub->head.nv_counter, "reset_count", (json_int_t)hub->head.reset_count,
                     "restart_count", (json_int_t)hub->head.restart_count, "since", (json_int_t)hub->head.since_s);
}

/* Since this launch. */
static json_t *counts(const struct hub *hub)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "events", (json_int_t)hub->counts.events, "duplicates",
                     (json_int_t)hub->counts.duplicates, "actions", (json_int_t)hub->counts.actions, "refused",
                     (json_int_t)hub->counts.refused, "evaluations", (json_int_t)hub->counts.engine.evaluations,
                     "fired", (json_int_t)hub->counts.engine.fired, "failures",
                     (json_int_t)hub->counts.engine.failures);
}

void hub_get_status(struct hub *hub, struct hub_request *request)
{
    char site[2 * sizeof hub->site_id + 1], config[2 * sizeof hub->config_id + 1], now[ENGINE_TIME_LEN + 1];
    engine_format_time((int64_t)hub->now_ms, now);
    if (hex_encode(BYTES_OF(hub->site_id), site, sizeof site) != OK ||
        hex_encode(BYTES_OF(hub->config_id), config, sizeof config) != OK) {
        hub_refuse_memory(request);
        return;
    }
    hub_answer_json(request, COAP_CONTENT,
                    json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o}", "site", site, "config", config,
                              "time", now, "clients", (json_int_t)hub->client_count, "sessions",
                              (json_int_t)hub->session_count, "handshakes", (json_int_t)hub_handshake_count(hub),
                              "rules", (json_int_t)engine_rule_count(hub->engine), "archived",
                              (json_int_t)store_archive_confirmed(hub->store), "watches", (json_int_t)hub->watch_count,
                              "storage", storage(hub), "freshness", freshness(hub), "counts", counts(hub)));
}
