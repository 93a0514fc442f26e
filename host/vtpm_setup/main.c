/* bastide-vtpm-setup: in swtpm_setup's place. */
#include "crypto.h"
#include "vtpm_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "bastide-vtpm-setup: %s%s%s\n", what, *what ? ": " : "", why);
    return 1;
}

static bool open_log(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0640);
    bool good = fd >= 0 && dup2(fd, STDERR_FILENO) >= 0;
    if (fd > STDERR_FILENO)
        close(fd);
    return good;
}

/* A user's own before the machine's, as swtpm_setup looks for its own. */
static const char *find_config(char path[PATH_MAX])
{
    static const char name[] = "bastide/vtpm.conf";
    const char *given = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int len = given && *given ? snprintf(path, PATH_MAX, "%s/%s", given, name)
                              : snprintf(path, PATH_MAX, "%s/.config/%s", home ? home : "", name);
    return len < PATH_MAX && access(path, R_OK) == 0 ? path : VTPM_SETUP_CONFIG;
}

static void find_image(char path[VTPM_SETUP_IMAGE_MAX + 1])
{
    static const char name[] = "/vtpm.image";
    ssize_t len = readlink("/proc/self/exe", path, VTPM_SETUP_IMAGE_MAX - sizeof name);
    path[len > 0 ? len : 0] = 0;
    char *slash = strrchr(path, '/');
    memcpy(slash ? slash : path, name, sizeof name);
}

static int run(const struct vtpm_setup_options *options)
{
    char text[VTPM_SETUP_CONFIG_MAX], why[VTPM_SETUP_WHY], path[PATH_MAX];
    struct vtpm_setup_config config;
    struct vtpm_setup_done done;
    if (options->log && !open_log(options->log))
        return fail(options->log, strerror(errno));
    const char *name = options->config ? options->config : find_config(path);
    FILE *file = fopen(name, "rbe");
    if (!file)
        return fail(name, strerror(errno));
    const size_t len = fread(text, 1, sizeof text, file);
    const bool whole = !ferror(file) && fgetc(file) == EOF;
    fclose(file);
    if (!whole)
        return fail(name, "cannot be read whole, or is too long");
    if (vtpm_setup_config_read(bytes_from(text, len), &config, why) != OK)
        return fail(name, why);
    if (!config.image[0])
        find_image(config.image);
    if (crypto_init() != OK)
        return fail("", "libcrypto does not start");
    if (vtpm_setup_register(options, &config, &done, why) != OK)
        return fail("", why);
    fprintf(stderr, "bastide-vtpm-setup: %s: instance %s of %s%s\n", options->state, done.reference.instance,
            done.reference.home,
            done.missing        ? " is not there, and the VM arrives: its TPM was not prepared for"
            : !done.made        ? " is there already, and is taken as it is"
            : options->endorsed ? " is made, without endorsement key and certificates, as the configuration has it"
                                : " is made");
    if (done.made && done.unread)
        fprintf(stderr, "bastide-vtpm-setup: %u more cannot be read by this user: if one is this VM's, make it his\n",
                done.unread);
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
    return options.action == VTPM_SETUP_REGISTER ? run(&options) : 0;
}
