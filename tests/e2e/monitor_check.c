/* The monitor as its host end and, through probe_proxy, as its enclave sees it; evidence is judged by the verifier's
 * room, which knows no TPM stack:
 *     monitor_check status|stop HOME
 *     monitor_check watch HOME                             attach and say what is pushed, until hung up on
 *     monitor_check facts|permits|evidence|heads|hammer HOME
 *     monitor_check exit HOME CODE
 *     monitor_check advance HOME strict|plain              one commit, and a report: their status
 *     monitor_check seal HOME FILE                         keys of new blobs into FILE, or those of FILE again
 * Every step is a claim; the first that does not hold is named and the exit code is 1. */
#include "abi.h"
#include "crypto.h"
#include "evidence.h"
#include "image.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CLAIM(what, good)                                                                                              \
    do {                                                                                                               \
        if (!(good)) {                                                                                                 \
            fprintf(stderr, "monitor_check: does not hold: %s (line %d)\n", what, __LINE__);                           \
            return 1;                                                                                                  \
        }                                                                                                              \
        printf("ok: %s\n", what);                                                                                      \
    } while (0)

#define TIMEOUT_MS 40000

struct reply {
    struct monitor_header header;
    uint8_t payload[MONITOR_MESSAGE_MAX];
    int fds[3];
};

static struct door_window *window;
static int control = -1, enclave_waits, host_waits;

static bool receive(struct reply *reply)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(3 * sizeof(int))];
    } room;
    struct iovec pieces[2] = {{&reply->header, sizeof reply->header}, {reply->payload, sizeof reply->payload}};
    struct msghdr message = {
        .msg_iov = pieces, .msg_iovlen = 2, .msg_control = room.space, .msg_controllen = sizeof room.space};
    struct pollfd waited = {.fd = control, .events = POLLIN};
    if (poll(&waited, 1, TIMEOUT_MS) != 1 || recvmsg(control, &message, 0) < (ssize_t)sizeof reply->header)
        return false;
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    if (part)
        memcpy(reply->fds, CMSG_DATA(part), sizeof reply->fds);
    return true;
}

static bool say(uint16_t operation, struct bytes payload)
{
    uint8_t packet[2048];
    struct monitor_header header = {.version = MONITOR_VERSION, .operation = operation, .len = (uint32_t)payload.len};
    struct writer writer = writer_over(packet, sizeof packet);
    put_bytes(&writer, bytes_from(&header, sizeof header));
    put_bytes(&writer, payload);
    return send(control, packet, writer.len, MSG_NOSIGNAL) == (ssize_t)writer.len;
}

static bool reach(const char *home)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/run/monitor.sock", home);
    control = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    return connect(control, (struct sockaddr *)&address, sizeof address) == 0;
}

static bool take_door(const struct reply *reply)
{
    if (reply->header.operation != MONITOR_LAUNCHED)
        return false;
    window = mmap(NULL, sizeof *window, PROT_READ | PROT_WRITE, MAP_SHARED, reply->fds[0], 0);
    enclave_waits = reply->fds[1];
    host_waits = reply->fds[2];
    return window != MAP_FAILED && window->version == DOOR_VERSION && ftruncate(reply->fds[0], 4096) != 0;
}

static bool attach(const char *home)
{
    static struct reply reply;
    return reach(home) && say(MONITOR_ATTACH, (struct bytes){0}) && receive(&reply) &&
           reply.header.operation == MONITOR_ATTACH && reply.header.status == OK && receive(&reply) &&
           take_door(&reply);
}

/* A packet as the enclave's; `len` is the answer's, 0: none came. */
static size_t pass(struct bytes packet, struct reply *reply)
{
    const uint64_t one = 1;
    uint64_t signalled;
    uint32_t len = (uint32_t)packet.len;
    memcpy(window->to_enclave.data, &len, sizeof len);
    memcpy(window->to_enclave.data + sizeof len, packet.data, packet.len);
    struct pollfd waited[] = {{.fd = host_waits, .events = POLLIN}, {.fd = control, .events = 0}};
    if (write(enclave_waits, &one, sizeof one) != sizeof one || poll(waited, 2, TIMEOUT_MS) < 1 || !waited[0].revents ||
        read(host_waits, &signalled, sizeof signalled) != sizeof signalled)
        return 0;
    memcpy(&len, window->to_host.data, sizeof len);
    if (len > sizeof reply->header + sizeof reply->payload)
        return 0;
    memcpy(&reply->header, window->to_host.data + sizeof len, sizeof reply->header);
    memcpy(reply->payload, window->to_host.data + sizeof len + sizeof reply->header,
           len > sizeof reply->header ? len - sizeof reply->header : 0);
    return len;
}

static enum status ask(uint16_t operation, const void *payload, size_t len, struct reply *reply)
{
    uint8_t packet[2048];
    struct monitor_header header = {.version = MONITOR_VERSION, .operation = operation, .len = (uint32_t)len};
    struct writer writer = writer_over(packet, sizeof packet);
    put_bytes(&writer, bytes_from(&header, sizeof header));
    put_bytes(&writer, bytes_from(payload, len));
    if (pass(writer_bytes(&writer), reply) < sizeof header || reply->header.operation != operation)
        return INTERNAL;
    return (enum status)reply->header.status;
}

static int facts(void)
{
    static struct reply reply;
    char text[1024] = "";
    size_t len = pass(bytes_from("\xff\xff"
                                 "f",
                                 3),
                      &reply);
    memcpy(text, &reply.header, sizeof reply.header);
    memcpy(text + sizeof reply.header, reply.payload, sizeof text - sizeof reply.header - 1);
    text[len < sizeof text ? len : sizeof text - 1] = 0;
    return fputs(text, stdout) < 0;
}

static int permits(void)
{
    static struct reply reply;
    struct monitor_report report = {.nonce_len = 7};
    struct monitor_seal seal = {.label = "x", .policy = 9};
    const uint8_t one = 0;
    CLAIM("a second READY is refused", ask(MONITOR_READY, NULL, 0, &reply) == DENIED);
    CLAIM("an enclave does not attach", ask(MONITOR_ATTACH, NULL, 0, &reply) == DENIED);
    CLAIM("nor does it stop the node", ask(MONITOR_STOP, NULL, 0, &reply) == DENIED);
    CLAIM("an unknown operation is refused", ask(63, NULL, 0, &reply) == DENIED);
    CLAIM("and one past every bit", ask(0xfffe, NULL, 0, &reply) == DENIED);
    CLAIM("a nonce of 7 bytes is malformed", ask(MONITOR_REPORT, &report, sizeof report, &reply) == MALFORMED);
    CLAIM("half a report is truncated", ask(MONITOR_REPORT, &report, sizeof report / 2, &reply) == TRUNCATED);
    CLAIM("an unknown policy is malformed", ask(MONITOR_SEAL_KEY, &seal, sizeof seal, &reply) == MALFORMED);
    CLAIM("a head takes no payload", ask(MONITOR_HEAD, &one, 1, &reply) == MALFORMED);
    CLAIM("after all that a head is told", ask(MONITOR_HEAD, NULL, 0, &reply) == OK);
    return 0;
}

static int evidence(const char *home)
{
    static struct reply reply;
    char path[256];
    uint8_t configuration[IMAGE_CONFIGURATION_MAX], challenge[TPM2_CREDENTIAL_MAX];
    static const uint8_t wanted[32] = "told only by the node's own TPM";
    struct monitor_report report = {.user_data = {1, 2, 3}, .nonce_len = 32};
    struct image_configuration site;
    struct evidence_result result;
    snprintf(path, sizeof path, "%s/node/configuration", home);
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(configuration, 1, sizeof configuration, file) : 0;
    if (file)
        fclose(file);
    CLAIM("the configuration is read", image_configuration_decode(bytes_from(configuration, len), &site) == OK);
    CLAIM("a nonce is made", crypto_random(report.nonce, 32) == OK);
    CLAIM("a report is given", ask(MONITOR_REPORT, &report, sizeof report, &reply) == OK);
    const struct bytes given = bytes_from(reply.payload, reply.header.len);
    struct evidence_policy policy = {.nonce = bytes_from(report.nonce, 32),
                                     .config = BYTES_OF(site.config_id),
                                     .user_data = BYTES_OF(report.user_data),
                                     .allow_insecure_dev = true,
                                     .allow_unmeasured_monitor = true,
                                     .allow_unproved_ak = true};
    CLAIM("without the measurement it is refused", evidence_appraise(given, &policy, &result) == DENIED);
    uint8_t measured[1][EAT_HASH_LEN];
    memcpy(measured[0], result.report.measurement, EAT_HASH_LEN);
    policy.measurements = (const uint8_t(*)[EAT_HASH_LEN])measured;
    policy.measurement_count = 1;
    CLAIM("the verifier accepts it", evidence_appraise(given, &policy, &result) == OK);
    printf("walls=%#x secret=%llu unprotected=%llu counter=%llu sequence=%llu measured=%d\n", result.report.walls,
           (unsigned long long)result.report.secret_bytes, (unsigned long long)result.report.unprotected_bytes,
           (unsigned long long)result.report.nv_counter, (unsigned long long)result.report.sequence,
           result.report.monitor_measured);
    policy.allow_unmeasured_monitor = false;
    CLAIM("a production policy refuses an unmeasured monitor",
          evidence_appraise(given, &policy, &result) == DENIED && result.reasons == 1u << EVIDENCE_MONITOR);
    struct writer blob = writer_over(challenge, sizeof challenge);
    CLAIM("a challenge is made", evidence_challenge(given, BYTES_OF(wanted), &blob) == OK);
    CLAIM("the node answers it", say(MONITOR_ACTIVATE, writer_bytes(&blob)) && receive(&reply) &&
                                     reply.header.operation == MONITOR_ACTIVATE && reply.header.status == OK &&
                                     bytes_equal(bytes_from(reply.payload, reply.header.len), BYTES_OF(wanted)));
    challenge[40] ^= 1;
    CLAIM("but no other", say(MONITOR_ACTIVATE, writer_bytes(&blob)) && receive(&reply) && reply.header.status != OK &&
                              reply.header.len == 0);
    return 0;
}

static int heads(void)
{
    static struct reply reply;
    struct monitor_head_reply head, moved;
    CLAIM("the head is told", ask(MONITOR_HEAD, NULL, 0, &reply) == OK);
    memcpy(&head, reply.payload, sizeof head);
    struct monitor_advance advance = {.sequence = head.sequence + 2, .hash = {5}};
    CLAIM("a gap is refused", ask(MONITOR_ADVANCE, &advance, sizeof advance, &reply) == WRONG_STATE);
    memcpy(&moved, reply.payload, sizeof moved);
    CLAIM("and the answer says where it stands", moved.sequence == head.sequence);
    advance.sequence = head.sequence + 1;
    CLAIM("the next is taken", ask(MONITOR_ADVANCE, &advance, sizeof advance, &reply) == OK);
    memcpy(&moved, reply.payload, sizeof moved);
    CLAIM("it is the head, the counter stays",
          moved.sequence == advance.sequence && moved.hash[0] == 5 && moved.nv_counter == head.nv_counter);
    advance.sequence++;
    advance.strict = 1;
    CLAIM("a strict one is taken", ask(MONITOR_ADVANCE, &advance, sizeof advance, &reply) == OK);
    memcpy(&moved, reply.payload, sizeof moved);
    CLAIM("the counter moves with it", moved.nv_counter == head.nv_counter + 1);
    printf("sequence=%llu\n", (unsigned long long)moved.sequence);
    return 0;
}

static int advance_once(bool strict)
{
    static struct reply reply;
    struct monitor_head_reply head;
    struct monitor_report report = {.nonce_len = 8};
    CLAIM("the head is told", ask(MONITOR_HEAD, NULL, 0, &reply) == OK);
    memcpy(&head, reply.payload, sizeof head);
    struct monitor_advance advance = {.sequence = head.sequence + 1, .hash = {6}, .strict = strict};
    printf("advance=%s\n", status_word(ask(MONITOR_ADVANCE, &advance, sizeof advance, &reply)));
    printf("report=%s\n", status_word(ask(MONITOR_REPORT, &report, sizeof report, &reply)));
    return 0;
}

/* Commits as fast as they go, every seventh a strict one, and says the last that was acknowledged, until hung up on. */
static int hammer(void)
{
    static struct reply reply;
    struct monitor_head_reply head;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (ask(MONITOR_HEAD, NULL, 0, &reply) != OK)
        return 1;
    for (;;) {
        memcpy(&head, reply.payload, sizeof head);
        printf("%llu\n", (unsigned long long)head.sequence);
        struct monitor_advance advance = {
            .sequence = head.sequence + 1, .hash = {7}, .strict = (head.sequence + 1) % 7 == 0};
        struct pollfd hung_up = {.fd = control, .events = POLLIN};
        if (poll(&hung_up, 1, 0) != 0 || ask(MONITOR_ADVANCE, &advance, sizeof advance, &reply) != OK)
            return 0;
    }
}

struct kept {
    struct monitor_seal_reply exact, signer;
};

static int seal(const char *path)
{
    static struct reply reply;
    struct kept kept;
    struct monitor_seal seal = {.label = "the store", .policy = MONITOR_SEAL_EXACT};
    FILE *file = fopen(path, "re");
    if (!file) {
        CLAIM("an exact key is given", ask(MONITOR_SEAL_KEY, &seal, sizeof seal, &reply) == OK);
        memcpy(&kept.exact, reply.payload, sizeof kept.exact);
        seal.policy = MONITOR_SEAL_SIGNER;
        CLAIM("a signer's key is given", ask(MONITOR_SEAL_KEY, &seal, sizeof seal, &reply) == OK);
        memcpy(&kept.signer, reply.payload, sizeof kept.signer);
        CLAIM("they differ", memcmp(kept.exact.key, kept.signer.key, MONITOR_KEY_LEN) != 0);
        file = fopen(path, "we");
        bool good = file && fwrite(&kept, sizeof kept, 1, file) == 1 && fclose(file) == 0;
        CLAIM("they are kept", good);
        return 0;
    }
    bool whole = fread(&kept, sizeof kept, 1, file) == 1;
    fclose(file);
    CLAIM("the kept keys are read", whole);
    seal.open = 1;
    seal.inputs = kept.exact.inputs;
    enum status status = ask(MONITOR_SEAL_KEY, &seal, sizeof seal, &reply);
    printf("exact=%s\n", status != OK                                                  ? status_word(status)
                         : memcmp(reply.payload, kept.exact.key, MONITOR_KEY_LEN) == 0 ? "same"
                                                                                       : "other");
    seal.inputs = kept.signer.inputs;
    status = ask(MONITOR_SEAL_KEY, &seal, sizeof seal, &reply);
    printf("signer=%s\n", status != OK                                                   ? status_word(status)
                          : memcmp(reply.payload, kept.signer.key, MONITOR_KEY_LEN) == 0 ? "same"
                                                                                         : "other");
    return 0;
}

static int watch(void)
{
    static struct reply reply;
    struct monitor_died died;
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("launched");
    for (struct pollfd waited = {.fd = control, .events = POLLIN}; poll(&waited, 1, -1) == 1;) {
        if (!receive(&reply))
            return puts("hung up") < 0;
        if (reply.header.operation == MONITOR_LAUNCHED)
            puts("launched");
        memcpy(&died, reply.payload, sizeof died);
        if (reply.header.operation == MONITOR_DIED)
            printf("died: %.*s\n", (int)(reply.header.len - sizeof died), reply.payload + sizeof died);
    }
    return 0;
}

static int status_of(const char *home)
{
    static struct reply reply;
    struct monitor_status status;
    CLAIM("the monitor is reached", reach(home));
    CLAIM("it tells its status",
          say(MONITOR_STATUS, (struct bytes){0}) && receive(&reply) && reply.header.status == OK);
    memcpy(&status, reply.payload, sizeof status);
    printf("pid=%u launches=%u counter=%llu sequence=%llu measured=%u dev=%u\n%.*s", status.enclave_pid,
           status.launches, (unsigned long long)status.nv_counter, (unsigned long long)status.sequence,
           status.monitor_measured, status.insecure_dev, (int)(reply.header.len - sizeof status),
           reply.payload + sizeof status);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    if (crypto_init() != OK)
        return 2;
    if (strcmp(what, "status") == 0)
        return status_of(argv[2]);
    if (strcmp(what, "stop") == 0) {
        static struct reply reply;
        CLAIM("the monitor stops cleanly",
              reach(argv[2]) && say(MONITOR_STOP, (struct bytes){0}) && receive(&reply) && reply.header.status == OK);
        return 0;
    }
    if (argc < 3 || !attach(argv[2])) {
        fprintf(stderr, "monitor_check: no enclave was launched for %s\n", what);
        return 2;
    }
    if (strcmp(what, "watch") == 0)
        return watch();
    if (strcmp(what, "facts") == 0)
        return facts();
    if (strcmp(what, "exit") == 0 && argc == 4) {
        static struct reply reply;
        const uint8_t command[] = {0xff, 0xff, 'x', (uint8_t)atoi(argv[3])};
        const uint64_t one = 1;
        const uint32_t len = sizeof command;
        memcpy(window->to_enclave.data, &len, sizeof len);
        memcpy(window->to_enclave.data + sizeof len, command, sizeof command);
        CLAIM("it is told to exit", write(enclave_waits, &one, sizeof one) == sizeof one);
        CLAIM("its death is told", receive(&reply) && reply.header.operation == MONITOR_DIED);
        printf("died: %s\n", (char *)reply.payload + sizeof(struct monitor_died));
        return 0;
    }
    if (strcmp(what, "hammer") == 0)
        return hammer();
    if (strcmp(what, "permits") == 0)
        return permits();
    if (strcmp(what, "evidence") == 0)
        return evidence(argv[2]);
    if (strcmp(what, "heads") == 0)
        return heads();
    if (strcmp(what, "advance") == 0 && argc == 4)
        return advance_once(strcmp(argv[3], "strict") == 0);
    if (strcmp(what, "seal") == 0 && argc == 4)
        return seal(argv[3]);
    return 2;
}
