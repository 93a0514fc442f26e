/* Where a passphrase is to be read. The enclave compares it byte for byte and encrypts nothing by it, so how swtpm
 * would make a key of it has no meaning here. */
#include "vtpm_options_internal.h"

#include <limits.h>
#include <string.h>

#define COMPARED "it is compared byte for byte, and no key is made of it: leave this out"

enum status take_key(const struct complaint *at, char *text, struct vtpm_file *file)
{
    enum { PATH, FD, WORD_PATH, WORD_FD, MODE };
    static const struct key keys[] = {{.name = "file", .kind = KEY_TEXT},
                                      {.name = "fd", .kind = KEY_NUMBER, .most = INT_MAX},
                                      {.name = "pwdfile", .kind = KEY_TEXT},
                                      {.name = "pwdfd", .kind = KEY_NUMBER, .most = INT_MAX},
                                      {.name = "mode", .kind = KEY_TEXT},
                                      {.name = "format", .kind = KEY_REFUSED, .refused_as = COMPARED},
                                      {.name = "kdf", .kind = KEY_REFUSED, .refused_as = COMPARED},
                                      {.name = "remove", .kind = KEY_REFUSED, .refused_as = "remove it yourself"},
                                      {0}};
    struct value values[KEYS_MAX] = {{0}};
    TRY(take_list(at, text, keys, values));
    if (values[PATH].given + values[FD].given + values[WORD_PATH].given + values[WORD_FD].given != 1)
        return complain(at, MALFORMED, "give one of file=PATH, fd=NUMBER, pwdfile=PATH and pwdfd=NUMBER");
    if (values[MODE].given && strcmp(values[MODE].text, "aes-cbc") != 0 &&
        strcmp(values[MODE].text, "aes-256-cbc") != 0)
        return complain(at, MALFORMED, "mode=%.40s is not known: aes-cbc or aes-256-cbc, as swtpm has it",
                        values[MODE].text);
    const struct value *path = values[PATH].given ? &values[PATH] : &values[WORD_PATH];
    const struct value *fd = values[FD].given ? &values[FD] : &values[WORD_FD];
    *file = (struct vtpm_file){.given = true, .path = path->text, .fd = fd->given ? (int)fd->number : -1};
    return OK;
}
