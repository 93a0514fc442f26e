/* A device's state as bytes: CBOR [1, reference, private key, code's secret, certificate, [counter, resets, sequence]].
 * Either the secret or the certificate is empty. */
#include "device_internal.h"

#include "cbor.h"

#include <string.h>

#define VERSION 1

static const int suites[] = {3, 2}; /* the key is on P-256 */

/* How it shows itself: by the certificate it has, or before that by its bare key. */
static enum status prepare(struct device *device)
{
    struct writer claims = writer_over(device->claims, sizeof device->claims);
    struct writer id_cred = writer_over(device->id_cred, sizeof device->id_cred);
    struct writer by_value = writer_over(device->by_value, sizeof device->by_value);
    struct bytes certificate = bytes_from(device->certificate, device->certificate_len);
    bool enrolled = certificate.len > 0;
    if (enrolled) {
        edhoc_put_x5t(&id_cred, certificate);
        edhoc_put_x5chain(&by_value, &certificate, 1);
    } else {
        edhoc_put_claims(&claims, "device", &device->key.public_key, (struct bytes){0});
        edhoc_put_kccs(&id_cred, writer_bytes(&claims));
    }
    TRY(writer_end(&claims));
    TRY(writer_end(&id_cred));
    TRY(writer_end(&by_value));
    device->edhoc = (struct client_edhoc){.suites = suites,
                                          .suites_count = sizeof suites / sizeof suites[0],
                                          .own = {.is_certificate = enrolled,
                                                  .value = enrolled ? certificate : writer_bytes(&claims),
                                                  .private_key = &device->key,
                                                  .id_cred = writer_bytes(&id_cred)},
                                          .own_by_value = writer_bytes(&by_value),
                                          .meet = device_meet,
                                          .appraise = device_appraise,
                                          .user = device};
    return OK;
}

enum status device_begin(struct device *device, const struct enrol_code *code, const struct device_host *host)
{
    *device = (struct device){.reference = code->reference, .host = *host};
    enum status status = secret_set(&device->code, BYTES_OF(code->secret));
    if (status == OK)
        status = crypto_key_generate(&device->key, CRYPTO_P256);
    if (status == OK)
        status = prepare(device);
    if (status != OK)
        device_done(device);
    return status;
}

void device_put(struct writer *writer, const struct device *device)
{
    SECRET private_key = {0};
    if (crypto_key_export(&device->key, &private_key) != OK)
        writer_fail(writer, INTERNAL);
    cbor_put_array(writer, 6);
    cbor_put_uint(writer, VERSION);
    enrol_put_reference(writer, &device->reference);
    cbor_put_bytes(writer, secret_bytes(&private_key));
    cbor_put_bytes(writer, secret_bytes(&device->code));
    cbor_put_bytes(writer, bytes_from(device->certificate, device->certificate_len));
    cbor_put_array(writer, 3);
    cbor_put_uint(writer, device->seen.nv_counter);
    cbor_put_uint(writer, device->seen.reset_count);
    cbor_put_uint(writer, device->seen.sequence);
}

static void take_seen(struct reader *reader, struct evidence_freshness *seen)
{
    if (cbor_take_array(reader) != 3)
        reader_fail(reader, MALFORMED);
    seen->nv_counter = cbor_take_uint(reader);
    uint64_t resets = cbor_take_uint(reader);
    if (resets > UINT32_MAX)
        reader_fail(reader, MALFORMED);
    seen->reset_count = (uint32_t)resets;
    seen->sequence = cbor_take_uint(reader);
}

/* The certificate must be this key's: a state put together from two is none. */
static enum status take_certificate(struct device *device, struct bytes der)
{
    struct pki_certificate certificate;
    if (der.len > sizeof device->certificate)
        return NO_ROOM;
    TRY(pki_certificate_decode(der, &certificate));
    if (!bytes_equal(crypto_public_bytes(&certificate.key), crypto_public_bytes(&device->key.public_key)))
        return MALFORMED;
    memcpy(device->certificate, der.data, der.len);
    device->certificate_len = der.len;
    return OK;
}

static enum status fill(struct device *device, struct bytes reference, struct bytes private_key, struct bytes code,
                        struct bytes certificate)
{
    TRY(enrol_reference_decode(reference, &device->reference));
    TRY(crypto_key_import(&device->key, CRYPTO_P256, private_key));
    if (code.len != (certificate.len ? 0 : ENROL_SECRET_LEN))
        return MALFORMED;
    TRY(secret_set(&device->code, code));
    if (certificate.len)
        TRY(take_certificate(device, certificate));
    return prepare(device);
}

enum status device_decode(struct bytes state, struct device *device, const struct device_host *host)
{
    struct reader reader = reader_over(state);
    struct evidence_freshness seen = {0};
    if (cbor_take_array(&reader) != 6)
        reader_fail(&reader, MALFORMED);
    if (cbor_take_uint(&reader) != VERSION)
        reader_fail(&reader, UNSUPPORTED);
    struct bytes reference = cbor_take_item(&reader);
    struct bytes private_key = cbor_take_bytes(&reader);
    struct bytes code = cbor_take_bytes(&reader);
    struct bytes certificate = cbor_take_bytes(&reader);
    take_seen(&reader, &seen);
    TRY(reader_end(&reader));
    *device = (struct device){.seen = seen, .host = *host};
    enum status status = fill(device, reference, private_key, code, certificate);
    if (status != OK)
        device_done(device);
    return status;
}

enum status device_keep(struct device *device)
{
    uint8_t room[DEVICE_STATE_MAX];
    struct writer state = writer_over(room, sizeof room);
    device_put(&state, device);
    enum status status = writer_end(&state);
    if (status == OK)
        status = device->host.keep(device->host.user, writer_bytes(&state));
    wipe(room, sizeof room);
    return status;
}

enum status device_set_certificate(struct device *device, struct bytes der)
{
    TRY(take_certificate(device, der));
    secret_wipe(&device->code);
    return prepare(device);
}

void device_done(struct device *device)
{
    crypto_key_done(&device->key);
    wipe(device, sizeof *device);
}

void device_name(const struct device *device, char name[DEVICE_NAME_MAX + 1])
{
    struct pki_certificate certificate;
    struct x509_identity identity;
    name[0] = 0;
    if (device->certificate_len == 0 ||
        pki_certificate_decode(bytes_from(device->certificate, device->certificate_len), &certificate) != OK ||
        x509_identity_of(&certificate, &identity) != OK || identity.name.len > DEVICE_NAME_MAX)
        return;
    memcpy(name, identity.name.data, identity.name.len);
    name[identity.name.len] = 0;
}

const struct client_edhoc *device_edhoc(struct device *device)
{
    return &device->edhoc;
}
