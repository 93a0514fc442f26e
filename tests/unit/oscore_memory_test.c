/* OSCORE's memory: once a session has its context, no message allocates, be it good, forged, old or too long; and keys
 * do not stay in memory that is given back. The linker wraps malloc for our own code, libcrypto is handed the same
 * counters.
 */
#include "oscore_rig.h"

#include <openssl/crypto.h>
#include <stdlib.h>

enum { BLOCKS_MAX = 4096, MESSAGES = 5000 };

static struct block {
    uint8_t *data;
    size_t len;
} blocks[BLOCKS_MAX];               /* libcrypto's, as long as they live */
static volatile size_t allocations; /* the compiler takes it that malloc changes nothing of ours */

/* RFC 8613 C.1.1: the sender key. */
static const uint8_t key[] = {0xf0, 0x91, 0x0e, 0xd7, 0x29, 0x5e, 0x6a, 0xd4,
                              0xb5, 0x4f, 0xc7, 0x93, 0x15, 0x43, 0x02, 0xff};
static bool watching;
static size_t given_back_with_key;

void *__real_malloc(size_t len);
void *__real_calloc(size_t count, size_t len);
void *__real_realloc(void *data, size_t len);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t count, size_t len);
void *__wrap_realloc(void *data, size_t len);

void *__wrap_malloc(size_t len)
{
    allocations++;
    return __real_malloc(len);
}

void *__wrap_calloc(size_t count, size_t len)
{
    allocations++;
    return __real_calloc(count, len);
}

void *__wrap_realloc(void *data, size_t len)
{
    allocations++;
    return __real_realloc(data, len);
}

static struct block *block_of(const void *data)
{
    for (size_t i = 0; i < BLOCKS_MAX; i++)
        if (blocks[i].data == data)
            return &blocks[i];
    return NULL;
}

static void *libcrypto_malloc(size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    void *data = malloc(len);
    struct block *block = watching ? block_of(NULL) : NULL;
    if (block)
        *block = (struct block){data, len};
    return data;
}

static void libcrypto_free(void *data, const char *file, int line)
{
    (void)file;
    (void)line;
    struct block *block = data ? block_of(data) : NULL;
    if (block) {
        given_back_with_key += memmem(block->data, block->len, key, sizeof key) != NULL;
        *block = (struct block){0};
    }
    free(data);
}

static void *libcrypto_realloc(void *data, size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    struct block *block = data ? block_of(data) : NULL;
    void *moved = realloc(data, len);
    if (block && moved)
        *block = (struct block){moved, len};
    return moved;
}

static const enum crypto_aead_alg algorithms[] = {CRYPTO_AES_CCM_16_64_128, CRYPTO_AES_CCM_16_128_128, CRYPTO_A128GCM,
                                                  CRYPTO_A256GCM};

static void exchange(struct rig *rig, struct oscore_request *watched, struct oscore_request *watcher)
{
    static struct rig_opened opened, heard;
    struct oscore_request asked;
    struct rig_message request, answer, forged;
    check_ok(rig_ask(&rig->client, "ping", RIG_PLAIN, &asked, &request));
    forged = request;
    forged.data[forged.len - 1] ^= 1;
    check_status(AUTH, rig_take(&rig->server, &forged, &opened));
    check_ok(rig_take(&rig->server, &request, &opened));
    check_status(REPLAYED, rig_take(&rig->server, &request, &heard));
    check_ok(rig_answer(&rig->server, &opened.request, "pong", RIG_PLAIN, false, &answer));
    forged = answer;
    forged.data[forged.len - 1] ^= 1;
    check_status(AUTH, rig_hear(&rig->client, &asked, &forged, &heard));
    check_ok(rig_hear(&rig->client, &asked, &answer, &heard));
    check_ok(rig_answer(&rig->server, watched, "notice", 1, false, &answer));
    check_ok(rig_hear(&rig->client, watcher, &answer, &heard));
}

static void no_message_of_an_established_session_allocates(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        struct rig rig;
        struct oscore_request watcher;
        struct rig_message out;
        static struct rig_opened opened;
        rig_start(&rig, algorithms[i]);
        size_t before = allocations;
        rig_begin(&rig);
        assert_true(allocations > before); /* the counters count: making contexts does allocate */
        check_ok(rig_ask(&rig.client, "watch", RIG_REGISTER, &watcher, &out));
        check_ok(rig_take(&rig.server, &out, &opened));
        struct oscore_request watched = opened.request;
        before = allocations;
        for (int n = 0; n < MESSAGES; n++)
            exchange(&rig, &watched, &watcher);
        assert_int_equal(allocations - before, 0);
        rig_stop(&rig);
    }
}

static void our_own_allocations_would_be_counted(void **state)
{
    (void)state;
    size_t before = allocations;
    void *volatile one = malloc(16), *volatile two = calloc(2, 8), *volatile three = realloc(NULL, 16);
    assert_int_equal(allocations - before, 3);
    free(one);
    free(two);
    free(three);
}

static size_t blocks_with_key(void)
{
    size_t count = 0;
    for (size_t i = 0; i < BLOCKS_MAX; i++)
        count += blocks[i].data && memmem(blocks[i].data, blocks[i].len, key, sizeof key) != NULL;
    return count;
}

static void no_block_is_given_back_with_a_key_in_it(void **state)
{
    (void)state;
    static const uint8_t salt[] = {0x9e, 0x7c, 0xa9, 0x22, 0x23, 0x78, 0x63, 0x40};
    struct oscore_input input = {.aead = CRYPTO_AES_CCM_16_64_128, .recipient = {{1}, 1}};
    struct oscore_session session;
    for (uint8_t i = 0; i < 16; i++)
        input.master_secret.data[i] = (uint8_t)(i + 1);
    input.master_secret.len = 16;
    memcpy(input.master_salt, salt, sizeof salt);
    input.master_salt_len = sizeof salt;
    watching = true;
    given_back_with_key = 0;
    check_ok(oscore_session_init(&session, OSCORE_CLIENT, &input));
    check_ok(oscore_session_fix(&session, NULL, 0));
    assert_true(blocks_with_key() > 0); /* it is there, and this search finds it */
    oscore_session_done(&session);
    assert_int_equal(blocks_with_key(), 0);
    assert_int_equal(given_back_with_key, 0);
    watching = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_own_allocations_would_be_counted),
        cmocka_unit_test(no_message_of_an_established_session_allocates),
        cmocka_unit_test(no_block_is_given_back_with_a_key_in_it),
    };
    if (CRYPTO_set_mem_functions(libcrypto_malloc, libcrypto_realloc, libcrypto_free) != 1)
        return 1; /* libcrypto allocated already */
    check_ok(crypto_init());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
