/* sites: the instances that one monitor serves at once — what each is made of, read from its directory, and the table
 * of who is served. Never launches, never holds a key, never speaks with anyone.
 *
 * A node was made for one owner and one instance, in node/configuration: its own, which has no name and whose host end
 * attaches without one. Beside it the node serves more of the same owner, each made of a directory,
 *
 *     node/instances/NAME/configuration   its launch configuration: owner, site id (the instance's), mode
 *     node/instances/NAME/image           its image: a directory, or a link to one
 *     node/instances/NAME/workload        its tasks, or its machine policy, signed by the owner; or nothing
 *
 * read anew each time a host end attaches by NAME, and let go of when that hangs up: what was changed meanwhile (a new
 * image) counts from then on, and no other instance notices. Images of one measurement are one set of sealed memfds,
 * loaded once: a manifest tells which it is, and what is on the disk beside it is not looked at again. The one that was
 * let go of last stays, for who comes back, and one that somebody else uses.
 *
 * NAME is the host's word, for files and log lines. It is in no key and no evidence: there an instance is its config
 * id, of which the site id is part, so who exchanges two names, directories or archives gains a refusal. */
#ifndef BASTIDE_SITES_H
#define BASTIDE_SITES_H

#include "abi.h"
#include "base.h"
#include "enclave.h"
#include "heads.h"
#include "image.h"

#include <sys/types.h>

#define SITES_MAX HEADS_SITES_MAX /* served at once, the node's own among them */
#define SITES_OWN 0               /* its place */
#define SITES_PATH_MAX 80         /* of "node/instances/NAME" */

/* Nobody is given these: what others are for in the numbering of systemd.io/UIDS-GIDS is below. */
#define SITES_USER_FIRST 0x70000000u
#define SITES_USER_MASK 0x0fffffffu

struct sites_image {
    struct enclave_image image;
    unsigned uses;
    struct sites_image *next;
};

struct site {
    char name[MONITOR_INSTANCE_LEN]; /* "": the node's own */
    struct image_configuration configuration;
    struct bytes configuration_encoded; /* of configuration_bytes */
    struct bytes workload_encoded;      /* its own, from the heap */
    uint8_t workload[IMAGE_HASH_LEN];
    struct image_machine machine; /* serial 0: it has none */
    struct sites_image *image;
    uint32_t user; /* from sites_enter() on: the number its enclave runs as, where we are root; no two have the same,
                      nor has one `spare_user` */
    uint8_t configuration_bytes[IMAGE_CONFIGURATION_MAX];
};

struct sites {
    struct site *at[SITES_MAX]; /* NULL: a free place; [SITES_OWN] is the node's own from its entering on */
    struct sites_image *images;
    uint32_t spare_user; /* of an enclave that is nobody's yet; 0: none is */
};

/* "node", or "node/instances/NAME". */
void site_directory(const char *name, char directory[SITES_PATH_MAX]);

/* Configuration and workload of a zeroed site, by its name. NOT_FOUND, IO, NO_ROOM, MALFORMED; of the workload, AUTH:
 * not its owner's, DENIED: another instance's. The sentence names the file. */
MUST_USE enum status site_read(struct site *site, const char *home, char sentence[ENCLAVE_SENTENCE_MAX]);
/* The image of that directory, or the one of its measurement that is loaded. Refusals are enclave_image_open()'s and
 * enclave_image_load()'s. */
MUST_USE enum status site_load_image(struct sites *sites, struct site *site, const char *directory,
                                     char sentence[ENCLAVE_SENTENCE_MAX]);
/* For one more user than sites are, who lets go of it. */
struct sites_image *sites_image_use(struct sites_image *image);
void sites_image_leave(struct sites *sites, struct sites_image *image);
/* What the two took; a site that was never read is allowed. */
void site_done(struct sites *sites, struct site *site);
/* What is left when every site is done. */
void sites_done(struct sites *sites);

/* The node's own first; then any that is
 *   of the owner for whom the node was made, by the very certificate, and of its mode, else DENIED;
 *   of a site id that nobody who is served has, else DENIED: two enclaves of one site would each cut the other's log;
 *   of a name that nobody has, else BUSY: one host end at a time;
 *   within SITES_MAX at once, and its head within what the table of heads can hold beside the heads of everybody who is
 *   served, committed yet or not, else NO_ROOM: it would find out only when its first commit fails.
 * Keeps `site` until it leaves. On refusal the sentence says why and nothing has changed. */
MUST_USE enum status sites_enter(struct sites *sites, struct site *site, const struct heads *heads, size_t *place,
                                 char sentence[ENCLAVE_SENTENCE_MAX]);
void sites_leave(struct sites *sites, const struct site *site);
/* A number that no site has and none is given while it is sites->spare_user, which is set. */
void sites_choose_spare_user(struct sites *sites);

#endif
