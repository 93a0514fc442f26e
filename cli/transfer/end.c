/* One end: an instance's transfer socket, and what its evidence is held to. */
#include "instance_move_internal.h"

#include "service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static enum status ask(void *user, struct bytes question, struct writer *answer)
{
    const struct instance_sockets *sockets = user;
    enum status status = TRUNCATED;
    size_t len = 0;
    int fd = -1;
    TRY(instance_reach(sockets->transfer, INSTANCE_ASK_MS, &fd));
    bool good = send(fd, question.data, question.len, MSG_NOSIGNAL) == (ssize_t)question.len;
    while (good && status == TRUNCATED && answer->len < answer->cap) {
        ssize_t got = recv(fd, answer->data + answer->len, answer->cap - answer->len, 0);
        good = got > 0;
        answer->len += good ? (size_t)got : 0;
        status = vtpm_transfer_answer_len(writer_bytes(answer), &len);
    }
    close(fd);
    return !good ? IO : status == OK && answer->len == len ? OK : MALFORMED;
}

bool end_is_elsewhere(const struct cli *cli)
{
    struct service_settings settings;
    return service_settings_load(cli, &settings) == OK && settings.remote;
}

static int read_configuration(struct end *end)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    enum status status = cli_read_file(instance_path(end->cli, "node/instances", end->is.name, "configuration", path),
                                       sizeof end->configuration_room, &data, &len);
    if (status == OK) {
        memcpy(end->configuration_room, data, len);
        free(data);
        status = image_configuration_decode(bytes_from(end->configuration_room, len), &end->configuration);
    }
    return status == OK ? CLI_OK : cli_fail(end->cli, CLI_DENIED, "%s %s", path, cli_file_problem(status));
}

static int begin(struct end *end)
{
    if (end_is_elsewhere(end->cli))
        return CLI_OK;
    end->served = instance_is_served(end->cli, end->is.name, &end->sockets);
    if (end->served || instance_is_running(end->cli, end->is.name, NULL))
        return CLI_OK;
    int lock = -1, result = instance_check_node(end->cli);
    if (result == CLI_OK)
        result = instance_lock(end->cli, end->is.name, &lock);
    if (result)
        return result;
    result = instance_start(end->cli, end->is.name, (struct instance_how){.on = false});
    close(lock); /* who deletes takes it again */
    end->began = result == CLI_OK;
    return result;
}

int end_open(struct end *end, const struct cli *cli, const char *role, const char *name, const char *image)
{
    *end = (struct end){.cli = cli, .role = role};
    int result = instance_look(cli, name, false, &end->is);
    if (result == CLI_OK && !end->is.has_place)
        result = cli_fail(cli, CLI_NOT_FOUND, "%s/node/instances/%s is not there", cli->home, name);
    if (result == CLI_OK)
        result = read_configuration(end);
    enum status status = result == CLI_OK ? owner_pins_load(cli, &end->pins) : OK;
    if (result == CLI_OK && status != OK)
        result = cli_fail(cli, status == NOT_FOUND ? CLI_NOT_FOUND : CLI_DENIED,
                          "%s/owner/pins.json %s: what is the node of the %s to be held to?", cli->home,
                          cli_file_problem(status), role);
    if (result == CLI_OK)
        result = owner_measure(cli, image, &end->image);
    if (result == CLI_OK)
        result = instance_sockets(cli, name, &end->sockets);
    if (result == CLI_OK)
        result = begin(end);
    if (result)
        return result;
    const struct owner_vtpm vtpm = {.configuration = &end->configuration, .measurement = end->image.measurement};
    owner_vtpm_references(&end->pins, &vtpm, &end->references);
    end->mover = (struct vtpm_mover_end){
        .user = &end->sockets, .ask = ask, .policy = &end->references.policy, .room = malloc(VTPM_MOVER_ROOM)};
    return end->mover.room ? CLI_OK : cli_fail(cli, CLI_INTERNAL, "out of memory");
}

void end_done(struct end *end)
{
    bool was;
    if (end->began)
        (void)!instance_stop(end->cli, end->is.name, &was);
    end->began = false;
    free(end->mover.room);
    end->mover.room = NULL;
}

static int explain_evidence(const struct end *end, const char *what)
{
    char sentence[400];
    enum evidence_reason reason = EVIDENCE_MALFORMED;
    while (reason + 1 < EVIDENCE_REASON_COUNT && !(end->mover.evidence.reasons >> reason & 1))
        reason++;
    evidence_sentence(reason, &end->references.policy, &end->mover.evidence, sentence, sizeof sentence);
    return cli_fail(end->cli, CLI_EVIDENCE, "%s: the evidence of the %s was refused: %s", what, end->role, sentence);
}

int end_explain(const struct end *end, enum status status, const char *what)
{
    if (status == DENIED && end->mover.sentence[0])
        return cli_fail(end->cli, CLI_DENIED, "%s: %s: %s", what, end->role, end->mover.sentence);
    if (status == DENIED && end->mover.evidence.reasons)
        return explain_evidence(end, what);
    return cli_fail(end->cli, status == IO ? CLI_UNREACHABLE : CLI_DENIED, "%s: the %s at %s: %s", what, end->role,
                    end->sockets.transfer, status_word(status));
}
