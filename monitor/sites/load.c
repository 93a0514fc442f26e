/* What an instance is made of, from an untrusted disk: read once and bounded, then judged. */
#include "sites.h"

#include "node.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status refuse(enum status status, const char *directory, const char *what,
                          char sentence[ENCLAVE_SENTENCE_MAX])
{
    snprintf(sentence, ENCLAVE_SENTENCE_MAX, "%s/%s", directory, what);
    return status;
}

void site_directory(const char *name, char directory[SITES_PATH_MAX])
{
    snprintf(directory, SITES_PATH_MAX, name[0] ? "node/instances/%s" : "node", name);
}

static enum status read_below(const char *home, const char *directory, const char *name, uint8_t *room, size_t cap,
                              size_t *len)
{
    char below[SITES_PATH_MAX + 16], path[PATH_MAX];
    snprintf(below, sizeof below, "%s/%s", directory, name);
    return node_path(home, below, path) ? node_read_file(path, room, cap, len) : NO_ROOM;
}

/* Tasks or a machine policy: either is signed by this site's owner. */
static enum status open_workload(struct site *site, struct bytes encoded)
{
    static struct image_workload tasks;
    enum image_workload_kind kind;
    TRY(image_workload_kind(encoded, &kind));
    const struct image_configuration *whose = &site->configuration;
    if (kind == IMAGE_MACHINE)
        TRY(image_machine_open(encoded, &whose->owner, whose->site, &site->machine));
    else
        TRY(image_workload_open(encoded, &whose->owner, &tasks));
    memcpy(site->workload, kind == IMAGE_MACHINE ? site->machine.hash : tasks.hash, sizeof site->workload);
    return OK;
}

static enum status read_workload(struct site *site, const char *home, const char *directory,
                                 char sentence[ENCLAVE_SENTENCE_MAX])
{
    static uint8_t room[IMAGE_WORKLOAD_MAX];
    size_t len = 0;
    enum status status = read_below(home, directory, "workload", room, sizeof room, &len);
    if (status != OK && status != NOT_FOUND)
        return refuse(status, directory, "workload cannot be read, or is too long", sentence);
    status = open_workload(site, bytes_from(room, len));
    if (status == DENIED)
        return refuse(status, directory, "workload is the policy of another instance", sentence);
    if (status != OK)
        return refuse(AUTH, directory, "workload is not signed by this site's owner", sentence);
    if (len == 0)
        return OK;
    uint8_t *copy = malloc(len);
    if (!copy)
        return refuse(NO_ROOM, directory, "workload finds no memory in the monitor", sentence);
    memcpy(copy, room, len);
    site->workload_encoded = bytes_from(copy, len);
    return OK;
}

enum status site_read(struct site *site, const char *home, char sentence[ENCLAVE_SENTENCE_MAX])
{
    char directory[SITES_PATH_MAX];
    size_t len = 0;
    site_directory(site->name, directory);
    enum status status =
        read_below(home, directory, "configuration", site->configuration_bytes, sizeof site->configuration_bytes, &len);
    if (status == NOT_FOUND)
        return refuse(status, directory,
                      site->name[0] ? "configuration is missing" : "configuration is missing: bastide init makes it",
                      sentence);
    if (status != OK)
        return refuse(status, directory, "configuration cannot be read, or is too long", sentence);
    site->configuration_encoded = bytes_from(site->configuration_bytes, len);
    if (image_configuration_decode(site->configuration_encoded, &site->configuration) != OK)
        return refuse(MALFORMED, directory, "configuration is not a launch configuration", sentence);
    return read_workload(site, home, directory, sentence);
}

enum status site_load_image(struct sites *sites, struct site *site, const char *directory,
                            char sentence[ENCLAVE_SENTENCE_MAX])
{
    struct sites_image *found = calloc(1, sizeof *found), *known = sites->images;
    if (!found)
        return refuse(NO_ROOM, directory, IMAGE_MANIFEST_NAME " finds no memory in the monitor", sentence);
    enum status status = enclave_image_open(&found->image, directory, sentence);
    while (status == OK && known && memcmp(known->image.measurement, found->image.measurement, IMAGE_HASH_LEN) != 0)
        known = known->next;
    if (status == OK && !known)
        status = enclave_image_load(&found->image, directory, sentence);
    if (status != OK || known)
        free(found);
    if (status != OK)
        return status;
    if (!known) {
        found->next = sites->images;
        sites->images = known = found;
    }
    site->image = sites_image_use(known);
    return OK;
}

/* All that nobody uses, but `kept`. */
static void drop_images(struct sites *sites, const struct sites_image *kept)
{
    struct sites_image **at = &sites->images;
    while (*at) {
        struct sites_image *image = *at;
        if (image->uses || image == kept) {
            at = &image->next;
            continue;
        }
        *at = image->next;
        enclave_image_done(&image->image);
        free(image);
    }
}

void sites_done(struct sites *sites)
{
    drop_images(sites, NULL);
}

struct sites_image *sites_image_use(struct sites_image *image)
{
    image->uses++;
    return image;
}

void sites_image_leave(struct sites *sites, struct sites_image *image)
{
    if (image && --image->uses == 0)
        drop_images(sites, image);
}

void site_done(struct sites *sites, struct site *site)
{
    sites_image_leave(sites, site->image);
    free((void *)(uintptr_t)site->workload_encoded.data);
    site->image = NULL;
    site->workload_encoded = (struct bytes){0};
}
