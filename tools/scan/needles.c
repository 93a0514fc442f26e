/* Needles: a sorted list, and a bitmap of first bytes so that looking at megabytes costs little. */
#include "scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HITS_SHOWN 8

static int by_bytes(const void *left, const void *right)
{
    const struct scan_needle *a = left, *b = right;
    return memcmp(a->data, b->data, SCAN_NEEDLE_MIN);
}

static bool add(struct scan_needles *needles, const char *text)
{
    uint8_t room[SCAN_NEEDLE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    struct scan_needle *list = realloc(needles->list, (needles->count + 1) * sizeof *list);
    if (!list)
        return false;
    needles->list = list;
    if (hex_decode(text, &writer) != OK || writer.len < SCAN_NEEDLE_MIN)
        return false;
    uint8_t *data = malloc(writer.len);
    if (!data)
        return false;
    memcpy(data, room, writer.len);
    list[needles->count++] = (struct scan_needle){data, writer.len};
    size_t first = (size_t)(room[0] << 8 | room[1]);
    needles->first[first / 8] |= (uint8_t)(1 << first % 8);
    if (writer.len > needles->longest)
        needles->longest = writer.len;
    return true;
}

enum status scan_load(struct scan_needles *needles, const char *path)
{
    char line[2 * SCAN_NEEDLE_MAX + 2];
    FILE *file = fopen(path, "re");
    *needles = (struct scan_needles){0};
    if (!file)
        return NOT_FOUND;
    enum status status = OK;
    while (status == OK && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (line[0] && !add(needles, line))
            status = MALFORMED;
    }
    fclose(file);
    if (status == OK && needles->count == 0)
        status = MALFORMED;
    if (needles->count)
        qsort(needles->list, needles->count, sizeof *needles->list, by_bytes);
    return status;
}

void scan_free(struct scan_needles *needles)
{
    for (size_t i = 0; i < needles->count; i++)
        free(needles->list[i].data);
    free(needles->list);
    *needles = (struct scan_needles){0};
}

/* The first needle whose beginning is not below these bytes. */
static size_t lower_bound(const struct scan_needles *needles, const uint8_t *at)
{
    size_t low = 0, high = needles->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(needles->list[middle].data, at, SCAN_NEEDLE_MIN) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void hit(const struct scan_needle *needle, uint64_t at, struct scan_tally *tally)
{
    char text[2 * SCAN_NEEDLE_MIN + 1];
    tally->hits++;
    if (tally->hits <= HITS_SHOWN && hex_encode(bytes_from(needle->data, SCAN_NEEDLE_MIN), text, sizeof text) == OK)
        fprintf(stderr, "scan: %s… at %#llx\n", text, (unsigned long long)at);
}

void scan_piece(const struct scan_needles *needles, struct bytes piece, uint64_t at, struct scan_tally *tally)
{
    for (size_t i = 0; piece.len >= SCAN_NEEDLE_MIN && i <= piece.len - SCAN_NEEDLE_MIN; i++) {
        size_t first = (size_t)(piece.data[i] << 8 | piece.data[i + 1]);
        if (!(needles->first[first / 8] >> first % 8 & 1))
            continue;
        for (size_t n = lower_bound(needles, piece.data + i);
             n < needles->count && memcmp(needles->list[n].data, piece.data + i, SCAN_NEEDLE_MIN) == 0; n++) {
            const struct scan_needle *needle = &needles->list[n];
            if (needle->len <= piece.len - i && memcmp(needle->data, piece.data + i, needle->len) == 0)
                hit(needle, at + i, tally);
        }
    }
}
