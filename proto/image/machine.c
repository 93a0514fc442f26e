/* The machine policy: {1: profile, 2: site, 3: serial, 4: tenant, 5: snapshots, 6: hypervisor, 7: launch, 8:
 * [[SHA-256…] for each part in the order of enum image_part], 9: limit of the state, unless there is none} in the
 * owner's COSE_Sign1. */
#include "image_internal.h"

#include "cbor.h"
#include "cose.h"

#include <string.h>

#define PROFILE "bastide machine 1"
#define FIELDS 8 /* without a limit */

const char *const image_part_words[IMAGE_PARTS] = {"firmware", "kernel", "initrd", "cmdline", "disk"};
const char *const image_launch_words[IMAGE_LAUNCH_POLICIES] = {"none", "hash", "hash-and-enforce"};

static bool machine_good(const struct image_machine *machine)
{
    size_t allowed = 0;
    if (machine->state_max && (machine->state_max < IMAGE_STATE_MIN || machine->state_max > IMAGE_STATE_MAX))
        return false;
    if (machine->serial == 0 || machine->serial > INT64_MAX ||
        memchr(machine->tenant, '\0', sizeof machine->tenant) == NULL || machine->launch >= IMAGE_LAUNCH_POLICIES)
        return false;
    for (size_t part = 0; part < IMAGE_PARTS; part++) {
        if (machine->allowed_count[part] > IMAGE_ALLOWED_MAX)
            return false;
        allowed += machine->allowed_count[part];
    }
    return machine->launch == IMAGE_LAUNCH_ENFORCE ? allowed > 0 : machine->launch == IMAGE_LAUNCH_HASH || allowed == 0;
}

enum status image_machine_sign(struct writer *writer, const struct crypto_key *owner,
                               const struct image_machine *machine)
{
    uint8_t payload[IMAGE_WORKLOAD_MAX];
    const struct cose_headers headers = {0};
    struct writer body = writer_over(payload, sizeof payload);
    if (!machine_good(machine))
        return MALFORMED;
    cbor_put_map(&body, FIELDS + (machine->state_max != 0));
    cbor_put_uint(&body, 1);
    cbor_put_text(&body, PROFILE);
    cbor_put_uint(&body, 2);
    cbor_put_bytes(&body, BYTES_OF(machine->site));
    cbor_put_uint(&body, 3);
    cbor_put_uint(&body, machine->serial);
    cbor_put_uint(&body, 4);
    cbor_put_text(&body, machine->tenant);
    cbor_put_uint(&body, 5);
    cbor_put_bool(&body, machine->snapshots);
    cbor_put_uint(&body, 6);
    cbor_put_bool(&body, machine->hypervisor);
    cbor_put_uint(&body, 7);
    cbor_put_uint(&body, machine->launch);
    cbor_put_uint(&body, 8);
    cbor_put_array(&body, IMAGE_PARTS);
    for (size_t part = 0; part < IMAGE_PARTS; part++) {
        cbor_put_array(&body, machine->allowed_count[part]);
        for (size_t i = 0; i < machine->allowed_count[part]; i++)
            cbor_put_bytes(&body, BYTES_OF(machine->allowed[part][i]));
    }
    if (machine->state_max) {
        cbor_put_uint(&body, 9);
        cbor_put_uint(&body, machine->state_max);
    }
    TRY(writer_end(&body));
    return cose_sign1_encode(writer, owner, &headers, (struct bytes){0}, writer_bytes(&body));
}

static void expect(struct reader *reader, bool holds, enum status otherwise)
{
    if (!holds)
        reader_fail(reader, otherwise);
}

static void take_tenant(struct reader *reader, char tenant[IMAGE_TENANT_MAX + 1])
{
    struct bytes text = cbor_take_text(reader);
    expect(reader, text.len <= IMAGE_TENANT_MAX, NO_ROOM);
    expect(reader, text.len == 0 || memchr(text.data, '\0', text.len) == NULL, MALFORMED);
    if (reader->status == OK && text.len)
        memcpy(tenant, text.data, text.len);
}

static void take_allowed(struct reader *reader, struct image_machine *machine)
{
    expect(reader, cbor_take_array(reader) == IMAGE_PARTS, MALFORMED);
    for (size_t part = 0; part < IMAGE_PARTS && reader->status == OK; part++) {
        machine->allowed_count[part] = cbor_take_array(reader);
        expect(reader, machine->allowed_count[part] <= IMAGE_ALLOWED_MAX, NO_ROOM);
        for (size_t i = 0; reader->status == OK && i < machine->allowed_count[part]; i++)
            cbor_take_fixed(reader, machine->allowed[part][i], IMAGE_HASH_LEN);
    }
}

static uint32_t take_state_max(struct reader *reader)
{
    cbor_take_key(reader, 9);
    const uint64_t max = cbor_take_uint(reader);
    expect(reader, max >= IMAGE_STATE_MIN && max <= IMAGE_STATE_MAX, NO_ROOM);
    return (uint32_t)max;
}

static enum status decode(struct bytes payload, struct image_machine *machine)
{
    struct reader reader = reader_over(payload);
    const size_t fields = cbor_take_map(&reader);
    expect(&reader, fields == FIELDS || fields == FIELDS + 1, MALFORMED);
    cbor_take_key(&reader, 1);
    expect(&reader, bytes_equal(cbor_take_text(&reader), bytes_from_text(PROFILE)), MALFORMED);
    cbor_take_key(&reader, 2);
    cbor_take_fixed(&reader, machine->site, sizeof machine->site);
    cbor_take_key(&reader, 3);
    machine->serial = cbor_take_uint(&reader);
    cbor_take_key(&reader, 4);
    take_tenant(&reader, machine->tenant);
    cbor_take_key(&reader, 5);
    machine->snapshots = cbor_take_bool(&reader);
    cbor_take_key(&reader, 6);
    machine->hypervisor = cbor_take_bool(&reader);
    cbor_take_key(&reader, 7);
    uint64_t launch = cbor_take_uint(&reader);
    expect(&reader, launch < IMAGE_LAUNCH_POLICIES, UNSUPPORTED);
    machine->launch = (enum image_launch_policy)launch;
    cbor_take_key(&reader, 8);
    take_allowed(&reader, machine);
    if (fields > FIELDS)
        machine->state_max = take_state_max(&reader);
    TRY(reader_end(&reader));
    return machine_good(machine) ? OK : MALFORMED;
}

enum status image_machine_open(struct bytes sign1, const struct crypto_public *owner,
                               const uint8_t site[IMAGE_SITE_LEN], struct image_machine *machine)
{
    struct bytes payload = {0};
    struct image_machine got = {0};
    if (sign1.len == 0) {
        *machine = got;
        return OK;
    }
    if (sign1.len > IMAGE_WORKLOAD_MAX)
        return NO_ROOM;
    TRY(cose_sign1_open(sign1, owner, &payload));
    TRY(decode(payload, &got));
    if (memcmp(got.site, site, sizeof got.site) != 0)
        return DENIED;
    TRY(image_sha256(payload, got.hash));
    *machine = got;
    return OK;
}

enum status image_workload_kind(struct bytes sign1, enum image_workload_kind *kind)
{
    struct cose_sign1 message;
    if (sign1.len == 0) {
        *kind = IMAGE_NO_WORKLOAD;
        return OK;
    }
    if (sign1.len > IMAGE_WORKLOAD_MAX)
        return NO_ROOM;
    TRY(cose_sign1_decode(sign1, &message));
    const struct reader reader = reader_over(message.payload);
    if (message.detached || (cbor_peek_type(&reader) != CBOR_ARRAY && cbor_peek_type(&reader) != CBOR_MAP))
        return MALFORMED;
    *kind = cbor_peek_type(&reader) == CBOR_ARRAY ? IMAGE_TASKS : IMAGE_MACHINE;
    return OK;
}
