/* swtpm's options, one function for each that takes a list. */
#include "vtpm_options_internal.h"

#include <getopt.h>
#include <limits.h>
#include <string.h>

static const struct option known[] = {
    {"tpm2", no_argument, NULL, '2'},
    {"tpmstate", required_argument, NULL, 's'},
    {"ctrl", required_argument, NULL, 'c'},
    {"server", required_argument, NULL, 'S'},
    {"keys", required_argument, NULL, 'K'},
    {"transfer", required_argument, NULL, 'T'},
    {"port", required_argument, NULL, 'p'},
    {"fd", required_argument, NULL, 'f'},
    {"flags", required_argument, NULL, 'F'},
    {"launch", required_argument, NULL, 'B'},
    {"launch-cmdline", required_argument, NULL, 'A'},
    {"terminate", no_argument, NULL, 't'},
    {"daemon", no_argument, NULL, 'd'},
    {"pid", required_argument, NULL, 'P'},
    {"log", required_argument, NULL, 'l'},
    {"seccomp", required_argument, NULL, 'C'},
    {"key", required_argument, NULL, 'k'},
    {"migration-key", required_argument, NULL, 'm'},
    {"migration", required_argument, NULL, 'M'},
    {"runas", required_argument, NULL, 'r'},
    {"locality", required_argument, NULL, 'L'},
    {"vtpm-proxy", no_argument, NULL, 'V'},
    {"print-states", no_argument, NULL, 'n'},
    {"print-capabilities", no_argument, NULL, 'a'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

/* What swtpm has and we have not. */
static const struct {
    char letter;
    const char *why;
} refused[] = {
    {'M', "a vTPM's state is its home's: two hosts cannot share it"},
    {'r', "start it as that user: it needs nothing of root"},
    {'L', "the enclave decides about localities, and for nobody more than for others"},
    {'n', "what there is is sealed, and only its enclave can say"},
};

struct reading {
    struct vtpm_options options;
    struct vtpm_file migration_key;
    bool given[UCHAR_MAX + 1]; /* by letter */
    bool chardev;              /* and not socket */
};

static enum status take_home(const struct complaint *at, char *text, struct vtpm_options *options)
{
    enum { DIR, MODE, URI, INSTANCE, FSYNC };
    static const struct key keys[] = {{.name = "dir", .kind = KEY_TEXT},         {.name = "mode", .kind = KEY_MODE},
                                      {.name = "backend-uri", .kind = KEY_TEXT}, {.name = "instance", .kind = KEY_TEXT},
                                      {.name = "fsync", .kind = KEY_ANSWER},     {0}};
    static const char scheme[] = "dir://";
    struct value values[KEYS_MAX] = {{0}};
    TRY(take_list(at, text, keys, values));
    if (values[DIR].given == values[URI].given)
        return complain(at, MALFORMED,
                        "give dir=HOME or backend-uri=dir://HOME, the home of a node or what bastide-vtpm-setup made");
    if (values[MODE].given && values[MODE].number != 0600)
        return complain(at, UNSUPPORTED, "mode=%s: what is kept is its owner's alone: leave mode out, or give 0600",
                        values[MODE].text);
    const char *path = values[DIR].text;
    if (values[URI].given) {
        if (strncmp(values[URI].text, scheme, sizeof scheme - 1) != 0)
            return complain(at, UNSUPPORTED, "backend-uri: only dir:// is known here");
        path = values[URI].text + sizeof scheme - 1;
    }
    if (!*path)
        return complain(at, MALFORMED, "the directory has no name");
    if (values[INSTANCE].given && !vtpm_options_is_name(values[INSTANCE].text))
        return complain(at, MALFORMED, "instance=%.60s is no name: 1 to %d letters, digits, . _ and - behind the first",
                        values[INSTANCE].text, VTPM_OPTIONS_NAME_MAX);
    options->home = path;
    options->instance = values[INSTANCE].text;
    options->relaxed = values[FSYNC].given && !values[FSYNC].number;
    return OK;
}

/* swtpm: every startup but startup-none implies not-need-init. */
static enum status take_flags(const struct complaint *at, char *text, struct vtpm_options *options)
{
    enum { NO_INIT, NONE, CLEAR, STATE };
    static const struct key keys[] = {{.name = "not-need-init", .kind = KEY_FLAG},
                                      {.name = "startup-none", .kind = KEY_FLAG},
                                      {.name = "startup-clear", .kind = KEY_FLAG},
                                      {.name = "startup-state", .kind = KEY_FLAG},
                                      {.name = "startup-deactivated",
                                       .kind = KEY_REFUSED,
                                       .refused_as = "that is a TPM 1.2's, and this is a TPM 2.0"},
                                      {0}};
    struct value values[KEYS_MAX] = {{0}};
    TRY(take_list(at, text, keys, values));
    if (values[NONE].given + values[CLEAR].given + values[STATE].given > 1)
        return complain(at, MALFORMED, "one startup excludes another");
    options->init = values[NO_INIT].given || values[CLEAR].given || values[STATE].given;
    options->startup = values[CLEAR].given   ? VTPM_STARTUP_CLEAR
                       : values[STATE].given ? VTPM_STARTUP_STATE
                                             : VTPM_STARTUP_NONE;
    return OK;
}

static enum status file_of(const struct complaint *at, const struct value *path, const struct value *fd,
                           struct vtpm_file *file)
{
    if (path->given == fd->given)
        return complain(at, MALFORMED, "give file=PATH or fd=NUMBER");
    *file = (struct vtpm_file){.given = true, .path = path->text, .fd = fd->given ? (int)fd->number : -1};
    return OK;
}

static enum status take_pid(const struct complaint *at, char *text, struct vtpm_options *options)
{
    static const struct key keys[] = {
        {.name = "file", .kind = KEY_TEXT}, {.name = "fd", .kind = KEY_NUMBER, .most = INT_MAX}, {0}};
    struct value values[KEYS_MAX] = {{0}};
    TRY(take_list(at, text, keys, values));
    return file_of(at, &values[0], &values[1], &options->pid);
}

static enum status take_log(const struct complaint *at, char *text, struct vtpm_options *options)
{
    enum { PATH, FD, LEVEL, PREFIX, TRUNCATE };
    static const struct key keys[] = {{.name = "file", .kind = KEY_TEXT},
                                      {.name = "fd", .kind = KEY_NUMBER, .most = INT_MAX},
                                      {.name = "level", .kind = KEY_NUMBER, .most = 100},
                                      {.name = "prefix", .kind = KEY_TEXT},
                                      {.name = "truncate", .kind = KEY_FLAG},
                                      {0}};
    struct value values[KEYS_MAX] = {{0}};
    TRY(take_list(at, text, keys, values));
    if (values[LEVEL].given && values[LEVEL].number >= 5)
        return complain(at, UNSUPPORTED, "level=%lu: what a TPM does inside does not leave the enclave: give 0 to 4",
                        values[LEVEL].number);
    if (values[TRUNCATE].given && values[FD].given)
        return complain(at, MALFORMED, "truncate is for file= only");
    TRY(file_of(at, &values[PATH], &values[FD], &options->log));
    if (values[PREFIX].given)
        options->prefix = values[PREFIX].text;
    options->truncate = values[TRUNCATE].given;
    return OK;
}

static enum status take_port(const struct complaint *at, const char *text, struct vtpm_options *options)
{
    unsigned long number = 0;
    if (take_number(text, 10, 65535, &number) != OK || number == 0)
        return complain(at, MALFORMED, "%.40s is not a port from 1 to 65535", text);
    options->data = place_of_port((uint16_t)number);
    options->disconnect = true; /* as swtpm's --port has it, unlike its --server */
    return OK;
}

static enum status take_fd(const struct complaint *at, const char *text, struct vtpm_options *options)
{
    unsigned long number = 0;
    if (take_number(text, 10, INT_MAX, &number) != OK)
        return complain(at, MALFORMED, "%.40s is not a descriptor", text);
    options->data = place_of_port(0);
    options->data.kind = VTPM_AT_CLIENT;
    options->data.fd = (int)number;
    return OK;
}

static enum status take_option(const struct complaint *at, int letter, char *text, struct reading *reading)
{
    struct vtpm_options *options = &reading->options;
    if (reading->given[letter])
        return complain(at, MALFORMED, "is given twice");
    reading->given[letter] = true;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (refused[i].letter == letter)
            return complain(at, UNSUPPORTED, "%s", refused[i].why);
    switch (letter) {
    case 's':
        return take_home(at, text, options);
    case 'c':
        return take_control(at, text, &options->control);
    case 'S':
        return take_server(at, text, &options->data, &options->disconnect);
    case 'K':
        return take_control(at, text, &options->keys);
    case 'T':
        return take_control(at, text, &options->transfer);
    case 'p':
        return take_port(at, text, options);
    case 'f':
        return take_fd(at, text, options);
    case 'F':
        return take_flags(at, text, options);
    case 'P':
        return take_pid(at, text, options);
    case 'l':
        return take_log(at, text, options);
    case 'k':
        return take_key(at, text, &options->key);
    case 'm':
        return take_key(at, text, &reading->migration_key);
    case 'B':
        return take_launch(at, text, options);
    case 'A':
        options->launch[VTPM_PART_CMDLINE] = text;
        return OK;
    case 'C':
        return strcmp(text, "action=kill") == 0
                   ? OK
                   : complain(at, UNSUPPORTED, "an enclave's filter kills, whatever it is asked: give action=kill");
    default:
        return OK; /* without a value: reading->given is all there is to it */
    }
}

/* In the background 0, 1 and 2 are /dev/null. */
static bool is_lost(enum vtpm_place_kind kind, int fd)
{
    return (kind == VTPM_AT_LISTENER || kind == VTPM_AT_CLIENT) && fd <= 2;
}

/* A device begins as a TPM that is switched on: the kernel starts it up. */
static enum status conclude_device(const struct reading *reading, struct vtpm_options *options, char *why)
{
    const bool *given = reading->given;
    const struct complaint proxy = {"--vtpm-proxy", why};
    if (reading->chardev != given['V'])
        return complain(&proxy, MALFORMED, "belongs to `chardev`, which makes devices by the kernel's proxy only");
    if (given['V'] && (given['S'] || given['p'] || given['f'] || options->disconnect))
        return complain(&proxy, MALFORMED, "the device is the data channel: leave --server, --port and --fd out");
    options->proxy = given['V'];
    options->init |= given['V'];
    options->terminate |= given['V'];
    return OK;
}

/* What follows from all of them together. */
static enum status conclude(struct reading *reading, const struct vtpm_defaults *defaults, char *why)
{
    struct vtpm_options *options = &reading->options;
    const bool *given = reading->given;
    const struct complaint data = {"--server", why}, home = {"--tpmstate", why}, version = {"--tpm2", why};
    const struct complaint migration = {"--migration-key", why};
    if (given['S'] + given['p'] + given['f'] > 1)
        return complain(&data, MALFORMED, "--server, --port and --fd exclude each other");
    if (!given['2'])
        return complain(&version, UNSUPPORTED, "is missing, which asks for a TPM 1.2: there are only TPM 2.0 here");
    if (given['m'] && !given['k'])
        return complain(&migration, UNSUPPORTED,
                        "what migrates is sealed for its destination: only beside --key is it taken, and not used");
    if (!options->home)
        options->home = defaults->path;
    if (!options->home || !*options->home)
        return complain(&home, MALFORMED, "is missing: give dir=HOME, the home of a node, or set TPM_PATH");
    TRY(conclude_device(reading, options, why));
    if (!options->proxy && options->data.kind == VTPM_NOWHERE && options->control.kind == VTPM_NOWHERE) {
        const struct complaint port = {"TPM_PORT", why};
        if (!defaults->port)
            return complain(&data, MALFORMED, "neither --server nor --ctrl is given, nor TPM_PORT set");
        TRY(take_port(&port, defaults->port, options));
    }
    options->terminate |= given['t'] || options->data.kind == VTPM_AT_CLIENT;
    options->daemon = given['d'];
    if (options->daemon &&
        (is_lost(options->control.kind, options->control.fd) || is_lost(options->data.kind, options->data.fd) ||
         is_lost(options->keys.kind, options->keys.fd) || is_lost(options->transfer.kind, options->transfer.fd))) {
        const struct complaint daemon = {"--daemon", why};
        return complain(&daemon, MALFORMED, "closes descriptors 0 to 2: give a channel another");
    }
    return OK;
}

static const char *name_of(int letter)
{
    for (size_t i = 0; known[i].name; i++)
        if (known[i].val == letter)
            return known[i].name;
    return "";
}

static enum status read_all(int argc, char **argv, struct reading *reading, char *why)
{
    char name[32];
    const struct complaint at = {name, why};
    opterr = optind = 0;
    for (int letter; (letter = getopt_long(argc, argv, ":p:f:tdr:h", known, NULL)) != -1;) {
        const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";
        const bool strange = letter == '?' || letter == ':';
        (void)snprintf(name, sizeof name, "%s%s", strange ? "" : "--", strange ? word : name_of(letter));
        if (letter == 'h' || letter == 'a') {
            reading->options.action = letter == 'h' ? VTPM_HELP : VTPM_CAPABILITIES;
            return OK;
        }
        if (letter == ':')
            return complain(&at, MALFORMED, "needs a value");
        if (letter == '?')
            return complain(&at, MALFORMED, "is not known here, or is given a value that it does not take");
        TRY(take_option(&at, letter, optarg, reading));
    }
    return OK;
}

enum status vtpm_options_read(int argc, char **argv, const struct vtpm_defaults *defaults, struct vtpm_options *options,
                              char why[VTPM_OPTIONS_WHY])
{
    struct reading reading = {.options = {.prefix = "", .action = VTPM_SERVE}};
    struct complaint at = {argc > 1 ? argv[1] : "swtpm", why};
    why[0] = 0;
    if (argc < 2)
        return complain(&at, MALFORMED, "say `socket` or `chardev` first, then the options");
    if (strcmp(argv[1], "cuse") == 0)
        return complain(&at, UNSUPPORTED, "say `socket`, or `chardev --vtpm-proxy` for a device");
    const int skip = strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "-h") != 0;
    reading.chardev = strcmp(argv[1], "chardev") == 0;
    if (skip && !reading.chardev && strcmp(argv[1], "socket") != 0)
        return complain(&at, MALFORMED, "is no kind of TPM: say `socket` or `chardev` first, then the options");
    argv += skip;
    argc -= skip;
    const char *const *command = NULL;
    for (int i = 1; i < argc && !command; i++)
        if (strcmp(argv[i], "--") == 0) {
            command = (const char *const *)(argv + i + 1);
            argc = i;
        }
    TRY(read_all(argc, argv, &reading, why));
    if (reading.options.action == VTPM_SERVE) {
        at.option = optind < argc ? argv[optind] : "";
        if (optind < argc)
            return complain(&at, MALFORMED, "is one word too many");
        TRY(conclude(&reading, defaults, why));
        TRY(conclude_launch(command, &reading.options, why));
    }
    *options = reading.options;
    return OK;
}
