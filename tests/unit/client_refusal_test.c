/* What the client says when it cannot have its way: bad URLs and requests, nobody there, limits. */
#include "client_rig.h"

static struct rig rig;

static int start(void **state)
{
    (void)state;
    rig_init(&rig);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    rig_done(&rig);
    return 0;
}

static void only_addresses_of_hubs_are_opened(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "127.0.0.1:5683",
        "coaps://127.0.0.1",
        "https://127.0.0.1",
        "ftp://127.0.0.1",
        "COAP://127.0.0.1",
        "coap:/127.0.0.1",
        "coap://",
        "coap://:5683",
        "coap://127.0.0.1:",
        "coap://127.0.0.1:0",
        "coap://127.0.0.1:05683",
        "coap://127.0.0.1:65536",
        "coap://127.0.0.1:565683",
        "coap://127.0.0.1:x",
        "coap://127.0.0.1/x",
        "coap://127.0.0.1//",
        "coap://127.0.0.1?x",
        "coap://user@127.0.0.1",
        "coap://[::1",
        "coap://[]",
        "coap://::1",
        "http://a b",
        "http://127.0.0.1:8080/api",
        "http://127.0.0.1\r\nX: y",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char why[256] = "";
        struct client *client = NULL;
        const struct client_config config = {.url = bad[i], .http = &client_over_http, .input = &rig.input};
        check_status(MALFORMED, client_open(&config, &client, why, sizeof why));
        assert_null(client);
        assert_non_null(strstr(why, "is no address of a hub: coap://HOST[:PORT]"));
    }
    static const char *const good[] = {"coap://127.0.0.1",      "coap://127.0.0.1:65535", "coap://localhost:5683/",
                                       "http://localhost",      "http://127.0.0.1:80/",   "http://[::1]:8080",
                                       "http://a-b.example_x:1"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        client_close(rig_client_at(&rig, good[i], 0));
    client_close(NULL);
}

static void a_host_has_a_longest_name_and_must_be_known(void **state)
{
    (void)state;
    char url[300] = "http://", why[256] = "";
    struct client *client = NULL;
    struct client_config config = {.url = url, .http = &client_over_http, .input = &rig.input};
    memset(url + 7, 'a', 255);
    check_ok(client_open(&config, &client, why, sizeof why));
    client_close(client);
    client = NULL;
    memset(url + 7, 'a', 256);
    check_status(MALFORMED, client_open(&config, &client, why, sizeof why));
    config.url = "coap://no-such-host.invalid";
    check_status(IO, client_open(&config, &client, why, sizeof why));
    assert_non_null(strstr(why, "the host of coap://no-such-host.invalid is not known"));
    config.url = NULL;
    check_status(MALFORMED, client_open(&config, &client, why, sizeof why));
    config = (struct client_config){.url = "coap://127.0.0.1"};
    check_status(MALFORMED, client_open(&config, &client, why, sizeof why));
    assert_string_equal("a session needs a key, one way or the other", why);
    assert_null(client);
}

static void never(void *user, enum status status, const struct client_answer *answer, bool more)
{
    (void)user;
    (void)answer;
    (void)more;
    fail_msg("called with %s", status_word(status));
}

static void requests_that_are_none_are_refused_at_once(void **state)
{
    (void)state;
    static char path[400], query[2000];
    static uint8_t body[CLIENT_REQUEST_MAX + 1];
    memset(path, 'a', 255);
    memset(query, '&', sizeof query - 1);
    for (size_t i = 1; i < sizeof query - 1; i += 2)
        query[i] = 'x';
    struct client *client = rig_client(&rig, true, 0);
    struct client_answer answer;
    const struct client_request good = {
        .code = COAP_GET, .path = path, .payload = bytes_from(body, CLIENT_REQUEST_MAX)};
    struct client_request bad = good;
    check_ok(client_begin(client, &good, never, NULL));
    bad.code = COAP_CONTENT;
    check_status(MALFORMED, client_begin(client, &bad, never, NULL));
    bad = good;
    bad.path = NULL;
    check_status(MALFORMED, client_begin(client, &bad, never, NULL));
    bad = good;
    bad.query = query;
    check_status(MALFORMED, client_begin(client, &bad, never, NULL));
    assert_non_null(strstr(client_why(client), "too long"));
    bad = good;
    bad.observe = true;
    check_status(UNSUPPORTED, client_begin(client, &bad, never, NULL));
    assert_non_null(strstr(client_why(client), "HTTP knows no observation"));
    check_status(UNSUPPORTED, client_ask(client, &bad, &answer));
    bad = good;
    bad.payload.len++;
    check_status(NO_ROOM, client_begin(client, &bad, never, NULL));
    assert_non_null(strstr(client_why(client), "the limit is 196608"));
    memset(path, 'a', 256);
    check_status(MALFORMED, client_begin(client, &good, never, NULL));
    assert_int_equal(1, client_pending(client));
    client_close(client);
}

static enum status ask(struct client *client, const char *path, size_t len)
{
    static uint8_t body[CLIENT_REQUEST_MAX];
    struct client_answer answer;
    const struct client_request request = {.code = COAP_POST, .path = path, .payload = bytes_from(body, len)};
    return client_ask(client, &request, &answer);
}

static void nobody_there_is_said_in_words(void **state)
{
    (void)state;
    for (int http = 0; http < 2; http++) {
        struct client *client = rig_client(&rig, http, 700);
        uint64_t begun_ms = rig_now_ms();
        check_status(IO, ask(client, "echo", 1));
        assert_in_range(rig_now_ms() - begun_ms, 650, 1500);
        assert_non_null(strstr(client_why(client), "nobody listens at "));
        client_close(client);
    }
}

static void silence_is_said_in_words(void **state)
{
    (void)state;
    for (int http = 0; http < 2; http++) {
        int fd = socket(AF_INET, (http ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
        char url[64];
        snprintf(url, sizeof url, "%s://127.0.0.1:%u", http ? "http" : "coap", rig_bound_port(fd));
        if (http)
            check_ok(listen(fd, 4));
        struct client *client = rig_client_at(&rig, url, 700);
        uint64_t begun_ms = rig_now_ms();
        check_status(IO, ask(client, "echo", 1));
        assert_in_range(rig_now_ms() - begun_ms, 650, 1500);
        assert_non_null(strstr(client_why(client), "did not answer within 1 s"));
        client_close(client);
        close(fd);
    }
}

static void a_node_without_its_hub_is_said_in_words(void **state)
{
    (void)state;
    rig_start(&rig);
    gateway_set_enclave(rig.gateway, rig_now_ms(), false);
    rig_begin_thread(&rig);
    for (int http = 0; http < 2; http++) {
        struct client *client = rig_client(&rig, http, 700);
        check_status(IO, ask(client, "echo", 1));
        assert_non_null(strstr(client_why(client), "answers, but its hub does not"));
        client_close(client);
    }
    rig_end_thread(&rig);
}

static void a_body_longer_than_the_session_or_the_node_takes_is_refused(void **state)
{
    (void)state;
    rig_start_sized(&rig, 5000);
    rig_begin_thread(&rig);
    for (int http = 0; http < 2; http++) {
        struct client *client = rig_client(&rig, http, 0);
        check_ok(ask(client, "echo", 5000));
        check_status(NO_ROOM, ask(client, "echo", 7000));
        assert_non_null(strstr(client_why(client), "takes no body of 7000 bytes"));
        check_status(NO_ROOM, ask(client, "echo", 65536)); /* AES-CCM's length field has two bytes */
        assert_non_null(strstr(client_why(client), "65536 bytes, and this session takes 65535"));
        check_ok(ask(client, "echo", 10));
        client_close(client);
    }
    rig_end_thread(&rig);
}

/* A server of one answer, whatever it is asked. */
struct responder {
    int fd;
    const char *head;
    size_t body_len;
};

static void *respond(void *context)
{
    struct responder *responder = context;
    static char body[65536];
    char request[4096];
    int fd = accept4(responder->fd, NULL, NULL, SOCK_CLOEXEC);
    (void)!recv(fd, request, sizeof request, 0);
    (void)!send(fd, responder->head, strlen(responder->head), MSG_NOSIGNAL);
    for (size_t left = responder->body_len; left > 0;) {
        ssize_t sent = send(fd, body, left < sizeof body ? left : sizeof body, MSG_NOSIGNAL);
        if (sent <= 0)
            break;
        left -= (size_t)sent;
    }
    close(fd);
    return NULL;
}

static enum status ask_responder(const char *head, size_t body_len, char *why)
{
    struct responder responder = {socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), head, body_len};
    pthread_t thread;
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u", rig_bound_port(responder.fd));
    check_ok(listen(responder.fd, 1));
    check_ok(pthread_create(&thread, NULL, respond, &responder));
    struct client *client = rig_client_at(&rig, url, 600);
    enum status status = ask(client, "echo", 1);
    snprintf(why, 256, "%s", client_why(client));
    close(responder.fd);
    client_close(client);
    check_ok(pthread_join(thread, NULL));
    return status;
}

static void http_servers_that_are_no_hubs_have_no_answers(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        size_t len;
        enum status status;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Type: application/oscore\r\nOSCORE: AA\r\nContent-Length: 400000\r\n\r\n", 400000,
         NO_ROOM},
        {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n", 0, AUTH},
        {"HTTP/1.1 200 OK\r\nContent-Type: application/oscore\r\nContent-Length: 9\r\n\r\n", 9, AUTH},
        {"HTTP/1.1 200 OK\r\nContent-Type: application/oscore\r\nOSCORE: AA\r\nOSCORE: AA\r\nContent-Length: 9\r\n\r\n",
         9, AUTH},
        {"HTTP/1.1 200 OK\r\nContent-Type: application/oscore\r\nOSCORE: *\r\nContent-Length: 9\r\n\r\n", 9, AUTH},
        {"HTTP/1.1 200 OK\r\nContent-Type: application/oscore\r\nOSCORE: AA\r\nContent-Length: 9\r\n\r\n", 9, AUTH},
        {"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 0, IO},
        {"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", 0, IO},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 3, IO},
        {"SSH-2.0-OpenSSH_9.2\r\n", 0, IO},
        {"", 0, IO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char why[256] = "";
        enum status status = ask_responder(cases[i].head, cases[i].len, why);
        /* Past its one answer nobody listens: that or the answer is what is said. */
        if (cases[i].status == NO_ROOM)
            assert_non_null(strstr(why, "longer than 262144 bytes"));
        assert_int_not_equal(OK, status);
        assert_true(status == cases[i].status || (status == IO && strstr(why, "nobody listens")));
    }
}

struct nested {
    struct client *client;
    unsigned left;
    enum status run, asked;
};

static void begin_next(void *user, enum status status, const struct client_answer *answer, bool more)
{
    struct nested *nested = user;
    struct client_answer other;
    const struct client_request request = {.code = COAP_GET, .path = "echo"};
    (void)more;
    check_ok(status);
    assert_int_equal(COAP_CONTENT, answer->code);
    nested->run = client_run(nested->client, 0);
    nested->asked = client_ask(nested->client, &request, &other);
    if (--nested->left)
        check_ok(client_begin(nested->client, &request, begin_next, nested));
}

static void a_callback_may_begin_but_not_wait(void **state)
{
    (void)state;
    rig_start(&rig);
    rig_begin_thread(&rig);
    struct nested nested = {rig_client(&rig, false, 0), 10, OK, OK};
    const struct client_request request = {.code = COAP_GET, .path = "echo"};
    check_ok(client_begin(nested.client, &request, begin_next, &nested));
    while (nested.left)
        check_ok(client_run(nested.client, 100));
    check_status(WRONG_STATE, nested.run);
    check_status(WRONG_STATE, nested.asked);
    client_close(nested.client);
    rig_end_thread(&rig);
}

#define rig_test(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(only_addresses_of_hubs_are_opened),
        rig_test(a_host_has_a_longest_name_and_must_be_known),
        rig_test(requests_that_are_none_are_refused_at_once),
        rig_test(nobody_there_is_said_in_words),
        rig_test(silence_is_said_in_words),
        rig_test(a_node_without_its_hub_is_said_in_words),
        rig_test(a_body_longer_than_the_session_or_the_node_takes_is_refused),
        rig_test(http_servers_that_are_no_hubs_have_no_answers),
        rig_test(a_callback_may_begin_but_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
