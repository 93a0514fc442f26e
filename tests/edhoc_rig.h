/* Two EDHOC sessions and the messages between them, one function per step. */
#ifndef BASTIDE_TESTS_EDHOC_RIG_H
#define BASTIDE_TESTS_EDHOC_RIG_H

#include "check.h"
#include "edhoc_internal.h"
#include "x509.h"

#define RIG_ROOM (EDHOC_MESSAGE_MAX + 64)

/* ---- Who they are ---- */

enum rig_naming { RIG_KID, RIG_KCCS, RIG_X5T, RIG_X5CHAIN };

struct rig_party {
    struct crypto_key key;
    uint8_t value_room[1024], id_room[2048];
    struct edhoc_credential credential;
};

static inline void rig_party_done(struct rig_party *party)
{
    crypto_key_done(&party->key);
    *party = (struct rig_party){0};
}

/* A claims set, or a certificate where the curve has some. */
static inline void rig_party_make(struct rig_party *party, const char *name, enum crypto_curve curve,
                                  enum rig_naming naming)
{
    struct writer value = writer_over(party->value_room, sizeof party->value_room);
    struct writer id = writer_over(party->id_room, sizeof party->id_room);
    bool is_certificate = naming == RIG_X5T || naming == RIG_X5CHAIN;
    check_ok(crypto_key_generate(&party->key, curve));
    if (is_certificate)
        check_ok(x509_issue_root(&value, &party->key, (const uint8_t[X509_SERIAL_LEN]){1}, 1700000000));
    else
        edhoc_put_claims(&value, name, &party->key.public_key, (struct bytes){0});
    struct bytes bytes = writer_bytes(&value);
    if (naming == RIG_KID)
        edhoc_put_kid(&id, bytes_from_text(name));
    else if (naming == RIG_KCCS)
        edhoc_put_kccs(&id, bytes);
    else if (naming == RIG_X5T)
        edhoc_put_x5t(&id, bytes);
    else
        edhoc_put_x5chain(&id, &bytes, 1);
    check_ok(writer_end(&id));
    party->credential =
        (struct edhoc_credential){is_certificate, bytes, party->key.public_key, &party->key, writer_bytes(&id)};
}

/* ---- The sessions ---- */

#ifdef CRYPTO_MBEDTLS
static const int rig_suites[] = {2, 3, 24};
#else
static const int rig_suites[] = {0, 2, 3, 6, 24};
#endif
static const uint32_t rig_labels[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

struct rig {
    const struct edhoc_suite *suite;
    unsigned method;
    struct edhoc_profile profile; /* of both */
    struct edhoc_id c_i, c_r;
    struct rig_party i, r;
    struct edhoc_session initiator, responder;
    struct edhoc_eads send[4], got[4];
    uint8_t rooms[4][RIG_ROOM], plain_rooms[3][RIG_ROOM];
    struct writer message[4], plain[3];  /* plain: of messages 2, 3 and 4 */
    struct edhoc_reference reference[2]; /* of messages 2 and 3 */
    const struct edhoc_credential *believed_i, *believed_r;
};

static inline void rig_anew(struct rig *rig)
{
    edhoc_done(&rig->initiator);
    edhoc_done(&rig->responder);
    for (size_t n = 0; n < 4; n++)
        rig->message[n] = writer_over(rig->rooms[n], RIG_ROOM);
    for (size_t n = 0; n < 3; n++)
        rig->plain[n] = writer_over(rig->plain_rooms[n], RIG_ROOM);
    memset(rig->got, 0, sizeof rig->got);
}

static inline void rig_start(struct rig *rig, unsigned method, int suite, enum rig_naming naming)
{
    *rig = (struct rig){.suite = edhoc_suite(suite), .method = method, .c_i = {{0x0a}, 1}, .c_r = {{0x0b, 0x0c}, 2}};
    size_t at = 0;
    while (rig_suites[at] != suite)
        at++;
    rig->profile = (struct edhoc_profile){15, rig_suites + at, 1, rig_labels, sizeof rig_labels / sizeof *rig_labels};
    rig_party_make(&rig->i, "i", method < 2 ? rig->suite->signature : rig->suite->exchange, naming);
    rig_party_make(&rig->r, "r", method % 2 == 0 ? rig->suite->signature : rig->suite->exchange, naming);
    rig->believed_i = &rig->i.credential;
    rig->believed_r = &rig->r.credential;
    rig_anew(rig);
}

static inline void rig_done(struct rig *rig)
{
    edhoc_done(&rig->initiator);
    edhoc_done(&rig->responder);
    rig_party_done(&rig->i);
    rig_party_done(&rig->r);
}

static inline struct crypto_key rig_fresh(enum crypto_curve curve)
{
    struct crypto_key key = {0};
    check_ok(crypto_key_generate(&key, curve));
    return key;
}

/* ---- The steps, in their order ---- */

enum rig_step {
    PUT_1,
    TAKE_1,
    PUT_2,
    TAKE_2,
    VERIFY_2,
    PUT_3,
    TAKE_3,
    VERIFY_3,
    PUT_4,
    TAKE_4,
    RIG_STEPS,
};

static inline struct bytes rig_message(const struct rig *rig, size_t number)
{
    return writer_bytes(&rig->message[number - 1]);
}

/* A step on any of the two sessions. A key that the session did not take is done with here. */
static inline enum status rig_call(struct rig *rig, struct edhoc_session *session, enum rig_step step)
{
    struct crypto_key fresh = {0};
    enum status status = INTERNAL;
    if (step == PUT_1 || step == PUT_2)
        fresh = rig_fresh(rig->suite->exchange);
    switch (step) {
    case PUT_1:
        status = edhoc_put_message_1(session, &rig->profile, rig->method, rig->suite, &fresh, &rig->c_i, &rig->send[0],
                                     &rig->message[0]);
        break;
    case TAKE_1:
        status = edhoc_take_message_1(session, &rig->profile, rig_message(rig, 1), &rig->got[0]);
        break;
    case PUT_2:
        status = edhoc_put_message_2(session, &fresh, &rig->c_r, &rig->r.credential, &rig->send[1], &rig->message[1]);
        break;
    case TAKE_2:
        status = edhoc_take_message_2(session, rig_message(rig, 2), &rig->plain[0], &rig->reference[0], &rig->got[1]);
        break;
    case VERIFY_2:
        status = edhoc_verify_message_2(session, rig->believed_r);
        break;
    case PUT_3:
        status = edhoc_put_message_3(session, &rig->i.credential, &rig->send[2], &rig->message[2]);
        break;
    case TAKE_3:
        status = edhoc_take_message_3(session, rig_message(rig, 3), &rig->plain[1], &rig->reference[1], &rig->got[2]);
        break;
    case VERIFY_3:
        status = edhoc_verify_message_3(session, rig->believed_i);
        break;
    case PUT_4:
        status = edhoc_put_message_4(session, &rig->send[3], &rig->message[3]);
        break;
    case TAKE_4:
        status = edhoc_take_message_4(session, rig_message(rig, 4), &rig->plain[2], &rig->got[3]);
        break;
    case RIG_STEPS:
        break;
    }
    if (status != WRONG_STATE)
        assert_null(fresh.pkey);
    crypto_key_done(&fresh);
    return status;
}

static inline bool rig_is_responders(enum rig_step step)
{
    return step == TAKE_1 || step == PUT_2 || step == TAKE_3 || step == VERIFY_3 || step == PUT_4;
}

static inline enum status rig_step(struct rig *rig, enum rig_step step)
{
    return rig_call(rig, rig_is_responders(step) ? &rig->responder : &rig->initiator, step);
}

/* Every step before `end`, each of which goes well. */
static inline void rig_run(struct rig *rig, enum rig_step begin, enum rig_step end)
{
    for (enum rig_step step = begin; step < end; step++)
        check_ok(rig_step(rig, step));
}

/* Nothing but FAILED is left in it, and which error to answer message 1 with. */
static inline void rig_is_wiped(const struct edhoc_session *session)
{
    static const struct edhoc_session none;
    static struct edhoc_session left;
    assert_int_equal(session->state, EDHOC_FAILED);
    memcpy(&left, session, sizeof left);
    left.state = none.state;
    left.wrong_suite = false;
    assert_memory_equal(&left, &none, sizeof none);
}

/* ---- Messages that are not to be accepted ---- */

static const enum rig_step rig_sends[] = {PUT_1, PUT_2, PUT_3, PUT_4};
static const enum rig_step rig_judges[] = {VERIFY_2, VERIFY_2, VERIFY_3,
                                           TAKE_4}; /* the last step to refuse message n in */

/* Goes on after message `number` was made and changed. The step in which a side refuses it, and keeps nothing. */
static inline enum rig_step rig_refusal(struct rig *rig, size_t number, enum status *status)
{
    enum rig_step step = rig_sends[number - 1] + 1;
    while (step < RIG_STEPS && (*status = rig_step(rig, step)) == OK)
        step++;
    if (step > rig_judges[number - 1])
        fail_msg("message %zu was accepted", number);
    struct edhoc_session *session = rig_is_responders(step) ? &rig->responder : &rig->initiator;
    uint8_t key[16];
    rig_is_wiped(session);
    check_status(WRONG_STATE, edhoc_export(session, 0, (struct bytes){0}, key, sizeof key));
    if (number < 4)
        check_status(WRONG_STATE, edhoc_export(&rig->responder, 0, (struct bytes){0}, key, sizeof key));
    return step;
}

static inline void rig_begin(struct rig *rig, size_t number)
{
    rig_anew(rig);
    rig_run(rig, PUT_1, rig_sends[number - 1] + 1);
}

#endif
