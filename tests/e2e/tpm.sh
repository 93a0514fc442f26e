#!/usr/bin/env bash
# The tpm room against software TPMs on unix sockets: keys are made, capped, found again after a reset of the TPM, and
# neither another TPM nor one that is gone is taken for ours. What each step claims stands in tpm_check.c.
set -uo pipefail
build=$(realpath "$1")
work=$(mktemp -d)
. "$(dirname "$0")/checks.sh"
tpm=
finish() {
  [ -z "$tpm" ] || { kill "$tpm"; wait "$tpm"; } 2>/dev/null
  [ $failed = 0 ] || { echo "--- tpm"; tail -20 "$work"/{tpm.log,out,err}; }
  rm -rf "$work"
}
trap finish EXIT
needs swtpm

boot() { # state directory: that TPM, and no other, is reset and serves
  [ -z "$tpm" ] || { kill "$tpm"; wait "$tpm"; } 2>/dev/null
  rm -f "$work/sock"
  mkdir -p "$work/$1"
  swtpm socket --tpm2 --server type=unixio,path="$work/sock" --ctrl type=unixio,path="$work/ctrl" \
    --tpmstate dir="$work/$1" --flags startup-clear >"$work/tpm.log" 2>&1 & tpm=$!
  for _ in $(seq 100); do [ -S "$work/sock" ] && return; sleep 0.05; done
  bad "swtpm does not start"; exit 1
}

claim() { # what code step
  exits "$1" "$2" "$build/tests/tpm_check" "swtpm:path=$work/sock" "$3" "$work/sealed"
}

boot ours
claim "keys are made, used and capped" 0 provision
claim "in the same boot nothing unseals" 0 capped
boot ours
claim "after a reset everything is where it was" 0 again
boot theirs
claim "another TPM is refused" 1 capped
says "by its endorsement key" "the TPM opens" "$work/err"
kill "$tpm"; wait "$tpm" 2>/dev/null; tpm=
claim "a TPM that is gone is an error" 0 gone
exit $failed
