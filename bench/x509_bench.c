/* Certificates: one read, one issued, and a chain of hub and site CA checked to the owner, beside libcrypto's own X.509
 * and beside the signatures alone, which nobody can do without. */
#include "bench.h"
#include "x509.h"

#include <openssl/x509.h>
#include <stdlib.h>

#define NOW 1795000000
#define RUNS 9
#define ROUNDS 300

static struct crypto_key owner, ca, hub;
static uint8_t rooms[4][PKI_CERTIFICATE_MAX];
static struct bytes owner_der, ca_der, hub_der;
static struct pki_certificate ca_certificate, hub_certificate;
static struct x509_order order = {.now_s = NOW};

static void must(bool truth, const char *what)
{
    if (!truth) {
        fprintf(stderr, "x509_bench: %s failed\n", what);
        exit(1);
    }
}

static struct bytes issue(uint8_t *room, const struct crypto_key *key, const struct pki_certificate *issuer,
                          enum x509_role role, const char *name, const struct crypto_key *subject)
{
    struct writer writer = writer_over(room, PKI_CERTIFICATE_MAX);
    order.identity.role = role;
    order.identity.name = bytes_from_text(name);
    order.key = subject->public_key;
    must(x509_issue(&writer, key, issuer, &order) == OK, "x509_issue");
    return writer_bytes(&writer);
}

static void make_site(void)
{
    struct writer root = writer_over(rooms[0], PKI_CERTIFICATE_MAX);
    struct pki_certificate certificate;
    must(crypto_init() == OK && crypto_key_generate(&owner, CRYPTO_P256) == OK &&
             crypto_key_generate(&ca, CRYPTO_P256) == OK && crypto_key_generate(&hub, CRYPTO_P256) == OK,
         "crypto_key_generate");
    must(x509_issue_root(&root, &owner, order.serial, NOW) == OK, "x509_issue_root");
    owner_der = writer_bytes(&root);
    must(pki_certificate_decode(owner_der, &certificate) == OK, "pki_certificate_decode");
    ca_der = issue(rooms[1], &owner, &certificate, X509_SITE_CA, "house", &ca);
    must(pki_certificate_decode(ca_der, &ca_certificate) == OK, "pki_certificate_decode");
    hub_der = issue(rooms[2], &ca, &ca_certificate, X509_HUB, "hub", &hub);
    must(pki_certificate_decode(hub_der, &hub_certificate) == OK, "pki_certificate_decode");
}

/* ---- What is measured ---- */

static void read_one(void)
{
    struct pki_certificate certificate;
    must(pki_certificate_decode(hub_der, &certificate) == OK, "pki_certificate_decode");
}

static void read_one_by_libcrypto(void)
{
    const unsigned char *at = hub_der.data;
    X509 *x509 = d2i_X509(NULL, &at, (long)hub_der.len);
    must(x509 != NULL, "d2i_X509");
    X509_free(x509);
}

static void check_chain(void)
{
    const struct bytes chain[] = {hub_der, ca_der};
    struct x509_result result;
    struct x509_policy policy = {.anchor = owner_der,
                                 .site = BYTES_OF(order.identity.site),
                                 .roles = 1u << X509_HUB,
                                 .usage = PKI_DIGITAL_SIGNATURE,
                                 .now_s = NOW};
    must(x509_check_chain(chain, 2, &policy, &result) == OK, "x509_check_chain");
}

/* The two signatures of the chain and nothing else. */
static void verify_two(void)
{
    must(pki_certificate_verify(&hub_certificate, &ca.public_key) == OK &&
             pki_certificate_verify(&ca_certificate, &owner.public_key) == OK,
         "pki_certificate_verify");
}

static void issue_one(void)
{
    (void)issue(rooms[3], &ca, &ca_certificate, X509_HUB, "hub", &hub);
}

static void sign_one(void)
{
    uint8_t signature[CRYPTO_SIGNATURE_MAX];
    must(crypto_sign(&ca, &hub_certificate.signed_part, 1, signature) == OK, "crypto_sign");
}

static double time_us(void (*act)(void))
{
    double start = bench_now_ns();
    for (int i = 0; i < ROUNDS; i++)
        act();
    return (bench_now_ns() - start) / ROUNDS / 1000;
}

static void compare(const char *name, void (*ours)(void), const char *peer, void (*theirs)(void))
{
    struct bench_runs our_runs = {0}, their_runs = {0};
    for (int i = 0; i < RUNS; i++) {
        bench_add(&our_runs, time_us(ours));
        bench_add(&their_runs, time_us(theirs));
    }
    bench_print(name, our_runs.best, "us", peer, their_runs.best, bench_spread(our_runs));
}

int main(void)
{
    make_site();
    compare("x509.read", read_one, "libcrypto", read_one_by_libcrypto);
    compare("x509.chain", check_chain, "its two signatures", verify_two);
    compare("x509.issue", issue_one, "its signature", sign_one);
    bench_print("x509.certificate", (double)hub_der.len, "bytes", "site CA", (double)ca_der.len, 0);
    crypto_key_done(&owner);
    crypto_key_done(&ca);
    crypto_key_done(&hub);
    return 0;
}
