/* Where a hub is: coap://HOST[:PORT] or http://HOST[:PORT], nothing behind it. */
#include "client_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool host_letter(char letter, bool bracketed)
{
    if (bracketed)
        return isxdigit((unsigned char)letter) || letter == ':' || letter == '.';
    return isalnum((unsigned char)letter) || letter == '-' || letter == '.' || letter == '_';
}

/* Takes the host off the front. NULL: there is none. */
static const char *take_host(const char *text, struct client_url *url)
{
    bool bracketed = *text == '[';
    size_t len = 0;
    text += bracketed;
    while (host_letter(text[len], bracketed))
        len++;
    if (len == 0 || len >= sizeof url->host || (bracketed && text[len] != ']'))
        return NULL;
    memcpy(url->host, text, len);
    url->host[len] = 0;
    return text + len + bracketed;
}

static const char *take_port(const char *text, struct client_url *url)
{
    if (*text != ':') {
        snprintf(url->port, sizeof url->port, "%s", url->http ? "80" : "5683");
        return text;
    }
    size_t len = strspn(text + 1, "0123456789");
    if (len == 0 || len >= sizeof url->port || text[1] == '0')
        return NULL;
    memcpy(url->port, text + 1, len);
    url->port[len] = 0;
    return strtoul(url->port, NULL, 10) <= UINT16_MAX ? text + 1 + len : NULL;
}

enum status client_url_parse(const char *text, struct client_url *url)
{
    static const char coap[] = "coap://", http[] = "http://";
    struct client_url made = {0};
    if (!text)
        return MALFORMED;
    made.http = strncmp(text, http, sizeof http - 1) == 0;
    if (!made.http && strncmp(text, coap, sizeof coap - 1) != 0)
        return MALFORMED;
    const char *rest = take_host(text + sizeof http - 1, &made);
    _Static_assert(sizeof http == sizeof coap, "both schemes are equally long");
    if (rest)
        rest = take_port(rest, &made);
    if (!rest || strcmp(rest, *rest == '/' ? "/" : "") != 0)
        return MALFORMED;
    snprintf(made.base, sizeof made.base, "%.*s", (int)(rest - text), text);
    *url = made;
    return OK;
}
