/* The enclave that is held ready: launched for nobody, given to the next instance of its image, and told then whose it
 * is; of no use to anybody else. */
#include "serve_rig.h"

static int hold_one(void **state)
{
    options.spare = true;
    return start(state);
}

static int hold_none(void **state)
{
    options.spare = false;
    return stop(state);
}

static void wait_for_launches(int count)
{
    for (int i = 0; i < TIMEOUT_MS / 10 && launches < count; i++)
        usleep(10000);
    assert_int_equal(count, launches);
}

/* Of enclave n's site id, as READY's answer has it: 0 until one came. */
static uint8_t site_of(int n)
{
    struct heard heard;
    struct monitor_ready_reply lens;
    struct image_configuration configuration;
    const int socket = enclaves[n].socket;
    if (is_quiet(socket))
        return 0;
    assert_true(hear(socket, &heard));
    assert_int_equal(MONITOR_READY, heard.header.operation);
    memcpy(&lens, heard.payload, sizeof lens);
    assert_int_equal(heard.header.len, sizeof lens + lens.configuration_len + lens.workload_len);
    check_ok(
        image_configuration_decode(bytes_from(heard.payload + sizeof lens, lens.configuration_len), &configuration));
    return configuration.site[0];
}

static void who_comes_next_is_given_the_one_that_is_held_and_another_is_launched(void **unused)
{
    (void)unused;
    int own = attached("");
    int first = attached("vm1");
    wait_for_launches(3);
    assert_int_equal(200, site_of(1));
    assert_int_equal(1, site_of(2));
    assert_int_equal(0, site_of(3));
    const uint32_t held = serve.sites.spare_user;
    assert_int_not_equal(serve.at[1]->is.user, held);
    int second = attached("vm2");
    assert_int_equal(3, launches);
    assert_int_equal(2, site_of(3));
    assert_int_equal(held, serve.at[2]->is.user);
    wait_for_launches(4);
    assert_int_not_equal(held, serve.sites.spare_user);
    assert_true(is_quiet(own) && is_quiet(first) && is_quiet(second));
    close(own), close(first), close(second);
}

static void the_nodes_own_instance_wants_none(void **unused)
{
    (void)unused;
    int own = attached("");
    usleep(300000);
    assert_int_equal(1, launches);
    close(own);
}

static void one_that_died_meanwhile_is_given_to_nobody(void **unused)
{
    (void)unused;
    int first = attached("vm1");
    wait_for_launches(2);
    let_die(2);
    int second = attached("vm2");
    wait_for_launches(4);
    assert_int_equal(1, site_of(1));
    assert_int_equal(2, site_of(3));
    assert_int_equal(0, site_of(4));
    assert_true(is_quiet(first));
    close(first), close(second);
}

static void one_that_has_not_asked_yet_stays_for_the_next(void **unused)
{
    const struct monitor_header ready = {.version = MONITOR_VERSION, .operation = MONITOR_READY};
    (void)unused;
    silent = 2;
    int first = attached("vm1");
    wait_for_launches(2);
    int second = attached("vm2");
    assert_int_equal(3, launches);
    assert_int_equal(2, site_of(3));
    assert_int_equal(sizeof ready, send(enclaves[2].socket, &ready, sizeof ready, MSG_NOSIGNAL));
    int third = attached("vm3");
    assert_int_equal(3, launches);
    assert_int_equal(3, site_of(2));
    close(first), close(second), close(third);
}

static void one_without_namespaces_is_ended_and_not_given(void **unused)
{
    (void)unused;
    no_namespaces_of = 2;
    int first = attached("vm1");
    wait_for_launches(2);
    int second = attached("vm2");
    wait_for_launches(4);
    assert_int_equal(0, enclaves[2].life);
    assert_int_equal(2, site_of(3));
    close(first), close(second);
}

static void the_nodes_own_instance_is_launched_anew(void **unused)
{
    (void)unused;
    int first = attached("vm1");
    wait_for_launches(2);
    int own = attached("");
    assert_int_equal(3, launches);
    assert_int_equal(200, site_of(3));
    close(own), close(first);
}

/* Whose it is may be told then, and nothing that is secret or fresh. */
static void with_the_lease_lost_it_gets_no_answer_but_the_first(void **unused)
{
    struct heard heard;
    const struct monitor_header head = {.version = MONITOR_VERSION, .operation = MONITOR_HEAD};
    (void)unused;
    int first = attached("vm1");
    wait_for_launches(2);
    counter++;
    assert_int_equal(sizeof head, send(enclaves[2].socket, &head, sizeof head, MSG_NOSIGNAL));
    const int socket = dup(enclaves[2].socket);
    int second = attach("vm2", &heard);
    for (int i = 0; i < TIMEOUT_MS / 10 && enclaves[2].life; i++)
        usleep(10000);
    (void)!recv(socket, &heard, 1, MSG_PEEK); /* the question that nobody read is told first */
    assert_true(hear(socket, &heard));
    assert_int_equal(MONITOR_READY, heard.header.operation);
    assert_false(hear(socket, &heard));
    close(socket), close(first), close(second);
}

static int lost(void **unused)
{
    (void)unused;
    options.spare = false;
    pthread_join(thread, NULL);
    const int code = serve.exit_code;
    close(serve.listener);
    serve_done(&serve);
    return code == NODE_EXIT_DENIED ? 0 : -1;
}

static void one_of_another_image_is_ended_and_not_given(void **unused)
{
    (void)unused;
    int first = attached("vm1");
    wait_for_launches(2);
    put_image(&owner_key, 2);
    int second = attached("vm2");
    wait_for_launches(4);
    assert_int_equal(0, enclaves[2].life);
    assert_int_equal(2, site_of(3));
    put_image(&owner_key, 1);
    close(first), close(second);
}

/* Its image outlives them. */
static void it_is_held_when_they_are_gone_who_had_the_image(void **unused)
{
    (void)unused;
    int first = attached("vm1");
    close(first);
    wait_for_launches(2);
    first = attached("vm1");
    assert_int_equal(2, launches);
    assert_int_equal(1, site_of(2));
    close(first);
}

int main(void)
{
#define HELD(name) cmocka_unit_test_setup_teardown(name, hold_one, hold_none)
    const struct CMUnitTest tests[] = {
        HELD(who_comes_next_is_given_the_one_that_is_held_and_another_is_launched),
        HELD(the_nodes_own_instance_wants_none),
        HELD(one_that_died_meanwhile_is_given_to_nobody),
        HELD(one_that_has_not_asked_yet_stays_for_the_next),
        HELD(one_without_namespaces_is_ended_and_not_given),
        HELD(the_nodes_own_instance_is_launched_anew),
        cmocka_unit_test_setup_teardown(with_the_lease_lost_it_gets_no_answer_but_the_first, hold_one, lost),
        HELD(one_of_another_image_is_ended_and_not_given),
        HELD(it_is_held_when_they_are_gone_who_had_the_image),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
