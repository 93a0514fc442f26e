/* One end of proto/coap over a real UDP socket, for a peer of another make at the other end:
 *     coap_peer serve PORT [KEY=VALUE...]          until it is killed
 *     coap_peer get|post|put|delete PORT PATH [KEY=VALUE...]
 * lose=N,N,…   which of the datagrams it sends do not leave, counted from 1; twice=N,N,… which leave two times
 * type=non     the request, or each notification, is not confirmable
 * query=TEXT payload=FILE out=FILE szx=N option=NUMBER   of the request; option is added empty
 * watch=N      observe, and forget it after N notifications; then serve on for linger=MS
 * The server keeps /store (GET, PUT, POST, observable), counts at POST /count, is slow at GET /slow, and says on its
 * standard output what happens to it; the client says what it is told, one line for each. */
#include "base.h"
#include "coap.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BODY_MAX 65536
#define WATCHERS_MAX 8
#define SLOW_MS 700

static struct {
    const char *lose, *twice, *query, *payload, *out;
    unsigned long watch, linger_ms, option;
    int szx;
    bool quiet_messages; /* not confirmable */
} wish = {.szx = -1};

static struct coap_endpoint *endpoint;
static int udp;
static unsigned sent;
static uint8_t request_options[512], request_payload[BODY_MAX];

static void fail(const char *what)
{
    perror(what);
    exit(2);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

/* ---- The socket ---- */

static bool listed(const char *list, unsigned number)
{
    for (char *end; list && *list; list = *end ? end + 1 : end)
        if (strtoul(list, &end, 10) == number)
            return true;
    return false;
}

static void flush(void)
{
    uint8_t room[COAP_DATAGRAM_MAX];
    struct coap_peer peer;
    struct writer writer = writer_over(room, sizeof room);
    while (coap_output(endpoint, &peer, &writer)) {
        unsigned times = listed(wish.lose, ++sent) ? 0 : listed(wish.twice, sent) ? 2 : 1;
        while (times-- > 0)
            if (sendto(udp, room, writer.len, 0, (const struct sockaddr *)peer.data, peer.len) < 0)
                fail("coap_peer: sendto");
        writer = writer_over(room, sizeof room);
    }
}

/* One event: of a datagram, else of time; COAP_NOTHING when neither came within wait_ms. */
static void next_event(int wait_ms, struct coap_event *event)
{
    static uint8_t room[4096];
    struct coap_peer peer = {.len = COAP_PEER_MAX};
    socklen_t len = sizeof peer.data;
    coap_tick(endpoint, now_ms(), event);
    flush();
    if (event->kind != COAP_NOTHING)
        return;
    uint64_t timeout = coap_next_timeout(endpoint, now_ms());
    struct pollfd waited = {.fd = udp, .events = POLLIN};
    if (poll(&waited, 1, timeout < (uint64_t)wait_ms ? (int)timeout : wait_ms) <= 0)
        return;
    ssize_t got = recvfrom(udp, room, sizeof room, 0, (struct sockaddr *)peer.data, &len);
    if (got < 0) /* nobody listens at the other end: time will tell */
        return;
    peer.len = (uint8_t)len;
    coap_input(endpoint, now_ms(), &peer, bytes_from(room, (size_t)got), event);
}

static void start(uint16_t port)
{
    static const struct coap_config config = {.body_cap = BODY_MAX, .peer_divisor = 1};
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint8_t seed[COAP_SEED_LEN];
    size_t needed = coap_memory_needed(&config);
    void *memory = malloc(needed);
    udp = socket(AF_INET, SOCK_DGRAM, 0);
    if (!memory || udp < 0 || getrandom(seed, sizeof seed, 0) != sizeof seed ||
        bind(udp, (const struct sockaddr *)&address, sizeof address) < 0)
        fail("coap_peer: start");
    if (coap_init(&config, seed, memory, needed, &endpoint) != OK)
        fail("coap_peer: coap_init");
}

/* ---- The server ---- */

static uint8_t store[BODY_MAX];
static size_t store_len;
static uint32_t watchers[WATCHERS_MAX], sequence;
static unsigned count;
static struct {
    uint32_t handle;
    uint64_t due_ms;
} slow;

static struct coap_body body_of(uint8_t code, bool observed, struct bytes payload)
{
    static uint8_t room[16];
    struct writer writer = writer_over(room, sizeof room);
    struct coap_option_writer options = coap_options_to(&writer);
    if (observed)
        coap_put_option_uint(&options, COAP_OBSERVE, sequence);
    return (struct coap_body){code, writer_bytes(&writer), payload};
}

static void respond(uint32_t handle, uint8_t code, bool observed, struct bytes payload)
{
    struct coap_body body = body_of(code, observed, payload);
    if (coap_respond(endpoint, now_ms(), handle, &body) != OK)
        say("not answered");
}

static void forget(uint32_t handle, const char *why)
{
    for (size_t i = 0; i < WATCHERS_MAX; i++) {
        if (!handle || watchers[i] != handle)
            continue;
        watchers[i] = 0;
        say("unwatched: %s", why);
    }
}

static void notify(void)
{
    sequence++;
    for (size_t i = 0; i < WATCHERS_MAX; i++) {
        struct coap_body body = body_of(COAP_CONTENT, true, bytes_from(store, store_len));
        if (watchers[i] && coap_notify(endpoint, now_ms(), watchers[i], &body, !wish.quiet_messages) != OK)
            say("not notified");
    }
}

static void serve_store(const struct coap_event *event)
{
    uint32_t observe;
    if (event->body.code == COAP_PUT || event->body.code == COAP_POST) {
        memcpy(store, event->body.payload.data, event->body.payload.len);
        store_len = event->body.payload.len;
        respond(event->handle, COAP_CHANGED, false, bytes_from(store, event->body.code == COAP_POST ? store_len : 0));
        notify();
        return;
    }
    bool watch = coap_option_find_uint(event->body.options, COAP_OBSERVE, &observe) == OK && observe == 0;
    for (size_t i = 0; watch && i < WATCHERS_MAX; i++) {
        if (watchers[i])
            continue;
        watchers[i] = event->handle;
        say("watched");
        break;
    }
    respond(event->handle, COAP_CONTENT, watch, bytes_from(store, store_len));
}

static void serve_request(const struct coap_event *event)
{
    char text[256], code[COAP_CODE_TEXT];
    uint16_t bad;
    struct writer path = writer_over(text, sizeof text - 1);
    forget(event->replaced, "asked to");
    if (coap_options_check(event->body.options, &bad) != OK) {
        say("refused the option %u", (unsigned)bad);
        respond(event->handle, COAP_BAD_OPTION, false, (struct bytes){0});
        return;
    }
    if (coap_join_segments(event->body.options, COAP_URI_PATH, '/', &path) != OK)
        path.len = 0;
    text[path.len] = 0;
    coap_code_text(event->body.code, code);
    say("served %s /%s, %zu bytes, %sconfirmable", code, text, event->body.payload.len,
        event->confirmable ? "" : "not ");
    if (strcmp(text, "store") == 0 && event->body.code != COAP_DELETE) {
        serve_store(event);
    } else if (strcmp(text, "count") == 0 && event->body.code == COAP_POST) {
        snprintf(text, sizeof text, "count %u", ++count);
        respond(event->handle, COAP_CHANGED, false, bytes_from_text(text));
    } else if (strcmp(text, "slow") == 0 && !slow.handle) {
        slow.handle = event->handle;
        slow.due_ms = now_ms() + SLOW_MS;
    } else {
        respond(event->handle, COAP_NOT_FOUND, false, (struct bytes){0});
    }
}

static void serve(void)
{
    struct coap_event event;
    for (;;) {
        next_event(slow.handle ? 20 : 1000, &event);
        if (event.kind == COAP_REQUEST)
            serve_request(&event);
        else if (event.kind == COAP_ACKNOWLEDGED)
            say("acknowledged");
        else if (event.kind == COAP_CANCELLED)
            forget(event.handle, event.failure == COAP_RESET ? "reset" : "timed out");
        else if (event.kind == COAP_FAILED)
            say("failed");
        if (slow.handle && now_ms() >= slow.due_ms) {
            respond(slow.handle, COAP_CONTENT, false, bytes_from_text("at last"));
            slow.handle = 0;
        }
        flush();
    }
}

/* ---- The client ---- */

static struct coap_body wished_request(uint8_t code, const char *path)
{
    struct writer writer = writer_over(request_options, sizeof request_options);
    struct coap_option_writer options = coap_options_to(&writer);
    size_t len = 0;
    if (wish.watch)
        coap_put_option_uint(&options, COAP_OBSERVE, 0);
    coap_put_segments(&options, COAP_URI_PATH, path, '/');
    coap_put_segments(&options, COAP_URI_QUERY, wish.query ? wish.query : "", '&');
    if (wish.szx >= 0)
        coap_put_block(&options, COAP_BLOCK2, (struct coap_block){.szx = (uint8_t)wish.szx});
    if (wish.option)
        coap_put_option(&options, (uint16_t)wish.option, (struct bytes){0});
    if (wish.payload) {
        FILE *file = fopen(wish.payload, "rb");
        if (!file)
            fail(wish.payload);
        len = fread(request_payload, 1, sizeof request_payload, file);
        fclose(file);
    }
    return (struct coap_body){code, writer_bytes(&writer), bytes_from(request_payload, len)};
}

static void tell(const struct coap_event *event)
{
    static const char *const failures[] = {"", "timed out", "reset", "bad blocks"};
    char code[COAP_CODE_TEXT], text[64] = "";
    if (event->kind == COAP_FAILED) {
        say("failed: %s", failures[event->failure]);
        return;
    }
    struct bytes payload = event->body.payload;
    if (payload.len < sizeof text)
        memcpy(text, payload.data, payload.len);
    coap_code_text(event->body.code, code);
    say("%s%s %zu bytes %s", event->more ? "notified " : "", code, payload.len, text);
    if (!wish.out)
        return;
    FILE *file = fopen(wish.out, "wb");
    if (!file || fwrite(payload.data, 1, payload.len, file) != payload.len || fclose(file))
        fail(wish.out);
}

static int ask(uint16_t port, uint8_t code, const char *path)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct coap_peer peer = {.len = sizeof address};
    struct coap_body body = wished_request(code, path);
    uint32_t handle;
    struct coap_event event = {0};
    unsigned long told = 0;
    memcpy(peer.data, &address, sizeof address);
    if (coap_request(endpoint, now_ms(), &peer, !wish.quiet_messages, &body, &handle) != OK)
        fail("coap_peer: coap_request");
    flush();
    for (bool over = false; !over;) {
        next_event(1000, &event);
        flush();
        if (event.handle != handle || (event.kind != COAP_RESPONSE && event.kind != COAP_FAILED))
            continue;
        tell(&event);
        over = !event.more || ++told > wish.watch;
    }
    bool failed = event.kind == COAP_FAILED;
    if (event.more)
        coap_cancel(endpoint, handle);
    for (uint64_t end = now_ms() + wish.linger_ms; now_ms() < end;) {
        next_event(100, &event);
        if (event.kind != COAP_NOTHING)
            say("unexpected event %d", (int)event.kind);
        flush();
    }
    return failed ? 1 : 0;
}

/* ---- Arguments ---- */

static bool take_wish(const char *argument)
{
    const char *value = strchr(argument, '=');
    if (!value)
        return false;
    size_t len = (size_t)(value++ - argument);
    const struct {
        const char *key;
        const char **text;
        unsigned long *number;
    } keys[] = {
        {"lose", &wish.lose, NULL},        {"twice", &wish.twice, NULL},   {"query", &wish.query, NULL},
        {"payload", &wish.payload, NULL},  {"out", &wish.out, NULL},       {"watch", NULL, &wish.watch},
        {"linger", NULL, &wish.linger_ms}, {"option", NULL, &wish.option},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strlen(keys[i].key) != len || strncmp(argument, keys[i].key, len) != 0)
            continue;
        if (keys[i].text)
            *keys[i].text = value;
        else
            *keys[i].number = strtoul(value, NULL, 10);
        return true;
    }
    if (strncmp(argument, "szx=", 4) == 0)
        wish.szx = atoi(value);
    wish.quiet_messages |= strcmp(argument, "type=non") == 0;
    return strncmp(argument, "szx=", 4) == 0 || strcmp(argument, "type=non") == 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        uint8_t code;
    } methods[] = {{"get", COAP_GET}, {"post", COAP_POST}, {"put", COAP_PUT}, {"delete", COAP_DELETE}};
    bool serving = argc > 2 && strcmp(argv[1], "serve") == 0;
    int first = serving ? 3 : 4;
    if (argc < first)
        return 2;
    for (int i = first; i < argc; i++)
        if (!take_wish(argv[i]))
            return 2;
    uint16_t port = (uint16_t)atoi(argv[2]);
    start(serving ? port : 0);
    if (serving)
        serve();
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(argv[1], methods[i].name) == 0)
            return ask(port, methods[i].code, argv[3]);
    return 2;
}
