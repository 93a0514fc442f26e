/* The machine policy: read where the monitor gives it, held to the owner, and never an older one than was
 * seen. Its serial is kept with the state, in the commit of the first INIT that it serves. */
#include "vtpm_internal.h"

#define SERIAL "machine policy's serial"

enum status vtpm_policy_read(struct bytes configuration, struct bytes workload, struct image_configuration *whose,
                             struct image_machine *machine, struct writer *why)
{
    enum status status = image_configuration_decode(configuration, whose);
    if (status != OK) {
        put_text(why, "the launch configuration cannot be read");
        return status;
    }
    status = image_machine_open(workload, &whose->owner, whose->site, machine);
    if (status == DENIED)
        put_text(why, "the machine policy is another instance's");
    else if (status != OK)
        put_text(why, "the workload is no machine policy of this owner's");
    return status;
}

enum status vtpm_policy_load(struct vtpm *vtpm)
{
    sqlite3_stmt *kept = vtpm->sql[VTPM_SQL_KEPT];
    sqlite3_bind_text(kept, 1, SERIAL, -1, SQLITE_STATIC);
    int code = sqlite3_step(kept);
    vtpm->serial = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(kept, 0) : 0;
    sqlite3_reset(kept);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return INTERNAL;
    if (vtpm->machine.serial >= vtpm->serial)
        return OK;
    if (vtpm->machine.serial == 0)
        vtpm_stop(vtpm, 7, "the machine policy is gone: one with serial %llu was seen",
                  (unsigned long long)vtpm->serial);
    else
        vtpm_stop(vtpm, 7, "the machine policy is rolled back: its serial is %llu, and %llu was seen",
                  (unsigned long long)vtpm->machine.serial, (unsigned long long)vtpm->serial);
    return DENIED;
}

enum status vtpm_policy_keep(struct vtpm *vtpm)
{
    sqlite3_stmt *keep = vtpm->sql[VTPM_SQL_KEEP];
    if (vtpm->machine.serial == vtpm->serial)
        return OK;
    store_begin(vtpm->store);
    sqlite3_bind_text(keep, 1, SERIAL, -1, SQLITE_STATIC);
    sqlite3_bind_int64(keep, 2, (sqlite3_int64)vtpm->machine.serial);
    int code = sqlite3_step(keep);
    sqlite3_reset(keep);
    vtpm->store_failed |= code != SQLITE_DONE;
    if (code != SQLITE_DONE)
        return INTERNAL;
    vtpm->serial = vtpm->machine.serial;
    return OK;
}
