#!/usr/bin/env bash
# A VM with a vTPM, under software emulation: Debian's OVMF and kernel measure themselves into it, over CRB and over TIS;
# the guest replays its event log, finds the EK certificate that the host had before it was started, is quoted, seals to
# its PCRs, and unseals after a reboot, a reset and a kill, but not with another kernel command line.
set -uo pipefail
. "$(dirname "$0")/vtpm_rig.sh"
. "$(dirname "$0")/machine.sh"
needs tpm2_eventlog xxd python3
machine_needs
begun=$(date +%s)
qemu=
extra() { machine_off; }
prepare() { # its owner lets it be saved and come back
  openssl ec -in "$work/owner.pem" -outform DER 2>/dev/null | dd bs=1 skip=7 count=32 of="$work/owner.key" 2>/dev/null
  "$bin/make_image" machine "$home/node/workload" "$work/owner.key" "$home/node/configuration" || exit 1
}
make_node
cd "$work" || exit 1

# --- the guest: busybox, tpm2-tools and their libraries; it does what it is told on its console
guest=$work/guest
mkdir -p "$guest"/{bin,proc,sys,dev,tmp,lib64,usr/lib}
ln -s usr/lib "$guest/lib"
cp /bin/busybox /usr/bin/tpm2 "$guest/bin"
ldd /usr/bin/tpm2 | awk '$3 ~ "^/" {print $3} $1 ~ "^/.*ld-" {print $1}' | cat - <(ls /usr/lib/x86_64-linux-gnu/libtss2-tcti-device.so.0) |
  while read -r library; do mkdir -p "$guest$(dirname "$library")"; cp -L "$library" "$guest$library"; done
cat >"$guest/init" <<'INIT'
#!/bin/busybox sh
export PATH=/bin TPM2TOOLS_TCTI=device:/dev/tpmrm0
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t securityfs none /sys/kernel/security
stty -F /dev/ttyS0 -echo -onlcr
echo "guest: ready"
while read -r line; do eval "$line" </dev/null; echo "guest: exit $?"; done
INIT
chmod 755 "$guest/init"
(cd "$guest" && find . | cpio --quiet -o -H newc -R 0:0) | zstd -q -3 >initrd
kernel=$(echo "$cache"/kernel/boot/vmlinuz-*)
words='console=ttyS0 quiet loglevel=4'

# --- the machine
cp /usr/share/OVMF/OVMF_VARS_4M.fd variables
mkfifo serial.in serial.out monitor.in monitor.out
exec {say}<>serial.in {hear}<>serial.out {order}<>monitor.in {told}<>monitor.out # open whether or not there is a machine
machine_off() { # as when the cable is pulled
  [ -z "$qemu" ] || { kill -9 "$qemu"; wait "$qemu"; } 2>/dev/null
  qemu=
}
machine_on() { # interface kernel-words more-options...
  machine_off
  nice -n 19 qemu-system-x86_64 -M q35,smm=off -cpu max -accel tcg -m 256 -display none -nodefaults -serial pipe:serial \
    -chardev pipe,id=mon,path=monitor -mon mon \
    -drive if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd -drive if=pflash,unit=1,format=raw,file=variables \
    -chardev socket,id=c,path=own.ctrl -tpmdev emulator,id=t,chardev=c -device "tpm-$1,tpmdev=t" \
    -kernel "$kernel" -initrd initrd -append "$2" "${@:3}" >>qemu.log 2>&1 & qemu=$!
}
ready() { # what: it is up
  local line
  while IFS= read -r -t 400 -u "$hear" line; do
    case $line in *"guest: ready"*) echo "ok: $1 ($(($(date +%s) - begun)) s)"; return ;; esac
    kill -0 "$qemu" 2>/dev/null || break
  done
  echo "FAILED: $1: the guest does not come up"; failed=1
  exit 1
}
ask() { # command: its output, and exit code
  local line
  echo "$1" >&"$say"
  while IFS= read -r -t 200 -u "$hear" line; do
    line=${line%$'\r'}
    case $line in "guest: exit "*) return "${line##* }" ;; esac
    echo "$line"
  done
  echo "the guest says nothing"
  return 255
}
run() { # what command: in the guest
  ask "$2" >out; local code=$?
  check "$1" 0 $code
  [ $code = 0 ] || cat out
}
sealed_to=sha256:0,2,4,7,9
unseals() { # what
  check "$1" "kept by the guest" "$(ask "tpm2 unseal -c 0x81000020 -p pcr:$sealed_to" 2>/dev/null | tail -1)"
}
closed() { # what: the policy is not met
  ask "tpm2 unseal -c 0x81000020 -p pcr:$sealed_to" >out
  check "$1" "1 refused" "$? $(grep -q '(0x99D)' out && echo refused)"
}

# --- before it is started the host has its EK certificate
start own
mkdir ek
"$bin/vtpm_check" keys own.keys "$home" "$bin/vtpm.image" ek >out 2>&1; check "the owner certifies its keys" 0 $?
"$bin/vtpm_check" provision own ek >out 2>&1; check "and puts the certificates into it" 0 $?
stop own
begin own --log file=own.log
eventually "the vTPM waits for its VM" test -S own.ctrl

# --- first boot: measured
machine_on crb "$words"
ready "OVMF and Debian's kernel start, over CRB"
run "the kernel has a TPM 2.0" 'test "$(cat /sys/class/tpm/tpm0/tpm_version_major)" = 2'
run "and an event log" 'base64 /sys/kernel/security/tpm0/binary_bios_measurements'
base64 -d out >events 2>/dev/null
run "its PCRs are read" 'tpm2 pcrread sha256:0,1,2,3,4,5,6,7,9'
sed -n 's/^ *\([0-9]*\) *: 0x\([0-9A-F]*\)$/\1 \2/p' out >pcrs
tpm2_eventlog events >event.yaml 2>/dev/null; check "its event log is one" 0 $?
replayed() { # bank: index and value, as tpm2_eventlog has them
  sed -n "/^pcrs:/,\$ { /^  $1:/,/^  [a-z]/ s/^ *\([0-9]*\) *: 0x\([0-9a-f]*\)\$/\1 \2/p }" event.yaml | tr a-f A-F
}
check "replayed it gives what is in the PCRs" "$(cat pcrs)" "$(replayed sha256)"
check "and so has the verifier's own code it" "$(cat pcrs)" "$("$build/tests/log_check" events)"
check "nine of them" 9 "$(wc -l <pcrs)"
check "none is empty" 0 "$(grep -c ' 0*$' pcrs)"
utf16() { printf '%s' "$1" | sed 's/./&\x00/g'; printf '\0\0'; } # as firmware has it: with what it added, and its end
log=$(xxd -p events | tr -d '\n')
for part in "initrd $(sha256sum initrd)" "command line $(utf16 "$words initrd=initrd" | sha256sum)"; do
  hash=$(grep -o '[0-9a-f]\{64\}' <<<"$part")
  check "the ${part%% "$hash"*} is in it" yes "$([[ $log == *$hash* ]] && echo yes)"
done

# --- who it is
run "its EK certificate is read in the guest" 'tpm2 nvread 0x01c0000a 2>/dev/null | base64'
base64 -d out >got.der
check "and is the one that the host had" "$(sha256sum <ek/p256.der)" "$(sha256sum <got.der)"
openssl x509 -inform DER -in ek/ca.der -out ca.pem
openssl x509 -inform DER -in got.der -out got.pem
does "the owner's CA gave it" openssl verify -partial_chain -CAfile ca.pem got.pem
run "the endorsement key is made in the guest" 'tpm2 createek -G ecc -c ek.ctx -u ek.pem -f pem && cat ek.pem'
check "and is the certificate's" "$(openssl x509 -in got.pem -noout -pubkey)" "$(cat out)"
run "an attestation key of it" 'tpm2 createak -C ek.ctx -c ak.ctx -G ecc -s ecdsa -g sha256 -u ak.pem -f pem >/dev/null && cat ak.pem'
cp out ak.pem
run "signs a quote" "tpm2 quote -Q -c ak.ctx -l $sealed_to -q c0ffee -m q.msg -s q.sig -o q.pcr -g sha256 && cat q.msg | base64 && echo --- && cat q.sig | base64 && echo --- && cat q.pcr | base64"
csplit -s -f q. -z out '/^---/' '{*}'
for part in msg:00 sig:01 pcr:02; do grep -v -e '^---' "q.${part#*:}" | base64 -d >"q.${part%:*}"; done
does "which holds on the host" tpm2_checkquote -u ak.pem -m q.msg -s q.sig -f q.pcr -q c0ffee -g sha256
quoted=$(for pcr in 0 2 4 7 9; do sed -n "s/^$pcr //p" pcrs; done | xxd -r -p | sha256sum | cut -c1-64)
check "over what the log says" yes "$([[ $(xxd -p q.msg | tr -d '\n') == *$quoted ]] && echo yes)"

# --- sealed to that
run "the guest seals to its PCRs" "tpm2 createpolicy -Q --policy-pcr -l $sealed_to -L policy && tpm2 createprimary -Q -C o -G ecc -c prim.ctx && echo kept by the guest | tpm2 create -Q -C prim.ctx -L policy -i- -u s.pub -r s.priv && tpm2 load -Q -C prim.ctx -u s.pub -r s.priv -c s.ctx && tpm2 evictcontrol -Q -C o -c s.ctx 0x81000020"
unseals "and unseals"
echo "reboot -f" >&"$say"
ready "it reboots"
unseals "and unseals"
echo system_reset >&"$order"
ready "it is reset"
unseals "and unseals"
run "it keeps something in memory" "tpm2 createprimary -Q -C o -G ecc -c kept.ctx && tpm2 pcrextend 16:sha256=$quoted && tpm2 readclock | grep reset_count"
resets=$(cat out)
echo 'migrate "exec:cat >vm.saving && mv vm.saving vm.saved"' >&"$order"
for _ in $(seq 1200); do [ -s vm.saved ] && break; sleep 0.1; done
check "it is saved, as it runs" yes "$([ -s vm.saved ] && echo yes)"
machine_off
machine_on crb "$words" -incoming "exec:cat vm.saved"
ask : >out # what it is told first may miss its beginning
run "and comes back: a context of before is good" "tpm2 create -Q -C kept.ctx -G ecc -u k.pub -r k.priv"
check "its TPM was not reset" "$resets" "$(ask 'tpm2 readclock | grep reset_count')"
check "a PCR is what it was" "$(cat <(head -c 32 /dev/zero) <(xxd -r -p <<<"$quoted") | sha256sum | cut -c1-64 | tr a-f A-F)" \
  "$(ask 'tpm2 pcrread sha256:16' | sed -n 's/.*0x\([0-9A-F]*\)$/\1/p')"
unseals "and it unseals"
machine_off
machine_on tis "$words"
ready "it is killed, and started again over TIS"
unseals "and unseals"
run "a PCR is extended" "tpm2 pcrextend 9:sha256=$quoted"
closed "and it does not"
machine_off
machine_on crb "$words init=/init"
ready "it is started with another command line"
run "measured as well" 'tpm2 pcrread sha256:0,2,4,7,9'
check "into PCR 9 and nothing else" "$(sed -n '/^[0247] /p' pcrs)" "$(sed -n 's/^ *\([0247]\) *: 0x\([0-9A-F]*\)$/\1 \2/p' out)"
closed "where it does not unseal"
machine_off
[ -z "${BASTIDE_KEEP:-}" ] || cp events pcrs "$BASTIDE_KEEP"
echo "done ($(($(date +%s) - begun)) s)"
exit $failed
