/* What this process is told on its command line, and what it gives up before it parses what strangers send. */
#include "daemon.h"
#include "gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/landlock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Connections of HTTP, twice while one is watched, and room for everything else. */
#define DESCRIPTORS 4096

static void harden_process(void)
{
    struct rlimit files;
    const struct rlimit none = {0, 0};
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max < DESCRIPTORS ? files.rlim_max : DESCRIPTORS;
        if (setrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur < DESCRIPTORS)
            pump_log("warning", "descriptor_limit", "limit=%lu wanted=%d", (unsigned long)files.rlim_cur, DESCRIPTORS);
    }
    if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        pump_log("warning", "harden", "reason=\"%s\"", strerror(errno));
}

#define READS (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITES (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)
#define NEVER                                                                                                          \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_CHAR |                       \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |                       \
     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

static void harden_files(const char *node)
{
    const struct landlock_ruleset_attr all = {.handled_access_fs = READS | WRITES | NEVER};
    struct landlock_path_beneath_attr rule = {.allowed_access = READS | WRITES};
    long rules = syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
    rule.parent_fd = open(node, O_PATH | O_CLOEXEC);
    bool done = rules >= 0 && rule.parent_fd >= 0 &&
                syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0 &&
                syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    if (!done)
        pump_log("warning", "landlock_missing", "reason=\"%s\"", strerror(errno));
    if (rules >= 0)
        close((int)rules);
    if (rule.parent_fd >= 0)
        close(rule.parent_fd);
}

void daemon_harden(const struct daemon_options *options)
{
    char node[4096];
    harden_process();
    int len = snprintf(node, sizeof node, "%s/node", options->home);
    if (len > 0 && (size_t)len < sizeof node)
        harden_files(node);
}

static void put_usage(FILE *to)
{
    fprintf(
        to,
        "usage: bastided --home DIR [--coap ADDRESS:PORT] [--http ADDRESS:PORT] [--body-max BYTES]\n"
        "The untrusted half of a node: carries OSCORE over CoAP and HTTP to the enclave of DIR/run/monitor.sock and\n"
        "keeps its ciphertext in DIR/node. Defaults: --coap 127.0.0.1:5683 --http 127.0.0.1:8080 --body-max %u\n"
        "IPv6 in brackets: [::]:5683 takes both families.\n"
        "Exit codes: 0 stopped as asked, 1 internal error, 2 the command line is wrong, 3 another bastided has the\n"
        "archive, 4 an address cannot be bound, 13 the archive cannot be opened, 14 the disk is full.\n",
        GATEWAY_BODY_DEFAULT);
}

static int refuse_option(const char *name, const char *value, const char *reason)
{
    fprintf(stderr, "bastided: --%s %s: %s\n", name, value, reason);
    return 2;
}

int daemon_parse(int argc, char **argv, struct daemon_options *options)
{
    static const struct option known[] = {
        {"home", required_argument, NULL, 'd'}, {"coap", required_argument, NULL, 'c'},
        {"http", required_argument, NULL, 'h'}, {"body-max", required_argument, NULL, 'b'},
        {"help", no_argument, NULL, '?'},       {0}};
    struct daemon_options asked = {NULL, "127.0.0.1:5683", "127.0.0.1:8080", GATEWAY_BODY_DEFAULT};
    struct coap_peer ignored;
    const char *body_max = "65536";
    opterr = 0;
    for (int letter, index = -1; (letter = getopt_long(argc, argv, "", known, &index)) != -1; index = -1) {
        const char **place = letter == 'd'   ? &asked.home
                             : letter == 'c' ? &asked.coap
                             : letter == 'h' ? &asked.http
                             : letter == 'b' ? &body_max
                                             : NULL;
        if (!place) {
            bool help = index >= 0 && known[index].val == '?';
            put_usage(help ? stdout : stderr);
            return help ? 0 : 2;
        }
        *place = optarg;
    }
    if (!asked.home || optind != argc) {
        put_usage(stderr);
        return 2;
    }
    char *end;
    unsigned long bytes = strtoul(body_max, &end, 10);
    if (*body_max < '0' || *body_max > '9' || *end || bytes == 0 || bytes > GATEWAY_BODY_LIMIT)
        return refuse_option("body-max", body_max, "give a number of bytes from 1 to 196608");
    if (gateway_parse_address(asked.coap, &ignored) != OK)
        return refuse_option("coap", asked.coap, "give a numeric ADDRESS:PORT, IPv6 in brackets");
    if (gateway_parse_address(asked.http, &ignored) != OK)
        return refuse_option("http", asked.http, "give a numeric ADDRESS:PORT, IPv6 in brackets");
    asked.body_max = (uint32_t)bytes;
    *options = asked;
    return -1;
}
