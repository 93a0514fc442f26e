/* From a directory on an untrusted disk to sealed memory: each file is copied once, sealed, measured, and only then
 * compared; nothing is read a second time. */
#include "enclave.h"

#include "node.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum status refuse(enum status status, char sentence[ENCLAVE_SENTENCE_MAX], const char *path, const char *why)
{
    snprintf(sentence, ENCLAVE_SENTENCE_MAX, "image file %.300s %s", path, why);
    return status;
}

static enum status load_manifest(struct enclave_image *image, const char *path, char sentence[ENCLAVE_SENTENCE_MAX])
{
    uint8_t room[IMAGE_MANIFEST_MAX];
    size_t len = 0;
    enum status status = node_read_file(path, room, sizeof room, &len);
    if (status != OK)
        return refuse(status, sentence, path, status == NOT_FOUND ? "is missing" : "cannot be read");
    status = image_manifest_open(bytes_from(room, len), &image->manifest, image->measurement);
    if (status != OK)
        return refuse(status, sentence, path,
                      status == AUTH ? "bears a signature that does not verify" : "is not a manifest");
    image_signer_hash(&image->manifest, image->signer);
    image_seal_signer(&image->manifest, image->seal_signer);
    return OK;
}

static enum status load_file(const struct image_file *entry, const char *path, int *fd,
                             char sentence[ENCLAVE_SENTENCE_MAX])
{
    uint8_t hash[IMAGE_HASH_LEN];
    struct stat facts;
    int sealed = -1;
    enum status status = node_seal_program(path, &sealed, hash);
    if (status != OK)
        return refuse(status, sentence, path, status == NOT_FOUND ? "is missing" : "cannot be read");
    bool same = fstat(sealed, &facts) == 0 && facts.st_size >= 0 && (uint64_t)facts.st_size == entry->len &&
                memcmp(hash, entry->hash, sizeof hash) == 0;
    /* Executable but not readable by whoever runs it: the kernel then makes the process non-dumpable from its first
     * instruction on. What has it as a descriptor reads it all the same. */
    if (same && fchmod(sealed, entry->kind == IMAGE_PROGRAM ? 0111 : 0444) == 0) {
        *fd = sealed;
        return OK;
    }
    close(sealed);
    return same ? refuse(IO, sentence, path, "cannot be made executable")
                : refuse(AUTH, sentence, path, "is not what the manifest says: its content differs");
}

enum status enclave_image_open(struct enclave_image *image, const char *directory, char sentence[ENCLAVE_SENTENCE_MAX])
{
    char path[PATH_MAX];
    memset(image, 0, sizeof *image);
    for (size_t i = 0; i < IMAGE_FILES_MAX; i++)
        image->files[i] = -1;
    return node_path(directory, IMAGE_MANIFEST_NAME, path)
               ? load_manifest(image, path, sentence)
               : refuse(NO_ROOM, sentence, directory, "has too long a path");
}

enum status enclave_image_load(struct enclave_image *image, const char *directory, char sentence[ENCLAVE_SENTENCE_MAX])
{
    char path[PATH_MAX];
    enum status status = OK;
    for (size_t i = 0; status == OK && i < image->manifest.file_count; i++) {
        const struct image_file *entry = &image->manifest.files[i];
        status = node_path(directory, entry->name, path)
                     ? load_file(entry, path, &image->files[i], sentence)
                     : refuse(NO_ROOM, sentence, entry->name, "has too long a path");
    }
    if (status != OK)
        enclave_image_done(image);
    return status;
}

void enclave_image_done(struct enclave_image *image)
{
    for (size_t i = 0; i < IMAGE_FILES_MAX; i++) {
        if (image->files[i] >= 0)
            close(image->files[i]);
        image->files[i] = -1;
    }
}
