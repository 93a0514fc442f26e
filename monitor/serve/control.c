/* The control socket: the host end that attached, and callers who ask for the status or for a clean stop. */
#include "serve_internal.h"

#include "node.h"
#include "walls.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 3
#define TEXT_MAX 1024

bool serve_send(int socket, uint16_t operation, enum status status, struct bytes payload, const int *fds, size_t count)
{
    static uint8_t room[MONITOR_MESSAGE_MAX];
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
    } control = {.space = {0}};
    struct writer writer = writer_over(room, sizeof room);
    if (permit_put_reply(&writer, operation, status, payload) != OK)
        return false;
    struct iovec piece = {room, writer.len};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    if (count) {
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(part), fds, count * sizeof(int));
    }
    bool sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)writer.len;
    wipe(room, writer.len);
    return sent;
}

enum status serve_receive(int socket, uint8_t *room, size_t cap, size_t *len)
{
    /* No room for descriptors: whoever sends one has it closed by the kernel. */
    struct iovec piece = {room, cap};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? BUSY : IO;
    if (got == 0 || message.msg_flags & MSG_TRUNC)
        return IO;
    *len = (size_t)got;
    return OK;
}

void serve_accept(struct serve *serve)
{
    int fd = accept4(serve->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    for (size_t i = 0; i < SERVE_CALLERS_MAX; i++)
        if (serve->callers[i].fd < 0) {
            serve->callers[i] = (struct serve_caller){.fd = fd, .session = permit_session_of(PERMIT_CONTROL)};
            return;
        }
    node_log("warning", "monitor", "caller_refused", "reason=\"too many at once\" max=%d", SERVE_CALLERS_MAX);
    close(fd);
}

void serve_drop_caller(struct serve *serve, struct serve_caller *caller)
{
    if (caller->fd < 0)
        return;
    close(caller->fd);
    caller->fd = -1;
    if (serve->host == caller) {
        serve->host = NULL;
        node_log("info", "monitor", "host_gone", "enclave=%d", serve->site.enclave.pid);
        serve_enclave_stop(serve);
    }
}

static enum status put_status(struct serve *serve, struct writer *writer)
{
    struct head head;
    char missing[WALLS_TEXT_MAX];
    heads_get(&serve->heads, serve->configuration.site, &head);
    struct monitor_status status = {
        .enclave_pid = serve->site.running ? (uint32_t)serve->site.enclave.pid : 0,
        .launches = serve->site.launches,
        .secret_bytes = serve->site.running ? serve->site.secret_bytes : 0,
        .unprotected_bytes = serve->site.running ? serve->site.unprotected_bytes : 0,
        .nv_counter = serve->heads.counter,
        .sequence = head.sequence,
        .monitor_measured = serve->monitor_measured,
        .insecure_dev = serve->options->insecure_dev,
    };
    memcpy(status.measurement, serve->image.measurement, sizeof status.measurement);
    memcpy(status.config, serve->configuration.config_id, sizeof status.config);
    walls_list(WALLS_ALL & ~serve_standing_walls(serve), '\n', missing, sizeof missing);
    put_bytes(writer, bytes_from(&status, sizeof status));
    put_text(writer, missing);
    put_text(writer, "\n");
    if (serve->tpm.error[0]) {
        put_text(writer, "tpm: ");
        put_text(writer, serve->tpm.error);
        put_text(writer, "\n");
    }
    return writer_end(writer);
}

static enum status activate(struct serve *serve, struct bytes blob, struct writer *writer)
{
    SECRET secret = {.len = 0};
    struct tpm *tpm;
    TRY(serve_tpm(serve, &tpm));
    TRY(serve_tpm_after(serve, tpm_activate(tpm, blob, &secret)));
    put_bytes(writer, secret_bytes(&secret));
    return writer_end(writer);
}

static enum status attach(struct serve *serve, struct serve_caller *caller)
{
    if (serve->host) {
        /* One host end at a time: the old one must have hung up. This caller may try again. */
        caller->session = permit_session_of(PERMIT_CONTROL);
        return BUSY;
    }
    serve->host = caller;
    serve->site.back_off_ms = 0;
    serve->site.launch_ms = serve_now_ms();
    node_log("info", "monitor", "host_attached", "launches=%u", serve->site.launches);
    return OK;
}

/* The counter moves; what the table then says is what the next start must find. */
static enum status stop(struct serve *serve)
{
    serve_enclave_stop(serve);
    enum status status = heads_move(&serve->heads, serve_now_s());
    serve->stopping = true;
    serve->moved = true;
    if (status != OK)
        node_log("warning", "monitor", "stop", "reason=\"the counter did not move\" status=%s", status_word(status));
    return status;
}

static enum status act(struct serve *serve, struct serve_caller *caller, const struct permit_request *request,
                       struct writer *writer)
{
    switch ((int)request->operation) {
    case MONITOR_ATTACH:
        return attach(serve, caller);
    case MONITOR_STATUS:
        return put_status(serve, writer);
    case MONITOR_ACTIVATE:
        return activate(serve, request->of.blob, writer);
    case MONITOR_STOP:
        return stop(serve);
    default:
        return DENIED;
    }
}

void serve_caller_readable(struct serve *serve, struct serve_caller *caller)
{
    static uint8_t packet[MONITOR_MESSAGE_MAX];
    uint8_t room[sizeof(struct monitor_status) + TEXT_MAX];
    struct writer writer = writer_over(room, sizeof room);
    struct permit_request request;
    size_t len = 0;
    enum status status = serve_receive(caller->fd, packet, sizeof packet, &len);
    if (status == BUSY)
        return;
    if (status != OK) {
        serve_drop_caller(serve, caller);
        return;
    }
    status = permit_check(&caller->session, bytes_from(packet, len), &request);
    bool permitted = status == OK;
    if (permitted)
        status = act(serve, caller, &request, &writer);
    else
        node_log("warning", "monitor", "caller_refused", "operation=%u status=%s", (unsigned)request.operation,
                 status_word(status));
    bool sent = serve_send(caller->fd, (uint16_t)request.operation, status, writer_bytes(&writer), NULL, 0);
    wipe(room, sizeof room);
    /* What is not even a request comes from something that is not a caller. */
    if (!sent || (!permitted && status != DENIED))
        serve_drop_caller(serve, caller);
}
