/* The walk told as a chain, for people: what was expected, what was found, and what that is worth. */
#include "vtpm_appraisal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BIT(reason) (1u << EVIDENCE_##reason)

/* What anything of the enclave's hangs on: who vouches for it, and that it is the enclave. */
#define EVIDENCE_BEFORE                                                                                                \
    (BIT(MALFORMED) | BIT(OTHER_TPM) | BIT(AK_UNPROVED) | BIT(OTHER_AK) | BIT(QUOTE) | BIT(REPORT_SIGNATURE) |         \
     BIT(MODE) | BIT(MONITOR) | BIT(PORT) | BIT(MEASUREMENT) | BIT(SECURITY_VERSION) | BIT(CONFIG) | BIT(WORKLOAD) |   \
     BIT(STALE_NONCE))

static const struct {
    const char *word, *holds, *allowed, *refused;
} links[VTPM_LINK_COUNT] = {
    [VTPM_LINK_KEYS] = {"vtpm-keys",
                        "The enclave made this report over its TPM's endorsement keys and this attestation key.", "",
                        "The report is not over these keys: the attestation key is another vTPM's or somebody's own, "
                        "or none was asked for."},
    [VTPM_LINK_CERTIFICATE] = {"ek-certificate", "Its endorsement key is certified by a CA that was given.", "",
                               "The certificate does not hold"},
    [VTPM_LINK_LAUNCH] = {"vm-launch", "The monitor measured what this VM was started from, before its vTPM began.",
                          "host-asserted: what this VM was started from is its host's word, and so are its first PCRs.",
                          "host-asserted: nobody but the VM's host says what it was started from."},
    [VTPM_LINK_ATTESTATION_KEY] = {"vm-attestation-key",
                                   "It was made in this vTPM, cannot leave it, and signs no quote but the vTPM's own.",
                                   "",
                                   "It is no attestation key of RSA 2048 or P-256 with SHA-256, fixed to its TPM and "
                                   "restricted: whoever uses it can have it sign a quote that no TPM made."},
    [VTPM_LINK_QUOTE] = {"vm-quote", "The quote is signed by that key.", "",
                         "The quote is not by that key, or is no quote over SHA-256 PCRs."},
    [VTPM_LINK_NONCE] = {"vm-nonce", "It carries the nonce that the VM was asked with.", "",
                         "The quote was made for another request: an old one, or another's."},
    [VTPM_LINK_PCRS] = {"vm-pcrs", "The VM's PCRs have the values that are expected.",
                        "No values are expected: whatever started in the VM is accepted.",
                        "The VM's PCRs have other values than expected, or others were quoted."},
};

const char *vtpm_link_word(enum vtpm_link link)
{
    return link < VTPM_LINK_COUNT ? links[link].word : "";
}

static void put_hex(struct writer *writer, struct bytes bytes)
{
    char text[2 * EAT_NONCE_MAX + 1];
    if (hex_encode(bytes, text, sizeof text) == OK)
        put_text(writer, text);
    else
        put_text(writer, "more than fits");
}

static void put_mask(struct writer *writer, uint32_t mask)
{
    bool any = false;
    for (unsigned i = 0; i < TPM2_PCR_COUNT; i++) {
        char text[8];
        if (!(mask >> i & 1))
            continue;
        snprintf(text, sizeof text, "%s%u", any ? "," : "", i);
        put_text(writer, text);
        any = true;
    }
    put_text(writer, any ? "" : "none");
}

static void describe_pcrs(const struct vtpm_quote *quote, const struct vtpm_walk *walk, struct evidence_step *step,
                          struct writer *expected, struct writer *found)
{
    uint8_t digest[EAT_HASH_LEN];
    if (quote->pcr_mask && tpm2_pcr_digest(quote->pcr_mask, quote->pcrs, digest) == OK) {
        put_text(expected, "PCRs ");
        put_mask(expected, quote->pcr_mask);
        put_text(expected, " with digest ");
        put_hex(expected, BYTES_OF(digest));
    }
    if (step->outcome == EVIDENCE_UNSEEN)
        return;
    put_text(found, "PCRs ");
    put_mask(found, walk->attest.pcr_mask);
    put_text(found, " with digest ");
    put_hex(found, walk->attest.pcr_digest);
}

static void describe_launch(const struct image_launch *launch, struct writer *found)
{
    for (size_t part = 0; part < IMAGE_PARTS; part++) {
        if (!launch->given[part])
            continue;
        put_text(found, found->len ? ", " : "");
        put_text(found, image_part_words[part]);
        put_text(found, " ");
        put_hex(found, BYTES_OF(launch->hash[part]));
    }
}

static void describe(enum vtpm_link link, const struct vtpm_quote *quote, const struct vtpm_walk *walk,
                     struct evidence_step *step, struct writer *expected, struct writer *found)
{
    static const uint8_t none[TPM2_NAME_LEN];
    switch (link) {
    case VTPM_LINK_ATTESTATION_KEY:
        if (memcmp(walk->ak_name, none, sizeof none) != 0)
            put_hex(found, BYTES_OF(walk->ak_name));
        break;
    case VTPM_LINK_NONCE:
        put_hex(expected, quote->nonce);
        put_hex(found, walk->attest.extra_data);
        break;
    case VTPM_LINK_PCRS:
        describe_pcrs(quote, walk, step, expected, found);
        break;
    case VTPM_LINK_LAUNCH:
        describe_launch(&walk->vtpm.launch, found);
        break;
    case VTPM_LINK_KEYS:
    case VTPM_LINK_CERTIFICATE:
    case VTPM_LINK_QUOTE:
    case VTPM_LINK_COUNT:
        break;
    }
}

/* The certificate is its CA's word; all else is the enclave's, and then the link's before it. */
static bool hangs_on_refused(enum vtpm_link link, const struct vtpm_walk *walk)
{
    const uint32_t own = (1u << VTPM_LINK_KEYS | 1u << VTPM_LINK_ATTESTATION_KEY | 1u << VTPM_LINK_QUOTE);
    return walk->vtpm.evidence.reasons & EVIDENCE_BEFORE || (walk->refused & own & ((1u << link) - 1));
}

static enum evidence_outcome outcome_of(enum vtpm_link link, const struct vtpm_quote *quote,
                                        const struct vtpm_walk *walk)
{
    const bool judged = walk->judged >> link & 1;
    const bool any_pcrs = link == VTPM_LINK_PCRS && quote->pcr_mask == 0 && walk->judged >> VTPM_LINK_NONCE & 1;
    if (!judged && !any_pcrs)
        return EVIDENCE_UNSEEN;
    if (walk->refused >> link & 1)
        return EVIDENCE_REFUSED;
    if (hangs_on_refused(link, walk))
        return EVIDENCE_UNPROVED;
    const bool weak = any_pcrs || (link == VTPM_LINK_LAUNCH && !walk->vtpm.measured);
    return weak ? EVIDENCE_ALLOWED : EVIDENCE_HOLDS;
}

void vtpm_explain(enum vtpm_link link, const struct vtpm_quote *quote, const struct vtpm_walk *walk,
                  struct evidence_step *step)
{
    struct writer expected = writer_over(step->expected, sizeof step->expected - 1);
    struct writer found = writer_over(step->found, sizeof step->found - 1);
    const char *why = "";
    step->outcome = outcome_of(link, quote, walk);
    if (step->outcome != EVIDENCE_UNSEEN)
        describe(link, quote, walk, step, &expected, &found);
    if (step->outcome == EVIDENCE_HOLDS)
        why = links[link].holds;
    else if (step->outcome == EVIDENCE_ALLOWED)
        why = links[link].allowed;
    else if (step->outcome == EVIDENCE_UNPROVED)
        why = "It fits, but is the word of one who was refused above.";
    else if (step->outcome == EVIDENCE_REFUSED)
        why = links[link].refused;
    step->expected[expected.len] = step->found[found.len] = 0;
    if (link == VTPM_LINK_CERTIFICATE && step->outcome == EVIDENCE_REFUSED)
        snprintf(step->why, sizeof step->why, "%s: %s.", why, walk->certificate_why);
    else
        snprintf(step->why, sizeof step->why, "%s", why);
}
