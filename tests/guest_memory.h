/* Memory for compartments outside an enclave: secret memory where the kernel gives it, ordinary memory and a printed
 * note where it does not; and a module object copied into a sealed memfd. */
#ifndef BASTIDE_TESTS_GUEST_MEMORY_H
#define BASTIDE_TESTS_GUEST_MEMORY_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "compartment.h"

static enum status guest_reserve(void *user, size_t len, void **window)
{
    (void)user;
    void *at = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return NO_ROOM;
    *window = at;
    return OK;
}

static int guest_secret = 1;

static enum status guest_back(void *user, void *at, size_t len)
{
    (void)user;
    if (guest_secret) {
        int fd = (int)syscall(SYS_memfd_secret, 0);
        void *got = MAP_FAILED;
        if (fd >= 0 && ftruncate(fd, (off_t)len) == 0)
            got = mmap(at, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
        if (fd >= 0)
            close(fd);
        if (got == at)
            return OK;
        guest_secret = 0;
        fprintf(stderr, "note: no memfd_secret here; guests use ordinary memory\n");
    }
    void *got = mmap(at, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    return got == at ? OK : NO_ROOM;
}

static void guest_release(void *user, void *window, size_t len)
{
    (void)user;
    munmap(window, len);
}

static void guest_touched(void *user, const void *at, size_t len, uint8_t *pages)
{
    (void)user;
    if (!guest_secret || mincore((void *)(uintptr_t)at, len, pages) != 0)
        memset(pages, 1, len / 4096);
}

static const struct compartment_memory guest_memory = {
    .reserve = guest_reserve, .back = guest_back, .release = guest_release, .touched = guest_touched};

static int guest_seal(const void *data, size_t len)
{
    int fd = memfd_create("module", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || write(fd, data, len) != (ssize_t)len ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        abort();
    return fd;
}

/* The whole file, for free(). */
static uint8_t *guest_file(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        fprintf(stderr, "cannot read %s\n", path);
        abort();
    }
    *len = (size_t)ftell(file);
    uint8_t *data = malloc(*len + 1);
    rewind(file);
    if (data == NULL || fread(data, 1, *len, file) != *len)
        abort();
    fclose(file);
    data[*len] = '\0';
    return data;
}

static int guest_object(const char *path)
{
    size_t len;
    uint8_t *data = guest_file(path, &len);
    int fd = guest_seal(data, len);
    free(data);
    return fd;
}

#endif
