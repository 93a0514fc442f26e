/* Bodies of events from any client, in all four formats: taken or refused as a whole; what was taken reads the same
 * when it is written down as plain JSON. The first byte chooses the format, and whether the owner asks. */
#include "engine.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define NOW INT64_C(1422886740000)

static void require(bool good)
{
    if (!good)
        abort();
}

static void same_text(const char *a, const char *b)
{
    require((a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0));
}

static void check_event(const struct engine_event *event, const char *client)
{
    char when[ENGINE_TIME_LEN + 1], *text = NULL;
    struct engine_batch again = {0};
    struct engine_refusal refusal;
    require(engine_name_is_valid(event->source) && engine_name_is_valid(event->type));
    require(!client || strncmp(event->source, client, strlen(client)) == 0);
    require(!event->id || (event->id[0] != 0 && strlen(event->id) <= ENGINE_ID_MAX));
    require(strpbrk(event->properties, "\n\r\t") == NULL && event->properties[0] == '{');
    engine_format_time(event->time_ms, when);
    json_t *id = event->id ? json_string(event->id) : NULL;
    char *quoted = id ? json_dumps(id, JSON_ENCODE_ANY) : NULL;
    require(asprintf(&text, "{\"source\":\"%s\",\"type\":\"%s\",\"time\":\"%s\"%s%s,\"properties\":%s}", event->source,
                     event->type, when, quoted ? ",\"id\":" : "", quoted ? quoted : "", event->properties) > 0);
    require(engine_parse_events(bytes_from_text(text), ENGINE_JSON, NULL, 0, &again, &refusal) == OK);
    require(again.count == 1 && again.events[0].time_ms == event->time_ms);
    same_text(event->source, again.events[0].source);
    same_text(event->type, again.events[0].type);
    same_text(event->id, again.events[0].id);
    same_text(event->properties, again.events[0].properties);
    engine_batch_done(&again);
    json_decref(id);
    free(quoted);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const enum engine_format formats[] = {ENGINE_JSON, ENGINE_CBOR, ENGINE_SENML_JSON, ENGINE_SENML_CBOR};
    if (len == 0)
        return 0;
    const char *client = data[0] & 4 ? NULL : "sensor";
    struct engine_batch batch = {0};
    struct engine_refusal refusal = {0};
    enum status status =
        engine_parse_events(bytes_from(data + 1, len - 1), formats[data[0] & 3], client, NOW, &batch, &refusal);
    if (status != OK) {
        require(batch.count == 0 && !batch.events && refusal.field[0] && refusal.reason[0]);
        /* What a person is told is text: it goes into JSON as it is. */
        json_t *told = json_pack("{s:s,s:s}", "field", refusal.field, "reason", refusal.reason);
        require(told != NULL);
        json_decref(told);
        return 0;
    }
    require(batch.count >= 1 && batch.count <= ENGINE_EVENTS_MAX);
    for (size_t i = 0; i < batch.count; i++)
        check_event(&batch.events[i], client);
    engine_batch_done(&batch);
    return 0;
}
