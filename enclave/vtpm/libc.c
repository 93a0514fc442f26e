/* What libtpms sees of the C library beyond memory and text: no file, no environment, no process; time is the
 * instance's clock. Everything it stores goes through its callbacks (tpm.c). */
#include "vtpm_internal.h"

#include <errno.h>

static const struct vtpm *served;

void vtpm_libc_serve(const struct vtpm *vtpm)
{
    served = vtpm;
}

static uint64_t now_ms(void)
{
    return served ? served->port.clock_ms(served->port.user) : 0;
}

int vtpm_clock_gettime(clockid_t clock, struct timespec *now)
{
    const uint64_t ms = now_ms();
    (void)clock;
    *now = (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    return 0;
}

int vtpm_gettimeofday(struct timeval *now, void *zone)
{
    const uint64_t ms = now_ms();
    (void)zone;
    *now = (struct timeval){.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    return 0;
}

clock_t vtpm_clock(void)
{
    return (clock_t)(now_ms() * (CLOCKS_PER_SEC / 1000));
}

int vtpm_getpid(void)
{
    return 1;
}

int vtpm_rand(void)
{
    uint8_t drawn[4];
    if (crypto_random(drawn, sizeof drawn) != OK)
        __builtin_trap(); /* there is no answer that is right */
    struct reader reader = reader_over(BYTES_OF(drawn));
    return (int)(take_u32be(&reader) & 0x7fffffffu);
}

void vtpm_srand(unsigned seed)
{
    (void)seed;
}

char *vtpm_getenv(const char *name)
{
    (void)name;
    return NULL;
}

FILE *vtpm_fopen(const char *path, const char *mode)
{
    (void)path, (void)mode;
    errno = EACCES;
    return NULL;
}

int vtpm_fclose(FILE *file)
{
    (void)file;
    return EOF;
}

int vtpm_fflush(FILE *file)
{
    (void)file;
    return EOF;
}

int vtpm_fseek(FILE *file, long off, int whence)
{
    (void)file, (void)off, (void)whence;
    return -1;
}

long vtpm_ftell(FILE *file)
{
    (void)file;
    return -1;
}

size_t vtpm_fread(void *to, size_t len, size_t count, FILE *file)
{
    (void)to, (void)len, (void)count, (void)file;
    return 0;
}

size_t vtpm_fwrite(const void *from, size_t len, size_t count, FILE *file)
{
    (void)from, (void)len, (void)count, (void)file;
    return 0;
}

int vtpm_remove(const char *path)
{
    (void)path;
    errno = EACCES;
    return -1;
}

int vtpm_vdprintf(int fd, int flag, const char *format, va_list arguments)
{
    (void)fd, (void)flag, (void)format, (void)arguments;
    return 0;
}

int vtpm_dprintf(int fd, int flag, const char *format, ...)
{
    (void)fd, (void)flag, (void)format;
    return 0;
}
