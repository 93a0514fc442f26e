/* vtpm_host, inside: peers and what is under way with each. Never included outside this directory. */
#ifndef BASTIDE_VTPM_HOST_INTERNAL_H
#define BASTIDE_VTPM_HOST_INTERNAL_H

#include "vtpm_host.h"

#include "swtpm.h"
#include "vtpm_keys.h"
#include "vtpm_transfer.h"

struct peer {
    int fd;           /* -1: a free place */
    uint64_t channel; /* of this connection; never used again */
    enum door_transport transport;
    bool asked;      /* a frame is with the enclave */
    bool pending;    /* more may stand in `in` than was looked at */
    bool heard;      /* sent a whole frame, or was brought */
    pid_t whose;     /* who connected; 0: not known, or it was brought */
    uint64_t last;   /* which frame of all it was that it sent last */
    uint32_t asking; /* the control command under way */
    int passed;      /* a descriptor that came with what is in `in`; -1 */
    uint8_t *in;
    size_t in_len, in_cap;
    uint8_t *out; /* what its socket has not taken yet */
    size_t out_len, out_off;
};

/* What an enclave is sent before anybody is listened to. */
enum first_step { FIRST_UNLOCK, FIRST_INIT, FIRST_STARTUP };

struct vtpm_host {
    struct vtpm_host_config config;
    int epoll;
    int control, data, keys, transfer; /* listening; -1 */
    bool up, listening;
    bool ready;     /* up, and what we send first is answered */
    uint64_t first; /* the channel of what we send first; 0: none under way */
    enum first_step first_is;
    uint32_t refusal;
    bool shut_down;
    bool clients_taken; /* the connections that came on the command line are peers by now, or were */
    uint64_t next_channel;
    uint64_t frames; /* heard so far */
    uint64_t handed; /* the channel of the socket that the enclave has; 0: none */
    struct peer peers[VTPM_HOST_PEERS];
};

/* place.c: a listening socket, or -1 and *why. */
int place_listen(const struct vtpm_place *place, const char **why);
void place_leave(const struct vtpm_place *place, int fd); /* -1 is allowed */

/* peer.c */
/* A free place; else that of whoever is to give way, of those before channel `until`; or NULL, also while one that
 * never sent a whole frame came later: he is read first. */
struct peer *peer_place(struct vtpm_host *host, uint64_t until);
/* Takes the descriptor, into such a place; NULL: there is none, and it is closed. */
struct peer *peer_open(struct vtpm_host *host, int fd, enum door_transport transport, uint64_t until);
/* To the enclave rather than a peer of ours; false: the enclave does not take it. Ours is closed then only. */
bool peer_hand_over(struct vtpm_host *host, int fd);
/* Whether a relayed connection, about to ask, was handed over instead, for the enclave has none. */
bool peer_leaves(struct vtpm_host *host, struct peer *peer);
void peer_close(struct vtpm_host *host, struct peer *peer, bool tell);
void peer_read(struct vtpm_host *host, struct peer *peer);  /* what came; frames go to the enclave */
void peer_write(struct vtpm_host *host, struct peer *peer); /* what is left of an answer; then what it sent meanwhile */
void peer_answer(struct vtpm_host *host, struct peer *peer, struct bytes frame);

#endif
