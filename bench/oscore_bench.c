/* OSCORE on a 64-byte payload: a request protected and unprotected, beside the same AEAD alone — the same key, nonce,
 * additional data and plaintext lengths through libcrypto contexts that are kept. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "oscore.h"

#define RUNS 15
#define ROUNDS 20000
#define PAYLOAD_LEN 64
#define TEXT_LEN (1 + 7 + 1 + PAYLOAD_LEN) /* code, Uri-Path "events", marker, payload */
#define AAD_LEN 22                         /* Enc_structure of an empty kid and a Partial IV of three bytes */

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "oscore_bench: %s failed\n", what);
        exit(1);
    }
}

static struct oscore_input make_input(enum crypto_aead_alg aead)
{
    struct oscore_input input = {.aead = aead, .recipient = {{1}, 1}};
    input.master_secret.len = 16;
    must(crypto_random(input.master_secret.data, 16) == OK, "crypto_random");
    return input;
}

static double oscore_round(struct oscore_session *client, struct oscore_session *server)
{
    static const uint8_t fresh[OSCORE_PART_LEN], payload[PAYLOAD_LEN];
    uint8_t options_room[16], outer_room[256], plain_room[256], challenge_room[64];
    struct writer options = writer_over(options_room, sizeof options_room);
    struct coap_option_writer list = coap_options_to(&options);
    coap_put_option(&list, COAP_URI_PATH, bytes_from_text("events"));
    const struct coap_body message = {COAP_POST, writer_bytes(&options), BYTES_OF(payload)};
    double from = bench_now_ns();
    for (int i = 0; i < ROUNDS; i++) {
        struct writer sent = writer_over(outer_room, sizeof outer_room);
        struct writer plain = writer_over(plain_room, sizeof plain_room);
        struct writer challenge = writer_over(challenge_room, sizeof challenge_room);
        struct oscore_request asked, seen;
        struct coap_body outer, inner;
        must(oscore_protect_request(client, &message, fresh, &asked, &sent) == OK, "oscore_protect_request");
        must(coap_body_decode(writer_bytes(&sent), &outer) == OK, "coap_body_decode");
        must(oscore_unprotect_request(server, &outer, fresh, &seen, &plain, &inner, &challenge) == OK,
             "oscore_unprotect_request");
        must(inner.payload.len == PAYLOAD_LEN, "the payload");
    }
    return (bench_now_ns() - from) / ROUNDS;
}

struct peer {
    EVP_CIPHER_CTX *seal, *open;
    bool ccm;
    int tag_len;
};

static EVP_CIPHER_CTX *peer_context(const char *cipher, const uint8_t *key, int nonce_len, const struct peer *peer,
                                    int seal)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    EVP_CIPHER *fetched = EVP_CIPHER_fetch(NULL, cipher, NULL);
    must(context && EVP_CipherInit_ex(context, fetched, NULL, NULL, NULL, seal) == 1 &&
             EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, nonce_len, NULL) == 1 &&
             (!peer->ccm || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, peer->tag_len, NULL) == 1) &&
             EVP_CipherInit_ex(context, NULL, NULL, key, NULL, seal) == 1,
         "the peer's context");
    EVP_CIPHER_free(fetched);
    return context;
}

static bool peer_run(EVP_CIPHER_CTX *context, bool ccm, const uint8_t *nonce, const uint8_t *text, uint8_t *out)
{
    static const uint8_t aad[AAD_LEN];
    int len;
    uint8_t end[16];
    return EVP_CipherInit_ex(context, NULL, NULL, NULL, nonce, -1) == 1 &&
           (!ccm || EVP_CipherUpdate(context, NULL, &len, NULL, TEXT_LEN) == 1) &&
           EVP_CipherUpdate(context, NULL, &len, aad, AAD_LEN) == 1 &&
           EVP_CipherUpdate(context, out, &len, text, TEXT_LEN) == 1 &&
           (ccm || EVP_CipherFinal_ex(context, end, &len) == 1);
}

static double peer_round(const struct peer *peer)
{
    uint8_t nonce[CRYPTO_AEAD_NONCE_MAX] = {0}, text[TEXT_LEN] = {0}, sealed[TEXT_LEN], opened[TEXT_LEN], tag[16];
    double from = bench_now_ns();
    for (int i = 0; i < ROUNDS; i++) {
        memcpy(nonce, &i, sizeof i);
        must(peer_run(peer->seal, peer->ccm, nonce, text, sealed) &&
                 EVP_CIPHER_CTX_ctrl(peer->seal, EVP_CTRL_AEAD_GET_TAG, peer->tag_len, tag) == 1 &&
                 EVP_CIPHER_CTX_ctrl(peer->open, EVP_CTRL_AEAD_SET_TAG, peer->tag_len, tag) == 1 &&
                 peer_run(peer->open, peer->ccm, nonce, sealed, opened),
             "the peer");
    }
    must(memcmp(text, opened, sizeof text) == 0, "the peer's round trip");
    return (bench_now_ns() - from) / ROUNDS;
}

static void bench_algorithm(const char *name, enum crypto_aead_alg aead, const char *cipher, const char *peer_name)
{
    static const uint8_t key[CRYPTO_AEAD_KEY_MAX] = {7};
    struct oscore_session client, server;
    struct oscore_input input = make_input(aead), mirrored;
    struct bench_runs ours = {0}, theirs = {0};
    struct peer peer = {.ccm = strstr(cipher, "CCM") != NULL, .tag_len = (int)crypto_aead_tag_len(aead)};
    int nonce_len = (int)crypto_aead_nonce_len(aead);
    oscore_input_mirror(&input, &mirrored);
    must(oscore_session_init(&client, OSCORE_CLIENT, &input) == OK &&
             oscore_session_fix(&client, NULL, 1u << 16) == OK &&
             oscore_session_init(&server, OSCORE_SERVER, &mirrored) == OK && oscore_session_fix(&server, NULL, 0) == OK,
         "the sessions");
    peer.seal = peer_context(cipher, key, nonce_len, &peer, 1);
    peer.open = peer_context(cipher, key, nonce_len, &peer, 0);
    for (int r = 0; r < RUNS; r++) { /* by turns: what else the machine does falls on both */
        bench_add(&ours, oscore_round(&client, &server));
        bench_add(&theirs, peer_round(&peer));
    }
    bench_print(name, ours.best, "ns", peer_name, theirs.best, bench_spread(ours));
    EVP_CIPHER_CTX_free(peer.seal);
    EVP_CIPHER_CTX_free(peer.open);
    oscore_session_done(&client);
    oscore_session_done(&server);
}

int main(void)
{
    must(crypto_init() == OK, "crypto_init");
    bench_algorithm("oscore.roundtrip_64", CRYPTO_AES_CCM_16_64_128, "AES-128-CCM", "cached EVP AES-128-CCM");
    bench_algorithm("oscore.roundtrip_64_gcm", CRYPTO_A128GCM, "AES-128-GCM", "cached EVP AES-128-GCM");
    return 0;
}
