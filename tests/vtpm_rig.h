/* A node around a vTPM: a monitor that derives keys and keeps the head, a host with a real archive that can lie or be
 * killed at any of its operations, and somebody who speaks TPM 2.0. */
#ifndef BASTIDE_TESTS_VTPM_RIG_H
#define BASTIDE_TESTS_VTPM_RIG_H

#include "archive.h"
#include "check.h"
#include "crypto.h"
#include "swtpm.h"
#include "vtpm.h"
#include "vtpm_keys.h"
#include "vtpm_transfer.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct rig_letter {
    struct rig_letter *next;
    struct door_header header;
    uint8_t payload[];
};

struct rig {
    struct vtpm *vtpm;
    struct vtpm_socket_port socket;
    uint32_t buffer_max;
    struct image_configuration configuration; /* owner and site id; zeroed: nobody's */
    struct image_machine machine;
    bool measured;
    struct monitor_launch launch;
    struct monitor_vm *vms; /* the node's log */
    size_t vm_count;
    uint64_t clock_ms; /* what the TPM's clock runs by */

    uint8_t root[32]; /* the monitor */
    struct monitor_seal_inputs own;
    uint64_t sequence;
    uint8_t hash[32];
    enum status (*report)(const struct rig *rig, const struct monitor_report *asked, struct writer *evidence);
    struct monitor_advance advance;
    uint8_t record[MONITOR_RECORD_MAX]; /* that came with it */
    size_t record_len;
    struct rig_record {
        uint64_t sequence;
        size_t len;
        uint8_t data[MONITOR_RECORD_MAX];
    } kept[MONITOR_RECORDS];
    enum status record_says;
    bool advancing, mute;              /* asked and not answered; the monitor does nothing */
    const struct rig_letter *before;   /* of what waits, the last that was sent before it was asked; NULL: none */
    enum status head_says;             /* the monitor, who is asked for a head that is durable */
    uint64_t advances, die_at_advance; /* killed when the monitor has moved the head and not said so yet */
    bool dead;

    char home[64], path[96]; /* the host */
    struct archive *archive;
    struct rig_letter *first, *last, *late;
    uint64_t operations, die_at; /* of the archive: killed just before that one */
    enum status sync_says;       /* not OK: said instead of syncing, and what was appended is forgotten … */
    bool sync_does;              /* … or not */
    bool no_room_for_snapshots;  /* what is synced with one is forgotten */
    bool has_snapshot;           /* since the last sync */
    unsigned snapshots;          /* that were put */
    bool slow;                   /* a sync is answered by rig_catch_up() alone; what comes behind it waits, too */
    bool timer;
    char audit[4096];

    uint64_t channel, replies;
    bool any_channel; /* the reply may be for another than asked last, and says for which */
    uint8_t reply[VTPM_TRANSFER_ANSWER_MAX];
    size_t reply_len;
    bool twice; /* the host says everything twice */
};

static inline enum status rig_send(void *user, enum door_operation operation, uint64_t id, const struct bytes *parts,
                                   size_t count)
{
    struct rig *rig = user;
    size_t len = 0, used = 0;
    for (size_t i = 0; i < count; i++)
        len += parts[i].len;
    assert_true(len <= DOOR_MESSAGE_MAX - sizeof(struct door_header));
    struct rig_letter *letter = malloc(sizeof *letter + len);
    assert_non_null(letter);
    *letter = (struct rig_letter){.header = {.operation = (uint16_t)operation, .len = (uint32_t)len, .id = id}};
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len)
            memcpy(letter->payload + used, parts[i].data, parts[i].len);
        used += parts[i].len;
    }
    *(rig->first ? &rig->last->next : &rig->first) = letter;
    rig->last = letter;
    return OK;
}

static inline enum status rig_advance(void *user, const struct monitor_advance *advance, struct bytes record)
{
    struct rig *rig = user;
    rig->advance = *advance;
    rig->before = rig->first ? rig->last : NULL;
    assert_true(record.len <= MONITOR_RECORD_MAX);
    rig->record_len = record.len;
    if (record.len)
        memcpy(rig->record, record.data, record.len);
    rig->advancing = true;
    return OK;
}

static inline void rig_head_is(const struct rig *rig, struct monitor_head_reply *head)
{
    *head = (struct monitor_head_reply){.sequence = rig->sequence};
    memcpy(head->hash, rig->hash, sizeof head->hash);
}

static inline enum status rig_head(void *user, struct monitor_head_reply *head)
{
    const struct rig *rig = user;
    rig_head_is(rig, head);
    return rig->head_says;
}

/* As the monitor's table has them. */
static inline enum status rig_record(void *user, uint64_t sequence, struct writer *record)
{
    const struct rig *rig = user;
    const struct rig_record *kept = &rig->kept[sequence % MONITOR_RECORDS];
    if (rig->record_says != OK)
        return rig->record_says;
    if (kept->len == 0 || kept->sequence != sequence || sequence > rig->sequence)
        return NOT_FOUND;
    put_bytes(record, bytes_from(kept->data, kept->len));
    return writer_end(record);
}

static inline enum status rig_seal_key(void *user, const struct monitor_seal *seal, struct monitor_seal_reply *reply)
{
    const struct rig *rig = user;
    reply->inputs = seal->inputs;
    if (!seal->open) {
        reply->inputs = rig->own;
        reply->inputs.policy = seal->policy;
        TRY(crypto_random(reply->inputs.salt, sizeof reply->inputs.salt));
    } else if (memcmp(seal->inputs.config, rig->own.config, 32) != 0 ||
               seal->inputs.security_version > rig->own.security_version) {
        return DENIED;
    }
    struct bytes parts[] = {BYTES_OF(seal->label), bytes_from(&reply->inputs, sizeof reply->inputs)};
    return crypto_hmac(CRYPTO_SHA256, BYTES_OF(rig->root), parts, 2, reply->key);
}

/* Who has no monitor that reports gets none. */
static inline enum status rig_report(void *user, const struct monitor_report *asked, struct writer *evidence)
{
    const struct rig *rig = user;
    return rig->report ? rig->report(rig, asked, evidence) : IO;
}

static inline enum status rig_launch_of_vm(void *user, struct monitor_launch *launch)
{
    const struct rig *rig = user;
    if (rig->measured)
        *launch = rig->launch;
    return rig->measured ? OK : NOT_FOUND;
}

static inline enum status rig_launches(void *user, uint64_t from, struct monitor_vm vms[MONITOR_LAUNCHES_MAX],
                                       size_t *count)
{
    const struct rig *rig = user;
    size_t left = from < rig->vm_count ? rig->vm_count - (size_t)from : 0;
    *count = left < MONITOR_LAUNCHES_MAX ? left : MONITOR_LAUNCHES_MAX;
    if (*count)
        memcpy(vms, rig->vms + from, *count * sizeof *vms);
    return OK;
}

static inline uint64_t rig_clock_ms(void *user)
{
    return ((const struct rig *)user)->clock_ms;
}

/* ---- The host ---- */

static inline void rig_serve(struct rig *rig, const struct rig_letter *letter)
{
    static uint8_t room[DOOR_MESSAGE_MAX];
    struct writer answer = writer_over(room, DOOR_MESSAGE_MAX - sizeof(struct door_header));
    const uint16_t operation = letter->header.operation;
    enum status status = OK;
    rig->has_snapshot |= operation == DOOR_SNAPSHOT_PUT;
    rig->snapshots += operation == DOOR_SNAPSHOT_PUT;
    const bool no_room = operation == DOOR_SYNC && rig->has_snapshot && rig->no_room_for_snapshots;
    rig->has_snapshot &= operation != DOOR_SYNC;
    if (no_room || (operation == DOOR_SYNC && rig->sync_says != OK && !rig->sync_does))
        archive_abandon(rig->archive);
    else
        status = archive_serve(rig->archive, &letter->header, bytes_from(letter->payload, letter->header.len), &answer);
    if (operation == DOOR_SYNC && rig->sync_says != OK)
        status = rig->sync_says;
    if (no_room)
        status = NO_ROOM;
    if (operation != DOOR_LOG_READ && operation != DOOR_SNAPSHOT_GET && operation != DOOR_SYNC)
        return;
    const struct bytes said = status == OK ? writer_bytes(&answer) : (struct bytes){0};
    const struct door_header header = {DOOR_COMPLETE, (uint16_t)status, (uint32_t)said.len, letter->header.id};
    vtpm_receive(rig->vtpm, &header, said);
    if (rig->twice)
        vtpm_receive(rig->vtpm, &header, said);
}

static inline void rig_letter_take(struct rig *rig, const struct rig_letter *letter)
{
    const struct bytes payload = bytes_from(letter->payload, letter->header.len);
    size_t used = strlen(rig->audit);
    switch (letter->header.operation) {
    case DOOR_REPLY:
        assert_true(payload.len <= sizeof rig->reply);
        assert_true(rig->any_channel || letter->header.id == rig->channel);
        rig->channel = letter->header.id;
        memcpy(rig->reply, payload.data, payload.len);
        rig->reply_len = payload.len;
        rig->replies++;
        return;
    case DOOR_TIMER:
        rig->timer = true;
        return;
    case DOOR_AUDIT:
        snprintf(rig->audit + used, sizeof rig->audit - used, "%.*s\n", (int)payload.len, (const char *)payload.data);
        return;
    default:
        rig->dead = ++rig->operations == rig->die_at;
        if (!rig->dead)
            rig_serve(rig, letter);
    }
}

static inline bool rig_is_for_archive(uint16_t operation)
{
    return operation != DOOR_REPLY && operation != DOOR_TIMER && operation != DOOR_AUDIT;
}

/* What the host has not come to yet. */
static inline bool rig_lags(struct rig *rig, struct rig_letter *letter)
{
    if (!rig->slow || !rig_is_for_archive(letter->header.operation) ||
        (!rig->late && letter->header.operation != DOOR_SYNC))
        return false;
    struct rig_letter **end = &rig->late;
    while (*end)
        end = &(*end)->next;
    letter->next = NULL;
    *end = letter;
    return true;
}

/* Everything that can happen happens, until nothing more does. */
static inline void rig_run(struct rig *rig)
{
    const char *sentence;
    while (vtpm_exit_code(rig->vtpm, &sentence) == 0 && !rig->dead && (rig->first || (rig->advancing && !rig->mute))) {
        struct rig_letter *letter = rig->first;
        if (letter) {
            rig->first = letter->next;
            if (rig_lags(rig, letter))
                continue;
            rig_letter_take(rig, letter);
            free(letter);
            continue;
        }
        struct monitor_head_reply head;
        rig->advancing = false;
        assert_true(rig->advance.sequence == rig->sequence + 1);
        rig->sequence = rig->advance.sequence;
        memcpy(rig->hash, rig->advance.hash, sizeof rig->hash);
        struct rig_record *kept = &rig->kept[rig->sequence % MONITOR_RECORDS];
        if (rig->record_len) {
            *kept = (struct rig_record){.sequence = rig->sequence, .len = rig->record_len};
            memcpy(kept->data, rig->record, rig->record_len);
        }
        rig->dead = ++rig->advances == rig->die_at_advance;
        rig_head_is(rig, &head);
        if (!rig->dead)
            vtpm_advanced(rig->vtpm, OK, &head);
    }
}

static inline void rig_catch_up(struct rig *rig)
{
    rig->slow = false;
    while (rig->late && !rig->dead) {
        struct rig_letter *letter = rig->late;
        rig->late = letter->next;
        rig_letter_take(rig, letter);
        free(letter);
    }
    rig_run(rig);
}

static inline void rig_tick(struct rig *rig)
{
    const struct door_tick tick = {1};
    const struct door_header header = {.operation = DOOR_TICK, .len = sizeof tick};
    assert_true(rig->timer);
    rig->timer = false;
    vtpm_receive(rig->vtpm, &header, bytes_from(&tick, sizeof tick));
    rig_run(rig);
}

/* ---- Life ---- */

static inline void rig_init(struct rig *rig)
{
    *rig = (struct rig){.clock_ms = 5000};
    check_ok(crypto_init());
    memset(rig->root, 9, sizeof rig->root);
    memset(rig->own.config, 1, sizeof rig->own.config);
    memset(rig->own.signer, 2, sizeof rig->own.signer);
    rig->own.security_version = 1;
    /* A name that no killed test left behind: process numbers come again. */
    snprintf(rig->home, sizeof rig->home, "%s/bastide-vtpm-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(rig->home));
    snprintf(rig->path, sizeof rig->path, "%s/archive.db", rig->home);
}

/* The enclave dies, and what was on its way with it. The archive forgets what was not synced. */
static inline void rig_stop(struct rig *rig)
{
    vtpm_free(rig->vtpm);
    rig->vtpm = NULL;
    while (rig->first) {
        struct rig_letter *next = rig->first->next;
        free(rig->first);
        rig->first = next;
    }
    while (rig->late) {
        struct rig_letter *next = rig->late->next;
        free(rig->late);
        rig->late = next;
    }
    rig->last = NULL;
    rig->slow = false;
    rig->advancing = rig->mute = rig->dead = rig->timer = false;
    rig->die_at = rig->die_at_advance = 0;
    archive_close(rig->archive);
    rig->archive = NULL;
}

/* As whoever ends in order: the archive keeps what it was handed. */
static inline void rig_end(struct rig *rig)
{
    check_ok(archive_sync(rig->archive));
    rig_stop(rig);
}

/* Gives the exit code of the launch, 0 when it serves. */
static inline int rig_launch(struct rig *rig)
{
    const struct archive_config kept = {.path = rig->path};
    const struct vtpm_config config = {
        .port = {rig, rig_send, rig_advance, rig_record, rig_head, rig_seal_key, rig_report, rig_launch_of_vm,
                 rig_launches, rig_clock_ms},
        .socket = rig->socket,
        .buffer_max = rig->buffer_max,
    };
    const char *sentence;
    rig->operations = rig->advances = 0;
    rig->audit[0] = 0;
    sqlite3_vfs_register(sqlite3_vfs_find("unix"), 1); /* the store's, which refuses files, is the default since */
    check_ok(archive_open(&rig->archive, &kept, NULL));
    check_ok(vtpm_new(&rig->vtpm, &config));
    assert_true(vtpm_rehearse(rig->vtpm)); /* which nothing may show of */
    check_ok(vtpm_start(rig->vtpm, &rig->configuration, &rig->machine));
    rig_run(rig);
    return vtpm_exit_code(rig->vtpm, &sentence);
}

static inline void rig_done(struct rig *rig)
{
    char path[128];
    static const char *const ends[] = {"", "-wal", "-shm", ".old", ".lock", "-journal"};
    rig_stop(rig);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        snprintf(path, sizeof path, "%s%s", rig->path, ends[i]);
        unlink(path);
    }
    rmdir(rig->home);
}

static inline void rig_copy(const char *from, const char *to)
{
    static uint8_t room[8u << 20];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_true(in && out);
    size_t len = fread(room, 1, sizeof room, in);
    assert_true(len < sizeof room && fwrite(room, 1, len, out) == len);
    fclose(in);
    assert_int_equal(0, fclose(out));
}

/* The host and the monitor have what a file of tests/vectors/ says: sequence and record in each line. */
static inline void rig_take_log(struct rig *rig, const char *path)
{
    static uint8_t record[64u << 10], answer_room[64];
    static char line[sizeof record * 2 + 32];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    const struct archive_config kept = {.path = rig->path};
    sqlite3_vfs_register(sqlite3_vfs_find("unix"), 1);
    check_ok(archive_open(&rig->archive, &kept, NULL));
    while (fgets(line, sizeof line, file)) {
        struct writer answer = writer_over(answer_room, sizeof answer_room), bytes = writer_over(record, sizeof record);
        char *text = NULL;
        if (*line == '#')
            continue;
        rig->sequence = strtoull(line, &text, 10);
        text[strcspn(text, "\n")] = 0;
        check_ok(hex_decode(text + 1, &bytes));
        const struct bytes whole = writer_bytes(&bytes);
        check_ok(crypto_hash(CRYPTO_SHA256, &whole, 1, rig->hash));
        const struct door_header append = {DOOR_LOG_APPEND, 0, (uint32_t)whole.len, rig->sequence};
        check_ok(archive_serve(rig->archive, &append, whole, &answer));
        check_ok(archive_sync(rig->archive));
    }
    fclose(file);
    archive_close(rig->archive);
    rig->archive = NULL;
}

/* ---- Questions ---- */

static inline void rig_ask(struct rig *rig, uint32_t transport, struct bytes frame)
{
    static uint8_t room[VTPM_TRANSFER_QUESTION_MAX + 64];
    const struct door_request request = {.time_ms = 1, .transport = transport};
    struct writer writer = writer_over(room, sizeof room);
    put_bytes(&writer, bytes_from(&request, sizeof request));
    put_bytes(&writer, frame);
    check_ok(writer_end(&writer));
    const struct door_header header = {.operation = DOOR_REQUEST, .len = (uint32_t)writer.len, .id = ++rig->channel};
    rig->replies = 0;
    vtpm_receive(rig->vtpm, &header, writer_bytes(&writer));
    rig_run(rig);
}

static inline struct swtpm_reply rig_control(struct rig *rig, const struct swtpm_request *request)
{
    static uint8_t room[SWTPM_REQUEST_MAX];
    struct writer writer = writer_over(room, sizeof room);
    struct swtpm_reply reply;
    swtpm_put_request(&writer, request);
    rig_ask(rig, DOOR_VTPM_CONTROL, writer_bytes(&writer));
    assert_int_equal(1, rig->replies);
    check_ok(swtpm_reply_decode(request->command, bytes_from(rig->reply, rig->reply_len), &reply));
    return reply;
}

static inline uint32_t rig_do(struct rig *rig, enum swtpm_command command)
{
    const struct swtpm_request request = {.command = command};
    return rig_control(rig, &request).result;
}

/* One TPM command; its response code. What follows the header is left in `rest`, which may be NULL. UINT32_MAX: there
 * was no answer. */
static inline uint32_t rig_tpm_once(struct rig *rig, struct bytes command, struct bytes *rest)
{
    rig_ask(rig, DOOR_VTPM_DATA, command);
    if (rig->replies != 1)
        return UINT32_MAX;
    struct reader reader = reader_over(bytes_from(rig->reply, rig->reply_len));
    (void)take_u16be(&reader);
    assert_int_equal(rig->reply_len, take_u32be(&reader));
    uint32_t code = take_u32be(&reader);
    assert_int_equal(OK, reader.status);
    if (rest)
        *rest = reader.rest;
    return code;
}

/* TPM_RC_RETRY: as libtpms says when it notes first that a secret is tried which counts wrong guesses. */
static inline uint32_t rig_tpm(struct rig *rig, struct bytes command, struct bytes *rest)
{
    uint32_t code = rig_tpm_once(rig, command, rest);
    return code == 0x922 ? rig_tpm_once(rig, command, rest) : code;
}

/* A command: handles, one password session for each of `auths` (NULL ends them), parameters. */
static inline struct bytes rig_command(uint32_t code, const uint32_t *handles, size_t count, const char *const *auths,
                                       struct bytes parameters)
{
    static uint8_t room[SWTPM_TPM_MAX];
    uint8_t sessions_room[256];
    struct writer body = writer_over(room, sizeof room), sessions = writer_over(sessions_room, sizeof sessions_room);
    for (; auths && *auths; auths++) {
        put_u32be(&sessions, 0x40000009); /* TPM_RS_PW */
        put_u16be(&sessions, 0);
        put_u8(&sessions, 0);
        put_u16be(&sessions, (uint16_t)strlen(*auths));
        put_text(&sessions, *auths);
    }
    const size_t len = 10 + 4 * count + (sessions.len ? 4 + sessions.len : 0) + parameters.len;
    put_u16be(&body, sessions.len ? 0x8002 : 0x8001);
    put_u32be(&body, (uint32_t)len);
    put_u32be(&body, code);
    for (size_t i = 0; i < count; i++)
        put_u32be(&body, handles[i]);
    if (sessions.len) {
        put_u32be(&body, (uint32_t)sessions.len);
        put_bytes(&body, writer_bytes(&sessions));
    }
    put_bytes(&body, parameters);
    check_ok(writer_end(&body));
    return writer_bytes(&body);
}

#define RIG_OWNER 0x40000001u
static const char *const rig_no_auth[] = {"", NULL};

static inline uint32_t rig_startup(struct rig *rig)
{
    return rig_tpm(rig, rig_command(0x144, NULL, 0, NULL, BYTES_OF(((const uint8_t[]){0, 0}))), NULL);
}

static inline void rig_on(struct rig *rig)
{
    assert_int_equal(0, rig_launch(rig));
    assert_int_equal(0, rig_do(rig, SWTPM_INIT));
    assert_int_equal(0, rig_startup(rig));
}

static inline uint32_t rig_nv_define(struct rig *rig, uint32_t index, uint16_t len, const char *auth)
{
    uint8_t room[128];
    struct writer writer = writer_over(room, sizeof room);
    const uint32_t handles[] = {RIG_OWNER};
    put_u16be(&writer, (uint16_t)strlen(auth));
    put_text(&writer, auth);
    put_u16be(&writer, 14);
    put_u32be(&writer, index);
    put_u16be(&writer, 0x000b);
    put_u32be(&writer, 0x00040004 | (*auth ? 0 : 0x02000000)); /* AUTHREAD, AUTHWRITE; without auth NO_DA */
    put_u16be(&writer, 0);
    put_u16be(&writer, len);
    return rig_tpm(rig, rig_command(0x12a, handles, 1, rig_no_auth, writer_bytes(&writer)), NULL);
}

static inline uint32_t rig_nv_write(struct rig *rig, uint32_t index, struct bytes data, const char *auth)
{
    static uint8_t room[2200];
    struct writer writer = writer_over(room, sizeof room);
    const uint32_t handles[] = {index, index};
    const char *const auths[] = {auth, NULL};
    put_u16be(&writer, (uint16_t)data.len);
    put_bytes(&writer, data);
    put_u16be(&writer, 0);
    return rig_tpm(rig, rig_command(0x137, handles, 2, auths, writer_bytes(&writer)), NULL);
}

static inline uint32_t rig_nv_read(struct rig *rig, uint32_t index, uint16_t len, const char *auth, struct bytes *data)
{
    uint8_t room[4];
    struct writer writer = writer_over(room, sizeof room);
    const uint32_t handles[] = {index, index};
    const char *const auths[] = {auth, NULL};
    struct bytes rest = {0};
    put_u16be(&writer, len);
    put_u16be(&writer, 0);
    uint32_t code = rig_tpm(rig, rig_command(0x14e, handles, 2, auths, writer_bytes(&writer)), &rest);
    if (code == 0) {
        struct reader reader = reader_over(rest);
        (void)take_u32be(&reader);
        *data = take_bytes(&reader, take_u16be(&reader));
    }
    return code;
}

static inline uint32_t rig_property(struct rig *rig, uint32_t property)
{
    uint8_t room[12];
    struct writer writer = writer_over(room, sizeof room);
    struct bytes rest = {0};
    put_u32be(&writer, 6); /* TPM_CAP_TPM_PROPERTIES */
    put_u32be(&writer, property);
    put_u32be(&writer, 1);
    assert_int_equal(0, rig_tpm(rig, rig_command(0x17a, NULL, 0, NULL, writer_bytes(&writer)), &rest));
    struct reader reader = reader_over(rest);
    (void)take_bytes(&reader, 9);
    assert_int_equal(property, take_u32be(&reader));
    return take_u32be(&reader);
}

static inline uint32_t rig_pcr_extend(struct rig *rig, uint32_t pcr)
{
    uint8_t room[64];
    struct writer writer = writer_over(room, sizeof room);
    put_u32be(&writer, 1);
    put_u16be(&writer, 0x000b);
    memset(put_space(&writer, 32), 7, 32);
    return rig_tpm(rig, rig_command(0x182, &pcr, 1, rig_no_auth, writer_bytes(&writer)), NULL);
}

static inline void rig_pcr_read(struct rig *rig, unsigned pcr, uint8_t value[32])
{
    uint8_t select[] = {0, 0, 0, 1, 0, 0x0b, 3, 0, 0, 0};
    struct bytes rest = {0};
    select[7 + pcr / 8] = (uint8_t)(1u << pcr % 8);
    assert_int_equal(0, rig_tpm(rig, rig_command(0x17e, NULL, 0, NULL, BYTES_OF(select)), &rest));
    assert_true(rest.len >= 32);
    memcpy(value, rest.data + rest.len - 32, 32);
}

#endif
