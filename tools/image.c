/* bastide-image: signs an image. Copies program, modules and policies into the directory and writes the manifest last,
 * so that what is there with a manifest is whole. */
#include "image.h"
#include "crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (64u << 20)
#define SCALAR_LEN 32
#define EXIT_FAILED 1
#define EXIT_USAGE 2

static const char usage[] =
    "usage: bastide-image --key FILE --product NAME --version N --out DIRECTORY PROGRAM [MODULE POLICY]...\n"
    "Signs an image: DIRECTORY gets the files and a manifest. The key is a P-256 scalar of 32 bytes, readable by its\n"
    "owner only; a file that is missing is made with a new key.\n"
    "Prints the measurement and the hash of the signer's key.\n";

static int failed(const char *what, const char *which)
{
    fprintf(stderr, "bastide-image: %s: %s%s%s\n", which, what, errno ? ": " : "", errno ? strerror(errno) : "");
    return EXIT_FAILED;
}

static bool read_file(const char *path, uint8_t **content, size_t *len)
{
    struct stat facts;
    bool good = false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &facts) == 0 && facts.st_size > 0 && facts.st_size <= (off_t)FILE_MAX) {
        *len = (size_t)facts.st_size;
        *content = malloc(*len);
        good = *content && read(fd, *content, *len) == (ssize_t)*len;
        errno = good ? 0 : errno;
    }
    if (fd >= 0)
        close(fd);
    return good;
}

/* Whole or not at all: another image may be running from the old one. */
static bool write_file(const char *path, struct bytes content, mode_t mode)
{
    char fresh[PATH_MAX];
    if (snprintf(fresh, sizeof fresh, "%s.new", path) >= (int)sizeof fresh)
        return false;
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    bool good = fd >= 0 && fchmod(fd, mode) == 0 && write(fd, content.data, content.len) == (ssize_t)content.len;
    if (fd >= 0)
        good = close(fd) == 0 && good;
    return good && rename(fresh, path) == 0;
}

static int open_key(const char *path, struct crypto_key *key)
{
    SECRET scalar = {.len = 0};
    struct stat facts;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        if (crypto_key_generate(key, CRYPTO_P256) != OK || crypto_key_export(key, &scalar) != OK)
            return failed("a key cannot be made", path);
        return write_file(path, secret_bytes(&scalar), 0600) ? 0 : failed("the key cannot be written", path);
    }
    if (fd < 0)
        return failed("the key cannot be read", path);
    bool whole =
        fstat(fd, &facts) == 0 && facts.st_size == SCALAR_LEN && read(fd, scalar.data, SCALAR_LEN) == SCALAR_LEN;
    close(fd);
    scalar.len = SCALAR_LEN;
    errno = 0;
    if (!whole || crypto_key_import(key, CRYPTO_P256, secret_bytes(&scalar)) != OK)
        return failed("is no P-256 key of 32 bytes", path);
    if (facts.st_mode & (S_IRWXG | S_IRWXO))
        return failed("others can read this key; chmod 600 it, or make a new one", path);
    return 0;
}

static int add_file(struct image_manifest *manifest, const char *path, const char *directory)
{
    static const char *const reason = "cannot be copied into the image";
    uint8_t *content = NULL, hash[CRYPTO_HASH_MAX];
    size_t len = 0, index = manifest->file_count;
    char copy[PATH_MAX], target[PATH_MAX];
    struct image_file *file = &manifest->files[index];
    if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy)
        return failed("has too long a path", path);
    const char *name = basename(copy);
    if (snprintf(file->name, sizeof file->name, "%s", name) >= (int)sizeof file->name ||
        snprintf(target, sizeof target, "%s/%s", directory, name) >= (int)sizeof target)
        return failed("has too long a name", path);
    if (!read_file(path, &content, &len))
        return failed("cannot be read, is empty, or is longer than 64 MiB", path);
    file->kind = index == 0 ? IMAGE_PROGRAM : index % 2 ? IMAGE_MODULE : IMAGE_POLICY;
    file->len = len;
    const struct bytes whole = bytes_from(content, len);
    bool good =
        crypto_hash(CRYPTO_SHA256, &whole, 1, hash) == OK && write_file(target, whole, index == 0 ? 0755 : 0644);
    memcpy(file->hash, hash, sizeof file->hash);
    free(content);
    manifest->file_count++;
    return good ? 0 : failed(reason, target);
}

static int sign(const struct image_manifest *manifest, const struct crypto_key *key, const char *directory)
{
    uint8_t room[IMAGE_MANIFEST_MAX], measurement[IMAGE_HASH_LEN], signer[IMAGE_HASH_LEN];
    char path[PATH_MAX], text[2 * IMAGE_HASH_LEN + 1], signer_text[2 * IMAGE_HASH_LEN + 1];
    struct image_manifest opened;
    struct writer writer = writer_over(room, sizeof room);
    errno = 0;
    if (image_manifest_sign(&writer, key, manifest) != OK ||
        image_manifest_open(writer_bytes(&writer), &opened, measurement) != OK)
        return failed("a manifest cannot be made of these: names are of letters, digits, . _ -, none twice", directory);
    if (snprintf(path, sizeof path, "%s/%s", directory, IMAGE_MANIFEST_NAME) >= (int)sizeof path ||
        !write_file(path, writer_bytes(&writer), 0644))
        return failed("the manifest cannot be written", directory);
    image_signer_hash(&opened, signer);
    if (hex_encode(BYTES_OF(measurement), text, sizeof text) != OK ||
        hex_encode(BYTES_OF(signer), signer_text, sizeof signer_text) != OK)
        return EXIT_FAILED;
    printf("measurement %s\nsigner %s\n", text, signer_text);
    return 0;
}

static int misused(void)
{
    fputs(usage, stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"key", required_argument, NULL, 'k'},     {"product", required_argument, NULL, 'p'},
        {"version", required_argument, NULL, 'v'}, {"out", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},          {0}};
    const char *key_path = NULL, *product = NULL, *out = NULL;
    struct image_manifest manifest = {.security_version = 0};
    struct crypto_key key = {0};
    char *end = NULL, path[PATH_MAX];
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        unsigned long version = option == 'v' ? strtoul(optarg, &end, 10) : 0;
        if (option == 'h')
            return fputs(usage, stdout) < 0;
        if (option == '?' || (option == 'v' && (*optarg < '0' || *optarg > '9' || *end || version > UINT32_MAX)))
            return misused();
        key_path = option == 'k' ? optarg : key_path;
        product = option == 'p' ? optarg : product;
        out = option == 'o' ? optarg : out;
        if (option == 'v')
            manifest.security_version = (uint32_t)version;
    }
    int files = argc - optind;
    if (!key_path || !product || !out || !end || files % 2 != 1 || files > IMAGE_FILES_MAX ||
        strlen(product) > IMAGE_PRODUCT_MAX)
        return misused();
    memcpy(manifest.product, product, strlen(product));
    if (mkdir(out, 0755) != 0 && errno != EEXIST)
        return failed("cannot be made", out);
    if (crypto_init() != OK)
        return failed("the crypto library does not start", "libcrypto");
    /* From here until the new one is written there is no manifest, for the files do not fit the old. */
    if (snprintf(path, sizeof path, "%s/%s", out, IMAGE_MANIFEST_NAME) >= (int)sizeof path ||
        (unlink(path) != 0 && errno != ENOENT))
        return failed("the old manifest cannot be removed", out);
    int code = open_key(key_path, &key);
    for (int i = 0; i < files && !code; i++)
        code = add_file(&manifest, argv[optind + i], out);
    if (!code)
        code = sign(&manifest, &key, out);
    crypto_key_done(&key);
    return code;
}
