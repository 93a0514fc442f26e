/* The doctor's eyes over a directory that stands for a machine: bare, and with everything raised. */
#include "check.h"

#include "doctor.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/bastide-doctor-XXXXXX";

static int make_root(void **unused)
{
    (void)unused;
    return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *place)
{
    (void)facts, (void)kind, (void)place;
    return remove(path);
}

static int remove_root(void **unused)
{
    (void)unused;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void place(const char *name, const void *content, size_t len)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", root, name);
    for (char *slash = path + sizeof root; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(len, fwrite(content, 1, len, file));
    assert_int_equal(0, fclose(file));
}

static void say(const char *name, const char *text)
{
    place(name, text, strlen(text));
}

static const struct doctor_check *look(const char *name)
{
    static struct doctor_check checks[DOCTOR_CHECKS_MAX];
    size_t count = doctor_look(root, "/proc/self/exe", checks);
    for (size_t i = 0; i < count; i++)
        if (strcmp(checks[i].name, name) == 0)
            return &checks[i];
    return NULL;
}

static void check_state(const char *name, enum doctor_state state)
{
    const struct doctor_check *check = look(name);
    assert_non_null(check);
    if (check->state != state)
        fail_msg("%s is %s: %s", name, doctor_state_word(check->state), check->found);
}

static const char *const switches[] = {"no-ptrace", "lockdown", "signed-modules", "secure-boot"};

static void a_bare_machine_lacks_it_all_and_every_line_says_why_and_how(void **state)
{
    struct doctor_check checks[DOCTOR_CHECKS_MAX];
    (void)state;
    size_t count = doctor_look(root, "/proc/self/exe", checks);
    assert_in_range(count, 10, DOCTOR_CHECKS_MAX - 1);
    for (size_t i = 0; i < count; i++) {
        assert_true(checks[i].found[0] && checks[i].why[0]);
        assert_true((checks[i].raise[0] != 0) == (checks[i].state != DOCTOR_GOOD));
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(checks[i].name, checks[j].name);
    }
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
        check_state(switches[i], DOCTOR_MISSING);
    check_state("kernel", DOCTOR_UNKNOWN);
    check_state("secret-memory", DOCTOR_MISSING);
    check_state("tpm", DOCTOR_MISSING);
    check_state("measured-boot", DOCTOR_MISSING);
    check_state("ima", DOCTOR_UNKNOWN);
}

static void debians_own_kernel_wants_a_word_at_boot(void **state)
{
    (void)state;
    say("/proc/sys/kernel/osrelease", "6.1.0-56-cloud-amd64\n");
    check_state("kernel", DOCTOR_GOOD);
    assert_non_null(strstr(look("kernel")->found, "secretmem.enable=1"));
    say("/proc/cmdline", "quiet\n");
    check_state("secret-memory", DOCTOR_MISSING);
    say("/proc/cmdline", "quiet secretmem.enable=1\n");
    check_state("secret-memory", DOCTOR_GOOD);
    check_state("monitor-secret", DOCTOR_GOOD);
    say("/proc/sys/kernel/osrelease", "6.12.9\n");
    assert_null(strstr(look("kernel")->found, "secretmem"));
    say("/proc/sys/kernel/osrelease", "5.10.0\n");
    check_state("kernel", DOCTOR_MISSING);
}

static void what_is_raised_is_good(void **state)
{
#define EFI "/sys/firmware/efi/efivars/"
#define GUID "-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    static const uint8_t on[] = {6, 0, 0, 0, 1}, off[] = {6, 0, 0, 0, 0};
    (void)state;
    say("/proc/sys/kernel/yama/ptrace_scope", "3\n");
    say("/sys/kernel/security/lockdown", "none integrity [confidentiality]\n");
    say("/proc/sys/kernel/modules_disabled", "1\n");
    place(EFI "SecureBoot" GUID, off, sizeof off);
    place(EFI "SetupMode" GUID, off, sizeof off);
    check_state("secure-boot", DOCTOR_MISSING);
    place(EFI "SecureBoot" GUID, on, sizeof on);
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
        check_state(switches[i], DOCTOR_GOOD);
    say("/proc/sys/kernel/seccomp/actions_avail", "kill_process\n");
    check_state("syscall-filter", DOCTOR_GOOD);
}

static void a_tpm_is_one_of_version_two(void **state)
{
    (void)state;
    say("/dev/tpmrm0", "");
    check_state("tpm", DOCTOR_MISSING);
    say("/sys/class/tpm/tpm0/tpm_version_major", "1\n");
    check_state("tpm", DOCTOR_MISSING);
    say("/sys/class/tpm/tpm0/tpm_version_major", "2\n");
    check_state("tpm", DOCTOR_GOOD);
    assert_null(look("ek-certificate")); /* another machine's TPM is not asked */
}

static void ima_measures_more_than_the_boot_aggregate(void **state)
{
    (void)state;
    say("/sys/kernel/security/ima/runtime_measurements_count", "1\n");
    check_state("ima", DOCTOR_MISSING);
    say("/sys/kernel/security/ima/runtime_measurements_count", "812\n");
    check_state("ima", DOCTOR_GOOD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bare_machine_lacks_it_all_and_every_line_says_why_and_how),
        cmocka_unit_test(debians_own_kernel_wants_a_word_at_boot),
        cmocka_unit_test(what_is_raised_is_good),
        cmocka_unit_test(a_tpm_is_one_of_version_two),
        cmocka_unit_test(ima_measures_more_than_the_boot_aggregate),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
