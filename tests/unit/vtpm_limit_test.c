/* vtpm: what one instance may take up — its state, which its owner may bound further, a command, what waits. */
#include "../vtpm_rig.h"

#define INDEX 0x01500001u
#define SMALL 0x01510001u

/* Of the permanent state, as it is told at a launch. */
static size_t state_len(struct rig *rig)
{
    rig_stop(rig);
    rig_on(rig);
    const char *told = strstr(rig->audit, " state=");
    assert_non_null(told);
    return strtoul(told + 7, NULL, 10);
}

static uint32_t undefine(struct rig *rig, uint32_t index)
{
    const uint32_t handles[] = {RIG_OWNER, index};
    return rig_tpm(rig, rig_command(0x122, handles, 2, rig_no_auth, (struct bytes){0}), NULL);
}

/* TPM2_Shutdown(STATE) saves the most; the next startup takes it back. */
static size_t shut_down(struct rig *rig)
{
    assert_int_equal(0, rig_tpm(rig, rig_command(0x145, NULL, 0, NULL, BYTES_OF(((const uint8_t[]){0, 1}))), NULL));
    rig_stop(rig);
    assert_int_equal(0, rig_launch(rig));
    const char *told = strstr(rig->audit, " state=");
    assert_non_null(told);
    size_t len = strtoul(told + 7, NULL, 10);
    assert_int_equal(0, rig_do(rig, SWTPM_INIT));
    assert_int_equal(0, rig_startup(rig));
    return len;
}

static void nv_is_full_at_the_limit_and_not_before(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t data[1024];
    uint32_t code, count = 0;
    memset(data, 1, sizeof data);
    rig_init(&rig);
    rig_on(&rig);
    while ((code = rig_nv_define(&rig, INDEX + count, 2048, "")) == 0) {
        assert_int_equal(0, rig_nv_write(&rig, INDEX + count, BYTES_OF(data), ""));
        assert_true(++count < 100);
    }
    assert_int_equal(0x14b, code); /* TPM_RC_NV_SPACE */
    assert_true(count * 2048 > VTPM_STATE_MAX - VTPM_GROWTH_MAX - 16 * 1024);
    /* Taking one out moves all that lies behind it: the largest commit there is, and it is carried. */
    const uint32_t handles[] = {RIG_OWNER, INDEX};
    assert_int_equal(0, rig_tpm(&rig, rig_command(0x122, handles, 2, rig_no_auth, (struct bytes){0}), NULL));
    assert_int_equal(0, rig_nv_define(&rig, INDEX, 2048, ""));
    rig_stop(&rig);
    rig_on(&rig);
    struct bytes back = {0};
    assert_int_equal(0, rig_nv_read(&rig, INDEX + 1, 1024, "", &back));
    check_bytes(BYTES_OF(data), back);
    rig_stop(&rig);
    rig.machine.state_max = IMAGE_STATE_MIN;
    rig_on(&rig); /* smaller than what there is: nothing is lost, nothing grows */
    assert_int_equal(0x14b, rig_nv_define(&rig, INDEX + count, 16, ""));
    assert_int_equal(0, rig_nv_read(&rig, INDEX + 1, 1024, "", &back));
    rig_done(&rig);
}

/* Up to there an index is defined, and one byte past it none is; what is there is read, written and deleted as ever. */
static void its_owners_limit_is_kept_to_the_byte(void **state)
{
    (void)state;
    struct rig rig;
    struct bytes back = {0};
    const size_t brim = IMAGE_STATE_MIN - VTPM_GROWTH_MAX;
    rig_init(&rig);
    rig.machine = (struct image_machine){.serial = 1, .state_max = IMAGE_STATE_MIN};
    rig_on(&rig);
    const size_t fresh = state_len(&rig);
    assert_int_equal(0, rig_nv_define(&rig, INDEX, 100, ""));
    const size_t index = state_len(&rig) - fresh - 100; /* what one takes beside its data */
    uint32_t count = 1;
    size_t len;
    while ((len = state_len(&rig)) + 2 * (index + 1024) <= brim)
        assert_int_equal(0, rig_nv_define(&rig, INDEX + count++, 1024, ""));
    assert_int_equal(0, rig_nv_define(&rig, SMALL, (uint16_t)(brim - len - index), ""));
    assert_int_equal(brim, state_len(&rig));
    assert_int_equal(0, rig_nv_define(&rig, SMALL + 1, 2048, "0123456789012345678901234567890")); /* at it */
    assert_int_equal(0, undefine(&rig, SMALL + 1));
    assert_int_equal(0, undefine(&rig, SMALL));
    assert_int_equal(0, rig_nv_define(&rig, SMALL, (uint16_t)(brim - len - index + 1), ""));
    assert_int_equal(brim + 1, state_len(&rig));
    assert_int_equal(0x14b, rig_nv_define(&rig, SMALL + 1, 1, "")); /* TPM_RC_NV_SPACE */
    const uint64_t sequence = rig.sequence;
    assert_int_equal(0x14b, rig_nv_define(&rig, SMALL + 1, 1, ""));
    assert_int_equal(sequence, rig.sequence);
    assert_int_equal(0, rig_nv_write(&rig, INDEX, BYTES_OF("kept"), ""));
    assert_int_equal(0, rig_nv_read(&rig, INDEX, 4, "", &back));
    check_bytes(bytes_from("kept", 4), back);
    assert_int_equal(0, undefine(&rig, SMALL));
    assert_int_equal(0, rig_nv_define(&rig, SMALL, 1, ""));
    rig_stop(&rig);
    rig.machine = (struct image_machine){.serial = 2}; /* no word about it any more */
    rig_on(&rig);
    assert_int_equal(0, rig_nv_define(&rig, SMALL + 1, 2048, ""));
    assert_int_equal(0, rig_nv_define(&rig, SMALL + 2, 2048, ""));
    assert_int_equal(0, rig_nv_define(&rig, SMALL + 3, 2048, ""));
    rig_done(&rig);
}

/* An index whose password may be changed: by its policy only (Part 1 §19.2), that of TPM2_PolicyCommandCode. */
static uint32_t define_changeable(struct rig *rig, uint32_t index)
{
    static const uint8_t before[32];
    static const uint8_t codes[] = {0, 0, 1, 0x6c, 0, 0, 1, 0x3b};
    const struct bytes parts[] = {BYTES_OF(before), BYTES_OF(codes)};
    uint8_t policy[CRYPTO_HASH_MAX], room[96];
    const uint32_t handles[] = {RIG_OWNER};
    struct writer writer = writer_over(room, sizeof room);
    check_ok(crypto_hash(CRYPTO_SHA256, parts, 2, policy));
    put_u16be(&writer, 0);
    put_u16be(&writer, 14 + 32);
    put_u32be(&writer, index);
    put_u16be(&writer, 0x000b);
    put_u32be(&writer, 0x02040004);
    put_u16be(&writer, 32);
    put_bytes(&writer, bytes_from(policy, 32));
    put_u16be(&writer, 1);
    return rig_tpm(rig, rig_command(0x12a, handles, 1, rig_no_auth, writer_bytes(&writer)), NULL);
}

/* TPM2_NV_ChangeAuth in a policy session of its own, which goes with the command or is flushed. */
static uint32_t give_password(struct rig *rig, uint32_t index)
{
    uint8_t room[128];
    struct writer writer = writer_over(room, sizeof room);
    const uint32_t none[] = {0x40000007, 0x40000007};
    struct bytes rest = {0};
    put_u16be(&writer, 16);
    memset(put_space(&writer, 16), 1, 16);
    put_bytes(&writer, BYTES_OF(((const uint8_t[]){0, 0, 1, 0, 0x10, 0, 0x0b})));
    assert_int_equal(0, rig_tpm(rig, rig_command(0x176, none, 2, NULL, writer_bytes(&writer)), &rest));
    struct reader reader = reader_over(rest);
    const uint32_t session = take_u32be(&reader);
    assert_int_equal(
        0, rig_tpm(rig, rig_command(0x16c, &session, 1, NULL, BYTES_OF(((const uint8_t[]){0, 0, 1, 0x3b}))), NULL));
    writer = writer_over(room, sizeof room);
    put_u16be(&writer, 0x8002);
    put_u32be(&writer, 10 + 4 + 4 + 9 + 2 + 32);
    put_u32be(&writer, 0x13b);
    put_u32be(&writer, index);
    put_u32be(&writer, 9);
    put_u32be(&writer, session);
    put_bytes(&writer, BYTES_OF(((const uint8_t[]){0, 0, 0, 0, 0})));
    put_u16be(&writer, 32);
    memset(put_space(&writer, 32), 'p', 32);
    const uint32_t code = rig_tpm(rig, writer_bytes(&writer), NULL);
    if (code) {
        struct writer handle = writer_over(room, sizeof room);
        put_u32be(&handle, session);
        assert_int_equal(0, rig_tpm(rig, rig_command(0x165, NULL, 0, NULL, writer_bytes(&handle)), NULL));
    }
    return code;
}

/* What makes the state grow without an index more is refused when what is left does for a shutdown and no more. */
static void neither_passwords_nor_a_shutdown_pass_the_limit(void **state)
{
    (void)state;
    struct rig rig;
    uint32_t count = 0, given = 0, code = 0;
    rig_init(&rig);
    rig.machine = (struct image_machine){.serial = 1, .state_max = IMAGE_STATE_MIN};
    rig_on(&rig);
    while ((code = define_changeable(&rig, INDEX + count)) == 0)
        count++;
    assert_int_equal(0x14b, code);
    while (given < count && (code = give_password(&rig, INDEX + given)) == 0)
        given++;
    assert_int_equal(0x14b, code);
    assert_true(given > 0 && given < count);
    const size_t len = state_len(&rig);
    assert_true(len > IMAGE_STATE_MIN - VTPM_SHUTDOWN_MAX && len <= IMAGE_STATE_MIN - VTPM_SHUTDOWN_MAX + 64);
    const uint32_t owner[] = {RIG_OWNER};
    assert_int_equal(
        0x14b,
        rig_tpm(&rig, rig_command(0x129, owner, 1, rig_no_auth, BYTES_OF(((const uint8_t[]){0, 1, 'o'}))), NULL));
    const size_t saved = shut_down(&rig);
    assert_true(saved > len + 2048 && saved <= IMAGE_STATE_MIN);
    rig_done(&rig);
}

/* Whose bytes are too many while a commit is on its way is turned away, one byte past what there is room for. */
static void what_waits_has_a_length(void **state)
{
    (void)state;
    static uint8_t frame[150u << 10];
    struct rig rig;
    size_t left = VTPM_QUEUE_BYTES;
    rig_init(&rig);
    rig_on(&rig);
    rig.mute = true;
    assert_int_equal(UINT32_MAX, rig_nv_define(&rig, INDEX, 1, ""));
    while (left > sizeof frame) {
        rig_ask(&rig, DOOR_VTPM_CONTROL, BYTES_OF(frame));
        assert_int_equal(0, rig.replies);
        left -= sizeof frame;
    }
    rig_ask(&rig, DOOR_VTPM_CONTROL, bytes_from(frame, left + 1));
    assert_int_equal(1, rig.replies);
    assert_memory_equal(((const uint8_t[]){0, 0, 0x08, 0x00}), rig.reply, 4); /* SWTPM_RETRY */
    rig_ask(&rig, DOOR_VTPM_CONTROL, bytes_from(frame, left));
    assert_int_equal(0, rig.replies);
    rig_ask(&rig, DOOR_VTPM_CONTROL, bytes_from(frame, 1));
    assert_int_equal(1, rig.replies);
    rig_done(&rig);
}

static void a_buffer_out_of_range_is_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t buffer_max;
        enum status wanted;
    } table[] = {{2808, OK}, {2807, NO_ROOM}, {4096, OK}, {4097, NO_ROOM}};
    struct rig rig;
    rig_init(&rig);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct vtpm_config config = {
            .port = {&rig, rig_send, rig_advance, rig_record, rig_head, rig_seal_key, rig_report, rig_launch_of_vm,
                     rig_launches, rig_clock_ms},
            .buffer_max = table[i].buffer_max,
        };
        struct vtpm *vtpm = NULL, *second = NULL;
        check_status(table[i].wanted, vtpm_new(&vtpm, &config));
        if (table[i].wanted == OK)
            check_status(WRONG_STATE, vtpm_new(&second, &config));
        vtpm_free(vtpm);
    }
    rig_done(&rig);
}

static void a_command_longer_than_the_buffer_is_refused(void **state)
{
    (void)state;
    static uint8_t zeros[4096];
    struct rig rig;
    rig_init(&rig);
    rig.buffer_max = 2808;
    rig_on(&rig);
    assert_int_equal(0x142, rig_tpm(&rig, rig_command(0x17b, NULL, 0, NULL, bytes_from(zeros, 2799)), NULL));
    const struct swtpm_request size = {.command = SWTPM_SET_BUFFER_SIZE};
    assert_int_equal(2808, rig_control(&rig, &size).of.buffer.max);
    rig_done(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nv_is_full_at_the_limit_and_not_before),
        cmocka_unit_test(its_owners_limit_is_kept_to_the_byte),
        cmocka_unit_test(neither_passwords_nor_a_shutdown_pass_the_limit),
        cmocka_unit_test(a_buffer_out_of_range_is_refused),
        cmocka_unit_test(a_command_longer_than_the_buffer_is_refused),
        cmocka_unit_test(what_waits_has_a_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
