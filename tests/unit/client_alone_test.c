/* The client as a device links it: over CoAP, with a crypto library and the C library, and nothing else in the process.
 */
#include "check.h"

#include "client.h"

#include <arpa/inet.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX 4096

/* What a test adds of its own: cmocka, and the run time of the sanitizers. */
static const char *const allowed[] = {"libc.so",     "ld-linux",    "linux-vdso", "libcmocka.so",
                                      "libasan.so",  "libubsan.so", "libm.so",    "libgcc_s.so",
#ifndef CRYPTO_MBEDTLS
                                      "libcrypto.so"
#endif
};

static int check_loaded(struct dl_phdr_info *info, size_t size, void *user)
{
    unsigned *seen = user;
    (void)size;
    const char *slash = strrchr(info->dlpi_name, '/');
    const char *name = slash ? slash + 1 : info->dlpi_name;
    size_t i = 0;
    while (i < sizeof allowed / sizeof allowed[0] && strncmp(name, allowed[i], strlen(allowed[i])) != 0)
        i++;
    if (*name && i == sizeof allowed / sizeof allowed[0])
        fail_msg("the client brought %s along", info->dlpi_name);
    ++*seen;
    return 0;
}

static void the_client_brings_nothing_but_its_crypto_library(void **state)
{
    (void)state;
    unsigned seen = 0;
    dl_iterate_phdr(check_loaded, &seen);
    assert_true(seen > 1);
}

/* ---- A server that gives back what it is sent, over CoAP and OSCORE ---- */

static struct {
    int fd;
    struct coap_endpoint *endpoint;
    void *memory;
    struct oscore_session session;
    struct sockaddr_in client;
    atomic_bool stop;
} server;
static struct oscore_input input;

static const struct coap_peer peer = {.len = 1};

static void answer(const struct coap_event *event)
{
    static const uint8_t random[OSCORE_PART_LEN] = {1};
    static uint8_t plain_room[ANSWER_MAX], room[ANSWER_MAX];
    struct writer plain = writer_over(plain_room, sizeof plain_room), out = writer_over(room, sizeof room);
    struct oscore_request request;
    struct coap_body inner, outer;
    enum status status =
        oscore_unprotect_request(&server.session, &event->body, random, &request, &plain, &inner, &out);
    if (status == OK) {
        inner.code = COAP_CONTENT;
        inner.options = (struct bytes){0};
        status = oscore_protect_response(&server.session, &request, &inner, false, &out);
    } else if (status == BUSY) {
        status = OK;
    }
    check_ok(status);
    check_ok(coap_body_decode(writer_bytes(&out), &outer));
    check_ok(coap_respond(server.endpoint, 0, event->handle, &outer));
}

static void *serve(void *user)
{
    uint8_t datagram[2048];
    struct coap_event event;
    struct coap_peer to;
    (void)user;
    while (!atomic_load(&server.stop)) {
        struct pollfd fd = {server.fd, POLLIN, 0};
        socklen_t from_len = sizeof server.client;
        if (poll(&fd, 1, 20) <= 0)
            continue;
        ssize_t len = recvfrom(server.fd, datagram, sizeof datagram, 0, (struct sockaddr *)&server.client, &from_len);
        assert_true(len > 0);
        coap_input(server.endpoint, 0, &peer, bytes_from(datagram, (size_t)len), &event);
        if (event.kind == COAP_REQUEST)
            answer(&event);
        struct writer out = writer_over(datagram, sizeof datagram);
        for (; coap_output(server.endpoint, &to, &out); out = writer_over(datagram, sizeof datagram))
            (void)!sendto(server.fd, datagram, out.len, 0, (struct sockaddr *)&server.client, from_len);
    }
    return NULL;
}

static void open_server(char url[64])
{
    static const struct coap_config config = {.exchange_count = 8, .recent_count = 16, .body_count = 2};
    static const uint8_t seed[COAP_SEED_LEN] = {1};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    struct oscore_input ours;
    server.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    check_ok(bind(server.fd, (struct sockaddr *)&address, len));
    check_ok(getsockname(server.fd, (struct sockaddr *)&address, &len));
    snprintf(url, 64, "coap://127.0.0.1:%u", ntohs(address.sin_port));
    size_t needed = coap_memory_needed(&config);
    server.memory = malloc(needed);
    check_ok(coap_init(&config, seed, server.memory, needed, &server.endpoint));
    oscore_input_mirror(&input, &ours);
    check_ok(oscore_session_init(&server.session, OSCORE_SERVER, &ours));
}

static void over_coap_it_needs_no_other_transport(void **state)
{
    (void)state;
    char url[64], why[256] = "";
    struct client *client = NULL;
    struct client_answer got;
    pthread_t thread;
    open_server(url);
    check_ok(pthread_create(&thread, NULL, serve, NULL));
    const struct client_config config = {.url = url, .input = &input};
    check_ok(client_open(&config, &client, why, sizeof why));
    for (int i = 0; i < 3; i++) {
        const struct client_request request = {.code = COAP_POST, .path = "echo", .payload = bytes_from_text("hello")};
        check_ok(client_ask(client, &request, &got));
        check_bytes(bytes_from_text("hello"), got.payload);
    }
    client_close(client);
    atomic_store(&server.stop, true);
    check_ok(pthread_join(thread, NULL));
    oscore_session_done(&server.session);
    free(server.memory);
    close(server.fd);
}

static void an_http_address_is_refused_in_words(void **state)
{
    (void)state;
    char why[256] = "";
    struct client *client = NULL;
    const struct client_config config = {.url = "http://127.0.0.1:8080", .input = &input};
    check_status(UNSUPPORTED, client_open(&config, &client, why, sizeof why));
    assert_null(client);
    assert_string_equal("this program speaks CoAP only: it needs the hub's coap:// address, not http://127.0.0.1:8080",
                        why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_client_brings_nothing_but_its_crypto_library),
        cmocka_unit_test(over_coap_it_needs_no_other_transport),
        cmocka_unit_test(an_http_address_is_refused_in_words),
    };
    input.aead = CRYPTO_AES_CCM_16_64_128;
    input.master_secret.len = 16;
    input.sender = (struct oscore_id){{0, 7}, 2};
    input.recipient = (struct oscore_id){{'h'}, 1};
    return crypto_init() == OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
