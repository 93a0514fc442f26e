/* The hub's handshake endpoint: an input is a list of messages 1 and 3 of honest initiators, bent as it says or whole,
 * of messages it makes up, and of time that passes. Only a whole message 3, once, opens a session; what is kept of the
 * others is bounded; the owner's own session outlives all of it. */
#include "../hub_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ITEMS_MAX 12
#define INPUTS_PER_LAUNCH 200

static struct rig rig;
static struct rig_peer owner;
static struct rig_handshake handshake;
static uint8_t message_2_room[4096];
static size_t message_2_len; /* 0: no handshake is half done */

static void must(bool held)
{
    if (!held)
        abort();
}

static int64_t sessions(int64_t *handshakes)
{
    json_t *json = rig_expect(&rig, &owner, COAP_CONTENT, COAP_GET, "status", NULL, NULL);
    int64_t count = json_integer_value(json_object_get(json, "sessions"));
    *handshakes = json_integer_value(json_object_get(json, "handshakes"));
    json_decref(json);
    return count;
}

/* {how often, {where, by what}…, cut}: what is left of a message when the input has been at it. True: it is whole. */
static bool bend(struct reader *input, uint8_t *message, size_t *len)
{
    size_t whole = *len;
    uint8_t copy[4096];
    must(whole <= sizeof copy);
    memcpy(copy, message, whole);
    for (unsigned left = take_u8(input) % 4; left > 0; left--) {
        uint16_t at = take_u16le(input);
        message[at % whole] ^= take_u8(input);
    }
    uint8_t cut = take_u8(input);
    if (cut & 1)
        *len -= (size_t)(cut >> 1) % (whole + 1);
    return *len == whole && memcmp(copy, message, whole) == 0;
}

static void begin_handshake(struct reader *input)
{
    uint8_t room[4096];
    struct bytes answer;
    edhoc_done(&handshake.edhoc);
    handshake = (struct rig_handshake){0};
    message_2_len = 0;
    struct bytes message_1 = rig_message_1(&handshake);
    size_t len = message_1.len;
    memcpy(room, message_1.data, len);
    bool whole = bend(input, room, &len);
    uint8_t code = rig_edhoc(&rig, bytes_from(room, len), &answer);
    must(!whole || code == COAP_CHANGED || code == COAP_UNAVAILABLE);
    if (whole && code == COAP_CHANGED)
        memcpy(message_2_room, answer.data, message_2_len = answer.len);
}

static void end_handshake(struct reader *input)
{
    static const uint8_t nonce[8] = "a nonce";
    uint8_t room[4096];
    struct bytes answer;
    int64_t kept, before = sessions(&kept);
    if (message_2_len == 0)
        return;
    const struct edhoc_credential own = rig_owner_credential();
    struct bytes message_3 =
        rig_message_3(&handshake, bytes_from(message_2_room, message_2_len), &own, BYTES_OF(nonce));
    size_t len = message_3.len;
    message_2_len = 0;
    memcpy(room, message_3.data, len);
    bool whole = bend(input, room, &len);
    uint8_t code = rig_edhoc(&rig, bytes_from(room, len), &answer);
    must(whole || code != COAP_CHANGED || room[0] == 0xf5);
    bool opened = whole && code == COAP_CHANGED;
    must(sessions(&kept) <= before + opened);
    memcpy(room, message_3.data, len = message_3.len); /* once more, whole: there is nothing it could go on with */
    if (opened)
        must(rig_edhoc(&rig, bytes_from(room, len), &answer) != COAP_CHANGED);
}

static void make_up(struct reader *input)
{
    struct bytes answer;
    uint16_t len = take_u16le(input);
    struct bytes message = take_bytes(input, len < input->rest.len ? len : input->rest.len);
    int64_t kept, before = sessions(&kept);
    (void)rig_edhoc(&rig, message, &answer);
    must(sessions(&kept) == before);
}

static void relaunch(void)
{
    static unsigned inputs;
    if (inputs == 0)
        rig_init(&rig);
    if (inputs++ % INPUTS_PER_LAUNCH != 0)
        return;
    message_2_len = 0;
    must(rig_start(&rig) == 0);
    rig_peer_done(&owner);
    rig_meet(&rig, &owner);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    relaunch();
    struct reader input = reader_over(bytes_from(data, size));
    for (int i = 0; i < ITEMS_MAX && input.rest.len > 0; i++) {
        uint8_t kind = take_u8(&input);
        if (kind % 4 == 0)
            begin_handshake(&input);
        else if (kind % 4 == 1)
            end_handshake(&input);
        else if (kind % 4 == 2)
            make_up(&input);
        else
            rig.now_ms += kind * 100u;
    }
    int64_t kept;
    must(sessions(&kept) >= 1 && kept <= HUB_HANDSHAKES_MAX);
    const char *sentence;
    must(hub_exit_code(rig.hub, &sentence) == 0);
    return 0;
}
