/* bastide-keyholder: options; a monitor that would refuse is found out before anything is unsealed; then keys, then the
 * monitor for as long as this boot lasts. */
#include "crypto.h"
#include "holder.h"
#include "memory.h"
#include "node.h"

#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define MEMORY_LEN (6u << 20)

static const char usage[] =
    "usage: bastide-keyholder --home DIR --image DIR --tcti TPM [--insecure-dev] [--require WALL,...]\n"
    "                         [--allow-missing WALL,...] [--pool-mib N] [--body-max N] [--no-secret-memory]\n"
    "                         [--no-spare] [--authorise]\n"
    "TPM: device:/dev/tpmrm0, or with --insecure-dev swtpm:path=SOCKET or swtpm:host=ADDRESS,port=N.\n"
    "--require: walls without which it refuses to run (exit 10): secret-memory, no-new-code, syscall-filter,\n"
    "  namespaces, other-user, non-dumpable, monitor-secret, no-ptrace, lockdown, secure-boot, signed-modules.\n"
    "  Without --insecure-dev it requires all of them but those that --allow-missing names.\n"
    "--authorise: sign the present boot chain with node/monitor/boot_signer, and exit.\n"
    "--pool-mib: memory of the enclave (64). --body-max: bytes of a request (65536). --no-secret-memory: with "
    "--insecure-dev only, for tests.\n"
    "--no-spare: hold no enclave ready for the next named instance.\n"
    "Exit codes: 0 stopped, 1 internal, 2 usage, 3 denied, 7 rolled back, 8 tampered with, 9 TPM, 10 a wall is\n"
    "  missing, 11 a limit is too small, 12 image refused.\n";

static int misused(const char *what, const char *why)
{
    fprintf(stderr, "bastide-keyholder: %s %s\n%s", what, why, usage);
    return EXIT_USAGE;
}

/* The monitor takes our own words, and where the programs are. */
static bool give_on(struct holder_options *options, size_t *count, const char *name, const char *value)
{
    char **argv = options->monitor_arguments;
    if (*count + 2 > HOLDER_ARGUMENTS_MAX)
        return false;
    argv[(*count)++] = (char *)(uintptr_t)name;
    if (value)
        argv[(*count)++] = (char *)(uintptr_t)value;
    argv[*count] = NULL;
    return true;
}

static bool find_programs(struct holder_options *options)
{
    char path[sizeof options->programs];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    if (len <= 0)
        return false;
    path[len] = 0;
    return snprintf(options->programs, sizeof options->programs, "%s", dirname(path)) > 0;
}

struct arguments {
    int argc;
    char **argv;
};

/* On a stack of secret memory. */
static int run(void *user)
{
    const struct arguments *arguments = user;
    const int argc = arguments->argc;
    char **const argv = arguments->argv;
    static const struct option known[] = {
        NODE_OPTIONS, {"authorise", no_argument, NULL, 'a'}, {"help", no_argument, NULL, '?' + 256}, {0}};
    static struct holder_options options;
    static struct keyholder_keys keys;
    bool image = false;
    size_t count = 0;
    if (!find_programs(&options) || !give_on(&options, &count, "bastide-monitor", NULL) ||
        !give_on(&options, &count, "--programs", options.programs))
        return 1;
    for (int option, at; at = 0, (option = getopt_long(argc, argv, "", known, &at)) != -1;) {
        if (option == '?' + 256)
            return fputs(usage, stdout) < 0;
        if (option == '?')
            return misused("an option", "is unknown, lacks its value, or has one too many");
        options.home = option == 'h' ? optarg : options.home;
        options.tcti = option == 't' ? optarg : options.tcti;
        options.insecure_dev |= option == 'd';
        options.authorise |= option == 'a';
        image |= option == 'i';
        char name[32];
        snprintf(name, sizeof name, "--%s", known[at].name);
        if (option != 'a' && !give_on(&options, &count, strdup(name), optarg))
            return misused("options", "are given more than once");
    }
    if (optind != argc || !options.home || !options.tcti || (!image && !options.authorise))
        return misused("--home, --image and --tcti", "are needed, and nothing but options");
    const bool network = strncmp(options.tcti, "swtpm:host=", 11) == 0;
    if (node_lock_down(2) != OK || node_refuse(network) != OK || crypto_init() != OK) {
        node_log("error", "keyholder", "not_started", "reason=\"the process cannot be locked down\"");
        return 1;
    }
    if (options.authorise)
        return holder_authorise(&options);
    int code = holder_check_monitor(&options);
    if (!code)
        code = holder_open_keys(&options, &keys);
    if (!code)
        code = holder_supervise(&options, &keys);
    wipe(&keys, sizeof keys);
    return code;
}

int main(int argc, char **argv)
{
    const struct memory_options memory = {.pool_len = MEMORY_LEN, .secret_len = MEMORY_LEN, .as_limited = true};
    struct arguments arguments = {.argc = argc, .argv = argv};
    int code = 1;
    if (memory_enter(&memory, run, &arguments, &code) != OK)
        node_log("error", "keyholder", "not_started", "reason=\"no memory to be had\"");
    return code;
}
