/* The way to the TPM: a character device or a software TPM's socket, as a TCTI in which no wait is without end. */
#include "tpm_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LINK_MAGIC 0x42415354494445ull
#define RESPONSE_HEADER_LEN 10

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool wait_for(const struct tpm_link *link, short events, int64_t until_ms)
{
    for (;;) {
        int64_t left = until_ms - now_ms();
        struct pollfd waited = {.fd = link->fd, .events = events};
        int ready = left > 0 ? poll(&waited, 1, (int)left) : 0;
        if (ready > 0)
            return (waited.revents & events) != 0;
        if (ready == 0 || errno != EINTR)
            return false;
    }
}

static TSS2_RC broken(struct tpm_link *link)
{
    link->dead = true;
    return TSS2_TCTI_RC_IO_ERROR;
}

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *context, size_t len, const uint8_t *command)
{
    struct tpm_link *link = (struct tpm_link *)context;
    int64_t until_ms = now_ms() + link->timeout_ms;
    if (link->dead)
        return TSS2_TCTI_RC_IO_ERROR;
    for (size_t sent = 0; sent < len;) {
        if (!wait_for(link, POLLOUT, until_ms))
            return broken(link);
        ssize_t got = link->is_socket ? send(link->fd, command + sent, len - sent, MSG_NOSIGNAL)
                                      : write(link->fd, command + sent, len - sent);
        if (got > 0)
            sent += (size_t)got;
        else if (errno != EINTR && errno != EAGAIN)
            return broken(link);
    }
    return TSS2_RC_SUCCESS;
}

/* How long the response says it is; the header's length until that is known. */
static size_t response_len(const uint8_t *response, size_t have)
{
    struct reader reader = reader_over(bytes_from(response, have));
    if (have < RESPONSE_HEADER_LEN)
        return RESPONSE_HEADER_LEN;
    (void)take_u16be(&reader);
    return take_u32be(&reader);
}

/* ESYS asks with a timeout of -1 or 0 and calls again; ours bounds every command instead. */
static TSS2_RC receive(TSS2_TCTI_CONTEXT *context, size_t *len, uint8_t *response, int32_t timeout)
{
    struct tpm_link *link = (struct tpm_link *)context;
    int64_t until_ms = now_ms() + link->timeout_ms;
    size_t have = 0;
    (void)timeout;
    if (link->dead)
        return TSS2_TCTI_RC_IO_ERROR;
    if (!response) {
        *len = LINK_BUFFER_LEN;
        return TSS2_RC_SUCCESS;
    }
    while (have < response_len(response, have)) {
        /* A device gives a response whole and loses what is not taken; a socket must not be read past this one. */
        size_t want = link->is_socket ? response_len(response, have) - have : *len;
        if (want > *len - have || !wait_for(link, POLLIN, until_ms))
            return broken(link);
        ssize_t got = read(link->fd, response + have, want);
        if (got > 0)
            have += (size_t)got;
        else if (got == 0 || (errno != EINTR && errno != EAGAIN))
            return broken(link);
    }
    *len = have;
    return TSS2_RC_SUCCESS;
}

static int connect_bounded(int fd, const struct sockaddr *address, socklen_t len, int timeout_ms)
{
    struct tpm_link probe = {.fd = fd};
    int error = 0;
    socklen_t error_len = sizeof error;
    if (connect(fd, address, len) == 0)
        return 0;
    if (errno != EINPROGRESS && errno != EAGAIN)
        return -1;
    if (!wait_for(&probe, POLLOUT, now_ms() + timeout_ms))
        return errno = ETIMEDOUT, -1;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len) != 0 || error)
        return errno = error, -1;
    return 0;
}

static int open_path(const char *path, int timeout_ms)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return errno = ENAMETOOLONG, -1;
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect_bounded(fd, (const struct sockaddr *)&address, sizeof address, timeout_ms) == 0)
        return fd;
    int error = errno;
    if (fd >= 0)
        close(fd);
    return errno = error, -1;
}

/* "host=ADDRESS,port=NUMBER"; addresses only, so that nothing is looked up in files or by DNS. */
static int open_host(const char *options, int timeout_ms)
{
    char host[64], port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *found = NULL;
    if (sscanf(options, "host=%63[^,],port=%7[0-9]", host, port) != 2 || getaddrinfo(host, port, &hints, &found) != 0)
        return errno = EINVAL, -1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int made = fd < 0 ? -1 : connect_bounded(fd, found->ai_addr, found->ai_addrlen, timeout_ms);
    int error = errno;
    freeaddrinfo(found);
    if (made == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return errno = error, -1;
}

static int open_device(const char *path)
{
    struct stat facts;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd >= 0 && (fstat(fd, &facts) != 0 || !S_ISCHR(facts.st_mode))) {
        close(fd);
        return errno = ENODEV, -1;
    }
    return fd;
}

static const char *after(const char *text, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

enum status link_open(struct tpm_link *link, const char *tcti, bool insecure_dev, int timeout_ms,
                      char error[TPM_ERROR_MAX])
{
    const char *device = after(tcti, "device:"), *soft = after(tcti, "swtpm:");
    if (!device && !soft) {
        snprintf(error, TPM_ERROR_MAX, "%.80s names no TPM: device:/dev/tpmrm0, swtpm:path=… or swtpm:host=…,port=…",
                 tcti);
        return DENIED;
    }
    if (insecure_dev != (soft != NULL)) {
        snprintf(error, TPM_ERROR_MAX,
                 insecure_dev ? "development mode wants a software TPM (swtpm:…), not %.60s"
                              : "%.60s is a software TPM: only --insecure-dev may use one",
                 tcti);
        return DENIED;
    }
    const char *path = soft ? after(soft, "path=") : NULL;
    int fd = device ? open_device(device) : path ? open_path(path, timeout_ms) : open_host(soft, timeout_ms);
    if (fd < 0) {
        snprintf(error, TPM_ERROR_MAX, "the TPM at %.80s cannot be reached: %s", tcti, strerror(errno));
        return IO;
    }
    *link = (struct tpm_link){.fd = fd, .timeout_ms = timeout_ms, .is_socket = soft != NULL};
    link->common =
        (TSS2_TCTI_CONTEXT_COMMON_V1){.magic = LINK_MAGIC, .version = 1, .transmit = transmit, .receive = receive};
    return OK;
}

void link_close(struct tpm_link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
}
