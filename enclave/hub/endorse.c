/* POST /site/ek, /site/platform: the site CA certifies the endorsement key of a vTPM and the platform it is part of, on
 * the word of the owner, who has verified what it lives in. Nothing is kept: the certificate says what there is to
 * know.
 */
#include "hub_internal.h"

#include "ek.h"

#include <string.h>

#define DAY_S 86400ll

static const struct {
    const char *field;
    enum crypto_curve curve;
} points[] = {{"p256", CRYPTO_P256}, {"p384", CRYPTO_P384}};

static const char *const known[] = {"name",   "instance", "tenant", "model", "version", "measurement",
                                    "signer", "rsa",      "p256",   "p384",  NULL};

static struct bytes text_of(const json_t *body, const char *field)
{
    return bytes_from_text(json_string_value(json_object_get(body, field)));
}

static bool take_hex(struct hub_request *request, const json_t *body, const char *field, uint8_t *room, size_t len)
{
    const char *text = json_string_value(json_object_get(body, field));
    struct writer writer = writer_over(room, len);
    if (text && hex_decode(text, &writer) == OK && writer.len == len)
        return true;
    hub_refuse(request, COAP_UNPROCESSABLE, field, "must be %zu hexadecimal digits", 2 * len);
    return false;
}

static bool take_key(struct hub_request *request, const json_t *body, struct ek_order *order, uint8_t room[EK_RSA_LEN])
{
    struct writer writer = writer_over(room, EK_RSA_LEN);
    const char *rsa = json_string_value(json_object_get(body, "rsa"));
    size_t keys = json_object_get(body, "rsa") != NULL;
    if (rsa && base64url_decode(rsa, &writer) == OK)
        order->rsa = writer_bytes(&writer);
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        const char *point = json_string_value(json_object_get(body, points[i].field));
        writer = writer_over(room, EK_RSA_LEN);
        if (point && base64url_decode(point, &writer) == OK &&
            crypto_public_import(&order->key, points[i].curve, writer_bytes(&writer)) != OK)
            order->key = (struct crypto_public){0};
        keys += json_object_get(body, points[i].field) != NULL;
    }
    if (keys == 1 && (order->rsa.len == EK_RSA_LEN || order->key.len))
        return true;
    hub_refuse(request, COAP_UNPROCESSABLE, "key",
               "must be one of rsa (a modulus of 2048 bits), p256 and p384 (a point), in base64url");
    return false;
}

/* What every certificate of the CA's has of its own. NOT_FOUND: there is no CA yet. */
struct issue {
    struct pki_certificate issuer;
    uint8_t serial[X509_SERIAL_LEN];
    struct ek_terms terms; /* borrows the number */
};

static enum status prepare(struct hub *hub, struct issue *issue)
{
    if (hub->authority.certificate.len == 0)
        return NOT_FOUND;
    TRY(pki_certificate_decode(hub->authority.certificate, &issue->issuer));
    TRY(crypto_random(issue->serial, sizeof issue->serial));
    issue->serial[0] = (uint8_t)((issue->serial[0] & 0x7f) | 0x40); /* positive, and as long as it is */
    issue->terms.not_before_s = (int64_t)(hub->now_ms / 1000) - X509_BACKDATE_S;
    issue->terms.not_after_s = issue->terms.not_before_s + HUB_EK_DAYS * DAY_S;
    if (issue->terms.not_after_s > issue->issuer.not_after_s)
        issue->terms.not_after_s = issue->issuer.not_after_s;
    issue->terms.serial = BYTES_OF(issue->serial);
    memcpy(issue->terms.site, hub->site_id, sizeof issue->terms.site);
    return OK;
}

static void answer(struct hub_request *request, enum status status, uint16_t format, const struct writer *certificate)
{
    if (status == OK)
        hub_answer_bytes(request, COAP_CHANGED, format, writer_bytes(certificate));
    else if (status == NOT_FOUND)
        hub_refuse(request, COAP_CONFLICT, "site", "has no CA that could issue: bastide init has the owner sign it");
    else
        hub_refuse(request, COAP_INTERNAL_ERROR, "certificate", "could not be made: %s", status_word(status));
}

static void certify(struct hub *hub, struct hub_request *request, struct ek_order *order)
{
    uint8_t room[EK_CERTIFICATE_MAX];
    struct writer certificate = writer_over(room, sizeof room);
    struct issue issue;
    enum status status = prepare(hub, &issue);
    if (status == OK) {
        order->terms = issue.terms;
        status = ek_certificate_sign(&certificate, &hub->authority.key, &issue.issuer, order);
    }
    if (status == MALFORMED)
        hub_refuse(request, COAP_UNPROCESSABLE, "name",
                   "(letters, digits, . _ -), tenant (text), each of 1 to %d, model or version cannot be", EK_NAME_MAX);
    else
        answer(request, status, COAP_FORMAT_PKIX_CERT, &certificate);
}

void hub_post_site_ek(struct hub *hub, struct hub_request *request)
{
    uint8_t room[EK_RSA_LEN];
    json_t *body = hub_json_body(request, known);
    if (!body)
        return;
    struct ek_order order = {.name = text_of(body, "name"),
                             .tenant = text_of(body, "tenant"),
                             .model = text_of(body, "model"),
                             .version = text_of(body, "version")};
    if (take_hex(request, body, "instance", order.instance, sizeof order.instance) &&
        take_hex(request, body, "measurement", order.measurement, sizeof order.measurement) &&
        take_hex(request, body, "signer", order.signer, sizeof order.signer) && take_key(request, body, &order, room))
        certify(hub, request, &order);
    json_decref(body);
}

static void certify_platform(struct hub *hub, struct hub_request *request, struct ek_platform *order)
{
    uint8_t room[EK_CERTIFICATE_MAX];
    struct writer certificate = writer_over(room, sizeof room);
    struct issue issue;
    enum status status = prepare(hub, &issue);
    if (status == OK) {
        order->terms = issue.terms;
        status = ek_platform_sign(&certificate, &hub->authority.key, &issue.issuer, order);
    }
    if (status == MALFORMED)
        hub_refuse(request, COAP_UNPROCESSABLE, "holder",
                   "(a positive number), tenant (text of 1 to %d), model or version (letters and digits) cannot be",
                   EK_TENANT_MAX);
    else
        answer(request, status, COAP_FORMAT_OCTETS, &certificate);
}

void hub_post_site_platform(struct hub *hub, struct hub_request *request)
{
    static const char *const fields[] = {"holder", "instance",      "tenant",      "model", "version",
                                         "node",   "configuration", "measurement", NULL};
    uint8_t holder[PKI_SERIAL_MAX];
    struct writer number = writer_over(holder, sizeof holder);
    json_t *body = hub_json_body(request, fields);
    if (!body)
        return;
    const char *text = json_string_value(json_object_get(body, "holder"));
    struct ek_platform order = {
        .tenant = text_of(body, "tenant"), .model = text_of(body, "model"), .version = text_of(body, "version")};
    const bool named = text && hex_decode(text, &number) == OK && number.len > 0;
    order.holder = writer_bytes(&number);
    if (!named)
        hub_refuse(request, COAP_UNPROCESSABLE, "holder", "must be the serial number of an EK certificate, in hex");
    else if (take_hex(request, body, "instance", order.instance, sizeof order.instance) &&
             take_hex(request, body, "node", order.node, sizeof order.node) &&
             take_hex(request, body, "configuration", order.configuration, sizeof order.configuration) &&
             take_hex(request, body, "measurement", order.measurement, sizeof order.measurement))
        certify_platform(hub, request, &order);
    json_decref(body);
}
