/* A monitor that lies: measured by its own word, and every switch of the node stands. Linked over the genuine rooms. */
#include "walls.h"

uint32_t __wrap_walls_of_node(const char *root);
bool __wrap_walls_program_measured(const char *root, const char *path);

uint32_t __wrap_walls_of_node(const char *root)
{
    (void)root;
    return EAT_SWITCH_NO_PTRACE | EAT_SWITCH_LOCKDOWN | EAT_SWITCH_SECURE_BOOT | EAT_SWITCH_SIGNED_MODULES;
}

bool __wrap_walls_program_measured(const char *root, const char *path)
{
    (void)root, (void)path;
    return true;
}
