/* What benchmark programs share: a clock, the best of several runs, and the line that tools/bench.sh collects. */
#ifndef BASTIDE_BENCH_BENCH_H
#define BASTIDE_BENCH_BENCH_H

#include <stdio.h>
#include <time.h>

static inline double bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Processor time of this thread, for what is budgeted in it. */
static inline double bench_cpu_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (double)used.tv_sec * 1e9 + (double)used.tv_nsec;
}

/* Several runs of one thing: its best and, as spread, how far the worst was above it. */
struct bench_runs {
    double best, worst;
};

static inline void bench_add(struct bench_runs *runs, double value)
{
    if (runs->best == 0 || value < runs->best)
        runs->best = value;
    if (value > runs->worst)
        runs->worst = value;
}

static inline double bench_spread(struct bench_runs runs)
{
    return runs.best > 0 ? (runs.worst - runs.best) / runs.best : 0;
}

/* Without a peer: peer "-" and 0. */
static inline void bench_print(const char *name, double value, const char *unit, const char *peer, double peer_value,
                               double spread)
{
    printf("%s\t%.4g\t%s\t%s\t%.4g\t%.4g\t%.2f\n", name, value, unit, peer, peer_value,
           peer_value > 0 ? value / peer_value : 0, spread);
}

#endif
