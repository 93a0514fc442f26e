/* bastide-vtpm-setup: in swtpm_setup's place. */
#include "crypto.h"
#include "vtpm_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CERTIFICATE_MAX 4096

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "bastide-vtpm-setup: %s%s%s\n", what, *what ? ": " : "", why);
    return 1;
}

/* At most cap bytes; one more is too many. */
static bool read_file(const char *path, uint8_t *room, size_t cap, size_t *len)
{
    FILE *file = fopen(path, "rbe");
    if (!file)
        return false;
    *len = fread(room, 1, cap, file);
    const bool whole = !ferror(file) && fgetc(file) == EOF;
    errno = EFBIG;
    fclose(file);
    return whole;
}

static bool open_log(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0640);
    bool good = fd >= 0 && dup2(fd, STDERR_FILENO) >= 0;
    if (fd > STDERR_FILENO)
        close(fd);
    return good;
}

static int make(const struct vtpm_setup_options *options)
{
    uint8_t text[VTPM_SETUP_CONFIG_MAX], certificate[CERTIFICATE_MAX];
    size_t text_len = 0, certificate_len = 0;
    char why[VTPM_SETUP_WHY];
    struct vtpm_setup_config config;
    bool made = false;
    if (options->log && !open_log(options->log))
        return fail(options->log, strerror(errno));
    if (!read_file(options->config, text, sizeof text, &text_len))
        return fail(options->config, strerror(errno));
    if (vtpm_setup_config_read(bytes_from(text, text_len), &config, why) != OK)
        return fail(options->config, why);
    if (!read_file(config.owner, certificate, sizeof certificate, &certificate_len))
        return fail(config.owner, strerror(errno));
    if (crypto_init() != OK)
        return fail("", "libcrypto does not start");
    if (vtpm_setup_make(options, &config, bytes_from(certificate, certificate_len), &made, why) != OK)
        return fail("", why);
    fprintf(stderr, "bastide-vtpm-setup: %s is %s%s\n", options->home, made ? "made" : "there already",
            made && options->endorsed ? ", without endorsement key and certificates, as the configuration has it" : "");
    return 0;
}

int main(int argc, char **argv)
{
    struct vtpm_setup_options options;
    char why[VTPM_SETUP_WHY];
    if (vtpm_setup_read(argc, argv, &options, why) != OK) {
        fail("", why);
        return 2;
    }
    if (options.action == VTPM_SETUP_HELP)
        vtpm_setup_help(stdout);
    else if (options.action == VTPM_SETUP_CAPABILITIES)
        puts(vtpm_setup_capabilities());
    return options.action == VTPM_SETUP_MAKE ? make(&options) : 0;
}
