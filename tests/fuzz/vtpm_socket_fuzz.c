/* vtpm: what the peer of a handed-over data socket says and how it takes its answers. The input is a list of {kind,
 * length, bytes}: bytes that stand in the socket, how many of an answer's it takes, a TPM command with a sound header,
 * its end, another in its place, turns of the loop, and the host's and the monitor's answers. No turn is taken for
 * nothing, no more is read than there is room for, nothing is sent into a socket that is gone, and what changed
 * something is not answered before the monitor's head moved. */
#include "../vtpm_rig.h"

#include <poll.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ITEMS_MAX 32
#define INPUTS_PER_LAUNCH 100

static struct rig rig;
static struct {
    bool open, ended;
    uint8_t in[8192]; /* not received yet */
    size_t in_len;
    size_t takes; /* bytes of an answer; more later */
    size_t sent;
} peer;

static void must(bool held)
{
    if (!held)
        abort();
}

static enum status receive(uint8_t *room, size_t cap, size_t *len)
{
    must(peer.open && cap > 0);
    if (peer.in_len == 0)
        return peer.ended ? NOT_FOUND : BUSY;
    *len = peer.in_len < cap ? peer.in_len : cap;
    memcpy(room, peer.in, *len);
    memmove(peer.in, peer.in + *len, peer.in_len - *len);
    peer.in_len -= *len;
    return OK;
}

static enum status transmit(struct bytes data, size_t *sent)
{
    must(peer.open && data.len > 0 && data.len <= SWTPM_TPM_MAX + 8);
    must(!rig.advancing);
    for (const struct rig_letter *letter = rig.first; letter; letter = letter->next)
        must(letter->header.operation != DOOR_SYNC);
    if (peer.takes == 0)
        return peer.ended ? NOT_FOUND : BUSY;
    *sent = data.len < peer.takes ? data.len : peer.takes;
    peer.takes -= *sent;
    peer.sent += *sent;
    return OK;
}

static void shut(void)
{
    must(peer.open);
    peer.open = false;
}

static void hear(struct bytes bytes)
{
    const size_t room = sizeof peer.in - peer.in_len;
    const size_t len = bytes.len < room ? bytes.len : room;
    if (len)
        memcpy(peer.in + peer.in_len, bytes.data, len);
    peer.in_len += len;
}

/* Turns as the runtime takes them; while nobody answers a commit there are none. */
static void turns(void)
{
    bool ready = true;
    for (unsigned i = 0;; i++) {
        must(i < 20000);
        const short wanted = vtpm_serve_socket(rig.vtpm, ready);
        must(peer.open || wanted == 0);
        must(wanted == 0 || wanted == POLLIN || wanted == POLLOUT);
        ready = (wanted == POLLIN && (peer.in_len || peer.ended)) || (wanted == POLLOUT && (peer.takes || peer.ended));
        if (!ready)
            return;
    }
}

static void command(uint8_t kind, struct bytes bytes)
{
    uint8_t room[300];
    struct writer writer = writer_over(room, sizeof room);
    if (kind & 0x10) {
        put_u32be(&writer, 8);
        put_u8(&writer, kind >> 5);
        put_u32be(&writer, (uint32_t)bytes.len + 8);
    }
    put_u16be(&writer, bytes.len & 1 ? 0x8001 : 0x8002);
    put_u32be(&writer, (uint32_t)bytes.len + 8);
    put_u16be(&writer, 0);
    put_bytes(&writer, bytes);
    if (bytes.len >= 2)
        hear(writer_bytes(&writer));
}

static void take_item(uint8_t kind, struct bytes bytes)
{
    switch (kind % 8) {
    case 0:
    case 1:
        hear(bytes);
        break;
    case 2:
        command(kind, bytes);
        break;
    case 3:
        peer.takes += bytes.len;
        break;
    case 4:
        peer.ended = true;
        break;
    case 5:
        memset(&peer, 0, sizeof peer);
        peer.open = true;
        vtpm_took_socket(rig.vtpm);
        break;
    case 6:
        rig.clock_ms += 1000;
        rig_run(&rig);
        break;
    default:
        peer.takes += 8192;
        break;
    }
    turns();
}

static bool lives(void)
{
    const char *sentence;
    int code = vtpm_exit_code(rig.vtpm, &sentence);
    must(code == 0 || sentence[0]);
    return code == 0;
}

static void launch(void)
{
    if (rig.vtpm)
        rig_done(&rig);
    rig_init(&rig);
    rig.any_channel = true;
    rig.socket = (struct vtpm_socket_port){receive, transmit, shut};
    rig_on(&rig);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned inputs;
    struct reader reader = reader_over(bytes_from(data, size));
    if (!rig.vtpm || ++inputs % INPUTS_PER_LAUNCH == 0 || !lives())
        launch();
    rig_run(&rig);
    memset(&peer, 0, sizeof peer);
    peer.open = true;
    vtpm_took_socket(rig.vtpm);
    for (int i = 0; i < ITEMS_MAX && reader.status == OK && reader.rest.len && lives(); i++) {
        uint8_t kind = take_u8(&reader);
        size_t len = take_u8(&reader);
        take_item(kind, take_bytes(&reader, len < reader.rest.len ? len : reader.rest.len));
    }
    return 0;
}
