/* From main() to the loop, and the loop. */
#include "runtime_internal.h"

#include "memory.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WHY_MAX 512
#define WAIT_FIRST_MS 1 /* for room in the ring, doubled up to the last */
#define WAIT_LAST_MS 16

struct runtime runtime;

static int not_started(int code, struct bytes why, enum status status)
{
    if (why.len == 0)
        why = bytes_from_text(status_word(status));
    dprintf(STDERR_FILENO, "error runtime not_started reason=\"%.*s\"\n", (int)why.len, (const char *)why.data);
    return code;
}

static int code_of(enum status status)
{
    return status == NO_ROOM                    ? RUNTIME_EXIT_LIMIT
           : status == INTERNAL || status == IO ? RUNTIME_EXIT_INTERNAL
                                                : RUNTIME_EXIT_IMAGE;
}

/* READY is the monitor's to answer: only then there is an instance, and the host gets the door's other end. */
static enum status get_ready(struct bytes *configuration, struct bytes *workload)
{
    struct bytes answer;
    struct monitor_ready_reply reply;
    TRY(tee_ask(MONITOR_READY, (struct bytes){0}, &answer));
    if (answer.len < sizeof reply)
        return IO;
    memcpy(&reply, answer.data, sizeof reply);
    answer = bytes_slice(answer, sizeof reply, answer.len - sizeof reply);
    if (reply.configuration_len > answer.len || reply.workload_len != answer.len - reply.configuration_len)
        return IO;
    uint8_t *copy = malloc(answer.len + 1); /* the next answer comes where this one stands */
    if (!copy)
        return NO_ROOM;
    memcpy(copy, answer.data, answer.len);
    *configuration = bytes_from(copy, reply.configuration_len);
    *workload = bytes_from(copy + reply.configuration_len, reply.workload_len);
    return OK;
}

static void wake_host(void)
{
    const uint64_t one = 1;
    ssize_t written = write(LAUNCH_FD_DOOR_OUT, &one, sizeof one);
    (void)written; /* a full counter is a signal too */
}

/* For a record that nobody asks about yet the host is not woken: the SYNC behind it wakes it for all there are. */
enum status runtime_send(enum door_operation operation, uint64_t id, const struct bytes *parts, size_t count)
{
    const struct door_header header = {.operation = (uint16_t)operation, .id = id};
    int wait_ms = WAIT_FIRST_MS;
    enum status status;
    bool wake = false;
    while ((status = door_put(&runtime.door, &header, parts, count, &wake)) == BUSY) {
        wake_host();
        struct pollfd monitor = {.fd = LAUNCH_FD_MONITOR}; /* for its hanging up, which needs no asking */
        if (poll(&monitor, 1, wait_ms) > 0)
            return IO;
        wait_ms = wait_ms < WAIT_LAST_MS ? wait_ms * 2 : WAIT_LAST_MS;
    }
    if (status == OK && wake && operation != DOOR_LOG_APPEND)
        wake_host();
    return status;
}

void runtime_audit(const char *sentence)
{
    const struct bytes text = bytes_from_text(sentence);
    enum status status = runtime_send(DOOR_AUDIT, 0, &text, 1);
    (void)status; /* nobody is left to be told */
}

uint64_t runtime_clock_ms(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int stop(int code, const char *sentence)
{
    if (sentence)
        runtime_audit(sentence);
    return code;
}

/* Sleep until the host or the socket has something; or the monitor, which says nothing unasked: its death is ours, too
 * (launcher/main.c). */
static void wait_for_news(bool *monitor_ready)
{
    struct pollfd waited[3] = {
        {.fd = LAUNCH_FD_DOOR_IN, .events = POLLIN}, socket_watched(), {.fd = LAUNCH_FD_MONITOR, .events = POLLIN}};
    uint64_t count;
    const bool sleeps = door_sleep(&runtime.door) && !runtime.socket.rung;
    (void)poll(waited, runtime.advancing ? 3 : 2, sleeps ? -1 : 0);
    runtime.socket.ready = waited[1].revents != 0;
    if (!runtime.socket.ready) /* a command is soon done */
        door_awake(&runtime.door);
    if (waited[0].revents & POLLIN) {
        ssize_t got = read(LAUNCH_FD_DOOR_IN, &count, sizeof count);
        (void)got; /* the ring says what there is */
        runtime.socket.rung = runtime.program->serve_socket;
    }
    *monitor_ready = waited[2].revents != 0;
}

static enum status serve_door(void)
{
    struct door_header header;
    enum status status = OK;
    for (size_t i = 0; i < RUNTIME_BURST && status == OK; i++) {
        status = door_take(&runtime.door, &header, runtime.payload);
        if (status == OK)
            runtime.program->receive(&header, bytes_from(runtime.payload, header.len));
    }
    return status == WRONG_STATE ? OK : status;
}

static void deliver_advance(void)
{
    if (!runtime.has_advanced)
        return;
    const struct monitor_head_reply head = runtime.advanced; /* the program may ask for the next in there */
    runtime.has_advanced = false;
    runtime.program->advanced(runtime.advance_status, &head);
}

static int loop(void)
{
    const char *sentence = NULL;
    bool monitor_ready = false;
    for (;;) {
        /* First, while it is sure to be there: whoever asks the monitor for something else takes it along. */
        if (monitor_ready && tee_take_advance() != OK)
            return stop(RUNTIME_EXIT_DOOR, "the monitor is gone");
        deliver_advance();
        if (serve_door() != OK)
            return stop(RUNTIME_EXIT_DOOR, NULL);
        if (runtime.program->serve_socket && socket_serve() != OK)
            return stop(RUNTIME_EXIT_DOOR, "a socket came under a number that cannot be");
        int code = runtime.program->idle(&sentence);
        if (code)
            return stop(code, sentence);
        monitor_ready = false;
        if (!runtime.has_advanced)
            wait_for_news(&monitor_ready);
    }
}

static int run(void *user)
{
    uint8_t room[WHY_MAX];
    struct writer why = writer_over(room, sizeof room);
    struct bytes configuration, workload;
    const char *what = NULL;
    (void)user;
    enum status status = launch_set_up(&why);
    if (status != OK)
        return not_started(code_of(status), writer_bytes(&why), status);
    status = lock_down(&what);
    if (status != OK)
        return not_started(RUNTIME_EXIT_INTERNAL, bytes_from_text(what), status);
    if (get_ready(&configuration, &workload) != OK)
        return RUNTIME_EXIT_DOOR;
    status = runtime.program->start(configuration, workload, &why);
    if (status == OK)
        return loop();
    put_u8(&why, 0);
    return stop(code_of(status), writer_end(&why) == OK ? (const char *)room : status_word(status));
}

/* Never by exit(): what libraries do at the end is not worth a system call each. */
static int run_and_leave(void *user)
{
    _exit(run(user));
}

int runtime_main(const struct runtime_program *program)
{
    int code = RUNTIME_EXIT_INTERNAL;
    runtime.program = program;
    signal(SIGPIPE, SIG_IGN);
    enum status status = launch_read_parameters(&runtime.parameters);
    if (status != OK)
        return not_started(RUNTIME_EXIT_IMAGE, bytes_from_text("the launch parameters are not to be understood"),
                           status);
    const struct launch_parameters *parameters = &runtime.parameters;
    const struct memory_options memory = {.pool_len = parameters->pool_len,
                                          .secret_len = parameters->no_secret_memory ? 0 : parameters->secret_len};
    status = memory_enter(&memory, run_and_leave, NULL, &code);
    if (status != OK)
        return not_started(RUNTIME_EXIT_LIMIT,
                           bytes_from_text("the memory pool cannot be made as the launcher ordered it "
                                           "(RLIMIT_MEMLOCK, CAP_IPC_LOCK, secretmem.enable)"),
                           status);
    return code;
}
