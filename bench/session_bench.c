/* Sessions at the hub: the hub of the enclave with its own heap, everything around it as the tests have it, and clients
 * that were enrolled with certificates. What a handshake with evidence costs the hub, beside the public-key operations
 * it cannot do without, while few sessions are open and when each new one pushes another out; what an enrolment costs
 * it; and how much memory open sessions hold. In the hub's processor time: nothing here waits. */
#include "bench.h"
#include "hub_device.h"
#include "memory.h"

#define RUNS 5
#define ROUNDS 200
#define CLIENTS 1000
#define EACH 10 /* sessions of one client: 10,000 in all */
#define POOL_LEN ((size_t)512 << 20)

_Static_assert(CLIENTS *EACH <= HUB_SESSIONS_MAX && EACH <= HUB_SESSIONS_EACH, "all of them stay open");

static uint8_t certificates[CLIENTS][PKI_CERTIFICATE_MAX];
static size_t lens[CLIENTS];

static struct edhoc_credential credential_of(size_t client)
{
    static uint8_t id_room[32];
    struct writer id = writer_over(id_room, sizeof id_room);
    struct edhoc_credential own = {
        .is_certificate = true, .value = bytes_from(certificates[client], lens[client]), .private_key = &device_key};
    edhoc_put_x5t(&id, own.value);
    own.id_cred = writer_bytes(&id);
    return own;
}

/* One handshake; what of it was the hub's, in ns. */
static double shake_hands(size_t client)
{
    static struct rig_handshake handshake;
    static const uint8_t nonce[32] = {1};
    struct edhoc_credential own = credential_of(client);
    struct rig_peer peer;
    struct bytes answer;
    handshake = (struct rig_handshake){0};
    struct bytes message = rig_message_1(&handshake);
    double from = bench_cpu_ns();
    uint8_t code = rig_edhoc(&rig, message, &answer);
    double spent = bench_cpu_ns() - from;
    assert_int_equal(COAP_CHANGED, code);
    message = rig_message_3(&handshake, answer, &own, BYTES_OF(nonce));
    from = bench_cpu_ns();
    code = rig_edhoc(&rig, message, &answer);
    spent += bench_cpu_ns() - from;
    assert_int_equal(COAP_CHANGED, code);
    rig_take_message_4(&handshake, answer, &peer);
    rig_peer_done(&peer);
    edhoc_done(&handshake.edhoc);
    return spent;
}

/* The hub's part of suite 6, method 0, with evidence: a key made and an agreement, two signatures (its own and the
 * attestation key's), one verified. */
static double public_key_operations(void)
{
    static struct crypto_key peer, signer;
    static const uint8_t words[24];
    struct bytes text = BYTES_OF(words);
    struct crypto_key own = {0};
    uint8_t signature[CRYPTO_SIGNATURE_MAX];
    SECRET shared = {0};
    if (!peer.pkey) {
        check_ok(crypto_key_generate(&peer, CRYPTO_X25519));
        check_ok(crypto_key_generate(&signer, CRYPTO_P256));
    }
    double from = bench_cpu_ns();
    check_ok(crypto_key_generate(&own, CRYPTO_X25519));
    check_ok(crypto_ecdh(&own, crypto_public_bytes(&peer.public_key), &shared));
    check_ok(crypto_sign(&signer, &text, 1, signature));
    check_ok(crypto_sign(&signer, &text, 1, signature));
    check_ok(crypto_verify(CRYPTO_P256, crypto_public_bytes(&signer.public_key), &text, 1,
                           bytes_from(signature, crypto_signature_len(CRYPTO_P256))));
    double spent = bench_cpu_ns() - from;
    crypto_key_done(&own);
    return spent;
}

static void bench_rate(const char *name)
{
    static size_t next;
    struct bench_runs ours = {0}, theirs = {0};
    for (int r = 0; r < RUNS; r++) {
        double spent = 0, least = 0;
        for (int i = 0; i < ROUNDS; i++) {
            spent += shake_hands(next++ % CLIENTS);
            least += public_key_operations();
            rig.now_ms++;
        }
        bench_add(&ours, spent / ROUNDS);
        bench_add(&theirs, least / ROUNDS);
    }
    bench_print(name, 1e9 / ours.best, "1/s", "its public-key operations", 1e9 / theirs.best, bench_spread(ours));
}

/* Code, handshake with a bare key, certificate: the hub's part, made durable by an archive in memory. */
static void enrol_all(void)
{
    struct bench_runs runs = {0};
    for (size_t i = 0; i < CLIENTS; i++) {
        char name[32];
        snprintf(name, sizeof name, "client%zu", i);
        double from = bench_cpu_ns();
        lens[i] = enrolled(name, certificates[i]).len;
        bench_add(&runs, (bench_cpu_ns() - from) / 1e6);
        rig.now_ms += 10;
    }
    bench_print("hub.enrolment_both_sides", runs.best, "ms", "-", 0, 0);
}

static double resident(void)
{
    char line[64] = "";
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    fclose(file);
    assert_int_equal(1, sscanf(line, "%*u %lu", &pages));
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Nothing was freed before that could be used again, but for what enrolment took. */
static void bench_memory(void)
{
    const double sessions = CLIENTS * EACH;
    shake_hands(0); /* what a first handshake allocates for good is there */
    double before = resident(), used = (double)memory_account().heap_used;
    for (size_t i = 0; i < CLIENTS * EACH; i++) {
        shake_hands(i % CLIENTS);
        rig.now_ms++;
    }
    bench_print("hub.session_memory", (resident() - before) / sessions, "B", "handed out by its heap",
                ((double)memory_account().heap_used - used) / sessions, 0);
}

static int bench(void *user)
{
    (void)user;
    set_up_site(NULL);
    enrol_all();
    bench_memory();
    for (int i = 0; i < HUB_SESSIONS_MAX - CLIENTS * EACH; i++)
        shake_hands((size_t)i); /* the table is full now */
    bench_rate("hub.handshakes_full");
    restart();
    bench_rate("hub.handshakes");
    tear_down(NULL);
    return 0;
}

int main(void)
{
    const struct memory_options options = {.pool_len = POOL_LEN, .stack_len = 4u << 20};
    int result = 1;
    if (crypto_init() != OK || memory_enter(&options, bench, NULL, &result) != OK) {
        fprintf(stderr, "session_bench: no memory\n");
        return 1;
    }
    return result;
}
