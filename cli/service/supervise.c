/* `bastide up --foreground`: three processes, two rules. bastided may go and come back. The key holder unseals once in
 * a TPM's life between resets: with a software TPM of our own both start again together, which that TPM takes for a
 * reboot; with any other TPM the machine must be rebooted, and we say so and end. */
#include "service.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fcntl.h>

#define BACK_OFF_FIRST_MS 100u
#define BACK_OFF_MAX_MS 10000u
#define STEADY_MS 30000u /* lived so long: what ended it is not what ended the one before */
#define STOP_MS 20000
#define TPM_START_MS 5000
#define TPM_FAILURES_MAX 3
#define LOG_KEPT (4l << 20)

enum which { TPM, HOLDER, DAEMON, COUNT };

struct supervisor {
    const struct cli *cli;
    const struct service_settings *settings;
    struct service services[COUNT];
    bool own_tpm;
    unsigned tpm_failures; /* of the key holder, in a row: a TPM that was killed under it is one, another TPM is all */
    bool served;           /* bastided ran well before: what stops it now passes */
};

__attribute__((format(printf, 3, 4))) static void tell(const char *level, const char *event, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s up %s %s\n", level, event, line);
}

static void name_services(struct service services[COUNT])
{
    static const char *const names[COUNT] = {"swtpm", "keyholder", "bastided"};
    for (size_t i = 0; i < COUNT; i++)
        services[i] = (struct service){.name = names[i], .pidfd = -1};
}

static void tpm_socket(const struct cli *cli, const char *name, char *room, size_t cap)
{
    snprintf(room, cap, "%.*s/run/%s", PATH_MAX - 32, cli->home, name);
}

/* ---- Starting ---- */

static enum status start_tpm(struct supervisor *up)
{
    char state[PATH_MAX + 16], server[PATH_MAX + 32], control[PATH_MAX + 32], path[PATH_MAX];
    snprintf(state, sizeof state, "dir=%.*s/tpm", PATH_MAX - 8, up->cli->home);
    tpm_socket(up->cli, "tpm.sock", path, sizeof path);
    unlink(path);
    snprintf(server, sizeof server, "type=unixio,path=%s,mode=0600", path);
    char other[PATH_MAX];
    tpm_socket(up->cli, "tpm-ctrl.sock", other, sizeof other);
    unlink(other);
    snprintf(control, sizeof control, "type=unixio,path=%s,mode=0600", other);
    const char *const argv[] = {"/usr/bin/swtpm", "socket", "--tpm2", "--tpmstate", state,           "--server",
                                server,           "--ctrl", control,  "--flags",    "startup-clear", NULL};
    TRY(service_start(up->cli, &up->services[TPM], argv));
    struct stat facts;
    for (uint64_t until = cli_now_ms() + TPM_START_MS; cli_now_ms() < until; poll(NULL, 0, 10))
        if (stat(path, &facts) == 0 && S_ISSOCK(facts.st_mode))
            return OK;
    return IO;
}

static enum status start_holder(struct supervisor *up)
{
    const struct service_settings *settings = up->settings;
    char program[PATH_MAX], tcti[PATH_MAX + 16], pool[24], body[24];
    const char *argv[20];
    size_t count = 0;
    snprintf(program, sizeof program, "%.*s/bastide-keyholder", PATH_MAX - 24, up->cli->program);
    if (up->own_tpm) {
        char path[PATH_MAX];
        tpm_socket(up->cli, "tpm.sock", path, sizeof path);
        snprintf(tcti, sizeof tcti, "swtpm:path=%s", path);
    } else {
        snprintf(tcti, sizeof tcti, "%s", settings->tcti);
    }
    const char *const always[] = {program, "--home", up->cli->home, "--image", settings->image, "--tcti", tcti};
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        argv[count++] = always[i];
    if (settings->insecure_dev)
        argv[count++] = "--insecure-dev";
    if (settings->allow_missing[0])
        argv[count++] = "--allow-missing", argv[count++] = settings->allow_missing;
    if (settings->require[0])
        argv[count++] = "--require", argv[count++] = settings->require;
    if (settings->pool_mib) {
        snprintf(pool, sizeof pool, "%llu", (unsigned long long)settings->pool_mib);
        argv[count++] = "--pool-mib", argv[count++] = pool;
    }
    if (settings->body_max) {
        snprintf(body, sizeof body, "%llu", (unsigned long long)settings->body_max);
        argv[count++] = "--body-max", argv[count++] = body;
    }
    if (settings->no_secret_memory)
        argv[count++] = "--no-secret-memory";
    if (settings->no_spare)
        argv[count++] = "--no-spare";
    argv[count] = NULL;
    return service_start(up->cli, &up->services[HOLDER], argv);
}

static enum status start_daemon(struct supervisor *up)
{
    char program[PATH_MAX], body[24];
    snprintf(program, sizeof program, "%.*s/bastided", PATH_MAX - 16, up->cli->program);
    snprintf(body, sizeof body, "%llu",
             (unsigned long long)(up->settings->body_max ? up->settings->body_max : SERVICE_BODY_DEFAULT));
    const char *const argv[] = {program,  "--home",           up->cli->home, "--coap", up->settings->coap,
                                "--http", up->settings->http, "--body-max",  body,     NULL};
    return service_start(up->cli, &up->services[DAEMON], argv);
}

static enum status start_one(struct supervisor *up, enum which which)
{
    enum status status = which == TPM ? start_tpm(up) : which == HOLDER ? start_holder(up) : start_daemon(up);
    struct service *service = &up->services[which];
    if (status == OK)
        tell("info", "started", "name=%s pid=%d", service->name, (int)service->pid);
    else
        tell("error", "not_started", "name=%s reason=\"%s\"", service->name,
             status != NOT_FOUND ? "it could not be started, or did not begin to serve"
             : which == TPM      ? "/usr/bin/swtpm is not installed (make deps installs it)"
                                 : "the program is not beside bastide");
    return status;
}

/* ---- Ends ---- */

static void plan_restart(struct service *service)
{
    uint64_t now = cli_now_ms();
    if (now - service->started_ms > STEADY_MS || service->back_off_ms < BACK_OFF_FIRST_MS)
        service->back_off_ms = BACK_OFF_FIRST_MS;
    else
        service->back_off_ms = service->back_off_ms < BACK_OFF_MAX_MS / 2 ? service->back_off_ms * 2 : BACK_OFF_MAX_MS;
    service->restart_at_ms = now + service->back_off_ms;
}

/* What would be refused again. */
static bool is_refusal(int code)
{
    return code == CLI_USAGE || code == CLI_DENIED || (code >= CLI_ROLLED_BACK && code <= CLI_IMAGE && code != CLI_TPM);
}

/* 0: go on. */
static int after_holder(struct supervisor *up, int code)
{
    struct service *tpm = &up->services[TPM], *holder = &up->services[HOLDER];
    bool steady = cli_now_ms() - holder->started_ms > STEADY_MS;
    up->tpm_failures = code == CLI_TPM && !steady ? up->tpm_failures + 1 : 0;
    if (is_refusal(code) || up->tpm_failures == TPM_FAILURES_MAX)
        return code;
    if (!up->own_tpm) {
        tell("error", "key_holder_lost",
             "reason=\"the key holder ended and this boot unseals no more: reboot the machine\"");
        return code > 0 && code < 128 ? code : CLI_TPM;
    }
    service_stop(up->cli, tpm, STOP_MS);
    plan_restart(holder);
    tpm->restart_at_ms = holder->restart_at_ms;
    return 0;
}

static int after_tpm(struct supervisor *up)
{
    struct service *tpm = &up->services[TPM], *holder = &up->services[HOLDER];
    service_stop(up->cli, holder, STOP_MS);
    plan_restart(tpm);
    holder->restart_at_ms = tpm->restart_at_ms;
    return 0;
}

static int after_daemon(struct supervisor *up, int code)
{
    struct service *daemon = &up->services[DAEMON];
    bool refused = is_refusal(code) || code == CLI_UNREACHABLE || code == CLI_ARCHIVE || code == CLI_DISK;
    if (refused && !up->served)
        return code;
    up->served = up->served || cli_now_ms() - daemon->started_ms > 1000;
    plan_restart(daemon);
    return 0;
}

static int look_for_ends(struct supervisor *up)
{
    for (size_t i = 0; i < COUNT; i++) {
        int code, verdict;
        if (!service_ended(up->cli, &up->services[i], &code))
            continue;
        tell("warning", "ended", "name=%s code=%d", up->services[i].name, code);
        verdict = i == TPM ? after_tpm(up) : i == HOLDER ? after_holder(up, code) : after_daemon(up, code);
        if (verdict)
            return verdict;
    }
    return 0;
}

static int start_missing(struct supervisor *up)
{
    uint64_t now = cli_now_ms();
    for (enum which i = up->own_tpm ? TPM : HOLDER; i < COUNT; i++) {
        struct service *service = &up->services[i];
        if (service->pidfd >= 0 || now < service->restart_at_ms)
            continue;
        enum status status = start_one(up, i);
        if (status == NOT_FOUND)
            return i == TPM ? CLI_TPM : CLI_INTERNAL;
        if (status != OK) {
            plan_restart(service);
            return 0; /* in order: the next ones need this one */
        }
    }
    return 0;
}

static int next_wait_ms(const struct supervisor *up)
{
    uint64_t now = cli_now_ms(), wait = 60000;
    for (size_t i = up->own_tpm ? TPM : HOLDER; i < COUNT; i++) {
        const struct service *service = &up->services[i];
        if (service->pidfd < 0)
            wait = service->restart_at_ms <= now         ? 0
                   : service->restart_at_ms - now < wait ? service->restart_at_ms - now
                                                         : wait;
    }
    return (int)wait;
}

static int serve(struct supervisor *up, int signals)
{
    for (;;) {
        struct pollfd waited[COUNT + 1];
        int code = start_missing(up);
        if (code)
            return code;
        for (size_t i = 0; i < COUNT; i++)
            waited[i] = (struct pollfd){up->services[i].pidfd, POLLIN, 0};
        waited[COUNT] = (struct pollfd){signals, POLLIN, 0};
        (void)poll(waited, COUNT + 1, next_wait_ms(up));
        if (waited[COUNT].revents)
            return 0;
        code = look_for_ends(up);
        if (code)
            return code;
    }
}

/* ---- All of it ---- */

/* A software TPM and its key holder are only of use together. */
static void adopt_all(struct supervisor *up)
{
    struct service *tpm = &up->services[TPM], *holder = &up->services[HOLDER];
    for (size_t i = 0; i < COUNT; i++)
        if (service_adopt(up->cli, &up->services[i]))
            tell("info", "adopted", "name=%s pid=%d", up->services[i].name, (int)up->services[i].pid);
    if (up->own_tpm && (tpm->pidfd < 0) != (holder->pidfd < 0)) {
        service_stop(up->cli, holder, STOP_MS);
        service_stop(up->cli, tpm, STOP_MS);
    }
    up->served = up->services[DAEMON].pidfd >= 0;
}

static int stop_all(const struct cli *cli, struct service services[COUNT])
{
    int stopped = 0;
    for (size_t i = COUNT; i-- > 0;) {
        if (services[i].pidfd < 0)
            continue;
        service_stop(cli, &services[i], STOP_MS);
        stopped++;
    }
    return stopped;
}

int service_stop_all(const struct cli *cli)
{
    struct service services[COUNT];
    name_services(services);
    for (size_t i = 0; i < COUNT; i++)
        (void)service_adopt(cli, &services[i]);
    return stop_all(cli, services);
}

static void trim_logs(const struct supervisor *up)
{
    for (size_t i = 0; i < COUNT; i++) {
        char name[64], path[PATH_MAX], older[PATH_MAX];
        if (up->services[i].pidfd >= 0 || service_log_len(up->cli, up->services[i].name) < LOG_KEPT)
            continue;
        snprintf(name, sizeof name, "run/%s.log", up->services[i].name);
        cli_path(up->cli, name, path);
        snprintf(name, sizeof name, "run/%s.log.1", up->services[i].name);
        if (rename(path, cli_path(up->cli, name, older)) != 0)
            tell("warning", "log_kept", "name=%s reason=\"%s\"", up->services[i].name, strerror(errno));
    }
}

int service_supervise(const struct cli *cli, const struct service_settings *settings)
{
    struct supervisor up = {.cli = cli, .settings = settings, .own_tpm = settings->tcti[0] == 0};
    struct service own = {.name = "up", .pidfd = -1};
    char path[PATH_MAX];
    sigset_t stops;
    int lock = open(cli_path(cli, "run/up.lock", path), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) != 0) {
        tell("error", "locked", "reason=\"another bastide supervises this home\"");
        return CLI_DENIED;
    }
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    sigprocmask(SIG_BLOCK, &stops, NULL);
    int signals = signalfd(-1, &stops, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0 || service_claim(cli, &own) != OK) {
        tell("error", "not_started", "reason=\"%s\"", strerror(errno));
        return CLI_INTERNAL;
    }
    name_services(up.services);
    adopt_all(&up);
    trim_logs(&up);
    int code = serve(&up, signals);
    int stopped = stop_all(cli, up.services);
    tell(code ? "error" : "info", "stopped", "processes=%d code=%d", stopped, code);
    unlink(cli_path(cli, "run/up.pid", path));
    close(signals);
    close(lock);
    return code;
}
