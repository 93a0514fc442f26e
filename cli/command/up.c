/* bastide up: the node's processes, in the background or for a service manager. */
#include "command_internal.h"

#include <stdlib.h>

static const char help[] =
    "Usage: bastide up [--foreground] [options]\n\n"
    "Starts the node of this home and waits until it serves. What is not given is as it was the last time. In the\n"
    "background a supervisor restarts bastided when it ends, and in development mode the software TPM and the key\n"
    "holder together, which counts as a reboot. With any other TPM a key holder that ends means: reboot the "
    "machine.\n\n"
    "  --foreground        be the supervisor, until SIGTERM: for systemd (KillMode=mixed)\n" COMMAND_NODE_HELP
    "\nExamples:\n"
    "  bastide up\n"
    "  bastide up --http [::]:8080 --coap [::]:5683\n"
    "  bastide up --require secret-memory,other-user\n"
    "  bastide --home /var/lib/bastide up --foreground\n";

static int run_in_foreground(const struct cli *cli, const struct service_settings *settings)
{
    if (service_settings_save(cli, settings) != OK)
        return cli_fail(cli, CLI_INTERNAL, "%s/run/node.json cannot be written", cli->home);
    return service_supervise(cli, settings);
}

static void report(const struct cli *cli, const struct service_settings *settings, bool started)
{
    if (cli->json) {
        cli_print_json(json_pack("{s:b,s:s,s:s}", "started", started, "coap", settings->coap, "http", settings->http));
        return;
    }
    cli_line(cli, "node", "%s: CoAP %s, HTTP %s", started ? "started" : "was up", settings->coap, settings->http);
    command_tell_memory(cli);
    cli_line(cli, "logs", "%s/run/*.log", cli->home);
}

/* The node's own half of the home is enough: the owner may live on another machine. */
static int read_mode(const struct cli *cli, bool *insecure_dev)
{
    char path[PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    struct image_configuration configuration;
    enum status status = cli_read_file(cli_path(cli, "node/configuration", path), IMAGE_CONFIGURATION_MAX, &data, &len);
    if (status == NOT_FOUND)
        return cli_fail(cli, CLI_NOT_FOUND, "%s holds no site yet: bastide init makes one", cli->home);
    if (status == OK)
        status = image_configuration_decode(bytes_from(data, len), &configuration);
    *insecure_dev = status == OK && configuration.insecure_dev;
    free(data);
    return status == OK ? CLI_OK : cli_fail(cli, CLI_IMAGE, "%s is not a launch configuration", path);
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct command_node node = {0};
    static struct service_settings settings;
    bool foreground = false, started = false, insecure_dev = false;
    const struct cli_option options[] = {{"foreground", NULL, &foreground, NULL}, COMMAND_NODE_OPTIONS(node)};
    int result = cli_options(cli, "up", options, sizeof options / sizeof options[0], &argc, argv);
    if (result == CLI_OK && argc > 1)
        result = cli_usage(cli, "up", "\"%s\" is one word too many", argv[1]);
    if (result == CLI_OK)
        result = read_mode(cli, &insecure_dev);
    if (result)
        return result;
    if (cli_make_directories(cli) != OK)
        return cli_fail(cli, CLI_DENIED, "%s cannot be written", cli->home);
    service_settings_init(cli, insecure_dev, &settings);
    enum status status = service_settings_load(cli, &settings);
    if (status != OK && status != NOT_FOUND)
        return cli_fail(cli, CLI_DENIED, "%s/run/node.json %s", cli->home, cli_file_problem(status));
    if (settings.remote)
        return cli_fail(cli, CLI_DENIED, "the node of %s is another machine's: start it there", cli->home);
    result = command_node_settings(cli, "up", &node, insecure_dev, &settings);
    if (result)
        return result;
    if (foreground)
        return run_in_foreground(cli, &settings);
    result = service_up(cli, &settings, &started);
    if (result == CLI_OK)
        report(cli, &settings, started);
    return result;
}

const struct command command_up = {"up", "start the node and wait until it serves", help, run, NULL};
