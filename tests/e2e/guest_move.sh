#!/usr/bin/env bash
# A VM that runs, saved and moved with its vTPM by `bastide vtpm` and plain QEMU: snapshots in its disk, loaded while it runs
# and after a kill; a migration that is lost on its way and taken back; and one to another node of its owner's, where it goes
# on, with its TPM in use before and after; then, started from what the monitor there measured, back. Second argument: root or user.
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
extended() { # times digest: the PCR that was extended with it
  python3 -c 'import hashlib, sys
value = bytes(32)
for _ in range(int(sys.argv[1])): value = hashlib.sha256(value + bytes.fromhex(sys.argv[2])).digest()
print(value.hex().upper())' "$1" "$2"
}
launch() { # the digest of the record of it (docs/launch.md)
  local part
  { for part in "$firmware" "$kernel" initrd words; do printf '\1'; sha256sum "$part" | cut -c1-64 | xxd -r -p; done; head -c 33 /dev/zero; } | sha256sum | cut -c1-64
}
# Emulated by QEMU 7.2, a VM that runs while it is copied now and then has its kernel die afterwards, with swtpm, too, as if
# what it wrote meanwhile were lost: it stands still for that long.
carried() { # what from uri to
  qmp "$2" stop >out 2>&1
  works "$1" qmp "$2" migrate "$3"
  qmp "$4" cont >out 2>&1
}
pcr() { ask "tpm2 pcrread sha256:$1" | sed -n 's/.*0x\([0-9A-F]*\)$/\1/p'; }
as_it_was() { # how it came here
  eventually "$1, it runs" runs
  inside "$1: a key in its TPM's memory is good" "tpm2 create -Q -C kept.ctx -G ecc -u k.pub -r k.priv"
  check "$1: its TPM was not reset" "$resets" "$(ask 'tpm2 readclock | grep reset_count')"
  check "$1: a PCR is what it was" "$(extended 1 "$some")" "$(pcr 16)"
  unseals "$1: it unseals"
}

# --- two nodes, a vTPM on one of them, and a VM
make_nodes 25891 28891
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
works "a snapshot is taken, as it runs" qmp one hmp "savevm one"
eventually "it goes on" runs
inside "two PCRs are extended" "tpm2 pcrextend 9:sha256=$some 16:sha256=$some"
closed "so it does not unseal"
works "the snapshot is loaded" qmp one hmp "loadvm one"
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
works "it leaves" qmp one migrate "exec:cat >/dev/null"
does "nobody has it" 3 "$one" vtpm migrate vm --to "$two" --finish
says "which is said" "no copy is usable until" err
does "it is taken back" 0 "$one" vtpm migrate vm --to "$two" --abort
works "the VM goes on" qmp one cont
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
carried "it migrates" one "unix:$work/move" two
as_it_was "on the other node"
check "the source's vTPM serves it no more" "" "$(tpm "$one" timeout 20 tpm2_getrandom --hex 8 2>/dev/null)"
does "the move is finished" 0 "$one" vtpm migrate vm --to "$two" --finish
check "the source has it no more" "" "$(names "$one")"
check "the other node has" vm "$(names "$two")"
machine_off one
inside "the guest's use of it went on" 'n=$(cat count); sleep 2; m=$(cat count); touch stop; wait; test "$m" -gt "$n"'
times=$(ask 'cat count' | tail -1)
check "and nothing of that was lost or done twice, of $times" "$(extended "$times" "$some")" "$(pcr 23)"
does "at the source it cannot be started" 6 "$one" vtpm start vm

qmp two hmp "loadvm one" >out 2>&1
check "a snapshot of before it moved is refused" 1 $?
says "by name" "refused=set_state: a snapshot from before the state came here" "$two/run/vtpm/vm/host.log"

# --- measured, and back
printf %s "$words" >words
measured=$(extended 1 "$(launch)")
measures() { front=("$bin/bastide" --home "$1" vtpm run vm --launch "firmware=$firmware,kernel=$kernel,initrd=$work/initrd" --launch-cmdline "$words" --); }
machine_off two
does "its vTPM is stopped" 0 "$two" vtpm stop vm
does "its owner says what it may be started from" 0 "$two" vtpm policy vm --launch hash-and-enforce \
  --allow firmware="$firmware" --allow kernel="$kernel" --allow initrd=initrd --allow cmdline="$words"
measures "$two"
machine_on two crb "$words"
ready "it is started from that"
unseals "and unseals"
check "PCR 17 has what it was started from" "$measured" "$(pcr 17)"
does "a move back is prepared" 0 "$two" vtpm migrate vm --to "$one" --prepare
front=()
machine_on one crb "$words" -incoming "unix:$work/not"
eventually "where nothing was measured a machine waits" test -S not
on=two
qmp two migrate "unix:$work/not" >out 2>&1
eventually "it is not let in" grep -q "refused=init: the machine policy (serial 2) wants the launch measured" "$one/run/vtpm/vm/host.log"
does "and taken back" 0 "$two" vtpm migrate vm --to "$one" --abort
qmp two cont >out 2>&1
eventually "it goes on where it was" runs
unseals "and unseals"
machine_off one
does "a move back is prepared once more" 0 "$two" vtpm migrate vm --to "$one" --prepare
does "its vTPM there makes room for one whose launch is measured" 0 "$one" vtpm stop vm
measures "$one"
machine_on one crb "$words" -incoming "unix:$work/back"
eventually "a machine waits there, measured" test -S back
carried "it migrates" two "unix:$work/back" one
eventually "and runs" runs
unseals "and unseals"
check "PCR 17 is what it was" "$measured" "$(pcr 17)"
does "the move is finished" 0 "$two" vtpm migrate vm --to "$one" --finish
check "it is back" "vm," "$(names "$one"),$(names "$two")"
unseals "and unseals"
exit $failed
