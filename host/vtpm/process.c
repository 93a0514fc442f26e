/* The process as swtpm's users expect it: its log, its id in a file, in the background once its sockets are there. */
#include "vtpm_host.h"

#include "pump.h"

#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int waiting = -1; /* the end of a pipe whose other end the process in the foreground reads */

void vtpm_host_harden(void)
{
    const struct rlimit none = {0, 0};
    signal(SIGPIPE, SIG_IGN);
    if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        pump_log("warning", "harden", "reason=\"cores or new privileges cannot be given up\"");
}

enum status vtpm_host_open_log(const struct vtpm_options *options, const char **why)
{
    const struct vtpm_file *log = &options->log;
    int fd = log->fd;
    pump_log_prefix(options->prefix);
    if (!log->given)
        return OK;
    *why = "the log cannot be opened";
    if (log->path && strcmp(log->path, "-") == 0)
        fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    else if (log->path)
        fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | (options->truncate ? O_TRUNC : 0),
                  0640);
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
        return IO;
    if (fd != STDERR_FILENO)
        close(fd);
    return OK;
}

/* Ends with a byte, or with the child: then as it ended. */
static _Noreturn void wait_for(pid_t child, int end)
{
    char word;
    int how = 0;
    if (read(end, &word, 1) == 1)
        _exit(0);
    (void)waitpid(child, &how, 0);
    _exit(WIFEXITED(how) ? WEXITSTATUS(how) : 1);
}

enum status vtpm_host_leave(const struct vtpm_options *options, const char **why)
{
    int ends[2];
    if (!options->daemon)
        return OK;
    *why = "no process can be started in the background";
    if (pipe2(ends, O_CLOEXEC) < 0)
        return IO;
    fflush(NULL);
    pid_t child = fork();
    if (child > 0) {
        close(ends[1]);
        wait_for(child, ends[0]);
    }
    close(ends[0]);
    waiting = ends[1];
    return child == 0 && setsid() >= 0 ? OK : IO;
}

static enum status write_id(const struct vtpm_file *file)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%ld", (long)getpid());
    int fd = file->fd;
    if (file->path)
        fd = open(file->path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return IO;
    const bool written = write(fd, text, (size_t)len) == len;
    return close(fd) == 0 && written ? OK : IO;
}

/* The directory stays what it was: names on the command line may be relative to it. */
enum status vtpm_host_settle(const struct vtpm_options *options, const char **why)
{
    *why = "the process id cannot be written";
    if (options->pid.given)
        TRY(write_id(&options->pid));
    if (waiting < 0)
        return OK;
    *why = "the background cannot be entered";
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    bool left = nothing >= 0 && dup2(nothing, STDIN_FILENO) >= 0 && dup2(nothing, STDOUT_FILENO) >= 0 &&
                (options->log.given || dup2(nothing, STDERR_FILENO) >= 0);
    if (nothing > STDERR_FILENO)
        close(nothing);
    left = write(waiting, "", 1) == 1 && left;
    close(waiting);
    waiting = -1;
    return left ? OK : IO;
}

/* Code and constants; what was relocated is writable by its segment. */
static int unmap(struct dl_phdr_info *object, size_t size, void *unused)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    (void)size, (void)unused;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        const uintptr_t from = (object->dlpi_addr + segment->p_vaddr) & ~(page - 1);
        if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W)) /* a failure leaves it as it was */
            (void)madvise((void *)from, object->dlpi_addr + segment->p_vaddr + segment->p_memsz - from, MADV_DONTNEED);
    }
    return 0;
}

void vtpm_host_unmap_start(void)
{
    (void)dl_iterate_phdr(unmap, NULL);
}
