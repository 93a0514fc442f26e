/* A monitor that lies: measured by its own word, and every switch of the node stands. Linked over the genuine rooms. */
#include "eat.h"
#include "walls.h"

uint32_t __wrap_walls_of_node(const char *root);
enum status __real_eat_report_sign(struct writer *writer, const struct crypto_key *key,
                                   const struct eat_report *report);
enum status __wrap_eat_report_sign(struct writer *writer, const struct crypto_key *key,
                                   const struct eat_report *report);

uint32_t __wrap_walls_of_node(const char *root)
{
    (void)root;
    return EAT_SWITCH_NO_PTRACE | EAT_SWITCH_LOCKDOWN | EAT_SWITCH_SECURE_BOOT | EAT_SWITCH_SIGNED_MODULES;
}

enum status __wrap_eat_report_sign(struct writer *writer, const struct crypto_key *key, const struct eat_report *report)
{
    struct eat_report lie = *report;
    lie.monitor_measured = true;
    return __real_eat_report_sign(writer, key, &lie);
}
