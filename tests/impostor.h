/* A gateway that answers itself: EDHOC's responder with a key of its own, and evidence that is genuine in all but what
 * the test wants otherwise. */
#ifndef BASTIDE_TESTS_IMPOSTOR_H
#define BASTIDE_TESTS_IMPOSTOR_H

#include "hostile_rig.h"

static struct {
    struct edhoc_session edhoc;
    struct crypto_key key, attestation_key, other_key;
    bool stolen_chain; /* it shows the home hub's certificates, whose key it has not */
    bool no_offer, no_evidence;
    bool relayed; /* the evidence is what the home hub gave in a session of the impostor's */
    bool bend_binder, bend_nonce, bend_credential;
    bool unvouched; /* the launch vouches for another attestation key */
    unsigned met;   /* messages 3 that verified */
} impostor;

static inline void impostor_begin(void)
{
    memset(&impostor, 0, sizeof impostor);
    check_ok(crypto_key_generate(&impostor.key, CRYPTO_P256));
    check_ok(crypto_key_generate(&impostor.attestation_key, CRYPTO_P256));
    check_ok(crypto_key_generate(&impostor.other_key, CRYPTO_P256));
}

static inline void impostor_end(void)
{
    edhoc_done(&impostor.edhoc);
    crypto_key_done(&impostor.key);
    crypto_key_done(&impostor.attestation_key);
    crypto_key_done(&impostor.other_key);
}

/* Whoever asks gets the hub's certificates, and, with a key that may enrol, its evidence for any nonce. */
static inline struct rig_handshake *as_a_stranger(struct bytes asked_nonce)
{
    static struct rig_handshake handshake;
    static uint8_t claims_room[128], id_room[160];
    struct writer claims = writer_over(claims_room, sizeof claims_room), id = writer_over(id_room, sizeof id_room);
    struct rig_peer stranger;
    struct bytes answer;
    edhoc_done(&handshake.edhoc);
    handshake = (struct rig_handshake){0};
    edhoc_put_claims(&claims, "gateway", &impostor.key.public_key, (struct bytes){0});
    edhoc_put_kccs(&id, writer_bytes(&claims));
    const struct edhoc_credential own = {
        .value = writer_bytes(&claims), .private_key = &impostor.key, .id_cred = writer_bytes(&id)};
    assert_int_equal(COAP_CHANGED, rig_edhoc(&rig, rig_message_1(&handshake), &answer));
    struct bytes message_3 = rig_message_3(&handshake, answer, &own, asked_nonce);
    assert_int_equal(COAP_CHANGED, rig_edhoc(&rig, message_3, &answer));
    rig_take_message_4(&handshake, answer, &stranger);
    rig_peer_done(&stranger);
    return &handshake;
}

static inline void impostor_put_self(struct writer *value, struct writer *id, struct edhoc_credential *own)
{
    *own = (struct edhoc_credential){.private_key = &impostor.key};
    if (impostor.stolen_chain) {
        const struct rig_handshake *seen = as_a_stranger(BYTES_OF(node.ek_name));
        put_bytes(value, seen->hub.value);
        edhoc_put_x5chain(id, seen->reference.certificates, seen->reference.certificates_count);
        own->is_certificate = true;
    } else {
        edhoc_put_claims(value, "hub", &impostor.key.public_key, (struct bytes){0});
        edhoc_put_kccs(id, writer_bytes(value));
    }
    own->value = writer_bytes(value);
    own->id_cred = writer_bytes(id);
}

static inline void impostor_answer_1(struct exchange *exchange, struct bytes message_1)
{
    static const int suites[] = {3};
    static const uint32_t labels[] = {ATTEST_EAD, ATTEST_EAD_TRIGGER}, formats[] = {ATTEST_FORMAT};
    static const struct edhoc_profile profile = {EDHOC_SIGN_SIGN, suites, 1, labels, 2};
    static const struct edhoc_id c_r = {{7, 7, 7}, 3};
    uint8_t value_room[PKI_CERTIFICATE_MAX], id_room[4 * PKI_CERTIFICATE_MAX], proposal_room[16], room[BODY_CAP / 2];
    struct writer value = writer_over(value_room, sizeof value_room), id = writer_over(id_room, sizeof id_room);
    struct writer proposal = writer_over(proposal_room, sizeof proposal_room), out = writer_over(room, sizeof room);
    struct crypto_key ephemeral = {0};
    struct edhoc_credential own;
    struct edhoc_eads eads;
    edhoc_done(&impostor.edhoc);
    check_ok(edhoc_take_message_1(&impostor.edhoc, &profile, message_1, &eads));
    impostor_put_self(&value, &id, &own);
    attest_put_proposal(&proposal, formats, 1);
    const struct edhoc_eads offered = {{{.label = ATTEST_EAD, .has_value = true, .value = writer_bytes(&proposal)}},
                                       !impostor.no_offer};
    check_ok(crypto_key_generate(&ephemeral, CRYPTO_P256));
    check_ok(edhoc_put_message_2(&impostor.edhoc, &ephemeral, &c_r, &own, &offered, &out));
    crypto_key_done(&ephemeral);
    set_answer(exchange, COAP_CHANGED, COAP_FORMAT_EDHOC, writer_bytes(&out));
}

static inline void impostor_put_evidence(struct bytes asked_nonce, struct writer *evidence)
{
    static uint8_t launch_room[EAT_EVIDENCE_MAX];
    static const uint8_t another_nonce[32] = "another";
    uint8_t value_room[PKI_CERTIFICATE_MAX], id_room[4 * PKI_CERTIFICATE_MAX];
    struct writer value = writer_over(value_room, sizeof value_room), id = writer_over(id_room, sizeof id_room);
    struct writer launched = writer_over(launch_room, sizeof launch_room);
    struct monitor_report asked = {.nonce_len = 16};
    struct edhoc_credential own;
    struct attest_binder binder;
    if (impostor.relayed) {
        put_bytes(evidence, as_a_stranger(asked_nonce)->evidence);
        return;
    }
    const struct crypto_key *vouched = impostor.unvouched ? &impostor.other_key : &impostor.attestation_key;
    check_ok(attest_user_data(&vouched->public_key, asked.user_data));
    check_ok(report_of(&rig, &asked, &launched));
    check_ok(attest_binder(&impostor.edhoc, &binder));
    binder.data[0] ^= impostor.bend_binder;
    impostor_put_self(&value, &id, &own);
    struct attest_evidence evidence_of = {.nonce = impostor.bend_nonce ? BYTES_OF(another_nonce) : asked_nonce,
                                          .key = impostor.attestation_key.public_key,
                                          .launch = writer_bytes(&launched)};
    check_ok(crypto_hash(CRYPTO_SHA256, &own.value, 1, evidence_of.credential));
    evidence_of.credential[0] ^= impostor.bend_credential;
    check_ok(attest_evidence_sign(evidence, &impostor.attestation_key, &binder, &evidence_of));
}

static inline void impostor_answer_3(struct exchange *exchange, struct bytes message_3)
{
    static uint8_t plain_room[EDHOC_MESSAGE_MAX];
    uint8_t room[BODY_CAP / 2], evidence_room[ATTEST_EVIDENCE_MAX];
    struct writer plain = writer_over(plain_room, sizeof plain_room), out = writer_over(room, sizeof room);
    struct writer evidence = writer_over(evidence_room, sizeof evidence_room);
    struct edhoc_reference reference;
    struct edhoc_eads eads;
    struct pki_certificate certificate;
    struct attest_request request;
    check_ok(pki_certificate_decode(device_certificate, &certificate));
    const struct edhoc_credential client = {
        .is_certificate = true, .value = device_certificate, .key = certificate.key};
    check_ok(edhoc_take_message_3(&impostor.edhoc, message_3, &plain, &reference, &eads));
    check_ok(edhoc_verify_message_3(&impostor.edhoc, &client));
    impostor.met++;
    const struct edhoc_ead *asked = edhoc_find_ead(&eads, ATTEST_EAD);
    assert_non_null(asked);
    check_ok(attest_request_decode(asked->value, &request));
    if (!impostor.no_evidence)
        impostor_put_evidence(request.nonce, &evidence);
    const struct edhoc_eads given = {{{.label = ATTEST_EAD, .has_value = true, .value = writer_bytes(&evidence)}},
                                     !impostor.no_evidence};
    check_ok(edhoc_put_message_4(&impostor.edhoc, &given, &out));
    set_answer(exchange, COAP_CHANGED, COAP_FORMAT_EDHOC, writer_bytes(&out));
}

/* For begin_play(): no hub hears of it. */
static inline void impostor_plays(struct exchange *exchange)
{
    size_t len;
    uint8_t byte[1];
    const uint8_t *payload = payload_of(exchange->request, exchange->request_len, &len);
    struct reader reader = reader_over(bytes_from(payload, len));
    exchange->to = NULL;
    if (exchange->kind == MESSAGE_1) {
        impostor_answer_1(exchange, bytes_from(payload + 1, len - 1));
    } else if (exchange->kind == MESSAGE_3) {
        (void)edhoc_take_id(&reader, byte);
        impostor_answer_3(exchange, take_rest(&reader));
    }
}

#endif
