/* The enclave of each instance: launched when a host attached, watched, launched again when it died, ended with its
 * host. */
#include "serve_internal.h"

#include "node.h"
#include "walls.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void plan_next(struct serve_site *site, int wait_status)
{
    uint64_t now = serve_now_ms();
    if (is_refusal(wait_status))
        site->back_off_ms = BACK_OFF_REFUSED_MS;
    else if (now - site->started_ms > STEADY_MS || site->back_off_ms < BACK_OFF_FIRST_MS)
        site->back_off_ms = BACK_OFF_FIRST_MS;
    else
        site->back_off_ms = site->back_off_ms < BACK_OFF_MAX_MS / 2 ? site->back_off_ms * 2 : BACK_OFF_MAX_MS;
    site->launch_ms = now + site->back_off_ms;
}

static void tell_died(struct serve *serve, struct serve_site *site, pid_t pid, int wait_status, const char *sentence)
{
    uint8_t room[sizeof(struct monitor_died) + TELL_MAX];
    const struct monitor_died died = {.pid = (uint32_t)pid, .wait_status = (uint32_t)wait_status};
    struct writer writer = writer_over(room, sizeof room);
    put_bytes(&writer, bytes_from(&died, sizeof died));
    put_text(&writer, sentence);
    if (site->host && !serve_send(site->host->fd, MONITOR_DIED, OK, writer_bytes(&writer), NULL, 0))
        serve_drop_caller(serve, site->host);
}

static enum status prepare(struct serve *serve, struct serve_site *site, char sentence[ENCLAVE_SENTENCE_MAX])
{
    char directory[SITES_PATH_MAX], below[SITES_PATH_MAX + 8], image[PATH_MAX];
    size_t place = 0;
    site_directory(site->is.name, directory);
    snprintf(below, sizeof below, "%s/image", directory);
    snprintf(sentence, ENCLAVE_SENTENCE_MAX, "the home's path is too long");
    TRY(site_read(&site->is, serve->options->home, sentence));
    TRY(sites_enter(&serve->sites, &site->is, &serve->heads, &place, sentence));
    enum status status = node_path(serve->options->home, below, image)
                             ? site_load_image(&serve->sites, &site->is, image, sentence)
                             : NO_ROOM;
    if (status != OK)
        sites_leave(&serve->sites, &site->is);
    else
        serve->at[place] = site;
    return status;
}

enum status serve_admit(struct serve *serve, const char *name, struct serve_site **site,
                        char sentence[ENCLAVE_SENTENCE_MAX])
{
    struct serve_site *made = calloc(1, sizeof *made);
    snprintf(sentence, ENCLAVE_SENTENCE_MAX, "the monitor has no memory left");
    if (!made)
        return NO_ROOM;
    snprintf(made->is.name, sizeof made->is.name, "%s", name);
    snprintf(made->tag, sizeof made->tag, "instance=%s ", name);
    enclave_clear(&made->enclave);
    enum status status = prepare(serve, made, sentence);
    if (status != OK) {
        site_done(&serve->sites, &made->is);
        free(made);
        return status;
    }
    *site = made;
    return OK;
}

void serve_forget(struct serve *serve)
{
    for (size_t i = SITES_OWN + 1; i < SITES_MAX; i++) {
        struct serve_site *site = serve->at[i];
        if (!site || site->host)
            continue;
        serve_enclave_stop(site);
        sites_leave(&serve->sites, &site->is);
        site_done(&serve->sites, &site->is);
        serve->at[i] = NULL;
        free(site);
    }
}

struct enclave_plan serve_plan(const struct serve *serve, const struct sites_image *image, uint32_t user)
{
    return (struct enclave_plan){.image = &image->image,
                                 .pool_len = serve->options->pool_len,
                                 .secret_len = serve->secret_len,
                                 .body_max = serve->options->body_max,
                                 .no_secret_memory = serve->options->no_secret_memory,
                                 .launcher = serve->launcher,
                                 .user = geteuid() == 0 ? user : 0};
}

/* What is held ready gives way to who is to be served. */
static enum status start(struct serve *serve, struct serve_site *site)
{
    const struct enclave_plan plan = serve_plan(serve, site->is.image, site->is.user);
    if (enclave_start(&plan, &site->enclave) == OK)
        return OK;
    if (!serve->spare.held)
        return IO;
    (void)serve_spare_drop(serve);
    return enclave_start(&plan, &site->enclave);
}

void serve_launch(struct serve *serve, struct serve_site *site)
{
    const bool spare = serve_spare_take(serve, site);
    site->launch_ms = 0;
    site->started_ms = serve_now_ms();
    if (!spare && start(serve, site) != OK) {
        node_log("error", "monitor", "not_launched", "%sreason=\"no process, memory or descriptor to be had\"",
                 site->tag);
        plan_next(site, 0);
        return;
    }
    site->running = true;
    site->launches++;
    site->session = permit_session_of(PERMIT_ENCLAVE);
    site->deadline_ms = site->started_ms + SERVE_READY_MS;
    node_log("info", "monitor", "launching", "%slaunch=%u %s=%d", site->tag, site->launches, spare ? "pid" : "launcher",
             spare ? site->enclave.pid : site->enclave.launcher);
    if (spare)
        serve_enclave_readable(serve, site, 1); /* it asked READY long ago */
    /* The TPM takes its time, while launcher or enclave do their part; what is secret or says how fresh anything is, is
     * answered only then. */
    if (!serve->stopping && heads_check_lease(&serve->heads) == DENIED)
        serve_lease_lost(serve);
}

uint32_t serve_standing_walls(const struct serve *serve, const struct serve_site *site)
{
    return serve->own_walls | (site->running ? site->walls : 0);
}

/* Only what the kernel says or what must have held for the enclave to come this far. */
static void measure_walls(const struct serve *serve, struct serve_site *site)
{
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

/* `refused`: 0, or the exit code to name in place of the one that being killed gives. */
static void end(struct serve *serve, struct serve_site *site, int refused)
{
    char sentence[TELL_MAX];
    if (!site->running)
        return;
    bool never_ready = site->session.state == PERMIT_STARTING;
    pid_t pid = enclave_take_report(&site->enclave) == OK ? site->enclave.pid : 0;
    int wait_status = enclave_end(&site->enclave);
    if (refused)
        wait_status = W_EXITCODE(refused, 0);
    site->running = false;
    site->deadline_ms = 0;
    site->session.state = PERMIT_ENDED;
    node_end_sentence(wait_status, sentence, sizeof sentence);
    plan_next(site, wait_status);
    node_log("warning", "monitor", "enclave_died", "%spid=%d wait_status=%#x ready=%d next_ms=%u reason=\"%s\"",
             site->tag, pid, (unsigned)wait_status, !never_ready, site->back_off_ms, sentence);
    tell_died(serve, site, pid, wait_status, sentence);
}

void serve_enclave_ended(struct serve *serve, struct serve_site *site)
{
    end(serve, site, 0);
}

/* The node was made for its own instance and says by its end that it cannot serve it; a named one is refused alone. */
static void refuse_for_walls(struct serve *serve, struct serve_site *site)
{
    if (site != &serve->own) {
        end(serve, site, SERVE_EXIT_WALL);
        return;
    }
    serve->stopping = true;
    serve->exit_code = SERVE_EXIT_WALL;
}

static bool tell_whose(const struct serve_site *site)
{
    const struct site *is = &site->is;
    const struct monitor_ready_reply lens = {.configuration_len = (uint32_t)is->configuration_encoded.len,
                                             .workload_len = (uint32_t)is->workload_encoded.len};
    static uint8_t room[sizeof lens + IMAGE_CONFIGURATION_MAX + IMAGE_WORKLOAD_MAX];
    struct writer writer = writer_over(room, sizeof room);
    put_bytes(&writer, bytes_from(&lens, sizeof lens));
    put_bytes(&writer, is->configuration_encoded);
    put_bytes(&writer, is->workload_encoded);
    return writer_end(&writer) == OK &&
           serve_send(site->enclave.socket, MONITOR_READY, OK, writer_bytes(&writer), NULL, 0);
}

void serve_enclave_ready(struct serve *serve, struct serve_site *site)
{
    const struct monitor_launched launched = {.launch = site->launches, .back_off_ms = site->back_off_ms};
    const int door[LAUNCHED_DESCRIPTORS] = {site->enclave.window, site->enclave.enclave_waits, site->enclave.host_waits,
                                            site->enclave.sockets};
    char missing[WALLS_TEXT_MAX];
    site->deadline_ms = 0;
    /* It was written before the program began: it is there. */
    if (enclave_take_report(&site->enclave) != OK) {
        serve_enclave_ended(serve, site);
        return;
    }
    measure_walls(serve, site);
    if (!serve_walls_stand(serve, serve_standing_walls(serve, site))) {
        refuse_for_walls(serve, site);
        return;
    }
    walls_list(WALLS_ALL & ~serve_standing_walls(serve, site), ',', missing, sizeof missing);
    node_log("info", "monitor", "enclave_ready", "%slaunch=%u pid=%d ms=%llu secret=%llu unprotected=%llu missing=%s",
             site->tag, site->launches, site->enclave.pid, (unsigned long long)(serve_now_ms() - site->started_ms),
             (unsigned long long)site->secret_bytes, (unsigned long long)site->unprotected_bytes, missing);
    if (site != &serve->own && site->walls & EAT_WALL_NAMESPACES) /* else none would be taken */
        serve_spare_want(serve, site->is.image);
    if (!tell_whose(site))
        serve_enclave_ended(serve, site);
    else if (site->host && !serve_send(site->host->fd, MONITOR_LAUNCHED, OK, bytes_from(&launched, sizeof launched),
                                       door, LAUNCHED_DESCRIPTORS))
        serve_drop_caller(serve, site->host);
}

void serve_enclave_stop(struct serve_site *site)
{
    site->launch_ms = 0;
    site->back_off_ms = 0;
    if (!site->running)
        return;
    node_log("info", "monitor", "enclave_stopped", "%spid=%d", site->tag, site->enclave.pid);
    (void)enclave_end(&site->enclave);
    site->running = false;
    site->deadline_ms = 0;
    site->session.state = PERMIT_ENDED;
}
