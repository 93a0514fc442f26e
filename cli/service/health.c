/* How the node is: what bastided answers, and what the logs say went wrong. */
#include "service.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define TAIL_MAX (64 * 1024) /* of a log: the last lines are in it */

static bool parse_address(const char *text, struct sockaddr_storage *address, socklen_t *len)
{
    char url[128], host[96];
    service_url("x", text, url, sizeof url);
    const char *begin = url + 4, *colon = strrchr(begin, ':');
    if (!colon || (size_t)(colon - begin) >= sizeof host)
        return false;
    bool six = *begin == '[';
    snprintf(host, sizeof host, "%.*s", (int)(colon - begin - (six ? 2 : 0)), begin + (six ? 1 : 0));
    uint16_t port = htons((uint16_t)atoi(colon + 1));
    if (six) {
        struct sockaddr_in6 made = {.sin6_family = AF_INET6, .sin6_port = port};
        memcpy(address, &made, sizeof made);
        *len = sizeof made;
        return inet_pton(AF_INET6, host, &((struct sockaddr_in6 *)address)->sin6_addr) == 1;
    }
    struct sockaddr_in made = {.sin_family = AF_INET, .sin_port = port};
    memcpy(address, &made, sizeof made);
    *len = sizeof made;
    return inet_pton(AF_INET, host, &((struct sockaddr_in *)address)->sin_addr) == 1;
}

/* The status of the answer to one request; 0: none came. */
static int ask(const char *http_address, int timeout_ms, const char *question)
{
    struct sockaddr_storage address;
    socklen_t address_len;
    char answer[16] = "";
    const struct timeval patience = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    if (!parse_address(http_address, &address, &address_len))
        return 0;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    ssize_t got = -1;
    if (connect(fd, (const struct sockaddr *)&address, address_len) == 0 &&
        send(fd, question, strlen(question), MSG_NOSIGNAL) == (ssize_t)strlen(question))
        got = recv(fd, answer, 12, MSG_WAITALL);
    close(fd);
    return got == 12 && strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0;
}

/* An enclave that is up may still be loading its store, and refuses everybody until it has: a message of EDHOC that is
 * none is refused for what it is once it is done. */
enum service_health service_health(const char *http_address, int timeout_ms)
{
    int status = ask(http_address, timeout_ms, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    if (status != 200)
        return status == 503 ? SERVICE_DOWN : SERVICE_UNREACHABLE;
    status = ask(http_address, timeout_ms,
                 "POST /.well-known/edhoc HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                 "Content-Type: application/cid-edhoc+cbor-seq\r\nContent-Length: 1\r\n\r\n0");
    return status == 0 ? SERVICE_UNREACHABLE : status >= 500 ? SERVICE_DOWN : SERVICE_UP;
}

static const char *log_path(const struct cli *cli, const char *name, char *room)
{
    char file[96];
    snprintf(file, sizeof file, "run/%s.log", name);
    return cli_path(cli, file, room);
}

long service_log_len(const struct cli *cli, const char *name)
{
    char path[PATH_MAX];
    struct stat facts;
    return stat(log_path(cli, name, path), &facts) == 0 ? (long)facts.st_size : 0;
}

/* The last line behind `from` that `wants` takes, in `line`. */
static bool last_line(const struct cli *cli, const char *name, long from, bool (*wants)(const char *line), char *line,
                      size_t cap)
{
    char path[PATH_MAX], next[2048];
    bool found = false;
    FILE *file = fopen(log_path(cli, name, path), "re");
    if (!file)
        return false;
    long len = service_log_len(cli, name);
    from = len < from ? 0 : len - from > TAIL_MAX ? len - TAIL_MAX : from;
    if (fseek(file, from, SEEK_SET) == 0)
        while (fgets(next, sizeof next, file))
            if (wants(next)) {
                snprintf(line, cap, "%s", next);
                found = true;
            }
    fclose(file);
    return found;
}

static bool is_complaint(const char *line)
{
    return strstr(line, "reason=\"") && (strncmp(line, "error ", 6) == 0 || strncmp(line, "warning ", 8) == 0);
}

static bool is_error(const char *line)
{
    return strstr(line, "reason=\"") && strncmp(line, "error ", 6) == 0;
}

bool service_log_reason(const struct cli *cli, const char *name, long from, char *text, size_t cap)
{
    char line[2048];
    if (!last_line(cli, name, from, is_error, line, sizeof line) &&
        !last_line(cli, name, from, is_complaint, line, sizeof line))
        return false;
    const char *begin = strstr(line, "reason=\"") + 8;
    const char *end = strrchr(begin, '"');
    snprintf(text, cap, "%.*s", (int)(end ? end - begin : (long)strcspn(begin, "\n")), begin);
    return true;
}

static bool is_wall(const char *line)
{
    return strstr(line, " wall_missing ") && strstr(line, " wall=") && strstr(line, " advice=\"");
}

bool service_log_wall(const struct cli *cli, long from, char *text, size_t cap)
{
    char line[2048];
    if (!last_line(cli, "keyholder", from, is_wall, line, sizeof line))
        return false;
    const char *wall = strstr(line, " wall=") + 6, *advice = strstr(line, " advice=\"") + 9;
    snprintf(text, cap, "the wall %.*s is missing: %.*s", (int)strcspn(wall, " "), wall, (int)strcspn(advice, "\"\n"),
             advice);
    return true;
}

static bool is_audit(const char *line)
{
    return strstr(line, " audit text=\"") != NULL;
}

bool service_log_audit(const struct cli *cli, const char *name, long from, char *text, size_t cap)
{
    char line[2048];
    if (!last_line(cli, name, from, is_audit, line, sizeof line))
        return false;
    const char *begin = strstr(line, " audit text=\"") + 13, *end = strrchr(begin, '"');
    snprintf(text, cap, "%.*s", (int)(end ? end - begin : (long)strcspn(begin, "\n")), begin);
    return true;
}

static bool is_death(const char *line)
{
    return strstr(line, " enclave_died ") && strstr(line, "(exit code ");
}

int service_log_refusal(const struct cli *cli, long from)
{
    char line[2048];
    if (!last_line(cli, "keyholder", from, is_death, line, sizeof line))
        return 0;
    int code = atoi(strstr(line, "(exit code ") + 11);
    return code == CLI_DENIED || (code >= CLI_ROLLED_BACK && code <= CLI_IMAGE) ? code : 0;
}
