#!/usr/bin/env bash
# The example of a good and five bad enclaves, to its end: as it is, and as an ordinary user. Second argument: root or user.
set -uo pipefail
build=$(realpath "$1")
[ "${2:-root}" = user ] && [ "$(id -u)" = 0 ] || exec "$PWD/examples/attestation.sh" "$build"
# An ordinary user in a run by root: programs and example where that user reaches them.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bin/tests" "$work/tmp"
cp -r "$build"/bastide* "$build"/hub.enclave "$build"/hub.image "$work/bin/"
cp "$build"/tests/fake_{keyholder,monitor} "$work/bin/tests/"
cp "$PWD/examples/attestation.sh" "$work/"
chown -R 43213:43213 "$work"
cd "$work" && TMPDIR=$work/tmp HOME=$work \
  setpriv --reuid=43213 --regid=43213 --clear-groups --inh-caps=-all --bounding-set=-all "$work/attestation.sh" "$work/bin"
