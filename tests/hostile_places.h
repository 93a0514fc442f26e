/* Hubs on nodes: the home site, which certified its hub and one device, and where a gateway might lead that device
 * instead. Each hub's evidence is of a node with a TPM's and a monitor's keys. */
#ifndef BASTIDE_TESTS_HOSTILE_PLACES_H
#define BASTIDE_TESTS_HOSTILE_PLACES_H

#include "hub_device.h"

#include "evidence_rig.h"

/* ---- Places: a hub on a node ---- */

enum { HOME, OTHER_OWNER, OTHER_SITE, TWIN, PLACES }; /* TWIN: the same owner and site, on another node */

static struct place {
    struct rig *hub;
    struct rig_peer owner;
    struct node node;
    uint8_t configuration[IMAGE_CONFIGURATION_MAX];
    void (*bend)(struct eat_report *report); /* what else its monitor says */
    bool other_boot;                         /* the TPM quotes a boot chain that nobody knows */
    const struct crypto_key *signed_by;      /* NULL: its report key */
} places[PLACES];

static struct rig other_hubs[PLACES];

static inline enum status report_of(const struct rig *hub, const struct monitor_report *asked, struct writer *evidence)
{
    size_t at = 0;
    while (places[at].hub != hub)
        at++;
    const struct place *place = &places[at];
    struct eat_report report = sample();
    struct image_configuration configuration;
    uint8_t room[EAT_EVIDENCE_MAX];
    TRY(image_configuration_decode(hub->configuration, &configuration));
    memcpy(report.config, configuration.config_id, sizeof report.config);
    memcpy(report.user_data, asked->user_data, sizeof report.user_data);
    memcpy(report.nonce, asked->nonce, asked->nonce_len);
    report.nonce_len = asked->nonce_len;
    if (place->bend)
        place->bend(&report);
    node = place->node;
    pcr_value[0] ^= place->other_boot;
    struct bytes whole = made(&report, place->signed_by ? place->signed_by : &node.report_key, room);
    pcr_value[0] ^= place->other_boot;
    put_bytes(evidence, whole);
    return writer_end(evidence);
}

static inline void launch(struct place *place)
{
    assert_int_equal(0, rig_start(place->hub));
    rig_peer_done(&place->owner);
    rig_meet(place->hub, &place->owner);
}

static inline void make_place(unsigned at, unsigned owner_number, uint8_t site, bool certified)
{
    static uint8_t room[PKI_CERTIFICATE_MAX];
    struct writer certificate = writer_over(room, sizeof room);
    struct place *place = &places[at];
    place->hub = &other_hubs[at];
    rig_init(place->hub);
    place->hub->owner = owner_number;
    place->hub->configuration = rig_put_configuration(owner_number, site, place->configuration);
    place->hub->reporter = report_of;
    launch(place);
    if (certified)
        rig_certify_site(place->hub, &place->owner, &certificate);
}

static uint8_t device_room[PKI_CERTIFICATE_MAX];
static struct bytes device_certificate;

static inline int set_up_places(void **state)
{
    set_up_site(state);
    device_certificate = enrolled("thermometer", device_room);
    memset(places, 0, sizeof places);
    for (unsigned at = 0; at < PLACES; at++) {
        if (start(state) != 0)
            return 1;
        places[at].node = node;
    }
    places[HOME].hub = &rig;
    rig.reporter = report_of;
    launch(&places[HOME]);
    make_place(OTHER_OWNER, 1, RIG_SITE, true);
    make_place(OTHER_SITE, 0, RIG_SITE + 1, true);
    make_place(TWIN, 0, RIG_SITE, true);
    return 0;
}

static inline void tear_down_places(void **state)
{
    for (unsigned at = 0; at < PLACES; at++) {
        node = places[at].node;
        (void)stop(state);
        rig_peer_done(&places[at].owner);
        if (at != HOME)
            rig_done(places[at].hub);
    }
    (void)tear_down(state);
}

/* As the owner of that place sees it; his own session counts. */
static inline int64_t state_of(unsigned at, const char *name)
{
    struct place *place = &places[at];
    json_t *json = rig_expect(place->hub, &place->owner, COAP_CONTENT, COAP_GET, "status", NULL, NULL);
    json_t *counts = json_object_get(json, "counts");
    int64_t value = number(json_object_get(counts, name) ? counts : json, name);
    json_decref(json);
    return value;
}

#endif
