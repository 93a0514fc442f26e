/* vtpm: a TPM 2.0 behind swtpm's control commands — what it does, what it refuses. */
#include "vtpm_rig.h"

#define INDEX 0x01500001u

static uint32_t get_random(struct rig *rig, struct bytes *rest)
{
    return rig_tpm(rig, rig_command(0x17b, NULL, 0, NULL, BYTES_OF(((const uint8_t[]){0, 32}))), rest);
}

static void it_is_off_until_told_and_then_a_tpm(void **state)
{
    (void)state;
    struct rig rig;
    struct bytes rest = {0};
    uint8_t first[34];
    rig_init(&rig);
    assert_int_equal(0, rig_launch(&rig));
    assert_int_equal(0x101, get_random(&rig, NULL));
    assert_int_equal(0, rig_do(&rig, SWTPM_INIT));
    assert_int_equal(0x100, get_random(&rig, NULL)); /* TPM_RC_INITIALIZE */
    assert_int_equal(0, rig_startup(&rig));
    assert_int_equal(0, get_random(&rig, &rest));
    assert_int_equal(sizeof first, rest.len);
    memcpy(first, rest.data, sizeof first);
    assert_int_equal(0, get_random(&rig, &rest));
    assert_memory_not_equal(first + 2, rest.data + 2, 32);
    assert_int_equal(0, rig_do(&rig, SWTPM_STOP));
    assert_int_equal(0x101, get_random(&rig, NULL));
    rig_done(&rig);
}

static uint32_t create_primary(struct rig *rig, struct bytes *rest)
{
    /* A P-256 key that signs, in the owner's hierarchy. */
    static const uint8_t parameters[] = {
        0, 4,    0, 0,    0, 0,                   /* no authValue, no data */
        0, 24,   0, 0x23, 0, 0x0b,                /* ECC, SHA-256 */
        0, 0x04, 0, 0x72, 0, 0,                   /* attributes, no policy */
        0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10, /* no symmetric, ECDSA, P-256, no KDF */
        0, 0,    0, 0,    0, 0,    0, 0, 0, 0,    /* no point, nothing from outside, no PCR */
    };
    const uint32_t handles[] = {RIG_OWNER};
    return rig_tpm(rig, rig_command(0x131, handles, 1, rig_no_auth, BYTES_OF(parameters)), rest);
}

static void a_primary_key_is_the_same_after_a_restart_and_another_instance_has_another(void **state)
{
    (void)state;
    struct rig rig, other;
    struct bytes rest = {0};
    uint8_t key[64];
    rig_init(&rig);
    rig_on(&rig);
    assert_int_equal(0, create_primary(&rig, &rest));
    assert_true(rest.len > 120);
    memcpy(key, rest.data + 12, sizeof key);
    rig_stop(&rig);
    rig_on(&rig);
    assert_int_equal(0, create_primary(&rig, &rest));
    assert_memory_equal(key, rest.data + 12, sizeof key);
    rig_done(&rig);
    rig_init(&other);
    rig_on(&other);
    assert_int_equal(0, create_primary(&other, &rest));
    assert_memory_not_equal(key, rest.data + 12, sizeof key);
    rig_done(&other);
}

static void what_nv_holds_survives_a_restart(void **state)
{
    (void)state;
    struct rig rig;
    struct bytes data = {0};
    uint8_t long_data[1024];
    rig_init(&rig);
    rig_on(&rig);
    memset(long_data, 0xa5, sizeof long_data);
    assert_int_equal(0, rig_nv_define(&rig, INDEX, sizeof long_data, ""));
    assert_int_equal(0, rig_nv_write(&rig, INDEX, BYTES_OF(long_data), ""));
    rig_stop(&rig);
    rig_on(&rig);
    assert_int_equal(0, rig_nv_read(&rig, INDEX, sizeof long_data, "", &data));
    check_bytes(BYTES_OF(long_data), data);
    rig_done(&rig);
}

#define LOCKOUT_COUNTER 0x20eu

static void wrong_guesses_are_remembered_across_restarts_and_forgiven_by_the_tpms_own_clock(void **state)
{
    (void)state;
    struct rig rig;
    struct bytes data = {0};
    rig_init(&rig);
    rig_on(&rig);
    assert_int_equal(0, rig_nv_define(&rig, INDEX, 4, "right"));
    assert_int_equal(0, rig_nv_write(&rig, INDEX, BYTES_OF("abc"), "right"));
    uint32_t tries = 0;
    while (rig_nv_read(&rig, INDEX, 4, "wrong", &data) == 0x98e) /* TPM_RC_AUTH_FAIL, session 1 */
        assert_true(++tries < 64);
    assert_int_equal(tries, rig_property(&rig, LOCKOUT_COUNTER));
    assert_int_equal(tries, rig_property(&rig, 0x20f)); /* MAX_AUTH_FAIL */
    rig_stop(&rig);
    rig_on(&rig);
    assert_int_equal(tries, rig_property(&rig, LOCKOUT_COUNTER));
    assert_int_equal(0x921, rig_nv_read(&rig, INDEX, 4, "right", &data)); /* TPM_RC_LOCKOUT */
    rig.clock_ms += (uint64_t)rig_property(&rig, 0x210) * 1000 + 5000;    /* LOCKOUT_INTERVAL */
    assert_int_equal(0, rig_nv_read(&rig, INDEX, 4, "right", &data));
    assert_int_equal(tries - 1, rig_property(&rig, LOCKOUT_COUNTER));
    rig_done(&rig);
}

static void volatile_state_is_resumed_once(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t zero[32] = {0}, before[32], now[32];
    rig_init(&rig);
    rig_on(&rig);
    assert_int_equal(0, rig_pcr_extend(&rig, 16));
    rig_pcr_read(&rig, 16, before);
    assert_memory_not_equal(zero, before, 32);
    assert_int_equal(0, rig_do(&rig, SWTPM_STORE_VOLATILE));
    rig_stop(&rig);
    assert_int_equal(0, rig_launch(&rig));
    assert_int_equal(0, rig_do(&rig, SWTPM_INIT)); /* and no startup */
    rig_pcr_read(&rig, 16, now);
    assert_memory_equal(before, now, 32);
    assert_int_equal(0, rig_pcr_extend(&rig, 16));
    rig_stop(&rig);
    rig_on(&rig); /* a startup is wanted: the PCR does not go back to what was stored */
    rig_pcr_read(&rig, 16, now);
    assert_memory_equal(zero, now, 32);
    rig_done(&rig);
}

/* As QEMU resumes a VM: what the flag has dropped is read first. */
static void volatile_state_is_dropped_after_it_was_read(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t zero[32] = {0}, before[32], now[32];
    const struct swtpm_request init = {.command = SWTPM_INIT, .of.init_flags = SWTPM_INIT_DELETE_VOLATILE};
    rig_init(&rig);
    rig_on(&rig);
    assert_int_equal(0, rig_pcr_extend(&rig, 16));
    rig_pcr_read(&rig, 16, before);
    assert_int_equal(0, rig_do(&rig, SWTPM_STORE_VOLATILE));
    assert_int_equal(0, rig_control(&rig, &init).result); /* and no startup */
    rig_pcr_read(&rig, 16, now);
    assert_memory_equal(before, now, 32);
    assert_int_equal(0, rig_control(&rig, &init).result);
    assert_int_equal(0, rig_startup(&rig));
    rig_pcr_read(&rig, 16, now);
    assert_memory_equal(zero, now, 32);
    rig_done(&rig);
}

/* As swtpm 0.7.1 answers each, the TPM being off and on. */
static void every_control_command_is_answered_as_swtpm_does(void **state)
{
    (void)state;
    static const struct {
        struct swtpm_request request;
        uint32_t off, on;
    } table[] = {
        {{.command = SWTPM_GET_CAPABILITY}, 0, 0},
        {{.command = SWTPM_GET_ESTABLISHED}, SWTPM_BAD_ORDINAL, 0},
        {{.command = SWTPM_SET_LOCALITY, .of.locality = 4}, 0, 0},
        {{.command = SWTPM_SET_LOCALITY, .of.locality = 5}, SWTPM_BAD_LOCALITY, SWTPM_BAD_LOCALITY},
        {{.command = SWTPM_SET_LOCALITY}, 0, 0},
        {{.command = SWTPM_HASH_START}, SWTPM_BAD_ORDINAL, 0},
        {{.command = SWTPM_HASH_DATA, .of.data = {(const uint8_t *)"abc", 3}}, SWTPM_BAD_ORDINAL, 0},
        {{.command = SWTPM_HASH_END}, SWTPM_BAD_ORDINAL, 0},
        {{.command = SWTPM_CANCEL}, SWTPM_BAD_ORDINAL, 0},
        {{.command = SWTPM_STORE_VOLATILE}, SWTPM_BAD_ORDINAL, 0},
        {{.command = SWTPM_RESET_ESTABLISHED, .of.locality = 3}, SWTPM_BAD_ORDINAL, 0},
        {{.command = SWTPM_RESET_ESTABLISHED, .of.locality = 9}, SWTPM_BAD_ORDINAL, SWTPM_BAD_LOCALITY},
        {{.command = SWTPM_GET_CONFIG}, 0, 0},
        {{.command = SWTPM_SET_DATAFD}, SWTPM_BAD_PARAMETER, SWTPM_BAD_PARAMETER},
        {{.command = SWTPM_SET_BUFFER_SIZE}, 0, 0},
        {{.command = SWTPM_SET_BUFFER_SIZE, .of.buffer_size = 4096}, 0, SWTPM_BAD_ORDINAL},
        {{.command = SWTPM_GET_INFO, .of.info = {1, 0}}, 0, 0},
        {{.command = SWTPM_GET_INFO, .of.info = {1, 9999}}, SWTPM_BAD_PARAMETER, SWTPM_BAD_PARAMETER},
        {{.command = SWTPM_STOP}, 0, 0},
        {{.command = SWTPM_SHUTDOWN}, 0, 0},
    };
    struct rig rig;
    rig_init(&rig);
    assert_int_equal(0, rig_launch(&rig));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(table[i].off, rig_control(&rig, &table[i].request).result);
    assert_int_equal(0, rig_do(&rig, SWTPM_INIT));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(table[i].on, rig_control(&rig, &table[i].request).result);
    rig_done(&rig);
}

static void what_they_tell_is_what_swtpm_tells(void **state)
{
    (void)state;
    static const char specification[] = "{\"TPMSpecification\":{\"family\":\"2.0\",\"level\":0,\"revision\":164}}";
    struct swtpm_request request = {.command = SWTPM_GET_INFO, .of.info = {1, 0}};
    struct rig rig;
    rig_init(&rig);
    assert_int_equal(0, rig_launch(&rig));
    struct swtpm_reply reply = rig_control(&rig, &request);
    check_bytes(BYTES_OF(specification), reply.of.info.text);
    request.of.info.off = 4;
    reply = rig_control(&rig, &request);
    assert_int_equal(sizeof specification, reply.of.info.total);
    check_bytes(bytes_from(specification + 4, sizeof specification - 4), reply.of.info.text);
    request = (struct swtpm_request){.command = SWTPM_SET_BUFFER_SIZE, .of.buffer_size = 1};
    reply = rig_control(&rig, &request);
    assert_int_equal(2808, reply.of.buffer.used);
    request.of.buffer_size = 9999;
    reply = rig_control(&rig, &request);
    assert_int_equal(4096, reply.of.buffer.used);
    assert_int_equal(2808, reply.of.buffer.min);
    assert_int_equal(4096, reply.of.buffer.max);
    request = (struct swtpm_request){.command = SWTPM_GET_CAPABILITY};
    assert_int_equal(0xffff, rig_control(&rig, &request).of.capabilities);
    /* A hash from outside sets the bit, and PCR 17 with it. */
    assert_int_equal(0, rig_do(&rig, SWTPM_INIT));
    request = (struct swtpm_request){.command = SWTPM_GET_ESTABLISHED};
    assert_int_equal(0, rig_control(&rig, &request).of.established);
    assert_int_equal(0, rig_do(&rig, SWTPM_HASH_START));
    assert_int_equal(0, rig_do(&rig, SWTPM_HASH_END));
    assert_int_equal(1, rig_control(&rig, &request).of.established);
    rig_done(&rig);
}

static void state_is_given_to_nobody_and_taken_from_nobody(void **state)
{
    (void)state;
    struct rig rig;
    struct swtpm_request request = {.command = SWTPM_GET_STATE};
    rig_init(&rig);
    rig_on(&rig);
    for (uint32_t type = 0; type <= 4; type++)
        for (uint32_t flags = 0; flags <= 3; flags++) {
            request.of.get_state.type = type;
            request.of.get_state.flags = flags;
            struct swtpm_reply reply = rig_control(&rig, &request);
            assert_int_equal(type == 0 || type == 4 ? SWTPM_BAD_PARAMETER : SWTPM_FAIL, reply.result);
            assert_int_equal(0, reply.of.state.total);
        }
    assert_non_null(strstr(rig.audit, "refused=get_state"));
    request = (struct swtpm_request){.command = SWTPM_SET_STATE, .of.set_state = {0, 1, {(const uint8_t *)"abcd", 4}}};
    assert_int_equal(SWTPM_BAD_ORDINAL, rig_control(&rig, &request).result);
    assert_int_equal(0, rig_do(&rig, SWTPM_STOP));
    assert_int_equal(SWTPM_FAIL, rig_control(&rig, &request).result);
    rig_done(&rig);
}

static void bent_frames_are_answered_and_change_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        uint32_t result;
    } control[] = {{"", SWTPM_BAD_PARAMETER},         {"0000", SWTPM_BAD_PARAMETER},
                   {"00000002", SWTPM_BAD_PARAMETER}, {"000000020000000000", SWTPM_BAD_PARAMETER},
                   {"00000099", SWTPM_BAD_ORDINAL},   {"00000007ffffffff", SWTPM_BAD_PARAMETER}};
    static const char *const data[] = {"", "80", "80010000000c", "80010000000a000001440000", "00000008000000000c8001"};
    struct rig rig;
    uint8_t room[64];
    rig_init(&rig);
    rig_on(&rig);
    const uint64_t sequence = rig.sequence;
    for (size_t i = 0; i < sizeof control / sizeof *control; i++) {
        struct writer writer = writer_over(room, sizeof room);
        struct swtpm_reply reply;
        check_ok(hex_decode(control[i].hex, &writer));
        rig_ask(&rig, DOOR_VTPM_CONTROL, writer_bytes(&writer));
        check_ok(swtpm_reply_decode(SWTPM_STOP, bytes_from(rig.reply, rig.reply_len), &reply));
        assert_int_equal(control[i].result, reply.result);
    }
    for (size_t i = 0; i < sizeof data / sizeof *data; i++) {
        struct writer writer = writer_over(room, sizeof room);
        check_ok(hex_decode(data[i], &writer));
        assert_int_equal(0x142, rig_tpm(&rig, writer_bytes(&writer), NULL));
    }
    rig_ask(&rig, DOOR_COAP, BYTES_OF("hello"));
    assert_int_equal(0, rig.replies);
    assert_non_null(strstr(rig.audit, "dropped=request"));
    assert_int_equal(sequence, rig.sequence);
    rig_done(&rig);
}

static void a_prefix_chooses_the_locality_of_one_command(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t room[128];
    const uint32_t pcr = 20; /* reset from locality 2 only */
    rig_init(&rig);
    rig_on(&rig);
    struct bytes reset = rig_command(0x13d, &pcr, 1, rig_no_auth, (struct bytes){0});
    assert_int_equal(0x907, rig_tpm(&rig, reset, NULL)); /* TPM_RC_LOCALITY */
    for (uint8_t locality = 0; locality <= 5; locality++) {
        struct writer writer = writer_over(room, sizeof room);
        put_u32be(&writer, 8);
        put_u8(&writer, locality);
        put_u32be(&writer, (uint32_t)reset.len);
        put_bytes(&writer, reset);
        rig_ask(&rig, DOOR_VTPM_DATA, writer_bytes(&writer));
        struct reader reader = reader_over(bytes_from(rig.reply, rig.reply_len));
        uint32_t len = take_u32be(&reader);
        (void)take_u16be(&reader);
        assert_int_equal(len, take_u32be(&reader));
        assert_int_equal(locality == 2 ? 0 : 0x907, take_u32be(&reader));
        assert_int_equal(rig.reply_len, len + 8);
    }
    assert_int_equal(0x907, rig_tpm(&rig, reset, NULL));
    rig_done(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_off_until_told_and_then_a_tpm),
        cmocka_unit_test(a_primary_key_is_the_same_after_a_restart_and_another_instance_has_another),
        cmocka_unit_test(what_nv_holds_survives_a_restart),
        cmocka_unit_test(wrong_guesses_are_remembered_across_restarts_and_forgiven_by_the_tpms_own_clock),
        cmocka_unit_test(volatile_state_is_resumed_once),
        cmocka_unit_test(volatile_state_is_dropped_after_it_was_read),
        cmocka_unit_test(every_control_command_is_answered_as_swtpm_does),
        cmocka_unit_test(what_they_tell_is_what_swtpm_tells),
        cmocka_unit_test(state_is_given_to_nobody_and_taken_from_nobody),
        cmocka_unit_test(bent_frames_are_answered_and_change_nothing),
        cmocka_unit_test(a_prefix_chooses_the_locality_of_one_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
