/* swtpm_setup's options. */
#include "vtpm_setup.h"

#include <getopt.h>
#include <limits.h>
#include <string.h>

#define OLD "that is a TPM 1.2's, and this is a TPM 2.0"
#define NO_KEY "endorsement keys are the enclave's: none is made here"

/* val: what it is to us; 'x' is refused. A passphrase ('p') is kept by the enclave when the VM first starts with it. */
static const struct option known[] = {
    {"tpm2", no_argument, NULL, '2'},
    {"tpm-state", required_argument, NULL, 's'},
    {"tpmstate", required_argument, NULL, 's'},
    {"vmid", required_argument, NULL, 'v'},
    {"logfile", required_argument, NULL, 'l'},
    {"config", required_argument, NULL, 'c'},
    {"createek", no_argument, NULL, 'e'},
    {"create-ek-cert", no_argument, NULL, 'e'},
    {"create-platform-cert", no_argument, NULL, 'e'},
    {"lock-nvram", no_argument, NULL, 'e'},
    {"not-overwrite", no_argument, NULL, 'k'},
    {"overwrite", no_argument, NULL, 'o'},
    {"print-capabilities", no_argument, NULL, 'a'},
    {"help", no_argument, NULL, 'h'},
    {"runas", required_argument, NULL, 'x'},
    {"tpm", required_argument, NULL, 'x'},
    {"swtpm_ioctl", required_argument, NULL, 'x'},
    {"keyfile", required_argument, NULL, 'p'},
    {"keyfile-fd", required_argument, NULL, 'p'},
    {"pwdfile", required_argument, NULL, 'p'},
    {"pwdfile-fd", required_argument, NULL, 'p'},
    {"cipher", required_argument, NULL, 'p'},
    {"pcr-banks", required_argument, NULL, 'x'},
    {"reconfigure", no_argument, NULL, 'x'},
    {"allow-signing", no_argument, NULL, 'x'},
    {"decryption", no_argument, NULL, 'x'},
    {"ecc", no_argument, NULL, 'x'},
    {"rsa-keysize", required_argument, NULL, 'x'},
    {"write-ek-cert-files", required_argument, NULL, 'x'},
    {"create-config-files", optional_argument, NULL, 'x'},
    {"display", no_argument, NULL, 'x'},
    {"take-ownership", no_argument, NULL, 'x'},
    {"ownerpass", required_argument, NULL, 'x'},
    {"owner-well-known", no_argument, NULL, 'x'},
    {"srkpass", required_argument, NULL, 'x'},
    {"srk-well-known", no_argument, NULL, 'x'},
    {0},
};

static const struct {
    const char *name, *why;
} refused[] = {
    {"runas", "start it as that user: it needs nothing of root"},
    {"tpm", "no TPM is run to make one"},
    {"swtpm_ioctl", "no TPM is run to make one"},
    {"pcr-banks", "banks are chosen in the running TPM, by who holds its platform hierarchy"},
    {"reconfigure", "banks are chosen in the running TPM, by who holds its platform hierarchy"},
    {"allow-signing", NO_KEY},
    {"decryption", NO_KEY},
    {"ecc", NO_KEY},
    {"rsa-keysize", NO_KEY},
    {"write-ek-cert-files", NO_KEY},
    {"create-config-files", "there is one file, " VTPM_SETUP_CONFIG ", and its operator writes it"},
    {"display", "what is in it only the enclave can say"},
    {"take-ownership", OLD},
    {"ownerpass", OLD},
    {"owner-well-known", OLD},
    {"srkpass", OLD},
    {"srk-well-known", OLD},
};

static enum status say(char *why, enum status status, const char *option, const char *sentence)
{
    (void)snprintf(why, VTPM_SETUP_WHY, "%.200s: %s", option, sentence);
    return status;
}

static enum status refuse(char *why, const char *option, const char *name)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (strcmp(refused[i].name, name) == 0)
            return say(why, UNSUPPORTED, option, refused[i].why);
    return say(why, UNSUPPORTED, option, "is refused");
}

static enum status take_state(char *why, const char *option, const char *text, const char **state)
{
    if (strncmp(text, "file://", 7) == 0)
        return say(why, UNSUPPORTED, option, "it is a directory: only dir:// is known here");
    *state = strncmp(text, "dir://", 6) == 0 ? text + 6 : text;
    return **state ? OK : say(why, MALFORMED, option, "the directory has no name");
}

static enum status take_option(int letter, const char *name, struct vtpm_setup_options *options, char *why)
{
    char option[48];
    (void)snprintf(option, sizeof option, "--%s", name);
    switch (letter) {
    case 's':
        return take_state(why, option, optarg, &options->state);
    case 'v':
        options->vmid = optarg;
        return OK;
    case 'l':
        options->log = optarg;
        return OK;
    case 'c':
        options->config = optarg;
        return OK;
    case 'e':
        options->endorsed = true;
        return OK;
    case 'k':
        options->keep = true;
        return OK;
    case 'o':
        options->overwrite = true;
        return OK;
    case 'a':
    case 'h':
        options->action = letter == 'h' ? VTPM_SETUP_HELP : VTPM_SETUP_CAPABILITIES;
        return OK;
    case 'x':
        return refuse(why, option, name);
    default:
        return OK; /* --tpm2: that it is there is all; a passphrase: it is asked for when the VM starts */
    }
}

static enum status conclude(const struct vtpm_setup_options *options, const bool *given, char *why)
{
    if (options->action != VTPM_SETUP_REGISTER)
        return OK;
    if (!given['2'])
        return say(why, UNSUPPORTED, "--tpm2", "is missing, which asks for a TPM 1.2: there are only TPM 2.0 here");
    if (!options->state)
        return say(why, MALFORMED, "--tpm-state", "is missing: give the directory that is to refer to it");
    if (options->overwrite && options->keep)
        return say(why, MALFORMED, "--overwrite", "--not-overwrite says the opposite");
    return OK;
}

enum status vtpm_setup_read(int argc, char **argv, struct vtpm_setup_options *options, char why[VTPM_SETUP_WHY])
{
    struct vtpm_setup_options found = {.action = VTPM_SETUP_REGISTER};
    bool given[UCHAR_MAX + 1] = {false};
    why[0] = 0;
    opterr = optind = 0;
    for (int at = -1, letter; (letter = getopt_long(argc, argv, ":h", known, &at)) != -1; at = -1) {
        const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";
        if (letter == ':')
            return say(why, MALFORMED, word, "needs a value");
        if (letter == '?')
            return say(why, MALFORMED, word, "is not known here, or is given a value that it does not take");
        if (given[letter] && letter != 'e' && letter != 'p')
            return say(why, MALFORMED, word, "is given twice");
        given[letter] = true;
        TRY(take_option(letter, at >= 0 ? known[at].name : "help", &found, why));
    }
    if (optind < argc)
        return say(why, MALFORMED, argv[optind], "is one word too many");
    TRY(conclude(&found, given, why));
    *options = found;
    return OK;
}

void vtpm_setup_help(FILE *to)
{
    fputs("usage: bastide-vtpm-setup --tpm2 --tpm-state DIR [--vmid NAME:UUID] [--not-overwrite] [--logfile FILE]\n"
          "                          [--config FILE] [--createek] [--create-ek-cert] [--create-platform-cert]\n"
          "                          [--lock-nvram] [--overwrite] [--print-capabilities] [--help]\n"
          "Registers a VM's TPM as an instance of a node, in swtpm_setup's place, and leaves in DIR what bastide-vtpm\n"
          "follows. FILE is bastide/vtpm.conf in $XDG_CONFIG_HOME or ~/.config, else " VTPM_SETUP_CONFIG ":\n"
          "  node = HOME          its owner and mode are the node's\n"
          "  image = DIR          of the instance; vtpm.image beside this program if left out\n"
          "  endorsement = none   go on without endorsement key and certificates, which only the owner can have made\n"
          "The UUID (DIR's, where that is UUID/tpm2 and there is no --vmid) is the instance's id and name. One that "
          "has it\n"
          "already, as `bastide vtpm create NAME --id UUID` makes, is taken under its own name, given --not-overwrite, "
          "or\n"
          "--overwrite and nothing to create (a VM arrives: if there is none, none is made); none is ever erased. "
          "swtpm_setup's other options are refused, each with "
          "its\n"
          "reason. Exit codes: 0 registered; 1 not, and nothing was left; 2 the command line is wrong.\n",
          to);
}

const char *vtpm_setup_capabilities(void)
{
    return "{ \"type\": \"swtpm_setup\", \"features\": [ \"tpm-2.0\", \"cmdarg-keyfile-fd\", \"cmdarg-pwdfile-fd\" ], "
           "\"version\": \"0.7.1\" }";
}
