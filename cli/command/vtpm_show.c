/* What is told of vTPMs: how each is now, its certificates, and how others are given it. */
#include "command_internal.h"
#include "instance.h"

#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CONTROL_MS 3000
#define TIME_MAX 32

/* One certificate. */
struct certified {
    bool there;
    char until[TIME_MAX], sha256[2 * CRYPTO_HASH_MAX + 1];
};

struct facts {
    struct instance is;
    const char *state; /* for programs; and for people: */
    char told[160];
    pid_t pid; /* of bastide-vtpm; 0: it does not run */
    char id[INSTANCE_UUID_LEN], config[2 * IMAGE_HASH_LEN + 1];
    bool attached; /* the monitor serves it: */
    struct control_status control;
    uint32_t state_max; /* as its owner's policy has it; 0: that cannot be read */
    struct certified certificates[TPM2_EK_KINDS];
};

static void put_time(int64_t at_s, char text[TIME_MAX])
{
    const time_t at = (time_t)at_s;
    struct tm parts;
    if (!gmtime_r(&at, &parts) || strftime(text, TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        snprintf(text, TIME_MAX, "?");
}

static void look_at_certificate(const struct cli *cli, const char *name, enum tpm2_ek_kind kind,
                                struct certified *certified)
{
    uint8_t room[EK_CERTIFICATE_MAX], hash[CRYPTO_HASH_MAX];
    struct bytes der;
    struct instance_certificate certificate;
    certified->there = instance_certificate_load(cli, name, kind, room, &der) == OK &&
                       instance_certificate_read(der, &certificate) == OK &&
                       crypto_hash(CRYPTO_SHA256, &der, 1, hash) == OK &&
                       hex_encode(bytes_from(hash, 32), certified->sha256, sizeof certified->sha256) == OK;
    if (certified->there)
        put_time(certificate.not_after_s, certified->until);
}

static void judge(struct facts *facts)
{
    const struct instance *is = &facts->is;
    const char *told = "stopped";
    facts->state = "stopped";
    if (is->has_place && is->is_foreign)
        facts->state = "foreign", told = "another owner's, or of another mode: the node does not serve it";
    else if (is->has_record && !is->record.whole)
        facts->state = "unfinished", told = "unfinished: create it again, or delete it";
    else if (!is->has_place)
        facts->state = "lost", told = "node/instances has it no more: delete it";
    else if (facts->pid)
        facts->state = "running", told = "running";
    else if (facts->attached)
        facts->state = "attached", told = "in use by a bastide-vtpm that bastide vtpm start did not begin";
    snprintf(facts->told, sizeof facts->told, "%s%s", told,
             is->has_place && !is->has_record ? ", not certified: bastide vtpm create does it" : "");
}

static uint32_t look_at_policy(const struct cli *cli, const struct instance *is)
{
    struct owner owner;
    struct image_machine machine = {.serial = 0};
    if (!owner_has_site(cli) || owner_open_site(cli, &owner) != CLI_OK)
        return 0;
    enum status status = instance_policy_load(cli, &owner.configuration.owner, is, &machine);
    return status == OK || status == NOT_FOUND ? instance_policy_state_max(&machine) : 0;
}

static int look(const struct cli *cli, const char *name, struct facts *facts)
{
    char path[PATH_MAX];
    memset(facts, 0, sizeof *facts);
    int result = instance_look(cli, name, false, &facts->is);
    if (result)
        return result;
    (void)instance_is_running(cli, name, &facts->pid);
    facts->attached =
        control_status_of(cli_path(cli, "run/monitor.sock", path), CONTROL_MS, name, &facts->control) == OK;
    if (facts->is.has_place || facts->is.has_record)
        instance_put_uuid(facts->is.id, facts->id);
    if (facts->is.has_place && hex_encode(BYTES_OF(facts->is.config_id), facts->config, sizeof facts->config) != OK)
        facts->config[0] = 0;
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++)
        look_at_certificate(cli, name, (enum tpm2_ek_kind)kind, &facts->certificates[kind]);
    facts->state_max = look_at_policy(cli, &facts->is);
    judge(facts);
    return CLI_OK;
}

/* ---- list ---- */

static json_t *brief(const struct facts *facts)
{
    const struct instance *is = &facts->is;
    return json_pack("{s:s,s:s,s:s*,s:s*,s:b,s:o*}", "name", is->name, "state", facts->state, "id",
                     facts->id[0] ? facts->id : NULL, "tenant", is->has_record ? is->record.tenant : NULL, "certified",
                     is->has_record && is->record.whole, "state_max",
                     facts->state_max ? json_integer(facts->state_max) : NULL);
}

int command_vtpm_list(const struct cli *cli)
{
    char(*names)[INSTANCE_NAME_MAX + 1];
    size_t count;
    json_t *all = json_array();
    int result = instance_list(cli, &names, &count);
    for (size_t i = 0; result == CLI_OK && i < count; i++) {
        struct facts facts;
        result = look(cli, names[i], &facts);
        if (result)
            break;
        json_array_append_new(all, brief(&facts));
        cli_line(cli, names[i], "%s, %s%s%s", facts.told, facts.id, facts.is.has_record ? ", tenant " : "",
                 facts.is.record.tenant);
    }
    free(names);
    if (result == CLI_OK && cli->json)
        cli_print_json(json_incref(all));
    else if (result == CLI_OK && count == 0)
        puts("There is no vTPM yet: bastide vtpm create NAME");
    json_decref(all);
    return result;
}

/* ---- How others are given it ---- */

static void put_qemu(const struct instance_sockets *sockets, char *room, size_t cap)
{
    char chardev[INSTANCE_SOCKET_MAX + 32], quoted[4 * INSTANCE_SOCKET_MAX];
    snprintf(chardev, sizeof chardev, "socket,id=vtpm,path=%s", sockets->control);
    instance_quote(chardev, quoted, sizeof quoted);
    snprintf(room, cap, "-chardev %s -tpmdev emulator,id=tpm0,chardev=vtpm -device tpm-crb,tpmdev=tpm0", quoted);
}

static void put_tcti(const struct instance_sockets *sockets, char *room, size_t cap)
{
    char tcti[INSTANCE_SOCKET_MAX + 32], quoted[4 * INSTANCE_SOCKET_MAX];
    snprintf(tcti, sizeof tcti, "swtpm:path=%s", sockets->data);
    instance_quote(tcti, quoted, sizeof quoted);
    snprintf(room, cap, "TPM2TOOLS_TCTI=%s", quoted);
}

static json_t *words_json(const struct instance_sockets *sockets)
{
    char qemu[1024], tcti[512];
    put_qemu(sockets, qemu, sizeof qemu);
    put_tcti(sockets, tcti, sizeof tcti);
    return json_pack("{s:s,s:s,s:s,s:s,s:s}", "control", sockets->control, "data", sockets->data, "keys", sockets->keys,
                     "qemu", qemu, "tpm2_tools", tcti);
}

static void print_words(const struct cli *cli, const struct instance_sockets *sockets, bool on)
{
    char text[1024];
    put_qemu(sockets, text, sizeof text);
    cli_line(cli, "QEMU", "%s", text);
    put_tcti(sockets, text, sizeof text);
    cli_line(cli, "tpm2-tools", "%s%s", text, on ? "" : " (when it is switched on: start --on)");
}

void command_vtpm_words(const struct cli *cli, const char *name, bool on)
{
    struct instance_sockets sockets;
    pid_t pid = 0;
    if (instance_sockets(cli, name, &sockets) != CLI_OK)
        return;
    (void)instance_is_running(cli, name, &pid);
    if (cli->json) {
        cli_print_json(json_pack("{s:s,s:s,s:i,s:b,s:o}", "name", name, "state", "running", "process", (int)pid, "on",
                                 on, "sockets", words_json(&sockets)));
        return;
    }
    cli_line(cli, "vTPM", "%s runs, process %d", name, (int)pid);
    print_words(cli, &sockets, on);
}

/* ---- show ---- */

static json_t *certificates_json(const struct facts *facts)
{
    json_t *all = json_object();
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++)
        if (facts->certificates[kind].there)
            json_object_set_new(all, instance_kind_word((enum tpm2_ek_kind)kind),
                                json_pack("{s:s,s:s}", "sha256", facts->certificates[kind].sha256, "until",
                                          facts->certificates[kind].until));
    return all;
}

static json_t *enclave_json(const struct facts *facts)
{
    const struct monitor_status *status = &facts->control.status;
    char measurement[2 * MONITOR_HASH_LEN + 1] = "";
    if (!facts->attached || hex_encode(BYTES_OF(status->measurement), measurement, sizeof measurement) != OK)
        return json_null();
    return json_pack("{s:i,s:i,s:I,s:I,s:I,s:s}", "process", (int)status->enclave_pid, "launches",
                     (int)status->launches, "secret_bytes", (json_int_t)status->secret_bytes, "unprotected_bytes",
                     (json_int_t)status->unprotected_bytes, "sequence", (json_int_t)status->sequence, "measurement",
                     measurement);
}

static int show_json(const struct cli *cli, const struct facts *facts)
{
    struct instance_sockets sockets;
    char image[PATH_MAX] = "", measurement[2 * IMAGE_HASH_LEN + 1] = "";
    const struct instance *is = &facts->is;
    int result = instance_sockets(cli, is->name, &sockets);
    if (result)
        return result;
    json_t *all = brief(facts);
    (void)instance_image(cli, is->name, image);
    json_object_set_new(all, "process", json_integer(facts->pid));
    json_object_set_new(all, "config", json_string(facts->config));
    json_object_set_new(all, "image", json_string(image));
    if (is->has_record && hex_encode(BYTES_OF(is->record.measurement), measurement, sizeof measurement) == OK)
        json_object_set_new(all, "measurement", json_string(measurement));
    json_object_set_new(all, "certificates", certificates_json(facts));
    json_object_set_new(all, "enclave", enclave_json(facts));
    json_object_set_new(all, "sockets", words_json(&sockets));
    cli_print_json(all);
    return CLI_OK;
}

static void print_image(const struct cli *cli, const struct instance *is)
{
    char image[PATH_MAX], text[2 * IMAGE_HASH_LEN + 1] = "";
    if (instance_image(cli, is->name, image))
        cli_line(cli, "image", "%s", image);
    if (is->has_record && hex_encode(BYTES_OF(is->record.measurement), text, sizeof text) == OK)
        cli_line(cli, "measurement", "%s, security version %u, when it was certified", text,
                 is->record.security_version);
}

static void print_enclave(const struct cli *cli, const struct facts *facts)
{
    const struct monitor_status *status = &facts->control.status;
    if (!facts->attached)
        return;
    cli_line(cli, "enclave", "process %u, %u launches, %llu commits", status->enclave_pid, status->launches,
             (unsigned long long)status->sequence);
    cli_line(cli, "memory", "%llu bytes secret, %llu unprotected", (unsigned long long)status->secret_bytes,
             (unsigned long long)status->unprotected_bytes);
}

static int show_people(const struct cli *cli, const struct facts *facts)
{
    const struct instance *is = &facts->is;
    struct instance_sockets sockets;
    char process[32] = "";
    if (facts->pid)
        snprintf(process, sizeof process, ", process %d", (int)facts->pid);
    cli_line(cli, "vTPM", "%s, %s%s", is->name, facts->told, process);
    if (facts->id[0])
        cli_line(cli, "id", "%s", facts->id);
    if (is->has_record)
        cli_line(cli, "tenant", "%s", is->record.tenant);
    if (facts->config[0])
        cli_line(cli, "config", "%s", facts->config);
    if (facts->state_max)
        cli_line(cli, "limit", "%u bytes of state", facts->state_max);
    print_image(cli, is);
    print_enclave(cli, facts);
    for (int kind = 0; kind < TPM2_EK_KINDS; kind++)
        if (facts->certificates[kind].there)
            cli_line(cli, "certificate", "%-7s SHA-256 %s, until %s", instance_kind_word((enum tpm2_ek_kind)kind),
                     facts->certificates[kind].sha256, facts->certificates[kind].until);
    int result = instance_sockets(cli, is->name, &sockets);
    if (result == CLI_OK && facts->pid) {
        print_words(cli, &sockets, false);
        cli_line(cli, "log", "%s/run/vtpm/%s/host.log", cli->home, is->name);
    }
    return result;
}

int command_vtpm_show(const struct cli *cli, const char *name)
{
    struct facts facts;
    int result = look(cli, name, &facts);
    if (result)
        return result;
    return cli->json ? show_json(cli, &facts) : show_people(cli, &facts);
}

/* ---- export-ek ---- */

static int put_certificate(const struct cli *cli, const char *name, enum tpm2_ek_kind kind, bool der,
                           struct writer *out)
{
    uint8_t room[EK_CERTIFICATE_MAX];
    struct bytes certificate;
    enum status status = instance_certificate_load(cli, name, kind, room, &certificate);
    if (status == NOT_FOUND)
        return cli_fail(cli, CLI_NOT_FOUND, "vTPM %s has no certificate for its %s key: bastide vtpm create %s", name,
                        instance_kind_word(kind), name);
    if (status == OK && !der)
        status = crypto_certificate_put_pem(out, certificate);
    else if (status == OK)
        put_bytes(out, certificate);
    return status == OK ? CLI_OK
                        : cli_fail(cli, CLI_DENIED, "owner/vtpm/%s/ek-%s.der %s", name, instance_kind_word(kind),
                                   cli_file_problem(status));
}

static int write_out(const struct cli *cli, const char *file, struct bytes content)
{
    const bool is_text = content.len && (content.data[0] == '-' || content.data[0] == '{');
    if (!is_text && isatty(STDOUT_FILENO) && (!file || strcmp(file, "-") == 0))
        return cli_usage(cli, "vtpm", "DER is nothing for a terminal: -o FILE");
    if (file && strcmp(file, "-") != 0)
        return cli_write_file(file, content) == OK
                   ? CLI_OK
                   : cli_fail(cli, CLI_DENIED, "%s cannot be written: %s", file, strerror(errno));
    return fwrite(content.data, 1, content.len, stdout) == content.len && fflush(stdout) == 0
               ? CLI_OK
               : cli_fail(cli, CLI_DENIED, "standard output cannot be written: %s", strerror(errno));
}

/* With --json: {"rsa2048": PEM, …}. */
static int export_json(const struct cli *cli, const char *name, const char *kind, const char *file)
{
    json_t *all = json_object();
    int result = CLI_OK;
    for (int i = 0; i < TPM2_EK_KINDS && result == CLI_OK; i++) {
        char text[2 * EK_CERTIFICATE_MAX];
        struct writer out = writer_over(text, sizeof text);
        const char *word = instance_kind_word((enum tpm2_ek_kind)i);
        if (kind && strcmp(kind, word) != 0)
            continue;
        result = put_certificate(cli, name, (enum tpm2_ek_kind)i, false, &out);
        if (result == CLI_OK)
            json_object_set_new(all, word, json_stringn((const char *)out.data, out.len));
    }
    char *text = result == CLI_OK ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    if (text && file)
        result = write_out(cli, file, bytes_from_text(text));
    else if (text)
        puts(text);
    free(text);
    return result;
}

int command_vtpm_export(const struct cli *cli, const char *name, const char *kind, bool der, const char *file)
{
    uint8_t room[TPM2_EK_KINDS * 2 * EK_CERTIFICATE_MAX];
    struct writer out = writer_over(room, sizeof room);
    struct instance instance;
    enum tpm2_ek_kind wanted = TPM2_EK_RSA_2048;
    int result = instance_look(cli, name, false, &instance);
    if (result == CLI_OK && kind && instance_kind_of(kind, &wanted) != OK)
        result = cli_usage(cli, "vtpm", "--kind \"%.40s\": rsa2048, p256 or p384", kind);
    if (result == CLI_OK && cli->json && !der)
        return export_json(cli, name, kind, file);
    for (int i = 0; i < TPM2_EK_KINDS && result == CLI_OK; i++)
        if (!kind || i == (int)wanted)
            result = put_certificate(cli, name, (enum tpm2_ek_kind)i, der, &out);
    return result ? result : write_out(cli, file, writer_bytes(&out));
}

static int platform_json(const struct cli *cli, const char *file, struct bytes certificate)
{
    char text[2 * EK_CERTIFICATE_MAX], line[2 * EK_CERTIFICATE_MAX + 32];
    if (base64url_encode(certificate, text, sizeof text) != OK)
        return cli_fail(cli, CLI_INTERNAL, "the platform certificate is too long");
    snprintf(line, sizeof line, "{\"platform\":\"%s\"}\n", text);
    return write_out(cli, file, bytes_from_text(line));
}

int command_vtpm_export_platform(const struct cli *cli, const char *name, const char *file)
{
    uint8_t room[EK_CERTIFICATE_MAX];
    struct bytes certificate;
    struct instance instance;
    int result = instance_look(cli, name, false, &instance);
    if (result)
        return result;
    enum status status = instance_platform_load(cli, name, room, &certificate);
    if (status != OK)
        return cli_fail(cli, status == NOT_FOUND ? CLI_NOT_FOUND : CLI_DENIED, "owner/vtpm/%s/platform.der %s", name,
                        cli_file_problem(status));
    return cli->json ? platform_json(cli, file, certificate) : write_out(cli, file, certificate);
}
