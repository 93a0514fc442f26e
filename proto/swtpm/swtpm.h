/* swtpm: the control channel of swtpm 0.7.1 as bytes — every command it answers, their replies, and where a frame ends
 * on the control and on the data channel. Never allocates, never decides what a command means; pure.
 *
 * A control command is its number and a body, all big-endian; a reply is only the result and what follows from it. What
 * is refused before it is looked at is answered by the result alone. Numbers and layouts are those of swtpm's
 * tpm_ioctl.h, checked against what swtpm 0.7.1 says on the wire. */
#ifndef BASTIDE_SWTPM_H
#define BASTIDE_SWTPM_H

#include "base.h"

enum swtpm_command {
    SWTPM_GET_CAPABILITY = 0x01,
    SWTPM_INIT = 0x02,
    SWTPM_SHUTDOWN = 0x03,
    SWTPM_GET_ESTABLISHED = 0x04,
    SWTPM_SET_LOCALITY = 0x05,
    SWTPM_HASH_START = 0x06,
    SWTPM_HASH_DATA = 0x07,
    SWTPM_HASH_END = 0x08,
    SWTPM_CANCEL = 0x09,
    SWTPM_STORE_VOLATILE = 0x0a,
    SWTPM_RESET_ESTABLISHED = 0x0b,
    SWTPM_GET_STATE = 0x0c,
    SWTPM_SET_STATE = 0x0d,
    SWTPM_STOP = 0x0e,
    SWTPM_GET_CONFIG = 0x0f,
    SWTPM_SET_DATAFD = 0x10, /* its descriptor travels beside it, by SCM_RIGHTS */
    SWTPM_SET_BUFFER_SIZE = 0x11,
    SWTPM_GET_INFO = 0x12,
};

/* What GET_CAPABILITY tells: one bit for each command above but GET_CAPABILITY (three share HASHING), and 1 << 15 for
 * TPM2_SEND_COMMAND's prefix on the data channel. */
#define SWTPM_CAPABILITIES 0xffffu

/* Results, as TPM 1.2 numbers them. */
enum swtpm_result {
    SWTPM_OK = 0,
    SWTPM_AUTH_FAIL = 0x01,
    SWTPM_BAD_PARAMETER = 0x03,
    SWTPM_FAIL = 0x09,
    SWTPM_BAD_ORDINAL = 0x0a, /* unknown, or not while the TPM runs, or does not run */
    SWTPM_NO_SPACE = 0x11,
    SWTPM_IO_ERROR = 0x1f,
    SWTPM_BAD_LOCALITY = 0x3d,
    SWTPM_RETRY = 0x800, /* also: there is no such state */
};

#define SWTPM_INIT_DELETE_VOLATILE 1u /* after it was read, as QEMU asks when a VM resumes: here it always is */
#define SWTPM_LOCALITY_MAX 4u
#define SWTPM_STATE_DECRYPTED 1u
#define SWTPM_STATE_ENCRYPTED 2u
enum swtpm_state { SWTPM_PERMANENT = 1, SWTPM_VOLATILE = 2, SWTPM_SAVESTATE = 3 };

#define SWTPM_BLOB_MAX (160u * 1024u)           /* of a state blob, of data to be hashed */
#define SWTPM_REQUEST_MAX (SWTPM_BLOB_MAX + 16) /* of a control command */
#define SWTPM_INFO_MAX 1024u
#define SWTPM_TPM_MAX 4096u /* of a TPM command, of a response */
#define SWTPM_TPM_HEADER 10u

struct swtpm_request {
    enum swtpm_command command;
    union {
        uint32_t init_flags;
        uint8_t locality;  /* SET_LOCALITY, RESET_ESTABLISHED; any value */
        struct bytes data; /* HASH_DATA; borrows */
        struct {
            uint32_t flags, type, off; /* any values */
        } get_state;
        struct {
            uint32_t flags, type;
            struct bytes blob; /* borrows */
        } set_state;
        uint32_t buffer_size; /* 0: asks */
        struct {
            uint64_t flags;
            uint32_t off;
        } info;
    } of;
};

/* How long the command is that `seen` begins with. TRUNCATED: more must be seen to tell; UNSUPPORTED: no such command,
 * and so no telling where it ends; NO_ROOM: it announces more than SWTPM_BLOB_MAX. A locality may be followed by its
 * union's three bytes of padding, which count as far as they came with it: QEMU sends them, tpm2-tss does not. */
MUST_USE enum status swtpm_request_len(struct bytes seen, size_t *len);
/* The whole of a command and nothing else. */
MUST_USE enum status swtpm_request_decode(struct bytes encoded, struct swtpm_request *request);
/* Locality without padding. MALFORMED: no such command. */
void swtpm_put_request(struct writer *writer, const struct swtpm_request *request);

struct swtpm_reply {
    uint32_t result;
    bool bare; /* the result alone, where a command's reply has more */
    union {
        uint32_t capabilities;
        uint8_t established; /* 0 or 1 */
        struct {
            uint32_t flags, total;
            struct bytes blob; /* borrows */
        } state;
        uint32_t config;
        struct {
            uint32_t used, min, max;
        } buffer;
        struct {
            uint32_t total;
            struct bytes text; /* borrows; its NUL counts, as swtpm has it */
        } info;
    } of;
};

/* NO_ROOM: more than SWTPM_BLOB_MAX or SWTPM_INFO_MAX. */
void swtpm_put_reply(struct writer *writer, enum swtpm_command command, const struct swtpm_reply *reply);
MUST_USE enum status swtpm_reply_decode(enum swtpm_command command, struct bytes encoded, struct swtpm_reply *reply);

/* ---- The data channel: TPM commands as they are; or each behind the prefix of Microsoft's simulator ---- */

#define SWTPM_PREFIX 9u /* {u32 8, u8 locality, u32 length of the command} */

struct swtpm_tpm_command {
    bool prefixed; /* its response is wanted as {u32 length, response, u32 0} */
    uint8_t locality;
    uint32_t code;
    struct bytes command; /* with its header; borrows */
};

/* As swtpm_request_len(). MALFORMED: shorter than a header, or the prefix and the header disagree; NO_ROOM: past
 * SWTPM_TPM_MAX. */
MUST_USE enum status swtpm_tpm_len(struct bytes seen, size_t *len);
MUST_USE enum status swtpm_tpm_decode(struct bytes encoded, struct swtpm_tpm_command *command);
void swtpm_put_response(struct writer *writer, bool prefixed, struct bytes response);

#endif
