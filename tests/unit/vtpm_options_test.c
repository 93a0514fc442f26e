/* vtpm_options: every option of swtpm's command line, every malformed form of it, and what libvirt 9.0 writes. */
#include "check.h"

#include "vtpm_options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define WORDS_MAX 24

/* Words parted by one space; the room that they stand in stays until the next call. */
static enum status read_words(const char *words, const struct vtpm_defaults *defaults, struct vtpm_options *options,
                              char why[VTPM_OPTIONS_WHY])
{
    static char room[1024];
    char *argv[WORDS_MAX + 1] = {NULL}, *rest = room;
    int argc = 0;
    assert_true(snprintf(room, sizeof room, "%s", words) < (int)sizeof room);
    for (char *word; argc < WORDS_MAX && (word = strsep(&rest, " ")) != NULL;)
        argv[argc++] = word;
    return vtpm_options_read(argc, argv, defaults, options, why);
}

static struct vtpm_options accepted(const char *words)
{
    struct vtpm_options options;
    char why[VTPM_OPTIONS_WHY];
    enum status status = read_words(words, &(struct vtpm_defaults){0}, &options, why);
    if (status != OK)
        print_message("%s: %s\n", words, why);
    check_ok(status);
    return options;
}

/* A refusal says which option, says a sentence, and touches nothing. */
static void refused(enum status expected, const char *words, const char *sentence)
{
    struct vtpm_options options, before;
    char why[VTPM_OPTIONS_WHY];
    memset(&options, 0x5a, sizeof options);
    before = options;
    enum status status = read_words(words, &(struct vtpm_defaults){0}, &options, why);
    if (status != expected || !strstr(why, sentence))
        print_message("%s: %d, \"%s\", not \"%s\"\n", words, status, why, sentence);
    check_status(expected, status);
    assert_non_null(strstr(why, sentence));
    assert_memory_equal(&before, &options, sizeof options);
}

#define LONGEST "a23456789-123456789-123456789-123456789-1234567"
#define BASE "swtpm socket --tpm2 --tpmstate dir=h "
#define WITH BASE "--ctrl type=unixio,path=c "

static void the_least_is_a_home_and_a_channel(void **state)
{
    (void)state;
    struct vtpm_options options = accepted("swtpm socket --tpm2 --tpmstate dir=h --ctrl type=unixio,path=c");
    assert_int_equal(VTPM_SERVE, options.action);
    assert_string_equal("h", options.home);
    assert_int_equal(VTPM_AT_PATH, options.control.kind);
    assert_string_equal("c", options.control.path);
    assert_int_equal(0600, options.control.mode);
    assert_int_equal((uid_t)-1, options.control.uid);
    assert_int_equal(VTPM_NOWHERE, options.data.kind);
    assert_false(options.init || options.terminate || options.daemon || options.disconnect || options.truncate);
    assert_false(options.pid.given || options.log.given);
    assert_string_equal("", options.prefix);
    refused(MALFORMED, "swtpm", "say `socket` or `chardev` first");
    refused(MALFORMED, "swtpm device", "say `socket` or `chardev` first");
    refused(UNSUPPORTED, "swtpm cuse", "chardev --vtpm-proxy");
    refused(MALFORMED, "swtpm socket --tpm2 --tpmstate dir=h", "neither --server nor --ctrl");
    refused(MALFORMED, "swtpm socket --tpm2 --ctrl type=unixio,path=c", "set TPM_PATH");
    refused(UNSUPPORTED, "swtpm socket --tpmstate dir=h --ctrl type=unixio,path=c", "TPM 1.2");
    refused(MALFORMED, WITH "more", "more: is one word too many");
    refused(MALFORMED, WITH "--colour", "--colour: is not known");
    refused(MALFORMED, WITH "-x", "is not known");
    refused(MALFORMED, WITH "--tpm2=yes", "does not take");
    refused(MALFORMED, WITH "--tpm2", "--tpm2: is given twice");
    refused(MALFORMED, BASE "--ctrl", "--ctrl: needs a value");
}

static void what_libvirt_writes_is_understood(void **state)
{
    (void)state;
    struct vtpm_options options =
        accepted("/usr/bin/swtpm socket --ctrl type=unixio,path=/run/libvirt/qemu/swtpm/1-vm-swtpm.sock,mode=0600 "
                 "--tpmstate dir=/var/lib/libvirt/swtpm/u/tpm2,mode=0600 --log file=/var/log/vm-swtpm.log --terminate "
                 "--tpm2");
    assert_string_equal("/run/libvirt/qemu/swtpm/1-vm-swtpm.sock", options.control.path);
    assert_string_equal("/var/lib/libvirt/swtpm/u/tpm2", options.home);
    assert_string_equal("/var/log/vm-swtpm.log", options.log.path);
    assert_true(options.terminate);
    assert_int_equal(VTPM_NOWHERE, options.data.kind);
    /* Where the VM's TPM has a secret: */
    options = accepted(WITH "--key pwdfd=24,mode=aes-256-cbc --migration-key pwdfd=26,mode=aes-256-cbc");
    assert_true(options.key.given);
    assert_null(options.key.path);
    assert_int_equal(24, options.key.fd);
    refused(UNSUPPORTED, WITH "--migration release-lock-outgoing", "two hosts cannot share it");
    /* It asks whether a passphrase may come by descriptor, and whether state may be shared. */
    assert_non_null(strstr(vtpm_options_capabilities(), "\"cmdarg-pwd-fd\""));
    assert_null(strstr(vtpm_options_capabilities(), "cmdarg-migration"));
}

static void the_home_is_a_directory_of_its_owner(void **state)
{
    (void)state;
    static const char channel[] = " --ctrl type=unixio,path=c";
    static const struct {
        enum status status;
        const char *value, *sentence;
    } table[] = {
        {MALFORMED, "h", "h is not known"},
        {MALFORMED, "dir=", "dir needs a value"},
        {MALFORMED, "dir", "dir needs a value"},
        {MALFORMED, "mode=0600", "give dir=HOME"},
        {MALFORMED, "dir=a,dir=b", "dir is given twice"},
        {MALFORMED, "dir=a,", "a part of the list is empty"},
        {MALFORMED, ",dir=a", "a part of the list is empty"},
        {MALFORMED, "dir=a,mode=600", "octal mode"},
        {MALFORMED, "dir=a,mode=0680", "octal mode"},
        {MALFORMED, "dir=a,mode=01000", "octal mode"},
        {UNSUPPORTED, "dir=a,mode=0640", "its owner's alone"},
        {MALFORMED, "dir=a,backend-uri=dir://b", "give dir=HOME or"},
        {UNSUPPORTED, "backend-uri=file:///b", "only dir://"},
        {MALFORMED, "backend-uri=dir://", "no name"},
    };
    char words[256];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        snprintf(words, sizeof words, "swtpm socket --tpm2 --tpmstate %s%s", table[i].value, channel);
        refused(table[i].status, words, table[i].sentence);
    }
    assert_string_equal("/b", accepted("swtpm socket --tpm2 --tpmstate backend-uri=dir:///b -p 1").home);
    assert_string_equal("b", accepted("swtpm socket --tpm2 --tpmstate dir=b,mode=0600 -p 1").home);
    assert_null(accepted(BASE "-p 1").instance);
    assert_string_equal("vm-1", accepted("swtpm socket --tpm2 --tpmstate dir=h,instance=vm-1 -p 1").instance);
    assert_string_equal(LONGEST, accepted("swtpm socket --tpm2 --tpmstate dir=h,instance=" LONGEST " -p 1").instance);
    refused(MALFORMED, "swtpm socket --tpm2 --tpmstate dir=h,instance=" LONGEST "8 -p 1", "is no name");
    refused(MALFORMED, "swtpm socket --tpm2 --tpmstate dir=h,instance=../x -p 1", "is no name");
    refused(MALFORMED, "swtpm socket --tpm2 --tpmstate dir=h,instance= -p 1", "instance");
    refused(MALFORMED, "swtpm socket --tpm2 --tpmstate instance=vm-1 -p 1", "dir=HOME");
    assert_false(accepted(BASE "-p 1").relaxed);
    assert_false(accepted("swtpm socket --tpm2 --tpmstate dir=h,fsync -p 1").relaxed);
    assert_false(accepted("swtpm socket --tpm2 --tpmstate dir=h,fsync=yes -p 1").relaxed);
    assert_true(accepted("swtpm socket --tpm2 --tpmstate dir=h,fsync=no -p 1").relaxed);
    refused(MALFORMED, "swtpm socket --tpm2 --tpmstate dir=h,fsync=never -p 1", "fsync=never is neither yes nor no");
    refused(MALFORMED, "swtpm socket --tpm2 --tpmstate dir=h,fsync= -p 1", "neither yes nor no");
    refused(MALFORMED, "swtpm socket --tpm2 --tpmstate dir=h,fsync,fsync=no -p 1", "given twice");
    assert_non_null(strstr(vtpm_options_capabilities(), "\"tpmstate-dir-backend-opt-fsync\""));
}

static void names_are_the_monitors(void **state)
{
    (void)state;
    static const char *const right[] = {"a", "0", "Z.z_-", "1b4e28ba-2fa1-11d2-883f-0016d3cca427", LONGEST};
    static const char *const wrong[] = {"", ".", ".a", "-a", "_a", "a/b", "a b", "a\n", "\xc3\xa9", LONGEST "8"};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        assert_true(vtpm_options_is_name(right[i]));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(vtpm_options_is_name(wrong[i]));
}

static void a_reference_is_three_lines(void **state)
{
    (void)state;
    char room[VTPM_REFERENCE_MAX + 1], home[VTPM_HOME_MAX + 2];
    struct vtpm_reference reference = {.home = "/h", .instance = LONGEST}, found = {.home = "before"};
    memset(home, '/', sizeof home);
    home[sizeof home - 1] = 0;
    memcpy(reference.home, home, VTPM_HOME_MAX);
    struct writer writer = writer_over(room, VTPM_REFERENCE_MAX);
    vtpm_reference_put(&writer, &reference);
    check_ok(writer_end(&writer));
    for (size_t len = 0; len < writer.len; len++)
        assert_int_not_equal(OK, vtpm_reference_decode(bytes_from(room, len), &found));
    room[writer.len] = '\n';
    check_status(MALFORMED, vtpm_reference_decode(bytes_from(room, writer.len + 1), &found));
    static const struct {
        enum status status;
        const char *text;
    } wrong[] = {
        {MALFORMED, "an instance of another node\n/h\na\n"},
        {MALFORMED, VTPM_REFERENCE_TITLE "\nh\na\n"},
        {MALFORMED, VTPM_REFERENCE_TITLE "\n\na\n"},
        {MALFORMED, VTPM_REFERENCE_TITLE "\n/h\n\n"},
        {MALFORMED, VTPM_REFERENCE_TITLE "\n/h\n../a\n"},
        {NO_ROOM, VTPM_REFERENCE_TITLE " \n/h\na\n"},
        {NO_ROOM, VTPM_REFERENCE_TITLE "\n/h\n" LONGEST "8\n"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        check_status(wrong[i].status, vtpm_reference_decode(bytes_from_text(wrong[i].text), &found));
    static const char hidden[] = VTPM_REFERENCE_TITLE "\n/h\0x\na\n";
    check_status(MALFORMED, vtpm_reference_decode(bytes_from(hidden, sizeof hidden - 1), &found));
    int len = snprintf(room, sizeof room, "%s\n%s\na\n", VTPM_REFERENCE_TITLE, home);
    check_status(NO_ROOM, vtpm_reference_decode(bytes_from(room, (size_t)len), &found));
    assert_string_equal("before", found.home);
    writer = writer_over(room, VTPM_REFERENCE_MAX);
    vtpm_reference_put(&writer, &reference);
    check_ok(vtpm_reference_decode(writer_bytes(&writer), &found));
    assert_string_equal(reference.home, found.home);
    assert_string_equal(LONGEST, found.instance);
}

static void a_channel_is_at_a_path_a_port_or_a_descriptor(void **state)
{
    (void)state;
    struct vtpm_options options = accepted(BASE "--ctrl type=tcp,port=65535,bindaddr=::1,ifname=lo "
                                                "--server type=unixio,path=d,mode=0660,uid=1,gid=2,disconnect");
    assert_int_equal(VTPM_AT_PORT, options.control.kind);
    assert_int_equal(65535, options.control.port);
    assert_string_equal("::1", options.control.address);
    assert_string_equal("lo", options.control.interface);
    assert_int_equal(VTPM_AT_PATH, options.data.kind);
    assert_int_equal(0660, options.data.mode);
    assert_int_equal(1, options.data.uid);
    assert_int_equal(2, options.data.gid);
    assert_true(options.disconnect);
    assert_string_equal("k", accepted(BASE "-p 1 --keys type=unixio,path=k").keys.path);
    refused(MALFORMED, BASE "-p 1 --keys k", "--keys");
    assert_string_equal("t", accepted(BASE "-p 1 --transfer type=unixio,path=t").transfer.path);
    refused(MALFORMED, BASE "-p 1 --transfer t", "--transfer");
    options = accepted(BASE "--server port=1");
    assert_int_equal(VTPM_AT_PORT, options.data.kind);
    assert_string_equal("127.0.0.1", options.data.address);
    assert_null(options.data.interface);
    assert_false(options.disconnect);
    assert_false(options.terminate);
    options = accepted(BASE "--ctrl type=unixio,fd=5 --server type=tcp,fd=7");
    assert_int_equal(VTPM_AT_LISTENER, options.control.kind);
    assert_int_equal(VTPM_NOWHERE, options.keys.kind);
    assert_int_equal(VTPM_NOWHERE, options.transfer.kind);
    assert_int_equal(5, options.control.fd);
    assert_int_equal(VTPM_AT_CLIENT, options.data.kind);
    assert_int_equal(7, options.data.fd);
    assert_true(options.terminate); /* as swtpm has it: what it reads from ends */
    options = accepted(BASE "--ctrl type=unixio,clientfd=0");
    assert_int_equal(VTPM_AT_CLIENT, options.control.kind);
    assert_int_equal(0, options.control.fd);
    assert_false(options.terminate);
}

static void a_malformed_channel_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *value, *sentence;
    } either[] = {
        {"type=unixio", "needs path= or a descriptor"},
        {"type=tcp", "needs port= or a descriptor"},
        {"type=pipe,path=c", "give unixio or tcp"},
        {"type=,path=c", "type needs a value"},
        {"type=unixio,path=", "path needs a value"},
        {"type=unixio,path=c,fd=3", "and not both"},
        {"type=tcp,port=3,fd=3", "and not both"},
        {"type=unixio,path=c,port=3", "for type=tcp only"},
        {"type=unixio,path=c,bindaddr=::1", "for type=tcp only"},
        {"type=unixio,path=c,ifname=lo", "for type=tcp only"},
        {"type=tcp,path=c", "for type=unixio only"},
        {"type=tcp,port=1,mode=0600", "for type=unixio only"},
        {"type=tcp,port=1,uid=0", "for type=unixio only"},
        {"type=tcp,port=1,gid=0", "for type=unixio only"},
        {"type=tcp,port=0", "from 1 to 65535"},
        {"type=tcp,port=65536", "not a number from 0 to 65535"},
        {"type=tcp,port=-1", "not a number"},
        {"type=tcp,port=1x", "not a number"},
        {"type=tcp,port=+1", "not a number"},
        {"type=tcp,port=99999999999999999999", "not a number"},
        {"type=tcp,port=999999999999999999999", "not a number"},
        {"type=tcp,port=", "port needs a value"},
        {"type=tcp,port=1,ifname=lo", "ifname needs bindaddr="},
        {"type=tcp,port=1,port=1", "port is given twice"},
        {"type=unixio,fd=2147483648", "not a number from 0 to 2147483647"},
        {"type=unixio,fd=3,mode=0600", "already"},
        {"type=tcp,fd=3,bindaddr=::1", "already"},
        {"type=unixio,path=c,mode=600", "octal mode"},
        {"type=unixio,path=c,mode=0999", "octal mode"},
        {"type=unixio,path=c,mode=01777", "octal mode"},
        {"type=unixio,path=c,uid=4294967295", "not a number from 0 to 4294967294"},
        {"type=unixio,path=c,uid=root", "not a number"},
        {"type=unixio,path=c,colour=red", "colour is not known"},
        {"type=unixio,,path=c", "a part of the list is empty"},
    };
    char words[256];
    for (size_t i = 0; i < sizeof either / sizeof *either; i++)
        for (int server = 0; server < 2; server++) {
            snprintf(words, sizeof words, BASE "--%s %s", server ? "server" : "ctrl", either[i].value);
            refused(MALFORMED, words, either[i].sentence);
        }
    refused(MALFORMED, BASE "--ctrl path=c", "needs type=unixio or type=tcp");
    refused(MALFORMED, BASE "--ctrl type=unixio,path=c,disconnect", "disconnect is not known");
    refused(MALFORMED, BASE "--ctrl type=unixio,fd=3,clientfd=4", "exclude each other");
    refused(MALFORMED, BASE "--ctrl type=tcp,clientfd=4", "for type=unixio only");
    refused(UNSUPPORTED, BASE "--server type=unixio,clientfd=4", "given by fd=");
    refused(MALFORMED, BASE "--server port=1,disconnect=yes", "disconnect takes no value");
}

static void the_old_words_for_the_data_channel_are_understood(void **state)
{
    (void)state;
    static const char *const ports[] = {BASE "-p 2321", BASE "--port 2321", BASE "--port=2321"};
    for (size_t i = 0; i < 3; i++) {
        struct vtpm_options options = accepted(ports[i]);
        assert_int_equal(VTPM_AT_PORT, options.data.kind);
        assert_int_equal(2321, options.data.port);
        assert_string_equal("127.0.0.1", options.data.address);
        assert_true(options.disconnect);
    }
    static const char *const descriptors[] = {BASE "-f 3", BASE "--fd 3"};
    for (size_t i = 0; i < 2; i++) {
        struct vtpm_options options = accepted(descriptors[i]);
        assert_int_equal(VTPM_AT_CLIENT, options.data.kind);
        assert_int_equal(3, options.data.fd);
        assert_true(options.terminate);
    }
    refused(MALFORMED, BASE "-p 0", "not a port from 1 to 65535");
    refused(MALFORMED, BASE "-p 65536", "not a port");
    refused(MALFORMED, BASE "-p tpm", "not a port");
    refused(MALFORMED, BASE "-p", "needs a value");
    refused(MALFORMED, BASE "-f -1", "not a descriptor");
    refused(MALFORMED, BASE "-p 1 -f 3", "exclude each other");
    refused(MALFORMED, BASE "-p 1 --server port=2", "exclude each other");
    refused(MALFORMED, BASE "-f 3 --server port=2", "exclude each other");
    refused(MALFORMED, BASE "-p 1 -p 2", "given twice");
}

static void the_environment_stands_in(void **state)
{
    (void)state;
    struct vtpm_options options;
    char why[VTPM_OPTIONS_WHY];
    const struct vtpm_defaults both = {.path = "p", .port = "7"}, wrong = {.path = "p", .port = "x"},
                               empty = {.path = "", .port = "7"};
    check_ok(read_words("swtpm socket --tpm2", &both, &options, why));
    assert_string_equal("p", options.home);
    assert_int_equal(7, options.data.port);
    assert_true(options.disconnect);
    check_ok(read_words("swtpm socket --tpm2 --tpmstate dir=h --ctrl type=unixio,path=c", &wrong, &options, why));
    assert_string_equal("h", options.home);
    assert_int_equal(VTPM_NOWHERE, options.data.kind);
    check_status(MALFORMED, read_words("swtpm socket --tpm2", &wrong, &options, why));
    assert_non_null(strstr(why, "TPM_PORT: x is not a port"));
    check_status(MALFORMED, read_words("swtpm socket --tpm2", &empty, &options, why));
    assert_non_null(strstr(why, "set TPM_PATH"));
}

static void flags_are_init_and_startup(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        bool init;
        enum vtpm_startup startup;
    } table[] = {
        {WITH "--flags not-need-init", true, VTPM_STARTUP_NONE},
        {WITH "--flags startup-none", false, VTPM_STARTUP_NONE},
        {WITH "--flags startup-clear", true, VTPM_STARTUP_CLEAR},
        {WITH "--flags startup-state", true, VTPM_STARTUP_STATE},
        {WITH "--flags not-need-init,startup-clear", true, VTPM_STARTUP_CLEAR},
        {WITH "--flags startup-none,not-need-init", true, VTPM_STARTUP_NONE},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct vtpm_options options = accepted(table[i].words);
        assert_int_equal(table[i].init, options.init);
        assert_int_equal(table[i].startup, options.startup);
    }
    refused(UNSUPPORTED, WITH "--flags startup-deactivated", "a TPM 1.2's");
    refused(MALFORMED, WITH "--flags startup-clear,startup-state", "one startup excludes another");
    refused(MALFORMED, WITH "--flags startup", "startup is not known");
    refused(MALFORMED, WITH "--flags startup-clear=1", "takes no value");
    refused(MALFORMED, WITH "--flags not-need-init,", "is empty");
    refused(MALFORMED, WITH "--flags startup-clear,startup-clear", "given twice");
}

static void the_process_is_told_where_its_files_are(void **state)
{
    (void)state;
    struct vtpm_options options =
        accepted(WITH "-t -d --pid file=p --log fd=2,level=4,prefix=vm: --seccomp action=kill");
    assert_true(options.terminate && options.daemon && options.pid.given && options.log.given);
    assert_string_equal("p", options.pid.path);
    assert_null(options.log.path);
    assert_int_equal(2, options.log.fd);
    assert_string_equal("vm:", options.prefix);
    options = accepted(WITH "--terminate --daemon --pid fd=9 --log file=-,truncate");
    assert_true(options.terminate && options.daemon && options.truncate);
    assert_null(options.pid.path);
    assert_int_equal(9, options.pid.fd);
    assert_string_equal("-", options.log.path);
    refused(MALFORMED, BASE "-d -f 2", "--daemon: closes descriptors 0 to 2");
    refused(MALFORMED, BASE "-d --ctrl type=unixio,fd=0", "--daemon: closes");
    assert_int_equal(3, accepted(BASE "-d -f 3").data.fd);
    refused(MALFORMED, WITH "--pid p", "p is not known");
    refused(MALFORMED, WITH "--pid file=", "file needs a value");
    refused(MALFORMED, WITH "--pid fd=x", "not a number");
    refused(MALFORMED, WITH "--pid file=p,fd=3", "give file=PATH or fd=NUMBER");
    refused(MALFORMED, WITH "--log level=1", "give file=PATH or fd=NUMBER");
    refused(MALFORMED, WITH "--log file=l,level=high", "not a number");
    refused(MALFORMED, WITH "--log file=l,level=101", "not a number from 0 to 100");
    refused(UNSUPPORTED, WITH "--log file=l,level=5", "does not leave the enclave");
    refused(MALFORMED, WITH "--log fd=2,truncate", "for file= only");
    refused(MALFORMED, WITH "--log file=l,truncate=1", "takes no value");
}

static void what_swtpm_has_and_we_have_not_is_refused_by_name(void **state)
{
    (void)state;
    refused(UNSUPPORTED, WITH "--migration-key file=k", "only beside --key");
    refused(UNSUPPORTED, WITH "--runas tss", "--runas: start it as that user");
    refused(UNSUPPORTED, WITH "-r tss", "--runas: ");
    refused(UNSUPPORTED, WITH "--locality reject-locality-4", "--locality: ");
    refused(UNSUPPORTED, WITH "--print-states", "--print-states: ");
    refused(UNSUPPORTED, WITH "--seccomp action=none", "give action=kill");
    refused(MALFORMED, WITH "--vtpm-proxy", "--vtpm-proxy: belongs to `chardev`");
    refused(MALFORMED, WITH "--pwd file=k", "not known");
}

static void a_device_is_its_own_data_channel(void **state)
{
    (void)state;
#define DEVICE "swtpm chardev --tpm2 --tpmstate dir=h "
    struct vtpm_options options = accepted(DEVICE "--vtpm-proxy");
    assert_true(options.proxy && options.init && options.terminate && !options.disconnect);
    assert_int_equal(VTPM_STARTUP_NONE, options.startup);
    assert_int_equal(VTPM_NOWHERE, options.data.kind);
    assert_string_equal("c", accepted(DEVICE "--vtpm-proxy --ctrl type=unixio,path=c").control.path);
    assert_int_equal(VTPM_STARTUP_CLEAR, accepted(DEVICE "--vtpm-proxy --flags startup-clear").startup);
    refused(MALFORMED, DEVICE "--ctrl type=unixio,path=c", "the kernel's proxy only");
    refused(MALFORMED, DEVICE "--vtpm-proxy --server type=unixio,path=s", "the device is the data channel");
    refused(MALFORMED, DEVICE "--vtpm-proxy --port 2321", "the device is the data channel");
    refused(MALFORMED, DEVICE "--vtpm-proxy --vtpm-proxy", "given twice");
}

static void a_passphrase_comes_from_one_place(void **state)
{
    (void)state;
    assert_string_equal("k", accepted(WITH "--key file=k").key.path);
    assert_string_equal("k", accepted(WITH "--key pwdfile=k,mode=aes-cbc").key.path);
    assert_int_equal(3, accepted(WITH "--key fd=3").key.fd);
    refused(MALFORMED, WITH "--key mode=aes-cbc", "give one of");
    refused(MALFORMED, WITH "--key file=k,fd=3", "give one of");
    refused(MALFORMED, WITH "--key pwdfile=k,pwdfd=3", "give one of");
    refused(MALFORMED, WITH "--key file=k,mode=aes-xts", "mode=aes-xts is not known");
    refused(UNSUPPORTED, WITH "--key file=k,format=hex", "compared byte for byte");
    refused(UNSUPPORTED, WITH "--key pwdfile=k,kdf=pbkdf2", "compared byte for byte");
    refused(UNSUPPORTED, WITH "--key file=k,remove=true", "remove it yourself");
    refused(MALFORMED, WITH "--key file=k --key file=k", "given twice");
}

static void questions_need_nothing_else(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(VTPM_CAPABILITIES, accepted("swtpm socket --print-capabilities").action);
    assert_int_equal(VTPM_HELP, accepted("swtpm socket --help").action);
    assert_int_equal(VTPM_HELP, accepted("swtpm socket -h").action);
    assert_int_equal(VTPM_HELP, accepted("swtpm --help").action);
    assert_int_equal(VTPM_HELP, accepted("swtpm -h").action);
    assert_non_null(strstr(vtpm_options_capabilities(), "\"type\": \"swtpm\""));
    assert_non_null(strstr(vtpm_options_capabilities(), "\"tpm-2.0\""));
    assert_null(strstr(vtpm_options_capabilities(), "tpm-1.2"));
    FILE *memory = open_memstream(&text, &len);
    vtpm_options_help(memory);
    fclose(memory);
    assert_non_null(strstr(text, "usage: bastide-vtpm socket"));
    free(text);
}

static void a_sentence_is_cut_where_its_room_ends(void **state)
{
    (void)state;
    char words[700];
    int len = snprintf(words, sizeof words, "swtpm socket --");
    memset(words + len, 'x', 500);
    words[len + 500] = 0;
    refused(MALFORMED, words, "--xxx");
    len = snprintf(words, sizeof words, BASE "--ctrl ");
    memset(words + len, 'x', 500);
    words[len + 500] = 0;
    refused(MALFORMED, words, "xxx is not known here");
}

static void a_launch_is_its_parts_and_the_command_behind_them(void **state)
{
    (void)state;
    struct vtpm_options options = accepted(WITH "--launch firmware=f,kernel=k,initrd=i,disk=d --launch-cmdline a,b=c "
                                                "-- qemu -kernel {kernel} --ctrl {cmdline} {none} {");
    static const char *const parts[VTPM_PARTS] = {"f", "k", "i", "a,b=c", "d"};
    for (size_t part = 0; part < VTPM_PARTS; part++)
        assert_string_equal(parts[part], options.launch[part]);
    assert_string_equal("qemu", options.command[0]);
    assert_string_equal("{", options.command[6]);
    assert_null(options.command[7]);
    options = accepted(WITH "--launch-cmdline x -- qemu");
    assert_string_equal("x", options.launch[VTPM_PART_CMDLINE]);
    assert_null(options.launch[0]);
    options = accepted(BASE "--ctrl type=unixio,path=c");
    assert_null(options.command);
    refused(MALFORMED, WITH "--launch kernel=k", "goes with the command");
    refused(MALFORMED, WITH "--launch kernel=k --", "goes with the command");
    refused(MALFORMED, WITH "-- qemu", "goes with the command");
    refused(MALFORMED, WITH "--launch kernel=k -- qemu x{initrd}", "has {initrd}, which is not given");
    refused(MALFORMED, WITH "--launch kernel=k -- qemu {kernel} {cmdline}", "has {cmdline}, which is not given");
    refused(UNSUPPORTED, WITH "--launch cmdline=k -- qemu", "--launch-cmdline TEXT");
    refused(MALFORMED, WITH "--launch kernel=k --launch disk=d -- qemu", "is given twice");
    refused(MALFORMED, WITH "--launch other=k -- qemu", "other");
    refused(MALFORMED, WITH "--launch kernel -- qemu", "kernel");
    refused(MALFORMED, WITH "--launch kernel=k qemu", "one word too many");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_is_a_home_and_a_channel),
        cmocka_unit_test(what_libvirt_writes_is_understood),
        cmocka_unit_test(the_home_is_a_directory_of_its_owner),
        cmocka_unit_test(names_are_the_monitors),
        cmocka_unit_test(a_reference_is_three_lines),
        cmocka_unit_test(a_channel_is_at_a_path_a_port_or_a_descriptor),
        cmocka_unit_test(a_malformed_channel_is_refused),
        cmocka_unit_test(the_old_words_for_the_data_channel_are_understood),
        cmocka_unit_test(the_environment_stands_in),
        cmocka_unit_test(flags_are_init_and_startup),
        cmocka_unit_test(the_process_is_told_where_its_files_are),
        cmocka_unit_test(what_swtpm_has_and_we_have_not_is_refused_by_name),
        cmocka_unit_test(a_device_is_its_own_data_channel),
        cmocka_unit_test(a_passphrase_comes_from_one_place),
        cmocka_unit_test(questions_need_nothing_else),
        cmocka_unit_test(a_launch_is_its_parts_and_the_command_behind_them),
        cmocka_unit_test(a_sentence_is_cut_where_its_room_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
