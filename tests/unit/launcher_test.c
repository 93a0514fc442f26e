/* What the launcher takes for orders, and its limits, put up in a child and looked at there. The walls themselves are
 * seen from inside in tests/e2e/monitor.sh. */
#include "check.h"

#include "launcher.h"

#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static enum status parse(const char *files, const char *user, struct launcher_plan *plan)
{
    char name[] = "bastide-launcher", first[64], second[64];
    char *argv[] = {name, first, second, NULL};
    snprintf(first, sizeof first, "%s", files);
    snprintf(second, sizeof second, "%s", user);
    return launcher_parse(3, argv, plan);
}

static void files_and_user_are_whole_numbers_in_range(void **unused)
{
    static const char *const bad[] = {"", " 1", "1 ", "-1", "+1", "0x1", "1.0", "99999999999999999999", "x"};
    struct launcher_plan plan = {.files = 9, .user = 9};
    (void)unused;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_status(MALFORMED, parse(bad[i], "0", &plan));
        check_status(MALFORMED, parse("0", bad[i], &plan));
    }
    check_status(MALFORMED, parse("33", "0", &plan));
    check_status(MALFORMED, parse("0", "4294967295", &plan)); /* -1: "do not change" */
    assert_int_equal(9, plan.files);
    assert_int_equal(9, plan.user);
    check_ok(parse("32", "4294967294", &plan));
    assert_int_equal(LAUNCHER_FILES_MAX, plan.files);
    assert_int_equal(4294967294u, plan.user);
    check_ok(parse("0", "0", &plan));
}

static void two_words_are_wanted(void **unused)
{
    char name[] = "bastide-launcher", word[] = "1";
    char *argv[] = {name, word, word, word, NULL};
    struct launcher_plan plan;
    (void)unused;
    for (int argc = 1; argc <= 4; argc++)
        check_status(argc == 3 ? OK : MALFORMED, launcher_parse(argc, argv, &plan));
}

/* In a child, for none of it can be undone; its exit code is the first that does not hold. */
static int look(void)
{
    const struct launcher_plan plan = {.files = 3};
    struct launcher_failure failure;
    struct rlimit limit;
    if (launcher_limit(&plan, &failure) != OK || getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_max != 0)
        return 1;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max < LAUNCH_FD_MODULES + 3 || limit.rlim_max > 32)
        return 2;
    if (launcher_become(&plan, &failure) != OK || prctl(PR_GET_DUMPABLE) != 0 ||
        prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 3;
    if (launcher_keep_lock(&failure) != OK || getrlimit(RLIMIT_NPROC, &limit) != 0 || limit.rlim_max != 0)
        return 4;
    return 0;
}

static void limits_and_privileges_are_what_they_should_be(void **unused)
{
    int wait_status = 0;
    pid_t child = fork();
    (void)unused;
    if (child == 0)
        _exit(look());
    assert_int_equal(child, waitpid(child, &wait_status, 0));
    assert_int_equal(0, wait_status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_and_user_are_whole_numbers_in_range),
        cmocka_unit_test(two_words_are_wanted),
        cmocka_unit_test(limits_and_privileges_are_what_they_should_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
