/* One thread, one poll: signals and the key holder, the control socket, the launcher, the enclave; then what is due. */
#include "serve_internal.h"

#include "node.h"

#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LEASE_MS 60000  /* between two looks at the TPM's counter */
#define HANG_UP_MS 2000 /* from an enclave's hanging up to its end */
#define FIXED 5

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

void serve_enclave_hung_up(struct serve *serve)
{
    struct serve_site *site = &serve->site;
    close(site->enclave.socket);
    site->enclave.socket = -1;
    site->deadline_ms = serve_now_ms() + HANG_UP_MS; /* for its exit code */
}

static void check_lease(struct serve *serve)
{
    if (heads_check_lease(&serve->heads) != DENIED)
        return;
    node_log("error", "monitor", "lease_lost", "exit=%d reason=\"another monitor has moved the counter\"",
             NODE_EXIT_DENIED);
    serve->stopping = true;
    serve->exit_code = NODE_EXIT_DENIED;
}

static void do_what_is_due(struct serve *serve)
{
    struct serve_site *site = &serve->site;
    uint64_t now = serve_now_ms();
    if (site->running && site->deadline_ms && now >= site->deadline_ms) {
        node_log("warning", "monitor", "enclave_late", "pid=%d reason=\"%s\"", site->enclave.pid,
                 site->enclave.socket < 0 ? "hung up and did not end" : "was not ready in time");
        serve_enclave_ended(serve);
    }
    if (!site->running && site->launch_ms && now >= site->launch_ms && serve->host)
        serve_launch(serve);
    if (!serve->stopping && now >= serve->lease_ms) {
        serve->lease_ms = now + LEASE_MS;
        check_lease(serve);
    }
}

static int time_left(const struct serve *serve)
{
    const struct serve_site *site = &serve->site;
    uint64_t next = serve->lease_ms, now = serve_now_ms();
    if (site->running && site->deadline_ms && site->deadline_ms < next)
        next = site->deadline_ms;
    if (!site->running && site->launch_ms && site->launch_ms < next)
        next = site->launch_ms;
    return next <= now ? 0 : (int)(next - now);
}

static void wait_and_act(struct serve *serve)
{
    /* Descriptors of -1 are ignored by poll(). */
    struct pollfd waited[FIXED + SERVE_CALLERS_MAX] = {
        {.fd = serve->signals, .events = POLLIN},
        {.fd = KEYHOLDER_FD, .events = POLLIN},
        {.fd = serve->listener, .events = POLLIN},
        {.fd = serve->site.enclave.launcher_fd, .events = POLLIN},
        {.fd = serve->site.enclave.socket, .events = POLLIN},
    };
    for (size_t i = 0; i < SERVE_CALLERS_MAX; i++)
        waited[FIXED + i] = (struct pollfd){.fd = serve->callers[i].fd, .events = POLLIN};
    if (poll(waited, FIXED + SERVE_CALLERS_MAX, time_left(serve)) <= 0)
        return;
    if (waited[0].revents || waited[1].revents) {
        node_log("info", "monitor", "stopping", "reason=\"%s\"",
                 waited[0].revents ? "asked to" : "the key holder is gone");
        serve->stopping = true;
        return;
    }
    /* What the enclave said before it ended still counts. */
    if (waited[4].revents)
        serve_enclave_readable(serve);
    if (waited[3].revents && !serve->stopping)
        serve_enclave_ended(serve);
    for (size_t i = 0; i < SERVE_CALLERS_MAX && !serve->stopping; i++)
        if (waited[FIXED + i].revents && serve->callers[i].fd == waited[FIXED + i].fd)
            serve_caller_readable(serve, &serve->callers[i]);
    if (waited[2].revents && !serve->stopping)
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
    serve_enclave_stop(serve);
    /* Not ours to move once another monitor holds it. */
    if (!serve->moved && serve->exit_code != NODE_EXIT_DENIED && heads_move(&serve->heads, serve_now_s()) != OK)
        node_log("warning", "monitor", "stop", "reason=\"the counter did not move\"");
}

int serve_run(const struct serve_options *options)
{
    static struct serve serve; /* large; and what is static is moved to secret memory with the rest */
    serve = (struct serve){.options = options, .table = -1, .launcher = -1, .listener = -1, .signals = -1};
    enclave_clear(&serve.site.enclave);
    for (size_t i = 0; i < IMAGE_FILES_MAX; i++)
        serve.image.files[i] = -1;
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
