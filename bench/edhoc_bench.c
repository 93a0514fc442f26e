/* EDHOC: both sides of a handshake beside its public-key operations alone, what a responder does in a second, and how
 * long the messages are with each way to name a credential. In processor time: nothing here waits. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "edhoc.h"
#include "x509.h"

#define RUNS 15
#define ROUNDS 100
#define ROOM 4096

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "edhoc_bench: %s failed\n", what);
        exit(1);
    }
}

/* One side's long-term key, its certificate or claims, and how it names them. */
struct party {
    struct crypto_key key;
    uint8_t value_room[1024], issuer_room[1024], id_room[2048];
    struct edhoc_credential credential;
};

enum naming { BY_X5T, BY_X5CHAIN, BY_KID };

/* A hub's certificate and its site CA's, as long as they come; one key has to do for all of them. */
static bool make_chain(const struct crypto_key *key, const char *name, struct writer *end_entity,
                       struct writer *site_ca)
{
    uint8_t room[PKI_CERTIFICATE_MAX];
    struct writer root = writer_over(room, sizeof room);
    struct pki_certificate issuer;
    struct x509_order order = {.identity = {.role = X509_SITE_CA, .name = bytes_from_text("site")},
                               .key = key->public_key,
                               .now_s = 1700000000};
    if (x509_issue_root(&root, key, order.serial, order.now_s) != OK ||
        pki_certificate_decode(writer_bytes(&root), &issuer) != OK || x509_issue(site_ca, key, &issuer, &order) != OK ||
        pki_certificate_decode(writer_bytes(site_ca), &issuer) != OK)
        return false;
    order.identity = (struct x509_identity){.role = X509_HUB, .name = bytes_from_text(name)};
    return x509_issue(end_entity, key, &issuer, &order) == OK;
}

static void make_party(struct party *party, const char *name, enum naming naming)
{
    struct writer value = writer_over(party->value_room, sizeof party->value_room);
    struct writer issuer = writer_over(party->issuer_room, sizeof party->issuer_room);
    struct writer id = writer_over(party->id_room, sizeof party->id_room);
    must(crypto_key_generate(&party->key, CRYPTO_P256) == OK, "crypto_key_generate");
    if (naming == BY_KID)
        edhoc_put_claims(&value, name, &party->key.public_key, bytes_from_text(name));
    else
        must(make_chain(&party->key, name, &value, &issuer), "x509_issue");
    const struct bytes chain[] = {writer_bytes(&value), writer_bytes(&issuer)};
    if (naming == BY_KID)
        edhoc_put_kid(&id, bytes_from_text(name));
    else if (naming == BY_X5T)
        edhoc_put_x5t(&id, chain[0]);
    else
        edhoc_put_x5chain(&id, chain, 2);
    must(writer_end(&value) == OK && writer_end(&id) == OK, "a credential");
    party->credential = (struct edhoc_credential){.is_certificate = naming != BY_KID,
                                                  .value = chain[0],
                                                  .key = party->key.public_key,
                                                  .private_key = &party->key,
                                                  .id_cred = writer_bytes(&id)};
}

static const int suites[] = {2};
static const struct edhoc_profile profile = {
    .methods = EDHOC_SIGN_SIGN | EDHOC_DH_DH, .suites = suites, .suites_count = 1};

/* The wire, one writer per message. */
struct handshake {
    struct edhoc_session initiator, responder;
    uint8_t rooms[4][ROOM], plain_room[ROOM];
    struct writer message[4];
    double responder_ns;
};

static struct crypto_key fresh_key(void)
{
    struct crypto_key key = {0};
    must(crypto_key_generate(&key, CRYPTO_P256) == OK, "crypto_key_generate");
    return key;
}

static void begin(struct handshake *h)
{
    h->initiator = h->responder = (struct edhoc_session){0};
    for (size_t i = 0; i < 4; i++)
        h->message[i] = writer_over(h->rooms[i], ROOM);
}

static void respond_to_1(struct handshake *h, const struct party *responder)
{
    static const struct edhoc_id c_r = {{2}, 1};
    struct edhoc_eads eads;
    struct crypto_key y = fresh_key();
    must(edhoc_take_message_1(&h->responder, &profile, writer_bytes(&h->message[0]), &eads) == OK &&
             edhoc_put_message_2(&h->responder, &y, &c_r, &responder->credential, NULL, &h->message[1]) == OK,
         "message 2");
}

static void respond_to_3(struct handshake *h, const struct party *initiator)
{
    struct edhoc_eads eads;
    struct edhoc_reference reference;
    struct writer plain = writer_over(h->plain_room, ROOM);
    must(edhoc_take_message_3(&h->responder, writer_bytes(&h->message[2]), &plain, &reference, &eads) == OK &&
             edhoc_verify_message_3(&h->responder, &initiator->credential) == OK &&
             edhoc_put_message_4(&h->responder, NULL, &h->message[3]) == OK,
         "message 4");
}

static void run(struct handshake *h, unsigned method, const struct party *initiator, const struct party *responder)
{
    static const struct edhoc_id c_i = {{1}, 1};
    struct edhoc_eads eads;
    struct edhoc_reference reference;
    struct writer plain = writer_over(h->plain_room, ROOM);
    begin(h);
    struct crypto_key x = fresh_key();
    must(edhoc_put_message_1(&h->initiator, &profile, method, edhoc_suite(2), &x, &c_i, NULL, &h->message[0]) == OK,
         "message 1");
    double from = bench_cpu_ns();
    respond_to_1(h, responder);
    h->responder_ns = bench_cpu_ns() - from;
    must(edhoc_take_message_2(&h->initiator, writer_bytes(&h->message[1]), &plain, &reference, &eads) == OK &&
             edhoc_verify_message_2(&h->initiator, &responder->credential) == OK &&
             edhoc_put_message_3(&h->initiator, &initiator->credential, NULL, &h->message[2]) == OK,
         "message 3");
    from = bench_cpu_ns();
    respond_to_3(h, initiator);
    h->responder_ns += bench_cpu_ns() - from;
    plain = writer_over(h->plain_room, ROOM);
    must(edhoc_take_message_4(&h->initiator, writer_bytes(&h->message[3]), &plain, &eads) == OK, "the handshake");
    edhoc_done(&h->initiator);
    edhoc_done(&h->responder);
}

/* What no handshake of method 0 can do without: on each side a key made, an agreement, a signature made and one
 * verified. The ephemeral keys are x coordinates, as they travel in EDHOC: to find y belongs to an agreement on them.
 */
static void public_key_operations(const struct party *initiator, const struct party *responder)
{
    uint8_t signature[CRYPTO_SIGNATURE_MAX];
    struct crypto_key own[2] = {fresh_key(), fresh_key()};
    const struct party *parties[2] = {initiator, responder};
    for (size_t i = 0; i < 2; i++) {
        SECRET shared = {0};
        struct bytes text = bytes_from("a text to be signed over", 24);
        struct crypto_public signer = parties[i]->key.public_key;
        must(crypto_ecdh(&own[i], crypto_public_x(&own[1 - i].public_key), &shared) == OK &&
                 crypto_sign(&parties[i]->key, &text, 1, signature) == OK &&
                 crypto_verify(CRYPTO_P256, crypto_public_bytes(&signer), &text, 1,
                               bytes_from(signature, crypto_signature_len(CRYPTO_P256))) == OK,
             "the peer");
    }
    crypto_key_done(&own[0]);
    crypto_key_done(&own[1]);
}

static void bench_handshake(void)
{
    static struct handshake h;
    static struct party initiator, responder;
    struct bench_runs both = {0}, theirs = {0}, responders = {0};
    make_party(&initiator, "initiator", BY_X5T);
    make_party(&responder, "responder", BY_X5T);
    for (int r = 0; r < RUNS; r++) { /* by turns: what else the machine does falls on both */
        double responder_ns = 0, from = bench_cpu_ns();
        for (int i = 0; i < ROUNDS; i++) {
            run(&h, 0, &initiator, &responder);
            responder_ns += h.responder_ns;
        }
        bench_add(&both, (bench_cpu_ns() - from) / ROUNDS / 1000);
        bench_add(&responders, responder_ns / ROUNDS);
        from = bench_cpu_ns();
        for (int i = 0; i < ROUNDS; i++)
            public_key_operations(&initiator, &responder);
        bench_add(&theirs, (bench_cpu_ns() - from) / ROUNDS / 1000);
    }
    bench_print("edhoc.handshake", both.best, "us", "its public-key operations", theirs.best, bench_spread(both));
    bench_print("edhoc.rate", 1e9 / responders.best, "/s", "-", 0, bench_spread(responders));
    crypto_key_done(&initiator.key);
    crypto_key_done(&responder.key);
}

static void print_sizes(const char *how, unsigned method, enum naming naming)
{
    static struct handshake h;
    static struct party initiator, responder;
    make_party(&initiator, naming == BY_KID ? "i" : "initiator", naming);
    make_party(&responder, naming == BY_KID ? "r" : "responder", naming);
    run(&h, method, &initiator, &responder);
    for (size_t i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof name, "edhoc.bytes_%s_message_%zu", how, i + 1);
        bench_print(name, (double)h.message[i].len, "B", "-", 0, 0);
    }
    crypto_key_done(&initiator.key);
    crypto_key_done(&responder.key);
}

int main(void)
{
    must(crypto_init() == OK, "crypto_init");
    bench_handshake();
    print_sizes("x5t", 0, BY_X5T);
    print_sizes("x5chain", 0, BY_X5CHAIN);
    print_sizes("static_dh", 3, BY_KID);
    return 0;
}
