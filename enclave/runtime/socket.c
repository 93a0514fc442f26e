/* A socket that the host hands over: one at a time, always under the same number, which is all the filter lets through.
 * What the host sends may be no socket at all, or one of any kind: every call on it is one that does not wait, and its
 * failure is the socket's end. */
#include "runtime_internal.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct pollfd socket_watched(void)
{
    return (struct pollfd){.fd = runtime.socket.open && runtime.socket.events ? SOCKET_FD : -1,
                           .events = runtime.socket.events};
}

void runtime_socket_close(void)
{
    if (!runtime.socket.open)
        return;
    runtime.socket.open = false;
    close(SOCKET_FD);
    enum status status = runtime_send(DOOR_LEFT, runtime.socket.id, NULL, 0);
    (void)status; /* without a host nobody needs to know */
}

/* Room for one descriptor and no more: the kernel closes what does not fit. The former's number is free by then. */
static enum status take(void)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } room = {.space = {0}};
    struct door_socket socket;
    struct iovec piece = {&socket, sizeof socket};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room.space, .msg_controllen = CMSG_LEN(sizeof(int))};
    int fd = -1;
    runtime_socket_close();
    ssize_t got = recvmsg(LAUNCH_FD_SOCKETS, &message, MSG_DONTWAIT);
    runtime.socket.rung = got > 0; /* there may be another; 0: nobody is left to hand one over */
    const struct cmsghdr *part = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (part && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS &&
        part->cmsg_len == CMSG_LEN(sizeof fd))
        memcpy(&fd, CMSG_DATA(part), sizeof fd);
    if (fd < 0)
        return OK;
    if (fd != SOCKET_FD)
        return IO;
    if (got != (ssize_t)sizeof socket) {
        close(SOCKET_FD);
        return OK;
    }
    runtime.socket.open = true;
    runtime.socket.ready = true;
    runtime.socket.id = socket.id;
    runtime.program->took_socket();
    return OK;
}

static bool comes(void)
{
    struct pollfd sockets = {.fd = LAUNCH_FD_SOCKETS, .events = POLLIN};
    return poll(&sockets, 1, 0) > 0;
}

enum status socket_serve(void)
{
    if (runtime.socket.rung) {
        runtime.socket.rung = false;
        if (comes())
            TRY(take());
    }
    if (runtime.socket.open)
        runtime.socket.events = runtime.program->serve_socket(runtime.socket.ready);
    runtime.socket.ready = false;
    return OK;
}

enum status runtime_socket_receive(uint8_t *room, size_t cap, size_t *len)
{
    if (!runtime.socket.open)
        return NOT_FOUND;
    ssize_t got = recv(SOCKET_FD, room, cap, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return BUSY;
    if (got <= 0)
        return NOT_FOUND;
    *len = (size_t)got;
    return OK;
}

enum status runtime_socket_send(struct bytes data, size_t *sent)
{
    if (!runtime.socket.open)
        return NOT_FOUND;
    ssize_t written = send(SOCKET_FD, data.data, data.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (written < 0 && (errno == EAGAIN || errno == EINTR))
        return BUSY;
    if (written < 0)
        return NOT_FOUND;
    *sent = (size_t)written;
    return OK;
}
