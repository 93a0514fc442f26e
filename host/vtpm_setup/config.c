/* What the configuration file says, and what a VM's UUID is. */
#include "vtpm_setup.h"

#include <string.h>

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

/* Once, and from the root: whoever starts us chooses the working directory. */
static enum status take_path(struct bytes value, char *path, size_t cap)
{
    if (path[0] || value.len == 0 || value.len >= cap || value.data[0] != '/')
        return MALFORMED;
    memcpy(path, value.data, value.len);
    return OK;
}

static enum status take_pair(struct bytes key, struct bytes value, struct vtpm_setup_config *config)
{
    if (is(key, "node"))
        return take_path(value, config->node, sizeof config->node);
    if (is(key, "image"))
        return take_path(value, config->image, sizeof config->image);
    if (!is(key, "endorsement") || config->unendorsed || !is(value, "none"))
        return MALFORMED;
    config->unendorsed = true;
    return OK;
}

static enum status take_line(struct bytes line, struct vtpm_setup_config *config)
{
    line = trimmed(line);
    if (line.len == 0 || line.data[0] == '#')
        return OK;
    const uint8_t *equals = memchr(line.data, '=', line.len);
    if (!equals || memchr(line.data, 0, line.len))
        return MALFORMED;
    const size_t len = (size_t)(equals - line.data);
    return take_pair(trimmed(bytes_from(line.data, len)), trimmed(bytes_from(equals + 1, line.len - len - 1)), config);
}

enum status vtpm_setup_config_read(struct bytes text, struct vtpm_setup_config *config, char why[VTPM_SETUP_WHY])
{
    struct vtpm_setup_config found = {.node = ""};
    for (unsigned number = 1; text.len; number++) {
        const uint8_t *end = memchr(text.data, '\n', text.len);
        const size_t len = end ? (size_t)(end - text.data) : text.len;
        if (take_line(bytes_from(text.data, len), &found) != OK) {
            (void)snprintf(why, VTPM_SETUP_WHY,
                           "line %u is not `node = HOME` (at most %d bytes from / on), `image = DIR` or `endorsement = "
                           "none`, or says something twice",
                           number, VTPM_HOME_MAX);
            return MALFORMED;
        }
        text = end ? bytes_from(end + 1, text.len - len - 1) : (struct bytes){0};
    }
    if (!found.node[0]) {
        (void)snprintf(why, VTPM_SETUP_WHY,
                       "`node = HOME` is missing: the home of the node whose instance it is to be");
        return MALFORMED;
    }
    *config = found;
    return OK;
}

static enum status uuid_of(const char *uuid, size_t len, uint8_t id[VTPM_SETUP_ID_LEN])
{
    static const uint8_t dashes[] = {8, 13, 18, 23};
    char digits[2 * VTPM_SETUP_ID_LEN + 1] = "";
    uint8_t room[VTPM_SETUP_ID_LEN];
    struct writer writer = writer_over(room, sizeof room);
    size_t count = 0;
    if (len != 36)
        return NOT_FOUND;
    for (size_t i = 0; i < 36; i++) {
        if ((uuid[i] == '-') != (memchr(dashes, (int)i, sizeof dashes) != NULL))
            return NOT_FOUND;
        if (uuid[i] != '-')
            digits[count++] = uuid[i];
    }
    if (hex_decode(digits, &writer) != OK)
        return NOT_FOUND;
    memcpy(id, room, sizeof room);
    return OK;
}

enum status vtpm_setup_id(const char *vmid, uint8_t id[VTPM_SETUP_ID_LEN])
{
    const char *uuid = strrchr(vmid, ':') ? strrchr(vmid, ':') + 1 : vmid;
    return uuid_of(uuid, strlen(uuid), id);
}

enum status vtpm_setup_id_of_state(const char *path, uint8_t id[VTPM_SETUP_ID_LEN])
{
    static const char last[] = "/tpm2";
    size_t len = strlen(path), from;
    while (len && path[len - 1] == '/')
        len--;
    if (len < sizeof last - 1 || memcmp(path + len - (sizeof last - 1), last, sizeof last - 1) != 0)
        return NOT_FOUND;
    len -= sizeof last - 1;
    for (from = len; from && path[from - 1] != '/'; from--)
        ;
    return uuid_of(path + from, len - from, id);
}
