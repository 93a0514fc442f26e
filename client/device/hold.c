/* The hub held to what the code said: its certificates before it learns who we are, its evidence before anything is
 * sent. */
#include "device_internal.h"

#include "image.h"

#include <stdio.h>
#include <string.h>

static int64_t now_s(const struct device *device)
{
    return device->host.now_s ? device->host.now_s(device->host.user) : 0;
}

/* The launch configuration names the owner's certificate, of which the code had the hash alone; it came along. */
static enum status expect_configuration(struct device *device, struct bytes root)
{
    uint8_t room[PKI_CERTIFICATE_MAX + 64], digest[CRYPTO_HASH_MAX];
    struct writer writer = writer_over(room, sizeof room);
    struct image_configuration configuration = {.certificate = root, .insecure_dev = device->reference.insecure_dev};
    memcpy(configuration.site, device->reference.site, sizeof configuration.site);
    image_put_configuration(&writer, &configuration);
    TRY(writer_end(&writer));
    struct bytes encoded = writer_bytes(&writer);
    TRY(crypto_hash(CRYPTO_SHA256, &encoded, 1, digest));
    memcpy(device->config, digest, sizeof device->config);
    return OK;
}

enum status device_meet(void *user, const struct client_hub *hub, char *why, size_t cap)
{
    struct device *device = user;
    const struct edhoc_reference *shown = hub->reference;
    const struct x509_policy policy = {.anchor_hash = BYTES_OF(device->reference.owner),
                                       .site = BYTES_OF(device->reference.site),
                                       .roles = 1u << X509_HUB,
                                       .usage = PKI_DIGITAL_SIGNATURE,
                                       .now_s = now_s(device)};
    struct x509_result result;
    if (shown->kind != EDHOC_X5CHAIN) {
        snprintf(why, cap, "the hub shows no certificate, so nothing says whose it is");
        return DENIED;
    }
    if (x509_check_chain(shown->certificates, shown->certificates_count, &policy, &result) == OK)
        return expect_configuration(device, shown->certificates[shown->certificates_count - 1]);
    unsigned reason = 0;
    while (reason + 1 < X509_REASON_COUNT && !(result.reasons >> reason & 1))
        reason++;
    x509_sentence((enum x509_reason)reason, &policy, &result, why, cap);
    return DENIED;
}

static void say_why(const struct evidence_policy *policy, const struct evidence_result *result, char *why, size_t cap)
{
    unsigned reason = 0;
    while (reason + 1 < EVIDENCE_REASON_COUNT && !(result->reasons >> reason & 1))
        reason++;
    evidence_sentence((enum evidence_reason)reason, policy, result, why, cap);
}

/* What was seen is kept before the hub is believed: whoever shows less the next time is refused. */
static enum status remember(struct device *device, const struct evidence_freshness *seen, char *why, size_t cap)
{
    struct evidence_freshness before = device->seen;
    if (memcmp(&before, seen, sizeof before) == 0)
        return OK;
    device->seen = *seen;
    if (device_keep(device) == OK)
        return OK;
    device->seen = before;
    snprintf(why, cap, "what was seen of the hub could not be kept");
    return DENIED;
}

enum status device_appraise(void *user, const struct client_hub *hub, char *why, size_t cap)
{
    struct device *device = user;
    const struct enrol_reference *reference = &device->reference;
    uint8_t ak_name[TPM2_NAME_LEN] = {TPM2_SHA256 >> 8, TPM2_SHA256 & 0xff};
    memcpy(ak_name + 2, reference->ak, sizeof reference->ak);
    const struct evidence_policy policy = {.ak_name = BYTES_OF(ak_name),
                                           .signer = BYTES_OF(reference->signer),
                                           .product = bytes_from_text(reference->product),
                                           .min_security_version = reference->min_security_version,
                                           .config = BYTES_OF(device->config),
                                           .nonce = hub->nonce,
                                           .required_walls = reference->required_walls,
                                           .seen = device->seen,
                                           .allow_insecure_dev = reference->insecure_dev,
                                           .allow_unmeasured_monitor = reference->unmeasured_monitor,
                                           .monitor_by_credential = true};
    const struct evidence_session session = {hub->evidence, hub->binder, hub->credential};
    enum status status = evidence_appraise_session(&session, &policy, &device->evidence);
    if (status == DENIED)
        say_why(&policy, &device->evidence, why, cap);
    /* Its strings live in the message. */
    device->evidence.report.port = device->evidence.report.product = (struct bytes){0};
    return status == OK ? remember(device, &device->evidence.freshness, why, cap) : DENIED;
}
