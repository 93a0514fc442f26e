/* The sockets as a whole: listening, what is sent first, who is answered. */
#include "vtpm_host_internal.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONTROL_EVENT 1u /* channels begin above */
#define DATA_EVENT 2u
#define KEYS_EVENT 3u
#define TRANSFER_EVENT 4u

static bool listen_unless_client(const struct vtpm_place *place, int *fd, const char **why)
{
    struct stat facts;
    if (place->kind == VTPM_NOWHERE)
        return true;
    if (place->kind != VTPM_AT_CLIENT)
        return (*fd = place_listen(place, why)) >= 0;
    *why = "the descriptor that was given is not a socket";
    return fstat(place->fd, &facts) == 0 && S_ISSOCK(facts.st_mode);
}

enum status vtpm_host_new(const struct vtpm_host_config *config, struct vtpm_host **result, const char **why)
{
    struct vtpm_host *host = calloc(1, sizeof *host);
    *why = "out of memory";
    if (!host)
        return NO_ROOM;
    host->config = *config;
    host->next_channel = TRANSFER_EVENT + 1;
    host->control = host->data = host->keys = host->transfer = -1;
    for (size_t i = 0; i < VTPM_HOST_PEERS; i++)
        host->peers[i] = (struct peer){.fd = -1, .passed = -1};
    host->epoll = epoll_create1(EPOLL_CLOEXEC);
    bool good = host->epoll >= 0;
    good = good && listen_unless_client(&config->control, &host->control, why) &&
           listen_unless_client(&config->data, &host->data, why) &&
           listen_unless_client(&config->keys, &host->keys, why) &&
           listen_unless_client(&config->transfer, &host->transfer, why);
    if (!good) {
        vtpm_host_free(host);
        return IO;
    }
    *result = host;
    return OK;
}

static void hang_up(struct vtpm_host *host, bool tell)
{
    for (size_t i = 0; i < VTPM_HOST_PEERS; i++)
        peer_close(host, &host->peers[i], tell);
}

void vtpm_host_free(struct vtpm_host *host)
{
    if (!host)
        return;
    hang_up(host, false);
    place_leave(&host->config.control, host->control);
    place_leave(&host->config.data, host->data);
    place_leave(&host->config.keys, host->keys);
    place_leave(&host->config.transfer, host->transfer);
    if (host->epoll >= 0)
        close(host->epoll);
    free(host);
}

int vtpm_host_fd(const struct vtpm_host *host)
{
    return host->epoll;
}

bool vtpm_host_is_ready(const struct vtpm_host *host)
{
    return host->ready;
}

bool vtpm_host_asks(const struct vtpm_host *host)
{
    for (size_t i = 0; i < VTPM_HOST_PEERS; i++)
        if (host->peers[i].fd >= 0 && host->peers[i].asked)
            return true;
    return false;
}

bool vtpm_host_is_shut_down(const struct vtpm_host *host)
{
    return host->shut_down;
}

uint32_t vtpm_host_refusal(const struct vtpm_host *host)
{
    return host->refusal;
}

/* ---- The enclave comes and goes ---- */

/* Whoever finds no place waits in the kernel's backlog, and wakes nobody. */
static void listen_or_not(struct vtpm_host *host)
{
    const int fds[] = {host->control, host->data, host->keys, host->transfer};
    const bool wanted = host->ready && peer_place(host, UINT64_MAX);
    if (wanted == host->listening)
        return;
    host->listening = wanted;
    for (unsigned i = 0; i < sizeof fds / sizeof *fds; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = CONTROL_EVENT + i};
        if (fds[i] >= 0)
            (void)epoll_ctl(host->epoll, wanted ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fds[i], &event);
    }
}

static void take_client(struct vtpm_host *host, int fd, enum door_transport transport)
{
    struct peer *client = peer_open(host, fd, transport, UINT64_MAX);
    if (client) {
        client->heard = true;
        client->whose = 0; /* there is no other in its place */
    }
}

/* A data connection; one command's (--disconnect) is not worth the way. */
static bool hand_over(struct vtpm_host *host, int fd)
{
    return !host->handed && !host->config.disconnect && peer_hand_over(host, fd);
}

static void be_ready(struct vtpm_host *host)
{
    host->first = 0;
    host->ready = true;
    if (!host->clients_taken) {
        host->clients_taken = true;
        if (host->config.control.kind == VTPM_AT_CLIENT)
            take_client(host, host->config.control.fd, DOOR_VTPM_CONTROL);
        if (host->config.data.kind == VTPM_AT_CLIENT && !hand_over(host, host->config.data.fd))
            take_client(host, host->config.data.fd, DOOR_VTPM_DATA);
    }
    listen_or_not(host);
}

static void send_first(struct vtpm_host *host, enum first_step which)
{
    uint8_t room[DOOR_VTPM_PASSPHRASE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    if (which == FIRST_UNLOCK) {
        put_bytes(&writer, host->config.passphrase);
    } else if (which == FIRST_INIT) {
        swtpm_put_request(&writer, &(struct swtpm_request){.command = SWTPM_INIT});
    } else {
        put_u16be(&writer, 0x8001);
        put_u32be(&writer, 12);
        put_u32be(&writer, 0x144);
        put_u16be(&writer, host->config.startup == VTPM_STARTUP_STATE ? 1 : 0);
    }
    host->first = host->next_channel++;
    host->first_is = which;
    const enum door_transport transport = which == FIRST_UNLOCK ? DOOR_VTPM_UNLOCK
                                          : which == FIRST_INIT ? DOOR_VTPM_CONTROL
                                                                : DOOR_VTPM_DATA;
    if (host->config.ask(host->config.context, host->first, transport, writer_bytes(&writer)) != OK)
        host->refusal = SWTPM_IO_ERROR;
    wipe(room, sizeof room);
}

/* A result, or a TPM's response code; resumed with what it was, a TPM says that it is started already. */
static void first_answered(struct vtpm_host *host, struct bytes frame)
{
    struct reader reader = reader_over(frame);
    if (host->first_is == FIRST_STARTUP) {
        (void)take_u16be(&reader);
        (void)take_u32be(&reader);
    }
    uint32_t code = take_u32be(&reader);
    const bool started = host->first_is == FIRST_STARTUP && code == 0x100;
    if (reader.status != OK || (code != 0 && !started)) {
        host->refusal = reader.status == OK ? code : SWTPM_IO_ERROR;
        return;
    }
    if (host->first_is == FIRST_UNLOCK && host->config.init)
        send_first(host, FIRST_INIT);
    else if (host->first_is == FIRST_INIT && host->config.startup != VTPM_STARTUP_NONE)
        send_first(host, FIRST_STARTUP);
    else
        be_ready(host);
}

void vtpm_host_left(struct vtpm_host *host, uint64_t channel)
{
    if (!host->handed || channel != host->handed)
        return;
    host->handed = 0;
    host->shut_down |= host->config.terminate;
}

void vtpm_host_set_enclave(struct vtpm_host *host, bool up)
{
    hang_up(host, false);
    vtpm_host_left(host, host->handed);
    host->up = up;
    host->ready = false;
    host->first = 0;
    listen_or_not(host);
    if (up && host->config.passphrase.len)
        send_first(host, FIRST_UNLOCK);
    else if (up && host->config.init)
        send_first(host, FIRST_INIT);
    else if (up)
        be_ready(host);
}

/* ---- Events ---- */

static struct peer *peer_of(struct vtpm_host *host, uint64_t channel)
{
    for (size_t i = 0; i < VTPM_HOST_PEERS; i++)
        if (host->peers[i].fd >= 0 && host->peers[i].channel == channel)
            return &host->peers[i];
    return NULL;
}

enum status vtpm_host_reply(struct vtpm_host *host, uint64_t channel, struct bytes frame)
{
    if (host->first && channel == host->first) {
        first_answered(host, frame);
        return OK;
    }
    struct peer *peer = peer_of(host, channel);
    if (!peer || !peer->asked)
        return NOT_FOUND;
    host->shut_down |= peer->asking == SWTPM_SHUTDOWN;
    peer_answer(host, peer, frame);
    return OK;
}

/* One newcomer, where there is one and a place for him. */
static bool accept_one(struct vtpm_host *host, uint64_t which, uint64_t until)
{
    const struct {
        int fd;
        enum door_transport transport;
    } from[] = {{host->control, DOOR_VTPM_CONTROL},
                {host->data, DOOR_VTPM_DATA},
                {host->keys, DOOR_VTPM_KEYS},
                {host->transfer, DOOR_VTPM_TRANSFER}};
    const int listener = from[which - CONTROL_EVENT].fd;
    int fd = peer_place(host, until) ? accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;
    if (fd >= 0 && (which != DATA_EVENT || !hand_over(host, fd)))
        (void)peer_open(host, fd, from[which - CONTROL_EVENT].transport, until);
    return fd >= 0;
}

/* Who came before this turn had his chance to be read, and may have to give way. By turns at each socket, for whoever
 * is the last at one came no sooner than those who wait at another. */
static void accept_some(struct vtpm_host *host, const struct epoll_event *events, int count)
{
    const uint64_t until = host->next_channel;
    bool more = true;
    while (more) {
        more = false;
        for (int i = 0; i < count; i++)
            if (events[i].data.u64 <= TRANSFER_EVENT)
                more |= accept_one(host, events[i].data.u64, until);
    }
}

void vtpm_host_run(struct vtpm_host *host)
{
    struct epoll_event events[VTPM_HOST_PEERS + TRANSFER_EVENT];
    if (host->shut_down)
        return; /* what came after it is not looked at */
    int count = epoll_wait(host->epoll, events, VTPM_HOST_PEERS + TRANSFER_EVENT, 0);
    for (int i = 0; i < count; i++) {
        struct peer *peer = peer_of(host, events[i].data.u64);
        if (peer && events[i].events & EPOLLOUT)
            peer_write(host, peer);
        else if (peer && (events[i].events & EPOLLIN) && !peer->asked && !peer->out_len && !peer_leaves(host, peer))
            peer_read(host, peer);
        else if (peer && peer->fd >= 0 && events[i].events & (EPOLLHUP | EPOLLERR))
            peer_close(host, peer, true);
    }
    accept_some(host, events, count);
    listen_or_not(host);
}
