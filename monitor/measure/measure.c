/* Sealed memory, hashed a step at a time. */
#include "measure.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)
#define PIECE (64u << 10)

static const uint64_t limits[IMAGE_PARTS] = {[IMAGE_FIRMWARE] = MEASURE_FIRMWARE_MAX,
                                             [IMAGE_KERNEL] = MEASURE_KERNEL_MAX,
                                             [IMAGE_INITRD] = MEASURE_INITRD_MAX,
                                             [IMAGE_CMDLINE] = MEASURE_CMDLINE_MAX,
                                             [IMAGE_DISK] = MEASURE_DISK_MAX};

_Static_assert(IMAGE_PARTS == MONITOR_PARTS, "parts");

void measure_clear(struct measure *measure)
{
    *measure = (struct measure){0};
    for (size_t part = 0; part < IMAGE_PARTS; part++)
        measure->fds[part] = -1;
}

static enum status look_at(size_t part, int fd, uint64_t *len, char sentence[MEASURE_SENTENCE_MAX])
{
    struct stat facts;
    const int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        snprintf(sentence, MEASURE_SENTENCE_MAX, "%s is not sealed memory", image_part_words[part]);
        return MALFORMED;
    }
    *len = (uint64_t)facts.st_size;
    if (*len <= limits[part])
        return OK;
    snprintf(sentence, MEASURE_SENTENCE_MAX, "%s has %llu bytes, and at most %llu are measured", image_part_words[part],
             (unsigned long long)*len, (unsigned long long)limits[part]);
    return NO_ROOM;
}

enum status measure_begin(struct measure *measure, uint32_t given, const int *fds, size_t count,
                          char sentence[MEASURE_SENTENCE_MAX])
{
    struct measure made;
    measure_clear(&made);
    if (given == 0 || given >> IMAGE_PARTS != 0 || count != (size_t)__builtin_popcount(given)) {
        snprintf(sentence, MEASURE_SENTENCE_MAX, "a descriptor for each part is wanted");
        return MALFORMED;
    }
    for (size_t part = 0, i = 0; part < IMAGE_PARTS; part++) {
        if (!(given >> part & 1))
            continue;
        TRY(look_at(part, fds[i], &made.lens[part], sentence));
        made.fds[part] = fds[i++];
        made.launch.given[part] = true;
        made.total += made.lens[part];
    }
    TRY(crypto_hash_start(&made.hash, CRYPTO_SHA256));
    *measure = made;
    return OK;
}

/* The part under way is whole. */
static enum status next_part(struct measure *measure)
{
    uint8_t digest[CRYPTO_HASH_MAX];
    crypto_hash_finish(&measure->hash, digest);
    memcpy(measure->launch.hash[measure->part], digest, IMAGE_HASH_LEN);
    close(measure->fds[measure->part]);
    measure->fds[measure->part] = -1;
    measure->off = 0;
    return crypto_hash_start(&measure->hash, CRYPTO_SHA256);
}

enum status measure_step(struct measure *measure)
{
    static uint8_t room[PIECE];
    for (size_t left = MEASURE_STEP; measure->part < IMAGE_PARTS; measure->part++) {
        const size_t part = measure->part;
        while (measure->fds[part] >= 0) {
            if (left < PIECE)
                return BUSY;
            const uint64_t rest = measure->lens[part] - measure->off;
            const size_t wanted = rest < PIECE ? (size_t)rest : PIECE;
            if (wanted && pread(measure->fds[part], room, wanted, (off_t)measure->off) != (ssize_t)wanted)
                return IO;
            crypto_hash_add(&measure->hash, bytes_from(room, wanted));
            measure->off += wanted;
            measure->done += wanted;
            left -= wanted;
            if (measure->off == measure->lens[part])
                TRY(next_part(measure));
        }
    }
    return OK;
}

void measure_end(struct measure *measure)
{
    for (size_t part = 0; part < IMAGE_PARTS; part++)
        if (measure->fds[part] >= 0)
            close(measure->fds[part]);
    wipe(&measure->hash, sizeof measure->hash);
    measure_clear(measure);
}

void measure_list(unsigned parts, char *text, size_t cap)
{
    struct writer writer = writer_over((uint8_t *)text, cap - 1);
    for (size_t part = 0; part < IMAGE_PARTS; part++)
        if (parts >> part & 1) {
            put_text(&writer, writer.len ? ", " : "");
            put_text(&writer, image_part_words[part]);
        }
    text[writer.status == OK ? writer.len : 0] = 0;
}
