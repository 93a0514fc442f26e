/* A device in place of the data socket: the kernel's vTPM proxy (Documentation/security/tpm/tpm_vtpm_proxy) makes
 * /dev/tpmN, and gives a descriptor from which that device's commands are read. A child of ours carries them to and
 * from one end of a socket pair, whose other end is a data connection like any other; it ends with either. Of
 * localities the kernel asks for 0 only, by a command that is no TPM's. */
#include "vtpm_host.h"

#include "pump.h"
#include "swtpm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vtpm_proxy.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAKER "/dev/vtpmx"
#define HEADER 10u /* tag, length, code */
#define TPM_RC_LOCALITY 0x907u

static uint32_t number_at(const uint8_t *frame, size_t off)
{
    struct reader reader = reader_over(bytes_from(frame + off, 4));
    return take_u32be(&reader);
}

static bool write_all(int fd, const uint8_t *from, size_t len)
{
    while (len) {
        ssize_t put = write(fd, from, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        from += put;
        len -= (size_t)put;
    }
    return true;
}

static bool read_all(int fd, uint8_t *to, size_t len)
{
    while (len) {
        ssize_t got = read(fd, to, len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        to += got;
        len -= (size_t)got;
    }
    return true;
}

/* A command, and its response in its place; 0: the vTPM is gone. */
static size_t ask(int vtpm, uint8_t room[SWTPM_TPM_MAX], size_t len)
{
    if (!write_all(vtpm, room, len) || !read_all(vtpm, room, HEADER))
        return 0;
    const uint32_t whole = number_at(room, 2);
    return whole >= HEADER && whole <= SWTPM_TPM_MAX && read_all(vtpm, room + HEADER, whole - HEADER) ? whole : 0;
}

static size_t set_locality(uint8_t room[SWTPM_TPM_MAX], size_t len)
{
    struct writer writer = writer_over(room, SWTPM_TPM_MAX);
    const bool zero = len == HEADER + 1 && room[HEADER] == 0;
    put_u16be(&writer, 0x8001);
    put_u32be(&writer, HEADER);
    put_u32be(&writer, zero ? 0 : TPM_RC_LOCALITY);
    return writer.len;
}

/* The kernel waits for each answer no longer than a TPM may take, so the device is made when there is one to answer. */
static int make_device(int maker, int vtpm)
{
    uint8_t room[SWTPM_TPM_MAX] = {0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 8}; /* TPM2_GetRandom */
    struct vtpm_proxy_new_dev made = {.flags = VTPM_PROXY_FLAG_TPM2};
    if (ask(vtpm, room, 12) == 0)
        return -1;
    if (ioctl(maker, VTPM_PROXY_IOC_NEW_DEV, &made) != 0) {
        pump_log("error", "proxy", "reason=\"" MAKER " makes no device: %s\"", strerror(errno));
        return -1;
    }
    printf("New TPM device: /dev/tpm%u (major/minor = %u/%u)\n", made.tpm_num, made.major, made.minor);
    fflush(stdout);
    return (int)made.fd;
}

static void carry(int maker, int vtpm)
{
    uint8_t room[SWTPM_TPM_MAX];
    int device = make_device(maker, vtpm);
    close(maker);
    struct pollfd waits[] = {{.fd = device, .events = POLLIN}, {.fd = vtpm, .events = POLLIN}};
    while (device >= 0 && (poll(waits, 2, -1) > 0 || errno == EINTR)) {
        if (waits[1].revents || waits[0].revents & (POLLHUP | POLLERR))
            return; /* nothing is under way, so nothing is to be heard but an end */
        ssize_t got = waits[0].revents ? read(device, room, sizeof room) : 0;
        if (got < (ssize_t)HEADER)
            continue;
        const bool ours = number_at(room, 6) == TPM2_CC_SET_LOCALITY;
        const size_t len = ours ? set_locality(room, (size_t)got) : ask(vtpm, room, (size_t)got);
        if (len == 0 || !write_all(device, room, len))
            return;
    }
}

enum status vtpm_proxy_begin(struct vtpm_place *data, const char **why)
{
    int ends[2];
    *why = MAKER " is not there: modprobe tpm_vtpm_proxy, as root";
    int maker = open(MAKER, O_RDWR | O_CLOEXEC);
    if (maker < 0)
        return errno == ENOENT ? NOT_FOUND : IO;
    *why = "no process is to be had for the device";
    const bool paired = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0;
    const pid_t parent = getpid(), child = paired ? fork() : -1;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN);
        close(ends[0]);
        if (getppid() == parent)
            carry(maker, ends[1]);
        _exit(0);
    }
    close(maker);
    if (paired)
        close(ends[1]);
    if (child < 0)
        return IO;
    *data = (struct vtpm_place){.kind = VTPM_AT_CLIENT, .fd = ends[0]};
    return OK;
}
