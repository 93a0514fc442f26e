/* A QR code on a terminal: two rows a line, dark on light whatever the terminal's own colours are. */
#include "command_internal.h"

#include <qrencode.h>

#define QUIET 2 /* modules of margin; readers want four, and take two */

static bool dark(const QRcode *code, int x, int y)
{
    return x >= 0 && y >= 0 && x < code->width && y < code->width && (code->data[y * code->width + x] & 1);
}

void command_print_qr(const char *text)
{
    static const char *const halves[2][2] = {{"█", "▀"}, {"▄", " "}}; /* [above dark][below dark]: what is light */
    QRcode *code = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_L);
    if (!code)
        return;
    for (int y = -QUIET; y < code->width + QUIET; y += 2) {
        fputs("\033[97;40m", stdout); /* light on black */
        for (int x = -QUIET; x < code->width + QUIET; x++)
            fputs(halves[dark(code, x, y)][dark(code, x, y + 1)], stdout);
        fputs("\033[0m\n", stdout);
    }
    QRcode_free(code);
}
