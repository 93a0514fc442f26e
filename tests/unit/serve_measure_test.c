/* The monitor's loop and what VMs are launched from: hashed for the host end that attached, held to the machine policy,
 * told to that instance's enclave and put into the node's log, with everybody else served meanwhile. */
#include "serve_rig.h"

#include <sys/mman.h>

#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)
#define KERNEL (1u << IMAGE_KERNEL)
#define CMDLINE (1u << IMAGE_CMDLINE)

/* serial 0: none */
static void put_policy(const char *name, const struct image_machine *machine)
{
    uint8_t room[IMAGE_WORKLOAD_MAX];
    char directory[SITES_PATH_MAX], path[SITES_PATH_MAX + 16];
    struct writer writer = writer_over(room, sizeof room);
    if (machine->serial)
        check_ok(image_machine_sign(&writer, &owner_key, machine));
    site_directory(name, directory);
    snprintf(path, sizeof path, "%s/workload", directory);
    put_file(path, writer_bytes(&writer));
}

static int memory(const char *text, uint64_t len, int seals)
{
    int fd = memfd_create("part", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0 && ftruncate(fd, (off_t)len) == 0 && pwrite(fd, text, strlen(text), 0) >= 0);
    assert_int_equal(0, fcntl(fd, F_ADD_SEALS, seals));
    return fd;
}

static void say_with(int socket, uint16_t operation, struct bytes payload, const int *fds, size_t count)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(8 * sizeof(int))];
    } control = {.space = {0}};
    struct monitor_header header = {.version = MONITOR_VERSION, .operation = operation, .len = (uint32_t)payload.len};
    uint8_t body[64];
    if (payload.len)
        memcpy(body, payload.data, payload.len);
    struct iovec pieces[2] = {{&header, sizeof header}, {body, payload.len}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    if (count) {
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(part), fds, count * sizeof(int));
    }
    assert_int_equal(sizeof header + payload.len, sendmsg(socket, &message, MSG_NOSIGNAL));
}

static void ask(int host, uint32_t given, const int *fds, size_t count)
{
    const struct monitor_measure measure = {.given = given};
    say_with(host, MONITOR_MEASURE, bytes_from(&measure, sizeof measure), fds, count);
}

/* What of a kernel and a command line the monitor says in the end. */
static enum status measures(int host, const char *kernel, const char *line, struct heard *heard)
{
    const int fds[] = {memory(kernel, strlen(kernel), SEALS), memory(line, strlen(line), SEALS)};
    ask(host, KERNEL | CMDLINE, fds, 2);
    close(fds[0]), close(fds[1]);
    assert_true(hear(host, heard));
    assert_int_equal(MONITOR_MEASURE, heard->header.operation);
    return (enum status)heard->header.status;
}

static void hash_of(const char *text, uint8_t hash[32])
{
    uint8_t digest[CRYPTO_HASH_MAX];
    const struct bytes whole = bytes_from_text(text);
    check_ok(crypto_hash(CRYPTO_SHA256, &whole, 1, digest));
    memcpy(hash, digest, 32);
}

/* The enclave of that instance asks; there is one for each. */
static enum status enclave_asks(const char *name, uint16_t operation, struct bytes payload, struct heard *heard)
{
    struct monitor_status status;
    struct heard first;
    int fd = reach();
    say(fd, MONITOR_STATUS, name);
    assert_true(hear(fd, &first));
    close(fd);
    memcpy(&status, first.payload, sizeof status);
    const int socket = enclaves[status.enclave_pid].socket;
    say_with(socket, operation, payload, NULL, 0);
    do
        assert_true(hear(socket, heard));
    while (heard->header.operation == MONITOR_READY); /* the answer to its first word */
    assert_int_equal(operation, heard->header.operation);
    return (enum status)heard->header.status;
}

static enum status launch_of(const char *name, struct monitor_launch *launch)
{
    struct heard heard;
    enum status status = enclave_asks(name, MONITOR_LAUNCH, (struct bytes){0}, &heard);
    memcpy(launch, heard.payload, sizeof *launch);
    return status;
}

static struct image_machine policy_for(uint8_t number, enum image_launch_policy launch)
{
    struct image_machine machine = {.site = {number}, .serial = 1, .launch = launch};
    machine.allowed_count[IMAGE_KERNEL] = machine.allowed_count[IMAGE_CMDLINE] = launch != IMAGE_LAUNCH_NONE;
    hash_of("kernel", machine.allowed[IMAGE_KERNEL][0]);
    hash_of("quiet", machine.allowed[IMAGE_CMDLINE][0]);
    return machine;
}

static void without(const char *name)
{
    put_policy(name, &(struct image_machine){0});
}

static void what_was_measured_is_told_to_its_own_enclave_for_as_long_as_its_host_stays(void **unused)
{
    struct heard heard;
    struct monitor_launch launch, told;
    uint8_t hash[32];
    (void)unused;
    int one = attached("vm1"), two = attached("vm2");
    check_status(NOT_FOUND, launch_of("vm1", &told));
    check_ok(measures(one, "kernel", "quiet", &heard));
    memcpy(&launch, heard.payload, sizeof launch);
    assert_int_equal(KERNEL | CMDLINE, launch.given);
    assert_int_equal(0, launch.refused);
    hash_of("kernel", hash);
    assert_memory_equal(hash, launch.hash[IMAGE_KERNEL], 32);
    hash_of("quiet", hash);
    assert_memory_equal(hash, launch.hash[IMAGE_CMDLINE], 32);
    check_ok(launch_of("vm1", &told));
    assert_memory_equal(&launch, &told, sizeof told);
    check_status(NOT_FOUND, launch_of("vm2", &told));
    assert_true(is_quiet(two));
    check_status(WRONG_STATE, measures(one, "another", "quiet", &heard)); /* one for each attachment */
    check_ok(launch_of("vm1", &told));
    assert_memory_equal(&launch, &told, sizeof told);
    close(one);
    one = attached("vm1");
    check_status(NOT_FOUND, launch_of("vm1", &told));
    close(one), close(two);
}

static void another_launch_is_refused_by_name_where_that_is_enforced(void **unused)
{
    struct heard heard;
    struct monitor_launch told;
    struct image_machine machine = policy_for(1, IMAGE_LAUNCH_ENFORCE);
    (void)unused;
    put_policy("vm1", &machine);
    int one = attached("vm1");
    const size_t before = serve.measured.count;
    check_status(DENIED, measures(one, "Kernel", "quiet", &heard));
    assert_string_equal("the machine policy (serial 1) has no such kernel", heard.payload);
    check_status(DENIED, measures(one, "Kernel", "loud", &heard));
    assert_string_equal("the machine policy (serial 1) has no such kernel, cmdline", heard.payload);
    check_status(NOT_FOUND, launch_of("vm1", &told));
    assert_int_equal(before, serve.measured.count);
    check_ok(measures(one, "kernel", "quiet", &heard)); /* it may try again */
    check_ok(launch_of("vm1", &told));
    assert_int_equal(0, told.refused);
    close(one);
    machine = policy_for(2, IMAGE_LAUNCH_HASH);
    put_policy("vm2", &machine);
    int two = attached("vm2");
    check_ok(measures(two, "Kernel", "quiet", &heard));
    check_ok(launch_of("vm2", &told));
    assert_int_equal(KERNEL, told.refused);
    close(two);
    without("vm1");
    without("vm2");
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void what_is_not_sealed_memory_is_refused_and_nothing_stays_open(void **unused)
{
    struct heard heard;
    (void)unused;
    int one = attached("vm1");
    const int quiet = open_descriptors();
    int stranger = reach();
    for (int i = 0; i < 5000 && open_descriptors() < quiet + 2; i++)
        usleep(1000); /* until the monitor has let it in */
    int good = memory("x", 1, SEALS), open_to_change = memory("x", 1, F_SEAL_GROW),
        file = open("/proc/self/exe", O_RDONLY);
    const int sets[][6] = {{open_to_change}, {file}, {good, good}, {good, good, good, good, good, good}};
    static const size_t counts[] = {1, 1, 2, 5};
    say(stranger, MONITOR_STATUS, ""); /* accepted by now, and so counted */
    assert_true(hear(stranger, &heard));
    const int before = open_descriptors();
    for (size_t i = 0; i < 4; i++) {
        ask(one, KERNEL, sets[i], counts[i]);
        assert_true(hear(one, &heard));
        check_status(MALFORMED, heard.header.status);
        assert_true(strstr((char *)heard.payload, "sealed memory") || strstr((char *)heard.payload, "for each part"));
    }
    ask(one, KERNEL, NULL, 0);
    assert_true(hear(one, &heard));
    check_status(MALFORMED, heard.header.status);
    assert_int_equal(before, open_descriptors()); /* the monitor's are this process's here */
    ask(one, KERNEL, sets[3], 6);                 /* more than there is room for */
    assert_true(is_hung_up_on(one));
    ask(stranger, KERNEL, &good, 1);
    assert_true(hear(stranger, &heard));
    check_status(DENIED, heard.header.status);
    close(stranger), close(good), close(open_to_change), close(file), close(one);
}

/* 400 MiB of holes: some seconds on a slow machine, in which the others are answered. */
static void others_are_served_while_much_is_hashed(void **unused)
{
    struct heard heard;
    struct monitor_launch told;
    (void)unused;
    int one = attached("vm1"), two = attached("vm2");
    int large = memory("large", 400ull << 20, SEALS), small = memory("s", 1, SEALS);
    ask(one, 1u << IMAGE_INITRD, &large, 1);
    ask(one, 1u << IMAGE_INITRD, &small, 1);
    assert_true(hear(one, &heard));
    check_status(BUSY, heard.header.status);
    check_status(NOT_FOUND, launch_of("vm1", &told));
    ask(two, KERNEL, &small, 1);
    assert_true(hear(two, &heard));
    check_ok((enum status)heard.header.status);
    assert_true(is_quiet(one)); /* still at it */
    do
        assert_true(hear(one, &heard));
    while (heard.header.operation == MONITOR_MEASURING);
    check_ok((enum status)heard.header.status);
    check_ok(launch_of("vm1", &told));
    close(one);
    one = attached("vm1"); /* who leaves in the middle leaves nothing */
    ask(one, 1u << IMAGE_INITRD, &large, 1);
    close(one);
    one = attached("vm1");
    check_status(NOT_FOUND, launch_of("vm1", &told));
    ask(one, KERNEL, &small, 1);
    assert_true(hear(one, &heard));
    check_ok((enum status)heard.header.status);
    close(one), close(two), close(large), close(small);
}

static uint64_t log_from(int fd, uint64_t number, struct heard *heard)
{
    struct monitor_launches_reply reply;
    const struct monitor_launches_from from = {number};
    say_with(fd, MONITOR_LAUNCHES, bytes_from(&from, sizeof from), NULL, 0);
    assert_true(hear(fd, heard));
    check_ok((enum status)heard->header.status);
    memcpy(&reply, heard->payload, sizeof reply);
    assert_int_equal(heard->header.len, sizeof reply + reply.count * sizeof(struct monitor_vm));
    return reply.total;
}

static void the_log_has_each_launch_for_the_nodes_own_vtpm_and_for_whoever_reads_it(void **unused)
{
    struct heard heard;
    struct monitor_vm vm;
    const struct monitor_launches_from from = {0};
    const struct image_machine node = {.site = {3}, .serial = 1, .hypervisor = true};
    (void)unused;
    put_policy("vm3", &node);
    int own = attached("vm3"), one = attached("vm1"), two = attached("vm2"), reader = reach();
    const uint64_t before = log_from(reader, 0, &heard);
    check_ok(measures(one, "kernel", "quiet", &heard));
    check_ok(measures(two, "kernel", "loud", &heard));
    assert_true(log_from(reader, before, &heard) == before + 2);
    for (uint8_t i = 0; i < 2; i++) {
        memcpy(&vm, heard.payload + sizeof(struct monitor_launches_reply) + i * sizeof vm, sizeof vm);
        assert_int_equal(i + 1, vm.site[0]);
        assert_int_equal(KERNEL | CMDLINE, vm.launch.given);
    }
    assert_true(log_from(reader, before + 2, &heard) == before + 2);
    assert_true(log_from(reader, UINT64_MAX, &heard) == before + 2);
    check_ok(enclave_asks("vm3", MONITOR_LAUNCHES, bytes_from(&from, sizeof from), &heard));
    assert_int_equal(sizeof(struct monitor_launches_reply) + (before + 2) * sizeof vm, heard.header.len);
    check_status(DENIED, enclave_asks("vm1", MONITOR_LAUNCHES, bytes_from(&from, sizeof from), &heard));
    close(own), close(one), close(two), close(reader);
    without("vm3");
}

/* Whoever's they were: then nobody's is measured until the monitor is started anew. */
static void a_log_that_is_full_takes_no_launch_more(void **unused)
{
    struct heard heard;
    struct serve_launches *log = &serve.measured;
    (void)unused;
    free(log->vms);
    *log = (struct serve_launches){calloc(SERVE_MEASURED_MAX, sizeof *log->vms), SERVE_MEASURED_MAX - 1,
                                   SERVE_MEASURED_MAX};
    assert_non_null(log->vms);
    int one = attached("vm1"), two = attached("vm2"), reader = reach();
    check_ok(measures(one, "kernel", "quiet", &heard));
    assert_int_equal(SERVE_MEASURED_MAX, log_from(reader, UINT64_MAX, &heard));
    check_status(NO_ROOM, measures(two, "kernel", "quiet", &heard));
    assert_non_null(memmem(heard.payload, heard.header.len, "log of launches is full", 23));
    assert_int_equal(SERVE_MEASURED_MAX, log_from(reader, UINT64_MAX, &heard));
    close(one), close(two), close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVED(what_was_measured_is_told_to_its_own_enclave_for_as_long_as_its_host_stays),
        SERVED(another_launch_is_refused_by_name_where_that_is_enforced),
        SERVED(what_is_not_sealed_memory_is_refused_and_nothing_stays_open),
        SERVED(others_are_served_while_much_is_hashed),
        SERVED(the_log_has_each_launch_for_the_nodes_own_vtpm_and_for_whoever_reads_it),
        SERVED(a_log_that_is_full_takes_no_launch_more),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
