/* What a VM is to be started from, and the command that starts it. */
#include "vtpm_options_internal.h"

#include <string.h>

const char *const vtpm_part_words[VTPM_PARTS] = {"firmware", "kernel", "initrd", "cmdline", "disk"};

enum status take_launch(const struct complaint *at, char *text, struct vtpm_options *options)
{
    static const struct key keys[] = {{.name = "firmware", .kind = KEY_TEXT},
                                      {.name = "kernel", .kind = KEY_TEXT},
                                      {.name = "initrd", .kind = KEY_TEXT},
                                      {.name = "cmdline",
                                       .kind = KEY_REFUSED,
                                       .refused_as = "it may have commas in it: give it by --launch-cmdline TEXT"},
                                      {.name = "disk", .kind = KEY_TEXT},
                                      {0}};
    struct value values[KEYS_MAX] = {{0}};
    TRY(take_list(at, text, keys, values));
    for (size_t part = 0; part < VTPM_PARTS; part++)
        if (values[part].given)
            options->launch[part] = values[part].text;
    return OK;
}

/* `{word}` of a part that is not given would reach the VM's program as it stands. */
static enum status look_at_word(const struct complaint *at, const char *word, const struct vtpm_options *options)
{
    for (; (word = strchr(word, '{')) != NULL; word++)
        for (size_t part = 0; part < VTPM_PARTS; part++) {
            const size_t len = strlen(vtpm_part_words[part]);
            if (strncmp(word + 1, vtpm_part_words[part], len) == 0 && word[1 + len] == '}' && !options->launch[part])
                return complain(at, MALFORMED, "the command has {%s}, which is not given", vtpm_part_words[part]);
        }
    return OK;
}

enum status conclude_launch(const char *const *command, struct vtpm_options *options, char *why)
{
    const struct complaint at = {"--launch", why};
    bool given = false;
    for (size_t part = 0; part < VTPM_PARTS; part++)
        given |= options->launch[part] != NULL;
    if (given != (command && *command))
        return complain(&at, MALFORMED, "goes with the command that starts the VM, behind a word --, and that with it");
    options->command = given ? command : NULL;
    for (size_t i = 0; given && command[i]; i++)
        TRY(look_at_word(&at, command[i], options));
    return OK;
}
