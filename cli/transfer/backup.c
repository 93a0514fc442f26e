/* Backups, sealed for the owner's backup key, and their return. */
#include "instance_move_internal.h"

#include "provision.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PEM_MAX 2048

static const uint32_t indices[TPM2_EK_KINDS] = {EK_INDEX_RSA_2048, EK_INDEX_P256, EK_INDEX_P384};

/* `make`: when there is none. */
static int backup_key(const struct cli *cli, bool make, struct crypto_key *key)
{
    char path[PATH_MAX];
    uint8_t *data = NULL, room[PEM_MAX];
    size_t len = 0;
    struct writer pem = writer_over(room, sizeof room);
    enum status status = cli_read_file(cli_path(cli, "owner/vtpm-backup.key", path), PEM_MAX, &data, &len);
    if (status == OK)
        status = crypto_key_take_pem(key, CRYPTO_P256, bytes_from(data, len));
    else if (status == NOT_FOUND && make) {
        status = crypto_key_generate(key, CRYPTO_P256);
        if (status == OK)
            status = crypto_key_put_pem(&pem, key);
        if (status == OK)
            status = cli_write_file(path, writer_bytes(&pem));
    }
    wipe(room, sizeof room);
    if (data)
        wipe(data, len);
    free(data);
    return status == OK ? CLI_OK : cli_fail(cli, CLI_DENIED, "%s %s", path, cli_file_problem(status));
}

int instance_backup(const struct cli *cli, const struct owner *owner, const char *name, const char *file)
{
    static uint8_t room[VTPM_TRANSFER_BUNDLE_MAX];
    static struct end source; /* large */
    struct crypto_key key = {0};
    struct writer bundle = writer_over(room, sizeof room);
    char image[PATH_MAX] = "";
    source = (struct end){.cli = cli};
    (void)instance_image(cli, name, image);
    int result = end_open(&source, cli, "vTPM", name, image);
    if (result == CLI_OK)
        result = backup_key(cli, true, &key);
    if (result == CLI_OK) {
        enum status status = vtpm_mover_backup(&source.mover, &owner->key, &key.public_key, &bundle);
        result = status == OK ? CLI_OK : end_explain(&source, status, "no backup was made");
    }
    if (result == CLI_OK && cli_write_file(file, writer_bytes(&bundle)) != OK)
        result =
            cli_fail(cli, errno == ENOSPC ? CLI_DISK : CLI_DENIED, "%s cannot be written: %s", file, strerror(errno));
    crypto_key_done(&key);
    end_done(&source);
    return result;
}

/* ---- Restoring ---- */

/* Its certificates came with its state: its owner has them again. */
static int read_certificate(const struct cli *cli, const char *name, struct provision *tpm, int kind)
{
    const bool platform = kind == TPM2_EK_KINDS;
    uint8_t room[PROVISION_CERTIFICATE_MAX];
    struct writer writer = writer_over(room, sizeof room);
    enum status status = provision_read(tpm, platform ? EK_INDEX_PLATFORM : indices[kind], &writer);
    if (status == NOT_FOUND)
        return CLI_OK;
    if (status != OK)
        return cli_fail(cli, CLI_TPM, "vTPM %s does not give its certificates: %s", name, status_word(status));
    return platform ? instance_platform_save(cli, name, writer_bytes(&writer))
                    : instance_certificate_save(cli, name, (enum tpm2_ek_kind)kind, writer_bytes(&writer));
}

static int read_certificates(const struct cli *cli, const char *name)
{
    struct instance_sockets sockets;
    int fd = -1, result = instance_sockets(cli, name, &sockets);
    if (result == CLI_OK && instance_reach(sockets.data, INSTANCE_ASK_MS, &fd) != OK)
        result = cli_fail(cli, CLI_UNREACHABLE, "vTPM %s does not answer at %s", name, sockets.data);
    if (result)
        return result;
    struct provision tpm = {&fd, instance_ask_tpm, 0};
    for (int kind = 0; kind <= TPM2_EK_KINDS && result == CLI_OK; kind++)
        result = read_certificate(cli, name, &tpm, kind);
    close(fd);
    return result;
}

/* Switched on once, for that. */
static int keep_certificates(const struct cli *cli, const char *name)
{
    bool was;
    int result = instance_stop(cli, name, &was);
    if (result == CLI_OK)
        result = instance_start(cli, name, (struct instance_how){.on = true});
    if (result)
        return result;
    result = read_certificates(cli, name);
    int stopped = instance_stop(cli, name, &was);
    return result ? result : stopped;
}

static int begin(const struct cli *cli, const struct owner *owner, const struct instance_restore *restore,
                 const uint8_t id[IMAGE_SITE_LEN], struct instance *is)
{
    struct owner_image image;
    int result = instance_look(cli, restore->name, true, is);
    if (result == CLI_NOT_FOUND)
        result = CLI_OK;
    else if (result == CLI_OK && is->has_record && is->record.whole && is->has_place)
        result = cli_fail(cli, CLI_DENIED, "vTPM %s is there: bastide vtpm delete %s first, if it is to be replaced",
                          is->name, is->name);
    else if (result == CLI_OK && (is->has_record || is->has_place) && memcmp(is->id, id, sizeof is->id) != 0)
        result = cli_fail(cli, CLI_DENIED, "the backup is another vTPM's than %s", is->name);
    if (result == CLI_OK)
        result = owner_measure(cli, restore->image, &image);
    if (result == CLI_OK)
        result = instance_make_record_place(cli, restore->name);
    if (result)
        return result;
    struct instance_record *record = &is->record;
    memcpy(record->id, id, sizeof record->id);
    memcpy(is->id, id, sizeof is->id);
    memcpy(record->measurement, image.measurement, sizeof record->measurement);
    image_signer_hash(&image.manifest, record->signer);
    record->security_version = image.manifest.security_version;
    record->whole = false;
    if (!record->created_s)
        record->created_s = (int64_t)(cli_unix_ms() / 1000);
    if (restore->tenant || !record->tenant[0])
        snprintf(record->tenant, sizeof record->tenant, "%s", restore->tenant ? restore->tenant : "default");
    result = instance_record_save(cli, restore->name, record);
    return result ? result : instance_make_place(cli, owner, restore->name, id, restore->image);
}

/* It lands under no earlier machine policy than the one that it served under; where that is not here, which a deletion
 * takes along, under one that allows the least. */
static int follow_policy(const struct cli *cli, const struct owner *owner, const struct instance *is, uint64_t serial)
{
    struct image_machine machine = {.serial = 0};
    enum status status = instance_policy_load(cli, &owner->configuration.owner, is, &machine);
    if (status != OK && status != NOT_FOUND)
        return cli_fail(cli, CLI_DENIED, "owner/vtpm/%s/policy is not this owner's policy for it: %s", is->name,
                        status_word(status));
    if (machine.serial >= serial && (serial == 0 || instance_policy_is_lent(cli, is->name)))
        return CLI_OK;
    if (status == NOT_FOUND)
        cli_warn(cli,
                 "the machine policy of vTPM %s is not here: until bastide vtpm policy %s says otherwise it has no "
                 "snapshots, and any launch (host-asserted)",
                 is->name, is->name);
    machine.serial = machine.serial > serial ? machine.serial : serial;
    return instance_policy_sign(cli, owner, is, &machine);
}

static int land(const struct cli *cli, const struct owner *owner, const struct instance_restore *restore,
                struct bytes bundle)
{
    static struct end destination; /* large */
    struct crypto_key key = {0};
    destination = (struct end){.cli = cli};
    int result = end_open(&destination, cli, "vTPM", restore->name, restore->image);
    if (result == CLI_OK)
        result = backup_key(cli, false, &key);
    enum status status = result == CLI_OK ? vtpm_mover_status(&destination.mover) : OK;
    static const uint8_t none[VTPM_TRANSFER_POINT_LEN];
    const struct vtpm_transfer_facts *facts = &destination.mover.facts;
    const bool landed = status == OK && facts->custody == VTPM_LIVE && memcmp(facts->to, none, sizeof none) != 0;
    if (result == CLI_OK && status == OK && !landed)
        status = vtpm_mover_restore(&destination.mover, &owner->key, &key, bundle);
    if (result == CLI_OK && status != OK)
        result = status == AUTH
                     ? cli_fail(cli, CLI_DENIED, "%s is no backup that this owner asked for, or not for his backup key",
                                restore->file)
                     : end_explain(&destination, status, "not restored");
    crypto_key_done(&key);
    end_done(&destination);
    return result;
}

int instance_restore(const struct cli *cli, const struct owner *owner, const struct instance_restore *restore)
{
    struct vtpm_blob blobs[VTPM_TRANSFER_KINDS];
    struct instance is;
    uint8_t *data = NULL;
    size_t len = 0;
    enum status status = cli_read_file(restore->file, VTPM_TRANSFER_BUNDLE_MAX, &data, &len);
    const bool read = status == OK;
    if (read)
        status = vtpm_bundle_decode(bytes_from(data, len), blobs);
    if (status != OK) {
        free(data);
        return cli_fail(cli, status == NOT_FOUND ? CLI_NOT_FOUND : CLI_DENIED, "%s %s", restore->file,
                        read ? "is no backup" : cli_file_problem(status));
    }
    int result = instance_check_node(cli);
    if (result == CLI_OK)
        result = begin(cli, owner, restore, blobs[0].instance, &is);
    if (result == CLI_OK)
        result = follow_policy(cli, owner, &is, vtpm_blob_serial(&blobs[0]));
    if (result == CLI_OK)
        result = land(cli, owner, restore, bytes_from(data, len));
    free(data);
    if (result == CLI_OK)
        result = keep_certificates(cli, restore->name);
    if (result)
        return result;
    is.record.whole = true;
    return instance_record_save(cli, restore->name, &is.record);
}
