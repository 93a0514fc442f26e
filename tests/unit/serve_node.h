/* The files of a node for its monitor's tests: included by serve_rig.h, after what stands around the loop. */
#ifndef BASTIDE_TESTS_SERVE_NODE_H
#define BASTIDE_TESTS_SERVE_NODE_H

static struct crypto_key owner_key, other_key; /* the node's, and a stranger's */

static void put_directory(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", home, name);
    assert_int_equal(0, mkdir(path, 0700));
}

static void put_file(const char *name, struct bytes content)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", home, name);
    FILE *file = fopen(path, "w");
    assert_true(file && fwrite(content.data, 1, content.len, file) == content.len && fclose(file) == 0);
}

static void put_configuration(const char *directory, struct bytes certificate, uint8_t number)
{
    uint8_t room[IMAGE_CONFIGURATION_MAX];
    char name[128];
    struct writer writer = writer_over(room, sizeof room);
    const struct image_configuration configuration = {
        .certificate = certificate, .site = {number}, .insecure_dev = true};
    image_put_configuration(&writer, &configuration);
    snprintf(name, sizeof name, "%s/configuration", directory);
    put_file(name, writer_bytes(&writer));
}

static void put_instance(const char *name, struct bytes certificate, uint8_t number)
{
    char directory[SITES_PATH_MAX], link[256];
    site_directory(name, directory);
    put_directory(directory);
    put_configuration(directory, certificate, number);
    snprintf(link, sizeof link, "%s/%s/image", home, directory);
    assert_int_equal(0, symlink("../../../image", link));
}

static void put_image(const struct crypto_key *key, uint32_t version)
{
    uint8_t room[IMAGE_MANIFEST_MAX], hash[CRYPTO_HASH_MAX];
    const struct bytes content = bytes_from_text("a program");
    struct writer writer = writer_over(room, sizeof room);
    struct image_manifest manifest = {.product = "probe",
                                      .security_version = version,
                                      .file_count = 1,
                                      .files = {{.name = "program", .kind = IMAGE_PROGRAM, .len = content.len}}};
    check_ok(crypto_hash(CRYPTO_SHA256, &content, 1, hash));
    memcpy(manifest.files[0].hash, hash, sizeof manifest.files[0].hash);
    check_ok(image_manifest_sign(&writer, key, &manifest));
    put_file("image/program", content);
    put_file("image/manifest", writer_bytes(&writer));
}

static void put_node(void)
{
    static uint8_t owner_room[1024], other_room[1024];
    struct writer writer = writer_over(owner_room, sizeof owner_room);
    char name[16];
    check_ok(crypto_key_generate(&owner_key, CRYPTO_P256));
    check_ok(crypto_key_generate(&other_key, CRYPTO_P256));
    check_ok(x509_issue_root(&writer, &owner_key, (const uint8_t[X509_SERIAL_LEN]){1}, 1700000000));
    const struct bytes certificate = writer_bytes(&writer);
    writer = writer_over(other_room, sizeof other_room);
    check_ok(x509_issue_root(&writer, &other_key, (const uint8_t[X509_SERIAL_LEN]){2}, 1700000000));
    put_directory("node");
    put_directory("node/instances");
    put_directory("run");
    put_directory("image");
    put_image(&owner_key, 1);
    put_configuration("node", certificate, 200);
    for (uint8_t i = 1; i <= NAMED_MAX + 1; i++) {
        snprintf(name, sizeof name, "vm%u", i);
        put_instance(name, certificate, i);
    }
    put_instance("stranger", writer_bytes(&writer), 100);
}

static int set_up(void **unused)
{
    int quiet[2];
    (void)unused;
    if (crypto_init() != OK || !mkdtemp(home) || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, quiet) != 0 ||
        dup2(quiet[0], KEYHOLDER_FD) != KEYHOLDER_FD)
        return -1;
    put_node();
    return 0;
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *at)
{
    (void)facts, (void)kind, (void)at;
    return remove(path);
}

static int tear_down(void **unused)
{
    (void)unused;
    crypto_key_done(&owner_key);
    crypto_key_done(&other_key);
    return nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
