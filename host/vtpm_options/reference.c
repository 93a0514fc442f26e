/* Names of instances, and the file that refers to one. */
#include "vtpm_options.h"

#include <string.h>

static bool may_stand_in_name(char c, bool first)
{
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return letter || (!first && (c == '.' || c == '_' || c == '-'));
}

bool vtpm_options_is_name(const char *text)
{
    size_t len = 0;
    while (may_stand_in_name(text[len], len == 0))
        len++;
    return len > 0 && len <= VTPM_OPTIONS_NAME_MAX && !text[len];
}

void vtpm_reference_put(struct writer *writer, const struct vtpm_reference *reference)
{
    const char *const lines[] = {VTPM_REFERENCE_TITLE, reference->home, reference->instance};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        put_text(writer, lines[i]);
        put_u8(writer, '\n');
    }
}

static enum status take_line(struct reader *reader, char *line, size_t cap)
{
    size_t len = 0;
    while (len < reader->rest.len && reader->rest.data[len] != '\n')
        len++;
    if (len == reader->rest.len)
        return TRUNCATED;
    if (len >= cap)
        return NO_ROOM;
    memset(line, 0, cap);
    if (len)
        memcpy(line, take_bytes(reader, len).data, len);
    (void)take_u8(reader);
    return strlen(line) == len ? OK : MALFORMED;
}

enum status vtpm_reference_decode(struct bytes text, struct vtpm_reference *reference)
{
    struct reader reader = reader_over(text);
    char title[sizeof VTPM_REFERENCE_TITLE];
    struct vtpm_reference found;
    TRY(take_line(&reader, title, sizeof title));
    if (strcmp(title, VTPM_REFERENCE_TITLE) != 0)
        return MALFORMED;
    TRY(take_line(&reader, found.home, sizeof found.home));
    TRY(take_line(&reader, found.instance, sizeof found.instance));
    TRY(reader_end(&reader));
    if (found.home[0] != '/' || !vtpm_options_is_name(found.instance))
        return MALFORMED;
    *reference = found;
    return OK;
}
