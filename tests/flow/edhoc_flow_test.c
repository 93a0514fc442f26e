/* EDHOC handshakes over a wire that somebody else holds: cut, changed, swapped, replayed and reflected messages, points
 * that are none, credentials that are unknown or another's. Each is refused, by a session that keeps nothing.
 * crypto_ecdh and crypto_verify are wrapped by the linker, so that what a refusal costs is seen where it is spent. */
#include "edhoc_rig.h"

#include <stdio.h>

/* ---- What a step costs ---- */

static struct {
    size_t ecdh, verify;
} spent;

enum status __real_crypto_ecdh(const struct crypto_key *key, struct bytes peer, struct secret *shared);
enum status __wrap_crypto_ecdh(const struct crypto_key *key, struct bytes peer, struct secret *shared);
enum status __real_crypto_verify(enum crypto_curve curve, struct bytes public_key, const struct bytes *parts,
                                 size_t count, struct bytes signature);
enum status __wrap_crypto_verify(enum crypto_curve curve, struct bytes public_key, const struct bytes *parts,
                                 size_t count, struct bytes signature);

enum status __wrap_crypto_ecdh(const struct crypto_key *key, struct bytes peer, struct secret *shared)
{
    enum status status = __real_crypto_ecdh(key, peer, shared);
    spent.ecdh += status == OK; /* a point that is none costs less */
    return status;
}

/* Counted when it goes all the way: a key on its curve, a signature of its length with r and s that are not zero. */
enum status __wrap_crypto_verify(enum crypto_curve curve, struct bytes public_key, const struct bytes *parts,
                                 size_t count, struct bytes signature)
{
    static const uint8_t zeros[CRYPTO_SIGNATURE_MAX];
    struct crypto_public key;
    size_t len = crypto_signature_len(curve);
    bool whole = signature.len == len && crypto_public_import(&key, curve, public_key) == OK;
    whole =
        whole && memcmp(signature.data, zeros, len / 2) != 0 && memcmp(signature.data + len / 2, zeros, len / 2) != 0;
    spent.verify += whole;
    return __real_crypto_verify(curve, public_key, parts, count, signature);
}

/* ---- The two handshakes that everything is tried on ---- */

static struct rig rigs[2]; /* the second has the same parties */

static void start(unsigned method)
{
    static const uint8_t text[] = {1, 2, 3};
    for (size_t i = 0; i < 2; i++) {
        rig_start(&rigs[i], method, 2, method == 0 ? RIG_X5T : RIG_KID);
        for (uint32_t n = 0; n < 4; n++)
            rigs[i].send[n] = (struct edhoc_eads){{{n + 1, n % 2 == 0, true, BYTES_OF(text)}}, 1};
    }
    rigs[1].i.credential = rigs[0].i.credential;
    rigs[1].r.credential = rigs[0].r.credential;
}

static void done(void)
{
    rig_done(&rigs[0]);
    rig_done(&rigs[1]);
}

/* ---- Cut and changed ---- */

static void every_shorter_prefix_and_one_more_byte_is_refused(void **state)
{
    enum status status;
    (void)state;
    for (unsigned method = 0; method < 4; method += 3) {
        start(method);
        for (size_t number = 1; number <= 4; number++) {
            rig_begin(&rigs[0], number);
            size_t len = rigs[0].message[number - 1].len;
            for (size_t cut = 0; cut < len; cut++) {
                rig_begin(&rigs[0], number);
                rigs[0].message[number - 1].len = cut;
                (void)rig_refusal(&rigs[0], number, &status);
            }
            for (unsigned more = 0; more < 256; more++) {
                rig_begin(&rigs[0], number);
                put_u8(&rigs[0].message[number - 1], (uint8_t)more);
                (void)rig_refusal(&rigs[0], number, &status);
            }
        }
        done();
    }
}

/* From this byte on, everything in message 2 and 3 is encrypted. */
static size_t encrypted_from(const struct rig *rig, size_t number)
{
    size_t len = rig->message[number - 1].len, head = len < 24 + 1 ? 1 : len < 256 + 2 ? 2 : 3;
    return head + (number == 2 ? crypto_private_len(rig->suite->exchange) : 0);
}

static void every_changed_bit_is_refused_and_inside_the_encryption_only_verify_tells(void **state)
{
    enum status status;
    (void)state;
    for (unsigned method = 0; method < 4; method += 3) {
        start(method);
        for (size_t number = 1; number <= 4; number++) {
            rig_begin(&rigs[0], number);
            size_t bits = 8 * rigs[0].message[number - 1].len;
            for (size_t bit = 0; bit < bits; bit++) {
                rig_begin(&rigs[0], number);
                rigs[0].rooms[number - 1][bit / 8] ^= (uint8_t)(1u << bit % 8);
                enum rig_step step = rig_refusal(&rigs[0], number, &status);
                bool inside = (number == 2 || number == 3) && bit / 8 >= encrypted_from(&rigs[0], number);
                if (inside && (step != rig_judges[number - 1] || status != AUTH))
                    fail_msg("bit %zu of message %zu is told by step %d with status %d", bit, number, (int)step,
                             (int)status);
            }
        }
        done();
    }
}

/* ---- What a refusal costs ---- */

enum wrong {
    RIGHT,
    UNKNOWN,
    OTHER_KEY,
    OTHER_CURVE,
    OTHER_VALUE,
    BAD_PROOF,
    BAD_SYNTAX,
    LONG_PROOF, /* by a byte: the first of EAD_2, whose others read as four labels */
    NOTHING_INSIDE,
    WRONGS,
};

/* One verify with this wrong. */
static void try_wrong(struct rig *rig, size_t number, enum wrong wrong)
{
    static struct rig_party other;
    struct writer *message = &rig->message[number - 1];
    struct edhoc_credential credential = number == 2 ? rig->r.credential : rig->i.credential;
    const struct edhoc_credential **believed = number == 2 ? &rig->believed_r : &rig->believed_i, *kept = *believed;
    rig_begin(rig, number);
    uint8_t *data = rig->rooms[number - 1];
    rig_party_make(&other, "other", wrong == OTHER_CURVE ? CRYPTO_P384 : CRYPTO_P256, RIG_KID);
    if (wrong == OTHER_KEY || wrong == OTHER_CURVE)
        credential.key = other.key.public_key;
    if (wrong == OTHER_VALUE)
        credential.value = other.credential.value;
    if (wrong == BAD_PROOF)
        data[message->len - 10] ^= 1;
    if (wrong == BAD_SYNTAX)
        data[encrypted_from(rig, number)] ^= 0xe0; /* C_R or ID_CRED_I is of another type */
    if (wrong == LONG_PROOF) {
        data[message->len - 5 - proof_len(&rig->initiator, rig->method == 0) - 1] ^= 1;
        data[message->len - 4] ^= 0x40;
    }
    if (wrong == NOTHING_INSIDE) {
        struct bytes g = crypto_public_x(&rig->r.key.public_key);
        *message = writer_over(data, RIG_ROOM);
        cbor_put_bytes(message, number == 2 ? g : (struct bytes){0});
    }
    *believed = wrong == UNKNOWN ? NULL : &credential;
    check_ok(rig_step(rig, number == 2 ? TAKE_2 : TAKE_3));
    if (wrong == LONG_PROOF && number == 2)
        assert_true(rig->reference[0].kind != EDHOC_NONE && rig->got[1].count == 4);
    memset(&spent, 0, sizeof spent);
    check_status(wrong == RIGHT ? OK : AUTH, rig_step(rig, rig_judges[number - 1]));
    *believed = kept;
    rig_party_done(&other);
}

static void what_is_wrong_is_not_told_by_what_its_refusal_costs(void **state)
{
    (void)state;
    for (unsigned method = 0; method < 4; method += 3) {
        start(method);
        for (size_t number = 2; number <= 3; number++)
            for (enum wrong wrong = RIGHT; wrong < WRONGS; wrong++) {
                try_wrong(&rigs[0], number, wrong);
                assert_int_equal(spent.ecdh, method == 3);
                assert_int_equal(spent.verify, method == 0);
            }
        done();
    }
}

/* ---- Of another session, of an earlier one, of one's own ---- */

static void give(struct rig *to, size_t number, struct bytes message)
{
    to->message[number - 1] = writer_over(to->rooms[number - 1], RIG_ROOM);
    put_bytes(&to->message[number - 1], message);
}

static void messages_of_another_session_of_the_same_parties_are_refused(void **state)
{
    enum status status;
    (void)state;
    for (unsigned method = 0; method < 4; method += 3) {
        start(method);
        for (size_t number = 1; number <= 4; number++) {
            rig_begin(&rigs[0], number);
            rig_begin(&rigs[1], number);
            give(&rigs[0], number, rig_message(&rigs[1], number));
            enum rig_step step = rig_refusal(&rigs[0], number, &status);
            if (number > 1)
                assert_int_equal(step, rig_judges[number - 1]);
            check_status(AUTH, status);
        }
        done();
    }
}

static void a_recorded_handshake_convinces_nobody_again(void **state)
{
    static struct {
        uint8_t data[1024];
        size_t len;
    } old[4];
    enum status status;
    (void)state;
    for (unsigned method = 0; method < 4; method += 3) {
        start(method);
        rig_begin(&rigs[0], 4);
        for (size_t n = 0; n < 4; n++) {
            old[n].len = rigs[0].message[n].len;
            memcpy(old[n].data, rigs[0].rooms[n], old[n].len);
        }
        /* Message 1 is anybody's to repeat; the answer is another, and the old message 3 does not fit to it. */
        rig_anew(&rigs[0]);
        give(&rigs[0], 1, bytes_from(old[0].data, old[0].len));
        rig_run(&rigs[0], TAKE_1, TAKE_2);
        give(&rigs[0], 3, bytes_from(old[2].data, old[2].len));
        assert_int_equal(rig_refusal(&rigs[0], 3, &status), VERIFY_3);
        for (size_t number = 2; number <= 4; number++) {
            rig_begin(&rigs[0], number);
            give(&rigs[0], number, bytes_from(old[number - 1].data, old[number - 1].len));
            assert_int_equal(rig_refusal(&rigs[0], number, &status), rig_judges[number - 1]);
            check_status(AUTH, status);
        }
        done();
    }
}

static void a_message_twice_is_out_of_order_and_disturbs_nothing(void **state)
{
    (void)state;
    for (unsigned method = 0; method < 4; method += 3) {
        start(method);
        rig_anew(&rigs[0]);
        for (enum rig_step step = PUT_1; step < RIG_STEPS; step++) {
            check_ok(rig_step(&rigs[0], step));
            if (step == TAKE_1 || step == TAKE_2 || step == TAKE_3 || step == TAKE_4)
                check_status(WRONG_STATE, rig_step(&rigs[0], step));
        }
        done();
    }
}

static void a_side_that_is_fed_its_own_messages_refuses_them(void **state)
{
    enum status status;
    (void)state;
    for (unsigned method = 0; method < 4; method += 3) {
        start(method);
        for (size_t number = 2; number <= 4; number++)
            for (size_t own = number == 3 ? 2 : 1; own < number; own += 2) {
                rig_begin(&rigs[0], number);
                give(&rigs[0], number, rig_message(&rigs[0], own));
                (void)rig_refusal(&rigs[0], number, &status);
            }
        /* Its own ephemeral key comes back with what was encrypted under another. */
        rig_begin(&rigs[0], 2);
        struct bytes own = crypto_public_x(&rigs[0].initiator.ephemeral.public_key);
        memcpy(rigs[0].rooms[1] + encrypted_from(&rigs[0], 2) - own.len, own.data, own.len);
        assert_int_equal(rig_refusal(&rigs[0], 2, &status), VERIFY_2);
        done();
    }
}

/* ---- Points ---- */

static void points_that_are_none_are_refused_before_anything_is_encrypted(void **state)
{
    static struct rig rig;
    (void)state;
    for (size_t s = 0; s < sizeof rig_suites / sizeof *rig_suites; s++)
        for (unsigned form = 0; form < 3; form++) {
            uint8_t x[CRYPTO_PRIVATE_MAX] = {0};
            rig_start(&rig, 0, rig_suites[s], RIG_KID);
            size_t len = crypto_private_len(rig.suite->exchange);
            if (rig.suite->exchange == CRYPTO_X25519)
                x[0] = form == 1; /* 0 and 1 have a small order; of 31 bytes nothing is a key */
            else
                memset(x, form == 1 ? 0xff : 0x05, len); /* no y; past the field; too short */
            if (rig.suite->exchange != CRYPTO_X25519 && form == 0) {
                struct crypto_public point; /* the first x past this one that has no y */
                while (crypto_public_import(&point, rig.suite->exchange, bytes_from(x, len)) == OK)
                    x[len - 1]++;
            }
            struct bytes g = bytes_from(x, form == 2 ? len - 1 : len);
            rig_run(&rig, PUT_1, TAKE_1);
            rig.message[0].len = 0;
            cbor_put_uint(&rig.message[0], 0);
            cbor_put_int(&rig.message[0], rig.suite->number);
            cbor_put_bytes(&rig.message[0], g);
            put_u8(&rig.message[0], 1);
            enum status status = rig_step(&rig, TAKE_1);
            if (status == OK)
                status = rig_step(&rig, PUT_2);
            check_status(MALFORMED, status);
            rig_is_wiped(&rig.responder);
            assert_int_equal(rig.message[1].len, 0);
            if (form < 2) {
                cbor_put_bytes_head(&rig.message[1], len + 40);
                put_bytes(&rig.message[1], g);
                (void)put_space(&rig.message[1], 40);
            } else
                cbor_put_bytes(&rig.message[1], g);
            check_status(MALFORMED, rig_step(&rig, TAKE_2));
            rig_is_wiped(&rig.initiator);
            rig_done(&rig);
        }
}

/* ---- Credentials ---- */

static void an_unknown_or_another_credential_is_refused(void **state)
{
    static struct rig_party other;
    enum status status;
    (void)state;
    for (unsigned method = 0; method < 4; method++) {
        start(method);
        rig_party_make(&other, "r", CRYPTO_P256, RIG_KID);
        for (size_t number = 2; number <= 3; number++)
            for (int what = 0; what < 4; what++) {
                struct edhoc_credential credential = number == 2 ? rigs[0].r.credential : rigs[0].i.credential;
                const struct edhoc_credential **believed = number == 2 ? &rigs[0].believed_r : &rigs[0].believed_i;
                uint8_t changed[1024];
                memcpy(changed, credential.value.data, credential.value.len);
                changed[credential.value.len - 1] ^= 1;
                if (what == 1) /* of the same name */
                    credential = other.credential;
                if (what == 2) /* the same key in a credential that differs in one bit */
                    credential.value = bytes_from(changed, credential.value.len);
                if (what == 3) /* the same bytes, understood otherwise */
                    credential.is_certificate = !credential.is_certificate;
                *believed = what == 0 ? NULL : &credential;
                rig_begin(&rigs[0], number);
                assert_int_equal(rig_refusal(&rigs[0], number, &status), rig_judges[number - 1]);
                check_status(AUTH, status);
                rigs[0].believed_i = &rigs[0].i.credential;
                rigs[0].believed_r = &rigs[0].r.credential;
            }
        rig_party_done(&other);
        done();
    }
}

static void a_side_without_the_key_of_its_credential_is_refused(void **state)
{
    static struct rig_party other;
    enum status status;
    (void)state;
    for (unsigned method = 0; method < 4; method++) {
        start(method);
        rig_party_make(&other, "r", CRYPTO_P256, RIG_KID);
        for (size_t number = 2; number <= 3; number++) {
            struct edhoc_credential *pretends = number == 2 ? &rigs[0].r.credential : &rigs[0].i.credential;
            const struct crypto_key *own = pretends->private_key;
            pretends->private_key = &other.key;
            rig_begin(&rigs[0], number);
            assert_int_equal(rig_refusal(&rigs[0], number, &status), rig_judges[number - 1]);
            check_status(AUTH, status);
            pretends->private_key = own;
        }
        rig_party_done(&other);
        done();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shorter_prefix_and_one_more_byte_is_refused),
        cmocka_unit_test(every_changed_bit_is_refused_and_inside_the_encryption_only_verify_tells),
        cmocka_unit_test(what_is_wrong_is_not_told_by_what_its_refusal_costs),
        cmocka_unit_test(messages_of_another_session_of_the_same_parties_are_refused),
        cmocka_unit_test(a_recorded_handshake_convinces_nobody_again),
        cmocka_unit_test(a_message_twice_is_out_of_order_and_disturbs_nothing),
        cmocka_unit_test(a_side_that_is_fed_its_own_messages_refuses_them),
        cmocka_unit_test(points_that_are_none_are_refused_before_anything_is_encrypted),
        cmocka_unit_test(an_unknown_or_another_credential_is_refused),
        cmocka_unit_test(a_side_without_the_key_of_its_credential_is_refused),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
