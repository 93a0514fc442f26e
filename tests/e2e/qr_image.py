#!/usr/bin/env python3
"""The QR code on a terminal, as a camera would see it: half blocks from standard input to a PGM on standard output."""
import re, sys

SCALE = 4
rows = []
for line in sys.stdin.read().splitlines():
    found = re.search('\033\\[97;40m([█▀▄ ]+)\033\\[0m', line)
    if found:
        rows.append([letter in '█▀' for letter in found[1]])  # light or not: the upper row, the lower row
        rows.append([letter in '█▄' for letter in found[1]])
width = max(map(len, rows))
image = b''.join(bytes(255 if light else 0 for light in row for _ in range(SCALE)) * SCALE for row in rows)
sys.stdout.buffer.write(b'P5 %d %d 255\n' % (width * SCALE, len(rows) * SCALE) + image)
