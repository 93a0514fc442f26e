/* A passphrase, where whoever starts the VM has one (libvirt's secrets, and so Nova's): the first that comes is kept as
 * its hash, and from then on no INIT is taken before it came after each launch. One try a launch, so that to guess
 * costs as much as that. It encrypts nothing, for the state is sealed anyway; and who starts a vTPM first chooses it.
 */
#include "vtpm_internal.h"

#include <string.h>

#define LABEL "vtpm passphrase"

static enum status hash_of(const struct vtpm *vtpm, struct bytes passphrase, uint8_t hash[VTPM_LOCK_LEN])
{
    const struct bytes parts[] = {bytes_from_text(LABEL), BYTES_OF(vtpm->instance), passphrase};
    return crypto_hash(CRYPTO_SHA256, parts, 3, hash);
}

static enum status keep(struct vtpm *vtpm, const uint8_t hash[VTPM_LOCK_LEN])
{
    sqlite3_stmt *put = vtpm->sql[VTPM_SQL_LOCK_PUT];
    store_begin(vtpm->store);
    sqlite3_bind_blob(put, 1, hash, VTPM_LOCK_LEN, SQLITE_STATIC);
    enum status status = vtpm_sql_run(put);
    vtpm->store_failed |= status != OK;
    return status;
}

enum status vtpm_lock_load(struct vtpm *vtpm)
{
    sqlite3_stmt *get = vtpm->sql[VTPM_SQL_LOCK_GET];
    const int code = sqlite3_step(get);
    bool good = code == SQLITE_DONE;
    if (code == SQLITE_ROW && sqlite3_column_bytes(get, 0) == VTPM_LOCK_LEN) {
        memcpy(vtpm->lock.hash, sqlite3_column_blob(get, 0), VTPM_LOCK_LEN);
        vtpm->lock.kept = good = true;
    }
    sqlite3_reset(get);
    return good ? OK : INTERNAL;
}

bool vtpm_is_locked(const struct vtpm *vtpm)
{
    return vtpm->lock.kept && !vtpm->lock.open;
}

static uint32_t unlock(struct vtpm *vtpm, struct bytes passphrase)
{
    uint8_t hash[VTPM_LOCK_LEN];
    vtpm->lock.tried = true;
    if (hash_of(vtpm, passphrase, hash) != OK)
        return SWTPM_FAIL;
    if (!vtpm->lock.kept && keep(vtpm, hash) == OK) {
        memcpy(vtpm->lock.hash, hash, sizeof hash);
        vtpm->lock.kept = true;
        vtpm_audit(vtpm, "locked: from now on it starts with this passphrase only");
    }
    vtpm->lock.open = vtpm->lock.kept && ct_equal(vtpm->lock.hash, hash, sizeof hash);
    wipe(hash, sizeof hash);
    if (!vtpm->lock.open)
        vtpm_audit(vtpm, "refused=passphrase: it is another than the first");
    return vtpm->lock.open ? SWTPM_OK : SWTPM_AUTH_FAIL;
}

void vtpm_unlock(struct vtpm *vtpm, struct bytes passphrase, struct writer *reply)
{
    uint32_t result = SWTPM_BAD_PARAMETER;
    if (vtpm->running || vtpm->lock.tried)
        result = SWTPM_BAD_ORDINAL;
    else if (passphrase.len > 0 && passphrase.len <= DOOR_VTPM_PASSPHRASE_MAX)
        result = unlock(vtpm, passphrase);
    put_u32be(reply, result);
}
