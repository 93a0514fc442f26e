/* The command line, in swtpm's words as far as they mean something here. */
#include "vtpm_host.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_usage(FILE *to)
{
    fprintf(to,
            "usage: bastide-vtpm socket [--tpm2] --tpmstate dir=HOME[,instance=NAME] --ctrl "
            "type=unixio,path=PATH[,mode=0600]\n"
            "                    [--server type=unixio,path=PATH] [--keys type=unixio,path=PATH]\n"
            "                    [--flags FLAG,...] [--print-capabilities]\n"
            "The sockets of one vTPM, in swtpm's place: its state is sealed by an enclave that the monitor of HOME\n"
            "launches for it, from HOME/node/instances/NAME, where archive.db keeps it; without a NAME, the node's\n"
            "own instance, HOME/node/archive.db. KEYS is where its endorsement keys are asked for, with evidence\n"
            "over them. FLAG: not-need-init, startup-none, startup-clear, startup-state (each of the startups\n"
            "implies not-need-init).\n"
            "Exit codes: 0 stopped as asked or by SHUTDOWN, 1 internal error, 2 the command line is wrong,\n"
            "3 another program has the archive, 4 a socket cannot be bound, 7 the state was rolled back, 8 it was\n"
            "tampered with or is another vTPM's, 9 the TPM does not start, 10 a wall is missing, 11 a limit was met,\n"
            "12 the monitor refused instance or image, 13 the archive cannot be opened, 14 the disk is full.\n");
}

static int refuse(const char *option, const char *value, const char *reason)
{
    fprintf(stderr, "bastide-vtpm: --%s %s: %s\n", option, value, reason);
    return 2;
}

/* key=value,…: takes the parts apart in place. */
static int take_socket(const char *option, char *value, const char **path, mode_t *mode)
{
    char *end;
    bool unix_socket = false;
    for (char *rest = NULL, *part = strtok_r(value, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
        if (strcmp(part, "type=unixio") == 0) {
            unix_socket = true;
        } else if (strncmp(part, "path=", 5) == 0) {
            *path = part + 5;
        } else if (strncmp(part, "mode=0", 6) == 0) {
            unsigned long bits = strtoul(part + 6, &end, 8);
            if (*end || bits > 0777)
                return refuse(option, part, "give an octal mode like 0600");
            *mode = (mode_t)bits;
        } else {
            return refuse(option, part, "only type=unixio, path= and mode= are known here");
        }
    }
    return unix_socket && *path ? -1 : refuse(option, "", "needs type=unixio and path=");
}

static int take_flags(char *value, struct vtpm_host_options *options)
{
    for (char *rest = NULL, *part = strtok_r(value, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
        options->init = true;
        if (strcmp(part, "startup-clear") == 0)
            options->startup = VTPM_HOST_STARTUP_CLEAR;
        else if (strcmp(part, "startup-state") == 0)
            options->startup = VTPM_HOST_STARTUP_STATE;
        else if (strcmp(part, "not-need-init") != 0 && strcmp(part, "startup-none") != 0)
            return refuse("flags", part, "is not known here");
    }
    return -1;
}

static int take_home(char *value, struct vtpm_host_options *options)
{
    for (char *rest = NULL, *part = strtok_r(value, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
        if (strncmp(part, "dir=", 4) == 0 && part[4])
            options->home = part + 4;
        else if (strncmp(part, "instance=", 9) == 0 && part[9] && part[9] != '.' && !strchr(part, '/') &&
                 strlen(part + 9) < MONITOR_INSTANCE_LEN)
            options->instance = part + 9;
        else
            return refuse("tpmstate", part, "give dir=HOME, a node's home, and instance=NAME, of 1 to 47 characters");
    }
    return options->home ? -1 : refuse("tpmstate", "", "needs dir=HOME, a node's home");
}

int vtpm_host_parse(int argc, char **argv, struct vtpm_host_options *result)
{
    static const struct option known[] = {{"tpm2", no_argument, NULL, '2'},
                                          {"tpmstate", required_argument, NULL, 't'},
                                          {"ctrl", required_argument, NULL, 'c'},
                                          {"server", required_argument, NULL, 's'},
                                          {"keys", required_argument, NULL, 'k'},
                                          {"flags", required_argument, NULL, 'f'},
                                          {"print-capabilities", no_argument, NULL, 'p'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    struct vtpm_host_options options = {.mode = 0600};
    bool print = false;
    int code = -1;
    opterr = 0;
    for (int letter; code < 0 && (letter = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (letter == 'h') {
            put_usage(stdout);
            return 0;
        }
        if (letter == '?')
            code = refuse(argv[optind - 1] + strspn(argv[optind - 1], "-"), "", "is not known here");
        else if (letter == 't')
            code = take_home(optarg, &options);
        else if (letter == 'c')
            code = take_socket("ctrl", optarg, &options.control, &options.mode);
        else if (letter == 's')
            code = take_socket("server", optarg, &options.data, &options.mode);
        else if (letter == 'k')
            code = take_socket("keys", optarg, &options.keys, &options.mode);
        else if (letter == 'f')
            code = take_flags(optarg, &options);
        print |= letter == 'p';
    }
    if (code >= 0)
        return code;
    if (print) {
        printf("{ \"type\": \"swtpm\", \"features\": [ \"tpm-2.0\", \"flags-opt-startup\" ], \"version\": \"0.1\" }\n");
        return 0;
    }
    if (optind + 1 != argc || strcmp(argv[optind], "socket") != 0 || !options.home ||
        !(options.control || options.data)) {
        put_usage(stderr);
        return 2;
    }
    *result = options;
    return -1;
}
