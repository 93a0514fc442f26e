/* The program's log on standard error, and its clocks. */
#include "pump_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char *program = "daemon", *prefix = "";

void pump_log_as(const char *name)
{
    program = name;
}

void pump_log_prefix(const char *text)
{
    prefix = text;
}

void pump_log(const char *level, const char *event, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    int at = snprintf(line, sizeof line, "%.200s%s %s %s ", prefix, level, program, event);
    int more = vsnprintf(line + at, sizeof line - (size_t)at, format, arguments);
    va_end(arguments);
    size_t len = (size_t)at + (size_t)(more > 0 ? more : 0);
    if (len > sizeof line - 2)
        len = sizeof line - 2;
    line[len++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written; /* nobody to tell */
}

static uint64_t ms_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t pump_clock_ms(void)
{
    return ms_of(CLOCK_MONOTONIC);
}

bool log_allows(struct log_bound *bound)
{
    uint64_t second = pump_clock_ms() / 1000;
    if (second != bound->second) {
        if (bound->lines > PUMP_LOG_LINES)
            pump_log("warning", "log_bounded", "dropped=%u", bound->lines - PUMP_LOG_LINES);
        *bound = (struct log_bound){.second = second};
    }
    return ++bound->lines <= PUMP_LOG_LINES;
}

uint64_t unix_ms(void)
{
    return ms_of(CLOCK_REALTIME);
}
