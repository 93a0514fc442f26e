/* Work that task libraries do, for measuring a compartment against native code. Each returns a checksum. */
#ifndef BASTIDE_BENCH_KERNELS_H
#define BASTIDE_BENCH_KERNELS_H

#include <stdint.h>

uint32_t kernel_nothing(uint32_t value);
uint32_t kernel_sha256(uint32_t rounds);
uint32_t kernel_json(uint32_t rounds);
uint32_t kernel_quicksort(uint32_t rounds);
uint32_t kernel_matmul(uint32_t rounds);
uint32_t kernel_chase(uint32_t rounds);
/* A buffer of 64 KiB, and a look at a message in it. */
uint8_t *kernel_buffer(void);
uint32_t kernel_message(uint32_t len);

#endif
