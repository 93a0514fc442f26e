/* The monitor's TPM: opened with the pinned endorsement key, lost and found again, and the two files behind the counter
 * rule. A TPM that went away stops strict commits and reports, nothing else. */
#include "serve_internal.h"

#include "node.h"

#include <stdio.h>
#include <string.h>

#define TIMEOUT_MS 3000
#define RETRY_MS 2000

static enum status facts_of(struct serve_tpm *node)
{
    struct writer der = writer_over(node->certificate, sizeof node->certificate);
    tpm_ek(node->tpm, &node->ek);
    tpm_ak(node->tpm, &node->ak);
    enum status status = tpm_ek_certificate(node->tpm, &der);
    node->certificate_len = status == OK ? der.len : 0;
    return status == NOT_FOUND ? OK : status;
}

enum status serve_tpm(struct serve *serve, struct tpm **tpm)
{
    struct serve_tpm *node = &serve->tpm;
    if (!node->tpm) {
        uint64_t now = serve_now_ms();
        if (now < node->retry_ms)
            return IO;
        node->retry_ms = now + RETRY_MS;
        enum status status = tpm_open(&node->tpm, serve->options->tcti, serve->options->insecure_dev,
                                      BYTES_OF(node->sealed.ek_name), TIMEOUT_MS, node->error);
        if (status == OK)
            status = tpm_use_root(node->tpm, serve->sealing_root, &node->sealed);
        if (status == OK)
            status = facts_of(node);
        if (status != OK) {
            if (node->tpm)
                snprintf(node->error, sizeof node->error, "%s", tpm_error(node->tpm));
            tpm_close(node->tpm);
            node->tpm = NULL;
            node_log("error", "monitor", "tpm_lost", "reason=\"%s\"", node->error);
            return status;
        }
        node->error[0] = 0;
    }
    *tpm = node->tpm;
    return OK;
}

enum status serve_tpm_after(struct serve *serve, enum status status)
{
    struct serve_tpm *node = &serve->tpm;
    if (status == OK || !node->tpm || !tpm_is_dead(node->tpm))
        return status;
    snprintf(node->error, sizeof node->error, "%s", tpm_error(node->tpm));
    node_log("error", "monitor", "tpm_lost", "reason=\"%s\"", node->error);
    serve_tpm_close(serve);
    return IO;
}

void serve_tpm_close(struct serve *serve)
{
    tpm_close(serve->tpm.tpm);
    serve->tpm.tpm = NULL;
}

static enum status read_counter(void *context, uint64_t *value)
{
    struct serve *serve = context;
    struct tpm *tpm;
    TRY(serve_tpm(serve, &tpm));
    return serve_tpm_after(serve, tpm_counter_read(tpm, value));
}

static enum status increment_counter(void *context, uint64_t *value)
{
    struct serve *serve = context;
    struct tpm *tpm;
    TRY(serve_tpm(serve, &tpm));
    return serve_tpm_after(serve, tpm_counter_increment(tpm, value));
}

static enum status read_slot(void *context, unsigned slot, uint8_t data[HEADS_SLOT_LEN], size_t *len)
{
    const struct serve *serve = context;
    return heads_read_slot(&serve->files, slot, data, len);
}

static enum status write_slot(void *context, unsigned slot, const uint8_t data[HEADS_SLOT_LEN])
{
    const struct serve *serve = context;
    return heads_write_slot(&serve->files, slot, data);
}

static enum status read_record(void *context, size_t place, unsigned which, uint8_t data[HEADS_PLACE_LEN])
{
    const struct serve *serve = context;
    return heads_read_place(&serve->files, place, which, data);
}

static enum status write_record(void *context, size_t place, unsigned which, const uint8_t data[HEADS_PLACE_LEN])
{
    const struct serve *serve = context;
    return heads_write_place(&serve->files, place, which, data);
}

static enum status sync_records(void *context)
{
    const struct serve *serve = context;
    return heads_sync_places(&serve->files);
}

enum heads_verdict serve_load_heads(struct serve *serve)
{
    const struct heads_outside outside = {.context = serve,
                                          .no_records = serve->files.made,
                                          .read_slot = read_slot,
                                          .write_slot = write_slot,
                                          .read_record = read_record,
                                          .write_record = write_record,
                                          .sync_records = sync_records,
                                          .read_counter = read_counter,
                                          .increment_counter = increment_counter};
    enum heads_verdict verdict = HEADS_OUTSIDE;
    uint8_t key[32];
    if (seal_monitor_key(serve->sealing_root, "heads", key) == OK &&
        heads_start(&serve->heads, &outside, BYTES_OF(key), serve->tpm.sealed.born_counter, serve_now_s(), &verdict) ==
            OK)
        verdict = HEADS_GOOD;
    wipe(key, sizeof key);
    return verdict;
}
