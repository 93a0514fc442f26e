/* A complete sensor: enrols once with a one-time code, then reports the machine's temperature and obeys "interval"
 * actions of the owner's rules. Everything it says can be read by the hub's enclave and nobody else.
 *
 *     bastide client add thermometer --code > code          on the owner's machine
 *     thermometer coap://192.0.2.7 thermometer.state < code  on the device, the first time
 *     thermometer coap://192.0.2.7 thermometer.state         from then on
 *
 * cc thermometer.c -I include -L lib -lbastide-client -lcrypto */
#include <bastide.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SENSOR_FILE "/sys/class/thermal/thermal_zone0/temp" /* thousandths of a degree */
#define CHECK_S 15

static volatile sig_atomic_t stopped;

struct thermometer {
    struct bastide *hub;
    unsigned interval_s;
    unsigned long long cursor; /* of the last action */
    bool watching;
};

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

/* A machine without a sensor, a virtual one for instance, reports how busy it is instead. */
static void read_sensor(char *properties, size_t cap)
{
    double value = 0;
    FILE *file = fopen(SENSOR_FILE, "r");
    bool celsius = file != NULL;
    if (!file)
        file = fopen("/proc/loadavg", "r");
    if (file && fscanf(file, "%lf", &value) != 1)
        value = 0;
    if (file)
        fclose(file);
    snprintf(properties, cap, celsius ? "{\"celsius\":%.1f}" : "{\"load\":%.2f}", celsius ? value / 1000 : value);
}

/* {"actions":[{"cursor":7,…,"type":"interval","properties":{"seconds":5}}],"cursor":7}: what this device understands is
 * simple enough to be found without a JSON library. */
static void take_actions(struct thermometer *self, const char *text)
{
    const char *at = text, *seconds;
    while ((at = strstr(at, "\"cursor\":"))) {
        unsigned long long cursor = strtoull(at + 9, NULL, 10);
        const char *type = strstr(at, "\"type\":\"interval\"");
        if (cursor > self->cursor && type && (seconds = strstr(type, "\"seconds\":")) && atoi(seconds + 10) > 0) {
            self->interval_s = (unsigned)atoi(seconds + 10);
            printf("interval: %u s\n", self->interval_s);
        }
        self->cursor = cursor > self->cursor ? cursor : self->cursor;
        at += 9;
    }
}

static void on_actions(void *user, const struct bastide_answer *answer)
{
    struct thermometer *self = user;
    if (answer && answer->code == 205)
        take_actions(self, answer->payload);
    self->watching = answer != NULL;
}

/* Observes; and asks now and then, because silence does not tell a quiet hub from one that forgot. */
static void watch(struct thermometer *self)
{
    char query[40];
    struct bastide_answer answer;
    const struct bastide_request check = {.method = BASTIDE_GET, .path = "actions", .query = query};
    snprintf(query, sizeof query, "after=%llu", self->cursor);
    if (bastide_request(self->hub, &check, &answer) == BASTIDE_OK && answer.code == 205)
        take_actions(self, answer.payload);
    if (!self->watching)
        self->watching = bastide_observe(self->hub, "actions", query, on_actions, self) == BASTIDE_OK;
}

static void live(struct thermometer *self)
{
    char properties[64];
    time_t report_at = 0, check_at = 0;
    while (!stopped) {
        time_t now = time(NULL);
        if (now >= report_at) {
            read_sensor(properties, sizeof properties);
            bool sent = bastide_send(self->hub, "reading", properties, NULL) == BASTIDE_OK;
            printf("%s%s%s\n", properties, sent ? "" : " not sent: ", sent ? "" : bastide_why(self->hub));
            report_at = now + (time_t)self->interval_s;
        }
        if (now >= check_at) {
            watch(self);
            check_at = now + CHECK_S;
        }
        (void)bastide_run(self->hub, 500);
        fflush(stdout);
    }
}

static bool enrol(struct bastide *hub)
{
    char code[512];
    fputs("code: ", stdout);
    fflush(stdout);
    if (!fgets(code, sizeof code, stdin) || bastide_enrol(hub, code) != BASTIDE_OK) {
        fprintf(stderr, "thermometer: not enrolled: %s\n", bastide_why(hub));
        return false;
    }
    printf("enrolled as %s\n", bastide_name(hub));
    return true;
}

int main(int argc, char **argv)
{
    struct thermometer self = {.interval_s = 10};
    char why[BASTIDE_WHY_MAX];
    if (argc != 3) {
        fprintf(stderr, "Usage: thermometer URL STATE-FILE\n");
        return 2;
    }
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    const struct bastide_config config = {.url = argv[1], .state_file = argv[2]};
    if (bastide_open(&config, &self.hub, why, sizeof why) != BASTIDE_OK) {
        fprintf(stderr, "thermometer: %s\n", why);
        return 1;
    }
    bool enrolled = bastide_is_enrolled(self.hub) || enrol(self.hub);
    if (enrolled)
        live(&self);
    bastide_close(self.hub);
    return enrolled ? 0 : 1;
}
