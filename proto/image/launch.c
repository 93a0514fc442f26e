/* What a VM is launched from: the record that is hashed, and whether a machine policy allows it. */
#include "image_internal.h"

#include <string.h>

void image_put_launch(struct writer *writer, const struct image_launch *launch)
{
    static const uint8_t none[IMAGE_HASH_LEN];
    for (size_t part = 0; part < IMAGE_PARTS; part++) {
        put_u8(writer, launch->given[part] ? 1 : 0);
        put_bytes(writer, launch->given[part] ? BYTES_OF(launch->hash[part]) : BYTES_OF(none));
    }
}

enum status image_launch_decode(struct bytes record, struct image_launch *launch)
{
    static const uint8_t none[IMAGE_HASH_LEN];
    struct image_launch got = {0};
    struct reader reader = reader_over(record);
    size_t count = 0;
    for (size_t part = 0; part < IMAGE_PARTS; part++) {
        const uint8_t given = take_u8(&reader);
        const struct bytes hash = take_bytes(&reader, IMAGE_HASH_LEN);
        if (given > 1 || (given == 0 && !bytes_equal(hash, BYTES_OF(none))))
            reader_fail(&reader, MALFORMED);
        if (reader.status != OK)
            break;
        got.given[part] = given;
        memcpy(got.hash[part], hash.data, sizeof got.hash[part]);
        count += given;
    }
    TRY(reader_end(&reader));
    if (count == 0)
        return MALFORMED;
    *launch = got;
    return OK;
}

enum status image_launch_digest(const struct image_launch *launch, uint8_t digest[IMAGE_HASH_LEN])
{
    uint8_t record[IMAGE_LAUNCH_LEN];
    struct writer writer = writer_over(record, sizeof record);
    image_put_launch(&writer, launch);
    TRY(writer_end(&writer));
    return image_sha256(writer_bytes(&writer), digest);
}

static bool is_allowed(const struct image_machine *machine, const struct image_launch *launch, size_t part)
{
    if (!launch->given[part] || machine->allowed_count[part] == 0)
        return !launch->given[part] && machine->allowed_count[part] == 0;
    for (size_t i = 0; i < machine->allowed_count[part]; i++)
        if (memcmp(machine->allowed[part][i], launch->hash[part], IMAGE_HASH_LEN) == 0)
            return true;
    return false;
}

unsigned image_launch_refused(const struct image_machine *machine, const struct image_launch *launch)
{
    unsigned refused = 0;
    for (size_t part = 0; part < IMAGE_PARTS; part++)
        if (!is_allowed(machine, launch, part))
            refused |= 1u << part;
    return refused;
}
