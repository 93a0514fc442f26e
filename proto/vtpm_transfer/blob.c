/* Sealed state: heads in the clear, the content key sealed for whom the grant names, the state under that key. */
#include "vtpm_transfer.h"

#include "hpke.h"

#include <string.h>

#define MAGIC 0x42565431u /* "BVT1" */
#define PURPOSE_OFF 4u
#define KIND_OFF 5u
#define NONCE_LEN 12u
#define ABSENT 0u
#define PRESENT 1u

static bool purpose_good(uint8_t purpose)
{
    return purpose == VTPM_BLOB_SNAPSHOT || purpose == VTPM_BLOB_MOVE || purpose == VTPM_BLOB_BACKUP ||
           purpose == VTPM_BLOB_RESTORE;
}

static size_t wrapped_len(enum vtpm_blob_purpose purpose)
{
    return purpose == VTPM_BLOB_SNAPSHOT ? 0 : VTPM_TRANSFER_WRAPPED_LEN;
}

static void put_head(struct writer *writer, const struct vtpm_blob *blob)
{
    put_u32be(writer, MAGIC);
    put_u8(writer, (uint8_t)blob->purpose);
    put_u8(writer, blob->kind);
    put_u16be(writer, 0);
    put_u32be(writer, blob->security_version);
    put_bytes(writer, BYTES_OF(blob->instance));
    put_bytes(writer, BYTES_OF(blob->id));
    put_bytes(writer, BYTES_OF(blob->line));
}

static bool well_formed(const struct vtpm_blob *blob)
{
    return purpose_good((uint8_t)blob->purpose) && blob->kind >= 1 && blob->kind <= VTPM_TRANSFER_KINDS &&
           blob->authority.len >= 1 && blob->authority.len <= VTPM_TRANSFER_AUTHORITY_MAX &&
           blob->wrapped.len == wrapped_len(blob->purpose);
}

static void put_authority(struct writer *writer, const struct vtpm_blob *blob)
{
    if (!well_formed(blob))
        writer_fail(writer, MALFORMED);
    put_head(writer, blob);
    put_u16be(writer, (uint16_t)blob->authority.len);
    put_bytes(writer, blob->authority);
    put_bytes(writer, blob->wrapped);
}

/* The same for a backup and what is restored from it: its content stays as it is. */
static void content_aad(const struct vtpm_blob *blob, uint8_t aad[VTPM_TRANSFER_HEAD_LEN], uint8_t nonce[NONCE_LEN])
{
    struct writer writer = writer_over(aad, VTPM_TRANSFER_HEAD_LEN);
    put_head(&writer, blob);
    aad[PURPOSE_OFF] = 0;
    memset(nonce, 0, NONCE_LEN);
    nonce[NONCE_LEN - 1] = blob->kind;
}

enum status vtpm_blob_seal(struct writer *writer, const struct vtpm_blob *blob,
                           const uint8_t key[VTPM_TRANSFER_KEY_LEN], const struct bytes *state)
{
    const size_t len = state ? state->len : 0, before = writer->len;
    uint8_t aad[VTPM_TRANSFER_HEAD_LEN], nonce[NONCE_LEN];
    struct crypto_aead aead = {0};
    if (!well_formed(blob))
        return MALFORMED;
    if (len > VTPM_TRANSFER_STATE_MAX)
        return NO_ROOM;
    content_aad(blob, aad, nonce);
    put_authority(writer, blob);
    put_u32be(writer, (uint32_t)(1 + len + VTPM_TRANSFER_TAG_LEN));
    /* In place: the text stands where its ciphertext will. */
    uint8_t *text = put_space(writer, 1 + len + VTPM_TRANSFER_TAG_LEN);
    enum status status = text ? OK : NO_ROOM;
    if (status == OK) {
        text[0] = state ? PRESENT : ABSENT;
        if (len)
            memcpy(text + 1, state->data, len);
        struct writer sealed = writer_over(text, 1 + len + VTPM_TRANSFER_TAG_LEN);
        status = crypto_aead_init_for(&aead, CRYPTO_A256GCM, bytes_from(key, VTPM_TRANSFER_KEY_LEN), CRYPTO_SEAL);
        if (status == OK)
            status = crypto_aead_seal(&aead, BYTES_OF(nonce), BYTES_OF(aad), bytes_from(text, 1 + len), &sealed);
        crypto_aead_done(&aead);
        if (status != OK) {
            wipe(text, 1 + len);
            writer->len = before;
        }
    }
    return status;
}

void vtpm_blob_put(struct writer *writer, const struct vtpm_blob *blob)
{
    put_authority(writer, blob);
    put_u32be(writer, (uint32_t)blob->content.len);
    put_bytes(writer, blob->content);
}

static void take_into(struct reader *reader, uint8_t *out, size_t len)
{
    const struct bytes taken = take_bytes(reader, len);
    if (taken.len == len)
        memcpy(out, taken.data, len);
}

void vtpm_blob_take(struct reader *reader, struct vtpm_blob *blob)
{
    struct vtpm_blob got = {0};
    if (take_u32be(reader) != MAGIC)
        reader_fail(reader, UNSUPPORTED);
    const uint8_t purpose = take_u8(reader);
    got.kind = take_u8(reader);
    const uint16_t reserved = take_u16be(reader);
    got.security_version = take_u32be(reader);
    take_into(reader, got.instance, sizeof got.instance);
    take_into(reader, got.id, sizeof got.id);
    take_into(reader, got.line, sizeof got.line);
    if (!purpose_good(purpose) || got.kind < 1 || got.kind > VTPM_TRANSFER_KINDS || reserved)
        reader_fail(reader, MALFORMED);
    got.purpose = (enum vtpm_blob_purpose)purpose;
    const uint16_t authority = take_u16be(reader);
    if (authority == 0)
        reader_fail(reader, MALFORMED);
    if (authority > VTPM_TRANSFER_AUTHORITY_MAX)
        reader_fail(reader, NO_ROOM);
    got.authority = take_bytes(reader, authority);
    got.wrapped = take_bytes(reader, wrapped_len(got.purpose));
    const uint32_t content = take_u32be(reader);
    if (content < 1 + VTPM_TRANSFER_TAG_LEN)
        reader_fail(reader, MALFORMED);
    if (content > 1 + VTPM_TRANSFER_STATE_MAX + VTPM_TRANSFER_TAG_LEN)
        reader_fail(reader, NO_ROOM);
    got.content = take_bytes(reader, content);
    if (reader->status == OK)
        *blob = got;
}

/* Eight bytes of zeros, then the number. */
void vtpm_blob_set_serial(struct vtpm_blob *blob, uint64_t serial)
{
    struct writer writer = writer_over(blob->line, sizeof blob->line);
    put_u64be(&writer, 0);
    put_u64be(&writer, serial);
}

uint64_t vtpm_blob_serial(const struct vtpm_blob *blob)
{
    struct reader reader = reader_over(BYTES_OF(blob->line));
    (void)take_u64be(&reader);
    return blob->purpose == VTPM_BLOB_SNAPSHOT ? 0 : take_u64be(&reader);
}

enum status vtpm_blob_decode(struct bytes encoded, struct vtpm_blob *blob)
{
    struct reader reader = reader_over(encoded);
    struct vtpm_blob got = {0};
    vtpm_blob_take(&reader, &got);
    TRY(reader_end(&reader));
    *blob = got;
    return OK;
}

enum status vtpm_blob_open(const struct vtpm_blob *blob, const uint8_t key[VTPM_TRANSFER_KEY_LEN], struct writer *state,
                           bool *exists)
{
    uint8_t aad[VTPM_TRANSFER_HEAD_LEN], nonce[NONCE_LEN];
    struct crypto_aead aead = {0};
    struct writer out = writer_over(state->data + state->len, state->cap - state->len);
    content_aad(blob, aad, nonce);
    TRY(writer_end(state));
    TRY(crypto_aead_init_for(&aead, CRYPTO_A256GCM, bytes_from(key, VTPM_TRANSFER_KEY_LEN), CRYPTO_OPEN));
    enum status status = crypto_aead_open(&aead, BYTES_OF(nonce), BYTES_OF(aad), blob->content, &out);
    crypto_aead_done(&aead);
    TRY(status);
    const uint8_t mark = out.data[0];
    if (mark > PRESENT || (mark == ABSENT && out.len > 1))
        return MALFORMED;
    memmove(out.data, out.data + 1, out.len - 1);
    state->len += out.len - 1;
    *exists = mark == PRESENT;
    return OK;
}

/* ---- Content keys ---- */

/* The head of all three blobs alike, and the grant. */
static void wrap_aad(const struct vtpm_blob *blob, struct writer *aad)
{
    put_head(aad, blob);
    if (aad->len == VTPM_TRANSFER_HEAD_LEN)
        aad->data[KIND_OFF] = 0;
    put_bytes(aad, blob->authority);
}

#define WRAP_INFO "bastide vtpm transfer 1"

enum status vtpm_blob_wrap(const struct vtpm_blob *blob, const struct crypto_key *from, const struct crypto_public *to,
                           const uint8_t key[VTPM_TRANSFER_KEY_LEN], uint8_t wrapped[VTPM_TRANSFER_WRAPPED_LEN])
{
    uint8_t aad_room[VTPM_TRANSFER_HEAD_LEN + VTPM_TRANSFER_AUTHORITY_MAX], sealed[VTPM_TRANSFER_WRAPPED_LEN];
    struct writer aad = writer_over(aad_room, sizeof aad_room), out = writer_over(sealed, sizeof sealed);
    wrap_aad(blob, &aad);
    TRY(writer_end(&aad));
    const struct hpke_context context = {HPKE_A256GCM, bytes_from_text(WRAP_INFO), writer_bytes(&aad)};
    TRY(hpke_seal(from, to, &context, bytes_from(key, VTPM_TRANSFER_KEY_LEN), &out));
    memcpy(wrapped, sealed, sizeof sealed);
    return OK;
}

enum status vtpm_blob_unwrap(const struct vtpm_blob *blob, const struct crypto_key *to,
                             const struct crypto_public *from, uint8_t key[VTPM_TRANSFER_KEY_LEN])
{
    uint8_t aad_room[VTPM_TRANSFER_HEAD_LEN + VTPM_TRANSFER_AUTHORITY_MAX];
    SECRET opened = {.len = 0};
    struct writer aad = writer_over(aad_room, sizeof aad_room), out = writer_over(opened.data, sizeof opened.data);
    wrap_aad(blob, &aad);
    TRY(writer_end(&aad));
    const struct hpke_context context = {HPKE_A256GCM, bytes_from_text(WRAP_INFO), writer_bytes(&aad)};
    TRY(hpke_open(to, from, &context, blob->wrapped, &out));
    if (out.len != VTPM_TRANSFER_KEY_LEN)
        return MALFORMED;
    memcpy(key, opened.data, VTPM_TRANSFER_KEY_LEN);
    return OK;
}

/* ---- Bundles ---- */

static bool same_transfer(const struct vtpm_blob *a, const struct vtpm_blob *b)
{
    return a->purpose == b->purpose && a->security_version == b->security_version &&
           memcmp(a->instance, b->instance, sizeof a->instance) == 0 && memcmp(a->id, b->id, sizeof a->id) == 0 &&
           bytes_equal(a->authority, b->authority) && bytes_equal(a->wrapped, b->wrapped);
}

enum status vtpm_bundle_decode(struct bytes encoded, struct vtpm_blob blobs[VTPM_TRANSFER_KINDS])
{
    struct reader reader = reader_over(encoded);
    struct vtpm_blob got[VTPM_TRANSFER_KINDS] = {{0}};
    for (size_t i = 0; i < VTPM_TRANSFER_KINDS; i++) {
        vtpm_blob_take(&reader, &got[i]);
        if (reader.status == OK && (got[i].kind != i + 1 || !same_transfer(&got[i], &got[0])))
            reader_fail(&reader, MALFORMED);
    }
    TRY(reader_end(&reader));
    memcpy(blobs, got, sizeof got);
    return OK;
}
