/* bastide init: from nothing to a verified node and a shared secret. What exists is kept and said. */
#include "command_internal.h"

#include "endorsement.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
    "Usage: bastide init [--insecure-dev] [options]\n\n"
    "Makes an owner (key and certificate), a site and its node on this machine; starts the node; appraises its "
    "evidence\n"
    "against the image as measured here; agrees on a first session with it. What exists already is kept.\n\n"
    "  --insecure-dev      a site for trying out: a software TPM that this program starts, which protects nothing "
    "from\n"
    "                      this machine's administrator. Such a site never becomes a production site\n"
    "  --ek-name HEX       pin this endorsement key (34 bytes: 000b and the SHA-256 of its public area) instead of\n"
    "                      trusting, in development mode, the one that answers first\n"
    "  --tpm-ca FILE       or have the TPM's maker vouch for it: PEM certificates of CAs, one of which the TPM's own "
    "EK\n"
    "                      certificate must end at. The endorsement key is pinned then\n"
    "  --boot-digest HEX   the digest of a boot chain known to measure the monitor (production)\n"
    "  --allow-unmeasured-monitor\n"
    "                      accept a node whose boot chain does not vouch for the monitor: its administrator can forge\n"
    "  --remote            the node is another machine's, at --http: nothing is started here. Needs --ek-name,\n"
    "                      --tpm-ca, or a TPM pinned by bastide boot sign\n"
    "  --owner-key URI     the owner's key is in a PKCS #11 token (RFC 7512: pkcs11:token=NAME;object=NAME): made "
    "there\n"
    "                      when the token has none of that name, and never outside it. The PIN comes from the\n"
    "                      --passphrase-file or the terminal, also for later commands. Of a site that there is: its "
    "key\n"
    "                      is in this token from now on. The token's own program changes its PIN\n"
    "  --pkcs11-module FILE\n"
    "                      the token's module, like module-path in the URI (else all that p11-kit knows are asked)\n"
    "  --no-passphrase     keep the owner's key without a passphrase (as development mode does, unless there is a\n"
    "                      --passphrase-file). A key that is kept already is locked by\n"
    "                      openssl pkcs8 -topk8 -scrypt -in owner.key -out locked.key && mv locked.key owner.key\n"
    "  --renew             first contact once more, after an upgrade of the image: its measurement is pinned "
    "anew\n" COMMAND_NODE_HELP "\nExamples:\n"
    "  bastide init --insecure-dev\n"
    "  bastide --home /srv/site init --insecure-dev --http 127.0.0.1:9080 --coap 127.0.0.1:9683\n"
    "  bastide init --ek-name 000b4f… --boot-digest 9a31… --passphrase-file /run/keys/owner\n"
    "  bastide init --ek-name 000b4f… --owner-key 'pkcs11:token=Alice;object=owner' --pkcs11-module libtpm2_pkcs11.so\n"
    "  bastide init --remote --http 192.0.2.7:8080 --coap 192.0.2.7:5683\n"
    "  bastide init --renew\n";

struct init {
    const char *ek_name, *tpm_ca, *boot_digest;
    bool insecure_dev, allow_unmeasured, renew, remote;
    struct owner_place place;
    struct command_node node;
};

struct state {
    struct owner owner;
    struct owner_pins pins;
    struct owner_image image;
    struct service_settings settings;
    struct owner_meeting meeting;
    uint8_t *authorities; /* PEM, owned */
    size_t authorities_len;
    bool insecure_dev, new_site, new_session, started, by_root;
};

static int take_options(const struct cli *cli, int argc, char **argv, struct init *init)
{
    const struct cli_option options[] = {
        {"insecure-dev", NULL, &init->insecure_dev, NULL},
        {"ek-name", &init->ek_name, NULL, NULL},
        {"tpm-ca", &init->tpm_ca, NULL, NULL},
        {"boot-digest", &init->boot_digest, NULL, NULL},
        {"allow-unmeasured-monitor", NULL, &init->allow_unmeasured, NULL},
        {"renew", NULL, &init->renew, NULL},
        {"remote", NULL, &init->remote, NULL},
        {"no-passphrase", NULL, &init->place.no_passphrase, NULL},
        {"owner-key", &init->place.token_uri, NULL, NULL},
        {"pkcs11-module", &init->place.token_module, NULL, NULL},
        COMMAND_NODE_OPTIONS(init->node),
    };
    int result = cli_options(cli, "init", options, sizeof options / sizeof options[0], &argc, argv);
    if (result == CLI_OK && argc > 1)
        result = cli_usage(cli, "init", "\"%s\" is one word too many", argv[1]);
    return result ? result : owner_place_check(cli, "init", &init->place);
}

static int take_hex(const struct cli *cli, const char *option, const char *text, uint8_t *room, size_t len, bool *has)
{
    uint8_t bytes[64];
    struct writer writer = writer_over(bytes, sizeof bytes);
    if (!text)
        return CLI_OK;
    if (hex_decode(text, &writer) != OK || writer.len != len)
        return cli_usage(cli, "init", "--%s: give %zu hexadecimal digits", option, 2 * len);
    if (*has && memcmp(room, bytes, len) != 0)
        return cli_fail(cli, CLI_DENIED,
                        "--%s is not what %s/owner/pins.json has: to trust another TPM from now on, remove that "
                        "file first",
                        option, cli->home);
    memcpy(room, bytes, len);
    *has = true;
    return CLI_OK;
}

static int take_authorities(const struct cli *cli, const char *path, struct state *state)
{
    enum status status =
        path ? cli_read_file(path, ENDORSEMENT_AUTHORITIES_MAX, &state->authorities, &state->authorities_len) : OK;
    return status == OK ? CLI_OK
                        : cli_fail(cli, status == NOT_FOUND ? CLI_NOT_FOUND : CLI_DENIED, "--tpm-ca: %s %s", path,
                                   cli_file_problem(status));
}

static int take_pins(const struct cli *cli, const struct init *init, struct state *state)
{
    struct owner_pins *pins = &state->pins;
    uint8_t boot[EAT_HASH_LEN];
    bool has_boot = false;
    enum status status = owner_pins_load(cli, pins);
    if (status != OK && status != NOT_FOUND)
        return cli_fail(cli, CLI_DENIED, "%s/owner/pins.json %s", cli->home, cli_file_problem(status));
    int result = take_hex(cli, "ek-name", init->ek_name, pins->ek_name, sizeof pins->ek_name, &pins->has_ek);
    if (result == CLI_OK)
        result = take_hex(cli, "boot-digest", init->boot_digest, boot, sizeof boot, &has_boot);
    if (result == CLI_OK && has_boot)
        owner_pins_add_boot(pins, boot);
    pins->allow_unmeasured_monitor = pins->allow_unmeasured_monitor || init->allow_unmeasured;
    pins->first_use = pins->first_use || !pins->has_ek;
    return result;
}

/* What is there decides; nothing is made yet. */
static int find_site(const struct cli *cli, const struct init *init, struct state *state)
{
    struct stat facts;
    int result = CLI_OK;
    state->new_site = !owner_has_site(cli);
    if (!state->new_site && init->place.token_uri)
        result = owner_open_by_token(cli, &init->place, &state->owner);
    else if (!state->new_site)
        result = owner_open(cli, false, &state->owner);
    state->insecure_dev = state->new_site ? init->insecure_dev : state->owner.configuration.insecure_dev;
    if (result == CLI_OK && init->insecure_dev && !state->insecure_dev)
        return cli_fail(cli, CLI_DENIED,
                        "%s holds a production site, which never becomes one of development: choose "
                        "another --home",
                        cli->home);
    if (result || !state->new_site)
        return result;
    if (!init->insecure_dev && !init->remote && !init->node.tcti && stat("/dev/tpmrm0", &facts) != 0)
        return cli_fail(cli, CLI_TPM,
                        "there is no TPM at /dev/tpmrm0 (%s). To try Bastide out on this machine: bastide "
                        "init --insecure-dev",
                        strerror(errno));
    return CLI_OK;
}

/* What runs keeps its settings; a node that is down takes the new ones. */
static int find_settings(const struct cli *cli, const struct init *init, struct state *state)
{
    service_settings_init(cli, state->insecure_dev, &state->settings);
    enum status status = service_settings_load(cli, &state->settings);
    if (status != OK && status != NOT_FOUND)
        return cli_fail(cli, CLI_DENIED, "%s/run/node.json %s", cli->home, cli_file_problem(status));
    state->settings.remote = state->settings.remote || init->remote;
    return command_node_settings(cli, "init", &init->node, state->insecure_dev, &state->settings);
}

static int start_node(const struct cli *cli, struct state *state)
{
    char path[PATH_MAX];
    struct stat facts;
    if (state->settings.remote && !state->pins.has_ek && !state->authorities)
        return cli_fail(cli, CLI_DENIED,
                        "nothing says which TPM the node has: --ek-name, --tpm-ca or bastide boot sign");
    if (state->settings.remote)
        return service_settings_save(cli, &state->settings) == OK
                   ? CLI_OK
                   : cli_fail(cli, CLI_DENIED, "%s/run/node.json cannot be written", cli->home);
    bool first =
        !state->owner.configuration.insecure_dev && stat(cli_path(cli, "node/monitor/sealed", path), &facts) != 0;
    int result = first ? owner_lend_boot_signer(cli) : CLI_OK;
    if (result == CLI_OK)
        result = service_up(cli, &state->settings, &state->started);
    if (first)
        owner_take_boot_signer_back(cli);
    return result;
}

/* The first time, after an upgrade (--renew), or as ever: nothing is sent before the evidence holds. */
static int meet(const struct cli *cli, const struct init *init, struct state *state)
{
    char url[COMMAND_URL_MAX], unknown[64];
    uint32_t allowed = 0;
    state->new_session = !state->pins.has_ak || init->renew;
    if (state->new_session)
        memcpy(state->pins.measurement, state->image.measurement, sizeof state->pins.measurement);
    if (owner_walls_parse(state->settings.require, &state->pins.required_walls, unknown, sizeof unknown) != OK ||
        owner_walls_parse(state->settings.allow_missing, &allowed, unknown, sizeof unknown) != OK)
        return CLI_INTERNAL;
    if (!state->insecure_dev)
        state->pins.required_walls |= OWNER_WALLS_ALL & ~allowed;
    service_url("http", state->settings.http, url, sizeof url);
    cli_progress(cli, "%s %s …", state->new_session ? "first contact with" : "a session with", url);
    int result = owner_meeting_init(cli, &state->meeting, &state->owner, &state->pins, state->by_root);
    state->meeting.authorities = bytes_from(state->authorities, state->authorities_len);
    state->meeting.remote = state->settings.remote ? url : NULL;
    if (result == CLI_OK)
        result = owner_meet(&state->meeting, url);
    state->pins = state->meeting.pins;
    return result;
}

static void report(const struct cli *cli, const struct state *state)
{
    char site[2 * IMAGE_SITE_LEN + 1] = "", measurement[2 * IMAGE_HASH_LEN + 1] = "", ek[2 * TPM2_NAME_LEN + 1] = "";
    const struct image_configuration *configuration = &state->meeting.owner.configuration;
    const char *mode = configuration->insecure_dev ? "insecure-dev" : "production";
    if (hex_encode(BYTES_OF(configuration->site), site, sizeof site) != OK ||
        hex_encode(BYTES_OF(state->pins.measurement), measurement, sizeof measurement) != OK ||
        hex_encode(BYTES_OF(state->pins.ek_name), ek, sizeof ek) != OK)
        return;
    if (cli->json) {
        cli_print_json(json_pack("{s:s,s:s,s:s,s:b,s:s,s:s,s:s,s:s,s:b,s:b,s:b,s:b}", "home", cli->home, "site", site,
                                 "mode", mode, "new_site", state->new_site, "coap", state->settings.coap, "http",
                                 state->settings.http, "measurement", measurement, "ek_name", ek, "pinned_on_first_use",
                                 state->pins.first_use, "new_session", state->new_session, "key_locked",
                                 state->owner.locked, "key_in_token", state->owner.in_token));
        return;
    }
    cli_line(cli, "owner", "%s %s/owner/%s and owner.crt", state->new_site ? "made" : "kept", cli->home,
             state->owner.in_token ? "owner.token" : "owner.key");
    if (state->owner.in_token)
        cli_line(cli, "", "the key %s the token that owner.token names, and not here",
                 state->owner.made_in_token ? "was made in" : "is in");
    if (!state->owner.locked)
        cli_line(cli, "", "the key has no passphrase: whoever reads that file is the owner");
    cli_line(cli, "site", "%s, %s", site, mode);
    cli_line(cli, "node", "%s: CoAP %s, HTTP %s",
             state->settings.remote ? "another machine"
             : state->started       ? "started"
                                    : "was up",
             state->settings.coap, state->settings.http);
    command_tell_memory(cli);
    cli_line(cli, "measurement", "%s", measurement);
    cli_line(cli, "evidence", "accepted: %s %u, this site's, fresh", state->image.manifest.product,
             state->image.manifest.security_version);
    if (state->pins.first_use)
        cli_line(cli, "TPM", "pinned because it answered first: nothing else vouches for it (--ek-name does)");
    else
        cli_line(cli, "TPM", "the pinned endorsement key %s", ek);
    cli_line(cli, "session", "agreed by EDHOC, as each later command does anew; for every day %s/owner/session.key",
             cli->home);
}

static int run_with(struct cli *cli, const struct init *init, struct state *state)
{
    int result = find_site(cli, init, state);
    if (result == CLI_OK)
        result = take_pins(cli, init, state);
    if (result == CLI_OK)
        result = take_authorities(cli, init->tpm_ca, state);
    if (result == CLI_OK)
        result = find_settings(cli, init, state);
    if (result == CLI_OK)
        result = owner_measure(cli, state->settings.image, &state->image);
    if (result == CLI_OK && state->new_site)
        result = owner_make(cli, state->insecure_dev, &init->place, &state->owner);
    state->by_root = !state->pins.has_ak || init->renew || !owner_has_daily_key(cli);
    if (result == CLI_OK && state->by_root) /* EDHOC signs with it then, and so does the site CA's certificate */
        result = owner_unlock(cli, &state->owner);
    if (result == CLI_OK)
        result = start_node(cli, state);
    if (result == CLI_OK)
        result = meet(cli, init, state);
    if (result == CLI_OK)
        report(cli, state);
    return result;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct init init = {0};
    static struct state state;
    int result = take_options(cli, argc, argv, &init);
    if (result)
        return result;
    result = run_with(cli, &init, &state);
    owner_meeting_done(&state.meeting);
    owner_done(&state.owner);
    free(state.authorities);
    return result;
}

const struct command command_init = {"init", "make an owner and a site, start its node, verify it", help, run, NULL};
