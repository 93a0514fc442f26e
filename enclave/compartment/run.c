/* Crossing into a guest and out again, by return, trap, fault or budget. One thread, one crossing at a time.
 *
 * Entering saves the callee-saved registers on the host's stack and takes the compartment's; every way out ends at
 * compartment_leave, which takes the host's stack back. A signal handler that stops a guest does not jump: it sends the
 * interrupted context there and returns, so no signal mask has to be saved on entry. Calls out go through numbered
 * gates, which put the host's stack back and clear in_guest, so that whatever host code does wrong is never taken for a
 * guest's fault. */
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "compartment_internal.h"

#define TICK_NS 1000000
#define SIGNAL_STACK_LEN 65536u

HIDDEN struct crossing compartment_crossing;
static int budget_timer;  /* by system call: the C library's timers bring its threads along */
static pid_t timer_owner; /* timers do not survive a fork */

_Static_assert(offsetof(struct crossing, guest_sp) == 8 && offsetof(struct crossing, in_guest) == 16 &&
                   offsetof(struct crossing, pending) == 20 && offsetof(struct crossing, gates) == 24,
               "the assembly below knows these");

/* (code, six integer arguments, top of the guest's stack) → the guest's integer result */
HIDDEN uint64_t compartment_enter(void (*code)(void), const uint64_t *arguments, void *stack);
HIDDEN void compartment_leave(void);

#if defined(__x86_64__)
__asm__(".text\n"
        ".globl compartment_enter\n.hidden compartment_enter\n.type compartment_enter,@function\n"
        "compartment_enter:\n"
        "  push %rbp\n  push %rbx\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
        "  mov %rdi, %rax\n  mov %rsi, %r11\n  mov %rdx, %rbx\n"
        "  lea compartment_crossing(%rip), %r10\n"
        "  mov %rsp, (%r10)\n"
        "  movl $1, 16(%r10)\n"
        "  mov %rbx, %rsp\n"
        "  mov (%r11), %rdi\n  mov 8(%r11), %rsi\n  mov 16(%r11), %rdx\n"
        "  mov 24(%r11), %rcx\n  mov 32(%r11), %r8\n  mov 40(%r11), %r9\n"
        "  call *%rax\n"
        ".globl compartment_leave\n.hidden compartment_leave\n.type compartment_leave,@function\n"
        "compartment_leave:\n"
        "  lea compartment_crossing(%rip), %r10\n"
        "  movl $0, 16(%r10)\n"
        "  mov (%r10), %rsp\n"
        "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbx\n  pop %rbp\n"
        "  ret\n"
        "compartment_gate:\n"
        "  lea compartment_crossing(%rip), %r10\n"
        "  movl $0, 16(%r10)\n"
        "  mov %rsp, %r11\n  mov %r11, 8(%r10)\n"
        "  mov (%r10), %rsp\n"
        "  push %r11\n"
        "  mov 24(%r10), %r11\n"
        "  call *(%r11,%rax,8)\n"
        "  lea compartment_crossing(%rip), %r10\n"
        "  pop %r11\n"
        "  mov %rsp, (%r10)\n"
        "  mov %r11, %rsp\n"
        "  movl $1, 16(%r10)\n"
        "  cmpl $0, 20(%r10)\n"
        "  jne compartment_leave\n"
        "  ret\n"
        ".balign 16\n.globl compartment_gates\n.hidden compartment_gates\ncompartment_gates:\n"
        ".set gate, 0\n.rept 64\n  movl $gate, %eax\n  jmp compartment_gate\n  .balign 16\n.set gate, gate+1\n.endr\n"
        ".previous\n");
#elif defined(__aarch64__)
__asm__(".text\n"
        ".globl compartment_enter\n.hidden compartment_enter\n.type compartment_enter,%function\n"
        "compartment_enter:\n"
        "  stp x29, x30, [sp, #-160]!\n  stp x19, x20, [sp, #16]\n  stp x21, x22, [sp, #32]\n"
        "  stp x23, x24, [sp, #48]\n  stp x25, x26, [sp, #64]\n  stp x27, x28, [sp, #80]\n"
        "  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n  stp d12, d13, [sp, #128]\n  stp d14, d15, [sp, #144]\n"
        "  mov x9, x0\n  mov x10, x1\n  mov x11, x2\n"
        "  adrp x12, compartment_crossing\n  add x12, x12, :lo12:compartment_crossing\n"
        "  mov x13, sp\n  str x13, [x12]\n"
        "  mov w13, #1\n  str w13, [x12, #16]\n"
        "  mov sp, x11\n"
        "  ldp x0, x1, [x10]\n  ldp x2, x3, [x10, #16]\n  ldp x4, x5, [x10, #32]\n"
        "  blr x9\n"
        ".globl compartment_leave\n.hidden compartment_leave\n.type compartment_leave,%function\n"
        "compartment_leave:\n"
        "  adrp x12, compartment_crossing\n  add x12, x12, :lo12:compartment_crossing\n"
        "  str wzr, [x12, #16]\n"
        "  ldr x13, [x12]\n  mov sp, x13\n"
        "  ldp d14, d15, [sp, #144]\n  ldp d12, d13, [sp, #128]\n  ldp d10, d11, [sp, #112]\n  ldp d8, d9, [sp, #96]\n"
        "  ldp x27, x28, [sp, #80]\n  ldp x25, x26, [sp, #64]\n  ldp x23, x24, [sp, #48]\n"
        "  ldp x21, x22, [sp, #32]\n  ldp x19, x20, [sp, #16]\n  ldp x29, x30, [sp], #160\n"
        "  ret\n"
        "compartment_gate:\n"
        "  adrp x12, compartment_crossing\n  add x12, x12, :lo12:compartment_crossing\n"
        "  str wzr, [x12, #16]\n"
        "  mov x13, sp\n  str x13, [x12, #8]\n"
        "  ldr x14, [x12]\n  mov sp, x14\n"
        "  stp x13, x30, [sp, #-16]!\n"
        "  ldr x14, [x12, #24]\n  ldr x14, [x14, x16, lsl #3]\n"
        "  blr x14\n"
        "  adrp x12, compartment_crossing\n  add x12, x12, :lo12:compartment_crossing\n"
        "  ldp x13, x30, [sp], #16\n"
        "  mov x14, sp\n  str x14, [x12]\n"
        "  mov sp, x13\n"
        "  mov w14, #1\n  str w14, [x12, #16]\n"
        "  ldr w14, [x12, #20]\n"
        "  cbnz w14, compartment_leave\n"
        "  ret\n"
        ".balign 16\n.globl compartment_gates\n.hidden compartment_gates\ncompartment_gates:\n"
        ".set gate, 0\n.rept 64\n  mov w16, #gate\n  b compartment_gate\n  .balign 16\n.set gate, gate+1\n.endr\n"
        ".previous\n");
#endif

const char *compartment_trap_word(enum compartment_trap trap)
{
    static const char *const words[] = {
        [COMPARTMENT_RAN] = "ran",
        [COMPARTMENT_MEMORY] = "memory access out of bounds",
        [COMPARTMENT_STACK] = "stack exhausted",
        [COMPARTMENT_BUDGET] = "processor budget exhausted",
        [COMPARTMENT_UNREACHABLE] = "gave up",
        [COMPARTMENT_DIVISION] = "division by zero",
        [COMPARTMENT_OVERFLOW] = "integer overflow",
        [COMPARTMENT_CONVERSION] = "conversion of not-a-number",
        [COMPARTMENT_INDIRECT] = "bad indirect call",
        [COMPARTMENT_STOPPED] = "stopped by its host",
        [COMPARTMENT_INSTANTIATE] = "needs more memory or table than its policy allows",
    };
    return (size_t)trap < sizeof(words) / sizeof(words[0]) ? words[trap] : "unknown";
}

GUEST_SIDE void leave_guest(enum compartment_trap trap)
{
    compartment_crossing.running->trap = trap;
    compartment_leave();
}

static void send_to_leave(void *context)
{
    ucontext_t *interrupted = context;
#if defined(__x86_64__)
    interrupted->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)compartment_leave;
#else
    interrupted->uc_mcontext.pc = (uintptr_t)compartment_leave;
#endif
}

/* Only a fault that the kernel reports, of guest code, at an address that only this guest can mean, is the guest's. All
 * else is a bug of ours or worse: the process ends here, without a system call that a filter could turn into something
 * else. Division traps are checked in the guest's code, so SIGFPE keeps its deadly default. */
static void on_fault(int number, siginfo_t *info, void *context)
{
    struct compartment *running = compartment_crossing.running;
    uintptr_t address = (uintptr_t)info->si_addr;
    (void)number;
    if (compartment_crossing.in_guest == 0 || running == NULL || info->si_code <= 0)
        __builtin_trap();
    if (address - (uintptr_t)running->linear < LINEAR_WINDOW)
        running->trap = COMPARTMENT_MEMORY;
    else if (address - (uintptr_t)running->guard < STACK_GUARD)
        running->trap = COMPARTMENT_STACK;
    else
        __builtin_trap();
    send_to_leave(context);
}

static void set_timer(bool armed)
{
    struct itimerspec every = {0};
    if (armed)
        every.it_value.tv_nsec = every.it_interval.tv_nsec = TICK_NS;
    if (syscall(SYS_timer_settime, budget_timer, 0, &every, NULL) != 0)
        __builtin_trap(); /* without the timer no guest could be stopped */
    compartment_crossing.armed = armed ? 1 : 0;
}

/* One tick per delivery, whatever time passed: a thread that waits for its processor gets at most one for the wait.
 * With no guest in sight the timer stops, so an idle enclave is never woken. */
static void on_tick(int number, siginfo_t *info, void *context)
{
    struct compartment *running = compartment_crossing.running;
    (void)number;
    (void)info;
    uint64_t ticks = compartment_crossing.ticks + 1;
    compartment_crossing.ticks = ticks;
    if (running == NULL) {
        set_timer(false);
    } else if (ticks >= running->deadline) {
        if (running->trap == COMPARTMENT_RAN)
            running->trap = COMPARTMENT_BUDGET;
        compartment_crossing.pending = 1;
        if (compartment_crossing.in_guest != 0)
            send_to_leave(context);
    }
}

static enum status take_signal_stack(const struct compartment_memory *memory)
{
    stack_t stack;
    void *window;
    if (sigaltstack(NULL, &stack) != 0)
        return IO;
    if ((stack.ss_flags & SS_DISABLE) == 0)
        return OK;
    TRY(memory->reserve(memory->user, PAGE + SIGNAL_STACK_LEN, &window));
    TRY(memory->back(memory->user, (uint8_t *)window + PAGE, SIGNAL_STACK_LEN));
    stack = (stack_t){.ss_sp = (uint8_t *)window + PAGE, .ss_size = SIGNAL_STACK_LEN};
    return sigaltstack(&stack, NULL) == 0 ? OK : IO;
}

enum status compartment_init(const struct compartment_memory *memory)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
    TRY(take_signal_stack(memory));
    sigfillset(&action.sa_mask);
    action.sa_sigaction = on_fault;
    if (sigaction(SIGSEGV, &action, NULL) != 0 || sigaction(SIGBUS, &action, NULL) != 0)
        return IO;
    action.sa_sigaction = on_tick;
    if (sigaction(SIGALRM, &action, NULL) != 0)
        return IO;
    if (timer_owner == getpid())
        return OK;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &budget_timer) != 0)
        return IO;
    timer_owner = getpid();
    set_timer(false);
    return OK;
}

void compartment_set_budget(struct compartment *compartment, uint32_t budget_ms)
{
    /* The first tick may come at once, so one more is granted; 0 means that nothing may run. */
    compartment->deadline = budget_ms == 0 ? 0 : compartment_crossing.ticks + budget_ms + 1;
}

static inline enum status cross(struct compartment *compartment, void (*code)(void), const uint64_t arguments[6],
                                uint64_t *result)
{
    struct crossing *crossing = &compartment_crossing;
    struct compartment *caller = crossing->running;
    void *host_sp = crossing->host_sp, *guest_sp = crossing->guest_sp;
    void (**gates)(void) = crossing->gates;
    uint32_t pending = crossing->pending;
    bool nested = compartment->running;
    if (compartment->trap != COMPARTMENT_RAN || (nested && caller != compartment))
        return WRONG_STATE;
    if (crossing->ticks >= compartment->deadline) {
        compartment->trap = COMPARTMENT_BUDGET;
        crossing->pending = nested ? 1 : pending;
        return DENIED;
    }
    void *stack = nested ? (void *)((uintptr_t)guest_sp & ~(uintptr_t)15) : compartment->stack_top;
    crossing->gates = compartment->module->gates;
    crossing->pending = 0;
    crossing->running = compartment;
    compartment->running = true;
    if (crossing->armed == 0)
        set_timer(true);
    uint64_t value = compartment_enter(code, arguments, stack);
    compartment->running = nested;
    crossing->running = caller;
    crossing->host_sp = host_sp;
    crossing->guest_sp = guest_sp;
    crossing->gates = gates;
    crossing->pending = pending;
    if (compartment->trap != COMPARTMENT_RAN) {
        crossing->pending = nested ? 1 : pending;
        return DENIED;
    }
    *result = value;
    return OK;
}

enum status run_guest(struct compartment *compartment, void (*code)(void), const uint64_t arguments[6],
                      uint64_t *result)
{
    return cross(compartment, code, arguments, result);
}

enum status compartment_call(struct compartment *compartment, struct compartment_export function,
                             const uint64_t *arguments, size_t count, uint64_t *result)
{
    uint64_t all[6]; /* what is not set is not looked at */
    if (function.code == NULL)
        return NOT_FOUND;
    if (count > COMPARTMENT_ARGUMENTS_MAX)
        return NO_ROOM;
    all[0] = (uint64_t)(uintptr_t)compartment->instance;
    for (size_t i = 0; i < count; i++)
        all[1 + i] = arguments[i];
    return cross(compartment, function.code, all, result);
}

enum compartment_trap compartment_trap(const struct compartment *compartment)
{
    return compartment->trap;
}

void compartment_stop(struct compartment *compartment)
{
    if (compartment->trap == COMPARTMENT_RAN)
        compartment->trap = COMPARTMENT_STOPPED;
    if (compartment_crossing.running == compartment)
        compartment_crossing.pending = 1;
}
