/* OSCORE client and server over a wire that loses, doubles, reorders, changes and repeats, while either side restarts:
 * no message is accepted twice, no key meets a nonce twice, and Appendix B.2 brings both together again.
 * crypto_aead_init_for, _done and _seal are wrapped by the linker, so that every (key, nonce) is seen where it is used.
 */
#include "nonce_audit.h"
#include "oscore_rig.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- The wire ---- */

enum { FLIGHT_MAX = 64, HISTORY_MAX = 2048, SERIALS_MAX = 1 << 16, ITEMS = 60 };

struct packet {
    struct rig_message message;
    bool to_server, flipped;
};

struct wire {
    unsigned lose, twice, again, flip, restart; /* per cent of deliveries; all zero: first in, first out */
    struct packet flight[FLIGHT_MAX], history[HISTORY_MAX];
    size_t flying, sent;
    uint64_t mixed;
};

struct world {
    struct rig rig;
    struct wire wire;
    unsigned item, serial; /* the client confirms item by item, by requests that each have a serial of their own */
    bool waiting, told;    /* told: an unprotected 4.01 came, which is a hint only */
    struct oscore_request asked;
    bool taken[SERIALS_MAX]; /* by the server */
    unsigned steps, restarts, statuses[INTERNAL + 1];
};

static unsigned draw(struct wire *wire, unsigned below)
{
    wire->mixed = wire->mixed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(wire->mixed >> 33) % below;
}

static bool chance(struct wire *wire, unsigned per_cent)
{
    return per_cent > 0 && draw(wire, 100) < per_cent;
}

static void fly(struct wire *wire, const struct packet *packet)
{
    if (wire->flying < FLIGHT_MAX)
        wire->flight[wire->flying++] = *packet;
}

static void post(struct wire *wire, bool to_server, const struct rig_message *message)
{
    struct packet packet = {*message, to_server, false};
    wire->history[wire->sent++ % HISTORY_MAX] = packet;
    fly(wire, &packet);
}

/* What arrives next; false when it is lost. */
static bool arrive(struct wire *wire, struct packet *packet)
{
    size_t scrambled = wire->lose + wire->twice + wire->again, at = scrambled ? draw(wire, (unsigned)wire->flying) : 0;
    *packet = wire->flight[at];
    if (chance(wire, wire->twice))
        fly(wire, packet);
    memmove(&wire->flight[at], &wire->flight[at + 1], (--wire->flying - at) * sizeof *packet);
    if (chance(wire, wire->again)) { /* anything ever sent, by someone who kept it */
        size_t kept = wire->sent < HISTORY_MAX ? wire->sent : HISTORY_MAX;
        fly(wire, &wire->history[draw(wire, (unsigned)kept)]);
    }
    struct bytes payload = rig_body(&packet->message).payload;
    if (chance(wire, wire->flip) && payload.len > 0) {
        size_t bit = draw(wire, 8 * (unsigned)payload.len);
        packet->message.data[(size_t)(payload.data - packet->message.data) + bit / 8] ^= (uint8_t)(1u << bit % 8);
        packet->flipped = true;
    }
    return !chance(wire, wire->lose);
}

/* ---- Client and server ---- */

static void client_ask(struct world *world)
{
    struct rig_message out;
    char text[16];
    assert_true(++world->serial < SERIALS_MAX);
    snprintf(text, sizeof text, "%u", world->serial);
    enum status status = rig_ask(&world->rig.client, text, RIG_PLAIN, &world->asked, &out);
    if (status == WRONG_STATE) { /* worn out */
        oscore_session_restart(&world->rig.client);
        status = rig_ask(&world->rig.client, text, RIG_PLAIN, &world->asked, &out);
    }
    check_ok(status);
    world->waiting = true;
    post(&world->wire, true, &out);
}

static void client_hear(struct world *world, const struct packet *packet)
{
    static struct rig_opened opened;
    char text[16];
    if (!world->waiting)
        return;
    enum status status = rig_hear(&world->rig.client, &world->asked, &packet->message, &opened);
    world->statuses[status]++;
    if (status == BUSY) {
        assert_false(packet->flipped);
        client_ask(world);
    } else if (status == UNSUPPORTED) {
        world->told = world->told || rig_body(&packet->message).code == COAP_UNAUTHORIZED;
    } else if (status == OK) {
        snprintf(text, sizeof text, "%u", world->serial);
        rig_expect(&opened, text); /* the answer to this request, and the server did take it */
        assert_true(world->taken[world->serial] && !packet->flipped);
        world->waiting = false;
        world->item++;
    }
}

static void server_take(struct world *world, const struct packet *packet)
{
    static struct rig_opened opened;
    struct rig_message out;
    struct writer error = writer_over(out.data, RIG_CAP);
    char text[16] = {0};
    enum status status = rig_take(&world->rig.server, &packet->message, &opened);
    world->statuses[status]++;
    assert_true((status != OK && status != BUSY) || !packet->flipped);
    if (status == OK) {
        assert_true(opened.body.payload.len < sizeof text);
        memcpy(text, opened.body.payload.data, opened.body.payload.len);
        unsigned long serial = strtoul(text, NULL, 10);
        assert_true(serial < SERIALS_MAX && !world->taken[serial]); /* nothing is accepted twice */
        world->taken[serial] = true;
        check_ok(rig_answer(&world->rig.server, &opened.request, text, RIG_PLAIN, serial % 2, &out));
    } else if (status == BUSY) {
        out = opened.challenge;
    } else {
        rig_expect_nothing(&opened);
        oscore_error(&error, status);
        out.len = error.len;
    }
    post(&world->wire, false, &out);
}

static void restart(struct world *world, unsigned who)
{
    world->restarts++;
    if (who & 1) {
        oscore_session_done(&world->rig.client);
        rig_client_start(&world->rig);
        world->waiting = world->told = false;
    }
    if (who & 2) {
        oscore_session_done(&world->rig.server);
        rig_server_start(&world->rig);
    }
}

static void step(struct world *world)
{
    static struct packet packet;
    world->steps++;
    if (chance(&world->wire, world->wire.restart))
        restart(world, 1 + draw(&world->wire, 3));
    if (world->wire.flying == 0 || !world->waiting) { /* the client's time-out, or its next item */
        if (world->waiting && world->told)
            oscore_session_restart(&world->rig.client);
        world->told = false;
        client_ask(world);
    } else if (arrive(&world->wire, &packet)) {
        if (packet.to_server)
            server_take(world, &packet);
        else
            client_hear(world, &packet);
    }
}

static void begin_world(struct world *world, uint64_t seed, enum crypto_aead_alg aead)
{
    memset(world, 0, sizeof *world);
    world->wire.mixed = seed;
    rig_start(&world->rig, aead);
}

/* ---- Tests ---- */

static struct world world;

static void over_a_good_wire_every_restart_at_every_step_is_recovered_from(void **state)
{
    (void)state;
    enum { LAST = 16, GOAL = 4 };
    for (unsigned first = 0; first <= LAST; first++)
        for (unsigned second = first; second <= LAST; second++)
            for (unsigned who = 0; who < 16; who++) {
                begin_world(&world, 1, CRYPTO_AES_CCM_16_64_128);
                while (world.item < GOAL || world.steps <= LAST) {
                    if (world.steps == first)
                        restart(&world, who & 3);
                    if (world.steps == second)
                        restart(&world, who >> 2);
                    step(&world);
                    assert_true(world.steps < LAST + 40); /* it does recover */
                }
                rig_stop(&world.rig);
            }
    assert_int_equal(pairs_twice, 0);
}

static void over_a_bad_wire_every_item_arrives_and_nothing_is_accepted_twice(void **state)
{
    (void)state;
    static const enum crypto_aead_alg algorithms[] = {CRYPTO_AES_CCM_16_64_128, CRYPTO_AES_CCM_16_128_128,
                                                      CRYPTO_A128GCM, CRYPTO_A256GCM};
    unsigned statuses[INTERNAL + 1] = {0}, restarts = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        begin_world(&world, seed, algorithms[seed % 4]);
        world.wire.lose = 25;
        world.wire.twice = 20;
        world.wire.again = 20;
        world.wire.flip = 10;
        world.wire.restart = seed % 2 ? 2 : 0;
        while (world.item < ITEMS) {
            step(&world);
            assert_true(world.steps < 200 * ITEMS);
        }
        for (size_t i = 0; i <= INTERNAL; i++)
            statuses[i] += world.statuses[i];
        restarts += world.restarts;
        rig_stop(&world.rig);
    }
    assert_int_equal(pairs_twice, 0);
    /* All of it did happen. */
    assert_true(restarts > 100 && statuses[OK] > 1000 && statuses[BUSY] > 100 && statuses[AUTH] > 1000);
    assert_true(statuses[REPLAYED] > 100 && statuses[NOT_FOUND] > 100 && statuses[UNSUPPORTED] > 100);
}

/* Registers over the wire as it is without its faults, beginning anew where that is needed. */
static struct oscore_request register_observation(struct world *at)
{
    struct rig_message out;
    struct rig_opened opened;
    for (int tries = 0; tries < 4; tries++) {
        check_ok(rig_ask(&at->rig.client, "watch", RIG_REGISTER, &at->asked, &out));
        enum status status = rig_take(&at->rig.server, &out, &opened);
        if (status == OK)
            return opened.request;
        out = opened.challenge;
        if (status == BUSY)
            check_status(BUSY, rig_hear(&at->rig.client, &at->asked, &out, &opened));
        else
            oscore_session_restart(&at->rig.client);
    }
    fail_msg("no registration in four requests");
    return (struct oscore_request){0};
}

static void notifications_arrive_in_order_and_once_and_end_with_a_restart(void **state)
{
    (void)state;
    static struct packet packet;
    static struct rig_opened opened;
    unsigned number = 0, heard = 0, late = 0;
    begin_world(&world, 7, CRYPTO_AES_CCM_16_64_128);
    world.wire.lose = world.wire.twice = world.wire.again = 20;
    for (int round = 0; round < 200; round++) {
        struct oscore_request seen = register_observation(&world);
        unsigned newest = number, who = draw(&world.wire, 4), when = draw(&world.wire, 30), gone = 0;
        for (int i = 0; i < 20; i++) {
            struct rig_message out;
            char text[16];
            snprintf(text, sizeof text, "%u", ++number);
            check_ok(rig_answer(&world.rig.server, &seen, text, number, false, &out));
            post(&world.wire, false, &out);
        }
        for (unsigned i = 0; world.wire.flying > 0 && i < 60; i++) {
            if (i == when)
                restart(&world, gone = who);
            if (!arrive(&world.wire, &packet))
                continue;
            if (rig_hear(&world.rig.client, &world.asked, &packet.message, &opened) != OK) {
                late++;
                continue;
            }
            assert_false(gone & 1); /* its context is gone */
            char text[16] = {0};
            assert_true(opened.body.payload.len < sizeof text);
            memcpy(text, opened.body.payload.data, opened.body.payload.len);
            unsigned got = (unsigned)strtoul(text, NULL, 10);
            assert_true(got > newest); /* of this registration, and later than all before */
            newest = got;
            heard++;
        }
        struct rig_message out;
        check_status(gone & 2 ? WRONG_STATE : OK, rig_answer(&world.rig.server, &seen, "more", 9, false, &out));
    }
    assert_true(heard > 500 && late > 500);
    assert_int_equal(pairs_twice, 0);
    rig_stop(&world.rig);
}

static void the_audit_sees_a_nonce_that_is_used_twice(void **state)
{
    (void)state;
    struct oscore_request asked;
    struct rig_message out;
    struct rig rig;
    size_t before = pairs_twice;
    rig_start_fixed(&rig, CRYPTO_A128GCM, 5, 0);
    check_ok(rig_ask(&rig.client, "once", RIG_PLAIN, &asked, &out));
    assert_int_equal(pairs_twice, before);
    rig.client.current.sequence = 5; /* what a stored sequence number would do */
    check_ok(rig_ask(&rig.client, "twice", RIG_PLAIN, &asked, &out));
    assert_int_equal(pairs_twice, before + 1);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(over_a_good_wire_every_restart_at_every_step_is_recovered_from),
        cmocka_unit_test(over_a_bad_wire_every_item_arrives_and_nothing_is_accepted_twice),
        cmocka_unit_test(notifications_arrive_in_order_and_once_and_end_with_a_restart),
        cmocka_unit_test(the_audit_sees_a_nonce_that_is_used_twice),
    };
    check_ok(crypto_init());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
