/* bastide vtpm verify: the platform certificate, which says where a vTPM was made, held to what its evidence says now.
 */
#include "command_internal.h"

#include "ek.h"

#include <string.h>

static void put_hex(char *text, const char *before, struct bytes bytes)
{
    size_t used = strlen(text);
    used += (size_t)snprintf(text + used, EVIDENCE_TEXT_MAX - used, "%s%s", used ? ", " : "", before);
    if (hex_encode(bytes, text + used, EVIDENCE_TEXT_MAX - used) != OK)
        text[used] = 0;
}

/* Where and as what it was made; true: here, and as what it is. */
static bool compare(const struct ek_platform *platform, const struct evidence_result *evidence,
                    struct evidence_step *step)
{
    bool same = true;
    if (memcmp(platform->node, evidence->ek_name, sizeof platform->node) != 0) {
        put_hex(step->expected, "node ", BYTES_OF(evidence->ek_name));
        put_hex(step->found, "node ", BYTES_OF(platform->node));
        same = false;
    }
    if (memcmp(platform->measurement, evidence->report.measurement, sizeof platform->measurement) != 0) {
        put_hex(step->expected, "image ", BYTES_OF(evidence->report.measurement));
        put_hex(step->found, "image ", BYTES_OF(platform->measurement));
        same = false;
    }
    return same;
}

void command_vtpm_platform(const struct command_platform *asked, const struct evidence_result *evidence,
                           struct evidence_step *step)
{
    static const char *const said[] = {
        [EVIDENCE_UNSEEN] = "",
        [EVIDENCE_HOLDS] = "It was made on this node, for this instance, with this image.",
        [EVIDENCE_ALLOWED] =
            "It was made elsewhere or with another image: the links above say where and what it is now.",
        [EVIDENCE_UNPROVED] = "It fits, but is held against the word of one who was refused above.",
        [EVIDENCE_REFUSED] = "The platform certificate is of another node or image than this vTPM runs on.",
    };
    struct pki_certificate authority;
    struct ek_platform platform;
    *step = (struct evidence_step){.outcome = EVIDENCE_UNSEEN};
    if (asked->certificate.len == 0)
        return;
    const bool signed_here = pki_certificate_decode(asked->authority, &authority) == OK &&
                             ek_platform_open(asked->certificate, &authority, &platform) == OK;
    if (!signed_here || memcmp(platform.configuration, evidence->report.config, sizeof platform.configuration) != 0) {
        step->outcome = EVIDENCE_REFUSED;
        snprintf(step->why, sizeof step->why, "%s",
                 signed_here ? "The platform certificate is another instance's."
                             : "The platform certificate is none, or not by this site's CA.");
        return;
    }
    if (!compare(&platform, evidence, step))
        step->outcome = asked->insisted ? EVIDENCE_REFUSED : EVIDENCE_ALLOWED;
    else
        step->outcome = evidence->reasons ? EVIDENCE_UNPROVED : EVIDENCE_HOLDS;
    snprintf(step->why, sizeof step->why, "%s", said[step->outcome]);
}
