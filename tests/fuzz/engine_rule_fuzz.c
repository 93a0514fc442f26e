/* Rule texts: refused with a field, or taken. Taken once, taken always; and the list of rules, into which the text goes
 * as it came, stays JSON. No script is compiled, since the rule is put as one that was taken before. */
#include "engine.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool good)
{
    if (!good)
        abort();
}

static void check_list(struct engine *engine, struct bytes text, const char *name)
{
    size_t cap = text.len + 4096;
    char *list = malloc(cap);
    struct writer writer = writer_over(list, cap);
    require(list && engine_list_rules(engine, 0, &writer) == OK);
    json_t *rules = json_loadb(list, writer.len, JSON_REJECT_DUPLICATES, NULL);
    json_t *given = json_loadb((const char *)text.data, text.len, 0, NULL);
    json_t *rule = json_array_get(rules, 0);
    require(json_array_size(rules) == 1 && given);
    require(strcmp(json_string_value(json_object_get(rule, "name")), name) == 0);
    require(json_equal(json_object_get(rule, "rule"), given));
    json_decref(rules);
    json_decref(given);
    free(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes text = bytes_from(data, len);
    char name[ENGINE_NAME_MAX + 1] = "";
    struct engine_refusal refusal = {0};
    static struct engine *engine;
    require(engine || engine_new(&engine, NULL) == OK);
    enum status status = engine_rule_name(text, name, &refusal);
    require(engine_put_rule(engine, text, bytes_from_text("{}"), &refusal) == status);
    if (status != OK) {
        json_t *told = json_pack("{s:s,s:s}", "field", refusal.field, "reason", refusal.reason);
        require(told && refusal.field[0] && refusal.reason[0] && !name[0] && engine_rule_count(engine) == 0);
        json_decref(told);
    } else {
        require(engine_name_is_valid(name) && engine_rule_count(engine) == 1);
        check_list(engine, text, name);
        require(engine_remove_rule(engine, name) == OK);
    }
    engine_clear(engine);
    return 0;
}
