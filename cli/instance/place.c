/* The directories of a vTPM: what the node makes it of, and what its owner keeps. */
#include "instance.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH 16 /* descriptors that a removal may hold */

const char *instance_path(const struct cli *cli, const char *directory, const char *name, const char *file, char *room)
{
    char below[128];
    snprintf(below, sizeof below, "%s%s%.*s%s%s", directory, *name ? "/" : "", INSTANCE_NAME_MAX, name,
             *file ? "/" : "", file);
    return cli_path(cli, below, room);
}

/* ---- What there is ---- */

static enum status read_configuration(const struct cli *cli, const char *name, struct instance *instance)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    struct owner owner;
    struct image_configuration own;
    TRY(cli_read_file(instance_path(cli, "node/instances", name, "configuration", path), IMAGE_CONFIGURATION_MAX, &data,
                      &len));
    enum status status = image_configuration_decode(bytes_from(data, len), &own);
    if (status == OK) {
        memcpy(instance->id, own.site, sizeof instance->id);
        memcpy(instance->config_id, own.config_id, sizeof instance->config_id);
        instance->is_foreign = !owner_has_site(cli) || owner_open_site(cli, &owner) != CLI_OK ||
                               owner.configuration.insecure_dev != own.insecure_dev ||
                               !bytes_equal(owner.configuration.certificate, own.certificate);
    }
    free(data);
    return status;
}

int instance_look(const struct cli *cli, const char *name, bool quiet, struct instance *instance)
{
    char path[PATH_MAX];
    struct stat facts;
    *instance = (struct instance){.has_record = false};
    int result = instance_check_name(cli, name);
    if (result)
        return result;
    snprintf(instance->name, sizeof instance->name, "%s", name);
    enum status status = instance_record_load(cli, name, &instance->record);
    if (status != OK && status != NOT_FOUND)
        return cli_fail(cli, CLI_DENIED, "%s %s", instance_path(cli, "owner/vtpm", name, "instance.json", path),
                        cli_file_problem(status));
    instance->has_record = status == OK;
    memcpy(instance->id, instance->record.id, sizeof instance->id);
    status = read_configuration(cli, name, instance);
    if (status != OK && status != NOT_FOUND)
        return cli_fail(cli, CLI_DENIED, "%s %s", instance_path(cli, "node/instances", name, "configuration", path),
                        cli_file_problem(status));
    instance->has_place = status == OK;
    bool any = instance->has_record || instance->has_place ||
               lstat(instance_path(cli, "node/instances", name, "", path), &facts) == 0 ||
               lstat(instance_path(cli, "owner/vtpm", name, "", path), &facts) == 0;
    if (any)
        return CLI_OK;
    return quiet ? CLI_NOT_FOUND
                 : cli_fail(cli, CLI_NOT_FOUND, "there is no vTPM \"%s\" here: bastide vtpm list shows all", name);
}

/* Others may be served beside the vTPMs (monitor/sites): they are not told of here. */
static bool is_vtpm(const struct cli *cli, const char *name)
{
    char path[PATH_MAX];
    uint8_t *data = NULL, measurement[IMAGE_HASH_LEN];
    size_t len = 0;
    static struct image_manifest manifest; /* large */
    enum status status = cli_read_file(instance_path(cli, "node/instances", name, "image/" IMAGE_MANIFEST_NAME, path),
                                       IMAGE_MANIFEST_MAX, &data, &len);
    if (status != OK)
        return true; /* as far as one can tell */
    status = image_manifest_open(bytes_from(data, len), &manifest, measurement);
    free(data);
    return status != OK || strcmp(manifest.product, INSTANCE_PRODUCT) == 0;
}

static int by_name(const void *one, const void *other)
{
    return strcmp(one, other);
}

/* Names below this directory that are not among them yet. */
static bool add_names(const struct cli *cli, const char *directory, char (**names)[INSTANCE_NAME_MAX + 1],
                      size_t *count)
{
    char path[PATH_MAX];
    DIR *open = opendir(cli_path(cli, directory, path));
    bool good = true;
    for (struct dirent *entry; open && good && (entry = readdir(open));) {
        bool known = !instance_name_is_good(entry->d_name);
        for (size_t i = 0; i < *count && !known; i++)
            known = strcmp((*names)[i], entry->d_name) == 0;
        if (known || !is_vtpm(cli, entry->d_name))
            continue;
        void *more = realloc(*names, (*count + 1) * sizeof **names);
        good = more != NULL;
        if (good) {
            *names = more;
            snprintf((*names)[(*count)++], sizeof **names, "%.*s", INSTANCE_NAME_MAX, entry->d_name);
        }
    }
    if (open)
        closedir(open);
    return good;
}

int instance_list(const struct cli *cli, char (**names)[INSTANCE_NAME_MAX + 1], size_t *count)
{
    *names = NULL;
    *count = 0;
    if (!add_names(cli, "node/instances", names, count) || !add_names(cli, "owner/vtpm", names, count)) {
        free(*names);
        *names = NULL;
        return cli_fail(cli, CLI_INTERNAL, "out of memory");
    }
    if (*count)
        qsort(*names, *count, sizeof **names, by_name);
    return CLI_OK;
}

bool instance_image(const struct cli *cli, const char *name, char image[PATH_MAX])
{
    char path[PATH_MAX];
    char *whole = realpath(instance_path(cli, "node/instances", name, "image", path), NULL);
    if (whole)
        snprintf(image, PATH_MAX, "%s", whole);
    free(whole);
    return whole != NULL;
}

/* ---- Making ---- */

/* That it is there already is good, and a link is none: who may make instances is not always who runs this. */
static bool make_own(const char *path)
{
    struct stat facts;
    if (mkdir(path, 0700) == 0)
        return true;
    if (errno == EEXIST && lstat(path, &facts) == 0 && !S_ISDIR(facts.st_mode))
        errno = ENOTDIR;
    return errno == EEXIST;
}

static int make_directories(const struct cli *cli, const char *directory, const char *name)
{
    char path[PATH_MAX];
    if ((mkdir(cli_path(cli, directory, path), 0700) != 0 && errno != EEXIST) ||
        !make_own(instance_path(cli, directory, name, "", path)))
        return cli_fail(cli, errno == ENOSPC ? CLI_DISK : CLI_DENIED, "%s cannot be made: %s", path, strerror(errno));
    return CLI_OK;
}

int instance_make_record_place(const struct cli *cli, const char *name)
{
    return make_directories(cli, "owner/vtpm", name);
}

static int put_configuration(const struct cli *cli, const struct owner *owner, const char *name,
                             const uint8_t id[IMAGE_SITE_LEN])
{
    uint8_t room[IMAGE_CONFIGURATION_MAX];
    char path[PATH_MAX];
    struct image_configuration configuration = owner->configuration;
    struct writer encoded = writer_over(room, sizeof room);
    memcpy(configuration.site, id, sizeof configuration.site);
    image_put_configuration(&encoded, &configuration);
    instance_path(cli, "node/instances", name, "configuration", path);
    if (access(path, F_OK) == 0)
        return CLI_OK;
    enum status status = writer_end(&encoded) == OK ? cli_write_file(path, writer_bytes(&encoded)) : INTERNAL;
    return status == OK ? CLI_OK
                        : cli_fail(cli, errno == ENOSPC ? CLI_DISK : CLI_DENIED, "%s cannot be written: %s", path,
                                   strerror(errno));
}

int instance_make_place(const struct cli *cli, const struct owner *owner, const char *name,
                        const uint8_t id[IMAGE_SITE_LEN], const char *image)
{
    char path[PATH_MAX];
    int result = make_directories(cli, "node/instances", name);
    if (result == CLI_OK && symlink(image, instance_path(cli, "node/instances", name, "image", path)) != 0 &&
        errno != EEXIST)
        result = cli_fail(cli, errno == ENOSPC ? CLI_DISK : CLI_DENIED, "%s cannot be made: %s", path, strerror(errno));
    /* The configuration comes last: its being there says that the node can make it. */
    return result ? result : put_configuration(cli, owner, name, id);
}

/* The directory comes last: until then nobody else puts anything into it, and what was cut is done again. Who may make
 * instances may have put a link to something of root's in its place. */
int instance_give(const struct cli *cli, const char *name, uid_t user, gid_t group)
{
    char path[PATH_MAX];
    struct stat facts;
    int fd =
        open(instance_path(cli, "node/instances", name, "", path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    bool good = directory && fstat(fd, &facts) == 0;
    const bool ours = good && facts.st_uid == 0 && geteuid() == 0;
    for (struct dirent *entry; ours && good && (entry = readdir(directory));)
        good = entry->d_name[0] == '.' || fchownat(fd, entry->d_name, user, group, AT_SYMLINK_NOFOLLOW) == 0;
    good = good && (!ours || fchown(fd, user, group) == 0);
    int result = good ? CLI_OK : cli_fail(cli, CLI_DENIED, "%s cannot be given away: %s", path, strerror(errno));
    if (directory)
        closedir(directory);
    else if (fd >= 0)
        close(fd);
    return result;
}

/* ---- Removing ---- */

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *at)
{
    (void)facts, (void)kind, (void)at;
    return remove(path);
}

int instance_read_configuration(const struct cli *cli, const char *name, uint8_t room[IMAGE_CONFIGURATION_MAX],
                                struct image_configuration *configuration)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    enum status status = cli_read_file(instance_path(cli, "node/instances", name, "configuration", path),
                                       IMAGE_CONFIGURATION_MAX, &data, &len);
    if (status == OK) {
        memcpy(room, data, len);
        free(data);
        status = image_configuration_decode(bytes_from(room, len), configuration);
    }
    return status == OK ? CLI_OK : cli_fail(cli, CLI_DENIED, "%s %s", path, cli_file_problem(status));
}

/* Under a name that is no instance's first: whoever looks finds all of it or nothing. */
int instance_remove(const struct cli *cli, const char *directory, const char *name)
{
    char path[PATH_MAX], gone[PATH_MAX], other[64];
    snprintf(other, sizeof other, ".%s.gone", name);
    char below[128];
    snprintf(below, sizeof below, "%s/%s", directory, other);
    cli_path(cli, below, gone);
    if (access(gone, F_OK) == 0)
        (void)nftw(gone, remove_one, DEPTH, FTW_DEPTH | FTW_PHYS); /* of a removal that was cut */
    if (rename(instance_path(cli, directory, name, "", path), gone) != 0)
        return errno == ENOENT ? CLI_OK : cli_fail(cli, CLI_DENIED, "%s cannot be removed: %s", path, strerror(errno));
    return nftw(gone, remove_one, DEPTH, FTW_DEPTH | FTW_PHYS) == 0
               ? CLI_OK
               : cli_fail(cli, CLI_DENIED, "%s cannot be removed: %s", gone, strerror(errno));
}
