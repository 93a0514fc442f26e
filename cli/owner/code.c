/* What a one-time code tells a device: whom the owner verified, in words that a device can check for itself. */
#include "owner.h"

#include <string.h>

static void fill_reference(const struct owner_meeting *meeting, struct enrol_reference *reference)
{
    const struct owner_pins *pins = &meeting->pins;
    const struct eat_report *report = &meeting->result.report;
    bool development = meeting->owner.configuration.insecure_dev;
    memcpy(reference->site, meeting->owner.configuration.site, sizeof reference->site);
    memcpy(reference->ak, pins->ak_name + TPM2_NAME_LEN - sizeof reference->ak, sizeof reference->ak);
    memcpy(reference->signer, report->signer, sizeof reference->signer);
    memcpy(reference->product, meeting->product, sizeof meeting->product);
    reference->min_security_version = report->security_version;
    reference->required_walls = pins->required_walls;
    reference->insecure_dev = development;
    reference->unmeasured_monitor = development || pins->allow_unmeasured_monitor;
}

int owner_code(const struct owner_session *session, const char *name, const char *secret, char text[ENROL_TEXT_MAX])
{
    const struct owner_meeting *meeting = session->meeting;
    struct enrol_code code = {0};
    struct writer writer = writer_over(code.secret, sizeof code.secret);
    uint8_t hash[CRYPTO_HASH_MAX];
    _Static_assert(sizeof meeting->product == sizeof code.reference.product, "a product of an image fits both");
    fill_reference(meeting, &code.reference);
    snprintf(code.name, sizeof code.name, "%s", name);
    enum status status = secret ? base64url_decode(secret, &writer) : MALFORMED;
    if (status == OK && writer.len != sizeof code.secret)
        status = MALFORMED;
    if (status == OK)
        status = crypto_hash(CRYPTO_SHA256, &meeting->owner.configuration.certificate, 1, hash);
    if (status == OK) {
        memcpy(code.reference.owner, hash, sizeof code.reference.owner);
        status = enrol_code_encode(&code, text, ENROL_TEXT_MAX);
    }
    wipe(&code, sizeof code);
    return status == OK ? CLI_OK
                        : cli_fail(meeting->cli, CLI_INTERNAL, "the code cannot be made: %s", status_word(status));
}
