/* A site in use: its owner, one client, and the few questions that most tests ask. */
#ifndef BASTIDE_TESTS_HUB_SITE_H
#define BASTIDE_TESTS_HUB_SITE_H

#include "hub_rig.h"

static struct rig rig;
static struct rig_peer owner, sensor;

static inline int set_up(void **state)
{
    (void)state;
    rig_init(&rig);
    assert_int_equal(0, rig_start(&rig));
    rig_meet(&rig, &owner);
    rig_add_client(&rig, &owner, "sensor", "AES-CCM-16-64-128", &sensor);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    rig_peer_done(&owner);
    rig_peer_done(&sensor);
    rig_done(&rig);
    return 0;
}

static inline void restart(void)
{
    assert_int_equal(0, rig_start(&rig));
}

static inline int64_t number(json_t *json, const char *name)
{
    json_t *value = json_object_get(json, name);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

/* Sends events; how many were taken. */
static inline int64_t send_events(const char *body, int64_t *duplicates)
{
    json_t *json = rig_expect(&rig, &sensor, COAP_CHANGED, COAP_POST, "events", NULL, body);
    int64_t accepted = number(json, "accepted");
    if (duplicates)
        *duplicates = number(json, "duplicates");
    json_decref(json);
    return accepted;
}

static inline void send_one(const char *id, double value)
{
    char body[256];
    snprintf(body, sizeof body, "{%s%s%s\"type\":\"reading\",\"properties\":{\"value\":%g}}", id ? "\"id\":\"" : "",
             id ? id : "", id ? "\"," : "", value);
    assert_int_equal(1, send_events(body, NULL));
}

static inline json_t *history(const char *query)
{
    return rig_expect(&rig, &owner, COAP_CONTENT, COAP_GET, "history", query, NULL);
}

static inline json_t *row(json_t *answer, size_t index)
{
    return json_array_get(json_object_get(answer, "rows"), index);
}

static inline size_t rows(json_t *answer)
{
    return json_array_size(json_object_get(answer, "rows"));
}

static inline double value_of(json_t *one)
{
    double value;
    assert_int_equal(0, json_unpack(one, "{s:{s:{s:F}}}", "message", "properties", "value", &value));
    return value;
}

#endif
