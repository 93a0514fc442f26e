/* The monitor's control socket: attach, wait for doors and deaths, connect again when it hangs up. */
#include "pump_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BACK_OFF_FIRST_MS 50u
#define BACK_OFF_MAX_MS 2000u
#define CREDENTIAL_MAX 512
#define SENTENCE_MAX 400
#define PASSED_MAX 8 /* room for more than we want, so that none is left open unseen */

enum status pump_link_init(struct pump_link *link, const char *home)
{
    *link = (struct pump_link){.fd = -1, .back_off_ms = BACK_OFF_FIRST_MS};
    int len = snprintf(link->path, sizeof link->path, "%s/run/monitor.sock", home);
    return len > 0 && (size_t)len < sizeof link->path ? OK : NO_ROOM;
}

enum status pump_link_name(struct pump_link *link, const char *instance)
{
    struct writer writer = writer_over((uint8_t *)link->attach.instance.name, sizeof link->attach.instance.name - 1);
    put_text(&writer, instance);
    return writer_end(&writer);
}

void pump_link_relax(struct pump_link *link)
{
    link->attach.relaxed = 1;
}

void pump_link_close(struct pump_link *link, uint64_t now_ms)
{
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
    link->retry_ms = now_ms + link->back_off_ms;
    link->back_off_ms = link->back_off_ms * 2 < BACK_OFF_MAX_MS ? link->back_off_ms * 2 : BACK_OFF_MAX_MS;
}

void pump_link_connect(struct pump_link *link, uint64_t now_ms)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct {
        struct monitor_header header;
        struct monitor_attach attach;
    } asked = {.header = {.version = MONITOR_VERSION, .operation = MONITOR_ATTACH}, .attach = link->attach};
    const size_t len = link->attach.relaxed            ? sizeof link->attach
                       : link->attach.instance.name[0] ? sizeof link->attach.instance
                                                       : 0;
    asked.header.len = (uint32_t)len;
    link->refusal = OK;
    memcpy(address.sun_path, link->path, sizeof address.sun_path);
    link->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0 || connect(link->fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        send(link->fd, &asked, sizeof asked.header + len, MSG_NOSIGNAL) != (ssize_t)(sizeof asked.header + len))
        pump_link_close(link, now_ms);
}

enum status pump_link_prove(struct pump_link *link, struct bytes credential)
{
    struct monitor_header header = {
        .version = MONITOR_VERSION, .operation = MONITOR_ACTIVATE, .len = (uint32_t)credential.len};
    uint8_t packet[sizeof header + CREDENTIAL_MAX];
    struct writer writer = writer_over(packet, sizeof packet);
    put_bytes(&writer, bytes_from(&header, sizeof header));
    put_bytes(&writer, credential);
    TRY(writer_end(&writer));
    if (link->fd < 0 || credential.len == 0 ||
        send(link->fd, packet, writer.len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)writer.len)
        return BUSY;
    return OK;
}

enum status pump_link_measure(struct pump_link *link, uint32_t given, const int *fds, size_t count)
{
    struct {
        struct monitor_header header;
        struct monitor_measure measure;
    } asked = {.header = {.version = MONITOR_VERSION, .operation = MONITOR_MEASURE, .len = sizeof asked.measure},
               .measure = {.given = given}};
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(MONITOR_PARTS * sizeof(int))];
    } control = {.space = {0}};
    struct iovec piece = {&asked, sizeof asked};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.space};
    if (count == 0 || count > MONITOR_PARTS)
        return MALFORMED;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(part), fds, count * sizeof(int));
    if (link->fd < 0 || sendmsg(link->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof asked)
        return BUSY;
    return OK;
}

struct packet {
    struct monitor_header header;
    uint8_t payload[1024];
    size_t len;
    int passed[PASSED_MAX];
    size_t passed_count;
};

static void drop_passed(struct packet *packet)
{
    for (size_t i = 0; i < packet->passed_count; i++)
        close(packet->passed[i]);
    packet->passed_count = 0;
}

/* The header and payload stand one after the other in the packet; TRUNCATED: nothing there now; IO: hung up. */
static enum status receive(int fd, struct packet *packet)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(PASSED_MAX * sizeof(int))];
    } control;
    struct iovec pieces[2] = {{&packet->header, sizeof packet->header}, {packet->payload, sizeof packet->payload}};
    struct msghdr message = {
        .msg_iov = pieces, .msg_iovlen = 2, .msg_control = control.space, .msg_controllen = sizeof control.space};
    ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    packet->passed_count = 0;
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? TRUNCATED : IO;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        packet->passed_count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(packet->passed, CMSG_DATA(part), packet->passed_count * sizeof(int));
    }
    if (got < (ssize_t)sizeof packet->header || message.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ||
        packet->header.version != MONITOR_VERSION || packet->header.len != (size_t)got - sizeof packet->header) {
        drop_passed(packet);
        return IO;
    }
    packet->len = packet->header.len;
    return OK;
}

static enum pump_link_event launched(struct pump_link *link, struct packet *packet)
{
    struct monitor_launched facts;
    if (packet->passed_count != LAUNCHED_DESCRIPTORS || packet->len < sizeof facts)
        return PUMP_LINK_LOST;
    memcpy(&facts, packet->payload, sizeof facts);
    memcpy(link->launched, packet->passed, sizeof link->launched);
    packet->passed_count = 0;
    pump_log("info", "enclave_launched", "launch=%u back_off_ms=%u", facts.launch, facts.back_off_ms);
    return PUMP_LINK_LAUNCHED;
}

/* The monitor's words, fit for a log line. */
static void take_sentence(const struct packet *packet, size_t off, char *text, size_t cap)
{
    size_t at = 0;
    for (size_t i = off; i < packet->len && at + 1 < cap && packet->payload[i]; i++)
        text[at++] = packet->payload[i] < ' ' || packet->payload[i] > '~' || packet->payload[i] == '"'
                         ? '?'
                         : (char)packet->payload[i];
    text[at] = 0;
}

static enum pump_link_event attached(struct pump_link *link, const struct packet *packet)
{
    char reason[SENTENCE_MAX];
    link->refusal = (enum status)packet->header.status;
    if (link->refusal == OK) {
        link->back_off_ms = BACK_OFF_FIRST_MS;
        return PUMP_LINK_ATTACHED;
    }
    take_sentence(packet, 0, reason, sizeof reason);
    pump_log("warning", "not_attached", "instance=%s status=%s reason=\"%s\"", link->attach.instance.name,
             status_word(link->refusal), reason);
    return PUMP_LINK_LOST;
}

static enum pump_link_event measured(struct pump_link *link, const struct packet *packet)
{
    char text[SENTENCE_MAX];
    link->measured = (enum status)packet->header.status;
    if (link->measured == OK && packet->len == sizeof(struct monitor_launch)) {
        pump_log("info", "measured", "monitor=%s", link->path);
        return PUMP_LINK_MEASURED;
    }
    take_sentence(packet, 0, text, sizeof text);
    pump_log("error", "not_measured", "status=%s reason=\"%s\"", status_word(link->measured), text);
    return link->measured == OK ? PUMP_LINK_LOST : PUMP_LINK_MEASURED;
}

/* How far it is; nobody needs to do anything. */
static enum pump_link_event measuring(const struct packet *packet)
{
    struct monitor_measuring facts;
    if (packet->len != sizeof facts)
        return PUMP_LINK_LOST;
    memcpy(&facts, packet->payload, sizeof facts);
    pump_log("info", "measuring", "done=%llu total=%llu", (unsigned long long)facts.done,
             (unsigned long long)facts.total);
    return PUMP_LINK_NOTHING;
}

static enum pump_link_event died(struct pump_link *link, const struct packet *packet)
{
    struct monitor_died facts;
    char reason[160];
    if (packet->len < sizeof facts)
        return PUMP_LINK_LOST;
    memcpy(&facts, packet->payload, sizeof facts);
    link->wait_status = (int)facts.wait_status;
    take_sentence(packet, sizeof facts, reason, sizeof reason);
    pump_log("warning", "enclave_died", "pid=%u wait_status=%#x reason=\"%s\"", facts.pid, facts.wait_status, reason);
    return PUMP_LINK_DIED;
}

enum pump_link_event pump_link_read(struct pump_link *link, uint64_t now_ms)
{
    struct packet packet;
    enum pump_link_event event = PUMP_LINK_NOTHING;
    enum status status = link->fd < 0 ? TRUNCATED : receive(link->fd, &packet);
    if (status == TRUNCATED)
        return PUMP_LINK_NOTHING;
    if (status != OK) {
        event = PUMP_LINK_LOST;
    } else if (packet.header.operation == MONITOR_ATTACH) {
        event = attached(link, &packet);
    } else if (packet.header.operation == MONITOR_LAUNCHED) {
        event = launched(link, &packet);
    } else if (packet.header.operation == MONITOR_DIED) {
        event = died(link, &packet);
    } else if (packet.header.operation == MONITOR_MEASURE) {
        event = measured(link, &packet);
    } else if (packet.header.operation == MONITOR_MEASURING) {
        event = measuring(&packet);
    } else if (packet.header.operation == MONITOR_ACTIVATE) {
        event = PUMP_LINK_PROVED;
        link->proof_len = packet.header.status == OK && packet.len <= sizeof link->proof ? packet.len : 0;
        memcpy(link->proof, packet.payload, link->proof_len);
    } else {
        event = PUMP_LINK_LOST;
    }
    if (status == OK)
        drop_passed(&packet);
    if (event == PUMP_LINK_LOST)
        pump_link_close(link, now_ms);
    return event;
}
