#include "check.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "compartment.h"
#include "guest_memory.h"

static const char *modules_dir = "modules";
static struct compartment_module *probe_module;
static struct compartment *probe;
static struct compartment_snapshot *pristine;

static const char probe_policy[] = "Version 1\n"
                                   "# what the tests grant\n"
                                   "compartment probe\n"
                                   "memory 4\n"
                                   "table 16\n"
                                   "stack 65536\n"
                                   "\n"
                                   "import env\n"
                                   "\task\n"
                                   "\tagain\n";

/* What env.ask does is chosen by its first argument. */
enum ask { ASK_ADD, ASK_NULL_WRITE, ASK_STOP, ASK_BURN, ASK_NEST, ASK_NEST_FAULT, ASK_GUEST_ADDRESS, ASK_DEEP };

static struct compartment_export export_of(const char *name)
{
    struct compartment_export found = {0};
    check_ok(compartment_find_export(compartment_module_policy(probe_module) ? probe_module : NULL, name, &found));
    return found;
}

static void burn_cpu_ms(long ms)
{
    struct timespec from, now;
    clock_gettime(CLOCK_MONOTONIC, &from);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 < ms);
}

static enum status call(const char *name, uint64_t a, uint64_t b, uint64_t *result)
{
    uint64_t arguments[2] = {a, b};
    return compartment_call(probe, export_of(name), arguments, 2, result);
}

__attribute__((noinline)) static size_t use_stack(size_t len)
{
    volatile uint8_t frame[4096];
    memset((void *)(uintptr_t)frame, 1, sizeof(frame));
    return len <= sizeof(frame) ? frame[7] : frame[9] + use_stack(len - sizeof(frame));
}

static uint64_t host_ask(struct compartment *compartment, uint32_t what, uint64_t value)
{
    uint64_t result = 0;
    switch ((enum ask)what) {
    case ASK_ADD:
        return value + *(const uint64_t *)compartment_user(compartment);
    case ASK_NULL_WRITE:
        *(volatile int *)(uintptr_t)value = 1;
        return 0;
    case ASK_STOP:
        compartment_stop(compartment);
        return 0;
    case ASK_BURN:
        burn_cpu_ms((long)value);
        *(uint64_t *)compartment_user(compartment) = 1;
        return 0;
    case ASK_NEST:
        return call("multiply", value, value, &result) == OK ? result : 0;
    case ASK_NEST_FAULT:
        *(uint64_t *)compartment_user(compartment) = (uint64_t)call("load", 0xfffffff0, 0, &result);
        return 0;
    case ASK_GUEST_ADDRESS: {
        struct bytes view;
        if (compartment_view(compartment, 0, 1, &view) == OK)
            ((volatile uint8_t *)(uintptr_t)view.data)[5u << 20] = 1;
        return 0;
    }
    case ASK_DEEP:
        return use_stack(1u << 20);
    }
    return 0;
}

static uint32_t host_again(struct compartment *compartment, uint32_t depth)
{
    uint64_t arguments[1] = {depth - 1}, result = 0;
    if (depth == 0 || compartment_call(compartment, export_of("again"), arguments, 1, &result) != OK)
        return 0;
    return (uint32_t)result;
}

static const struct compartment_host_function functions[] = {
    {"env", "ask", (void (*)(void))host_ask},
    {"env", "again", (void (*)(void))host_again},
};

static uint64_t user_value;

static enum status load_with(const char *file, const char *policy, struct compartment_module **module, char *why,
                             size_t cap)
{
    char path[512];
    struct writer reason = writer_over(why, cap - 1);
    snprintf(path, sizeof(path), "%s/%s.so", modules_dir, file);
    int fd = guest_object(path);
    enum status status = compartment_load(fd, bytes_from_text(policy), functions, 2, &guest_memory, module, &reason);
    close(fd);
    why[reason.len] = '\0';
    return status;
}

static int load_probe(void **state)
{
    char why[256];
    (void)state;
    user_value = 1000;
    check_ok(compartment_init(&guest_memory));
    if (load_with("probe", probe_policy, &probe_module, why, sizeof(why)) != OK) {
        print_error("%s\n", why);
        return -1;
    }
    check_ok(compartment_instantiate(probe_module, &user_value, &probe));
    check_ok(compartment_snapshot_new(probe_module, &pristine));
    check_status(WRONG_STATE, compartment_reset(probe, pristine));
    check_ok(compartment_snapshot_take(probe, pristine));
    return 0;
}

static int reset_probe(void **state)
{
    (void)state;
    user_value = 1000;
    compartment_set_budget(probe, 5000);
    check_ok(compartment_reset(probe, pristine));
    return 0;
}

static void check_trap(enum compartment_trap trap, const char *name, uint64_t a, uint64_t b)
{
    uint64_t result = 77;
    check_status(DENIED, call(name, a, b, &result));
    assert_int_equal(result, 77);
    assert_string_equal(compartment_trap_word(trap), compartment_trap_word(compartment_trap(probe)));
    check_status(WRONG_STATE, call("add", 1, 1, &result));
    check_ok(compartment_reset(probe, pristine));
    check_ok(call("add", 20, 22, &result));
    assert_int_equal((uint32_t)result, 42);
}

static void a_call_passes_integers_both_ways(void **state)
{
    uint64_t result, five[5] = {0xffffffff, 1ull << 40, 3, 1ull << 50, 5};
    (void)state;
    check_ok(call("add", 2, 3, &result));
    assert_int_equal((uint32_t)result, 5);
    check_ok(call("multiply", 1ull << 33, 3, &result));
    assert_true(result == 3ull << 33);
    check_ok(compartment_call(probe, export_of("five"), five, 5, &result));
    assert_true(result == 0xffffffffull + (1ull << 40) + 3 + (1ull << 50) + 5);
    check_status(NO_ROOM, compartment_call(probe, export_of("five"), five, 6, &result));
}

static void an_unknown_export_is_not_found_and_a_zeroed_one_is_never_called(void **state)
{
    struct compartment_export none = {0};
    uint64_t result;
    (void)state;
    check_status(NOT_FOUND, compartment_find_export(probe_module, "absent", &none));
    check_status(NOT_FOUND, compartment_find_export(probe_module, "ad", &none));
    check_status(NOT_FOUND, compartment_call(probe, none, NULL, 0, &result));
}

static void wasm_traps_are_named_and_kill_only_the_instance(void **state)
{
    (void)state;
    check_trap(COMPARTMENT_DIVISION, "divide", 1, 0);
    check_trap(COMPARTMENT_OVERFLOW, "divide", 0x80000000, 0xffffffff);
    check_trap(COMPARTMENT_UNREACHABLE, "give_up", 0, 0);
    check_trap(COMPARTMENT_CONVERSION, "convert_nan", 0, 0);
    check_trap(COMPARTMENT_INDIRECT, "indirect", 1, 0);
    check_trap(COMPARTMENT_INDIRECT, "indirect", 3, 0);
    check_trap(COMPARTMENT_INDIRECT, "indirect", 0xffffffff, 0);
    check_trap(COMPARTMENT_MEMORY, "set_element", 4, 0);
}

static void accesses_outside_linear_memory_trap_at_every_distance(void **state)
{
    static const uint32_t beyond[] = {4 * 65536, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff};
    uint64_t result;
    (void)state;
    check_ok(call("load", 2 * 65536 - 4, 0, &result));
    for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
        check_trap(COMPARTMENT_MEMORY, "load", beyond[i], 0);
        check_trap(COMPARTMENT_MEMORY, "store", beyond[i], 1);
        check_trap(COMPARTMENT_MEMORY, "load_far", beyond[i], 0);
    }
    check_trap(COMPARTMENT_MEMORY, "load_far", 0, 0);
    uint64_t fill[3] = {2 * 65536 - 1, 1, 2}, copy[3] = {0, 2 * 65536 - 4, 5};
    check_status(DENIED, compartment_call(probe, export_of("copy"), copy, 3, &result));
    check_ok(compartment_reset(probe, pristine));
    copy[2] = 4;
    check_ok(compartment_call(probe, export_of("copy"), copy, 3, &result));
    check_status(DENIED, compartment_call(probe, export_of("fill"), fill, 3, &result));
    assert_int_equal(compartment_trap(probe), COMPARTMENT_MEMORY);
}

static void endless_recursion_ends_at_the_guard_of_its_own_stack(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++)
        check_trap(COMPARTMENT_STACK, "recurse", 0, 0);
}

static void a_host_function_called_from_the_end_of_the_guests_stack_has_the_hosts(void **state)
{
    (void)state;
    check_trap(COMPARTMENT_STACK, "recurse_and_ask", ASK_ADD, 0);
    check_trap(COMPARTMENT_STACK, "recurse_and_ask", ASK_DEEP, 0);
}

static void memory_grows_to_the_policys_cap_and_no_further(void **state)
{
    uint64_t result;
    (void)state;
    check_ok(call("grow", 2, 0, &result));
    assert_int_equal((uint32_t)result, 2);
    check_ok(call("load", 4 * 65536 - 4, 0, &result));
    assert_int_equal((uint32_t)result, 0);
    check_ok(call("store", 4 * 65536 - 4, 9, &result));
    assert_int_equal(compartment_memory_len(probe), 4 * 65536);
    check_ok(call("grow", 1, 0, &result));
    assert_int_equal((uint32_t)result, 0xffffffff);
    check_ok(call("grow", 0xffffffff, 0, &result));
    assert_int_equal((uint32_t)result, 0xffffffff);
    check_ok(compartment_reset(probe, pristine));
    check_ok(call("size", 0, 0, &result));
    assert_int_equal((uint32_t)result, 2);
    check_ok(call("grow", 2, 0, &result));
    check_ok(call("load", 4 * 65536 - 4, 0, &result));
    assert_int_equal((uint32_t)result, 0);
}

static void a_table_grows_to_its_maximum_and_no_further(void **state)
{
    uint64_t result;
    (void)state;
    check_ok(call("grow_table", 4, 0, &result));
    assert_int_equal((uint32_t)result, 4);
    check_ok(call("set_element", 7, 0, &result));
    check_ok(call("indirect", 7, 21, &result));
    assert_int_equal((uint32_t)result, 42);
    check_ok(call("grow_table", 1, 0, &result));
    assert_int_equal((uint32_t)result, 0xffffffff);
}

static void reset_brings_back_memory_globals_and_tables_and_nothing_else_remains(void **state)
{
    uint64_t result;
    uint8_t word[8];
    (void)state;
    check_ok(call("count", 0, 0, &result));
    check_ok(call("count", 0, 0, &result));
    assert_int_equal((uint32_t)result, 9);
    check_ok(call("set_element", 3, 0, &result));
    check_ok(call("store", 4096, 0, &result));
    check_ok(call("store", 100000, 0x5ec7e7, &result));
    check_ok(compartment_reset(probe, pristine));
    check_ok(call("count", 0, 0, &result));
    assert_int_equal((uint32_t)result, 8);
    check_ok(compartment_copy_out(probe, 4096, word, 8));
    assert_memory_equal(word, "pristine", 8);
    check_ok(call("load", 100000, 0, &result));
    assert_int_equal((uint32_t)result, 0);
    check_trap(COMPARTMENT_INDIRECT, "indirect", 3, 0);
}

static void another_compartment_takes_the_image_over_as_its_own(void **state)
{
    struct compartment *other;
    uint64_t result, value = 5, arguments[2] = {ASK_ADD, 1}, indirect[2] = {0, 4};
    (void)state;
    check_ok(call("count", 0, 0, &result));
    check_ok(compartment_instantiate(probe_module, &value, &other));
    check_ok(compartment_reset(other, pristine));
    check_ok(compartment_call(other, export_of("count"), NULL, 0, &result));
    assert_int_equal((uint32_t)result, 8);
    check_ok(compartment_call(other, export_of("ask"), arguments, 2, &result));
    assert_int_equal(result, 7); /* 1 + its own user's 5, and the guest's 1 */
    check_ok(compartment_call(other, export_of("indirect"), indirect, 2, &result));
    assert_int_equal((uint32_t)result, 8);
    uint64_t store[2] = {200, 99};
    check_ok(compartment_call(other, export_of("store"), store, 2, &result));
    check_ok(call("load", 200, 0, &result));
    assert_int_equal((uint32_t)result, 0);
    compartment_free(other);
}

static void bytes_go_in_and_out_within_bounds_only(void **state)
{
    uint8_t out[16] = {0};
    uint64_t result;
    struct bytes view, message = bytes_from("abcdefgh", 8);
    uint32_t end = compartment_memory_len(probe);
    (void)state;
    assert_int_equal(end, 2 * 65536);
    check_ok(compartment_copy_in(probe, 512, message));
    check_ok(call("sum", 512, 8, &result));
    assert_int_equal((uint32_t)result, 804);
    check_ok(compartment_copy_out(probe, 512, out, 8));
    assert_memory_equal(out, "abcdefgh", 8);
    check_ok(compartment_view(probe, 512, 8, &view));
    check_bytes(message, view);
    check_ok(compartment_copy_in(probe, end - 8, message));
    check_status(NO_ROOM, compartment_copy_in(probe, end - 7, message));
    check_status(NO_ROOM, compartment_copy_in(probe, 0xffffffff, message));
    check_status(NO_ROOM, compartment_copy_out(probe, end - 7, out, 8));
    check_status(NO_ROOM, compartment_copy_out(probe, 0, out, (size_t)end + 1));
    check_status(NO_ROOM, compartment_copy_out(probe, 8, out, SIZE_MAX));
    check_status(NO_ROOM, compartment_view(probe, end, 1, &view));
    check_ok(compartment_view(probe, end, 0, &view));
}

static void host_functions_see_the_compartments_user_and_may_call_back(void **state)
{
    uint64_t result;
    (void)state;
    check_ok(call("ask", ASK_ADD, 41, &result));
    assert_int_equal(result, 1042);
    check_ok(call("ask", ASK_NEST, 9, &result));
    assert_int_equal(result, 82);
    check_ok(call("again", 6, 0, &result));
    assert_int_equal((uint32_t)result, 700);
}

static void a_trap_in_a_call_back_ends_the_outer_call_too(void **state)
{
    uint64_t result = 0;
    (void)state;
    check_status(DENIED, call("ask", ASK_NEST_FAULT, 0, &result));
    assert_int_equal(compartment_trap(probe), COMPARTMENT_MEMORY);
    assert_int_equal(user_value, DENIED);
}

static void a_host_function_can_stop_its_guest(void **state)
{
    (void)state;
    check_trap(COMPARTMENT_STOPPED, "ask", ASK_STOP, 0);
}

static void the_budget_stops_guest_code_anywhere(void **state)
{
    uint64_t result;
    (void)state;
    compartment_set_budget(probe, 5);
    check_status(DENIED, call("spin", 0, 0, &result));
    assert_int_equal(compartment_trap(probe), COMPARTMENT_BUDGET);
    check_ok(compartment_reset(probe, pristine));
    check_status(DENIED, call("add", 1, 1, &result)); /* the budget was for all calls together */
    check_ok(compartment_reset(probe, pristine));
    compartment_set_budget(probe, 0);
    check_status(DENIED, call("add", 1, 1, &result));
}

static void a_budget_that_ends_in_a_host_function_lets_it_finish_first(void **state)
{
    uint64_t result;
    (void)state;
    user_value = 0;
    compartment_set_budget(probe, 3);
    check_status(DENIED, call("ask", ASK_BURN, 20, &result));
    assert_int_equal(compartment_trap(probe), COMPARTMENT_BUDGET);
    assert_int_equal(user_value, 1);
}

static void an_idle_program_is_not_woken_by_the_timer(void **state)
{
    uint64_t result;
    struct rusage before, after;
    struct timespec rest = {.tv_nsec = 20000000};
    (void)state;
    check_ok(call("add", 1, 1, &result));
    burn_cpu_ms(5);
    getrusage(RUSAGE_SELF, &before);
    check_ok(nanosleep(&rest, NULL)); /* a signal would end it early with EINTR */
    getrusage(RUSAGE_SELF, &after);
    assert_int_equal(before.ru_nsignals, after.ru_nsignals);
}

/* What a fault outside guest code does to the process, seen from outside. */
static int fate_of(void (*deed)(void))
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        /* Secret memory is shared with the parent after a fork, so the child makes its own compartment. */
        if (load_probe(NULL) != 0)
            _exit(3);
        deed();
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void do_nothing_wrong(void)
{
    uint64_t result;
    if (call("recurse", 0, 0, &result) != DENIED)
        _exit(1);
}

static void write_null_in_a_host_function(void)
{
    uint64_t result;
    (void)call("ask", ASK_NULL_WRITE, 0, &result);
}

static void write_null_after_a_call(void)
{
    uint64_t result;
    if (call("add", 1, 1, &result) == OK)
        *(volatile int *)(uintptr_t)(result - 2) = 1;
}

static void write_a_guest_address_in_a_host_function(void)
{
    uint64_t result;
    (void)call("ask", ASK_GUEST_ADDRESS, 0, &result);
}

static void raise_a_fault_by_hand(void)
{
    raise(SIGSEGV);
}

static void a_fault_of_our_own_ends_the_process(void **state)
{
    (void)state;
    assert_int_equal(fate_of(do_nothing_wrong), 0);
    assert_int_equal(fate_of(write_null_in_a_host_function), SIGILL);
    assert_int_equal(fate_of(write_null_after_a_call), SIGILL);
    assert_int_equal(fate_of(write_a_guest_address_in_a_host_function), SIGILL);
    assert_int_equal(fate_of(raise_a_fault_by_hand), SIGILL);
}

#define ALLOW(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* Everything a compartment does once it is set up, with every other system call deadly. */
static void run_under_the_filter(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(timer_settime),
        ALLOW(rt_sigreturn),
        ALLOW(exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
    struct compartment_export spin = export_of("spin"), recurse = export_of("recurse"), load = export_of("load");
    uint64_t result, far[1] = {0xfffffff0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(2);
    compartment_set_budget(probe, 3);
    if (compartment_call(probe, spin, NULL, 0, &result) != DENIED || compartment_trap(probe) != COMPARTMENT_BUDGET ||
        compartment_reset(probe, pristine) != OK)
        _exit(4);
    compartment_set_budget(probe, 1000);
    if (compartment_call(probe, recurse, NULL, 0, &result) != DENIED || compartment_trap(probe) != COMPARTMENT_STACK ||
        compartment_reset(probe, pristine) != OK)
        _exit(5);
    if (compartment_call(probe, load, far, 1, &result) != DENIED || compartment_reset(probe, pristine) != OK ||
        call("grow", 2, 0, &result) != OK || call("ask", ASK_ADD, 1, &result) != OK)
        _exit(6);
}

static void ask_something_else_under_the_filter(void)
{
    run_under_the_filter();
    (void)getppid();
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

static void running_takes_no_system_call_but_the_timers(void **state)
{
    (void)state;
#if defined(SANITIZED) || defined(__SANITIZE_ADDRESS__)
    print_message("the sanitizer makes system calls of its own; other presets run this\n");
    skip();
#endif
    assert_int_equal(fate_of(run_under_the_filter), 0);
    assert_int_equal(fate_of(ask_something_else_under_the_filter), SIGSYS);
}

static void an_import_that_is_not_granted_is_refused_by_name_and_line(void **state)
{
    struct compartment_module *module = NULL;
    char why[256];
    (void)state;
    check_status(DENIED, load_with("thief", probe_policy, &module, why, sizeof(why)));
    assert_string_equal(why, "module probe: import Z_envZ_steal is not among the functions that the policy grants of "
                             "env, which end at line 10");
    check_status(DENIED, load_with("sender", probe_policy, &module, why, sizeof(why)));
    assert_string_equal(why, "module probe: import Z_netZ_sendZ20to is of a module that the policy does not import, up "
                             "to its last line 10");
    assert_null(module);
}

static void a_grant_that_nothing_answers_is_refused(void **state)
{
    struct compartment_module *module = NULL;
    char why[256], policy[512];
    (void)state;
    snprintf(policy, sizeof(policy), "%s\tsteal\n", probe_policy);
    check_status(NOT_FOUND, load_with("thief", policy, &module, why, sizeof(why)));
    assert_string_equal(
        why, "module probe: Z_envZ_steal is granted at policy line 11 but this program offers no such function");
}

static void more_memory_or_table_than_the_policy_allows_is_refused(void **state)
{
    struct compartment_module *module = NULL;
    struct compartment *compartment = NULL;
    char why[256];
    static const char *const files[] = {"greedy", "wide"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        check_ok(load_with(files[i], probe_policy, &module, why, sizeof(why)));
        check_status(DENIED, compartment_instantiate(module, NULL, &compartment));
        assert_null(compartment);
        compartment_unload(module);
    }
    check_ok(
        load_with("greedy", "Version 1\ncompartment g\nmemory 40\ntable 0\nstack 65536\n", &module, why, sizeof(why)));
    check_ok(compartment_instantiate(module, NULL, &compartment));
    compartment_free(compartment);
    compartment_unload(module);
}

static void only_a_sealed_memfd_is_mapped(void **state)
{
    struct compartment_module *module = NULL;
    char path[512], why[256];
    size_t len;
    struct writer reason = writer_over(why, sizeof(why));
    (void)state;
    snprintf(path, sizeof(path), "%s/probe.so", modules_dir);
    uint8_t *object = guest_file(path, &len);
    int fd = memfd_create("open", MFD_ALLOW_SEALING);
    assert_int_equal(write(fd, object, len), len);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    check_status(DENIED,
                 compartment_load(fd, bytes_from_text(probe_policy), functions, 2, &guest_memory, &module, &reason));
    close(fd);
    fd = open(path, O_RDONLY);
    check_status(DENIED,
                 compartment_load(fd, bytes_from_text(probe_policy), functions, 2, &guest_memory, &module, &reason));
    close(fd);
    free(object);
}

static void every_shorter_object_is_refused(void **state)
{
    struct compartment_policy policy;
    char path[512];
    size_t len, sections;
    (void)state;
    check_ok(compartment_policy_read(bytes_from_text(probe_policy), &policy, NULL));
    snprintf(path, sizeof(path), "%s/probe.so", modules_dir);
    uint8_t *object = guest_file(path, &len);
    check_ok(compartment_check(bytes_from(object, len), &policy, NULL));
    /* Section headers stand last and are never read. */
    memcpy(&sections, object + 40, sizeof(sections));
    size_t end = 0;
    for (size_t cut = 0; cut < len && end == 0; cut++)
        if (compartment_check(bytes_from(object, cut), &policy, NULL) == OK)
            end = cut;
    assert_true(end == 0 || (end > 4096 && end <= sections && sections - end < 4096));
    free(object);
}

static void check_policy(enum status status, const char *text, const char *message)
{
    struct compartment_policy policy = {.memory_pages = 99};
    char why[256];
    struct writer reason = writer_over(why, sizeof(why) - 1);
    check_status(status, compartment_policy_read(bytes_from_text(text), &policy, &reason));
    why[reason.len] = '\0';
    assert_string_equal(why, message);
    if (status != OK)
        assert_int_equal(policy.memory_pages, 99);
}

#define HEAD "Version 1\ncompartment c\nmemory 1\ntable 1\nstack 16384\n"

static void policies_are_read_strictly_and_errors_name_the_line(void **state)
{
    (void)state;
    check_policy(OK, HEAD, "");
    check_policy(OK, HEAD "import m\n\tf\n\tg\nimport n\n\tf", "");
    check_policy(UNSUPPORTED, "", "policy line 1: the first line must be: Version 1");
    check_policy(UNSUPPORTED, "Version 2\n", "policy line 1: the first line must be: Version 1");
    check_policy(TRUNCATED, "Version 1\ncompartment c\nmemory 1\ntable 1\n",
                 "policy line 4: compartment, memory, table and stack must all be given");
    check_policy(MALFORMED, HEAD "memory 2\n", "policy line 6: this directive may stand only once");
    check_policy(MALFORMED, HEAD "compartment d\n", "policy line 6: expected, once: compartment NAME");
    check_policy(MALFORMED, HEAD "\tf\n", "policy line 6: a function name outside an import");
    check_policy(MALFORMED, HEAD "import m\n\tf\n\tf\n", "policy line 8: this function is granted already");
    check_policy(MALFORMED, HEAD "import m\n\ta b\n",
                 "policy line 7: not a function name of at most 63 printable letters");
    check_policy(MALFORMED, HEAD "import m\nmemory 2\n", "policy line 7: only imports may follow the first import");
    check_policy(MALFORMED, HEAD "import\n", "policy line 6: expected a directive, a blank and its value");
    check_policy(UNSUPPORTED, HEAD "export m\n", "policy line 6: no such directive");
    check_policy(NO_ROOM, "Version 1\nmemory 16385\n", "policy line 2: expected a number of at most 16384");
    check_policy(NO_ROOM, "Version 1\ntable 65537\n", "policy line 2: expected a number of at most 65536");
    check_policy(NO_ROOM, "Version 1\nstack 8388609\n", "policy line 2: expected a number of at most 8388608");
    check_policy(NO_ROOM, "Version 1\nmemory 01\n", "policy line 2: expected a number of at most 16384");
    check_policy(NO_ROOM, "Version 1\nmemory -1\n", "policy line 2: expected a number of at most 16384");
    check_policy(NO_ROOM, "Version 1\ncompartment c\nmemory 1\ntable 1\nstack 16383\n",
                 "policy line 5: the stack must have at least 16384 bytes");
    check_policy(NO_ROOM, HEAD "import a\nimport b\nimport c\nimport d\nimport e\nimport f\n",
                 "policy line 11: too many imports");
}

static void policy_limits_hold_at_and_one_past(void **state)
{
    struct compartment_policy policy;
    static char text[COMPARTMENT_POLICY_MAX + 2];
    char name[COMPARTMENT_NAME_MAX + 1];
    (void)state;
    int at = snprintf(text, sizeof(text), HEAD "import m\n");
    for (int i = 0; i < COMPARTMENT_IMPORTS_MAX; i++)
        at += snprintf(text + at, sizeof(text) - (size_t)at, "\tf%d\n", i);
    check_ok(compartment_policy_read(bytes_from_text(text), &policy, NULL));
    assert_int_equal(policy.grants_count, COMPARTMENT_IMPORTS_MAX);
    assert_int_equal(policy.grants[63].line, 70);
    snprintf(text + at, sizeof(text) - (size_t)at, "\tg\n");
    check_status(NO_ROOM, compartment_policy_read(bytes_from_text(text), &policy, NULL));
    memset(name, 'n', sizeof(name));
    snprintf(text, sizeof(text), HEAD "import %.63s\n", name);
    check_ok(compartment_policy_read(bytes_from_text(text), &policy, NULL));
    snprintf(text, sizeof(text), HEAD "import %.64s\n", name);
    check_status(MALFORMED, compartment_policy_read(bytes_from_text(text), &policy, NULL));
    memset(text, '\n', sizeof(text));
    memcpy(text, HEAD, strlen(HEAD));
    check_ok(compartment_policy_read(bytes_from(text, COMPARTMENT_POLICY_MAX), &policy, NULL));
    check_status(NO_ROOM, compartment_policy_read(bytes_from(text, COMPARTMENT_POLICY_MAX + 1), &policy, NULL));
}

/* cmocka puts its own fault handlers in place around every test; ours go on top. */
static void run_probe_test(void **state)
{
    check_ok(compartment_init(&guest_memory));
    ((CMUnitTestFunction)(uintptr_t)*state)(NULL);
}

#define probe_test(name)                                                                                               \
    {                                                                                                                  \
#name, run_probe_test, reset_probe, NULL, (void *)(uintptr_t)name                                              \
    }

int main(int count, char **arguments)
{
    if (count > 1)
        modules_dir = arguments[1];
    const struct CMUnitTest tests[] = {
        probe_test(a_call_passes_integers_both_ways),
        probe_test(an_unknown_export_is_not_found_and_a_zeroed_one_is_never_called),
        probe_test(wasm_traps_are_named_and_kill_only_the_instance),
        probe_test(accesses_outside_linear_memory_trap_at_every_distance),
        probe_test(endless_recursion_ends_at_the_guard_of_its_own_stack),
        probe_test(a_host_function_called_from_the_end_of_the_guests_stack_has_the_hosts),
        probe_test(memory_grows_to_the_policys_cap_and_no_further),
        probe_test(a_table_grows_to_its_maximum_and_no_further),
        probe_test(reset_brings_back_memory_globals_and_tables_and_nothing_else_remains),
        probe_test(another_compartment_takes_the_image_over_as_its_own),
        probe_test(bytes_go_in_and_out_within_bounds_only),
        probe_test(host_functions_see_the_compartments_user_and_may_call_back),
        probe_test(a_trap_in_a_call_back_ends_the_outer_call_too),
        probe_test(a_host_function_can_stop_its_guest),
        probe_test(the_budget_stops_guest_code_anywhere),
        probe_test(a_budget_that_ends_in_a_host_function_lets_it_finish_first),
        probe_test(an_idle_program_is_not_woken_by_the_timer),
        probe_test(a_fault_of_our_own_ends_the_process),
        probe_test(running_takes_no_system_call_but_the_timers),
        probe_test(an_import_that_is_not_granted_is_refused_by_name_and_line),
        probe_test(a_grant_that_nothing_answers_is_refused),
        probe_test(more_memory_or_table_than_the_policy_allows_is_refused),
        probe_test(only_a_sealed_memfd_is_mapped),
        probe_test(every_shorter_object_is_refused),
        probe_test(policies_are_read_strictly_and_errors_name_the_line),
        probe_test(policy_limits_hold_at_and_one_past),
    };
    return cmocka_run_group_tests(tests, load_probe, NULL);
}
