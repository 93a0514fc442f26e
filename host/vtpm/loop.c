/* One thread, one epoll: monitor, door, sockets, signals; and the archive, for whose syncs everybody waits anyway. */
#include "vtpm_host.h"

#include "pump.h"
#include "swtpm.h"
#include "vtpm_launch.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* Most commands are answered sooner than a sleeping process is woken. On one processor it would only keep the enclave
 * from it. */
#define LINGER_US 50
#define SETTLED_MS 300 /* without an event: its start is over */

struct loop {
    struct pump *pump;
    struct vtpm_host *host;
    struct pump_link link;
    int epoll, signals;
    int host_seen, door_seen, link_seen; /* descriptors as they are in the epoll set; -1: not in it */
    bool changed;                        /* door or monitor came or went: one number may be another descriptor */
    bool lingers;
    bool told;    /* that the monitor cannot be reached */
    bool settled; /* a start's code was let go */
    struct vtpm_launch launch;
    bool up, measured; /* there is an enclave; and what its VM starts from is measured, where that is to be */
    bool stop, asked;  /* by a signal */
    int code;          /* to exit with */
};

/* Closing a descriptor takes it out of the set by itself; a number that is used again is then added anew. */
static void watch(struct loop *loop, int *seen, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (*seen == fd && (fd < 0 || !loop->changed || epoll_ctl(loop->epoll, EPOLL_CTL_MOD, fd, &event) == 0))
        return;
    if (*seen >= 0 && *seen != fd)
        (void)epoll_ctl(loop->epoll, EPOLL_CTL_DEL, *seen, NULL);
    *seen = fd >= 0 && epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? fd : -1;
}

static void detach(struct loop *loop, const char *reason)
{
    loop->changed = true;
    if (pump_attached(loop->pump))
        pump_log("warning", "detached", "reason=\"%s\"", reason);
    pump_detach(loop->pump, pump_clock_ms());
}

/* What the enclave refused it would refuse again: its users are told by this program's end rather than left to wait. */
static void look_at_death(struct loop *loop)
{
    const int wait_status = loop->link.wait_status;
    const int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 0;
    if (code != 7 && code != 8 && code != 10 && code != 11 && code != 12)
        return;
    loop->stop = true;
    loop->code = code;
}

/* The same for what the monitor refused; a host end before us may still be going (BUSY), a disk come back (IO). */
static void look_at_refusal(struct loop *loop)
{
    if (loop->link.refusal == OK || loop->link.refusal == BUSY || loop->link.refusal == IO)
        return;
    loop->stop = true;
    loop->code = loop->link.refusal == NO_ROOM ? 11 : 12;
}

/* ---- A VM of our own ---- */

/* While nothing is measured a vTPM that wants it would refuse INIT: nobody is listened to. */
static void set_up_or_not(struct loop *loop)
{
    vtpm_host_set_enclave(loop->host, loop->up && (loop->measured || !loop->launch.given));
}

static void measure(struct loop *loop)
{
    int fds[MONITOR_PARTS];
    const size_t count = vtpm_launch_list(&loop->launch, fds);
    loop->measured = false;
    if (count == 0 || pump_link_measure(&loop->link, loop->launch.given, fds, count) == OK)
        return;
    pump_log("error", "not_measured", "reason=\"the monitor does not take it\"");
    loop->stop = true;
    loop->code = 15;
}

static void look_at_measure(struct loop *loop)
{
    loop->measured = loop->link.measured == OK;
    if (loop->measured) {
        set_up_or_not(loop);
        return;
    }
    loop->stop = true;
    loop->code = 15;
}

static void look_at_vm(struct loop *loop, int wait_status)
{
    pump_log("info", "vm_ended", "wait_status=%#x", (unsigned)wait_status);
    loop->stop = true;
    if (!loop->asked && (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0))
        loop->code = 16;
}

static void run_vm(struct loop *loop)
{
    const char *why;
    int wait_status = 0;
    if (vtpm_launch_ended(&loop->launch, &wait_status))
        look_at_vm(loop, wait_status);
    if (loop->stop || !loop->launch.given || loop->launch.started || !vtpm_host_is_ready(loop->host))
        return;
    if (vtpm_launch_start(&loop->launch, &why) == OK) {
        pump_log("info", "vm_started", "pid=%d", (int)loop->launch.child);
        return;
    }
    pump_log("error", "vm_not_started", "reason=\"%s\"", why);
    loop->stop = true;
    loop->code = 16;
}

/* At once when we were told to, else it is on its way already. Its TPM has gone before: while we wait here nobody would
 * answer what it asks of it at its end, and QEMU waits for that. */
static void stop_vm(struct loop *loop)
{
    int wait_status = 0;
    if (loop->launch.child) {
        vtpm_launch_stop(&loop->launch, !loop->asked, &wait_status);
        look_at_vm(loop, wait_status);
    }
    vtpm_launch_close(&loop->launch);
}

/* ---- */

static void take_signals(struct loop *loop)
{
    struct signalfd_siginfo signal;
    while (read(loop->signals, &signal, sizeof signal) == (ssize_t)sizeof signal)
        loop->asked |= signal.ssi_signo != SIGCHLD;
    loop->stop |= loop->asked;
}

static void run_link(struct loop *loop, uint64_t now_ms)
{
    if (loop->link.fd < 0 && now_ms >= loop->link.retry_ms) {
        loop->changed = true;
        errno = 0;
        pump_link_connect(&loop->link, now_ms);
        if (loop->link.fd < 0 && !loop->told)
            pump_log("warning", "unreachable", "monitor=%s reason=\"%s\"", loop->link.path, strerror(errno));
        loop->told = loop->link.fd < 0;
    }
    for (enum pump_link_event event; (event = pump_link_read(&loop->link, now_ms)) != PUMP_LINK_NOTHING;) {
        const int *fds = loop->link.launched;
        loop->changed = true;
        switch (event) {
        case PUMP_LINK_ATTACHED:
            pump_log("info", "attached", "monitor=%s", loop->link.path);
            measure(loop);
            break;
        case PUMP_LINK_LAUNCHED:
            if (pump_attach(loop->pump, now_ms, fds) != OK)
                pump_log("error", "door_refused", "reason=\"the window is too small or of another version\"");
            break;
        case PUMP_LINK_MEASURED:
            look_at_measure(loop);
            break;
        case PUMP_LINK_DIED:
            detach(loop, "the enclave died");
            look_at_death(loop);
            break;
        case PUMP_LINK_LOST:
            detach(loop, "the monitor hung up");
            look_at_refusal(loop);
            break;
        case PUMP_LINK_PROVED: /* nobody asked */
        case PUMP_LINK_NOTHING:
            break;
        }
    }
}

static int timeout(struct loop *loop)
{
    const uint64_t now = pump_clock_ms();
    int wait = pump_timeout(loop->pump);
    if (!loop->settled && vtpm_host_is_ready(loop->host) && (wait < 0 || wait > SETTLED_MS))
        wait = SETTLED_MS;
    if (loop->link.fd >= 0)
        return wait;
    int link = loop->link.retry_ms > now ? (int)(loop->link.retry_ms - now) : 0;
    return wait < 0 || link < wait ? link : wait;
}

static void run_door(struct loop *loop, uint64_t now_ms)
{
    if (pump_run(loop->pump, now_ms) == OK)
        return;
    /* Hanging up makes the monitor stop this enclave; attaching again gives a new one. */
    detach(loop, "the door contradicts itself");
    pump_link_close(&loop->link, now_ms);
}

static void turn(struct loop *loop)
{
    struct epoll_event events[8];
    watch(loop, &loop->host_seen, pump_backlogged(loop->pump) ? -1 : vtpm_host_fd(loop->host));
    watch(loop, &loop->door_seen, pump_door_fd(loop->pump));
    watch(loop, &loop->link_seen, loop->link.fd);
    loop->changed = false;
    const int wait = timeout(loop), count = epoll_wait(loop->epoll, events, 8, wait);
    const uint64_t now = pump_clock_ms();
    if (count == 0 && wait == SETTLED_MS && !loop->settled && vtpm_host_is_ready(loop->host)) {
        vtpm_host_unmap_start();
        loop->settled = true;
    }
    for (int i = 0; i < count; i++)
        if (events[i].data.fd == loop->signals)
            take_signals(loop);
    run_link(loop, now);
    run_door(loop, now);
    vtpm_host_run(loop->host);
    if (loop->lingers && vtpm_host_asks(loop->host) && pump_linger(loop->pump, LINGER_US))
        run_door(loop, now);
    run_vm(loop);
    loop->stop |= vtpm_host_is_shut_down(loop->host);
}

static enum status reply(void *context, uint64_t now_ms, uint64_t channel, struct bytes body, bool more)
{
    const struct loop *loop = context;
    (void)now_ms, (void)more;
    return vtpm_host_reply(loop->host, channel, body);
}

static void set_enclave(void *context, uint64_t now_ms, bool up)
{
    struct loop *loop = context;
    (void)now_ms;
    loop->up = up;
    set_up_or_not(loop);
}

static void left(void *context, uint64_t channel)
{
    vtpm_host_left(((struct loop *)context)->host, channel);
}

static int start(struct loop *loop, const struct vtpm_options *options, vtpm_open_archive *open_archive)
{
    const char *why = "";
    struct pump_archive archive;
    struct vtpm_host_config config = {.control = options->control,
                                      .data = options->data,
                                      .keys = options->keys,
                                      .transfer = options->transfer,
                                      .disconnect = options->disconnect,
                                      .terminate = options->terminate,
                                      .passphrase = options->passphrase,
                                      .init = options->init,
                                      .startup = options->startup,
                                      .ask = pump_ask,
                                      .gone = pump_gone,
                                      .hand = pump_hand};
    cpu_set_t processors;
    sigset_t asked;
    sigemptyset(&asked);
    sigaddset(&asked, SIGTERM);
    sigaddset(&asked, SIGINT);
    sigaddset(&asked, SIGCHLD);
    sigprocmask(SIG_BLOCK, &asked, NULL);
    if (vtpm_launch_open(&loop->launch, options, &why) != OK) {
        pump_log("error", "launch", "reason=\"%s\"", why);
        return 15;
    }
    if (options->proxy && vtpm_proxy_begin(&config.data, &why) != OK) {
        pump_log("error", "proxy", "reason=\"%s\"", why);
        return 4;
    }
    why = "the home's or the instance's name is too long";
    if (pump_link_init(&loop->link, options->home) != OK ||
        (options->instance && pump_link_name(&loop->link, options->instance) != OK)) {
        pump_log("error", "start", "reason=\"%s\"", why);
        return 1;
    }
    if (options->relaxed)
        pump_link_relax(&loop->link);
    pump_link_connect(&loop->link, pump_clock_ms()); /* the enclave is launched while its archive is opened */
    int code = open_archive(options, &archive);
    if (code >= 0)
        return code;
    if (pump_new(&archive, &loop->pump, &why) != OK) {
        pump_log("error", "start", "reason=\"%s\"", why);
        return 1;
    }
    config.context = loop->pump;
    if (vtpm_host_new(&config, &loop->host, &why) != OK) {
        pump_log("error", "bind", "reason=\"%s\"", why);
        return 4;
    }
    pump_set_front(loop->pump, &(struct pump_front){loop, reply, set_enclave, left});
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->changed = true;
    loop->lingers = sched_getaffinity(0, sizeof processors, &processors) == 0 && CPU_COUNT(&processors) > 1;
    loop->signals = signalfd(-1, &asked, SFD_NONBLOCK | SFD_CLOEXEC);
    int seen = -1;
    watch(loop, &seen, loop->signals);
    if (seen < 0)
        return 1;
    if (vtpm_host_settle(options, &why) == OK)
        return 0;
    pump_log("error", "settle", "reason=\"%s\"", why);
    return 4;
}

int vtpm_host_serve(const struct vtpm_options *options, vtpm_open_archive *open_archive)
{
    struct loop loop = {.epoll = -1, .signals = -1, .host_seen = -1, .door_seen = -1, .link_seen = -1};
    loop.link.fd = -1;
    int code = start(&loop, options, open_archive);
    if (code == 0) {
        pump_log("info", "serving", "home=%s", options->home);
        while (!loop.stop && vtpm_host_refusal(loop.host) == 0)
            turn(&loop);
        if (vtpm_host_refusal(loop.host)) {
            pump_log("error", "refused", "code=%#x reason=\"%s\"", vtpm_host_refusal(loop.host),
                     vtpm_host_refusal(loop.host) == SWTPM_AUTH_FAIL
                         ? "its passphrase is another than the one that it was first started with"
                         : "the TPM does not start");
            loop.code = 9;
        }
        code = loop.code;
        if (options->pid.path)
            unlink(options->pid.path);
        detach(&loop, "stopping");
        pump_link_close(&loop.link, pump_clock_ms());
        stop_vm(&loop);
    }
    vtpm_host_free(loop.host);
    pump_free(loop.pump);
    if (loop.link.fd >= 0)
        close(loop.link.fd);
    if (loop.epoll >= 0)
        close(loop.epoll);
    if (loop.signals >= 0)
        close(loop.signals);
    return code;
}
