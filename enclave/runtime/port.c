/* Door and tee port behind the ports that programs are written against. */
#include "runtime.h"

enum status runtime_port_send(void *user, enum door_operation operation, uint64_t id, const struct bytes *parts,
                              size_t count)
{
    (void)user;
    return runtime_send(operation, id, parts, count);
}

enum status runtime_port_advance(void *user, const struct monitor_advance *advance)
{
    (void)user;
    return tee_advance(advance, (struct bytes){0});
}

enum status runtime_port_head(void *user, struct monitor_head_reply *head)
{
    (void)user;
    return tee_head(head);
}

enum status runtime_port_seal_key(void *user, const struct monitor_seal *seal, struct monitor_seal_reply *reply)
{
    (void)user;
    return tee_seal_key(seal, reply);
}

enum status runtime_port_report(void *user, const struct monitor_report *report, struct writer *evidence)
{
    (void)user;
    return tee_report(report, evidence);
}
