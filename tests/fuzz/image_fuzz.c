/* Manifests, configurations, workloads and machine policies from anyone. Signed ones are opened as they come, and the
 * payloads within signed anew, for otherwise nothing would come past the signature. */
#include "cbor.h"
#include "cose.h"
#include "image.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct crypto_key key;

static void try_configuration(struct bytes input)
{
    static uint8_t room[IMAGE_CONFIGURATION_MAX];
    struct image_configuration configuration;
    if (image_configuration_decode(input, &configuration) != OK)
        return;
    struct writer writer = writer_over(room, sizeof room);
    image_put_configuration(&writer, &configuration);
    if (!bytes_equal(writer_bytes(&writer), input))
        abort();
}

/* What opens signs to the same measurement, when it is signed by the same key. */
static void try_manifest(struct bytes sign1)
{
    static uint8_t room[IMAGE_MANIFEST_MAX];
    struct image_manifest manifest;
    uint8_t first[IMAGE_HASH_LEN], second[IMAGE_HASH_LEN];
    if (image_manifest_open(sign1, &manifest, first) != OK)
        return;
    if (!bytes_equal(crypto_public_bytes(&manifest.signer), crypto_public_bytes(&key.public_key)))
        return;
    struct writer writer = writer_over(room, sizeof room);
    if (image_manifest_sign(&writer, &key, &manifest) != OK ||
        image_manifest_open(writer_bytes(&writer), &manifest, second) != OK || memcmp(first, second, sizeof first) != 0)
        abort();
}

static void try_workload(struct bytes sign1)
{
    struct image_workload workload;
    if (image_workload_open(sign1, &key.public_key, &workload) == OK && workload.count > IMAGE_TASKS_MAX)
        abort();
}

/* As with manifests; the instance's id is zeros in seeds. */
static void try_machine(struct bytes sign1)
{
    static const uint8_t site[IMAGE_SITE_LEN];
    static uint8_t room[IMAGE_WORKLOAD_MAX];
    static struct image_machine machine, again;
    enum image_workload_kind kind;
    if (image_machine_open(sign1, &key.public_key, site, &machine) != OK || sign1.len == 0)
        return;
    struct writer writer = writer_over(room, sizeof room);
    if (image_workload_kind(sign1, &kind) != OK || kind != IMAGE_MACHINE ||
        image_machine_sign(&writer, &key, &machine) != OK ||
        image_machine_open(writer_bytes(&writer), &key.public_key, site, &again) != OK ||
        memcmp(&machine, &again, sizeof machine) != 0)
        abort();
}

/* In a seed, the signer's key is where 0xee stands 65 times: ours is another in every run. */
static struct bytes with_our_key(struct bytes payload, uint8_t *room)
{
    static const uint8_t mark[32] = {0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee,
                                     0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee,
                                     0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee};
    memcpy(room, payload.data, payload.len);
    for (size_t half = 0; half < 2; half++) {
        uint8_t *at = memmem(room, payload.len, mark, sizeof mark);
        if (at)
            memcpy(at, key.public_key.data + 1 + 32 * half, 32);
    }
    return bytes_from(room, payload.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t room[4096], signed_room[8192];
    const struct bytes input = bytes_from(data, len);
    struct cose_headers headers = {0};
    if (!key.pkey && (crypto_init() != OK || crypto_key_generate(&key, CRYPTO_P256) != OK))
        abort();
    try_configuration(input);
    try_manifest(input);
    try_workload(input);
    try_machine(input);
    if (len == 0 || len > sizeof room)
        return 0;
    struct writer writer = writer_over(signed_room, sizeof signed_room);
    if (cose_sign1_encode(&writer, &key, &headers, (struct bytes){0}, with_our_key(input, room)) != OK)
        abort();
    try_manifest(writer_bytes(&writer));
    try_workload(writer_bytes(&writer));
    try_machine(writer_bytes(&writer));
    return 0;
}
