/* What VMs are launched from: measured for the host end that attached, a step a turn; told to its vTPM, which asks, and
 * put into the node's log, which the node's own vTPM asks for. A measurement belongs to one attachment: whoever starts
 * another VM attaches anew. */
#include "serve_internal.h"

#include "node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TELL_MS 1000

void serve_measure_forget(struct serve_site *site)
{
    if (site->measuring)
        measure_end(&site->measure);
    site->measuring = site->measured = false;
}

enum status serve_measure(struct serve_caller *caller, const struct monitor_measure *asked, const int *fds,
                          size_t count, struct writer *writer)
{
    struct serve_site *site = caller->site;
    char sentence[MEASURE_SENTENCE_MAX] = "one is under way";
    enum status status = site->measuring ? BUSY : WRONG_STATE;
    if (site->measured)
        snprintf(sentence, sizeof sentence, "this attachment's launch is measured: attach anew for another");
    else if (!site->measuring)
        status = measure_begin(&site->measure, asked->given, fds, count, sentence);
    if (status != OK) {
        put_text(writer, sentence);
        node_log("warning", "monitor", "not_measured", "%sstatus=%s reason=\"%s\"", site->tag, status_word(status),
                 sentence);
        return status;
    }
    site->measuring = true;
    site->measure_deadline_ms = serve_now_ms() + MEASURE_MS;
    site->measure_tell_ms = serve_now_ms() + TELL_MS;
    return OK;
}

static void fill(const struct serve_site *site, struct monitor_launch *launch)
{
    *launch = (struct monitor_launch){.refused = site->refused};
    for (size_t part = 0; part < IMAGE_PARTS; part++)
        launch->given |= (uint32_t)site->launch.given[part] << part;
    memcpy(launch->hash, site->launch.hash, sizeof launch->hash);
}

enum status serve_measured(const struct serve_site *site, struct writer *writer)
{
    struct monitor_launch launch;
    if (!site->measured)
        return NOT_FOUND;
    fill(site, &launch);
    put_bytes(writer, bytes_from(&launch, sizeof launch));
    return writer_end(writer);
}

/* In the log before anybody is told: what the node's own vTPM does not know of was not launched. */
static enum status put_into_log(struct serve *serve, const struct serve_site *site)
{
    struct serve_launches *log = &serve->measured;
    if (log->count == SERVE_MEASURED_MAX)
        return NO_ROOM;
    if (log->count == log->cap) {
        const size_t cap = log->cap ? 2 * log->cap : 16;
        struct monitor_vm *more = realloc(log->vms, cap * sizeof *more);
        if (!more)
            return NO_ROOM;
        log->vms = more;
        log->cap = cap;
    }
    struct monitor_vm *vm = &log->vms[log->count++];
    memcpy(vm->site, site->is.configuration.site, sizeof vm->site);
    fill(site, &vm->launch);
    return OK;
}

enum status serve_launches(const struct serve *serve, uint64_t from, struct writer *writer)
{
    const struct serve_launches *log = &serve->measured;
    struct monitor_launches_reply reply = {.total = log->count};
    if (from < log->count)
        reply.count = (uint32_t)(log->count - from < MONITOR_LAUNCHES_MAX ? log->count - from : MONITOR_LAUNCHES_MAX);
    put_bytes(writer, bytes_from(&reply, sizeof reply));
    if (reply.count)
        put_bytes(writer, bytes_from(log->vms + from, reply.count * sizeof *log->vms));
    return writer_end(writer);
}

static enum status judge(struct serve *serve, struct serve_site *site, char sentence[MEASURE_SENTENCE_MAX])
{
    const struct image_machine *machine = &site->is.machine;
    char parts[MEASURE_SENTENCE_MAX / 2];
    site->refused = machine->serial ? image_launch_refused(machine, &site->launch) : 0;
    if (machine->launch == IMAGE_LAUNCH_NONE)
        site->refused = 0;
    measure_list(site->refused, parts, sizeof parts);
    if (site->refused && machine->launch == IMAGE_LAUNCH_ENFORCE) {
        snprintf(sentence, MEASURE_SENTENCE_MAX, "the machine policy (serial %llu) has no such %s",
                 (unsigned long long)machine->serial, parts);
        return DENIED;
    }
    snprintf(sentence, MEASURE_SENTENCE_MAX, "the node's log of launches is full: start the monitor anew");
    TRY(put_into_log(serve, site));
    snprintf(sentence, MEASURE_SENTENCE_MAX, "%s", parts);
    return OK;
}

static void conclude(struct serve *serve, struct serve_site *site, enum status status)
{
    uint8_t room[sizeof(struct monitor_launch) + MEASURE_SENTENCE_MAX];
    char sentence[MEASURE_SENTENCE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    snprintf(sentence, sizeof sentence, "it could not be read, or not within %d s", MEASURE_MS / 1000);
    site->launch = site->measure.launch;
    serve_measure_forget(site);
    if (status == OK)
        status = judge(serve, site, sentence);
    site->measured = status == OK;
    if (status != OK || serve_measured(site, &writer) != OK)
        put_text(&writer, sentence);
    node_log(status == OK ? "info" : "warning", "monitor", status == OK ? "measured" : "not_measured",
             "%sstatus=%s launches=%zu differ=\"%s\"", site->tag, status_word(status), serve->measured.count, sentence);
    if (site->host && !serve_send(site->host->fd, MONITOR_MEASURE, status, writer_bytes(&writer), NULL, 0))
        serve_drop_caller(serve, site->host);
}

void serve_measure_on(struct serve *serve, struct serve_site *site, uint64_t now_ms)
{
    enum status status = now_ms < site->measure_deadline_ms ? measure_step(&site->measure) : IO;
    if (status != BUSY) {
        conclude(serve, site, status);
        return;
    }
    if (now_ms < site->measure_tell_ms)
        return;
    const struct monitor_measuring told = {site->measure.done, site->measure.total};
    site->measure_tell_ms = now_ms + TELL_MS;
    if (site->host && !serve_send(site->host->fd, MONITOR_MEASURING, OK, bytes_from(&told, sizeof told), NULL, 0))
        serve_drop_caller(serve, site->host);
}
