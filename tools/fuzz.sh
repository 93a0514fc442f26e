#!/usr/bin/env bash
# Run every fuzz target for a bounded number of inputs and hold it to its floor of covered edges:
# a target that reaches nothing tests nothing. RUNS=n changes the bound.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
cmake --preset fuzz >build/fuzz.log 2>&1 || { cat build/fuzz.log; exit 1; }
cmake --build --preset fuzz
runs=${RUNS:-200000}
failed=0
while IFS=$'\t' read -r name floor; do
  corpus=build/fuzz/corpus/$name
  mkdir -p "$corpus"
  seeds=()
  [ -d "tests/fuzz/seeds/$name" ] && seeds=("tests/fuzz/seeds/$name")
  log=build/fuzz/$name.log
  if ! build/fuzz/targets/"$name" -runs="$runs" -max_total_time="${SECONDS_EACH:-60}" -max_len=4096 -rss_limit_mb=2048 \
       -artifact_prefix=build/fuzz/ "$corpus" "${seeds[@]}" >"$log" 2>&1; then
    echo "fuzz: $name FAILED, see $log"; tail -20 "$log"; failed=1; continue
  fi
  cov=$(grep -oE 'cov: [0-9]+' "$log" | tail -1 | cut -d' ' -f2)
  if [ "${cov:-0}" -lt "$floor" ]; then
    echo "fuzz: $name cov: ${cov:-0} is below its floor $floor"; failed=1
  else
    echo "fuzz: $name cov: $cov (floor $floor)"
  fi
done < build/fuzz/targets.tsv
exit $failed
