/* What the enclave asks: report, sealing key, head, advance, record. Who it is is what was measured, never what it
 * says. */
#include "serve_internal.h"

#include "eat.h"
#include "node.h"

#include <string.h>

#define SYNC_MS 1000 /* from a relaxed commit until it is durable */

/* The same facts for every report of this launch. */
static void fill_report(const struct serve *serve, const struct serve_site *site, const struct monitor_report *ask,
                        const struct head *head, struct eat_report *report)
{
    const struct enclave_image *image = &site->is.image->image;
    *report = (struct eat_report){
        .nonce_len = ask->nonce_len,
        .time_s = serve_now_s(),
        .port = bytes_from_text("linux"),
        .mode = serve->options->insecure_dev ? EAT_INSECURE_DEV : EAT_PRODUCTION,
        .product = bytes_from_text(image->manifest.product),
        .security_version = image->manifest.security_version,
        .walls = serve_standing_walls(serve, site),
        .secret_bytes = site->secret_bytes,
        .unprotected_bytes = site->unprotected_bytes,
        .monitor_measured = serve->monitor_measured,
        .nv_counter = serve->heads.counter,
        .sequence = head->sequence,
        .since_s = serve->heads.since_s,
    };
    memcpy(report->nonce, ask->nonce, ask->nonce_len);
    memcpy(report->measurement, image->measurement, sizeof report->measurement);
    memcpy(report->signer, image->signer, sizeof report->signer);
    memcpy(report->config, site->is.configuration.config_id, sizeof report->config);
    memcpy(report->workload, site->is.workload, sizeof report->workload);
    memcpy(report->user_data, ask->user_data, sizeof report->user_data);
    memcpy(report->monitor, serve->monitor_hash, sizeof report->monitor);
}

static enum status put_evidence(struct serve *serve, const struct serve_site *site, const struct monitor_report *ask,
                                struct writer *writer)
{
    struct tpm *tpm;
    struct tpm_quote quote;
    struct eat_report report;
    struct head head;
    uint8_t data[32], signed_report[EAT_REPORT_MAX];
    struct writer body = writer_over(signed_report, sizeof signed_report);
    TRY(heads_sync(&serve->heads)); /* whoever sees it would take less for a rollback */
    heads_get(&serve->heads, site->is.configuration.site, &head);
    fill_report(serve, site, ask, &head, &report);
    TRY(serve_tpm(serve, &tpm));
    TRY(eat_quote_data(&serve->report_key.public_key, bytes_from(ask->nonce, ask->nonce_len), data));
    TRY(serve_tpm_after(serve, tpm_counts(tpm, &report.reset_count, &report.restart_count)));
    serve->reset_count = report.reset_count;
    serve->restart_count = report.restart_count;
    TRY(serve_tpm_after(serve, tpm_make_quote(tpm, data, &quote)));
    TRY(eat_report_sign(&body, &serve->report_key, &report));
    struct eat_evidence bundle = {.report = writer_bytes(&body),
                                  .report_key = serve->report_key.public_key,
                                  .quote = bytes_from(quote.attest, quote.attest_len),
                                  .quote_signature = BYTES_OF(quote.signature),
                                  .pcr_mask = TPM_PCR_MASK,
                                  .ak = bytes_from(serve->tpm.ak.data, serve->tpm.ak.len),
                                  .ek = bytes_from(serve->tpm.ek.data, serve->tpm.ek.len),
                                  .ek_certificate = bytes_from(serve->tpm.certificate, serve->tpm.certificate_len)};
    memcpy(bundle.pcrs, quote.pcrs, sizeof bundle.pcrs);
    eat_put_evidence(writer, &bundle);
    return writer_end(writer);
}

static enum status answer_seal(const struct serve *serve, const struct serve_site *site, const struct monitor_seal *ask,
                               struct monitor_seal_reply *reply)
{
    const struct enclave_image *image = &site->is.image->image;
    struct seal_asker asker = {.security_version = image->manifest.security_version};
    uint8_t salt[MONITOR_HASH_LEN];
    struct monitor_seal_inputs inputs = ask->inputs;
    memcpy(asker.measurement, image->measurement, sizeof asker.measurement);
    memcpy(asker.signer, image->seal_signer, sizeof asker.signer);
    memcpy(asker.config, site->is.configuration.config_id, sizeof asker.config);
    if (ask->open) {
        TRY(seal_permits(&asker, &inputs));
    } else {
        TRY(crypto_random(salt, sizeof salt));
        TRY(seal_fill(&asker, ask->policy, salt, &inputs));
    }
    TRY(seal_key(serve->sealing_root, ask->label, &inputs, reply->key));
    reply->inputs = inputs;
    return OK;
}

/* A commit asks nothing of the TPM, which may be slower than the disk: it tells what the TPM said last. */
static void fill_head(const struct serve *serve, const struct serve_site *site, struct monitor_head_reply *reply)
{
    struct head head;
    heads_get(&serve->heads, site->is.configuration.site, &head);
    *reply = (struct monitor_head_reply){.sequence = head.sequence,
                                         .nv_counter = serve->heads.counter,
                                         .reset_count = serve->reset_count,
                                         .restart_count = serve->restart_count,
                                         .since_s = serve->heads.since_s};
    memcpy(reply->hash, head.hash, sizeof reply->hash);
}

/* What it said before stays while it does not answer. */
static void ask_counts(struct serve *serve)
{
    struct tpm *tpm;
    uint32_t resets = 0, restarts = 0;
    if (!serve->tpm.tpm || serve_tpm(serve, &tpm) != OK ||
        serve_tpm_after(serve, tpm_counts(tpm, &resets, &restarts)) != OK)
        return;
    serve->reset_count = resets;
    serve->restart_count = restarts;
}

static enum status advance(struct serve *serve, const struct serve_site *site, const struct monitor_advance *ask,
                           struct bytes record)
{
    struct head head = {.sequence = ask->sequence};
    memcpy(head.site, site->is.configuration.site, sizeof head.site);
    memcpy(head.hash, ask->hash, sizeof head.hash);
    const enum heads_commit commit = ask->strict ? HEADS_STRICT : site->relaxed ? HEADS_RELAXED : HEADS_DURABLE;
    enum status status = heads_advance(&serve->heads, &head, record, commit, serve_now_s());
    if (serve->heads.unsynced && !serve->sync_ms)
        serve->sync_ms = serve_now_ms() + SYNC_MS;
    if (status == DENIED) {
        serve_lease_lost(serve);
    } else if (status != OK) {
        node_log("error", "monitor", "not_advanced", "%ssequence=%llu strict=%u status=%s", site->tag,
                 (unsigned long long)ask->sequence, ask->strict, status_word(status));
    }
    return status;
}

static enum status put_record(const struct serve *serve, const struct serve_site *site, uint64_t sequence,
                              struct writer *writer)
{
    _Static_assert(MONITOR_RECORDS == HEADS_RECORDS && MONITOR_RECORD_MAX == HEADS_RECORD_MAX, "one limit");
    uint8_t data[HEADS_PLACE_LEN];
    struct bytes record;
    TRY(heads_record(&serve->heads, site->is.configuration.site, sequence, data, &record));
    put_bytes(writer, record);
    return writer_end(writer);
}

static enum status answer(struct serve *serve, const struct serve_site *site, const struct permit_request *request,
                          struct writer *writer)
{
    if (request->operation == MONITOR_REPORT) {
        enum status status = put_evidence(serve, site, &request->of.report, writer);
        if (status != OK)
            node_log("error", "monitor", "no_report", "%sstatus=%s reason=\"%s\"", site->tag, status_word(status),
                     serve->tpm.error);
        return status;
    }
    if (request->operation == MONITOR_SEAL_KEY) {
        struct monitor_seal_reply reply;
        enum status status = answer_seal(serve, site, &request->of.seal, &reply);
        if (status == OK)
            put_bytes(writer, bytes_from(&reply, sizeof reply));
        wipe(&reply, sizeof reply);
        return status == OK ? writer_end(writer) : status;
    }
    if (request->operation == MONITOR_LAUNCH)
        return serve_measured(site, writer);
    if (request->operation == MONITOR_LAUNCHES)
        return site->is.machine.hypervisor ? serve_launches(serve, request->of.from.number, writer) : DENIED;
    if (request->operation == MONITOR_RECORD)
        return put_record(serve, site, request->of.record.sequence, writer);
    enum status status = OK;
    struct monitor_head_reply head;
    if (request->operation == MONITOR_ADVANCE)
        status = advance(serve, site, &request->of.advance.what, request->of.advance.record);
    else if ((status = heads_sync(&serve->heads)) == OK) /* who starts from a head is not overtaken by a failed one */
        ask_counts(serve);
    fill_head(serve, site, &head); /* after a failed advance, too: where it stands */
    put_bytes(writer, bytes_from(&head, sizeof head));
    return status;
}

/* False when the enclave is no longer there. */
static bool handle(struct serve *serve, struct serve_site *site, struct bytes packet)
{
    static uint8_t room[MONITOR_MESSAGE_MAX - sizeof(struct monitor_header)];
    struct writer writer = writer_over(room, sizeof room);
    struct permit_request request;
    enum status status = permit_check(&site->session, packet, &request);
    if (status != OK)
        node_log("warning", "monitor", "enclave_refused", "%soperation=%u status=%s", site->tag,
                 (unsigned)request.operation, status_word(status));
    if (status == OK && request.operation == MONITOR_READY) {
        serve_enclave_ready(serve, site);
        return site->running && !serve->stopping;
    }
    if (status == OK)
        status = answer(serve, site, &request, &writer);
    bool sent = serve_send(site->enclave.socket, (uint16_t)request.operation, status, writer_bytes(&writer), NULL, 0);
    wipe(room, writer.len);
    return sent;
}

void serve_enclave_readable(struct serve *serve, struct serve_site *site, unsigned most)
{
    static uint8_t packet[MONITOR_MESSAGE_MAX];
    for (unsigned i = 0; i < most && site->running && !serve->stopping; i++) {
        size_t len = 0;
        enum status status = serve_receive(site->enclave.socket, packet, sizeof packet, &len, NULL);
        if (status == BUSY)
            return;
        if (status != OK || !handle(serve, site, bytes_from(packet, len))) {
            if (site->running && !serve->stopping)
                serve_enclave_hung_up(site);
            return;
        }
    }
}
