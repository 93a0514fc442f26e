/* hub: whatever a host and its peers send, in any order. The input is a list of {kind, length, bytes}: messages of the
 * host as they are, requests that a client or the owner protects, and the host's and the monitor's answers, honest or
 * made of the input. The hub lives on, or stops with a code and a sentence; nothing protected is answered without
 * having been asked. */
#include "../hub_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ITEMS_MAX 24
#define INPUTS_PER_LAUNCH 100

static struct rig rig;
static struct rig_peer owner, client;
static struct rig_letter *asked; /* the last question the hub has for its host */

static void must(bool held)
{
    if (!held)
        abort();
}

static uint8_t ask(struct rig_peer *peer, const struct rig_question *question)
{
    struct rig_answer answer = rig_ask(&rig, peer, question);
    json_decref(answer.json);
    return answer.status == OK ? answer.code : 0;
}

/* A site of an owner, a client and an event, in an archive that every input starts from. */
static void prepare(void)
{
    struct rig_question event = {
        .code = COAP_POST,
        .path = "events",
        .payload = bytes_from_text("{\"id\":\"a\",\"type\":\"reading\",\"properties\":{\"value\":1}}")};
    rig_init(&rig);
    must(rig_start(&rig) == 0);
    rig_meet(&rig, &owner);
    rig_add_client(&rig, &owner, "client", "AES-CCM-16-64-128", &client);
    must(ask(&client, &event) == COAP_CHANGED);
}

/* What the hub sent goes by: answers into the box, questions remembered, and one of them answered when it is time. */
static void drain(void)
{
    while (rig.first) {
        struct rig_letter *letter = rig.first;
        rig.first = letter->next;
        if (!rig.first)
            rig.last = NULL;
        if (rig_is_asked(letter->header.operation)) {
            free(asked);
            asked = letter;
        } else {
            free(letter);
        }
    }
}

static void answer_asked(enum status status, struct bytes payload)
{
    if (!asked)
        return;
    uint64_t id = asked->header.id;
    free(asked);
    asked = NULL;
    rig_complete(&rig, id, status, payload);
}

static void answer_advance(enum status status)
{
    struct monitor_head_reply head = {.sequence = rig.advance.sequence};
    if (!rig.advancing)
        return;
    rig.advancing = false;
    hub_advanced(rig.hub, status, &head);
}

static void send_protected(struct rig_peer *peer, struct bytes inner, enum door_transport transport)
{
    static uint8_t room[DOOR_MESSAGE_MAX];
    struct writer outer = writer_over(room, sizeof room);
    uint8_t random[OSCORE_PART_LEN] = {1};
    struct coap_body body;
    if (coap_body_decode(inner, &body) == OK &&
        oscore_protect_request(&peer->session, &body, random, &peer->request, &outer) == OK)
        rig_request(&rig, ++rig.channel, transport, writer_bytes(&outer));
}

static void take_item(uint8_t kind, struct bytes bytes)
{
    struct door_header header = {.operation = kind >> 4, .status = 0, .len = (uint32_t)bytes.len, .id = rig.channel};
    switch (kind % 8) {
    case 0:
        if (header.operation >= 8)
            header.status = header.operation;
        hub_receive(rig.hub, &header, bytes);
        break;
    case 1:
        send_protected(&client, bytes, kind & 8 ? DOOR_COAP : DOOR_HTTP);
        break;
    case 2:
        send_protected(&owner, bytes, kind & 8 ? DOOR_COAP : DOOR_HTTP);
        break;
    case 3:
        answer_asked(OK, bytes);
        break;
    case 4:
        answer_asked(kind & 8 ? NO_ROOM : OK, (struct bytes){0});
        break;
    case 5:
        answer_advance(kind == 0xfd ? IO : OK);
        break;
    case 6:
        rig_request(&rig, ++rig.channel, DOOR_COAP, bytes);
        break;
    default:
        rig.now_ms += 1000;
        hub_idle(rig.hub);
        break;
    }
    hub_idle(rig.hub);
    drain();
}

/* A launch costs as much as a hundred inputs, so one hub takes many, one after the other, until it stops. */
static void relaunch(void)
{
    static bool ready;
    static unsigned inputs;
    struct rig_question actions = {.code = COAP_GET, .path = "actions"}, status = {.code = COAP_GET, .path = "status"};
    if (!ready)
        prepare();
    const char *sentence;
    if (ready && hub_exit_code(rig.hub, &sentence) == 0 && ++inputs % INPUTS_PER_LAUNCH != 0)
        return;
    ready = true;
    free(asked);
    asked = NULL;
    must(rig_start(&rig) == 0);
    must(ask(&client, &actions) == COAP_CONTENT);
    must(ask(&owner, &status) == COAP_CONTENT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    relaunch();
    struct reader input = reader_over(bytes_from(data, size));
    for (int i = 0; i < ITEMS_MAX && input.rest.len > 0; i++) {
        uint8_t kind = take_u8(&input);
        uint16_t len = take_u16le(&input);
        struct bytes bytes = take_bytes(&input, len < input.rest.len ? len : input.rest.len);
        take_item(kind, bytes);
    }
    const char *sentence;
    int code = hub_exit_code(rig.hub, &sentence);
    must(code == 0 || strlen(sentence) > 10);
    /* Leave it at rest, as far as honest answers do. */
    for (int i = 0; i < 4 && code == 0; i++) {
        answer_asked(OK, (struct bytes){0});
        answer_advance(OK);
        drain();
    }
    return 0;
}
