/* What the subcommands share: where the hub is, and one question to it. */
#ifndef BASTIDE_COMMAND_INTERNAL_H
#define BASTIDE_COMMAND_INTERNAL_H

#include "command.h"
#include "owner.h"
#include "service.h"

extern const struct command command_init, command_up, command_down, command_status, command_client, command_send,
    command_watch, command_rule, command_history, command_report, command_doctor, command_boot, command_reinitialise,
    command_vtpm;

#define COMMAND_URL_MAX 128
#define COMMAND_TEXT_MAX (1u << 20) /* of what a command is given to send; the hub's own limit is lower */

/* --coap, --http or --url URL; none means HTTP. */
struct command_way {
    const char *url;
    bool coap, http;
};
#define COMMAND_WAY_OPTIONS(way)                                                                                       \
    {"coap", NULL, &(way).coap, NULL}, {"http", NULL, &(way).http, NULL},                                              \
    {                                                                                                                  \
        "url", &(way).url, NULL, NULL                                                                                  \
    }
/* CLI_USAGE was said otherwise. Afterwards `coap` says what it is. */
int command_check_way(const struct cli *cli, const char *command, struct command_way *way);
/* The hub's URL: the one given, else as run/node.json has it. CLI_NOT_FOUND was said when there is no node,
 * CLI_UNREACHABLE when it is down. `way` NULL: HTTP. */
int command_url(const struct cli *cli, const struct command_way *way, char url[COMMAND_URL_MAX]);
/* The owner's session over HTTP. */
int command_open(const struct cli *cli, struct owner_session *session);
/* Opens, asks once as the owner, hands the answer to `show`, closes. */
int command_ask(const struct cli *cli, const struct client_request *request,
                int (*show)(const struct cli *cli, const struct client_answer *answer, json_t *json, void *user),
                void *user);
/* The answer's own text as the one JSON document of the output. */
void command_print_answer(const struct client_answer *answer);
/* 1 to 64 letters, digits and . _ - /: a source, type or rule as the hub takes it. CLI_USAGE was said otherwise. */
int command_check_name(const struct cli *cli, const char *command, const char *what, const char *name);
/* "name=value" appended to a query, which has no need of escapes; nothing for NULL. */
void command_put_query(struct writer *query, const char *name, const char *value);
/* A line when memory of the enclave is not secret memory, as the node itself says. */
void command_tell_memory(const struct cli *cli);
/* What a person wrote must be a JSON object, or with `array_too` an array. CLI_DENIED was said otherwise. */
int command_check_json(const struct cli *cli, const char *what, const char *text, bool array_too);
/* client.c's parts: invite.c, enrol.c, qr.c. What went wrong was said. */
int command_invite(const struct cli *cli, const char *name, const char *valid);
int command_enrol(const struct cli *cli, const char *operand, const char *url); /* url NULL: this home's node */
void command_print_qr(const char *text);
/* explain.c: the chain, for people or as JSON. */
void command_explain(const struct cli *cli, const struct owner_explanation *explanation, bool verified);
/* One link of a chain: where the expectation comes from, and what to do. */
struct command_remedy {
    const char *from, *refused, *allowed; /* `allowed` may be NULL */
};
const struct command_remedy *command_remedy_of(enum evidence_link link);
void command_print_link(const struct cli *cli, const char *name, const struct evidence_step *step,
                        const struct command_remedy *remedy);
json_t *command_link_json(const char *name, const struct evidence_step *step, const struct command_remedy *remedy);
/* The links that were refused, "monitor, image"; false: none was. NUL-terminated, cut to cap. */
bool command_refused_links(const struct owner_explanation *explanation, char *text, size_t cap);
/* vtpm_show.c: a vTPM, or all, as they are now. What went wrong was said. */
int command_vtpm_list(const struct cli *cli);
int command_vtpm_show(const struct cli *cli, const char *name);
/* vtpm.c: what --fsync says; NULL is yes. False: it is neither yes nor no. */
struct instance_how;
bool command_vtpm_fsync(const char *answer, struct instance_how *how);
/* How to give it to QEMU and to tpm2-tools, with `on`: it is switched on. */
void command_vtpm_words(const struct cli *cli, const char *name, bool on);
/* "-" or NULL: standard output. `kind` NULL: all of them, in PEM. */
int command_vtpm_export(const struct cli *cli, const char *name, const char *kind, bool der, const char *file);
int command_vtpm_export_platform(const struct cli *cli, const char *name, const char *file);
/* vtpm_verify.c: its words and options, the verb first. */
int command_vtpm_verify(const struct cli *cli, int argc, char **argv);
/* vtpm_platform.c: its link of that chain. */
struct command_platform {
    struct bytes certificate; /* empty: not looked at */
    struct bytes authority;   /* who is to have signed it, DER */
    bool insisted;            /* to be of where the vTPM is now; else that it is not is told, and allowed */
};
void command_vtpm_platform(const struct command_platform *asked, const struct evidence_result *evidence,
                           struct evidence_step *step);
/* vtpm_policy.c, vtpm_run.c, vtpm_tag.c: so too. */
int command_vtpm_policy(const struct cli *cli, int argc, char **argv);
int command_vtpm_run(const struct cli *cli, int argc, char **argv);
int command_vtpm_tag(const struct cli *cli, int argc, char **argv);
/* vtpm.c: it is whole, and ours. */
int command_vtpm_startable(const struct cli *cli, const char *name);
extern const char command_vtpm_help[]; /* vtpm_help.c */
extern const struct command_page command_vtpm_pages[];
/* vtpm_move.c, each with the owner's key. */
struct instance_restore;
struct instance_move;
int command_vtpm_backup(const struct cli *cli, const char *name, const char *file);
int command_vtpm_restore(const struct cli *cli, const struct instance_restore *restore);
int command_vtpm_migrate(const struct cli *cli, const struct instance_move *move);
/* Options of the node that init and up share; what is not given stays. CLI_USAGE was said when it is not OK. */
struct command_node {
    const char *image, *tcti, *coap, *http, *require, *allow_missing, *pool_mib, *body_max, *spare;
    bool no_secret_memory;
};
#define COMMAND_NODE_OPTIONS(node)                                                                                     \
    {"image", &(node).image, NULL, NULL}, {"tcti", &(node).tcti, NULL, NULL}, {"coap", &(node).coap, NULL, NULL},      \
        {"http", &(node).http, NULL, NULL}, {"require", &(node).require, NULL, NULL},                                  \
        {"allow-missing", &(node).allow_missing, NULL, NULL}, {"pool-mib", &(node).pool_mib, NULL, NULL},              \
        {"body-max", &(node).body_max, NULL, NULL}, {"spare", &(node).spare, NULL, NULL},                              \
    {                                                                                                                  \
        "no-secret-memory", NULL, &(node).no_secret_memory, NULL                                                       \
    }
#define COMMAND_NODE_HELP                                                                                               \
    "  --image DIR         the enclave image (hub.image beside this program)\n"                                         \
    "  --tcti TPM          device:/dev/tpmrm0, or in development mode swtpm:path=SOCKET (else one of our own)\n"        \
    "  --coap ADDR         where to serve CoAP (127.0.0.1:5683); numeric, IPv6 in brackets, [::]:5683 for any\n"        \
    "  --http ADDR         where to serve HTTP (127.0.0.1:8080)\n"                                                      \
    "  --require WALL,…    walls without which the node refuses to run (exit code 10): secret-memory, no-new-code,\n" \
    "                      syscall-filter, namespaces, other-user, non-dumpable, monitor-secret, no-ptrace, "           \
    "lockdown,\n"                                                                                                       \
    "                      secure-boot, signed-modules. A production node requires all of them\n"                       \
    "  --allow-missing W,… walls that a production node may do without, each by its name\n"                           \
    "  --pool-mib N        memory of the enclave (64)\n"                                                                \
    "  --body-max N        longest body of a request in bytes (65536)\n"                                                \
    "  --spare on|off      hold an enclave ready for the next vTPM, which so starts sooner (on)\n"
int command_node_settings(const struct cli *cli, const char *command, const struct command_node *node,
                          bool insecure_dev, struct service_settings *settings);

#endif
