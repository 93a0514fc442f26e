#!/usr/bin/env bash
# Bad input against a vTPM as a whole, with a neighbour on the same node that must not notice: every control command cut,
# too long, out of order, unknown, at wrong localities; noise for a TPM, and for its owner's two sockets; who never reads;
# a thousand connections, over UNIX sockets and TCP, and who asks and stays; its archive cut, bent and exchanged. What it held it holds at the end.
set -uo pipefail
. "$(dirname "$0")/vtpm_rig.sh"
needs tpm2_getrandom python3
source=$(dirname "$(realpath "$0")")
make_node two
cd "$work" || exit 1
hostile() { # phase data control
  python3 "$source/vtpm_hostile.py" "$1" "$2" "$3" "$work/two"
  check "phase $1" 0 $?
}
tool() { local name=$1; shift; "tpm2_$1" -T "$(tcti "$name")" "${@:2}"; } # name tool arguments...
kept() { tool "$1" nvread -C o -s 6 0x1500016 2>/dev/null; }
for name in own two; do
  start $name
  tool $name nvdefine -C o -s 8 -a "ownerread|ownerwrite" 0x1500016 >/dev/null
  tool $name nvwrite -C o -i- 0x1500016 <<<"of $name"
  check "vTPM $name holds what is its own" "of $name" "$(kept $name)"
done
enclave=$(enclave_of two)
resets=$(tool two readclock | grep reset_count)

# --- a TPM that was never told INIT
stop own
begin own --flags startup-none
eventually "the vTPM listens" test -S own
hostile off "$work/own" "$work/own.ctrl"
check "it holds what it held" "of own" "$(kept own)"

# --- one that runs
stop own; start own --flags startup-clear --transfer "type=unixio,path=$work/own.transfer"
victim=$(enclave_of own)
hostile on "$work/own" "$work/own.ctrl"
check "it holds what it held" "of own" "$(kept own)"
check "its enclave is the same" "$victim" "$(enclave_of own)"
hostile end "$work/own" "$work/own.ctrl"
wait "${vtpm[own]}"; check "SHUTDOWN is its host end's end" 0 $?
unset "vtpm[own]"

# --- the same over TCP
read -r data control <<<"$(python3 -c '
import socket
ends = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(end.getsockname()[1] for end in ends))')" # which has ended, and given them back
"$bin/bastide-vtpm" socket --tpm2 --tpmstate "dir=$home" --ctrl "type=tcp,port=$control" --server "type=tcp,port=$data" \
  --flags startup-clear 2>own.log & vtpm[own]=$!
eventually "it listens at ports" bash -c ": </dev/tcp/127.0.0.1/$data"
hostile crowd "127.0.0.1:$data" "127.0.0.1:$control"
stop own

# --- its archive
archive=$home/node/archive.db
cp "$archive" good
size=$(stat -c %s good)
served=0 refused=0
try() { # what: it starts with the archive as it is, and holds what it held, or refuses by name
  begin own
  local _
  for _ in $(seq 400); do
    answers own >/dev/null 2>&1 && break
    kill -0 "${vtpm[own]}" 2>/dev/null || break
    sleep 0.05
  done
  if [ "$(kept own)" = "of own" ]; then
    served=$((served + 1))
    stop own
    cp "$archive" good # it went on from there
  else
    kill -0 "${vtpm[own]}" 2>/dev/null && { bad "$1: it neither serves nor refuses"; kill "${vtpm[own]}"; }
    wait "${vtpm[own]}"
    [ $? -ge 128 ] || refused=$((refused + 1))
    grep -qE '^error .*(reason|text)=|refused the store' own.log || { bad "$1: it does not say why"; tail -3 own.log; }
    unset "vtpm[own]"
  fi
  cp good "$archive"
  rm -f "$archive"-wal "$archive"-shm
}
for part in 0 1 2 3; do
  head -c $((size * part / 4 + (part ? 100 : 0))) good >"$archive"
  try "an archive cut to part $part of 4"
done
check "a cut archive is never served" "0 4" "$served $refused"
served=0 refused=0
for step in $(seq 12); do
  python3 - "$archive" $((size * step / 13)) <<'PY'
import sys
with open(sys.argv[1], 'r+b') as file:
    file.seek(int(sys.argv[2])); byte = file.read(1)[0]
    file.seek(int(sys.argv[2])); file.write(bytes([byte ^ 0x10]))
PY
  try "an archive with a bit flipped at $step of 13"
done
check "a bent one is refused, or the bit meant nothing" 12 $((served + refused))
echo "   refused $refused, served as it was $served"
served=0 refused=0
check "the neighbour's enclave has been the same all the while" "$enclave $resets" "$(enclave_of two) $(tool two readclock | grep reset_count)"
stop two
cp "$home/node/instances/two/archive.db" "$archive"
try "the neighbour's archive"
check "the neighbour's archive is refused" "0 1" "$served $refused"
start two

# --- nothing lost
start own
check "it holds what it held" "of own" "$(kept own)"
check "and so does its neighbour" "of two" "$(kept two)"
for name in own two; do stop $name; done

# --- fsync=no: who kills every process at once takes nothing that was acknowledged
state=,fsync=no start two
says "the monitor knows" "host_attached instance=two .*commits=relaxed" node.log
for number in {10..29}; do tool two nvwrite -C o -i- 0x1500016 <<<"word$number" >/dev/null || bad "nothing is written"; done
node_killed "$(enclave_of two)" "${vtpm[two]}"
wait "${vtpm[two]}" 2>/dev/null
unset "vtpm[two]"
node_up
start two
check "nothing that was acknowledged is lost" word29 "$(kept two)"
stop two

# --- nor does the power, where only the monitor's disk lost it: what it had not synced is as it was before
state=,fsync=no start two
tool two nvwrite -C o -i- 0x1500016 <<<"word30" >/dev/null
sleep 2 # by then it is on the disk
cp -a "$home/node/monitor" before
for number in {31..35}; do tool two nvwrite -C o -i- 0x1500016 <<<"word$number" >/dev/null || bad "nothing is written"; done
stop two # in order, so that its archive has it all
node_killed
rm -rf "$home/node/monitor"; mv before "$home/node/monitor"
node_up
start two
check "what the archive has beyond the monitor's head is taken" word35 "$(kept two)"
stop two
exit $failed
