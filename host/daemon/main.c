/* bastided: the untrusted half of a node — the daemon room's loop over the archive room's database. */
#include "archive.h"
#include "daemon.h"

#include <limits.h>
#include <stdio.h>

/* Exit codes: the daemon room's, and for the archive: */
#define EXIT_BUSY 3     /* another bastided has the database */
#define EXIT_ARCHIVE 13 /* the database cannot be opened; the line in the log says which file and why */
#define EXIT_DISK 14    /* the disk is full before anything could be served */

static int open_archive(const char *home, struct archive **archive)
{
    char path[PATH_MAX], why[512];
    struct writer sentence = writer_over(why, sizeof why - 1);
    if (snprintf(path, sizeof path, "%s/node/archive.db", home) >= (int)sizeof path) {
        pump_log("error", "archive", "reason=\"--home is too long\"");
        return 2;
    }
    const struct archive_config config = {.path = path};
    enum status status = archive_open(archive, &config, &sentence);
    if (status == OK)
        return -1;
    why[sentence.len] = 0;
    pump_log("error", "archive", "status=%s reason=\"%s\"", status_word(status), why);
    return status == BUSY ? EXIT_BUSY : status == NO_ROOM ? EXIT_DISK : EXIT_ARCHIVE;
}

int main(int argc, char **argv)
{
    struct daemon_options options;
    struct archive *archive = NULL;
    int code = daemon_parse(argc, argv, &options);
    if (code >= 0)
        return code;
    daemon_harden(&options);
    code = open_archive(options.home, &archive);
    if (code >= 0)
        return code;
    const struct pump_archive kept = {pthread_create, archive, archive_serve, archive_abandon};
    code = daemon_serve(&options, &kept);
    archive_close(archive);
    return code;
}
