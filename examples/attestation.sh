#!/usr/bin/env bash
# Evidence, good and bad: an enclave that its owner accepts and five that he refuses, each for a reason of its own, as
# `bastide report --explain` tells them. Real programs on this machine, in development mode; takes about a minute.
#
#   examples/attestation.sh [BUILD]     build/dev if left out; exit code 0 when every one was judged as it should be
set -uo pipefail
build=$(realpath "${1:-$(dirname "$0")/../build/dev}")
work=$(mktemp -d)
home=$work/home   # the owner's half, owner/, and his node's: node/ and tpm/
programs=$build   # whose programs run the node
failed=0

say() { printf '\n== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }
bastide() { "$programs/bastide" --home "$home" "$@"; }
quietly() { # arguments...: must work, and is of no interest
  "$@" >"$work/out" 2>&1 || { echo "FAILED: ${*##*/}: $(tail -1 "$work/out")"; failed=1; exit 1; }
}
finish() {
  for each in "$work"/home "$work"/somebody; do "$build/bastide" --home "$each" down >/dev/null 2>&1; done
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

# judged WHAT CODE LINKS [OPTIONS...]: the evidence is refused at exactly these links of its chain (or at none), with this
# exit code. Shows what is not as it should be; of what is accepted, all.
judged() {
  local what=$1 code=$2 links=$3 got refused; shift 3
  bastide report --explain "$@" >"$work/chain" 2>"$work/said"
  got=$?
  if [ "$code" = 0 ]; then cut -c1-220 "$work/chain"; else
    awk '/^[^ ]/ {shown = $1 != "ok" && $1 != "allowed"} shown' "$work/chain" | cut -c1-220; sed 's/^/   /' "$work/said"
  fi
  refused=$(bastide --json report --explain "$@" 2>/dev/null | jq -r '[.links[] | select(.state == "refused") | .link] | join(" ")')
  if [ "$got $refused" = "$code $links" ]; then note "-> as it should be: $what"; else
    echo "FAILED: $what: exit code $got, refused at \"$refused\"; expected $code and \"$links\""; failed=1
  fi
}
fact() { # what jq-expression expected [options...]: of the chain, as programs read it
  local what=$1 expression=$2 expected=$3 got; shift 3
  got=$(bastide --json report --explain "$@" 2>/dev/null | jq -r "$expression")
  if [ "$got" = "$expected" ]; then note "-> $what"; else echo "FAILED: $what: \"$got\", expected \"$expected\""; failed=1; fi
}
image() { # directory program: an image signed by the same signer
  quietly "$build/bastide-image" --key "$work/signer" --product hub --version 1 --out "$1" "$2" \
    "$build/hub.image/quickjs.so" "$build/hub.image/quickjs.policy"
}
for tool in jq swtpm python3 xxd; do
  command -v $tool >/dev/null || { echo "FAILED: $tool is missing (make deps installs it)"; exit 1; }
done
free=$(python3 -c 'import socket
s, d = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
for each in s, d: each.bind(("127.0.0.1", 0))
print(s.getsockname()[1], d.getsockname()[1])')
address=(--http "127.0.0.1:${free% *}" --coap "127.0.0.1:${free#* }")

say 'A good enclave: the owner makes a site, starts its node, and has it report'
image "$work/genuine" "$build/hub.enclave"
quietly bastide init --insecure-dev --image "$work/genuine" "${address[@]}"
judged 'the genuine enclave is accepted' 0 ''
genuine=$(bastide --json report | jq -r .monitor)

say '1. Another measurement: the image was rebuilt, its program is one byte longer'
{ cat "$build/hub.enclave"; printf x; } >"$work/hub.enclave"; chmod +x "$work/hub.enclave"
image "$work/other" "$work/hub.enclave"
quietly bastide down
quietly bastide up --image "$work/other"
judged 'refused for the image alone' 5 image
quietly bastide down

say "2. Another owner: somebody's own node answers at the address of this one"
home=$work/somebody quietly bastide init --insecure-dev --image "$work/genuine" "${address[@]}"
judged 'refused for whose hub it is, and told nothing' 5 hub
home=$work/somebody quietly bastide down

say '3. A stale store: disk and TPM are turned back to what they were'
mkdir "$work/old"
cp -a "$home/node" "$home/tpm" "$work/old"
quietly bastide up --image "$work/genuine"
quietly bastide client add sensor
for n in 1 2 3; do quietly bastide send --as sensor reading "{\"n\": $n}"; done
quietly bastide down
quietly bastide up
quietly bastide report # the owner has seen these, and the TPM's counters of this start
quietly bastide down
mkdir "$work/new"
mv "$home/node" "$home/tpm" "$work/new"
cp -a "$work"/old/* "$home"
quietly bastide up
judged 'refused for its age, whatever the TPM of development mode says' 5 freshness
quietly bastide down
rm -rf "${home:?}/node" "$home/tpm"
mv "$work"/new/* "$home"

say '4. A fake monitor on the same TPM: it names the genuine measurement, and says that it was measured'
mkdir -p "$work/fake/hub.image"
cp "$build"/{bastide,bastided,bastide-launcher} "$work/fake"
cp "$build/tests/fake_keyholder" "$work/fake/bastide-keyholder"
cp "$build/tests/fake_monitor" "$work/fake/bastide-monitor"
sha256sum "$build/bastide-monitor" | cut -c1-64 | xxd -r -p >"$work/fake/hub.image/genuine"
programs=$work/fake quietly bastide up
note 'On a machine that measures nothing the attack succeeds. All that evidence can say is that nothing vouches for the'
note 'monitor, and a development site allows that:'
monitor='.links[] | select(.link == "monitor")'
fact 'accepted: a bare node cannot tell' .verified true
fact "the fake carries the genuine one's measurement" "$monitor.found | contains(\"$genuine\")" true
fact 'and says that it is measured, which the quote does not bear out' "$monitor.found | endswith(\", measured by its own word, not by the quote\")" true
fact 'so that link is no more than allowed' "$monitor.state" allowed
[ "$(stat -c %s "$home/run/stolen" 2>/dev/null)" = 32 ] && note "-> the fake has the node's keys" || { echo 'FAILED: the fake got no keys'; failed=1; }
note 'An owner who insists on a measured monitor, as every production site does, refuses it:'
judged 'refused for its monitor, and what hangs on that is unproved' 5 monitor --require measured-monitor
fact 'the image fits, by the word of the fake' '.links[] | select(.link == "image").state' unproved --require measured-monitor
quietly bastide down
quietly bastide up
note 'and the genuine monitor on this machine as well, for nobody could tell the two apart. On a machine whose boot chain'
note 'measures the monitor the genuine one is accepted and the fake refused: docs/node.md, tests/e2e/boot.sh.'
fact 'so is the genuine one here, for the same reason' '[.links[] | select(.state == "refused").link] | join(" ")' monitor --require measured-monitor

say '5. Development mode: the owner expects a production site, and the node was started with --insecure-dev'
production=$work/production
mkdir -p "$production/run"
cp -r "$home/owner" "$production/owner"
{ head -c -13 "$home/owner/configuration"; printf 'jproduction'; } >"$production/owner/configuration" # was "linsecure-dev"
jq '.insecure_dev = false | .remote = true' "$home/run/node.json" >"$production/run/node.json"
jq '.allow_unmeasured_monitor = true' "$home/owner/pins.json" >"$production/owner/pins.json" # so that nothing else is amiss
home=$production judged 'refused for its mode, which is part of what it was configured for' 5 'mode configuration'

say 'And the good one, after all that'
fact 'is accepted as before' .verified true
[ $failed = 0 ] && say 'One enclave accepted, five refused, each for its own reason' || say 'FAILED: see above'
exit $failed
