/* Compartments beside native code and beside a pipe to another process. */
#include <math.h>
#include <string.h>
#include <sys/wait.h>

#include "bench.h"
#include "compartment.h"
#include "guest_memory.h"
#include "kernels.h"

#define RUNS 7
#define MESSAGE 1024u

static struct compartment *guest;
static struct compartment_module *module;

static struct compartment_export export_of(const char *name)
{
    struct compartment_export found = {0};
    if (compartment_find_export(module, name, &found) != OK) {
        fprintf(stderr, "no export %s\n", name);
        exit(1);
    }
    return found;
}

static uint32_t call(struct compartment_export function, uint32_t argument)
{
    uint64_t result = 0, arguments[1] = {argument};
    if (compartment_call(guest, function, arguments, 1, &result) != OK) {
        fprintf(stderr, "%s\n", compartment_trap_word(compartment_trap(guest)));
        exit(1);
    }
    return (uint32_t)result;
}

static void bench_call(void)
{
    const uint32_t count = 2000000;
    uint32_t (*volatile native)(uint32_t) = kernel_nothing;
    struct compartment_export function = export_of("kernel_nothing");
    struct bench_runs guests = {0}, natives = {0};
    for (int run = 0; run < RUNS; run++) {
        uint32_t value = 0;
        double from = bench_now_ns();
        for (uint32_t i = 0; i < count; i++)
            value = native(value);
        bench_add(&natives, (bench_now_ns() - from) / count);
        from = bench_now_ns();
        for (uint32_t i = 0; i < count; i++)
            value = call(function, value);
        bench_add(&guests, (bench_now_ns() - from) / count);
        if (value != 2 * count)
            exit(1);
    }
    bench_print("compartment.call", guests.best, "ns", "native indirect call", natives.best, bench_spread(guests));
}

static double pipe_roundtrip(double *spread)
{
    const int count = 2000;
    int there[2], back[2];
    uint8_t message[MESSAGE] = {0};
    struct bench_runs runs = {0};
    if (pipe(there) != 0 || pipe(back) != 0)
        exit(1);
    pid_t child = fork();
    if (child == 0) {
        close(there[1]);
        while (read(there[0], message, sizeof(message)) == (ssize_t)sizeof(message))
            if (write(back[1], message, sizeof(message)) != (ssize_t)sizeof(message))
                break;
        _exit(0);
    }
    for (int run = 0; run < RUNS; run++) {
        double from = bench_now_ns();
        for (int i = 0; i < count; i++)
            if (write(there[1], message, sizeof(message)) < 0 || read(back[0], message, sizeof(message)) < 0)
                exit(1);
        bench_add(&runs, (bench_now_ns() - from) / count);
    }
    close(there[1]);
    waitpid(child, NULL, 0);
    *spread = bench_spread(runs);
    return runs.best;
}

static double bench_message(double pipe_ns)
{
    const uint32_t count = 500000;
    uint8_t in[MESSAGE] = {1}, out[MESSAGE];
    struct compartment_export function = export_of("kernel_message");
    uint32_t at = call(export_of("kernel_buffer"), 0);
    struct bench_runs runs = {0};
    for (int run = 0; run < RUNS; run++) {
        double from = bench_now_ns();
        for (uint32_t i = 0; i < count; i++) {
            in[1] = (uint8_t)i;
            if (compartment_copy_in(guest, at, BYTES_OF(in)) != OK)
                exit(1);
            call(function, MESSAGE);
            if (compartment_copy_out(guest, at, out, MESSAGE) != OK || out[1] != in[1])
                exit(1);
        }
        bench_add(&runs, (bench_now_ns() - from) / count);
    }
    bench_print("compartment.message_1k", runs.best, "ns", "pipe round trip", pipe_ns, bench_spread(runs));
    return runs.best;
}

static double bench_kernel(const char *name, uint32_t (*volatile native)(uint32_t), uint32_t rounds)
{
    char text[64];
    struct bench_runs guests = {0}, natives = {0};
    snprintf(text, sizeof(text), "kernel_%s", name);
    struct compartment_export function = export_of(text);
    for (int run = 0; run < RUNS; run++) {
        double from = bench_now_ns();
        uint32_t expected = native(rounds);
        bench_add(&natives, (bench_now_ns() - from) / 1e6);
        from = bench_now_ns();
        uint32_t got = call(function, rounds);
        bench_add(&guests, (bench_now_ns() - from) / 1e6);
        if (got != expected) {
            fprintf(stderr, "%s: compartment and native disagree\n", name);
            exit(1);
        }
    }
    snprintf(text, sizeof(text), "compartment.compute.%s", name);
    bench_print(text, guests.best, "ms", "native, clang -O2", natives.best, bench_spread(guests));
    return guests.best / natives.best;
}

int main(int count, char **arguments)
{
    static const char policy[] = "Version 1\ncompartment kernels\nmemory 128\ntable 16\nstack 1048576\n";
    char path[512], why[256];
    struct writer reason = writer_over(why, sizeof(why) - 1);
    double pipe_spread, pipe_ns = pipe_roundtrip(&pipe_spread); /* forks, so before any secret memory */
    snprintf(path, sizeof(path), "%s/modules/kernels.so", count > 1 ? arguments[1] : ".");
    if (compartment_init(&guest_memory) != OK ||
        compartment_load(guest_object(path), bytes_from_text(policy), NULL, 0, &guest_memory, &module, &reason) != OK ||
        compartment_instantiate(module, NULL, &guest) != OK) {
        fprintf(stderr, "%.*s\n", (int)reason.len, why);
        return 1;
    }
    bench_call();
    /* The same kilobyte to another process and back: what a wall between processes would cost instead. */
    bench_print("runtime.pipe_roundtrip", pipe_ns, "ns", "compartment, 1 KiB in and out", bench_message(pipe_ns),
                pipe_spread);
    double product = bench_kernel("sha256", kernel_sha256, 20) * bench_kernel("json", kernel_json, 60) *
                     bench_kernel("quicksort", kernel_quicksort, 2) * bench_kernel("matmul", kernel_matmul, 20) *
                     bench_kernel("chase", kernel_chase, 4);
    bench_print("compartment.compute", pow(product, 1.0 / 5), "ratio", "native, clang -O2", 1, 0);
    return 0;
}
