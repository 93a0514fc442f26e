/* A site whose CA the owner signed, and the device's side of enrolment. */
#ifndef BASTIDE_TESTS_HUB_DEVICE_H
#define BASTIDE_TESTS_HUB_DEVICE_H

#include "hub_site.h"

static struct crypto_key device_key;
static uint8_t ca_room[PKI_CERTIFICATE_MAX];
static struct writer ca;

static inline int set_up_site(void **state)
{
    set_up(state);
    if (!device_key.pkey)
        check_ok(crypto_key_generate(&device_key, CRYPTO_P256));
    ca = writer_over(ca_room, sizeof ca_room);
    rig_certify_site(&rig, &owner, &ca);
    return 0;
}

static inline void meet_as_stranger(struct rig_peer *stranger)
{
    static uint8_t claims_room[128], id_room[160];
    struct writer claims = writer_over(claims_room, sizeof claims_room), id = writer_over(id_room, sizeof id_room);
    edhoc_put_claims(&claims, "device", &device_key.public_key, (struct bytes){0});
    edhoc_put_kccs(&id, writer_bytes(&claims));
    const struct edhoc_credential own = {
        .value = writer_bytes(&claims), .private_key = &device_key, .id_cred = writer_bytes(&id)};
    check_ok(rig_meet_as(&rig, &own, stranger));
}

static inline const char *code_for(const char *name)
{
    static char query[64];
    char body[128];
    snprintf(body, sizeof body, "{\"name\":\"%s\",\"code\":true}", name);
    json_t *json = rig_expect(&rig, &owner, COAP_CREATED, COAP_POST, "clients", NULL, body);
    snprintf(query, sizeof query, "code=%s", json_string_value(json_object_get(json, "code")));
    json_decref(json);
    return query;
}

static inline struct bytes request_of(const struct crypto_key *key)
{
    static uint8_t room[PKI_REQUEST_MAX];
    struct writer writer = writer_over(room, sizeof room);
    check_ok(pki_request_sign(&writer, key, bytes_from_text("whatever")));
    return writer_bytes(&writer);
}

static inline struct rig_answer enrol(struct rig_peer *peer, const char *path, const char *query, struct bytes request)
{
    struct rig_question question = {
        .code = COAP_POST, .path = path, .query = query, .format = COAP_FORMAT_PKCS10, .payload = request};
    return rig_ask(&rig, peer, &question);
}

static inline void keep(struct rig_answer answer, struct writer *certificate)
{
    check_ok(answer.status);
    assert_int_equal(COAP_CHANGED, answer.code);
    put_bytes(certificate, answer.payload);
    check_ok(writer_end(certificate));
}

static inline struct bytes enrolled(const char *name, uint8_t room[PKI_CERTIFICATE_MAX])
{
    struct rig_peer stranger;
    struct writer certificate = writer_over(room, PKI_CERTIFICATE_MAX);
    meet_as_stranger(&stranger);
    keep(enrol(&stranger, "est/sen", code_for(name), request_of(&device_key)), &certificate);
    rig_peer_done(&stranger);
    return writer_bytes(&certificate);
}

static inline enum status meet_with(struct bytes certificate, const struct crypto_key *key, struct rig_peer *peer)
{
    static uint8_t id_room[32];
    struct writer id = writer_over(id_room, sizeof id_room);
    edhoc_put_x5t(&id, certificate);
    const struct edhoc_credential own = {
        .is_certificate = true, .value = certificate, .private_key = key, .id_cred = writer_bytes(&id)};
    return rig_meet_as(&rig, &own, peer);
}

static inline void refused_as(struct rig_answer answer, uint8_t code)
{
    check_ok(answer.status);
    assert_int_equal(code, answer.code);
    json_decref(answer.json);
}

#endif
