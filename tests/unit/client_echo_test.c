/* The client before a node that asks for an Echo (RFC 9175): it repeats its request with what it was given, a bounded
 * number of times, and goes by no value that is none. The node is a socket and a thread. */
#include "client_rig.h"

#define TIMEOUT_MS 1500
#define SEEN_MAX 64

static struct node {
    int fd;
    in_port_t port;
    pthread_t thread;
    atomic_bool stop;
    size_t echo_len;             /* of the values it gives; the number of the request stands in their first byte */
    unsigned asked, repeated;    /* requests, and those that carried the value given last */
    uint64_t at_ms[SEEN_MAX];    /* when they came */
    size_t first_len, later_len; /* bytes of the first, and of those that carry an Echo */
} node;

static void put_answer(struct writer *datagram, const struct coap_message *request)
{
    uint8_t value[64] = {(uint8_t)node.asked}, room[80];
    struct writer options = writer_over(room, sizeof room);
    struct coap_option_writer option = coap_options_to(&options);
    coap_put_option(&option, COAP_ECHO, bytes_from(value, node.echo_len));
    const struct coap_message answer = {
        COAP_ACK, request->message_id, request->token, {COAP_UNAUTHORIZED, writer_bytes(&options), {0}}};
    coap_message_encode(datagram, &answer);
}

static void *answer_all(void *unused)
{
    (void)unused;
    while (!atomic_load(&node.stop)) {
        uint8_t in[2048], out[256];
        struct sockaddr_in from;
        socklen_t len = sizeof from;
        struct pollfd fd = {node.fd, POLLIN, 0};
        struct coap_message request;
        struct bytes echo;
        struct writer datagram = writer_over(out, sizeof out);
        if (poll(&fd, 1, 5) <= 0)
            continue;
        ssize_t got = recvfrom(node.fd, in, sizeof in, 0, (struct sockaddr *)&from, &len);
        if (got < 0 || coap_message_decode(bytes_from(in, (size_t)got), &request) != OK)
            continue;
        bool carries = coap_option_find(request.body.options, COAP_ECHO, &echo);
        node.repeated += carries && echo.len == node.echo_len && echo.data[0] == node.asked;
        *(carries ? &node.later_len : &node.first_len) = (size_t)got;
        node.at_ms[node.asked++ % SEEN_MAX] = rig_now_ms();
        put_answer(&datagram, &request);
        (void)!sendto(node.fd, out, datagram.len, 0, (struct sockaddr *)&from, len);
    }
    return NULL;
}

static enum status ask_node(size_t echo_len, char why[256])
{
    static const int suites[] = {3};
    struct crypto_key key = {0};
    struct client *client = NULL;
    struct client_answer answer;
    char url[64];
    check_ok(crypto_init());
    check_ok(crypto_key_generate(&key, CRYPTO_P256));
    node = (struct node){.echo_len = echo_len, .fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    node.port = rig_bound_port(node.fd);
    snprintf(url, sizeof url, "coap://127.0.0.1:%u", node.port);
    check_ok(pthread_create(&node.thread, NULL, answer_all, NULL));
    const struct client_edhoc edhoc = {.suites = suites, .suites_count = 1, .own = {.private_key = &key}};
    const struct client_config config = {.url = url, .edhoc = &edhoc, .timeout_ms = TIMEOUT_MS};
    const struct client_request request = {.code = COAP_GET, .path = "status"};
    check_ok(client_open(&config, &client, why, 256));
    enum status status = client_ask(client, &request, &answer);
    snprintf(why, 256, "%s", client_why(client));
    client_close(client);
    atomic_store(&node.stop, true);
    check_ok(pthread_join(node.thread, NULL));
    close(node.fd);
    crypto_key_done(&key);
    return status;
}

static void each_value_is_repeated_with_the_same_request(void **state)
{
    (void)state;
    static const size_t lens[] = {1, 8, 40};
    char why[256];
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        check_status(IO, ask_node(lens[i], why));
        assert_true(node.asked > 3);
        /* ours are of one length, but for Echo's head of two bytes, or three (RFC 7252 §3.1), and its value */
        assert_int_equal(node.first_len + 2 + (lens[i] > 12) + lens[i], node.later_len);
        assert_true(node.repeated >= node.asked - 1);
    }
}

static void a_node_that_never_has_enough_is_asked_ever_less_often_and_said(void **state)
{
    (void)state;
    char why[256];
    check_status(IO, ask_node(8, why));
    assert_non_null(strstr(why, "answers, but its hub does not"));
    /* four at once, then after 50, 100, 200, 400, 500 ms …, a quarter more or less: in 1.5 seconds no more than these
     */
    assert_in_range(node.asked, 5, 12);
    assert_true(node.at_ms[3] - node.at_ms[0] < 1000);
    assert_true(node.at_ms[node.asked - 1] - node.at_ms[3] > 300);
}

static void what_is_no_value_is_not_repeated(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 41};
    char why[256];
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        check_status(AUTH, ask_node(lens[i], why));
        assert_non_null(strstr(why, "refused the handshake"));
        assert_int_equal(3, node.asked);
        assert_int_equal(0, node.later_len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_value_is_repeated_with_the_same_request),
        cmocka_unit_test(a_node_that_never_has_enough_is_asked_ever_less_often_and_said),
        cmocka_unit_test(what_is_no_value_is_not_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
