/* One question to one end, and whether its answer is its enclave's. */
#include "vtpm_mover_internal.h"

#include <stdio.h>
#include <string.h>

enum status mover_refuse(struct vtpm_mover_end *end, const char *sentence)
{
    (void)snprintf(end->sentence, sizeof end->sentence, "%s", sentence);
    return DENIED;
}

static enum status appraise(struct vtpm_mover_end *end, const struct vtpm_transfer_answer *answer, struct bytes nonce)
{
    uint8_t over[VTPM_TRANSFER_USER_DATA_LEN];
    struct evidence_policy bound = *end->policy;
    TRY(vtpm_transfer_user_data(&answer->facts, over));
    bound.nonce = nonce;
    bound.user_data = BYTES_OF(over);
    TRY(evidence_appraise(answer->evidence, &bound, &end->evidence));
    end->facts = answer->facts;
    return OK;
}

enum status mover_ask(struct vtpm_mover_end *end, enum vtpm_transfer_operation operation, struct bytes rest,
                      struct bytes *given)
{
    uint8_t nonce[32];
    struct writer question = writer_over(end->room, VTPM_TRANSFER_QUESTION_MAX);
    struct writer answer = writer_over(end->room + VTPM_TRANSFER_QUESTION_MAX, VTPM_TRANSFER_ANSWER_MAX);
    struct vtpm_transfer_answer got = {.status = INTERNAL};
    end->said = OK;
    end->sentence[0] = 0;
    end->evidence = (struct evidence_result){0};
    TRY(crypto_random(nonce, sizeof nonce));
    vtpm_transfer_put_question(&question, &(struct vtpm_transfer_question){operation, BYTES_OF(nonce), rest});
    TRY(writer_end(&question));
    TRY(end->ask(end->user, writer_bytes(&question), &answer));
    TRY(writer_end(&answer));
    TRY(vtpm_transfer_answer_decode(writer_bytes(&answer), &got));
    if (got.status != OK) {
        end->said = got.status;
        (void)snprintf(end->sentence, sizeof end->sentence, "%.*s", (int)got.sentence.len,
                       (const char *)got.sentence.data);
        return DENIED;
    }
    TRY(appraise(end, &got, BYTES_OF(nonce)));
    if (given)
        *given = got.rest;
    return OK;
}

enum status mover_sign(struct writer *writer, const struct crypto_key *owner, enum vtpm_grant_purpose purpose,
                       const struct vtpm_transfer_facts *source, const uint8_t to[VTPM_TRANSFER_POINT_LEN])
{
    struct vtpm_grant grant = {.purpose = purpose};
    memcpy(grant.instance, source->instance, sizeof grant.instance);
    TRY(crypto_public_import(&grant.to, CRYPTO_P256, bytes_from(to, VTPM_TRANSFER_POINT_LEN)));
    TRY(crypto_public_import(&grant.from, CRYPTO_P256, BYTES_OF(source->from)));
    return vtpm_grant_sign(writer, owner, &grant);
}

enum status vtpm_mover_status(struct vtpm_mover_end *end)
{
    return mover_ask(end, VTPM_TRANSFER_STATUS, (struct bytes){0}, NULL);
}
