/* EDHOC as the owner: nothing is sent before the evidence was held to the pins, and nothing is pinned before the TPM
 * proved its keys. */
#include "owner.h"

#include "abi.h"
#include "client_http.h"
#include "control.h"
#include "endorsement.h"
#include "x509.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define PEM_MAX 2048
#define ACTIVATE_MS 20000
#define PROVE_LOOK_MS 500
#define PROOF_LEN 32

static const int suites[] = {6, 3, 2}; /* the owner's key is on P-256 */

/* The launch's evidence inside the session's: what a TPM can be challenged about. */
static enum status put_challenge(const struct client_hub *hub, struct bytes proof, struct writer *blob)
{
    struct attest_evidence evidence;
    TRY(attest_evidence_open(hub->evidence, hub->binder, &evidence));
    return evidence_challenge(evidence.launch, proof, blob);
}

/* The TPM takes one question every few seconds. */
static enum status ask_remote(const struct owner_meeting *meeting, struct bytes credential, struct secret *opened)
{
    uint8_t room[SECRET_CAP];
    char why[256];
    enum status status = BUSY;
    for (uint64_t begun = cli_now_ms(); status == BUSY && cli_now_ms() - begun < ACTIVATE_MS;) {
        struct writer answer = writer_over(room, sizeof room);
        status = client_http_prove(meeting->remote, credential, ACTIVATE_MS, &answer, why, sizeof why);
        if (status == OK)
            status = secret_set(opened, writer_bytes(&answer));
        if (status == BUSY)
            (void)poll(NULL, 0, PROVE_LOOK_MS);
    }
    wipe(room, sizeof room);
    return status;
}

/* The report names keys of a TPM; only a credential shows that both are in the same one. */
static int prove_key(struct owner_meeting *meeting, const struct client_hub *hub)
{
    const struct cli *cli = meeting->cli;
    struct owner_pins *pins = &meeting->pins;
    uint8_t proof[PROOF_LEN], room[1024];
    char path[PATH_MAX];
    SECRET opened = {.len = 0};
    struct writer blob = writer_over(room, sizeof room);
    enum status status = crypto_random(proof, sizeof proof);
    if (status == OK)
        status = put_challenge(hub, BYTES_OF(proof), &blob);
    if (status != OK)
        return cli_fail(cli, CLI_EVIDENCE, "the keys in the evidence are none that a credential can be made for");
    cli_path(cli, "run/monitor.sock", path);
    status = meeting->remote ? ask_remote(meeting, writer_bytes(&blob), &opened)
                             : control_activate(path, ACTIVATE_MS, writer_bytes(&blob), &opened);
    bool proved = status == OK && opened.len == sizeof proof && ct_equal(opened.data, proof, sizeof proof);
    wipe(proof, sizeof proof);
    if (status == NOT_FOUND || status == IO || status == BUSY)
        return cli_fail(cli, CLI_UNREACHABLE, "the monitor does not answer on %s: its TPM cannot prove its keys",
                        meeting->remote ? meeting->remote : path);
    if (!proved)
        return cli_fail(cli, CLI_EVIDENCE, "the attestation key is not in the TPM of that endorsement key");
    pins->has_ak = pins->has_ek = true;
    memcpy(pins->ek_name, meeting->result.ek_name, sizeof pins->ek_name);
    memcpy(pins->ak_name, meeting->result.ak_name, sizeof pins->ak_name);
    return CLI_OK;
}

/* What a chain of certificates says, in the explanation that somebody wants. */
static void explain_hub(const struct owner_meeting *meeting, const struct x509_policy *policy,
                        const struct x509_result *result, const char *why)
{
    struct evidence_step *step = &meeting->explanation->hub;
    const struct x509_identity wanted = {.role = X509_HUB, .name = bytes_from_text("hub")};
    struct x509_identity expected = wanted;
    struct writer expects = writer_over(step->expected, sizeof step->expected - 1);
    struct writer finds = writer_over(step->found, sizeof step->found - 1);
    *step = (struct evidence_step){.outcome = *why ? EVIDENCE_REFUSED : EVIDENCE_HOLDS};
    memcpy(expected.site, policy->site.data, sizeof expected.site);
    if (x509_put_uri(&expects, &expected) == OK)
        put_text(&expects, ", certified by this owner");
    if (result->identity.name.len && x509_put_uri(&finds, &result->identity) == OK)
        put_text(&finds, result->reasons >> X509_OTHER_OWNER & 1 ? ", certified by somebody else" : "");
    snprintf(step->why, sizeof step->why, "%s", *why ? why : "It is the hub of this site, certified by the owner.");
}

static void explain_bare_key(struct evidence_step *step)
{
    *step = (struct evidence_step){
        .outcome = EVIDENCE_ALLOWED,
        .expected = "",
        .why =
            "It shows a bare key, as a hub does before its owner signed the site CA: the evidence alone speaks for it.",
    };
}

/* A hub that shows certificates shows the owner's site CA behind them; a bare key has the evidence alone to speak for
 * it, as at first contact. */
static enum status meet_hub(void *user, const struct client_hub *hub, char *why, size_t cap)
{
    struct owner_meeting *meeting = user;
    const struct x509_policy policy = {.anchor = meeting->owner.configuration.certificate,
                                       .site = BYTES_OF(meeting->owner.configuration.site),
                                       .roles = 1u << X509_HUB,
                                       .usage = PKI_DIGITAL_SIGNATURE,
                                       .now_s = (int64_t)(cli_unix_ms() / 1000)};
    struct x509_result result = {0};
    if (hub->reference->kind == EDHOC_KCCS) {
        if (meeting->explanation)
            explain_bare_key(&meeting->explanation->hub);
        return OK;
    }
    enum status status =
        x509_check_chain(hub->reference->certificates, hub->reference->certificates_count, &policy, &result);
    unsigned reason = 0;
    while (reason + 1 < X509_REASON_COUNT && !(result.reasons >> reason & 1))
        reason++;
    why[0] = 0;
    if (status != OK)
        x509_sentence((enum x509_reason)reason, &policy, &result, why, cap);
    if (meeting->explanation)
        explain_hub(meeting, &policy, &result, why);
    if (status == OK)
        return OK;
    meeting->code = meeting->explanation
                        ? CLI_EVIDENCE
                        : cli_fail(meeting->cli, CLI_EVIDENCE, "the hub that answers is not yours: %s", why);
    return DENIED;
}

/* The maker's word for a TPM that nobody pinned: its EK is pinned from now on. */
static int take_endorsement(struct owner_meeting *meeting, const struct client_hub *hub)
{
    const struct cli *cli = meeting->cli;
    struct owner_pins *pins = &meeting->pins;
    struct attest_evidence session;
    struct eat_evidence launch;
    char why[256] = "";
    if (attest_evidence_open(hub->evidence, hub->binder, &session) != OK ||
        eat_evidence_decode(session.launch, &launch) != OK)
        return CLI_OK; /* refused anyway, with its own reason */
    enum status status = endorsement_check(launch.ek_certificate, launch.ek, meeting->authorities,
                                           (int64_t)(cli_unix_ms() / 1000), why, sizeof why);
    if (status == MALFORMED)
        return cli_fail(cli, CLI_USAGE, "--tpm-ca: the file holds no PEM certificate");
    if (status != OK || tpm2_name(launch.ek, pins->ek_name) != OK)
        return cli_fail(cli, CLI_EVIDENCE, "the node's evidence was refused: %s", why);
    pins->has_ek = true;
    pins->first_use = false;
    return CLI_OK;
}

static enum status appraise(void *user, const struct client_hub *hub, char *why, size_t cap)
{
    struct owner_meeting *meeting = user;
    struct evidence_freshness before = meeting->pins.seen;
    bool proved = meeting->pins.has_ak;
    meeting->code = meeting->authorities.len && !meeting->pins.has_ek ? take_endorsement(meeting, hub) : CLI_OK;
    if (meeting->code == CLI_OK)
        meeting->code = owner_appraise_session(meeting->cli, &meeting->owner, &meeting->pins, hub, &meeting->result,
                                               meeting->explanation);
    if (meeting->code == CLI_OK && !proved)
        meeting->code = prove_key(meeting, hub);
    /* Its strings live in the message. */
    snprintf(meeting->product, sizeof meeting->product, "%.*s", (int)meeting->result.report.product.len,
             (const char *)meeting->result.report.product.data);
    meeting->result.report.port = meeting->result.report.product = meeting->result.nonce = (struct bytes){0};
    meeting->changed |=
        meeting->code == CLI_OK && (!proved || memcmp(&before, &meeting->pins.seen, sizeof before) != 0);
    snprintf(why, cap, "the node's evidence was refused");
    return meeting->code == CLI_OK ? OK : DENIED;
}

/* False: there is none that counts, so the owner's own key is asked for. */
static bool take_daily_key(struct owner_meeting *meeting, struct bytes *certificate)
{
    char path[PATH_MAX];
    uint8_t *pem = NULL, *der = NULL;
    size_t pem_len = 0, der_len = 0;
    const struct cli *cli = meeting->cli;
    struct pki_certificate decoded;
    bool good = cli_read_file(cli_path(cli, "owner/session.key", path), PEM_MAX, &pem, &pem_len) == OK &&
                cli_read_file(cli_path(cli, "owner/session.crt", path), PKI_CERTIFICATE_MAX, &der, &der_len) == OK &&
                crypto_key_take_pem(&meeting->daily, CRYPTO_P256, bytes_from(pem, pem_len)) == OK &&
                pki_certificate_decode(bytes_from(der, der_len), &decoded) == OK &&
                decoded.not_after_s > (int64_t)(cli_unix_ms() / 1000);
    if (good) {
        memcpy(meeting->daily_certificate, der, der_len);
        *certificate = bytes_from(meeting->daily_certificate, der_len);
    }
    if (pem)
        wipe(pem, pem_len);
    free(pem);
    free(der);
    return good;
}

bool owner_has_daily_key(const struct cli *cli)
{
    struct owner_meeting *meeting = calloc(1, sizeof *meeting);
    struct bytes certificate;
    if (!meeting)
        return false;
    meeting->cli = cli;
    bool has = take_daily_key(meeting, &certificate);
    owner_meeting_done(meeting);
    free(meeting);
    return has;
}

static void take_owner(struct owner_meeting *meeting, struct owner *owner)
{
    memcpy(meeting->owner.encoded, owner->encoded, sizeof meeting->owner.encoded);
    meeting->owner.key = owner->key;
    meeting->owner.token = owner->token;
    owner->key = (struct crypto_key){0};
    owner->token = NULL;
    /* What the configuration borrows lies in the copy now, as far from its beginning as before. */
    meeting->owner.configuration = owner->configuration;
    struct bytes *root = &meeting->owner.configuration.certificate;
    root->data = meeting->owner.encoded + (root->data - owner->encoded);
}

int owner_meeting_init(const struct cli *cli, struct owner_meeting *meeting, struct owner *owner,
                       const struct owner_pins *pins, bool by_root)
{
    *meeting = (struct owner_meeting){.cli = cli, .pins = *pins};
    take_owner(meeting, owner);
    struct bytes certificate;
    bool daily = !by_root && take_daily_key(meeting, &certificate);
    if (!daily)
        certificate = meeting->owner.configuration.certificate;
    struct writer by_reference = writer_over(meeting->by_reference, sizeof meeting->by_reference);
    struct writer by_value = writer_over(meeting->by_value, sizeof meeting->by_value);
    edhoc_put_x5t(&by_reference, certificate);
    edhoc_put_x5chain(&by_value, &certificate, 1);
    if (writer_end(&by_reference) != OK || writer_end(&by_value) != OK)
        return cli_fail(cli, CLI_INTERNAL, "the owner's certificate cannot be named");
    meeting->edhoc = (struct client_edhoc){.method = 0,
                                           .suites = suites,
                                           .suites_count = sizeof suites / sizeof suites[0],
                                           .own = {.is_certificate = true,
                                                   .value = certificate,
                                                   .private_key = daily ? &meeting->daily : &meeting->owner.key,
                                                   .id_cred = writer_bytes(&by_reference)},
                                           .own_by_value = writer_bytes(&by_value),
                                           .meet = meet_hub,
                                           .appraise = appraise,
                                           .user = meeting};
    return CLI_OK;
}

void owner_meeting_done(struct owner_meeting *meeting)
{
    owner_done(&meeting->owner);
    crypto_key_done(&meeting->daily);
    wipe(meeting, sizeof *meeting);
}

int owner_meet(struct owner_meeting *meeting, const char *url)
{
    const struct cli *cli = meeting->cli;
    struct owner_session session;
    struct client_answer answer;
    const struct client_request question = {.code = COAP_GET, .path = "status"};
    int code = owner_session_of(meeting, url, &session);
    if (code == CLI_OK) {
        code = owner_ask(cli, &session, &question, &answer, NULL);
        if (code == CLI_OK && meeting->edhoc.own.private_key == &meeting->owner.key)
            code = owner_certify_site(meeting, &session);
        owner_session_close(&session);
    }
    if (code == CLI_OK && owner_pins_save(cli, &meeting->pins) != OK)
        code = cli_fail(cli, CLI_INTERNAL, "%s/owner/pins.json could not be written", cli->home);
    meeting->changed = false;
    return code;
}
