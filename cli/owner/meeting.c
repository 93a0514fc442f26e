/* EDHOC as the owner: nothing is sent before the evidence was held to the pins, and nothing is pinned before the TPM
 * proved its keys. */
#include "owner.h"

#include "abi.h"
#include "control.h"

#include <poll.h>
#include <string.h>

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
        status = client_prove(meeting->remote, credential, ACTIVATE_MS, &answer, why, sizeof why);
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

static enum status appraise(void *user, const struct client_hub *hub, char *why, size_t cap)
{
    struct owner_meeting *meeting = user;
    struct evidence_freshness before = meeting->pins.seen;
    bool proved = meeting->pins.has_ak;
    meeting->code = owner_appraise_session(meeting->cli, &meeting->owner, &meeting->pins, hub, &meeting->result);
    if (meeting->code == CLI_OK && !proved)
        meeting->code = prove_key(meeting, hub);
    /* Its strings live in the message. */
    meeting->result.report.port = meeting->result.report.product = (struct bytes){0};
    meeting->changed |=
        meeting->code == CLI_OK && (!proved || memcmp(&before, &meeting->pins.seen, sizeof before) != 0);
    snprintf(why, cap, "the node's evidence was refused");
    return meeting->code == CLI_OK ? OK : DENIED;
}

int owner_meeting_init(const struct cli *cli, struct owner_meeting *meeting, struct owner *owner,
                       const struct owner_pins *pins)
{
    *meeting = (struct owner_meeting){.cli = cli, .pins = *pins};
    memcpy(meeting->owner.encoded, owner->encoded, sizeof meeting->owner.encoded);
    meeting->owner.key = owner->key;
    owner->key = (struct crypto_key){0};
    /* What the configuration borrows lies in the copy now, as far from its beginning as before. */
    meeting->owner.configuration = owner->configuration;
    struct bytes *certificate = &meeting->owner.configuration.certificate;
    certificate->data = meeting->owner.encoded + (certificate->data - owner->encoded);
    struct writer by_reference = writer_over(meeting->by_reference, sizeof meeting->by_reference);
    struct writer by_value = writer_over(meeting->by_value, sizeof meeting->by_value);
    edhoc_put_x5t(&by_reference, *certificate);
    edhoc_put_x5chain(&by_value, certificate, 1);
    if (writer_end(&by_reference) != OK || writer_end(&by_value) != OK)
        return cli_fail(cli, CLI_INTERNAL, "the owner's certificate cannot be named");
    meeting->edhoc = (struct client_edhoc){.method = 0,
                                           .suites = suites,
                                           .suites_count = sizeof suites / sizeof suites[0],
                                           .own = {.is_certificate = true,
                                                   .value = *certificate,
                                                   .private_key = &meeting->owner.key,
                                                   .id_cred = writer_bytes(&by_reference)},
                                           .own_by_value = writer_bytes(&by_value),
                                           .appraise = appraise,
                                           .user = meeting};
    return CLI_OK;
}

void owner_meeting_done(struct owner_meeting *meeting)
{
    owner_done(&meeting->owner);
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
        owner_session_close(&session);
    }
    if (code == CLI_OK && owner_pins_save(cli, &meeting->pins) != OK)
        code = cli_fail(cli, CLI_INTERNAL, "%s/owner/pins.json could not be written", cli->home);
    meeting->changed = false;
    return code;
}
