/* bastide-monitor: options, lock-down, then serve. Started by bastide-keyholder with the same words. */
#include "serve.h"

#include "abi.h"
#include "crypto.h"
#include "memory.h"
#include "node.h"
#include "walls.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 2
#define POOL_MIB_MIN 16
#define POOL_MIB_MAX 4096
#define BODY_MIN 1024
#define BODY_MAX 131072
#define POOL_MIB_DEFAULT 64
#define MEMORY_LEN (8u << 20) /* our own: as much as an ordinary user may lock on a plain machine */

static const char usage[] =
    "usage: bastide-monitor --home DIR --image DIR --programs DIR --tcti TPM [--insecure-dev] [--require WALL,...]\n"
    "                       [--allow-missing WALL,...] [--pool-mib N] [--body-max N] [--no-secret-memory] [--no-spare] "
    "[--check]\n"
    "Started by bastide-keyholder, which alone has the keys it needs. --check: refuse or not, without keys.\n";

static int misused(const char *why, const char *what)
{
    fprintf(stderr, "bastide-monitor: %s %s\n%s", what, why, usage);
    return EXIT_USAGE;
}

struct arguments {
    int argc;
    char **argv;
};

/* On a stack of secret memory; what was allocated before was neither a key nor anything read. */
static int run(void *user)
{
    const struct arguments *arguments = user;
    const int argc = arguments->argc;
    char **const argv = arguments->argv;
    static const struct option known[] = {
        NODE_OPTIONS, {"programs", required_argument, NULL, 'p'}, {"check", no_argument, NULL, 'c'}, {0}};
    struct serve_options options = {.pool_len = (uint64_t)POOL_MIB_DEFAULT << 20, .spare = true};
    char unknown[WALLS_TEXT_MAX];
    uint32_t allowed = 0;
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        char *end = NULL;
        unsigned long number = option == 'm' || option == 'b' ? strtoul(optarg, &end, 10) : 0;
        if (option == 'h')
            options.home = optarg;
        else if (option == 'i')
            options.image = optarg;
        else if (option == 't')
            options.tcti = optarg;
        else if (option == 'p')
            options.programs = optarg;
        else if (option == 'd')
            options.insecure_dev = true;
        else if (option == 'n')
            options.no_secret_memory = true;
        else if (option == 's')
            options.spare = false;
        else if (option == 'c')
            options.check = true;
        else if (option == 'r' && walls_parse(optarg, &options.required, unknown) != OK)
            return misused("is no wall", unknown);
        else if (option == 'w' && walls_parse(optarg, &allowed, unknown) != OK)
            return misused("is no wall", unknown);
        else if (option == 'm' && (*end || number < POOL_MIB_MIN || number > POOL_MIB_MAX))
            return misused("is no number of MiB from 16 to 4096", optarg);
        else if (option == 'b' && (*end || number < BODY_MIN || number > BODY_MAX))
            return misused("is no number of bytes from 1024 to 131072", optarg);
        else if (option == 'm')
            options.pool_len = (uint64_t)number << 20;
        else if (option == 'b')
            options.body_max = (uint32_t)number;
        else if (option != 'r' && option != 'w')
            return misused("is wanted", "another option");
    }
    if (optind != argc || !options.home || !options.image || !options.programs || !options.tcti)
        return misused("are needed", "--home, --image, --programs and --tcti");
    if (options.no_secret_memory && !options.insecure_dev)
        return misused("is for --insecure-dev only", "--no-secret-memory");
    if (!options.insecure_dev)
        options.required |= WALLS_ALL & ~allowed;
    /* Its system call filter is the key holder's, whose child it is. */
    if (node_lock_down(options.check ? 2 : KEYHOLDER_FD) != OK || crypto_init() != OK) {
        node_log("error", "monitor", "not_started", "reason=\"the process cannot be locked down\"");
        return 1;
    }
    const struct memory_account account = memory_account();
    options.monitor_secret = account.secret_bytes > 0 && account.unprotected_bytes == 0;
    return serve_run(&options);
}

int main(int argc, char **argv)
{
    const struct memory_options memory = {.pool_len = MEMORY_LEN, .secret_len = MEMORY_LEN, .as_limited = true};
    struct arguments arguments = {.argc = argc, .argv = argv};
    int code = 1;
    if (memory_enter(&memory, run, &arguments, &code) != OK)
        node_log("error", "monitor", "not_started", "reason=\"no memory to be had\"");
    return code;
}
