/* --ctrl and --server: where the two channels are. */
#include "vtpm_options_internal.h"

#include <limits.h>
#include <string.h>

enum { TYPE, PATH, PORT, ADDRESS, INTERFACE, FD, CLIENT, MODE, UID, GID, DISCONNECT };

#define OWNER_MAX 0xfffffffeul /* -1 means nobody */

static const struct key server_keys[] = {
    [TYPE] = {.name = "type", .kind = KEY_TEXT},
    [PATH] = {.name = "path", .kind = KEY_TEXT},
    [PORT] = {.name = "port", .kind = KEY_NUMBER, .most = 65535},
    [ADDRESS] = {.name = "bindaddr", .kind = KEY_TEXT},
    [INTERFACE] = {.name = "ifname", .kind = KEY_TEXT},
    [FD] = {.name = "fd", .kind = KEY_NUMBER, .most = INT_MAX},
    [CLIENT] = {.name = "clientfd", .kind = KEY_REFUSED, .refused_as = "a data connection is given by fd="},
    [MODE] = {.name = "mode", .kind = KEY_MODE},
    [UID] = {.name = "uid", .kind = KEY_NUMBER, .most = OWNER_MAX},
    [GID] = {.name = "gid", .kind = KEY_NUMBER, .most = OWNER_MAX},
    [DISCONNECT] = {.name = "disconnect", .kind = KEY_FLAG},
    {0}};

static const struct key control_keys[] = {[TYPE] = {.name = "type", .kind = KEY_TEXT},
                                          [PATH] = {.name = "path", .kind = KEY_TEXT},
                                          [PORT] = {.name = "port", .kind = KEY_NUMBER, .most = 65535},
                                          [ADDRESS] = {.name = "bindaddr", .kind = KEY_TEXT},
                                          [INTERFACE] = {.name = "ifname", .kind = KEY_TEXT},
                                          [FD] = {.name = "fd", .kind = KEY_NUMBER, .most = INT_MAX},
                                          [CLIENT] = {.name = "clientfd", .kind = KEY_NUMBER, .most = INT_MAX},
                                          [MODE] = {.name = "mode", .kind = KEY_MODE},
                                          [UID] = {.name = "uid", .kind = KEY_NUMBER, .most = OWNER_MAX},
                                          [GID] = {.name = "gid", .kind = KEY_NUMBER, .most = OWNER_MAX},
                                          {0}};

struct vtpm_place place_of_port(uint16_t port)
{
    return (struct vtpm_place){
        .kind = VTPM_AT_PORT, .address = "127.0.0.1", .port = port, .uid = (uid_t)-1, .gid = (gid_t)-1, .fd = -1};
}

/* Exactly one of what says where; and nothing that would say more than that can have. */
static enum status check_kind(const struct complaint *at, const struct value *values, bool is_unix)
{
    const bool by_fd = values[FD].given || values[CLIENT].given;
    if (values[FD].given && values[CLIENT].given)
        return complain(at, MALFORMED, "fd and clientfd exclude each other");
    if (values[CLIENT].given && !is_unix)
        return complain(at, MALFORMED, "clientfd is for type=unixio only");
    if (is_unix && (values[PORT].given || values[ADDRESS].given || values[INTERFACE].given))
        return complain(at, MALFORMED, "port, bindaddr and ifname are for type=tcp only");
    if (!is_unix && (values[PATH].given || values[MODE].given || values[UID].given || values[GID].given))
        return complain(at, MALFORMED, "path, mode, uid and gid are for type=unixio only");
    if (by_fd == (is_unix ? values[PATH].given : values[PORT].given))
        return complain(at, MALFORMED, "needs %s or a descriptor, and not both", is_unix ? "path=" : "port=");
    if (by_fd && (values[MODE].given || values[UID].given || values[GID].given || values[ADDRESS].given))
        return complain(at, MALFORMED, "a descriptor has its address, owner and mode already");
    if (!is_unix && values[PORT].given && values[PORT].number == 0)
        return complain(at, MALFORMED, "port=0 is nobody's: give one from 1 to 65535");
    if (values[INTERFACE].given && !values[ADDRESS].given)
        return complain(at, MALFORMED, "ifname needs bindaddr=, a link-local address of that interface");
    return OK;
}

static enum status place_of(const struct complaint *at, const struct value *values, bool type_needed,
                            struct vtpm_place *place)
{
    struct vtpm_place found = place_of_port((uint16_t)values[PORT].number);
    const char *type = values[TYPE].given ? values[TYPE].text : "tcp";
    const bool is_unix = strcmp(type, "unixio") == 0;
    if (type_needed && !values[TYPE].given)
        return complain(at, MALFORMED, "needs type=unixio or type=tcp");
    if (!is_unix && strcmp(type, "tcp") != 0)
        return complain(at, MALFORMED, "type=%.40s is not known: give unixio or tcp", type);
    TRY(check_kind(at, values, is_unix));
    found.path = values[PATH].text;
    found.mode = values[MODE].given ? (mode_t)values[MODE].number : 0600;
    if (values[UID].given)
        found.uid = (uid_t)values[UID].number;
    if (values[GID].given)
        found.gid = (gid_t)values[GID].number;
    if (values[ADDRESS].given)
        found.address = values[ADDRESS].text;
    found.interface = values[INTERFACE].text;
    if (is_unix)
        found.kind = VTPM_AT_PATH;
    if (values[FD].given || values[CLIENT].given) {
        found.kind = values[FD].given ? VTPM_AT_LISTENER : VTPM_AT_CLIENT;
        found.fd = (int)values[values[FD].given ? FD : CLIENT].number;
    }
    *place = found;
    return OK;
}

enum status take_control(const struct complaint *at, char *text, struct vtpm_place *place)
{
    struct value values[KEYS_MAX] = {{0}};
    TRY(take_list(at, text, control_keys, values));
    return place_of(at, values, true, place);
}

/* swtpm reads commands from a data descriptor itself, and takes no other connection. */
enum status take_server(const struct complaint *at, char *text, struct vtpm_place *place, bool *disconnect)
{
    struct value values[KEYS_MAX] = {{0}};
    TRY(take_list(at, text, server_keys, values));
    TRY(place_of(at, values, false, place));
    if (place->kind == VTPM_AT_LISTENER)
        place->kind = VTPM_AT_CLIENT;
    *disconnect = values[DISCONNECT].given;
    return OK;
}
