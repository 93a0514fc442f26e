/* The archive in a thread of its own, where fsync blocks and datagrams must go on being read meanwhile. The loop puts
 * jobs in at one end and takes answers out at the other; mutex, condition and eventfd are all the two threads share,
 * and only the keeper's thread ever calls the archive. Or without one: each job is done when it is put in. */
#include "pump_internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct job {
    struct job *next;
    uint64_t door;
    struct door_header header; /* operation 0: abandon */
    uint8_t payload[];
};

struct keeper {
    struct pump_archive archive;
    pthread_t thread;
    bool started;
    int answered;    /* -1: without a thread */
    uint8_t *answer; /* these two: whoever calls the archive */
    struct log_bound log;

    pthread_mutex_t lock; /* all below */
    pthread_cond_t work;
    struct job *first, *last;
    struct keeper_answer *first_answer, *last_answer;
    uint32_t count; /* jobs without an answer taken */
    size_t bytes;   /* of queued jobs */
    bool stop;
    bool refused; /* a job found no room: tell when there is some */
};

static bool has_answer(uint16_t operation)
{
    return operation == DOOR_ARCHIVE_QUERY || operation == DOOR_LOG_READ || operation == DOOR_SNAPSHOT_GET ||
           operation == DOOR_SYNC;
}

static void ring_bell(struct keeper *keeper)
{
    uint64_t one = 1;
    ssize_t written = write(keeper->answered, &one, sizeof one);
    (void)written; /* a full counter is a signal too */
}

static struct keeper_answer *serve(struct keeper *keeper, uint64_t door, const struct door_header *header,
                                   struct bytes payload)
{
    struct writer answer = writer_over(keeper->answer, DOOR_MESSAGE_MAX - sizeof(struct door_header));
    if (header->operation == 0) {
        keeper->archive.abandon(keeper->archive.context);
        return NULL;
    }
    enum status status = keeper->archive.serve(keeper->archive.context, header, payload, &answer);
    if (status != OK && log_allows(&keeper->log))
        pump_log("warning", "archive_refused", "operation=%u reason=\"%s\"", header->operation, status_word(status));
    if (!has_answer(header->operation))
        return NULL;
    struct bytes bytes = status == OK ? writer_bytes(&answer) : (struct bytes){0};
    struct keeper_answer *result = malloc(sizeof *result + bytes.len);
    if (!result)
        abort(); /* the enclave would wait for ever: start anew instead */
    *result = (struct keeper_answer){
        .door = door,
        .header = {DOOR_COMPLETE, (uint16_t)status, (uint32_t)bytes.len, header->id},
    };
    if (bytes.len)
        memcpy(result->payload, bytes.data, bytes.len);
    return result;
}

static void append_answer(struct keeper *keeper, struct keeper_answer *answer)
{
    *(keeper->first_answer ? &keeper->last_answer->next : &keeper->first_answer) = answer;
    keeper->last_answer = answer;
}

static void *work(void *context)
{
    struct keeper *keeper = context;
    pthread_mutex_lock(&keeper->lock);
    for (;;) {
        while (!keeper->first && !keeper->stop)
            pthread_cond_wait(&keeper->work, &keeper->lock);
        struct job *job = keeper->first;
        if (!job)
            break;
        pthread_mutex_unlock(&keeper->lock);
        struct keeper_answer *answer =
            serve(keeper, job->door, &job->header, bytes_from(job->payload, job->header.len));
        pthread_mutex_lock(&keeper->lock);
        keeper->first = job->next;
        keeper->bytes -= job->header.len;
        free(job);
        if (answer)
            append_answer(keeper, answer);
        else
            keeper->count--;
        if (answer || keeper->refused)
            ring_bell(keeper);
    }
    pthread_mutex_unlock(&keeper->lock);
    return NULL;
}

static bool start(struct keeper *keeper)
{
    sigset_t all, before;
    keeper->answered = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    keeper->started = keeper->answered >= 0 && keeper->archive.thread(&keeper->thread, NULL, work, keeper) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return keeper->started;
}

enum status keeper_new(const struct pump_archive *archive, struct keeper **result, const char **why)
{
    struct keeper *keeper = calloc(1, sizeof *keeper);
    *why = "out of memory";
    if (!keeper)
        return NO_ROOM;
    keeper->archive = *archive;
    keeper->answered = -1;
    keeper->answer = malloc(DOOR_MESSAGE_MAX);
    pthread_mutex_init(&keeper->lock, NULL);
    pthread_cond_init(&keeper->work, NULL);
    if (keeper->answer && (!archive->thread || start(keeper))) {
        *result = keeper;
        return OK;
    }
    if (keeper->answer)
        *why = "the archive's thread does not start";
    keeper_free(keeper);
    return IO;
}

void keeper_free(struct keeper *keeper)
{
    if (!keeper)
        return;
    pthread_mutex_lock(&keeper->lock);
    keeper->stop = true;
    pthread_cond_signal(&keeper->work);
    pthread_mutex_unlock(&keeper->lock);
    if (keeper->started)
        pthread_join(keeper->thread, NULL);
    for (struct keeper_answer *answer; (answer = keeper_answer(keeper));)
        free(answer);
    pthread_cond_destroy(&keeper->work);
    pthread_mutex_destroy(&keeper->lock);
    if (keeper->answered >= 0)
        close(keeper->answered);
    free(keeper->answer);
    free(keeper);
}

/* `first` stays in the list while the thread works on it, so a queue is never empty under a running job. */
static void append(struct keeper *keeper, struct job *job)
{
    if (keeper->first)
        keeper->last->next = job;
    else
        keeper->first = job;
    keeper->last = job;
    keeper->count++;
    keeper->bytes += job->header.len;
    pthread_cond_signal(&keeper->work);
}

static struct job *job_new(uint64_t door, const struct door_header *header, struct bytes payload)
{
    struct job *job = malloc(sizeof *job + payload.len);
    if (!job)
        return NULL;
    *job = (struct job){.door = door, .header = *header};
    job->header.len = (uint32_t)payload.len;
    if (payload.len)
        memcpy(job->payload, payload.data, payload.len);
    return job;
}

static enum status serve_at_once(struct keeper *keeper, uint64_t door, const struct door_header *header,
                                 struct bytes payload)
{
    if (keeper->count >= PUMP_JOBS)
        return BUSY;
    struct keeper_answer *answer = serve(keeper, door, header, payload);
    if (answer) {
        append_answer(keeper, answer);
        keeper->count++;
    }
    return OK;
}

enum status keeper_submit(struct keeper *keeper, uint64_t door, const struct door_header *header, struct bytes payload)
{
    if (!keeper->started)
        return serve_at_once(keeper, door, header, payload);
    struct job *job = job_new(door, header, payload);
    if (!job)
        return BUSY;
    pthread_mutex_lock(&keeper->lock);
    bool room = keeper->count < PUMP_JOBS && payload.len <= PUMP_JOB_BYTES - keeper->bytes;
    keeper->refused = !room;
    if (room)
        append(keeper, job);
    pthread_mutex_unlock(&keeper->lock);
    if (!room)
        free(job);
    return room ? OK : BUSY;
}

void keeper_abandon(struct keeper *keeper)
{
    const struct door_header header = {0};
    if (!keeper->started) {
        keeper->archive.abandon(keeper->archive.context);
        return;
    }
    struct job *job = job_new(0, &header, (struct bytes){0});
    if (!job)
        abort(); /* a former enclave's rows must not ride on the next one's sync */
    pthread_mutex_lock(&keeper->lock);
    append(keeper, job);
    pthread_mutex_unlock(&keeper->lock);
}

void keeper_awake(struct keeper *keeper)
{
    uint64_t count;
    ssize_t got = keeper->started ? read(keeper->answered, &count, sizeof count) : 0;
    (void)got; /* nothing to take when something else woke us */
}

struct keeper_answer *keeper_answer(struct keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    struct keeper_answer *answer = keeper->first_answer;
    if (answer)
        keeper->first_answer = answer->next;
    pthread_mutex_unlock(&keeper->lock);
    return answer;
}

void keeper_answered(struct keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    keeper->count--;
    pthread_mutex_unlock(&keeper->lock);
}

int keeper_fd(const struct keeper *keeper)
{
    return keeper->answered;
}
