/* A certificate for the code, and the next one for the one before: EST's resources inside OSCORE (RFC 9148). */
#include "device_internal.h"

#include <stdio.h>
#include <string.h>

#define FORMAT_PKCS10 286
#define FORMAT_CERTIFICATE 287

static enum status refused(uint8_t code, const char *what, char *why, size_t cap)
{
    if (code == COAP_TOO_MANY_REQUESTS) {
        snprintf(why, cap, "the hub was given too many wrong codes: try again in a minute");
        return BUSY;
    }
    snprintf(why, cap, "the hub refuses the %s (%u.%02u)%s", what, code >> 5, code & 31u,
             code == COAP_FORBIDDEN ? ": it is spent, too old, or of another site" : "");
    return coap_code_class(code) == 5 ? BUSY : DENIED;
}

/* It came in the session of a hub that was held to the code; what is looked at is that it is of use. */
static enum status take(struct device *device, struct bytes der, char *why, size_t cap)
{
    struct pki_certificate certificate;
    struct x509_identity identity;
    if (pki_certificate_decode(der, &certificate) != OK || x509_identity_of(&certificate, &identity) != OK ||
        identity.role != X509_CLIENT || memcmp(identity.site, device->reference.site, sizeof identity.site) != 0 ||
        device_set_certificate(device, der) != OK) {
        snprintf(why, cap, "what the hub answers is no certificate of this site for this key");
        return AUTH;
    }
    if (device_keep(device) == OK)
        return OK;
    snprintf(why, cap, "the certificate could not be kept");
    return IO;
}

static enum status ask(struct device *device, struct client *client, const char *path, const char *query,
                       const char *what, char *why, size_t cap)
{
    uint8_t room[PKI_REQUEST_MAX];
    struct writer request = writer_over(room, sizeof room);
    struct client_answer answer;
    if (pki_request_sign(&request, &device->key, bytes_from_text("device")) != OK) {
        snprintf(why, cap, "no request for a certificate can be made");
        return INTERNAL;
    }
    const struct client_request question = {.code = COAP_POST,
                                            .path = path,
                                            .query = query,
                                            .content_format = FORMAT_PKCS10,
                                            .payload = writer_bytes(&request)};
    enum status status = client_ask(client, &question, &answer);
    if (status != OK) {
        snprintf(why, cap, "%s", client_why(client));
        return status;
    }
    if (answer.code != COAP_CHANGED || answer.content_format != FORMAT_CERTIFICATE)
        return refused(answer.code, what, why, cap);
    return take(device, answer.payload, why, cap);
}

enum status device_enrol(struct device *device, struct client *client, char *why, size_t cap)
{
    char query[5 + 2 * ENROL_SECRET_LEN] = "code=";
    if (device->certificate_len) {
        snprintf(why, cap, "the device is enrolled already");
        return WRONG_STATE;
    }
    enum status status = base64url_encode(secret_bytes(&device->code), query + 5, sizeof query - 5);
    if (status == OK)
        status = ask(device, client, "est/sen", query, "code", why, cap);
    wipe(query, sizeof query);
    return status;
}

bool device_renewal_due(const struct device *device)
{
    struct pki_certificate certificate;
    return device->certificate_len && device->host.now_s &&
           pki_certificate_decode(bytes_from(device->certificate, device->certificate_len), &certificate) == OK &&
           x509_renewal_due(&certificate, device->host.now_s(device->host.user));
}

enum status device_renew(struct device *device, struct client *client, char *why, size_t cap)
{
    if (device->certificate_len)
        return ask(device, client, "est/sren", NULL, "renewal", why, cap);
    snprintf(why, cap, "the device is not enrolled");
    return WRONG_STATE;
}
