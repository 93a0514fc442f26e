/* bastide vtpm: TPMs for VMs, each in an enclave of this home's node, from their making to their end. */
#include "command_internal.h"
#include "instance.h"
#include "instance_move.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct words {
    const char *name, *from, *id, *tenant, *image, *kind, *file, *to, *state_max, *fsync;
    bool start, on, foreground, pem, der, yes, gone, prepare, finish, abort, lost;
};

/* ---- create ---- */

static int find_image(const struct cli *cli, const char *name, const char *given, char image[PATH_MAX])
{
    char beside[PATH_MAX + 16];
    if (!given && instance_name_is_good(name) && instance_image(cli, name, image))
        return CLI_OK; /* the one it was begun with */
    snprintf(beside, sizeof beside, "%s/vtpm.image", cli->program);
    char *whole = realpath(given ? given : beside, NULL);
    if (!whole)
        return cli_fail(cli, CLI_IMAGE, "image refused: %s is not there", given ? given : beside);
    int result = (size_t)snprintf(image, PATH_MAX, "%s", whole) < PATH_MAX
                     ? CLI_OK
                     : cli_fail(cli, CLI_IMAGE, "image refused: its name is too long");
    free(whole);
    return result;
}

static int check_create(const struct cli *cli, const struct words *words, uint8_t id[IMAGE_SITE_LEN])
{
    if (words->id && instance_take_uuid(words->id, id) != OK)
        return cli_usage(cli, "vtpm", "--id \"%.80s\" is no UUID: 8-4-4-4-12 hexadecimal digits", words->id);
    if (words->tenant && !instance_tenant_is_good(words->tenant))
        return cli_usage(cli, "vtpm", "--tenant: 1 to %d bytes of text", INSTANCE_TENANT_MAX);
    return CLI_OK;
}

static int check_remote(const struct cli *cli)
{
    struct service_settings settings;
    if (service_settings_load(cli, &settings) == OK && settings.remote)
        return cli_fail(cli, CLI_DENIED, "the node of %s is another machine's: make its vTPMs there", cli->home);
    return CLI_OK;
}

static int create(const struct cli *cli, const struct words *words)
{
    char image[PATH_MAX];
    uint8_t id[IMAGE_SITE_LEN];
    uint64_t state_max = 0;
    struct owner_session session;
    int result = check_create(cli, words, id);
    if (result == CLI_OK && !owner_has_site(cli))
        result = cli_fail(cli, CLI_NOT_FOUND, "%s holds no site yet: bastide init makes one", cli->home);
    if (result == CLI_OK)
        result = cli_number(cli, "vtpm", "state-max", words->state_max, IMAGE_STATE_MIN, IMAGE_STATE_MAX, &state_max);
    const struct instance_order order = {words->name, words->id ? id : NULL, words->tenant, image, (uint32_t)state_max};
    if (result == CLI_OK)
        result = find_image(cli, words->name, words->image, image);
    if (result == CLI_OK)
        result = check_remote(cli);
    if (result == CLI_OK)
        result = instance_check_node(cli);
    if (result == CLI_OK)
        result = command_open(cli, &session);
    if (result)
        return result;
    result = instance_create(cli, &order, &session);
    owner_session_close(&session);
    cli_progress(cli, NULL);
    if (result == CLI_OK && words->start)
        result = instance_start(cli, words->name, (struct instance_how){.on = words->on});
    return result ? result : command_vtpm_show(cli, words->name);
}

/* ---- start and stop ---- */

int command_vtpm_startable(const struct cli *cli, const char *name)
{
    struct instance instance;
    int result = instance_look(cli, name, false, &instance);
    if (result == CLI_OK && !instance.has_place)
        result = cli_fail(cli, CLI_NOT_FOUND, "vTPM %s was never finished: bastide vtpm create %s", name, name);
    if (result == CLI_OK && instance.is_foreign)
        result = cli_fail(cli, CLI_DENIED, "node/instances/%s is another owner's, or of another mode", name);
    if (result == CLI_OK && instance.has_record && !instance.record.whole)
        result =
            cli_fail(cli, CLI_DENIED, "vTPM %s is not whole, its making was cut: bastide vtpm create %s", name, name);
    return result;
}

bool command_vtpm_fsync(const char *answer, struct instance_how *how)
{
    how->relaxed = answer && strcmp(answer, "no") == 0;
    return how->relaxed || !answer || strcmp(answer, "yes") == 0;
}

static int start(const struct cli *cli, const struct words *words)
{
    struct instance_how how = {.on = words->on};
    if (!command_vtpm_fsync(words->fsync, &how))
        return cli_usage(cli, "vtpm", "--fsync: yes or no");
    int lock = -1, result = command_vtpm_startable(cli, words->name);
    if (result == CLI_OK && !words->foreground)
        result = instance_check_node(cli);
    if (result == CLI_OK)
        result = instance_lock(cli, words->name, &lock);
    if (result)
        return result;
    result = words->foreground ? instance_become(cli, words->name, how, NULL) : instance_start(cli, words->name, how);
    close(lock);
    if (result == CLI_OK)
        command_vtpm_words(cli, words->name, words->on);
    return result;
}

static int stop(const struct cli *cli, const struct words *words)
{
    struct instance instance;
    bool was = false;
    int lock = -1, result = instance_look(cli, words->name, false, &instance);
    if (result == CLI_OK)
        result = instance_lock(cli, words->name, &lock);
    if (result)
        return result;
    result = instance_stop(cli, words->name, &was);
    close(lock);
    if (result)
        return result;
    if (cli->json)
        cli_print_json(json_pack("{s:s,s:b}", "name", words->name, "stopped", was));
    cli_line(cli, "vTPM", "%s %s", words->name, was ? "stopped" : "did not run");
    return CLI_OK;
}

/* ---- delete ---- */

static int ask(const struct cli *cli, const char *name)
{
    char line[128] = "";
    if (cli->json || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return cli_usage(cli, "vtpm", "delete forgets the keys of %s for good: say --yes", name);
    fprintf(stderr,
            "What was sealed to vTPM %s, and its keys, are gone for good then.\nType its name to delete it: ", name);
    if (!fgets(line, sizeof line, stdin))
        line[0] = 0;
    line[strcspn(line, "\n")] = 0;
    return strcmp(line, name) == 0 ? CLI_OK : cli_fail(cli, CLI_DENIED, "vTPM %s stays", name);
}

static int delete_it(const struct cli *cli, const struct words *words)
{
    struct owner owner = {0};
    struct instance instance;
    int result = instance_look(cli, words->name, false, &instance);
    if (result == CLI_OK)
        result = check_remote(cli);
    if (result == CLI_OK && !words->yes)
        result = ask(cli, words->name);
    if (result == CLI_OK)
        result = owner_open(cli, false, &owner);
    if (result == CLI_OK)
        result = owner_unlock(cli, &owner);
    if (result == CLI_OK)
        result = instance_delete(cli, &owner, &instance);
    owner_done(&owner);
    if (result)
        return result;
    if (cli->json)
        cli_print_json(json_pack("{s:s,s:b}", "name", words->name, "deleted", true));
    else
        cli_line(cli, "vTPM", "%s deleted", words->name);
    return CLI_OK;
}

/* ---- backup, restore, migrate ---- */

static int back_up(const struct cli *cli, const struct words *words)
{
    struct instance instance;
    if (!words->file)
        return cli_usage(cli, "vtpm", "backup needs -o FILE");
    int result = instance_look(cli, words->name, false, &instance);
    return result ? result : command_vtpm_backup(cli, words->name, words->file);
}

static int restore(const struct cli *cli, const struct words *words)
{
    char image[PATH_MAX];
    const struct instance_restore order = {words->name, words->from, words->tenant, image};
    if (!words->gone)
        return cli_usage(cli, "vtpm", "a second one of what was backed up is made, unless that is gone: say --gone");
    int result = check_create(cli, words, NULL);
    if (result == CLI_OK)
        result = find_image(cli, words->name, words->image, image);
    if (result == CLI_OK)
        result = check_remote(cli);
    return result ? result : command_vtpm_restore(cli, &order);
}

static int migrate(const struct cli *cli, const struct words *words)
{
    const struct instance_move move = {words->name, words->to,
                                       words->prepare  ? INSTANCE_MOVE_PREPARE
                                       : words->finish ? INSTANCE_MOVE_FINISH
                                       : words->abort  ? INSTANCE_MOVE_ABORT
                                                       : INSTANCE_MOVE_ALL,
                                       words->lost};
    if (words->prepare + words->finish + words->abort > 1 || (words->lost ? !words->abort || words->to : !words->to))
        return cli_usage(cli, "vtpm", "migrate needs --to HOME and at most one step; or --abort --lost, without it");
    struct instance instance;
    int result = instance_look(cli, words->name, false, &instance);
    return result ? result : command_vtpm_migrate(cli, &move);
}

/* ---- The table ---- */

static int list(const struct cli *cli, const struct words *words)
{
    (void)words;
    return command_vtpm_list(cli);
}

static int show(const struct cli *cli, const struct words *words)
{
    return command_vtpm_show(cli, words->name);
}

static int export_ek(const struct cli *cli, const struct words *words)
{
    if (words->pem && words->der)
        return cli_usage(cli, "vtpm", "--pem or --der, not both");
    if (words->der && !words->kind)
        return cli_usage(cli, "vtpm", "--der holds one certificate: say its --kind");
    return command_vtpm_export(cli, words->name, words->kind, words->der, words->file);
}

static int export_platform(const struct cli *cli, const struct words *words)
{
    return command_vtpm_export_platform(cli, words->name, words->file);
}

enum option {
    O_ID,
    O_TENANT,
    O_IMAGE,
    O_STATE_MAX,
    O_START,
    O_ON,
    O_FOREGROUND,
    O_KIND,
    O_PEM,
    O_DER,
    O_FILE,
    O_YES,
    O_GONE,
    O_TO,
    O_PREPARE,
    O_FINISH,
    O_ABORT,
    O_LOST,
    O_FSYNC,
    O_COUNT
};
#define WITH(option) (1u << (option))

static const struct {
    const char *verb;
    int operands;
    unsigned options; /* that it has */
    int (*run)(const struct cli *cli, const struct words *words);
} verbs[] = {
    {"create", 1, WITH(O_ID) | WITH(O_TENANT) | WITH(O_IMAGE) | WITH(O_STATE_MAX) | WITH(O_START) | WITH(O_ON), create},
    {"list", 0, 0, list},
    {"show", 1, 0, show},
    {"start", 1, WITH(O_ON) | WITH(O_FOREGROUND) | WITH(O_FSYNC), start},
    {"stop", 1, 0, stop},
    {"export-ek", 1, WITH(O_KIND) | WITH(O_PEM) | WITH(O_DER) | WITH(O_FILE), export_ek},
    {"export-platform", 1, WITH(O_FILE), export_platform},
    {"delete", 1, WITH(O_YES), delete_it},
    {"backup", 1, WITH(O_FILE), back_up},
    {"restore", 2, WITH(O_GONE) | WITH(O_TENANT) | WITH(O_IMAGE), restore},
    {"migrate", 1, WITH(O_TO) | WITH(O_PREPARE) | WITH(O_FINISH) | WITH(O_ABORT) | WITH(O_LOST), migrate},
};

/* "-o FILE" is --output FILE. */
static void spell_out(int argc, char **argv)
{
    static char output[] = "--output";
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "-o") == 0)
            argv[i] = output;
}

static int check_options(const struct cli *cli, const char *verb, unsigned has, const struct cli_option *options)
{
    for (unsigned i = 0; i < O_COUNT; i++)
        if (!(has >> i & 1) && (options[i].flag ? *options[i].flag : *options[i].value != NULL))
            return cli_usage(cli, "vtpm", "%s has no --%s", verb, options[i].name);
    return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct words words = {.name = NULL};
    const struct cli_option options[O_COUNT] = {
        [O_ID] = {"id", &words.id, NULL, NULL},
        [O_TENANT] = {"tenant", &words.tenant, NULL, NULL},
        [O_IMAGE] = {"image", &words.image, NULL, NULL},
        [O_STATE_MAX] = {"state-max", &words.state_max, NULL, NULL},
        [O_START] = {"start", NULL, &words.start, NULL},
        [O_ON] = {"on", NULL, &words.on, NULL},
        [O_FOREGROUND] = {"foreground", NULL, &words.foreground, NULL},
        [O_KIND] = {"kind", &words.kind, NULL, NULL},
        [O_PEM] = {"pem", NULL, &words.pem, NULL},
        [O_DER] = {"der", NULL, &words.der, NULL},
        [O_FILE] = {"output", &words.file, NULL, NULL},
        [O_YES] = {"yes", NULL, &words.yes, NULL},
        [O_GONE] = {"gone", NULL, &words.gone, NULL},
        [O_TO] = {"to", &words.to, NULL, NULL},
        [O_PREPARE] = {"prepare", NULL, &words.prepare, NULL},
        [O_FINISH] = {"finish", NULL, &words.finish, NULL},
        [O_ABORT] = {"abort", NULL, &words.abort, NULL},
        [O_LOST] = {"lost", NULL, &words.lost, NULL},
        [O_FSYNC] = {"fsync", &words.fsync, NULL, NULL},
    };
    spell_out(argc, argv);
    if (argc > 1 && strcmp(argv[1], "verify") == 0)
        return command_vtpm_verify(cli, argc - 1, argv + 1); /* it has options of its own, and so has */
    if (argc > 1 && strcmp(argv[1], "policy") == 0)
        return command_vtpm_policy(cli, argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "run") == 0)
        return command_vtpm_run(cli, argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "tag") == 0)
        return command_vtpm_tag(cli, argc - 1, argv + 1);
    int result = cli_options(cli, "vtpm", options, O_COUNT, &argc, argv);
    const char *verb = result == CLI_OK && argc > 1 ? argv[1] : "";
    for (size_t i = 0; result == CLI_OK && i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verbs[i].verb, verb) != 0)
            continue;
        if (argc != 2 + verbs[i].operands)
            return cli_usage(cli, "vtpm", "%s takes %s", verb,
                             verbs[i].operands == 0   ? "no name"
                             : verbs[i].operands == 1 ? "one NAME"
                                                      : "NAME and FILE");
        words.name = verbs[i].operands ? argv[2] : NULL;
        words.from = verbs[i].operands == 2 ? argv[3] : NULL;
        if (words.on && strcmp(verb, "create") == 0 && !words.start)
            return cli_usage(cli, "vtpm", "--on belongs to --start");
        result = words.name ? instance_check_name(cli, words.name) : CLI_OK;
        if (result == CLI_OK)
            result = check_options(cli, verb, verbs[i].options, options);
        return result ? result : verbs[i].run(cli, &words);
    }
    return result ? result
                  : cli_usage(cli, "vtpm",
                              "give create, list, show, start, stop, run, policy, tag, verify, export-ek, "
                              "export-platform, delete, "
                              "backup, restore or migrate, "
                              "then a NAME");
}

const struct command command_vtpm = {
    "vtpm",
    "TPMs for VMs: create, list, show, start, stop, run, policy, tag, verify, export-ek, "
    "export-platform, delete, backup, restore, migrate",
    command_vtpm_help, run, command_vtpm_pages};
