/* measure: sealed memory alone is hashed, whole, a step at a time; and what of it a policy allows. */
#include "check.h"

#include "measure.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALL (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

static char sentence[MEASURE_SENTENCE_MAX];

/* `len` bytes, of which the first few are the text. */
static int memory(const char *text, uint64_t len, int seals)
{
    int fd = memfd_create("part", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0 && ftruncate(fd, (off_t)len) == 0);
    assert_int_equal(strlen(text), pwrite(fd, text, strlen(text), 0));
    assert_int_equal(0, fcntl(fd, F_ADD_SEALS, seals));
    return fd;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static unsigned steps(struct measure *measure)
{
    unsigned count = 1;
    enum status status;
    for (; (status = measure_step(measure)) == BUSY; count++)
        assert_true(measure->done <= count * (uint64_t)MEASURE_STEP && measure->done < measure->total);
    check_ok(status);
    assert_true(measure->done == measure->total);
    return count;
}

static void each_part_is_hashed_whole(void **unused)
{
    static uint8_t large[3 * MEASURE_STEP + 5] = "kernel";
    struct measure measure;
    uint8_t digest[CRYPTO_HASH_MAX];
    const struct bytes kernel = BYTES_OF(large), line = bytes_from_text("console=ttyS0");
    const int fds[] = {memory("kernel", sizeof large, ALL), memory("", 0, ALL), memory("console=ttyS0", 13, ALL)};
    (void)unused;
    check_ok(measure_begin(&measure, 1u << IMAGE_KERNEL | 1u << IMAGE_INITRD | 1u << IMAGE_CMDLINE, fds, 3, sentence));
    assert_true(measure.total == sizeof large + 13);
    assert_int_equal(4, steps(&measure));
    assert_false(measure.launch.given[IMAGE_FIRMWARE] || measure.launch.given[IMAGE_DISK]);
    check_ok(crypto_hash(CRYPTO_SHA256, &kernel, 1, digest));
    assert_memory_equal(digest, measure.launch.hash[IMAGE_KERNEL], 32);
    check_ok(crypto_hash(CRYPTO_SHA256, NULL, 0, digest));
    assert_memory_equal(digest, measure.launch.hash[IMAGE_INITRD], 32);
    check_ok(crypto_hash(CRYPTO_SHA256, &line, 1, digest));
    assert_memory_equal(digest, measure.launch.hash[IMAGE_CMDLINE], 32);
    for (size_t i = 0; i < 3; i++)
        assert_false(is_open(fds[i]));
    measure_end(&measure);
}

static void one_that_is_given_up_closes_what_it_was_given(void **unused)
{
    struct measure measure;
    const int fds[] = {memory("a", MEASURE_STEP + 1, ALL), memory("b", 1, ALL)};
    (void)unused;
    check_ok(measure_begin(&measure, 3, fds, 2, sentence));
    check_status(BUSY, measure_step(&measure));
    measure_end(&measure);
    assert_false(is_open(fds[0]) || is_open(fds[1]));
}

static void refused(uint32_t given, const int *fds, size_t count, enum status status, const char *why)
{
    struct measure measure;
    memset(&measure, 0x5a, sizeof measure);
    const struct measure before = measure;
    check_status(status, measure_begin(&measure, given, fds, count, sentence));
    assert_memory_equal(&before, &measure, sizeof measure);
    if (!strstr(sentence, why))
        fail_msg("\"%s\" does not say \"%s\"", sentence, why);
    for (size_t i = 0; i < count; i++)
        assert_true(is_open(fds[i]));
}

static void what_could_still_change_is_not_measured(void **unused)
{
    static const int missing[] = {F_SEAL_WRITE, F_SEAL_GROW, F_SEAL_SHRINK, F_SEAL_SEAL, ALL};
    (void)unused;
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        const int fds[] = {memory("a", 1, ALL), memory("b", 1, ALL & ~missing[i])};
        refused(1u << IMAGE_KERNEL | 1u << IMAGE_DISK, fds, 2, MALFORMED, "disk is not sealed memory");
        close(fds[0]), close(fds[1]);
    }
    int ends[2];
    assert_int_equal(0, pipe(ends));
    const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int others[] = {ends[0], file, null};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        refused(1u << IMAGE_INITRD, &others[i], 1, MALFORMED, "initrd is not sealed memory");
    close(ends[0]), close(ends[1]), close(file), close(null);
}

static void there_is_a_descriptor_for_each_part(void **unused)
{
    const int fds[] = {memory("a", 1, ALL), memory("b", 1, ALL)};
    (void)unused;
    refused(0, fds, 0, MALFORMED, "a descriptor for each part");
    refused(1, fds, 0, MALFORMED, "a descriptor for each part");
    refused(1, fds, 2, MALFORMED, "a descriptor for each part");
    refused(7, fds, 2, MALFORMED, "a descriptor for each part");
    refused(1u << IMAGE_PARTS, fds, 1, MALFORMED, "a descriptor for each part");
    close(fds[0]), close(fds[1]);
}

static void limits_hold_at_them_and_one_past(void **unused)
{
    static const uint64_t limits[IMAGE_PARTS] = {MEASURE_FIRMWARE_MAX, MEASURE_KERNEL_MAX, MEASURE_INITRD_MAX,
                                                 MEASURE_CMDLINE_MAX, MEASURE_DISK_MAX};
    (void)unused;
    for (size_t part = 0; part < IMAGE_PARTS; part++) {
        struct measure measure;
        int fd = memory("", limits[part], ALL); /* holes, which take no memory */
        check_ok(measure_begin(&measure, 1u << part, &fd, 1, sentence));
        measure_end(&measure);
        fd = memory("", limits[part] + 1, ALL);
        refused(1u << part, &fd, 1, NO_ROOM, image_part_words[part]);
        close(fd);
    }
}

static void a_launch_record_comes_back_and_no_other_does(void **unused)
{
    uint8_t room[IMAGE_LAUNCH_LEN + 1] = {0}, digest[32], other[32];
    struct image_launch launch = {.given = {[IMAGE_KERNEL] = true}, .hash = {[IMAGE_KERNEL] = {1, 2}}}, got;
    struct writer writer = writer_over(room, sizeof room);
    (void)unused;
    image_put_launch(&writer, &launch);
    assert_int_equal(IMAGE_LAUNCH_LEN, writer.len);
    check_ok(image_launch_decode(writer_bytes(&writer), &got));
    assert_memory_equal(&launch, &got, sizeof got);
    for (size_t len = 0; len < writer.len; len++)
        check_status(TRUNCATED, image_launch_decode(bytes_from(room, len), &got));
    check_status(MALFORMED, image_launch_decode(bytes_from(room, writer.len + 1), &got));
    room[0] = 2;
    check_status(MALFORMED, image_launch_decode(writer_bytes(&writer), &got));
    room[0] = 0;
    room[IMAGE_HASH_LEN] = 1; /* the hash of a part that was not given */
    check_status(MALFORMED, image_launch_decode(writer_bytes(&writer), &got));
    memset(room, 0, sizeof room);
    check_status(MALFORMED, image_launch_decode(writer_bytes(&writer), &got));
    check_ok(image_launch_digest(&launch, digest));
    launch.given[IMAGE_INITRD] = true; /* a part of zeros is not a part that is missing */
    check_ok(image_launch_digest(&launch, other));
    assert_memory_not_equal(digest, other, 32);
}

static void a_policy_allows_what_it_lists_and_nothing_else(void **unused)
{
    struct image_machine machine = {.allowed_count = {[IMAGE_KERNEL] = 2, [IMAGE_CMDLINE] = 1},
                                    .allowed = {[IMAGE_KERNEL] = {{1}, {2}}, [IMAGE_CMDLINE] = {{3}}}};
    struct image_launch launch = {.given = {[IMAGE_KERNEL] = true, [IMAGE_CMDLINE] = true},
                                  .hash = {[IMAGE_KERNEL] = {2}, [IMAGE_CMDLINE] = {3}}};
    char text[64];
    (void)unused;
    assert_int_equal(0, image_launch_refused(&machine, &launch));
    launch.hash[IMAGE_KERNEL][0] = 1;
    assert_int_equal(0, image_launch_refused(&machine, &launch));
    launch.hash[IMAGE_KERNEL][31] = 1;
    assert_int_equal(1u << IMAGE_KERNEL, image_launch_refused(&machine, &launch));
    launch.given[IMAGE_INITRD] = true;   /* it lists none */
    launch.given[IMAGE_CMDLINE] = false; /* it lists one */
    assert_int_equal(1u << IMAGE_KERNEL | 1u << IMAGE_INITRD | 1u << IMAGE_CMDLINE,
                     image_launch_refused(&machine, &launch));
    measure_list(image_launch_refused(&machine, &launch), text, sizeof text);
    assert_string_equal("kernel, initrd, cmdline", text);
    measure_list(0, text, sizeof text);
    assert_string_equal("", text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_part_is_hashed_whole),
        cmocka_unit_test(one_that_is_given_up_closes_what_it_was_given),
        cmocka_unit_test(what_could_still_change_is_not_measured),
        cmocka_unit_test(there_is_a_descriptor_for_each_part),
        cmocka_unit_test(limits_hold_at_them_and_one_past),
        cmocka_unit_test(a_launch_record_comes_back_and_no_other_does),
        cmocka_unit_test(a_policy_allows_what_it_lists_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
