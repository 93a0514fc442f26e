/* abi/keyholder: what the key holder gives the monitor it started, over the socketpair it made for it. One byte asks,
 * one message answers; nothing else is ever said. */
#ifndef BASTIDE_ABI_KEYHOLDER_H
#define BASTIDE_ABI_KEYHOLDER_H

#include <stdint.h>

#define KEYHOLDER_VERSION 1u
#define KEYHOLDER_FD 3 /* where the monitor finds its end */
#define KEYHOLDER_ASK 'k'

struct keyholder_keys {
    uint32_t version;
    uint32_t insecure_dev;
    uint8_t report_key[32]; /* P-256 scalar */
    uint8_t sealing_root[32];
    uint8_t monitor_hash[32]; /* SHA-256 of the program that was started, as measured from its sealed memfd */
};

_Static_assert(sizeof(struct keyholder_keys) == 104, "keyholder_keys");

#endif
