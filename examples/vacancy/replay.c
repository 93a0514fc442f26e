/* vacancy-replay: sends a plan of events to a hub over OSCORE, many at once, and writes down what was acknowledged.
 * The plan comes on standard input, a line an event: milliseconds after the start, client, id, body (tab-separated).
 * Events of one client travel together; the next client's first waits until all of them are acknowledged, because its
 * meaning may hang on theirs. */
#include "client_http.h"
#include "crypto.h"
#include "device.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WINDOW 16 /* requests under way */
#define CLIENTS_MAX 8
#define PATIENCE_MS 120000u /* a node that is killed and comes back is a slow answer */
#define LIVE_MS 100

struct event {
    uint64_t at_ms, begun_us, took_us;
    char *client, *id, *body;
    bool acknowledged;
};

struct replay {
    struct event *events;
    size_t count, next, acknowledged, refused;
    struct {
        char *name;
        char path[512];
        struct device device; /* empty when it has a secret */
        struct client *client;
    } clients[CLIENTS_MAX];
    size_t pending;
    FILE *list; /* what was acknowledged: id, body */
};

static struct replay replay;

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "vacancy-replay: %s: %s\n", what, why);
    exit(1);
}

static void take_line(char *line)
{
    struct event event = {0};
    char *rest = line, *at = strsep(&rest, "\t");
    event.client = strsep(&rest, "\t");
    event.id = strsep(&rest, "\t");
    event.body = strsep(&rest, "\n");
    if (!event.body)
        fail("standard input", "a line is not: milliseconds, client, id, body");
    event.at_ms = strtoull(at, NULL, 10);
    struct event *events = realloc(replay.events, (replay.count + 1) * sizeof *events);
    if (!events)
        fail("memory", "is used up");
    replay.events = events;
    events[replay.count++] = event;
}

static void read_plan(void)
{
    char *line = NULL;
    size_t cap = 0;
    while (getline(&line, &cap, stdin) > 0) {
        char *copy = strdup(line);
        if (!copy)
            fail("memory", "is used up");
        take_line(copy); /* its parts stay where they are, to the end of the program */
    }
    free(line);
}

static int64_t now_s(void *user)
{
    (void)user;
    return (int64_t)time(NULL);
}

static enum status keep(void *user, struct bytes state)
{
    const char *path = user;
    char beside[520];
    snprintf(beside, sizeof beside, "%s.new", path);
    FILE *file = fopen(beside, "we");
    bool good = file && fwrite(state.data, 1, state.len, file) == state.len;
    good = file && fclose(file) == 0 && good && rename(beside, path) == 0;
    return good ? OK : IO;
}

/* What `bastide client` left there: the state of one that enrolled, or a secret. */
static void open_client(const char *url, const char *folder, size_t place)
{
    char *path = replay.clients[place].path, why[256] = "";
    uint8_t room[DEVICE_STATE_MAX];
    struct oscore_input input = {0};
    struct device *device = &replay.clients[place].device;
    const struct device_host host = {now_s, keep, path};
    struct client_config config = {.url = url, .http = &client_over_http, .timeout_ms = PATIENCE_MS};
    snprintf(path, sizeof replay.clients[place].path, "%s/%s", folder, replay.clients[place].name);
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(room, 1, sizeof room, file) : 0;
    if (file)
        fclose(file);
    if (device_decode(bytes_from(room, len), device, &host) == OK)
        config.edhoc = device_edhoc(device);
    else if (oscore_input_decode(bytes_from(room, len), &input) == OK)
        config.input = &input;
    else
        fail(path, "is no client's state and no client's secret");
    if (client_open(&config, &replay.clients[place].client, why, sizeof why) != OK)
        fail(url, why);
    wipe(room, sizeof room);
    oscore_input_wipe(&input);
}

static struct client *client_of(const char *url, const char *folder, const char *name)
{
    size_t i = 0;
    for (; i < CLIENTS_MAX && replay.clients[i].name; i++)
        if (strcmp(replay.clients[i].name, name) == 0)
            return replay.clients[i].client;
    if (i == CLIENTS_MAX)
        fail(name, "is one client too many");
    replay.clients[i].name = strdup(name);
    open_client(url, folder, i);
    return replay.clients[i].client;
}

static void done(void *user, enum status status, const struct client_answer *answer, bool more)
{
    struct event *event = user;
    (void)more;
    replay.pending--;
    if (status != OK || answer->code != COAP_CHANGED) {
        replay.refused++;
        fprintf(stderr, "vacancy-replay: %s: %s %.*s\n", event->id, status_word(status),
                answer ? (int)answer->payload.len : 0, answer ? (const char *)answer->payload.data : "");
        return;
    }
    event->took_us = now_us() - event->begun_us;
    event->acknowledged = true;
    replay.acknowledged++;
    fprintf(replay.list, "%s\t%s\n", event->id, event->body);
    fflush(replay.list);
}

static void live(uint64_t begun_us, bool last)
{
    static uint64_t shown_us;
    if (!isatty(STDERR_FILENO) || (!last && now_us() - shown_us < LIVE_MS * 1000))
        return;
    shown_us = now_us();
    double seconds = (double)(shown_us - begun_us) / 1e6;
    fprintf(stderr, "\r\033[Kreplaying: %zu of %zu events acknowledged, %.0f a second%s", replay.acknowledged,
            replay.count, seconds > 0 ? (double)replay.acknowledged / seconds : 0, last ? "\n" : "");
}

static void send_all(const char *url, const char *folder)
{
    uint64_t begun_us = now_us();
    struct client *flying = NULL;
    while (replay.next < replay.count || replay.pending) {
        while (replay.next < replay.count && replay.pending < WINDOW) {
            struct event *event = &replay.events[replay.next];
            struct client *client = client_of(url, folder, event->client);
            if ((replay.pending && client != flying) || (now_us() - begun_us) / 1000 < event->at_ms)
                break;
            struct client_request request = {.code = COAP_POST,
                                             .path = "events",
                                             .content_format = COAP_FORMAT_JSON,
                                             .payload = bytes_from_text(event->body)};
            flying = client;
            event->begun_us = now_us();
            if (client_begin(client, &request, done, event) != OK)
                fail(event->id, client_why(client));
            replay.pending++;
            replay.next++;
        }
        if (flying && client_run(flying, replay.pending ? 20 : 1) != OK)
            fail("the network", client_why(flying));
        else if (!flying)
            usleep(1000);
        live(begun_us, false);
    }
    live(begun_us, true);
    printf("{\"seconds\":%.3f,", (double)(now_us() - begun_us) / 1e6);
}

static int by_size(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

static void report(void)
{
    uint64_t *took = calloc(replay.count + 1, sizeof *took);
    size_t have = 0;
    for (size_t i = 0; took && i < replay.count; i++)
        if (replay.events[i].acknowledged)
            took[have++] = replay.events[i].took_us;
    if (took)
        qsort(took, have, sizeof *took, by_size);
    double median = have ? (double)took[have / 2] / 1000 : NAN;
    double p99 = have ? (double)took[have * 99 / 100] / 1000 : NAN;
    printf("\"sent\":%zu,\"acknowledged\":%zu,\"refused\":%zu,\"median_ms\":%.3f,\"p99_ms\":%.3f}\n", replay.count,
           replay.acknowledged, replay.refused, median, p99);
    free(took);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("Usage: vacancy-replay URL CLIENTS-FOLDER ACKNOWLEDGED-FILE <PLAN\n", stderr);
        return 2;
    }
    if (crypto_init() != OK)
        fail("crypto", "does not start");
    replay.list = fopen(argv[3], "we");
    if (!replay.list)
        fail(argv[3], "cannot be written");
    read_plan();
    send_all(argv[1], argv[2]);
    report();
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        client_close(replay.clients[i].client);
        device_done(&replay.clients[i].device);
    }
    return replay.acknowledged == replay.count ? 0 : 1;
}
