/* engine: the example of examples/vacancy on all its readings, against what the pictures of the room showed. */
#include "engine_rig.h"

#define DIR "examples/vacancy/"
#define ROWS 2665
#define AGREEMENT_LEAST 0.95
#define SPANS_MAX 16

/* When the phone was here, or its planner busy, from calendar.ics. */
struct span {
    bool planner;
    int64_t from_ms, to_ms;
};
static struct span spans[SPANS_MAX];
static size_t spans_count;

static char phone_events[2][256]; /* presence, planner: the newest */
static int heating = -1;          /* as the valve was told last */
static size_t switched;

static char *file_text(const char *name)
{
    char path[256];
    size_t len;
    snprintf(path, sizeof path, DIR "%s", name);
    return (char *)guest_file(path, &len);
}

static int64_t calendar_time(const char *text, const char *member)
{
    int64_t time_ms;
    char when[32];
    const char *at = strstr(text, member);
    assert_non_null(at);
    at += strlen(member);
    snprintf(when, sizeof when, "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", at, at + 4, at + 6, at + 9, at + 11, at + 13);
    assert_true(engine_parse_time(when, &time_ms));
    return time_ms;
}

static void read_calendar(void)
{
    char *text = file_text("calendar.ics");
    for (char *at = strstr(text, "BEGIN:VEVENT"); at; at = strstr(at + 1, "BEGIN:VEVENT")) {
        const char *category = strstr(at, "CATEGORIES:");
        assert_true(category && spans_count < SPANS_MAX);
        spans[spans_count++] = (struct span){strncmp(category + 11, "PLANNER", 7) == 0, calendar_time(at, "DTSTART:"),
                                             calendar_time(at, "DTEND:")};
    }
    free(text);
}

static bool inside(bool planner, int64_t time_ms)
{
    for (size_t i = 0; i < spans_count; i++)
        if (spans[i].planner == planner && spans[i].from_ms <= time_ms && time_ms < spans[i].to_ms)
            return true;
    return false;
}

static struct bytes last_of_phone(void *user, const char *source, const char *type)
{
    (void)user;
    assert_string_equal("phone", source);
    return bytes_from_text(phone_events[strcmp(type, "planner") == 0]);
}

static void turn_valve(void *user, const char *rule, const char *target, const char *type, struct bytes properties)
{
    (void)user;
    assert_string_equal("vacancy", rule);
    assert_string_equal("valve", target);
    assert_string_equal("set", type);
    assert_true(properties.len > 12);
    heating = memcmp(properties.data, "{\"on\":true,", 11) == 0;
    switched++;
}

static void put_vacancy_rule(void)
{
    char *condition = file_text("condition.js"), *transform = file_text("transform.js"),
         *sample = file_text("sample.json");
    json_t *rule = json_pack("{s:s,s:[{s:s,s:s,s:s}],s:[{s:s,s:s},{s:s,s:s}],s:[{s:s,s:s,s:s}],s:o}", "name", "vacancy",
                             "when", "source", "sensor", "type", "reading", "condition", condition, "reads", "source",
                             "phone", "type", "presence", "source", "phone", "type", "planner", "do", "target", "valve",
                             "type", "set", "transform", transform, "sample", json_loads(sample, 0, NULL));
    char *text = json_dumps(rule, 0);
    enum status status = engine_put_rule(engine, bytes_from_text(text), (struct bytes){0}, &refusal);
    if (status != OK)
        fail_msg("%s %s", refusal.field, refusal.reason);
    free(condition);
    free(transform);
    free(sample);
    free(text);
    json_decref(rule);
}

/* One row: "140","2015-02-02 14:19:00",23.7,26.272,585.2,749.2,0.00476416302416414,1 */
static bool take_row(const char *row, const struct engine_port *with)
{
    struct engine_batch batch;
    char date[11], clock[9], number[5][32], body[512];
    int occupied;
    assert_int_equal(8, sscanf(row, "\"%*[0-9]\",\"%10s %8[0-9:]\",%31[^,],%31[^,],%31[^,],%31[^,],%31[^,],%d", date,
                               clock, number[0], number[1], number[2], number[3], number[4], &occupied));
    snprintf(body, sizeof body,
             "{\"type\":\"reading\",\"time\":\"%sT%sZ\",\"properties\":{\"temperature\":%s,\"humidity\":%s,"
             "\"light\":%s,\"co2\":%s,\"humidityRatio\":%s}}",
             date, clock, number[0], number[1], number[2], number[3], number[4]);
    check_ok(engine_parse_events(bytes_from_text(body), ENGINE_JSON, "sensor", NOW, &batch, &refusal));
    int64_t time_ms = batch.events[0].time_ms;
    snprintf(phone_events[0], sizeof phone_events[0], "{\"properties\":{\"here\":%s}}",
             inside(false, time_ms) ? "true" : "false");
    snprintf(phone_events[1], sizeof phone_events[1], "{\"properties\":{\"away\":%s}}",
             inside(true, time_ms) ? "false" : "true");
    engine_evaluate(engine, &batch.events[0], time_ms, with, &counts);
    engine_batch_done(&batch);
    return heating == occupied;
}

static void the_heating_follows_the_people_in_the_room(void **state)
{
    (void)state;
    static const struct engine_port valve = {.last = last_of_phone, .action = turn_valve};
    char *rows = file_text("datatest.txt");
    size_t count = 0, agree = 0;
    read_calendar();
    put_vacancy_rule();
    for (char *row = strchr(rows, '\n'); row && row[1]; row = strchr(row + 1, '\n'), count++)
        agree += take_row(row + 1, &valve);
    free(rows);
    print_message("%zu of %zu readings agree with the pictures: %.2f %%; switched %zu times\n", agree, count,
                  100.0 * (double)agree / (double)count, switched);
    assert_int_equal(ROWS, count);
    assert_int_equal(ROWS, counts.evaluations);
    assert_int_equal(0, counts.failures);
    assert_int_equal(switched, counts.fired);
    assert_true((double)agree >= AGREEMENT_LEAST * (double)count);
    assert_true(switched >= 3 && switched <= 10); /* three days, and no flutter at night */
}

int main(int count, char **arguments)
{
    if (count > 1)
        modules_dir = arguments[1];
    const struct CMUnitTest tests[] = {rule_test(the_heating_follows_the_people_in_the_room)};
    return cmocka_run_group_tests(tests, start_engine, NULL);
}
