/* Constant time of what compares, derives and encrypts under secrets. Controls that leak on purpose must be reported,
 * so the method is known to see. */
#include "ct_rig.h"

#include "cose.h"
#include "heads.h"
#include "oscore.h"
#include "seal.h"

#include <limits.h>

/* ---- Controls ---- */

static volatile int sink;

static __attribute__((noinline)) bool leaky_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (((const volatile uint8_t *)a)[i] != ((const volatile uint8_t *)b)[i])
            return false;
    return true;
}

static void pair(uint8_t a[32], uint8_t b[32])
{
    for (size_t i = 0; i < 32; i++)
        a[i] = b[i] = (uint8_t)(i * 37 + 5);
    b[31] ^= 1;
    hide(a, 32);
}

static void compare_with_an_early_exit(void)
{
    uint8_t a[32], b[32];
    pair(a, b);
    sink = leaky_equal(a, b, 32);
}

static void compare_as_public_bytes(void)
{
    uint8_t a[32], b[32];
    pair(a, b);
    sink = bytes_equal(BYTES_OF(a), BYTES_OF(b));
}

static void look_up_by_a_secret(void)
{
    static const uint8_t table[256] = {1, 2, 3};
    uint8_t a[32], b[32];
    pair(a, b);
    sink = table[a[3]];
}

static void branch_on_a_derived_key(void)
{
    uint8_t root[32] = {9}, key[MONITOR_KEY_LEN];
    hide(root, sizeof root);
    claim("a key is derived", seal_monitor_key(root, "control", key) == OK);
    sink = key[0] == 7 ? 3 : 4;
    if (key[0] == 7)
        sink = 5;
}

/* ---- What must not leak ---- */

static void compare(void)
{
    for (size_t len = 0; len <= 66; len++) {
        uint8_t a[66] = {0}, b[66] = {0};
        for (size_t at = 0; at <= len; at++) { /* at == len: equal */
            memset(b, 0, sizeof b);
            if (at < len)
                b[at] = 0x80;
            hide(a, sizeof a);
            hide(b, sizeof b);
            unsigned before = compared;
            bool equal = ct_equal(a, b, len);
            claim("ct_equal says whether they are equal", equal == (at == len));
            claim("it was asked about secrets", len == 0 || compared == before + 1);
            reveal(b, sizeof b);
        }
    }
}

static void hash_under_a_key(void)
{
    static const enum crypto_hash_alg algs[] = {CRYPTO_SHA256, CRYPTO_SHA384, CRYPTO_SHA512};
    for (size_t i = 0; i < 3; i++) {
        uint8_t key[200], mac[CRYPTO_HASH_MAX], prk[CRYPTO_HASH_MAX], out[100];
        struct bytes parts[2] = {bytes_from_text("one"), bytes_from_text("two")};
        memset(key, 7, sizeof key);
        hide(key, sizeof key);
        for (size_t len = 16; len <= sizeof key; len += 92) /* shorter and longer than a block */
            claim("HMAC", crypto_hmac(algs[i], bytes_from(key, len), parts, 2, mac) == OK);
        claim("extract", crypto_hkdf_extract(algs[i], parts[0], bytes_from(key, 32), prk) == OK);
        claim("expand",
              crypto_hkdf_expand(algs[i], bytes_from(prk, crypto_hash_len(algs[i])), parts[1], out, sizeof out) == OK);
        claim("a MAC under a secret key is marked", is_hidden(mac, crypto_hash_len(algs[i])));
        claim("so is what is derived", is_hidden(out, sizeof out));
    }
}

/* Key and text are secret; the tag is wrong at its first byte, at its last, and not at all. */
static void encrypt_and_open(void)
{
    static const enum crypto_aead_alg algs[] = {CRYPTO_A128GCM,           CRYPTO_A256GCM,
                                                CRYPTO_AES_CCM_16_64_128, CRYPTO_AES_CCM_16_64_256,
                                                CRYPTO_CHACHA20_POLY1305, CRYPTO_AES_CCM_16_128_128,
                                                CRYPTO_AES_CCM_16_128_256};
    for (size_t i = 0; i < sizeof algs / sizeof *algs; i++) {
        uint8_t key[CRYPTO_AEAD_KEY_MAX] = {1}, text[100] = {2}, sealed[116], opened[100];
        const uint8_t nonce[CRYPTO_AEAD_NONCE_MAX] = {3};
        struct bytes iv = bytes_from(nonce, crypto_aead_nonce_len(algs[i])), aad = bytes_from_text("aad");
        struct crypto_aead aead;
        hide(key, sizeof key);
        hide(text, sizeof text);
        claim("a key", crypto_aead_init(&aead, algs[i], bytes_from(key, crypto_aead_key_len(algs[i]))) == OK);
        struct writer out = writer_over(sealed, sizeof sealed);
        claim("sealing", crypto_aead_seal(&aead, iv, aad, BYTES_OF(text), &out) == OK);
        claim("a ciphertext is marked", is_hidden(sealed, out.len));
        size_t tag = crypto_aead_tag_len(algs[i]);
        const size_t wrong[] = {out.len - tag, out.len - 1};
        for (size_t n = 0; n < 3; n++) {
            if (n < 2)
                sealed[wrong[n]] ^= 1;
            struct writer plain = writer_over(opened, sizeof opened);
            unsigned before = compared_in_libcrypto;
            enum status status = crypto_aead_open(&aead, iv, aad, bytes_from(sealed, out.len), &plain);
            claim("opening says whether the tag is right", status == (n < 2 ? AUTH : OK));
            claim("a secret tag was compared", compared_in_libcrypto == before + 1);
            if (n < 2)
                sealed[wrong[n]] ^= 1;
        }
        crypto_aead_done(&aead);
    }
}

/* libcrypto's curves over 25519. Those of NIST go through its big numbers, of which this method can say nothing. */
static void sign_with_ed25519(void)
{
    uint8_t seed[32] = {7}, signature[CRYPTO_SIGNATURE_MAX];
    struct bytes text = bytes_from_text("text");
    struct crypto_key key;
    hide(seed, sizeof seed);
    claim("a key", crypto_key_import(&key, CRYPTO_ED25519, BYTES_OF(seed)) == OK);
    claim("a signature", crypto_sign(&key, &text, 1, signature) == OK);
    claim("that hangs on the key", is_hidden(signature, crypto_signature_len(CRYPTO_ED25519)));
    crypto_key_done(&key);
}

static void agree_with_x25519(void)
{
    uint8_t scalar[32] = {7};
    struct crypto_key key, peer;
    struct secret shared;
    hide(scalar, sizeof scalar);
    claim("a key", crypto_key_import(&key, CRYPTO_X25519, BYTES_OF(scalar)) == OK);
    claim("a peer", crypto_key_generate(&peer, CRYPTO_X25519) == OK);
    enum status status = crypto_ecdh(&key, crypto_public_bytes(&peer.public_key), &shared);
    reveal(&status, sizeof status);
    claim("a shared secret", status == OK && is_hidden(shared.data, 32));
    crypto_key_done(&key);
    crypto_key_done(&peer);
}

static void cose_encrypt0(void)
{
    uint8_t key[16] = {4}, text[40] = {5}, message[200], plain[64];
    const uint8_t iv[12] = {6};
    const struct cose_headers headers = {.kid = bytes_from_text("k"), .iv = BYTES_OF(iv)};
    struct cose_encrypt0 encrypt0;
    struct crypto_aead aead;
    hide(key, sizeof key);
    hide(text, sizeof text);
    claim("a key", crypto_aead_init(&aead, CRYPTO_A128GCM, BYTES_OF(key)) == OK);
    struct writer out = writer_over(message, sizeof message);
    claim("Encrypt0", cose_encrypt0_encode(&out, &aead, &headers, (struct bytes){0}, BYTES_OF(text)) == OK);
    claim("carries a ciphertext", is_hidden(message, out.len));
    reveal(message, out.len);
    for (int wrong = 1; wrong >= 0; wrong--) {
        struct writer opened = writer_over(plain, sizeof plain);
        message[out.len - 1] ^= (uint8_t)wrong;
        claim("is read", cose_encrypt0_decode(writer_bytes(&out), &encrypt0) == OK);
        claim("and opened", cose_encrypt0_decrypt(&encrypt0, &aead, (struct bytes){0}, &opened) == (wrong ? AUTH : OK));
        message[out.len - 1] ^= (uint8_t)wrong;
    }
    crypto_aead_done(&aead);
}

/* From the sealed form of the input to a verified answer: all that is secret is the master secret. */
static void oscore_exchange(void)
{
    static const enum crypto_aead_alg algs[] = {CRYPTO_AES_CCM_16_64_128, CRYPTO_AES_CCM_16_128_128, CRYPTO_A128GCM,
                                                CRYPTO_A256GCM};
    static const uint8_t fresh[OSCORE_PART_LEN] = {1};
    for (size_t i = 0; i < sizeof algs / sizeof *algs; i++) {
        uint8_t saved[OSCORE_INPUT_MAX], wire[256], plain[256], challenge[256];
        struct oscore_input input = {.aead = algs[i], .sender = {{1}, 1}, .recipient = {{2}, 1}}, mirrored;
        struct oscore_session client, server;
        struct oscore_request asked, seen;
        struct coap_body message = {COAP_POST, {0}, bytes_from_text("reading")}, outer, inner;
        claim("a master secret",
              secret_set(&input.master_secret, bytes_from_text("thirty-two bytes of a secret, ok")) == OK);
        hide(input.master_secret.data, input.master_secret.len);
        struct writer out = writer_over(saved, sizeof saved);
        oscore_put_input(&out, &input);
        claim("the input is read back", oscore_input_decode(writer_bytes(&out), &input) == OK);
        oscore_input_mirror(&input, &mirrored);
        claim("sessions", oscore_session_init(&client, OSCORE_CLIENT, &input) == OK &&
                              oscore_session_init(&server, OSCORE_SERVER, &mirrored) == OK &&
                              oscore_session_fix(&client, NULL, 0) == OK && oscore_session_fix(&server, NULL, 0) == OK);
        out = writer_over(wire, sizeof wire);
        claim("a request", oscore_protect_request(&client, &message, fresh, &asked, &out) == OK);
        claim("whose ciphertext hangs on the secret", is_hidden(wire, out.len));
        for (int wrong = 1; wrong >= 0; wrong--) {
            struct writer opened = writer_over(plain, sizeof plain), room = writer_over(challenge, sizeof challenge);
            reveal(wire, out.len);
            wire[out.len - 1] ^= (uint8_t)wrong;
            claim("is a CoAP body", coap_body_decode(writer_bytes(&out), &outer) == OK);
            claim("and is judged", oscore_unprotect_request(&server, &outer, fresh, &seen, &opened, &inner, &room) ==
                                       (wrong ? AUTH : OK));
            wire[out.len - 1] ^= (uint8_t)wrong;
        }
        message.code = COAP_CHANGED;
        out = writer_over(wire, sizeof wire);
        claim("a response", oscore_protect_response(&server, &seen, &message, false, &out) == OK);
        for (int wrong = 1; wrong >= 0; wrong--) {
            struct writer opened = writer_over(plain, sizeof plain);
            reveal(wire, out.len);
            wire[out.len - 1] ^= (uint8_t)wrong;
            claim("is a CoAP body", coap_body_decode(writer_bytes(&out), &outer) == OK);
            claim("and is judged",
                  oscore_unprotect_response(&client, &asked, &outer, &opened, &inner) == (wrong ? AUTH : OK));
            wire[out.len - 1] ^= (uint8_t)wrong;
        }
        oscore_session_done(&client);
        oscore_session_done(&server);
    }
}

static void sealing_keys(void)
{
    uint8_t root[32] = {8}, key[MONITOR_KEY_LEN];
    const uint8_t label[MONITOR_LABEL_LEN] = {1}, salt[MONITOR_HASH_LEN] = {2};
    const struct seal_asker asker = {.measurement = {3}, .signer = {4}, .config = {5}, .security_version = 6};
    struct monitor_seal_inputs inputs;
    hide(root, sizeof root);
    for (uint32_t policy = MONITOR_SEAL_EXACT; policy <= MONITOR_SEAL_SIGNER; policy++) {
        claim("inputs", seal_fill(&asker, policy, salt, &inputs) == OK && seal_permits(&asker, &inputs) == OK);
        claim("a key", seal_key(root, label, &inputs, key) == OK);
        claim("that hangs on the root", is_hidden(key, sizeof key));
    }
}

/* The table of heads on a disk of two slots, its MAC made and checked under a secret key. */
static uint8_t slots[2][HEADS_SLOT_LEN];
static size_t slot_lens[2];
static uint64_t counter;

static enum status read_slot(void *context, unsigned slot, uint8_t data[HEADS_SLOT_LEN], size_t *len)
{
    (void)context;
    memcpy(data, slots[slot], HEADS_SLOT_LEN);
    *len = slot_lens[slot];
    return OK;
}

static enum status write_slot(void *context, unsigned slot, const uint8_t data[HEADS_SLOT_LEN])
{
    (void)context;
    memcpy(slots[slot], data, HEADS_SLOT_LEN);
    claim("the table's MAC hangs on the key", is_hidden(slots[slot] + HEADS_SLOT_LEN - 32, 32));
    reveal(slots[slot], HEADS_SLOT_LEN);
    slot_lens[slot] = HEADS_SLOT_LEN;
    return OK;
}

static uint8_t place[HEADS_PLACE_LEN]; /* of the one record */

static enum status read_record(void *context, size_t at, unsigned which, uint8_t data[HEADS_PLACE_LEN])
{
    (void)context, (void)at, (void)which;
    memcpy(data, place, sizeof place);
    return OK;
}

static enum status write_record(void *context, size_t at, unsigned which, const uint8_t data[HEADS_PLACE_LEN])
{
    (void)context, (void)at, (void)which;
    memcpy(place, data, sizeof place);
    return OK;
}

static enum status sync_records(void *context)
{
    (void)context;
    return OK;
}

static enum status read_counter(void *context, uint64_t *value)
{
    (void)context;
    *value = counter;
    return OK;
}

static enum status increment_counter(void *context, uint64_t *value)
{
    (void)context;
    *value = ++counter;
    return OK;
}

static void table_of_heads(void)
{
    const struct heads_outside outside = {.read_slot = read_slot,
                                          .write_slot = write_slot,
                                          .read_record = read_record,
                                          .write_record = write_record,
                                          .sync_records = sync_records,
                                          .read_counter = read_counter,
                                          .increment_counter = increment_counter};
    uint8_t key[32] = {9};
    struct heads heads;
    struct head head = {.site = {1}, .sequence = 1};
    enum heads_verdict verdict;
    hide(key, sizeof key);
    unsigned before = compared;
    claim("a start", heads_start(&heads, &outside, BYTES_OF(key), 0, 1, &verdict) == OK);
    claim("a commit", heads_advance(&heads, &head, (struct bytes){0}, HEADS_DURABLE, 2) == OK);
    head.sequence = 2;
    const struct bytes record = bytes_from("record", 6);
    claim("a record's name", crypto_hash(CRYPTO_SHA256, &record, 1, head.hash) == OK);
    claim("a commit with a record", heads_advance(&heads, &head, record, HEADS_DURABLE, 2) == OK);
    claim("the record's MAC hangs on the key", is_hidden(place + HEADS_PLACE_LEN - 32, 32));
    reveal(place, sizeof place);
    heads_done(&heads);
    claim("a start that reads the table", heads_start(&heads, &outside, BYTES_OF(key), 0, 3, &verdict) == OK);
    heads_get(&heads, head.site, &head);
    claim("and follows the record", head.sequence == 2);
    heads_done(&heads);
    slots[0][HEADS_SLOT_LEN - 1] ^= 1;
    slots[1][HEADS_SLOT_LEN - 1] ^= 1;
    claim("a changed table is refused", heads_start(&heads, &outside, BYTES_OF(key), 0, 4, &verdict) != OK);
    claim("MACs were compared", compared > before);
}

int main(void)
{
    static const struct {
        const char *sentence;
        void (*run)(void);
        unsigned least, most; /* reports */
    } cases[] = {
        {"control: a comparison with an early exit is reported", compare_with_an_early_exit, 1, UINT_MAX},
        {"control: a secret taken for public bytes is reported", compare_as_public_bytes, 1, UINT_MAX},
        {"control: a table looked up by a secret is reported", look_up_by_a_secret, 1, UINT_MAX},
        {"control: a branch on a derived key is reported", branch_on_a_derived_key, 1, UINT_MAX},
        {"ct_equal", compare, 0, 0},
        {"HMAC and HKDF", hash_under_a_key, 0, 0},
        {"AEAD: key schedule, encryption, comparison of tags", encrypt_and_open, 0, 0},
        {"Ed25519", sign_with_ed25519, 0, 0},
        {"X25519", agree_with_x25519, 0, 0},
        {"COSE_Encrypt0", cose_encrypt0, 0, 0},
        {"OSCORE: from sealed input to verified answer", oscore_exchange, 0, 0},
        {"sealing keys", sealing_keys, 0, 0},
        {"the MAC of the table of heads", table_of_heads, 0, 0},
    };
    if (!RUNNING_ON_VALGRIND || crypto_init() != OK) {
        fprintf(stderr, "ct_test: run it under valgrind (ctest -R ct_test)\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned before = VALGRIND_COUNT_ERRORS;
        cases[i].run();
        unsigned errors = VALGRIND_COUNT_ERRORS - before;
        bool good = errors >= cases[i].least && errors <= cases[i].most;
        printf("%s: %s (%u reports)\n", good ? "ok" : "FAILED", cases[i].sentence, errors);
        failures += !good;
    }
    return failures ? 1 : 0;
}
