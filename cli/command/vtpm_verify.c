/* bastide vtpm verify: a VM's quote, and from there to the node's hardware, link by link. */
#include "command_internal.h"

#include "instance.h"
#include "vtpm_appraisal.h"
#include "vtpm_keys.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define SIGNATURE_MAX 600
#define PCRS_TEXT_MAX 16384
#define PEM_MAX 4096

struct verification {
    const char *name, *handle_text, *quote_file, *signature_file, *nonce_text, *pcrs_file, *answer_file, *save_file;
    const char *certificate_file, *policy_file, *platform_file;
    uint32_t handle;
    uint8_t nonce[EAT_NONCE_MAX], answer_room[VTPM_KEYS_ANSWER_MAX];
    uint8_t pcrs[TPM2_PCR_COUNT][EAT_HASH_LEN];
    struct image_machine machine;
    uint8_t *attest, *signature;  /* owned */
    uint8_t *certificate, *given; /* so too; DER */
    uint8_t kept[EK_CERTIFICATE_MAX], authority[EK_CERTIFICATE_MAX], pem[PEM_MAX], platform_room[EK_CERTIFICATE_MAX];
    struct command_platform platform;
    struct vtpm_quote quote;
    struct bytes answer;
    struct vtpm_walk walk;
    struct evidence_step links[EVIDENCE_LINK_COUNT];
};

/* ---- What it is given ---- */

static int read_file(const struct cli *cli, const char *path, size_t max, uint8_t **data, struct bytes *content)
{
    size_t len = 0;
    enum status status = path ? cli_read_file(path, max, data, &len) : OK;
    *content = bytes_from(*data, len);
    return status == OK ? CLI_OK
                        : cli_fail(cli, status == NOT_FOUND ? CLI_NOT_FOUND : CLI_DENIED, "%s %s", path,
                                   cli_file_problem(status));
}

static const char *skip_blanks(const char *at)
{
    while (*at == ' ' || *at == '\t')
        at++;
    return at;
}

/* "7: 0x5A…", as tpm2_pcrread prints it, or "7=5a…"; other lines that hold no number are headings. False: neither. */
static bool take_line(struct verification *verification, const char *line)
{
    char *end;
    const char *at = skip_blanks(line);
    if (!isdigit((unsigned char)*at))
        return true;
    const unsigned long pcr = strtoul(at, &end, 10);
    at = skip_blanks(end);
    if (pcr >= TPM2_PCR_COUNT || (*at != ':' && *at != '=') || verification->quote.pcr_mask >> pcr & 1)
        return false;
    at = skip_blanks(at + 1);
    if (at[0] == '0' && (at[1] == 'x' || at[1] == 'X'))
        at += 2;
    char digits[2 * EAT_HASH_LEN + 1] = "";
    const size_t len = strspn(at, "0123456789abcdefABCDEF");
    struct writer writer = writer_over(verification->pcrs[pcr], EAT_HASH_LEN);
    if (len != sizeof digits - 1 || at[len + strspn(at + len, " \t\r")] != 0)
        return false;
    memcpy(digits, at, len);
    verification->quote.pcr_mask |= 1u << pcr;
    return hex_decode(digits, &writer) == OK;
}

static int take_pcrs(const struct cli *cli, struct verification *verification)
{
    uint8_t *text = NULL;
    struct bytes content;
    int result = read_file(cli, verification->pcrs_file, PCRS_TEXT_MAX, &text, &content);
    char *rest = (char *)text, *line;
    for (unsigned number = 1; result == CLI_OK && (line = strsep(&rest, "\n")); number++)
        if (!take_line(verification, line))
            result = cli_fail(cli, CLI_USAGE, "%s, line %u: a PCR is \"7: 0x\" and 64 hexadecimal digits, once",
                              verification->pcrs_file, number);
    free(text);
    if (result == CLI_OK && verification->quote.pcr_mask == 0)
        result = cli_fail(cli, CLI_USAGE, "%s names no PCR", verification->pcrs_file);
    return result;
}

static int take_words(const struct cli *cli, struct verification *verification)
{
    struct writer nonce = writer_over(verification->nonce, sizeof verification->nonce);
    char *end = NULL;
    if (!verification->name || !verification->handle_text || !verification->quote_file ||
        !verification->signature_file || !verification->nonce_text)
        return cli_usage(cli, "vtpm", "verify: NAME, --ak, --quote, --signature and --nonce are all needed");
    const unsigned long handle = strtoul(verification->handle_text, &end, 16);
    if (*end || handle >> 24 != VTPM_KEYS_HANDLE >> 24)
        return cli_usage(cli, "vtpm", "verify: --ak is the handle where the key persists, 0x81000000 to 0x81ffffff");
    verification->handle = (uint32_t)handle;
    if (hex_decode(verification->nonce_text, &nonce) != OK || nonce.len < EAT_NONCE_MIN)
        return cli_usage(cli, "vtpm", "verify: --nonce is %d to %d bytes in hexadecimal digits", EAT_NONCE_MIN,
                         EAT_NONCE_MAX);
    verification->quote.nonce = writer_bytes(&nonce);
    return CLI_OK;
}

/* The ones given, else those that its owner keeps; held to the site's CA, which signed them. */
static int take_certificates(const struct cli *cli, struct verification *verification)
{
    struct vtpm_quote *quote = &verification->quote;
    struct command_platform *platform = &verification->platform;
    struct writer pem = writer_over(verification->pem, sizeof verification->pem);
    int result = read_file(cli, verification->certificate_file, EK_CERTIFICATE_MAX, &verification->certificate,
                           &quote->certificate);
    if (result == CLI_OK && !verification->certificate_file &&
        instance_certificate_load(cli, verification->name, TPM2_EK_P256, verification->kept, &quote->certificate) != OK)
        quote->certificate = (struct bytes){0}; /* then the link is not looked at */
    if (result == CLI_OK)
        result = read_file(cli, verification->platform_file, EK_CERTIFICATE_MAX, &verification->given,
                           &platform->certificate);
    platform->insisted = verification->platform_file != NULL;
    if (result == CLI_OK && !platform->insisted &&
        instance_platform_load(cli, verification->name, verification->platform_room, &platform->certificate) != OK)
        platform->certificate = (struct bytes){0};
    if (result || (quote->certificate.len == 0 && platform->certificate.len == 0))
        return result;
    enum status status =
        instance_authority_load(cli, verification->name, verification->authority, &platform->authority);
    if (status == OK)
        status = crypto_certificate_put_pem(&pem, platform->authority);
    quote->authorities = writer_bytes(&pem);
    return status == OK ? CLI_OK
                        : cli_fail(cli, status == NOT_FOUND ? CLI_NOT_FOUND : CLI_DENIED,
                                   "the site CA's certificate (owner/vtpm/%s/ca.der, or owner/site-ca.crt) %s",
                                   verification->name, cli_file_problem(status));
}

static int take_files(const struct cli *cli, struct verification *verification)
{
    struct vtpm_quote *quote = &verification->quote;
    quote->pcrs = (const uint8_t(*)[EAT_HASH_LEN])verification->pcrs;
    quote->now_s = (int64_t)(cli_unix_ms() / 1000);
    int result = read_file(cli, verification->quote_file, TPM2_ATTEST_MAX, &verification->attest, &quote->attest);
    if (result == CLI_OK)
        result =
            read_file(cli, verification->signature_file, SIGNATURE_MAX, &verification->signature, &quote->signature);
    if (result == CLI_OK)
        result = take_certificates(cli, verification);
    if (result == CLI_OK && verification->pcrs_file)
        result = take_pcrs(cli, verification);
    return result;
}

/* From a file, or of the vTPM itself with the quote's nonce. */
static int take_answer(const struct cli *cli, struct verification *verification)
{
    struct instance_sockets sockets;
    uint8_t *data = NULL;
    int result;
    if (verification->answer_file) {
        result = read_file(cli, verification->answer_file, VTPM_KEYS_ANSWER_MAX, &data, &verification->answer);
        if (result == CLI_OK && verification->answer.len)
            memcpy(verification->answer_room, data, verification->answer.len);
        verification->answer.data = verification->answer_room;
        free(data);
        return result;
    }
    result = instance_sockets(cli, verification->name, &sockets);
    if (result)
        return result;
    (void)instance_is_served(cli, verification->name, &sockets);
    cli_progress(cli, "asking the vTPM …");
    enum status status = instance_ask_ak(sockets.keys, verification->quote.nonce, verification->handle,
                                         verification->answer_room, &verification->answer);
    cli_progress(cli, NULL);
    if (status != OK)
        return cli_fail(cli, CLI_UNREACHABLE, "%s does not answer at %s: bastide vtpm start %s", verification->name,
                        sockets.keys, verification->name);
    if (verification->save_file && cli_write_file(verification->save_file, verification->answer) != OK)
        return cli_fail(cli, CLI_INTERNAL, "%s could not be written", verification->save_file);
    return CLI_OK;
}

/* The machine policy that it is to run under, as the owner signed it for this instance. */
static int take_policy(const struct cli *cli, struct verification *verification,
                       const struct image_configuration *configuration)
{
    uint8_t *data = NULL;
    struct bytes content;
    if (!verification->policy_file)
        return CLI_OK;
    int result = read_file(cli, verification->policy_file, IMAGE_WORKLOAD_MAX, &data, &content);
    if (result == CLI_OK && (content.len == 0 || image_machine_open(content, &configuration->owner, configuration->site,
                                                                    &verification->machine) != OK))
        result = cli_fail(cli, CLI_DENIED, "%s is no machine policy of this owner's for vTPM %s",
                          verification->policy_file, verification->name);
    free(data);
    return result;
}

/* ---- What comes of it ---- */

static int appraise(const struct cli *cli, struct verification *verification)
{
    struct instance instance;
    struct owner owner = {0};
    struct owner_pins pins;
    uint8_t room[IMAGE_CONFIGURATION_MAX];
    struct image_configuration configuration;
    int result = instance_look(cli, verification->name, false, &instance);
    if (result == CLI_OK && !instance.has_record)
        result = cli_fail(cli, CLI_NOT_FOUND, "owner/vtpm/%s does not say which image vTPM %s was made with",
                          verification->name, verification->name);
    if (result == CLI_OK)
        result = instance_read_configuration(cli, verification->name, room, &configuration);
    if (result == CLI_OK)
        result = take_policy(cli, verification, &configuration);
    if (result == CLI_OK)
        result = owner_open(cli, false, &owner);
    if (result)
        return result;
    enum status status = owner_pins_load(cli, &pins);
    struct owner_vtpm vtpm = {.configuration = &configuration, .measurement = instance.record.measurement};
    if (verification->policy_file)
        vtpm.workload = BYTES_OF(verification->machine.hash);
    if (status != OK)
        result = cli_fail(cli, status == NOT_FOUND ? CLI_NOT_FOUND : CLI_DENIED,
                          "%s/owner/pins.json %s: bastide init makes it", cli->home, cli_file_problem(status));
    else
        result = owner_walk_vtpm(cli, &owner, &pins, &vtpm, &verification->quote, verification->answer,
                                 &verification->walk, verification->links);
    owner_done(&owner);
    return result;
}

static const struct command_remedy remedies[VTPM_LINK_COUNT] = {
    [VTPM_LINK_KEYS] = {"the evidence above",
                        "look at who gave the answer: it was put together from several, or asked for without --ak",
                        NULL},
    [VTPM_LINK_CERTIFICATE] = {"owner/vtpm/NAME/ca.der, owner/site-ca.crt",
                               "the certificate is not this vTPM's, or not of this site; one that was restored from "
                               "another node wants that home's owner/site-ca.crt as owner/vtpm/NAME/ca.der",
                               NULL},
    [VTPM_LINK_LAUNCH] = {"--measured-launch",
                          "have its VM started from what the monitor measures: its machine policy can insist",
                          "a machine policy with a launch policy has the monitor measure it"},
    [VTPM_LINK_ATTESTATION_KEY] = {"", "have the VM make one with tpm2_createak, and quote with that", NULL},
    [VTPM_LINK_QUOTE] = {"the attestation key above",
                         "the quote was made with another key, of another VM or by hand: believe nothing of it", NULL},
    [VTPM_LINK_NONCE] = {"--nonce", "ask the VM again, with a nonce that was never used", NULL},
    [VTPM_LINK_PCRS] = {"--pcrs", "another thing started in the VM than you expect: find out what before you trust it",
                        "--pcrs, with the values of a VM that you trust"},
};

/* The node's own table, where a vTPM's references are others than the hub's. */
static struct command_remedy remedy_of(enum evidence_link link)
{
    struct command_remedy remedy = *command_remedy_of(link);
    if (link == EVIDENCE_LINK_NONCE)
        remedy.from = "--nonce";
    else if (link == EVIDENCE_LINK_IMAGE)
        remedy = (struct command_remedy){"owner/vtpm/NAME/instance.json, --policy",
                                         "another program than that vtpm.enclave holds this TPM, or it runs under "
                                         "another policy: give it nothing",
                                         NULL};
    else if (link == EVIDENCE_LINK_CONFIGURATION)
        remedy = (struct command_remedy){"node/instances/NAME/configuration",
                                         "this is another instance's vTPM: look at which one the VM was given", NULL};
    return remedy;
}

static const struct command_remedy of_platform = {
    "the evidence above",
    "ask for the vTPM's certificate where it was made, or believe the evidence, which is of now",
    NULL,
};

struct telling {
    const struct cli *cli;
    json_t *links;
    struct writer unseen, refused;
};

static void put_name(struct writer *names, const char *word)
{
    put_text(names, names->len ? ", " : "");
    put_text(names, word);
}

static void tell(struct telling *telling, const char *word, const struct evidence_step *step,
                 const struct command_remedy *remedy)
{
    if (step->outcome == EVIDENCE_REFUSED)
        put_name(&telling->refused, word);
    if (telling->cli->json)
        json_array_append_new(telling->links, command_link_json(word, step, remedy));
    else if (step->outcome == EVIDENCE_UNSEEN)
        put_name(&telling->unseen, word);
    else
        command_print_link(telling->cli, word, step, remedy);
}

/* From the hardware to what the VM says; the session's link has no meaning here. */
static void tell_all(struct telling *telling, const struct verification *verification)
{
    struct evidence_step step;
    for (enum evidence_link link = 0; link < EVIDENCE_LINK_SESSION; link++) {
        const struct command_remedy remedy = remedy_of(link);
        tell(telling, evidence_link_word(link), &verification->links[link], &remedy);
    }
    for (enum vtpm_link link = 0; link < VTPM_LINK_COUNT; link++) {
        vtpm_explain(link, &verification->quote, &verification->walk, &step);
        tell(telling, vtpm_link_word(link), &step, &remedies[link]);
        if (link != VTPM_LINK_CERTIFICATE)
            continue;
        command_vtpm_platform(&verification->platform, &verification->walk.vtpm.evidence, &step);
        tell(telling, "platform-certificate", &step, &of_platform);
    }
}

static int show(const struct cli *cli, const struct verification *verification, bool verified)
{
    char unseen[512] = "", refused[512] = "", ak_name[2 * TPM2_NAME_LEN + 1] = "";
    struct telling telling = {cli, cli->json ? json_array() : NULL, writer_over(unseen, sizeof unseen - 1),
                              writer_over(refused, sizeof refused - 1)};
    tell_all(&telling, verification);
    unseen[telling.unseen.len] = refused[telling.refused.len] = 0;
    verified = verified && !*refused;
    if (hex_encode(BYTES_OF(verification->walk.ak_name), ak_name, sizeof ak_name) != OK)
        ak_name[0] = 0;
    if (cli->json)
        cli_print_json(json_pack("{s:s,s:b,s:s,s:o}", "name", verification->name, "verified", verified, "ak_name",
                                 ak_name, "links", telling.links));
    else if (*unseen)
        printf("%s%-9s %-16s %s%s\n", cli_dim(cli), "-", "not looked at", unseen, cli_plain(cli));
    fflush(stdout);
    return verified ? CLI_OK : cli_fail(cli, CLI_EVIDENCE, "the VM's quote was refused at: %s", refused);
}

static int verify(const struct cli *cli, struct verification *verification)
{
    int result = take_files(cli, verification);
    if (result == CLI_OK)
        result = take_answer(cli, verification);
    if (result == CLI_OK)
        result = appraise(cli, verification);
    return result == CLI_OK || result == CLI_EVIDENCE ? show(cli, verification, result == CLI_OK) : result;
}

int command_vtpm_verify(const struct cli *cli, int argc, char **argv)
{
    static struct verification verification;
    const struct cli_option options[] = {
        {"ak", &verification.handle_text, NULL, NULL},
        {"quote", &verification.quote_file, NULL, NULL},
        {"signature", &verification.signature_file, NULL, NULL},
        {"nonce", &verification.nonce_text, NULL, NULL},
        {"pcrs", &verification.pcrs_file, NULL, NULL},
        {"answer", &verification.answer_file, NULL, NULL},
        {"save", &verification.save_file, NULL, NULL},
        {"ek-certificate", &verification.certificate_file, NULL, NULL},
        {"platform-certificate", &verification.platform_file, NULL, NULL},
        {"policy", &verification.policy_file, NULL, NULL},
        {"measured-launch", NULL, &verification.quote.measured_launch, NULL},
    };
    int result = cli_options(cli, "vtpm", options, sizeof options / sizeof *options, &argc, argv);
    if (result)
        return result;
    verification.name = argc == 2 ? argv[1] : NULL;
    result = take_words(cli, &verification);
    if (result == CLI_OK)
        result = verify(cli, &verification);
    free(verification.attest);
    free(verification.signature);
    free(verification.certificate);
    free(verification.given);
    return result;
}
