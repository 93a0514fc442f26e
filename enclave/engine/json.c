/* JSON as we take it from strangers: bounded depth before the parser sees it, members known by name. */
#include "engine_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum status engine_refuse(struct engine_refusal *refusal, enum status status, const char *field, const char *format,
                          ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(refusal->reason, sizeof refusal->reason, format, arguments);
    va_end(arguments);
    snprintf(refusal->field, sizeof refusal->field, "%s", field);
    return status;
}

/* jansson recurses once a level, so the depth is bounded before it starts. Brackets inside strings do not count. */
enum status engine_check_depth(struct bytes json)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < json.len; i++) {
        uint8_t c = json.data[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > ENGINE_DEPTH_MAX)
                return DENIED;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
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
            snprintf(field, sizeof field, "%s%s%.40s", prefix, *prefix ? "." : "", name);
            return engine_refuse(refusal, DENIED, field, "is not a field that is known here");
        }
    }
    return OK;
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
