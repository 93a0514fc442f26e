/* The monitor's loop with as many instances as it serves at once, and one more: what happens to one is told to its own
 * host end, and no other notices. */
#include "serve_rig.h"

static enum status status_of(const char *name, struct monitor_status *status)
{
    struct heard heard;
    int fd = reach();
    say(fd, MONITOR_STATUS, name);
    assert_true(hear(fd, &heard));
    close(fd);
    memcpy(status, heard.payload, sizeof *status);
    return (enum status)heard.header.status;
}

static uint32_t process_of(const char *name)
{
    struct monitor_status status;
    check_ok(status_of(name, &status));
    return status.enclave_pid;
}

/* What a hang-up leads to is done at the monitor's own time. */
static void is_forgotten(const char *name)
{
    struct monitor_status status;
    for (int i = 0; i < TIMEOUT_MS / 10 && status_of(name, &status) != NOT_FOUND; i++)
        usleep(10000);
    check_status(NOT_FOUND, status_of(name, &status));
}

static void instances_are_told_of_their_own_enclave_and_of_no_other(void **unused)
{
    struct heard heard;
    struct monitor_died died;
    struct monitor_status one, two;
    (void)unused;
    int own = attached(""), first = attached("vm1"), second = attached("vm2");
    check_ok(status_of("vm1", &one));
    check_ok(status_of("vm2", &two));
    assert_memory_not_equal(one.config, two.config, sizeof one.config);
    assert_memory_equal(one.measurement, two.measurement, sizeof one.measurement);
    const uint32_t hub = process_of(""), former = one.enclave_pid;
    let_die((int)former);
    assert_true(hear(first, &heard));
    assert_int_equal(MONITOR_DIED, heard.header.operation);
    memcpy(&died, heard.payload, sizeof died);
    assert_int_equal(former, died.pid);
    hears_of_a_launch(first);
    assert_int_not_equal(former, process_of("vm1"));
    assert_true(is_quiet(own) && is_quiet(second));
    assert_int_equal(hub, process_of(""));
    assert_int_equal(two.enclave_pid, process_of("vm2"));
    close(first);
    is_forgotten("vm1");
    assert_true(is_quiet(own) && is_quiet(second));
    assert_int_equal(two.enclave_pid, process_of("vm2"));
    close(own); /* the node's own is no exception, but is not forgotten */
    for (int i = 0; i < TIMEOUT_MS / 10 && process_of(""); i++)
        usleep(10000);
    assert_int_equal(0, process_of(""));
    assert_int_equal(two.enclave_pid, process_of("vm2"));
    own = attached("");
    first = attached("vm1");
    close(own), close(first), close(second);
}

static void is_refused(const char *name, enum status status, const char *why)
{
    struct heard heard;
    int fd = attach(name, &heard);
    check_status(status, heard.header.status);
    if (!strstr((const char *)heard.payload, why))
        fail_msg("\"%s\" does not say \"%s\"", heard.payload, why);
    say(fd, MONITOR_STATUS, ""); /* and may go on asking */
    assert_true(hear(fd, &heard) && heard.header.status == OK);
    close(fd);
}

static void who_is_refused_changes_nothing(void **unused)
{
    (void)unused;
    int own = attached(""), one = attached("vm1");
    const int before = launches;
    is_refused("", BUSY, "host end");
    is_refused("vm1", BUSY, "host end");
    is_refused("stranger", DENIED, "another owner");
    is_refused("nobody", NOT_FOUND, "node/instances/nobody/configuration is missing");
    assert_int_equal(before, launches);
    assert_true(is_quiet(own) && is_quiet(one));
    close(own), close(one);
}

static void as_many_as_said_are_served_at_once_and_the_next_takes_the_place_of_who_goes(void **unused)
{
    int fds[NAMED_MAX + 1], own = attached("");
    char name[16], next[16];
    (void)unused;
    for (int i = 1; i <= NAMED_MAX; i++) {
        snprintf(name, sizeof name, "vm%d", i);
        fds[i] = attached(name);
    }
    snprintf(next, sizeof next, "vm%d", NAMED_MAX + 1);
    is_refused(next, NO_ROOM, "as many instances");
    assert_int_equal(1, serve.sites.images->uses == SITES_MAX);
    close(fds[7]);
    is_forgotten("vm7");
    fds[7] = attached(next);
    is_refused("vm7", NO_ROOM, "as many instances");
    assert_true(is_quiet(own));
    for (int i = 1; i <= NAMED_MAX; i++) {
        assert_true(is_quiet(fds[i]));
        close(fds[i]);
    }
    close(own);
}

static void callers_that_do_not_attach_keep_nobody_out_who_did(void **unused)
{
    int strangers[SERVE_STRANGERS_MAX], own = attached(""), one = attached("vm1");
    struct heard heard;
    (void)unused;
    for (int i = 0; i < SERVE_STRANGERS_MAX; i++) {
        strangers[i] = reach();
        say(strangers[i], MONITOR_STATUS, "");
        assert_true(hear(strangers[i], &heard));
    }
    int more = reach();
    assert_true(is_hung_up_on(more));
    close(more);
    say(one, MONITOR_STATUS, "vm1");
    assert_true(hear(one, &heard) && heard.header.status == OK);
    say(strangers[0], MONITOR_ATTACH, "vm2"); /* one that attaches is none any more */
    assert_true(hear(strangers[0], &heard) && heard.header.status == OK);
    hears_of_a_launch(strangers[0]);
    more = reach();
    say(more, MONITOR_STATUS, "vm2");
    assert_true(hear(more, &heard) && heard.header.status == OK);
    close(more), close(own), close(one);
    for (int i = 0; i < SERVE_STRANGERS_MAX; i++)
        close(strangers[i]);
}

static void a_named_instance_that_lacks_a_wall_is_refused_alone(void **unused)
{
    struct heard heard;
    struct monitor_died died;
    (void)unused;
    options.required = EAT_WALL_SYSCALL_FILTER;
    missing_wall_of = 2;
    int own = attached(""), one = attach("vm1", &heard);
    check_status(OK, heard.header.status);
    assert_true(hear(one, &heard));
    assert_int_equal(MONITOR_DIED, heard.header.operation);
    memcpy(&died, heard.payload, sizeof died);
    assert_true(WIFEXITED((int)died.wait_status));
    assert_int_equal(SERVE_EXIT_WALL, WEXITSTATUS((int)died.wait_status));
    int two = attached("vm2");
    assert_int_equal(1, process_of(""));
    assert_int_equal(0, process_of("vm1"));
    assert_true(is_quiet(own) && is_quiet(one));
    close(own), close(one), close(two);
}

/* ---- Forgetting ---- */

/* What an enclave does whose store took one record. */
static void commits_record(const uint8_t hash[32], int enclave, uint64_t sequence, struct bytes record)
{
    uint8_t room[256];
    struct monitor_advance advance = {.sequence = sequence};
    const struct monitor_header header = {
        .version = MONITOR_VERSION, .operation = MONITOR_ADVANCE, .len = (uint32_t)(sizeof advance + record.len)};
    memcpy(advance.hash, hash, sizeof advance.hash);
    struct writer writer = writer_over(room, sizeof room);
    struct heard heard;
    put_bytes(&writer, bytes_from(&header, sizeof header));
    put_bytes(&writer, bytes_from(&advance, sizeof advance));
    put_bytes(&writer, record);
    assert_int_equal(writer.len, send(enclaves[enclave].socket, room, writer.len, MSG_NOSIGNAL));
    do
        assert_true(hear(enclaves[enclave].socket, &heard));
    while (heard.header.operation != MONITOR_ADVANCE);
    check_status(OK, heard.header.status);
}

static void commits(uint8_t site_number, int enclave, uint64_t sequence)
{
    const uint8_t hash[32] = {site_number};
    commits_record(hash, enclave, sequence, (struct bytes){0});
}

static unsigned syncs_of(int enclave, uint64_t first, uint64_t last)
{
    const struct bytes record = bytes_from_text("a record");
    const unsigned before = syncs;
    uint8_t hash[CRYPTO_HASH_MAX];
    check_ok(crypto_hash(CRYPTO_SHA256, &record, 1, hash));
    for (uint64_t i = first; i <= last; i++)
        commits_record(hash, enclave, i, record);
    return syncs - before;
}

/* As its host end wants it, and for as long as that is attached. */
static void a_relaxed_commit_is_answered_before_it_is_durable_and_is_soon(void **unused)
{
    struct heard heard;
    (void)unused;
    int own = attached(""), fd = reach();
    say_relaxed(fd, "vm1");
    assert_true(hear(fd, &heard));
    check_status(OK, heard.header.status);
    hears_of_a_launch(fd);
    commits(1, launches, 1); /* which a table says */
    const unsigned before = syncs;
    assert_int_equal(0, syncs_of(launches, 2, 6));
    for (int i = 0; i < TIMEOUT_MS / 10 && syncs == before; i++)
        usleep(10000);
    assert_int_equal(before + 1, syncs);
    close(fd);
    is_forgotten("vm1");
    fd = attached("vm1");
    assert_int_equal(4, syncs_of(launches, 7, 10));
    close(fd), close(own);
}

static enum status forget(uint8_t site_number, const struct crypto_key *by, enum image_token purpose, uint64_t at,
                          const char *why)
{
    uint8_t room[512], token_room[IMAGE_TOKEN_MAX];
    const uint8_t site[IMAGE_SITE_LEN] = {site_number};
    struct writer token = writer_over(token_room, sizeof token_room), writer = writer_over(room, sizeof room);
    struct heard heard;
    check_ok(image_token_sign(&token, by, purpose, site, at));
    const struct monitor_header header = {
        .version = MONITOR_VERSION, .operation = MONITOR_FORGET, .len = (uint32_t)(sizeof site + token.len)};
    put_bytes(&writer, bytes_from(&header, sizeof header));
    put_bytes(&writer, BYTES_OF(site));
    put_bytes(&writer, writer_bytes(&token));
    int fd = reach();
    assert_int_equal(writer.len, send(fd, room, writer.len, MSG_NOSIGNAL));
    assert_true(hear(fd, &heard) && heard.header.operation == MONITOR_FORGET);
    close(fd);
    if (!strstr((const char *)heard.payload, why))
        fail_msg("\"%s\" does not say \"%s\"", heard.payload, why);
    return (enum status)heard.header.status;
}

static void a_site_is_forgotten_on_its_owners_word_once_and_while_nobody_has_it(void **unused)
{
    (void)unused;
    int own = attached(""), one = attached("vm1");
    commits(1, launches, 1);
    check_status(BUSY, forget(1, &owner_key, IMAGE_FORGET, counter, "host end"));
    close(one);
    is_forgotten("vm1");
    const uint64_t before = counter;
    check_status(AUTH, forget(1, &other_key, IMAGE_FORGET, before, "not the word"));
    check_status(DENIED, forget(1, &owner_key, IMAGE_REINITIALISE, before, "not the word"));
    check_status(DENIED, forget(1, &owner_key, IMAGE_FORGET, before - 1, "not the word"));
    check_status(DENIED, forget(1, &owner_key, IMAGE_FORGET, before + 1, "not the word"));
    check_status(NOT_FOUND, forget(2, &owner_key, IMAGE_FORGET, before, "no head"));
    check_status(BUSY, forget(200, &owner_key, IMAGE_FORGET, before, "host end")); /* the node's own */
    assert_int_equal(before, counter);
    check_status(OK, forget(1, &owner_key, IMAGE_FORGET, before, ""));
    assert_int_equal(before + 1, counter);
    check_status(DENIED, forget(1, &owner_key, IMAGE_FORGET, before, "not the word")); /* it was good once */
    check_status(NOT_FOUND, forget(1, &owner_key, IMAGE_FORGET, counter, "no head"));
    one = attached("vm1");
    commits(1, launches, 1); /* and lives again from its beginning */
    assert_true(is_quiet(own));
    close(own), close(one);
}

static void as_many_sites_live_as_the_table_holds_and_the_next_after_one_was_forgotten(void **unused)
{
    char name[16], next[16];
    int fd, own = attached("");
    (void)unused;
    commits(200, launches, 1);
    for (int i = 1; i <= NAMED_MAX; i++) {
        snprintf(name, sizeof name, "vm%d", i);
        fd = attached(name);
        commits((uint8_t)i, launches, 1);
        close(fd);
        is_forgotten(name);
    }
    snprintf(next, sizeof next, "vm%d", NAMED_MAX + 1);
    is_refused(next, NO_ROOM, "holds no more sites");
    check_status(OK, forget(7, &owner_key, IMAGE_FORGET, counter, ""));
    fd = attached(next);
    commits(NAMED_MAX + 1, launches, 1);
    close(fd);
    is_refused("vm7", NO_ROOM, "holds no more sites");
    fd = attached("vm8");
    commits(8, launches, 2); /* who was there is who it was */
    close(fd), close(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVED(instances_are_told_of_their_own_enclave_and_of_no_other),
        SERVED(who_is_refused_changes_nothing),
        SERVED(as_many_as_said_are_served_at_once_and_the_next_takes_the_place_of_who_goes),
        SERVED(callers_that_do_not_attach_keep_nobody_out_who_did),
        SERVED(a_relaxed_commit_is_answered_before_it_is_durable_and_is_soon),
        SERVED(a_site_is_forgotten_on_its_owners_word_once_and_while_nobody_has_it),
        SERVED(as_many_sites_live_as_the_table_holds_and_the_next_after_one_was_forgotten),
        SERVED(a_named_instance_that_lacks_a_wall_is_refused_alone),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
