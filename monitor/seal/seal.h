/* seal: which sealing keys an enclave may have, and how they come from the node's sealing root. Never keeps a key. */
#ifndef BASTIDE_SEAL_H
#define BASTIDE_SEAL_H

#include "abi.h"
#include "base.h"

/* Who asks, as the monitor measured it; nothing of it is the enclave's own word. */
struct seal_asker {
    uint8_t measurement[MONITOR_HASH_LEN];
    uint8_t signer[MONITOR_HASH_LEN]; /* over signer and product (image_seal_signer) */
    uint8_t config[MONITOR_HASH_LEN];
    uint32_t security_version;
};

/* The inputs of a new blob of the asker's. MALFORMED for an unknown policy. */
MUST_USE enum status seal_fill(const struct seal_asker *asker, uint32_t policy, const uint8_t salt[MONITOR_HASH_LEN],
                               struct monitor_seal_inputs *inputs);
/* May the asker have the key of these inputs? MALFORMED for an unknown policy or a field the policy does not use;
 * DENIED: another program or signer, another owner, site or mode, or sealed by a newer security version. */
MUST_USE enum status seal_permits(const struct seal_asker *asker, const struct monitor_seal_inputs *inputs);
/* HKDF-SHA-256(root, label || inputs, each field big-endian and of fixed length). */
MUST_USE enum status seal_key(const uint8_t root[32], const uint8_t label[MONITOR_LABEL_LEN],
                              const struct monitor_seal_inputs *inputs, uint8_t key[MONITOR_KEY_LEN]);
/* A key for the monitor itself: no enclave's label and inputs lead to it. */
MUST_USE enum status seal_monitor_key(const uint8_t root[32], const char *purpose, uint8_t key[MONITOR_KEY_LEN]);

#endif
