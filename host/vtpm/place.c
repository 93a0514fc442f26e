/* Where a channel listens: a path, a port, or a socket that was opened for us. */
#include "vtpm_host_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

union address {
    struct sockaddr any;
    struct sockaddr_un path;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

/* The length of the address, or 0 and *why. */
static socklen_t address_of(const struct vtpm_place *place, union address *address, const char **why)
{
    memset(address, 0, sizeof *address);
    if (place->kind == VTPM_AT_PATH) {
        *why = "a socket's path is too long";
        if (strlen(place->path) >= sizeof address->path.sun_path)
            return 0;
        address->path.sun_family = AF_UNIX;
        memcpy(address->path.sun_path, place->path, strlen(place->path));
        return sizeof address->path;
    }
    if (inet_pton(AF_INET, place->address, &address->four.sin_addr) == 1) {
        address->four.sin_family = AF_INET;
        address->four.sin_port = htons(place->port);
        return sizeof address->four;
    }
    *why = "bindaddr is neither an IPv4 nor an IPv6 address";
    if (inet_pton(AF_INET6, place->address, &address->six.sin6_addr) != 1)
        return 0;
    address->six.sin6_family = AF_INET6;
    address->six.sin6_port = htons(place->port);
    *why = "ifname is no network interface of this machine";
    address->six.sin6_scope_id = place->interface ? if_nametoindex(place->interface) : 0;
    return place->interface && address->six.sin6_scope_id == 0 ? 0 : (socklen_t)sizeof address->six;
}

static int take_listener(int fd, const char **why)
{
    int listens = 0, flags = fcntl(fd, F_GETFL);
    socklen_t len = sizeof listens;
    *why = "the descriptor that was given is not a socket that listens";
    if (flags < 0 || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || !listens)
        return -1;
    return fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? fd : -1;
}

static bool bind_path(int fd, const struct vtpm_place *place, const union address *address, socklen_t len)
{
    struct stat facts;
    if (lstat(place->path, &facts) == 0 && S_ISSOCK(facts.st_mode))
        unlink(place->path); /* of one that is gone: the archive's lock says so */
    mode_t before = umask(0777 & ~place->mode);
    bool bound = bind(fd, &address->any, len) == 0;
    umask(before);
    const bool own = place->uid != (uid_t)-1 || place->gid != (gid_t)-1;
    return bound && (!own || lchown(place->path, place->uid, place->gid) == 0);
}

int place_listen(const struct vtpm_place *place, const char **why)
{
    const int on = 1;
    union address address;
    if (place->kind == VTPM_AT_LISTENER)
        return take_listener(place->fd, why);
    socklen_t len = address_of(place, &address, why);
    if (len == 0)
        return -1;
    *why = place->kind == VTPM_AT_PATH ? "a socket cannot be bound at the given path, or not given to its owner"
                                       : "the given port cannot be bound";
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool good = fd >= 0;
    if (good && place->kind == VTPM_AT_PATH)
        good = bind_path(fd, place, &address, len);
    else if (good)
        good = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 && bind(fd, &address.any, len) == 0;
    if (good && listen(fd, BACKLOG) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

void place_leave(const struct vtpm_place *place, int fd)
{
    if (fd < 0)
        return;
    close(fd);
    if (place->kind == VTPM_AT_PATH)
        unlink(place->path);
}
