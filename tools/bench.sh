#!/usr/bin/env bash
# Run every benchmark beside its peer and write build/bench.tsv:
# name, value, unit, peer, peer_value, ratio, spread (tab-separated). BENCH="script oscore" runs only those named.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
cmake --preset release >build/bench.log 2>&1 || { cat build/bench.log; exit 1; }
cmake --build --preset release
cmake --build --preset release --target benchmarks
out=build/bench.tsv
printf 'name\tvalue\tunit\tpeer\tpeer_value\tratio\tspread\n' >"$out"
for program in build/release/bench/*_bench bench/*_bench.py; do
  name=$(basename "${program%.py}" _bench)
  [ -n "${BENCH:-}" ] && [[ " $BENCH " != *" $name "* ]] && continue
  echo "bench: $name"
  "$program" build/release >>"$out" || { echo "bench: $name failed"; exit 1; }
done
column -t -s $'\t' "$out"
