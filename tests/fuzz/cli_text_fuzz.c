/* JSON text taken apart letter by letter, against jansson: on what it takes, the same members and elements; on all
 * else, no byte behind the end. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool held)
{
    if (!held)
        abort();
}

static void must_equal(struct bytes text, const json_t *value)
{
    json_t *again = json_loadb((const char *)text.data, text.len, JSON_DECODE_ANY, NULL);
    must(again && json_equal(again, value));
    json_decref(again);
}

static bool is_plain(const char *name)
{
    for (const char *at = name; *at; at++)
        if (*at == '"' || *at == '\\' || (unsigned char)*at < 0x20 || (unsigned char)*at > 0x7e)
            return false;
    return true;
}

static void check_object(struct bytes text, json_t *object)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        struct bytes found = cli_json_member(text, name);
        /* A name that was written with escapes is not found: that is what the header says. */
        if (is_plain(name) && found.len > 0)
            must_equal(found, value);
    }
}

static void check_array(struct bytes text, const json_t *array)
{
    size_t off = 0;
    for (size_t i = 0; i < json_array_size(array); i++) {
        struct bytes element = cli_json_next(text, &off);
        must(element.len > 0);
        must_equal(element, json_array_get(array, i));
    }
    must(cli_json_next(text, &off).len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_from(data, size);
    json_t *tree = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(tree))
        check_object(text, tree);
    else if (json_is_array(tree))
        check_array(text, tree);
    size_t off = 0;
    for (int i = 0; i < 64 && cli_json_next(text, &off).len > 0; i++)
        must(off <= size);
    struct bytes member = cli_json_member(text, "a");
    must(member.len == 0 || (member.data >= data && member.data + member.len <= data + size));
    json_decref(tree);
    return 0;
}
