/* hub.enclave: the hub on the runtime, with the script engine in a compartment. */
#include "algorithms.h"
#include "engine.h"
#include "hub.h"
#include "runtime.h"
#include "script.h"

#define CONTEXTS 1 /* the owner's rules are one trust domain; the first script of a launch makes it */

static struct hub *hub;

static enum status send_to_host(void *user, enum door_operation operation, uint64_t id, const struct bytes *parts,
                                size_t count)
{
    (void)user;
    return runtime_send(operation, id, parts, count);
}

static enum status advance(void *user, const struct monitor_advance *wanted)
{
    (void)user;
    return tee_advance(wanted);
}

static enum status head(void *user, struct monitor_head_reply *reply)
{
    (void)user;
    return tee_head(reply);
}

static enum status seal_key(void *user, const struct monitor_seal *seal, struct monitor_seal_reply *reply)
{
    (void)user;
    return tee_seal_key(seal, reply);
}

static enum status report(void *user, const struct monitor_report *asked, struct writer *evidence)
{
    (void)user;
    return tee_report(asked, evidence);
}

static struct hub_config config = {.port = {NULL, send_to_host, advance, head, seal_key, report}};

static enum status set_up(const struct runtime_launch *launch, struct writer *why)
{
    const struct script_config scripts = {.contexts = CONTEXTS, .prelude = engine_script_prelude(), .deferred = true};
    if (launch->modules_count != 1) {
        put_text(why, "the image of the hub holds one module, the script engine");
        return MALFORMED;
    }
    config.configuration = launch->configuration;
    config.body_max = launch->body_max;
    return script_engine_new(&config.scripts, &scripts, launch->modules[0], launch->memory, why);
}

/* Behind the lock, for the store's first sealing key is for locked enclaves only. */
static enum status start(struct writer *why)
{
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

static void idle(void)
{
    hub_idle(hub);
}

static int exit_code(const char **sentence)
{
    return hub_exit_code(hub, sentence);
}

int main(void)
{
    struct runtime_program program = {.set_up = set_up,
                                      .start = start,
                                      .receive = receive,
                                      .advanced = advanced,
                                      .idle = idle,
                                      .exit_code = exit_code};
    algorithms_use(&algorithms_of_crypto);
    program.functions = script_host_functions(&program.functions_count);
    return runtime_main(&program);
}
