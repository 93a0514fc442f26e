/* vtpm: its state moves to another node when its owner says so: sealed for the key that he named, landed once, and
 * served by one of the two or by none. */
#include "vtpm_transfer_rig.h"

static struct move_blobs blobs;
static uint8_t bent_room[VTPM_TRANSFER_BUNDLE_MAX];

static void check_audit(struct rig *rig, const char *word)
{
    if (!strstr(rig->audit, word))
        fail_msg("the audit log does not say \"%s\":\n%s", word, rig->audit);
    rig->audit[0] = 0;
}

static void check_refuses(struct rig *rig, enum vtpm_transfer_operation operation, struct bytes rest, const char *why)
{
    const struct vtpm_transfer_answer answer = move_ask(rig, operation, rest);
    char sentence[VTPM_TRANSFER_SENTENCE_MAX + 1] = {0};
    assert_int_not_equal(OK, answer.status);
    memcpy(sentence, answer.sentence.data, answer.sentence.len);
    if (!strstr(sentence, why))
        fail_msg("\"%s\" does not say \"%s\"", sentence, why);
    check_audit(rig, why);
}

/* Off, and not to be had again. */
static void check_serves_nothing(struct rig *rig)
{
    assert_int_equal(SWTPM_FAIL, rig_do(rig, SWTPM_INIT));
    check_audit(rig, "refused=init");
    assert_int_equal(0x101, rig_tpm(rig, rig_command(0x17b, NULL, 0, NULL, BYTES_OF("\0\10")), NULL));
    assert_int_equal(SWTPM_BAD_ORDINAL, rig_do(rig, SWTPM_STORE_VOLATILE));
    assert_int_equal(SWTPM_BAD_ORDINAL, rig_do(rig, SWTPM_HASH_START));
}

static void check_at(struct rig *rig, enum vtpm_custody custody)
{
    assert_int_equal(custody, move_status(rig).custody);
}

static void granted_it_moves_with_a_vms_migration_and_runs_on_there(void **state)
{
    (void)state;
    struct rig source, destination;
    uint8_t to[VTPM_TRANSFER_POINT_LEN];
    move_begin(&source, &destination, to);
    assert_int_equal(SWTPM_FAIL, move_get_state(&source, &blobs));
    check_audit(&source, "the owner granted no move");
    assert_int_equal(OK, move_granted(&source, VTPM_GRANT_MOVE, to));
    assert_true(move_status(&source).armed);
    assert_int_equal(1, move_value(&source)); /* it serves until the state is asked for */
    assert_int_equal(SWTPM_OK, move_get_state(&source, &blobs));
    check_audit(&source, "state=moved");
    check_at(&source, VTPM_MOVED);
    assert_memory_equal(to, move_status(&source).to, sizeof to);
    check_serves_nothing(&source);
    rig_stop(&source);
    assert_int_equal(0, rig_launch(&destination));
    check_serves_nothing(&destination);
    assert_int_equal(SWTPM_OK, move_set_state(&destination, &blobs));
    check_at(&destination, VTPM_LANDING);
    assert_int_equal(SWTPM_OK, rig_do(&destination, SWTPM_INIT));
    check_audit(&destination, "state=landed");
    check_at(&destination, VTPM_LIVE);
    assert_memory_equal(to, move_status(&destination).to, sizeof to);
    assert_int_equal(1, move_value(&destination));
    assert_true(move_pcr_extended(&destination));
    rig_stop(&destination);
    rig_on(&destination);
    assert_int_equal(1, move_value(&destination));
    rig_done(&destination);
    rig_done(&source);
}

static void given_again_it_is_the_same_to_the_bit(void **state)
{
    (void)state;
    static uint8_t first[VTPM_TRANSFER_BUNDLE_MAX];
    struct rig source, destination;
    uint8_t to[VTPM_TRANSFER_POINT_LEN];
    move_begin(&source, &destination, to);
    assert_int_equal(OK, move_granted(&source, VTPM_GRANT_MOVE, to));
    const struct bytes once = move_give(&source);
    assert_true(once.len > 0);
    memcpy(first, once.data, once.len);
    const struct bytes whole = bytes_from(first, once.len);
    check_bytes(whole, move_give(&source));
    assert_int_equal(SWTPM_OK, move_get_state(&source, &blobs));
    assert_memory_equal(first, blobs.data[0], blobs.len[0]);
    for (uint32_t version = 1; version <= 2; version++) { /* also by a newer program */
        rig_stop(&source);
        source.own.security_version = version;
        assert_int_equal(0, rig_launch(&source));
        check_at(&source, VTPM_MOVED);
        check_bytes(whole, move_give(&source));
        check_serves_nothing(&source);
    }
    rig_stop(&source);
    assert_int_equal(0, rig_launch(&destination));
    assert_int_equal(OK, move_ask(&destination, VTPM_TRANSFER_LAND, whole).status);
    assert_int_equal(SWTPM_OK, rig_do(&destination, SWTPM_INIT));
    assert_int_equal(1, move_value(&destination));
    check_refuses(&destination, VTPM_TRANSFER_LAND, whole,
                  "there is no landing key"); /* a second time it is not landed */
    rig_done(&destination);
    rig_done(&source);
}

static void forgotten_it_is_gone_and_may_come_back(void **state)
{
    (void)state;
    struct rig source, destination;
    uint8_t to[VTPM_TRANSFER_POINT_LEN], back[VTPM_TRANSFER_POINT_LEN];
    move_begin(&source, &destination, to);
    assert_int_equal(OK, move_granted(&source, VTPM_GRANT_MOVE, to));
    struct bytes whole = move_give(&source);
    check_refuses(&source, VTPM_TRANSFER_PREPARE, (struct bytes){0}, "it would be lost");
    assert_int_equal(OK, move_granted(&source, VTPM_GRANT_FORGET, to));
    check_at(&source, VTPM_FORGOTTEN);
    check_serves_nothing(&source);
    check_refuses(&source, VTPM_TRANSFER_GIVE, (struct bytes){0}, "granted no move");
    rig_stop(&source);
    assert_int_equal(0, rig_launch(&source));
    check_at(&source, VTPM_FORGOTTEN);
    check_serves_nothing(&source);
    rig_stop(&source);
    move_prepare(&source, back);
    assert_int_equal(0, rig_launch(&destination));
    assert_int_equal(OK, move_ask(&destination, VTPM_TRANSFER_LAND, whole).status);
    assert_int_equal(SWTPM_OK, rig_do(&destination, SWTPM_INIT));
    assert_int_equal(0, rig_nv_write(&destination, MOVE_INDEX, bytes_from("\2", 1), ""));
    assert_int_equal(OK, move_granted(&destination, VTPM_GRANT_MOVE, back));
    whole = move_give(&destination);
    rig_stop(&destination);
    assert_int_equal(0, rig_launch(&source));
    assert_int_equal(OK, move_ask(&source, VTPM_TRANSFER_LAND, whole).status);
    assert_int_equal(SWTPM_OK, rig_do(&source, SWTPM_INIT));
    assert_int_equal(2, move_value(&source));
    assert_true(move_pcr_extended(&source));
    rig_done(&source);
    rig_done(&destination);
}

static void aborted_it_runs_on_where_it_was(void **state)
{
    (void)state;
    struct rig source, destination;
    uint8_t to[VTPM_TRANSFER_POINT_LEN], earlier[VTPM_TRANSFER_AUTHORITY_MAX];
    move_begin(&source, &destination, to);
    const struct bytes grant = move_grant(&source, VTPM_GRANT_MOVE, to);
    memcpy(earlier, grant.data, grant.len);
    assert_int_equal(OK, move_ask(&source, VTPM_TRANSFER_GRANT, grant).status);
    const struct bytes whole = move_give(&source);
    assert_int_equal(OK, move_granted(&source, VTPM_GRANT_RESUME, to));
    check_at(&source, VTPM_LIVE);
    assert_int_equal(1, move_value(&source)); /* its VM did not notice */
    assert_true(move_pcr_extended(&source));
    check_refuses(&source, VTPM_TRANSFER_GRANT, bytes_from(earlier, grant.len), "of an earlier launch or move");
    check_refuses(&source, VTPM_TRANSFER_GIVE, (struct bytes){0}, "granted no move");
    rig_stop(&source);
    assert_int_equal(0, rig_launch(&destination));
    const struct vtpm_transfer_answer dropped = move_ask(&destination, VTPM_TRANSFER_ABANDON, (struct bytes){0});
    assert_int_equal(OK, dropped.status);
    assert_int_equal(VTPM_ABANDONED, dropped.facts.custody);
    assert_memory_equal(to, dropped.facts.to, sizeof to);
    check_refuses(&destination, VTPM_TRANSFER_LAND, whole, "there is no landing key");
    check_serves_nothing(&destination);
    rig_stop(&destination);
    assert_int_equal(0, rig_launch(&destination));
    check_at(&destination, VTPM_ABANDONED);
    check_refuses(&destination, VTPM_TRANSFER_LAND, whole, "there is no landing key");
    rig_stop(&destination);
    move_prepare(&destination, to); /* another key: what was sealed for the former lands never again */
    assert_int_equal(0, rig_launch(&destination));
    check_refuses(&destination, VTPM_TRANSFER_LAND, whole, "sealed for another landing key");
    rig_done(&destination);
    rig_done(&source);
}

static void a_grant_that_was_not_used_yet_is_taken_back(void **state)
{
    (void)state;
    struct rig source, destination;
    uint8_t to[VTPM_TRANSFER_POINT_LEN];
    move_begin(&source, &destination, to);
    assert_int_equal(OK, move_granted(&source, VTPM_GRANT_MOVE, to));
    assert_int_equal(OK, move_granted(&source, VTPM_GRANT_RESUME, to));
    assert_false(move_status(&source).armed);
    assert_int_equal(SWTPM_FAIL, move_get_state(&source, &blobs));
    assert_int_equal(OK, move_granted(&source, VTPM_GRANT_MOVE, to));
    rig_stop(&source); /* nor does one outlive the launch that it was given for */
    rig_on(&source);
    assert_false(move_status(&source).armed);
    check_refuses(&source, VTPM_TRANSFER_GIVE, (struct bytes){0}, "granted no move");
    assert_int_equal(1, move_value(&source));
    rig_done(&source);
    rig_done(&destination);
}

static void what_the_owner_did_not_grant_is_refused_by_name(void **state)
{
    (void)state;
    struct rig source, destination;
    uint8_t to[VTPM_TRANSFER_POINT_LEN], instance[16] = "another one";
    struct crypto_key stranger = {0};
    check_ok(crypto_key_generate(&stranger, CRYPTO_P256));
    move_begin(&source, &destination, to);
    struct vtpm_transfer_facts facts = move_status(&source);
    check_refuses(&source, VTPM_TRANSFER_GRANT, move_sign(&stranger, VTPM_GRANT_MOVE, facts.instance, to, facts.from),
                  "not the owner's grant");
    check_refuses(&source, VTPM_TRANSFER_GRANT, (struct bytes){0}, "not the owner's grant");
    check_refuses(&source, VTPM_TRANSFER_GRANT, move_sign(&move_owner, VTPM_GRANT_MOVE, instance, to, facts.from),
                  "for another instance");
    check_refuses(&source, VTPM_TRANSFER_GRANT, move_sign(&move_owner, VTPM_GRANT_MOVE, facts.instance, to, to),
                  "of an earlier launch or move");
    check_refuses(&source, VTPM_TRANSFER_GRANT, move_grant(&source, VTPM_GRANT_FORGET, to), "nothing left this vTPM");
    check_refuses(&source, VTPM_TRANSFER_GRANT, move_grant(&source, VTPM_GRANT_BACKUP, to), "for something else");
    check_refuses(&source, VTPM_TRANSFER_GRANT, move_grant(&source, VTPM_GRANT_RESTORE, to), "for something else");
    check_refuses(&source, VTPM_TRANSFER_BACKUP, move_grant(&source, VTPM_GRANT_MOVE, to), "for something else");
    check_refuses(&source, VTPM_TRANSFER_GIVE, (struct bytes){0}, "granted no move");
    check_refuses(&source, VTPM_TRANSFER_ABANDON, (struct bytes){0}, "no landing key to drop");
    check_refuses(&source, VTPM_TRANSFER_LAND, (struct bytes){0}, "no landing key");
    assert_int_equal(1, move_value(&source));
    /* After it left, only for the key that it left for. */
    assert_int_equal(OK, move_granted(&source, VTPM_GRANT_MOVE, to));
    assert_true(move_give(&source).len > 0);
    facts = move_status(&source);
    for (enum vtpm_grant_purpose purpose = VTPM_GRANT_MOVE; purpose <= VTPM_GRANT_FORGET; purpose++)
        check_refuses(&source, VTPM_TRANSFER_GRANT, move_grant(&source, purpose, facts.from), "another landing key");
    check_refuses(&source, VTPM_TRANSFER_BACKUP, move_grant(&source, VTPM_GRANT_BACKUP, to), "lives elsewhere");
    check_at(&source, VTPM_MOVED);
    rig_stop(&source);
    assert_int_equal(0, rig_launch(&destination));
    check_refuses(&destination, VTPM_TRANSFER_GRANT,
                  move_sign(&move_owner, VTPM_GRANT_MOVE, facts.instance, to, facts.from), "no state here");
    rig_done(&destination);
    rig_done(&source);
    crypto_key_done(&stranger);
}

static void without_an_owner_nothing_moves(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_on(&rig);
    check_refuses(&rig, VTPM_TRANSFER_GRANT, (struct bytes){0}, "not the owner's grant");
    rig_done(&rig);
    rig_init(&rig);
    assert_int_equal(0, rig_launch(&rig));
    check_refuses(&rig, VTPM_TRANSFER_PREPARE, (struct bytes){0}, "no owner");
    check_at(&rig, VTPM_EMPTY);
    rig_done(&rig);
}

/* Off, on again, and nothing of it had an effect. */
static void check_lands_not(struct rig *destination, struct bytes whole, const char *why)
{
    check_refuses(destination, VTPM_TRANSFER_LAND, whole, why);
    check_at(destination, VTPM_LANDING);
}

static void what_is_bent_cut_or_not_meant_for_it_does_not_land(void **state)
{
    (void)state;
    struct rig source, destination, other;
    uint8_t to[VTPM_TRANSFER_POINT_LEN], elsewhere[VTPM_TRANSFER_POINT_LEN];
    struct crypto_key backup = {0};
    check_ok(crypto_key_generate(&backup, CRYPTO_P256));
    move_begin(&source, &destination, to);
    rig_stop(&source);
    move_init_elsewhere(&other);
    move_prepare(&other, elsewhere);
    rig_on(&source);
    /* A backup that somebody hands in as it is. */
    struct vtpm_transfer_answer answer =
        move_ask(&source, VTPM_TRANSFER_BACKUP, move_grant(&source, VTPM_GRANT_BACKUP, backup.public_key.data));
    assert_int_equal(OK, answer.status);
    const struct bytes copy = bytes_from(bent_room, answer.rest.len);
    memcpy(bent_room, answer.rest.data, answer.rest.len);
    rig_stop(&source);
    assert_int_equal(0, rig_launch(&destination));
    check_lands_not(&destination, copy, "the owner's to open");
    rig_stop(&destination);
    rig_on(&source);
    assert_int_equal(OK, move_granted(&source, VTPM_GRANT_MOVE, to));
    const struct bytes whole = move_give(&source);
    rig_stop(&source);
    assert_int_equal(0, rig_launch(&other)); /* the same configuration, another landing key */
    check_lands_not(&other, whole, "sealed for another landing key");
    rig_done(&other);
    assert_int_equal(0, rig_launch(&destination));
    for (size_t part = 0; part < 8; part++)
        check_lands_not(&destination, bytes_slice(whole, 0, whole.len * part / 8), "cut short");
    for (size_t at = 0; at < whole.len; at += at < 500 ? 7 : 211) {
        memcpy(bent_room, whole.data, whole.len);
        bent_room[at] ^= (uint8_t)(1u << at % 8);
        check_lands_not(&destination, bytes_from(bent_room, whole.len), "");
    }
    memcpy(bent_room, whole.data, whole.len);
    check_lands_not(&destination, bytes_from(bent_room, whole.len + 1), "more than three");
    rig_stop(&destination);
    destination.own.security_version = 0;
    assert_int_equal(8, rig_launch(&destination)); /* an older program does not even read its own store */
    rig_stop(&destination);
    destination.own.security_version = 1;
    assert_int_equal(0, rig_launch(&destination));
    assert_int_equal(OK, move_ask(&destination, VTPM_TRANSFER_LAND, whole).status);
    rig_done(&destination);
    rig_done(&source);
    crypto_key_done(&backup);
}

/* What a host could make up itself, knowing all that is public: it has no grant for a key of its own. */
static void a_state_that_somebody_else_sealed_does_not_land(void **state)
{
    (void)state;
    struct rig source, destination;
    uint8_t to[VTPM_TRANSFER_POINT_LEN], wrapped[VTPM_TRANSFER_WRAPPED_LEN], key[VTPM_TRANSFER_KEY_LEN] = {1};
    struct crypto_key forger = {0};
    struct crypto_public landing;
    check_ok(crypto_key_generate(&forger, CRYPTO_P256));
    move_begin(&source, &destination, to);
    check_ok(crypto_public_import(&landing, CRYPTO_P256, BYTES_OF(to)));
    const struct bytes mine = move_grant(&source, VTPM_GRANT_MOVE, to), state_of_mine = bytes_from_text("mine");
    struct writer writer = writer_over(bent_room, sizeof bent_room);
    for (uint8_t kind = 1; kind <= 3; kind++) {
        struct vtpm_blob blob = {.purpose = VTPM_BLOB_MOVE, .kind = kind, .authority = mine};
        memcpy(blob.instance, source.configuration.site, sizeof blob.instance);
        check_ok(vtpm_blob_wrap(&blob, &forger, &landing, key, wrapped));
        blob.wrapped = BYTES_OF(wrapped);
        check_ok(vtpm_blob_seal(&writer, &blob, key, &state_of_mine));
    }
    rig_stop(&source);
    assert_int_equal(0, rig_launch(&destination));
    check_lands_not(&destination, writer_bytes(&writer), "changed after it was sealed");
    rig_done(&destination);
    rig_done(&source);
    crypto_key_done(&forger);
}

/* The serial of the machine policy goes along: at the destination no earlier one counts, from the landing on. */
static void it_does_not_land_under_an_earlier_machine_policy(void **state)
{
    (void)state;
    struct rig source, destination;
    uint8_t to[VTPM_TRANSFER_POINT_LEN], room[VTPM_TRANSFER_BUNDLE_MAX];
    const char *sentence;
    move_init(&source);
    move_init_elsewhere(&destination);
    destination.machine.serial = 4;
    move_prepare(&destination, to);
    source.machine.serial = 5;
    move_source(&source, 1);
    assert_int_equal(OK, move_granted(&source, VTPM_GRANT_MOVE, to));
    const struct bytes given = move_give(&source), whole = bytes_from(room, given.len);
    memcpy(room, given.data, given.len);
    rig_stop(&source);
    assert_int_equal(0, rig_launch(&destination));
    check_lands_not(&destination, whole, "newer machine policy");
    rig_stop(&destination);
    destination.machine = (struct image_machine){0};
    assert_int_equal(0, rig_launch(&destination));
    check_lands_not(&destination, whole, "newer machine policy");
    rig_stop(&destination);
    destination.machine.serial = 5;
    assert_int_equal(0, rig_launch(&destination));
    assert_int_equal(OK, move_ask(&destination, VTPM_TRANSFER_LAND, whole).status);
    check_at(&destination, VTPM_LIVE);
    rig_stop(&destination);
    destination.machine.serial = 4; /* before it was ever switched on there */
    assert_int_equal(7, rig_launch(&destination));
    (void)vtpm_exit_code(destination.vtpm, &sentence);
    assert_string_equal("the machine policy is rolled back: its serial is 4, and 5 was seen", sentence);
    rig_stop(&destination);
    destination.machine.serial = 6;
    assert_int_equal(0, rig_launch(&destination));
    assert_int_equal(SWTPM_OK, rig_do(&destination, SWTPM_INIT));
    assert_int_equal(1, move_value(&destination));
    rig_done(&destination);
    rig_done(&source);
}

static void where_a_tpm_lives_none_lands(void **state)
{
    (void)state;
    struct rig rig;
    move_init(&rig);
    assert_int_equal(0, rig_launch(&rig));
    check_at(&rig, VTPM_EMPTY);
    assert_int_equal(0, rig_do(&rig, SWTPM_INIT));
    check_at(&rig, VTPM_LIVE);
    check_refuses(&rig, VTPM_TRANSFER_PREPARE, (struct bytes){0}, "it would be lost");
    rig_done(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(granted_it_moves_with_a_vms_migration_and_runs_on_there),
        cmocka_unit_test(given_again_it_is_the_same_to_the_bit),
        cmocka_unit_test(forgotten_it_is_gone_and_may_come_back),
        cmocka_unit_test(aborted_it_runs_on_where_it_was),
        cmocka_unit_test(a_grant_that_was_not_used_yet_is_taken_back),
        cmocka_unit_test(what_the_owner_did_not_grant_is_refused_by_name),
        cmocka_unit_test(without_an_owner_nothing_moves),
        cmocka_unit_test(what_is_bent_cut_or_not_meant_for_it_does_not_land),
        cmocka_unit_test(a_state_that_somebody_else_sealed_does_not_land),
        cmocka_unit_test(it_does_not_land_under_an_earlier_machine_policy),
        cmocka_unit_test(where_a_tpm_lives_none_lands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
