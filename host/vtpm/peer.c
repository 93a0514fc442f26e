/* One connection: bytes into frames, frames to the enclave, answers back. */
#include "vtpm_host_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_FIRST 512u
#define PASSED_MAX 4 /* room for more than we want, so that none is left open unseen */

static void watch(struct vtpm_host *host, struct peer *peer)
{
    const bool busy = peer->asked || peer->out_len;
    const uint32_t in = busy ? 0 : EPOLLIN, out = peer->out_len || (!busy && peer->pending) ? EPOLLOUT : 0;
    struct epoll_event event = {.events = in | out, .data.u64 = peer->channel};
    if (epoll_ctl(host->epoll, EPOLL_CTL_MOD, peer->fd, &event) < 0)
        peer_close(host, peer, true);
}

static size_t places_of(const struct vtpm_host *host, pid_t whose)
{
    size_t count = 0;
    for (size_t i = 0; i < VTPM_HOST_PEERS; i++)
        count += host->peers[i].fd >= 0 && host->peers[i].whose == whose;
    return count;
}

/* Who has few, as QEMU has one, is never hung up on, however idle. */
static struct peer *greedy(struct vtpm_host *host, uint64_t until)
{
    struct peer *found = NULL;
    size_t most = VTPM_HOST_FAIR;
    for (size_t i = 0; i < VTPM_HOST_PEERS; i++) {
        struct peer *peer = &host->peers[i];
        if (peer->whose == 0 || peer->asked || peer->channel >= until)
            continue;
        const size_t count = places_of(host, peer->whose);
        if (count > most || (found && count == most && peer->last < found->last)) {
            found = peer;
            most = count;
        }
    }
    return found;
}

struct peer *peer_place(struct vtpm_host *host, uint64_t until)
{
    struct peer *silent = NULL;
    for (size_t i = 0; i < VTPM_HOST_PEERS; i++) {
        struct peer *peer = &host->peers[i];
        if (peer->fd < 0)
            return peer;
        if (!peer->heard && (!silent || peer->channel < silent->channel))
            silent = peer;
    }
    if (!silent)
        return greedy(host, until);
    return silent->channel < until ? silent : NULL; /* not before it was read */
}

static pid_t who(int fd)
{
    struct ucred credentials = {0};
    socklen_t len = sizeof credentials;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) == 0 ? credentials.pid : 0;
}

struct peer *peer_open(struct vtpm_host *host, int fd, enum door_transport transport, uint64_t until)
{
    struct peer *place = peer_place(host, until);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = host->next_channel};
    if (place)
        peer_close(host, place, true);
    if (!place || epoll_ctl(host->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        close(fd);
        return NULL;
    }
    *place = (struct peer){
        .fd = fd, .channel = host->next_channel++, .transport = transport, .passed = -1, .whose = who(fd)};
    return place;
}

bool peer_hand_over(struct vtpm_host *host, int fd)
{
    if (host->config.hand(host->config.context, host->next_channel, fd) != OK)
        return false;
    host->handed = host->next_channel++;
    (void)epoll_ctl(host->epoll, EPOLL_CTL_DEL, fd, NULL); /* a relayed one's: the enclave has it open still */
    close(fd);
    return true;
}

static void forget(struct peer *peer)
{
    if (peer->passed >= 0)
        close(peer->passed);
    if (peer->in)
        wipe(peer->in, peer->in_cap);
    free(peer->in);
    free(peer->out);
    *peer = (struct peer){.fd = -1, .passed = -1};
}

void peer_close(struct vtpm_host *host, struct peer *peer, bool tell)
{
    if (peer->fd < 0)
        return;
    if (peer->asked && tell)
        host->config.gone(host->config.context, peer->channel);
    close(peer->fd);
    host->shut_down |= host->config.terminate && peer->transport == DOOR_VTPM_DATA;
    forget(peer);
}

bool peer_leaves(struct vtpm_host *host, struct peer *peer)
{
    const bool idle = !peer->asked && !peer->in_len && !peer->out_len;
    if (peer->transport != DOOR_VTPM_DATA || !idle || host->handed || host->config.disconnect ||
        !peer_hand_over(host, peer->fd))
        return false;
    forget(peer);
    return true;
}

/* ---- Answers ---- */

static void write_some(struct vtpm_host *host, struct peer *peer)
{
    ssize_t sent =
        send(peer->fd, peer->out + peer->out_off, peer->out_len - peer->out_off, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        peer_close(host, peer, true);
        return;
    }
    peer->out_off += sent > 0 ? (size_t)sent : 0;
    if (peer->out_off == peer->out_len) {
        free(peer->out);
        peer->out = NULL;
        peer->out_len = peer->out_off = 0;
        if (host->config.disconnect && peer->transport == DOOR_VTPM_DATA) {
            peer_close(host, peer, false);
            return;
        }
    }
    watch(host, peer);
}

void peer_answer(struct vtpm_host *host, struct peer *peer, struct bytes frame)
{
    peer->asked = false;
    peer->out = frame.len ? malloc(frame.len) : NULL;
    if (!peer->out) {
        peer_close(host, peer, true);
        return;
    }
    memcpy(peer->out, frame.data, frame.len);
    peer->out_len = frame.len;
    peer->out_off = 0;
    peer->pending = peer->in_len > 0;
    write_some(host, peer);
}

static void answer_result(struct vtpm_host *host, struct peer *peer, uint32_t result)
{
    uint8_t room[8];
    struct writer writer = writer_over(room, sizeof room);
    swtpm_put_reply(&writer, SWTPM_SET_DATAFD, &(struct swtpm_reply){.result = result});
    peer_answer(host, peer, writer_bytes(&writer));
}

/* ---- Frames ---- */

/* The newest counts: who holds the control channel may have started anew before the enclave saw the former end. */
static void take_data_socket(struct vtpm_host *host, struct peer *peer)
{
    int fd = peer->passed, type = 0;
    socklen_t len = sizeof type;
    peer->passed = -1;
    const bool fits = fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
    const bool taken = fits && peer_hand_over(host, fd);
    if (fd >= 0 && !taken)
        close(fd);
    answer_result(host, peer, !fits ? SWTPM_BAD_PARAMETER : taken ? SWTPM_OK : SWTPM_IO_ERROR);
}

static void take_out(struct peer *peer, size_t len)
{
    memmove(peer->in, peer->in + len, peer->in_len - len);
    peer->in_len -= len;
    wipe(peer->in + peer->in_len, len);
}

/* What is given here is given once: a VM that uses it would be left with a dead TPM. QEMU's migration asks for it at
 * the control channel. */
static bool refuse_to_give(struct vtpm_host *host, struct peer *peer, struct bytes frame)
{
    const struct vtpm_transfer_answer refusal = {
        .status = DENIED,
        .sentence = bytes_from_text("it is in use: have QEMU carry it with its VM, or stop what uses it")};
    struct vtpm_transfer_question question;
    uint8_t room[VTPM_TRANSFER_MESSAGE_HEAD + VTPM_TRANSFER_SENTENCE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    if (peer->transport != DOOR_VTPM_TRANSFER || !host->handed ||
        vtpm_transfer_question_decode(frame, &question) != OK || question.operation != VTPM_TRANSFER_GIVE)
        return false;
    take_out(peer, frame.len);
    peer->heard = true;
    vtpm_transfer_put_answer(&writer, &refusal);
    peer_answer(host, peer, writer_bytes(&writer));
    return true;
}

static void hand_on(struct vtpm_host *host, struct peer *peer, size_t len)
{
    const struct bytes frame = bytes_from(peer->in, len);
    struct reader reader = reader_over(frame);
    if (refuse_to_give(host, peer, frame))
        return;
    peer->asking = peer->transport == DOOR_VTPM_CONTROL ? take_u32be(&reader) : 0;
    const bool data_socket = peer->asking == SWTPM_SET_DATAFD;
    enum status status =
        data_socket ? OK : host->config.ask(host->config.context, peer->channel, peer->transport, frame);
    take_out(peer, len);
    peer->heard = true;
    peer->last = ++host->frames;
    if (status != OK) {
        peer_close(host, peer, false);
        return;
    }
    if (data_socket) {
        take_data_socket(host, peer);
        return;
    }
    if (peer->passed >= 0)
        close(peer->passed); /* came with something that wants none */
    peer->passed = -1;
    peer->asked = true;
    watch(host, peer);
}

static enum status frame_len(enum door_transport transport, struct bytes seen, size_t *len)
{
    if (transport == DOOR_VTPM_CONTROL)
        return swtpm_request_len(seen, len);
    if (transport == DOOR_VTPM_TRANSFER)
        return vtpm_transfer_question_len(seen, len);
    return transport == DOOR_VTPM_KEYS ? vtpm_keys_question_len(seen, len) : swtpm_tpm_len(seen, len);
}

/* TRUNCATED frames stay; where one has no telling end, all that came is handed on, for the enclave to refuse. */
static void next_frame(struct vtpm_host *host, struct peer *peer)
{
    const struct bytes seen = bytes_from(peer->in, peer->in_len);
    size_t len = 0;
    peer->pending = false;
    if (seen.len == 0)
        return;
    enum status status = frame_len(peer->transport, seen, &len);
    if (status == NO_ROOM)
        peer_close(host, peer, false);
    else if (status != TRUNCATED)
        hand_on(host, peer, status == OK ? len : seen.len);
}

void peer_write(struct vtpm_host *host, struct peer *peer)
{
    if (peer->out_len) {
        write_some(host, peer);
    } else if (peer->pending) {
        next_frame(host, peer);
        if (peer->fd >= 0)
            watch(host, peer);
    }
}

static size_t frame_max(enum door_transport transport)
{
    if (transport == DOOR_VTPM_TRANSFER)
        return VTPM_TRANSFER_QUESTION_MAX;
    return transport == DOOR_VTPM_CONTROL ? SWTPM_REQUEST_MAX + 16 : SWTPM_TPM_MAX + SWTPM_PREFIX;
}

static bool make_room(struct peer *peer)
{
    const size_t most = frame_max(peer->transport);
    if (peer->in_len < peer->in_cap)
        return true;
    size_t cap = peer->in_cap ? peer->in_cap * 2 : IN_FIRST;
    cap = cap < most ? cap : most;
    uint8_t *grown = cap > peer->in_len ? realloc(peer->in, cap) : NULL;
    if (!grown)
        return false;
    peer->in = grown;
    peer->in_cap = cap;
    return true;
}

static void keep_passed(struct peer *peer, struct msghdr *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < (part->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
            if (peer->passed >= 0)
                close(fd);
            else
                peer->passed = fd;
        }
    }
}

void peer_read(struct vtpm_host *host, struct peer *peer)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(PASSED_MAX * sizeof(int))];
    } control;
    if (!make_room(peer)) {
        peer_close(host, peer, true);
        return;
    }
    struct iovec piece = {peer->in + peer->in_len, peer->in_cap - peer->in_len};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    ssize_t got = recvmsg(peer->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0)
        keep_passed(peer, &message);
    if (got <= 0) {
        peer_close(host, peer, true);
        return;
    }
    peer->in_len += (size_t)got;
    next_frame(host, peer);
}
