/* vtpm: whatever a host sends, in any order. The input's first byte says under which machine policy the vTPM is, what
 * the monitor measured, and whether it is on; the rest is a list of {kind, length, bytes}: messages of the host as they
 * are, control frames, questions for its keys and where its state is, passphrases, TPM commands raw or with a sound
 * header, and the host's and the monitor's answers, honest or not. The vTPM lives on, or stops with a code and a
 * sentence; no channel is answered twice, what changed something is not answered before the monitor's head moved, and
 * what its policy wants measured is on only when it was. */
#include "../vtpm_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ITEMS_MAX 24
#define INPUTS_PER_LAUNCH 100

static struct rig rig;
static struct rig_letter *asked; /* the last question the vTPM has for its host */
static uint64_t questions, answers;
static bool behind; /* what the monitor was asked and has not answered: those who come then are turned away */

static void must(bool held)
{
    if (!held)
        abort();
}

/* Answers are counted, questions remembered, and one of them answered when it is time. */
static void drain(void)
{
    behind = rig.advancing && (behind || !rig.before);
    while (rig.first) {
        struct rig_letter *letter = rig.first;
        const uint16_t operation = letter->header.operation;
        rig.first = letter->next;
        answers += operation == DOOR_REPLY;
        must(operation != DOOR_REPLY || (letter->header.len >= 4 && letter->header.len <= VTPM_TRANSFER_ANSWER_MAX));
        must(operation != DOOR_REPLY || !behind || letter->header.len <= 10);
        behind |= rig.advancing && letter == rig.before;
        if (operation == DOOR_SYNC || operation == DOOR_LOG_READ || operation == DOOR_SNAPSHOT_GET) {
            free(asked);
            asked = letter;
        } else {
            free(letter);
        }
    }
    must(answers <= questions);
}

static void answer_asked(enum status status, struct bytes payload)
{
    if (!asked)
        return;
    const struct door_header header = {DOOR_COMPLETE, (uint16_t)status, (uint32_t)payload.len, asked->header.id};
    free(asked);
    asked = NULL;
    vtpm_receive(rig.vtpm, &header, payload);
}

static void answer_advance(enum status status)
{
    const struct monitor_head_reply head = {.sequence = rig.advance.sequence};
    if (!rig.advancing)
        return;
    rig.advancing = behind = false;
    vtpm_advanced(rig.vtpm, status, &head);
}

static void request(uint32_t transport, struct bytes frame)
{
    static uint8_t room[1024];
    const struct door_request asked_at = {.time_ms = 1, .transport = transport};
    struct writer writer = writer_over(room, sizeof room);
    put_bytes(&writer, bytes_from(&asked_at, sizeof asked_at));
    put_bytes(&writer, frame);
    const struct door_header header = {.operation = DOOR_REQUEST, .len = (uint32_t)writer.len, .id = ++rig.channel};
    questions++;
    vtpm_receive(rig.vtpm, &header, writer_bytes(&writer));
}

/* The header is sound: code and what follows are the input's. */
static void command(struct bytes bytes)
{
    uint8_t room[300];
    struct writer writer = writer_over(room, sizeof room);
    put_u16be(&writer, bytes.len & 1 ? 0x8001 : 0x8002);
    put_u32be(&writer, (uint32_t)bytes.len + 8);
    put_u16be(&writer, 0);
    put_bytes(&writer, bytes);
    request(DOOR_VTPM_DATA, writer_bytes(&writer));
}

static void take_item(uint8_t kind, struct bytes bytes)
{
    struct door_header header = {.operation = kind >> 4, .len = (uint32_t)bytes.len, .id = rig.channel};
    switch (kind % 8) {
    case 0:
        header.status = bytes.len ? bytes.data[0] : 0;
        questions += header.operation == DOOR_REQUEST;
        vtpm_receive(rig.vtpm, &header, bytes);
        break;
    case 1:
        request(kind & 8 ? DOOR_VTPM_TRANSFER : DOOR_VTPM_CONTROL, bytes);
        break;
    case 2:
        request(kind & 8 ? DOOR_VTPM_KEYS : DOOR_VTPM_DATA, bytes);
        break;
    case 3:
        command(bytes);
        break;
    case 4:
        answer_asked(kind & 8 ? IO : OK, bytes);
        break;
    case 5:
        answer_advance(kind == 0xfd ? IO : OK);
        break;
    case 6:
        rig.clock_ms += 1000;
        header = (struct door_header){.operation = DOOR_TICK, .len = (uint32_t)bytes.len};
        vtpm_receive(rig.vtpm, &header, bytes);
        break;
    default:
        if (kind & 8 && bytes.len)
            request(DOOR_VTPM_UNLOCK, bytes);
        answer_asked(OK, (struct bytes){0});
        answer_advance(OK);
        break;
    }
    drain();
}

static bool lives(void)
{
    const char *sentence;
    int code = vtpm_exit_code(rig.vtpm, &sentence);
    must(code == 0 || sentence[0]);
    return code == 0;
}

/* ---- Under which policy, from the input's first byte ---- */

enum mode { NO_POLICY, SNAPSHOTS, ENFORCE, HYPERVISOR };
#define MODE 0x03u
#define OTHER_KERNEL 0x04u /* was measured, not the one that is allowed */
#define NOT_MEASURED 0x08u
#define ON 0x10u
#define TIGHT 0x20u /* its owner's limit is the least there is */
#define CONFIGURED (MODE | OTHER_KERNEL | NOT_MEASURED | ON | TIGHT)

static void configure(uint8_t said)
{
    static struct monitor_vm vms[MONITOR_LAUNCHES_MAX + 1]; /* the node's log, more than is told at once */
    const enum mode mode = (enum mode)(said & MODE);
    struct image_machine *machine = &rig.machine;
    *machine = (struct image_machine){.serial = mode != NO_POLICY,
                                      .snapshots = mode == SNAPSHOTS,
                                      .hypervisor = mode == HYPERVISOR,
                                      .launch = mode == ENFORCE ? IMAGE_LAUNCH_ENFORCE : IMAGE_LAUNCH_NONE,
                                      .state_max = said & TIGHT ? IMAGE_STATE_MIN : 0};
    machine->allowed_count[IMAGE_KERNEL] = mode == ENFORCE;
    machine->allowed[IMAGE_KERNEL][0][0] = 7;
    rig.measured = !(said & NOT_MEASURED);
    rig.launch = (struct monitor_launch){.given = 1u << IMAGE_KERNEL};
    rig.launch.hash[IMAGE_KERNEL][0] = said & OTHER_KERNEL ? 8 : 7;
    for (size_t i = 0; i < sizeof vms / sizeof *vms; i++)
        vms[i] = (struct monitor_vm){.site = {(uint8_t)i}, .launch = rig.launch};
    rig.vms = vms;
    rig.vm_count = mode == HYPERVISOR ? sizeof vms / sizeof *vms : 0;
}

/* INIT is refused where the policy wants another launch, or one at all. */
static void switch_on(uint8_t said)
{
    const bool wanted = (said & MODE) == ENFORCE && (said & (OTHER_KERNEL | NOT_MEASURED));
    must((rig_do(&rig, SWTPM_INIT) == SWTPM_OK) == !wanted);
    if (!wanted)
        (void)rig_startup(&rig);
}

/* Every launch is from the same archive: a TPM that was switched on once, under no policy. */
static void launch(uint8_t said)
{
    static bool prepared;
    static uint64_t sequence;
    static uint8_t hash[32];
    static char kept[128];
    if (!prepared) {
        struct crypto_key owner = {0};
        rig_init(&rig);
        snprintf(kept, sizeof kept, "%s.old", rig.path);
        must(crypto_key_import(&owner, CRYPTO_P256, bytes_from_text("a key of 32 bytes, which is none")) == OK);
        rig.configuration.owner = owner.public_key;
        crypto_key_done(&owner);
        rig_on(&rig);
        rig_stop(&rig);
        rig_copy(rig.path, kept);
        sequence = rig.sequence;
        memcpy(hash, rig.hash, sizeof hash);
        prepared = true;
    }
    rig_stop(&rig);
    rig_copy(kept, rig.path);
    rig.sequence = sequence;
    memcpy(rig.hash, hash, sizeof hash);
    configure(said);
    must(rig_launch(&rig) == 0);
    if (said & ON)
        switch_on(said);
    free(asked);
    asked = NULL;
    questions = answers = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned inputs;
    static uint8_t current;
    struct reader reader = reader_over(bytes_from(data, size));
    const uint8_t said = take_u8(&reader) & CONFIGURED;
    if (!rig.vtpm || ++inputs % INPUTS_PER_LAUNCH == 0 || said != current || !lives())
        launch(said);
    current = said;
    for (int i = 0; i < ITEMS_MAX && reader.status == OK && reader.rest.len && lives(); i++) {
        uint8_t kind = take_u8(&reader);
        size_t len = take_u8(&reader);
        take_item(kind, take_bytes(&reader, len < reader.rest.len ? len : reader.rest.len));
    }
    return 0;
}
