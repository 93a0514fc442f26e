#!/usr/bin/env bash
# Run every fuzz target, two at a time, for a bounded number of inputs and hold it to its floor of covered edges: a target
# that reaches nothing tests nothing. RUNS=n and SECONDS_EACH=s change the bounds, which keep the whole under ten minutes
# on two cores; names as arguments run these targets only.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
cmake --preset fuzz >build/fuzz.log 2>&1 || { cat build/fuzz.log; exit 1; }
cmake --build --preset fuzz
export RUNS=${RUNS:-200000} SECONDS_EACH=${SECONDS_EACH:-40}

one() { # name floor: says how it went; false when it crashed, hung, or stayed below its floor
  local name=$1 floor=$2 corpus=build/fuzz/corpus/$1 log=build/fuzz/$1.log seeds=() cov
  mkdir -p "$corpus"
  [ -d "tests/fuzz/seeds/$name" ] && seeds=("tests/fuzz/seeds/$name")
  if ! build/fuzz/targets/"$name" -runs="$RUNS" -max_total_time="$SECONDS_EACH" -max_len=4096 -rss_limit_mb=2048 \
       -artifact_prefix=build/fuzz/ "$corpus" "${seeds[@]}" >"$log" 2>&1; then
    echo "fuzz: $name FAILED, see $log"; tail -20 "$log"; return 1
  fi
  cov=$(grep -oE 'cov: [0-9]+' "$log" | tail -1 | cut -d' ' -f2)
  if [ "${cov:-0}" -lt "$floor" ]; then
    echo "fuzz: $name cov: ${cov:-0} is below its floor $floor"; return 1
  fi
  echo "fuzz: $name cov: $cov (floor $floor)"
}
export -f one

wanted() {
  [ $# = 0 ] && { cat build/fuzz/targets.tsv; return; }
  local name
  for name in "$@"; do
    grep -P "^$name\t" build/fuzz/targets.tsv || { echo "fuzz: there is no target $name" >&2; exit 1; }
  done
}
wanted "$@" >build/fuzz/wanted.tsv
xargs -P 2 -L 1 bash -c 'one "$@"' one <build/fuzz/wanted.tsv || { echo "fuzz: something above failed"; exit 1; }
