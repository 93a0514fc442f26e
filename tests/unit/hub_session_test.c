/* hub: the table of sessions at its limits — who gives way to whom, and what strangers can do to those who have one. */
#include "../hub_device.h"
#include "hub_internal.h"

/* As the last step of a handshake does it, without the handshake. */
static struct hub_session *open_one(struct hub_client *client)
{
    struct hub_session *session = hub_session_new(client);
    assert_non_null(session);
    struct edhoc_id kid;
    check_ok(hub_session_reserve(rig.hub, &kid));
    session->oscore.input.recipient.len = kid.len;
    memcpy(session->oscore.input.recipient.data, kid.data, kid.len);
    rig.hub->now_ms = ++rig.now_ms;
    hub_session_open(rig.hub, session);
    return session;
}

/* A client that goes with its last session. */
static struct hub_client *somebody(void)
{
    struct hub_client *client = hub_client_new("somebody", HUB_CLIENT);
    assert_non_null(client);
    client->removed = true;
    return client;
}

static struct oscore_id kid_of(const struct hub_session *session)
{
    return session->oscore.input.recipient;
}

static struct hub_session *at(struct oscore_id kid)
{
    return hub_session_find(rig.hub, bytes_from(kid.data, kid.len));
}

/* Until the table is full; the kids of the first three. The owner's session is the oldest, and used last. */
static void fill(struct oscore_id first[3])
{
    size_t made = 0;
    while (rig.hub->session_count < HUB_SESSIONS_MAX) {
        struct hub_client *client = somebody();
        for (size_t i = 0; i < HUB_SESSIONS_EACH && rig.hub->session_count < HUB_SESSIONS_MAX; i++) {
            struct oscore_id kid = kid_of(open_one(client));
            if (made < 3)
                first[made++] = kid;
        }
    }
}

/* Without a new handshake. */
static void session_still_works(struct rig_peer *peer)
{
    bool agreed = peer->agreed;
    peer->agreed = false;
    rig_do(&rig, peer, COAP_CONTENT, COAP_GET, "status", NULL);
    peer->agreed = agreed;
}

static void the_table_holds_so_many_and_one_more_pushes_out_the_one_used_longest_ago(void **state)
{
    (void)state;
    struct oscore_id first[3];
    fill(first);
    assert_int_equal(HUB_SESSIONS_MAX, rig.hub->session_count);
    session_still_works(&owner);
    for (size_t i = 0; i < 3; i++)
        assert_non_null(at(first[i]));
    struct hub_session *one_more = open_one(somebody());
    assert_ptr_equal(one_more, at(kid_of(one_more)));
    assert_int_equal(HUB_SESSIONS_MAX, rig.hub->session_count);
    assert_null(at(first[0]));
    assert_non_null(at(first[1]));
    session_still_works(&owner);
}

static void who_has_a_request_under_way_goes_last(void **state)
{
    (void)state;
    struct oscore_id first[3];
    fill(first);
    session_still_works(&owner);
    at(first[0])->uses++;
    open_one(somebody());
    assert_non_null(at(first[0]));
    assert_null(at(first[1]));
    at(first[0])->uses--;
    open_one(somebody());
    assert_null(at(first[0]));
    assert_non_null(at(first[2]));
}

static void a_full_table_leaves_room_for_all_handshakes(void **state)
{
    (void)state;
    struct oscore_id first[3];
    static struct rig_handshake handshake;
    struct bytes answer;
    fill(first);
    for (size_t i = 0; i <= HUB_HANDSHAKES_MAX; i++) {
        handshake = (struct rig_handshake){0};
        assert_int_equal(i < HUB_HANDSHAKES_MAX ? COAP_CHANGED : COAP_UNAVAILABLE,
                         rig_edhoc(&rig, rig_message_1(&handshake), &answer));
        edhoc_done(&handshake.edhoc);
    }
    assert_int_equal(HUB_SESSIONS_MAX, rig.hub->session_count);
    session_still_works(&owner);
}

static void a_client_with_too_many_sessions_loses_its_own(void **state)
{
    (void)state;
    struct hub_client *client = somebody();
    struct oscore_id others = kid_of(open_one(somebody())), first = kid_of(open_one(client));
    for (size_t i = 1; i < HUB_SESSIONS_EACH; i++)
        open_one(client);
    assert_non_null(at(first));
    open_one(client);
    assert_null(at(first));
    assert_int_equal(HUB_SESSIONS_EACH, client->sessions);
    assert_non_null(at(others));
}

static void strangers_who_finish_their_handshakes_push_out_strangers_only(void **state)
{
    (void)state;
    static struct rig_peer strangers[HUB_SESSIONS_EACH + 1];
    static uint8_t room[PKI_CERTIFICATE_MAX];
    struct rig_peer device;
    const struct rig_question question = {.code = COAP_GET, .path = "est/crts"};
    check_ok(meet_with(enrolled("device", room), &device_key, &device));
    for (size_t i = 0; i <= HUB_SESSIONS_EACH; i++) {
        rig.now_ms++;
        meet_as_stranger(&strangers[i]);
    }
    for (size_t i = 0; i <= HUB_SESSIONS_EACH; i++) {
        rig_put(&rig, &strangers[i], &question);
        rig_run(&rig);
        check_status(i == 0 ? UNSUPPORTED : OK, rig_get(&rig, &strangers[i]).status);
        rig_peer_done(&strangers[i]);
    }
    session_still_works(&owner);
    struct rig_answer answer = rig_ask(&rig, &device, &question);
    check_ok(answer.status);
    rig_peer_done(&device);
}

int main(void)
{
#define hub_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define site_test(name) cmocka_unit_test_setup_teardown(name, set_up_site, tear_down)
    const struct CMUnitTest tests[] = {
        hub_test(the_table_holds_so_many_and_one_more_pushes_out_the_one_used_longest_ago),
        hub_test(who_has_a_request_under_way_goes_last),
        hub_test(a_full_table_leaves_room_for_all_handshakes),
        hub_test(a_client_with_too_many_sessions_loses_its_own),
        site_test(strangers_who_finish_their_handshakes_push_out_strangers_only),
    };
    if (crypto_init() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
