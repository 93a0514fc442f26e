/* What the owner's own key is for: it signs the site CA, whose key the enclave made, once its evidence was accepted;
 * the site CA then certifies a daily key, and the owner's own can be locked away. */
#include "owner.h"

#include "x509.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PEM_MAX 2048

/* One POST with one field, and the DER in one field of its answer. */
static int ask_der(const struct cli *cli, struct owner_session *session, const char *path, const char *name,
                   struct bytes sent, const char *field, struct writer *der)
{
    char text[(4 * PKI_CERTIFICATE_MAX + 2) / 3 + 1] = "", body[sizeof text + 64] = "";
    struct client_answer answer;
    json_t *json = NULL;
    if (name && base64url_encode(sent, text, sizeof text) == OK)
        snprintf(body, sizeof body, "{\"%s\":\"%s\"}", name, text);
    const struct client_request question = {
        .code = COAP_POST, .path = path, .content_format = COAP_FORMAT_JSON, .payload = bytes_from_text(body)};
    int code = owner_ask(cli, session, &question, &answer, &json);
    if (code)
        return code;
    const char *got = json_string_value(json_object_get(json, field));
    bool good = got && base64url_decode(got, der) == OK;
    json_decref(json);
    return good ? CLI_OK : cli_fail(cli, CLI_INTERNAL, "/%s was answered without a %s", path, field);
}

static enum status issue(const struct owner *owner, struct bytes request_der, struct writer *certificate)
{
    struct pki_request request;
    struct pki_certificate root;
    struct x509_order order = {.identity = {.role = X509_SITE_CA, .name = bytes_from_text("site")},
                               .now_s = (int64_t)(cli_unix_ms() / 1000)};
    memcpy(order.identity.site, owner->configuration.site, sizeof order.identity.site);
    TRY(pki_request_open(request_der, &request));
    TRY(pki_certificate_decode(owner->configuration.certificate, &root));
    TRY(crypto_random(order.serial, sizeof order.serial));
    order.key = request.key;
    return x509_issue(certificate, &owner->key, &root, &order);
}

static int sign_site(struct owner_meeting *meeting, struct owner_session *session)
{
    const struct cli *cli = meeting->cli;
    uint8_t request_room[PKI_REQUEST_MAX], room[PKI_CERTIFICATE_MAX], kept_room[PKI_CERTIFICATE_MAX];
    struct writer request = writer_over(request_room, sizeof request_room), made = writer_over(room, sizeof room);
    struct writer kept = writer_over(kept_room, sizeof kept_room);
    char path[PATH_MAX];
    int code = ask_der(cli, session, "site/request", NULL, (struct bytes){0}, "request", &request);
    if (code)
        return code;
    enum status status = issue(&meeting->owner, writer_bytes(&request), &made);
    if (status != OK)
        return cli_fail(cli, CLI_INTERNAL, "the site CA's certificate could not be made: %s",
                        owner_signing_problem(&meeting->owner, status));
    code = ask_der(cli, session, "site/certificate", "certificate", writer_bytes(&made), "certificate", &kept);
    if (code)
        return code;
    if (cli_write_file(cli_path(cli, "owner/site-ca.crt", path), writer_bytes(&kept)) != OK)
        return cli_fail(cli, CLI_INTERNAL, "%s could not be written: %s", path, strerror(errno));
    return CLI_OK;
}

static enum status save_daily_key(const struct cli *cli, const struct crypto_key *key, struct bytes certificate)
{
    uint8_t room[PEM_MAX];
    char path[PATH_MAX];
    struct writer pem = writer_over(room, sizeof room);
    enum status status = crypto_key_put_pem(&pem, key);
    if (status == OK)
        status = cli_write_file(cli_path(cli, "owner/session.key", path), writer_bytes(&pem));
    if (status == OK)
        status = cli_write_file(cli_path(cli, "owner/session.crt", path), certificate);
    wipe(room, sizeof room);
    return status;
}

static int ask_daily_certificate(const struct cli *cli, struct owner_session *session, const struct crypto_key *key,
                                 struct writer *certificate)
{
    uint8_t room[PKI_REQUEST_MAX];
    struct writer request = writer_over(room, sizeof room);
    enum status status = pki_request_sign(&request, key, bytes_from_text("owner"));
    return status == OK
               ? ask_der(cli, session, "site/owner", "request", writer_bytes(&request), "certificate", certificate)
               : cli_fail(cli, CLI_INTERNAL, "the daily key cannot be certified: %s", status_word(status));
}

/* Its next certificate, for the same key: a file that changes as a whole. */
void owner_renew_daily(const struct owner_meeting *meeting, struct owner_session *session)
{
    const struct cli *cli = meeting->cli;
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct writer made = writer_over(room, sizeof room);
    char path[PATH_MAX];
    if (ask_daily_certificate(cli, session, &meeting->daily, &made) == CLI_OK &&
        cli_write_file(cli_path(cli, "owner/session.crt", path), writer_bytes(&made)) != OK)
        cli_warn(cli, "%s could not be written: %s", path, strerror(errno));
}

static int make_daily_key(const struct cli *cli, struct owner_session *session)
{
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct writer made = writer_over(room, sizeof room);
    struct crypto_key key = {0};
    enum status status = crypto_key_generate(&key, CRYPTO_P256);
    int code = status == OK ? ask_daily_certificate(cli, session, &key, &made)
                            : cli_fail(cli, CLI_INTERNAL, "no daily key could be made: %s", status_word(status));
    if (code == CLI_OK && save_daily_key(cli, &key, writer_bytes(&made)) != OK)
        code =
            cli_fail(cli, CLI_INTERNAL, "the daily key could not be kept in %s/owner: %s", cli->home, strerror(errno));
    crypto_key_done(&key);
    return code;
}

int owner_certify_site(struct owner_meeting *meeting, struct owner_session *session)
{
    const struct client_request question = {.code = COAP_GET, .path = "site"};
    struct client_answer answer;
    json_t *json = NULL;
    int code = owner_ask(meeting->cli, session, &question, &answer, &json);
    if (code)
        return code;
    bool is_signed = json_is_string(json_object_get(json, "certificate"));
    json_decref(json);
    if (!is_signed)
        code = sign_site(meeting, session);
    return code ? code : make_daily_key(meeting->cli, session);
}
