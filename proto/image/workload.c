/* The workload manifest: [[wasm hash, object hash, policy hash]…] in the owner's COSE_Sign1. */
#include "image_internal.h"

#include "cbor.h"
#include "cose.h"

#include <string.h>

#define HASHES 3

enum status image_workload_sign(struct writer *writer, const struct crypto_key *owner,
                                const struct image_workload *workload)
{
    uint8_t payload[IMAGE_WORKLOAD_MAX];
    const struct cose_headers headers = {0};
    struct writer body = writer_over(payload, sizeof payload);
    if (workload->count == 0 || workload->count > IMAGE_TASKS_MAX)
        return MALFORMED;
    cbor_put_array(&body, workload->count);
    for (size_t i = 0; i < workload->count; i++) {
        cbor_put_array(&body, HASHES);
        cbor_put_bytes(&body, BYTES_OF(workload->tasks[i].wasm));
        cbor_put_bytes(&body, BYTES_OF(workload->tasks[i].object));
        cbor_put_bytes(&body, BYTES_OF(workload->tasks[i].policy));
    }
    TRY(writer_end(&body));
    return cose_sign1_encode(writer, owner, &headers, (struct bytes){0}, writer_bytes(&body));
}

static enum status decode(struct bytes payload, struct image_workload *workload)
{
    struct reader reader = reader_over(payload);
    workload->count = cbor_take_array(&reader);
    if (workload->count == 0)
        reader_fail(&reader, MALFORMED);
    if (workload->count > IMAGE_TASKS_MAX)
        reader_fail(&reader, NO_ROOM);
    for (size_t i = 0; reader.status == OK && i < workload->count; i++) {
        if (cbor_take_array(&reader) != HASHES)
            reader_fail(&reader, MALFORMED);
        cbor_take_fixed(&reader, workload->tasks[i].wasm, IMAGE_HASH_LEN);
        cbor_take_fixed(&reader, workload->tasks[i].object, IMAGE_HASH_LEN);
        cbor_take_fixed(&reader, workload->tasks[i].policy, IMAGE_HASH_LEN);
    }
    return reader_end(&reader);
}

enum status image_workload_open(struct bytes sign1, const struct crypto_public *owner, struct image_workload *workload)
{
    struct bytes payload = {0};
    struct image_workload got = {0};
    if (sign1.len == 0) {
        *workload = got;
        return OK;
    }
    if (sign1.len > IMAGE_WORKLOAD_MAX)
        return NO_ROOM;
    TRY(cose_sign1_open(sign1, owner, &payload));
    TRY(decode(payload, &got));
    TRY(image_sha256(payload, got.hash));
    *workload = got;
    return OK;
}
