/* TPMT_PUBLIC from anyone: what is decoded encodes to the same bytes, has a name, and, if its point is on the curve,
 * takes a credential. */
#include "tpm2.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void hold(bool truth)
{
    if (!truth)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t room[TPM2_PUBLIC_MAX], blob[TPM2_CREDENTIAL_MAX], name[TPM2_NAME_LEN];
    struct bytes input = bytes_from(data, len);
    struct tpm2_public area, template;
    struct crypto_public key;
    hold(crypto_init() == OK);
    if (tpm2_public_decode(input, &area) != OK)
        return 0;
    struct writer writer = writer_over(room, sizeof room);
    tpm2_put_public(&writer, &area);
    hold(bytes_equal(writer_bytes(&writer), input));
    hold(tpm2_name(input, name) == OK && name[0] == TPM2_SHA256 >> 8 && name[1] == (TPM2_SHA256 & 0xff));
    hold(!(tpm2_public_is_ak(&area) && tpm2_public_is_ek(&area)));
    tpm2_ek_template(&template);
    memcpy(template.x, area.x, sizeof area.x);
    memcpy(template.y, area.y, sizeof area.y);
    hold(tpm2_public_is_ek(&template));
    struct writer credential = writer_over(blob, sizeof blob);
    enum status on_curve = tpm2_public_key(&area, &key);
    enum status made = tpm2_make_credential(&area, name, bytes_from_text("of 16 octets ..."), &credential);
    hold(on_curve == OK || (on_curve == MALFORMED && made != OK));
    hold(made != OK || credential.len > 64);
    return 0;
}
