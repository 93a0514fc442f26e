/* Reports and bundles from anyone: decoded or refused; what is decoded encodes to the same bytes. */
#include "eat.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t room[EAT_EVIDENCE_MAX];
    struct bytes input = bytes_from(data, len);
    struct eat_report report;
    struct eat_evidence evidence;
    if (crypto_init() != OK)
        abort();
    struct writer writer = writer_over(room, sizeof room);
    if (eat_report_decode(input, &report) == OK) {
        eat_put_report(&writer, &report);
        if (!bytes_equal(writer_bytes(&writer), input))
            abort();
    }
    writer = writer_over(room, sizeof room);
    if (eat_evidence_decode(input, &evidence) == OK) {
        eat_put_evidence(&writer, &evidence);
        /* A key given with y as a sign bit is written out in full: the one member with two forms. */
        struct eat_evidence again;
        if (eat_evidence_decode(writer_bytes(&writer), &again) != OK || again.pcr_mask != evidence.pcr_mask ||
            !bytes_equal(again.report, evidence.report) || !bytes_equal(again.ek, evidence.ek))
            abort();
    }
    return 0;
}
