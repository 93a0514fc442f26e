/* What an address gets that never answered: whoever names somebody else's as his own must not have the node send that
 * one much more than he sends the node (RFC 7252 §11.3, RFC 9175 §2.4). Real datagrams, gateway and hub. */
#include "../hostile_rig.h"

#include <poll.h>

#define AROUND 28     /* bytes of IP and UDP around a datagram, at least */
#define FACTOR 3      /* RFC 9175 §2.4 (3) */
#define LISTEN_MS 350 /* longer than an answer can be held back for its acknowledgement */

static int stranger(void)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(between.coap_port)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    check_ok(connect(fd, (const struct sockaddr *)&to, sizeof to));
    return fd;
}

/* Bytes of all that comes back, with what is around each datagram; `first` is a copy of the first of them. */
static size_t answers_within(uint64_t listen_ms, struct bytes datagram, uint8_t *first, size_t *first_len)
{
    size_t whole = 0;
    uint8_t room[2048];
    int fd = stranger();
    *first_len = 0;
    assert_int_equal(datagram.len, send(fd, datagram.data, datagram.len, 0));
    for (uint64_t end_ms = clock_now_ms() + listen_ms; clock_now_ms() < end_ms;) {
        struct pollfd waits = {fd, POLLIN, 0};
        (void)gateway_turn();
        if (poll(&waits, 1, 1) <= 0)
            continue;
        ssize_t got = recv(fd, room, sizeof room, 0);
        assert_true(got > 0);
        whole += (size_t)got + AROUND;
        if (*first_len == 0)
            memcpy(first, room, *first_len = (size_t)got);
    }
    close(fd);
    return whole;
}

static size_t answers_to(struct bytes datagram, uint8_t *first, size_t *first_len)
{
    return answers_within(LISTEN_MS, datagram, first, first_len);
}

static void check_factor(const char *what, struct bytes datagram)
{
    uint8_t first[2048];
    size_t first_len;
    size_t back = answers_to(datagram, first, &first_len);
    if (back > FACTOR * (datagram.len + AROUND))
        fail_msg("%s: %zu bytes came back for %zu", what, back, datagram.len + AROUND);
}

static const struct {
    const char *what, *hex;
} requests[] = {
    {"a ping", "40000001"},
    {"GET of nothing", "40010002"},
    {"POST of nothing", "40020003"},
    {"a reserved code", "401f0004"},
    {"no request at all", "4045000501"},
    {"a token that is too long", "4f020006"},
    {"GET /.well-known/core", "40010007bb2e77656c6c2d6b6e6f776e04636f7265"},
    {"GET /.well-known/edhoc", "40010008bb2e77656c6c2d6b6e6f776e056564686f63"},
    {"POST /.well-known/edhoc, empty", "40020009bb2e77656c6c2d6b6e6f776e056564686f63"},
    {"its second block", "4002000abb2e77656c6c2d6b6e6f776e056564686f63c116"},
    {"an upload's second block", "4002000bbb2e77656c6c2d6b6e6f776e056564686f63d1031eff00"},
    {"OSCORE without a kid", "4002000c90ff00"},
    {"OSCORE with a kid that nobody has", "4002000d93090007ff0102030405060708"},
    {"OSCORE that cannot be read", "4002000e91ffff00"},
    {"OSCORE in a block that is none", "4002000f92090012d10508"},
    {"an unknown critical option", "40010010e1ffff00"},
    {"a proxy's work", "40010011d61668747470733a"},
    {"a request that observes", "4001001260"},
};

static void no_datagram_of_a_stranger_brings_three_times_as_much(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        uint8_t room[256];
        for (int confirmable = 0; confirmable < 2; confirmable++) {
            struct writer datagram = writer_over(room, sizeof room);
            check_ok(hex_decode(requests[i].hex, &datagram));
            room[0] ^= confirmable ? 0 : 0x10;
            check_factor(requests[i].what, writer_bytes(&datagram));
        }
    }
}

/* The hub takes its time: the request is acknowledged before, and its answer has to go separately. */
static void take_time(struct exchange *exchange)
{
    relay(exchange);
    exchange->to = NULL;
    for (uint64_t end_ms = clock_now_ms() + 200; clock_now_ms() < end_ms;)
        gateway_run(between.gateway, clock_now_ms(), true);
}

static void nor_when_the_hub_is_slow_and_nobody_acknowledges(void **state)
{
    (void)state;
    uint8_t room[64], first[2048];
    size_t first_len;
    struct writer datagram = writer_over(room, sizeof room);
    check_ok(hex_decode("4002000d93090007ff0102030405060708", &datagram)); /* OSCORE with a kid that nobody has */
    begin_play(take_time, NULL);
    size_t back =
        answers_within(4000, writer_bytes(&datagram), first, &first_len); /* the first repetition is due at 3 s */
    assert_int_equal(4, first_len);                                       /* the acknowledgement */
    assert_true(back > 4 + AROUND && back <= FACTOR * (datagram.len + AROUND));
}

/* A whole first message, without an Echo and with one that was given to another address; its answer, for who is where
 * he says, is the many times longer one that all this is about. */
static void a_first_message_brings_its_answer_only_to_who_is_there(void **state)
{
    (void)state;
    static struct rig_handshake handshake;
    uint8_t room[512], first[2048], options_room[64], echo_room[16];
    size_t first_len;
    struct coap_message message;
    struct bytes echo = {0};
    struct bytes message_1 = rig_message_1(&handshake);
    for (int with_echo = 0; with_echo < 2; with_echo++) {
        struct writer options = writer_over(options_room, sizeof options_room), out = writer_over(room, sizeof room);
        struct coap_option_writer option = coap_options_to(&options);
        coap_put_segments(&option, COAP_URI_PATH, ".well-known/edhoc", '/');
        coap_put_option_uint(&option, COAP_CONTENT_FORMAT, COAP_FORMAT_CID_EDHOC);
        if (with_echo)
            coap_put_option(&option, COAP_ECHO, echo);
        const struct coap_message request = {.type = COAP_CON,
                                             .message_id = (uint16_t)(0x7000 + with_echo),
                                             .body = {COAP_POST, writer_bytes(&options), message_1}};
        coap_message_encode(&out, &request);
        size_t back = answers_to(writer_bytes(&out), first, &first_len); /* each time from another port */
        assert_true(back <= out.len + AROUND);
        check_ok(coap_message_decode(bytes_from(first, first_len), &message));
        assert_int_equal(COAP_UNAUTHORIZED, message.body.code);
        assert_true(coap_option_find(message.body.options, COAP_ECHO, &echo));
        memcpy(echo_room, echo.data, echo.len);
        echo = bytes_from(echo_room, echo.len);
    }
    assert_int_equal(0, between.sent[MESSAGE_1]); /* no hub heard of it */
    assert_int_equal(0, state_of(HOME, "handshakes"));
    edhoc_done(&handshake.edhoc);
    struct client *client = open_device(false, 5000);
    honest_again(client);
    assert_int_equal(1, between.sent[MESSAGE_1]);
    client_close(client);
}

int main(void)
{
#define play_test(name) cmocka_unit_test_setup_teardown(name, set_up_hostile, tear_down_hostile)
    const struct CMUnitTest tests[] = {
        play_test(no_datagram_of_a_stranger_brings_three_times_as_much),
        play_test(nor_when_the_hub_is_slow_and_nobody_acknowledges),
        play_test(a_first_message_brings_its_answer_only_to_who_is_there),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
