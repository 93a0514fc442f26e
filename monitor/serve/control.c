/* The control socket: host ends that attached, and callers who ask for the status or for a clean stop. */
#include "serve_internal.h"

#include "node.h"
#include "walls.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TEXT_MAX 1024
#define ANSWER_MAX (sizeof(struct monitor_launches_reply) + MONITOR_LAUNCHES_MAX * sizeof(struct monitor_vm))
_Static_assert(ANSWER_MAX > sizeof(struct monitor_status) + TEXT_MAX, "the longest answer");

bool serve_send(int socket, uint16_t operation, enum status status, struct bytes payload, const int *fds, size_t count)
{
    static uint8_t room[MONITOR_MESSAGE_MAX];
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(LAUNCHED_DESCRIPTORS * sizeof(int))];
    } control = {.space = {0}};
    struct writer writer = writer_over(room, sizeof room);
    if (count > LAUNCHED_DESCRIPTORS || permit_put_reply(&writer, operation, status, payload) != OK)
        return false;
    struct iovec piece = {room, writer.len};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    if (count) {
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(part), fds, count * sizeof(int));
    }
    bool sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)writer.len;
    wipe(room, writer.len);
    return sent;
}

static void keep_passed(struct msghdr *message, struct serve_passed *passed)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(passed->fds, CMSG_DATA(part), count * sizeof(int)); /* one part, for which there is room */
        passed->count = count;
    }
}

static void drop_passed(struct serve_passed *passed)
{
    for (size_t i = 0; i < passed->count; i++)
        close(passed->fds[i]);
    passed->count = 0;
}

enum status serve_receive(int socket, uint8_t *room, size_t cap, size_t *len, struct serve_passed *passed)
{
    /* For more descriptors there is no room: the kernel closes them. */
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof passed->fds)];
    } control;
    struct iovec piece = {room, cap};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    if (passed) {
        *passed = (struct serve_passed){.count = 0};
        message.msg_control = control.space;
        message.msg_controllen = CMSG_LEN(sizeof passed->fds);
    }
    ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? BUSY : IO;
    if (passed)
        keep_passed(&message, passed);
    if (got == 0 || message.msg_flags & MSG_TRUNC || (passed && message.msg_flags & MSG_CTRUNC)) {
        if (passed)
            drop_passed(passed);
        return IO;
    }
    *len = (size_t)got;
    return OK;
}

static struct serve_caller *free_caller(struct serve *serve)
{
    struct serve_caller *found = NULL;
    size_t strangers = 0;
    for (size_t i = 0; i < SERVE_CALLERS_MAX; i++) {
        strangers += serve->callers[i].fd >= 0 && !serve->callers[i].site;
        if (serve->callers[i].fd < 0 && !found)
            found = &serve->callers[i];
    }
    return strangers < SERVE_STRANGERS_MAX ? found : NULL;
}

/* The node's user and root may ask for anything; who cannot be told is neither. */
static enum permit_who who_called(int fd)
{
    struct ucred credentials;
    socklen_t len = sizeof credentials;
    const bool told = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) == 0;
    return told && (credentials.uid == 0 || credentials.uid == geteuid()) ? PERMIT_CONTROL : PERMIT_GROUP;
}

void serve_accept(struct serve *serve)
{
    struct serve_caller *caller = free_caller(serve);
    int fd = accept4(serve->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (caller) {
        *caller = (struct serve_caller){.fd = fd, .session = permit_session_of(who_called(fd))};
        return;
    }
    node_log("warning", "monitor", "caller_refused", "reason=\"too many at once\" max=%d", SERVE_STRANGERS_MAX);
    close(fd);
}

void serve_drop_caller(struct serve *serve, struct serve_caller *caller)
{
    struct serve_site *site = caller->site;
    (void)serve;
    if (caller->fd < 0)
        return;
    close(caller->fd);
    *caller = (struct serve_caller){.fd = -1};
    if (site) {
        site->host = NULL;
        serve_measure_forget(site);
        node_log("info", "monitor", "host_gone", "%senclave=%d", site->tag, site->enclave.pid);
        serve_enclave_stop(site);
    }
}

static struct serve_site *find(struct serve *serve, const char *name)
{
    for (size_t i = 0; i < SITES_MAX; i++)
        if (serve->at[i] && strcmp(serve->at[i]->is.name, name) == 0)
            return serve->at[i];
    return NULL;
}

static enum status put_status(struct serve *serve, const char *name, struct writer *writer)
{
    const struct serve_site *site = find(serve, name);
    struct head head;
    char missing[WALLS_TEXT_MAX];
    if (!site)
        return NOT_FOUND;
    heads_get(&serve->heads, site->is.configuration.site, &head);
    struct monitor_status status = {
        .enclave_pid = site->running ? (uint32_t)site->enclave.pid : 0,
        .launches = site->launches,
        .secret_bytes = site->running ? site->secret_bytes : 0,
        .unprotected_bytes = site->running ? site->unprotected_bytes : 0,
        .nv_counter = serve->heads.counter,
        .sequence = head.sequence,
        .monitor_measured = serve->monitor_measured,
        .insecure_dev = serve->options->insecure_dev,
    };
    memcpy(status.measurement, site->is.image->image.measurement, sizeof status.measurement);
    memcpy(status.config, site->is.configuration.config_id, sizeof status.config);
    walls_list(WALLS_ALL & ~serve_standing_walls(serve, site), '\n', missing, sizeof missing);
    put_bytes(writer, bytes_from(&status, sizeof status));
    put_text(writer, missing);
    put_text(writer, "\n");
    if (serve->tpm.error[0]) {
        put_text(writer, "tpm: ");
        put_text(writer, serve->tpm.error);
        put_text(writer, "\n");
    }
    return writer_end(writer);
}

static enum status activate(struct serve *serve, struct bytes blob, struct writer *writer)
{
    SECRET secret = {.len = 0};
    struct tpm *tpm;
    TRY(serve_tpm(serve, &tpm));
    TRY(serve_tpm_after(serve, tpm_activate(tpm, blob, &secret)));
    put_bytes(writer, secret_bytes(&secret));
    return writer_end(writer);
}

static enum status attach(struct serve *serve, struct serve_caller *caller, const struct monitor_attach *ask,
                          struct writer *writer)
{
    const char *name = ask->instance.name;
    char sentence[ENCLAVE_SENTENCE_MAX] = "it has a host end";
    serve_forget(serve); /* whoever comes again at once is not told to wait for himself */
    struct serve_site *site = find(serve, name);
    enum status status = site && site->host ? BUSY : OK;
    if (!site)
        status = serve_admit(serve, name, &site, sentence);
    if (status != OK) {
        /* Nothing was begun; this caller may try again. */
        caller->session = permit_session_of(caller->session.who);
        put_text(writer, sentence);
        if (status != BUSY)
            node_log("warning", "monitor", "host_refused", "instance=%s status=%s reason=\"%s\"", name,
                     status_word(status), sentence);
        return status;
    }
    site->host = caller;
    site->relaxed = ask->relaxed;
    caller->site = site;
    site->back_off_ms = 0;
    site->launch_ms = serve_now_ms();
    node_log("info", "monitor", "host_attached", "%slaunches=%u%s", site->tag, site->launches,
             site->relaxed ? " commits=relaxed" : "");
    return OK;
}

/* The site's own host end, or one that has just gone and whose enclave may still commit: serve_forget() comes first. */
static bool is_served(const struct serve *serve, const uint8_t site[IMAGE_SITE_LEN])
{
    for (size_t i = 0; i < SITES_MAX; i++)
        if (serve->at[i] && memcmp(serve->at[i]->is.configuration.site, site, IMAGE_SITE_LEN) == 0)
            return true;
    return false;
}

static enum status forget_head(struct serve *serve, const uint8_t site[IMAGE_SITE_LEN], struct bytes token,
                               const char **why)
{
    *why = "it has a host end";
    serve_forget(serve);
    if (is_served(serve, site))
        return BUSY;
    *why = "that is not the word of this node's owner, for this site at the present counter";
    TRY(image_token_check(token, &serve->own.is.configuration.owner, IMAGE_FORGET, site, serve->heads.counter));
    enum status status = heads_forget(&serve->heads, site, serve_now_s());
    *why = status == NOT_FOUND ? "it has no head here" : "the table of heads or the TPM's counter cannot be written";
    if (status == DENIED)
        serve_lease_lost(serve);
    return status;
}

/* The node's own is always served, so never forgotten here: reinitialise is for that. */
static enum status forget(struct serve *serve, const struct permit_request *request, struct writer *writer)
{
    const char *why = "";
    char site[2 * IMAGE_SITE_LEN + 1] = "";
    enum status status = forget_head(serve, request->of.forget.what.site, request->of.forget.token, &why);
    if (status != OK)
        put_text(writer, why);
    if (hex_encode(BYTES_OF(request->of.forget.what.site), site, sizeof site) == OK)
        node_log(status == OK ? "info" : "warning", "monitor", "forget", "site=%s counter=%llu status=%s reason=\"%s\"",
                 site, (unsigned long long)serve->heads.counter, status_word(status), status == OK ? "" : why);
    return status;
}

/* The counter moves; what the table then says is what the next start must find. */
static enum status stop(struct serve *serve)
{
    for (size_t i = 0; i < SITES_MAX; i++)
        if (serve->at[i])
            serve_enclave_stop(serve->at[i]);
    enum status status = heads_move(&serve->heads, serve_now_s());
    serve->stopping = true;
    serve->moved = true;
    if (status != OK)
        node_log("warning", "monitor", "stop", "reason=\"the counter did not move\" status=%s", status_word(status));
    return status;
}

static enum status act(struct serve *serve, struct serve_caller *caller, const struct permit_request *request,
                       struct serve_passed *passed, struct writer *writer)
{
    enum status status;
    switch ((int)request->operation) {
    case MONITOR_ATTACH:
        return attach(serve, caller, &request->of.attach, writer);
    case MONITOR_STATUS:
        return put_status(serve, request->of.instance.name, writer);
    case MONITOR_ACTIVATE:
        return activate(serve, request->of.blob, writer);
    case MONITOR_MEASURE:
        status = serve_measure(caller, &request->of.measure, passed->fds, passed->count, writer);
        passed->count = status == OK ? 0 : passed->count;
        return status;
    case MONITOR_LAUNCHES:
        return serve_launches(serve, request->of.from.number, writer);
    case MONITOR_FORGET:
        return forget(serve, request, writer);
    case MONITOR_STOP:
        return stop(serve);
    default:
        return DENIED;
    }
}

void serve_caller_readable(struct serve *serve, struct serve_caller *caller)
{
    static uint8_t packet[MONITOR_MESSAGE_MAX];
    static uint8_t room[ANSWER_MAX];
    struct writer writer = writer_over(room, sizeof room);
    struct permit_request request;
    struct serve_passed passed;
    size_t len = 0;
    enum status status = serve_receive(caller->fd, packet, sizeof packet, &len, &passed);
    if (status == BUSY)
        return;
    if (status != OK) {
        serve_drop_caller(serve, caller);
        return;
    }
    status = permit_check(&caller->session, bytes_from(packet, len), &request);
    bool permitted = status == OK;
    if (permitted)
        status = act(serve, caller, &request, &passed, &writer);
    else
        node_log("warning", "monitor", "caller_refused", "operation=%u status=%s", (unsigned)request.operation,
                 status_word(status));
    drop_passed(&passed);
    if (status == OK && request.operation == MONITOR_MEASURE)
        return; /* answered when it is done */
    bool sent = serve_send(caller->fd, (uint16_t)request.operation, status, writer_bytes(&writer), NULL, 0);
    wipe(room, writer.len);
    /* What is not even a request comes from something that is not a caller. */
    if (!sent || (!permitted && status != DENIED))
        serve_drop_caller(serve, caller);
}
