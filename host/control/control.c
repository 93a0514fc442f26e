/* One connection a question: the monitor takes callers by the handful. */
#include "control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static enum status dial(const char *path, int timeout_ms, int *fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    size_t len = strlen(path);
    if (len >= sizeof address.sun_path)
        return NO_ROOM;
    memcpy(address.sun_path, path, len);
    int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (made < 0)
        return IO;
    if (setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
        setsockopt(made, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
        connect(made, (const struct sockaddr *)&address, sizeof address) == 0) {
        *fd = made;
        return OK;
    }
    enum status status = errno == ENOENT || errno == ECONNREFUSED ? NOT_FOUND : IO;
    close(made);
    return status;
}

static enum status check_reply(struct bytes packet, uint16_t operation, struct bytes *payload)
{
    struct monitor_header header;
    if (packet.len < sizeof header)
        return MALFORMED;
    memcpy(&header, packet.data, sizeof header);
    if (header.version != MONITOR_VERSION || header.operation != operation ||
        header.len != packet.len - sizeof header || header.status > INTERNAL)
        return MALFORMED;
    *payload = bytes_slice(packet, sizeof header, header.len);
    return (enum status)header.status;
}

/* The reply's payload, in `room`. */
static enum status ask(int fd, uint16_t operation, struct bytes question, struct writer room, struct bytes *payload)
{
    const struct monitor_header header = {
        .version = MONITOR_VERSION, .operation = operation, .len = (uint32_t)question.len};
    uint8_t packet[MONITOR_MESSAGE_MAX];
    struct writer writer = writer_over(packet, sizeof packet);
    put_bytes(&writer, bytes_from(&header, sizeof header));
    put_bytes(&writer, question);
    TRY(writer_end(&writer));
    if (send(fd, packet, writer.len, MSG_NOSIGNAL) != (ssize_t)writer.len)
        return IO;
    ssize_t got = recv(fd, room.data, room.cap, MSG_TRUNC);
    if (got <= 0)
        return IO;
    if ((size_t)got > room.cap)
        return MALFORMED;
    return check_reply(bytes_from(room.data, (size_t)got), operation, payload);
}

static enum status read_status(struct bytes payload, struct control_status *status)
{
    struct control_status made = {0};
    struct reader reader = reader_over(payload);
    struct bytes fixed = take_bytes(&reader, sizeof made.status), text = take_rest(&reader);
    if (reader.status != OK || text.len >= sizeof made.text)
        return MALFORMED;
    memcpy(&made.status, fixed.data, sizeof made.status);
    memcpy(made.text, text.len ? text.data : (const uint8_t *)"", text.len);
    *status = made;
    return OK;
}

static enum status ask_status(const char *path, int timeout_ms, struct bytes name, struct control_status *status)
{
    uint8_t room[sizeof(struct monitor_header) + sizeof(struct monitor_status) + CONTROL_TEXT_MAX];
    struct ucred peer = {0};
    socklen_t len = sizeof peer;
    struct bytes payload;
    int fd = -1;
    TRY(dial(path, timeout_ms, &fd));
    enum status result = ask(fd, MONITOR_STATUS, name, writer_over(room, sizeof room), &payload);
    if (result == OK)
        result = read_status(payload, status);
    if (result == OK && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
        status->monitor = peer.pid;
    close(fd);
    return result;
}

enum status control_status(const char *path, int timeout_ms, struct control_status *status)
{
    return ask_status(path, timeout_ms, (struct bytes){0}, status);
}

enum status control_status_of(const char *path, int timeout_ms, const char *name, struct control_status *status)
{
    struct monitor_instance instance = {{0}};
    const size_t len = strlen(name);
    if (len == 0 || len >= sizeof instance.name)
        return NOT_FOUND;
    memcpy(instance.name, name, len);
    return ask_status(path, timeout_ms, bytes_from(&instance, sizeof instance), status);
}

enum status control_activate(const char *path, int timeout_ms, struct bytes blob, struct secret *secret)
{
    uint8_t room[sizeof(struct monitor_header) + SECRET_CAP];
    struct bytes payload;
    int fd = -1;
    TRY(dial(path, timeout_ms, &fd));
    enum status result = ask(fd, MONITOR_ACTIVATE, blob, writer_over(room, sizeof room), &payload);
    if (result == OK)
        result = secret_set(secret, payload);
    wipe(room, sizeof room);
    close(fd);
    return result;
}

enum status control_forget(const char *path, int timeout_ms, const uint8_t site[MONITOR_SITE_LEN], struct bytes token,
                           char why[CONTROL_TEXT_MAX])
{
    uint8_t room[sizeof(struct monitor_header) + CONTROL_TEXT_MAX], question_room[MONITOR_SITE_LEN + 256];
    struct writer question = writer_over(question_room, sizeof question_room);
    struct bytes payload = {0};
    int fd = -1;
    why[0] = 0;
    put_bytes(&question, bytes_from(site, MONITOR_SITE_LEN));
    put_bytes(&question, token);
    TRY(writer_end(&question));
    TRY(dial(path, timeout_ms, &fd));
    enum status result = ask(fd, MONITOR_FORGET, writer_bytes(&question), writer_over(room, sizeof room), &payload);
    if (payload.len && payload.len < CONTROL_TEXT_MAX) {
        memcpy(why, payload.data, payload.len);
        why[payload.len] = 0;
    }
    close(fd);
    return result;
}
