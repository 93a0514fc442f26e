/* The site CA. Its key is made here and never leaves; the owner signs its certificate, once the evidence was verified.
 */
#include "hub_internal.h"

#include <stdlib.h>
#include <string.h>

void hub_authority_free(struct hub *hub)
{
    crypto_key_done(&hub->authority.key);
    free((void *)(uintptr_t)hub->authority.certificate.data);
    hub->authority.certificate = (struct bytes){0};
}

static enum status set(struct hub *hub, struct bytes private_key, struct bytes certificate)
{
    uint8_t *copy = malloc(certificate.len + 1);
    if (!copy)
        return NO_ROOM;
    if (certificate.len)
        memcpy(copy, certificate.data, certificate.len);
    struct crypto_key key = {0};
    enum status status = crypto_key_import(&key, CRYPTO_P256, private_key);
    if (status != OK) {
        free(copy);
        return status;
    }
    if (!bytes_equal(certificate, hub->authority.certificate))
        hub_identities_forget(hub);
    hub_authority_free(hub);
    hub->authority.key = key;
    hub->authority.certificate = bytes_from(copy, certificate.len);
    return OK;
}

enum status hub_authority_reload(struct hub *hub)
{
    sqlite3_stmt *get = hub_sql(hub, HUB_SQL_AUTHORITY_GET);
    enum status status = OK;
    if (hub_row(get)) {
        status = set(hub, hub_column(get, 0), hub_column(get, 1));
    } else if (hub->authority.key.pkey) {
        hub_identities_forget(hub);
        hub_authority_free(hub);
    }
    sqlite3_reset(get);
    return status;
}

static enum status put(struct hub *hub, struct bytes certificate)
{
    SECRET private_key = {0};
    TRY(crypto_key_export(&hub->authority.key, &private_key));
    sqlite3_stmt *statement = hub_sql(hub, HUB_SQL_AUTHORITY_PUT);
    hub_bind_bytes(statement, 1, secret_bytes(&private_key));
    sqlite3_bind_blob64(statement, 2, certificate.len ? certificate.data : (const uint8_t *)"", certificate.len,
                        SQLITE_STATIC);
    return hub_run(statement);
}

enum status hub_issue(struct hub *hub, enum x509_role role, struct bytes name, const struct crypto_public *key,
                      bool static_dh, struct writer *certificate)
{
    struct pki_certificate issuer;
    if (hub->authority.certificate.len == 0)
        return NOT_FOUND;
    struct x509_order order = {.identity = {.role = role, .name = name},
                               .key = *key,
                               .static_dh = static_dh,
                               .now_s = (int64_t)(hub->now_ms / 1000)};
    memcpy(order.identity.site, hub->site_id, sizeof order.identity.site);
    TRY(pki_certificate_decode(hub->authority.certificate, &issuer));
    TRY(crypto_random(order.serial, sizeof order.serial));
    return x509_issue(certificate, &hub->authority.key, &issuer, &order);
}

/* ---- The resource ---- */

static json_t *encoded(struct bytes bytes)
{
    char text[(4 * PKI_CERTIFICATE_MAX + 2) / 3 + 1];
    return bytes.len && base64url_encode(bytes, text, sizeof text) == OK ? json_string(text) : json_null();
}

void hub_get_site(struct hub *hub, struct hub_request *request)
{
    char site[2 * sizeof hub->site_id + 1] = "";
    if (hex_encode(BYTES_OF(hub->site_id), site, sizeof site) != OK)
        site[0] = 0;
    hub_answer_json(request, COAP_CONTENT,
                    json_pack("{s:s,s:o}", "site", site, "certificate", encoded(hub->authority.certificate)));
}

/* A key is made once; asking again gives the request for the same one. */
void hub_post_site_request(struct hub *hub, struct hub_request *request)
{
    uint8_t room[PKI_REQUEST_MAX];
    struct writer signed_one = writer_over(room, sizeof room);
    bool fresh = hub->authority.key.pkey == NULL;
    enum status status = fresh ? crypto_key_generate(&hub->authority.key, CRYPTO_P256) : OK;
    if (status == OK && fresh)
        status = put(hub, (struct bytes){0});
    if (status != OK) {
        hub_abandon_group(hub, request, "site", status);
        return;
    }
    status = pki_request_sign(&signed_one, &hub->authority.key, bytes_from_text("site CA"));
    if (status == OK)
        hub_answer_json(request, COAP_CREATED, json_pack("{s:o}", "request", encoded(writer_bytes(&signed_one))));
    else
        hub_refuse(request, COAP_INTERNAL_ERROR, "request", "could not be made: %s", status_word(status));
}

/* By the owner, for this key and this site; nothing else becomes the site CA. */
static bool certificate_fits(struct hub *hub, struct hub_request *request, struct bytes der)
{
    const struct x509_policy policy = {.anchor = hub->owner_certificate,
                                       .site = BYTES_OF(hub->site_id),
                                       .roles = 1u << X509_SITE_CA,
                                       .usage = PKI_KEY_CERT_SIGN,
                                       .now_s = (int64_t)(hub->now_ms / 1000)};
    struct x509_result result;
    char sentence[200];
    if (x509_check_chain(&der, 1, &policy, &result) != OK) {
        unsigned reason = 0;
        while (reason < X509_REASON_COUNT && !(result.reasons >> reason & 1))
            reason++;
        x509_sentence((enum x509_reason)reason, &policy, &result, sentence, sizeof sentence);
        hub_refuse(request, COAP_UNPROCESSABLE, "certificate", "is refused: %s", sentence);
        return false;
    }
    if (!hub->authority.key.pkey || !bytes_equal(crypto_public_bytes(&result.certificate.key),
                                                 crypto_public_bytes(&hub->authority.key.public_key))) {
        hub_refuse(request, COAP_CONFLICT, "certificate", "is for another key than this site CA's");
        return false;
    }
    return true;
}

/* The only field of a body, in base64url. False after a refusal. */
static bool take_der(struct hub_request *request, const char *name, struct writer *der)
{
    const char *const known[] = {name, NULL};
    json_t *body = hub_json_body(request, known);
    if (!body)
        return false;
    const char *text = json_string_value(json_object_get(body, name));
    bool readable = text && base64url_decode(text, der) == OK;
    json_decref(body);
    if (!readable)
        hub_refuse(request, COAP_UNPROCESSABLE, name, "must be base64url of at most %zu bytes", der->cap);
    return readable;
}

void hub_post_site_certificate(struct hub *hub, struct hub_request *request)
{
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct writer der = writer_over(room, sizeof room);
    if (!take_der(request, "certificate", &der) || !certificate_fits(hub, request, writer_bytes(&der)))
        return;
    enum status status = put(hub, writer_bytes(&der));
    if (status == OK)
        status = hub_authority_reload(hub);
    if (status != OK) {
        hub_abandon_group(hub, request, "site", status);
        return;
    }
    hub_get_site(hub, request);
    request->code = COAP_CHANGED;
}

/* The owner's daily key: with it his own, which signs the site CA, can stay locked away. A daily key renews itself; one
 * made by the owner's own ends at once what the former was good for, for somebody may have stolen it. */
void hub_post_site_owner(struct hub *hub, struct hub_request *request)
{
    uint8_t room[PKI_REQUEST_MAX], certificate_room[PKI_CERTIFICATE_MAX];
    struct writer der = writer_over(room, sizeof room);
    struct writer certificate = writer_over(certificate_room, sizeof certificate_room);
    struct pki_request wanted;
    if (!take_der(request, "request", &der))
        return;
    if (pki_request_open(writer_bytes(&der), &wanted) != OK || wanted.key.curve != CRYPTO_P256) {
        hub_refuse(request, COAP_UNPROCESSABLE, "request", "is no PKCS #10 request by a key on P-256");
        return;
    }
    enum status status = hub_issue(hub, X509_OWNER, bytes_from_text(HUB_OWNER_NAME), &wanted.key, false, &certificate);
    if (status != OK) {
        hub_refuse(request, COAP_CONFLICT, "site", "has no CA that could issue: %s", status_word(status));
        return;
    }
    status = hub_client_certify(hub->owner_client, writer_bytes(&certificate));
    if (status == OK && request->session->by_root) {
        hub_sessions_drop_of(hub, hub->owner_client);
        status = hub_certificate_set(&hub->owner_client->former, (struct bytes){0});
    }
    if (status == OK)
        status = hub_credential_put(hub, hub->owner_client);
    if (status == OK)
        hub_answer_json(request, COAP_CREATED, json_pack("{s:o}", "certificate", encoded(writer_bytes(&certificate))));
    else
        hub_abandon_group(hub, request, "owner", status);
}
