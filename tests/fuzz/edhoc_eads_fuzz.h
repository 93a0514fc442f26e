/* EAD items as the fuzz targets of EDHOC hold them to what they were read from. */
#ifndef BASTIDE_TESTS_EDHOC_EADS_FUZZ_H
#define BASTIDE_TESTS_EDHOC_EADS_FUZZ_H

#include "edhoc_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define ROOM 6000

static void hold(bool truth)
{
    if (!truth)
        abort();
}

static const int suites[] = {2, 6, 0, 24, 3};
static const uint32_t labels[] = {1, 2, 3, 830};
static const struct edhoc_profile profile = {15, suites, 5, labels, 4};

static void same_eads(const struct edhoc_eads *a, const struct edhoc_eads *b)
{
    hold(a->count == b->count);
    for (size_t i = 0; i < a->count; i++)
        hold(a->items[i].label == b->items[i].label && a->items[i].critical == b->items[i].critical &&
             a->items[i].has_value == b->items[i].has_value && bytes_equal(a->items[i].value, b->items[i].value));
}

/* Without its padding, `encoded` is what we would write. */
static void hold_eads(const struct edhoc_eads *eads, struct bytes encoded)
{
    static uint8_t room[ROOM];
    struct writer writer = writer_over(room, sizeof room);
    struct edhoc_eads again;
    put_eads(&writer, eads);
    hold(writer_end(&writer) == OK && writer.len == eads_len(eads) && writer.len <= encoded.len);
    struct reader reader = reader_over(writer_bytes(&writer));
    hold(take_eads(&reader, &profile, &again) == OK);
    same_eads(eads, &again);
    hold(writer.len < encoded.len || bytes_equal(writer_bytes(&writer), encoded));
}

#endif
