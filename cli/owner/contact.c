/* First contact, in the order in which trust grows: hello, evidence, TPM, secret, one request. */
#include "owner.h"

#include "abi.h"
#include "contact.h"
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MAX (MONITOR_MESSAGE_MAX + 512u)
#define CONTACT_MS 30000
#define ACTIVATE_MS 20000
#define PROOF_LEN 32
#define PROVE_LOOK_MS 500

struct meeting {
    const struct cli *cli;
    const struct owner *owner;
    struct crypto_key ephemeral;
    struct contact_hello hello;
    uint8_t room[ANSWER_MAX];
    struct contact_answer answer; /* borrows from `room` */
    struct oscore_input input;
    const char *url;
    bool remote;
};

static int say_hello(struct meeting *meeting, const char *url)
{
    const struct cli *cli = meeting->cli;
    uint8_t hello[CONTACT_HELLO_MAX];
    char why[256] = "";
    struct writer writer = writer_over(hello, sizeof hello), answer = writer_over(meeting->room, sizeof meeting->room);
    enum status status = crypto_random(meeting->hello.nonce, sizeof meeting->hello.nonce);
    if (status == OK)
        status = crypto_key_generate(&meeting->ephemeral, CRYPTO_P256);
    meeting->hello.ephemeral = meeting->ephemeral.public_key;
    if (status == OK)
        status =
            contact_hello_sign(&writer, &meeting->owner->key, meeting->owner->configuration.config_id, &meeting->hello);
    if (status != OK)
        return cli_fail(cli, CLI_INTERNAL, "no hello could be made: %s", status_word(status));
    status = client_first_contact(url, writer_bytes(&writer), CONTACT_MS, &answer, why, sizeof why);
    if (status != OK)
        return cli_fail(cli, status == AUTH || status == DENIED ? CLI_DENIED : CLI_UNREACHABLE,
                        "first contact with %s failed: %s", url, *why ? why : status_word(status));
    if (contact_answer_decode(writer_bytes(&answer), &meeting->answer) != OK)
        return cli_fail(cli, CLI_EVIDENCE, "what %s answered to the hello is no answer of a hub", url);
    return CLI_OK;
}

/* The TPM takes one question every few seconds. */
static enum status ask_remote(struct meeting *meeting, struct bytes credential, struct secret *opened)
{
    uint8_t room[SECRET_CAP];
    char why[256];
    enum status status = BUSY;
    for (uint64_t begun = cli_now_ms(); status == BUSY && cli_now_ms() - begun < ACTIVATE_MS;
         (void)poll(NULL, 0, PROVE_LOOK_MS)) {
        struct writer answer = writer_over(room, sizeof room);
        status = client_prove(meeting->url, credential, ACTIVATE_MS, &answer, why, sizeof why);
        if (status == OK)
            status = secret_set(opened, writer_bytes(&answer));
        else if (status == DENIED)
            status = BUSY;
    }
    wipe(room, sizeof room);
    return status;
}

/* The report names keys of a TPM; only a credential shows that both are in the same one. */
static int prove_key(struct meeting *meeting, const struct evidence_result *result, struct owner_pins *pins)
{
    const struct cli *cli = meeting->cli;
    uint8_t proof[PROOF_LEN], room[1024];
    char path[PATH_MAX];
    SECRET opened = {.len = 0};
    struct writer blob = writer_over(room, sizeof room);
    enum status status = crypto_random(proof, sizeof proof);
    if (status == OK)
        status = evidence_challenge(meeting->answer.evidence, BYTES_OF(proof), &blob);
    if (status != OK)
        return cli_fail(cli, CLI_EVIDENCE, "the keys in the evidence are none that a credential can be made for");
    cli_path(cli, "run/monitor.sock", path);
    status = meeting->remote ? ask_remote(meeting, writer_bytes(&blob), &opened)
                             : control_activate(path, ACTIVATE_MS, writer_bytes(&blob), &opened);
    bool proved = status == OK && opened.len == sizeof proof && ct_equal(opened.data, proof, sizeof proof);
    wipe(proof, sizeof proof);
    if (status == NOT_FOUND || status == IO || status == BUSY)
        return cli_fail(cli, CLI_UNREACHABLE, "the monitor does not answer on %s: its TPM cannot prove its keys",
                        meeting->remote ? meeting->url : path);
    if (!proved)
        return cli_fail(cli, CLI_EVIDENCE, "the attestation key is not in the TPM of that endorsement key");
    pins->has_ak = pins->has_ek = true;
    memcpy(pins->ek_name, result->ek_name, sizeof pins->ek_name);
    memcpy(pins->ak_name, result->ak_name, sizeof pins->ak_name);
    return CLI_OK;
}

static int settle(struct meeting *meeting, const char *url)
{
    const struct cli *cli = meeting->cli;
    uint8_t room[OSCORE_INPUT_MAX];
    char path[PATH_MAX];
    struct owner_session session;
    struct client_answer answer;
    const struct client_request question = {.code = COAP_GET, .path = "status"};
    int result = owner_session_with(cli, url, &meeting->input, &session);
    if (result)
        return result;
    result = owner_ask(cli, &session, &question, &answer, NULL);
    owner_session_close(&session);
    if (result)
        return result;
    struct writer writer = writer_over(room, sizeof room);
    oscore_put_input(&writer, &meeting->input);
    enum status status = writer_end(&writer);
    if (status == OK)
        status = cli_write_file(cli_path(cli, "owner/session", path), writer_bytes(&writer));
    wipe(room, sizeof room);
    return status == OK ? CLI_OK : cli_fail(cli, CLI_INTERNAL, "%s could not be written: %s", path, strerror(errno));
}

static int meet(struct meeting *meeting, const char *url, struct owner_pins *pins, struct evidence_result *result)
{
    const struct cli *cli = meeting->cli;
    uint8_t user_data[CONTACT_USER_DATA_LEN];
    int code = say_hello(meeting, url);
    if (code)
        return code;
    if (contact_user_data(&meeting->answer.key, meeting->hello.nonce, user_data) != OK)
        return cli_fail(cli, CLI_INTERNAL, "the hub's key cannot be hashed");
    code = owner_appraise(cli, meeting->owner, pins, meeting->answer.evidence, BYTES_OF(meeting->hello.nonce),
                          BYTES_OF(user_data), result);
    if (code == CLI_OK && !pins->has_ak)
        code = prove_key(meeting, result, pins);
    if (code)
        return code;
    if (contact_derive(&meeting->ephemeral, &meeting->answer.key, &meeting->ephemeral.public_key, meeting->hello.nonce,
                       meeting->owner->configuration.config_id, &meeting->input) != OK)
        return cli_fail(cli, CLI_EVIDENCE, "the hub's key is none to share a secret with");
    code = settle(meeting, url);
    if (code == CLI_OK && owner_pins_save(cli, pins) != OK)
        code = cli_fail(cli, CLI_INTERNAL, "%s/owner/pins.json could not be written", cli->home);
    return code;
}

int owner_meet(const struct cli *cli, const struct owner *owner, const char *url, bool remote, struct owner_pins *pins,
               struct evidence_result *result)
{
    struct meeting *meeting = calloc(1, sizeof *meeting);
    if (!meeting)
        return cli_fail(cli, CLI_INTERNAL, "out of memory");
    meeting->cli = cli;
    meeting->owner = owner;
    meeting->url = url;
    meeting->remote = remote;
    int code = meet(meeting, url, pins, result);
    /* Its strings live in `room`. */
    result->report.port = result->report.product = (struct bytes){0};
    crypto_key_done(&meeting->ephemeral);
    oscore_input_wipe(&meeting->input);
    wipe(meeting, sizeof *meeting);
    free(meeting);
    return code;
}
