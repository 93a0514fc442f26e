/* Strangers become sessions: the responder of EDHOC (RFC 9528), in the forward flow of Appendix A.2. What a stranger
 * can make us keep is HUB_HANDSHAKES_MAX halves of a handshake for a few seconds; nobody's session goes for it. */
#include "hub_internal.h"

#include <stdlib.h>
#include <string.h>

#define CBOR_TRUE 0xf5
#define MESSAGE_2_MAX (HUB_ID_CRED_MAX + 512)
#define MESSAGE_4_MAX (ATTEST_EVIDENCE_MAX + 64)
#define REFUSED "refused" /* all that a peer is told: which check failed is nobody's business */

static const int suites[] = {6, 24, 3, 2, 0};
static const uint32_t ead_labels[] = {ATTEST_EAD, ATTEST_EAD_TRIGGER};
static const struct edhoc_profile profile = {.methods = EDHOC_SIGN_SIGN | EDHOC_SIGN_DH | EDHOC_DH_SIGN | EDHOC_DH_DH,
                                             .suites = suites,
                                             .suites_count = sizeof suites / sizeof suites[0],
                                             .ead_labels = ead_labels,
                                             .ead_labels_count = sizeof ead_labels / sizeof ead_labels[0]};

static void say(struct hub *hub, uint64_t channel, uint8_t code, struct bytes message)
{
    hub_send_plain(hub, channel, code, COAP_FORMAT_EDHOC, message);
}

static void refuse(struct hub *hub, uint64_t channel, uint8_t code, const char *text)
{
    uint8_t room[EDHOC_ERROR_TEXT_MAX + 8];
    struct writer error = writer_over(room, sizeof room);
    edhoc_put_error(&error, text);
    say(hub, channel, code, writer_bytes(&error));
    hub->counts.refused++;
}

/* ---- The halves of handshakes ---- */

static void drop(struct hub *hub, size_t place)
{
    if (!hub->handshakes[place])
        return;
    edhoc_done(&hub->handshakes[place]->edhoc);
    wipe(hub->handshakes[place], sizeof *hub->handshakes[place]);
    free(hub->handshakes[place]);
    hub->handshakes[place] = NULL;
}

void hub_handshakes_free(struct hub *hub)
{
    for (size_t i = 0; i < HUB_HANDSHAKES_MAX; i++)
        drop(hub, i);
}

size_t hub_handshake_count(const struct hub *hub)
{
    size_t count = 0;
    for (size_t i = 0; i < HUB_HANDSHAKES_MAX; i++)
        count += hub->handshakes[i] && hub->now_ms - hub->handshakes[i]->begun_ms <= HUB_HANDSHAKE_MS;
    return count;
}

/* A free place, else the oldest's, unless it is too young to be given up. */
static enum status take_place(struct hub *hub, size_t *place)
{
    size_t oldest = 0;
    for (size_t i = 0; i < HUB_HANDSHAKES_MAX; i++) {
        struct hub_handshake *handshake = hub->handshakes[i];
        if (handshake && hub->now_ms - handshake->begun_ms > HUB_HANDSHAKE_MS)
            drop(hub, i);
        if (!hub->handshakes[i]) {
            oldest = i;
            break;
        }
        if (handshake->begun_ms < hub->handshakes[oldest]->begun_ms)
            oldest = i;
    }
    if (hub->handshakes[oldest] && hub->now_ms - hub->handshakes[oldest]->begun_ms < HUB_HANDSHAKE_SPARED_MS)
        return BUSY;
    drop(hub, oldest);
    hub->handshakes[oldest] = calloc(1, sizeof **hub->handshakes);
    if (!hub->handshakes[oldest])
        return NO_ROOM;
    hub->handshakes[oldest]->begun_ms = hub->now_ms;
    *place = oldest;
    return OK;
}

static size_t find(const struct hub *hub, struct bytes c_r)
{
    size_t i = 0;
    while (i < HUB_HANDSHAKES_MAX &&
           (!hub->handshakes[i] ||
            !bytes_equal(c_r, bytes_from(hub->handshakes[i]->edhoc.c_r.data, hub->handshakes[i]->edhoc.c_r.len)) ||
            hub->now_ms - hub->handshakes[i]->begun_ms > HUB_HANDSHAKE_MS))
        i++;
    return i;
}

/* ---- Messages 1 and 2 ---- */

static enum status put_message_2(struct hub *hub, struct hub_handshake *handshake, struct writer *message)
{
    static const uint32_t formats[] = {ATTEST_FORMAT};
    uint8_t room[16];
    struct writer proposal = writer_over(room, sizeof room);
    struct crypto_key ephemeral = {0};
    struct edhoc_credential own;
    struct edhoc_id kid;
    attest_put_proposal(&proposal, formats, 1);
    struct edhoc_eads eads = {{{.label = ATTEST_EAD, .has_value = true, .value = writer_bytes(&proposal)}},
                              handshake->attests};
    TRY(hub_identity(hub, &handshake->edhoc, &own));
    TRY(crypto_hash(CRYPTO_SHA256, &own.value, 1, handshake->credential));
    TRY(hub_session_reserve(hub, &kid));
    TRY(crypto_key_generate(&ephemeral, handshake->edhoc.suite->exchange));
    enum status status = edhoc_put_message_2(&handshake->edhoc, &ephemeral, &kid, &own, &eads, message);
    crypto_key_done(&ephemeral);
    return status;
}

static void take_message_1(struct hub *hub, uint64_t channel, struct bytes message_1)
{
    uint8_t room[MESSAGE_2_MAX];
    struct writer message_2 = writer_over(room, sizeof room);
    struct edhoc_eads eads;
    size_t place;
    enum status status = take_place(hub, &place);
    if (status != OK) {
        refuse(hub, channel, COAP_UNAVAILABLE, "too many handshakes at once");
        return;
    }
    struct hub_handshake *handshake = hub->handshakes[place];
    status = edhoc_take_message_1(&handshake->edhoc, &profile, message_1, &eads);
    if (status != OK && handshake->edhoc.wrong_suite) {
        edhoc_put_error_suites(&message_2, &profile);
        drop(hub, place);
        say(hub, channel, COAP_BAD_REQUEST, writer_bytes(&message_2));
        return;
    }
    if (status == OK) {
        handshake->attests = edhoc_find_ead(&eads, ATTEST_EAD_TRIGGER) != NULL;
        status = put_message_2(hub, handshake, &message_2);
    }
    if (status == OK) {
        say(hub, channel, COAP_CHANGED, writer_bytes(&message_2));
        return;
    }
    drop(hub, place);
    refuse(hub, channel, status == INTERNAL || status == NO_ROOM ? COAP_INTERNAL_ERROR : COAP_BAD_REQUEST, REFUSED);
}

/* ---- Messages 3 and 4 ---- */

static bool is_named(const struct edhoc_reference *reference, const struct hub_certificate *certificate)
{
    if (certificate->der.len == 0)
        return false;
    if (reference->kind == EDHOC_X5CHAIN)
        return bytes_equal(reference->certificates[0], certificate->der);
    /* As edhoc_reference_is(), over a hash that was made before. */
    size_t len = reference->hash_alg == -16 ? X509_HASH_LEN : reference->hash_alg == -15 ? 8 : 0;
    return reference->kind == EDHOC_X5T && len > 0 && bytes_equal(reference->hash, bytes_from(certificate->hash, len));
}

static const struct hub_certificate *named(const struct edhoc_reference *reference, const struct hub_client *client)
{
    if (is_named(reference, &client->certificate))
        return &client->certificate;
    return is_named(reference, &client->former) ? &client->former : NULL;
}

/* Only what stands here for a client counts, so what was renewed or removed is worth nothing. */
static struct hub_client *certified(struct hub *hub, const struct edhoc_reference *reference,
                                    struct edhoc_credential *credential)
{
    struct pki_certificate certificate;
    struct hub_client *client = hub->owner_client;
    const struct hub_certificate *found = named(reference, client);
    for (size_t i = 0; i < HUB_CLIENTS_MAX && !found; i++) {
        client = hub->clients[i];
        found = client ? named(reference, client) : NULL;
    }
    if (!found || pki_certificate_decode(found->der, &certificate) != OK ||
        certificate.not_after_s < (int64_t)(hub->now_ms / 1000))
        return NULL;
    *credential = (struct edhoc_credential){.is_certificate = true, .value = found->der, .key = certificate.key};
    return client;
}

/* NULL: nobody whom the site knows. A bare key is anybody's, who may enrol with it and nothing else. */
static struct hub_client *who(struct hub *hub, const struct edhoc_reference *reference,
                              struct edhoc_credential *credential)
{
    struct bytes subject;
    if (edhoc_reference_is(reference, hub->owner_certificate)) {
        *credential =
            (struct edhoc_credential){.is_certificate = true, .value = hub->owner_certificate, .key = hub->owner};
        return hub->owner_client;
    }
    if (reference->kind != EDHOC_KCCS)
        return certified(hub, reference, credential);
    if (hub->authority.certificate.len == 0)
        return NULL;
    *credential = (struct edhoc_credential){.value = reference->claims};
    return edhoc_claims_decode(reference->claims, &credential->key, &subject) == OK ? hub->stranger : NULL;
}

static enum status open_session(struct hub *hub, const struct hub_handshake *handshake, struct hub_client *client,
                                struct bytes credential)
{
    struct oscore_input input;
    struct hub_session *session = hub_session_new(client);
    if (!session)
        return NO_ROOM;
    enum status status = attest_binder(&handshake->edhoc, &session->binder);
    if (status == OK)
        status = edhoc_oscore_input(&handshake->edhoc, &input);
    if (status == OK)
        status = oscore_session_agree(&session->oscore, OSCORE_SERVER, &input);
    oscore_input_wipe(&input);
    if (status == OK) {
        memcpy(session->credential, handshake->credential, sizeof session->credential);
        session->by_root = credential.data == hub->owner_certificate.data;
        session->settles = credential.data == client->certificate.der.data && client->former.der.len > 0;
        hub_session_open(hub, session);
        return OK;
    }
    session->uses = 1;
    session->removed = true;
    hub_session_release(session);
    return status;
}

static enum status put_evidence(struct hub *hub, const struct hub_handshake *handshake, const struct edhoc_eads *asked,
                                struct writer *evidence)
{
    const struct edhoc_ead *ead = edhoc_find_ead(asked, ATTEST_EAD);
    struct attest_request request;
    struct attest_binder binder;
    if (!ead || attest_request_decode(ead->value, &request) != OK || request.format != ATTEST_FORMAT)
        return MALFORMED;
    TRY(attest_binder(&handshake->edhoc, &binder));
    enum status status = hub_session_evidence(hub, &binder, request.nonce, handshake->credential, evidence);
    wipe(&binder, sizeof binder);
    return status;
}

static enum status put_message_4(struct hub *hub, struct hub_handshake *handshake, const struct edhoc_eads *asked,
                                 struct writer *message)
{
    uint8_t room[ATTEST_EVIDENCE_MAX];
    struct writer evidence = writer_over(room, sizeof room);
    if (handshake->attests)
        TRY(put_evidence(hub, handshake, asked, &evidence));
    struct edhoc_eads eads = {{{.label = ATTEST_EAD, .has_value = true, .value = writer_bytes(&evidence)}},
                              handshake->attests};
    return edhoc_put_message_4(&handshake->edhoc, &eads, message);
}

static enum status finish(struct hub *hub, struct hub_handshake *handshake, struct bytes message_3,
                          struct writer *message_4, struct hub_client **client)
{
    struct edhoc_reference reference;
    struct edhoc_eads eads;
    struct edhoc_credential credential;
    struct writer plain = writer_over(hub->plain, DOOR_MESSAGE_MAX);
    TRY(edhoc_take_message_3(&handshake->edhoc, message_3, &plain, &reference, &eads));
    *client = who(hub, &reference, &credential);
    TRY(edhoc_verify_message_3(&handshake->edhoc, *client ? &credential : NULL));
    TRY(put_message_4(hub, handshake, &eads, message_4));
    return open_session(hub, handshake, *client, credential.value);
}

static const char *const role_words[] = {"stranger", "client", "owner"};

static void take_message_3(struct hub *hub, uint64_t channel, size_t place, struct bytes message_3)
{
    uint8_t room[MESSAGE_4_MAX];
    struct writer message_4 = writer_over(room, sizeof room);
    struct hub_client *client = NULL;
    enum status status = finish(hub, hub->handshakes[place], message_3, &message_4, &client);
    drop(hub, place);
    if (status != OK) {
        bool ours = status == IO || status == NO_ROOM || status == INTERNAL;
        refuse(hub, channel, ours ? COAP_UNAVAILABLE : COAP_BAD_REQUEST,
               ours ? "the monitor gave no evidence" : REFUSED);
        hub_audit(hub, "handshake=failed status=\"%s\"", status_word(status));
        return;
    }
    say(hub, channel, COAP_CHANGED, writer_bytes(&message_4));
    hub_audit(hub, "session=opened role=%s sessions=%zu", role_words[client->role], hub->session_count);
}

void hub_edhoc(struct hub *hub, uint64_t channel, struct bytes payload)
{
    struct reader reader = reader_over(payload);
    uint8_t byte[1];
    if (payload.len > EDHOC_MESSAGE_MAX) {
        refuse(hub, channel, COAP_TOO_LARGE, "longer than any message of EDHOC");
        return;
    }
    if (peek_u8(&reader) == CBOR_TRUE) {
        (void)take_u8(&reader);
        take_message_1(hub, channel, take_rest(&reader));
        return;
    }
    struct bytes c_r = edhoc_take_id(&reader, byte);
    size_t place = reader.status == OK ? find(hub, c_r) : HUB_HANDSHAKES_MAX;
    if (place < HUB_HANDSHAKES_MAX)
        take_message_3(hub, channel, place, take_rest(&reader));
    else
        refuse(hub, channel, COAP_BAD_REQUEST, "no handshake of that name, or one that took too long");
}
