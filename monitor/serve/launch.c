/* The one enclave of the site: launched when a host attached, watched, launched again when it died, ended with its
 * host.
 */
#include "serve_internal.h"

#include "node.h"
#include "walls.h"

#include <string.h>
#include <sys/wait.h>

#define READY_MS 30000
#define BACK_OFF_FIRST_MS 100
#define BACK_OFF_MAX_MS 10000
#define BACK_OFF_REFUSED_MS 60000 /* it would refuse again: what it refuses is for people to look at */
#define STEADY_MS 30000           /* lived so long: what ended it is not what ended the one before */
#define TELL_MAX 256

static bool is_refusal(int wait_status)
{
    static const int refusals[] = {
        2, NODE_EXIT_ROLLED_BACK, NODE_EXIT_TAMPERED, SERVE_EXIT_WALL, NODE_EXIT_LIMIT, NODE_EXIT_IMAGE};
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == refusals[i])
            return true;
    return false;
}

static void plan_next(struct serve *serve, int wait_status)
{
    struct serve_site *site = &serve->site;
    uint64_t now = serve_now_ms();
    if (is_refusal(wait_status))
        site->back_off_ms = BACK_OFF_REFUSED_MS;
    else if (now - site->started_ms > STEADY_MS || site->back_off_ms < BACK_OFF_FIRST_MS)
        site->back_off_ms = BACK_OFF_FIRST_MS;
    else
        site->back_off_ms = site->back_off_ms < BACK_OFF_MAX_MS / 2 ? site->back_off_ms * 2 : BACK_OFF_MAX_MS;
    site->launch_ms = now + site->back_off_ms;
}

static void tell_died(struct serve *serve, pid_t pid, int wait_status, const char *sentence)
{
    uint8_t room[sizeof(struct monitor_died) + TELL_MAX];
    const struct monitor_died died = {.pid = (uint32_t)pid, .wait_status = (uint32_t)wait_status};
    struct writer writer = writer_over(room, sizeof room);
    put_bytes(&writer, bytes_from(&died, sizeof died));
    put_text(&writer, sentence);
    if (serve->host && !serve_send(serve->host->fd, MONITOR_DIED, OK, writer_bytes(&writer), NULL, 0))
        serve_drop_caller(serve, serve->host);
}

void serve_launch(struct serve *serve)
{
    struct serve_site *site = &serve->site;
    const struct enclave_plan plan = {.image = &serve->image,
                                      .configuration = serve->configuration_encoded,
                                      .workload = serve->workload_encoded,
                                      .pool_len = serve->options->pool_len,
                                      .secret_len = serve->secret_len,
                                      .body_max = serve->options->body_max,
                                      .no_secret_memory = serve->options->no_secret_memory,
                                      .launcher = serve->launcher,
                                      .user = serve_user(serve)};
    site->launch_ms = 0;
    site->started_ms = serve_now_ms();
    enum status status = heads_check_lease(&serve->heads);
    if (status == DENIED) {
        node_log("error", "monitor", "lease_lost", "exit=%d reason=\"another monitor has moved the counter\"",
                 NODE_EXIT_DENIED);
        serve->stopping = true;
        serve->exit_code = NODE_EXIT_DENIED;
        return;
    }
    if (enclave_start(&plan, &site->enclave) != OK) {
        node_log("error", "monitor", "not_launched", "reason=\"no process, memory or descriptor to be had\"");
        plan_next(serve, 0);
        return;
    }
    site->running = true;
    site->launches++;
    site->session = permit_session_of(PERMIT_ENCLAVE);
    site->deadline_ms = site->started_ms + READY_MS;
    node_log("info", "monitor", "launching", "launch=%u launcher=%d", site->launches, site->enclave.launcher);
}

uint32_t serve_standing_walls(const struct serve *serve)
{
    return serve->own_walls | (serve->site.running ? serve->site.walls : 0);
}

/* Only what the kernel says or what must have held for the enclave to come this far. */
static void measure_walls(struct serve *serve)
{
    struct serve_site *site = &serve->site;
    const uint64_t pool = serve->options->pool_len;
    uint64_t locked = 0;
    site->walls = site->enclave.walls | walls_of_process("", site->enclave.pid, serve->filters, &locked);
    if (site->walls & EAT_WALL_SYSCALL_FILTER)
        site->walls |= EAT_WALL_NO_NEW_CODE; /* the measured program locks both, or neither */
    site->secret_bytes = locked < serve->secret_len ? locked : serve->secret_len;
    site->unprotected_bytes = pool - site->secret_bytes;
    if (site->unprotected_bytes == 0)
        site->walls |= EAT_WALL_SECRET_MEMORY;
}

void serve_enclave_ready(struct serve *serve)
{
    struct serve_site *site = &serve->site;
    const struct monitor_launched launched = {.launch = site->launches, .back_off_ms = site->back_off_ms};
    const int door[] = {site->enclave.window, site->enclave.enclave_waits, site->enclave.host_waits};
    char missing[WALLS_TEXT_MAX];
    site->deadline_ms = 0;
    /* The report was written before the program began: it is there. */
    if (enclave_take_report(&site->enclave) != OK) {
        serve_enclave_ended(serve);
        return;
    }
    measure_walls(serve);
    if (!serve_walls_stand(serve, serve_standing_walls(serve)))
        return;
    walls_list(WALLS_ALL & ~serve_standing_walls(serve), ',', missing, sizeof missing);
    node_log("info", "monitor", "enclave_ready", "launch=%u pid=%d ms=%llu secret=%llu unprotected=%llu missing=%s",
             site->launches, site->enclave.pid, (unsigned long long)(serve_now_ms() - site->started_ms),
             (unsigned long long)site->secret_bytes, (unsigned long long)site->unprotected_bytes, missing);
    if (!serve_send(site->enclave.socket, MONITOR_READY, OK, (struct bytes){0}, NULL, 0))
        serve_enclave_ended(serve);
    else if (serve->host &&
             !serve_send(serve->host->fd, MONITOR_LAUNCHED, OK, bytes_from(&launched, sizeof launched), door, 3))
        serve_drop_caller(serve, serve->host);
}

void serve_enclave_ended(struct serve *serve)
{
    struct serve_site *site = &serve->site;
    char sentence[TELL_MAX];
    if (!site->running)
        return;
    bool never_ready = site->session.state == PERMIT_STARTING;
    pid_t pid = enclave_take_report(&site->enclave) == OK ? site->enclave.pid : 0;
    int wait_status = enclave_end(&site->enclave);
    site->running = false;
    site->deadline_ms = 0;
    site->session.state = PERMIT_ENDED;
    node_end_sentence(wait_status, sentence, sizeof sentence);
    plan_next(serve, wait_status);
    node_log("warning", "monitor", "enclave_died", "pid=%d wait_status=%#x ready=%d next_ms=%u reason=\"%s\"", pid,
             (unsigned)wait_status, !never_ready, site->back_off_ms, sentence);
    tell_died(serve, pid, wait_status, sentence);
}

void serve_enclave_stop(struct serve *serve)
{
    struct serve_site *site = &serve->site;
    site->launch_ms = 0;
    site->back_off_ms = 0;
    if (!site->running)
        return;
    node_log("info", "monitor", "enclave_stopped", "pid=%d", site->enclave.pid);
    (void)enclave_end(&site->enclave);
    site->running = false;
    site->deadline_ms = 0;
    site->session.state = PERMIT_ENDED;
}
