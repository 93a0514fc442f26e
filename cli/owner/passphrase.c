/* The passphrase of the owner's key: from the first line of a file, or from the terminal, without echo. Secret: all of
 * it, so it is wiped wherever it was. */
#include "owner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define TRIES 3

void owner_passphrase_wipe(struct owner_passphrase *passphrase)
{
    wipe(passphrase, sizeof *passphrase);
}

struct bytes owner_passphrase_bytes(const struct owner_passphrase *passphrase)
{
    return bytes_from(passphrase->text, passphrase->len);
}

/* ---- From a file ---- */

static int from_file(const struct cli *cli, struct owner_passphrase *passphrase)
{
    uint8_t *data = NULL;
    size_t len = 0, line = 0;
    enum status status = cli_read_file(cli->passphrase_file, sizeof passphrase->text + 2, &data, &len);
    if (status != OK)
        return cli_fail(cli, status == NOT_FOUND ? CLI_NOT_FOUND : CLI_DENIED, "--passphrase-file %s %s",
                        cli->passphrase_file, cli_file_problem(status));
    while (line < len && data[line] != '\n')
        line++;
    if (line > 0 && data[line - 1] == '\r')
        line--;
    bool good = line > 0 && line <= sizeof passphrase->text;
    if (good)
        memcpy(passphrase->text, data, line);
    passphrase->len = good ? line : 0;
    wipe(data, len);
    free(data);
    return good ? CLI_OK
                : cli_fail(cli, CLI_DENIED, "--passphrase-file %s: its first line must have 1 to %d bytes",
                           cli->passphrase_file, CRYPTO_PASSPHRASE_MAX);
}

/* ---- From the terminal ---- */

static int terminal = -1;
static struct termios as_it_was;

/* Whoever interrupts gets the terminal back as it was. */
static void give_back(int number)
{
    (void)tcsetattr(terminal, TCSAFLUSH, &as_it_was);
    (void)raise(number); /* the handler was for once */
}

static const int interrupts[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
#define INTERRUPTS (sizeof interrupts / sizeof *interrupts)

static bool read_line(struct owner_passphrase *passphrase)
{
    size_t len = 0;
    char letter = 0;
    while (read(terminal, &letter, 1) == 1 && letter != '\n')
        if (len < sizeof passphrase->text)
            passphrase->text[len++] = (uint8_t)letter;
        else
            len = sizeof passphrase->text + 1; /* too long, and stays so */
    passphrase->len = len <= sizeof passphrase->text ? len : 0;
    wipe(&letter, sizeof letter);
    return passphrase->len > 0;
}

static bool ask(const char *question, struct owner_passphrase *passphrase)
{
    struct termios quiet;
    struct sigaction before[INTERRUPTS];
    const struct sigaction restore = {.sa_handler = give_back, .sa_flags = (int)SA_RESETHAND};
    terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (terminal < 0 || tcgetattr(terminal, &as_it_was) != 0) {
        if (terminal >= 0)
            close(terminal);
        return false;
    }
    for (size_t i = 0; i < INTERRUPTS; i++)
        (void)sigaction(interrupts[i], &restore, &before[i]);
    quiet = as_it_was;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    bool good = tcsetattr(terminal, TCSAFLUSH, &quiet) == 0 && dprintf(terminal, "%s: ", question) > 0;
    good = good && read_line(passphrase);
    (void)tcsetattr(terminal, TCSAFLUSH, &as_it_was);
    (void)dprintf(terminal, "\n");
    for (size_t i = 0; i < INTERRUPTS; i++)
        (void)sigaction(interrupts[i], &before[i], NULL);
    close(terminal);
    return good;
}

static bool has_terminal(void)
{
    return isatty(STDIN_FILENO);
}

/* ---- What the others call ---- */

int owner_passphrase_new(const struct cli *cli, struct owner_passphrase *passphrase)
{
    OWNER_PASSPHRASE again = {.len = 0};
    if (cli->passphrase_file)
        return from_file(cli, passphrase);
    if (!has_terminal())
        return cli_fail(cli, CLI_USAGE,
                        "the owner's key needs a passphrase and there is no terminal to ask for one: "
                        "--passphrase-file FILE, or --no-passphrase to keep the key without");
    if (!ask("New passphrase for the owner's key", passphrase))
        return cli_fail(cli, CLI_DENIED, "a passphrase has 1 to %d bytes", CRYPTO_PASSPHRASE_MAX);
    if (!ask("The same once more", &again) ||
        !bytes_equal(owner_passphrase_bytes(passphrase), owner_passphrase_bytes(&again)))
        return cli_fail(cli, CLI_DENIED, "the two passphrases differ: nothing was made");
    return CLI_OK;
}

int owner_passphrase_get(const struct cli *cli, const char *what, const char *question,
                         struct owner_passphrase *passphrase)
{
    if (cli->passphrase_file)
        return from_file(cli, passphrase);
    if (!has_terminal())
        return cli_fail(cli, CLI_DENIED, "%s and there is no terminal to ask for it: --passphrase-file FILE", what);
    return ask(question, passphrase) ? CLI_OK : cli_fail(cli, CLI_DENIED, "%s, and none was given", what);
}

int owner_passphrase_try(const struct cli *cli, const char *path,
                         enum status (*unlock)(void *context, struct bytes passphrase), void *context)
{
    OWNER_PASSPHRASE passphrase = {.len = 0};
    char what[PATH_MAX + 64];
    snprintf(what, sizeof what, "%s is behind a passphrase", path);
    for (int left = cli->passphrase_file ? 1 : TRIES; left > 0; left--) {
        int result = owner_passphrase_get(cli, what, "Passphrase of the owner's key", &passphrase);
        if (result)
            return result;
        enum status status = unlock(context, owner_passphrase_bytes(&passphrase));
        if (status == OK)
            return CLI_OK;
        if (status != AUTH)
            return cli_fail(cli, CLI_DENIED, "%s %s (a P-256 key in PEM)", path, cli_file_problem(status));
        if (left > 1)
            cli_warn(cli, "that is not its passphrase");
    }
    return cli_fail(cli, CLI_DENIED, "%s: wrong passphrase", path);
}
