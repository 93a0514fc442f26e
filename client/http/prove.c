/* A question to a node's TPM, through its gateway: one HTTP request, outside any session. */
#include "client_http.h"
#include "client_internal.h"

#include <curl/curl.h>

#include <stdio.h>
#include <string.h>

#define PROOF_PATH "/.well-known/bastide"

static size_t take(char *data, size_t size, size_t count, void *user)
{
    struct writer *answer = user;
    put_bytes(answer, bytes_from(data, size * count));
    return writer_end(answer) == OK ? size * count : 0;
}

static CURLcode ask(CURL *easy, const char *url, struct curl_slist *headers, struct bytes credential,
                    uint32_t timeout_ms, struct writer *answer)
{
    if (curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http") != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_PROXY, "") != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_URL, url) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)credential.len) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, (const char *)credential.data) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer) != CURLE_OK)
        return CURLE_FAILED_INIT;
    return curl_easy_perform(easy);
}

enum status client_http_prove(const char *url, struct bytes credential, uint32_t timeout_ms, struct writer *answer,
                              char *why, size_t cap)
{
    struct client_url parsed;
    char whole[ADDRESS_MAX + sizeof PROOF_PATH];
    long http = 0;
    struct writer got = *answer;
    if (client_url_parse(url, &parsed) != OK || !parsed.http) {
        snprintf(why, cap, "\"%.120s\" is no http:// address of a node", url);
        return UNSUPPORTED;
    }
    snprintf(whole, sizeof whole, "%s%s", parsed.base, PROOF_PATH);
    CURL *easy = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/octet-stream");
    CURLcode result = easy && headers ? ask(easy, whole, headers, credential, timeout_ms, &got) : CURLE_OUT_OF_MEMORY;
    if (result == CURLE_OK)
        (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &http);
    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);
    if (result == CURLE_OK && http == 200) {
        *answer = got;
        return OK;
    }
    snprintf(why, cap, "the TPM of %.120s did not answer (HTTP %ld)", url, http);
    return http == 503 || http == 429 ? BUSY : IO;
}
