/* vtpm.enclave: a vTPM on the runtime. Its image holds no module: libtpms is in the program. */
#include "image.h"
#include "runtime.h"
#include "vtpm.h"

static struct vtpm *vtpm;

static enum status advance(void *user, const struct monitor_advance *advance, struct bytes record)
{
    (void)user;
    return tee_advance(advance, record);
}

static enum status record(void *user, uint64_t sequence, struct writer *record)
{
    (void)user;
    return tee_record(sequence, record);
}

static enum status launch_of_vm(void *user, struct monitor_launch *launch)
{
    (void)user;
    return tee_launch(launch);
}

static enum status launches(void *user, uint64_t from, struct monitor_vm vms[MONITOR_LAUNCHES_MAX], size_t *count)
{
    (void)user;
    return tee_launches(from, vms, count);
}

static uint64_t clock_ms(void *user)
{
    (void)user;
    return runtime_clock_ms();
}

static enum status set_up(const struct runtime_launch *launch, struct writer *why)
{
    const struct vtpm_config config = {.port = {NULL, runtime_port_send, advance, record, runtime_port_head,
                                                runtime_port_seal_key, runtime_port_report, launch_of_vm, launches,
                                                clock_ms},
                                       .socket = {runtime_socket_receive, runtime_socket_send, runtime_socket_close}};
    if (launch->modules_count) {
        put_text(why, "the image of the vTPM holds no module");
        return MALFORMED;
    }
    enum status status = vtpm_new(&vtpm, &config);
    if (status == OK)
        (void)vtpm_rehearse(vtpm);
    else
        put_text(why, "libtpms or the store cannot be set up");
    return status;
}

/* Behind the lock, for the store's first sealing key is for locked enclaves only. */
static enum status start(struct bytes configuration, struct bytes workload, struct writer *why)
{
    struct image_configuration whose;
    struct image_machine machine;
    TRY(vtpm_policy_read(configuration, workload, &whose, &machine, why));
    enum status status = vtpm_start(vtpm, &whose, &machine);
    if (status != OK)
        put_text(why, "the vTPM's store cannot be begun");
    return status;
}

static void receive(const struct door_header *header, struct bytes payload)
{
    vtpm_receive(vtpm, header, payload);
}

static void advanced(enum status status, const struct monitor_head_reply *reply)
{
    vtpm_advanced(vtpm, status, reply);
}

static void took_socket(void)
{
    vtpm_took_socket(vtpm);
}

static short serve_socket(bool ready)
{
    return vtpm_serve_socket(vtpm, ready);
}

static int idle(const char **sentence)
{
    return vtpm_exit_code(vtpm, sentence);
}

int main(void)
{
    const struct runtime_program program = {.set_up = set_up,
                                            .start = start,
                                            .receive = receive,
                                            .advanced = advanced,
                                            .took_socket = took_socket,
                                            .serve_socket = serve_socket,
                                            .idle = idle};
    vtpm_use_algorithms();
    return runtime_main(&program);
}
