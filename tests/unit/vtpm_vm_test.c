/* vtpm_launch: a VM's parts in memory that nobody can change, and its program started to read them there. */
#include "check.h"

#include "vtpm_launch.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "/tmp/vtpm_vm_test.XXXXXX";
static char kernel[64], out[64];

static int set_up(void **unused)
{
    (void)unused;
    if (!mkdtemp(directory))
        return -1;
    snprintf(kernel, sizeof kernel, "%s/kernel", directory);
    snprintf(out, sizeof out, "%s/out", directory);
    FILE *file = fopen(kernel, "we");
    return file && fputs("the kernel", file) >= 0 && fclose(file) == 0 ? 0 : -1;
}

static int tear_down(void **unused)
{
    (void)unused;
    unlink(kernel);
    unlink(out);
    return rmdir(directory);
}

static struct vtpm_launch opened(struct vtpm_options *options, const char *const *command)
{
    struct vtpm_launch launch;
    const char *why;
    *options = (struct vtpm_options){.command = command};
    options->launch[1] = kernel;
    options->launch[VTPM_PART_CMDLINE] = "quiet one,two {kernel}";
    check_ok(vtpm_launch_open(&launch, options, &why));
    return launch;
}

static int end_of(struct vtpm_launch *launch)
{
    int wait_status = -1;
    for (int i = 0; i < 1000 && !vtpm_launch_ended(launch, &wait_status); i++)
        usleep(10000);
    return wait_status;
}

static void what_is_taken_in_can_be_changed_by_nobody(void **unused)
{
    struct vtpm_options options;
    struct vtpm_launch launch = opened(&options, NULL);
    int fds[MONITOR_PARTS];
    char text[64] = {0};
    (void)unused;
    assert_int_equal(1u << 1 | 1u << VTPM_PART_CMDLINE, launch.given);
    assert_int_equal(2, vtpm_launch_list(&launch, fds));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL, fcntl(fds[i], F_GET_SEALS));
        assert_int_equal(-1, pwrite(fds[i], "x", 1, 0));
        assert_int_equal(FD_CLOEXEC, fcntl(fds[i], F_GETFD));
    }
    assert_int_equal(10, pread(fds[0], text, sizeof text, 0));
    assert_string_equal("the kernel", text);
    assert_int_equal(22, pread(fds[1], text, sizeof text, 0));
    vtpm_launch_close(&launch);
    assert_int_equal(-1, fcntl(fds[0], F_GETFD));
    options = (struct vtpm_options){0};
    check_ok(vtpm_launch_open(&launch, &options, &(const char *){NULL}));
    assert_int_equal(0, launch.given);
}

static void what_is_no_file_is_refused_by_name(void **unused)
{
    const char *const bad[] = {"/nowhere", directory, "/dev/null", "/dev/zero"};
    struct vtpm_launch launch;
    (void)unused;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct vtpm_options options = {.launch = {[1] = kernel, [2] = bad[i]}};
        const char *why = NULL;
        check_status(IO, vtpm_launch_open(&launch, &options, &why));
        assert_string_equal("initrd cannot be read whole into memory", why);
        assert_int_equal(0, launch.given);
    }
}

/* What the file has become meanwhile reaches nobody. */
static void the_program_reads_what_was_taken_in(void **unused)
{
    char script[160];
    const char *const command[] = {"sh",       "-c", script,    "{cmdline}", "a={kernel}{kernel}",
                                   "{initrd}", "{",  "{kernel", NULL};
    struct vtpm_options options;
    struct vtpm_launch launch = opened(&options, command);
    const char *why;
    char text[256] = {0}, expected[256];
    (void)unused;
    snprintf(script, sizeof script, "exec >%s; cat {kernel}; printf '|%%s' \"$0\" \"$@\"; exit 7", out);
    FILE *file = fopen(kernel, "we");
    assert_true(file && fputs("another kernel", file) >= 0 && fclose(file) == 0);
    check_ok(vtpm_launch_start(&launch, &why));
    const int wait_status = end_of(&launch);
    assert_true(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 7);
    file = fopen(out, "re");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    snprintf(expected, sizeof expected,
             "the kernel|quiet one,two {kernel}|a=/proc/self/fd/%d/proc/self/fd/%d|{initrd}|{|{kernel", launch.fds[1],
             launch.fds[1]);
    assert_string_equal(expected, text);
    assert_false(vtpm_launch_ended(&launch, &(int){0}));
    vtpm_launch_close(&launch);
    file = fopen(kernel, "we");
    assert_true(file && fputs("the kernel", file) >= 0 && fclose(file) == 0);
}

static void it_is_stopped_politely_and_then_not(void **unused)
{
    const char *const obeys[] = {"sleep", "100", NULL}, *const ignores[] = {"sh", "-c", "trap '' TERM; exec sleep 100",
                                                                            NULL};
    struct vtpm_options options;
    const char *why;
    int wait_status = 0;
    (void)unused;
    struct vtpm_launch launch = opened(&options, obeys);
    check_ok(vtpm_launch_start(&launch, &why));
    vtpm_launch_stop(&launch, false, &wait_status);
    assert_true(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGTERM);
    vtpm_launch_close(&launch);
    launch = opened(&options, ignores);
    check_ok(vtpm_launch_start(&launch, &why));
    usleep(300000);
    vtpm_launch_stop(&launch, true, &wait_status);
    assert_true(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL);
    assert_int_equal(0, launch.child);
    vtpm_launch_stop(&launch, false, &wait_status); /* nobody there */
    vtpm_launch_close(&launch);
}

static void a_program_that_is_not_there_is_said(void **unused)
{
    const char *const command[] = {"/nowhere/qemu", NULL};
    struct vtpm_options options;
    struct vtpm_launch launch = opened(&options, command);
    const char *why = NULL;
    (void)unused;
    check_status(IO, vtpm_launch_start(&launch, &why));
    assert_string_equal("the VM's program cannot be started", why);
    assert_false(launch.started);
    vtpm_launch_close(&launch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_in_can_be_changed_by_nobody),
        cmocka_unit_test(what_is_no_file_is_refused_by_name),
        cmocka_unit_test(the_program_reads_what_was_taken_in),
        cmocka_unit_test(it_is_stopped_politely_and_then_not),
        cmocka_unit_test(a_program_that_is_not_there_is_said),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
