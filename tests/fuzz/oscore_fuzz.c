/* OSCORE from anyone: option values, inputs and outer bodies as they arrive; messages of the input's choosing,
 * protected, opened and changed by a bit; and two sessions driven step by step through restarts, losses and
 * repetitions. */
#include "oscore.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define MESSAGE_MAX 4096
#define SLOTS 8

static struct oscore_input client_input, server_input;

static void hold(bool truth)
{
    if (!truth)
        abort();
}

static const uint8_t *fresh(void)
{
    static uint8_t bytes[OSCORE_PART_LEN];
    static uint64_t count;
    struct writer writer = writer_over(bytes, sizeof bytes);
    put_u64be(&writer, ++count);
    return bytes;
}

static void prepare(void)
{
    static bool done;
    if (done)
        return;
    hold(crypto_init() == OK);
    client_input = (struct oscore_input){.aead = CRYPTO_AES_CCM_16_128_128,
                                         .master_secret = {{1, 2, 3}, 16},
                                         .master_salt = {4},
                                         .master_salt_len = 8,
                                         .recipient = {{1}, 1}};
    oscore_input_mirror(&client_input, &server_input);
    done = true;
}

/* ---- Decoders: what is accepted is written back as it was ---- */

static void try_option(struct bytes input)
{
    uint8_t room[MESSAGE_MAX];
    struct oscore_option option;
    struct writer writer = writer_over(room, sizeof room);
    if (oscore_option_decode(input, &option) != OK)
        return;
    oscore_put_option(&writer, &option);
    hold(writer_end(&writer) == OK && bytes_equal(writer_bytes(&writer), input));
}

static void try_input(struct bytes input)
{
    uint8_t room[OSCORE_INPUT_MAX];
    struct oscore_input got, mirrored;
    struct oscore_session session;
    struct writer writer = writer_over(room, sizeof room);
    if (oscore_input_decode(input, &got) != OK)
        return;
    oscore_put_input(&writer, &got);
    hold(writer_end(&writer) == OK && bytes_equal(writer_bytes(&writer), input));
    oscore_input_mirror(&got, &mirrored);
    hold(oscore_session_init(&session, OSCORE_SERVER, &mirrored) == OK);
    hold(oscore_session_fix(&session, NULL, 0) == OK);
    oscore_session_done(&session);
}

/* ---- One pair of sessions ---- */

struct message {
    uint8_t data[5 * MESSAGE_MAX];
    size_t len;
};

struct pair {
    struct oscore_session client, server;
    struct oscore_request asked, seen;
    bool has_asked, has_seen;
    struct message slots[SLOTS];
    bool taken[256]; /* by the server, by serial */
    uint8_t serial;
};

static enum status take(struct pair *pair, struct bytes body, struct writer *plain, struct coap_body *inner,
                        struct writer *challenge)
{
    struct coap_body outer;
    struct oscore_request seen;
    if (coap_body_decode(body, &outer) != OK)
        return MALFORMED;
    enum status status = oscore_unprotect_request(&pair->server, &outer, fresh(), &seen, plain, inner, challenge);
    hold((plain->len > 0) == (status == OK) && (challenge->len > 0) == (status == BUSY));
    if (status == OK) {
        pair->seen = seen;
        pair->has_seen = true;
    }
    return status;
}

static enum status hear(struct pair *pair, struct bytes body, struct writer *plain, struct coap_body *inner)
{
    struct coap_body outer;
    if (coap_body_decode(body, &outer) != OK)
        return MALFORMED;
    enum status status = oscore_unprotect_response(&pair->client, &pair->asked, &outer, plain, inner);
    hold((plain->len > 0) == (status == OK));
    return status;
}

static void start(struct pair *pair, bool fixed)
{
    memset(pair, 0, sizeof *pair);
    hold(oscore_session_init(&pair->client, OSCORE_CLIENT, &client_input) == OK);
    hold(oscore_session_init(&pair->server, OSCORE_SERVER, &server_input) == OK);
    if (fixed)
        hold(oscore_session_fix(&pair->client, NULL, 0) == OK && oscore_session_fix(&pair->server, NULL, 0) == OK);
}

static void stop(struct pair *pair)
{
    oscore_session_done(&pair->client);
    oscore_session_done(&pair->server);
}

/* An outer body as it arrived, to a server and to a client that waits. */
static void try_outer(struct bytes input)
{
    static uint8_t plain_room[MESSAGE_MAX], challenge_room[256], sent_room[256];
    static struct pair pair;
    struct coap_body inner;
    for (int fixed = 0; fixed < 2; fixed++) {
        start(&pair, fixed);
        struct writer plain = writer_over(plain_room, sizeof plain_room),
                      sent = writer_over(sent_room, sizeof sent_room);
        struct writer challenge = writer_over(challenge_room, sizeof challenge_room);
        if (take(&pair, input, &plain, &inner, &challenge) == OK) {
            plain = writer_over(plain_room, sizeof plain_room);
            hold(take(&pair, input, &plain, &inner, &challenge) == REPLAYED);
        }
        struct coap_body body = {.code = COAP_GET};
        hold(oscore_protect_request(&pair.client, &body, fresh(), &pair.asked, &sent) == OK);
        plain = writer_over(plain_room, sizeof plain_room);
        enum status status = hear(&pair, input, &plain, &inner);
        hold(fixed || status != OK);
        stop(&pair);
    }
}

/* What a proxy may see is not held against the inner message. */
static void hold_same(const struct coap_body *sent, const struct coap_body *got, bool response)
{
    struct coap_option_reader theirs = coap_options_over(got->options), ours = coap_options_over(sent->options);
    struct coap_option one, two;
    hold(got->code == sent->code && bytes_equal(got->payload, sent->payload));
    while (coap_option_next(&ours, &one)) {
        if (one.number == COAP_URI_HOST || one.number == COAP_URI_PORT || one.number == COAP_PROXY_SCHEME ||
            one.number == COAP_OSCORE)
            continue;
        hold(coap_option_next(&theirs, &two) && one.number == two.number);
        hold(response && one.number == COAP_OBSERVE ? two.value.len == 0 : bytes_equal(one.value, two.value));
    }
    hold(!coap_option_next(&theirs, &two) && coap_options_end(&theirs) == OK);
}

/* One bit of the ciphertext changed opens nothing. */
static void flip(struct message *message, size_t bit)
{
    struct coap_body outer;
    hold(coap_body_decode(bytes_from(message->data, message->len), &outer) == OK);
    size_t at = (size_t)(outer.payload.data - message->data) + bit / 8 % outer.payload.len;
    message->data[at] ^= (uint8_t)(1u << bit % 8);
}

/* Observe travels outside and inside, so only where it stands once and short does OSCORE_OVERHEAD hold. */
static size_t observe_excess(struct bytes options)
{
    struct coap_option_reader reader = coap_options_over(options);
    struct coap_option option;
    size_t len = 0;
    while (coap_option_next(&reader, &option))
        len += option.number == COAP_OBSERVE ? option.value.len + 3 : 0;
    return len > 6 ? len - 6 : 0;
}

static void try_message(struct bytes input)
{
    static uint8_t plain_room[MESSAGE_MAX], none_room[1];
    static struct pair pair;
    struct reader reader = reader_over(input);
    size_t bit = take_u16be(&reader);
    struct coap_body body, inner;
    if (coap_body_decode(take_rest(&reader), &body) != OK || reader.status != OK)
        return;
    start(&pair, true);
    for (int response = 0; response < 2; response++) {
        struct message *message = &pair.slots[response];
        struct writer out = writer_over(message->data, sizeof message->data);
        enum status sealed = response ? oscore_protect_response(&pair.server, &pair.seen, &body, bit & 1, &out)
                                      : oscore_protect_request(&pair.client, &body, fresh(), &pair.asked, &out);
        hold(sealed == OK && out.len <= input.len + OSCORE_OVERHEAD + observe_excess(body.options));
        message->len = out.len;
        for (int changed = 1; changed >= 0; changed--) {
            struct writer plain = writer_over(plain_room, sizeof plain_room), none = writer_over(none_room, 0);
            if (changed)
                flip(message, bit);
            struct bytes text = bytes_from(message->data, message->len);
            enum status opened =
                response ? hear(&pair, text, &plain, &inner) : take(&pair, text, &plain, &inner, &none);
            hold(opened == (changed ? AUTH : OK));
            if (changed)
                flip(message, bit);
        }
        hold_same(&body, &inner, response);
    }
    stop(&pair);
}

/* ---- Both sides step by step: each byte is what happens next ---- */

static void step_ask(struct pair *pair, struct message *slot, bool observe)
{
    uint8_t options_room[8], payload[1] = {++pair->serial};
    struct writer options = writer_over(options_room, sizeof options_room);
    struct writer out = writer_over(slot->data, sizeof slot->data);
    struct coap_option_writer list = coap_options_to(&options);
    if (observe)
        coap_put_option_uint(&list, COAP_OBSERVE, 0);
    struct coap_body body = {COAP_POST, writer_bytes(&options), BYTES_OF(payload)};
    hold(oscore_protect_request(&pair->client, &body, fresh(), &pair->asked, &out) == OK);
    pair->has_asked = true;
    pair->taken[pair->serial] = false; /* serials go round; of old ones the window keeps nothing to accept */
    slot->len = out.len;
}

static void step_take(struct pair *pair, struct message *slot)
{
    static uint8_t plain_room[MESSAGE_MAX], challenge_room[256];
    struct writer plain = writer_over(plain_room, sizeof plain_room);
    struct writer challenge = writer_over(challenge_room, sizeof challenge_room);
    struct coap_body inner;
    enum status status = take(pair, bytes_from(slot->data, slot->len), &plain, &inner, &challenge);
    if (status == OK) {
        hold(inner.payload.len == 1 && !pair->taken[inner.payload.data[0]]);
        pair->taken[inner.payload.data[0]] = true;
    } else if (status == BUSY) {
        memcpy(slot->data, challenge.data, challenge.len);
        slot->len = challenge.len;
    }
}

static void step_answer(struct pair *pair, struct message *slot)
{
    static const uint8_t payload[] = {'y'};
    struct coap_body body = {COAP_CONTENT, {0}, BYTES_OF(payload)};
    struct writer out = writer_over(slot->data, sizeof slot->data);
    if (pair->has_seen && oscore_protect_response(&pair->server, &pair->seen, &body, false, &out) == OK)
        slot->len = out.len;
}

static void step_hear(struct pair *pair, struct message *slot)
{
    static uint8_t plain_room[MESSAGE_MAX];
    struct writer plain = writer_over(plain_room, sizeof plain_room);
    struct coap_body inner;
    if (!pair->has_asked || slot->len == 0)
        return;
    if (hear(pair, bytes_from(slot->data, slot->len), &plain, &inner) == OK) {
        hold(inner.payload.len == 1 && inner.payload.data[0] == 'y');
        hold(pair->taken[pair->serial]); /* only the server's answer to this very request */
    }
}

static void try_steps(struct bytes input)
{
    static struct pair pair;
    struct reader reader = reader_over(bytes_slice(input, 0, input.len < 200 ? input.len : 200));
    start(&pair, false);
    while (reader.rest.len > 0) {
        uint8_t step = take_u8(&reader);
        struct message *slot = &pair.slots[step >> 3 & 7];
        switch (step & 7) {
        case 0:
        case 1:
            step_ask(&pair, slot, step & 1);
            break;
        case 2:
            step_take(&pair, slot);
            break;
        case 3:
            step_answer(&pair, slot);
            break;
        case 4:
            step_hear(&pair, slot);
            break;
        case 5:
            oscore_session_restart(&pair.client);
            break;
        case 6:
            oscore_session_restart(&pair.server);
            break;
        default:
            if (slot->len > 0)
                flip(slot, step >> 6);
        }
    }
    stop(&pair);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static void (*const tries[])(struct bytes input) = {try_option, try_input, try_outer, try_message, try_steps};
    if (len < 1 || len > MESSAGE_MAX - 64)
        return 0;
    prepare();
    tries[data[0] % 5](bytes_from(data + 1, len - 1));
    return 0;
}
