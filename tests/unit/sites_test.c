/* Who a monitor serves at once, at each limit and one past it, and what an instance is made of on a disk that anybody
 * may have changed. */
#include "check.h"

#include "crypto.h"
#include "image.h"
#include "sites.h"
#include "x509.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW_S 1700000000

static char home[] = "/tmp/sites_test.XXXXXX";
static struct crypto_key owner_key, other_key;
static uint8_t owner_room[1024], other_room[1024];
static struct bytes owner, other;
static char sentence[ENCLAVE_SENTENCE_MAX];

static struct bytes issue(struct crypto_key *key, uint8_t number, uint8_t room[1024])
{
    struct writer writer = writer_over(room, 1024);
    check_ok(crypto_key_generate(key, CRYPTO_P256));
    check_ok(x509_issue_root(&writer, key, (const uint8_t[X509_SERIAL_LEN]){number}, NOW_S));
    return writer_bytes(&writer);
}

static void make_directory(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", home, name);
    assert_int_equal(0, mkdir(path, 0700));
}

static int set_up(void **unused)
{
    (void)unused;
    if (crypto_init() != OK || !mkdtemp(home))
        return -1;
    make_directory("node");
    make_directory("node/instances");
    make_directory("node/instances/vm");
    owner = issue(&owner_key, 1, owner_room);
    other = issue(&other_key, 2, other_room);
    return 0;
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *at)
{
    (void)facts, (void)kind, (void)at;
    return remove(path);
}

static int tear_down(void **unused)
{
    (void)unused;
    return nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- The table ---- */

static struct site site_of(const char *name, uint8_t first, uint8_t second)
{
    struct site site = {.configuration = {.certificate = owner, .insecure_dev = true, .site = {first, second}}};
    snprintf(site.name, sizeof site.name, "%s", name);
    return site;
}

static enum status enter(struct sites *sites, struct site *site, const struct heads *heads)
{
    size_t place = SITES_MAX;
    sentence[0] = 0;
    enum status status = sites_enter(sites, site, heads, &place, sentence);
    if (status == OK) {
        assert_true(place < SITES_MAX && sites->at[place] == site);
    } else {
        assert_int_equal(SITES_MAX, place);
        assert_true(sentence[0]);
        for (size_t i = 0; i < SITES_MAX; i++)
            assert_true(sites->at[i] != site);
    }
    return status;
}

static void says(const char *words)
{
    if (!strstr(sentence, words))
        fail_msg("\"%s\" does not say \"%s\"", sentence, words);
}

static void the_nodes_own_is_first_and_others_are_of_its_owner_and_mode(void **unused)
{
    static struct heads heads;
    struct sites sites = {0};
    struct site own = site_of("", 1, 0), good = site_of("vm", 2, 0), foreign = good, production = good;
    (void)unused;
    foreign.configuration.certificate = other;
    production.configuration.insecure_dev = false;
    check_ok(enter(&sites, &own, &heads));
    assert_ptr_equal(&own, sites.at[SITES_OWN]);
    check_status(DENIED, enter(&sites, &foreign, &heads));
    says("another owner");
    check_status(DENIED, enter(&sites, &production, &heads));
    says("another mode");
    /* The same key in another certificate of the owner's is another owner: the config id says so, too. */
    uint8_t room[1024];
    struct writer writer = writer_over(room, sizeof room);
    check_ok(x509_issue_root(&writer, &owner_key, (const uint8_t[X509_SERIAL_LEN]){3}, NOW_S));
    foreign.configuration.certificate = writer_bytes(&writer);
    check_status(DENIED, enter(&sites, &foreign, &heads));
    foreign.configuration.certificate = bytes_slice(owner, 0, owner.len - 1);
    check_status(DENIED, enter(&sites, &foreign, &heads));
    check_ok(enter(&sites, &good, &heads));
}

static void a_name_has_one_host_end_and_a_site_id_one_enclave(void **unused)
{
    static struct heads heads;
    struct sites sites = {0};
    struct site own = site_of("", 1, 0), vm = site_of("vm", 2, 0), again = site_of("vm", 2, 0),
                renamed = site_of("other", 2, 0), owns = site_of("third", 1, 0), next = site_of("other", 2, 1);
    (void)unused;
    check_ok(enter(&sites, &own, &heads));
    check_ok(enter(&sites, &vm, &heads));
    check_status(BUSY, enter(&sites, &again, &heads));
    check_status(DENIED, enter(&sites, &renamed, &heads));
    says("the site id of vm");
    check_status(DENIED, enter(&sites, &owns, &heads));
    says("the node's own instance");
    check_ok(enter(&sites, &next, &heads));
    sites_leave(&sites, &next);
    sites_leave(&sites, &vm);
    check_ok(enter(&sites, &renamed, &heads));
    check_status(DENIED, enter(&sites, &again, &heads));
}

static void as_many_are_served_as_said_and_a_place_that_is_left_is_taken(void **unused)
{
    static struct heads heads;
    static struct site all[SITES_MAX];
    struct sites sites = {0};
    struct site more = site_of("more", 0, 7);
    (void)unused;
    for (size_t i = 0; i < SITES_MAX; i++) {
        char name[8] = "";
        if (i)
            snprintf(name, sizeof name, "vm%zu", i);
        all[i] = site_of(name, (uint8_t)(i + 1), 0);
        check_ok(enter(&sites, &all[i], &heads));
    }
    check_status(NO_ROOM, enter(&sites, &more, &heads));
    says("as many instances");
    sites_leave(&sites, &all[5]);
    check_ok(enter(&sites, &more, &heads));
    assert_ptr_equal(&more, sites.at[5]);
    check_status(NO_ROOM, enter(&sites, &all[5], &heads));
}

static void who_has_no_head_is_served_while_the_table_of_heads_has_room_for_all_of_those(void **unused)
{
    static struct heads heads;
    struct sites sites = {0};
    struct site own = site_of("", 200, 0), known = site_of("known", 7, 0), one = site_of("one", 201, 0),
                two = site_of("two", 202, 0);
    (void)unused;
    heads.places = HEADS_SITES_MAX - 2; /* one for our own, which never committed, one for one more */
    for (size_t i = 0; i < heads.places; i++)
        heads.released[i] = (struct head){.site = {(uint8_t)i}, .sequence = 1};
    check_ok(enter(&sites, &own, &heads));
    check_ok(enter(&sites, &one, &heads));
    check_status(NO_ROOM, enter(&sites, &two, &heads));
    says("table of heads");
    check_ok(enter(&sites, &known, &heads)); /* its place is its own */
    heads.released[heads.places++] = (struct head){.site = {201}, .sequence = 1};
    check_status(NO_ROOM, enter(&sites, &two, &heads)); /* one has committed: nothing has changed */
    sites_leave(&sites, &one);
    check_status(NO_ROOM, enter(&sites, &two, &heads)); /* and its head stays when it goes */
}

static void no_two_enclaves_run_as_one_user(void **unused)
{
    static struct heads heads;
    struct sites sites = {0};
    struct site own = site_of("", 0xff, 0xff), one = site_of("one", 0xff, 0xff), two = one;
    (void)unused;
    memset(own.configuration.site, 0xff, IMAGE_SITE_LEN);
    memset(one.configuration.site, 0xff, IMAGE_SITE_LEN);
    one.configuration.site[15] = 0; /* alike where the number is taken from */
    two = one;
    two.name[0] = 'w';
    two.configuration.site[15] = 1;
    two.configuration.site[3] = 0x0f; /* and where it only differs past the mask */
    check_ok(enter(&sites, &own, &heads));
    check_ok(enter(&sites, &one, &heads));
    check_ok(enter(&sites, &two, &heads));
    assert_int_equal(SITES_USER_FIRST | SITES_USER_MASK, own.user);
    assert_int_equal(SITES_USER_FIRST, one.user);
    assert_int_equal(SITES_USER_FIRST | 1, two.user);
    sites_leave(&sites, &one);
    sites.spare_user = SITES_USER_FIRST | SITES_USER_MASK; /* of one that is this site's by now */
    sites_choose_spare_user(&sites);
    assert_int_equal(SITES_USER_FIRST, sites.spare_user);
    check_ok(enter(&sites, &one, &heads)); /* its own number is the spare's */
    assert_int_equal(SITES_USER_FIRST | 2, one.user);
    sites_choose_spare_user(&sites);
    assert_int_equal(SITES_USER_FIRST | 3, sites.spare_user);
}

/* ---- The disk ---- */

static const char *below(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/node/instances/vm/%s", home, name);
    return path;
}

static void write_below(const char *name, struct bytes content)
{
    unlink(below(name));
    FILE *file = fopen(below(name), "w");
    assert_true(file && fwrite(content.data, 1, content.len, file) == content.len && fclose(file) == 0);
}

static struct bytes configuration(uint8_t room[IMAGE_CONFIGURATION_MAX])
{
    const struct image_configuration configuration = {.certificate = owner, .site = {9}, .insecure_dev = true};
    struct writer writer = writer_over(room, IMAGE_CONFIGURATION_MAX);
    image_put_configuration(&writer, &configuration);
    check_ok(writer_end(&writer));
    return writer_bytes(&writer);
}

static enum status read_vm(struct site *site)
{
    *site = (struct site){.name = "vm"};
    sentence[0] = 0;
    return site_read(site, home, sentence);
}

static void an_instance_is_read_from_its_directory_and_refused_by_the_files_name(void **unused)
{
    static struct site site;
    struct sites sites = {0};
    uint8_t room[IMAGE_CONFIGURATION_MAX], long_room[IMAGE_CONFIGURATION_MAX + 1] = {0};
    const struct bytes whole = configuration(room);
    char directory[SITES_PATH_MAX];
    (void)unused;
    site_directory("", directory);
    assert_string_equal("node", directory);
    site_directory("a23456789-123456789-123456789-123456789-1234567", directory);
    assert_string_equal("node/instances/a23456789-123456789-123456789-123456789-1234567", directory);
    check_status(NOT_FOUND, read_vm(&site));
    says("node/instances/vm/configuration is missing");
    for (size_t len = 0; len < whole.len; len++) {
        write_below("configuration", bytes_slice(whole, 0, len));
        check_status(MALFORMED, read_vm(&site));
    }
    says("node/instances/vm/configuration is not a launch configuration");
    write_below("configuration", bytes_from(room, whole.len + 1));
    check_status(MALFORMED, read_vm(&site));
    write_below("configuration", bytes_from(long_room, sizeof long_room - 1));
    check_status(MALFORMED, read_vm(&site));
    write_below("configuration", bytes_from(long_room, sizeof long_room));
    check_status(NO_ROOM, read_vm(&site));
    write_below("configuration", whole);
    check_ok(read_vm(&site));
    assert_int_equal(9, site.configuration.site[0]);
    check_bytes(whole, site.configuration_encoded);
    check_bytes(owner, site.configuration.certificate);
    assert_int_equal(0, site.workload_encoded.len);
    site_done(&sites, &site);
}

static void a_workload_is_its_owners(void **unused)
{
    static struct site site;
    static uint8_t room[IMAGE_WORKLOAD_MAX];
    struct sites sites = {0};
    const struct image_workload workload = {.tasks = {{.wasm = {1}}}, .count = 1};
    struct writer writer = writer_over(room, sizeof room);
    (void)unused;
    check_ok(image_workload_sign(&writer, &other_key, &workload));
    write_below("workload", writer_bytes(&writer));
    check_status(AUTH, read_vm(&site));
    says("node/instances/vm/workload is not signed by this site's owner");
    site_done(&sites, &site);
    writer = writer_over(room, sizeof room);
    check_ok(image_workload_sign(&writer, &owner_key, &workload));
    write_below("workload", writer_bytes(&writer));
    check_ok(read_vm(&site));
    check_bytes(writer_bytes(&writer), site.workload_encoded);
    assert_true(site.workload[0] | site.workload[1] | site.workload[2]);
    site_done(&sites, &site);
    assert_null(site.workload_encoded.data);
    unlink(below("workload"));
}

static void a_machine_policy_is_a_workload_too_but_of_one_instance(void **unused)
{
    static struct site site;
    static uint8_t room[IMAGE_WORKLOAD_MAX];
    struct sites sites = {0};
    struct image_machine machine = {.site = {9}, .serial = 4, .snapshots = true};
    struct writer writer = writer_over(room, sizeof room);
    (void)unused;
    check_ok(image_machine_sign(&writer, &owner_key, &machine));
    write_below("workload", writer_bytes(&writer));
    check_ok(read_vm(&site));
    assert_int_equal(4, site.machine.serial);
    assert_true(site.machine.snapshots);
    assert_memory_equal(site.machine.hash, site.workload, sizeof site.workload);
    check_bytes(writer_bytes(&writer), site.workload_encoded);
    site_done(&sites, &site);
    machine.site[0] = 8;
    writer = writer_over(room, sizeof room);
    check_ok(image_machine_sign(&writer, &owner_key, &machine));
    write_below("workload", writer_bytes(&writer));
    check_status(DENIED, read_vm(&site));
    says("node/instances/vm/workload is the policy of another instance");
    site_done(&sites, &site);
    writer = writer_over(room, sizeof room);
    check_ok(image_machine_sign(&writer, &other_key, &machine));
    write_below("workload", writer_bytes(&writer));
    check_status(AUTH, read_vm(&site));
    site_done(&sites, &site);
    unlink(below("workload"));
}

/* Whoever put them there would have the monitor wait for ever, and everybody with it. */
static void pipes_and_directories_in_a_files_place_keep_nobody_waiting(void **unused)
{
    static struct site site;
    (void)unused;
    unlink(below("configuration"));
    assert_int_equal(0, mkfifo(below("configuration"), 0600));
    check_status(MALFORMED, read_vm(&site));
    unlink(below("configuration"));
    assert_int_equal(0, mkdir(below("configuration"), 0700));
    check_status(IO, read_vm(&site));
    rmdir(below("configuration"));
    assert_int_equal(0, symlink("/dev/zero", below("configuration")));
    check_status(IO, read_vm(&site));
    unlink(below("configuration"));
}

static void make_image(const char *directory, const char *program, uint32_t version)
{
    uint8_t room[IMAGE_MANIFEST_MAX], hash[CRYPTO_HASH_MAX];
    char name[64];
    const struct bytes content = bytes_from_text(program);
    struct writer writer = writer_over(room, sizeof room);
    struct image_manifest manifest = {.product = "probe",
                                      .security_version = version,
                                      .file_count = 1,
                                      .files = {{.name = "program", .kind = IMAGE_PROGRAM, .len = content.len}}};
    check_ok(crypto_hash(CRYPTO_SHA256, &content, 1, hash));
    memcpy(manifest.files[0].hash, hash, sizeof manifest.files[0].hash);
    check_ok(image_manifest_sign(&writer, &owner_key, &manifest));
    mkdir(below(directory), 0700);
    snprintf(name, sizeof name, "%s/program", directory);
    write_below(name, content);
    snprintf(name, sizeof name, "%s/manifest", directory);
    write_below(name, writer_bytes(&writer));
}

static enum status load(struct sites *sites, struct site *site, const char *directory)
{
    char path[256];
    snprintf(path, sizeof path, "%s", below(directory));
    return site_load_image(sites, site, path, sentence);
}

static void one_measurement_is_one_image_and_the_last_that_was_used_stays(void **unused)
{
    static struct site one, two, three, four;
    struct sites sites = {0};
    (void)unused;
    make_image("image", "a program", 1);
    make_image("copy", "a program", 1);
    make_image("newer", "a program", 2);
    check_ok(load(&sites, &one, "image"));
    check_ok(load(&sites, &two, "copy"));
    check_ok(load(&sites, &three, "newer"));
    assert_ptr_equal(one.image, two.image);
    assert_ptr_not_equal(one.image, three.image);
    assert_int_equal(2, one.image->uses);
    int shared = one.image->image.files[0], newer = three.image->image.files[0];
    write_below("newer/program", bytes_from_text("a pr0gram"));
    check_ok(load(&sites, &four, "newer")); /* what it names is in memory */
    assert_ptr_equal(three.image, four.image);
    site_done(&sites, &four);
    site_done(&sites, &one);
    assert_true(fcntl(shared, F_GETFD) >= 0);
    site_done(&sites, &two);
    assert_true(fcntl(shared, F_GETFD) >= 0); /* the last that was used */
    site_done(&sites, &three);
    assert_true(fcntl(shared, F_GETFD) < 0);
    assert_true(fcntl(newer, F_GETFD) >= 0);
    check_ok(load(&sites, &three, "newer"));
    assert_int_equal(newer, three.image->image.files[0]);
    site_done(&sites, &three);
    check_ok(load(&sites, &one, "image"));
    site_done(&sites, &one);
    assert_true(fcntl(newer, F_GETFD) < 0);
    check_status(AUTH, load(&sites, &four, "newer"));
    says("its content differs");
    assert_null(four.image);
    sites_done(&sites);
    assert_null(sites.images);
    site_done(&sites, &three); /* nothing is left to be done twice */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nodes_own_is_first_and_others_are_of_its_owner_and_mode),
        cmocka_unit_test(a_name_has_one_host_end_and_a_site_id_one_enclave),
        cmocka_unit_test(as_many_are_served_as_said_and_a_place_that_is_left_is_taken),
        cmocka_unit_test(who_has_no_head_is_served_while_the_table_of_heads_has_room_for_all_of_those),
        cmocka_unit_test(no_two_enclaves_run_as_one_user),
        cmocka_unit_test(an_instance_is_read_from_its_directory_and_refused_by_the_files_name),
        cmocka_unit_test(a_workload_is_its_owners),
        cmocka_unit_test(a_machine_policy_is_a_workload_too_but_of_one_instance),
        cmocka_unit_test(pipes_and_directories_in_a_files_place_keep_nobody_waiting),
        cmocka_unit_test(one_measurement_is_one_image_and_the_last_that_was_used_stays),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
