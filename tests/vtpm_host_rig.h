/* A vTPM's sockets with an enclave that the test plays, and peers of theirs. */
#ifndef BASTIDE_TESTS_VTPM_HOST_RIG_H
#define BASTIDE_TESTS_VTPM_HOST_RIG_H

#include "check.h"

#include "swtpm.h"
#include "vtpm_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ASKED_MAX 256

struct rig {
    struct vtpm_host *host;
    char control[64], data[64], keys[64], transfer[64];
    enum status ask_says;
    struct {
        uint64_t channel;
        enum door_transport transport;
        size_t len;
        uint8_t frame[64];
    } asked[ASKED_MAX];
    size_t asked_count;
    enum status hand_says; /* zero: the enclave takes what is handed over */
    uint64_t handed;       /* the last one's channel */
    int taken;             /* and the socket, the enclave's end of the test; -1 */
    size_t handed_count;
    uint64_t gone;
    size_t gone_count;
};

static inline enum status ask(void *context, uint64_t channel, enum door_transport transport, struct bytes frame)
{
    struct rig *rig = context;
    assert_true(rig->asked_count < ASKED_MAX);
    if (rig->ask_says != OK)
        return rig->ask_says;
    rig->asked[rig->asked_count].channel = channel;
    rig->asked[rig->asked_count].transport = transport;
    rig->asked[rig->asked_count].len = frame.len;
    memcpy(rig->asked[rig->asked_count++].frame, frame.data, frame.len < 64 ? frame.len : 64);
    return OK;
}

static inline void gone(void *context, uint64_t channel)
{
    struct rig *rig = context;
    rig->gone = channel;
    rig->gone_count++;
}

static inline enum status hand_over(void *context, uint64_t channel, int fd)
{
    struct rig *rig = context;
    if (rig->hand_says != OK)
        return rig->hand_says;
    if (rig->taken >= 0)
        close(rig->taken);
    rig->taken = dup(fd);
    rig->handed = channel;
    rig->handed_count++;
    return OK;
}

static inline struct vtpm_place at_path(const char *path, mode_t mode)
{
    return (struct vtpm_place){
        .kind = VTPM_AT_PATH, .path = path, .mode = mode, .uid = (uid_t)-1, .gid = (gid_t)-1, .fd = -1};
}

static inline void begin_with(struct rig *rig, bool init, enum vtpm_startup startup, struct bytes passphrase)
{
    static unsigned count;
    const char *why;
    *rig = (struct rig){.taken = -1};
    snprintf(rig->control, sizeof rig->control, "/tmp/bastide-vh-%d-%u.ctrl", getpid(), count);
    snprintf(rig->keys, sizeof rig->keys, "/tmp/bastide-vh-%d-%u.keys", getpid(), count);
    snprintf(rig->transfer, sizeof rig->transfer, "/tmp/bastide-vh-%d-%u.move", getpid(), count);
    snprintf(rig->data, sizeof rig->data, "/tmp/bastide-vh-%d-%u", getpid(), count++);
    const struct vtpm_host_config config = {.control = at_path(rig->control, 0600),
                                            .data = at_path(rig->data, 0600),
                                            .keys = at_path(rig->keys, 0600),
                                            .transfer = at_path(rig->transfer, 0600),
                                            .passphrase = passphrase,
                                            .init = init,
                                            .startup = startup,
                                            .ask = ask,
                                            .gone = gone,
                                            .hand = hand_over,
                                            .context = rig};
    check_ok(vtpm_host_new(&config, &rig->host, &why));
}

static inline void begin(struct rig *rig, bool init, enum vtpm_startup startup)
{
    begin_with(rig, init, startup, bytes_from(NULL, 0));
}

static inline void done(struct rig *rig)
{
    struct stat facts;
    vtpm_host_free(rig->host);
    if (rig->taken >= 0)
        close(rig->taken);
    assert_int_not_equal(0, lstat(rig->control, &facts));
    assert_int_not_equal(0, lstat(rig->data, &facts));
    assert_int_not_equal(0, lstat(rig->keys, &facts));
    assert_int_not_equal(0, lstat(rig->transfer, &facts));
}

static inline int reach(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(0, connect(fd, (struct sockaddr *)&address, sizeof address));
    return fd;
}

static inline void run(struct rig *rig)
{
    for (int i = 0; i < 8; i++)
        vtpm_host_run(rig->host);
}

static inline void say(struct rig *rig, int fd, const void *data, size_t len)
{
    assert_int_equal(len, send(fd, data, len, MSG_NOSIGNAL));
    run(rig);
}

/* What the peer has got; -1: nothing; 0: it was hung up on. */
static inline ssize_t hear(int fd, uint8_t room[64])
{
    return recv(fd, room, 64, MSG_DONTWAIT);
}

#define CAPABILITY "\0\0\0\1"
#define RANDOM "\x80\1\0\0\0\x0c\0\0\1\x7b\0\x08"

#endif
