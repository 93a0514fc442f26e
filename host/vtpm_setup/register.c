/* An instance found or made, and the reference to it. */
#include "vtpm_setup.h"

#include "crypto.h"
#include "image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(VTPM_SETUP_ID_LEN == IMAGE_SITE_LEN, "a VM's UUID is an instance's id");

static enum status fail(char *why, enum status status, const char *path, const char *what)
{
    (void)snprintf(why, VTPM_SETUP_WHY, "%.300s %s%s%s", path, what, status == IO ? ": " : "",
                   status == IO ? strerror(errno) : "");
    return status;
}

/* NO_ROOM: the names are too long together. */
static enum status join(char path[PATH_MAX], const char *directory, const char *below, const char *name)
{
    return snprintf(path, PATH_MAX, "%s%s%s", directory, below, name) < PATH_MAX ? OK : NO_ROOM;
}

/* NO_ROOM past cap. */
static enum status read_file(const char *path, uint8_t *room, size_t cap, size_t *len)
{
    FILE *file = fopen(path, "rbe");
    if (!file)
        return errno == ENOENT || errno == ENOTDIR ? NOT_FOUND : IO;
    *len = fread(room, 1, cap, file);
    enum status status = ferror(file) ? IO : fgetc(file) == EOF ? OK : NO_ROOM;
    fclose(file);
    return status;
}

/* Under another name first: who looks finds the whole or nothing. */
static enum status write_whole(const char *path, struct bytes content, char *why)
{
    char other[PATH_MAX];
    TRY(join(other, path, ".new", ""));
    int fd = open(other, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write(fd, content.data, content.len) == (ssize_t)content.len && fsync(fd) == 0;
    if (fd >= 0)
        good = close(fd) == 0 && good;
    if (good && rename(other, path) == 0)
        return OK;
    enum status status = fail(why, IO, path, "cannot be written");
    unlink(other);
    return status;
}

static enum status make_directory(const char *path, char *why)
{
    struct stat facts;
    if (mkdir(path, 0700) == 0 || (errno == EEXIST && stat(path, &facts) == 0 && S_ISDIR(facts.st_mode)))
        return OK;
    return fail(why, IO, path, "cannot be made");
}

/* ---- What is there ---- */

static enum status id_of(const char *node, const char *instance, uint8_t id[VTPM_SETUP_ID_LEN])
{
    uint8_t room[IMAGE_CONFIGURATION_MAX];
    struct image_configuration configuration;
    char path[PATH_MAX];
    size_t len = 0;
    if (snprintf(path, sizeof path, "%s/node/instances/%s/configuration", node, instance) >= (int)sizeof path)
        return NO_ROOM;
    TRY(read_file(path, room, sizeof room, &len));
    TRY(image_configuration_decode(bytes_from(room, len), &configuration));
    memcpy(id, configuration.site, VTPM_SETUP_ID_LEN);
    return OK;
}

/* By the id: its owner, who may have made it beforehand, gave it what name he liked. */
static bool find(const char *node, const uint8_t id[VTPM_SETUP_ID_LEN], struct vtpm_setup_done *done)
{
    char path[PATH_MAX];
    uint8_t other[VTPM_SETUP_ID_LEN];
    bool found = false;
    DIR *directory = join(path, node, "/node/instances", "") == OK ? opendir(path) : NULL;
    for (struct dirent *entry; directory && !found && (entry = readdir(directory)) != NULL;) {
        if (!vtpm_options_is_name(entry->d_name))
            continue;
        enum status status = id_of(node, entry->d_name, other);
        done->unread += status == IO;
        found = status == OK && memcmp(id, other, sizeof other) == 0;
        if (found)
            memcpy(done->reference.instance, entry->d_name, strlen(entry->d_name) + 1);
    }
    if (directory)
        closedir(directory);
    return found;
}

/* What the directory refers to. NOT_FOUND: nothing, or to what is not there any more. */
static enum status referred(const struct vtpm_setup_options *options, const struct vtpm_setup_config *config,
                            const uint8_t *id, struct vtpm_reference *reference, char *why)
{
    uint8_t text[VTPM_REFERENCE_MAX], other[VTPM_SETUP_ID_LEN];
    char path[PATH_MAX];
    size_t len = 0;
    TRY(join(path, options->state, "/" VTPM_REFERENCE, ""));
    enum status status = read_file(path, text, sizeof text, &len);
    if (status == NOT_FOUND)
        return NOT_FOUND;
    if (status == IO)
        return fail(why, IO, path, "cannot be read");
    if (vtpm_reference_decode(bytes_from(text, len), reference) != OK)
        return fail(why, MALFORMED, path, "is not what is left here");
    if (strcmp(reference->home, config->node) != 0)
        return fail(why, DENIED, path, "refers to another node than the configuration file names");
    status = id_of(reference->home, reference->instance, other);
    if (status == OK && id && memcmp(id, other, sizeof other) != 0)
        return fail(why, DENIED, path, "refers to another VM's TPM");
    return status == OK || status == NOT_FOUND ? status : fail(why, IO, path, "refers to what cannot be read");
}

/* ---- What is made ---- */

static enum status encode(const struct vtpm_setup_config *config, const uint8_t id[VTPM_SETUP_ID_LEN],
                          struct writer *writer, char *why)
{
    uint8_t room[IMAGE_CONFIGURATION_MAX];
    struct image_configuration own;
    char path[PATH_MAX];
    size_t len = 0;
    TRY(join(path, config->node, "/node/configuration", ""));
    enum status status = read_file(path, room, sizeof room, &len);
    if (status == NOT_FOUND)
        return fail(why, NOT_FOUND, path, "is missing: the configuration file names no node's home");
    if (status != OK)
        return fail(why, IO, path, "cannot be read");
    if (image_configuration_decode(bytes_from(room, len), &own) != OK)
        return fail(why, MALFORMED, path, "is not a launch configuration");
    memcpy(own.site, id, sizeof own.site);
    image_put_configuration(writer, &own);
    return writer_end(writer);
}

static void remove_instance(const char *directory)
{
    static const char *const names[] = {"configuration", "configuration.new", "image"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (join(path, directory, "/", names[i]) == OK)
            unlink(path);
    rmdir(directory);
}

static enum status fill(const char *directory, const struct vtpm_setup_config *config, struct bytes encoded, char *why)
{
    char path[PATH_MAX], image[PATH_MAX];
    TRY(join(image, config->image, "/", IMAGE_MANIFEST_NAME));
    if (access(image, R_OK) != 0)
        return fail(why, IO, image, "cannot be read, and an image has one");
    TRY(make_directory(directory, why));
    TRY(join(path, directory, "/configuration", ""));
    TRY(write_whole(path, encoded, why));
    TRY(join(path, directory, "/image", ""));
    return symlink(config->image, path) == 0 ? OK : fail(why, IO, path, "cannot be made");
}

/* Behind a dot, where no monitor looks, until it is whole. */
static enum status make(const struct vtpm_setup_config *config, const uint8_t id[VTPM_SETUP_ID_LEN],
                        const char *instance, char *why)
{
    char above[PATH_MAX], other[PATH_MAX], path[PATH_MAX];
    uint8_t room[IMAGE_CONFIGURATION_MAX];
    struct writer encoded = writer_over(room, sizeof room);
    TRY(join(above, config->node, "/node/instances", ""));
    TRY(join(other, above, "/.", instance));
    TRY(join(path, above, "/", instance));
    TRY(encode(config, id, &encoded, why));
    TRY(make_directory(above, why));
    remove_instance(other); /* of one that was cut short */
    enum status status = fill(other, config, writer_bytes(&encoded), why);
    if (status == OK && rename(other, path) != 0)
        status = fail(why, IO, path, "cannot be made");
    if (status != OK)
        remove_instance(other);
    return status;
}

static void name_by_id(const uint8_t id[VTPM_SETUP_ID_LEN], char name[VTPM_OPTIONS_NAME_MAX + 1])
{
    (void)snprintf(name, VTPM_OPTIONS_NAME_MAX + 1,
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", id[0], id[1], id[2], id[3],
                   id[4], id[5], id[6], id[7], id[8], id[9], id[10], id[11], id[12], id[13], id[14], id[15]);
}

static enum status refer(const struct vtpm_setup_options *options, const struct vtpm_setup_done *done, char *why)
{
    uint8_t room[VTPM_REFERENCE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    char path[PATH_MAX];
    vtpm_reference_put(&writer, &done->reference);
    TRY(join(path, options->state, "/" VTPM_REFERENCE, ""));
    TRY(make_directory(options->state, why));
    enum status status = write_whole(path, writer_bytes(&writer), why);
    if (status != OK && done->made &&
        snprintf(path, sizeof path, "%s/node/instances/%s", done->reference.home, done->reference.instance) <
            (int)sizeof path)
        remove_instance(path);
    return status;
}

/* In libvirt's words. */
static bool arrives(const struct vtpm_setup_options *options)
{
    return options->overwrite && !options->endorsed && !options->vmid;
}

enum status vtpm_setup_register(const struct vtpm_setup_options *options, const struct vtpm_setup_config *config,
                                struct vtpm_setup_done *done, char why[VTPM_SETUP_WHY])
{
    struct vtpm_setup_done found = {.made = false};
    uint8_t id[VTPM_SETUP_ID_LEN];
    const bool known =
        (options->vmid && vtpm_setup_id(options->vmid, id) == OK) || vtpm_setup_id_of_state(options->state, id) == OK;
    (void)fail(why, NO_ROOM, options->state, "is too long a name, or the node's or image's is");
    enum status status = referred(options, config, known ? id : NULL, &found.reference, why);
    if (status != OK && status != NOT_FOUND)
        return status;
    memcpy(found.reference.home, config->node, sizeof found.reference.home);
    if (status == OK || (known && find(config->node, id, &found))) {
        if (!options->keep && (!options->overwrite || options->endorsed))
            return fail(why, DENIED, found.reference.instance, "is a TPM of this node already, and is not erased here");
    } else {
        if (options->endorsed && !config->unendorsed)
            return fail(why, DENIED, options->state,
                        "would be without endorsement key and certificates, which only its owner can have made: "
                        "`bastide vtpm create NAME --id UUID` first, or say `endorsement = none` in the configuration "
                        "file to go on without");
        if (!known)
            TRY(crypto_random(id, sizeof id));
        name_by_id(id, found.reference.instance);
        found.missing = known && arrives(options);
        if (!found.missing)
            TRY(make(config, id, found.reference.instance, why));
        found.made = !found.missing;
    }
    TRY(refer(options, &found, why));
    *done = found;
    return OK;
}
