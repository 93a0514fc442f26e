/* Constant time of EDHOC after the curves: shared secrets are marked as crypto_ecdh() gives them, and whatever branches
 * on what is derived from them is reported. What goes over the wire is public, and so is a plaintext once it is
 * decrypted, as the parser reads it. The handshakes are of method 3, where MACs are compared instead of signatures. */
#include "ct_rig.h"

#include "edhoc_internal.h"

static bool decrypting; /* message 2, by its key stream */

enum status __real_crypto_ecdh(const struct crypto_key *key, struct bytes peer, struct secret *shared);
enum status __wrap_crypto_ecdh(const struct crypto_key *key, struct bytes peer, struct secret *shared);
enum status __real_keystream_2(const struct edhoc_session *session, const struct secret *prk_2e, uint8_t *text,
                               size_t len);
enum status __wrap_keystream_2(const struct edhoc_session *session, const struct secret *prk_2e, uint8_t *text,
                               size_t len);

enum status __wrap_crypto_ecdh(const struct crypto_key *key, struct bytes peer, struct secret *shared)
{
    enum status status = __real_crypto_ecdh(key, peer, shared);
    hide(shared->data, shared->len);
    return status;
}

enum status __wrap_keystream_2(const struct edhoc_session *session, const struct secret *prk_2e, uint8_t *text,
                               size_t len)
{
    enum status status = __real_keystream_2(session, prk_2e, text, len);
    if (decrypting)
        reveal(text, len);
    return status;
}

struct party {
    struct crypto_key ephemeral, key;
    struct edhoc_credential credential;
    struct edhoc_session session;
};

static void make_party(struct party *party, const struct edhoc_suite *suite, struct bytes claims)
{
    *party = (struct party){0};
    claim("keys", crypto_key_generate(&party->ephemeral, suite->exchange) == OK &&
                      crypto_key_generate(&party->key, suite->exchange) == OK);
    party->credential = (struct edhoc_credential){.value = claims,
                                                  .key = party->key.public_key,
                                                  .private_key = &party->key,
                                                  .id_cred = bytes_from("\xa1\x04\x41\x05", 4)};
}

static void sent(struct writer *message)
{
    claim("a message hangs on the secrets", is_hidden(message->data, message->len));
    reveal(message->data, message->len);
}

static void exported(struct party *i, struct party *r)
{
    uint8_t ours[32], theirs[32];
    claim("exports", edhoc_export(&i->session, 0, (struct bytes){0}, ours, sizeof ours) == OK &&
                         edhoc_export(&r->session, 0, (struct bytes){0}, theirs, sizeof theirs) == OK);
    claim("that hang on the secrets", is_hidden(ours, sizeof ours) && is_hidden(theirs, sizeof theirs));
    claim("and agree", ct_equal(ours, theirs, sizeof ours));
    claim("an update", edhoc_key_update(&i->session, (struct bytes){0}) == OK);
}

enum { ALL_GOOD, WRONG_MAC_2, WRONG_MAC_3, WRONG_TAG_3, CASES };

/* One handshake, up to what is wrong in it. */
static void shake(struct party *i, struct party *r, const struct edhoc_profile *profile, int wrong)
{
    static const struct edhoc_id c_i = {{1}, 1}, c_r = {{2}, 1};
    uint8_t rooms[4][256], plain_room[256];
    struct writer message[4], plain = writer_over(plain_room, sizeof plain_room);
    struct edhoc_credential expected_r = r->credential, expected_i = i->credential;
    struct edhoc_reference reference;
    struct edhoc_eads eads;
    for (size_t n = 0; n < 4; n++)
        message[n] = writer_over(rooms[n], sizeof rooms[n]);
    if (wrong == WRONG_MAC_2)
        expected_r.value = bytes_from("\x07", 1);
    if (wrong == WRONG_MAC_3)
        expected_i.value = bytes_from("\x07", 1);
    claim("message 1", edhoc_put_message_1(&i->session, profile, 3, edhoc_suite(profile->suites[0]), &i->ephemeral,
                                           &c_i, NULL, &message[0]) == OK &&
                           edhoc_take_message_1(&r->session, profile, writer_bytes(&message[0]), &eads) == OK);
    claim("message 2", edhoc_put_message_2(&r->session, &r->ephemeral, &c_r, &r->credential, NULL, &message[1]) == OK);
    sent(&message[1]);
    decrypting = true;
    claim("is taken", edhoc_take_message_2(&i->session, writer_bytes(&message[1]), &plain, &reference, &eads) == OK);
    decrypting = false;
    unsigned before = compared;
    claim("and judged", edhoc_verify_message_2(&i->session, &expected_r) == (wrong == WRONG_MAC_2 ? AUTH : OK));
    claim("by a secret MAC", compared == before + 1);
    if (wrong == WRONG_MAC_2)
        return;
    claim("message 3", edhoc_put_message_3(&i->session, &i->credential, NULL, &message[2]) == OK);
    sent(&message[2]);
    rooms[2][message[2].len - 1] ^= wrong == WRONG_TAG_3;
    plain = writer_over(plain_room, sizeof plain_room);
    claim("is taken", edhoc_take_message_3(&r->session, writer_bytes(&message[2]), &plain, &reference, &eads) == OK);
    before = compared;
    claim("and judged", edhoc_verify_message_3(&r->session, &expected_i) == (wrong == ALL_GOOD ? OK : AUTH));
    claim("by a secret MAC", compared == before + 1);
    if (wrong != ALL_GOOD)
        return;
    claim("message 4", edhoc_put_message_4(&r->session, NULL, &message[3]) == OK);
    sent(&message[3]);
    plain = writer_over(plain_room, sizeof plain_room);
    claim("is taken", edhoc_take_message_4(&i->session, writer_bytes(&message[3]), &plain, &eads) == OK);
    exported(i, r);
}

static void shake_with_static_keys(int suite)
{
    const struct edhoc_profile profile = {.methods = EDHOC_DH_DH, .suites = &suite, .suites_count = 1};
    for (int wrong = ALL_GOOD; wrong < CASES; wrong++) {
        struct party i, r;
        make_party(&i, edhoc_suite(suite), bytes_from("\x05", 1));
        make_party(&r, edhoc_suite(suite), bytes_from("\x06", 1));
        shake(&i, &r, &profile, wrong);
        edhoc_done(&i.session);
        edhoc_done(&r.session);
        crypto_key_done(&i.key);
        crypto_key_done(&r.key);
    }
}

int main(void)
{
    static const int suites[] = {0, 2, 3, 6, 24};
    if (!RUNNING_ON_VALGRIND || crypto_init() != OK) {
        fprintf(stderr, "edhoc_ct_test: run it under valgrind (ctest -R edhoc_ct_test)\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        unsigned before = VALGRIND_COUNT_ERRORS;
        shake_with_static_keys(suites[i]);
        unsigned errors = VALGRIND_COUNT_ERRORS - before;
        printf("%s: EDHOC with static keys, suite %d (%u reports)\n", errors ? "FAILED" : "ok", suites[i], errors);
        failures += errors != 0;
    }
    return failures ? 1 : 0;
}
