/* Events from bodies: plain JSON or CBOR objects, and SenML packs (RFC 8428), all turned into one shape. */
#include "engine_internal.h"

#include "cbor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIME_MAX_MS INT64_C(253402300799999) /* the end of the year 9999 */

/* What the strings of a batch live in: the parsed tree, and texts made from it. */
struct keep {
    json_t *tree;
    char *properties[ENGINE_EVENTS_MAX];
    char *types[ENGINE_EVENTS_MAX]; /* of SenML records */
    size_t count;
};

struct parse {
    const char *prefix; /* what events are called in refusals */
    const char *client;
    int64_t now_ms;
    struct engine_batch *batch;
    struct keep *keep;
    struct engine_refusal *refusal;
};

void engine_batch_done(struct engine_batch *batch)
{
    struct keep *keep = batch->keep;
    if (keep) {
        for (size_t i = 0; i < keep->count; i++) {
            free(keep->properties[i]);
            free(keep->types[i]);
        }
        json_decref(keep->tree);
    }
    free(keep);
    free(batch->events);
    *batch = (struct engine_batch){0};
}

static enum status refuse_at(struct parse *parse, size_t index, const char *field, const char *reason)
{
    char path[96];
    snprintf(path, sizeof path, "%s[%zu].%s", parse->prefix, index, field);
    return engine_refuse(parse->refusal, DENIED, path, "%s", reason);
}

static bool source_belongs_to(const char *source, const char *client)
{
    if (!client)
        return true;
    size_t len = strlen(client);
    return strncmp(source, client, len) == 0 && (source[len] == 0 || source[len] == '/');
}

static enum status take_time(struct parse *parse, const json_t *value, size_t index, int64_t *time_ms)
{
    *time_ms = parse->now_ms;
    if (!value)
        return OK;
    if (json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) <= TIME_MAX_MS) {
        *time_ms = json_integer_value(value);
        return OK;
    }
    if (json_is_string(value) && engine_parse_time(json_string_value(value), time_ms))
        return OK;
    return refuse_at(parse, index, "time", "must be like 2015-02-02T14:19:00Z, or milliseconds since 1970");
}

/* Takes `properties` and `type`, of which the latter may be NULL. */
static enum status add_event(struct parse *parse, struct engine_event event, char *properties, char *type)
{
    struct keep *keep = parse->keep;
    keep->properties[keep->count] = properties;
    keep->types[keep->count] = type;
    keep->count++;
    if (!properties || !event.type)
        return engine_refuse(parse->refusal, NO_ROOM, "body", "does not fit in memory");
    event.properties = properties;
    parse->batch->events[parse->batch->count++] = event;
    return OK;
}

/* As the client wrote them; only where their very name is written with escapes, as the parser writes them. */
static char *copy_properties(const json_t *properties, struct bytes event_text)
{
    struct bytes text = engine_member(event_text, "properties");
    if (!properties)
        return strdup("{}");
    return text.len ? engine_compact(text) : json_dumps(properties, JSON_COMPACT);
}

/* {"type":…, "source"?, "time"?, "id"?, "properties"?} */
static enum status take_plain(struct parse *parse, const json_t *object, struct bytes text, size_t index)
{
    static const char *const known[] = {"type", "source", "time", "id", "properties", NULL};
    char prefix[32];
    snprintf(prefix, sizeof prefix, "%s[%zu]", parse->prefix, index);
    if (!json_is_object(object))
        return engine_refuse(parse->refusal, DENIED, prefix, "must be an object");
    TRY(engine_check_members(object, prefix, known, parse->refusal));
    struct engine_event event = {.source = parse->client};

    event.type = json_string_value(json_object_get(object, "type"));
    if (!event.type || !engine_name_is_valid(event.type))
        return refuse_at(parse, index, "type", "must be a name: 1 to 64 letters, digits or . _ - /");
    const json_t *source = json_object_get(object, "source");
    if (source)
        event.source = json_string_value(source);
    if (!event.source || !engine_name_is_valid(event.source) || !source_belongs_to(event.source, parse->client))
        return refuse_at(parse, index, "source",
                         parse->client ? "must be the client's own name, or start with it and a slash"
                                       : "must be a name: 1 to 64 letters, digits or . _ - /");
    const json_t *id = json_object_get(object, "id");
    event.id = json_string_value(id);
    if (id && (!event.id || event.id[0] == 0 || strlen(event.id) > ENGINE_ID_MAX))
        return refuse_at(parse, index, "id", "must be 1 to 64 bytes of text");
    TRY(take_time(parse, json_object_get(object, "time"), index, &event.time_ms));
    const json_t *properties = json_object_get(object, "properties");
    if (properties && !json_is_object(properties))
        return refuse_at(parse, index, "properties", "must be an object");
    return add_event(parse, event, copy_properties(properties, text), NULL);
}

static enum status take_plain_body(struct parse *parse, struct bytes text)
{
    json_t *tree = parse->keep->tree;
    if (!json_is_array(tree))
        return take_plain(parse, tree, text, 0);
    size_t off = 0;
    for (size_t i = 0; i < json_array_size(tree); i++)
        TRY(take_plain(parse, json_array_get(tree, i), engine_next(text, &off), i));
    return OK;
}

/* SenML (RFC 8428). In CBOR the labels are integers (§6); the transcoder made them text, so "-2" stands beside "bn". */
static const json_t *senml_field(const json_t *record, const char *name, const char *label)
{
    const json_t *value = json_object_get(record, name);
    return value ? value : json_object_get(record, label);
}

struct senml_base {
    const char *name;
    double time;
    double value;
    double sum;
    const char *unit;
};

static bool is_number_or_absent(const json_t *value)
{
    return !value || json_is_number(value);
}

static bool is_text_or_absent(const json_t *value)
{
    return !value || json_is_string(value);
}

/* A time below 2^28 is relative to now (RFC 8428 §4.5.3). */
#define SENML_RELATIVE_BELOW 268435456.0
#define SENML_VERSION 10

static enum status senml_time(struct parse *parse, size_t index, double seconds, int64_t *time_ms)
{
    if (seconds < SENML_RELATIVE_BELOW)
        seconds += (double)parse->now_ms / 1000.0;
    if (!isfinite(seconds) || seconds < 0 || seconds * 1000.0 > (double)TIME_MAX_MS)
        return refuse_at(parse, index, "t", "is outside the years 1970 to 9999");
    *time_ms = (int64_t)llround(seconds * 1000.0);
    return OK;
}

static enum status senml_base(struct parse *parse, const json_t *record, size_t index, struct senml_base *base)
{
    const json_t *name = senml_field(record, "bn", "-2"), *time = senml_field(record, "bt", "-3");
    const json_t *unit = senml_field(record, "bu", "-4"), *value = senml_field(record, "bv", "-5");
    const json_t *sum = senml_field(record, "bs", "-6"), *version = senml_field(record, "bver", "-1");
    if (!is_text_or_absent(name) || !is_text_or_absent(unit))
        return refuse_at(parse, index, is_text_or_absent(name) ? "bu" : "bn", "must be text");
    if (!is_number_or_absent(time) || !is_number_or_absent(value) || !is_number_or_absent(sum))
        return refuse_at(parse, index,
                         !is_number_or_absent(time)    ? "bt"
                         : !is_number_or_absent(value) ? "bv"
                                                       : "bs",
                         "must be a number");
    if (version &&
        !(json_is_integer(version) && json_integer_value(version) >= 1 && json_integer_value(version) <= SENML_VERSION))
        return refuse_at(parse, index, "bver", "is not a SenML version up to 10");
    base->name = name ? json_string_value(name) : base->name;
    base->unit = unit ? json_string_value(unit) : base->unit;
    base->time = time ? json_number_value(time) : base->time;
    base->value = value ? json_number_value(value) : base->value;
    base->sum = sum ? json_number_value(sum) : base->sum;
    const char *key;
    json_t *ignored, *walked = (json_t *)(uintptr_t)record;
    /* A label that ends in "_" must be understood, and none of those is (RFC 8428 §4.4). */
    json_object_foreach(walked, key, ignored)
    {
        if (*key && key[strlen(key) - 1] == '_')
            return refuse_at(parse, index, "label", "ends in _ and must be understood, but is not");
    }
    return OK;
}

/* The name may or may not begin with the client's own; the rest is the type. Colons, which our names do not have but
 * those of SenML do (urn:dev:…), become slashes. NULL when it is no name. */
static char *senml_type(const struct parse *parse, const struct senml_base *base, const json_t *name)
{
    char full[2 * ENGINE_NAME_MAX + 2];
    int len = snprintf(full, sizeof full, "%s%s", base->name ? base->name : "", name ? json_string_value(name) : "");
    if (len < 0 || (size_t)len >= sizeof full)
        return NULL;
    for (char *at = strchr(full, ':'); at; at = strchr(at, ':'))
        *at = '/';
    size_t own = strlen(parse->client);
    const char *type = strncmp(full, parse->client, own) == 0 && full[own] == '/' ? full + own + 1 : full;
    return engine_name_is_valid(type) ? strdup(type) : NULL;
}

static void put_member(struct writer *writer, const char *name)
{
    put_text(writer, writer->len > 1 ? "," : "");
    put_text(writer, name);
}

/* {"value":…,"sum"?:…,"unit"?:…} for free(); NULL without memory. */
static char *senml_properties(const struct senml_base *base, const json_t *value, const json_t *text,
                              const json_t *truth, const json_t *sum, const json_t *unit)
{
    const char *unit_text = unit ? json_string_value(unit) : base->unit;
    size_t cap = 160 + 6 * ((unit_text ? strlen(unit_text) : 0) + (text ? json_string_length(text) : 0));
    char *properties = malloc(cap);
    struct writer writer = writer_over(properties, properties ? cap - 1 : 0);
    put_text(&writer, "{");
    if (value || text || truth)
        put_member(&writer, "\"value\":");
    if (value)
        engine_put_number(&writer, base->value + json_number_value(value));
    else if (text)
        engine_put_string(&writer, bytes_from(json_string_value(text), json_string_length(text)));
    else if (truth)
        put_text(&writer, json_is_true(truth) ? "true" : "false");
    if (sum) {
        put_member(&writer, "\"sum\":");
        engine_put_number(&writer, base->sum + json_number_value(sum));
    }
    if (unit_text) {
        put_member(&writer, "\"unit\":");
        engine_put_string(&writer, bytes_from_text(unit_text));
    }
    put_text(&writer, "}");
    if (writer_end(&writer) != OK) {
        free(properties);
        return NULL;
    }
    properties[writer.len] = 0;
    return properties;
}

static enum status take_senml(struct parse *parse, const json_t *record, size_t index, struct senml_base *base)
{
    if (!json_is_object(record))
        return refuse_at(parse, index, "record", "must be an object");
    TRY(senml_base(parse, record, index, base));
    const json_t *name = senml_field(record, "n", "0"), *unit = senml_field(record, "u", "1");
    const json_t *value = senml_field(record, "v", "2"), *time = senml_field(record, "t", "6");
    const json_t *text = senml_field(record, "vs", "3"), *truth = senml_field(record, "vb", "4");
    const json_t *data = senml_field(record, "vd", "8"), *sum = senml_field(record, "s", "5");
    int values = (value != NULL) + (text != NULL) + (truth != NULL) + (data != NULL);
    if (values == 0 && !sum)
        return name ? refuse_at(parse, index, "v", "is missing: a record with a name needs a value") : OK;
    if (values > 1)
        return refuse_at(parse, index, "v", "is given more than once");
    if (!is_text_or_absent(name) || !is_text_or_absent(unit) || !is_text_or_absent(text) || !is_text_or_absent(data) ||
        !is_number_or_absent(value) || !is_number_or_absent(time) || !is_number_or_absent(sum) ||
        (truth && !json_is_boolean(truth)))
        return refuse_at(parse, index, "record", "has a field of the wrong kind");
    if ((value && !isfinite(base->value + json_number_value(value))) ||
        (sum && !isfinite(base->sum + json_number_value(sum))))
        return refuse_at(parse, index, value ? "v" : "s", "is too large a number with its base");
    struct engine_event event = {.source = parse->client};
    TRY(senml_time(parse, index, base->time + (time ? json_number_value(time) : 0), &event.time_ms));
    char *type = senml_type(parse, base, name);
    if (!type)
        return refuse_at(parse, index, "n", "with bn must make a name: 1 to 64 letters, digits or . _ - / :");
    event.type = type;
    return add_event(parse, event, senml_properties(base, value, text ? text : data, truth, sum, unit), type);
}

static enum status take_senml_body(struct parse *parse)
{
    json_t *tree = parse->keep->tree;
    if (!json_is_array(tree) || json_array_size(tree) == 0)
        return engine_refuse(parse->refusal, DENIED, "body", "must be a SenML pack: an array of records");
    struct senml_base base = {0};
    for (size_t i = 0; i < json_array_size(tree); i++)
        TRY(take_senml(parse, json_array_get(tree, i), i, &base));
    return OK;
}

/* CBOR becomes JSON text first, so that there is one path from here on. What grows most is a half-precision number:
 * three bytes to 24 characters. */
static enum status transcode(struct bytes body, char **text, size_t *len, struct engine_refusal *refusal)
{
    size_t cap = body.len * 8 + 64;
    *text = malloc(cap);
    if (!*text)
        return engine_refuse(refusal, NO_ROOM, "body", "does not fit in memory");
    struct reader reader = reader_over(body);
    struct writer writer = writer_over(*text, cap);
    enum status status = cbor_to_json(&reader, &writer);
    if (status == OK)
        status = reader_end(&reader);
    *len = writer.len;
    if (status != OK)
        return engine_refuse(refusal, MALFORMED, "body", "is not CBOR that can be read as JSON: %s",
                             status_word(status));
    return OK;
}

static enum status take_events(json_t *tree, struct bytes text, struct parse *parse, bool senml,
                               struct engine_batch *batch)
{
    size_t count = json_is_array(tree) ? json_array_size(tree) : 1;
    struct engine_batch made = {calloc(count ? count : 1, sizeof *made.events), 0, calloc(1, sizeof(struct keep))};
    struct keep *keep = made.keep;
    if (!made.events || !keep || count == 0 || count > ENGINE_EVENTS_MAX) {
        engine_batch_done(&made);
        json_decref(tree);
        return engine_refuse(parse->refusal, count == 0 ? DENIED : NO_ROOM, parse->prefix, "must be 1 to %d",
                             ENGINE_EVENTS_MAX);
    }
    keep->tree = tree;
    parse->batch = &made;
    parse->keep = keep;
    enum status status = senml ? take_senml_body(parse) : take_plain_body(parse, text);
    if (status == OK && made.count == 0)
        status = engine_refuse(parse->refusal, DENIED, parse->prefix, "holds no event");
    if (status == OK)
        *batch = made;
    else
        engine_batch_done(&made);
    return status;
}

enum status engine_take_events(json_t *tree, struct bytes text, const char *prefix, const char *client, int64_t now_ms,
                               struct engine_batch *batch, struct engine_refusal *refusal)
{
    struct parse parse = {.prefix = prefix, .client = client, .now_ms = now_ms, .refusal = refusal};
    return take_events(tree, text, &parse, false, batch);
}

enum status engine_parse_events(struct bytes body, enum engine_format format, const char *client, int64_t now_ms,
                                struct engine_batch *batch, struct engine_refusal *refusal)
{
    struct parse parse = {.prefix = "events", .client = client, .now_ms = now_ms, .refusal = refusal};
    bool senml = format == ENGINE_SENML_JSON || format == ENGINE_SENML_CBOR;
    char *text = NULL;
    size_t len = 0;
    enum status status = OK;
    if (senml && !client)
        return engine_refuse(refusal, DENIED, "body", "must not be SenML, in which an event cannot name its source");
    if (format == ENGINE_CBOR || format == ENGINE_SENML_CBOR) {
        status = transcode(body, &text, &len, refusal);
        body = bytes_from(text, len);
    }
    json_t *tree = status == OK ? engine_load_json(body, refusal, &status) : NULL;
    if (status == OK)
        status = take_events(tree, body, &parse, senml, batch);
    if (text)
        wipe(text, len);
    free(text);
    return status;
}
