#!/usr/bin/env bash
# The runtime around a probe enclave: as root, everything; as an ordinary user, what RLIMIT_MEMLOCK leaves secret.
set -euo pipefail
build=$(realpath "$1")
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp "$build"/tests/{runtime_check,probe_enclave,socket_enclave} "$build"/modules/probe.so "$work"; chmod 755 "$work" "$work"/*
"$work/runtime_check" "$work/probe_enclave" "$work/probe.so" "$work/socket_enclave"
[ "$(id -u)" != 0 ] && { echo "skipped: walls and memory scans need root"; exit 77; }
setpriv --reuid=43210 --regid=43210 --clear-groups --inh-caps=-all --bounding-set=-all \
  "$work/runtime_check" "$work/probe_enclave" "$work/probe.so" "$work/socket_enclave"
