/* Which endorsement keys this TPM has, said with the monitor's word for who says it. The keys are made anew for each
 * question, by libtpms and of TCG's templates: what is told is what its user gets from the same templates at
 * that time. And which public area a persistent object of its has, an attestation key's: whoever knows the enclave then
 * knows whose quotes that key signs. Only a TPM's own objects persist; one that was loaded from outside, of which a
 * public area proves nothing, cannot (Part 3 §28.5). Everything in here is public. */
#include "vtpm_internal.h"

#include "eat.h"
#include "tpm2.h"

#include <string.h>

_Static_assert(VTPM_KEYS_COUNT == TPM2_EK_KINDS && VTPM_KEYS_COUNT == EAT_ENDORSEMENT_KEYS, "three keys");
_Static_assert(VTPM_KEYS_AREA_MAX == TPM2_EK_PUBLIC_MAX && VTPM_KEYS_EVIDENCE_MAX == EAT_EVIDENCE_MAX, "limits");
_Static_assert(IMAGE_LAUNCH_LEN == VTPM_KEYS_LAUNCH_LEN && IMAGE_HASH_LEN == EAT_LAUNCH_LEN, "a launch");

#define TAG_SESSIONS 0x8002u
#define TAG_NO_SESSIONS 0x8001u
#define CC_CREATE_PRIMARY 0x131u
#define CC_FLUSH_CONTEXT 0x165u
#define CC_READ_PUBLIC 0x173u
#define RH_ENDORSEMENT 0x4000000bu
#define RS_PASSWORD 0x40000009u
#define RC_INITIALIZE 0x100u
#define RC_HIERARCHY 0x185u /* of the first handle */
#define RC_HANDLE 0x18bu    /* so too */
#define RC_OBJECT_MEMORY 0x902u
#define RC_RETRY 0x922u
#define RC_BAD_AUTH 0x9a2u /* of the first session */
#define COMMAND_MAX 512u

/* Part 3 §24.1, with an empty password. */
static void put_create_primary(struct writer *writer, enum tpm2_ek_kind kind)
{
    uint8_t room[TPM2_EK_PUBLIC_MAX];
    struct writer area = writer_over(room, sizeof room);
    tpm2_put_ek_template(&area, kind);
    put_u32be(writer, RH_ENDORSEMENT);
    put_u32be(writer, 9);
    put_u32be(writer, RS_PASSWORD);
    put_u16be(writer, 0); /* no nonce */
    put_u8(writer, 0);
    put_u16be(writer, 0); /* the password */
    put_u16be(writer, 4);
    put_u32be(writer, 0); /* neither authValue nor data */
    put_u16be(writer, (uint16_t)area.len);
    put_bytes(writer, writer_bytes(&area));
    put_u16be(writer, 0); /* nothing from outside */
    put_u32be(writer, 0); /* no PCR */
}

static enum status flush(struct vtpm *vtpm, uint32_t handle)
{
    uint8_t room[4];
    struct writer body = writer_over(room, sizeof room);
    uint32_t code = 0;
    struct bytes rest;
    put_u32be(&body, handle);
    TRY(vtpm_tpm_run(vtpm, 0, TAG_NO_SESSIONS, CC_FLUSH_CONTEXT, writer_bytes(&body), &code, &rest));
    return code == 0 ? OK : INTERNAL;
}

/* Handle, size of the parameters, outPublic; what follows is not wanted. */
static enum status take_area(struct vtpm *vtpm, enum tpm2_ek_kind kind, struct bytes rest, struct writer *area)
{
    struct reader reader = reader_over(rest);
    struct tpm2_ek ek;
    const uint32_t handle = take_u32be(&reader);
    (void)take_u32be(&reader);
    put_bytes(area, take_bytes(&reader, take_u16be(&reader)));
    const bool sound = reader.status == OK && writer_end(area) == OK;
    TRY(flush(vtpm, handle));
    return sound && tpm2_ek_decode(writer_bytes(area), &ek) == OK && ek.kind == kind ? OK : INTERNAL;
}

/* Whoever has the TPM may have put a password before the hierarchy, or shut it; or holds all there is room for. */
static enum status status_of(uint32_t code)
{
    if (code == RC_INITIALIZE)
        return WRONG_STATE;
    if (code == RC_BAD_AUTH || code == RC_HIERARCHY)
        return DENIED;
    if (code == RC_HANDLE)
        return NOT_FOUND;
    return code == RC_OBJECT_MEMORY || code == RC_RETRY ? BUSY : INTERNAL;
}

static enum status make(struct vtpm *vtpm, enum tpm2_ek_kind kind, struct writer *area)
{
    uint8_t room[COMMAND_MAX];
    struct writer body = writer_over(room, sizeof room);
    uint32_t code = 0;
    struct bytes rest;
    put_create_primary(&body, kind);
    TRY(writer_end(&body));
    TRY(vtpm_tpm_run(vtpm, 0, TAG_SESSIONS, CC_CREATE_PRIMARY, writer_bytes(&body), &code, &rest));
    return code == 0 ? take_area(vtpm, kind, rest, area) : status_of(code);
}

/* Part 3 §12.4: outPublic, name, qualifiedName. */
static enum status read_object(struct vtpm *vtpm, uint32_t handle, struct writer *area, struct writer *qualified)
{
    uint8_t room[4];
    struct writer body = writer_over(room, sizeof room);
    uint32_t code = 0;
    struct bytes rest;
    put_u32be(&body, handle);
    TRY(vtpm_tpm_run(vtpm, 0, TAG_NO_SESSIONS, CC_READ_PUBLIC, writer_bytes(&body), &code, &rest));
    if (code != 0)
        return status_of(code);
    struct reader reader = reader_over(rest);
    put_bytes(area, take_bytes(&reader, take_u16be(&reader)));
    (void)take_bytes(&reader, take_u16be(&reader));
    put_bytes(qualified, take_bytes(&reader, take_u16be(&reader)));
    TRY(reader_end(&reader));
    return writer_end(area) == OK && writer_end(qualified) == OK ? OK : UNSUPPORTED; /* a key longer than is told */
}

static enum status report(struct vtpm *vtpm, struct bytes nonce, const struct vtpm_keys_answer *answer,
                          struct writer *evidence)
{
    struct monitor_report asked = {.nonce_len = (uint32_t)nonce.len};
    _Static_assert(sizeof asked.user_data == EAT_USER_DATA_LEN && sizeof asked.nonce == VTPM_KEYS_NONCE_MAX, "report");
    memcpy(asked.nonce, nonce.data, nonce.len);
    if (answer->ak.len)
        TRY(eat_attestation_data(answer->areas, answer->ak, answer->qualified, asked.user_data));
    else
        TRY(eat_endorsement_data(answer->areas, asked.user_data));
    if (vtpm->measured)
        TRY(image_launch_digest(&vtpm->launch, asked.user_data + EAT_USER_DATA_LEN - EAT_LAUNCH_LEN));
    TRY(vtpm->port.report(vtpm->port.user, &asked, evidence));
    return writer_end(evidence);
}

/* The answer's parts, in rooms of their own until the next question. */
static enum status answer_to(struct vtpm *vtpm, struct bytes frame, struct vtpm_keys_answer *answer)
{
    static uint8_t rooms[TPM2_EK_KINDS][TPM2_EK_PUBLIC_MAX], evidence_room[EAT_EVIDENCE_MAX];
    static uint8_t launch_room[IMAGE_LAUNCH_LEN];
    static uint8_t ak_room[VTPM_KEYS_AK_MAX], qualified_room[VTPM_KEYS_QUALIFIED_MAX];
    struct writer evidence = writer_over(evidence_room, sizeof evidence_room);
    struct writer ak = writer_over(ak_room, sizeof ak_room);
    struct writer launch = writer_over(launch_room, sizeof launch_room);
    struct writer qualified = writer_over(qualified_room, sizeof qualified_room);
    struct vtpm_keys_question question = {0};
    TRY(vtpm_keys_question_decode(frame, &question));
    if (!vtpm->running)
        return WRONG_STATE;
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++) {
        struct writer area = writer_over(rooms[kind], sizeof rooms[kind]);
        TRY(make(vtpm, (enum tpm2_ek_kind)kind, &area));
        answer->areas[kind] = writer_bytes(&area);
    }
    if (question.ak) {
        TRY(read_object(vtpm, question.ak, &ak, &qualified));
        answer->ak = writer_bytes(&ak);
        answer->qualified = writer_bytes(&qualified);
    }
    if (vtpm->measured)
        image_put_launch(&launch, &vtpm->launch);
    answer->launch = writer_bytes(&launch);
    TRY(report(vtpm, question.nonce, answer, &evidence));
    answer->evidence = writer_bytes(&evidence);
    return OK;
}

void vtpm_identity(struct vtpm *vtpm, struct bytes frame, struct writer *reply)
{
    struct vtpm_keys_answer answer = {.status = OK};
    answer.status = answer_to(vtpm, frame, &answer);
    vtpm_keys_put_answer(reply, &answer);
}
