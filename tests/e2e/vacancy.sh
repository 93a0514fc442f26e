#!/usr/bin/env bash
# The example that `make run` shows, to its end: as it is, with kills, and as an ordinary user.
# Second argument: root, crash or user.
set -uo pipefail
build=$(realpath "$1")
as=${2:-root}
[ "$as" = user ] && [ "$(id -u)" = 0 ] || exec "$PWD/examples/vacancy/run.py" --once $([ "$as" = crash ] && echo --crash)
# An ordinary user in a run by root: programs and example where that user reaches them.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bin" "$work/tmp"
cp -r "$build"/bastide* "$build"/vacancy-replay "$build"/hub.image "$work/bin/"
cp -r "$PWD/examples" "$work/"
chown -R 43212:43212 "$work"
cd "$work" && PYTHONDONTWRITEBYTECODE=1 BASTIDE_BUILD=$work/bin TMPDIR=$work/tmp HOME=$work \
  setpriv --reuid=43212 --regid=43212 --clear-groups --inh-caps=-all --bounding-set=-all "$work/examples/vacancy/run.py" --once
