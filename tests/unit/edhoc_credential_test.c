/* EDHOC's credentials: each way to name one, and claims sets. */
#include "edhoc_rig.h"

static const uint8_t pad[EDHOC_KID_MAX + 1];

/* ---- ID_CRED_x (§3.5.3) ---- */

/* The responder names its credential by `id_cred`; what the initiator reads of it, if verify likes it. */
static enum status named(struct rig *rig, struct bytes id_cred)
{
    rig_anew(rig);
    rig_run(rig, PUT_1, PUT_2);
    rig->r.credential.id_cred = id_cred;
    TRY(rig_step(rig, PUT_2));
    check_ok(rig_step(rig, TAKE_2));
    return rig_step(rig, VERIFY_2);
}

/* PLAINTEXT_2 after C_R, in this rig two bytes long and never an integer. */
static struct bytes plaintext_after_c_r(const struct rig *rig)
{
    struct bytes plaintext = writer_bytes(&rig->plain[0]);
    return bytes_slice(plaintext, 3, plaintext.len - 3);
}

static void a_lone_kid_travels_compact(void **state)
{
    static struct rig rig;
    uint8_t room[64];
    (void)state;
    rig_start(&rig, 0, 2, RIG_KID);
    for (unsigned value = 0; value < 256; value++) {
        const uint8_t kid[1] = {(uint8_t)value};
        bool small = value <= 0x17 || (value >= 0x20 && value <= 0x37);
        struct writer id = writer_over(room, sizeof room);
        edhoc_put_kid(&id, BYTES_OF(kid));
        check_ok(named(&rig, writer_bytes(&id)));
        assert_int_equal(rig.reference[0].kind, EDHOC_KID);
        check_bytes(writer_bytes(&id), rig.reference[0].encoded);
        const uint8_t compact[] = {small ? kid[0] : 0x41, kid[0]};
        assert_memory_equal(plaintext_after_c_r(&rig).data, compact, small ? 1 : 2);
    }
    for (size_t len = 0; len <= EDHOC_KID_MAX + 1; len++) {
        struct writer id = writer_over(room, sizeof room);
        edhoc_put_kid(&id, bytes_from(pad, len));
        check_status(len > EDHOC_KID_MAX ? NO_ROOM : OK, writer_end(&id));
        if (len <= EDHOC_KID_MAX) {
            check_ok(named(&rig, writer_bytes(&id)));
            check_bytes(bytes_from(pad, len), rig.reference[0].kid);
        }
    }
    /* Put together by other hands, one byte too long. */
    struct writer id = writer_over(room, sizeof room);
    put_bytes(&id, bytes_from("\xa1\x04", 2));
    cbor_put_bytes(&id, bytes_from(pad, EDHOC_KID_MAX + 1));
    check_status(NO_ROOM, named(&rig, writer_bytes(&id)));
    rig_is_wiped(&rig.responder);
    rig_done(&rig);
}

/* Messages of a responder that we are not: a plaintext of its own making. */
static bool is_taken(struct bytes plaintext, struct edhoc_reference *reference)
{
    static struct edhoc_session session;
    static const struct edhoc_profile profile;
    struct edhoc_eads eads;
    struct reader reader = reader_over(plaintext);
    session = (struct edhoc_session){.profile = &profile, .suite = edhoc_suite(2), .method = 3};
    take_plaintext(&session, &reader, reference, &eads);
    assert_int_equal(session.bad, reference->kind == EDHOC_NONE);
    return !session.bad;
}

static void a_kid_is_refused_in_every_form_but_the_compact_one(void **state)
{
    struct edhoc_reference reference;
    uint8_t room[64];
    (void)state;
    assert_true(is_taken(bytes_from("\x05\x40", 2), &reference));
    check_bytes(bytes_from("\xa1\x04\x41\x05", 4), reference.encoded);
    assert_false(is_taken(bytes_from("\x41\x05\x40", 3), &reference));
    assert_false(is_taken(bytes_from("\xa1\x04\x41\x05\x40", 5), &reference));
    assert_false(is_taken(bytes_from("\xa1\x04\x41\xff\x40", 5), &reference));
    assert_false(is_taken(bytes_from("\x18\x18\x40", 3), &reference));
    assert_true(is_taken(bytes_from("\x41\xff\x40", 3), &reference));
    /* With company it is a map, of a kind that we leave to nobody. */
    assert_true(is_taken(bytes_from("\xa2\x04\x41\x05\x05\x41\x07\x40", 8), &reference));
    assert_int_equal(reference.kind, EDHOC_OTHER);
    for (size_t len = EDHOC_KID_MAX; len <= EDHOC_KID_MAX + 1; len++) {
        struct writer writer = writer_over(room, sizeof room);
        cbor_put_bytes(&writer, bytes_from(pad, len));
        cbor_put_bytes(&writer, (struct bytes){0});
        assert_int_equal(is_taken(writer_bytes(&writer), &reference), len == EDHOC_KID_MAX);
    }
}

static void chains_of_one_to_four_certificates_are_told_apart(void **state)
{
    static struct rig rig;
    static struct rig_party others[EDHOC_CHAIN_MAX];
    struct bytes chain[EDHOC_CHAIN_MAX + 1];
    uint8_t room[8192];
    (void)state;
    rig_start(&rig, 0, 2, RIG_X5CHAIN);
    chain[0] = rig.r.credential.value;
    for (size_t i = 0; i < EDHOC_CHAIN_MAX; i++) {
        rig_party_make(&others[i], "other", CRYPTO_P256, RIG_X5T);
        chain[i + 1] = others[i].credential.value;
    }
    for (size_t count = 0; count <= EDHOC_CHAIN_MAX + 1; count++) {
        bool good = count > 0 && count <= EDHOC_CHAIN_MAX;
        struct writer id = writer_over(room, sizeof room);
        edhoc_put_x5chain(&id, chain, count);
        check_status(good ? OK : NO_ROOM, writer_end(&id));
        if (good) {
            check_ok(named(&rig, writer_bytes(&id)));
            assert_int_equal(rig.reference[0].kind, EDHOC_X5CHAIN);
            assert_int_equal(rig.reference[0].certificates_count, count);
            for (size_t i = 0; i < count; i++)
                check_bytes(chain[i], rig.reference[0].certificates[i]);
            assert_true(edhoc_reference_is(&rig.reference[0], chain[0]));
            assert_false(edhoc_reference_is(&rig.reference[0], chain[1]));
            continue;
        }
        /* Put together by other hands: an array of none, of one, and of one too many. */
        id = writer_over(room, sizeof room);
        put_bytes(&id, bytes_from("\xa1\x18\x21", 3));
        cbor_put_array(&id, count ? count : 1);
        for (size_t i = 0; i < (count ? count : 1); i++)
            cbor_put_bytes(&id, chain[i]);
        check_status(AUTH, named(&rig, writer_bytes(&id)));
        assert_int_equal(rig.reference[0].kind, EDHOC_NONE);
    }
    for (size_t i = 0; i < EDHOC_CHAIN_MAX; i++)
        rig_party_done(&others[i]);
    rig_done(&rig);
}

static void a_hash_names_its_certificate_alone(void **state)
{
    static struct rig rig;
    uint8_t room[64], hash[CRYPTO_HASH_MAX];
    (void)state;
    rig_start(&rig, 0, 2, RIG_X5T);
    struct bytes own = rig.r.credential.value;
    check_ok(crypto_hash(CRYPTO_SHA256, &own, 1, hash));
    check_ok(named(&rig, rig.r.credential.id_cred));
    assert_int_equal(rig.reference[0].hash_alg, -15);
    check_bytes(bytes_from(hash, 8), rig.reference[0].hash);
    static const struct {
        int64_t alg;
        size_t len;
        bool is;
    } forms[] = {{-15, 8, true},  {-16, 32, true}, {-16, 8, false},  {-15, 32, false},
                 {-15, 7, false}, {-15, 0, false}, {-43, 32, false}, {-14, 20, false}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct writer id = writer_over(room, sizeof room);
        put_bytes(&id, bytes_from("\xa1\x18\x22\x82", 4));
        cbor_put_int(&id, forms[i].alg);
        cbor_put_bytes(&id, bytes_from(hash, forms[i].len));
        check_ok(named(&rig, writer_bytes(&id)));
        assert_int_equal(rig.reference[0].kind, EDHOC_X5T);
        assert_int_equal(rig.reference[0].hash_alg, forms[i].alg);
        assert_int_equal(edhoc_reference_is(&rig.reference[0], own), forms[i].is);
        assert_false(edhoc_reference_is(&rig.reference[0], rig.i.credential.value));
    }
    rig_done(&rig);
}

static void other_kinds_are_shown_and_broken_ones_are_not(void **state)
{
    static struct rig rig;
    static const struct {
        const char *bytes;
        size_t len;
        enum edhoc_kind kind;
    } some[] = {
        {"\xa0", 1, EDHOC_OTHER},
        {"\xa1\x0d\xa0", 3, EDHOC_OTHER},
        {"\xa1\x61\x61\x01", 4, EDHOC_OTHER},
        {"\xa1\x20\x01", 3, EDHOC_OTHER},
        {"\xa1\x18\x20\x40", 4, EDHOC_OTHER}, /* x5bag */
        {"\xa2\x18\x21\x40\x18\x22\x40", 7, EDHOC_OTHER},
        {"\xa1\x18\x21\x01", 4, EDHOC_NONE},
        {"\xa1\x18\x21\x80", 4, EDHOC_NONE},
        {"\xa1\x18\x22\x81\x2e", 5, EDHOC_NONE},
        {"\xa1\x18\x22\x83\x2e\x40\x40", 7, EDHOC_NONE},
        {"\xa1\x18\x22\x82\x2e\x01", 6, EDHOC_NONE},
        {"\xa1\x18\x22\x82\x61\x61\x40", 7, EDHOC_NONE},
        {"\xa1\x04\x05", 3, EDHOC_NONE},
        {"\xa2\x18\x22\x40\x18\x21\x40", 7, EDHOC_NONE}, /* labels out of order */
        {"\xa1\x0e", 2, EDHOC_NONE},
        {"\x80", 1, EDHOC_NONE},
        {"\x61\x61", 2, EDHOC_NONE},
        {"\xf6", 1, EDHOC_NONE},
    };
    (void)state;
    rig_start(&rig, 0, 2, RIG_KID);
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        check_status(some[i].kind == EDHOC_NONE ? AUTH : OK, named(&rig, bytes_from(some[i].bytes, some[i].len)));
        assert_int_equal(rig.reference[0].kind, some[i].kind);
    }
    rig_done(&rig);
}

/* ---- Claims sets (§3.5.2) ---- */

static void a_claims_set_gives_back_key_and_subject(void **state)
{
    static const enum crypto_curve curves[] = {CRYPTO_P256, CRYPTO_P384, CRYPTO_X25519, CRYPTO_ED25519};
    (void)state;
    for (size_t c = 0; c < 4; c++) {
        struct crypto_key key = rig_fresh(curves[c]);
        struct crypto_public got, untouched;
        struct bytes subject = {0};
        uint8_t room[512];
        struct writer writer = writer_over(room, sizeof room);
        edhoc_put_claims(&writer, "42-50-31", &key.public_key, bytes_from("k", 1));
        struct bytes whole = writer_bytes(&writer);
        check_ok(edhoc_claims_decode(whole, &got, &subject));
        check_bytes(bytes_from_text("42-50-31"), subject);
        assert_int_equal(got.curve, curves[c]);
        check_bytes(crypto_public_bytes(&key.public_key), crypto_public_bytes(&got));
        memset(&got, 0x55, sizeof got);
        untouched = got;
        for (size_t len = 0; len < whole.len; len++)
            assert_int_not_equal(edhoc_claims_decode(bytes_slice(whole, 0, len), &got, &subject), OK);
        put_u8(&writer, 0);
        check_status(MALFORMED, edhoc_claims_decode(writer_bytes(&writer), &got, &subject));
        assert_memory_equal(&untouched, &got, sizeof got);
        crypto_key_done(&key);
    }
}

static void a_claims_set_without_a_key_is_none(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {{"\xa0", 1},
               {"\xa1\x02\x61\x61", 4},
               {"\xa1\x08\xa0", 3},
               {"\xa1\x08\xa1\x02\xa0", 5},
               {"\xa1\x08\xa1\x01\xa0", 5},
               {"\xa1\x08\x01", 3},
               {"\xa1\x02\x41\x61", 4},
               {"\x80", 1},
               {"\xa1\x08\xa1\x01\xa3\x01\x01\x20\x04\x21\x40", 11}};
    struct crypto_public key = {.len = 77};
    struct bytes subject;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_not_equal(edhoc_claims_decode(bytes_from(bad[i].bytes, bad[i].len), &key, &subject), OK);
    assert_int_equal(key.len, 77);
}

static void a_raw_key_in_the_handshake_is_found_in_it(void **state)
{
    static struct rig rig;
    (void)state;
    for (unsigned method = 0; method < 4; method++) {
        rig_start(&rig, method, 2, RIG_KCCS);
        rig_run(&rig, PUT_1, VERIFY_3);
        struct edhoc_credential found = {.value = rig.reference[1].claims};
        struct bytes subject;
        assert_int_equal(rig.reference[1].kind, EDHOC_KCCS);
        check_ok(edhoc_claims_decode(found.value, &found.key, &subject));
        check_bytes(bytes_from_text("i"), subject);
        rig.believed_i = &found;
        rig_run(&rig, VERIFY_3, RIG_STEPS);
        rig_done(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lone_kid_travels_compact),
        cmocka_unit_test(a_kid_is_refused_in_every_form_but_the_compact_one),
        cmocka_unit_test(chains_of_one_to_four_certificates_are_told_apart),
        cmocka_unit_test(a_hash_names_its_certificate_alone),
        cmocka_unit_test(other_kinds_are_shown_and_broken_ones_are_not),
        cmocka_unit_test(a_claims_set_gives_back_key_and_subject),
        cmocka_unit_test(a_claims_set_without_a_key_is_none),
        cmocka_unit_test(a_raw_key_in_the_handshake_is_found_in_it),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
