/* How much secret memory the kernel will give. */
#include "enclave.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096ull

/* Maps without touching: the limit is checked, no page is taken. */
static bool maps(int fd, uint64_t len)
{
    void *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return false;
    munmap(map, len);
    return true;
}

enum status enclave_secret_len(uint64_t pool_len, uint64_t *secret_len, char sentence[ENCLAVE_SENTENCE_MAX])
{
    struct rlimit limit = {0};
    int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
    *secret_len = 0;
    if (fd < 0) {
        snprintf(sentence, ENCLAVE_SENTENCE_MAX,
                 "this kernel gives no secret memory: boot with secretmem.enable=1 (Linux 5.14 to 6.4), or use a newer "
                 "one; all %" PRIu64 " bytes of the enclave are unprotected until then",
                 pool_len);
        return UNSUPPORTED;
    }
    /* CAP_IPC_LOCK lifts the limit, in the first user namespace only: tried, for it cannot be asked. */
    bool free_of_limit = getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
                         maps(fd, (limit.rlim_cur & ~(PAGE - 1)) + PAGE);
    close(fd);
    *secret_len = free_of_limit || limit.rlim_cur >= pool_len ? pool_len : limit.rlim_cur & ~(PAGE - 1);
    if (*secret_len == pool_len)
        return OK;
    snprintf(sentence, ENCLAVE_SENTENCE_MAX,
             "RLIMIT_MEMLOCK is %" PRIu64 " bytes: an enclave needs at least %" PRIu64 " and wants %" PRIu64
             "; raise it (LimitMEMLOCK=infinity in the service, or \"* hard memlock unlimited\" in "
             "/etc/security/limits.conf), or run as root",
             (uint64_t)limit.rlim_cur, (uint64_t)ENCLAVE_SECRET_MIN, pool_len);
    return *secret_len < ENCLAVE_SECRET_MIN ? NO_ROOM : OK;
}
