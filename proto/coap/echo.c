/* Does an address receive what is sent to it? RFC 9175's Echo, with values that need no memory of whom they were given
 * to: a MAC over the address and a coarse time, under a key made at the start. */
#include "coap_internal.h"

#define VALUE_LEN 8
#define PATH_MAX_LEN 64

static void put_value(const struct coap_endpoint *endpoint, const struct coap_peer *peer, uint64_t period,
                      struct writer *value)
{
    put_u64le(value, coap_hash(endpoint->key, KIND_ECHO | period << 8, bytes_from(peer->data, peer->len)));
}

/* Of this period or the one before; longer or shorter ones are not ours. */
static bool is_fresh(const struct coap_endpoint *endpoint, const struct coap_peer *peer, struct bytes given)
{
    uint64_t period = endpoint->now_ms / COAP_ECHO_MS;
    for (uint64_t age = 0; age <= 1 && age <= period && given.len == VALUE_LEN; age++) {
        uint8_t room[VALUE_LEN];
        struct writer value = writer_over(room, sizeof room);
        put_value(endpoint, peer, period - age, &value);
        if (ct_equal(given.data, room, sizeof room))
            return true;
    }
    return false;
}

static bool is_later_block(const struct coap_body *request, uint16_t number)
{
    struct coap_block block;
    return coap_block_find(request->options, number, &block) == OK && block.num > 0;
}

static bool is_guarded(const struct coap_endpoint *endpoint, const struct coap_body *request)
{
    char room[PATH_MAX_LEN];
    struct writer path = writer_over(room, sizeof room);
    struct bytes protected;
    return endpoint->config.echo_path && !coap_option_find(request->options, COAP_OSCORE, &protected) &&
           coap_join_segments(request->options, COAP_URI_PATH, '/', &path) == OK &&
           bytes_equal(writer_bytes(&path), bytes_from_text(endpoint->config.echo_path));
}

bool coap_echo_missing(const struct coap_endpoint *endpoint, const struct coap_peer *peer,
                       const struct coap_body *request)
{
    struct bytes given;
    /* Later blocks go on with what a first one began that had an Echo, or find nothing to go on with. */
    if (!is_guarded(endpoint, request) || is_later_block(request, COAP_BLOCK1) || is_later_block(request, COAP_BLOCK2))
        return false;
    return !coap_option_find(request->options, COAP_ECHO, &given) || !is_fresh(endpoint, peer, given);
}

void coap_echo_ask(struct coap_endpoint *endpoint, struct coap_recent *recent, struct bytes token)
{
    static const struct coap_splice as_it_is;
    uint8_t value_room[VALUE_LEN], room[VALUE_LEN + 8];
    struct writer value = writer_over(value_room, sizeof value_room), options = writer_over(room, sizeof room);
    struct coap_option_writer option = coap_options_to(&options);
    put_value(endpoint, &recent->peer, endpoint->now_ms / COAP_ECHO_MS, &value);
    coap_put_option(&option, COAP_ECHO, writer_bytes(&value));
    const struct coap_body body = {COAP_UNAUTHORIZED, writer_bytes(&options), {0}};
    if (coap_recent_reply(endpoint, recent, token, &body, &as_it_is) != OK)
        recent->reply_len = 0; /* an option of our own always fits */
}
