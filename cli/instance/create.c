/* A new vTPM, step by step. Each step finds out whether it was done before, so that what was cut is taken up by saying
 * it again; nothing is certified that was not appraised. */
#include "instance.h"

#include "provision.h"
#include "vtpm_appraisal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NONCE_LEN 32

static const uint32_t indices[TPM2_EK_KINDS] = {EK_INDEX_RSA_2048, EK_INDEX_P256, EK_INDEX_P384};

struct creation {
    const struct cli *cli;
    const struct instance_order *order;
    struct owner_session *session;
    struct owner signer; /* of a machine policy: the session has the daily key */
    struct instance is;
    struct owner_image image;
    struct instance_sockets sockets;
    uint8_t certificates[TPM2_EK_KINDS][EK_CERTIFICATE_MAX];
    struct bytes der[TPM2_EK_KINDS]; /* in `certificates` */
    uint8_t platform_room[EK_CERTIFICATE_MAX];
    struct bytes platform; /* in it */
};

/* ---- Who it is to be ---- */

static int check_hub(const struct creation *made)
{
    const struct client_request question = {.code = COAP_GET, .path = "site"};
    struct client_answer answer;
    json_t *json = NULL;
    int result = owner_ask(made->cli, made->session, &question, &answer, &json);
    if (result == CLI_OK && !json_is_string(json_object_get(json, "certificate")))
        result = cli_fail(made->cli, CLI_DENIED,
                          "the hub has no site CA that could certify: bastide init --renew has the owner sign it");
    json_decref(json);
    return result;
}

static int make_id(const struct cli *cli, uint8_t id[IMAGE_SITE_LEN])
{
    if (crypto_random(id, IMAGE_SITE_LEN) != OK)
        return cli_fail(cli, CLI_INTERNAL, "no randomness");
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40); /* UUIDv4 (RFC 9562 §5.4) */
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    return CLI_OK;
}

/* What was said the first time and what is said now. */
static int check_order(const struct creation *made)
{
    const struct instance *is = &made->is;
    const struct instance_order *order = made->order;
    char text[INSTANCE_UUID_LEN], image[PATH_MAX];
    instance_put_uuid(is->id, text);
    if (is->has_record && is->record.whole)
        return cli_fail(made->cli, CLI_DENIED, "vTPM %s is there already: bastide vtpm show %s", is->name, is->name);
    if (is->has_place && is->is_foreign)
        return cli_fail(made->cli, CLI_DENIED, "node/instances/%s is another owner's, or of another mode", is->name);
    if (is->has_place && is->has_record && memcmp(is->id, is->record.id, sizeof is->id) != 0)
        return cli_fail(made->cli, CLI_DENIED,
                        "node/instances/%s and owner/vtpm/%s are of two vTPMs: bastide vtpm delete %s", is->name,
                        is->name, is->name);
    if ((is->has_place || is->has_record) && order->id && memcmp(order->id, is->id, sizeof is->id) != 0)
        return cli_fail(made->cli, CLI_DENIED, "vTPM %s was begun with the id %s", is->name, text);
    if (instance_image(made->cli, is->name, image) && strcmp(image, order->image) != 0)
        return cli_fail(made->cli, CLI_DENIED, "vTPM %s was begun with the image %s", is->name, image);
    if (is->has_record && order->tenant && strcmp(order->tenant, is->record.tenant) != 0)
        return cli_fail(made->cli, CLI_DENIED, "vTPM %s was begun for the tenant \"%s\"", is->name, is->record.tenant);
    return CLI_OK;
}

static int measure(struct creation *made)
{
    int result = owner_measure(made->cli, made->order->image, &made->image);
    if (result == CLI_OK && strcmp(made->image.manifest.product, INSTANCE_PRODUCT) != 0)
        result = cli_fail(made->cli, CLI_IMAGE, "image refused: %s is of the product \"%s\", no vTPM's",
                          made->order->image, made->image.manifest.product);
    return result;
}

static int write_down(struct creation *made)
{
    struct instance *is = &made->is;
    struct instance_record *record = &is->record;
    int result = instance_make_record_place(made->cli, is->name);
    if (result == CLI_OK && !is->has_record && !is->has_place && !made->order->id)
        result = make_id(made->cli, is->id);
    if (result)
        return result;
    if (!is->has_record && !is->has_place && made->order->id)
        memcpy(is->id, made->order->id, sizeof is->id);
    if (!is->has_record) {
        record->created_s = (int64_t)(cli_unix_ms() / 1000);
        snprintf(record->tenant, sizeof record->tenant, "%s", made->order->tenant ? made->order->tenant : "default");
    }
    memcpy(record->id, is->id, sizeof record->id);
    memcpy(record->measurement, made->image.measurement, sizeof record->measurement);
    image_signer_hash(&made->image.manifest, record->signer);
    record->security_version = made->image.manifest.security_version;
    is->has_record = true;
    return instance_record_save(made->cli, is->name, record);
}

/* ---- What it is ---- */

/* The three keys, if the evidence over them holds against the pins: this owner, this id, this image, this TPM. */
static int appraise(struct creation *made, struct vtpm_appraisal *appraisal)
{
    static uint8_t room[VTPM_KEYS_ANSWER_MAX];
    uint8_t nonce[NONCE_LEN], configuration_room[IMAGE_CONFIGURATION_MAX];
    struct owner_meeting *meeting = made->session->meeting;
    struct image_configuration configuration;
    struct bytes answer = {0};
    int result = instance_read_configuration(made->cli, made->is.name, configuration_room, &configuration);
    if (result)
        return result;
    memcpy(made->is.config_id, configuration.config_id, sizeof made->is.config_id);
    cli_progress(made->cli, "asking vTPM %s who it is …", made->is.name);
    enum status status = crypto_random(nonce, sizeof nonce);
    if (status == OK)
        status = instance_ask_keys(made->sockets.keys, BYTES_OF(nonce), room, &answer);
    if (status != OK)
        return cli_fail(made->cli, CLI_UNREACHABLE, "vTPM %s does not say which keys it has: %s", made->is.name,
                        status_word(status));
    const struct owner_vtpm vtpm = {.configuration = &configuration, .measurement = made->image.measurement};
    result = owner_appraise_vtpm(made->cli, &meeting->owner, &meeting->pins, &vtpm, answer, BYTES_OF(nonce), appraisal);
    meeting->changed = meeting->changed || result == CLI_OK;
    return result;
}

/* ---- Its certificates ---- */

static enum status key_of(const struct tpm2_ek *ek, struct crypto_public *point, struct bytes *key)
{
    *key = bytes_from(ek->key, ek->key_len);
    if (ek->kind == TPM2_EK_RSA_2048)
        return OK;
    TRY(tpm2_ek_point(ek, point));
    *key = crypto_public_bytes(point);
    return OK;
}

static char *question_of(const struct creation *made, enum tpm2_ek_kind kind, struct bytes key)
{
    static const char *const fields[TPM2_EK_KINDS] = {"rsa", "p256", "p384"};
    const struct instance_record *record = &made->is.record;
    char id[2 * IMAGE_SITE_LEN + 1] = "", measurement[2 * IMAGE_HASH_LEN + 1] = "", text[512] = "", version[16];
    char signer[2 * IMAGE_HASH_LEN + 1] = "";
    if (hex_encode(BYTES_OF(record->id), id, sizeof id) != OK ||
        hex_encode(BYTES_OF(record->measurement), measurement, sizeof measurement) != OK ||
        hex_encode(BYTES_OF(record->signer), signer, sizeof signer) != OK ||
        base64url_encode(key, text, sizeof text) != OK)
        return NULL;
    snprintf(version, sizeof version, "%08x", record->security_version);
    json_t *body = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "name", made->is.name, "instance", id, "tenant",
                             record->tenant, "model", INSTANCE_PRODUCT, "version", version, "measurement", measurement,
                             "signer", signer, fields[kind], text);
    char *encoded = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    return encoded;
}

static int ask_certificate(struct creation *made, enum tpm2_ek_kind kind, struct bytes key)
{
    struct client_answer answer;
    struct instance_certificate certificate;
    char *text = question_of(made, kind, key);
    if (!text)
        return cli_fail(made->cli, CLI_INTERNAL, "out of memory");
    const struct client_request question = {
        .code = COAP_POST, .path = "site/ek", .content_format = COAP_FORMAT_JSON, .payload = bytes_from_text(text)};
    cli_progress(made->cli, "certifying the %s key of vTPM %s …", instance_kind_word(kind), made->is.name);
    int result = owner_ask(made->cli, made->session, &question, &answer, NULL);
    free(text);
    if (result)
        return result;
    if (answer.payload.len > EK_CERTIFICATE_MAX || instance_certificate_read(answer.payload, &certificate) != OK ||
        !bytes_equal(certificate.key, key))
        return cli_fail(made->cli, CLI_INTERNAL, "/site/ek was answered without a certificate of that key");
    memcpy(made->certificates[kind], answer.payload.data, answer.payload.len);
    made->der[kind] = bytes_from(made->certificates[kind], answer.payload.len);
    return instance_certificate_save(made->cli, made->is.name, kind, made->der[kind]);
}

/* The one that is kept, if there is one: it may be in the TPM already, and no other can be put there. */
static int certify(struct creation *made, const struct tpm2_ek *ek)
{
    struct instance_certificate certificate;
    struct crypto_public point;
    struct bytes key;
    if (key_of(ek, &point, &key) != OK)
        return cli_fail(made->cli, CLI_INTERNAL, "vTPM %s has a key that is none", made->is.name);
    enum status status = instance_certificate_load(made->cli, made->is.name, ek->kind, made->certificates[ek->kind],
                                                   &made->der[ek->kind]);
    if (status == NOT_FOUND)
        return ask_certificate(made, ek->kind, key);
    if (status == OK)
        status = instance_certificate_read(made->der[ek->kind], &certificate);
    if (status == OK && bytes_equal(certificate.key, key))
        return CLI_OK;
    return cli_fail(made->cli, CLI_DENIED,
                    "owner/vtpm/%s/ek-%s.der is not of the key that vTPM %s has: its state was made anew, or the file "
                    "is another's. bastide vtpm delete %s, then create it",
                    made->is.name, instance_kind_word(ek->kind), made->is.name, made->is.name);
}

/* ---- The platform's: this VM, where it was made ---- */

/* gives; NULL: something is missing. It is held by the RSA key's certificate, which every TPM user looks for. */
static char *platform_question(const struct creation *made, const uint8_t node[TPM2_NAME_LEN])
{
    const struct instance_record *record = &made->is.record;
    struct instance_certificate holder;
    char id[2 * IMAGE_SITE_LEN + 1] = "", measurement[2 * IMAGE_HASH_LEN + 1] = "", serial[64] = "", version[16];
    char tpm[2 * TPM2_NAME_LEN + 1] = "", configuration[2 * IMAGE_HASH_LEN + 1] = "";
    if (instance_certificate_read(made->der[TPM2_EK_RSA_2048], &holder) != OK ||
        hex_encode(holder.serial, serial, sizeof serial) != OK ||
        hex_encode(BYTES_OF(record->id), id, sizeof id) != OK ||
        hex_encode(bytes_from(node, TPM2_NAME_LEN), tpm, sizeof tpm) != OK ||
        hex_encode(BYTES_OF(made->is.config_id), configuration, sizeof configuration) != OK ||
        hex_encode(BYTES_OF(record->measurement), measurement, sizeof measurement) != OK)
        return NULL;
    snprintf(version, sizeof version, "%u", record->security_version);
    json_t *body = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "holder", serial, "instance", id, "tenant",
                             record->tenant, "model", INSTANCE_PRODUCT, "version", version, "node", tpm,
                             "configuration", configuration, "measurement", measurement);
    char *encoded = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    return encoded;
}

static int certify_platform(struct creation *made, const uint8_t node[TPM2_NAME_LEN])
{
    struct client_answer answer;
    if (instance_platform_load(made->cli, made->is.name, made->platform_room, &made->platform) == OK)
        return CLI_OK; /* it may be in the TPM already */
    char *text = platform_question(made, node);
    if (!text)
        return cli_fail(made->cli, CLI_INTERNAL, "out of memory");
    const struct client_request question = {.code = COAP_POST,
                                            .path = "site/platform",
                                            .content_format = COAP_FORMAT_JSON,
                                            .payload = bytes_from_text(text)};
    int result = owner_ask(made->cli, made->session, &question, &answer, NULL);
    free(text);
    if (result)
        return result;
    if (answer.payload.len == 0 || answer.payload.len > EK_CERTIFICATE_MAX)
        return cli_fail(made->cli, CLI_INTERNAL, "/site/platform was answered without a certificate");
    memcpy(made->platform_room, answer.payload.data, answer.payload.len);
    made->platform = bytes_from(made->platform_room, answer.payload.len);
    return instance_platform_save(made->cli, made->is.name, made->platform);
}

/* For whoever verifies it where another CA is the site's: it may move. */
static int keep_authority(const struct creation *made)
{
    uint8_t room[EK_CERTIFICATE_MAX];
    struct bytes der;
    enum status status = instance_authority_load(made->cli, made->is.name, room, &der);
    return status == OK
               ? instance_authority_save(made->cli, made->is.name, der)
               : cli_fail(made->cli, CLI_DENIED, "owner/site-ca.crt %s: bastide init --renew has the hub tell it",
                          cli_file_problem(status));
}

/* ---- Into its NV ---- */

static int explain_refusal(const struct creation *made, const struct provision *tpm, uint32_t index, enum status status)
{
    if (status == DENIED && tpm->refused == 0)
        return cli_fail(made->cli, CLI_DENIED, "vTPM %s holds another certificate at %#x, and keeps it", made->is.name,
                        index);
    if (status == DENIED)
        return cli_fail(made->cli, CLI_DENIED,
                        "vTPM %s did not take its certificate (%#x): was it given to a VM before it was whole? The "
                        "platform hierarchy is its firmware's then",
                        made->is.name, tpm->refused);
    return cli_fail(made->cli, CLI_TPM, "vTPM %s did not take its certificate: %s", made->is.name, status_word(status));
}

/* TPM2_Shutdown(CLEAR) (Part 3 §9.4), as whoever switches a TPM off in order does; without it nothing is lost. */
static void shut_down(int *fd)
{
    static const uint8_t command[] = {0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x45, 0, 0};
    uint8_t room[64];
    struct writer response = writer_over(room, sizeof room);
    (void)!instance_ask_tpm(fd, BYTES_OF(command), &response);
}

static int provision(struct creation *made)
{
    int fd = -1, result = CLI_OK;
    cli_progress(made->cli, "putting the certificates into vTPM %s …", made->is.name);
    if (instance_reach(made->sockets.data, INSTANCE_ASK_MS, &fd) != OK)
        return cli_fail(made->cli, CLI_UNREACHABLE, "vTPM %s does not answer at %s", made->is.name, made->sockets.data);
    struct provision tpm = {&fd, instance_ask_tpm, 0};
    for (int kind = 0; kind < TPM2_EK_KINDS && result == CLI_OK; kind++) {
        enum status status = provision_certificate(&tpm, indices[kind], made->der[kind]);
        if (status != OK)
            result = explain_refusal(made, &tpm, indices[kind], status);
    }
    if (result == CLI_OK) {
        enum status status = provision_certificate(&tpm, EK_INDEX_PLATFORM, made->platform);
        if (status != OK)
            result = explain_refusal(made, &tpm, EK_INDEX_PLATFORM, status);
    }
    if (result == CLI_OK)
        shut_down(&fd);
    close(fd);
    return result;
}

/* While it runs. */
static int make_whole(struct creation *made)
{
    struct vtpm_appraisal appraisal;
    int result = appraise(made, &appraisal);
    for (int kind = 0; kind < TPM2_EK_KINDS && result == CLI_OK; kind++)
        result = certify(made, &appraisal.keys[kind]);
    if (result == CLI_OK)
        result = certify_platform(made, appraisal.evidence.ek_name);
    if (result == CLI_OK)
        result = keep_authority(made);
    return result ? result : provision(made);
}

/* Before its first start, so that no state was ever under another. */
static int limit(struct creation *made)
{
    const struct owner *owner = &made->signer;
    struct image_machine machine = {.serial = 0};
    if (!made->order->state_max)
        return CLI_OK;
    enum status status = instance_policy_load(made->cli, &owner->configuration.owner, &made->is, &machine);
    if (status != OK && status != NOT_FOUND)
        return cli_fail(made->cli, CLI_DENIED, "owner/vtpm/%s/policy is not this owner's policy for it: %s",
                        made->is.name, status_word(status));
    if (machine.state_max == made->order->state_max && instance_policy_is_lent(made->cli, made->is.name))
        return CLI_OK;
    machine.state_max = made->order->state_max;
    return instance_policy_sign(made->cli, owner, &made->is, &machine);
}

static int create(struct creation *made)
{
    const char *name = made->order->name;
    bool was;
    int result = instance_look(made->cli, name, true, &made->is);
    if (result == CLI_OK)
        result = check_order(made);
    else if (result == CLI_NOT_FOUND)
        result = CLI_OK;
    if (result == CLI_OK)
        result = measure(made);
    if (result == CLI_OK)
        result = check_hub(made);
    if (result == CLI_OK && made->order->state_max)
        result = owner_open(made->cli, false, &made->signer);
    if (result == CLI_OK && made->order->state_max)
        result = owner_unlock(made->cli, &made->signer);
    if (result == CLI_OK)
        result = write_down(made);
    if (result == CLI_OK)
        result = instance_make_place(made->cli, &made->session->meeting->owner, name, made->is.id, made->order->image);
    if (result == CLI_OK)
        result = limit(made);
    if (result == CLI_OK)
        result = instance_stop(made->cli, name, &was); /* of a making that was cut */
    if (result == CLI_OK)
        result = instance_start(made->cli, name, (struct instance_how){.on = true});
    if (result)
        return result;
    result = make_whole(made);
    int stopped = instance_stop(made->cli, name, &was);
    if (result || stopped)
        return result ? result : stopped;
    made->is.record.whole = true; /* now that nothing of it is left to be done */
    return instance_record_save(made->cli, name, &made->is.record);
}

int instance_create(const struct cli *cli, const struct instance_order *order, struct owner_session *session)
{
    static struct creation made; /* large */
    int lock = -1;
    made = (struct creation){.cli = cli, .order = order, .session = session};
    int result = instance_sockets(cli, order->name, &made.sockets);
    if (result == CLI_OK)
        result = instance_lock(cli, order->name, &lock);
    if (result)
        return result;
    result = create(&made);
    owner_done(&made.signer);
    close(lock);
    return result;
}
