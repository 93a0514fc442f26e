/* bastide report --explain: an appraisal as a chain, link by link — what was expected and from where, what was found,
 * what that is worth, and what to do. Whether it holds is the evidence room's to say; here it is only told. */
#include "command_internal.h"

#include <string.h>

static const struct command_remedy of_hub = {
    "owner/owner.crt",
    "somebody else's node answers at this address, or one whose store is new: look at \"http\" in run/node.json, and "
    "who serves there; after bastide reinitialise it is bastide init --renew",
    "bastide init signs the site CA",
};

static const struct command_remedy remedies[EVIDENCE_LINK_COUNT] = {
    [EVIDENCE_LINK_EVIDENCE] = {"", "the node's programs and this one are of versions that do not fit: upgrade both",
                                NULL},
    [EVIDENCE_LINK_NONCE] = {"made for this request",
                             "ask again; if it stays so, somebody between you and the node replays old answers", NULL},
    [EVIDENCE_LINK_TPM] =
        {"owner/pins.json: ek_name",
         "if the TPM was exchanged, ask the node's maker or its administrator (not the node) for the name of its "
         "endorsement key, remove owner/pins.json, and bastide init --renew --ek-name with it",
         "bastide init --ek-name, with the name that the node's maker or its administrator tells you"},
    [EVIDENCE_LINK_ATTESTATION_KEY] = {"owner/pins.json: ak_name",
                                       "a node that was set up anew has another: if that was you, take ak_name out of "
                                       "owner/pins.json and bastide init "
                                       "--renew, which has the TPM prove the new one; if not, somebody else made it",
                                       "bastide init --renew has the TPM prove it"},
    [EVIDENCE_LINK_QUOTE] = {"the attestation key above",
                             "the evidence was changed or put together from several: ask again, and do not use this "
                             "node if it stays so",
                             NULL},
    [EVIDENCE_LINK_REPORT] = {"the quote above",
                              "the evidence was changed or put together from several: ask again, and do not use this "
                              "node if it stays so",
                              NULL},
    [EVIDENCE_LINK_MONITOR] =
        {"owner/pins.json: boot_digests, allow_unmeasured_monitor",
         "believe nothing that this node says: have it boot an image that measures its monitor (docs/node.md) and "
         "approve that by bastide boot sign",
         "docs/node.md leads to a node whose boot chain measures it; --require measured-monitor refuses all others"},
    [EVIDENCE_LINK_MODE] =
        {"owner/configuration",
         "whoever runs this node started it with --insecure-dev: it must be started for the production site, on a "
         "machine with a TPM; a development site never becomes one",
         "bastide init without --insecure-dev, on a machine with a TPM, makes a production site"},
    [EVIDENCE_LINK_IMAGE] =
        {"owner/pins.json: measurement",
         "after an upgrade of yours: bastide init --renew takes the new measurement from the image's files; else "
         "another program runs there, and is to get nothing",
         NULL},
    [EVIDENCE_LINK_CONFIGURATION] = {"owner/configuration",
                                     "it was started for somebody or something else: node/configuration on the node "
                                     "must be the same file as owner/configuration here",
                                     NULL},
    [EVIDENCE_LINK_WALLS] = {"owner/pins.json: required_walls, and --require",
                             "bastide doctor, on the node, says how to raise each",
                             "bastide doctor, on the node, says how to raise each"},
    [EVIDENCE_LINK_FRESHNESS] =
        {"owner/pins.json: freshness",
         "the node was turned back to an older state, and what came later is lost there: have its newest disk and TPM "
         "put back; where no copy is left, bastide reinitialise",
         NULL},
    [EVIDENCE_LINK_SESSION] = {"this session",
                               "somebody relays another hub's evidence: look at who serves at this address", NULL},
};

static const char *const words[] = {
    [EVIDENCE_UNSEEN] = "-",          [EVIDENCE_HOLDS] = "ok",        [EVIDENCE_ALLOWED] = "allowed",
    [EVIDENCE_UNPROVED] = "unproved", [EVIDENCE_REFUSED] = "REFUSED",
};

static const char *const states[] = {
    [EVIDENCE_UNSEEN] = "unseen",     [EVIDENCE_HOLDS] = "ok",        [EVIDENCE_ALLOWED] = "allowed",
    [EVIDENCE_UNPROVED] = "unproved", [EVIDENCE_REFUSED] = "refused",
};

const struct command_remedy *command_remedy_of(enum evidence_link link)
{
    return &remedies[link];
}

static const char *advice_of(const struct evidence_step *step, const struct command_remedy *remedy)
{
    if (step->outcome == EVIDENCE_REFUSED)
        return remedy->refused;
    return step->outcome == EVIDENCE_ALLOWED ? remedy->allowed : NULL;
}

/* ---- For people ---- */

static void print_value(const struct cli *cli, const char *label, const char *value, const char *from)
{
    if (*value)
        printf("%s%-10s%-16s %s%s%s%s%s\n", cli_dim(cli), "", label, value, *from ? "  (" : "", from, *from ? ")" : "",
               cli_plain(cli));
}

void command_print_link(const struct cli *cli, const char *name, const struct evidence_step *step,
                        const struct command_remedy *remedy)
{
    bool refused = step->outcome == EVIDENCE_REFUSED;
    const char *advice = advice_of(step, remedy);
    printf("%s%-9s %-16s %s%s\n", refused ? cli_bold(cli) : "", words[step->outcome], name, step->why,
           refused ? cli_plain(cli) : "");
    if (strcmp(step->expected, step->found) == 0) {
        print_value(cli, "as expected", step->found, remedy->from);
    } else {
        print_value(cli, "expected", step->expected, remedy->from);
        print_value(cli, "found", step->found, "");
    }
    if (advice)
        printf("%-10s%-16s %s\n", "", refused ? "what to do" : "to raise it", advice);
}

/* All in one line. */
static void print_unseen(const struct cli *cli, const struct owner_explanation *explanation)
{
    char text[256];
    struct writer names = writer_over(text, sizeof text - 1);
    for (enum evidence_link link = 0; link < EVIDENCE_LINK_COUNT; link++) {
        if (explanation->links[link].outcome != EVIDENCE_UNSEEN)
            continue;
        put_text(&names, names.len ? ", " : "");
        put_text(&names, evidence_link_word(link));
    }
    text[names.len] = 0;
    if (names.len)
        printf("%s%-9s %-16s %s%s\n", cli_dim(cli), words[EVIDENCE_UNSEEN], "not looked at", text, cli_plain(cli));
}

static void print_for_people(const struct cli *cli, const struct owner_explanation *explanation)
{
    cli_progress(cli, NULL);
    command_print_link(cli, "hub", &explanation->hub, &of_hub);
    for (enum evidence_link link = 0; link < EVIDENCE_LINK_COUNT; link++)
        if (explanation->links[link].outcome != EVIDENCE_UNSEEN)
            command_print_link(cli, evidence_link_word(link), &explanation->links[link], &remedies[link]);
    print_unseen(cli, explanation);
    fflush(stdout);
}

/* ---- For programs ---- */

static void put_text_of(json_t *object, const char *name, const char *text)
{
    if (text && *text)
        json_object_set_new(object, name, json_string(text));
}

json_t *command_link_json(const char *name, const struct evidence_step *step, const struct command_remedy *remedy)
{
    json_t *link = json_pack("{s:s,s:s}", "link", name, "state", states[step->outcome]);
    put_text_of(link, "expected", step->expected);
    put_text_of(link, "from", remedy->from);
    put_text_of(link, "found", step->found);
    put_text_of(link, "why", step->why);
    put_text_of(link, "do", advice_of(step, remedy));
    return link;
}

static json_t *links_json(const struct owner_explanation *explanation)
{
    json_t *links = json_array();
    json_array_append_new(links, command_link_json("hub", &explanation->hub, &of_hub));
    for (enum evidence_link link = 0; link < EVIDENCE_LINK_COUNT; link++)
        json_array_append_new(links,
                              command_link_json(evidence_link_word(link), &explanation->links[link], &remedies[link]));
    return links;
}

void command_explain(const struct cli *cli, const struct owner_explanation *explanation, bool verified)
{
    if (cli->json)
        cli_print_json(json_pack("{s:b,s:o}", "verified", verified, "links", links_json(explanation)));
    else
        print_for_people(cli, explanation);
}

/* ---- Which links were refused ---- */

static void name_link(struct writer *names, const char *name, const struct evidence_step *step)
{
    if (step->outcome != EVIDENCE_REFUSED)
        return;
    put_text(names, names->len ? ", " : "");
    put_text(names, name);
}

bool command_refused_links(const struct owner_explanation *explanation, char *text, size_t cap)
{
    struct writer names = writer_over(text, cap - 1);
    name_link(&names, "hub", &explanation->hub);
    for (enum evidence_link link = 0; link < EVIDENCE_LINK_COUNT; link++)
        name_link(&names, evidence_link_word(link), &explanation->links[link]);
    text[names.len] = 0;
    return names.len > 0;
}
