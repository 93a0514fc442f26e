/* The owner of a vTPM, at the --transfer sockets of its two ends:
 *     vtpm_move policy FILE CONFIGURATION OWNER SERIAL snapshots|none   a machine policy; OWNER is his key, PEM
 *     vtpm_move status INSTANCE IMAGE SOCKET                                proved: a word, and +armed
 *     vtpm_move begin|carry|finish|abort INSTANCE IMAGE OWNER SOURCE DESTINATION
 *     vtpm_move gone INSTANCE IMAGE OWNER SOURCE                            abort, on the owner's word
 *     vtpm_move backup INSTANCE IMAGE OWNER SOURCE KEY FILE                 KEY is made when missing
 *     vtpm_move restore INSTANCE IMAGE OWNER DESTINATION KEY FILE
 * INSTANCE is its directory on either node: it is its configuration that counts, which is the same. Exit code 1:
 * refused, with a sentence.
 */
#include "crypto.h"
#include "image.h"
#include "vtpm_mover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define TIMEOUT_S 60

#define CLAIM(what, good)                                                                                              \
    do {                                                                                                               \
        if (!(good)) {                                                                                                 \
            fprintf(stderr, "vtpm_move: does not hold: %s\n", what);                                                   \
            exit(2);                                                                                                   \
        }                                                                                                              \
    } while (0)

static struct bytes read_file(const char *path, void *room, size_t cap)
{
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(room, 1, cap, file) : 0;
    if (file)
        fclose(file);
    return bytes_from(room, len);
}

static bool write_file(const char *path, struct bytes content)
{
    FILE *file = fopen(path, "we");
    return file && fwrite(content.data, 1, content.len, file) == content.len && fclose(file) == 0;
}

static void read_key(const char *path, struct crypto_key *key)
{
    char pem[2048];
    CLAIM(path, crypto_key_take_pem(key, CRYPTO_P256, read_file(path, pem, sizeof pem)) == OK);
}

/* ---- One end ---- */

static enum status through_socket(void *user, struct bytes question, struct writer *answer)
{
    const struct timeval patience = {TIMEOUT_S, 0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t have = 0, len = 0;
    enum status status = TRUNCATED;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", (const char *)user);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
                connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    for (size_t off = 0; good && off < question.len;) {
        ssize_t sent = send(fd, question.data + off, question.len - off, MSG_NOSIGNAL);
        good = sent > 0;
        off += sent > 0 ? (size_t)sent : 0;
    }
    while (good && status == TRUNCATED) {
        ssize_t got = recv(fd, answer->data + have, answer->cap - have, 0);
        good = got > 0;
        have += got > 0 ? (size_t)got : 0;
        status = vtpm_transfer_answer_len(bytes_from(answer->data, have), &len);
    }
    close(fd);
    answer->len = have;
    return good && status == OK ? OK : IO;
}

static struct evidence_policy policy;

static struct vtpm_mover_end end_at(char *socket_path)
{
    uint8_t *room = malloc(VTPM_MOVER_ROOM);
    CLAIM("there is memory", room);
    return (struct vtpm_mover_end){.user = socket_path, .ask = through_socket, .policy = &policy, .room = room};
}

static void read_policy(const char *instance, const char *image)
{
    static uint8_t configuration[IMAGE_CONFIGURATION_MAX], manifest_room[IMAGE_MANIFEST_MAX];
    static uint8_t measurement[1][EAT_HASH_LEN];
    static struct image_configuration site;
    struct image_manifest manifest;
    char path[512];
    snprintf(path, sizeof path, "%s/configuration", instance);
    CLAIM(path, image_configuration_decode(read_file(path, configuration, sizeof configuration), &site) == OK);
    snprintf(path, sizeof path, "%s/%s", image, IMAGE_MANIFEST_NAME);
    CLAIM(path,
          image_manifest_open(read_file(path, manifest_room, sizeof manifest_room), &manifest, measurement[0]) == OK);
    policy = (struct evidence_policy){.config = BYTES_OF(site.config_id),
                                      .measurements = (const uint8_t(*)[EAT_HASH_LEN])measurement,
                                      .measurement_count = 1,
                                      .allow_insecure_dev = true,
                                      .allow_unmeasured_monitor = true,
                                      .allow_unproved_ak = true};
}

static int tell(const char *what, enum status status, const struct vtpm_mover_end *source,
                const struct vtpm_mover_end *destination)
{
    const struct vtpm_mover_end *const ends[] = {source, destination};
    for (int i = 0; i < 2 && status != OK; i++)
        if (ends[i] && (ends[i]->sentence[0] || ends[i]->evidence.reasons))
            fprintf(stderr, "vtpm_move: %s: %s: %s reasons=%#x\n", what, (const char *)ends[i]->user, ends[i]->sentence,
                    ends[i]->evidence.reasons);
    if (status != OK)
        fprintf(stderr, "vtpm_move: %s: %s\n", what, status_word(status));
    return status == OK ? 0 : 1;
}

/* ---- What is asked for ---- */

static int make_policy(char **argv)
{
    uint8_t configuration[IMAGE_CONFIGURATION_MAX], encoded[IMAGE_WORKLOAD_MAX];
    struct image_configuration site;
    struct image_machine machine = {.serial = strtoull(argv[3], NULL, 10)};
    struct crypto_key owner = {0};
    struct writer writer = writer_over(encoded, sizeof encoded);
    read_key(argv[2], &owner);
    CLAIM(argv[1], image_configuration_decode(read_file(argv[1], configuration, sizeof configuration), &site) == OK);
    memcpy(machine.site, site.site, sizeof machine.site);
    machine.snapshots = strcmp(argv[4], "snapshots") == 0;
    CLAIM("the policy is signed", image_machine_sign(&writer, &owner, &machine) == OK);
    CLAIM(argv[0], write_file(argv[0], writer_bytes(&writer)));
    return 0;
}

static int show_status(char *socket_path)
{
    struct vtpm_mover_end end = end_at(socket_path);
    enum status status = vtpm_mover_status(&end);
    if (status == OK)
        printf("%s%s\n", vtpm_custody_word(end.facts.custody), end.facts.armed ? "+armed" : "");
    return tell("status", status, &end, NULL);
}

static int move(const char *what, const struct crypto_key *owner, char *from, char *to)
{
    struct vtpm_mover_end source = end_at(from), destination = end_at(to ? to : from);
    enum status status = INTERNAL;
    if (strcmp(what, "begin") == 0)
        status = vtpm_mover_begin(&source, &destination, owner);
    else if (strcmp(what, "carry") == 0)
        status = vtpm_mover_carry(&source, &destination);
    else if (strcmp(what, "finish") == 0)
        status = vtpm_mover_finish(&source, &destination, owner);
    else
        status = vtpm_mover_abort(&source, to ? &destination : NULL, owner);
    return tell(what, status, &source, &destination);
}

static int back_up(const struct crypto_key *owner, char **argv)
{
    static uint8_t room[VTPM_TRANSFER_BUNDLE_MAX];
    char pem[2048];
    struct vtpm_mover_end source = end_at(argv[0]);
    struct crypto_key backup = {0};
    struct writer key = writer_over(pem, sizeof pem), bundle = writer_over(room, sizeof room);
    if (access(argv[1], F_OK) != 0)
        CLAIM("a backup key is made", crypto_key_generate(&backup, CRYPTO_P256) == OK &&
                                          crypto_key_put_pem(&key, &backup) == OK &&
                                          write_file(argv[1], writer_bytes(&key)));
    else
        read_key(argv[1], &backup);
    enum status status = vtpm_mover_backup(&source, owner, &backup.public_key, &bundle);
    CLAIM(argv[2], status != OK || write_file(argv[2], writer_bytes(&bundle)));
    return tell("backup", status, &source, NULL);
}

static int restore(const struct crypto_key *owner, char **argv)
{
    static uint8_t room[VTPM_TRANSFER_BUNDLE_MAX];
    struct vtpm_mover_end destination = end_at(argv[0]);
    struct crypto_key backup = {0};
    read_key(argv[1], &backup);
    return tell("restore", vtpm_mover_restore(&destination, owner, &backup, read_file(argv[2], room, sizeof room)),
                &destination, NULL);
}

int main(int argc, char **argv)
{
    struct crypto_key owner = {0};
    if (argc < 5 || crypto_init() != OK)
        return 2;
    if (strcmp(argv[1], "policy") == 0)
        return argc == 7 ? make_policy(argv + 2) : 2;
    read_policy(argv[2], argv[3]);
    if (strcmp(argv[1], "status") == 0)
        return show_status(argv[4]);
    read_key(argv[4], &owner);
    if (strcmp(argv[1], "backup") == 0 && argc == 8)
        return back_up(&owner, argv + 5);
    if (strcmp(argv[1], "restore") == 0 && argc == 8)
        return restore(&owner, argv + 5);
    if (argc == 7 || (argc == 6 && strcmp(argv[1], "gone") == 0))
        return move(argv[1], &owner, argv[5], argv[6]);
    return 2;
}
