/* bastide-scan: look for needles in other processes, by every path that root has. One line a path and process:
 * path, pid, bytes read, refused, hits, note — tab-separated. */
#include "scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] = "Usage: bastide-scan --needles FILE [--paths NAME,…] PID…\n"
                           "       bastide-scan --needles FILE --files FILE…\n\n"
                           "Counts needles (a line of hex each) in the memory of processes, or in files.\n"
                           "Paths: mem process_vm_readv ptrace_peek map_files fd pidfd_getfd registers\n"
                           "       inject core (these two end the process; only when named)\n";

static bool named(const char *list, const struct scan_path *path)
{
    if (!list)
        return !path->ends;
    size_t len = strlen(path->name);
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, path->name, len) == 0 && (at[len] == ',' || at[len] == 0))
            return true;
    return false;
}

static void print(const char *path, const char *what, const struct scan_tally *tally)
{
    printf("%s\t%s\t%llu\t%llu\t%llu\t%s\n", path, what, (unsigned long long)tally->bytes,
           (unsigned long long)tally->refused, (unsigned long long)tally->hits, tally->note ? tally->note : "");
    fflush(stdout);
}

static void scan_process(const char *text, const char *paths, const struct scan_needles *needles)
{
    for (size_t i = 0; i < scan_path_count; i++) {
        if (!named(paths, &scan_paths[i]))
            continue;
        struct scan_tally tally = {0};
        scan_paths[i].run((pid_t)atoi(text), needles, &tally);
        print(scan_paths[i].name, text, &tally);
    }
}

static void scan_file(const char *path, const struct scan_needles *needles)
{
    struct scan_tally tally = {0};
    FILE *file = fopen(path, "re");
    if (file) {
        scan_descriptor(needles, fileno(file), &tally);
        fclose(file);
    } else {
        tally.note = "cannot be opened";
    }
    print("file", path, &tally);
}

int main(int argc, char **argv)
{
    const char *needles_path = NULL, *paths = NULL;
    bool files = false;
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--needles") == 0 && at + 1 < argc)
            needles_path = argv[++at];
        else if (strcmp(argv[at], "--paths") == 0 && at + 1 < argc)
            paths = argv[++at];
        else if (strcmp(argv[at], "--files") == 0)
            files = true;
        else {
            fputs(help, strcmp(argv[at], "--help") == 0 ? stdout : stderr);
            return strcmp(argv[at], "--help") == 0 ? 0 : 2;
        }
    }
    struct scan_needles needles;
    if (!needles_path || at == argc || scan_load(&needles, needles_path) != OK) {
        fprintf(stderr, "bastide-scan: needs processes or files, and needles of %d to %d bytes, a line of hex each\n",
                SCAN_NEEDLE_MIN, SCAN_NEEDLE_MAX);
        return 2;
    }
    for (; at < argc; at++) {
        if (files)
            scan_file(argv[at], &needles);
        else
            scan_process(argv[at], paths, &needles);
    }
    scan_free(&needles);
    return 0;
}
