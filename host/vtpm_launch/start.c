/* The VM's program: started with the parts in its reach, waited for, stopped. */
#include "vtpm_launch.h"

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS 20
#define PATIENCE_MS 1000

extern char **environ;

/* What stands for `{word}` at this place, or NULL; its length with the braces. */
static const char *meant(const struct vtpm_launch *launch, const char *at, char room[32], size_t *len)
{
    for (size_t part = 0; part < MONITOR_PARTS; part++) {
        const size_t word = strlen(vtpm_part_words[part]);
        if (!(launch->given >> part & 1) || strncmp(at + 1, vtpm_part_words[part], word) != 0 || at[1 + word] != '}')
            continue;
        *len = word + 2;
        if (part == VTPM_PART_CMDLINE)
            return launch->options->launch[part];
        snprintf(room, 32, "/proc/self/fd/%d", launch->fds[part]);
        return room;
    }
    return NULL;
}

/* From the heap; NULL: no memory. */
static char *expand(const struct vtpm_launch *launch, const char *word)
{
    char *text = NULL, room[32];
    size_t cap = 0, len = 0;
    FILE *to = open_memstream(&text, &cap);
    while (to && *word) {
        const char *put = *word == '{' ? meant(launch, word, room, &len) : NULL;
        if (put)
            fputs(put, to);
        else
            fputc(*word, to);
        word += put ? len : 1;
    }
    if (!to || fclose(to) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static void free_words(char **words)
{
    for (size_t i = 0; words && words[i]; i++)
        free(words[i]);
    free(words);
}

static char **expand_all(const struct vtpm_launch *launch)
{
    size_t count = 0;
    while (launch->options->command[count])
        count++;
    char **words = calloc(count + 1, sizeof *words);
    for (size_t i = 0; words && i < count; i++)
        if (!(words[i] = expand(launch, launch->options->command[i]))) {
            free_words(words);
            return NULL;
        }
    return words;
}

static bool prepare(const struct vtpm_launch *launch, posix_spawn_file_actions_t *actions,
                    posix_spawnattr_t *attributes)
{
    sigset_t none, usual;
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    bool good = posix_spawnattr_setsigmask(attributes, &none) == 0 &&
                posix_spawnattr_setsigdefault(attributes, &usual) == 0 &&
                posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) == 0;
    for (size_t part = 0; part < MONITOR_PARTS && good; part++)
        if (launch->given >> part & 1) /* onto itself: stays open past exec */
            good = posix_spawn_file_actions_adddup2(actions, launch->fds[part], launch->fds[part]) == 0;
    return good;
}

enum status vtpm_launch_start(struct vtpm_launch *launch, const char **why)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char **words = expand_all(launch);
    *why = "there is no memory for the VM's command line";
    if (!words || posix_spawn_file_actions_init(&actions) != 0) {
        free_words(words);
        return NO_ROOM;
    }
    bool good = posix_spawnattr_init(&attributes) == 0;
    if (good) {
        *why = "the VM's program cannot be started";
        good = prepare(launch, &actions, &attributes) &&
               posix_spawnp(&launch->child, words[0], &actions, &attributes, words, environ) == 0;
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    free_words(words);
    launch->started = good;
    if (!good)
        launch->child = 0;
    return good ? OK : IO;
}

bool vtpm_launch_ended(struct vtpm_launch *launch, int *wait_status)
{
    if (!launch->child || waitpid(launch->child, wait_status, WNOHANG) != launch->child)
        return false;
    launch->child = 0;
    return true;
}

void vtpm_launch_stop(struct vtpm_launch *launch, bool patient, int *wait_status)
{
    const unsigned term_at = patient ? PATIENCE_MS / LOOK_MS : 0, kill_at = term_at + VTPM_LAUNCH_STOP_MS / LOOK_MS;
    for (unsigned look = 0; launch->child && !vtpm_launch_ended(launch, wait_status); look++) {
        if (look == term_at || look == kill_at)
            kill(launch->child, look == term_at ? SIGTERM : SIGKILL);
        usleep(LOOK_MS * 1000);
    }
}
