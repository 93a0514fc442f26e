/* bastide-vtpm: the untrusted half of one vTPM — the vtpm_host room's sockets over the archive room's database. */
#include "archive.h"
#include "pump.h"
#include "vtpm_host.h"
#include "vtpm_options.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOCKET_PATH_MAX 108 /* sun_path */

static struct archive *archive;

/* When an enclave has gone: what it handed over are whole records, each of which follows on what is there, for it hands
 * over none while it waits for a sync. */
static void keep(void *context)
{
    enum status status = archive_sync(context);
    if (status != OK)
        pump_log("warning", "not_synced", "status=\"%s\"", status_word(status));
}

static int open_archive(const struct vtpm_options *options, struct pump_archive *kept)
{
    char path[PATH_MAX], why[512];
    struct writer sentence = writer_over(why, sizeof why - 1);
    const char *name = options->instance ? options->instance : "";
    if (snprintf(path, sizeof path, "%s/node/%s%s%sarchive.db", options->home, *name ? "instances/" : "", name,
                 *name ? "/" : "") >= (int)sizeof path) {
        pump_log("error", "archive", "reason=\"the home's name is too long\"");
        return 2;
    }
    const struct archive_config config = {.path = path, .small = true};
    enum status status = archive_open(&archive, &config, &sentence);
    *kept = (struct pump_archive){NULL, archive, archive_serve, keep};
    if (status == OK)
        return -1;
    why[sentence.len] = 0;
    pump_log("error", "archive", "status=%s reason=\"%s\"", status_word(status), why);
    return status == BUSY ? 3 : status == NO_ROOM ? 14 : 13;
}

/* Reading takes lists apart in place, and who looks for this process by its command line is to find it whole. */
static char **copy_of(int argc, char **argv)
{
    char **copy = calloc((size_t)argc + 1, sizeof *copy);
    for (int i = 0; copy && i < argc; i++)
        if (!(copy[i] = strdup(argv[i])))
            return NULL;
    return copy;
}

static int take_words(int argc, char **argv, struct vtpm_options *options)
{
    const struct vtpm_defaults defaults = {getenv("TPM_PATH"), getenv("TPM_PORT")};
    char why[VTPM_OPTIONS_WHY];
    argv = copy_of(argc, argv); /* options borrow from it to the end */
    if (!argv)
        return 1;
    if (vtpm_options_read(argc, argv, &defaults, options, why) != OK) {
        fprintf(stderr, "bastide-vtpm: %s\n", why);
        return 2;
    }
    if (options->action == VTPM_HELP)
        vtpm_options_help(stdout);
    else if (options->action == VTPM_CAPABILITIES)
        puts(vtpm_options_capabilities());
    return options->action == VTPM_SERVE ? -1 : 0;
}

/* Before the descriptors it may come by are closed; borrowed to the end, for an enclave may be launched again. */
static int read_passphrase(struct vtpm_options *options)
{
    static uint8_t room[DOOR_VTPM_PASSPHRASE_MAX + 1];
    size_t len = 0;
    ssize_t got = 1;
    if (!options->key.given)
        return -1;
    int fd = options->key.path ? open(options->key.path, O_RDONLY | O_CLOEXEC) : options->key.fd;
    while (got > 0 && len < sizeof room) {
        got = read(fd, room + len, sizeof room - len);
        len += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0)
        close(fd);
    if (got >= 0 && len > 0 && len < sizeof room) {
        options->passphrase = bytes_from(room, len);
        return -1;
    }
    wipe(room, sizeof room);
    pump_log("error", "start", "reason=\"--key: %s\"",
             got < 0    ? strerror(errno)
             : len == 0 ? "it is empty"
                        : "it is longer than a passphrase may be, 512 bytes");
    return 2;
}

/* What stands in the directory may say that it is elsewhere. */
static int follow(struct vtpm_options *options)
{
    static struct vtpm_reference reference;
    uint8_t text[VTPM_REFERENCE_MAX];
    char path[PATH_MAX];
    FILE *file = NULL;
    errno = ENAMETOOLONG;
    if (snprintf(path, sizeof path, "%s/" VTPM_REFERENCE, options->home) < (int)sizeof path)
        file = fopen(path, "rbe");
    if (!file && (errno == ENOENT || errno == ENOTDIR))
        return -1;
    enum status status = IO;
    if (file) {
        const size_t len = fread(text, 1, sizeof text, file);
        status = ferror(file) ? IO : vtpm_reference_decode(bytes_from(text, len), &reference);
        fclose(file);
    }
    if (status == OK && !options->instance) {
        options->home = reference.home;
        options->instance = reference.instance;
        return -1;
    }
    pump_log("error", "start", "reference=\"%s\" reason=\"%s\"", path,
             status == OK   ? "it says which instance: leave instance= out"
             : status == IO ? "it cannot be read"
                            : "it is not what bastide-vtpm-setup leaves");
    return 2;
}

/* Said before anything is made in its directory, where libvirt has the log. */
static int look_for_instance(const struct vtpm_options *options)
{
    char path[PATH_MAX];
    if (!options->instance ||
        snprintf(path, sizeof path, "%s/node/instances/%s/configuration", options->home, options->instance) >=
            (int)sizeof path ||
        access(path, F_OK) == 0 || errno != ENOENT)
        return -1;
    pump_log("error", "start",
             "instance=%s home=%s reason=\"it is not there: it was deleted or has moved; or its VM arrives, and nobody "
             "prepared: its owner says bastide vtpm migrate NAME --to HOME --prepare\"",
             options->instance, options->home);
    return 12;
}

/* libvirt has no words for what an instance's owner asks: unless it was said where, that is in the instance's
 * directory. */
static void open_to_owner(struct vtpm_options *options)
{
    static const char *const names[] = {"keys", "transfer"};
    static char paths[2][SOCKET_PATH_MAX];
    struct vtpm_place *const places[] = {&options->keys, &options->transfer};
    for (size_t i = 0; options->instance && i < 2; i++) {
        if (places[i]->kind != VTPM_NOWHERE)
            continue;
        if (snprintf(paths[i], sizeof paths[i], "%s/node/instances/%s/%s", options->home, options->instance, names[i]) <
            (int)sizeof paths[i])
            *places[i] = (struct vtpm_place){
                .kind = VTPM_AT_PATH, .path = paths[i], .mode = 0600, .uid = (uid_t)-1, .gid = (gid_t)-1, .fd = -1};
        else
            pump_log("warning", "start", "reason=\"the home's name leaves none for the socket %s: say where\"",
                     names[i]);
    }
}

int main(int argc, char **argv)
{
    struct vtpm_options options;
    const char *why = "";
    int code = take_words(argc, argv, &options);
    if (code >= 0)
        return code;
    pump_log_as("vtpm");
    if (vtpm_host_open_log(&options, &why) != OK) {
        pump_log("error", "start", "reason=\"%s\"", why);
        return 4;
    }
    code = read_passphrase(&options);
    if (code >= 0)
        return code;
    if (vtpm_host_leave(&options, &why) != OK) {
        pump_log("error", "start", "reason=\"%s\"", why);
        return 4;
    }
    vtpm_host_harden();
    code = follow(&options);
    if (code < 0)
        code = look_for_instance(&options);
    if (code < 0 && options.relaxed && !options.instance) {
        pump_log("error", "start", "reason=\"fsync=no is for an instance, and this is the node's own\"");
        code = 2;
    }
    open_to_owner(&options);
    if (code >= 0)
        return code;
    code = vtpm_host_serve(&options, open_archive);
    archive_close(archive);
    return code;
}
