/* What an owner does with a new vTPM, against real ones:
 *     vtpm_check keys SOCKET HOME IMAGE DIR   ask for its endorsement keys, appraise, certify by a CA made here:
 *                                                KEY.tpmt and KEY.der for rsa, p256, p384, and ca.der in DIR
 *     vtpm_check provision SOCKET DIR            put DIR's certificates where TPM users look, by its data channel
 *     vtpm_check seen SOCKET HOME IMAGE FILE     appraise with what was seen last, which FILE keeps; tells what is seen
 *                                                now: NV counter, resets, sequence; exit code 5: it is older
 * Every step is a claim; the first that does not hold is named and the exit code is 1. */
#include "crypto.h"
#include "ek.h"
#include "image.h"
#include "provision.h"
#include "tag.h"
#include "vtpm_appraisal.h"
#include "vtpm_keys.h"
#include "x509.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CLAIM(what, good)                                                                                              \
    do {                                                                                                               \
        if (!(good)) {                                                                                                 \
            fprintf(stderr, "vtpm_check: does not hold: %s (line %d)\n", what, __LINE__);                              \
            return 1;                                                                                                  \
        }                                                                                                              \
        printf("ok: %s\n", what);                                                                                      \
    } while (0)

#define TIMEOUT_S 60
#define DAY_S 86400

static const char *const names[TPM2_EK_KINDS] = {"rsa", "p256", "p384"};
static const uint32_t indices[TPM2_EK_KINDS] = {EK_INDEX_RSA_2048, EK_INDEX_P256, EK_INDEX_P384};

static struct bytes read_file(const char *directory, const char *name, const char *end, void *room, size_t cap)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s%s", directory, name, end);
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(room, 1, cap, file) : 0;
    if (file)
        fclose(file);
    return bytes_from(room, len);
}

static bool write_file(const char *directory, const char *name, const char *end, struct bytes content)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s%s", directory, name, end);
    FILE *file = fopen(path, "we");
    return file && fwrite(content.data, 1, content.len, file) == content.len && fclose(file) == 0;
}

static int reach(const char *path)
{
    const struct timeval patience = {TIMEOUT_S, 0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return -1;
    return fd;
}

/* ---- Its keys ---- */

static struct bytes ask_keys(int fd, const uint8_t nonce[32], uint8_t room[VTPM_KEYS_ANSWER_MAX])
{
    uint8_t question[VTPM_KEYS_QUESTION_MAX];
    struct writer writer = writer_over(question, sizeof question);
    size_t have = 0, len = 0;
    vtpm_keys_put_question(&writer, bytes_from(nonce, 32));
    if (send(fd, question, writer.len, MSG_NOSIGNAL) != (ssize_t)writer.len)
        return (struct bytes){0};
    while (vtpm_keys_answer_len(bytes_from(room, have), &len) == TRUNCATED) {
        ssize_t got = recv(fd, room + have, VTPM_KEYS_ANSWER_MAX - have, 0);
        if (got <= 0)
            return (struct bytes){0};
        have += (size_t)got;
    }
    return bytes_from(room, have);
}

struct authority {
    struct crypto_key key;
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct pki_certificate certificate;
};

static int make_authority(struct authority *authority, const char *directory)
{
    static const uint8_t number[X509_SERIAL_LEN] = {0x41};
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct writer root_writer = writer_over(room, sizeof room);
    struct writer writer = writer_over(authority->room, sizeof authority->room);
    struct crypto_key owner = {0};
    struct pki_certificate root;
    struct x509_order order = {.identity = {.role = X509_SITE_CA, .name = bytes_from_text("site")},
                               .now_s = time(NULL)};
    memcpy(order.serial, number, sizeof number);
    CLAIM("an owner and a site CA are made", crypto_key_generate(&owner, CRYPTO_P256) == OK &&
                                                 crypto_key_generate(&authority->key, CRYPTO_P256) == OK &&
                                                 x509_issue_root(&root_writer, &owner, number, order.now_s) == OK &&
                                                 pki_certificate_decode(writer_bytes(&root_writer), &root) == OK);
    order.key = authority->key.public_key;
    CLAIM("the one certifies the other",
          x509_issue(&writer, &owner, &root, &order) == OK &&
              pki_certificate_decode(writer_bytes(&writer), &authority->certificate) == OK &&
              write_file(directory, "ca", ".der", writer_bytes(&writer)));
    crypto_key_done(&owner);
    return 0;
}

static bool certify(const struct authority *authority, const struct vtpm_appraisal *appraisal, enum tpm2_ek_kind kind,
                    const struct image_configuration *site, const char *directory)
{
    uint8_t room[EK_CERTIFICATE_MAX], serial[16];
    struct writer writer = writer_over(room, sizeof room);
    const struct tpm2_ek *key = &appraisal->keys[kind];
    struct ek_order order = {.name = bytes_from_text("vm-17"),
                             .tenant = bytes_from_text("tenant"),
                             .model = bytes_from_text("vtpm"),
                             .version = bytes_from_text("00010001"),
                             .terms.serial = BYTES_OF(serial),
                             .terms.not_before_s = time(NULL) - DAY_S,
                             .terms.not_after_s = time(NULL) + DAY_S};
    memcpy(order.terms.site, site->site, sizeof order.terms.site);
    memcpy(order.instance, site->site, sizeof order.instance);
    memcpy(order.measurement, appraisal->evidence.report.measurement, EK_HASH_LEN);
    memcpy(order.signer, appraisal->evidence.report.signer, EK_HASH_LEN);
    if (kind == TPM2_EK_RSA_2048)
        order.rsa = bytes_from(key->key, key->key_len);
    else if (tpm2_ek_point(key, &order.key) != OK)
        return false;
    if (crypto_random(serial, sizeof serial) != OK)
        return false;
    serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40);
    return ek_certificate_sign(&writer, &authority->key, &authority->certificate, &order) == OK &&
           write_file(directory, names[kind], ".der", writer_bytes(&writer));
}

static int refuse_what_differs(struct bytes answer, const struct evidence_policy *good)
{
    static const uint8_t other[64] = {1}, others[1][EAT_HASH_LEN] = {{1}};
    struct vtpm_appraisal appraisal;
    struct evidence_policy policy = *good;
    policy.nonce = bytes_from(other, 32);
    CLAIM("for another nonce it is refused", vtpm_appraise(answer, &policy, &appraisal) == DENIED &&
                                                 appraisal.evidence.reasons >> EVIDENCE_STALE_NONCE & 1);
    policy = *good;
    policy.config = bytes_from(other, 32);
    CLAIM("for another instance too",
          vtpm_appraise(answer, &policy, &appraisal) == DENIED && appraisal.evidence.reasons == 1u << EVIDENCE_CONFIG);
    policy = *good;
    policy.measurements = others;
    CLAIM("for another image too", vtpm_appraise(answer, &policy, &appraisal) == DENIED &&
                                       appraisal.evidence.reasons == 1u << EVIDENCE_MEASUREMENT);
    policy = *good;
    policy.ek_name = bytes_from(other, TPM2_NAME_LEN);
    CLAIM("for another node's TPM too", vtpm_appraise(answer, &policy, &appraisal) == DENIED &&
                                            appraisal.evidence.reasons == 1u << EVIDENCE_OTHER_TPM);
    policy = *good;
    policy.allow_unmeasured_monitor = false;
    CLAIM("and by who wants the monitor measured",
          vtpm_appraise(answer, &policy, &appraisal) == DENIED && appraisal.evidence.reasons == 1u << EVIDENCE_MONITOR);
    return 0;
}

/* For a test to compare: the launch digest, or whose word it is. */
static bool tell_launch(const struct vtpm_appraisal *appraisal)
{
    uint8_t digest[IMAGE_HASH_LEN];
    printf("launch: ");
    if (!appraisal->measured)
        printf("host-asserted");
    else if (image_launch_digest(&appraisal->launch, digest) != OK)
        return false;
    for (size_t i = 0; appraisal->measured && i < sizeof digest; i++)
        printf("%02x", digest[i]);
    return printf("\n") > 0;
}

/* Who it should be, and what it answered. */
struct meeting {
    uint8_t room[VTPM_KEYS_ANSWER_MAX], signed_manifest[IMAGE_MANIFEST_MAX], configuration[IMAGE_CONFIGURATION_MAX];
    uint8_t nonce[32], measurement[1][EAT_HASH_LEN];
    struct image_configuration site;
    struct evidence_policy policy;
    struct bytes answer;
};

static int meet(struct meeting *meeting, char **argv)
{
    struct image_manifest manifest;
    CLAIM("the site is read", image_configuration_decode(read_file(argv[1], "node/configuration", "",
                                                                   meeting->configuration, IMAGE_CONFIGURATION_MAX),
                                                         &meeting->site) == OK);
    CLAIM("the image is measured",
          image_manifest_open(read_file(argv[2], IMAGE_MANIFEST_NAME, "", meeting->signed_manifest, IMAGE_MANIFEST_MAX),
                              &manifest, meeting->measurement[0]) == OK);
    int fd = reach(argv[0]);
    CLAIM("its keys are asked for", fd >= 0 && crypto_random(meeting->nonce, sizeof meeting->nonce) == OK);
    meeting->answer = ask_keys(fd, meeting->nonce, meeting->room);
    close(fd);
    meeting->policy = (struct evidence_policy){.nonce = BYTES_OF(meeting->nonce),
                                               .config = BYTES_OF(meeting->site.config_id),
                                               .measurements = (const uint8_t(*)[EAT_HASH_LEN])meeting->measurement,
                                               .measurement_count = 1,
                                               .allow_insecure_dev = true,
                                               .allow_unmeasured_monitor = true,
                                               .allow_unproved_ak = true};
    return 0;
}

static int keys(char **argv)
{
    static struct meeting meeting;
    uint8_t ek_name[TPM2_NAME_LEN];
    struct vtpm_appraisal appraisal;
    struct vtpm_keys_answer parts;
    struct authority authority = {0};
    if (meet(&meeting, argv) != 0)
        return 1;
    const struct bytes answer = meeting.answer;
    CLAIM("they are accepted", vtpm_appraise(answer, &meeting.policy, &appraisal) == OK);
    memcpy(ek_name, appraisal.evidence.ek_name, sizeof ek_name);
    meeting.policy.ek_name = BYTES_OF(ek_name);
    CLAIM("with the node's TPM pinned, too", vtpm_appraise(answer, &meeting.policy, &appraisal) == OK);
    CLAIM("what was launched is told", tell_launch(&appraisal));
    CLAIM("and are read", vtpm_keys_answer_decode(answer, &parts) == OK && make_authority(&authority, argv[3]) == 0);
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++)
        CLAIM(names[kind], write_file(argv[3], names[kind], ".tpmt", parts.areas[kind]) &&
                               certify(&authority, &appraisal, (enum tpm2_ek_kind)kind, &meeting.site, argv[3]));
    crypto_key_done(&authority.key);
    return refuse_what_differs(answer, &meeting.policy);
}

/* ---- Whether it is older than it was ---- */

static int seen(char **argv)
{
    static struct meeting meeting;
    struct vtpm_appraisal appraisal;
    struct evidence_freshness *last = &meeting.policy.seen;
    if (meet(&meeting, argv) != 0)
        return 1;
    FILE *file = fopen(argv[3], "re");
    if (file) {
        int got =
            fscanf(file, "%" SCNu64 " %" SCNu32 " %" SCNu64, &last->nv_counter, &last->reset_count, &last->sequence);
        fclose(file);
        CLAIM("what was seen is read", got == 3);
    }
    enum status status = vtpm_appraise(meeting.answer, &meeting.policy, &appraisal);
    const struct evidence_freshness *now = &appraisal.evidence.freshness;
    if (status == DENIED && appraisal.evidence.reasons == 1u << EVIDENCE_ROLLED_BACK) {
        printf("older: %" PRIu64 " %" PRIu32 " %" PRIu64 "\n", now->nv_counter, now->reset_count, now->sequence);
        return 5;
    }
    CLAIM("it is accepted", status == OK);
    file = fopen(argv[3], "we");
    CLAIM("what is seen is kept", file &&
                                      fprintf(file, "%" PRIu64 " %" PRIu32 " %" PRIu64 "\n", now->nv_counter,
                                              now->reset_count, now->sequence) > 0 &&
                                      fclose(file) == 0);
    return 0;
}

/* ---- Their certificates ---- */

static enum status through_socket(void *user, struct bytes command, struct writer *response)
{
    const int fd = *(const int *)user;
    uint8_t room[PROVISION_RESPONSE_MAX];
    size_t have = 0, len = 10;
    if (send(fd, command.data, command.len, MSG_NOSIGNAL) != (ssize_t)command.len)
        return IO;
    while (have < len) {
        ssize_t got = recv(fd, room + have, sizeof room - have, 0);
        if (got <= 0)
            return IO;
        have += (size_t)got;
        struct reader reader = reader_over(bytes_from(room, have));
        (void)take_u16be(&reader);
        const uint32_t said = take_u32be(&reader);
        if (reader.status == OK && said <= sizeof room)
            len = said;
    }
    put_bytes(response, bytes_from(room, have));
    return OK;
}

static int provision(char **argv)
{
    uint8_t room[PROVISION_CERTIFICATE_MAX], back_room[PROVISION_CERTIFICATE_MAX];
    int fd = reach(argv[0]);
    struct provision tpm = {&fd, through_socket, 0};
    CLAIM("the TPM is reached", fd >= 0);
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++) {
        struct bytes certificate = read_file(argv[1], names[kind], ".der", room, sizeof room);
        struct writer back = writer_over(back_room, sizeof back_room);
        CLAIM("a certificate is put where it is looked for",
              provision_certificate(&tpm, indices[kind], certificate) == OK);
        CLAIM("is read back",
              provision_read(&tpm, indices[kind], &back) == OK && bytes_equal(certificate, writer_bytes(&back)));
        room[certificate.len - 1] ^= 1;
        CLAIM("and no other is put there", provision_certificate(&tpm, indices[kind], certificate) == DENIED);
    }
    return 0;
}

/* ---- A node's tag ---- */

static int tag(char **argv)
{
    static const uint8_t node[TAG_SITE_LEN] = "node";
    uint8_t room[TAG_MAX], back_room[TAG_MAX];
    struct tag tag = {.serial = strtoull(argv[1], NULL, 10),
                      .expires_s = 2000000000,
                      .assets = {{"rack", "B7"}},
                      .asset_count = 1,
                      .region = "CO-DC"};
    struct crypto_key owner = {0};
    SECRET scalar = {.len = 0};
    struct writer writer = writer_over(room, sizeof room), back = writer_over(back_room, sizeof back_room);
    int fd = reach(argv[0]);
    struct provision tpm = {&fd, through_socket, 0};
    scalar.len = read_file(argv[2], "owner", ".key", scalar.data, 32).len;
    memcpy(tag.site, node, sizeof tag.site);
    CLAIM("the owner's key is read", crypto_key_import(&owner, CRYPTO_P256, secret_bytes(&scalar)) == OK);
    CLAIM("the tag is signed", tag_sign(&writer, &owner, &tag) == OK);
    CLAIM("the TPM takes it", fd >= 0 && provision_tag(&tpm, writer_bytes(&writer)) == OK);
    CLAIM("and has it", provision_read_tag(&tpm, (uint32_t)tag.serial - 1, &back) == OK &&
                            tag_open(writer_bytes(&back), &owner.public_key, node, &tag) == OK);
    CLAIM("it is written down", write_file(argv[2], "tag", argv[1], writer_bytes(&back)));
    return 0;
}

int main(int argc, char **argv)
{
    if (crypto_init() == OK && argc == 6 && strcmp(argv[1], "keys") == 0)
        return keys(argv + 2);
    if (crypto_init() == OK && argc == 6 && strcmp(argv[1], "seen") == 0)
        return seen(argv + 2);
    if (crypto_init() == OK && argc == 5 && strcmp(argv[1], "tag") == 0)
        return tag(argv + 2);
    if (argc == 4 && strcmp(argv[1], "provision") == 0)
        return provision(argv + 2);
    fprintf(stderr,
            "usage: vtpm_check keys SOCKET HOME IMAGE DIR | provision SOCKET DIR | seen SOCKET HOME IMAGE FILE |\n"
            "                  tag SOCKET SERIAL DIR\n");
    return 2;
}
