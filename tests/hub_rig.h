/* A site around a hub: a monitor that derives keys and keeps the head, a host with a real archive that can be made to
 * lie at any of its operations, and peers that speak OSCORE. */
#ifndef BASTIDE_TESTS_HUB_RIG_H
#define BASTIDE_TESTS_HUB_RIG_H

#include "archive.h"
#include "attest.h"
#include "check.h"
#include "crypto.h"
#include "edhoc.h"
#include "hub.h"
#include "image.h"
#include "pki.h"
#include "x509.h"

#include <jansson.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define RIG_BOXES 2048
#define RIG_START_MS 1800000000000ull

/* What the host does at the operation it lies at. */
enum rig_lie {
    RIG_HONEST,
    RIG_LOSE,   /* the message never reaches the archive; a question is answered with nothing */
    RIG_CUT,    /* half of the message reaches it; of an answer, half reaches the enclave */
    RIG_SWAP,   /* it is done after the next one */
    RIG_SAY_OK, /* it is not done, and is said to be */
    RIG_SAY_IO, /* it is done, and is said to have failed */
    RIG_SAY_NO_ROOM,
    RIG_FLIP, /* one bit of it is another */
    RIG_LIES,
    RIG_DIE, /* no lie: the node is killed just before it */
};

struct rig_letter {
    struct rig_letter *next;
    struct door_header header;
    size_t len;
    uint8_t payload[];
};

struct rig {
    struct hub *hub;
    struct script_engine *scripts;
    struct bytes configuration;
    unsigned owner; /* whose site it is: rig_owner_of() */
    size_t body_max;
    uint64_t now_ms, channel;

    uint8_t root[32]; /* the monitor */
    struct monitor_seal_inputs own;
    uint64_t sequence;
    uint8_t hash[32];
    struct monitor_advance advance;
    bool advancing, advance_lost, report_fails;
    /* NULL: evidence is the report's own words. */
    enum status (*reporter)(const struct rig *rig, const struct monitor_report *report, struct writer *evidence);
    uint64_t advances, die_at_advance; /* killed when the monitor has moved the head and not said so yet */
    bool dead;

    char home[64], path[96]; /* the host */
    struct archive *archive;
    uint64_t archive_max;
    struct rig_letter *first, *last;
    uint64_t operations, first_snapshot; /* of the archive, so far; at which a snapshot was put */
    uint64_t lie_at;
    enum rig_lie lie;
    struct rig_letter *swapped;
    enum status forced_sync; /* OK: none */
    bool hold;               /* SYNC is neither done nor answered */
    bool hold_query;         /* nor is a question about rows */
    struct rig_letter *held; /* that question */
    uint64_t timer_ms;
    char audit[4096];
    size_t audit_len;

    struct {
        uint64_t channel;
        bool more;
        size_t len;
        uint8_t *body;
    } boxes[RIG_BOXES];
    size_t box_count;
    bool twice; /* the host says everything twice */
};

struct rig_peer {
    /* Told every protected body that comes, before it is opened. */
    void (*heard)(const struct rig_peer *peer, const struct coap_body *outer);
    struct oscore_session session;
    struct oscore_request request; /* of the last question */
    uint64_t channel;
    bool agreed; /* by EDHOC, as the owner */
};

/* ---- The port ---- */

static inline enum status rig_send(void *user, enum door_operation operation, uint64_t id, const struct bytes *parts,
                                   size_t count)
{
    struct rig *rig = user;
    size_t len = 0;
    for (size_t i = 0; i < count; i++)
        len += parts[i].len;
    assert_true(len <= DOOR_MESSAGE_MAX - sizeof(struct door_header));
    struct rig_letter *letter = malloc(sizeof *letter + len);
    assert_non_null(letter);
    *letter = (struct rig_letter){.header = {.operation = (uint16_t)operation, .len = (uint32_t)len, .id = id}};
    letter->len = len;
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len)
            memcpy(letter->payload + used, parts[i].data, parts[i].len);
        used += parts[i].len;
    }
    if (rig->last)
        rig->last->next = letter;
    else
        rig->first = letter;
    rig->last = letter;
    return OK;
}

static inline enum status rig_advance(void *user, const struct monitor_advance *advance)
{
    struct rig *rig = user;
    rig->advance = *advance;
    rig->advancing = true;
    return OK;
}

static inline struct monitor_head_reply rig_head_now(const struct rig *rig)
{
    struct monitor_head_reply head = {.sequence = rig->sequence, .nv_counter = 7, .reset_count = 2, .since_s = 60};
    memcpy(head.hash, rig->hash, sizeof head.hash);
    return head;
}

static inline enum status rig_head(void *user, struct monitor_head_reply *head)
{
    *head = rig_head_now(user);
    return OK;
}

static inline enum status rig_seal_key(void *user, const struct monitor_seal *seal, struct monitor_seal_reply *reply)
{
    const struct rig *rig = user;
    reply->inputs = seal->inputs;
    if (!seal->open) {
        reply->inputs = rig->own;
        reply->inputs.policy = seal->policy;
        TRY(crypto_random(reply->inputs.salt, sizeof reply->inputs.salt));
    } else if (memcmp(seal->inputs.config, rig->own.config, 32) != 0) {
        return DENIED;
    }
    struct bytes parts[] = {BYTES_OF(seal->label), bytes_from(&reply->inputs, sizeof reply->inputs)};
    return crypto_hmac(CRYPTO_SHA256, BYTES_OF(rig->root), parts, 2, reply->key);
}

static inline enum status rig_report(void *user, const struct monitor_report *report, struct writer *evidence)
{
    const struct rig *rig = user;
    if (rig->report_fails)
        return IO;
    if (rig->reporter)
        return rig->reporter(rig, report, evidence);
    put_bytes(evidence, bytes_from(report, sizeof *report));
    return writer_end(evidence);
}

/* ---- The host ---- */

static inline bool rig_is_asked(uint16_t operation)
{
    return operation == DOOR_ARCHIVE_QUERY || operation == DOOR_LOG_READ || operation == DOOR_SNAPSHOT_GET ||
           operation == DOOR_SYNC;
}

static inline void rig_complete(struct rig *rig, uint64_t id, enum status status, struct bytes answer)
{
    struct door_header header = {DOOR_COMPLETE, (uint16_t)status, (uint32_t)answer.len, id};
    hub_receive(rig->hub, &header, answer);
    if (rig->twice)
        hub_receive(rig->hub, &header, answer);
}

static inline void rig_serve(struct rig *rig, const struct rig_letter *letter, enum rig_lie lie)
{
    static uint8_t room[DOOR_MESSAGE_MAX];
    if (rig->hold && letter->header.operation == DOOR_SYNC)
        return;
    struct writer answer = writer_over(room, DOOR_MESSAGE_MAX - sizeof(struct door_header));
    bool asked = rig_is_asked(letter->header.operation);
    struct door_header header = letter->header;
    struct bytes payload = bytes_from(letter->payload, letter->len);
    struct rig_letter *bent = NULL;
    if (!asked && (lie == RIG_CUT || lie == RIG_FLIP)) {
        bent = malloc(sizeof *bent + letter->len);
        assert_non_null(bent);
        memcpy(bent, letter, sizeof *bent + letter->len);
        if (lie == RIG_CUT)
            header.len = (uint32_t)(bent->len /= 2);
        else
            bent->payload[bent->len / 2] ^= 4;
        payload = bytes_from(bent->payload, bent->len);
    }
    enum status status = OK;
    if (lie != RIG_LOSE && lie != RIG_SAY_OK)
        status = archive_serve(rig->archive, &header, payload, &answer);
    free(bent);
    if (header.operation == DOOR_SYNC && rig->forced_sync != OK) {
        status = rig->forced_sync;
        archive_abandon(rig->archive);
    }
    if (!asked)
        return;
    if (lie == RIG_SAY_IO || lie == RIG_SAY_NO_ROOM)
        status = lie == RIG_SAY_IO ? IO : NO_ROOM;
    struct bytes said = status == OK ? writer_bytes(&answer) : (struct bytes){0};
    if (lie == RIG_CUT)
        said.len /= 2;
    if (lie == RIG_FLIP && said.len)
        room[said.len / 2] ^= 4;
    rig_complete(rig, header.id, status, said);
}

static inline void rig_archive(struct rig *rig, struct rig_letter *letter)
{
    enum rig_lie lie = ++rig->operations == rig->lie_at ? rig->lie : RIG_HONEST;
    if (rig->hold_query && letter->header.operation == DOOR_ARCHIVE_QUERY) {
        free(rig->held);
        rig->held = letter;
        return;
    }
    if (letter->header.operation == DOOR_SNAPSHOT_PUT && !rig->first_snapshot)
        rig->first_snapshot = rig->operations;
    if (lie == RIG_DIE) {
        rig->dead = true;
        free(letter);
        return;
    }
    if (lie == RIG_SWAP && !rig->swapped) {
        rig->swapped = letter;
        return;
    }
    struct rig_letter *before = rig->swapped;
    rig->swapped = NULL;
    rig_serve(rig, letter, lie);
    free(letter);
    if (before) {
        rig_serve(rig, before, RIG_HONEST);
        free(before);
    }
}

static inline void rig_box(struct rig *rig, struct rig_letter *letter)
{
    assert_true(rig->box_count < RIG_BOXES);
    uint8_t *body = malloc(letter->len + 1);
    assert_non_null(body);
    memcpy(body, letter->payload, letter->len);
    rig->boxes[rig->box_count].channel = letter->header.id;
    rig->boxes[rig->box_count].more = letter->header.operation == DOOR_NOTIFY;
    rig->boxes[rig->box_count].len = letter->len;
    rig->boxes[rig->box_count++].body = body;
    free(letter);
}

static inline void rig_letter_take(struct rig *rig, struct rig_letter *letter)
{
    struct door_tick tick;
    switch (letter->header.operation) {
    case DOOR_REPLY:
    case DOOR_NOTIFY:
        rig_box(rig, letter);
        return;
    case DOOR_TIMER:
        memcpy(&tick, letter->payload, sizeof tick);
        rig->timer_ms = tick.time_ms;
        break;
    case DOOR_AUDIT:
        if (letter->len + rig->audit_len + 2 < sizeof rig->audit) {
            memcpy(rig->audit + rig->audit_len, letter->payload, letter->len);
            rig->audit_len += letter->len;
            rig->audit[rig->audit_len++] = '\n';
        }
        break;
    default:
        rig_archive(rig, letter);
        return;
    }
    free(letter);
}

/* Everything that can happen happens, until nothing more does. */
static inline void rig_run(struct rig *rig)
{
    const char *sentence;
    while (hub_exit_code(rig->hub, &sentence) == 0) {
        while (rig->first && !rig->dead) {
            struct rig_letter *letter = rig->first;
            rig->first = letter->next;
            if (!rig->first)
                rig->last = NULL;
            rig_letter_take(rig, letter);
        }
        if (rig->dead)
            return;
        if (rig->swapped) {
            struct rig_letter *late = rig->swapped;
            rig->swapped = NULL;
            rig_serve(rig, late, RIG_HONEST);
            free(late);
        } else if (rig->advancing && !rig->advance_lost) {
            rig->advancing = false;
            assert_true(rig->advance.sequence == rig->sequence + 1);
            rig->sequence = rig->advance.sequence;
            memcpy(rig->hash, rig->advance.hash, sizeof rig->hash);
            struct monitor_head_reply head = rig_head_now(rig);
            rig->dead = ++rig->advances == rig->die_at_advance;
            if (rig->dead)
                return;
            hub_advanced(rig->hub, OK, &head);
        } else {
            hub_idle(rig->hub);
            if (!rig->first)
                return;
        }
    }
}

/* ---- Life ---- */

#define RIG_OWNERS 2

/* A site's owner: the certificate's key, made once. */
static inline const struct crypto_key *rig_owner_of(unsigned number, struct bytes *certificate)
{
    static struct crypto_key owners[RIG_OWNERS];
    static uint8_t der[RIG_OWNERS][PKI_CERTIFICATE_MAX];
    static size_t len[RIG_OWNERS];
    assert_true(number < RIG_OWNERS);
    if (!owners[number].pkey) {
        const uint8_t serial[X509_SERIAL_LEN] = {(uint8_t)(number + 1)};
        struct writer writer = writer_over(der[number], sizeof der[number]);
        check_ok(crypto_key_generate(&owners[number], CRYPTO_P256));
        check_ok(x509_issue_root(&writer, &owners[number], serial, (int64_t)(RIG_START_MS / 1000)));
        len[number] = writer.len;
    }
    *certificate = bytes_from(der[number], len[number]);
    return &owners[number];
}

static inline const struct crypto_key *rig_owner(struct bytes *certificate)
{
    return rig_owner_of(0, certificate);
}

#define RIG_SITE 0x51

static inline struct bytes rig_put_configuration(unsigned number, uint8_t site, uint8_t room[IMAGE_CONFIGURATION_MAX])
{
    struct image_configuration configuration = {.insecure_dev = true};
    (void)rig_owner_of(number, &configuration.certificate);
    memset(configuration.site, site, sizeof configuration.site);
    struct writer writer = writer_over(room, IMAGE_CONFIGURATION_MAX);
    image_put_configuration(&writer, &configuration);
    check_ok(writer_end(&writer));
    return writer_bytes(&writer);
}

static inline struct bytes rig_configuration(void)
{
    static uint8_t room[IMAGE_CONFIGURATION_MAX];
    static struct bytes made;
    if (made.len == 0)
        made = rig_put_configuration(0, RIG_SITE, room);
    return made;
}

static inline void rig_init(struct rig *rig)
{
    static uint64_t count;
    *rig = (struct rig){.now_ms = RIG_START_MS};
    check_ok(crypto_init());
    rig->configuration = rig_configuration();
    memset(rig->root, 9, sizeof rig->root);
    memset(rig->own.config, 1, sizeof rig->own.config);
    memset(rig->own.signer, 2, sizeof rig->own.signer);
    rig->own.security_version = 1;
    snprintf(rig->home, sizeof rig->home, "%s/bastide-hub-%d-%llu", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp",
             getpid(), (unsigned long long)count++);
    assert_int_equal(0, mkdir(rig->home, 0700));
    snprintf(rig->path, sizeof rig->path, "%s/archive.db", rig->home);
}

/* The enclave dies, and what was on its way with it. The archive forgets what was not synced. */
static inline void rig_stop(struct rig *rig)
{
    hub_free(rig->hub);
    rig->hub = NULL;
    while (rig->first) {
        struct rig_letter *next = rig->first->next;
        free(rig->first);
        rig->first = next;
    }
    rig->last = NULL;
    free(rig->swapped);
    free(rig->held);
    rig->swapped = rig->held = NULL;
    rig->advancing = rig->dead = false;
    rig->timer_ms = 0;
    for (size_t i = 0; i < rig->box_count; i++)
        free(rig->boxes[i].body);
    rig->box_count = 0;
    archive_close(rig->archive);
    rig->archive = NULL;
}

/* The store made a file system without files SQLite's own; here the host lives in the same process and has files. */
static inline void rig_open_archive(struct rig *rig)
{
    const struct archive_config archive = {.path = rig->path, .bytes_max = rig->archive_max};
    sqlite3_vfs *files = sqlite3_vfs_find("unix");
    if (files)
        sqlite3_vfs_register(files, 1);
    check_ok(archive_open(&rig->archive, &archive, NULL));
}

/* A launch. The hub's exit code: 0 when it serves. */
static inline int rig_start(struct rig *rig)
{
    rig_stop(rig);
    rig_open_archive(rig);
    const struct hub_config config = {
        .configuration = rig->configuration,
        .port = {rig, rig_send, rig_advance, rig_head, rig_seal_key, rig_report},
        .scripts = rig->scripts,
        .body_max = rig->body_max,
        .time_ms = rig->now_ms,
    };
    check_ok(hub_new(&rig->hub, &config));
    check_ok(hub_start(rig->hub));
    rig_run(rig);
    const char *sentence;
    return hub_exit_code(rig->hub, &sentence);
}

static inline void rig_done(struct rig *rig)
{
    static const char *const ends[] = {"/archive.db", "/archive.db-wal", "/archive.db-shm", "/archive.db-journal", ""};
    rig_stop(rig);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s", rig->home, ends[i]);
        remove(name);
    }
}

/* ---- Peers ---- */

static inline void rig_request(struct rig *rig, uint64_t channel, enum door_transport transport, struct bytes body)
{
    static uint8_t room[DOOR_MESSAGE_MAX];
    struct door_request request = {.time_ms = rig->now_ms, .transport = (uint32_t)transport};
    struct door_header header = {DOOR_REQUEST, 0, (uint32_t)(sizeof request + body.len), channel};
    memcpy(room, &request, sizeof request);
    if (body.len)
        memcpy(room + sizeof request, body.data, body.len);
    hub_receive(rig->hub, &header, bytes_from(room, header.len));
}

/* Takes the oldest body for this channel; false when there is none. */
static inline bool rig_take(struct rig *rig, uint64_t channel, struct writer *to, bool *more)
{
    for (size_t i = 0; i < rig->box_count; i++) {
        if (rig->boxes[i].channel != channel)
            continue;
        to->len = 0;
        put_bytes(to, bytes_from(rig->boxes[i].body, rig->boxes[i].len));
        check_ok(writer_end(to));
        if (more)
            *more = rig->boxes[i].more;
        free(rig->boxes[i].body);
        memmove(&rig->boxes[i], &rig->boxes[i + 1], (--rig->box_count - i) * sizeof rig->boxes[0]);
        return true;
    }
    return false;
}

struct rig_question {
    uint8_t code;
    const char *path, *query;
    uint32_t format;
    struct bytes payload;
    bool observe, http;
};

struct rig_answer {
    enum status status; /* OK: authentic. NOT_FOUND: there is none. UNSUPPORTED: not protected */
    uint8_t code;
    bool more;
    json_t *json; /* NULL: the payload is none */
    size_t len;
    struct bytes payload; /* until the next answer */
};

static inline struct bytes rig_inner(const struct rig_question *question)
{
    static uint8_t room[1024], body[DOOR_MESSAGE_MAX];
    struct writer options = writer_over(room, sizeof room), out = writer_over(body, sizeof body);
    struct coap_option_writer writer = coap_options_to(&options);
    if (question->observe)
        coap_put_option_uint(&writer, COAP_OBSERVE, 0);
    coap_put_segments(&writer, COAP_URI_PATH, question->path, '/');
    if (question->payload.len)
        coap_put_option_uint(&writer, COAP_CONTENT_FORMAT, question->format ? question->format : COAP_FORMAT_JSON);
    if (question->query)
        coap_put_segments(&writer, COAP_URI_QUERY, question->query, '&');
    struct coap_body inner = {question->code, writer_bytes(&options), question->payload};
    coap_body_encode(&out, &inner);
    check_ok(writer_end(&out));
    return writer_bytes(&out);
}

/* Hands the question in; nothing runs yet. */
static inline void rig_put(struct rig *rig, struct rig_peer *peer, const struct rig_question *question)
{
    static uint8_t room[DOOR_MESSAGE_MAX];
    uint8_t random[OSCORE_PART_LEN];
    struct coap_body inner;
    struct writer outer = writer_over(room, sizeof room);
    check_ok(coap_body_decode(rig_inner(question), &inner));
    check_ok(crypto_random(random, sizeof random));
    check_ok(oscore_protect_request(&peer->session, &inner, random, &peer->request, &outer));
    peer->channel = ++rig->channel;
    rig_request(rig, peer->channel, question->http ? DOOR_HTTP : DOOR_COAP, writer_bytes(&outer));
}

/* What came back to the last question of this peer. BUSY: B.2 wants the question again. */
static inline struct rig_answer rig_get(struct rig *rig, struct rig_peer *peer)
{
    static uint8_t room[DOOR_MESSAGE_MAX], plain_room[DOOR_MESSAGE_MAX];
    struct writer body = writer_over(room, sizeof room), plain = writer_over(plain_room, sizeof plain_room);
    struct rig_answer answer = {.status = NOT_FOUND};
    struct coap_body outer, inner;
    if (!rig_take(rig, peer->channel, &body, &answer.more))
        return answer;
    check_ok(coap_body_decode(writer_bytes(&body), &outer));
    answer.code = outer.code;
    if (peer->heard)
        peer->heard(peer, &outer);
    answer.status = oscore_unprotect_response(&peer->session, &peer->request, &outer, &plain, &inner);
    if (answer.status != OK)
        return answer;
    answer.code = inner.code;
    answer.len = inner.payload.len;
    answer.payload = inner.payload;
    if (inner.payload.len)
        answer.json = json_loadb((const char *)inner.payload.data, inner.payload.len, 0, NULL);
    return answer;
}

static inline void rig_meet(struct rig *rig, struct rig_peer *owner);

/* Agrees on a session anew where the hub lost it: 4.01, or 4.00 where its name is another session's by now, which is
 * one in 256 after a restart. */
static inline struct rig_answer rig_ask(struct rig *rig, struct rig_peer *peer, const struct rig_question *question)
{
    for (int i = 0; i < 3; i++) {
        rig_put(rig, peer, question);
        rig_run(rig);
        struct rig_answer answer = rig_get(rig, peer);
        if (answer.status == BUSY)
            continue;
        bool lost = answer.code == COAP_UNAUTHORIZED || answer.code == COAP_BAD_REQUEST;
        if (answer.status != UNSUPPORTED || !lost)
            return answer;
        if (!peer->agreed) {
            oscore_session_restart(&peer->session);
            continue;
        }
        oscore_session_done(&peer->session);
        rig_meet(rig, peer);
    }
    return (struct rig_answer){.status = BUSY};
}

/* One question whose answer has this code; its JSON. */
static inline json_t *rig_expect(struct rig *rig, struct rig_peer *peer, uint8_t wanted, uint8_t code, const char *path,
                                 const char *query, const char *payload)
{
    struct rig_question question = {.code = code, .path = path, .query = query, .payload = bytes_from_text(payload)};
    struct rig_answer answer = rig_ask(rig, peer, &question);
    if (answer.status != OK || answer.code != wanted) {
        char *text = answer.json ? json_dumps(answer.json, JSON_COMPACT) : NULL;
        fail_msg("%s?%s: %s, code %d.%02d: %s", path, query ? query : "", status_word(answer.status), answer.code >> 5,
                 answer.code & 31, text ? text : "");
    }
    return answer.json;
}

static inline void rig_do(struct rig *rig, struct rig_peer *peer, uint8_t wanted, uint8_t code, const char *path,
                          const char *payload)
{
    json_decref(rig_expect(rig, peer, wanted, code, path, NULL, payload));
}

/* The reason of a refusal with this code, in static memory; it must name this field. */
static inline const char *rig_refused(struct rig *rig, struct rig_peer *peer, uint8_t wanted, uint8_t code,
                                      const char *path, const char *query, const char *payload, const char *field)
{
    static char reason[256];
    const char *named, *why;
    json_t *json = rig_expect(rig, peer, wanted, code, path, query, payload);
    assert_int_equal(0, json_unpack(json, "{s:{s:s,s:s}}", "error", "field", &named, "reason", &why));
    assert_string_equal(field, named);
    snprintf(reason, sizeof reason, "%s", why);
    json_decref(json);
    return reason;
}

/* ---- EDHOC: the initiator's side ---- */

static const int rig_suites[] = {6};
static const uint32_t rig_labels[] = {ATTEST_EAD};
static const struct edhoc_profile rig_profile = {EDHOC_SIGN_SIGN, rig_suites, 1, rig_labels, 1};

/* One message to /.well-known/edhoc; the code of the answer, whose payload stays valid until the next. */
static inline uint8_t rig_edhoc(struct rig *rig, struct bytes message, struct bytes *answer)
{
    static uint8_t room[64], body[EDHOC_MESSAGE_MAX + 128], said[DOOR_MESSAGE_MAX];
    struct writer options = writer_over(room, sizeof room), out = writer_over(body, sizeof body);
    struct writer reply = writer_over(said, sizeof said);
    struct coap_option_writer writer = coap_options_to(&options);
    struct coap_body got;
    coap_put_segments(&writer, COAP_URI_PATH, ".well-known/edhoc", '/');
    coap_put_option_uint(&writer, COAP_CONTENT_FORMAT, COAP_FORMAT_CID_EDHOC);
    struct coap_body outer = {COAP_POST, writer_bytes(&options), message};
    coap_body_encode(&out, &outer);
    check_ok(writer_end(&out));
    rig_request(rig, ++rig->channel, DOOR_HTTP, writer_bytes(&out));
    rig_run(rig);
    assert_true(rig_take(rig, rig->channel, &reply, NULL));
    check_ok(coap_body_decode(writer_bytes(&reply), &got));
    *answer = got.payload;
    return got.code;
}

struct rig_handshake {
    struct edhoc_session edhoc;
    uint8_t room[2048], plain_room[EDHOC_MESSAGE_MAX];
    struct edhoc_credential hub; /* as it named itself */
    struct edhoc_reference reference;
    struct bytes evidence;
    struct attest_binder binder;
};

static inline struct bytes rig_message_1(struct rig_handshake *handshake)
{
    struct writer message = writer_over(handshake->room, sizeof handshake->room);
    struct crypto_key ephemeral = {0};
    const struct edhoc_id c_i = {{0x40, 0x41}, 2};
    const struct edhoc_eads eads = {{{.label = ATTEST_EAD_TRIGGER}}, 1};
    check_ok(crypto_key_generate(&ephemeral, CRYPTO_X25519));
    put_u8(&message, 0xf5);
    check_ok(
        edhoc_put_message_1(&handshake->edhoc, &rig_profile, 0, edhoc_suite(6), &ephemeral, &c_i, &eads, &message));
    return writer_bytes(&message);
}

static inline struct bytes rig_message_3(struct rig_handshake *handshake, struct bytes message_2,
                                         const struct edhoc_credential *own, struct bytes nonce)
{
    struct writer message = writer_over(handshake->room, sizeof handshake->room);
    struct writer plain = writer_over(handshake->plain_room, sizeof handshake->plain_room);
    struct edhoc_reference reference;
    struct edhoc_eads eads;
    uint8_t room[EAT_NONCE_MAX + 8];
    struct writer request = writer_over(room, sizeof room);
    struct bytes subject;
    check_ok(edhoc_take_message_2(&handshake->edhoc, message_2, &plain, &reference, &eads));
    handshake->reference = reference;
    if (reference.kind == EDHOC_KCCS) {
        handshake->hub = (struct edhoc_credential){.value = reference.claims};
        check_ok(edhoc_claims_decode(reference.claims, &handshake->hub.key, &subject));
    } else {
        assert_int_equal(reference.kind, EDHOC_X5CHAIN);
        handshake->hub = (struct edhoc_credential){.is_certificate = true, .value = reference.certificates[0]};
        struct pki_certificate certificate;
        check_ok(pki_certificate_decode(handshake->hub.value, &certificate));
        handshake->hub.key = certificate.key;
    }
    check_ok(edhoc_verify_message_2(&handshake->edhoc, &handshake->hub));
    attest_put_request(&request, &(struct attest_request){ATTEST_FORMAT, nonce});
    const struct edhoc_eads asked = {{{.label = ATTEST_EAD, .has_value = true, .value = writer_bytes(&request)}}, 1};
    edhoc_put_id(&message, bytes_from(handshake->edhoc.c_r.data, handshake->edhoc.c_r.len));
    check_ok(edhoc_put_message_3(&handshake->edhoc, own, &asked, &message));
    return writer_bytes(&message);
}

/* The owner's credential: the certificate in the configuration, by reference. */
static inline struct edhoc_credential rig_owner_credential_of(unsigned number)
{
    static uint8_t room[32];
    struct writer id_cred = writer_over(room, sizeof room);
    struct edhoc_credential made = {.is_certificate = true};
    made.private_key = rig_owner_of(number, &made.value);
    edhoc_put_x5t(&id_cred, made.value);
    made.id_cred = writer_bytes(&id_cred);
    return made;
}

static inline struct edhoc_credential rig_owner_credential(void)
{
    return rig_owner_credential_of(0);
}

/* What a client appraises, and then the session. */
static inline void rig_take_message_4(struct rig_handshake *handshake, struct bytes message_4, struct rig_peer *peer)
{
    static uint8_t plain_room[EDHOC_MESSAGE_MAX];
    struct writer plain = writer_over(plain_room, sizeof plain_room);
    struct edhoc_eads eads;
    struct oscore_input input;
    check_ok(edhoc_take_message_4(&handshake->edhoc, message_4, &plain, &eads));
    const struct edhoc_ead *ead = edhoc_find_ead(&eads, ATTEST_EAD);
    assert_non_null(ead);
    handshake->evidence = ead->value;
    check_ok(attest_binder(&handshake->edhoc, &handshake->binder));
    check_ok(edhoc_oscore_input(&handshake->edhoc, &input));
    *peer = (struct rig_peer){0};
    check_ok(oscore_session_agree(&peer->session, OSCORE_CLIENT, &input));
    oscore_input_wipe(&input);
}

/* A session with the appraisal that is a client's. Not OK: the hub refused. */
static inline enum status rig_meet_as(struct rig *rig, const struct edhoc_credential *own, struct rig_peer *peer)
{
    static struct rig_handshake handshake;
    struct bytes answer;
    uint8_t nonce[32], user_data[EAT_USER_DATA_LEN], credential[CRYPTO_HASH_MAX];
    handshake = (struct rig_handshake){0};
    check_ok(crypto_random(nonce, sizeof nonce));
    assert_int_equal(COAP_CHANGED, rig_edhoc(rig, rig_message_1(&handshake), &answer));
    if (rig_edhoc(rig, rig_message_3(&handshake, answer, own, BYTES_OF(nonce)), &answer) != COAP_CHANGED) {
        edhoc_done(&handshake.edhoc);
        return DENIED;
    }
    rig_take_message_4(&handshake, answer, peer);
    struct attest_evidence evidence;
    struct monitor_report report;
    check_ok(attest_evidence_open(handshake.evidence, &handshake.binder, &evidence));
    check_bytes(BYTES_OF(nonce), evidence.nonce);
    check_ok(crypto_hash(CRYPTO_SHA256, &handshake.hub.value, 1, credential));
    assert_memory_equal(credential, evidence.credential, EAT_HASH_LEN);
    if (rig->reporter) { /* others appraise it */
        edhoc_done(&handshake.edhoc);
        return OK;
    }
    assert_int_equal(sizeof report, evidence.launch.len);
    memcpy(&report, evidence.launch.data, sizeof report);
    check_ok(attest_user_data(&evidence.key, user_data));
    assert_memory_equal(user_data, report.user_data, sizeof user_data);
    edhoc_done(&handshake.edhoc);
    return OK;
}

static inline void rig_meet(struct rig *rig, struct rig_peer *owner)
{
    const struct edhoc_credential own = rig_owner_credential_of(rig->owner);
    check_ok(rig_meet_as(rig, &own, owner));
    owner->agreed = true;
}

/* ---- The site CA ---- */

static inline void rig_take_base64(json_t *json, const char *name, struct writer *writer)
{
    const char *text = json_string_value(json_object_get(json, name));
    assert_non_null(text);
    check_ok(base64url_decode(text, writer));
    json_decref(json);
}

static inline void rig_post_certificate(struct rig *rig, struct rig_peer *owner, uint8_t wanted, struct bytes der)
{
    char text[(4 * PKI_CERTIFICATE_MAX + 2) / 3 + 1], body[sizeof text + 32];
    check_ok(base64url_encode(der, text, sizeof text));
    snprintf(body, sizeof body, "{\"certificate\":\"%s\"}", text);
    rig_do(rig, owner, wanted, COAP_POST, "site/certificate", body);
}

/* What the owner's command line does at init. The certificate is for `site`, which is this one's or another. */
static inline void rig_certify_site(struct rig *rig, struct rig_peer *owner, struct writer *certificate)
{
    uint8_t room[PKI_REQUEST_MAX];
    struct writer der = writer_over(room, sizeof room);
    struct pki_request request;
    struct pki_certificate root;
    struct bytes root_der;
    struct image_configuration configuration;
    const struct crypto_key *key = rig_owner_of(rig->owner, &root_der);
    rig_take_base64(rig_expect(rig, owner, COAP_CREATED, COAP_POST, "site/request", NULL, NULL), "request", &der);
    check_ok(pki_request_open(writer_bytes(&der), &request));
    check_ok(pki_certificate_decode(root_der, &root));
    check_ok(image_configuration_decode(rig->configuration, &configuration));
    struct x509_order order = {.identity = {.role = X509_SITE_CA, .name = bytes_from_text("site")},
                               .key = request.key,
                               .now_s = (int64_t)(rig->now_ms / 1000)};
    memcpy(order.identity.site, configuration.site, sizeof order.identity.site);
    check_ok(x509_issue(certificate, key, &root, &order));
    rig_post_certificate(rig, owner, COAP_CHANGED, writer_bytes(certificate));
}

static inline void rig_add_client(struct rig *rig, struct rig_peer *owner, const char *name, const char *algorithm,
                                  struct rig_peer *client)
{
    char body[256];
    uint8_t room[OSCORE_INPUT_MAX];
    struct writer writer = writer_over(room, sizeof room);
    struct oscore_input input;
    snprintf(body, sizeof body, "{\"name\":\"%s\",\"algorithm\":\"%s\"}", name, algorithm);
    json_t *json = rig_expect(rig, owner, COAP_CREATED, COAP_POST, "clients", NULL, body);
    assert_string_equal(name, json_string_value(json_object_get(json, "name")));
    check_ok(base64url_decode(json_string_value(json_object_get(json, "input")), &writer));
    check_ok(oscore_input_decode(writer_bytes(&writer), &input));
    *client = (struct rig_peer){0};
    check_ok(oscore_session_init(&client->session, OSCORE_CLIENT, &input));
    oscore_input_wipe(&input);
    json_decref(json);
}

static inline void rig_peer_done(struct rig_peer *peer)
{
    oscore_session_done(&peer->session);
}

#endif
