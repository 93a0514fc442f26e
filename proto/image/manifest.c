/* The manifest: {1: profile, 2: product, 3: security version, 4: the signer's COSE_Key, 5: [[name, kind, length,
 * SHA-256]…]} in a COSE_Sign1. The key inside says who signed; whether that signer is wanted is not decided here. */
#include "image_internal.h"

#include "cbor.h"
#include "cose.h"

#include <string.h>

#define PROFILE "bastide image 1"
#define ENTRIES 5
#define FIELDS 4

/* Letters, digits, . _ - ; not hidden and not a path. */
static bool name_good(const char *name)
{
    size_t len = strnlen(name, IMAGE_NAME_MAX + 1);
    if (len == 0 || len > IMAGE_NAME_MAX || name[0] == '.')
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
              c == '-'))
            return false;
    }
    return strcmp(name, IMAGE_MANIFEST_NAME) != 0;
}

/* The program first and alone of its kind; each module followed by its policy; no name twice. */
static bool files_good(const struct image_manifest *manifest)
{
    if (manifest->file_count == 0 || manifest->file_count > IMAGE_FILES_MAX)
        return false;
    for (size_t i = 0; i < manifest->file_count; i++) {
        enum image_file_kind wanted = i == 0 ? IMAGE_PROGRAM : i % 2 ? IMAGE_MODULE : IMAGE_POLICY;
        if (manifest->files[i].kind != wanted || !name_good(manifest->files[i].name))
            return false;
        for (size_t before = 0; before < i; before++)
            if (strcmp(manifest->files[i].name, manifest->files[before].name) == 0)
                return false;
    }
    return manifest->file_count % 2 == 1;
}

static bool manifest_good(const struct image_manifest *manifest)
{
    size_t len = strnlen(manifest->product, sizeof manifest->product);
    return len > 0 && len <= IMAGE_PRODUCT_MAX && manifest->signer.curve == CRYPTO_P256 && files_good(manifest);
}

static void put_file(struct writer *writer, const struct image_file *file)
{
    cbor_put_array(writer, FIELDS);
    cbor_put_text(writer, file->name);
    cbor_put_uint(writer, file->kind);
    cbor_put_uint(writer, file->len);
    cbor_put_bytes(writer, BYTES_OF(file->hash));
}

static void put_manifest(struct writer *writer, const struct image_manifest *manifest)
{
    cbor_put_map(writer, ENTRIES);
    cbor_put_uint(writer, 1);
    cbor_put_text(writer, PROFILE);
    cbor_put_uint(writer, 2);
    cbor_put_text(writer, manifest->product);
    cbor_put_uint(writer, 3);
    cbor_put_uint(writer, manifest->security_version);
    cbor_put_uint(writer, 4);
    cose_put_key(writer, &manifest->signer, (struct bytes){0});
    cbor_put_uint(writer, 5);
    cbor_put_array(writer, manifest->file_count);
    for (size_t i = 0; i < manifest->file_count; i++)
        put_file(writer, &manifest->files[i]);
}

enum status image_manifest_sign(struct writer *writer, const struct crypto_key *signer,
                                const struct image_manifest *manifest)
{
    uint8_t payload[IMAGE_MANIFEST_MAX];
    const struct cose_headers headers = {0};
    struct writer body = writer_over(payload, sizeof payload);
    struct image_manifest own = *manifest;
    own.signer = signer->public_key;
    if (!manifest_good(&own))
        return MALFORMED;
    put_manifest(&body, &own);
    TRY(writer_end(&body));
    return cose_sign1_encode(writer, signer, &headers, (struct bytes){0}, writer_bytes(&body));
}

static void take_text(struct reader *reader, char *out, size_t cap)
{
    struct bytes text = cbor_take_text(reader);
    if (text.len >= cap || (text.len && memchr(text.data, 0, text.len))) {
        reader_fail(reader, MALFORMED);
        return;
    }
    if (text.len)
        memcpy(out, text.data, text.len);
    out[text.len] = 0;
}

static void take_file(struct reader *reader, struct image_file *file)
{
    if (cbor_take_array(reader) != FIELDS)
        reader_fail(reader, MALFORMED);
    take_text(reader, file->name, sizeof file->name);
    uint64_t kind = cbor_take_uint(reader);
    file->kind = kind <= IMAGE_POLICY ? (enum image_file_kind)kind : 0;
    file->len = cbor_take_uint(reader);
    cbor_take_fixed(reader, file->hash, sizeof file->hash);
}

static enum status decode(struct bytes payload, struct image_manifest *manifest)
{
    struct reader reader = reader_over(payload);
    if (cbor_take_map(&reader) != ENTRIES)
        reader_fail(&reader, MALFORMED);
    cbor_take_key(&reader, 1);
    if (!bytes_equal(cbor_take_text(&reader), bytes_from_text(PROFILE)))
        reader_fail(&reader, UNSUPPORTED);
    cbor_take_key(&reader, 2);
    take_text(&reader, manifest->product, sizeof manifest->product);
    cbor_take_key(&reader, 3);
    uint64_t version = cbor_take_uint(&reader);
    manifest->security_version = (uint32_t)version;
    if (version > UINT32_MAX)
        reader_fail(&reader, MALFORMED);
    cbor_take_key(&reader, 4);
    struct bytes kid = {0};
    if (cose_take_key(&reader, &manifest->signer, &kid) != OK || kid.len)
        reader_fail(&reader, MALFORMED);
    cbor_take_key(&reader, 5);
    manifest->file_count = cbor_take_array(&reader);
    if (manifest->file_count > IMAGE_FILES_MAX)
        reader_fail(&reader, NO_ROOM);
    for (size_t i = 0; reader.status == OK && i < manifest->file_count; i++)
        take_file(&reader, &manifest->files[i]);
    TRY(reader_end(&reader));
    return manifest_good(manifest) ? OK : MALFORMED;
}

enum status image_sha256(struct bytes bytes, uint8_t hash[IMAGE_HASH_LEN])
{
    uint8_t digest[CRYPTO_HASH_MAX];
    TRY(crypto_hash(CRYPTO_SHA256, &bytes, 1, digest));
    memcpy(hash, digest, IMAGE_HASH_LEN);
    return OK;
}

enum status image_manifest_open(struct bytes sign1, struct image_manifest *manifest,
                                uint8_t measurement[IMAGE_HASH_LEN])
{
    struct cose_sign1 message;
    struct image_manifest got = {0};
    if (sign1.len > IMAGE_MANIFEST_MAX)
        return NO_ROOM;
    TRY(cose_sign1_decode(sign1, &message));
    if (message.detached)
        return MALFORMED;
    /* The key must be read before it can verify; nothing else of the payload counts until it has. */
    TRY(decode(message.payload, &got));
    TRY(cose_sign1_verify(&message, &got.signer, (struct bytes){0}));
    TRY(image_sha256(message.payload, measurement));
    *manifest = got;
    return OK;
}

void image_signer_hash(const struct image_manifest *manifest, uint8_t hash[IMAGE_HASH_LEN])
{
    if (image_sha256(crypto_public_bytes(&manifest->signer), hash) != OK)
        memset(hash, 0, IMAGE_HASH_LEN);
}

void image_seal_signer(const struct image_manifest *manifest, uint8_t hash[IMAGE_HASH_LEN])
{
    uint8_t signer[IMAGE_HASH_LEN], digest[CRYPTO_HASH_MAX] = {0};
    image_signer_hash(manifest, signer);
    const struct bytes parts[] = {BYTES_OF(signer), bytes_from_text(manifest->product)};
    if (crypto_hash(CRYPTO_SHA256, parts, 2, digest) != OK)
        memset(digest, 0, sizeof digest);
    memcpy(hash, digest, IMAGE_HASH_LEN);
}

enum status image_file_check(const struct image_file *file, struct bytes content)
{
    uint8_t hash[IMAGE_HASH_LEN];
    if (content.len != file->len)
        return AUTH;
    TRY(image_sha256(content, hash));
    return memcmp(hash, file->hash, sizeof hash) == 0 ? OK : AUTH;
}
