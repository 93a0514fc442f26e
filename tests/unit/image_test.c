/* Manifest, launch configuration and workload manifest: round trips, every prefix, every flipped bit, every limit. */
#include "check.h"

#include "image.h"

#include <stdio.h>

static struct crypto_key signer, other;

static int make_keys(void **unused)
{
    (void)unused;
    return crypto_init() == OK && crypto_key_generate(&signer, CRYPTO_P256) == OK &&
                   crypto_key_generate(&other, CRYPTO_P256) == OK
               ? 0
               : -1;
}

static struct image_manifest example(size_t files)
{
    struct image_manifest manifest = {.product = "hub", .security_version = 7, .file_count = files};
    for (size_t i = 0; i < files && i < IMAGE_FILES_MAX; i++) {
        snprintf(manifest.files[i].name, sizeof manifest.files[i].name, "file-%zu.so", i);
        manifest.files[i].kind = i == 0 ? IMAGE_PROGRAM : i % 2 ? IMAGE_MODULE : IMAGE_POLICY;
        manifest.files[i].len = 1000 + i;
        manifest.files[i].hash[0] = (uint8_t)i;
    }
    return manifest;
}

static struct bytes sign(const struct image_manifest *manifest, uint8_t room[IMAGE_MANIFEST_MAX])
{
    struct writer writer = writer_over(room, IMAGE_MANIFEST_MAX);
    check_ok(image_manifest_sign(&writer, &signer, manifest));
    return writer_bytes(&writer);
}

static void a_manifest_comes_back_as_it_was_signed(void **unused)
{
    uint8_t room[IMAGE_MANIFEST_MAX], again[IMAGE_MANIFEST_MAX], first[32], second[32];
    const struct image_manifest manifest = example(3);
    struct image_manifest got;
    (void)unused;
    check_ok(image_manifest_open(sign(&manifest, room), &got, first));
    assert_string_equal("hub", got.product);
    assert_int_equal(7, got.security_version);
    assert_int_equal(3, got.file_count);
    assert_memory_equal(manifest.files, got.files, sizeof got.files);
    check_bytes(crypto_public_bytes(&signer.public_key), crypto_public_bytes(&got.signer));
    check_ok(image_manifest_open(sign(&manifest, again), &got, second));
    assert_memory_equal(first, second, 32); /* whatever the signature is */
}

static void the_measurement_follows_every_field(void **unused)
{
    uint8_t room[IMAGE_MANIFEST_MAX], before[32], after[32];
    struct image_manifest manifest = example(3), got;
    (void)unused;
    check_ok(image_manifest_open(sign(&manifest, room), &got, before));
    manifest.files[2].hash[31] ^= 1;
    check_ok(image_manifest_open(sign(&manifest, room), &got, after));
    assert_memory_not_equal(before, after, 32);
    manifest = example(3);
    manifest.security_version++;
    check_ok(image_manifest_open(sign(&manifest, room), &got, after));
    assert_memory_not_equal(before, after, 32);
}

static void every_prefix_every_longer_one_and_every_flipped_bit_is_refused(void **unused)
{
    uint8_t room[IMAGE_MANIFEST_MAX], measurement[32] = {0};
    static const uint8_t none[32];
    const struct image_manifest manifest = example(3);
    struct image_manifest got = {.file_count = 99};
    (void)unused;
    struct bytes whole = sign(&manifest, room);
    for (size_t len = 0; len < whole.len; len++)
        assert_int_not_equal(OK, image_manifest_open(bytes_slice(whole, 0, len), &got, measurement));
    room[whole.len] = 0;
    assert_int_not_equal(OK, image_manifest_open(bytes_from(room, whole.len + 1), &got, measurement));
    for (size_t bit = 0; bit < whole.len * 8; bit++) {
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(OK, image_manifest_open(whole, &got, measurement));
        room[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(99, got.file_count);
    assert_memory_equal(none, measurement, sizeof none);
}

static void a_manifest_of_any_other_shape_is_not_signed(void **unused)
{
    uint8_t room[IMAGE_MANIFEST_MAX];
    static const char *const names[] = {"", ".hidden", "a/b", "..", "a b", "manifest", "\xc3\xa9"};
    struct image_manifest manifests[6] = {example(1), example(3), example(3), example(3), example(2), example(0)};
    (void)unused;
    manifests[0].product[0] = 0;
    manifests[1].files[0].kind = IMAGE_MODULE;
    manifests[2].files[2].kind = IMAGE_MODULE;
    memcpy(manifests[3].files[2].name, manifests[3].files[1].name, sizeof manifests[3].files[2].name);
    for (size_t i = 0; i < 6; i++) {
        struct writer writer = writer_over(room, sizeof room);
        check_status(MALFORMED, image_manifest_sign(&writer, &signer, &manifests[i]));
        assert_int_equal(0, writer.len);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct image_manifest manifest = example(1);
        struct writer writer = writer_over(room, sizeof room);
        snprintf(manifest.files[0].name, sizeof manifest.files[0].name, "%s", names[i]);
        check_status(MALFORMED, image_manifest_sign(&writer, &signer, &manifest));
    }
}

static void limits_hold_at_them_and_one_past(void **unused)
{
    uint8_t room[IMAGE_MANIFEST_MAX], measurement[32];
    struct image_manifest manifest = example(IMAGE_FILES_MAX - 1), got; /* odd: program and pairs */
    struct writer writer = writer_over(room, sizeof room);
    (void)unused;
    check_ok(image_manifest_open(sign(&manifest, room), &got, measurement));
    manifest.file_count = IMAGE_FILES_MAX + 1;
    check_status(MALFORMED, image_manifest_sign(&writer, &signer, &manifest));
    manifest = example(1);
    memset(manifest.files[0].name, 'n', IMAGE_NAME_MAX);
    memset(manifest.product, 'p', IMAGE_PRODUCT_MAX);
    check_ok(image_manifest_open(sign(&manifest, room), &got, measurement));
    memset(manifest.product, 'p', sizeof manifest.product);
    check_status(MALFORMED, image_manifest_sign(&writer, &signer, &manifest));
    check_status(NO_ROOM, image_manifest_open(bytes_from(room, IMAGE_MANIFEST_MAX + 1), &got, measurement));
}

static void signer_and_seal_signer_tell_keys_and_products_apart(void **unused)
{
    struct image_manifest manifest = example(1);
    uint8_t a[32], b[32], c[32], d[32];
    (void)unused;
    manifest.signer = signer.public_key;
    image_signer_hash(&manifest, a);
    image_seal_signer(&manifest, b);
    manifest.product[0] = 'x';
    image_seal_signer(&manifest, c);
    assert_memory_not_equal(b, c, 32);
    image_signer_hash(&manifest, c);
    assert_memory_equal(a, c, 32);
    manifest.signer = other.public_key;
    image_signer_hash(&manifest, d);
    assert_memory_not_equal(a, d, 32);
}

static void a_file_is_what_its_entry_says(void **unused)
{
    uint8_t digest[CRYPTO_HASH_MAX];
    const struct bytes content = bytes_from_text("the program");
    struct image_file file = {.len = content.len};
    (void)unused;
    check_ok(crypto_hash(CRYPTO_SHA256, &content, 1, digest));
    memcpy(file.hash, digest, sizeof file.hash);
    check_ok(image_file_check(&file, content));
    check_status(AUTH, image_file_check(&file, bytes_from_text("the programs")));
    check_status(AUTH, image_file_check(&file, bytes_from_text("the pr0gram")));
    file.len++;
    check_status(AUTH, image_file_check(&file, content));
}

static struct image_workload tasks(size_t count)
{
    struct image_workload workload = {.count = count};
    for (size_t i = 0; i < count && i < IMAGE_TASKS_MAX; i++)
        workload.tasks[i] = (struct image_task){.wasm = {(uint8_t)i}, .object = {1}, .policy = {2}};
    return workload;
}

static void a_workload_is_its_owners_and_nobody_elses(void **unused)
{
    static uint8_t room[IMAGE_WORKLOAD_MAX];
    static const uint8_t none[32];
    static struct image_workload got;
    const struct image_workload workload = tasks(IMAGE_TASKS_MAX);
    struct writer writer = writer_over(room, sizeof room);
    (void)unused;
    check_ok(image_workload_sign(&writer, &signer, &workload));
    check_ok(image_workload_open(writer_bytes(&writer), &signer.public_key, &got));
    assert_int_equal(IMAGE_TASKS_MAX, got.count);
    assert_memory_equal(workload.tasks, got.tasks, sizeof got.tasks);
    assert_memory_not_equal(none, got.hash, 32);
    check_status(AUTH, image_workload_open(writer_bytes(&writer), &other.public_key, &got));
    for (size_t len = 1; len < writer.len; len++)
        assert_int_not_equal(OK, image_workload_open(bytes_from(room, len), &signer.public_key, &got));
    check_ok(image_workload_open((struct bytes){0}, &signer.public_key, &got));
    assert_int_equal(0, got.count);
    assert_memory_equal(none, got.hash, 32);
}

static void an_empty_or_overlong_workload_is_not_signed(void **unused)
{
    static uint8_t room[IMAGE_WORKLOAD_MAX];
    struct image_workload workload = tasks(0);
    struct writer writer = writer_over(room, sizeof room);
    (void)unused;
    check_status(MALFORMED, image_workload_sign(&writer, &signer, &workload));
    workload.count = IMAGE_TASKS_MAX + 1;
    check_status(MALFORMED, image_workload_sign(&writer, &signer, &workload));
}

static void a_token_is_one_owners_for_one_site_and_one_counter(void **state)
{
    (void)state;
    struct crypto_key owner = {0}, stranger = {0};
    uint8_t token[IMAGE_TOKEN_MAX];
    static const uint8_t site[IMAGE_SITE_LEN] = {7}, elsewhere[IMAGE_SITE_LEN] = {8};
    struct writer writer = writer_over(token, sizeof token);
    check_ok(crypto_init());
    check_ok(crypto_key_generate(&owner, CRYPTO_P256));
    check_ok(crypto_key_generate(&stranger, CRYPTO_P256));
    check_ok(image_token_sign(&writer, &owner, IMAGE_FORGET, site, 42));
    struct bytes made = writer_bytes(&writer);
    check_ok(image_token_check(made, &owner.public_key, IMAGE_FORGET, site, 42));
    check_status(DENIED, image_token_check(made, &owner.public_key, IMAGE_REINITIALISE, site, 42));
    check_status(DENIED, image_token_check(made, &owner.public_key, IMAGE_FORGET, site, 43));
    check_status(DENIED, image_token_check(made, &owner.public_key, IMAGE_FORGET, elsewhere, 42));
    check_status(AUTH, image_token_check(made, &stranger.public_key, IMAGE_FORGET, site, 42));
    for (size_t i = 0; i < made.len; i++) {
        token[i] ^= 4;
        assert_int_not_equal(OK, image_token_check(made, &owner.public_key, IMAGE_FORGET, site, 42));
        token[i] ^= 4;
        assert_int_not_equal(OK, image_token_check(bytes_slice(made, 0, i), &owner.public_key, IMAGE_FORGET, site, 42));
    }
    crypto_key_done(&owner);
    crypto_key_done(&stranger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_comes_back_as_it_was_signed),
        cmocka_unit_test(the_measurement_follows_every_field),
        cmocka_unit_test(every_prefix_every_longer_one_and_every_flipped_bit_is_refused),
        cmocka_unit_test(a_manifest_of_any_other_shape_is_not_signed),
        cmocka_unit_test(limits_hold_at_them_and_one_past),
        cmocka_unit_test(signer_and_seal_signer_tell_keys_and_products_apart),
        cmocka_unit_test(a_file_is_what_its_entry_says),
        cmocka_unit_test(a_workload_is_its_owners_and_nobody_elses),
        cmocka_unit_test(an_empty_or_overlong_workload_is_not_signed),
        cmocka_unit_test(a_token_is_one_owners_for_one_site_and_one_counter),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
