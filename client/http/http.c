/* RFC 8613 §11 over libcurl: each pending request has an easy handle that keeps its connection. Nothing of the
 * environment — proxies, .netrc — has a say, and no redirection is followed. */
#include "client_http.h"
#include "client_internal.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CONNECT_MS 5000L
#define BODY_FIRST 4096u
#define OPTION_BYTES_MAX 255u
#define EDHOC_PATH "/.well-known/edhoc"

/* Of one place for a request: the next one there takes it over, connection and all. */
struct http_transfer {
    CURL *easy;
    struct curl_slist *headers;
    uint8_t *body;
    size_t len, cap;
    char option[512]; /* the OSCORE header field's value */
    unsigned option_count;
    bool active, too_long;
};

static enum status http_open(struct client *client, char *why, size_t cap)
{
    bool begun = curl_global_init(CURL_GLOBAL_NOTHING) == CURLE_OK;
    CURLM *multi = begun ? curl_multi_init() : NULL;
    if (multi && curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)CLIENT_PENDING_MAX) == CURLM_OK) {
        client->carrier = multi;
        return OK;
    }
    if (multi)
        (void)curl_multi_cleanup(multi);
    if (begun)
        curl_global_cleanup();
    snprintf(why, cap, "out of memory");
    return NO_ROOM;
}

static void http_cancel(struct client *client, struct client_pending *pending)
{
    struct http_transfer *transfer = pending->transfer;
    if (!transfer)
        return;
    if (transfer->active)
        (void)curl_multi_remove_handle(client->carrier, transfer->easy);
    transfer->active = false;
    curl_slist_free_all(transfer->headers);
    transfer->headers = NULL;
}

static void http_close(struct client *client)
{
    for (size_t i = 0; i < SLOTS; i++) {
        struct http_transfer *transfer = client->pending[i].transfer;
        if (!transfer)
            continue;
        http_cancel(client, &client->pending[i]);
        curl_easy_cleanup(transfer->easy);
        free(transfer->body);
        free(transfer);
        client->pending[i].transfer = NULL;
    }
    if (!client->carrier)
        return; /* it was never open */
    (void)curl_multi_cleanup(client->carrier);
    curl_global_cleanup();
}

/* ---- One transfer ---- */

static size_t take_body(char *data, size_t size, size_t count, void *user)
{
    struct http_transfer *transfer = user;
    size_t len = size * count;
    if (len > OUTER_MAX - transfer->len) {
        transfer->too_long = true;
        return 0;
    }
    if (len > transfer->cap - transfer->len) {
        size_t cap = transfer->cap ? transfer->cap : BODY_FIRST;
        while (len > cap - transfer->len)
            cap *= 2;
        uint8_t *grown = realloc(transfer->body, cap);
        if (!grown)
            return 0;
        transfer->body = grown;
        transfer->cap = cap;
    }
    memcpy(transfer->body + transfer->len, data, len);
    transfer->len += len;
    return len;
}

static size_t take_header(char *data, size_t size, size_t count, void *user)
{
    static const char name[] = "OSCORE:";
    struct http_transfer *transfer = user;
    size_t len = size * count, off = sizeof name - 1;
    if (len >= 5 && memcmp(data, "HTTP/", 5) == 0)
        transfer->option_count = 0; /* what came before was an interim answer's */
    if (len < off || strncasecmp(data, name, off) != 0)
        return len;
    while (off < len && (data[off] == ' ' || data[off] == '\t'))
        off++;
    size_t end = len;
    while (end > off && strchr(" \t\r\n", data[end - 1]))
        end--;
    /* One too long for its room is none that decodes. */
    snprintf(transfer->option, sizeof transfer->option, "%.*s", (int)(end - off), data + off);
    transfer->option_count++;
    return len;
}

static bool set_up(struct client_pending *pending)
{
    struct http_transfer *transfer = pending->transfer;
    if (!transfer)
        transfer = pending->transfer = calloc(1, sizeof *transfer);
    if (!transfer || transfer->easy)
        return transfer != NULL;
    CURL *easy = curl_easy_init();
    if (!easy)
        return false;
    if (curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http") != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_PROXY, "") != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_POST, 1L) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_PRIVATE, pending) != CURLE_OK) {
        curl_easy_cleanup(easy);
        return false;
    }
    transfer->easy = easy;
    return true;
}

static bool add_header(struct http_transfer *transfer, const char *line)
{
    struct curl_slist *longer = curl_slist_append(transfer->headers, line);
    if (longer)
        transfer->headers = longer;
    return longer != NULL;
}

/* RFC 8613 §11.3: the OSCORE option as base64url, "AA" for an empty one; POST to the root, for the path is inside. */
static bool put_headers(struct http_transfer *transfer, const struct coap_body *outer, bool *protected)
{
    static const uint8_t zero[1] = {0};
    char line[16 + OPTION_BYTES_MAX * 4 / 3 + 4] = "OSCORE: ";
    struct bytes option;
    *protected = coap_option_find(outer->options, COAP_OSCORE, &option);
    if (*protected && base64url_encode(option.len ? option : BYTES_OF(zero), line + 8, sizeof line - 8) != OK)
        return false;
    /* "Expect:" alone keeps libcurl from asking whether it may go on. */
    return add_header(transfer, *protected ? "Content-Type: application/oscore"
                                           : "Content-Type: application/cid-edhoc+cbor-seq") &&
           add_header(transfer, "Expect:") && (!*protected || add_header(transfer, line));
}

static enum status http_send(struct client *client, struct client_pending *pending, const struct coap_body *outer)
{
    char url[ADDRESS_MAX + sizeof EDHOC_PATH];
    bool protected;
    if (!set_up(pending) || !put_headers(pending->transfer, outer, &protected)) {
        http_cancel(client, pending);
        return INTERNAL;
    }
    struct http_transfer *transfer = pending->transfer;
    snprintf(url, sizeof url, "%s%s", client->url.base, protected ? "/" : EDHOC_PATH);
    transfer->len = 0;
    transfer->option_count = 0;
    transfer->too_long = false;
    CURL *easy = transfer->easy;
    long limit = (long)(pending->attempt_until_ms - client->now_ms);
    const char *body = outer->payload.len ? (const char *)outer->payload.data : "";
    if (curl_easy_setopt(easy, CURLOPT_URL, url) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, limit) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)outer->payload.len) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body) != CURLE_OK ||
        curl_multi_add_handle(client->carrier, easy) != CURLM_OK) {
        http_cancel(client, pending);
        return INTERNAL;
    }
    transfer->active = true;
    return OK;
}

/* ---- Its end ---- */

static uint8_t code_of(long http)
{
    static const struct {
        long http;
        uint8_t code;
    } codes[] = {{200, COAP_CHANGED},          {204, COAP_CHANGED},     {400, COAP_BAD_REQUEST},
                 {403, COAP_UNAUTHORIZED},     {413, COAP_TOO_LARGE},   {500, COAP_INTERNAL_ERROR},
                 {502, COAP_BAD_GATEWAY},      {503, COAP_UNAVAILABLE}, {504, COAP_GATEWAY_TIMEOUT},
                 {429, COAP_TOO_MANY_REQUESTS}};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i].http == http)
            return codes[i].code;
    return http >= 400 && http < 500 ? COAP_NOT_FOUND : COAP_INTERNAL_ERROR;
}

static bool type_is_oscore(CURL *easy)
{
    static const char wanted[] = "application/oscore";
    char *type = NULL;
    if (curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type) != CURLE_OK || !type)
        return false;
    return strncasecmp(type, wanted, sizeof wanted - 1) == 0 && strchr("; \t", type[sizeof wanted - 1]);
}

/* RFC 8613 §11.2: a protected answer comes with 200, whatever the code inside. */
static void take_response(struct client *client, struct client_pending *pending)
{
    const struct http_transfer *transfer = pending->transfer;
    uint8_t option[OPTION_BYTES_MAX], room[OPTION_BYTES_MAX + 8];
    struct writer value = writer_over(option, sizeof option), options = writer_over(room, sizeof room);
    struct coap_option_writer writer = coap_options_to(&options);
    struct coap_body outer = {.payload = bytes_from(transfer->body, transfer->len)};
    long http = 0;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &http);
    outer.code = code_of(http);
    if (http == 200 && transfer->option_count == 1 && type_is_oscore(transfer->easy) && strlen(transfer->option) >= 2 &&
        base64url_decode(transfer->option, &value) == OK) {
        bool empty = value.len == 1 && option[0] == 0;
        coap_put_option(&writer, COAP_OSCORE, bytes_from(option, empty ? 0 : value.len));
        outer.options = writer_bytes(&options);
    }
    client_take_reply(client, pending, &outer, false);
}

static void take_end(struct client *client, struct client_pending *pending, CURLcode result)
{
    const struct http_transfer *transfer = pending->transfer;
    bool too_long = transfer->too_long;
    http_cancel(client, pending);
    if (result == CURLE_OK) {
        take_response(client, pending);
    } else if (too_long) {
        client_say(client, "the answer of %s is longer than %u bytes", client->url.base, CLIENT_ANSWER_MAX);
        client_finish(client, pending, NO_ROOM, NULL);
    } else {
        client_take_trouble(client, pending, result == CURLE_OPERATION_TIMEDOUT ? TROUBLE_SILENCE : TROUBLE_REFUSED);
    }
}

static void http_serve(struct client *client)
{
    CURLMsg *message;
    int left;
    (void)curl_multi_perform(client->carrier, &left);
    while ((message = curl_multi_info_read(client->carrier, &left))) {
        void *pending = NULL;
        CURLcode result = message->data.result;
        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &pending) == CURLE_OK && pending)
            take_end(client, pending, result);
    }
}

static enum status http_wait(struct client *client, uint32_t wait_ms)
{
    return curl_multi_poll(client->carrier, NULL, 0, (int)wait_ms, NULL) == CURLM_OK ? OK : IO;
}

const struct client_transport client_over_http = {http_open, http_close, http_send, http_cancel, http_serve, http_wait};
