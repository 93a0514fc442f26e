/* vtpm_setup: swtpm_setup's words, the configuration file, and instances as they are made, found or refused. */
#include "check.h"

#include "image.h"
#include "pki.h"
#include "vtpm_setup.h"
#include "x509.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORDS_MAX 24
#define BASE "swtpm_setup --tpm2 --tpm-state h "

static enum status read_words(const char *words, struct vtpm_setup_options *options, char why[VTPM_SETUP_WHY])
{
    static char room[1024];
    char *argv[WORDS_MAX + 1] = {NULL}, *rest = room;
    int argc = 0;
    assert_true(snprintf(room, sizeof room, "%s", words) < (int)sizeof room);
    for (char *word; argc < WORDS_MAX && (word = strsep(&rest, " ")) != NULL;)
        argv[argc++] = word;
    return vtpm_setup_read(argc, argv, options, why);
}

static struct vtpm_setup_options accepted(const char *words)
{
    struct vtpm_setup_options options;
    char why[VTPM_SETUP_WHY];
    check_ok(read_words(words, &options, why));
    return options;
}

static void refused(enum status expected, const char *words, const char *sentence)
{
    struct vtpm_setup_options options, before;
    char why[VTPM_SETUP_WHY];
    memset(&options, 0x5a, sizeof options);
    before = options;
    enum status status = read_words(words, &options, why);
    if (status != expected || !strstr(why, sentence))
        print_message("%s: %d, \"%s\", not \"%s\"\n", words, status, why, sentence);
    check_status(expected, status);
    assert_non_null(strstr(why, sentence));
    assert_memory_equal(&before, &options, sizeof options);
}

static void what_libvirt_writes_is_understood(void **state)
{
    (void)state;
    struct vtpm_setup_options options = accepted(
        "/usr/bin/swtpm_setup --tpm2 --tpm-state /var/lib/libvirt/swtpm/u/tpm2 --vmid "
        "vm:1b4e28ba-2fa1-11d2-883f-0016d3cca427 "
        "--logfile /var/log/l --createek --create-ek-cert --create-platform-cert --lock-nvram --not-overwrite");
    assert_int_equal(VTPM_SETUP_REGISTER, options.action);
    assert_string_equal("/var/lib/libvirt/swtpm/u/tpm2", options.state);
    assert_string_equal("vm:1b4e28ba-2fa1-11d2-883f-0016d3cca427", options.vmid);
    assert_string_equal("/var/log/l", options.log);
    assert_null(options.config);
    assert_true(options.keep && options.endorsed && !options.overwrite);
    options = accepted("swtpm_setup --tpm2 --tpm-state h --logfile l --overwrite"); /* for a VM that arrives */
    assert_false(options.keep || options.endorsed);
    assert_true(options.overwrite);
    (void)accepted("swtpm_setup --tpm2 --pwdfile-fd 5 --cipher aes-256-cbc --tpm-state h");
    refused(UNSUPPORTED, BASE "--pcr-banks sha256 --reconfigure", "--pcr-banks: banks are chosen");
    refused(UNSUPPORTED, "swtpm_setup --create-config-files skip-if-exist", "its operator writes it");
    /* What it would ask for if it were there: */
    static const char *const features[] = {"cmdarg-create-config-files", "cmdarg-reconfigure-pcr-banks", "tpm-1.2"};
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        assert_null(strstr(vtpm_setup_capabilities(), features[i]));
    assert_non_null(strstr(vtpm_setup_capabilities(), "\"tpm-2.0\""));
    assert_non_null(strstr(vtpm_setup_capabilities(), "\"cmdarg-pwdfile-fd\""));
    assert_int_equal(VTPM_SETUP_CAPABILITIES, accepted("swtpm_setup --print-capabilities").action);
    assert_int_equal(VTPM_SETUP_CAPABILITIES, accepted("swtpm_setup --tpm2 --print-capabilities").action);
}

static void other_words_are_taken_or_refused_by_name(void **state)
{
    (void)state;
    static const char *const names[] = {"runas u",
                                        "tpm t",
                                        "swtpm_ioctl s",
                                        "reconfigure",
                                        "allow-signing",
                                        "decryption",
                                        "ecc",
                                        "rsa-keysize 3072",
                                        "write-ek-cert-files d",
                                        "display",
                                        "take-ownership",
                                        "ownerpass o",
                                        "owner-well-known",
                                        "srkpass s",
                                        "srk-well-known"};
    char words[128], option[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(words, sizeof words, BASE "--%s", names[i]);
        snprintf(option, sizeof option, "--%.*s: ", (int)strcspn(names[i], " "), names[i]);
        refused(UNSUPPORTED, words, option);
    }
    assert_string_equal("/h", accepted("swtpm_setup --tpm2 --tpmstate dir:///h --config c").state);
    assert_string_equal("c", accepted("swtpm_setup --tpm2 --tpmstate dir:///h --config c").config);
    assert_int_equal(VTPM_SETUP_HELP, accepted("swtpm_setup --help").action);
    assert_int_equal(VTPM_SETUP_HELP, accepted("swtpm_setup -h").action);
    refused(UNSUPPORTED, "swtpm_setup --tpm2 --tpmstate file://h", "only dir://");
    refused(MALFORMED, "swtpm_setup --tpm2 --tpmstate dir://", "no name");
    refused(UNSUPPORTED, "swtpm_setup --tpm-state h", "TPM 1.2");
    refused(MALFORMED, "swtpm_setup --tpm2", "--tpm-state: is missing");
    refused(MALFORMED, "swtpm_setup --tpm2 --tpm-state", "needs a value");
    refused(MALFORMED, "swtpm_setup --tpm2 --tpm-state h --tpmstate i", "given twice");
    refused(MALFORMED, "swtpm_setup --tpm2 --tpm-state h --vmid a --vmid b", "given twice");
    refused(MALFORMED, "swtpm_setup --tpm2 --tpm-state h --colour", "--colour: is not known");
    refused(MALFORMED, "swtpm_setup --tpm2 --tpm-state h --not-overwrite=1", "does not take");
    refused(MALFORMED, "swtpm_setup --tpm2 --tpm-state h --overwrite --not-overwrite", "says the opposite");
    refused(MALFORMED, "swtpm_setup --tpm2 --tpm-state h more", "more: is one word too many");
}

static void the_configuration_is_three_lines_and_comments(void **state)
{
    (void)state;
    struct vtpm_setup_config config;
    char why[VTPM_SETUP_WHY];
    check_ok(vtpm_setup_config_read(bytes_from_text("# of a machine\n\n node = /a b \r\nimage=/i\nendorsement\t= none"),
                                    &config, why));
    assert_string_equal("/a b", config.node);
    assert_string_equal("/i", config.image);
    assert_true(config.unendorsed);
    check_ok(vtpm_setup_config_read(bytes_from_text("node = /n\n"), &config, why));
    assert_string_equal("", config.image);
    assert_false(config.unendorsed);
    static const struct {
        const char *text, *sentence;
    } wrong[] = {
        {"", "`node = HOME` is missing"},
        {"image = /i", "`node = HOME` is missing"},
        {"node =\n", "line 1"},
        {"node = n\n", "line 1"},
        {"node = /n\nimage = i\n", "line 2"},
        {"node = /n\nnode = /n\n", "line 2"},
        {"node = /n\nimage = /i\nimage = /i", "line 3"},
        {"node = /n\nendorsement = later", "line 2"},
        {"node = /n\nendorsement = none\nendorsement = none", "line 3"},
        {"node = /n\nimage\n", "line 2"},
        {"node = /n\nmode = production", "line 2"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        check_status(MALFORMED, vtpm_setup_config_read(bytes_from_text(wrong[i].text), &config, why));
        assert_non_null(strstr(why, wrong[i].sentence));
    }
    assert_string_equal("/n", config.node); /* as it was */
    check_status(MALFORMED, vtpm_setup_config_read(bytes_from("node = /\0\n", 10), &config, why));
    static const struct {
        const char *before;
        int max;
    } limits[] = {{"node = ", VTPM_HOME_MAX}, {"node = /n\nimage = ", VTPM_SETUP_IMAGE_MAX}};
    char text[600];
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        for (int len = limits[i].max; len <= limits[i].max + 1; len++) {
            snprintf(text, sizeof text, "%s/%0*d", limits[i].before, len - 1, 0);
            check_status(len == limits[i].max ? OK : MALFORMED,
                         vtpm_setup_config_read(bytes_from_text(text), &config, why));
        }
}

static void a_uuid_is_an_id_and_nothing_else_is(void **state)
{
    (void)state;
    static const uint8_t expected[] = {0x1b, 0x4e, 0x28, 0xba, 0x2f, 0xa1, 0x11, 0xd2,
                                       0x88, 0x3f, 0x00, 0x16, 0xd3, 0xcc, 0xa4, 0x27};
    static const char *const right[] = {"1b4e28ba-2fa1-11d2-883f-0016d3cca427",
                                        "vm:1b4e28ba-2fa1-11d2-883f-0016d3cca427",
                                        "a:b:1B4E28BA-2FA1-11D2-883F-0016D3CCA427"};
    static const char *const wrong[] = {"",
                                        "vm",
                                        "vm:",
                                        "1b4e28ba-2fa1-11d2-883f-0016d3cca42",
                                        "1b4e28ba-2fa1-11d2-883f-0016d3cca4277",
                                        "1b4e28ba02fa1-11d2-883f-0016d3cca427",
                                        "1b4e28ba-2fa1-11d2-883f-0016d3cca42g",
                                        "1b4e28ba-2fa1-11d2-883f-0016d3cca427:vm",
                                        "1b4e28ba-2fa1-11d2-883f-0016d3cc-427"};
    uint8_t id[VTPM_SETUP_ID_LEN];
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        memset(id, 0, sizeof id);
        check_ok(vtpm_setup_id(right[i], id));
        assert_memory_equal(expected, id, sizeof id);
    }
    memset(id, 0x5a, sizeof id);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        check_status(NOT_FOUND, vtpm_setup_id(wrong[i], id));
        assert_int_equal(0x5a, id[0]);
    }
    /* As libvirt names a directory; a VM that arrives has nothing else to say whose it is. */
    static const char *const elsewhere[] = {"",
                                            "/tpm2",
                                            "tpm2",
                                            "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
                                            "/s/1b4e28ba-2fa1-11d2-883f-0016d3cca427/tpm1.2",
                                            "/s/x1b4e28ba-2fa1-11d2-883f-0016d3cca427/tpm2",
                                            "/s/1b4e28ba-2fa1-11d2-883f-0016d3cca427x/tpm2"};
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        check_status(NOT_FOUND, vtpm_setup_id_of_state(elsewhere[i], id));
    assert_int_equal(0x5a, id[0]);
    check_ok(vtpm_setup_id_of_state("/s/1b4e28ba-2fa1-11d2-883f-0016d3cca427/tpm2", id));
    assert_memory_equal(expected, id, sizeof id);
    check_ok(vtpm_setup_id_of_state("1b4e28ba-2fa1-11d2-883f-0016d3cca427/tpm2//", id));
}

static struct bytes owner_certificate(void)
{
    static uint8_t room[PKI_CERTIFICATE_MAX];
    static const uint8_t serial[X509_SERIAL_LEN] = {1};
    struct crypto_key key = {0};
    struct writer writer = writer_over(room, sizeof room);
    check_ok(crypto_key_generate(&key, CRYPTO_P256));
    check_ok(x509_issue_root(&writer, &key, serial, 1795000000));
    crypto_key_done(&key);
    return writer_bytes(&writer);
}

/* ---- A node's directory and libvirt's beside it ---- */

#define UUID "1b4e28ba-2fa1-11d2-883f-0016d3cca427"

struct node {
    char root[64], home[80], state[140], image[96];
    struct vtpm_setup_config config;
    struct vtpm_setup_options options;
    struct vtpm_setup_done done;
    char why[VTPM_SETUP_WHY];
};

static const char *below(const char *directory, const char *name)
{
    static char paths[8][512];
    static unsigned turn;
    char path[512];
    snprintf(path, sizeof path, "%.200s/%.200s", directory, name);
    return memcpy(paths[turn++ % 8], path, sizeof path);
}

static void write_file(const char *path, struct bytes content)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(content.len, fwrite(content.data, 1, content.len, file));
    assert_int_equal(0, fclose(file));
}

static size_t read_file(const char *path, void *room, size_t cap)
{
    FILE *file = fopen(path, "rb");
    size_t len = file ? fread(room, 1, cap, file) : 0;
    if (file)
        fclose(file);
    return len;
}

static void write_configuration(const char *path, bool insecure_dev, uint8_t site)
{
    uint8_t room[IMAGE_CONFIGURATION_MAX];
    struct image_configuration configuration = {.certificate = owner_certificate(), .insecure_dev = insecure_dev};
    struct writer writer = writer_over(room, sizeof room);
    memset(configuration.site, site, sizeof configuration.site);
    image_put_configuration(&writer, &configuration);
    write_file(path, writer_bytes(&writer));
}

static void node_init(struct node *node)
{
    *node = (struct node){.config.unendorsed = true};
    snprintf(node->root, sizeof node->root, "/tmp/bastide-vs-%d", getpid());
    snprintf(node->home, sizeof node->home, "%s/home", node->root);
    snprintf(node->image, sizeof node->image, "%s/image", node->root);
    snprintf(node->state, sizeof node->state, "%s/" UUID "/tpm2", node->root);
    snprintf(node->config.node, sizeof node->config.node, "%s", node->home);
    snprintf(node->config.image, sizeof node->config.image, "%s", node->image);
    node->options =
        (struct vtpm_setup_options){.state = node->state, .vmid = "a vm:" UUID, .keep = true, .endorsed = true};
    const char *const directories[] = {node->root, node->home, below(node->home, "node"), node->image,
                                       below(node->root, UUID)};
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
        assert_int_equal(0, mkdir(directories[i], 0700));
    write_file(below(node->image, "manifest"), bytes_from_text("signed"));
    write_configuration(below(node->home, "node/configuration"), true, 1);
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
    (void)facts;
    (void)kind;
    (void)where;
    return remove(path);
}

static void node_done(struct node *node)
{
    assert_int_equal(0, nftw(node->root, remove_one, 8, FTW_DEPTH | FTW_PHYS));
}

static enum status set_up(struct node *node)
{
    return vtpm_setup_register(&node->options, &node->config, &node->done, node->why);
}

static void refuses(struct node *node, enum status status, const char *sentence)
{
    memset(&node->done, 0x5a, sizeof node->done);
    check_status(status, set_up(node));
    if (!strstr(node->why, sentence))
        print_message("\"%s\", not \"%s\"\n", node->why, sentence);
    assert_non_null(strstr(node->why, sentence));
    assert_int_equal(0x5a, node->done.reference.home[0]);
}

static bool is_there(const char *path)
{
    struct stat facts;
    return lstat(path, &facts) == 0;
}

static size_t instances(const struct node *node)
{
    size_t count = 0;
    DIR *directory = opendir(below(node->home, "node/instances"));
    for (struct dirent *entry; directory && (entry = readdir(directory)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (directory)
        closedir(directory);
    return count;
}

static void check_reference(const struct node *node, const char *instance)
{
    uint8_t text[VTPM_REFERENCE_MAX];
    struct vtpm_reference reference;
    size_t len = read_file(below(node->state, VTPM_REFERENCE), text, sizeof text);
    check_ok(vtpm_reference_decode(bytes_from(text, len), &reference));
    assert_string_equal(node->home, reference.home);
    assert_string_equal(instance, reference.instance);
    assert_string_equal(instance, node->done.reference.instance);
}

static void a_vm_becomes_an_instance_of_the_node(void **state)
{
    (void)state;
    struct node node;
    uint8_t room[IMAGE_CONFIGURATION_MAX];
    char link[128] = "";
    struct image_configuration own, made;
    node_init(&node);
    node.config.unendorsed = false;
    refuses(&node, DENIED, "`bastide vtpm create NAME --id UUID` first");
    assert_int_equal(0, instances(&node));
    assert_false(is_there(node.state));
    node.config.unendorsed = true;
    check_ok(set_up(&node));
    assert_true(node.done.made);
    check_reference(&node, UUID);
    assert_int_equal(1, instances(&node)); /* nothing lies beside it */
    size_t len = read_file(below(node.home, "node/instances/" UUID "/configuration"), room, sizeof room);
    check_ok(image_configuration_decode(bytes_from(room, len), &made));
    assert_int_equal(0x1b, made.site[0]);
    assert_int_equal(0x27, made.site[15]);
    assert_true(made.insecure_dev);
    uint8_t other[IMAGE_CONFIGURATION_MAX];
    len = read_file(below(node.home, "node/configuration"), other, sizeof other);
    check_ok(image_configuration_decode(bytes_from(other, len), &own));
    check_bytes(own.certificate, made.certificate);
    assert_true(readlink(below(node.home, "node/instances/" UUID "/image"), link, sizeof link - 1) > 0);
    assert_string_equal(node.image, link);
    /* Once. */
    check_ok(set_up(&node));
    assert_false(node.done.made);
    node.options.keep = false;
    refuses(&node, DENIED, "is not erased here");
    node.options.overwrite = true;
    refuses(&node, DENIED, "is not erased here");
    node.options.endorsed = false; /* a VM arrives */
    node.options.vmid = NULL;
    check_ok(set_up(&node));
    assert_false(node.done.made);
    /* libvirt forgot the VM, and has it again: its TPM is the one that it had. */
    assert_int_equal(0, unlink(below(node.state, VTPM_REFERENCE)));
    check_ok(set_up(&node));
    assert_false(node.done.made);
    check_reference(&node, UUID);
    node_done(&node);
}

static void none_is_made_for_a_vm_that_arrives(void **state)
{
    (void)state;
    struct node node;
    node_init(&node);
    static const char uuid[] = "07070707-0707-0707-0707-070707070707";
    assert_int_equal(0, mkdir(below(node.root, uuid), 0700));
    snprintf(node.state, sizeof node.state, "%s/%s/tpm2", node.root, uuid);
    node.options = (struct vtpm_setup_options){.action = VTPM_SETUP_REGISTER, .overwrite = true, .state = node.state};
    check_ok(set_up(&node));
    assert_true(node.done.missing);
    assert_false(node.done.made);
    assert_int_equal(0, instances(&node));
    check_reference(&node, uuid); /* to what is not there: bastide-vtpm says why */
    /* Its owner prepared, under what name he liked. */
    assert_int_equal(0, mkdir(below(node.home, "node/instances"), 0700));
    assert_int_equal(0, mkdir(below(node.home, "node/instances/mine"), 0700));
    write_configuration(below(node.home, "node/instances/mine/configuration"), true, 7);
    check_ok(set_up(&node));
    assert_false(node.done.missing);
    check_reference(&node, "mine");
    node_done(&node);
}

static void one_that_its_owner_made_is_found_by_its_id(void **state)
{
    (void)state;
    struct node node;
    node_init(&node);
    node.config.unendorsed = false; /* nothing is to be made, so nothing is missing */
    node.options.vmid = "vm:07070707-0707-0707-0707-070707070707";
    assert_int_equal(0, mkdir(below(node.home, "node/instances"), 0700));
    static const char *const names[] = {"another", ".hidden", "empty", "mine"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(0, mkdir(below(below(node.home, "node/instances"), names[i]), 0700));
    write_configuration(below(node.home, "node/instances/another/configuration"), true, 6);
    write_configuration(below(node.home, "node/instances/.hidden/configuration"), true, 7);
    write_configuration(below(node.home, "node/instances/mine/configuration"), true, 7);
    check_ok(set_up(&node));
    assert_false(node.done.made);
    assert_int_equal(0, node.done.unread);
    check_reference(&node, "mine");
    /* The directory is that VM's from now on; until the instance is gone. */
    node.options.vmid = "vm:06060606-0606-0606-0606-060606060606";
    refuses(&node, DENIED, "refers to another VM's TPM");
    assert_int_equal(0, unlink(below(node.home, "node/instances/mine/configuration")));
    check_ok(set_up(&node));
    check_reference(&node, "another");
    snprintf(node.config.node, sizeof node.config.node, "%s", node.root);
    refuses(&node, DENIED, "refers to another node");
    snprintf(node.config.node, sizeof node.config.node, "%s", node.home);
    write_file(below(node.state, VTPM_REFERENCE), bytes_from_text("what is it"));
    refuses(&node, MALFORMED, "is not what is left here");
    node_done(&node);
}

static void what_fails_leaves_nothing(void **state)
{
    (void)state;
    struct node node;
    node_init(&node);
    assert_int_equal(0, unlink(below(node.image, "manifest")));
    refuses(&node, IO, "image/manifest cannot be read");
    assert_int_equal(0, instances(&node));
    write_file(below(node.image, "manifest"), bytes_from_text("signed"));
    /* The reference cannot be written: the instance goes again. */
    assert_int_equal(0, mkdir(node.state, 0700));
    assert_int_equal(0, mkdir(below(node.state, VTPM_REFERENCE ".new"), 0700));
    refuses(&node, IO, VTPM_REFERENCE " cannot be written");
    assert_int_equal(0, instances(&node));
    assert_int_equal(0, rmdir(below(node.state, VTPM_REFERENCE ".new")));
    /* One that was cut short is no obstacle. */
    assert_int_equal(0, mkdir(below(node.home, "node/instances/." UUID), 0700));
    write_file(below(node.home, "node/instances/." UUID "/configuration.new"), bytes_from_text("half"));
    check_ok(set_up(&node));
    assert_int_equal(1, instances(&node));
    node_done(&node);
    node_init(&node);
    write_file(below(node.home, "node/configuration"), bytes_from_text("half"));
    refuses(&node, MALFORMED, "is not a launch configuration");
    assert_int_equal(0, unlink(below(node.home, "node/configuration")));
    refuses(&node, NOT_FOUND, "names no node's home");
    assert_false(is_there(node.state));
    /* Somebody's file in the place of ours. */
    write_configuration(below(node.home, "node/configuration"), true, 1);
    write_file(below(node.home, "node/instances"), bytes_from_text("a file"));
    refuses(&node, IO, "node/instances cannot be made");
    node_done(&node);
}

int main(void)
{
    if (crypto_init() != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_libvirt_writes_is_understood),
        cmocka_unit_test(other_words_are_taken_or_refused_by_name),
        cmocka_unit_test(the_configuration_is_three_lines_and_comments),
        cmocka_unit_test(a_uuid_is_an_id_and_nothing_else_is),
        cmocka_unit_test(a_vm_becomes_an_instance_of_the_node),
        cmocka_unit_test(none_is_made_for_a_vm_that_arrives),
        cmocka_unit_test(one_that_its_owner_made_is_found_by_its_id),
        cmocka_unit_test(what_fails_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
