/* ek: whatever a site CA would have signed, read as a platform certificate. What is read stands in it; what nobody
 * signed is not. */
#include "base.h"

#include "crypto.h"
#include "ek.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct crypto_key key;
static struct pki_certificate authority;

static void begin(void)
{
    static uint8_t name_room[64];
    struct writer name = writer_over(name_room, sizeof name_room);
    if (crypto_init() != OK || crypto_key_generate(&key, CRYPTO_P256) != OK ||
        pki_put_name(&name, bytes_from_text("ca")) != OK)
        abort();
    authority = (struct pki_certificate){
        .subject = writer_bytes(&name), .key = key.public_key, .is_ca = true, .usage = PKI_KEY_CERT_SIGN};
}

static bool is_within(struct bytes part, struct bytes whole)
{
    return part.data >= whole.data && part.data + part.len <= whole.data + whole.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t room[8192];
    struct writer whole = writer_over(room, sizeof room);
    struct ek_platform platform = {0};
    if (!key.pkey)
        begin();
    if (ek_platform_open(bytes_from(data, size), &authority, &platform) == OK)
        abort(); /* it has no key */
    if (size > 4096 || pki_put_signed(&whole, &key, bytes_from(data, size)) != OK)
        return 0;
    enum status status = ek_platform_open(writer_bytes(&whole), &authority, &platform);
    if (status == OK && (!is_within(platform.holder, writer_bytes(&whole)) ||
                         !is_within(platform.tenant, writer_bytes(&whole)) || platform.holder.len == 0))
        abort();
    return 0;
}
