/* Events from bodies: plain JSON or CBOR objects, and SenML packs (RFC 8428), all turned into one shape. */
#include "engine_internal.h"

#include "cbor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the strings of a batch live in: the parsed tree and the property texts made from it. */
struct keep {
    json_t *tree;
    char *texts[ENGINE_EVENTS_MAX];
    char *sources[ENGINE_EVENTS_MAX];
    size_t count;
};

struct parse {
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
            free(keep->texts[i]);
            free(keep->sources[i]);
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
    snprintf(path, sizeof path, "events[%zu].%s", index, field);
    return engine_refuse(parse->refusal, DENIED, path, "%s", reason);
}

static bool source_belongs_to(const char *source, const char *client)
{
    size_t len = strlen(client);
    return strncmp(source, client, len) == 0 && (source[len] == 0 || source[len] == '/');
}

static enum status take_time(struct parse *parse, const json_t *value, size_t index, int64_t *time_ms)
{
    *time_ms = parse->now_ms;
    if (!value)
        return OK;
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *time_ms = json_integer_value(value);
        return OK;
    }
    if (json_is_string(value) && engine_parse_time(json_string_value(value), time_ms))
        return OK;
    return refuse_at(parse, index, "time", "must be like 2015-02-02T14:19:00Z, or milliseconds since 1970");
}

static enum status add_event(struct parse *parse, struct engine_event event, char *properties, char *source)
{
    struct keep *keep = parse->keep;
    keep->texts[keep->count] = properties;
    keep->sources[keep->count] = source;
    keep->count++;
    event.properties = properties;
    if (source)
        event.source = source;
    parse->batch->events[parse->batch->count++] = event;
    return properties ? OK : NO_ROOM;
}

/* {"type":…, "source"?, "time"?, "id"?, "properties"?} */
static enum status take_plain(struct parse *parse, const json_t *object, size_t index)
{
    static const char *const known[] = {"type", "source", "time", "id", "properties", NULL};
    char prefix[32];
    snprintf(prefix, sizeof prefix, "events[%zu]", index);
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
        return refuse_at(parse, index, "source", "must be the client's own name, or start with it and a slash");
    const json_t *id = json_object_get(object, "id");
    event.id = json_string_value(id);
    if (id && (!event.id || event.id[0] == 0 || strlen(event.id) > ENGINE_ID_MAX))
        return refuse_at(parse, index, "id", "must be 1 to 64 characters");
    TRY(take_time(parse, json_object_get(object, "time"), index, &event.time_ms));
    const json_t *properties = json_object_get(object, "properties");
    if (properties && !json_is_object(properties))
        return refuse_at(parse, index, "properties", "must be an object");
    return add_event(parse, event, properties ? json_dumps(properties, JSON_COMPACT) : strdup("{}"), NULL);
}

static enum status take_plain_body(struct parse *parse)
{
    json_t *tree = parse->keep->tree;
    if (!json_is_array(tree))
        return take_plain(parse, tree, 0);
    for (size_t i = 0; i < json_array_size(tree); i++)
        TRY(take_plain(parse, json_array_get(tree, i), i));
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
    const char *unit;
};

/* A time below 2^28 is relative to now (RFC 8428 §4.5.3). */
#define SENML_RELATIVE_BELOW 268435456.0

static enum status senml_time(struct parse *parse, size_t index, double seconds, int64_t *time_ms)
{
    if (seconds < SENML_RELATIVE_BELOW)
        seconds += (double)parse->now_ms / 1000.0;
    if (!isfinite(seconds) || seconds < 0 || seconds > 253402300799.0)
        return refuse_at(parse, index, "t", "is outside the years 1970 to 9999");
    *time_ms = (int64_t)llround(seconds * 1000.0);
    return OK;
}

static enum status senml_base(struct parse *parse, const json_t *record, size_t index, struct senml_base *base)
{
    const json_t *name = senml_field(record, "bn", "-2"), *time = senml_field(record, "bt", "-3");
    const json_t *unit = senml_field(record, "bu", "-4"), *value = senml_field(record, "bv", "-5");
    const json_t *version = senml_field(record, "bver", "-1");
    if ((name && !json_is_string(name)) || (unit && !json_is_string(unit)))
        return refuse_at(parse, index, name && !json_is_string(name) ? "bn" : "bu", "must be text");
    if ((time && !json_is_number(time)) || (value && !json_is_number(value)))
        return refuse_at(parse, index, time && !json_is_number(time) ? "bt" : "bv", "must be a number");
    if (version && !(json_is_integer(version) && json_integer_value(version) <= 10))
        return refuse_at(parse, index, "bver", "is a SenML version above 10");
    base->name = name ? json_string_value(name) : base->name;
    base->unit = unit ? json_string_value(unit) : base->unit;
    base->time = time ? json_number_value(time) : base->time;
    base->value = value ? json_number_value(value) : base->value;
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

static enum status take_senml(struct parse *parse, const json_t *record, size_t index, struct senml_base *base)
{
    if (!json_is_object(record))
        return refuse_at(parse, index, "record", "must be an object");
    TRY(senml_base(parse, record, index, base));
    const json_t *name = senml_field(record, "n", "0"), *unit = senml_field(record, "u", "1");
    const json_t *value = senml_field(record, "v", "2"), *time = senml_field(record, "t", "6");
    const json_t *texts[] = {senml_field(record, "vs", "3"), senml_field(record, "vb", "4"),
                             senml_field(record, "vd", "8")};
    const json_t *sum = senml_field(record, "s", "5");
    int values = (value != NULL) + (texts[0] != NULL) + (texts[1] != NULL) + (texts[2] != NULL);
    if (values == 0 && !sum)
        return name ? refuse_at(parse, index, "v", "is missing: a record with a name needs a value") : OK;
    if (values > 1)
        return refuse_at(parse, index, "v", "is given more than once");
    if ((name && !json_is_string(name)) || (unit && !json_is_string(unit)) || (value && !json_is_number(value)) ||
        (time && !json_is_number(time)) || (texts[0] && !json_is_string(texts[0])) ||
        (texts[1] && !json_is_boolean(texts[1])) || (texts[2] && !json_is_string(texts[2])) ||
        (sum && !json_is_number(sum)))
        return refuse_at(parse, index, "record", "has a field of the wrong kind");

    char full[2 * ENGINE_NAME_MAX + 2];
    int len = snprintf(full, sizeof full, "%s%s", base->name ? base->name : "", name ? json_string_value(name) : "");
    /* The name may or may not begin with the client's own; the rest is the type. */
    const char *type = full;
    size_t own = strlen(parse->client);
    if (strncmp(full, parse->client, own) == 0 && (full[own] == '/' || full[own] == ':'))
        type = full + own + 1;
    if (len < 0 || (size_t)len >= sizeof full || !engine_name_is_valid(type))
        return refuse_at(parse, index, "n", "with bn must make a name: 1 to 64 letters, digits or . _ - /");
    struct engine_event event = {.source = parse->client};
    TRY(senml_time(parse, index, base->time + (time ? json_number_value(time) : 0), &event.time_ms));

    json_t *properties = json_object();
    if (value)
        json_object_set_new(properties, "value", json_real(base->value + json_number_value(value)));
    for (size_t i = 0; i < 3; i++)
        if (texts[i])
            json_object_set_new(properties, "value", json_deep_copy(texts[i]));
    if (sum)
        json_object_set_new(properties, "sum", json_real(json_number_value(sum)));
    if (unit || base->unit)
        json_object_set_new(properties, "unit", json_string(unit ? json_string_value(unit) : base->unit));
    char *text = json_dumps(properties, JSON_COMPACT);
    json_decref(properties);
    char *kept = strdup(type);
    event.type = kept;
    enum status status = add_event(parse, event, text, NULL);
    parse->keep->sources[parse->keep->count - 1] = kept;
    return status == OK && kept ? OK : NO_ROOM;
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

/* CBOR becomes JSON text first, so that there is one path from here on. The text may be longer than the CBOR. */
static enum status load_cbor(struct bytes body, struct engine_refusal *refusal, json_t **tree)
{
    size_t cap = body.len * 6 + 64;
    char *text = malloc(cap);
    if (!text)
        return engine_refuse(refusal, NO_ROOM, "body", "is too large to transcode");
    struct reader reader = reader_over(body);
    struct writer writer = writer_over(text, cap);
    enum status status = cbor_to_json(&reader, &writer);
    if (status == OK)
        status = reader_end(&reader);
    if (status != OK)
        status =
            engine_refuse(refusal, MALFORMED, "body", "is not CBOR that can be read as JSON: %s", status_word(status));
    else
        *tree = engine_load_json(writer_bytes(&writer), refusal, &status);
    wipe(text, cap);
    free(text);
    return status;
}

enum status engine_parse_events(struct bytes body, enum engine_format format, const char *client, int64_t now_ms,
                                struct engine_batch *batch, struct engine_refusal *refusal)
{
    enum status status = OK;
    json_t *tree = NULL;
    if (format == ENGINE_CBOR || format == ENGINE_SENML_CBOR)
        status = load_cbor(body, refusal, &tree);
    else
        tree = engine_load_json(body, refusal, &status);
    if (status != OK)
        return status;
    size_t count = json_is_array(tree) ? json_array_size(tree) : 1;
    if (count == 0 || count > ENGINE_EVENTS_MAX) {
        json_decref(tree);
        return engine_refuse(refusal, count ? NO_ROOM : DENIED, "events", "must be 1 to %d in one body",
                             ENGINE_EVENTS_MAX);
    }
    struct engine_batch made = {calloc(count, sizeof *made.events), 0, calloc(1, sizeof(struct keep))};
    struct keep *keep = made.keep;
    if (!made.events || !keep) {
        json_decref(tree);
        engine_batch_done(&made);
        return engine_refuse(refusal, NO_ROOM, "body", "does not fit in memory");
    }
    keep->tree = tree;
    struct parse parse = {client, now_ms, &made, keep, refusal};
    bool senml = format == ENGINE_SENML_JSON || format == ENGINE_SENML_CBOR;
    status = senml ? take_senml_body(&parse) : take_plain_body(&parse);
    if (status == OK && made.count == 0)
        status = engine_refuse(refusal, DENIED, "body", "holds no event");
    if (status != OK) {
        engine_batch_done(&made);
        return status;
    }
    *batch = made;
    return OK;
}
