/* State that arrives: opened as it comes, kept aside, and applied as a whole or not at all. A snapshot must be of this
 * stay of the state in this store; what landed or was restored, of a grant of the owner's for our landing key. */
#include "vtpm_internal.h"

#include <stdlib.h>
#include <string.h>

static void drop(struct vtpm_staged *staged)
{
    if (staged->data)
        wipe(staged->data, staged->len);
    free(staged->data);
    *staged = (struct vtpm_staged){0};
}

void vtpm_staged_done(struct vtpm *vtpm)
{
    for (int kind = 0; kind < VTPM_KINDS; kind++)
        drop(&vtpm->staged[kind]);
}

static enum status refuse(const char **why, const char *sentence)
{
    *why = sentence;
    return DENIED;
}

/* ---- Whose it is: said before a key is tried, because a wrong key could only say that something is wrong ---- */

static enum status snapshot_key(struct vtpm *vtpm, const struct vtpm_blob *blob, uint8_t key[VTPM_TRANSFER_KEY_LEN],
                                const char **why)
{
    struct monitor_seal seal = {.label = "vtpm snapshot", .policy = MONITOR_SEAL_SIGNER, .open = 1};
    struct monitor_seal_reply reply;
    if (!vtpm->machine.snapshots)
        return refuse(why, "the machine policy allows no snapshots");
    if (vtpm->stay.custody != VTPM_LIVE)
        return refuse(why, "there is no state here that a snapshot could be taken back to");
    if (memcmp(blob->line, vtpm->stay.line, sizeof blob->line) != 0)
        return refuse(why, "a snapshot from before the state came here, or of another node's");
    if (blob->authority.len != sizeof seal.inputs)
        return refuse(why, "no snapshot of this program's");
    memcpy(&seal.inputs, blob->authority.data, sizeof seal.inputs);
    enum status status = vtpm->port.seal_key(vtpm->port.user, &seal, &reply);
    if (status == IO)
        return IO;
    if (status != OK)
        return refuse(why, "a snapshot of another instance or program, or a newer one's");
    memcpy(key, reply.key, VTPM_TRANSFER_KEY_LEN);
    wipe(&reply, sizeof reply);
    return OK;
}

static enum status grant_key(struct vtpm *vtpm, const struct vtpm_blob *blob, uint8_t key[VTPM_TRANSFER_KEY_LEN],
                             const char **why)
{
    struct vtpm_grant grant;
    struct crypto_key landing = {0};
    if (vtpm->stay.custody != VTPM_LANDING)
        return refuse(why, "no state is expected here: there is no landing key");
    if (vtpm_grant_open(blob->authority, &vtpm->owner, &grant) != OK)
        return refuse(why, "the owner granted nothing of the kind");
    if ((int)grant.purpose != (int)blob->purpose ||
        (grant.purpose != VTPM_GRANT_MOVE && grant.purpose != VTPM_GRANT_RESTORE))
        return refuse(why, "the owner's grant is for something else");
    if (memcmp(grant.instance, vtpm->instance, sizeof grant.instance) != 0)
        return refuse(why, "the owner's grant is for another instance");
    if (memcmp(grant.to.data, vtpm->stay.to, sizeof vtpm->stay.to) != 0)
        return refuse(why, "sealed for another landing key");
    TRY(crypto_key_import(&landing, CRYPTO_P256, BYTES_OF(vtpm->stay.secret)));
    enum status status = vtpm_blob_unwrap(blob, &landing, &grant.from, key);
    crypto_key_done(&landing);
    return status == OK ? OK : refuse(why, "it was changed after it was sealed");
}

static enum status key_of(struct vtpm *vtpm, const struct vtpm_blob *blob, uint8_t key[VTPM_TRANSFER_KEY_LEN],
                          const char **why)
{
    if (memcmp(blob->instance, vtpm->instance, sizeof blob->instance) != 0)
        return refuse(why, "another instance's");
    if (blob->security_version > vtpm->security_version)
        return refuse(why, "sealed by a newer program: use that one");
    switch (blob->purpose) {
    case VTPM_BLOB_SNAPSHOT:
        return snapshot_key(vtpm, blob, key, why);
    case VTPM_BLOB_MOVE:
    case VTPM_BLOB_RESTORE:
        return grant_key(vtpm, blob, key, why);
    case VTPM_BLOB_BACKUP:
        break;
    }
    return refuse(why, "a backup is the owner's to open: have it restored");
}

static enum status take_in(struct vtpm *vtpm, struct bytes encoded, const char **why)
{
    struct vtpm_blob blob = {.kind = 1};
    SECRET key = {.len = VTPM_TRANSFER_KEY_LEN};
    if (vtpm_blob_decode(encoded, &blob) != OK)
        return refuse(why, "no sealed state, or cut short");
    TRY(key_of(vtpm, &blob, key.data, why));
    struct vtpm_staged got = {
        .given = true, .purpose = blob.purpose, .serial = vtpm_blob_serial(&blob), .data = malloc(blob.content.len)};
    memcpy(got.id, blob.id, sizeof got.id);
    if (!got.data)
        return NO_ROOM;
    struct writer state = writer_over(got.data, blob.content.len);
    enum status status = vtpm_blob_open(&blob, key.data, &state, &got.exists);
    got.len = blob.content.len;
    struct vtpm_staged *place = &vtpm->staged[blob.kind - 1];
    drop(status == OK ? place : &got);
    if (status != OK)
        return refuse(why, "it was changed after it was sealed");
    got.len = state.len;
    *place = got;
    return OK;
}

enum status vtpm_stage(struct vtpm *vtpm, struct bytes encoded, const char **why)
{
    *why = "there is no room for it";
    enum status status = take_in(vtpm, encoded, why);
    if (status != OK)
        vtpm_staged_done(vtpm);
    return status;
}

/* ---- All or nothing ---- */

static enum status whole(const struct vtpm *vtpm, const char **why)
{
    const struct vtpm_staged *first = &vtpm->staged[0];
    for (int kind = 0; kind < VTPM_KINDS; kind++) {
        const struct vtpm_staged *staged = &vtpm->staged[kind];
        if (!staged->given)
            return refuse(why, "a kind of state is missing");
        if (staged->purpose != first->purpose || memcmp(staged->id, first->id, sizeof staged->id) != 0)
            return refuse(why, "the kinds of state are of different snapshots");
    }
    if (vtpm->stay.custody != (first->purpose == VTPM_BLOB_SNAPSHOT ? VTPM_LIVE : VTPM_LANDING))
        return refuse(why, "it was taken in when the state was elsewhere");
    if (vtpm->machine.serial < first->serial)
        return refuse(why, "it was served under a newer machine policy than the one here: give this instance that one");
    return first->exists ? OK : refuse(why, "it has no permanent state");
}

static enum status put_states(struct vtpm *vtpm)
{
    for (int kind = 0; kind < VTPM_KINDS; kind++) {
        const struct vtpm_staged *staged = &vtpm->staged[kind];
        if (staged->exists)
            TRY(vtpm_state_put(vtpm, (enum vtpm_kind)kind, bytes_from(staged->data, staged->len)));
        else if (vtpm->states[kind].exists)
            TRY(vtpm_state_drop(vtpm, (enum vtpm_kind)kind));
    }
    if (vtpm->stay.custody == VTPM_LANDING) {
        uint8_t to[VTPM_TRANSFER_POINT_LEN];
        memcpy(to, vtpm->stay.to, sizeof to);
        TRY(vtpm_stay_begin(vtpm, to)); /* and the landing key is gone */
    }
    return store_changed_bytes(vtpm->store) < STORE_RECORD_MAX ? OK : NO_ROOM;
}

enum status vtpm_apply(struct vtpm *vtpm, const char **why)
{
    bool any = false;
    for (int kind = 0; kind < VTPM_KINDS; kind++)
        any |= vtpm->staged[kind].given;
    if (!any)
        return OK;
    enum status status = whole(vtpm, why);
    if (status == OK) {
        *why = "it does not fit the store";
        status = put_states(vtpm);
        if (status == OK && !vtpm_tpm_accepts(vtpm))
            status = refuse(why, "the TPM does not take it");
        if (status != OK)
            vtpm_take_back(vtpm);
        else if (vtpm->staged[0].serial)
            status = vtpm_policy_keep(vtpm); /* no earlier one from this commit on */
    }
    if (status == OK)
        vtpm_audit(vtpm, "state=%s", vtpm->staged[0].purpose == VTPM_BLOB_SNAPSHOT ? "taken_back" : "landed");
    vtpm_staged_done(vtpm);
    return status;
}

/* ---- SET_STATE ---- */

uint32_t vtpm_set_state(struct vtpm *vtpm, const struct swtpm_request *request)
{
    const char *why = "";
    struct vtpm_blob blob;
    const struct bytes encoded = request->of.set_state.blob;
    enum status status = vtpm_blob_decode(encoded, &blob) == OK && blob.kind != request->of.set_state.type
                             ? refuse(&why, "another kind of state than it is set as")
                             : vtpm_stage(vtpm, encoded, &why);
    if (status == OK)
        return SWTPM_OK;
    vtpm_staged_done(vtpm);
    vtpm_audit(vtpm, "refused=set_state: %s", why);
    return SWTPM_FAIL;
}
