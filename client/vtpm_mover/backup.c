/* Backups: sealed for the owner's backup key by the vTPM, for a landing key by the owner. */
#include "vtpm_mover_internal.h"

#include <string.h>

static bool same_key(const struct crypto_public *a, const struct crypto_public *b)
{
    return bytes_equal(crypto_public_bytes(a), crypto_public_bytes(b));
}

enum status vtpm_mover_backup(struct vtpm_mover_end *source, const struct crypto_key *owner,
                              const struct crypto_public *backup, struct writer *bundle)
{
    uint8_t room[VTPM_TRANSFER_AUTHORITY_MAX];
    struct writer grant = writer_over(room, sizeof room);
    struct vtpm_blob blobs[VTPM_TRANSFER_KINDS];
    struct bytes given = {0};
    TRY(vtpm_mover_status(source));
    if (source->facts.custody != VTPM_LIVE)
        return mover_refuse(source, "there is no state here that could be backed up");
    if (backup->curve != CRYPTO_P256)
        return MALFORMED;
    TRY(mover_sign(&grant, owner, VTPM_GRANT_BACKUP, &source->facts, backup->data));
    TRY(mover_ask(source, VTPM_TRANSFER_BACKUP, writer_bytes(&grant), &given));
    if (vtpm_bundle_decode(given, blobs) != OK || blobs[0].purpose != VTPM_BLOB_BACKUP ||
        !bytes_equal(blobs[0].authority, writer_bytes(&grant)))
        return mover_refuse(source, "what was given is not the backup that was asked for");
    put_bytes(bundle, given);
    return writer_end(bundle);
}

/* The grant in it is the owner's own, given after he had seen evidence over `from`: so only that enclave, or who has
 * the backup key, can have sealed the content key that opens under the two. */
static enum status open_backup(const struct vtpm_blob *blob, const struct crypto_key *owner,
                               const struct crypto_key *backup, uint8_t key[VTPM_TRANSFER_KEY_LEN])
{
    struct vtpm_grant grant;
    if (blob->purpose != VTPM_BLOB_BACKUP || vtpm_grant_open(blob->authority, &owner->public_key, &grant) != OK ||
        grant.purpose != VTPM_GRANT_BACKUP || !same_key(&grant.to, &backup->public_key) ||
        memcmp(grant.instance, blob->instance, sizeof grant.instance) != 0)
        return AUTH;
    return vtpm_blob_unwrap(blob, backup, &grant.from, key);
}

static enum status seal_anew(struct vtpm_blob blobs[VTPM_TRANSFER_KINDS], const struct crypto_key *owner,
                             const struct crypto_key *from, const struct crypto_public *landing,
                             const uint8_t key[VTPM_TRANSFER_KEY_LEN], struct writer *out)
{
    uint8_t room[VTPM_TRANSFER_AUTHORITY_MAX], wrapped[VTPM_TRANSFER_WRAPPED_LEN];
    struct writer authority = writer_over(room, sizeof room);
    struct vtpm_grant grant = {.purpose = VTPM_GRANT_RESTORE, .to = *landing, .from = from->public_key};
    memcpy(grant.instance, blobs[0].instance, sizeof grant.instance);
    TRY(vtpm_grant_sign(&authority, owner, &grant));
    for (size_t i = 0; i < VTPM_TRANSFER_KINDS; i++) {
        blobs[i].purpose = VTPM_BLOB_RESTORE;
        blobs[i].authority = writer_bytes(&authority);
        TRY(vtpm_blob_wrap(&blobs[i], from, landing, key, wrapped));
        blobs[i].wrapped = BYTES_OF(wrapped);
        vtpm_blob_put(out, &blobs[i]);
    }
    return writer_end(out);
}

enum status vtpm_mover_rewrap(struct bytes bundle, const struct crypto_key *owner, const struct crypto_key *backup,
                              const struct crypto_public *landing, struct writer *out)
{
    struct vtpm_blob blobs[VTPM_TRANSFER_KINDS];
    SECRET key = {.len = VTPM_TRANSFER_KEY_LEN};
    struct crypto_key from = {0};
    TRY(vtpm_bundle_decode(bundle, blobs));
    TRY(open_backup(&blobs[0], owner, backup, key.data));
    TRY(crypto_key_generate(&from, CRYPTO_P256));
    enum status status = seal_anew(blobs, owner, &from, landing, key.data, out);
    crypto_key_done(&from);
    return status;
}

enum status vtpm_mover_restore(struct vtpm_mover_end *destination, const struct crypto_key *owner,
                               const struct crypto_key *backup, struct bytes bundle)
{
    struct crypto_public landing;
    struct vtpm_blob blobs[VTPM_TRANSFER_KINDS];
    TRY(vtpm_bundle_decode(bundle, blobs));
    TRY(mover_ask(destination, VTPM_TRANSFER_PREPARE, (struct bytes){0}, NULL));
    if (memcmp(blobs[0].instance, destination->facts.instance, sizeof blobs[0].instance) != 0)
        return mover_refuse(destination, "the backup is another instance's");
    TRY(crypto_public_import(&landing, CRYPTO_P256, BYTES_OF(destination->facts.to)));
    /* Where the answers come to: the next one overwrites it, when it has been asked with. */
    struct writer rest = writer_over(destination->room + VTPM_TRANSFER_QUESTION_MAX, VTPM_TRANSFER_BUNDLE_MAX);
    TRY(vtpm_mover_rewrap(bundle, owner, backup, &landing, &rest));
    return mover_ask(destination, VTPM_TRANSFER_LAND, writer_bytes(&rest), NULL);
}
