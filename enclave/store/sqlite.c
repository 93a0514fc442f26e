/* SQLite's operating system: one without files. */
#include "store_internal.h"

static int no_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out_flags)
{
    (void)vfs, (void)name, (void)flags, (void)out_flags;
    file->pMethods = NULL;
    return SQLITE_CANTOPEN;
}

static int no_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs, (void)name, (void)sync;
    return SQLITE_IOERR_DELETE;
}

static int no_access(sqlite3_vfs *vfs, const char *name, int flags, int *result)
{
    (void)vfs, (void)name, (void)flags;
    *result = 0;
    return SQLITE_OK;
}

static int no_path(sqlite3_vfs *vfs, const char *name, int cap, char *out)
{
    (void)vfs, (void)name, (void)cap, (void)out;
    return SQLITE_CANTOPEN;
}

static int give_random(sqlite3_vfs *vfs, int len, char *out)
{
    (void)vfs;
    return len > 0 && crypto_random(out, (size_t)len) == OK ? len : 0;
}

static int no_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs, (void)microseconds;
    return 0;
}

/* Time is not the database's business: always the Unix epoch. */
static int no_time(sqlite3_vfs *vfs, sqlite3_int64 *now)
{
    (void)vfs;
    *now = 210866760000000;
    return SQLITE_OK;
}

static int no_time_double(sqlite3_vfs *vfs, double *now)
{
    (void)vfs;
    *now = 2440587.5;
    return SQLITE_OK;
}

static int no_error(sqlite3_vfs *vfs, int len, char *out)
{
    (void)vfs, (void)len, (void)out;
    return 0;
}

sqlite3_vfs store_no_files = {
    .iVersion = 2,
    .szOsFile = sizeof(sqlite3_file),
    .mxPathname = 64,
    .zName = "bastide-none",
    .xOpen = no_open,
    .xDelete = no_delete,
    .xAccess = no_access,
    .xFullPathname = no_path,
    .xRandomness = give_random,
    .xSleep = no_sleep,
    .xCurrentTime = no_time_double,
    .xGetLastError = no_error,
    .xCurrentTimeInt64 = no_time,
};

/* By SQLite's own names, so that its archive need not bring what it has; hidden, for its shared library, which tests
 * have, keeps it. */
__attribute__((visibility("hidden"))) int sqlite3_os_init(void)
{
    return sqlite3_vfs_register(&store_no_files, 1);
}

__attribute__((visibility("hidden"))) int sqlite3_os_end(void)
{
    return SQLITE_OK;
}
