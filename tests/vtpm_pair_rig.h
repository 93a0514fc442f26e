/* Two vTPMs of one configuration on two nodes, each in a process of its own as libtpms wants it, and the owner's side
 * of both; what passes between may be lost or bent. */
#ifndef BASTIDE_TESTS_VTPM_PAIR_RIG_H
#define BASTIDE_TESTS_VTPM_PAIR_RIG_H

#include "vtpm_transfer_rig.h"

#include "evidence_rig.h"
#include "vtpm_mover.h"

#include <sys/socket.h>
#include <sys/wait.h>

enum { RESTART = 100, VALUE, PUT }; /* asked of the process beside door_transport */

struct far {
    struct vtpm_mover_end end;
    int fd;
    pid_t pid;
    /* What a host does to what passes: */
    bool deaf; /* the answer does not arrive */
    void (*bend)(struct writer *answer);
};

static struct evidence_policy policy;
static uint8_t pcr_digest[CRYPTO_HASH_MAX];

static inline enum status report_of_node(const struct rig *rig, const struct monitor_report *asked,
                                         struct writer *evidence)
{
    uint8_t room[EAT_EVIDENCE_MAX];
    struct eat_report report = sample();
    report.nonce_len = asked->nonce_len;
    memcpy(report.nonce, asked->nonce, sizeof report.nonce);
    memcpy(report.user_data, asked->user_data, sizeof report.user_data);
    report.sequence = rig->sequence;
    put_bytes(evidence, made(&report, &node.report_key, room));
    return OK;
}

/* ---- The vTPM's process ---- */

static inline bool moved(int fd, void *data, size_t len, bool in)
{
    for (size_t off = 0; off < len;) {
        ssize_t got = in ? recv(fd, (uint8_t *)data + off, len - off, 0)
                         : send(fd, (uint8_t *)data + off, len - off, MSG_NOSIGNAL);
        if (got <= 0)
            return false;
        off += (size_t)got;
    }
    return true;
}

static inline int value_of(struct rig *rig)
{
    if (rig_do(rig, SWTPM_GET_ESTABLISHED) != SWTPM_OK) { /* off */
        if (rig_do(rig, SWTPM_INIT) != SWTPM_OK)
            return -1;
        (void)rig_startup(rig);
    }
    return move_value(rig);
}

static inline void answer_one(struct rig *rig, int fd, uint32_t what, struct bytes frame)
{
    uint32_t len = 0;
    int value = 0;
    if (what == RESTART) {
        rig_stop(rig);
        value = rig_launch(rig);
    } else if (what == VALUE) {
        value = value_of(rig);
    } else if (what == PUT) {
        rig_stop(rig);
        move_source(rig, frame.data[0]);
    } else {
        rig_ask(rig, what, frame);
        len = (uint32_t)rig->reply_len;
        (void)(moved(fd, &len, sizeof len, false) && moved(fd, rig->reply, len, false));
        return;
    }
    len = sizeof value;
    (void)(moved(fd, &len, sizeof len, false) && moved(fd, &value, sizeof value, false));
}

static inline void serve(int fd, bool elsewhere)
{
    static uint8_t room[VTPM_TRANSFER_QUESTION_MAX];
    struct rig rig;
    uint32_t head[2];
    (elsewhere ? move_init_elsewhere : move_init)(&rig);
    rig.report = report_of_node;
    if (rig_launch(&rig) != 0)
        _exit(1);
    while (moved(fd, head, sizeof head, true) && head[1] <= sizeof room && moved(fd, room, head[1], true))
        answer_one(&rig, fd, head[0], bytes_from(room, head[1]));
    rig_done(&rig);
    _exit(0);
}

static inline size_t far_ask(struct far *far, uint32_t what, struct bytes frame, uint8_t *room, size_t cap)
{
    uint32_t head[2] = {what, (uint32_t)frame.len}, len = 0;
    uint8_t *copy = malloc(frame.len + 1);
    assert_non_null(copy);
    if (frame.len)
        memcpy(copy, frame.data, frame.len);
    assert_true(moved(far->fd, head, sizeof head, false) && moved(far->fd, copy, frame.len, false));
    assert_true(moved(far->fd, &len, sizeof len, true) && len <= cap && moved(far->fd, room, len, true));
    free(copy);
    return len;
}

static inline enum status transfer(void *user, struct bytes question, struct writer *answer)
{
    struct far *far = user;
    answer->len = far_ask(far, DOOR_VTPM_TRANSFER, question, answer->data, answer->cap);
    if (far->bend)
        far->bend(answer);
    return far->deaf ? IO : OK;
}

static inline int far_do(struct far *far, uint32_t what, uint8_t value)
{
    int result = 0;
    assert_int_equal(sizeof result, far_ask(far, what, bytes_from(&value, 1), (uint8_t *)&result, sizeof result));
    return result;
}

static inline void far_begin(struct far *far, bool elsewhere)
{
    int ends[2];
    *far = (struct far){.end = {.user = far, .ask = transfer, .policy = &policy, .room = malloc(VTPM_MOVER_ROOM)}};
    assert_non_null(far->end.room);
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    if (!move_owner.pkey)
        check_ok(crypto_key_generate(&move_owner, CRYPTO_P256));
    far->pid = fork();
    if (far->pid == 0) {
        setenv("CMOCKA_TEST_ABORT", "1", 1); /* what fails in here is not to go on as if it were the test */
        close(ends[0]);
        serve(ends[1], elsewhere);
    }
    close(ends[1]);
    far->fd = ends[0];
}

static inline void far_done(struct far *far)
{
    int status = -1;
    shutdown(far->fd, SHUT_RDWR); /* the other process has it too */
    close(far->fd);
    assert_int_equal(far->pid, waitpid(far->pid, &status, 0));
    assert_int_equal(0, status);
    free(far->end.room);
}

struct pair {
    struct far source, destination;
};

static inline void begin(struct pair *pair)
{
    policy = strict(pcr_digest);
    policy.seen = (struct evidence_freshness){0};
    far_begin(&pair->source, false);
    far_begin(&pair->destination, true);
    assert_int_equal(0, far_do(&pair->source, PUT, 1));
}

static inline void done(struct pair *pair)
{
    far_done(&pair->source);
    far_done(&pair->destination);
}

static inline void check_at(struct far *far, enum vtpm_custody custody)
{
    check_ok(vtpm_mover_status(&far->end));
    assert_int_equal(custody, far->end.facts.custody);
}

#endif
