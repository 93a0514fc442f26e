/* The daemon with a log kept in memory, for the tests of its network side; takes what bastided takes. */
#include "daemon.h"

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
    const struct pump_archive archive = {pthread_create, &kept, serve, abandon};
    struct daemon_options options;
    int code = daemon_parse(argc, argv, &options);
    if (code >= 0)
        return code;
    daemon_harden(&options);
    return daemon_serve(&options, &archive);
}
