/* hub.enclave: the hub on the runtime, with the script engine in a compartment. */
#include "algorithms.h"
#include "engine.h"
#include "hub.h"
#include "runtime.h"
#include "script.h"

#define CONTEXTS 1 /* the owner's rules are one trust domain; the first script of a launch makes it */

static struct hub *hub;

static struct hub_config config = {.port = {NULL, runtime_port_send, runtime_port_advance, runtime_port_head,
                                            runtime_port_seal_key, runtime_port_report}};

static enum status set_up(const struct runtime_launch *launch, struct writer *why)
{
    const struct script_config scripts = {.contexts = CONTEXTS, .prelude = engine_script_prelude(), .deferred = true};
    if (launch->modules_count != 1) {
        put_text(why, "the image of the hub holds one module, the script engine");
        return MALFORMED;
    }
    config.body_max = launch->body_max;
    return script_engine_new(&config.scripts, &scripts, launch->modules[0], launch->memory, why);
}

/* Behind the lock, for the store's first sealing key is for locked enclaves only. */
static enum status start(struct bytes configuration, struct bytes workload, struct writer *why)
{
    (void)workload;
    config.configuration = configuration;
    enum status status = hub_new(&hub, &config);
    if (status == OK)
        status = hub_start(hub);
    if (status != OK)
        put_text(why, status == MALFORMED ? "the launch configuration is not to be understood"
                                          : "the hub's store cannot be begun");
    return status;
}

static void receive(const struct door_header *header, struct bytes payload)
{
    hub_receive(hub, header, payload);
}

static void advanced(enum status status, const struct monitor_head_reply *reply)
{
    hub_advanced(hub, status, reply);
}

static int idle(const char **sentence)
{
    hub_idle(hub);
    return hub_exit_code(hub, sentence);
}

int main(void)
{
    struct runtime_program program = {
        .set_up = set_up, .start = start, .receive = receive, .advanced = advanced, .idle = idle};
    algorithms_use(&algorithms_of_crypto);
    program.functions = script_host_functions(&program.functions_count);
    return runtime_main(&program);
}
