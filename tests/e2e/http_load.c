/* Keep-alive connections that post over and over: http_load PORT CONNECTIONS REQUESTS [BODY]. Fails unless every answer
 * is 200 with the body that was sent; prints requests per second. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct line {
    int fd;
    size_t len;
    char text[1024];
};

static char request[4096];
static const char *body = "hello";

static void fail(const char *what)
{
    fprintf(stderr, "http_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void ask(const struct line *line)
{
    size_t len = strlen(request);
    if (send(line->fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
        fail("send");
}

/* True when a whole answer is there. */
static bool answered(struct line *line)
{
    ssize_t got = recv(line->fd, line->text + line->len, sizeof line->text - 1 - line->len, 0);
    if (got <= 0)
        fail("closed before the answer");
    line->len += (size_t)got;
    line->text[line->len] = 0;
    const char *end = strstr(line->text, "\r\n\r\n");
    if (!end || strlen(end + 4) < strlen(body))
        return false;
    if (strncmp(line->text, "HTTP/1.1 200 ", 13) != 0 || strcmp(end + 4, body) != 0 ||
        !strstr(line->text, "OSCORE: CSU\r\n"))
        fail(line->text);
    line->len = 0;
    return true;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    size_t count = (size_t)atoi(argv[2]);
    unsigned long wanted = strtoul(argv[3], NULL, 10), asked = 0, done = 0;
    struct rlimit files = {4096, 4096};
    if (argc > 4)
        body = argv[4];
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        fail("descriptor limit");
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    snprintf(request, sizeof request,
             "POST / HTTP/1.1\r\nHost: node\r\nContent-Type: application/oscore\r\nOSCORE: CSU\r\nContent-Length: "
             "%zu\r\n\r\n%s",
             strlen(body), body);
    struct line *lines = calloc(count, sizeof *lines);
    int epoll = epoll_create1(0);
    for (size_t i = 0; i < count; i++) {
        int on = 1;
        lines[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(lines[i].fd, (struct sockaddr *)&address, sizeof address) < 0)
            fail("connect");
        setsockopt(lines[i].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &lines[i]};
        epoll_ctl(epoll, EPOLL_CTL_ADD, lines[i].fd, &event);
    }
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (size_t i = 0; i < count && asked < wanted; i++, asked++)
        ask(&lines[i]);
    while (done < wanted) {
        struct epoll_event events[64];
        int ready = epoll_wait(epoll, events, 64, 10000);
        if (ready <= 0)
            fail("no answer within 10 s");
        for (int i = 0; i < ready; i++) {
            if (!answered(events[i].data.ptr))
                continue;
            done++;
            if (asked < wanted) {
                ask(events[i].data.ptr);
                asked++;
            }
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    printf("%lu requests over %zu connections, %.0f a second\n", done, count, (double)done / seconds);
    return 0;
}
