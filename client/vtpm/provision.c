/* NV indices by TPM commands (Part 3 §31), each with one empty password. Nothing in here is secret. */
#include "provision.h"

#define TAG_NO_SESSIONS 0x8001u
#define TAG_SESSIONS 0x8002u
#define CC_NV_DEFINE_SPACE 0x12au
#define CC_NV_WRITE 0x137u
#define CC_NV_WRITE_LOCK 0x138u
#define CC_NV_READ 0x14eu
#define CC_NV_READ_PUBLIC 0x169u
#define RH_PLATFORM 0x4000000cu
#define RS_PASSWORD 0x40000009u
#define RC_NO_SUCH_INDEX 0x18bu /* TPM_RC_HANDLE of the first handle */
#define RC_RETRY 0x922u
#define ALG_SHA256 0x000bu
#define TRIES 8
#define PIECE 512u

/* PPWRITE, WRITEDEFINE, PPREAD, OWNERREAD, AUTHREAD, NO_DA, PLATFORMCREATE; and what becomes of it. */
#define ATTRIBUTES 0x42072001u
#define POLICY_DELETE 0x00000400u /* and with a policy that no session has: deleted by nobody */
#define WRITE_LOCKED 0x00000800u
#define WRITTEN 0x20000000u

static void put_command(struct writer *writer, uint32_t code, const uint32_t *handles, size_t count, bool password,
                        struct bytes parameters)
{
    put_u16be(writer, password ? TAG_SESSIONS : TAG_NO_SESSIONS);
    put_u32be(writer, (uint32_t)(10 + 4 * count + (password ? 13 : 0) + parameters.len));
    put_u32be(writer, code);
    for (size_t i = 0; i < count; i++)
        put_u32be(writer, handles[i]);
    if (password) {
        put_u32be(writer, 9);
        put_u32be(writer, RS_PASSWORD);
        put_u16be(writer, 0);
        put_u8(writer, 0);
        put_u16be(writer, 0);
    }
    put_bytes(writer, parameters);
}

/* The response's code, and what follows its header; borrows from `room`. */
static enum status ask_once(struct provision *provision, struct bytes command, uint8_t room[PROVISION_RESPONSE_MAX],
                            uint32_t *code, struct reader *rest)
{
    struct writer response = writer_over(room, PROVISION_RESPONSE_MAX);
    TRY(provision->ask(provision->user, command, &response));
    TRY(writer_end(&response));
    struct reader reader = reader_over(writer_bytes(&response));
    (void)take_u16be(&reader);
    const uint32_t len = take_u32be(&reader);
    *code = take_u32be(&reader);
    if (reader.status != OK || len != response.len)
        return MALFORMED;
    *rest = reader;
    return OK;
}

static enum status ask(struct provision *provision, struct writer *command, uint8_t room[PROVISION_RESPONSE_MAX],
                       struct reader *rest)
{
    uint32_t code = RC_RETRY;
    TRY(writer_end(command));
    for (int i = 0; i < TRIES && code == RC_RETRY; i++)
        TRY(ask_once(provision, writer_bytes(command), room, &code, rest));
    provision->refused = code;
    return code == 0 ? OK : DENIED;
}

struct index {
    uint32_t attributes;
    uint16_t len;
};

/* NOT_FOUND: there is none. */
static enum status read_public(struct provision *provision, uint32_t index, struct index *found)
{
    uint8_t room[PROVISION_RESPONSE_MAX], command_room[32];
    struct writer command = writer_over(command_room, sizeof command_room);
    struct reader reader;
    put_command(&command, CC_NV_READ_PUBLIC, &index, 1, false, (struct bytes){0});
    enum status status = ask(provision, &command, room, &reader);
    if (status == DENIED && provision->refused == RC_NO_SUCH_INDEX) {
        provision->refused = 0;
        return NOT_FOUND;
    }
    TRY(status);
    reader = reader_over(take_bytes(&reader, take_u16be(&reader)));
    const uint32_t named = take_u32be(&reader);
    const uint16_t name_alg = take_u16be(&reader);
    struct index got = {.attributes = take_u32be(&reader)};
    const uint16_t policy_len = take_u16be(&reader);
    (void)take_bytes(&reader, policy_len);
    got.len = take_u16be(&reader);
    if (reader_end(&reader) != OK)
        return MALFORMED;
    *found = got;
    return named == index && name_alg == ALG_SHA256 && policy_len == 0 && got.len <= PROVISION_CERTIFICATE_MAX ? OK
                                                                                                               : DENIED;
}

static enum status define(struct provision *provision, uint32_t index, uint32_t attributes, size_t len)
{
    static const uint32_t platform = RH_PLATFORM;
    uint8_t room[PROVISION_RESPONSE_MAX], command_room[64], parameters_room[32];
    struct writer command = writer_over(command_room, sizeof command_room);
    struct writer parameters = writer_over(parameters_room, sizeof parameters_room);
    struct reader reader;
    put_u16be(&parameters, 0);  /* an empty authValue */
    put_u16be(&parameters, 14); /* TPMS_NV_PUBLIC */
    put_u32be(&parameters, index);
    put_u16be(&parameters, ALG_SHA256);
    put_u32be(&parameters, attributes);
    put_u16be(&parameters, 0); /* no policy */
    put_u16be(&parameters, (uint16_t)len);
    put_command(&command, CC_NV_DEFINE_SPACE, &platform, 1, true, writer_bytes(&parameters));
    return ask(provision, &command, room, &reader);
}

static enum status write_piece(struct provision *provision, uint32_t index, struct bytes piece, size_t off)
{
    const uint32_t handles[] = {RH_PLATFORM, index};
    uint8_t room[PROVISION_RESPONSE_MAX], command_room[PROVISION_COMMAND_MAX], parameters_room[PIECE + 4];
    struct writer command = writer_over(command_room, sizeof command_room);
    struct writer parameters = writer_over(parameters_room, sizeof parameters_room);
    struct reader reader;
    put_u16be(&parameters, (uint16_t)piece.len);
    put_bytes(&parameters, piece);
    put_u16be(&parameters, (uint16_t)off);
    put_command(&command, CC_NV_WRITE, handles, 2, true, writer_bytes(&parameters));
    return ask(provision, &command, room, &reader);
}

static enum status lock(struct provision *provision, uint32_t index)
{
    const uint32_t handles[] = {RH_PLATFORM, index};
    uint8_t room[PROVISION_RESPONSE_MAX], command_room[64];
    struct writer command = writer_over(command_room, sizeof command_room);
    struct reader reader;
    put_command(&command, CC_NV_WRITE_LOCK, handles, 2, true, (struct bytes){0});
    return ask(provision, &command, room, &reader);
}

/* By the index's own empty password, as anybody may. */
static enum status read_piece(struct provision *provision, uint32_t index, size_t len, size_t off, struct writer *to)
{
    const uint32_t handles[] = {index, index};
    uint8_t room[PROVISION_RESPONSE_MAX], command_room[64], parameters_room[4];
    struct writer command = writer_over(command_room, sizeof command_room);
    struct writer parameters = writer_over(parameters_room, sizeof parameters_room);
    struct reader reader;
    put_u16be(&parameters, (uint16_t)len);
    put_u16be(&parameters, (uint16_t)off);
    put_command(&command, CC_NV_READ, handles, 2, true, writer_bytes(&parameters));
    TRY(ask(provision, &command, room, &reader));
    (void)take_u32be(&reader);
    struct bytes piece = take_bytes(&reader, take_u16be(&reader));
    if (reader.status != OK || piece.len != len)
        return MALFORMED;
    put_bytes(to, piece);
    return to->status;
}

static enum status read_all(struct provision *provision, uint32_t index, size_t len, struct writer *to)
{
    for (size_t off = 0; off < len; off += PIECE)
        TRY(read_piece(provision, index, len - off < PIECE ? len - off : PIECE, off, to));
    return OK;
}

enum status provision_read(struct provision *provision, uint32_t index, struct writer *certificate)
{
    struct index found;
    struct writer writer = *certificate;
    provision->refused = 0;
    TRY(read_public(provision, index, &found));
    if (!(found.attributes & WRITTEN) || !(found.attributes & WRITE_LOCKED))
        return NOT_FOUND;
    TRY(read_all(provision, index, found.len, &writer));
    *certificate = writer;
    return OK;
}

static enum status is_there(struct provision *provision, uint32_t index, struct bytes certificate)
{
    uint8_t room[PROVISION_CERTIFICATE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    TRY(provision_read(provision, index, &writer));
    return bytes_equal(certificate, writer_bytes(&writer)) ? OK : DENIED;
}

static enum status put(struct provision *provision, uint32_t index, uint32_t attributes, struct bytes content)
{
    struct index found = {attributes, (uint16_t)content.len};
    provision->refused = 0;
    if (content.len == 0 || content.len > PROVISION_CERTIFICATE_MAX)
        return NO_ROOM;
    enum status status = read_public(provision, index, &found);
    if (status == NOT_FOUND)
        status = define(provision, index, attributes, content.len);
    TRY(status);
    if ((found.attributes & ~(WRITTEN | WRITE_LOCKED)) != attributes || found.len != content.len)
        return DENIED;
    if (!(found.attributes & WRITE_LOCKED)) {
        for (size_t off = 0; off < content.len; off += PIECE) {
            size_t len = content.len - off < PIECE ? content.len - off : PIECE;
            TRY(write_piece(provision, index, bytes_slice(content, off, len), off));
        }
        TRY(lock(provision, index));
    }
    return is_there(provision, index, content);
}

enum status provision_certificate(struct provision *provision, uint32_t index, struct bytes certificate)
{
    return put(provision, index, ATTRIBUTES, certificate);
}

enum status provision_tag(struct provision *provision, struct bytes tag)
{
    for (uint32_t slot = 0; slot < PROVISION_TAGS_MAX; slot++) {
        enum status status = put(provision, PROVISION_TAG_INDEX + slot, ATTRIBUTES | POLICY_DELETE, tag);
        if (status != DENIED || provision->refused)
            return status;
    }
    return NO_ROOM; /* each slot has another */
}

enum status provision_read_tag(struct provision *provision, uint32_t slot, struct writer *tag)
{
    return slot < PROVISION_TAGS_MAX ? provision_read(provision, PROVISION_TAG_INDEX + slot, tag) : NOT_FOUND;
}
