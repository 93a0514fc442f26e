/* One thread, one poll: signals and the key holder, the control socket, each instance's process and what it asks,
 * callers; then what is due. */
#include "serve_internal.h"

#include "node.h"

#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LEASE_MS 60000      /* between two looks at the TPM's counter */
#define SYNC_AGAIN_MS 10000 /* from a sync that failed to the next */
#define HANG_UP_MS 2000     /* from an enclave's hanging up to its end */
#define DRAIN_MAX 64        /* requests of an enclave that has ended */

uint64_t serve_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t serve_now_s(void)
{
    time_t now = time(NULL);
    return now > 0 ? (uint64_t)now : 0;
}

void serve_enclave_hung_up(struct serve_site *site)
{
    close(site->enclave.socket);
    site->enclave.socket = -1;
    site->deadline_ms = serve_now_ms() + HANG_UP_MS; /* for its exit code */
}

void serve_lease_lost(struct serve *serve)
{
    node_log("error", "monitor", "lease_lost", "exit=%d reason=\"another monitor has moved the counter\"",
             NODE_EXIT_DENIED);
    serve->stopping = true;
    serve->exit_code = NODE_EXIT_DENIED;
}

static void do_what_is_due_for(struct serve *serve, struct serve_site *site, uint64_t now)
{
    if (site->running && site->deadline_ms && now >= site->deadline_ms) {
        node_log("warning", "monitor", "enclave_late", "%spid=%d reason=\"%s\"", site->tag, site->enclave.pid,
                 site->enclave.socket < 0 ? "hung up and did not end" : "was not ready in time");
        serve_enclave_ended(serve, site);
    }
    if (site->measuring)
        serve_measure_on(serve, site, now);
    if (!site->running && site->launch_ms && now >= site->launch_ms && site->host)
        serve_launch(serve, site);
}

static void make_durable(struct serve *serve, uint64_t now)
{
    enum status status = heads_sync(&serve->heads);
    serve->sync_ms = status == OK ? 0 : now + SYNC_AGAIN_MS;
    if (status == DENIED)
        serve_lease_lost(serve);
    else if (status != OK)
        node_log("error", "monitor", "not_durable", "status=%s reason=\"what relaxed commits left is not on the disk\"",
                 status_word(status));
}

static void do_what_is_due(struct serve *serve)
{
    uint64_t now = serve_now_ms();
    serve_forget(serve);
    for (size_t i = 0; i < SITES_MAX && !serve->stopping; i++)
        if (serve->at[i])
            do_what_is_due_for(serve, serve->at[i], now);
    if (!serve->stopping && serve->spare.due_ms && now >= serve->spare.due_ms)
        serve_spare_due(serve);
    if (!serve->stopping && serve->sync_ms && now >= serve->sync_ms)
        make_durable(serve, now);
    if (!serve->stopping && now >= serve->lease_ms) {
        serve->lease_ms = now + LEASE_MS;
        if (heads_check_lease(&serve->heads) == DENIED)
            serve_lease_lost(serve);
    }
}

static int time_left(const struct serve *serve)
{
    uint64_t next = serve->lease_ms, now = serve_now_ms();
    if (serve->spare.due_ms && serve->spare.due_ms < next)
        next = serve->spare.due_ms;
    if (serve->sync_ms && serve->sync_ms < next)
        next = serve->sync_ms;
    for (size_t i = 0; i < SITES_MAX; i++) {
        const struct serve_site *site = serve->at[i];
        if (site && site->measuring)
            return 0;
        uint64_t due = !site ? 0 : site->running ? site->deadline_ms : site->launch_ms;
        if (due && due < next)
            next = due;
    }
    return next <= now ? 0 : (int)(next - now);
}

/* Places in what is polled: fixed ones, then two for each instance, then the callers. Descriptors of -1 are ignored. */
enum place { SIGNALS, KEY_HOLDER, LISTENER, SPARE, FIRST_SITE, FIRST_CALLER = FIRST_SITE + 2 * SITES_MAX };
#define PLACES (FIRST_CALLER + SERVE_CALLERS_MAX)

static void fill_places(const struct serve *serve, struct pollfd waited[PLACES])
{
    for (size_t i = 0; i < PLACES; i++)
        waited[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    waited[SIGNALS].fd = serve->signals;
    waited[KEY_HOLDER].fd = KEYHOLDER_FD;
    waited[LISTENER].fd = serve->listener;
    waited[SPARE].fd = serve->spare.held ? serve->spare.enclave.process : -1;
    for (size_t i = 0; i < SITES_MAX; i++)
        if (serve->at[i]) {
            waited[FIRST_SITE + 2 * i].fd = serve->at[i]->enclave.process;
            waited[FIRST_SITE + 2 * i + 1].fd = serve->at[i]->enclave.socket;
        }
    for (size_t i = 0; i < SERVE_CALLERS_MAX; i++)
        waited[FIRST_CALLER + i].fd = serve->callers[i].fd;
}

/* One request a turn: a TPM takes its time for each, and others wait for it, too. */
static void act_for_site(struct serve *serve, struct serve_site *site, bool ended, bool asks)
{
    ended = ended && enclave_has_ended(&site->enclave);
    /* What the enclave said before it ended still counts. */
    if (asks || (ended && site->enclave.socket >= 0))
        serve_enclave_readable(serve, site, ended ? DRAIN_MAX : 1);
    if (ended && !serve->stopping)
        serve_enclave_ended(serve, site);
}

static void wait_and_act(struct serve *serve)
{
    struct pollfd waited[PLACES];
    fill_places(serve, waited);
    if (poll(waited, PLACES, time_left(serve)) <= 0)
        return;
    if (waited[SIGNALS].revents || waited[KEY_HOLDER].revents) {
        node_log("info", "monitor", "stopping", "reason=\"%s\"",
                 waited[SIGNALS].revents ? "asked to" : "the key holder is gone");
        serve->stopping = true;
        return;
    }
    if (waited[SPARE].revents && enclave_has_ended(&serve->spare.enclave))
        serve_spare_ended(serve, "ended by itself");
    /* Instances before callers: who comes takes the place of one that went only after what was seen of that is done. */
    for (size_t i = 0; i < SITES_MAX && !serve->stopping; i++)
        if (serve->at[i])
            act_for_site(serve, serve->at[i], waited[FIRST_SITE + 2 * i].revents != 0,
                         waited[FIRST_SITE + 2 * i + 1].revents != 0);
    for (size_t i = 0; i < SERVE_CALLERS_MAX && !serve->stopping; i++)
        if (waited[FIRST_CALLER + i].revents && serve->callers[i].fd == waited[FIRST_CALLER + i].fd)
            serve_caller_readable(serve, &serve->callers[i]);
    if (waited[LISTENER].revents && !serve->stopping)
        serve_accept(serve);
}

void serve_loop(struct serve *serve)
{
    serve->lease_ms = serve_now_ms() + LEASE_MS;
    while (!serve->stopping) {
        do_what_is_due(serve);
        if (!serve->stopping)
            wait_and_act(serve);
    }
    for (size_t i = 0; i < SITES_MAX; i++)
        if (serve->at[i])
            serve_enclave_stop(serve->at[i]);
    (void)serve_spare_drop(serve);
    /* Not ours to move once another monitor holds it. */
    if (!serve->moved && serve->exit_code != NODE_EXIT_DENIED && heads_move(&serve->heads, serve_now_s()) != OK)
        node_log("warning", "monitor", "stop", "reason=\"the counter did not move\"");
}

int serve_run(const struct serve_options *options)
{
    static struct serve serve; /* large; and what is static is moved to secret memory with the rest */
    serve = (struct serve){.options = options, .files = {-1, -1, false}, .launcher = -1, .listener = -1, .signals = -1};
    enclave_clear(&serve.own.enclave);
    for (size_t i = 0; i < SERVE_CALLERS_MAX; i++)
        serve.callers[i].fd = -1;
    int code = serve_prepare(&serve);
    if (!code && !options->check)
        code = serve_start(&serve);
    if (!code && !options->check) {
        node_log("info", "monitor", "serving", "counter=%llu measured=%d insecure_dev=%d",
                 (unsigned long long)serve.heads.counter, serve.monitor_measured, options->insecure_dev);
        serve_loop(&serve);
        code = serve.exit_code;
        node_log("info", "monitor", "stopped", "exit=%d counter=%llu", code, (unsigned long long)serve.heads.counter);
    }
    serve_done(&serve);
    return code;
}
