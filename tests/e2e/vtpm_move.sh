#!/usr/bin/env bash
# A VM whose vTPM moves with it: two nodes, each under a monitor on a software TPM of its own, and QEMU: snapshots where the
# owner allows them, a live migration that he grants, one that is lost on its way, a backup, an upgrade, and what is refused. No port is used.
# Second argument: root or user.
set -uo pipefail
. "$(dirname "$0")/user_rig.sh"
build=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d)
bin=$work/bin
. "$(dirname "$0")/checks.sh"
declare -A pid=()
finish() {
  for each in vm.a vm.b vtpm.a vtpm.b; do [ -z "${pid[$each]:-}" ] || kill "${pid[$each]}"; done 2>/dev/null
  for each in node.a node.b; do [ -z "${pid[$each]:-}" ] || { kill "${pid[$each]}"; wait "${pid[$each]}"; }; done 2>/dev/null
  for each in tpm.a tpm.b; do [ -z "${pid[$each]:-}" ] || kill "${pid[$each]}"; done 2>/dev/null
  wait 2>/dev/null
  [ $failed = 0 ] || tail -n 30 "$work"/*.log
  rm -rf "$work"
}
trap finish EXIT
needs swtpm openssl tpm2_getrandom tpm2_nvread python3 qemu-system-x86_64 qemu-img
mkdir -p "$bin"
cp -r "$build"/bastide-{keyholder,monitor,launcher,vtpm} "$build"/tests/{make_image,vtpm_move} "$bin"
for version in 1 2; do # of one signer
  "$build/bastide-image" --key "$work/signer" --product vtpm --version $version --out "$work/image.$version" "$build/vtpm.enclave" >/dev/null || exit 1
done
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=owner -keyout "$work/owner.pem" \
  -outform DER -out "$work/cert.der" 2>/dev/null
cd "$work" || exit 1

# --- two nodes with the same configuration
node() { # name
  local home=$work/$1
  mkdir -p "$home/node/instances/vm" "$home/run" "$work/tpm.$1"
  "$bin/make_image" configuration "$home/node/configuration" "$work/cert.der" insecure-dev "the node's own" || exit 1
  "$bin/make_image" configuration "$home/node/instances/vm/configuration" "$work/cert.der" insecure-dev || exit 1
  ln -s "$work/image.1" "$home/node/instances/vm/image"
  swtpm socket --tpm2 --server type=unixio,path="$work/$1.tpm" --ctrl type=unixio,path="$work/$1.tpm.ctrl" \
    --tpmstate dir="$work/tpm.$1" --flags startup-clear >"$work/tpm.$1.log" 2>&1 & pid[tpm.$1]=$!
  eventually "the software TPM of node $1 is there" test -S "$work/$1.tpm"
  "$bin/bastide-keyholder" --home "$home" --image "$work/image.1" --tcti "swtpm:path=$work/$1.tpm" --insecure-dev \
    2>"$work/node.$1.log" & pid[node.$1]=$!
  eventually "node $1 serves" grep -q "monitor serving" "$work/node.$1.log"
}
start() { # name flags
  "$bin/bastide-vtpm" socket --tpm2 --tpmstate dir="$work/$1",instance=vm --ctrl type=unixio,path="$work/$1.sock.ctrl" \
    --server type=unixio,path="$work/$1.sock" --transfer type=unixio,path="$work/$1.move" ${2:+--flags "$2"} 2>"$work/vtpm.$1.log" & pid[vtpm.$1]=$!
  eventually "the host end of node $1 is there" grep -q "enclave_launched" "$work/vtpm.$1.log"
}
stop() { kill "${pid[$1]}"; wait "${pid[$1]}"; pid[$1]=; } 2>/dev/null
instance=$work/a/node/instances/vm # which is the same on both
owner() { "$bin/vtpm_move" "$1" "$instance" "$work/image.1" "$work/owner.pem" "${@:2}"; }
at() { "$bin/vtpm_move" status "$instance" "$work/image.1" "$work/$1.move"; }
tpm() { local name=$1 command=$2; shift 2; "$command" -T "swtpm:path=$work/$name.sock" "$@"; } # name command arguments...
kept() { tpm "$1" tpm2_nvread -C o -s 6 0x1500016 2>/dev/null; }
keep() { tpm "$1" tpm2_nvwrite -C o -i- 0x1500016 <<<"$2" >/dev/null; }
pcr() { tpm "$1" tpm2_pcrread "sha256:$2" 2>/dev/null | grep -o '0x[0-9A-Fa-f]*$'; }
extend() { tpm "$1" tpm2_pcrextend "16:sha256=$(sha256sum <<<"$2" | cut -c1-64)"; }
policy() { # serial snapshots|none
  "$bin/vtpm_move" policy "$instance/workload" "$instance/configuration" "$work/owner.pem" "$1" "$2"
  cp "$instance/workload" "$work/b/node/instances/vm/workload"
}

# --- a VM
vm() { # name more...
  local name=$1; shift
  nice -n 19 qemu-system-x86_64 -M q35 -accel tcg -m 32 -display none -nodefaults -serial none -qmp unix:"$work/$name.qmp",server,nowait \
    -chardev socket,id=c,path="$work/$name.sock.ctrl" -tpmdev emulator,id=t,chardev=c -device tpm-crb,tpmdev=t \
    -drive if=none,id=d,file="$work/disk.qcow2",format=qcow2,file.locking=off -device virtio-blk,drive=d "$@" >>"$work/vm.$name.log" 2>&1 & pid[vm.$name]=$!
  eventually "the VM on node $name is there" qmp "$name" query-status
}
qmp() { local name=$1; shift; python3 "$here/qmp.py" "$work/$name.qmp" "$@"; }
measured() { pcr "$1" 0 | grep -qi '0x[0-9a-f]*[1-9a-f]'; }
runs() { qmp "$1" query-status | grep -q '"running": true'; }

node a
node b
works "a disk is made, for snapshots" qemu-img create -q -f qcow2 "$work/disk.qcow2" 1M

# --- no snapshots unless the owner signed that there may be
start a
check "a vTPM that was never started" empty "$(at a)"
vm a
eventually "its firmware measures into it" measured a
check "then it lives" live "$(at a)"
works "something is kept in it" tpm a tpm2_nvdefine -C o -s 8 -a "ownerread|ownerwrite" 0x1500016
works "namely this" keep a first.
refuses "a snapshot is refused" "error" qmp a hmp "savevm one"
says "and the log says why" "refused=get_state: the machine policy allows no snapshots" "$work/vtpm.a.log"
works "the VM goes on" qmp a cont
eventually "running" runs a
check "with its TPM" first. "$(kept a)"

# --- where he did
stop vm.a; wait "${pid[vtpm.a]}"
policy 1 snapshots
start a
vm a
eventually "with a policy its firmware measures into it again" measured a
works "a PCR is extended" extend a before
before=$(pcr a 16) boot=$(pcr a 0)
works "a snapshot is taken" qmp a hmp "savevm one"
works "something else is written" keep a second
works "the PCR moves on" extend a after
check "what was written last is read" second "$(kept a)"
works "the snapshot is loaded" qmp a hmp "loadvm one"
says "as the log says" "state=taken_back" "$work/vtpm.a.log"
check "the TPM holds what it held" first. "$(kept a)"
check "and the PCR" "$before" "$(pcr a 16)"
eventually "and the VM runs" runs a

# --- a migration that nobody granted carries a snapshot, which no other node opens
start b
vm b -incoming unix:"$work/m.sock"
check "a destination waits" empty "$(at b)"
qmp a migrate unix:"$work/m.sock" >"$work/out" 2>&1
eventually "without the owner's grant nothing lands" grep -q "refused=set_state: there is no state here" "$work/vtpm.b.log"
[ -z "${pid[vm.b]}" ] || { stop vm.b; stop vtpm.b; }
qmp a cont >/dev/null 2>&1
eventually "the source goes on" runs a
check "with its TPM" first. "$(kept a)"

# --- one that he granted
start b
works "the destination proves a landing key, the source gets the grant" owner begin "$work/a.move" "$work/b.move"
check "the source serves on" live+armed "$(at a)"
check "the destination expects" landing "$(at b)"
check "with its TPM" first. "$(kept a)"
vm b -incoming unix:"$work/m.sock"
works "the VM migrates" qmp a migrate unix:"$work/m.sock"
check "its state has left" moved "$(at a)"
check "and landed" live "$(at b)"
eventually "the VM runs there" runs b
check "its TPM holds what it held" first. "$(kept b)"
check "its PCR too" "$before" "$(pcr b 16)"
check "and what its firmware measured" "$boot" "$(pcr b 0)"
check "the source serves nothing any more" "" "$(kept a)"
works "the source forgets, on proof" owner finish "$work/a.move" "$work/b.move"
check "and says so" forgotten "$(at a)"
works "asked again it has forgotten" owner finish "$work/a.move" "$work/b.move"
works "what is kept now" keep b third.
stop vm.a; wait "${pid[vtpm.a]}"
start a startup-clear
wait "${pid[vtpm.a]}"; check "nor does it begin anew" 9 $?
says "and says why" "refused=init: the state has left" "$work/vtpm.a.log"

# --- one that is lost on its way
start a
works "granted back" owner begin "$work/b.move" "$work/a.move"
qmp b migrate "exec:cat >$work/void" >"$work/out" 2>&1
check "it left" moved "$(at b)"
refuses "before it landed nothing is forgotten" "has not landed" owner finish "$work/b.move" "$work/a.move"
kill -9 "$(grep -o 'enclave_ready instance=vm launch=[0-9]* pid=[0-9]*' "$work/node.a.log" | tail -1 | sed 's/.*pid=//')"
landing() { [ "$(at a)" = landing ]; }
eventually "the other enclave was killed meanwhile" landing
works "undone, on proof that it never landed" owner abort "$work/b.move" "$work/a.move"
check "it lives where it was" live "$(at b)"
check "the other one never will" abandoned "$(at a)"
works "the VM goes on" qmp b cont
eventually "running" runs b
check "and did not notice" third. "$(kept b)"
check "its PCR neither" "$before" "$(pcr b 16)"

# --- a VM that is off, a backup, and a restoration of what is gone
stop vm.b; wait "${pid[vtpm.b]}"
start b
works "a backup" owner backup "$work/b.move" "$work/backup.pem" "$work/backup"
check "is a copy, and it lives" live "$(at b)"
check "that tells nothing" "" "$(grep -ac 'third\.' "$work/backup" | grep -v '^0$')"
works "moved while it is off" owner begin "$work/b.move" "$work/a.move"
works "by hand" owner carry "$work/b.move" "$work/a.move"
works "and forgotten" owner finish "$work/b.move" "$work/a.move"
check "it lives there" live "$(at a)"
refuses "where a TPM lives none is restored" "it would be lost" owner restore "$work/a.move" "$work/backup.pem" "$work/backup"
stop vtpm.a
start a startup-clear
eventually "it answers" tpm a tpm2_getrandom 8
check "and holds what it held" third. "$(kept a)"
head -c -1 "$work/backup" >"$work/cut"
refuses "a backup that was cut is none" "restore" owner restore "$work/b.move" "$work/backup.pem" "$work/cut"
works "on the owner's word it is restored" owner restore "$work/b.move" "$work/backup.pem" "$work/backup"
stop vtpm.b
start b startup-clear
eventually "it answers" tpm b tpm2_getrandom 8
check "and holds what was backed up" third. "$(kept b)"

# --- the next version of the program, and back
version() { ln -sfn "$work/image.$1" "$work/b/node/instances/vm/image"; }
stop vtpm.b
version 2
start b startup-clear
eventually "the next version answers" tpm b tpm2_getrandom 8
check "and holds what the former one kept" third. "$(kept b)"
works "it keeps something else" keep b fourth
stop vtpm.b
version 1
start b startup-clear
wait "${pid[vtpm.b]}"; check "the former version is refused" 8 $?
pid[vtpm.b]=
says "by name" "sealed at security version 2, this program has 1" "$work/vtpm.b.log"
version 2
start b startup-clear
eventually "the next one goes on" tpm b tpm2_getrandom 8
check "with what it kept" fourth "$(kept b)"
exit $failed
