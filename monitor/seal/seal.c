/* Policies and derivation. Of all that is here only root and keys are secret; branches depend on public inputs alone.
 */
#include "seal.h"

#include "crypto.h"

#include <string.h>

#define ENCLAVE_INFO "bastide seal"
#define MONITOR_INFO "bastide monitor"

static const uint8_t none[MONITOR_HASH_LEN];

static bool same(const uint8_t a[MONITOR_HASH_LEN], const uint8_t b[MONITOR_HASH_LEN])
{
    return memcmp(a, b, MONITOR_HASH_LEN) == 0;
}

enum status seal_fill(const struct seal_asker *asker, uint32_t policy, const uint8_t salt[MONITOR_HASH_LEN],
                      struct monitor_seal_inputs *inputs)
{
    struct monitor_seal_inputs filled = {.policy = policy, .security_version = asker->security_version};
    if (policy == MONITOR_SEAL_EXACT)
        memcpy(filled.measurement, asker->measurement, sizeof filled.measurement);
    else if (policy == MONITOR_SEAL_SIGNER)
        memcpy(filled.signer, asker->signer, sizeof filled.signer);
    else
        return MALFORMED;
    memcpy(filled.config, asker->config, sizeof filled.config);
    memcpy(filled.salt, salt, sizeof filled.salt);
    *inputs = filled;
    return OK;
}

enum status seal_permits(const struct seal_asker *asker, const struct monitor_seal_inputs *inputs)
{
    bool exact = inputs->policy == MONITOR_SEAL_EXACT;
    if (!exact && inputs->policy != MONITOR_SEAL_SIGNER)
        return MALFORMED;
    if (!same(exact ? inputs->signer : inputs->measurement, none))
        return MALFORMED;
    bool theirs = exact ? same(inputs->measurement, asker->measurement) : same(inputs->signer, asker->signer);
    /* An older version must not read what a newer one sealed: it may have been replaced for what it leaks. */
    return theirs && same(inputs->config, asker->config) && inputs->security_version <= asker->security_version
               ? OK
               : DENIED;
}

enum status seal_key(const uint8_t root[32], const uint8_t label[MONITOR_LABEL_LEN],
                     const struct monitor_seal_inputs *inputs, uint8_t key[MONITOR_KEY_LEN])
{
    uint8_t info[sizeof ENCLAVE_INFO + MONITOR_LABEL_LEN + sizeof *inputs];
    struct writer writer = writer_over(info, sizeof info);
    put_bytes(&writer, BYTES_OF(ENCLAVE_INFO)); /* with its NUL */
    put_bytes(&writer, bytes_from(label, MONITOR_LABEL_LEN));
    put_u32be(&writer, inputs->policy);
    put_u32be(&writer, inputs->security_version);
    put_bytes(&writer, BYTES_OF(inputs->measurement));
    put_bytes(&writer, BYTES_OF(inputs->signer));
    put_bytes(&writer, BYTES_OF(inputs->config));
    put_bytes(&writer, BYTES_OF(inputs->salt));
    TRY(writer_end(&writer));
    return crypto_hkdf_expand(CRYPTO_SHA256, bytes_from(root, 32), writer_bytes(&writer), key, MONITOR_KEY_LEN);
}

enum status seal_monitor_key(const uint8_t root[32], const char *purpose, uint8_t key[MONITOR_KEY_LEN])
{
    uint8_t info[64];
    struct writer writer = writer_over(info, sizeof info);
    put_bytes(&writer, BYTES_OF(MONITOR_INFO));
    put_text(&writer, purpose);
    TRY(writer_end(&writer));
    return crypto_hkdf_expand(CRYPTO_SHA256, bytes_from(root, 32), writer_bytes(&writer), key, MONITOR_KEY_LEN);
}
