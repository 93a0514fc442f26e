/* bastide vtpm tag: what a node is and where, signed by its owner and written into the node's own vTPM, once. */
#include "command_internal.h"
#include "instance.h"

#include "provision.h"
#include "tag.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAY_S 86400u
#define DAYS_DEFAULT 365u
#define DAYS_MAX 36500u

struct wish {
    const char *name, *region, *at, *days;
    const char *asset_items[TAG_ASSETS_MAX];
    struct cli_list assets;
};

/* ---- What is wished for ---- */

static int by_name(const void *left, const void *right)
{
    const struct tag_asset *a = left, *b = right;
    const size_t a_len = strlen(a->name), b_len = strlen(b->name);
    return a_len != b_len ? (a_len > b_len) - (a_len < b_len) : strcmp(a->name, b->name);
}

static int take_asset(const struct cli *cli, const char *text, struct tag *tag)
{
    const char *equals = strchr(text, '=');
    const size_t len = equals ? (size_t)(equals - text) : 0;
    if (len == 0 || len > TAG_NAME_MAX || strlen(equals + 1) > TAG_VALUE_MAX)
        return cli_usage(cli, "vtpm", "--asset \"%.60s\": NAME=VALUE, of at most %d and %d bytes", text, TAG_NAME_MAX,
                         TAG_VALUE_MAX);
    struct tag_asset *asset = &tag->assets[tag->asset_count++];
    snprintf(asset->name, sizeof asset->name, "%.*s", (int)len, text);
    snprintf(asset->value, sizeof asset->value, "%s", equals + 1);
    return CLI_OK;
}

static int take_place(const struct cli *cli, const char *text, struct tag *tag)
{
    char *end = NULL;
    tag->latitude = strtod(text, &end);
    const bool parted = end != text && *end == ',';
    const char *second = parted ? end + 1 : text;
    tag->longitude = strtod(second, &end);
    tag->located = parted && end != second && *end == 0 && tag->latitude >= -90 && tag->latitude <= 90 &&
                   tag->longitude >= -180 && tag->longitude <= 180;
    return tag->located ? CLI_OK
                        : cli_usage(cli, "vtpm", "--at %.60s: LATITUDE,LONGITUDE in degrees, as 4.6,-74.1", text);
}

static int fill(const struct cli *cli, const struct wish *wish, struct tag *tag)
{
    uint64_t days = DAYS_DEFAULT;
    int result = cli_number(cli, "vtpm", "days", wish->days, 1, DAYS_MAX, &days);
    for (size_t i = 0; i < wish->assets.count && result == CLI_OK; i++)
        result = take_asset(cli, wish->assets.items[i], tag);
    if (result == CLI_OK && wish->at)
        result = take_place(cli, wish->at, tag);
    if (result == CLI_OK && wish->region && strlen(wish->region) > TAG_REGION_MAX)
        result = cli_usage(cli, "vtpm", "--region %.60s: an ISO 3166 code, as CO or CO-DC", wish->region);
    if (result)
        return result;
    if (wish->region)
        snprintf(tag->region, sizeof tag->region, "%s", wish->region);
    qsort(tag->assets, tag->asset_count, sizeof *tag->assets, by_name);
    tag->expires_s = cli_unix_ms() / 1000 + days * DAY_S;
    return CLI_OK;
}

/* ---- What is there ---- */

/* The one that counts: its slot, or PROVISION_TAGS_MAX. */
static uint32_t find(struct provision *tpm, const struct owner *owner, const struct instance *instance,
                     struct tag *best)
{
    uint32_t found = PROVISION_TAGS_MAX;
    for (uint32_t slot = 0; slot < PROVISION_TAGS_MAX; slot++) {
        uint8_t room[TAG_MAX];
        struct writer writer = writer_over(room, sizeof room);
        struct tag tag;
        if (provision_read_tag(tpm, slot, &writer) != OK ||
            tag_open(writer_bytes(&writer), &owner->configuration.owner, instance->id, &tag) != OK)
            continue;
        if (found == PROVISION_TAGS_MAX || tag.serial > best->serial) {
            *best = tag;
            found = slot;
        }
    }
    return found;
}

static void show(const struct cli *cli, const char *name, uint32_t slot, const struct tag *tag)
{
    const bool expired = tag->expires_s <= cli_unix_ms() / 1000;
    json_t *assets = json_object();
    cli_line(cli, "tag", "serial %llu, at 0x%08x of vTPM %s%s", (unsigned long long)tag->serial,
             PROVISION_TAG_INDEX + slot, name, expired ? ": expired" : "");
    for (size_t i = 0; i < tag->asset_count; i++) {
        cli_line(cli, tag->assets[i].name, "%s", tag->assets[i].value);
        json_object_set_new(assets, tag->assets[i].name, json_string(tag->assets[i].value));
    }
    if (*tag->region)
        cli_line(cli, "region", "%s", tag->region);
    if (tag->located)
        cli_line(cli, "at", "%.6f,%.6f", tag->latitude, tag->longitude);
    if (!cli->json) {
        json_decref(assets);
        return;
    }
    json_t *document = json_pack("{s:s,s:I,s:I,s:b,s:o,s:s*}", "name", name, "serial", (json_int_t)tag->serial,
                                 "expires", (json_int_t)tag->expires_s, "expired", expired, "assets", assets, "region",
                                 *tag->region ? tag->region : NULL);
    if (tag->located) {
        json_object_set_new(document, "latitude", json_real(tag->latitude));
        json_object_set_new(document, "longitude", json_real(tag->longitude));
    }
    cli_print_json(document);
}

/* ---- The two together ---- */

static int write_tag(const struct cli *cli, struct owner *owner, struct provision *tpm, const struct tag *tag)
{
    uint8_t room[TAG_MAX];
    struct writer writer = writer_over(room, sizeof room);
    int result = owner_unlock(cli, owner);
    if (result)
        return result;
    enum status status = tag_sign(&writer, &owner->key, tag);
    if (status == MALFORMED)
        return cli_usage(cli, "vtpm", "such a tag cannot be: an asset is named twice or oddly, or the region is none");
    if (status != OK)
        return cli_fail(cli, CLI_DENIED, "the tag cannot be signed: %s", owner_signing_problem(owner, status));
    status = provision_tag(tpm, writer_bytes(&writer));
    if (status == NO_ROOM)
        return cli_fail(cli, CLI_LIMIT,
                        "all %d places for tags are taken, and none is ever written again: another "
                        "instance is needed",
                        PROVISION_TAGS_MAX);
    return status == OK
               ? CLI_OK
               : cli_fail(cli, CLI_DENIED, "the vTPM refused the tag (%s, %#x)", status_word(status), tpm->refused);
}

static int serve(const struct cli *cli, const struct wish *wish, struct tag *tag, struct owner *owner)
{
    struct instance instance;
    struct instance_sockets sockets;
    struct tag there = {.serial = 0};
    int fd = -1, result = instance_look(cli, wish->name, false, &instance);
    const bool writes = wish->assets.count || wish->region || wish->at || wish->days;
    if (result == CLI_OK)
        result = owner_open(cli, false, owner);
    if (result == CLI_OK && writes)
        result = fill(cli, wish, tag);
    if (result == CLI_OK)
        result = instance_sockets(cli, wish->name, &sockets);
    if (result)
        return result;
    if (instance_reach(sockets.data, INSTANCE_ASK_MS, &fd) != OK)
        return cli_fail(cli, CLI_UNREACHABLE, "vTPM %s does not run: bastide vtpm start %s --on", wish->name,
                        wish->name);
    struct provision tpm = {.user = &fd, .ask = instance_ask_tpm};
    uint32_t slot = find(&tpm, owner, &instance, &there);
    if (writes) {
        memcpy(tag->site, instance.id, sizeof tag->site);
        tag->serial = there.serial + 1;
        result = write_tag(cli, owner, &tpm, tag);
        slot = result == CLI_OK ? find(&tpm, owner, &instance, &there) : slot;
    }
    close(fd);
    if (result)
        return result;
    if (slot == PROVISION_TAGS_MAX)
        return cli_fail(cli, CLI_NOT_FOUND, "vTPM %s has no tag of this owner's, or is not switched on", wish->name);
    show(cli, wish->name, slot, &there);
    return CLI_OK;
}

int command_vtpm_tag(const struct cli *cli, int argc, char **argv)
{
    struct wish wish = {.name = NULL};
    struct tag tag = {.serial = 0};
    struct owner owner = {0};
    wish.assets = (struct cli_list){wish.asset_items, TAG_ASSETS_MAX, 0};
    const struct cli_option options[] = {{"asset", NULL, NULL, &wish.assets},
                                         {"region", &wish.region, NULL, NULL},
                                         {"at", &wish.at, NULL, NULL},
                                         {"days", &wish.days, NULL, NULL}};
    int result = cli_options(cli, "vtpm", options, sizeof options / sizeof *options, &argc, argv);
    if (result)
        return result;
    if (argc != 2)
        return cli_usage(cli, "vtpm", "tag takes one NAME");
    wish.name = argv[1];
    result = serve(cli, &wish, &tag, &owner);
    owner_done(&owner);
    return result;
}
