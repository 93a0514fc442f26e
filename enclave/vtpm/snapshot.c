/* State that leaves: sealed for this instance on this node where the machine policy allows it, or for the landing key
 * that the owner's grant names. All kinds are sealed at one moment and given out one by one, as QEMU asks for them. */
#include "vtpm_internal.h"

#include <stdlib.h>
#include <string.h>

#define SNAPSHOT_LABEL "vtpm snapshot"

void vtpm_sealed_done(struct vtpm *vtpm)
{
    for (int kind = 0; kind < VTPM_KINDS; kind++) {
        free(vtpm->sealed[kind].data); /* ciphertext */
        vtpm->sealed[kind] = (struct vtpm_sealed){0};
    }
}

/* ---- Sealing ---- */

struct sealing {
    struct vtpm_blob head; /* kind and content are each blob's own */
    uint8_t key[VTPM_TRANSFER_KEY_LEN];
    uint8_t authority[VTPM_TRANSFER_AUTHORITY_MAX], wrapped[VTPM_TRANSFER_WRAPPED_LEN];
    const struct bytes *states[VTPM_KINDS]; /* NULL: absent */
};

static enum status seal_one(struct vtpm *vtpm, struct sealing *sealing, int kind)
{
    const struct bytes *state = sealing->states[kind];
    const size_t cap = VTPM_TRANSFER_BLOB_MAX(state ? state->len : 0);
    struct vtpm_sealed *sealed = &vtpm->sealed[kind];
    sealed->data = malloc(cap);
    if (!sealed->data)
        return NO_ROOM;
    struct writer writer = writer_over(sealed->data, cap);
    sealing->head.kind = (uint8_t)(kind + 1);
    TRY(vtpm_blob_seal(&writer, &sealing->head, sealing->key, state));
    sealed->len = writer.len;
    return OK;
}

static enum status seal_all(struct vtpm *vtpm, struct sealing *sealing)
{
    size_t len = 0;
    vtpm_sealed_done(vtpm);
    for (int kind = 0; kind < VTPM_KINDS; kind++)
        len += sealing->states[kind] ? sealing->states[kind]->len : 0;
    enum status status = len <= VTPM_TRANSFER_STATE_MAX ? OK : NO_ROOM;
    for (int kind = 0; kind < VTPM_KINDS && status == OK; kind++)
        status = seal_one(vtpm, sealing, kind);
    if (status != OK)
        vtpm_sealed_done(vtpm);
    return status;
}

/* The monitor gives a key of its own to each snapshot, for its inputs have a fresh salt. */
static enum status snapshot_key(struct vtpm *vtpm, struct sealing *sealing)
{
    struct monitor_seal seal = {.label = SNAPSHOT_LABEL, .policy = MONITOR_SEAL_SIGNER};
    struct monitor_seal_reply reply;
    TRY(vtpm->port.seal_key(vtpm->port.user, &seal, &reply));
    memcpy(sealing->authority, &reply.inputs, sizeof reply.inputs);
    memcpy(sealing->key, reply.key, sizeof sealing->key);
    memcpy(sealing->head.line, vtpm->stay.line, sizeof sealing->head.line);
    sealing->head.authority = bytes_from(sealing->authority, sizeof reply.inputs);
    wipe(&reply, sizeof reply);
    return crypto_random(sealing->head.id, sizeof sealing->head.id);
}

static enum status grant_key(const struct vtpm *vtpm, struct sealing *sealing)
{
    struct vtpm_grant grant;
    const struct vtpm_stay *stay = &vtpm->stay;
    sealing->head.security_version = stay->security_version;
    memcpy(sealing->head.id, stay->id, sizeof stay->id);
    memcpy(sealing->key, stay->content, sizeof sealing->key);
    memcpy(sealing->authority, stay->grant, stay->grant_len);
    sealing->head.authority = bytes_from(sealing->authority, stay->grant_len);
    TRY(vtpm_grant_open(sealing->head.authority, &vtpm->owner, &grant));
    TRY(vtpm_blob_wrap(&sealing->head, &vtpm->from, &grant.to, sealing->key, sealing->wrapped));
    sealing->head.wrapped = BYTES_OF(sealing->wrapped);
    return OK;
}

static enum status backup_key(struct vtpm *vtpm, struct sealing *sealing)
{
    memcpy(sealing->authority, vtpm->armed_grant, vtpm->armed_len);
    sealing->head.authority = bytes_from(sealing->authority, vtpm->armed_len);
    TRY(crypto_random(sealing->head.id, sizeof sealing->head.id));
    TRY(crypto_random(sealing->key, sizeof sealing->key));
    TRY(vtpm_blob_wrap(&sealing->head, &vtpm->from, &vtpm->armed.to, sealing->key, sealing->wrapped));
    sealing->head.wrapped = BYTES_OF(sealing->wrapped);
    return OK;
}

static enum status key_for(struct vtpm *vtpm, struct sealing *sealing)
{
    switch (sealing->head.purpose) {
    case VTPM_BLOB_SNAPSHOT:
        return snapshot_key(vtpm, sealing);
    case VTPM_BLOB_MOVE:
        return grant_key(vtpm, sealing);
    case VTPM_BLOB_BACKUP:
        return backup_key(vtpm, sealing);
    case VTPM_BLOB_RESTORE:
        break;
    }
    return INTERNAL;
}

/* A snapshot has the volatile state as it is now; a move what was kept of it when it ended; a backup none, as after a
 * loss of power. */
enum status vtpm_seal_states(struct vtpm *vtpm, enum vtpm_blob_purpose purpose)
{
    struct sealing sealing = {.head = {.purpose = purpose, .security_version = vtpm->security_version}};
    struct bytes states[VTPM_KINDS];
    uint8_t *now = NULL;
    size_t now_len = 0;
    memcpy(sealing.head.instance, vtpm->instance, sizeof sealing.head.instance);
    vtpm_blob_set_serial(&sealing.head, vtpm->serial);
    for (int kind = 0; kind < VTPM_KINDS; kind++) {
        states[kind] = bytes_from(vtpm->states[kind].data, vtpm->states[kind].len);
        sealing.states[kind] = vtpm->states[kind].exists ? &states[kind] : NULL;
    }
    enum status status = OK;
    if (purpose == VTPM_BLOB_BACKUP)
        sealing.states[VTPM_VOLATILE] = NULL;
    if (purpose == VTPM_BLOB_SNAPSHOT) {
        status = vtpm_tpm_volatile(vtpm, &now, &now_len);
        states[VTPM_VOLATILE] = bytes_from(now, now_len);
        sealing.states[VTPM_VOLATILE] = &states[VTPM_VOLATILE];
    }
    if (status == OK)
        status = key_for(vtpm, &sealing);
    if (status == OK)
        status = seal_all(vtpm, &sealing);
    if (now)
        wipe(now, now_len);
    free(now);
    wipe(&sealing, sizeof sealing);
    return status;
}

/* The volatile state is kept as it is now, if all of it can be given. */
static enum status keep_volatile(struct vtpm *vtpm)
{
    size_t len = 0;
    if (vtpm->running && vtpm_tpm_store_volatile(vtpm) != SWTPM_OK)
        return INTERNAL;
    for (int kind = 0; kind < VTPM_KINDS; kind++)
        len += vtpm->states[kind].len;
    if (len <= VTPM_TRANSFER_STATE_MAX)
        return OK;
    if (vtpm->running)
        TRY(vtpm_state_drop(vtpm, VTPM_VOLATILE));
    return NO_ROOM;
}

/* What is sealed for a receiver never changes, whoever asks for it again, for its keys and nonces do not either.
 *
 * From this request's commit on the state is its receiver's, and before it nothing leaves. */
enum status vtpm_move_out(struct vtpm *vtpm)
{
    struct vtpm_stay stay = {
        .custody = VTPM_MOVED, .security_version = vtpm->security_version, .grant_len = vtpm->armed_len};
    SECRET secret = {.len = 0};
    vtpm_sealed_done(vtpm);
    vtpm_staged_done(vtpm); /* what was taken in was for a state that is here */
    TRY(crypto_key_export(&vtpm->from, &secret));
    TRY(crypto_random(stay.content, sizeof stay.content));
    TRY(crypto_random(stay.id, sizeof stay.id));
    TRY(keep_volatile(vtpm));
    memcpy(stay.line, vtpm->stay.line, sizeof stay.line);
    memcpy(stay.to, vtpm->armed.to.data, sizeof stay.to);
    memcpy(stay.secret, secret.data, sizeof stay.secret);
    memcpy(stay.grant, vtpm->armed_grant, vtpm->armed_len);
    enum status status = vtpm_stay_put(vtpm, &stay);
    wipe(&stay, sizeof stay);
    TRY(status);
    vtpm->paused = vtpm->running;
    vtpm_tpm_off(vtpm);
    vtpm->armed = (struct vtpm_grant){0};
    vtpm->armed_len = 0;
    vtpm_audit(vtpm, "state=moved");
    return OK;
}

/* ---- GET_STATE ---- */

static enum status get_ready(struct vtpm *vtpm, bool afresh)
{
    if (vtpm->stay.custody == VTPM_LIVE && vtpm->armed.purpose == VTPM_GRANT_MOVE)
        TRY(vtpm_move_out(vtpm));
    const bool ready = vtpm->sealed[0].data;
    if (vtpm->stay.custody == VTPM_MOVED)
        return ready ? OK : vtpm_seal_states(vtpm, VTPM_BLOB_MOVE);
    if (!vtpm->machine.snapshots)
        return DENIED;
    return ready && !afresh ? OK : vtpm_seal_states(vtpm, VTPM_BLOB_SNAPSHOT);
}

void vtpm_get_state(struct vtpm *vtpm, const struct swtpm_request *request, struct swtpm_reply *reply)
{
    const uint32_t type = request->of.get_state.type, off = request->of.get_state.off;
    if (type < SWTPM_PERMANENT || type > SWTPM_SAVESTATE) {
        reply->result = SWTPM_BAD_PARAMETER;
        return;
    }
    enum status status = get_ready(vtpm, type == SWTPM_PERMANENT && off == 0);
    if (status != OK) {
        vtpm_audit(vtpm, "refused=get_state: %s",
                   status == DENIED ? "the machine policy allows no snapshots, and the owner granted no move"
                                    : status_word(status));
        reply->result = SWTPM_FAIL;
        return;
    }
    const struct bytes whole = bytes_from(vtpm->sealed[type - 1].data, vtpm->sealed[type - 1].len);
    if (off > whole.len) {
        reply->result = SWTPM_BAD_PARAMETER;
        return;
    }
    reply->of.state.flags = SWTPM_STATE_ENCRYPTED;
    reply->of.state.total = (uint32_t)whole.len;
    reply->of.state.blob = bytes_slice(whole, off, whole.len - off);
}
