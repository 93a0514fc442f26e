/* Who the hub is in EDHOC, and what stands behind it: an attestation key of this launch, which the monitor's report and
 * the TPM's quote vouch for, and which vouches for each session. */
#include "hub_internal.h"

#include <stdlib.h>
#include <string.h>

#define LAUNCH_NONCE_LEN 32

static const enum crypto_curve curves[HUB_IDENTITIES] = {
    [HUB_SIGN_P256] = CRYPTO_P256, [HUB_SIGN_P384] = CRYPTO_P384, [HUB_SIGN_ED25519] = CRYPTO_ED25519,
    [HUB_DH_P256] = CRYPTO_P256,   [HUB_DH_P384] = CRYPTO_P384,   [HUB_DH_X25519] = CRYPTO_X25519,
};

/* Before the owner signed a site CA: a bare key, for which only the evidence speaks. */
static enum status claim(struct hub_identity *identity, struct writer *value, struct writer *id_cred)
{
    edhoc_put_claims(value, "hub", &identity->key.public_key, (struct bytes){0});
    edhoc_put_kccs(id_cred, writer_bytes(value));
    return writer_end(value);
}

/* The owner's certificate comes along, for devices that were given its hash alone. */
static enum status certify(struct hub *hub, struct hub_identity *identity, bool static_dh, struct writer *value,
                           struct writer *id_cred)
{
    struct pki_certificate certificate;
    TRY(hub_issue(hub, X509_HUB, bytes_from_text("hub"), &identity->key.public_key, static_dh, value));
    TRY(pki_certificate_decode(writer_bytes(value), &certificate));
    const struct bytes chain[] = {writer_bytes(value), hub->authority.certificate, hub->owner_certificate};
    edhoc_put_x5chain(id_cred, chain, 3);
    identity->renew_at_s = certificate.not_before_s + (certificate.not_after_s - certificate.not_before_s) / 3 * 2;
    return OK;
}

static enum status make(struct hub *hub, struct hub_identity *identity, enum hub_identity_use use)
{
    struct writer value = writer_over(identity->value, sizeof identity->value);
    struct writer id_cred = writer_over(identity->id_cred, sizeof identity->id_cred);
    if (!identity->key.pkey)
        TRY(crypto_key_generate(&identity->key, curves[use]));
    identity->certified = hub->authority.certificate.len > 0;
    identity->id_cred_len = 0;
    if (identity->certified)
        TRY(certify(hub, identity, use >= HUB_DH_P256, &value, &id_cred));
    else
        TRY(claim(identity, &value, &id_cred));
    TRY(writer_end(&id_cred));
    identity->value_len = value.len;
    identity->id_cred_len = id_cred.len;
    return OK;
}

static enum hub_identity_use use_of(const struct edhoc_session *session)
{
    bool signs = session->method % 2 == 0; /* RFC 9528 §3.2: the responder's half */
    switch (signs ? session->suite->signature : session->suite->exchange) {
    case CRYPTO_P384:
        return signs ? HUB_SIGN_P384 : HUB_DH_P384;
    case CRYPTO_ED25519:
        return HUB_SIGN_ED25519;
    case CRYPTO_X25519:
        return HUB_DH_X25519;
    case CRYPTO_P256:
        break;
    }
    return signs ? HUB_SIGN_P256 : HUB_DH_P256;
}

enum status hub_identity(struct hub *hub, const struct edhoc_session *session, struct edhoc_credential *credential)
{
    enum hub_identity_use use = use_of(session);
    struct hub_identity *identity = &hub->identities[use];
    bool stale = identity->certified && (int64_t)(hub->now_ms / 1000) >= identity->renew_at_s;
    if (identity->id_cred_len == 0 || stale)
        TRY(make(hub, identity, use));
    *credential = (struct edhoc_credential){.is_certificate = identity->certified,
                                            .value = bytes_from(identity->value, identity->value_len),
                                            .private_key = &identity->key,
                                            .id_cred = bytes_from(identity->id_cred, identity->id_cred_len)};
    return OK;
}

void hub_identities_forget(struct hub *hub)
{
    for (size_t i = 0; i < HUB_IDENTITIES; i++)
        hub->identities[i].id_cred_len = 0;
}

void hub_identities_free(struct hub *hub)
{
    for (size_t i = 0; i < HUB_IDENTITIES; i++)
        crypto_key_done(&hub->identities[i].key);
    crypto_key_done(&hub->attestation_key);
    free(hub->launch_evidence);
}

/* ---- Evidence ---- */

/* The monitor's report over the attestation key, for this nonce. */
static enum status report_key(struct hub *hub, struct bytes nonce, struct writer *evidence)
{
    struct monitor_report report = {.nonce_len = (uint32_t)nonce.len};
    _Static_assert(sizeof report.user_data == EAT_USER_DATA_LEN, "user data");
    if (nonce.len > sizeof report.nonce)
        return MALFORMED;
    memcpy(report.nonce, nonce.data, nonce.len);
    if (!hub->attestation_key.pkey)
        TRY(crypto_key_generate(&hub->attestation_key, CRYPTO_P256));
    TRY(attest_user_data(&hub->attestation_key.public_key, report.user_data));
    return hub->port.report(hub->port.user, &report, evidence);
}

/* Once a launch: a quote costs milliseconds, and each session has a nonce of its own. */
static enum status launch_evidence(struct hub *hub)
{
    uint8_t nonce[LAUNCH_NONCE_LEN], *room = malloc(ATTEST_LAUNCH_MAX);
    struct writer evidence = writer_over(room, room ? ATTEST_LAUNCH_MAX : 0);
    enum status status = crypto_random(nonce, sizeof nonce);
    if (status == OK)
        status = report_key(hub, BYTES_OF(nonce), &evidence);
    if (status == OK)
        status = writer_end(&evidence);
    if (status != OK) {
        free(room);
        return status;
    }
    hub->launch_evidence = room;
    hub->launch_evidence_len = evidence.len;
    return OK;
}

enum status hub_session_evidence(struct hub *hub, const struct attest_binder *binder, struct bytes nonce,
                                 const uint8_t credential[EAT_HASH_LEN], struct writer *writer)
{
    if (!hub->launch_evidence)
        TRY(launch_evidence(hub));
    struct attest_evidence evidence = {.nonce = nonce,
                                       .key = hub->attestation_key.public_key,
                                       .launch = bytes_from(hub->launch_evidence, hub->launch_evidence_len)};
    memcpy(evidence.credential, credential, EAT_HASH_LEN);
    return attest_evidence_sign(writer, &hub->attestation_key, binder, &evidence);
}

/* Whoever saw a later report refuses an earlier one, the launch's too: the next session gets one made after it. */
static void forget_launch_evidence(struct hub *hub)
{
    free(hub->launch_evidence);
    hub->launch_evidence = NULL;
}

/* ---- POST /report: the monitor's report anew, with a fresh quote ---- */

static bool nonce_of(struct hub_request *request, uint8_t nonce[MONITOR_NONCE_MAX], size_t *len)
{
    static const char *const known[] = {"nonce", NULL};
    json_t *body = hub_json_body(request, known);
    if (!body)
        return false;
    const char *text = json_string_value(json_object_get(body, "nonce"));
    struct writer writer = writer_over(nonce, MONITOR_NONCE_MAX);
    bool fits = text && hex_decode(text, &writer) == OK && writer_end(&writer) == OK && writer.len >= EAT_NONCE_MIN;
    *len = writer.len;
    if (!fits)
        hub_refuse(request, COAP_UNPROCESSABLE, "nonce", "must be 16 to %d hexadecimal digits", 2 * MONITOR_NONCE_MAX);
    json_decref(body);
    return fits;
}

void hub_post_report(struct hub *hub, struct hub_request *request)
{
    static const char head[] = "{\"evidence\":\"", tail[] = "\"}";
    uint8_t nonce[MONITOR_NONCE_MAX];
    size_t nonce_len;
    if (!nonce_of(request, nonce, &nonce_len))
        return;
    uint8_t *evidence = malloc(MONITOR_MESSAGE_MAX);
    size_t cap = sizeof head + sizeof tail + (4 * (size_t)MONITOR_MESSAGE_MAX + 2) / 3;
    char *text = malloc(cap);
    struct writer writer = writer_over(evidence, evidence ? MONITOR_MESSAGE_MAX : 0);
    enum status status = evidence && text ? report_key(hub, bytes_from(nonce, nonce_len), &writer) : NO_ROOM;
    if (status == OK) {
        memcpy(text, head, sizeof head);
        status = base64url_encode(writer_bytes(&writer), text + sizeof head - 1, cap - sizeof head);
    }
    free(evidence);
    forget_launch_evidence(hub);
    if (status != OK) {
        free(text);
        hub_refuse(request, COAP_UNAVAILABLE, "report", "the monitor gave no evidence: %s", status_word(status));
        return;
    }
    size_t len = strlen(text);
    memcpy(text + len, tail, sizeof tail);
    hub_answer_text(request, COAP_CONTENT, text, len + sizeof tail - 1);
}

/* ---- POST /.well-known/attest: evidence once more on an open session, with a fresh quote ---- */

void hub_post_attest(struct hub *hub, struct hub_request *request)
{
    const struct hub_session *session = request->session;
    uint8_t *room = malloc(ATTEST_EVIDENCE_MAX);
    struct writer writer = writer_over(room, room ? ATTEST_EVIDENCE_MAX : 0);
    struct attest_request wanted;
    if (session->binder.len == 0)
        hub_refuse(request, COAP_FORBIDDEN, "session",
                   "was not agreed on by EDHOC: there is nothing to bind evidence to");
    else if (attest_request_decode(request->inner.payload, &wanted) != OK || wanted.format != ATTEST_FORMAT)
        hub_refuse(request, COAP_BAD_REQUEST, "body", "must be [%u, a nonce of 8 to 64 bytes] in CBOR", ATTEST_FORMAT);
    else {
        forget_launch_evidence(hub);
        enum status status = hub_session_evidence(hub, &session->binder, wanted.nonce, session->credential, &writer);
        if (status == OK)
            hub_answer_bytes(request, COAP_CHANGED, ATTEST_FORMAT, writer_bytes(&writer));
        else
            hub_refuse(request, COAP_UNAVAILABLE, "evidence", "was not given by the monitor: %s", status_word(status));
    }
    free(room);
}
