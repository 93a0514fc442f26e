/* What the kernel's files say, over a directory that stands for the machine; names, lists, and what is absent. */
#include "check.h"

#include "walls.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static char root[] = "/tmp/bastide-walls-XXXXXX";

static int make_root(void **unused)
{
    (void)unused;
    return mkdtemp(root) ? 0 : -1;
}

static void path_of(const char *name, char path[512])
{
    snprintf(path, 512, "%s%s", root, name);
}

static void place(const char *name, const void *content, size_t len)
{
    char path[512];
    path_of(name, path);
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

static void drop(const char *name)
{
    char path[512];
    path_of(name, path);
    assert_int_equal(0, unlink(path));
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

static void a_machine_of_which_nothing_is_known_has_no_switch(void **unused)
{
    (void)unused;
    assert_int_equal(0, walls_of_node(root));
}

static void ptrace_is_off_only_with_scope_three(void **unused)
{
    static const char *const others[] = {"0\n", "1\n", "2\n", "30\n", "", "x3\n"};
    (void)unused;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        say("/proc/sys/kernel/yama/ptrace_scope", others[i]);
        assert_int_equal(0, walls_of_node(root));
    }
    say("/proc/sys/kernel/yama/ptrace_scope", "3\n");
    assert_int_equal(EAT_SWITCH_NO_PTRACE, walls_of_node(root));
    drop("/proc/sys/kernel/yama/ptrace_scope");
}

static void only_lockdown_for_confidentiality_counts(void **unused)
{
    (void)unused;
    say("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
    assert_int_equal(0, walls_of_node(root));
    say("/sys/kernel/security/lockdown", "none integrity [confidentiality]\n");
    assert_int_equal(EAT_SWITCH_LOCKDOWN, walls_of_node(root));
    drop("/sys/kernel/security/lockdown");
}

#define EFI "/sys/firmware/efi/efivars/"
#define GUID "-8be4df61-93ca-11d2-aa0d-00e098032b8c"

static void secure_boot_wants_the_variable_and_no_setup_mode(void **unused)
{
    static const uint8_t on[5] = {6, 0, 0, 0, 1}, off[5] = {6, 0, 0, 0, 0};
    (void)unused;
    place(EFI "SecureBoot" GUID, on, 5);
    assert_int_equal(0, walls_of_node(root)); /* setup mode unknown */
    place(EFI "SetupMode" GUID, on, 5);
    assert_int_equal(0, walls_of_node(root));
    place(EFI "SetupMode" GUID, off, 5);
    assert_int_equal(EAT_SWITCH_SECURE_BOOT, walls_of_node(root));
    place(EFI "SecureBoot" GUID, on, 4);
    assert_int_equal(0, walls_of_node(root));
    place(EFI "SecureBoot" GUID, off, 5);
    assert_int_equal(0, walls_of_node(root));
}

static void modules_are_signed_or_cannot_be_loaded(void **unused)
{
    (void)unused;
    say("/proc/sys/kernel/ostype", "Linux\n"); /* no modules at all */
    assert_int_equal(EAT_SWITCH_SIGNED_MODULES, walls_of_node(root));
    say("/proc/modules", "");
    say("/proc/sys/kernel/modules_disabled", "0\n");
    say("/sys/module/module/parameters/sig_enforce", "N\n");
    assert_int_equal(0, walls_of_node(root));
    say("/sys/module/module/parameters/sig_enforce", "Y\n");
    assert_int_equal(EAT_SWITCH_SIGNED_MODULES, walls_of_node(root));
    say("/sys/module/module/parameters/sig_enforce", "N\n");
    say("/proc/sys/kernel/modules_disabled", "1\n");
    assert_int_equal(EAT_SWITCH_SIGNED_MODULES, walls_of_node(root));
    say("/proc/sys/kernel/modules_disabled", "0\n");
}

#define PROGRAM "/proc/self/exe" /* on a disk, where /tmp need not be */

static void a_program_is_measured_on_verity_in_a_secure_boot_only(void **unused)
{
    static const uint8_t on[5] = {6, 0, 0, 0, 1}, off[5] = {6, 0, 0, 0, 0};
    char name[128];
    struct stat facts;
    (void)unused;
    assert_int_equal(0, stat(PROGRAM, &facts));
    snprintf(name, sizeof name, "/sys/dev/block/%u:%u/dm/uuid", major(facts.st_dev), minor(facts.st_dev));
    say(name, "CRYPT-VERITY-0123-root\n");
    assert_false(walls_program_measured(root, PROGRAM)); /* no secure boot */
    place(EFI "SecureBoot" GUID, on, 5);
    place(EFI "SetupMode" GUID, off, 5);
    assert_true(walls_program_measured(root, PROGRAM));
    assert_false(walls_program_measured(root, "/no/such/program"));
    say(name, "CRYPT-LUKS2-0123-root\n");
    assert_false(walls_program_measured(root, PROGRAM));
    place(EFI "SecureBoot" GUID, off, 5);
}

static void a_program_in_memory_is_measured_when_the_stub_says_so(void **unused)
{
    static const char stub[] = EFI "StubPcrKernelImage-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
    static const uint8_t eleven[] = {6, 0, 0, 0, '1', 0, '1', 0, 0, 0}, twelve[] = {6, 0, 0, 0, '1', 0, '2', 0, 0, 0};
    char path[] = "/dev/shm/bastide-walls-XXXXXX";
    int fd = mkstemp(path);
    (void)unused;
    if (fd < 0)
        skip();
    close(fd);
    assert_false(walls_program_measured(root, path)); /* in memory, but whoever put it there did not measure it */
    place(stub, twelve, sizeof twelve);
    assert_false(walls_program_measured(root, path));
    place(stub, eleven, 7);
    assert_false(walls_program_measured(root, path));
    place(stub, eleven, sizeof eleven);
    assert_true(walls_program_measured(root, path));
    assert_false(walls_program_measured(root, PROGRAM)); /* a disk's file is not the image's */
    unlink(path);
}

static void a_process_has_the_walls_the_kernel_shows(void **unused)
{
    uint64_t locked = 1;
    char text[256];
    (void)unused;
    assert_int_equal(0, walls_of_process(root, 77, 0, &locked));
    assert_int_equal(0, locked);
    say("/proc/77/status", "Name:\tx\nUid:\t0\t0\t0\t0\nVmLck:\t       8 kB\nSeccomp:\t2\nSeccomp_filters:\t2\n");
    assert_int_equal(EAT_WALL_SYSCALL_FILTER, walls_of_process(root, 77, 1, &locked));
    assert_int_equal(8192, locked);
    assert_int_equal(0, walls_of_process(root, 77, 2, &locked)); /* those it inherited */
    snprintf(text, sizeof text, "Uid:\t%u\t0\t0\t0\nSeccomp:\t0\nSeccomp_filters:\t0\n", geteuid() + 1);
    say("/proc/77/status", text);
    /* The file is ours and not that user's: as the kernel shows it where a process cannot be dumped. */
    assert_int_equal(EAT_WALL_OTHER_USER | EAT_WALL_NON_DUMPABLE, walls_of_process(root, 77, 0, &locked));
    assert_int_equal(0, locked);
    /* An older kernel counts secret memory by its mappings only. */
    say("/proc/77/maps",
        "7f60a6a02000-7f60a6c02000 rw-s 0068c000 00:0c 1229                       /secretmem (deleted)\n"
        "7f62a7055000-7f62a7080000 r--p 00000000 00:01 1026                       /memfd:secretmem (deleted)\n"
        "7f62a7080000-7f62a7081000 r--p 00000000 00:01 1026                       /x/secretmem\n"
        "7f62abb33000-7f62abb34000 ---s 00000000 00:0c 1229                       /secretmem (deleted)\n");
    (void)walls_of_process(root, 77, 0, &locked);
    assert_int_equal(0x201000, locked);
    say("/proc/self/status", "Name:\tx\nSeccomp_filters:\t3\n");
    assert_int_equal(3, walls_own_filters(root));
}

static void names_and_bits_are_one_to_one(void **unused)
{
    char text[WALLS_TEXT_MAX], unknown[WALLS_TEXT_MAX];
    uint32_t all = 0, got = 0;
    (void)unused;
    for (uint32_t bit = 1; bit; bit <<= 1) {
        if (!walls_name(bit))
            continue;
        all |= bit;
        assert_true(strlen(walls_advice(bit)) > 0);
        check_ok(walls_parse(walls_name(bit), &got, unknown));
        assert_int_equal(bit, got);
    }
    assert_int_equal(WALLS_ALL, all);
    walls_list(WALLS_ALL, ',', text, sizeof text);
    check_ok(walls_parse(text, &got, unknown));
    assert_int_equal(WALLS_ALL, got);
    walls_list(0, ',', text, sizeof text);
    assert_string_equal("", text);
    check_ok(walls_parse("", &got, unknown));
    assert_int_equal(0, got);
}

static void an_unknown_wall_is_named_and_nothing_is_taken(void **unused)
{
    char unknown[WALLS_TEXT_MAX], text[4];
    uint32_t got = 5;
    (void)unused;
    check_status(NOT_FOUND, walls_parse("lockdown,moat,drawbridge", &got, unknown));
    assert_string_equal("moat", unknown);
    check_status(NOT_FOUND, walls_parse(",", &got, unknown));
    check_status(NOT_FOUND, walls_parse("Lockdown", &got, unknown));
    assert_int_equal(5, got);
    walls_list(WALLS_ALL, ',', text, sizeof text);
    assert_true(strlen(text) < sizeof text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_machine_of_which_nothing_is_known_has_no_switch),
        cmocka_unit_test(ptrace_is_off_only_with_scope_three),
        cmocka_unit_test(only_lockdown_for_confidentiality_counts),
        cmocka_unit_test(secure_boot_wants_the_variable_and_no_setup_mode),
        cmocka_unit_test(modules_are_signed_or_cannot_be_loaded),
        cmocka_unit_test(a_program_is_measured_on_verity_in_a_secure_boot_only),
        cmocka_unit_test(a_program_in_memory_is_measured_when_the_stub_says_so),
        cmocka_unit_test(a_process_has_the_walls_the_kernel_shows),
        cmocka_unit_test(names_and_bits_are_one_to_one),
        cmocka_unit_test(an_unknown_wall_is_named_and_nothing_is_taken),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
