/* bastide-vtpm: the untrusted half of one vTPM — the vtpm_host room's sockets over the archive room's database. */
#include "archive.h"
#include "pump.h"
#include "vtpm_host.h"

#include <limits.h>
#include <stdio.h>

static int open_archive(const struct vtpm_host_options *options, struct archive **archive)
{
    char path[PATH_MAX], why[512];
    struct writer sentence = writer_over(why, sizeof why - 1);
    const char *name = options->instance ? options->instance : "";
    if (snprintf(path, sizeof path, "%s/node/%s%s%sarchive.db", options->home, *name ? "instances/" : "", name,
                 *name ? "/" : "") >= (int)sizeof path) {
        pump_log("error", "archive", "reason=\"the home's name is too long\"");
        return 2;
    }
    const struct archive_config config = {.path = path};
    enum status status = archive_open(archive, &config, &sentence);
    if (status == OK)
        return -1;
    why[sentence.len] = 0;
    pump_log("error", "archive", "status=%s reason=\"%s\"", status_word(status), why);
    return status == BUSY ? 3 : status == NO_ROOM ? 14 : 13;
}

int main(int argc, char **argv)
{
    struct vtpm_host_options options;
    struct archive *archive = NULL;
    int code = vtpm_host_parse(argc, argv, &options);
    if (code >= 0)
        return code;
    pump_log_as("vtpm");
    vtpm_host_harden();
    code = open_archive(&options, &archive);
    if (code >= 0)
        return code;
    const struct pump_archive kept = {archive, archive_serve, archive_abandon};
    code = vtpm_host_serve(&options, &kept);
    archive_close(archive);
    return code;
}
