/* abi/monitor: what an enclave and the host daemon may ask of the monitor, over UNIX seqpacket sockets.
 * Carries no pointers and no text to be parsed; the monitor never sees application plaintext. */
#ifndef BASTIDE_ABI_MONITOR_H
#define BASTIDE_ABI_MONITOR_H

#include <stdint.h>

#define MONITOR_VERSION 2u
#define MONITOR_MESSAGE_MAX (64u * 1024u)
#define MONITOR_USER_DATA_LEN 64
#define MONITOR_NONCE_MAX 64
#define MONITOR_HASH_LEN 32
#define MONITOR_KEY_LEN 32
#define MONITOR_LABEL_LEN 32
#define MONITOR_SITE_LEN 16
#define MONITOR_INSTANCE_LEN 48 /* a name's place: 1 to 47 characters, which a UUID is */

/* Every message starts with this; a reply repeats the operation and carries an enum status. */
struct monitor_header {
    uint16_t version;
    uint16_t operation;
    uint16_t status; /* zero in requests */
    uint16_t reserved;
    uint32_t len; /* of what follows */
    uint32_t reserved1;
};

/* Asked by an enclave on the socket it was launched with. */
enum monitor_operation {
    MONITOR_READY = 1,    /* no payload: locked down; reply: monitor_ready_reply, which says whose it is to be. Until it
                             comes, an enclave is nobody's, and any instance's of its image */
    MONITOR_REPORT = 2,   /* monitor_report; reply: evidence (proto/eat) */
    MONITOR_SEAL_KEY = 3, /* monitor_seal; reply: monitor_seal_reply */
    MONITOR_HEAD = 4,     /* no payload; reply: monitor_head_reply, of a head that is durable */
    MONITOR_ADVANCE = 5,  /* monitor_advance, then the record that it names, or nothing; the reply (monitor_head_reply)
                             comes only once both are durable, or, where the host end attached as relaxed and there is
                             a record, with the kernel */
    MONITOR_LAUNCH = 6,   /* no payload; reply: monitor_launch, what was measured for the host end that is attached.
                             NOT_FOUND: nothing was */
    MONITOR_LAUNCHES = 7, /* monitor_launches_from; reply: monitor_launches_reply, the node's log of measured launches
                             since the monitor began, oldest first. Of enclaves, the node's own vTPM alone may ask; on
                             the control socket whoever may open it */
    MONITOR_RECORD = 8,   /* monitor_record; reply: the record that came with the advance to it, of the last
                             MONITOR_RECORDS up to the head: what the host lost may be had from here. Whether it is the
                             one that counts its hash chain tells. NOT_FOUND: none is kept */

    /* Asked by the host daemon on the monitor's control socket. */
    MONITOR_ATTACH = 32,   /* no payload: the node's own instance; or monitor_instance: the one in node/instances/NAME;
                              or monitor_attach, which says also how its commits are to be.
                              Reply OK: this socket is its host end and an enclave is launched for it, which is stopped
                              when the socket hangs up; else a sentence that says why not (BUSY: it has a host end) */
    MONITOR_STATUS = 33,   /* payload as ATTACH's first two; NOT_FOUND: no host end is attached by that name. Reply:
                              monitor_status, then text: one missing wall a line; while the TPM does not answer, a last
                              line "tpm: " and the reason */
    MONITOR_STOP = 34,     /* clean stop of all enclaves and the monitor: the NV counter moves; reply when done */
    MONITOR_LAUNCHED = 35, /* pushed by the monitor to the host end with LAUNCHED_DESCRIPTORS: door window, eventfd the
                             enclave waits on, eventfd the host waits on, socket to hand sockets over (abi/door.h);
                             monitor_launched */
    MONITOR_DIED =
        36, /* pushed to the host end: monitor_died, then a sentence; a LAUNCHED follows after the back-off */
    MONITOR_ACTIVATE = 37,  /* a credential (verifier/evidence: evidence_challenge); reply: the secret in it, which only
                               a TPM that holds both this node's EK and its AK can tell */
    MONITOR_MEASURE = 38,   /* a host end, once attached: monitor_measure with a descriptor for each part, in their
                               order, all of memory that is sealed for good (F_SEAL_WRITE, GROW, SHRINK, SEAL). Reply,
                               when all is hashed: monitor_launch. DENIED: the machine policy wants other parts, and a
                               sentence names them; MALFORMED, NO_ROOM: a descriptor or a length; WRONG_STATE: done
                               already, for a measurement belongs to one attachment; BUSY: under way. */
    MONITOR_MEASURING = 39, /* pushed meanwhile, at most once a second: monitor_measuring */
    MONITOR_FORGET = 40,    /* monitor_forget, then the owner's word for it (proto/image: IMAGE_FORGET at the present NV
                               counter). Reply OK: the site has no head any more, the NV counter moved; what it stored does
                               not open again. Else a sentence that says why not: BUSY: a host end is attached; NOT_FOUND:
                               it has no head; AUTH, DENIED: not the owner's word, or not for this site at this counter */
};

/* Which of a node's instances: letters, digits and . _ - , the first of them a letter or digit; zero padded and ended.
 */
struct monitor_instance {
    char name[MONITOR_INSTANCE_LEN];
};

struct monitor_attach {
    struct monitor_instance instance;
    uint32_t relaxed; /* 1: an advance with a record is answered before it is durable, which it is a second later */
    uint32_t reserved;
};

struct monitor_forget {
    uint8_t site[MONITOR_SITE_LEN];
};

struct monitor_report {
    uint8_t user_data[MONITOR_USER_DATA_LEN];
    uint8_t nonce[MONITOR_NONCE_MAX]; /* goes into the report and into the TPM quote */
    uint32_t nonce_len;               /* 0, or 8 to 64 */
    uint32_t reserved;
};

enum monitor_seal_policy {
    MONITOR_SEAL_EXACT = 1,  /* this measurement only */
    MONITOR_SEAL_SIGNER = 2, /* signer, product and a security version not lower: upgrades keep data */
};

/* Then the launch configuration (proto/image), then the workload: tasks, or a machine policy. */
struct monitor_ready_reply {
    uint32_t configuration_len;
    uint32_t workload_len;
};

/* The inputs a sealing key is derived from; a blob stores them beside its ciphertext and hands them back to open. To
 * seal anew, zero `derivation`. */
struct monitor_seal_inputs {
    uint32_t policy;
    uint32_t security_version;             /* of the sealer; the monitor refuses one above the asker's own */
    uint8_t measurement[MONITOR_HASH_LEN]; /* exact only */
    uint8_t signer[MONITOR_HASH_LEN];      /* signer only: hash of the signer's key and product */
    uint8_t config[MONITOR_HASH_LEN];      /* config id: owner, site, mode */
    uint8_t salt[MONITOR_HASH_LEN];
};

struct monitor_seal {
    uint8_t label[MONITOR_LABEL_LEN]; /* what the key is for, zero padded text */
    uint32_t policy;                  /* used when `open` is 0: the monitor fills in the inputs with a fresh salt */
    uint32_t open; /* 1: derive the key of exactly these inputs, if policy lets this enclave have it */
    struct monitor_seal_inputs inputs;
};

struct monitor_seal_reply {
    uint8_t key[MONITOR_KEY_LEN];
    struct monitor_seal_inputs inputs;
};

struct monitor_advance {
    uint64_t sequence; /* must be the current head's plus one */
    uint8_t hash[MONITOR_HASH_LEN];
    uint32_t strict; /* 1: the NV counter moves too */
    uint32_t reserved;
};

#define MONITOR_RECORDS 32       /* kept of each site */
#define MONITOR_RECORD_MAX 4032  /* a longer one does not come with its advance */
#define MONITOR_RECORD_ROOM 4064 /* for one that is given back, which a monitor before may have kept */

struct monitor_record {
    uint64_t sequence;
};

/* The site's head and how fresh it can be proved to be. */
struct monitor_head_reply {
    uint64_t sequence;              /* 0: nothing was ever committed, or the site was forgotten */
    uint8_t hash[MONITOR_HASH_LEN]; /* at sequence 0: what the first record follows */
    uint64_t nv_counter;
    uint32_t reset_count; /* the TPM's, as it was asked last: for a HEAD or a REPORT; 0: it never answered */
    uint32_t restart_count;
    uint64_t since_s; /* when the NV counter last moved, host clock: the window in which a swap of table and store
                         together would not show */
};

/* What a VM is started from, by enum image_part (proto/image): bit and place are the part's number. */
#define MONITOR_PARTS 5

struct monitor_measure {
    uint32_t given; /* which parts come; at least one */
    uint32_t reserved;
};

struct monitor_measuring {
    uint64_t done, total; /* bytes */
};

struct monitor_launch {
    uint32_t given;
    uint32_t refused; /* of a policy that does not enforce: the parts that are not as it has them, missing ones too */
    uint8_t hash[MONITOR_PARTS][MONITOR_HASH_LEN]; /* SHA-256; zero unless given */
};

struct monitor_launches_from {
    uint64_t number; /* of the first one wanted; they count from 0 */
};

#define MONITOR_SITE_LEN 16
#define MONITOR_LAUNCHES_MAX 64 /* in one reply */

struct monitor_vm {
    uint8_t site[MONITOR_SITE_LEN]; /* of the instance that the launch was measured for */
    struct monitor_launch launch;
};

/* Then `count` times monitor_vm. */
struct monitor_launches_reply {
    uint64_t total; /* in the log */
    uint32_t count;
    uint32_t reserved;
};

#define LAUNCHED_DESCRIPTORS 4
struct monitor_launched {
    uint32_t launch; /* how many launches this host end has seen; the node's own instance: since the monitor began */
    uint32_t back_off_ms; /* that preceded it */
};

struct monitor_died {
    uint32_t pid;
    uint32_t wait_status; /* as wait(2) */
};

struct monitor_status {
    uint32_t enclave_pid; /* 0 while none runs */
    uint32_t launches;
    uint64_t secret_bytes;      /* of the enclave's writable memory that is in secret memory */
    uint64_t unprotected_bytes; /* that is not */
    uint64_t nv_counter;
    uint64_t sequence;
    uint32_t monitor_measured; /* 0: evidence says monitor=unmeasured */
    uint32_t insecure_dev;
    uint8_t measurement[MONITOR_HASH_LEN];
    uint8_t config[MONITOR_HASH_LEN];
};

/* What an enclave finds on descriptor LAUNCH_FD_PARAMETERS, a sealed memfd: launch_parameters, the same for all of one
 * image. */
enum launch_fd {
    LAUNCH_FD_MONITOR = 3,  /* seqpacket to the monitor */
    LAUNCH_FD_DOOR = 4,     /* the window */
    LAUNCH_FD_DOOR_IN = 5,  /* eventfd the enclave waits on */
    LAUNCH_FD_DOOR_OUT = 6, /* eventfd the host waits on */
    LAUNCH_FD_PARAMETERS = 7,
    LAUNCH_FD_PROGRAM = 8,  /* the sealed program itself */
    LAUNCH_FD_SOCKETS = 9,  /* seqpacket from the host end: sockets handed over */
    LAUNCH_FD_MODULES = 10, /* this and the following: one sealed memfd for each file of the image after its program, in
                              manifest order: a module, its policy, and so on */
};

#define LAUNCH_VERSION 2u /* how an enclave is launched: descriptors, parameters, READY's answer */

struct launch_parameters {
    uint32_t version;
    uint32_t module_count;
    uint64_t pool_len;         /* bytes of the memory pool: the enclave's memory cap */
    uint64_t secret_len;       /* how many of them may be secret memory (RLIMIT_MEMLOCK), the pool's first bytes */
    uint32_t no_secret_memory; /* control of the scanning test: development mode only, told in evidence */
    uint32_t body_max;         /* most bytes of a request's payload; 0: the program's own limit */
};

_Static_assert(sizeof(struct monitor_header) == 16, "monitor_header");
_Static_assert(sizeof(struct monitor_instance) == 48, "monitor_instance");
_Static_assert(sizeof(struct monitor_launch) == 168, "monitor_launch");
_Static_assert(sizeof(struct monitor_vm) == 184, "monitor_vm");
_Static_assert(sizeof(struct monitor_launches_reply) == 16, "monitor_launches_reply");
_Static_assert(sizeof(struct monitor_seal_inputs) == 136, "monitor_seal_inputs");
_Static_assert(sizeof(struct launch_parameters) == 32, "launch_parameters");

#endif
