/* tag: what a node is and where, in its owner's word: an EAT (RFC 9711) in COSE_Sign1, ES256. It goes into NV indices
 * of the node's own vTPM (client/vtpm), whose instance it names. Never judges whether the place is the right one; pure.
 *
 *     {4 (exp): seconds, 264 (location): {1: latitude, 2: longitude}, 265 (eat_profile): "tag:bastide,2026:node-tag",
 *      -70001: site id of the instance, -70002: serial, -70003: {name: value…}, -70004: region}
 *
 * Deterministic CBOR; location and region are left out where they are not known. */
#ifndef BASTIDE_TAG_H
#define BASTIDE_TAG_H

#include "base.h"
#include "crypto.h"

#define TAG_SITE_LEN 16
#define TAG_ASSETS_MAX 8
#define TAG_NAME_MAX 31
#define TAG_VALUE_MAX 63
#define TAG_REGION_MAX 6 /* ISO 3166-1 alpha-2 or ISO 3166-2: "CO", "CO-DC" */
#define TAG_MAX 1024     /* bytes of a signed one */

struct tag_asset {
    char name[TAG_NAME_MAX + 1]; /* letters, digits and . _ - */
    char value[TAG_VALUE_MAX + 1];
};

struct tag {
    uint8_t site[TAG_SITE_LEN];
    uint64_t serial;                         /* from 1: the highest counts */
    uint64_t expires_s;                      /* since 1970 */
    struct tag_asset assets[TAG_ASSETS_MAX]; /* by name: shorter before longer, then bytewise; none twice */
    size_t asset_count;
    char region[TAG_REGION_MAX + 1]; /* "": not known */
    bool located;
    double latitude, longitude; /* WGS-84, degrees, north and east of zero */
};

/* MALFORMED: a field out of its range, or assets out of order. */
MUST_USE enum status tag_sign(struct writer *writer, const struct crypto_key *owner, const struct tag *tag);
/* AUTH: not this owner's; DENIED: another instance's; else as the encoding has it. Its time is the caller's to judge.
 */
MUST_USE enum status tag_open(struct bytes sign1, const struct crypto_public *owner, const uint8_t site[TAG_SITE_LEN],
                              struct tag *tag);

#endif
