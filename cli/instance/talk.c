/* What is asked at a vTPM's sockets: a control command, its keys, a TPM command. One question, one answer. */
#include "instance.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define RESPONSE_MAX 4096

enum status instance_reach(const char *path, int timeout_ms, int *fd)
{
    const struct timeval patience = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const size_t len = strlen(path);
    if (len >= sizeof address.sun_path)
        return NO_ROOM;
    memcpy(address.sun_path, path, len);
    int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made >= 0 && setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
        setsockopt(made, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
        connect(made, (const struct sockaddr *)&address, sizeof address) == 0) {
        *fd = made;
        return OK;
    }
    if (made >= 0)
        close(made);
    return IO;
}

static enum status say(int fd, struct bytes question)
{
    return send(fd, question.data, question.len, MSG_NOSIGNAL) == (ssize_t)question.len ? OK : IO;
}

/* At least one byte more. */
static enum status hear(int fd, uint8_t *room, size_t cap, size_t *have)
{
    if (*have == cap)
        return NO_ROOM;
    ssize_t got = recv(fd, room + *have, cap - *have, 0);
    if (got <= 0)
        return IO;
    *have += (size_t)got;
    return OK;
}

/* Where a reply ends is told by its decoding: what is short of one is TRUNCATED. A refusal is its result alone. */
static enum status hear_reply(int fd, enum swtpm_command command, struct swtpm_reply *reply, uint8_t *room, size_t cap)
{
    enum status status = TRUNCATED;
    size_t have = 0;
    while (status == TRUNCATED) {
        TRY(hear(fd, room, cap, &have));
        status = swtpm_reply_decode(command, bytes_from(room, have), reply);
    }
    return status;
}

enum status instance_control(const char *path, int timeout_ms, const struct swtpm_request *request,
                             struct swtpm_reply *reply, uint8_t *room, size_t cap)
{
    uint8_t question_room[64];
    struct writer question = writer_over(question_room, sizeof question_room);
    int fd = -1;
    swtpm_put_request(&question, request);
    TRY(writer_end(&question));
    TRY(instance_reach(path, timeout_ms, &fd));
    enum status status = say(fd, writer_bytes(&question));
    if (status == OK)
        status = hear_reply(fd, request->command, reply, room, cap);
    close(fd);
    return status;
}

static enum status ask_keys(const char *path, const struct writer *question, uint8_t room[VTPM_KEYS_ANSWER_MAX],
                            struct bytes *answer)
{
    size_t have = 0, len = 0;
    int fd = -1;
    TRY(writer_end(question));
    TRY(instance_reach(path, INSTANCE_ASK_MS, &fd));
    enum status status = say(fd, writer_bytes(question));
    for (enum status whole = TRUNCATED; status == OK && whole == TRUNCATED;) {
        status = hear(fd, room, VTPM_KEYS_ANSWER_MAX, &have);
        whole = vtpm_keys_answer_len(bytes_from(room, have), &len);
        if (status == OK && whole != TRUNCATED)
            status = whole;
    }
    close(fd);
    if (status == OK)
        *answer = bytes_from(room, have);
    return status;
}

enum status instance_ask_keys(const char *path, struct bytes nonce, uint8_t room[VTPM_KEYS_ANSWER_MAX],
                              struct bytes *answer)
{
    uint8_t question_room[VTPM_KEYS_QUESTION_MAX];
    struct writer question = writer_over(question_room, sizeof question_room);
    vtpm_keys_put_question(&question, nonce);
    return ask_keys(path, &question, room, answer);
}

enum status instance_ask_ak(const char *path, struct bytes nonce, uint32_t handle, uint8_t room[VTPM_KEYS_ANSWER_MAX],
                            struct bytes *answer)
{
    uint8_t question_room[VTPM_KEYS_QUESTION_MAX];
    struct writer question = writer_over(question_room, sizeof question_room);
    vtpm_keys_put_ak_question(&question, nonce, handle);
    return ask_keys(path, &question, room, answer);
}

enum status instance_ask_tpm(void *user, struct bytes command, struct writer *response)
{
    const int fd = *(const int *)user;
    uint8_t room[RESPONSE_MAX];
    size_t have = 0, len = SWTPM_TPM_HEADER;
    TRY(say(fd, command));
    while (have < len) {
        TRY(hear(fd, room, sizeof room, &have));
        struct reader reader = reader_over(bytes_from(room, have));
        (void)take_u16be(&reader);
        const uint32_t said = take_u32be(&reader);
        if (reader.status == OK && (said < SWTPM_TPM_HEADER || said > sizeof room))
            return MALFORMED;
        if (reader.status == OK)
            len = said;
    }
    if (have != len)
        return MALFORMED;
    put_bytes(response, bytes_from(room, have));
    return writer_end(response);
}
