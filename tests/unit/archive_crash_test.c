/* Whatever fails under the archive — a full disk, any single write, the process itself — what was synced is there, and
 * what was not is gone as a whole. */
#include "archive_rig.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void a_full_archive_refuses_writes_and_goes_on_reading(void **state)
{
    (void)state;
    struct archive *archive = open_archive(300 * 1024);
    uint64_t kept = 0;
    enum status status = OK;
    while (status == OK && kept < 100) {
        (void)append(archive, kept + 1, 20000);
        status = archive_sync(archive);
        kept += status == OK;
    }
    check_status(NO_ROOM, status);
    assert_true(kept > 5 && kept < 15);
    char newest[32];
    snprintf(newest, sizeof newest, "%llu ", (unsigned long long)kept);
    assert_string_equal(sequences(archive, (struct door_query){.before = 999, .limit = 1}), newest);
    archive_close(archive);
    archive = open_archive(0);
    assert_string_equal(sequences(archive, (struct door_query){.before = 999, .limit = 1}), newest);
    check_ok(append(archive, kept + 1, 20000)); /* room again, work again */
    check_ok(archive_sync(archive));
    archive_close(archive);
}

/* A disk that ends: every write past the limit fails. */
static void a_file_that_may_not_grow_is_no_room_and_loses_nothing(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        struct archive *archive = open_archive(0);
        const struct rlimit limit = {400000, 400000};
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
            _exit(200);
        for (uint64_t i = 1; i < 100; i++) {
            (void)append(archive, i, 20000);
            enum status status = archive_sync(archive);
            if (status != OK)
                _exit(status == NO_ROOM ? (int)(i - 1) : 201);
        }
        _exit(202);
    }
    int ended;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFEXITED(ended));
    int kept = WEXITSTATUS(ended);
    assert_in_range(kept, 5, 99);
    struct archive *archive = open_archive(0);
    char newest[32];
    snprintf(newest, sizeof newest, "%d ", kept);
    assert_string_equal(sequences(archive, (struct door_query){.before = 999, .limit = 1}), newest);
    archive_close(archive);
}

/* The child tells each sync that said OK; whenever it is killed, all of those are there, rows and record together. */
static void what_was_synced_survives_kill_9_at_any_time(void **state)
{
    (void)state;
    uint64_t told = 0;
    for (int round = 0; round < 15; round++) {
        int pipe_ends[2];
        check_ok(pipe(pipe_ends));
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct archive *archive = open_archive(0);
            for (uint64_t i = told + 1;; i++) {
                if (append(archive, 2 * i, 300) != OK || append(archive, 2 * i + 1, 3000) != OK ||
                    archive_append_log(archive, i, bytes_from("record", 6)) != OK || archive_sync(archive) != OK ||
                    write(pipe_ends[1], &i, sizeof i) != sizeof i)
                    _exit(1);
            }
        }
        close(pipe_ends[1]);
        uint64_t target = told + 1 + (uint64_t)(round * 7 % 11) * 9;
        while (told < target)
            assert_int_equal(read(pipe_ends[0], &told, sizeof told), sizeof told);
        usleep((useconds_t)(round * 137 % 700));
        check_ok(kill(child, SIGKILL));
        uint64_t more;
        while (read(pipe_ends[0], &more, sizeof more) == sizeof more)
            told = more;
        close(pipe_ends[0]);
        assert_int_equal(waitpid(child, NULL, 0), child);
        struct archive *archive = open_archive(0);
        uint64_t records = count_log(archive, 1);
        assert_true(records == told || records == told + 1); /* the last one may have been told to nobody */
        char newest[48];
        snprintf(newest, sizeof newest, "%llu %llu ", (unsigned long long)(2 * records + 1),
                 (unsigned long long)(2 * records));
        assert_string_equal(sequences(archive, (struct door_query){.before = UINT64_MAX, .limit = 2}), newest);
        archive_close(archive);
        told = records;
    }
}

/* ---- A disk whose write number N fails: a file system over SQLite's own ---- */

struct failing_file {
    sqlite3_file base;
    sqlite3_file *real;
};

static int countdown; /* writes until one fails; 0: all work */
static int failure;
static sqlite3_vfs failing;
static sqlite3_io_methods methods;

static bool due(void)
{
    return countdown > 0 && --countdown == 0;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct failing_file *)file)->real;
}

static int failing_close(sqlite3_file *file)
{
    return real_of(file)->pMethods ? real_of(file)->pMethods->xClose(real_of(file)) : SQLITE_OK;
}
static int failing_read(sqlite3_file *file, void *out, int len, sqlite3_int64 off)
{
    return real_of(file)->pMethods->xRead(real_of(file), out, len, off);
}
static int failing_write(sqlite3_file *file, const void *in, int len, sqlite3_int64 off)
{
    if (!due())
        return real_of(file)->pMethods->xWrite(real_of(file), in, len, off);
    (void)real_of(file)->pMethods->xWrite(real_of(file), in, len / 2, off); /* torn */
    return failure;
}
static int failing_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return due() ? SQLITE_IOERR_TRUNCATE : real_of(file)->pMethods->xTruncate(real_of(file), size);
}
static int failing_sync(sqlite3_file *file, int flags)
{
    return due() ? SQLITE_IOERR_FSYNC : real_of(file)->pMethods->xSync(real_of(file), flags);
}
static int failing_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}
static int failing_lock(sqlite3_file *file, int kind)
{
    return real_of(file)->pMethods->xLock(real_of(file), kind);
}
static int failing_unlock(sqlite3_file *file, int kind)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), kind);
}
static int failing_reserved(sqlite3_file *file, int *result)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), result);
}
static int failing_control(sqlite3_file *file, int operation, void *argument)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), operation, argument);
}
static int failing_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}
static int failing_traits(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int failing_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out_flags)
{
    sqlite3_vfs *real = vfs->pAppData;
    struct failing_file *wrapped = (struct failing_file *)file;
    wrapped->real = (sqlite3_file *)(wrapped + 1);
    wrapped->base.pMethods = &methods;
    return real->xOpen(real, name, wrapped->real, flags, out_flags);
}

static void install_failing_disk(void)
{
    sqlite3_vfs *real = sqlite3_vfs_find("unix");
    methods = (sqlite3_io_methods){
        .iVersion = 1, /* no shared memory: the archive has its file for itself */
        .xClose = failing_close,
        .xRead = failing_read,
        .xWrite = failing_write,
        .xTruncate = failing_truncate,
        .xSync = failing_sync,
        .xFileSize = failing_size,
        .xLock = failing_lock,
        .xUnlock = failing_unlock,
        .xCheckReservedLock = failing_reserved,
        .xFileControl = failing_control,
        .xSectorSize = failing_sector,
        .xDeviceCharacteristics = failing_traits,
    };
    failing = *real;
    failing.zName = "failing";
    failing.pAppData = real;
    failing.szOsFile = (int)sizeof(struct failing_file) + real->szOsFile;
    failing.xOpen = failing_open;
    check_ok(sqlite3_vfs_register(&failing, 1));
}

/* A few syncs with write N failing; then the file is opened anew. Gives false once N is past all writes. */
static bool fail_at(int n, int how)
{
    struct archive *archive = open_archive(0);
    for (uint64_t i = 1; i <= 3; i++)
        check_ok(append(archive, i, 5000));
    check_ok(archive_sync(archive));
    countdown = n;
    failure = how;
    uint64_t last = 3, refused = 0;
    for (uint64_t i = 4; i <= 12; i++) {
        uint64_t sequence = last + 1;
        enum status appended = append(archive, sequence, 5000);
        if (appended == OK)
            appended = archive_append_log(archive, sequence, bytes_from("record", 6));
        enum status status = archive_sync(archive);
        assert_true(appended == OK || status == appended);
        assert_true(status == OK || (status == (how == SQLITE_FULL ? NO_ROOM : IO)) || status == IO);
        if (status == OK)
            last = sequence;
        else
            refused++;
        char newest[32];
        snprintf(newest, sizeof newest, "%llu ", (unsigned long long)last);
        assert_string_equal(sequences(archive, (struct door_query){.before = 99, .limit = 1}), newest);
    }
    bool failed = countdown == 0;
    countdown = 0;
    assert_true(refused <= 1);
    archive_close(archive);
    archive = open_archive(0);
    struct door_query query = {.before = 99, .limit = 99};
    char expected[64] = "";
    for (uint64_t i = last; i > 0; i--)
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%llu ", (unsigned long long)i);
    assert_string_equal(sequences(archive, query), expected);
    assert_int_equal(count_log(archive, 1), last - 3);
    archive_close(archive);
    return failed;
}

static void any_single_write_may_fail(void **state)
{
    install_failing_disk();
    int n = 1;
    for (bool failed = true; failed; n++) {
        check_ok(drop_home(state));
        check_ok(make_home(state));
        failed = fail_at(n, n % 2 ? SQLITE_FULL : SQLITE_IOERR_WRITE);
    }
    assert_true(n > 20);
    check_ok(sqlite3_vfs_unregister(&failing));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_home(a_full_archive_refuses_writes_and_goes_on_reading),
        with_home(a_file_that_may_not_grow_is_no_room_and_loses_nothing),
        with_home(what_was_synced_survives_kill_9_at_any_time),
        with_home(any_single_write_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
