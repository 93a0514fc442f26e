/* key=value,flag,…: each key known, given once, and of its kind. */
#include "vtpm_options_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum status complain(const struct complaint *at, enum status status, const char *format, ...)
{
    va_list arguments;
    int len = snprintf(at->why, VTPM_OPTIONS_WHY, "%s: ", at->option);
    if (len < 0 || len >= VTPM_OPTIONS_WHY)
        return status;
    va_start(arguments, format);
    (void)vsnprintf(at->why + len, VTPM_OPTIONS_WHY - (size_t)len, format, arguments);
    va_end(arguments);
    return status;
}

enum status take_number(const char *text, int base, unsigned long most, unsigned long *number)
{
    const char *digits = base == 8 ? "01234567" : "0123456789";
    size_t len = strlen(text);
    if (len == 0 || len > 20 || strspn(text, digits) != len)
        return MALFORMED;
    errno = 0;
    unsigned long found = strtoul(text, NULL, base);
    if (errno || found > most)
        return MALFORMED;
    *number = found;
    return OK;
}

static enum status take_value(const struct complaint *at, const struct key *key, const char *text, struct value *value)
{
    unsigned long number = 0;
    if (value->given)
        return complain(at, MALFORMED, "%s is given twice", key->name);
    if (key->kind == KEY_REFUSED)
        return complain(at, UNSUPPORTED, "%s: %s", key->name, key->refused_as);
    if (key->kind == KEY_FLAG && text)
        return complain(at, MALFORMED, "%s takes no value", key->name);
    if (key->kind == KEY_ANSWER) {
        if (text && strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
            return complain(at, MALFORMED, "%s=%.40s is neither yes nor no", key->name, text);
        *value = (struct value){.given = true, .text = text, .number = !text || *text == 'y'};
        return OK;
    }
    if (key->kind != KEY_FLAG && (!text || !*text))
        return complain(at, MALFORMED, "%s needs a value: %s=…", key->name, key->name);
    if (key->kind == KEY_NUMBER && take_number(text, 10, key->most, &number) != OK)
        return complain(at, MALFORMED, "%s=%.40s is not a number from 0 to %lu", key->name, text, key->most);
    if (key->kind == KEY_MODE && (*text != '0' || take_number(text, 8, 0777, &number) != OK))
        return complain(at, MALFORMED, "%s=%.40s is not an octal mode like 0600", key->name, text);
    *value = (struct value){.given = true, .text = text, .number = number};
    return OK;
}

enum status take_list(const struct complaint *at, char *text, const struct key *keys, struct value values[KEYS_MAX])
{
    struct value found[KEYS_MAX] = {{0}};
    size_t count = 0;
    for (char *rest = text, *part; (part = strsep(&rest, ",")) != NULL;) {
        char *equals = strchr(part, '=');
        size_t i = 0;
        if (equals)
            *equals++ = 0;
        while (keys[i].name && strcmp(keys[i].name, part) != 0)
            i++;
        if (!keys[i].name)
            return *part ? complain(at, MALFORMED, "%.40s is not known here", part)
                         : complain(at, MALFORMED, "a part of the list is empty");
        TRY(take_value(at, &keys[i], equals, &found[i]));
    }
    while (keys[count].name)
        count++;
    memcpy(values, found, count * sizeof *found);
    return OK;
}
