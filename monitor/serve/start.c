/* Everything before the first request: what needs no key first, so that a refusal there costs no unsealing. */
#include "serve_internal.h"

#include "node.h"
#include "walls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int refuse(int code, const char *event, const char *sentence)
{
    node_log("error", "monitor", event, "exit=%d reason=\"%s\"", code, sentence);
    return code;
}

static enum status read_below(const struct serve *serve, const char *name, uint8_t *room, size_t cap, size_t *len)
{
    char path[PATH_MAX];
    return node_path(serve->options->home, name, path) ? node_read_file(path, room, cap, len) : NO_ROOM;
}

static int load_own(struct serve *serve)
{
    char sentence[ENCLAVE_SENTENCE_MAX];
    struct site *own = &serve->own.is;
    size_t place = 0;
    if (site_read(own, serve->options->home, sentence) != OK)
        return refuse(NODE_EXIT_IMAGE, "configuration_refused", sentence);
    if (own->configuration.insecure_dev != serve->options->insecure_dev)
        return refuse(
            NODE_EXIT_DENIED, "other_mode",
            serve->options->insecure_dev
                ? "this site was made for production: a software TPM will not do (--insecure-dev)"
                : "this site was made with --insecure-dev and cannot become a production site: make a new one");
    if (site_load_image(&serve->sites, own, serve->options->image, sentence) != OK)
        return refuse(NODE_EXIT_IMAGE, "image_refused", sentence);
    if (sites_enter(&serve->sites, own, &serve->heads, &place, sentence) != OK)
        return refuse(SERVE_EXIT_INTERNAL, "not_served", sentence);
    serve->at[place] = &serve->own;
    return 0;
}

static int load_launcher(struct serve *serve)
{
    char path[PATH_MAX];
    uint8_t hash[32];
    if (!node_path(serve->options->programs, "bastide-launcher", path) ||
        node_seal_program(path, &serve->launcher, hash) != OK)
        return refuse(SERVE_EXIT_INTERNAL, "no_launcher", "bastide-launcher is not beside this program");
    return 0;
}

static int find_limits(struct serve *serve)
{
    char sentence[ENCLAVE_SENTENCE_MAX] = "";
    const struct serve_options *options = serve->options;
    if (options->no_secret_memory)
        return 0;
    enum status status = enclave_secret_len(options->pool_len, &serve->secret_len, sentence);
    if (status == NO_ROOM)
        return refuse(NODE_EXIT_LIMIT, "limit", sentence);
    if (serve->secret_len < options->pool_len && !options->check)
        node_log("warning", "monitor", "limit", "secret=%llu of=%llu reason=\"%s\"",
                 (unsigned long long)serve->secret_len, (unsigned long long)options->pool_len, sentence);
    return 0;
}

/* What can be told before any enclave runs. */
static uint32_t expected_walls(const struct serve *serve)
{
    uint32_t walls =
        serve->own_walls | EAT_WALL_NO_NEW_CODE | EAT_WALL_SYSCALL_FILTER | EAT_WALL_NAMESPACES | EAT_WALL_NON_DUMPABLE;
    if (serve->secret_len == serve->options->pool_len)
        walls |= EAT_WALL_SECRET_MEMORY;
    if (geteuid() == 0)
        walls |= EAT_WALL_OTHER_USER;
    return walls;
}

bool serve_walls_stand(struct serve *serve, uint32_t standing)
{
    uint32_t missing = serve->options->required & ~standing;
    for (uint32_t bit = 1; bit && bit <= missing; bit <<= 1)
        if (missing & bit)
            node_log("error", "monitor", "wall_missing", "exit=%d wall=%s advice=\"%s\"", SERVE_EXIT_WALL,
                     walls_name(bit), walls_advice(bit));
    return !missing;
}

int serve_prepare(struct serve *serve)
{
    char program[PATH_MAX], holder[PATH_MAX];
    serve->own_walls = walls_of_node("") | (serve->options->monitor_secret ? EAT_WALL_MONITOR_SECRET : 0);
    serve->filters = walls_own_filters("");
    /* Both in the chain: who starts the monitor could start another. A software TPM's boot chain vouches for nothing.
     */
    serve->monitor_measured = !serve->options->insecure_dev &&
                              node_path(serve->options->programs, "bastide-monitor", program) &&
                              node_path(serve->options->programs, "bastide-keyholder", holder) &&
                              walls_program_measured("", program) && walls_program_measured("", holder);
    int code = load_own(serve);
    if (!code)
        code = load_launcher(serve);
    if (!code)
        code = find_limits(serve);
    if (!code && !serve_walls_stand(serve, expected_walls(serve)))
        code = SERVE_EXIT_WALL;
    return code;
}

static int take_keys(struct serve *serve)
{
    const uint8_t ask = KEYHOLDER_ASK;
    struct keyholder_keys keys;
    bool good = send(KEYHOLDER_FD, &ask, 1, MSG_NOSIGNAL) == 1 &&
                recv(KEYHOLDER_FD, &keys, sizeof keys, 0) == (ssize_t)sizeof keys && keys.version == KEYHOLDER_VERSION;
    int code = SERVE_EXIT_INTERNAL;
    if (!good)
        code = refuse(code, "no_keys", "the key holder gives no keys: only it starts bastide-monitor");
    else if (keys.insecure_dev != serve->options->insecure_dev)
        code = refuse(NODE_EXIT_DENIED, "other_mode", "the key holder's keys are of the other mode");
    else if (crypto_key_import(&serve->report_key, CRYPTO_P256, BYTES_OF(keys.report_key)) != OK)
        code = refuse(code, "no_keys", "the report key is none");
    else
        code = 0;
    memcpy(serve->sealing_root, keys.sealing_root, sizeof serve->sealing_root);
    memcpy(serve->monitor_hash, keys.monitor_hash, sizeof serve->monitor_hash);
    wipe(&keys, sizeof keys);
    return code;
}

static int open_tpm(struct serve *serve)
{
    uint8_t room[TPM_SEALED_MAX];
    struct tpm *tpm;
    size_t len = 0;
    if (read_below(serve, "node/monitor/sealed", room, sizeof room, &len) != OK ||
        tpm_sealed_decode(bytes_from(room, len), &serve->tpm.sealed) != OK)
        return refuse(NODE_EXIT_TPM, "no_sealed", "node/monitor/sealed is missing or damaged");
    return serve_tpm(serve, &tpm) == OK ? 0 : refuse(NODE_EXIT_TPM, "tpm_refused", serve->tpm.error);
}

/* The owner's word that this node may begin anew, in node/reinitialise: good once, for the counter moves with it. What
 * the enclave stored before is refused by the enclave from then on. */
static bool reinitialised(struct serve *serve, uint64_t *counter)
{
    uint8_t token[IMAGE_TOKEN_MAX];
    char path[PATH_MAX];
    size_t len = 0;
    if (serve->heads.outside.read_counter(serve, counter) != OK ||
        read_below(serve, "node/reinitialise", token, sizeof token, &len) != OK)
        return false;
    enum status status = image_token_check(bytes_from(token, len), &serve->own.is.configuration.owner,
                                           IMAGE_REINITIALISE, serve->own.is.configuration.site, *counter);
    if (status == OK)
        status = heads_reinitialise(&serve->heads, serve_now_s());
    if (status == OK && node_path(serve->options->home, "node/reinitialise", path))
        unlink(path);
    node_log(status == OK ? "warning" : "error", "monitor", "reinitialise", "counter=%llu status=%s",
             (unsigned long long)*counter, status_word(status));
    return status == OK;
}

static int open_table(struct serve *serve)
{
    uint64_t counter = 0;
    char table[PATH_MAX], records[PATH_MAX];
    if (!node_path(serve->options->home, "node/monitor/table", table) ||
        !node_path(serve->options->home, "node/monitor/records", records) ||
        heads_open_files(table, records, &serve->files) != OK)
        return refuse(NODE_EXIT_TPM, "no_table", "node/monitor/table or records cannot be opened or made");
    enum heads_verdict verdict = serve_load_heads(serve);
    if (verdict == HEADS_GOOD)
        return 0;
    if (verdict == HEADS_OUTSIDE && serve->tpm.tpm)
        node_log("error", "monitor", "tpm", "reason=\"%s\"", tpm_error(serve->tpm.tpm));
    if (verdict != HEADS_OUTSIDE && reinitialised(serve, &counter))
        return 0;
    /* The number a token of the owner's must name. */
    node_log("error", "monitor", "table", "counter=%llu", (unsigned long long)counter);
    return refuse(heads_exit_code(verdict), "table_refused", heads_sentence(verdict));
}

/* A directory that hands its group on (chmod g+s) says that this group may call. */
static bool for_group(const struct serve *serve)
{
    char path[PATH_MAX];
    struct stat facts;
    return node_path(serve->options->home, "run", path) && stat(path, &facts) == 0 && facts.st_mode & S_ISGID;
}

static int listen_for_callers(struct serve *serve)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len = snprintf(address.sun_path, sizeof address.sun_path, "%s/run/monitor.sock", serve->options->home);
    if (len <= 0 || (size_t)len >= sizeof address.sun_path)
        return refuse(SERVE_EXIT_INTERNAL, "no_socket", "the home's path is too long for a socket");
    serve->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(address.sun_path); /* of a monitor that is gone: this one holds the lease */
    mode_t mask = umask(for_group(serve) ? 0117 : 0177);
    bool good = serve->listener >= 0 && bind(serve->listener, (struct sockaddr *)&address, sizeof address) == 0 &&
                listen(serve->listener, SERVE_CALLERS_MAX) == 0;
    umask(mask);
    return good ? 0 : refuse(SERVE_EXIT_INTERNAL, "no_socket", strerror(errno));
}

static int take_signals(struct serve *serve)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    if (sigprocmask(SIG_BLOCK, &wanted, NULL) == 0)
        serve->signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    return serve->signals < 0 ? SERVE_EXIT_INTERNAL : 0;
}

int serve_start(struct serve *serve)
{
    int code = take_signals(serve);
    if (!code)
        code = take_keys(serve);
    if (!code)
        code = open_tpm(serve);
    if (!code)
        code = open_table(serve);
    if (!code)
        code = listen_for_callers(serve);
    return code;
}

void serve_done(struct serve *serve)
{
    for (size_t i = 0; i < SERVE_CALLERS_MAX; i++)
        serve_drop_caller(serve, &serve->callers[i]);
    serve_enclave_stop(&serve->own);
    serve_forget(serve);
    serve_tpm_close(serve);
    site_done(&serve->sites, &serve->own.is);
    sites_done(&serve->sites);
    heads_done(&serve->heads);
    crypto_key_done(&serve->report_key);
    free(serve->measured.vms);
    wipe(serve, sizeof *serve);
}
