#!/usr/bin/env bash
# What is kept of a vTPM on its node's disk is copied (its archive, the monitor's table of heads, and, for it is a file in
# development mode, the node's TPM) and put back later: alone, in part, together. What is told is told by name; what is
# not, SECURITY.md says.
set -uo pipefail
. "$(dirname "$0")/vtpm_rig.sh"
needs tpm2_getrandom
make_node
cd "$work" || exit 1
export TPM2TOOLS_TCTI
TPM2TOOLS_TCTI=$(tcti own)
write() { tpm2_nvwrite -C o -i- 0x1500016 <<<"$1"; }
kept() { tpm2_nvread -C o -s 6 0x1500016 2>/dev/null; }
# The owner's side: what it saw last it keeps, as bastide does in its pins.
owner() { "$bin/vtpm_check" seen own.keys "$home" "$bin/vtpm.image" "$1" >owner.out 2>&1; local code=$?; tail -1 owner.out; return $code; }
stop_all() { [ -z "${vtpm[own]:-}" ] || stop own; node_down; }
copy() { rm -rf "copy.$1" && mkdir "copy.$1" && cp -a "$home/node" "$home/tpm" "copy.$1"; } # name: of all three
archive() { rm -f "$home"/node/archive.db*; cp -a copy."$1"/node/archive.db* "$home/node/"; }
table() { rm -rf "$home/node/monitor"; cp -a "copy.$1/node/monitor" "$home/node/"; }
tpm_state() { rm -rf "$home/tpm"; cp -a "copy.$1/tpm" "$home/"; }
node_refuses() { # what words: the monitor does not start
  node_tpm_up
  : >node.log
  "$bin/bastide-keyholder" --home "$home" --image "$bin/vtpm.image" --tcti "swtpm:path=$work/tpm.sock" --insecure-dev 2>node.log & holder=$!
  eventually "$1" grep -q -- "$2" node.log
  node_down
}

start own
tpm2_nvdefine -C o -s 8 -a "ownerread|ownerwrite" 0x1500016 >/dev/null
write "before"
owner pins >/dev/null; check "the owner sees it" 0 $?
cp pins pins.before
stop_all
copy before
node_up
start own
for word in later{10..42}; do write $word; done
owner pins >/dev/null; check "later it is newer" 0 $?
differs "by all three numbers" "$(cat pins.before)" "$(cat pins)"
stop_all
copy later

# --- one of three
archive before
node_up
begin own
wait "${vtpm[own]}"; check "the archive alone: the enclave refuses it" 7 $?
unset "vtpm[own]"
says "by name" "the store was rolled back" own.log
node_down
archive later; table later; tpm_state later

# --- two of three: the TPM remembers
archive before; table before
node_refuses "archive and table: the monitor refuses, for the TPM's counter is ahead" "older than the TPM.s counter"
table later; archive later; tpm_state later
tpm_state before
node_refuses "the TPM alone: the monitor refuses, for its counter is behind" "counter is behind the table"

# --- all three
archive before; table before; tpm_state before
node_up
start own
check "all three: nothing on the node can tell" "before" "$(kept)"
owner pins >/dev/null; check "the owner, who saw more, is told that it is older" 5 $?
cp pins.before pins.other
owner pins.other >/dev/null; check "one who saw nothing since is not" 0 $?
write "second"
stop_all
copy second

# --- and run on until its numbers are above those that were seen: two histories, and the owner cannot tell
for _ in 1 2 3; do node_up; stop_all; done
node_up
start own
for word in more.{1..9} more{10..42} more.a; do write $word; done
owner pins >/dev/null; check "run on past what was seen, the owner is told nothing" 0 $?
check "though it never was what he saw" "more.a" "$(kept)"
stop_all

# --- copied while the monitor ran, whose end nobody told it: between two moves of the counter only who saw more knows
node_up
start own
write "copied"
owner pins >/dev/null; check "the owner sees it" 0 $?
stop own # the monitor goes on
copy then
start own
write "onward"
owner pins >/dev/null; check "later it is newer" 0 $?
stop own
node_killed
archive then; table then
node_up
start own
check "archive and table together: nothing on the node can tell" "copied" "$(kept)"
owner pins >/dev/null; check "the owner, who saw more, is told that it is older" 5 $?
stop_all
exit $failed
