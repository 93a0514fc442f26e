/* One thread, one epoll: monitor, door, archive's answers, sockets, signals. */
#include "daemon.h"
#include "gateway.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define VERSION "0.1"
#define PROOF_EVERY_MS 2000u
#define STOP_MS 1000u /* for answering what is pending */

struct daemon {
    struct pump *pump;
    struct gateway *gateway;
    struct pump_link link;
    int epoll;
    int signals;
    int gateway_seen; /* descriptors as they are in the epoll set; -1: not in it */
    int door_seen;
    int link_seen;
    uint64_t stop_ms;  /* 0: serving */
    uint64_t proof;    /* the channel that waits for the TPM; 0: none */
    uint64_t proof_ms; /* not again before: it is the TPM's time */
};

/* Closing a descriptor takes it out of the set by itself; a number that is used again is then added anew. */
static void watch(struct daemon *daemon, int *seen, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (*seen == fd && (fd < 0 || epoll_ctl(daemon->epoll, EPOLL_CTL_MOD, fd, &event) == 0))
        return;
    if (*seen >= 0 && *seen != fd)
        (void)epoll_ctl(daemon->epoll, EPOLL_CTL_DEL, *seen, NULL);
    *seen = fd >= 0 && epoll_ctl(daemon->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? fd : -1;
}

static void detach(struct daemon *daemon, uint64_t now_ms, const char *reason)
{
    if (pump_attached(daemon->pump))
        pump_log("warning", "detached", "reason=\"%s\"", reason);
    pump_detach(daemon->pump, now_ms);
}

/* Whoever asks: what the TPM opens for him says no more than which keys are in it. */
static enum status prove(void *context, uint64_t channel, struct bytes credential)
{
    struct daemon *daemon = context;
    uint64_t now = pump_clock_ms();
    if (daemon->proof || now < daemon->proof_ms)
        return BUSY;
    TRY(pump_link_prove(&daemon->link, credential));
    daemon->proof = channel;
    daemon->proof_ms = now + PROOF_EVERY_MS;
    return OK;
}

static void answer_proof(struct daemon *daemon, uint64_t now_ms, uint8_t code, struct bytes found)
{
    uint8_t room[PUMP_LINK_PROOF_MAX + 16];
    struct writer writer = writer_over(room, sizeof room);
    const struct coap_body body = {.code = code, .payload = found};
    coap_body_encode(&writer, &body);
    if (daemon->proof && gateway_reply(daemon->gateway, now_ms, daemon->proof, writer_bytes(&writer), false) != OK)
        pump_log("info", "proof", "reason=\"who asked is gone\"");
    daemon->proof = 0;
}

static void run_link(struct daemon *daemon, uint64_t now_ms)
{
    if (daemon->link.fd < 0 && now_ms >= daemon->link.retry_ms && !daemon->stop_ms)
        pump_link_connect(&daemon->link, now_ms);
    for (enum pump_link_event event; (event = pump_link_read(&daemon->link, now_ms)) != PUMP_LINK_NOTHING;) {
        const int *fds = daemon->link.launched;
        switch (event) {
        case PUMP_LINK_ATTACHED:
            pump_log("info", "attached", "monitor=%s", daemon->link.path);
            break;
        case PUMP_LINK_LAUNCHED:
            if (pump_attach(daemon->pump, now_ms, fds) != OK)
                pump_log("error", "door_refused", "reason=\"the window is too small or of another version\"");
            break;
        case PUMP_LINK_DIED:
            detach(daemon, now_ms, "the enclave died");
            break;
        case PUMP_LINK_PROVED:
            answer_proof(daemon, now_ms, daemon->link.proof_len ? COAP_CHANGED : COAP_FORBIDDEN,
                         bytes_from(daemon->link.proof, daemon->link.proof_len));
            break;
        case PUMP_LINK_MEASURED: /* nobody asked */
            break;
        case PUMP_LINK_LOST:
            answer_proof(daemon, now_ms, COAP_UNAVAILABLE, (struct bytes){0});
            detach(daemon, now_ms, "the monitor hung up");
            break;
        case PUMP_LINK_NOTHING:
            break;
        }
    }
}

static void run_pump(struct daemon *daemon, uint64_t now_ms)
{
    if (pump_run(daemon->pump, now_ms) == OK)
        return;
    /* Hanging up makes the monitor stop this enclave; attaching again gives a new one. */
    detach(daemon, now_ms, "the door contradicts itself");
    pump_link_close(&daemon->link, now_ms);
}

static int soonest(int a, int b)
{
    return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

static int timeout(struct daemon *daemon)
{
    uint64_t now = pump_clock_ms();
    bool intake = daemon->gateway_seen >= 0;
    int wait = intake ? gateway_timeout(daemon->gateway, now) : 10;
    if (daemon->link.fd < 0 && !daemon->stop_ms)
        wait = soonest(wait, daemon->link.retry_ms > now ? (int)(daemon->link.retry_ms - now) : 0);
    if (daemon->stop_ms)
        wait = soonest(wait, 10);
    return soonest(wait, pump_timeout(daemon->pump));
}

/* Replies are on their way out when no request is without an answer; observations end with 5.03 as we stop. */
static bool finished(const struct daemon *daemon, uint64_t now_ms)
{
    return daemon->stop_ms && (now_ms >= daemon->stop_ms || gateway_counts(daemon->gateway).asked == 0);
}

static void turn(struct daemon *daemon)
{
    struct epoll_event events[16];
    struct signalfd_siginfo signal;
    bool intake = !pump_backlogged(daemon->pump) && !daemon->stop_ms;
    watch(daemon, &daemon->gateway_seen, intake ? gateway_fd(daemon->gateway) : -1);
    watch(daemon, &daemon->door_seen, pump_door_fd(daemon->pump));
    watch(daemon, &daemon->link_seen, daemon->link.fd);
    (void)epoll_wait(daemon->epoll, events, 16, timeout(daemon));
    uint64_t now = pump_clock_ms();
    if (read(daemon->signals, &signal, sizeof signal) == (ssize_t)sizeof signal && !daemon->stop_ms) {
        pump_log("info", "stopping", "pending=%u", gateway_counts(daemon->gateway).asked);
        daemon->stop_ms = now + STOP_MS;
    }
    run_link(daemon, now);
    run_pump(daemon, now);
    gateway_run(daemon->gateway, now, intake);
}

static enum status reply(void *context, uint64_t now_ms, uint64_t channel, struct bytes body, bool more)
{
    return gateway_reply(context, now_ms, channel, body, more);
}

static void set_enclave(void *context, uint64_t now_ms, bool up)
{
    gateway_set_enclave(context, now_ms, up);
}

static int start(struct daemon *daemon, const struct daemon_options *options, const struct pump_archive *archive)
{
    const char *why = "the home directory's name is too long";
    struct gateway_config config = {
        .coap = options->coap,
        .http = options->http,
        .body_max = options->body_max,
        .version = VERSION,
        .ask = pump_ask,
        .gone = pump_gone,
        .prove = prove,
        .prove_context = daemon,
    };
    sigset_t asked;
    sigemptyset(&asked);
    sigaddset(&asked, SIGTERM);
    sigaddset(&asked, SIGINT);
    sigprocmask(SIG_BLOCK, &asked, NULL);
    if (pump_link_init(&daemon->link, options->home) != OK || pump_new(archive, &daemon->pump, &why) != OK) {
        pump_log("error", "start", "reason=\"%s\"", why);
        return 1;
    }
    config.context = daemon->pump;
    if (gateway_new(&config, &daemon->gateway, &why) != OK) {
        pump_log("error", "bind", "coap=%s http=%s reason=\"%s\"", options->coap, options->http, why);
        return 4;
    }
    pump_set_front(daemon->pump, &(struct pump_front){daemon->gateway, reply, set_enclave, NULL});
    daemon->epoll = epoll_create1(EPOLL_CLOEXEC);
    daemon->signals = signalfd(-1, &asked, SFD_NONBLOCK | SFD_CLOEXEC);
    int seen[2] = {-1, -1};
    watch(daemon, &seen[0], daemon->signals);
    watch(daemon, &seen[1], pump_archive_fd(daemon->pump));
    return seen[0] < 0 || seen[1] < 0;
}

int daemon_serve(const struct daemon_options *options, const struct pump_archive *archive)
{
    struct daemon daemon = {.epoll = -1, .signals = -1, .gateway_seen = -1, .door_seen = -1, .link_seen = -1};
    daemon.link.fd = -1;
    int code = start(&daemon, options, archive);
    if (code == 0) {
        pump_log("info", "serving", "coap=%s http=%s body_max=%u", options->coap, options->http, options->body_max);
        do
            turn(&daemon);
        while (!finished(&daemon, pump_clock_ms()));
        detach(&daemon, pump_clock_ms(), "stopping");
        gateway_run(daemon.gateway, pump_clock_ms(), false);
    }
    gateway_free(daemon.gateway);
    pump_free(daemon.pump);
    if (daemon.link.fd >= 0)
        close(daemon.link.fd);
    if (daemon.epoll >= 0)
        close(daemon.epoll);
    if (daemon.signals >= 0)
        close(daemon.signals);
    if (code == 0)
        pump_log("info", "stopped", "code=0");
    return code;
}
