#!/usr/bin/env bash
# A VM that runs, saved and moved with its vTPM by `bastide vtpm` and plain QEMU: snapshots in its disk, loaded while it runs
# and after a kill; a migration that is lost on its way and taken back; and one to another node of its owner's, where it goes
# on, using its TPM all the while, and starts anew. Second argument: root or user.
[ "${2:-}" != user ] || [ "$(id -u)" != 0 ] ||
  exec setpriv --reuid=43214 --regid=43214 --clear-groups --inh-caps=-all --bounding-set=-all "$0" "$@"
set -uo pipefail
. "$(dirname "$0")/two_homes.sh"
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/guest_rig.sh"
machine_needs qemu-utils
extra() {
  machines_off
  [ $failed = 0 ] || tail -n 30 "$work/qemu.log"
}
control=([one]=$one/run/vtpm/vm/tpm.ctrl [two]=$two/run/vtpm/vm/tpm.ctrl)
some=$(sha256sum <<<"something measured" | cut -c1-64)
extended() { # times: the PCR that was extended with that
  python3 -c 'import hashlib, sys
value = bytes(32)
for _ in range(int(sys.argv[1])): value = hashlib.sha256(value + bytes.fromhex(sys.argv[2])).digest()
print(value.hex().upper())' "$1" "$some"
}
succeeds() { # what command...
  if "${@:2}" >out 2>&1; then echo "ok: $1"; else echo "FAILED: $1"; tail -3 out; failed=1; fi
}
pcr() { ask "tpm2 pcrread sha256:$1" | sed -n 's/.*0x\([0-9A-F]*\)$/\1/p'; }
as_it_was() { # how it came here
  eventually "$1, it runs" runs
  inside "$1: a key in its TPM's memory is good" "tpm2 create -Q -C kept.ctx -G ecc -u k.pub -r k.priv"
  check "$1: its TPM was not reset" "$resets" "$(ask 'tpm2 readclock | grep reset_count')"
  check "$1: a PCR is what it was" "$(extended 1)" "$(pcr 16)"
  unseals "$1: it unseals"
}

# --- two nodes, a vTPM on one of them, and a VM
make_nodes 25871 28871
does "a vTPM is made" 0 "$one" vtpm create vm --tenant acme
does "its owner allows snapshots" 0 "$one" vtpm policy vm --snapshots
does "it is started" 0 "$one" vtpm start vm
make_guest
cd "$work" || exit 1
machine_on one crb "$words"
ready "OVMF and Debian's kernel start"
seals "the guest seals to its PCRs"
inside "it keeps a key in its TPM's memory, and something in a PCR" "tpm2 createprimary -Q -C o -G ecc -c kept.ctx && tpm2 pcrextend 16:sha256=$some"
resets=$(ask 'tpm2 readclock | grep reset_count')
unseals "and unseals"

# --- snapshots
succeeds "a snapshot is taken, as it runs" qmp one hmp "savevm one"
eventually "it goes on" runs
inside "two PCRs are extended" "tpm2 pcrextend 9:sha256=$some 16:sha256=$some"
closed "so it does not unseal"
succeeds "the snapshot is loaded" qmp one hmp "loadvm one"
as_it_was "where it ran"
machine_off one
does "killed, and its vTPM stopped" 0 "$one" vtpm stop vm
does "it is started" 0 "$one" vtpm start vm
machine_on one crb "$words" -loadvm one
as_it_was "from its snapshot"

# --- a migration that is lost
does "a move is prepared" 0 "$one" vtpm migrate vm --to "$two" --prepare
qmp one migrate "exec:head -c 1000000 >/dev/null" >out 2>&1; check "the line breaks" 1 $?
eventually "the VM goes on by itself" runs
unseals "and unseals"
succeeds "it leaves" qmp one migrate "exec:cat >/dev/null"
does "nobody has it" 3 "$one" vtpm migrate vm --to "$two" --finish
says "which is said" "no copy is usable until" err
does "it is taken back" 0 "$one" vtpm migrate vm --to "$two" --abort
succeeds "the VM goes on" qmp one cont
as_it_was "taken back"

# --- one that arrives
does "while the VM runs its vTPM does not move without it" 3 "$one" vtpm migrate vm --to "$two"
says "as is said" "in use: have QEMU carry it" err
says "and that it goes on" "source's copy is usable" err
does "a move is prepared once more" 0 "$one" vtpm migrate vm --to "$two" --prepare
does "what to tell QEMU there" 0 "$two" vtpm show vm
says "is known" "path=${control[two]}" out
inside "the guest uses its TPM meanwhile" "(n=0; until [ -e stop ]; do tpm2 pcrextend 23:sha256=$some || exit; n=\$((n+1)); echo \$n >count; done) >/dev/null 2>&1 &"
machine_on two crb "$words" -incoming "unix:$work/move"
eventually "a machine waits for it on the other node" test -S move
succeeds "it migrates" qmp one migrate "unix:$work/move"
as_it_was "on the other node"
check "the source's vTPM serves it no more" "" "$(tpm "$one" timeout 20 tpm2_getrandom --hex 8 2>/dev/null)"
does "the move is finished" 0 "$one" vtpm migrate vm --to "$two" --finish
check "the source has it no more" "" "$(names "$one")"
check "the other node has" vm "$(names "$two")"
machine_off one
inside "the guest's use of it went on" 'n=$(cat count); sleep 2; m=$(cat count); touch stop; wait; test "$m" -gt "$n"'
times=$(ask 'cat count' | tail -1)
check "and nothing of that was lost or done twice, of $times" "$(extended "$times")" "$(pcr 23)"
does "at the source it cannot be started" 6 "$one" vtpm start vm

# --- there
qmp two hmp "loadvm one" >out 2>&1
check "a snapshot of before it moved is refused" 1 $?
says "by name" "refused=set_state: a snapshot from before the state came here" "$two/run/vtpm/vm/host.log"
machine_on two crb "$words"
ready "it is started there"
unseals "and unseals"
echo "done ($(($(date +%s) - begun)) s)"
exit $failed
