/* An owner and the site CA that he certified, for tests of what the CA signs. */
#ifndef BASTIDE_TESTS_SITE_CA_H
#define BASTIDE_TESTS_SITE_CA_H

#include "check.h"

#include "crypto.h"
#include "pki.h"
#include "x509.h"

static struct crypto_key owner_key, ca_key;
static uint8_t ca_room[PKI_CERTIFICATE_MAX];
static struct pki_certificate ca; /* borrows from ca_der */
static struct bytes ca_der;

static inline void make_site_ca(int64_t now_s)
{
    static const uint8_t number[X509_SERIAL_LEN] = {1};
    static uint8_t root_room[PKI_CERTIFICATE_MAX];
    struct writer writer = writer_over(root_room, sizeof root_room), ca_writer = writer_over(ca_room, sizeof ca_room);
    struct pki_certificate root;
    struct x509_order order = {.identity = {.role = X509_SITE_CA, .name = bytes_from_text("site")}, .now_s = now_s};
    check_ok(crypto_key_generate(&owner_key, CRYPTO_P256));
    check_ok(crypto_key_generate(&ca_key, CRYPTO_P256));
    check_ok(x509_issue_root(&writer, &owner_key, number, now_s));
    check_ok(pki_certificate_decode(writer_bytes(&writer), &root));
    memcpy(order.serial, number, sizeof number);
    order.key = ca_key.public_key;
    check_ok(x509_issue(&ca_writer, &owner_key, &root, &order));
    ca_der = writer_bytes(&ca_writer);
    check_ok(pki_certificate_decode(ca_der, &ca));
}

static inline void end_site_ca(void)
{
    crypto_key_done(&owner_key);
    crypto_key_done(&ca_key);
}

#endif
