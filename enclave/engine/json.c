/* JSON as we take it from strangers: bounded depth before the parser sees it, members known by name; and pieces of it
 * as their author wrote them, since a parser's copy spells numbers differently. */
#include "engine_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the UTF-8 character that begins here, 0 when none does (RFC 3629). */
static size_t utf8_len(const uint8_t *at)
{
    size_t len = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool beyond = (at[0] == 0xed && at[1] >= 0xa0) || (at[0] == 0xf4 && at[1] >= 0x90);
    return overlong || beyond ? 0 : len;
}

void engine_clean(char *text)
{
    for (size_t off = 0; text[off];) {
        size_t len = utf8_len((const uint8_t *)text + off);
        if (len == 0 || (len == 1 && (text[off] < ' ' || text[off] == 0x7f)))
            text[off] = '?';
        off += len ? len : 1;
    }
}

enum status engine_refuse(struct engine_refusal *refusal, enum status status, const char *field, const char *format,
                          ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(refusal->reason, sizeof refusal->reason, format, arguments);
    va_end(arguments);
    snprintf(refusal->field, sizeof refusal->field, "%s", field);
    engine_clean(refusal->reason);
    engine_clean(refusal->field);
    return status;
}

/* Behind the string whose opening quote stands at `off`. */
static size_t behind_string(struct bytes json, size_t off)
{
    for (off++; off < json.len && json.data[off] != '"'; off++)
        if (json.data[off] == '\\')
            off++;
    return off < json.len ? off + 1 : json.len;
}

/* jansson recurses once a level, so the depth is bounded before it starts. Brackets inside strings do not count. */
enum status engine_check_depth(struct bytes json)
{
    size_t depth = 0;
    for (size_t i = 0; i < json.len;) {
        uint8_t c = json.data[i];
        if (c == '"') {
            i = behind_string(json, i);
            continue;
        }
        if ((c == '{' || c == '[') && ++depth > ENGINE_DEPTH_MAX)
            return DENIED;
        if ((c == '}' || c == ']') && depth > 0)
            depth--;
        i++;
    }
    return OK;
}

json_t *engine_load_json(struct bytes text, struct engine_refusal *refusal, enum status *status)
{
    if (engine_check_depth(text) != OK) {
        *status = engine_refuse(refusal, DENIED, "body", "is nested deeper than %d levels", ENGINE_DEPTH_MAX);
        return NULL;
    }
    json_error_t error;
    json_t *value = text.len ? json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &error) : NULL;
    if (!value)
        *status = text.len ? engine_refuse(refusal, MALFORMED, "body", "is not JSON: line %d, column %d: %.120s",
                                           error.line, error.column, error.text)
                           : engine_refuse(refusal, MALFORMED, "body", "is empty");
    else
        *status = OK;
    return value;
}

enum status engine_check_members(const json_t *object, const char *prefix, const char *const *known,
                                 struct engine_refusal *refusal)
{
    const char *name;
    json_t *value;
    json_t *walked = (json_t *)(uintptr_t)object; /* jansson's iterator takes no const, and changes nothing */
    json_object_foreach(walked, name, value)
    {
        bool found = false;
        for (size_t i = 0; known[i] && !found; i++)
            found = strcmp(known[i], name) == 0;
        if (!found) {
            char field[96];
            snprintf(field, sizeof field, "%s%s%.40s", prefix, *prefix ? "." : "", *name ? name : "\"\"");
            return engine_refuse(refusal, DENIED, field, "is not a field that is known here");
        }
    }
    return OK;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Over blanks and what separates values. */
static size_t next_token(struct bytes json, size_t off)
{
    while (off < json.len && (is_blank(json.data[off]) || json.data[off] == ',' || json.data[off] == ':'))
        off++;
    return off;
}

static size_t behind_value(struct bytes json, size_t off)
{
    size_t depth = 0;
    while (off < json.len) {
        uint8_t c = json.data[off];
        if (depth == 0 && (c == '}' || c == ']' || c == ',' || is_blank(c)))
            return off;
        if (c == '"') {
            off = behind_string(json, off);
            if (depth == 0)
                return off;
            continue;
        }
        off++;
        if (c == '{' || c == '[')
            depth++;
        if ((c == '}' || c == ']') && --depth == 0)
            return off;
    }
    return off;
}

struct bytes engine_next(struct bytes array, size_t *off)
{
    size_t from = next_token(array, *off);
    if (*off == 0 && from < array.len)
        from = next_token(array, from + 1); /* over the bracket */
    *off = behind_value(array, from);
    return bytes_slice(array, from, *off - from);
}

struct bytes engine_member(struct bytes object, const char *name)
{
    size_t off = 0;
    for (struct bytes key = engine_next(object, &off); key.len; key = engine_next(object, &off)) {
        struct bytes value = engine_next(object, &off);
        if (key.len == strlen(name) + 2 && memcmp(key.data + 1, name, key.len - 2) == 0)
            return value;
    }
    return (struct bytes){0};
}

char *engine_compact(struct bytes json)
{
    char *text = malloc(json.len + 1);
    size_t len = 0;
    for (size_t off = 0; text && off < json.len;) {
        size_t end = json.data[off] == '"' ? behind_string(json, off) : off + 1;
        if (!is_blank(json.data[off])) {
            memcpy(text + len, json.data + off, end - off);
            len += end - off;
        }
        off = end;
    }
    if (text)
        text[len] = 0;
    return text;
}

void engine_put_string(struct writer *writer, struct bytes utf8)
{
    put_u8(writer, '"');
    for (size_t i = 0; i < utf8.len; i++) {
        uint8_t c = utf8.data[i];
        char escape[8];
        if (c >= ' ' && c != '"' && c != '\\') {
            put_u8(writer, c);
            continue;
        }
        snprintf(escape, sizeof escape, c == '\n' ? "\\n" : c < ' ' ? "\\u%04x" : "\\%c", c);
        put_text(writer, escape);
    }
    put_u8(writer, '"');
}

void engine_put_number(struct writer *writer, double finite)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, finite);
        if (strtod(text, NULL) == finite)
            break;
    }
    put_text(writer, text);
}

bool engine_name_is_valid(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > ENGINE_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("._-/", c)))
            return false;
    }
    return true;
}
