#!/usr/bin/env bash
# Formatting, every include against the room table, banned words, every header compiling alone. Needs build/dev/rooms.tsv.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -f build/dev/rooms.tsv ] || cmake --preset dev >/dev/null
failed=0
fail() { echo "style: $*"; failed=1; }

mapfile -t sources < <(git ls-files '*.c' '*.h')

clang-format --dry-run -Werror "${sources[@]}" 2>/dev/null || {
  for file in "${sources[@]}"; do clang-format --dry-run -Werror "$file" >/dev/null 2>&1 || fail "$file is not formatted: clang-format -i $file"; done
}

# A quoted include must be found in the room's own directory or in that of a room it may see. Parts of a room
# (monitor/, say, which has rooms below it) belong to the deepest room that holds them.
python3 - <<'PY' || failed=1
import os, re, subprocess, sys
rooms = {}
for line in open('build/dev/rooms.tsv'):
    name, folder, sees = line.rstrip('\n').split('\t')
    rooms[name] = (folder, sees.split())
bad = 0
for path in subprocess.check_output(['git', 'ls-files', '*.c', '*.h'], text=True).split():
    owner = max((n for n, (d, _) in rooms.items() if path.startswith(d + '/')), key=lambda n: len(rooms[n][0]), default=None)
    if owner is None or os.path.basename(path) == 'main.c':
        continue
    folder, sees = rooms[owner]
    allowed = [folder] + [rooms[s][0] for s in sees if s in rooms]
    for number, text in enumerate(open(path), 1):
        found = re.match(r'\s*#\s*include\s+"([^"]+)"', text)
        if found and not any(os.path.exists(os.path.join(d, found[1])) for d in allowed):
            print(f'style: {path}:{number}: room {owner} may not see "{found[1]}"')
            bad = 1
    public = "bastide" if owner == "library" else owner  # by its name device makers include it
    if os.path.dirname(path) == folder and path.endswith('.h') and os.path.basename(path) not in (public + '.h', owner + '_internal.h') \
            and owner != 'abi':
        print(f'style: {path}: a room has one public header ({public}.h) and at most {owner}_internal.h')
        bad = 1
sys.exit(bad)
PY

# Words that promise work instead of doing it, and functions that are never right here.
banned='TODO|FIXME|XXX|HACK|not implemented|unimplemented|placeholder|for now|dummy'
if git grep -nIwE "$banned" -- '*.c' '*.h' '*.sh' '*.py' '*.js' '*.txt' ':!tools/style.sh'; then fail "banned words above"; fi
unsafe='(^|[^_[:alnum:]])(strcpy|strcat|sprintf|vsprintf|gets|alloca|rand|system|popen|tmpnam|mktemp)[[:space:]]*\('
if git grep -nIE "$unsafe" -- '*.c' '*.h'; then fail "unsafe functions above"; fi

while IFS=$'\t' read -r name folder sees; do
  includes=(-I "$folder" -I /usr/include/p11-kit-1) # p11-kit's headers name each other from there
  for seen in $sees; do
    seen_folder=$(awk -F'\t' -v room="$seen" '$1 == room {print $2}' build/dev/rooms.tsv)
    includes+=(-I "$seen_folder")
  done
  for header in "$folder"/*.h; do
    [ -e "$header" ] || continue
    echo "#include \"$(basename "$header")\"" |
      gcc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-unused -fsyntax-only "${includes[@]}" -x c - || fail "$header does not compile alone"
  done
done < build/dev/rooms.tsv

[ $failed = 0 ] && echo "style: clean"
exit $failed
