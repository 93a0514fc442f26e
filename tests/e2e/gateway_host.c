/* The daemon with a log kept in memory, for the tests of its network side: gateway_host HOME COAP HTTP BODY_MAX. */
#include "daemon.h"

#include <stdlib.h>

static enum status serve(void *context, const struct door_header *header, struct bytes payload, struct writer *answer)
{
    size_t *kept = context;
    (void)answer;
    if (header->operation == DOOR_LOG_APPEND)
        *kept += payload.len;
    /* A SYNC that would answer for nothing is the test's own mistake. */
    return header->operation != DOOR_SYNC || *kept ? OK : WRONG_STATE;
}

static void abandon(void *context)
{
    *(size_t *)context = 0;
}

int main(int argc, char **argv)
{
    size_t kept = 0;
    const struct pump_archive archive = {&kept, serve, abandon};
    if (argc != 5)
        return 2;
    const struct daemon_options options = {argv[1], argv[2], argv[3], (uint32_t)strtoul(argv[4], NULL, 10)};
    daemon_harden(&options);
    return daemon_serve(&options, &archive);
}
