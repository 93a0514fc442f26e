/* Who a vTPM is, as its owner keeps it: a file in JSON and three certificates. */
#include "instance.h"

#include "der.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_MAX 4096

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/* ---- Names ---- */

bool instance_name_is_good(const char *name)
{
    const size_t len = strlen(name);
    return len >= 1 && len <= INSTANCE_NAME_MAX && strspn(name, LETTERS "._-") == len && strspn(name, LETTERS) > 0;
}

int instance_check_name(const struct cli *cli, const char *name)
{
    return instance_name_is_good(name)
               ? CLI_OK
               : cli_usage(cli, "vtpm",
                           "\"%.80s\" is no vTPM's name: 1 to %d letters, digits and . _ -, a letter or digit first",
                           name, INSTANCE_NAME_MAX);
}

bool instance_tenant_is_good(const char *tenant)
{
    uint8_t room[PKI_NAME_MAX];
    struct writer writer = writer_over(room, sizeof room);
    const size_t len = strlen(tenant);
    return len >= 1 && len <= INSTANCE_TENANT_MAX && pki_put_name(&writer, bytes_from_text(tenant)) == OK;
}

static bool is_dash(size_t at)
{
    return at == 8 || at == 13 || at == 18 || at == 23;
}

enum status instance_take_uuid(const char *text, uint8_t id[IMAGE_SITE_LEN])
{
    char digits[2 * IMAGE_SITE_LEN + 1] = "";
    uint8_t room[IMAGE_SITE_LEN];
    struct writer writer = writer_over(room, sizeof room);
    size_t len = 0;
    if (strlen(text) != INSTANCE_UUID_LEN - 1)
        return MALFORMED;
    for (size_t i = 0; i < INSTANCE_UUID_LEN - 1; i++) {
        if (is_dash(i) != (text[i] == '-'))
            return MALFORMED;
        if (!is_dash(i))
            digits[len++] = text[i];
    }
    TRY(hex_decode(digits, &writer));
    memcpy(id, room, sizeof room);
    return OK;
}

void instance_put_uuid(const uint8_t id[IMAGE_SITE_LEN], char text[INSTANCE_UUID_LEN])
{
    char digits[2 * IMAGE_SITE_LEN + 1] = "";
    if (hex_encode(bytes_from(id, IMAGE_SITE_LEN), digits, sizeof digits) != OK)
        return;
    const char *from = digits;
    for (size_t i = 0; i < INSTANCE_UUID_LEN - 1; i++)
        text[i] = is_dash(i) ? '-' : *from++;
    text[INSTANCE_UUID_LEN - 1] = 0;
}

void instance_quote(const char *text, char *room, size_t cap)
{
    struct writer writer = writer_over(room, cap - 1);
    const bool plain = *text && strspn(text, LETTERS "._-/=:@+,%") == strlen(text);
    put_text(&writer, plain ? "" : "'");
    for (const char *at = text; *at; at++)
        put_bytes(&writer, *at == '\'' ? bytes_from_text("'\\''") : bytes_from(at, 1));
    put_text(&writer, plain ? "" : "'");
    room[writer.len] = 0;
}

/* ---- instance.json ---- */

char *instance_record_encode(const struct instance_record *record)
{
    char id[INSTANCE_UUID_LEN], measurement[2 * IMAGE_HASH_LEN + 1] = "", signer[2 * IMAGE_HASH_LEN + 1] = "";
    instance_put_uuid(record->id, id);
    if (hex_encode(BYTES_OF(record->measurement), measurement, sizeof measurement) != OK ||
        hex_encode(BYTES_OF(record->signer), signer, sizeof signer) != OK)
        return NULL;
    json_t *tree = json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:b}", "id", id, "tenant", record->tenant, "measurement",
                             measurement, "signer", signer, "security_version", (json_int_t)record->security_version,
                             "created", (json_int_t)record->created_s, "whole", record->whole);
    char *text = tree ? json_dumps(tree, JSON_INDENT(2)) : NULL;
    json_decref(tree);
    return text;
}

static bool take_hash(const json_t *tree, const char *name, uint8_t hash[IMAGE_HASH_LEN])
{
    struct writer writer = writer_over(hash, IMAGE_HASH_LEN);
    const char *text = json_string_value(json_object_get(tree, name));
    return text && hex_decode(text, &writer) == OK && writer.len == IMAGE_HASH_LEN;
}

static bool take_record(const json_t *tree, struct instance_record *record)
{
    const char *id = json_string_value(json_object_get(tree, "id"));
    const char *tenant = json_string_value(json_object_get(tree, "tenant"));
    const json_t *version = json_object_get(tree, "security_version"), *created = json_object_get(tree, "created");
    const json_t *whole = json_object_get(tree, "whole");
    if (json_object_size(tree) != 7 || !id || instance_take_uuid(id, record->id) != OK || !tenant ||
        !instance_tenant_is_good(tenant) || !take_hash(tree, "measurement", record->measurement) ||
        !take_hash(tree, "signer", record->signer) || !json_is_integer(version) || json_integer_value(version) < 0 ||
        json_integer_value(version) > UINT32_MAX || !json_is_integer(created) || !json_is_boolean(whole))
        return false;
    snprintf(record->tenant, sizeof record->tenant, "%s", tenant);
    record->security_version = (uint32_t)json_integer_value(version);
    record->created_s = json_integer_value(created);
    record->whole = json_is_true(whole);
    return true;
}

enum status instance_record_decode(struct bytes text, struct instance_record *record)
{
    struct instance_record made = {.whole = false};
    json_t *tree = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    bool good = take_record(tree, &made);
    json_decref(tree);
    if (good)
        *record = made;
    return good ? OK : MALFORMED;
}

enum status instance_record_load(const struct cli *cli, const char *name, struct instance_record *record)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    TRY(cli_read_file(instance_path(cli, "owner/vtpm", name, "instance.json", path), RECORD_MAX, &data, &len));
    enum status status = instance_record_decode(bytes_from(data, len), record);
    free(data);
    return status;
}

static int save(const struct cli *cli, const char *name, const char *file, struct bytes content)
{
    char path[PATH_MAX];
    return cli_write_file(instance_path(cli, "owner/vtpm", name, file, path), content) == OK
               ? CLI_OK
               : cli_fail(cli, errno == ENOSPC ? CLI_DISK : CLI_DENIED, "%s cannot be written: %s", path,
                          strerror(errno));
}

int instance_record_save(const struct cli *cli, const char *name, const struct instance_record *record)
{
    char *text = instance_record_encode(record);
    int result =
        text ? save(cli, name, "instance.json", bytes_from_text(text)) : cli_fail(cli, CLI_INTERNAL, "out of memory");
    free(text);
    return result;
}

/* ---- Its certificates ---- */

static const char *const kinds[TPM2_EK_KINDS] = {"rsa2048", "p256", "p384"};

const char *instance_kind_word(enum tpm2_ek_kind kind)
{
    return kinds[kind];
}

enum status instance_kind_of(const char *word, enum tpm2_ek_kind *kind)
{
    for (size_t i = 0; i < TPM2_EK_KINDS; i++)
        if (strcmp(kinds[i], word) == 0) {
            *kind = (enum tpm2_ek_kind)i;
            return OK;
        }
    return NOT_FOUND;
}

/* SubjectPublicKeyInfo (RFC 5280 §4.1): an RSA key is a sequence of two numbers, an EC key a point. */
static struct bytes take_key(struct reader *fields)
{
    struct reader info = reader_over(der_take(fields, DER_SEQUENCE));
    (void)der_take(&info, DER_SEQUENCE);
    struct bytes key = der_take_bits(&info);
    struct reader numbers = reader_over(key);
    if (der_is_next(&numbers, DER_SEQUENCE)) {
        numbers = reader_over(der_take(&numbers, DER_SEQUENCE));
        key = der_take_positive(&numbers);
    }
    if (der_end(&info) != OK || key.len == 0)
        reader_fail(fields, MALFORMED);
    return key;
}

enum status instance_certificate_read(struct bytes der, struct instance_certificate *certificate)
{
    struct instance_certificate found = {0};
    struct reader outer = reader_over(der), whole = reader_over(der_take(&outer, DER_SEQUENCE));
    struct reader fields = reader_over(der_take(&whole, DER_SEQUENCE));
    TRY(reader_end(&outer));
    (void)der_take(&fields, DER_CONTEXT_HELD); /* version */
    found.serial = der_take_positive(&fields);
    (void)der_take(&fields, DER_SEQUENCE); /* algorithm */
    (void)der_take(&fields, DER_SEQUENCE); /* issuer */
    struct reader validity = reader_over(der_take(&fields, DER_SEQUENCE));
    found.not_before_s = der_take_time(&validity);
    found.not_after_s = der_take_time(&validity);
    (void)der_take(&fields, DER_SEQUENCE); /* subject */
    found.key = take_key(&fields);
    TRY(der_end(&validity));
    if (fields.status != OK || whole.status != OK)
        return MALFORMED;
    *certificate = found;
    return OK;
}

static void file_of(enum tpm2_ek_kind kind, char file[32])
{
    snprintf(file, 32, "ek-%s.der", kinds[kind]);
}

static enum status load(const struct cli *cli, const char *name, const char *file, uint8_t room[EK_CERTIFICATE_MAX],
                        struct bytes *der)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    TRY(cli_read_file(instance_path(cli, "owner/vtpm", name, file, path), EK_CERTIFICATE_MAX, &data, &len));
    memcpy(room, data, len);
    free(data);
    *der = bytes_from(room, len);
    return OK;
}

enum status instance_certificate_load(const struct cli *cli, const char *name, enum tpm2_ek_kind kind,
                                      uint8_t room[EK_CERTIFICATE_MAX], struct bytes *der)
{
    char file[32];
    file_of(kind, file);
    return load(cli, name, file, room, der);
}

int instance_certificate_save(const struct cli *cli, const char *name, enum tpm2_ek_kind kind, struct bytes der)
{
    char file[32];
    file_of(kind, file);
    return save(cli, name, file, der);
}

enum status instance_platform_load(const struct cli *cli, const char *name, uint8_t room[EK_CERTIFICATE_MAX],
                                   struct bytes *der)
{
    return load(cli, name, "platform.der", room, der);
}

int instance_platform_save(const struct cli *cli, const char *name, struct bytes der)
{
    return save(cli, name, "platform.der", der);
}

enum status instance_authority_load(const struct cli *cli, const char *name, uint8_t room[EK_CERTIFICATE_MAX],
                                    struct bytes *der)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    enum status status = load(cli, name, "ca.der", room, der);
    if (status != NOT_FOUND)
        return status;
    TRY(cli_read_file(cli_path(cli, "owner/site-ca.crt", path), EK_CERTIFICATE_MAX, &data, &len));
    memcpy(room, data, len);
    free(data);
    *der = bytes_from(room, len);
    return OK;
}

int instance_authority_save(const struct cli *cli, const char *name, struct bytes der)
{
    return save(cli, name, "ca.der", der);
}
