/* An enclave on the real runtime that does what it is told, so that a test can see what happens to one that misbehaves.
 * Its program: the first word of a request. See runtime_check.c. With TAKES_SOCKET it takes one from the host, and
 * sends back what comes from it. */
#include "memory.h"
#include "runtime.h"

#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MARK_LEN 32
#define MARK_KEY 0x5a

static struct compartment *guest;
static struct compartment_module *module;
static bool break_import;
static int code;
static uint8_t in_data[MARK_LEN] = {1};
static uint64_t waiting; /* channel of an advance */

static uint64_t ask(struct compartment *compartment, uint32_t number, uint64_t value)
{
    (void)compartment;
    if (break_import)
        *(volatile char *)NULL = 1;
    return number + value;
}

static uint32_t again(struct compartment *compartment, uint32_t number)
{
    (void)compartment;
    return number;
}

static void reply(uint64_t channel, const void *data, size_t len)
{
    const struct bytes part = bytes_from(data, len);
    if (runtime_send(DOOR_REPLY, channel, &part, 1) != OK)
        code = RUNTIME_EXIT_DOOR;
}

static void reply_text(uint64_t channel, const char *text)
{
    reply(channel, text, strlen(text));
}

static void reply_status(uint64_t channel, enum status status, const void *data, size_t len)
{
    const uint8_t first = (uint8_t)status;
    const struct bytes both[] = {bytes_from(&first, 1), bytes_from(data, len)};
    if (runtime_send(DOOR_REPLY, channel, both, 2) != OK)
        code = RUNTIME_EXIT_DOOR;
}

static const char *call(const char *name, uint64_t first, uint64_t second)
{
    const uint64_t arguments[] = {first, second};
    struct compartment_export found;
    uint64_t result;
    if (compartment_find_export(module, name, &found) != OK)
        return "no such export";
    compartment_set_budget(guest, 20);
    enum status status = compartment_call(guest, found, arguments, 2, &result);
    return status == OK ? "ran" : compartment_trap_word(compartment_trap(guest));
}

/* The mark comes masked and is unmasked here only: found in memory, it was left there by us. It stays in data, on the
 * heap, on the stack and in the guest's memory. */
static void plant(uint64_t channel, const uint8_t *masked)
{
    volatile uint8_t on_stack[MARK_LEN];
    uint8_t *on_heap = malloc(MARK_LEN);
    for (size_t i = 0; i < MARK_LEN; i++)
        on_stack[i] = on_heap[i] = in_data[i] = masked[i] ^ MARK_KEY;
    if (compartment_copy_in(guest, 65536, BYTES_OF(in_data)) == OK)
        reply_text(channel, "planted");
    __asm__ volatile("" : : "r"(on_stack), "r"(on_heap) : "memory");
}

static bool starts(struct bytes payload, const char *word)
{
    return payload.len >= strlen(word) && memcmp(payload.data, word, strlen(word)) == 0;
}

static void use_tee(uint64_t channel, struct bytes word)
{
    struct monitor_report report = {.nonce_len = 8, .user_data = "user data"};
    struct monitor_seal seal = {.label = "label", .policy = MONITOR_SEAL_EXACT};
    struct monitor_advance advance = {.sequence = 5};
    struct monitor_seal_reply key = {0};
    struct monitor_head_reply head = {0};
    static uint8_t room[MONITOR_MESSAGE_MAX];
    struct writer evidence = writer_over(room, sizeof room);
    enum status status;
    if (starts(word, "report")) {
        status = tee_report(&report, &evidence);
        reply_status(channel, status, room, evidence.len);
    } else if (starts(word, "seal")) {
        status = tee_seal_key(&seal, &key);
        reply_status(channel, status, key.key, sizeof key.key);
    } else if (starts(word, "head")) {
        status = tee_head(&head);
        reply_status(channel, status, &head, sizeof head);
    } else {
        waiting = channel;
        status = tee_advance(&advance, (struct bytes){0});
        if (status != OK)
            reply_status(channel, status, NULL, 0);
    }
}

/* What a socket is used with, with one argument that is another; 0 is the socket's number. */
static bool misuse_a_socket(struct bytes word)
{
    const int never = MSG_DONTWAIT | MSG_NOSIGNAL;
    struct msghdr message = {0};
    struct sockaddr to = {.sa_family = AF_UNIX};
    if (starts(word, "recvmsg of another"))
        syscall(SYS_recvmsg, 0, &message, MSG_DONTWAIT);
    else if (starts(word, "recvmsg that waits"))
        syscall(SYS_recvmsg, LAUNCH_FD_SOCKETS, &message, 0);
    else if (starts(word, "recvfrom another"))
        syscall(SYS_recvfrom, LAUNCH_FD_MONITOR, in_data, 8, MSG_DONTWAIT, NULL, NULL);
    else if (starts(word, "recvfrom that waits"))
        syscall(SYS_recvfrom, 0, in_data, 8, 0, NULL, NULL);
    else if (starts(word, "sendto another"))
        syscall(SYS_sendto, LAUNCH_FD_SOCKETS, in_data, 8, never, NULL, 0);
    else if (starts(word, "sendto that waits"))
        syscall(SYS_sendto, 0, in_data, 8, MSG_NOSIGNAL, NULL, 0);
    else if (starts(word, "sendto by address"))
        syscall(SYS_sendto, 0, in_data, 8, never, &to, sizeof to);
    else if (starts(word, "sendmsg"))
        syscall(SYS_sendmsg, 0, &message, never);
    else if (starts(word, "socket read"))
        syscall(SYS_read, 0, in_data, 8);
    else if (starts(word, "socket write"))
        syscall(SYS_write, 0, in_data, 8);
    else if (starts(word, "close another"))
        syscall(SYS_close, LAUNCH_FD_MONITOR);
    else if (starts(word, "close"))
        syscall(SYS_close, 0);
    else
        return false;
    return true;
}

static void break_a_wall(struct bytes word)
{
    if (misuse_a_socket(word))
        return;
    if (starts(word, "open"))
        syscall(SYS_openat, -100, "/", 0, 0);
    else if (starts(word, "exec"))
        syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    else if (starts(word, "protect"))
        syscall(SYS_mprotect, (uintptr_t)in_data & ~4095ul, 4096, PROT_READ | PROT_EXEC);
    else if (starts(word, "fork"))
        syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    else if (starts(word, "socket"))
        syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    else if (starts(word, "ptrace"))
        syscall(SYS_ptrace, 0, 0, 0, 0);
    else if (starts(word, "read"))
        syscall(SYS_read, LAUNCH_FD_DOOR_OUT, in_data, 8);
    else if (starts(word, "write"))
        syscall(SYS_write, LAUNCH_FD_DOOR_IN, in_data, 8);
    else if (starts(word, "futex"))
        syscall(SYS_futex, in_data, FUTEX_WAIT_PRIVATE, 0, NULL);
#if defined(__x86_64__)
    else if (starts(word, "x32"))
        syscall(0x40000000 | SYS_getpid);
#endif
}

static void fail_ourselves(struct bytes word)
{
    if (starts(word, "import")) {
        break_import = true;
        call("ask", 1, 2);
    } else if (starts(word, "after")) {
        call("add", 1, 2);
        *(volatile char *)NULL = 1;
    } else if (starts(word, "stack")) {
        volatile uint8_t *at = __builtin_frame_address(0);
        for (;; at -= 1024)
            *at = 1;
    } else {
        *(volatile char *)NULL = 1;
    }
}

static void flood(enum door_operation operation, uint64_t channel, size_t times)
{
    static uint8_t much[100000];
    const struct bytes part = BYTES_OF(much);
    for (size_t i = 0; i < times && code == 0; i++)
        if (runtime_send(operation, channel, &part, 1) != OK)
            code = RUNTIME_EXIT_DOOR;
}

static void receive(const struct door_header *header, struct bytes payload)
{
    struct bytes word = bytes_slice(payload, 5, payload.len > 5 ? payload.len - 5 : 0);
    if (header->operation != DOOR_REQUEST)
        return;
    if (starts(payload, "echo "))
        reply(header->id, payload.data, payload.len);
    else if (starts(payload, "tee: "))
        use_tee(header->id, word);
    else if (starts(payload, "wall "))
        break_a_wall(word);
    else if (starts(payload, "fail "))
        fail_ourselves(word);
    else if (starts(payload, "call recurse"))
        reply_text(header->id, call("recurse", 0, 0));
    else if (starts(payload, "call spin"))
        reply_text(header->id, call("spin", 0, 0));
    else if (starts(payload, "call far"))
        reply_text(header->id, call("load_far", 0x80000000u, 0));
    else if (starts(payload, "call add"))
        reply_text(header->id, call("add", 1, 2));
    else if (starts(payload, "mark ") && word.len == MARK_LEN)
        plant(header->id, word.data);
    else if (starts(payload, "many "))
        flood(DOOR_NOTIFY, header->id, 40);
    else if (starts(payload, "keep 1"))
        flood(DOOR_LOG_APPEND, header->id, 1);
    else if (starts(payload, "keep "))
        flood(DOOR_LOG_APPEND, header->id, 40);
    else if (starts(payload, "exit "))
        code = 42;
    if (starts(payload, "wake "))
        syscall(SYS_futex, in_data, FUTEX_WAKE_PRIVATE, 1);
    if (starts(payload, "wall ") || starts(payload, "wake "))
        reply_text(header->id, "the wall fell");
}

static void advanced(enum status status, const struct monitor_head_reply *head)
{
    reply_status(waiting, status, head, sizeof *head);
}

static enum status set_up(const struct runtime_launch *launch, struct writer *why)
{
    if (launch->modules_count != 1) {
        put_text(why, "launched with something else");
        return MALFORMED;
    }
    module = launch->modules[0];
    return compartment_instantiate(module, NULL, &guest);
}

static enum status start(struct bytes configuration, struct bytes workload, struct writer *why)
{
    if (!bytes_equal(configuration, bytes_from_text("abc")) || !bytes_equal(workload, bytes_from_text("de"))) {
        put_text(why, "started as something else");
        return MALFORMED;
    }
    const struct memory_account account = memory_account();
    const struct bytes part = bytes_from(&account, sizeof account);
    return runtime_send(DOOR_AUDIT, 7, &part, 1);
}

static int idle(const char **sentence)
{
    *sentence = "told to";
    return code;
}

#ifdef TAKES_SOCKET
static void took_socket(void)
{
    runtime_audit("took");
}

static short serve_socket(bool ready)
{
    uint8_t room[64];
    size_t len = 0, sent = 0;
    enum status status = ready ? runtime_socket_receive(room, sizeof room, &len) : BUSY;
    if (status == OK)
        status = runtime_socket_send(bytes_from(room, len), &sent);
    if (status != OK && status != BUSY)
        runtime_socket_close();
    return POLLIN;
}
#endif

int main(void)
{
    static const struct compartment_host_function functions[] = {{"env", "ask", (void (*)(void))ask},
                                                                 {"env", "again", (void (*)(void))again}};
    const struct runtime_program program = {.functions = functions,
                                            .functions_count = 2,
                                            .set_up = set_up,
                                            .start = start,
                                            .receive = receive,
                                            .advanced = advanced,
#ifdef TAKES_SOCKET
                                            .took_socket = took_socket,
                                            .serve_socket = serve_socket,
#endif
                                            .idle = idle};
    return runtime_main(&program);
}
