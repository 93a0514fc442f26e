/* The owner's key at rest: with and without a passphrase, from a file, from a terminal, and with neither. */
#include "owner_rig.h"

#include <signal.h>

static char secret_file[PATH_MAX], other_file[PATH_MAX];

static bool key_is_locked(void)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    check_ok(cli_read_file(cli_path(&cli, "owner/owner.key", path), 4096, &data, &len));
    bool locked = crypto_pem_is_locked(bytes_from(data, len));
    free(data);
    return locked;
}

static int make(bool insecure_dev, bool no_passphrase, const char *passphrase_file)
{
    struct owner owner;
    cli.passphrase_file = passphrase_file;
    const struct owner_place place = {.no_passphrase = no_passphrase};
    int result = owner_place_check(&cli, "init", &place);
    if (result == CLI_OK)
        result = owner_make(&cli, insecure_dev, &place, &owner);
    if (result == CLI_OK) {
        assert_int_equal(owner.locked, key_is_locked());
        assert_non_null(owner.key.pkey);
        owner_done(&owner);
    }
    cli.passphrase_file = NULL;
    return result;
}

static int open_and_unlock(const char *passphrase_file, bool expect_locked)
{
    struct owner owner;
    cli.passphrase_file = passphrase_file;
    assert_int_equal(owner_open(&cli, false, &owner), CLI_OK);
    assert_int_equal(owner.locked, expect_locked);
    assert_true(expect_locked == !owner.key.pkey);
    int result = owner_unlock(&cli, &owner);
    assert_true((result == CLI_OK) == (owner.key.pkey != NULL));
    if (result == CLI_OK)
        check_bytes(crypto_public_bytes(&owner.configuration.owner), crypto_public_bytes(&owner.key.public_key));
    owner_done(&owner);
    cli.passphrase_file = NULL;
    return result;
}

static void development_keeps_the_key_without_unless_told(void **state)
{
    (void)state;
    assert_int_equal(make(true, false, NULL), CLI_OK);
    assert_false(key_is_locked());
    assert_int_equal(open_and_unlock(NULL, false), CLI_OK);
    assert_int_equal(make(true, false, secret_file), CLI_OK);
    assert_true(key_is_locked());
}

static void production_asks_or_is_told(void **state)
{
    (void)state;
    assert_int_equal(make(false, false, NULL), CLI_USAGE); /* no terminal here */
    assert_non_null(strstr(what_was_said(), "--passphrase-file FILE, or --no-passphrase"));
    assert_int_equal(make(false, true, secret_file), CLI_USAGE);
    assert_int_equal(make(false, true, NULL), CLI_OK);
    assert_false(key_is_locked());
    assert_int_equal(make(false, false, secret_file), CLI_OK);
    assert_true(key_is_locked());
}

static void a_locked_key_is_unlocked_by_its_passphrase_alone(void **state)
{
    (void)state;
    assert_int_equal(make(true, false, secret_file), CLI_OK);
    assert_int_equal(open_and_unlock(secret_file, true), CLI_OK);
    assert_int_equal(open_and_unlock(other_file, true), CLI_DENIED);
    assert_non_null(strstr(what_was_said(), "owner/owner.key: wrong passphrase"));
    assert_int_equal(open_and_unlock("nowhere", true), CLI_NOT_FOUND);
    assert_int_equal(open_and_unlock(NULL, true), CLI_DENIED);
    assert_non_null(strstr(what_was_said(), "no terminal to ask for it: --passphrase-file FILE"));
}

static void the_first_line_of_the_file_counts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len; /* 0: as long as the text; what is missing is 'x' */
        int result;
    } files[] = {
        {"one two", 0, CLI_OK},
        {"one two\n", 0, CLI_OK},
        {"one two\r\n", 0, CLI_OK},
        {"one two\nthree\n", 0, CLI_OK},
        {"one two \n", 0, CLI_DENIED},
        {"One two", 0, CLI_DENIED},
        {"", 0, CLI_DENIED},
        {"\none two\n", 0, CLI_DENIED},
        {"", CRYPTO_PASSPHRASE_MAX, CLI_DENIED},
        {"", CRYPTO_PASSPHRASE_MAX + 1, CLI_DENIED},
        {"", CRYPTO_PASSPHRASE_MAX + 3, CLI_DENIED},
    };
    assert_int_equal(make(true, false, secret_file), CLI_OK);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[PATH_MAX], room[CRYPTO_PASSPHRASE_MAX + 4];
        memset(room, 'x', sizeof room);
        size_t len = files[i].len ? files[i].len : strlen(files[i].text);
        if (!files[i].len)
            memcpy(room, files[i].text, len);
        check_ok(cli_write_file(cli_path(&cli, "file", path), bytes_from(room, len)));
        int result = open_and_unlock(path, true);
        const char *text = what_was_said();
        if (result != files[i].result)
            fail_msg("%zu: %d, %s", i, result, text);
        if (len > CRYPTO_PASSPHRASE_MAX)
            assert_null(strstr(text, "wrong passphrase"));
    }
}

/* ---- On a terminal ---- */

static int make_production(void)
{
    return make(false, false, NULL);
}

static int unlock(void)
{
    return open_and_unlock(NULL, true);
}

static void a_terminal_is_asked_twice_and_shows_nothing(void **state)
{
    (void)state;
    char shown[2048];
    static const char *const good[] = {"open sesame\n", "open sesame\n", NULL}, *const wrong[] = {"a\n", "b\n", NULL},
                             *const empty[] = {"\n", NULL};
    assert_int_equal(on_a_terminal(make_production, good, shown, sizeof shown), CLI_OK);
    assert_true(key_is_locked());
    assert_null(strstr(shown, "sesame"));
    assert_non_null(strstr(shown, "New passphrase for the owner's key: "));
    assert_non_null(strstr(shown, "The same once more: "));
    assert_int_equal(on_a_terminal(make_production, wrong, shown, sizeof shown), CLI_DENIED);
    assert_non_null(strstr(shown, "the two passphrases differ"));
    assert_int_equal(on_a_terminal(make_production, empty, shown, sizeof shown), CLI_DENIED);
}

static void a_terminal_has_three_tries(void **state)
{
    (void)state;
    char shown[2048];
    static const char *const make_lines[] = {"open sesame\n", "open sesame\n", NULL},
                             *const third[] = {"no\n", "nor this\n", "open sesame\n", NULL},
                             *const fourth[] = {"no\n", "nor this\n", "and not this\n", "open sesame\n", NULL};
    assert_int_equal(on_a_terminal(make_production, make_lines, shown, sizeof shown), CLI_OK);
    assert_int_equal(on_a_terminal(unlock, third, shown, sizeof shown), CLI_OK);
    assert_int_equal(on_a_terminal(unlock, fourth, shown, sizeof shown), CLI_DENIED);
    assert_non_null(strstr(shown, "wrong passphrase"));
}

/* A child that watches what the terminal is like after somebody pressed Ctrl-C. */
static int interrupted(void)
{
    struct termios before, after;
    int status = 0;
    if (tcgetattr(STDIN_FILENO, &before) != 0 || !(before.c_lflag & ECHO))
        return 98;
    (void)signal(SIGINT, SIG_IGN);
    pid_t child = fork();
    if (child == 0) {
        (void)signal(SIGINT, SIG_DFL);
        _exit(unlock());
    }
    if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGINT)
        return 99;
    return tcgetattr(STDIN_FILENO, &after) == 0 && (after.c_lflag & ECHO) ? 0 : 97;
}

static void an_interrupt_gives_the_terminal_back(void **state)
{
    (void)state;
    char shown[2048];
    static const char *const lines[] = {"\003", NULL};
    assert_int_equal(make(true, false, secret_file), CLI_OK);
    assert_int_equal(on_a_terminal(interrupted, lines, shown, sizeof shown), 0);
}

static int make_home(void **state)
{
    (void)state;
    rig_make_home();
    check_ok(cli_write_file(cli_path(&cli, "secret", secret_file), bytes_from_text("one two\n")));
    check_ok(cli_write_file(cli_path(&cli, "other", other_file), bytes_from_text("two one\n")));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(development_keeps_the_key_without_unless_told),
        cmocka_unit_test(production_asks_or_is_told),
        cmocka_unit_test(a_locked_key_is_unlocked_by_its_passphrase_alone),
        cmocka_unit_test(the_first_line_of_the_file_counts),
        cmocka_unit_test(a_terminal_is_asked_twice_and_shows_nothing),
        cmocka_unit_test(a_terminal_has_three_tries),
        cmocka_unit_test(an_interrupt_gives_the_terminal_back),
    };
    return cmocka_run_group_tests(tests, make_home, rig_remove_home);
}
