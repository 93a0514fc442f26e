/* TPMS_ATTEST and TPMT_PUBLIC from anyone: decoded or refused; what is decoded encodes to the same bytes. */
#include "tpm2.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t room[TPM2_ATTEST_MAX];
    struct bytes input = bytes_from(data, len);
    struct tpm2_attest attest;
    struct tpm2_public area;
    struct writer writer = writer_over(room, sizeof room);
    if (tpm2_attest_decode(input, &attest) == OK) {
        tpm2_put_attest(&writer, &attest);
        if (!bytes_equal(writer_bytes(&writer), input))
            abort();
    }
    writer = writer_over(room, sizeof room);
    if (tpm2_public_decode(input, &area) == OK) {
        tpm2_put_public(&writer, &area);
        if (!bytes_equal(writer_bytes(&writer), input))
            abort();
    }
    return 0;
}
