/* A launch: the monitor's head, the store back from the host (journal), then the states from the tables. */
#include "vtpm_internal.h"

#include <string.h>

#define SNAPSHOT_MAX (8u << 20)

static void ask(struct vtpm *vtpm)
{
    struct journal_question question;
    journal_question(&vtpm->load.journal, &question);
    vtpm->load.id = vtpm->next_id++;
    vtpm_send(vtpm, question.operation, vtpm->load.id, bytes_from(question.data, question.len));
}

static void become(struct vtpm *vtpm, const struct image_configuration *whose, const struct image_machine *machine)
{
    if (whose) {
        vtpm->owner = whose->owner;
        memcpy(vtpm->instance, whose->site, sizeof vtpm->instance);
    }
    if (machine)
        vtpm->machine = *machine;
    vtpm->state_max =
        vtpm->machine.state_max && vtpm->machine.state_max < VTPM_STATE_MAX ? vtpm->machine.state_max : VTPM_STATE_MAX;
}

enum status vtpm_start(struct vtpm *vtpm, const struct image_configuration *whose, const struct image_machine *machine)
{
    if (vtpm->life != VTPM_LOADING || vtpm->load.journal.store)
        return WRONG_STATE;
    become(vtpm, whose, machine);
    vtpm->load.journal = (struct journal_load){.store = vtpm->store, .snapshot_max = SNAPSHOT_MAX};
    ask(vtpm); /* first, for the host looks for it while the monitor is asked */
    TRY(store_begin_load(vtpm->store));
    return vtpm->port.head(vtpm->port.user, &vtpm->head);
}

/* What the monitor keeps and the host has not stored. A record that is missing is for the store to tell. */
static enum status take_kept(struct vtpm *vtpm)
{
    vtpm->handed = vtpm->synced = store_next_sequence(vtpm->store) - 1;
    while (store_next_sequence(vtpm->store) <= vtpm->head.sequence) {
        uint8_t room[MONITOR_RECORD_ROOM];
        struct writer record = writer_over(room, sizeof room);
        enum status status = vtpm->port.record(vtpm->port.user, store_next_sequence(vtpm->store), &record);
        if (status == NOT_FOUND)
            return OK;
        if (status != OK) {
            vtpm_stop(vtpm, 9, "the monitor gives no record that the host has not stored: %s", status_word(status));
            return status;
        }
        TRY(store_apply(vtpm->store, writer_bytes(&record)));
    }
    return OK;
}

void vtpm_load_advance(struct vtpm *vtpm)
{
    struct monitor_advance wanted = {.sequence = vtpm->head.sequence + 1};
    if (wanted.sequence > store_sealed_sequence(vtpm->store)) {
        vtpm->life = VTPM_SERVING;
        return;
    }
    vtpm->commit = VTPM_ADVANCING;
    if (store_loaded_hash(vtpm->store, wanted.sequence, wanted.hash) != OK ||
        vtpm->port.advance(vtpm->port.user, &wanted, (struct bytes){0}) != OK)
        vtpm_stop(vtpm, 4, "the monitor is gone");
}

static void finish(struct vtpm *vtpm)
{
    bool advance = false;
    if (take_kept(vtpm) != OK || store_finish_load(vtpm->store, vtpm->head.sequence, vtpm->head.hash, &advance) != OK) {
        vtpm_stop(vtpm, store_refused_exit_code(vtpm->store), "%s", store_refused_sentence(vtpm->store));
        return;
    }
    enum status status = vtpm_states_load(vtpm);
    if (status != OK) {
        vtpm_stop(vtpm, status == NO_ROOM ? 11 : 1, "the TPM's state cannot be read: %s", status_word(status));
        return;
    }
    status = vtpm_policy_load(vtpm);
    if (status != OK) {
        vtpm_stop(vtpm, 1, "the machine policy's serial cannot be read: %s", status_word(status));
        return;
    }
    vtpm_audit(vtpm, "serving sequence=%llu state=%zu", (unsigned long long)vtpm->head.sequence,
               vtpm->states[VTPM_PERMANENT].len);
    if (!advance) {
        vtpm->life = VTPM_SERVING;
        vtpm_serve_waiting(vtpm);
        return;
    }
    vtpm_load_advance(vtpm);
}

void vtpm_load_take(struct vtpm *vtpm, enum status status, struct bytes payload)
{
    vtpm->load.id = 0; /* one answer to each question */
    switch (journal_take(&vtpm->load.journal, status, payload)) {
    case JOURNAL_ASK:
        ask(vtpm);
        return;
    case JOURNAL_READ:
        finish(vtpm);
        return;
    case JOURNAL_FAILED:
        vtpm_stop(vtpm, vtpm->load.journal.exit_code, "%s", vtpm->load.journal.why);
        return;
    }
}
