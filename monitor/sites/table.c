/* Who is served: one table, asked once for each that wants to be. */
#include "sites.h"

#include <stdio.h>
#include <string.h>

static enum status refuse(enum status status, const char *why, const char *whose, char sentence[ENCLAVE_SENTENCE_MAX])
{
    snprintf(sentence, ENCLAVE_SENTENCE_MAX, "%s%s", why, whose);
    return status;
}

static const char *name_of(const struct site *site)
{
    return site->name[0] ? site->name : "the node's own instance";
}

static bool same_site(const struct site *one, const struct site *other)
{
    return memcmp(one->configuration.site, other->configuration.site, IMAGE_SITE_LEN) == 0;
}

static enum status judge(const struct sites *sites, const struct site *site, char sentence[ENCLAVE_SENTENCE_MAX])
{
    const struct image_configuration *own = &sites->at[SITES_OWN]->configuration;
    if (!bytes_equal(site->configuration.certificate, own->certificate))
        return refuse(DENIED, "its configuration names another owner than this node was made for", "", sentence);
    if (site->configuration.insecure_dev != own->insecure_dev)
        return refuse(DENIED, "its configuration is of another mode than this node's", "", sentence);
    for (size_t i = 0; i < SITES_MAX; i++)
        if (sites->at[i] && strcmp(sites->at[i]->name, site->name) == 0)
            return refuse(BUSY, "it has a host end", "", sentence);
    for (size_t i = 0; i < SITES_MAX; i++)
        if (sites->at[i] && same_site(sites->at[i], site))
            return refuse(DENIED, "its configuration has the site id of ", name_of(sites->at[i]), sentence);
    return OK;
}

static bool has_head(const struct heads *heads, const struct site *site)
{
    struct head head;
    heads_get(heads, site->configuration.site, &head);
    return head.sequence != 0;
}

/* A record once made stays: those of instances that are not served now count, too. */
static bool heads_hold(const struct sites *sites, const struct site *site, const struct heads *heads)
{
    size_t wanted = heads_count(heads) + !has_head(heads, site);
    for (size_t i = 0; i < SITES_MAX; i++)
        wanted += sites->at[i] && !has_head(heads, sites->at[i]);
    return has_head(heads, site) || wanted <= HEADS_SITES_MAX;
}

static bool user_is_taken(const struct sites *sites, uint32_t user)
{
    for (size_t i = 0; i < SITES_MAX; i++)
        if (sites->at[i] && sites->at[i]->user == user)
            return true;
    return sites->spare_user == user;
}

/* The first that is free from there on. */
static uint32_t choose_user(const struct sites *sites, uint32_t number)
{
    while (user_is_taken(sites, SITES_USER_FIRST | (number & SITES_USER_MASK)))
        number++;
    return SITES_USER_FIRST | (number & SITES_USER_MASK);
}

enum status sites_enter(struct sites *sites, struct site *site, const struct heads *heads, size_t *place,
                        char sentence[ENCLAVE_SENTENCE_MAX])
{
    size_t at = SITES_OWN;
    if (sites->at[SITES_OWN]) {
        TRY(judge(sites, site, sentence));
        while (at < SITES_MAX && sites->at[at])
            at++;
        if (at == SITES_MAX)
            return refuse(NO_ROOM, "as many instances as a monitor serves at once have a host end", "", sentence);
        if (!heads_hold(sites, site, heads))
            return refuse(NO_ROOM, "the node's table of heads holds no more sites", "", sentence);
    }
    /* By the site id where that is free; the host makes site ids, and may make two alike in these bits. */
    uint32_t number;
    memcpy(&number, site->configuration.site, sizeof number);
    site->user = choose_user(sites, number);
    sites->at[at] = site;
    *place = at;
    return OK;
}

void sites_leave(struct sites *sites, const struct site *site)
{
    for (size_t i = 0; i < SITES_MAX; i++)
        if (sites->at[i] == site)
            sites->at[i] = NULL;
}

void sites_choose_spare_user(struct sites *sites)
{
    sites->spare_user = choose_user(sites, sites->spare_user + 1);
}
