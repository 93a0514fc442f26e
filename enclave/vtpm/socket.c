/* The data socket that was handed over: its bytes into commands, answers into it. Its peer may say anything and read
 * nothing: one command is under way, no more is read than a command may be long, and while an answer stands nothing is
 * read at all. */
#include "vtpm_internal.h"

#include <poll.h>
#include <string.h>

static void hang_up(struct vtpm *vtpm)
{
    if (vtpm->socket.open)
        vtpm->socket_port.close();
    vtpm_socket_done(vtpm);
}

void vtpm_socket_done(struct vtpm *vtpm)
{
    wipe(&vtpm->socket, sizeof vtpm->socket);
}

void vtpm_took_socket(struct vtpm *vtpm)
{
    vtpm_socket_done(vtpm);
    vtpm->socket.open = true;
}

/* ---- Answers ---- */

/* Of `frame`, how much went; the rest waits in `out`, of which it may be a part. */
static void push(struct vtpm *vtpm, struct bytes frame)
{
    struct vtpm_socket *socket = &vtpm->socket;
    size_t sent = 0;
    enum status status = vtpm->socket_port.send(frame, &sent);
    if (status != OK && status != BUSY) {
        hang_up(vtpm);
        return;
    }
    const size_t left = frame.len - sent;
    memmove(socket->out, frame.data + sent, left);
    socket->out_len = (uint16_t)left;
}

void vtpm_socket_answer(struct vtpm *vtpm, struct bytes frame)
{
    if (!vtpm->socket.asked) /* the one that asked is gone */
        return;
    vtpm->socket.asked = false;
    if (frame.len <= sizeof vtpm->socket.out)
        push(vtpm, frame);
    else
        hang_up(vtpm);
}

/* ---- Commands ---- */

static void receive(struct vtpm *vtpm)
{
    struct vtpm_socket *socket = &vtpm->socket;
    size_t len = 0;
    enum status status =
        vtpm->socket_port.receive(socket->in + socket->in_len, sizeof socket->in - socket->in_len, &len);
    if (status == OK)
        socket->in_len = (uint16_t)(socket->in_len + len);
    else if (status != BUSY)
        hang_up(vtpm);
}

/* TRUNCATED: it has not come whole. */
static enum status command_len(const struct vtpm_socket *socket, size_t *len)
{
    return swtpm_tpm_len(bytes_from(socket->in, socket->in_len), len);
}

/* What cannot be a command is answered as such, all of it; what would be too long ends the connection. */
static void next_command(struct vtpm *vtpm)
{
    struct vtpm_socket *socket = &vtpm->socket;
    size_t len = socket->in_len;
    enum status status = command_len(socket, &len);
    if (status == NO_ROOM)
        hang_up(vtpm);
    if (status == TRUNCATED || status == NO_ROOM)
        return;
    socket->asked = true;
    vtpm_handle(vtpm, VTPM_SOCKET, DOOR_VTPM_DATA, bytes_from(socket->in, len));
    if (!socket->open)
        return;
    const size_t left = socket->in_len - len;
    memmove(socket->in, socket->in + len, left);
    wipe(socket->in + left, len);
    socket->in_len = (uint16_t)left;
}

static bool hears(const struct vtpm *vtpm)
{
    return vtpm->socket.open && !vtpm->socket.out_len && !vtpm->socket.asked && vtpm->life == VTPM_SERVING &&
           vtpm->commit == VTPM_AT_REST;
}

/* One command a turn, for others wait too; the next is begun when there is room to answer it. */
short vtpm_serve_socket(struct vtpm *vtpm, bool ready)
{
    struct vtpm_socket *socket = &vtpm->socket;
    size_t len;
    if (ready && socket->open && socket->out_len)
        push(vtpm, bytes_from(socket->out, socket->out_len));
    if (ready && hears(vtpm) && command_len(socket, &len) == TRUNCATED)
        receive(vtpm);
    if (hears(vtpm))
        next_command(vtpm);
    if (socket->open && socket->out_len)
        return POLLOUT;
    return !hears(vtpm) ? 0 : command_len(socket, &len) == TRUNCATED ? POLLIN : POLLOUT;
}
