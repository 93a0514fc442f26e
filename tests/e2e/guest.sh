#!/usr/bin/env bash
# A VM with a vTPM, under software emulation: Debian's OVMF and kernel measure themselves into it, over CRB and over TIS;
# the guest replays its event log, finds the EK certificate that the host had before it was started, is quoted, seals to
# its PCRs, and unseals after a reboot, a reset and a kill, but not with another kernel command line. No port is used. Second argument: root or user.
set -uo pipefail
. "$(dirname "$0")/user_rig.sh"
. "$(dirname "$0")/vtpm_rig.sh"
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/guest_rig.sh"
needs tpm2_eventlog xxd python3
machine_needs qemu-utils
extra() { machines_off; }
make_node
cd "$work" || exit 1

make_guest
control[own]=$work/own.ctrl

# --- before it is started the host has its EK certificate
start own
mkdir ek
"$bin/vtpm_check" keys own.keys "$home" "$bin/vtpm.image" ek >out 2>&1; check "the owner certifies its keys" 0 $?
"$bin/vtpm_check" provision own ek >out 2>&1; check "and puts the certificates into it" 0 $?
stop own
begin own --log file=own.log
eventually "the vTPM waits for its VM" test -S own.ctrl

# --- first boot: measured
machine_on own crb "$words"
ready "OVMF and Debian's kernel start, over CRB"
inside "the kernel has a TPM 2.0" 'test "$(cat /sys/class/tpm/tpm0/tpm_version_major)" = 2'
inside "and an event log" 'base64 /sys/kernel/security/tpm0/binary_bios_measurements'
base64 -d out >events 2>/dev/null
inside "its PCRs are read" 'tpm2 pcrread sha256:0,1,2,3,4,5,6,7,9'
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
inside "its EK certificate is read in the guest" 'tpm2 nvread 0x01c0000a 2>/dev/null | base64'
base64 -d out >got.der
check "and is the one that the host had" "$(sha256sum <ek/p256.der)" "$(sha256sum <got.der)"
openssl x509 -inform DER -in ek/ca.der -out ca.pem
openssl x509 -inform DER -in got.der -out got.pem
works "the owner's CA gave it" openssl verify -partial_chain -CAfile ca.pem got.pem
inside "the endorsement key is made in the guest" 'tpm2 createek -G ecc -c ek.ctx -u ek.pem -f pem && cat ek.pem'
check "and is the certificate's" "$(openssl x509 -in got.pem -noout -pubkey)" "$(cat out)"
inside "an attestation key of it" 'tpm2 createak -C ek.ctx -c ak.ctx -G ecc -s ecdsa -g sha256 -u ak.pem -f pem >/dev/null && cat ak.pem'
cp out ak.pem
inside "signs a quote" "tpm2 quote -Q -c ak.ctx -l $sealed_to -q c0ffee -m q.msg -s q.sig -o q.pcr -g sha256 && cat q.msg | base64 && echo --- && cat q.sig | base64 && echo --- && cat q.pcr | base64"
csplit -s -f q. -z out '/^---/' '{*}'
for part in msg:00 sig:01 pcr:02; do grep -v -e '^---' "q.${part#*:}" | base64 -d >"q.${part%:*}"; done
works "which holds on the host" tpm2_checkquote -u ak.pem -m q.msg -s q.sig -f q.pcr -q c0ffee -g sha256
quoted=$(for pcr in 0 2 4 7 9; do sed -n "s/^$pcr //p" pcrs; done | xxd -r -p | sha256sum | cut -c1-64)
check "over what the log says" yes "$([[ $(xxd -p q.msg | tr -d '\n') == *$quoted ]] && echo yes)"

# --- sealed to that
seals "the guest seals to its PCRs"
unseals "and unseals"
tell "reboot -f"
ready "it reboots"
unseals "and unseals"
works "a reset" qmp own system_reset
ready "it is reset"
unseals "and unseals"
machine_on own tis "$words"
ready "it is killed, and started again over TIS"
unseals "and unseals"
inside "a PCR is extended" "tpm2 pcrextend 9:sha256=$quoted"
closed "and it does not"
machine_on own crb "$words init=/init"
ready "it is started with another command line"
inside "measured as well" 'tpm2 pcrread sha256:0,2,4,7,9'
check "into PCR 9 and nothing else" "$(sed -n '/^[0247] /p' pcrs)" "$(sed -n 's/^ *\([0247]\) *: 0x\([0-9A-F]*\)$/\1 \2/p' out)"
closed "where it does not unseal"
machine_off own
[ -z "${BASTIDE_KEEP:-}" ] || cp events pcrs "$BASTIDE_KEEP"
exit $failed
