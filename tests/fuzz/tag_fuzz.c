/* A node's tags from anyone: as they come, and signed by their owner, for otherwise nothing would come past the
 * signature. What opens signs to the same. */
#include "cose.h"
#include "tag.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct crypto_key key;
static const uint8_t site[TAG_SITE_LEN]; /* zeros in seeds */

static void open_one(struct bytes sign1, struct bytes payload)
{
    static uint8_t room[TAG_MAX];
    struct tag tag;
    struct cose_sign1 message;
    if (tag_open(sign1, &key.public_key, site, &tag) != OK)
        return;
    struct writer writer = writer_over(room, sizeof room);
    if (tag_sign(&writer, &key, &tag) != OK || cose_sign1_decode(writer_bytes(&writer), &message) != OK ||
        (payload.len && !bytes_equal(message.payload, payload)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t room[TAG_MAX];
    const struct bytes input = bytes_from(data, len);
    struct writer writer = writer_over(room, sizeof room);
    if (!key.pkey && (crypto_init() != OK || crypto_key_generate(&key, CRYPTO_P256) != OK))
        abort();
    open_one(input, (struct bytes){0});
    if (len && cose_sign1_encode(&writer, &key, &(struct cose_headers){0}, (struct bytes){0}, input) == OK)
        open_one(writer_bytes(&writer), input);
    return 0;
}
