/* What is asked where state leaves and lands. The owner's signature is all that counts for what takes the state away
 * from somebody; what only this enclave's own evidence can show is told to whoever asks. */
#include "vtpm_internal.h"

#include "eat.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(VTPM_TRANSFER_EVIDENCE_MAX == EAT_EVIDENCE_MAX && VTPM_TRANSFER_USER_DATA_LEN == EAT_USER_DATA_LEN,
               "limits");

static enum status refuse(const char **why, enum status status, const char *sentence)
{
    *why = sentence;
    return status;
}

/* ---- Operations ---- */

static enum status prepare(struct vtpm *vtpm, const char **why)
{
    struct vtpm_stay stay = {.custody = VTPM_LANDING};
    struct crypto_key landing = {0};
    SECRET secret = {.len = 0};
    if (vtpm->stay.custody == VTPM_LANDING)
        return OK;
    if (vtpm->stay.custody == VTPM_LIVE || vtpm->stay.custody == VTPM_MOVED)
        return refuse(why, WRONG_STATE, "there is a state here: it would be lost if another landed");
    if (!vtpm->owner.len)
        return refuse(why, DENIED, "this instance has no owner who could grant it");
    TRY(crypto_key_generate(&landing, CRYPTO_P256));
    enum status status = crypto_key_export(&landing, &secret);
    if (status == OK) {
        memcpy(stay.to, landing.public_key.data, sizeof stay.to);
        memcpy(stay.secret, secret.data, sizeof stay.secret);
        status = vtpm_stay_put(vtpm, &stay);
    }
    crypto_key_done(&landing);
    wipe(&stay, sizeof stay);
    return status;
}

static enum status abandon(struct vtpm *vtpm, const char **why)
{
    struct vtpm_stay stay = {.custody = VTPM_ABANDONED};
    if (vtpm->stay.custody == VTPM_ABANDONED)
        return OK;
    if (vtpm->stay.custody != VTPM_LANDING)
        return refuse(why, WRONG_STATE, "no state is expected here: there is no landing key to drop");
    vtpm_staged_done(vtpm);
    memcpy(stay.to, vtpm->stay.to, sizeof stay.to);
    return vtpm_stay_put(vtpm, &stay);
}

/* A key that the state left for, by the very grant. */
static bool is_this_move(const struct vtpm *vtpm, const struct vtpm_grant *grant)
{
    return memcmp(grant->to.data, vtpm->stay.to, sizeof vtpm->stay.to) == 0;
}

static enum status resume(struct vtpm *vtpm, const struct vtpm_grant *grant, const char **why)
{
    if (vtpm->stay.custody == VTPM_LIVE) { /* it was granted and did not leave */
        vtpm_disarm(vtpm);
        return OK;
    }
    if (!is_this_move(vtpm, grant))
        return refuse(why, DENIED, "the grant is about another landing key");
    struct vtpm_stay stay = {.custody = VTPM_LIVE};
    memcpy(stay.line, vtpm->stay.line, sizeof stay.line);
    TRY(vtpm_stay_put(vtpm, &stay));
    vtpm_sealed_done(vtpm);
    vtpm_disarm(vtpm);
    vtpm_audit(vtpm, "state=resumed");
    if (vtpm->paused && vtpm_tpm_on(vtpm) != SWTPM_OK)
        vtpm_audit(vtpm, "refused=resume: the TPM does not go on as it was; INIT it");
    vtpm->paused = false;
    return OK;
}

static enum status forget(struct vtpm *vtpm, const struct vtpm_grant *grant, const char **why)
{
    struct vtpm_stay stay = {.custody = VTPM_FORGOTTEN};
    if (vtpm->stay.custody != VTPM_MOVED)
        return refuse(why, WRONG_STATE, "nothing left this vTPM that it could forget");
    if (!is_this_move(vtpm, grant))
        return refuse(why, DENIED, "the grant is about another landing key");
    for (int kind = 0; kind < VTPM_KINDS; kind++)
        if (vtpm->states[kind].exists)
            TRY(vtpm_state_drop(vtpm, (enum vtpm_kind)kind));
    memcpy(stay.to, vtpm->stay.to, sizeof stay.to);
    memcpy(stay.id, vtpm->stay.id, sizeof stay.id);
    TRY(vtpm_stay_put(vtpm, &stay));
    vtpm_sealed_done(vtpm);
    vtpm_disarm(vtpm);
    vtpm->paused = false;
    vtpm_audit(vtpm, "state=forgotten");
    return OK;
}

static enum status check(struct vtpm *vtpm, struct bytes sign1, struct vtpm_grant *grant, const char **why)
{
    if (!vtpm->owner.len || vtpm_grant_open(sign1, &vtpm->owner, grant) != OK)
        return refuse(why, AUTH, "not the owner's grant");
    if (memcmp(grant->instance, vtpm->instance, sizeof grant->instance) != 0)
        return refuse(why, DENIED, "the grant is for another instance");
    if (vtpm->stay.custody != VTPM_LIVE && vtpm->stay.custody != VTPM_MOVED)
        return refuse(why, WRONG_STATE, "there is no state here to be granted");
    if (!vtpm->from.pkey ||
        !bytes_equal(crypto_public_bytes(&grant->from), crypto_public_bytes(&vtpm->from.public_key)))
        return refuse(why, REPLAYED, "the grant is of an earlier launch or move: ask for its status and grant it anew");
    return OK;
}

static void arm(struct vtpm *vtpm, const struct vtpm_grant *grant, struct bytes sign1)
{
    vtpm->armed = *grant;
    memcpy(vtpm->armed_grant, sign1.data, sign1.len);
    vtpm->armed_len = sign1.len;
}

static enum status take_grant(struct vtpm *vtpm, struct bytes sign1, const char **why)
{
    struct vtpm_grant grant = {0};
    TRY(check(vtpm, sign1, &grant, why));
    switch (grant.purpose) {
    case VTPM_GRANT_MOVE:
        if (vtpm->stay.custody == VTPM_MOVED)
            return is_this_move(vtpm, &grant) ? OK : refuse(why, DENIED, "the state has left for another landing key");
        arm(vtpm, &grant, sign1);
        return OK;
    case VTPM_GRANT_RESUME:
        return resume(vtpm, &grant, why);
    case VTPM_GRANT_FORGET:
        return forget(vtpm, &grant, why);
    case VTPM_GRANT_BACKUP:
    case VTPM_GRANT_RESTORE:
        break;
    }
    return refuse(why, DENIED, "the grant is for something else");
}

/* The three that are sealed, one after the other. */
static enum status bundle(struct vtpm *vtpm, uint8_t **data, size_t *len)
{
    size_t whole = 0;
    for (int kind = 0; kind < VTPM_KINDS; kind++)
        whole += vtpm->sealed[kind].len;
    *data = malloc(whole);
    if (!*data)
        return NO_ROOM;
    struct writer writer = writer_over(*data, whole);
    for (int kind = 0; kind < VTPM_KINDS; kind++)
        put_bytes(&writer, bytes_from(vtpm->sealed[kind].data, vtpm->sealed[kind].len));
    *len = writer.len;
    vtpm_sealed_done(vtpm);
    return writer_end(&writer);
}

static enum status give(struct vtpm *vtpm, uint8_t **data, size_t *len, const char **why)
{
    if (vtpm->stay.custody == VTPM_LIVE && vtpm->armed.purpose == VTPM_GRANT_MOVE)
        TRY(vtpm_move_out(vtpm));
    if (vtpm->stay.custody != VTPM_MOVED)
        return refuse(why, DENIED, "the owner granted no move");
    TRY(vtpm_seal_states(vtpm, VTPM_BLOB_MOVE));
    return bundle(vtpm, data, len);
}

/* Once for each `from`: it seals one content key. */
static enum status back_up(struct vtpm *vtpm, struct bytes sign1, uint8_t **data, size_t *len, const char **why)
{
    struct vtpm_grant grant = {0};
    TRY(check(vtpm, sign1, &grant, why));
    if (grant.purpose != VTPM_GRANT_BACKUP)
        return refuse(why, DENIED, "the grant is for something else");
    if (vtpm->stay.custody != VTPM_LIVE)
        return refuse(why, WRONG_STATE, "the state has left: what would be backed up lives elsewhere");
    arm(vtpm, &grant, sign1);
    enum status status = vtpm_seal_states(vtpm, VTPM_BLOB_BACKUP);
    vtpm_disarm(vtpm);
    TRY(status);
    vtpm_audit(vtpm, "state=backed_up");
    return bundle(vtpm, data, len);
}

static enum status land(struct vtpm *vtpm, struct bytes encoded, const char **why)
{
    struct reader reader = reader_over(encoded);
    if (vtpm->stay.custody != VTPM_LANDING)
        return refuse(why, WRONG_STATE, "no state is expected here: there is no landing key");
    vtpm_staged_done(vtpm);
    for (int kind = 0; kind < VTPM_KINDS; kind++) {
        const struct bytes before = reader.rest;
        struct vtpm_blob blob;
        vtpm_blob_take(&reader, &blob);
        if (reader.status != OK) {
            vtpm_staged_done(vtpm);
            return refuse(why, MALFORMED, "no sealed state, or cut short");
        }
        TRY(vtpm_stage(vtpm, bytes_slice(before, 0, before.len - reader.rest.len), why));
    }
    if (reader_end(&reader) != OK) {
        vtpm_staged_done(vtpm);
        return refuse(why, MALFORMED, "there is more than three kinds of state");
    }
    return vtpm_apply(vtpm, why);
}

static enum status act(struct vtpm *vtpm, const struct vtpm_transfer_question *question, uint8_t **data, size_t *len,
                       const char **why)
{
    switch (question->operation) {
    case VTPM_TRANSFER_STATUS:
        return OK;
    case VTPM_TRANSFER_PREPARE:
        return prepare(vtpm, why);
    case VTPM_TRANSFER_GRANT:
        return take_grant(vtpm, question->rest, why);
    case VTPM_TRANSFER_GIVE:
        return give(vtpm, data, len, why);
    case VTPM_TRANSFER_LAND:
        return land(vtpm, question->rest, why);
    case VTPM_TRANSFER_ABANDON:
        return abandon(vtpm, why);
    case VTPM_TRANSFER_BACKUP:
        return back_up(vtpm, question->rest, data, len, why);
    }
    return UNSUPPORTED;
}

/* ---- The answer ---- */

static enum status facts(struct vtpm *vtpm, struct vtpm_transfer_facts *facts)
{
    const enum vtpm_custody custody = vtpm->stay.custody;
    *facts = (struct vtpm_transfer_facts){
        .custody = custody, .armed = vtpm->armed.purpose == VTPM_GRANT_MOVE, .snapshots = vtpm->machine.snapshots};
    memcpy(facts->instance, vtpm->instance, sizeof facts->instance);
    memcpy(facts->id, vtpm->stay.id, sizeof facts->id);
    memcpy(facts->to, vtpm->stay.to, sizeof facts->to);
    if (custody != VTPM_LIVE && custody != VTPM_MOVED)
        return OK;
    TRY(vtpm_from_ready(vtpm));
    memcpy(facts->from, vtpm->from.public_key.data, sizeof facts->from);
    return OK;
}

static enum status prove(struct vtpm *vtpm, const struct vtpm_transfer_facts *facts, struct bytes nonce,
                         struct writer *evidence)
{
    struct monitor_report asked = {.nonce_len = (uint32_t)nonce.len};
    if (nonce.len == 0)
        return OK;
    memcpy(asked.nonce, nonce.data, nonce.len);
    TRY(vtpm_transfer_user_data(facts, asked.user_data));
    return vtpm->port.report(vtpm->port.user, &asked, evidence);
}

static const char *const words[] = {
    "status", "prepare", "grant", "give", "land", "abandon", "backup",
};

void vtpm_transfer(struct vtpm *vtpm, struct bytes frame, struct writer *reply)
{
    static uint8_t evidence_room[EAT_EVIDENCE_MAX];
    struct writer evidence = writer_over(evidence_room, sizeof evidence_room);
    struct vtpm_transfer_question question = {.operation = VTPM_TRANSFER_STATUS};
    struct vtpm_transfer_answer answer = {.status = OK};
    const char *why = "";
    uint8_t *given = NULL;
    size_t given_len = 0;
    answer.status = vtpm_transfer_question_decode(frame, &question);
    if (answer.status == OK)
        answer.status = act(vtpm, &question, &given, &given_len, &why);
    if (answer.status == OK)
        answer.status = facts(vtpm, &answer.facts);
    if (answer.status == OK)
        answer.status = prove(vtpm, &answer.facts, question.nonce, &evidence);
    if (answer.status != OK) {
        vtpm_audit(vtpm, "refused=%s: %s", words[question.operation - 1], *why ? why : status_word(answer.status));
        answer.sentence = bytes_from_text(*why ? why : status_word(answer.status));
    } else {
        answer.evidence = writer_bytes(&evidence);
        answer.rest = bytes_from(given, given_len);
    }
    vtpm_transfer_put_answer(reply, &answer);
    free(given);
}
