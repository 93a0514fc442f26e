/* owner/pins.json: anchors and the highest freshness, in hexadecimal so that people can compare. */
#include "owner.h"

#include <stdlib.h>
#include <string.h>

#define PINS_MAX 8192

static bool take_hex(const json_t *from, const char *name, uint8_t *room, size_t len, bool *has)
{
    const json_t *value = json_object_get(from, name);
    *has = value && !json_is_null(value);
    if (!*has)
        return true;
    uint8_t bytes[64];
    struct writer writer = writer_over(bytes, sizeof bytes);
    const char *text = json_string_value(value);
    if (!text || hex_decode(text, &writer) != OK || writer.len != len)
        return false;
    memcpy(room, bytes, len);
    return true;
}

static bool take_number(const json_t *from, const char *name, uint64_t *number)
{
    const json_t *value = json_object_get(from, name);
    *number = (uint64_t)json_integer_value(value);
    return json_is_integer(value) && json_integer_value(value) >= 0;
}

static bool take_boot_digests(const json_t *list, struct owner_pins *pins)
{
    size_t index;
    json_t *value;
    if (!json_is_array(list))
        return list == NULL;
    json_array_foreach(list, index, value)
    {
        struct writer writer = writer_over(pins->boot_digests[index], EAT_HASH_LEN);
        const char *text = json_string_value(value);
        if (!text || hex_decode(text, &writer) != OK || writer.len != EAT_HASH_LEN)
            return false;
        pins->boot_digest_count = index + 1;
        if (pins->boot_digest_count == OWNER_BOOT_DIGESTS_MAX)
            break;
    }
    return true;
}

void owner_pins_add_boot(struct owner_pins *pins, const uint8_t digest[EAT_HASH_LEN])
{
    uint8_t added[EAT_HASH_LEN];
    size_t at = 0;
    memcpy(added, digest, sizeof added);
    while (at < pins->boot_digest_count && memcmp(pins->boot_digests[at], added, sizeof added) != 0)
        at++;
    if (at == pins->boot_digest_count && pins->boot_digest_count < OWNER_BOOT_DIGESTS_MAX)
        pins->boot_digest_count++;
    if (at == OWNER_BOOT_DIGESTS_MAX)
        at--;
    memmove(pins->boot_digests[1], pins->boot_digests[0], at * sizeof added);
    memcpy(pins->boot_digests[0], added, sizeof added);
}

static bool take_pins(const json_t *tree, struct owner_pins *pins)
{
    const json_t *seen = json_object_get(tree, "freshness");
    uint64_t walls = 0, resets = 0;
    bool measured = false;
    pins->first_use = json_is_true(json_object_get(tree, "first_use"));
    pins->allow_unmeasured_monitor = json_is_true(json_object_get(tree, "allow_unmeasured_monitor"));
    bool good = take_hex(tree, "ek_name", pins->ek_name, sizeof pins->ek_name, &pins->has_ek) &&
                take_hex(tree, "ak_name", pins->ak_name, sizeof pins->ak_name, &pins->has_ak) &&
                take_boot_digests(json_object_get(tree, "boot_digests"), pins) &&
                take_hex(tree, "measurement", pins->measurement, sizeof pins->measurement, &measured) && measured &&
                take_number(tree, "required_walls", &walls) &&
                take_number(seen, "nv_counter", &pins->seen.nv_counter) && take_number(seen, "reset_count", &resets) &&
                take_number(seen, "sequence", &pins->seen.sequence);
    pins->required_walls = (uint32_t)walls;
    pins->seen.reset_count = (uint32_t)resets;
    return good && walls <= UINT32_MAX && resets <= UINT32_MAX;
}

enum status owner_pins_load(const struct cli *cli, struct owner_pins *pins)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    struct owner_pins made = {0};
    TRY(cli_read_file(cli_path(cli, "owner/pins.json", path), PINS_MAX, &data, &len));
    json_t *tree = json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES, NULL);
    free(data);
    bool good = take_pins(tree, &made);
    json_decref(tree);
    if (good)
        *pins = made;
    return good ? OK : MALFORMED;
}

static json_t *hex(bool has, const uint8_t *bytes, size_t len)
{
    char text[2 * 64 + 1];
    return has && hex_encode(bytes_from(bytes, len), text, sizeof text) == OK ? json_string(text) : json_null();
}

enum status owner_pins_save(const struct cli *cli, const struct owner_pins *pins)
{
    char path[PATH_MAX];
    json_t *boots = json_array();
    for (size_t i = 0; i < pins->boot_digest_count; i++)
        json_array_append_new(boots, hex(true, pins->boot_digests[i], EAT_HASH_LEN));
    json_t *tree = json_pack(
        "{s:o,s:o,s:b,s:o,s:b,s:o,s:I,s:{s:I,s:I,s:I}}", "ek_name", hex(pins->has_ek, pins->ek_name, TPM2_NAME_LEN),
        "ak_name", hex(pins->has_ak, pins->ak_name, TPM2_NAME_LEN), "first_use", pins->first_use, "boot_digests", boots,
        "allow_unmeasured_monitor", pins->allow_unmeasured_monitor, "measurement",
        hex(true, pins->measurement, EAT_HASH_LEN), "required_walls", (json_int_t)pins->required_walls, "freshness",
        "nv_counter", (json_int_t)pins->seen.nv_counter, "reset_count", (json_int_t)pins->seen.reset_count, "sequence",
        (json_int_t)pins->seen.sequence);
    char *text = tree ? json_dumps(tree, JSON_INDENT(2)) : NULL;
    json_decref(tree);
    if (!text)
        return NO_ROOM;
    enum status status = cli_write_file(cli_path(cli, "owner/pins.json", path), bytes_from_text(text));
    free(text);
    return status;
}
