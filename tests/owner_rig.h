/* An owner's home for tests: what was said in it, and a terminal to ask on. */
#ifndef BASTIDE_TESTS_OWNER_RIG_H
#define BASTIDE_TESTS_OWNER_RIG_H

#include "check.h"
#include "owner.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static struct cli cli;
static char said[PATH_MAX];

/* Since it was asked last. */
static inline const char *what_was_said(void)
{
    static char text[8192];
    fflush(stderr);
    int fd = open(said, O_RDONLY);
    ssize_t len = read(fd, text, sizeof text - 1);
    close(fd);
    text[len > 0 ? len : 0] = 0;
    assert_int_equal(truncate(said, 0), 0);
    fseek(stderr, 0, SEEK_SET);
    return text;
}

/* Runs `act` in a process of its own on a terminal, types `lines` each after a question, and gives its exit code. What
 * the terminal showed goes to `shown`. */
static inline int on_a_terminal(int (*act)(void), const char *const *lines, char *shown, size_t cap)
{
    int terminal = -1, status = 0;
    size_t len = 0;
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    assert_true(child >= 0);
    if (child == 0) {
        int result = act();
        fflush(stderr);
        _exit(result);
    }
    for (;;) {
        struct pollfd wait = {.fd = terminal, .events = POLLIN};
        ssize_t got = poll(&wait, 1, 30000) == 1 ? read(terminal, shown + len, cap - 1 - len) : -1;
        if (got <= 0)
            break;
        len += (size_t)got;
        if (*lines && len >= 2 && memcmp(shown + len - 2, ": ", 2) == 0) {
            struct termios now;
            assert_int_equal(tcgetattr(terminal, &now), 0);
            assert_int_equal(now.c_lflag & ECHO, 0);
            assert_int_equal(write(terminal, *lines, strlen(*lines)), strlen(*lines));
            lines++;
        }
    }
    shown[len] = 0;
    close(terminal);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline void rig_make_home(void)
{
    char path[] = "/tmp/bastide-owner-XXXXXX";
    check_ok(crypto_init());
    assert_non_null(mkdtemp(path));
    assert_int_equal(cli_start(&cli, path), CLI_OK);
    check_ok(cli_make_directories(&cli));
    check_ok(cli_write_file(cli_path(&cli, "said", said), (struct bytes){0}));
    assert_non_null(freopen(said, "w+", stderr));
    assert_non_null(freopen("/dev/null", "r", stdin));
}

static inline int rig_remove_home(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0)
        _exit(execlp("rm", "rm", "-rf", cli.home, NULL));
    return waitpid(child, NULL, 0) == child ? 0 : 1;
}

#endif
