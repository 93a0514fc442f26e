/* One generator for the hub and for its peer: keep-alive connections that post the vacancy example's readings, one
 * request at a time on each; the hub's protected with OSCORE by several clients, the peer's plain. Prints requests a
 * second and the latencies' median and 99th percentile in ms.
 *     hub_load PORT CONNECTIONS SECONDS RATE READINGS [SECRET...]
 * RATE 0: as fast as the answers come. Otherwise so many a second, each counted from when it was due, not from when a
 * connection was free for it. SECRET: a client's file, as `bastide client add` wrote it; none: plain HTTP. */
#include "bench.h"
#include "coap.h"
#include "crypto.h"
#include "oscore.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 512
#define CLIENTS_MAX 64
#define TOOK_MAX 4000000
#define WARM_UP 0.25 /* of the time, before anything counts */
#define STUCK_MS 10000

struct user {
    struct oscore_session session;
    unsigned events;
};

struct connection {
    int fd;
    bool busy;
    size_t len;
    char text[4096];
    double due_ns;
    struct user *user;
    struct oscore_request request;
};

static struct user users[CLIENTS_MAX];
static struct connection connections[CONNECTIONS_MAX];
static size_t users_count, connections_count, readings_count, next_reading;
static char (*readings)[192];
static double *took_ns;
static size_t took_count;

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "hub_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- What is posted ---- */

static void read_readings(const char *path)
{
    char line[256];
    FILE *file = fopen(path, "re");
    readings = calloc(4096, sizeof *readings);
    must(file && readings && fgets(line, sizeof line, file), path);
    while (readings_count < 4096 && fgets(line, sizeof line, file)) {
        char *rest = line, *part[7];
        for (size_t i = 0; i < 7; i++)
            part[i] = strsep(&rest, ",");
        must(part[6] != NULL, "a reading");
        snprintf(readings[readings_count++], sizeof *readings,
                 "\"properties\":{\"temperature\":%s,\"humidity\":%s,\"light\":%s,\"co2\":%s,\"humidityRatio\":%s}",
                 part[2], part[3], part[4], part[5], part[6]);
    }
    fclose(file);
    must(readings_count > 0, "no reading");
}

static struct bytes next_event(struct user *user, char *room, size_t cap)
{
    int len = snprintf(room, cap, "{\"id\":\"%zu-%u-%d\",\"type\":\"reading\",%s}", (size_t)(user - users),
                       user->events, (int)getpid(), readings[next_reading++ % readings_count]);
    user->events++;
    must(len > 0 && (size_t)len < cap, "an event's length");
    return bytes_from((const uint8_t *)room, (size_t)len);
}

/* ---- OSCORE over HTTP (RFC 8613 §11) ---- */

static size_t protect(struct connection *line, struct bytes event, char *head, size_t cap, uint8_t *body)
{
    uint8_t random[OSCORE_PART_LEN], room[64], outer_room[2048];
    char option64[64];
    struct bytes option;
    struct coap_body outer;
    struct writer options = writer_over(room, sizeof room), writer = writer_over(outer_room, sizeof outer_room);
    struct coap_option_writer put = coap_options_to(&options);
    coap_put_segments(&put, COAP_URI_PATH, "events", '/');
    coap_put_option_uint(&put, COAP_CONTENT_FORMAT, COAP_FORMAT_JSON);
    const struct coap_body message = {COAP_POST, writer_bytes(&options), event};
    must(crypto_random(random, sizeof random) == OK &&
             oscore_protect_request(&line->user->session, &message, random, &line->request, &writer) == OK &&
             writer_end(&writer) == OK && coap_body_decode(writer_bytes(&writer), &outer) == OK &&
             coap_option_find(outer.options, COAP_OSCORE, &option) &&
             base64url_encode(option, option64, sizeof option64) == OK,
         "protecting a request");
    memcpy(body, outer.payload.data, outer.payload.len);
    snprintf(head, cap, "POST / HTTP/1.1\r\nHost: node\r\nContent-Type: application/oscore\r\nOSCORE: %s\r\n",
             option64);
    return outer.payload.len;
}

/* True: the event was accepted. False: it was the first answer of Appendix B.2, and the request goes out again. */
static bool unprotect(struct connection *line, const char *option64, struct bytes payload)
{
    uint8_t option[64], room[80], plain[2048];
    struct writer value = writer_over(option, sizeof option), options = writer_over(room, sizeof room);
    struct writer text = writer_over(plain, sizeof plain);
    struct coap_option_writer put = coap_options_to(&options);
    struct coap_body message;
    must(option64 && base64url_decode(option64, &value) == OK, "an answer without OSCORE");
    bool empty = value.len == 1 && option[0] == 0;
    coap_put_option(&put, COAP_OSCORE, bytes_from(option, empty ? 0 : value.len));
    const struct coap_body outer = {COAP_CHANGED, writer_bytes(&options), payload};
    enum status status = oscore_unprotect_response(&line->user->session, &line->request, &outer, &text, &message);
    must(status == OK || status == BUSY, "an answer that does not verify");
    must(status == BUSY || (message.code == COAP_CHANGED &&
                            memmem(message.payload.data, message.payload.len, "\"accepted\":1", 12) != NULL),
         "an event that is not accepted");
    return status == OK;
}

/* ---- HTTP ---- */

static void ask(struct connection *line, double due_ns)
{
    char event_room[512], message[4096];
    uint8_t body[2048];
    struct bytes event = next_event(line->user, event_room, sizeof event_room);
    size_t len = event.len;
    line->due_ns = due_ns;
    line->busy = true;
    if (users_count) {
        len = protect(line, event, message, sizeof message, body);
    } else {
        memcpy(body, event.data, len);
        snprintf(message, sizeof message, "POST /events HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\n");
    }
    size_t head = strlen(message);
    head += (size_t)snprintf(message + head, sizeof message - head, "Content-Length: %zu\r\n\r\n", len);
    memcpy(message + head, body, len);
    must(send(line->fd, message, head + len, MSG_NOSIGNAL) == (ssize_t)(head + len), "sending");
}

static char *header_of(char *head, const char *name)
{
    for (char *at = strstr(head, "\r\n"); at; at = strstr(at, "\r\n")) {
        at += 2;
        if (strncasecmp(at, name, strlen(name)) == 0)
            return at + strlen(name) + strspn(at + strlen(name), " ");
    }
    return NULL;
}

/* True when a whole answer came, and that it is the right one is checked. */
static bool take_answer(struct connection *line, bool *accepted)
{
    ssize_t got = recv(line->fd, line->text + line->len, sizeof line->text - 1 - line->len, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    must(got > 0, "a connection that ends");
    line->len += (size_t)got;
    line->text[line->len] = 0;
    char *end = strstr(line->text, "\r\n\r\n");
    if (!end)
        return false;
    *end = 0;
    const char *length = header_of(line->text, "Content-Length:");
    size_t body_len = length ? strtoul(length, NULL, 10) : 0, head_len = (size_t)(end - line->text) + 4;
    if (line->len < head_len + body_len) {
        *end = '\r';
        return false;
    }
    must(strncmp(line->text, users_count ? "HTTP/1.1 200" : "HTTP/1.1 204", 12) == 0, line->text);
    char *option = users_count ? header_of(line->text, "OSCORE:") : NULL;
    if (option)
        option[strcspn(option, "\r")] = 0;
    *accepted = !users_count || unprotect(line, option, bytes_from((uint8_t *)line->text + head_len, body_len));
    line->len = 0;
    line->busy = false;
    return true;
}

static void open_connection(struct connection *line, const struct sockaddr_in *address)
{
    int on = 1;
    line->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(line->fd >= 0 && connect(line->fd, (const struct sockaddr *)address, sizeof *address) == 0 &&
             setsockopt(line->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0,
         "connecting");
}

/* A session begins with one request at a time (Appendix B.2). */
static void begin_session(struct connection *line)
{
    bool accepted = false;
    for (int tries = 0; !accepted; tries++) {
        must(tries < 4, "a session that does not begin");
        ask(line, bench_now_ns());
        while (!take_answer(line, &accepted))
            continue;
    }
}

static void read_secret(struct user *user, const char *path)
{
    uint8_t room[OSCORE_INPUT_MAX];
    struct oscore_input input;
    FILE *file = fopen(path, "re");
    must(file != NULL, path);
    size_t len = fread(room, 1, sizeof room, file);
    fclose(file);
    must(oscore_input_decode(bytes_from(room, len), &input) == OK &&
             oscore_session_init(&user->session, OSCORE_CLIENT, &input) == OK,
         "a client's secret");
    oscore_input_wipe(&input);
    wipe(room, sizeof room);
}

/* ---- Load ---- */

static void finish(struct connection *line, double counted_from_ns)
{
    double now = bench_now_ns();
    if (line->due_ns >= counted_from_ns && took_count < TOOK_MAX)
        took_ns[took_count++] = now - line->due_ns;
}

static void load(double seconds, double rate)
{
    struct epoll_event events[64];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    double begin = bench_now_ns(), end = begin + seconds * 1e9, counted = begin + seconds * WARM_UP * 1e9;
    double due = begin, step = rate > 0 ? 1e9 / rate : 0, heard = begin;
    size_t next = 0, busy = 0;
    for (size_t i = 0; i < connections_count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
        must(epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].fd, &event) == 0, "epoll");
    }
    for (;;) {
        double now = bench_now_ns();
        while (now < end && busy < connections_count && (rate == 0 || due <= now)) {
            while (connections[next].busy)
                next = (next + 1) % connections_count;
            ask(&connections[next], rate > 0 ? due : now);
            due += step;
            busy++;
        }
        if (now >= end && busy == 0)
            break;
        must(now - heard < STUCK_MS * 1e6, "no answer for a long time");
        bool wait_due = rate > 0 && now < end && busy < connections_count;
        double wait_ns = !wait_due ? 1e8 : due > now ? due - now : 0;
        struct timespec wait = {0, (long)(wait_ns < 1e8 ? wait_ns : 1e8)};
        int ready = epoll_pwait2(epoll, events, 64, &wait, NULL);
        for (int i = 0; i < ready; i++) {
            bool accepted = true;
            if (!take_answer(events[i].data.ptr, &accepted))
                continue;
            must(accepted, "a session that began anew");
            finish(events[i].data.ptr, counted);
            heard = bench_now_ns();
            busy--;
        }
    }
    close(epoll);
}

static int by_size(const void *left, const void *right)
{
    const double *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

int main(int argc, char **argv)
{
    must(argc >= 6 && argc - 6 <= CLIENTS_MAX, "PORT CONNECTIONS SECONDS RATE READINGS [SECRET...]");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    double seconds = atof(argv[3]), rate = atof(argv[4]);
    connections_count = strtoul(argv[2], NULL, 10);
    users_count = (size_t)argc - 6;
    took_ns = malloc(TOOK_MAX * sizeof *took_ns);
    must(connections_count > 0 && connections_count <= CONNECTIONS_MAX && seconds > 0 && took_ns, "arguments");
    must(crypto_init() == OK && inet_pton(AF_INET, "127.0.0.1", &address.sin_addr) == 1, "starting");
    read_readings(argv[5]);
    for (size_t i = 0; i < connections_count; i++) {
        connections[i].user = &users[users_count ? i % users_count : 0];
        open_connection(&connections[i], &address);
    }
    for (size_t i = 0; i < users_count; i++) {
        read_secret(&users[i], argv[6 + i]);
        if (i < connections_count)
            begin_session(&connections[i]);
    }
    load(seconds, rate);
    must(took_count > 100, "too few answers");
    qsort(took_ns, took_count, sizeof *took_ns, by_size);
    printf("%.1f %.3f %.3f\n", (double)took_count / (seconds * (1 - WARM_UP)), took_ns[took_count / 2] / 1e6,
           took_ns[took_count * 99 / 100] / 1e6);
    return 0;
}
