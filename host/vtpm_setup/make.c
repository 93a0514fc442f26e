/* What the configuration file says, and the home that comes of it. */
#include "vtpm_setup.h"

#include "crypto.h"
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(VTPM_SETUP_ID_LEN == IMAGE_SITE_LEN, "a VM's UUID is an instance's id");

/* ---- The configuration file ---- */

static struct bytes trimmed(struct bytes text)
{
    while (text.len && memchr(" \t\r", text.data[0], 3))
        text = bytes_from(text.data + 1, text.len - 1);
    while (text.len && memchr(" \t\r", text.data[text.len - 1], 3))
        text.len--;
    return text;
}

static bool is(struct bytes text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

static enum status take_pair(struct bytes key, struct bytes value, struct vtpm_setup_config *config, bool *has_mode)
{
    if (is(key, "owner")) {
        if (config->owner[0] || value.len == 0 || value.len >= sizeof config->owner)
            return MALFORMED;
        memcpy(config->owner, value.data, value.len);
        return OK;
    }
    if (is(key, "mode")) {
        if (*has_mode || (!is(value, "insecure-dev") && !is(value, "production")))
            return MALFORMED;
        *has_mode = true;
        config->insecure_dev = is(value, "insecure-dev");
        return OK;
    }
    if (!is(key, "endorsement") || config->unendorsed || !is(value, "none"))
        return MALFORMED;
    config->unendorsed = true;
    return OK;
}

static enum status take_line(struct bytes line, struct vtpm_setup_config *config, bool *has_mode)
{
    line = trimmed(line);
    if (line.len == 0 || line.data[0] == '#')
        return OK;
    const uint8_t *equals = memchr(line.data, '=', line.len);
    if (!equals || memchr(line.data, 0, line.len))
        return MALFORMED;
    const size_t len = (size_t)(equals - line.data);
    return take_pair(trimmed(bytes_from(line.data, len)), trimmed(bytes_from(equals + 1, line.len - len - 1)), config,
                     has_mode);
}

enum status vtpm_setup_config_read(struct bytes text, struct vtpm_setup_config *config, char why[VTPM_SETUP_WHY])
{
    struct vtpm_setup_config found = {.owner = ""};
    bool has_mode = false;
    unsigned number = 1;
    for (; text.len; number++) {
        const uint8_t *end = memchr(text.data, '\n', text.len);
        const size_t len = end ? (size_t)(end - text.data) : text.len;
        if (take_line(bytes_from(text.data, len), &found, &has_mode) != OK) {
            (void)snprintf(why, VTPM_SETUP_WHY,
                           "line %u is not `owner = FILE`, `mode = insecure-dev` or `production`, or `endorsement = "
                           "none`, or says something twice",
                           number);
            return MALFORMED;
        }
        text = end ? bytes_from(end + 1, text.len - len - 1) : (struct bytes){0};
    }
    if (!found.owner[0] || !has_mode) {
        (void)snprintf(why, VTPM_SETUP_WHY, "%s is missing", found.owner[0] ? "mode" : "owner");
        return MALFORMED;
    }
    *config = found;
    return OK;
}

/* ---- The home ---- */

enum status vtpm_setup_id(const char *vmid, uint8_t id[VTPM_SETUP_ID_LEN])
{
    static const uint8_t dashes[] = {8, 13, 18, 23};
    const char *uuid = strrchr(vmid, ':') ? strrchr(vmid, ':') + 1 : vmid;
    char digits[2 * VTPM_SETUP_ID_LEN + 1];
    uint8_t room[VTPM_SETUP_ID_LEN];
    struct writer writer = writer_over(room, sizeof room);
    size_t len = 0;
    if (strlen(uuid) != 36)
        return NOT_FOUND;
    for (size_t i = 0; i < 36; i++) {
        if (memchr(dashes, (int)i, sizeof dashes)) {
            if (uuid[i] != '-')
                return NOT_FOUND;
        } else {
            digits[len++] = uuid[i];
        }
    }
    digits[len] = 0;
    if (hex_decode(digits, &writer) != OK)
        return NOT_FOUND;
    memcpy(id, room, sizeof room);
    return OK;
}

static enum status fail(char *why, enum status status, const char *what, const char *path)
{
    (void)snprintf(why, VTPM_SETUP_WHY, "%.300s %s%s%s", path, what, status == IO ? ": " : "",
                   status == IO ? strerror(errno) : "");
    return status;
}

static enum status make_directory(const char *path, char *why)
{
    struct stat facts;
    if (mkdir(path, 0700) == 0 || (errno == EEXIST && stat(path, &facts) == 0 && S_ISDIR(facts.st_mode)))
        return OK;
    return fail(why, IO, "cannot be made", path);
}

/* Under another name first: who looks finds the whole or nothing. */
static enum status write_whole(const char *path, struct bytes content, char *why)
{
    char other[PATH_MAX];
    if (snprintf(other, sizeof other, "%s.new", path) >= (int)sizeof other)
        return fail(why, NO_ROOM, "is too long a name", path);
    int fd = open(other, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write(fd, content.data, content.len) == (ssize_t)content.len && fsync(fd) == 0;
    if (fd >= 0)
        good = close(fd) == 0 && good;
    if (good && rename(other, path) == 0)
        return OK;
    enum status status = fail(why, IO, "cannot be written", path);
    unlink(other);
    return status;
}

static enum status encode(const struct vtpm_setup_options *options, const struct vtpm_setup_config *config,
                          struct bytes certificate, struct writer *writer, char *why)
{
    struct image_configuration configuration = {.certificate = certificate, .insecure_dev = config->insecure_dev},
                               check;
    if (!options->vmid || vtpm_setup_id(options->vmid, configuration.site) != OK)
        TRY(crypto_random(configuration.site, sizeof configuration.site));
    image_put_configuration(writer, &configuration);
    if (writer_end(writer) == OK && image_configuration_decode(writer_bytes(writer), &check) == OK)
        return OK;
    return fail(why, MALFORMED, "is not an owner's certificate: DER, with a key on P-256", config->owner);
}

enum status vtpm_setup_make(const struct vtpm_setup_options *options, const struct vtpm_setup_config *config,
                            struct bytes certificate, bool *made, char why[VTPM_SETUP_WHY])
{
    char path[PATH_MAX], part[PATH_MAX];
    uint8_t room[IMAGE_CONFIGURATION_MAX];
    struct writer encoded = writer_over(room, sizeof room);
    struct stat facts;
    if (snprintf(path, sizeof path, "%s/node/configuration", options->home) >= (int)sizeof path)
        return fail(why, NO_ROOM, "is too long a name", options->home);
    if (lstat(path, &facts) == 0) {
        *made = false;
        return options->keep
                   ? OK
                   : fail(why, DENIED, "is a vTPM's home already, and is not erased from here", options->home);
    }
    if (options->endorsed && !config->unendorsed)
        return fail(why, DENIED,
                    "would be without endorsement key and certificates, which are not made here: say `endorsement = "
                    "none` in the configuration file to go on without",
                    options->home);
    TRY(encode(options, config, certificate, &encoded, why));
    static const char *const parts[] = {"", "/node", "/run"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        (void)snprintf(part, sizeof part, "%s%s", options->home, parts[i]);
        TRY(make_directory(part, why));
    }
    TRY(write_whole(path, writer_bytes(&encoded), why));
    *made = true;
    return OK;
}
