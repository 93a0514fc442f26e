/* The site configuration: {1: owner certificate, 2: site id, 3: mode}, nothing else, deterministic. */
#include "node.h"

#include "cbor.h"

#include <string.h>

static void expect_key(struct reader *reader, uint64_t key)
{
    if (cbor_take_uint(reader) != key)
        reader_fail(reader, MALFORMED);
}

enum status node_site_decode(struct bytes encoded, struct node_site *site)
{
    struct node_site got = {0};
    uint8_t digest[CRYPTO_HASH_MAX];
    struct reader reader = reader_over(encoded);
    if (cbor_take_map(&reader) != 3)
        reader_fail(&reader, MALFORMED);
    expect_key(&reader, 1);
    struct bytes certificate = cbor_take_bytes(&reader);
    expect_key(&reader, 2);
    struct bytes id = cbor_take_bytes(&reader);
    expect_key(&reader, 3);
    struct bytes mode = cbor_take_text(&reader);
    TRY(reader_end(&reader));
    got.insecure_dev = bytes_equal(mode, bytes_from_text("insecure-dev"));
    if (id.len != NODE_SITE_LEN || (!got.insecure_dev && !bytes_equal(mode, bytes_from_text("production"))))
        return MALFORMED;
    memcpy(got.site, id.data, NODE_SITE_LEN);
    TRY(crypto_certificate_key(certificate, &got.owner));
    TRY(crypto_hash(CRYPTO_SHA256, &encoded, 1, digest));
    memcpy(got.config, digest, sizeof got.config);
    *site = got;
    return OK;
}
