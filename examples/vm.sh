#!/usr/bin/env bash
# A virtual machine whose TPM is an enclave's: a node on a software TPM (development mode: it protects nothing from this
# machine's administrator), the VM's TPM made an instance of it in swtpm_setup's words and served in swtpm's, and QEMU,
# whose firmware measures itself into it, twice alike. Takes about a minute; ACCEL=kvm has QEMU use that.
#
#   examples/vm.sh [BUILD [DISK]]    build/dev if left out; with a DISK (raw or qcow2) its system is started at the end, on
#                                    this terminal, and finds a TPM 2.0 at /dev/tpm0
set -uo pipefail
build=$(realpath "${1:-$(dirname "$0")/../build/dev}")
disk=${2:-}
work=$(mktemp -d)
home=$work/home
vtpm= qemu=

say() { printf '\n== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }
fail() { echo "FAILED: $*" >&2; tail -n 5 "$work"/*.log >&2; exit 1; }
finish() {
  for each in $qemu $vtpm; do kill "$each" 2>/dev/null; wait "$each" 2>/dev/null; done
  "$build/bastide" --home "$home" down >/dev/null 2>&1
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM
until_done() { # what command...
  local what=$1; shift
  for _ in $(seq 1200); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
  fail "$what"
}
for tool in swtpm qemu-system-x86_64 tpm2_pcrread tpm2_nvread; do
  command -v $tool >/dev/null || { echo "FAILED: $tool is missing (make deps installs it)"; exit 1; }
done
firmware=/usr/share/OVMF/OVMF_CODE_4M.fd
[ -r $firmware ] || { echo "FAILED: $firmware is missing (Debian's package ovmf)"; exit 1; }
export TPM2TOOLS_TCTI="swtpm:path=$work/vtpm.sock"

say 'A node of its own: its owner, a software TPM, a hub beside the vTPM'
"$build/bastide" --home "$home" init --insecure-dev --coap 127.0.0.1:25795 --http 127.0.0.1:28795 >"$work/init.log" 2>&1 || fail 'no node'

say 'A TPM for the VM, by its UUID: an instance of the node'
printf 'node = %s\nendorsement = none\n' "$home" >"$work/vtpm.conf"
"$build/bastide-vtpm-setup" --tpm2 --config "$work/vtpm.conf" --tpm-state "$work/vm" --createek --create-ek-cert \
  --vmid "example:$(cat /proc/sys/kernel/random/uuid)" || fail 'no instance'

start() { # flags
  "$build/bastide-vtpm" socket --tpm2 --tpmstate dir="$work/vm" --ctrl type=unixio,path="$work/vtpm.sock.ctrl" \
    --server type=unixio,path="$work/vtpm.sock" --log file="$work/vtpm.log" ${1:+--flags "$1"} & vtpm=$!
  until_done 'the vTPM does not come up' test -S "$work/vtpm.sock"
}
machine() { # more options...
  cp /usr/share/OVMF/OVMF_VARS_4M.fd "$work/variables.fd"
  exec qemu-system-x86_64 -M q35 -accel "${ACCEL:-tcg}" -m 512 -display none -nodefaults \
    -drive if=pflash,unit=0,format=raw,readonly=on,file=$firmware -drive if=pflash,unit=1,format=raw,file="$work/variables.fd" \
    -chardev socket,id=c,path="$work/vtpm.sock.ctrl" -tpmdev emulator,id=t,chardev=c -device tpm-crb,tpmdev=t "$@"
}
pcrs() { tpm2_pcrread sha256:0,2,6,7 2>/dev/null | grep 0x; }
booted() { tpm2_pcrread sha256:6 2>/dev/null | grep -qi '0x[0-9a-f]*[1-9a-f]'; } # the last that firmware extends

boot() { # what is in its PCRs; 4 grows on, with each disk or network that is tried in vain
  start
  nice -n 19 bash -c "$(declare -p work firmware); $(declare -f machine); machine -serial none" >"$work/qemu.log" 2>&1 & qemu=$!
  until_done 'the firmware does not measure itself' booted
  pcrs
  kill "$qemu"; wait "$qemu" 2>/dev/null; qemu=
  wait "$vtpm" || fail 'the vTPM did not end as QEMU asked it'
  vtpm=
}

say 'What the tenant keeps in it before the VM is ever started'
start startup-clear
until_done 'it does not answer' tpm2_getrandom 8
tpm2_nvdefine -C o -s 6 -a 'ownerread|ownerwrite' 0x1500016 >/dev/null && tpm2_nvwrite -C o -i- 0x1500016 <<<'kept.' || fail 'no index'
kill "$vtpm"; wait "$vtpm"; vtpm=

say 'The VM starts; its firmware measures itself into the vTPM'
boot >"$work/first"; cat "$work/first"
say 'And once more'
boot >"$work/second"; cat "$work/second"
[ -s "$work/first" ] && cmp -s "$work/first" "$work/second" || fail 'the two boots were not measured alike'
note '-> measured alike'
if [ -n "$disk" ]; then
  say "The system on $disk"
  start
  (machine -serial mon:stdio -drive if=virtio,file="$disk",snapshot=on)
  wait "$vtpm"; vtpm=
fi
start startup-clear
until_done 'it does not answer' tpm2_getrandom 8
[ "$(tpm2_nvread -C o -s 5 0x1500016)" = kept. ] || fail 'what was kept is lost'
note '-> what was kept in it is still there'
