/* What the monitor needs before it starts, made for tests:
 *     make_image image DIR PROGRAM VERSION KEY      sign an image of one program; KEY is made when missing
 *     make_image configuration FILE CERT MODE [ID]  write a launch configuration; ID: up to 16 characters, the site's
 *     make_image policy FILE KEY ID SERIAL LAUNCH [PART=FILE...]   a machine policy that allows these parts; LAUNCH as
 *         in image_launch_words, or "node" for the node's own vTPM; KEY is the raw scalar
 *     make_image token FILE KEY COUNTER             the owner's word for a new beginning; KEY is the raw scalar */
#include "crypto.h"
#include "image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLAIM(what, good)                                                                                              \
    do {                                                                                                               \
        if (!(good)) {                                                                                                 \
            fprintf(stderr, "make_image: does not hold: %s\n", what);                                                  \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

static size_t read_file(const char *path, uint8_t *room, size_t cap)
{
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(room, 1, cap, file) : 0;
    if (file)
        fclose(file);
    return len;
}

static bool write_file(const char *path, struct bytes content)
{
    FILE *file = fopen(path, "we");
    return file && fwrite(content.data, 1, content.len, file) == content.len && fclose(file) == 0;
}

static int make_image(char **argv)
{
    static uint8_t program[32u << 20];
    uint8_t encoded[IMAGE_MANIFEST_MAX], hash[CRYPTO_HASH_MAX];
    char path[512];
    struct crypto_key signer = {0};
    SECRET scalar = {.len = 0};
    struct image_manifest manifest = {.product = "probe", .file_count = 1, .files = {{.name = "probe.enclave"}}};
    const struct bytes content = bytes_from(program, read_file(argv[1], program, sizeof program));
    manifest.security_version = (uint32_t)atoi(argv[2]);
    manifest.files[0].kind = IMAGE_PROGRAM;
    manifest.files[0].len = content.len;
    scalar.len = read_file(argv[3], scalar.data, 32);
    if (scalar.len == 0)
        CLAIM("a signer's key is made", crypto_key_generate(&signer, CRYPTO_P256) == OK &&
                                            crypto_key_export(&signer, &scalar) == OK &&
                                            write_file(argv[3], secret_bytes(&scalar)));
    else
        CLAIM("the signer's key is read", crypto_key_import(&signer, CRYPTO_P256, secret_bytes(&scalar)) == OK);
    CLAIM("the program is hashed", content.len && crypto_hash(CRYPTO_SHA256, &content, 1, hash) == OK);
    memcpy(manifest.files[0].hash, hash, IMAGE_HASH_LEN);
    struct writer writer = writer_over(encoded, sizeof encoded);
    CLAIM("the manifest is signed", image_manifest_sign(&writer, &signer, &manifest) == OK);
    snprintf(path, sizeof path, "%s/probe.enclave", argv[0]);
    CLAIM("the program is written", write_file(path, content));
    snprintf(path, sizeof path, "%s/%s", argv[0], IMAGE_MANIFEST_NAME);
    CLAIM("the manifest is written", write_file(path, writer_bytes(&writer)));
    return 0;
}

static int make_configuration(char **argv)
{
    uint8_t certificate[2048], encoded[IMAGE_CONFIGURATION_MAX];
    struct writer writer = writer_over(encoded, sizeof encoded);
    const char *site = argv[3] ? argv[3] : "a site for tests";
    struct image_configuration configuration = {
        .certificate = bytes_from(certificate, read_file(argv[1], certificate, sizeof certificate)),
        .insecure_dev = strcmp(argv[2], "insecure-dev") == 0};
    memcpy(configuration.site, site, strnlen(site, sizeof configuration.site));
    image_put_configuration(&writer, &configuration);
    CLAIM("the configuration is written", writer_end(&writer) == OK && write_file(argv[0], writer_bytes(&writer)));
    return 0;
}

static int make_token(char **argv)
{
    uint8_t token[IMAGE_TOKEN_MAX];
    struct crypto_key owner = {0};
    SECRET scalar = {.len = 0};
    struct writer writer = writer_over(token, sizeof token);
    scalar.len = read_file(argv[1], scalar.data, 32);
    CLAIM("the owner's key is read", crypto_key_import(&owner, CRYPTO_P256, secret_bytes(&scalar)) == OK);
    CLAIM("the token is written",
          image_token_sign(&writer, &owner, IMAGE_REINITIALISE, (const uint8_t *)"a site for tests",
                           strtoull(argv[2], NULL, 10)) == OK &&
              write_file(argv[0], writer_bytes(&writer)));
    return 0;
}

static bool allow(struct image_machine *machine, const char *word)
{
    static uint8_t content[16u << 20];
    uint8_t hash[CRYPTO_HASH_MAX];
    const char *path = strchr(word, '=');
    for (size_t part = 0; path && part < IMAGE_PARTS; part++) {
        if (strncmp(word, image_part_words[part], (size_t)(path - word)) != 0)
            continue;
        const struct bytes whole = bytes_from(content, read_file(path + 1, content, sizeof content));
        if (whole.len == 0 || crypto_hash(CRYPTO_SHA256, &whole, 1, hash) != OK)
            return false;
        memcpy(machine->allowed[part][machine->allowed_count[part]++], hash, IMAGE_HASH_LEN);
        return true;
    }
    return false;
}

static int make_policy(char **argv)
{
    static uint8_t encoded[IMAGE_WORKLOAD_MAX];
    struct writer writer = writer_over(encoded, sizeof encoded);
    struct image_machine machine = {.serial = strtoull(argv[3], NULL, 10), .hypervisor = strcmp(argv[4], "node") == 0};
    struct crypto_key owner = {0};
    SECRET scalar = {.len = read_file(argv[1], scalar.data, 32)};
    memcpy(machine.site, argv[2], strnlen(argv[2], sizeof machine.site));
    for (unsigned policy = 0; policy < IMAGE_LAUNCH_POLICIES; policy++)
        if (strcmp(argv[4], image_launch_words[policy]) == 0)
            machine.launch = (enum image_launch_policy)policy;
    for (size_t i = 5; argv[i]; i++)
        CLAIM("a part is hashed", allow(&machine, argv[i]));
    CLAIM("the owner's key is read", crypto_key_import(&owner, CRYPTO_P256, secret_bytes(&scalar)) == OK);
    CLAIM("the policy is signed and written",
          image_machine_sign(&writer, &owner, &machine) == OK && write_file(argv[0], writer_bytes(&writer)));
    return 0;
}

int main(int argc, char **argv)
{
    if (crypto_init() != OK)
        return 2;
    if (argc == 6 && strcmp(argv[1], "image") == 0)
        return make_image(argv + 2);
    if ((argc == 5 || argc == 6) && strcmp(argv[1], "configuration") == 0)
        return make_configuration(argv + 2);
    if (argc >= 7 && strcmp(argv[1], "policy") == 0)
        return make_policy(argv + 2);
    if (argc == 5 && strcmp(argv[1], "token") == 0)
        return make_token(argv + 2);
    return 2;
}
