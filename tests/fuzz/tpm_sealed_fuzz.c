/* The file of sealed blobs, as anyone may have left it: what is decoded encodes to the same bytes. */
#include "tpm.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t room[TPM_SEALED_MAX];
    static struct tpm_sealed sealed;
    struct bytes input = bytes_from(data, len);
    struct writer writer = writer_over(room, sizeof room);
    if (tpm_sealed_decode(input, &sealed) != OK)
        return 0;
    tpm_put_sealed(&writer, &sealed);
    if (!bytes_equal(writer_bytes(&writer), input))
        abort();
    return 0;
}
