/* What leaves the enclave: records and snapshots. Both are a header, then AES-256-GCM text and tag:
 *
 *     off len
 *       0   4  kind: "BST1" a record, "BSS1" a snapshot
 *       4   4  schema version
 *       8   8  sequence
 *      16  32  a record's: SHA-256 of the record before it (zeros before the first); a snapshot's: of the one it stands
 * for 48 136  monitor_seal_inputs: policy, security version, measurement, signer, config, salt 184  32  salt of the
 * segment 216   8  counter within the segment: the nonce
 *
 * big endian throughout, the whole header authenticated. The hash of a record is over all its bytes. A segment is one
 * launch: its key comes from the monitor's by HKDF over a fresh salt, its counter never repeats, so no pair of key and
 * nonce is ever used twice, however often a sequence is sealed again. Every record carries all that its key is derived
 * from and so can be opened by itself.
 *
 * A snapshot's text is a database, a record's the changes as SQLite's sessions have them, before which, from the schema
 * version on that store_noted names, notes stand (note.c). */
#include "store_internal.h"

#include <stdlib.h>
#include <string.h>

enum status store_hash(struct bytes bytes, uint8_t hash[MONITOR_HASH_LEN])
{
    return crypto_hash(CRYPTO_SHA256, &bytes, 1, hash);
}

static void put_inputs(struct writer *out, const struct monitor_seal_inputs *inputs)
{
    put_u32be(out, inputs->policy);
    put_u32be(out, inputs->security_version);
    put_bytes(out, BYTES_OF(inputs->measurement));
    put_bytes(out, BYTES_OF(inputs->signer));
    put_bytes(out, BYTES_OF(inputs->config));
    put_bytes(out, BYTES_OF(inputs->salt));
}

static void take_into(struct reader *in, uint8_t *out, size_t len)
{
    struct bytes taken = take_bytes(in, len);
    if (taken.len == len)
        memcpy(out, taken.data, len);
}

static void take_inputs(struct reader *in, struct monitor_seal_inputs *inputs)
{
    inputs->policy = take_u32be(in);
    inputs->security_version = take_u32be(in);
    take_into(in, inputs->measurement, sizeof inputs->measurement);
    take_into(in, inputs->signer, sizeof inputs->signer);
    take_into(in, inputs->config, sizeof inputs->config);
    take_into(in, inputs->salt, sizeof inputs->salt);
}

static void put_header(struct writer *out, const struct store_header *header)
{
    put_u32be(out, (uint32_t)header->kind);
    put_u32be(out, header->schema);
    put_u64be(out, header->head.sequence);
    put_bytes(out, BYTES_OF(header->head.hash));
    put_inputs(out, &header->inputs);
    put_bytes(out, BYTES_OF(header->salt));
    put_u64be(out, header->counter);
}

static void take_header(struct reader *in, struct store_header *header)
{
    header->kind = (enum store_kind)take_u32be(in);
    header->schema = take_u32be(in);
    header->head.sequence = take_u64be(in);
    take_into(in, header->head.hash, sizeof header->head.hash);
    take_inputs(in, &header->inputs);
    take_into(in, header->salt, sizeof header->salt);
    header->counter = take_u64be(in);
}

static void make_nonce(uint64_t counter, uint8_t nonce[12])
{
    struct writer out = writer_over(nonce, 12);
    put_u32be(&out, 0);
    put_u64be(&out, counter);
}

/* ---- Segments ---- */

static enum status derive(struct store_segment *segment, const uint8_t monitor_key[MONITOR_KEY_LEN])
{
    uint8_t prk[CRYPTO_HASH_MAX], key[MONITOR_KEY_LEN];
    enum status status =
        crypto_hkdf_extract(CRYPTO_SHA256, BYTES_OF(segment->salt), bytes_from(monitor_key, MONITOR_KEY_LEN), prk);
    if (status == OK)
        status = crypto_hkdf_expand(CRYPTO_SHA256, bytes_from(prk, 32), bytes_from_text("bastide store segment"), key,
                                    sizeof key);
    if (status == OK)
        status = crypto_aead_init(&segment->aead, CRYPTO_A256GCM, BYTES_OF(key));
    wipe(prk, sizeof prk);
    wipe(key, sizeof key);
    segment->ready = status == OK;
    return status;
}

void store_segment_done(struct store_segment *segment)
{
    crypto_aead_done(&segment->aead);
    *segment = (struct store_segment){0};
}

static enum status segment_key(struct store *store, struct store_segment *segment, uint32_t open)
{
    uint8_t key[MONITOR_KEY_LEN];
    enum status status = store->config.key(store->config.user, open, &segment->inputs, key);
    if (status == OK)
        status = derive(segment, key);
    wipe(key, sizeof key);
    return status;
}

enum status store_segment_start(struct store *store)
{
    struct store_segment *segment = &store->sealing;
    segment->inputs.policy = (uint32_t)store->config.policy;
    TRY(crypto_random(segment->salt, sizeof segment->salt));
    TRY(segment_key(store, segment, 0));
    return segment->inputs.policy == (uint32_t)store->config.policy ? OK : INTERNAL;
}

enum status store_seal_text(struct store *store, enum store_kind kind, const struct store_head *head, struct bytes text,
                            struct writer *out)
{
    struct store_segment *segment = &store->sealing;
    struct store_header header = {
        .kind = kind,
        .schema = store->schema,
        .head = *head,
        .inputs = segment->inputs,
        .counter = segment->counter++, /* used up whatever comes of it */
    };
    memcpy(header.salt, segment->salt, sizeof header.salt);
    uint8_t nonce[12];
    make_nonce(header.counter, nonce);
    put_header(out, &header);
    TRY(writer_end(out));
    return crypto_aead_seal(&segment->aead, BYTES_OF(nonce), writer_bytes(out), text, out);
}

/* ---- Opening ---- */

static bool same(const uint8_t a[MONITOR_HASH_LEN], const uint8_t b[MONITOR_HASH_LEN])
{
    return memcmp(a, b, MONITOR_HASH_LEN) == 0; /* public */
}

/* Whose is it? Said before the key is asked for, because a wrong key could only say that something is wrong. */
static enum status check_inputs(struct store *store, const struct monitor_seal_inputs *theirs)
{
    const struct monitor_seal_inputs *ours = &store->sealing.inputs;
    if (theirs->policy != MONITOR_SEAL_EXACT && theirs->policy != MONITOR_SEAL_SIGNER)
        return store_refuse(store, STORE_TAMPERED, "sealed under policy %u, which does not exist", theirs->policy);
    if (!same(theirs->config, ours->config))
        return store_refuse(store, STORE_FOREIGN, "sealed for another owner, site or mode; give this node its own");
    if (theirs->policy == MONITOR_SEAL_SIGNER && ours->policy == MONITOR_SEAL_EXACT)
        return store_refuse(store, STORE_OTHER_MEASUREMENT,
                            "sealed for every program of its signer, and this site wants one exact program");
    if (theirs->policy == MONITOR_SEAL_SIGNER && !same(theirs->signer, ours->signer))
        return store_refuse(store, STORE_OTHER_SIGNER, "sealed by a program of another signer or product");
    if (theirs->policy == ours->policy && theirs->policy == MONITOR_SEAL_EXACT &&
        !same(theirs->measurement, ours->measurement))
        return store_refuse(store, STORE_OTHER_MEASUREMENT, "sealed for one exact program, and this is another");
    if (theirs->security_version > ours->security_version)
        return store_refuse(store, STORE_NEWER, "sealed at security version %u, this program has %u: use the newer one",
                            theirs->security_version, ours->security_version);
    return OK;
}

static enum status open_segment(struct store *store, const struct store_header *header)
{
    struct store_segment *segment = &store->opening;
    if (segment->ready && memcmp(&segment->inputs, &header->inputs, sizeof header->inputs) == 0 &&
        same(segment->salt, header->salt))
        return OK;
    store_segment_done(segment);
    segment->inputs = header->inputs;
    memcpy(segment->salt, header->salt, sizeof segment->salt);
    enum status status = segment_key(store, segment, 1);
    if (status == DENIED && header->inputs.policy == MONITOR_SEAL_EXACT)
        return store_refuse(store, STORE_OTHER_MEASUREMENT, "the monitor has no key for it: sealed by another program");
    if (status == DENIED)
        return store_refuse(store, STORE_OTHER_SIGNER, "the monitor has no key for it: sealed by another signer");
    return status == OK ? OK : store_fail(store, status);
}

enum status store_open_text(struct store *store, enum store_kind kind, struct bytes sealed, struct store_header *header,
                            uint8_t **result, size_t *len)
{
    const char *name = kind == STORE_KIND_RECORD ? "record" : "snapshot";
    struct reader in = reader_over(sealed);
    take_header(&in, header);
    struct bytes rest = take_rest(&in);
    if (reader_end(&in) != OK || header->kind != kind || rest.len < STORE_TAG_LEN)
        return store_refuse(store, STORE_TAMPERED, "%zu bytes that are no %s", sealed.len, name);
    TRY(check_inputs(store, &header->inputs));
    TRY(open_segment(store, header));
    uint8_t *text = malloc(rest.len);
    if (!text)
        return store_fail(store, NO_ROOM);
    struct writer out = writer_over(text, rest.len);
    uint8_t nonce[12];
    make_nonce(header->counter, nonce);
    enum status status =
        crypto_aead_open(&store->opening.aead, BYTES_OF(nonce), bytes_slice(sealed, 0, STORE_HEADER_LEN), rest, &out);
    if (status != OK) {
        free(text);
        if (status != AUTH)
            return store_fail(store, status);
        return store_refuse(store, STORE_TAMPERED, "%s %llu does not authenticate: it was changed after it was sealed",
                            name, (unsigned long long)header->head.sequence);
    }
    if (header->schema > store->config.migration_count) {
        free(text);
        return store_refuse(store, STORE_NEWER, "its tables are version %u, this program knows %zu: use the newer one",
                            header->schema, store->config.migration_count);
    }
    *result = text;
    *len = out.len;
    return OK;
}
