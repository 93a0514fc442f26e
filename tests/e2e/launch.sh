#!/usr/bin/env bash
# VMs whose launch is measured: QEMU started from memory that the monitor hashed, the guest saying what it was started
# with, PCR 17 replayed, a changed byte refused, no INIT where nothing was measured; and the node's own vTPM, whose quote
# over PCR 18 has every launch. No port is used. Second argument: root or user.
set -uo pipefail
. "$(dirname "$0")/user_rig.sh"
build=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d)
home=$work/home bin=$work/bin
. "$(dirname "$0")/checks.sh"
holder= tpm= vtpm= node=
finish() {
  kill $vtpm $node 2>/dev/null
  kill "$holder" 2>/dev/null; wait "$holder" 2>/dev/null
  kill "$tpm" 2>/dev/null; wait 2>/dev/null
  [ $failed = 0 ] || for log in "$work"/*.log; do echo "--- $log"; tail -30 "$log"; done
  rm -rf "$work"
}
trap finish EXIT
needs swtpm openssl python3 qemu-system-x86_64 tpm2_pcrread tpm2_quote
[ "$(uname -m)" = x86_64 ] || { echo "skipped: the guest is one for x86-64"; exit 77; }
[ -r /usr/share/seabios/bios-256k.bin ] || { echo "skipped: seabios is missing (it comes with qemu-system-x86)"; exit 77; }

# --- a node with three instances: two VMs', and its own
mkdir -p "$home"/node/instances/{one,two,node} "$home/run" "$home/tpm" "$bin"
cp -r "$build"/bastide-{keyholder,monitor,launcher,vtpm} "$build"/tests/{make_image,vtpm_check} "$build/vtpm.image" "$bin"
cd "$work" || exit 1
openssl ecparam -name prime256v1 -genkey -noout -out owner.pem 2>/dev/null
openssl req -x509 -key owner.pem -subj /CN=owner -outform DER -out owner.der 2>/dev/null
openssl ec -in owner.pem -outform DER -no_public 2>/dev/null | python3 -c 'import sys; d = sys.stdin.buffer.read(); sys.stdout.buffer.write(d[7:39])' >owner.key
"$bin/make_image" configuration "$home/node/configuration" owner.der insecure-dev || exit 1
for name in one two node; do
  "$bin/make_image" configuration "$home/node/instances/$name/configuration" owner.der insecure-dev "$name" || exit 1
  ln -s "$bin/vtpm.image" "$home/node/instances/$name/image"
  mkdir -p "as/$name" && ln -s "$home/node/instances/$name" "as/$name/node" # as vtpm_check looks for it
done
policy() { # name serial launch parts...
  local name=$1 serial=$2; shift 2
  "$bin/make_image" policy "$home/node/instances/$name/workload" owner.key "$name" "$serial" "$@" || failed=1
}
swtpm socket --tpm2 --server type=unixio,path="$work/tpm.sock" --ctrl type=unixio,path="$work/tpm.ctrl" \
  --tpmstate dir="$home/tpm" --flags startup-clear >tpm.log 2>&1 & tpm=$!
eventually "the node's software TPM is there" test -S tpm.sock
"$bin/bastide-keyholder" --home "$home" --image "$bin/vtpm.image" --tcti "swtpm:path=$work/tpm.sock" --insecure-dev \
  2>node.log & holder=$!
eventually "the node serves" grep -q "monitor serving" node.log

# --- what is launched
as_32() { gcc -m32 -c "$here/launch_guest.S" -o guest.o && ld -m elf_i386 -z noexecstack -Ttext 0x100000 -N -o kernel guest.o; }
works "the guest is made" as_32
echo "this was in the initrd" >initrd
printf 'quiet who=world,all' >cmdline
cp /usr/share/seabios/bios-256k.bin firmware
vm() { # name parts kernel... : started, and then the guest says what it was started with
  local name=$1 kernel=$2; shift 2
  : >serial
  "$bin/bastide-vtpm" socket --tpm2 --tpmstate "dir=$home,instance=$name" --ctrl "type=unixio,path=$work/v.ctrl" \
    --keys "type=unixio,path=$work/v.keys" --server "type=unixio,path=$work/v" "$@" \
    --launch "firmware=firmware,kernel=$kernel,initrd=initrd" --launch-cmdline "$(cat cmdline)" -- \
    nice -n 19 qemu-system-x86_64 -accel tcg -m 64 -display none -nodefaults -serial "file:$work/serial" \
    -bios '{firmware}' -kernel '{kernel}' -initrd '{initrd}' -append '{cmdline}' \
    -chardev "socket,id=c,path=$work/v.ctrl" -tpmdev emulator,id=t,chardev=c -device tpm-tis,tpmdev=t \
    -monitor "unix:$work/qemu.sock,server,nowait" 2>vtpm.log & vtpm=$!
}
digest() { # kernel : of the launch record
  python3 - "$1" <<'PY'
import hashlib, sys
parts = [open(n, 'rb').read() for n in ('firmware', sys.argv[1], 'initrd', 'cmdline')]
print(hashlib.sha256(b''.join(b'\1' + hashlib.sha256(p).digest() for p in parts) + bytes(33)).hexdigest())
PY
}
replay() { python3 -c 'import hashlib, sys; print(hashlib.sha256(bytes(32) + bytes.fromhex(sys.argv[1])).hexdigest().upper())' "$1"; }
has() { [ "$(pcr "$1")" = "$2" ]; } # pcr value
pcr() { tpm2_pcrread -T "swtpm:path=$work/v" "sha256:$1" | sed -n 's/.*0x//p'; }
monitor() { python3 -c 'import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); time.sleep(.3); s.send(sys.argv[2].encode() + b"\n"); time.sleep(.3)' "$work/qemu.sock" "$1"; }
started() { grep -q "this was in the initrd" serial; }
keys() { "$bin/vtpm_check" keys v.keys "$work/as/$1" "$bin/vtpm.image" "$work" | grep ^launch; } # name

policy one 1 hash-and-enforce firmware=firmware kernel=kernel initrd=initrd cmdline=cmdline
vm one kernel
eventually "a VM is launched that is as its owner wants it" started
says "and reads the command line that was measured" "quiet who=world,all" serial
says "and the kernel from memory" "^/proc/self/fd/" serial
check "PCR 17 has what it was launched from" "$(replay "$(digest kernel)")" "$(pcr 17)"
check "its keys come with the launch" "launch: $(digest kernel)" "$(keys one)"
: >serial
monitor system_reset
eventually "after a system_reset it starts again" started
check "PCR 17 has the same" "$(replay "$(digest kernel)")" "$(pcr 17)"
monitor quit; wait "$vtpm"; check "QEMU ends, and the vTPM with it" 0 $?

cp kernel changed; printf x | dd of=changed bs=1 seek=12 conv=notrunc 2>/dev/null
vm one changed; wait "$vtpm"; check "a changed byte in the kernel is refused" 15 $?
says "by name" "has no such kernel" vtpm.log
check "and nothing was started" "" "$(cat serial)"
: >vtpm.log
"$bin/bastide-vtpm" socket --tpm2 --tpmstate "dir=$home,instance=one" --ctrl "type=unixio,path=$work/v.ctrl" \
  --server "type=unixio,path=$work/v" --flags startup-clear 2>vtpm.log; check "without a measure there is no INIT" 9 $?
says "and why is said" "wants the launch measured, and none was" vtpm.log

policy one 2 hash kernel=kernel
vm one changed
eventually "another policy measures and lets it be" has 17 "$(replay "$(digest changed)")"
says "and the monitor says what differs" 'differ="firmware, kernel, initrd, cmdline"' node.log
kill "$vtpm"; wait "$vtpm"; check "stopped, QEMU goes with it" 0 $?
says "by itself" "vm_ended wait_status=0x0\|vm_ended wait_status=0$" vtpm.log
policy one 1 hash-and-enforce kernel=kernel
vm one kernel; wait "$vtpm"; check "the policy before is refused" 15 $?
rm "$home/node/instances/one/workload"
"$bin/bastide-vtpm" socket --tpm2 --tpmstate "dir=$home,instance=one" --ctrl "type=unixio,path=$work/v.ctrl" \
  --server "type=unixio,path=$work/v" --flags startup-clear 2>vtpm.log; check "and none at all, too" 7 $?
says "by its serial" "one with serial 2 was seen" vtpm.log
"$bin/bastide-vtpm" socket --tpm2 --tpmstate "dir=$home,instance=two" --ctrl "type=unixio,path=$work/v.ctrl" \
  --keys "type=unixio,path=$work/v.keys" --server "type=unixio,path=$work/v" --flags startup-clear 2>vtpm.log & vtpm=$!
eventually "who never had a policy needs no measure" tpm2_getrandom -T "swtpm:path=$work/v" 8
check "which its evidence says" "launch: host-asserted" "$(keys two)"
kill "$vtpm"; wait "$vtpm" 2>/dev/null

# --- the node's own
policy node 1 node
"$bin/bastide-vtpm" socket --tpm2 --tpmstate "dir=$home,instance=node" --ctrl "type=unixio,path=$work/n.ctrl" \
  --server "type=unixio,path=$work/n" --flags startup-clear 2>nodevtpm.log & node=$!
export TPM2TOOLS_TCTI="swtpm:path=$work/n"
eventually "the node's own vTPM answers" tpm2_getrandom 8
cat >log.py <<'PY'
import hashlib, socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(sys.argv[1])
pcr, at = bytes(32), 0
while True:
    s.send(struct.pack('<HHHHII', 2, 7, 0, 0, 8, 0) + struct.pack('<Q', at))
    got = s.recv(70000)[16:]
    total, count = struct.unpack('<QI', got[:12])
    for i in range(count):
        vm = got[16 + 184 * i:][:184]
        given = struct.unpack('<I', vm[16:20])[0]
        event = vm[:16] + b''.join(bytes([given >> p & 1]) + vm[24 + 32 * p:][:32] for p in range(5))
        pcr = hashlib.sha256(pcr + hashlib.sha256(event).digest()).digest()
        print(vm[:16].rstrip(b'\0').decode(), file=sys.stderr)
    at += count
    if at >= total: break
print(pcr.hex().upper())
PY
replayed() { python3 log.py "$home/run/monitor.sock" 2>launched; }
first=$(replayed)
check "the log has the launches that were not refused" "one one" "$(xargs <launched)"
check "and PCR 18 has them" "$first" "$(tpm2_pcrread sha256:18 | sed -n 's/.*0x//p')"
vm two kernel
eventually "a VM more" started
check "it is in the log" "one one two" "$(replayed >/dev/null; xargs <launched)"
works "a quoting key" tpm2_createek -G ecc -c ek.ctx
works "of its own" tpm2_createak -C ek.ctx -G ecc -g sha256 -s ecdsa -c ak.ctx -u ak.pem -f pem
tpm2_flushcontext -t
works "quotes PCR 18" tpm2_quote -c ak.ctx -l sha256:18 -q 0011223344556677 -m quote -s signature -o values -g sha256
tpm2_flushcontext -t
works "which holds" tpm2_checkquote -u ak.pem -m quote -s signature -f values -g sha256 -q 0011223344556677
check "and says what the log replays to" "$(python3 -c 'import hashlib, sys; print(hashlib.sha256(bytes.fromhex(sys.argv[1])).hexdigest())' "$(replayed)")" \
  "$(tpm2_print -t TPMS_ATTEST quote | sed -n 's/.*pcrDigest: //p')"
fails "its host end does not extend it" tpm2_pcrextend "18:sha256=$(printf %064d 1)"
monitor quit; wait "$vtpm"; check "the VM ends" 0 $?

# --- secret storage for the agent
echo "the agent's secret" >secret
works "a primary key" tpm2_createprimary -C o -G ecc -c primary.ctx
tpm2_flushcontext -t
works "seals" tpm2_create -C primary.ctx -i secret -u sealed.pub -r sealed.priv
tpm2_flushcontext -t
kill "$node"; wait "$node" 2>/dev/null
"$bin/bastide-vtpm" socket --tpm2 --tpmstate "dir=$home,instance=node" --ctrl "type=unixio,path=$work/n.ctrl" \
  --server "type=unixio,path=$work/n" --flags startup-clear 2>>nodevtpm.log & node=$!
eventually "started again it answers" tpm2_getrandom 8
check "and has the whole log again" "$(replayed)" "$(tpm2_pcrread sha256:18 | sed -n 's/.*0x//p')"
works "the primary key again" tpm2_createprimary -C o -G ecc -c primary.ctx
tpm2_flushcontext -t
works "what was sealed is loaded" tpm2_load -C primary.ctx -u sealed.pub -r sealed.priv -c sealed.ctx
check "and unsealed" "the agent's secret" "$(tpm2_unseal -c sealed.ctx)"
tpm2_flushcontext -t

# --- what it is and where, in its owner's word
for serial in 1 2; do
  works "tag $serial is written" "$bin/vtpm_check" tag "$work/n" $serial "$work"
  works "anybody reads it" tpm2_nvread $((0x1410000 + serial - 1)) -o read
  check "and it is the owner's" "$(sha256sum <"tag$serial")" "$(sha256sum <read)"
  fails "the platform does not delete it" tpm2_nvundefine -C p $((0x1410000 + serial - 1))
  fails "nor its owner" tpm2_nvundefine -C o $((0x1410000 + serial - 1))
done
exit $failed
