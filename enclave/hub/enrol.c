/* Enrolment: EST's resources (RFC 7030, RFC 9148) inside OSCORE. A device comes with a bare key, has seen evidence, and
 * brings a one-time code of the owner's and a request for its certificate; an enrolled one renews its own. Certificates
 * travel bare: PKCS #7 around them would say the same in more bytes. */
#include "hub_internal.h"

#include <string.h>

/* Kept hashed: who reads the store learns no code. */
static enum status hash_code(struct bytes code, uint8_t hash[X509_HASH_LEN])
{
    const struct bytes parts[] = {bytes_from_text("bastide enrolment code"), code};
    return crypto_hash(CRYPTO_SHA256, parts, 2, hash);
}

enum status hub_code_new(struct hub *hub, struct hub_client *client, int64_t valid_ms, uint8_t code[HUB_CODE_LEN])
{
    TRY(crypto_random(code, HUB_CODE_LEN));
    TRY(hash_code(bytes_from(code, HUB_CODE_LEN), client->code_hash));
    client->code_expires_ms = (int64_t)hub->now_ms + valid_ms;
    return OK;
}

/* What ends a chain below the owner, whom everybody knows. */
void hub_get_crts(struct hub *hub, struct hub_request *request)
{
    if (hub->authority.certificate.len)
        hub_answer_bytes(request, COAP_CONTENT, COAP_FORMAT_PKIX_CERT, hub->authority.certificate);
    else
        hub_refuse(request, COAP_NOT_FOUND, "site", "has no CA yet: the owner signs it at init");
}

static bool is_request(struct hub_request *request)
{
    uint32_t format = UINT32_MAX;
    if (coap_option_find_uint(request->inner.options, COAP_CONTENT_FORMAT, &format) == OK &&
        format == COAP_FORMAT_PKCS10)
        return true;
    hub_refuse(request, COAP_UNSUPPORTED_FORMAT, "Content-Format", "must be %d (application/pkcs10)",
               COAP_FORMAT_PKCS10);
    return false;
}

static bool take_key(struct hub_request *request, struct crypto_public *key)
{
    struct pki_request wanted;
    if (pki_request_open(request->inner.payload, &wanted) != OK) {
        hub_refuse(request, COAP_UNPROCESSABLE, "request", "is no PKCS #10 request that its own key signed");
        return false;
    }
    *key = wanted.key;
    if (key->curve == CRYPTO_P256 || key->curve == CRYPTO_P384 || key->curve == CRYPTO_ED25519)
        return true;
    hub_refuse(request, COAP_UNPROCESSABLE, "request", "must be for a key on P-256, P-384 or Ed25519");
    return false;
}

static void certify(struct hub *hub, struct hub_request *request, struct hub_client *client,
                    const struct crypto_public *key)
{
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct writer certificate = writer_over(room, sizeof room);
    enum status status = hub_issue(hub, X509_CLIENT, bytes_from_text(client->name), key, false, &certificate);
    if (status != OK) {
        hub_refuse(request, COAP_UNAVAILABLE, "site", "has no CA that could issue: %s", status_word(status));
        return;
    }
    status = hub_client_certify(client, writer_bytes(&certificate));
    if (status == OK)
        status = hub_credential_put(hub, client);
    if (status == OK)
        hub_answer_bytes(request, COAP_CHANGED, COAP_FORMAT_PKIX_CERT, writer_bytes(&certificate));
    else
        hub_abandon_group(hub, request, "client", status);
}

/* Codes are 16 random bytes, so guessing is hopeless; this keeps the try from costing anything. */
static bool may_try(struct hub *hub)
{
    if (hub->now_ms - hub->code_window_ms >= HUB_CODE_WINDOW_MS) {
        hub->code_window_ms = hub->now_ms;
        hub->wrong_codes = 0;
    }
    return hub->wrong_codes < HUB_CODE_TRIES;
}

static struct hub_client *who_enrols(struct hub *hub, struct bytes code)
{
    uint8_t hash[X509_HASH_LEN];
    struct hub_client *found = NULL;
    if (hash_code(code, hash) != OK)
        return NULL;
    for (size_t i = 0; i < HUB_CLIENTS_MAX; i++) {
        struct hub_client *client = hub->clients[i];
        if (client && client->code_expires_ms && ct_equal(hash, client->code_hash, sizeof hash))
            found = client;
    }
    return found;
}

/* Once is once for one key: whoever never got the answer may ask again. */
static bool is_spent(const struct hub_client *client, const struct crypto_public *key)
{
    struct pki_certificate certificate;
    return client->certificate.der.len &&
           (pki_certificate_decode(client->certificate.der, &certificate) != OK ||
            !bytes_equal(crypto_public_bytes(&certificate.key), crypto_public_bytes(key)));
}

void hub_post_sen(struct hub *hub, struct hub_request *request)
{
    char text[2 * HUB_CODE_LEN + 2];
    uint8_t code[HUB_CODE_LEN];
    struct writer writer = writer_over(code, sizeof code);
    struct crypto_public key;
    if (!is_request(request))
        return;
    if (!may_try(hub)) {
        hub_refuse(request, COAP_TOO_MANY_REQUESTS, "code", "was wrong too often: try again in a minute");
        return;
    }
    const char *given = hub_query(request, "code", text, sizeof text);
    struct hub_client *client = given && base64url_decode(given, &writer) == OK && writer.len == HUB_CODE_LEN
                                    ? who_enrols(hub, BYTES_OF(code))
                                    : NULL;
    wipe(text, sizeof text);
    wipe(code, sizeof code);
    if (client && (int64_t)hub->now_ms > client->code_expires_ms)
        client = NULL;
    if (client && !take_key(request, &key))
        return;
    if (!client || is_spent(client, &key)) {
        hub->wrong_codes++;
        hub_refuse(request, COAP_FORBIDDEN, "code", "is none that is valid here: it works once, and not for long");
    } else if (client->certificate.der.len) {
        hub_answer_bytes(request, COAP_CHANGED, COAP_FORMAT_PKIX_CERT, client->certificate.der);
    } else {
        certify(hub, request, client, &key);
    }
}

void hub_post_sren(struct hub *hub, struct hub_request *request)
{
    struct hub_client *client = request->session->client;
    struct crypto_public key;
    if (!is_request(request))
        return;
    if (client->certificate.der.len == 0)
        hub_refuse(request, COAP_FORBIDDEN, "client", "has no certificate to renew");
    else if (take_key(request, &key))
        certify(hub, request, client, &key);
}
