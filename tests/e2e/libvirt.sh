#!/usr/bin/env bash
# libvirt's own daemon with our programs by swtpm's names in its PATH, and nothing else told to it: VMs are defined,
# started, reset, destroyed, forgotten, had again and arrive; their firmware and a boot sector use the TPM, as a CRB and
# as a TIS device. Second argument: root (the system's libvirtd) or user (that user's session).
. "$(dirname "$0")/libvirt_rig.sh"
home=$work/home
port=25797
[ "$as" = root ] || port=25798
libvirtd= vtpm=
finish() {
  for each in one two; do virsh destroy $each; done >/dev/null 2>&1
  kill "$vtpm" "$libvirtd" 2>/dev/null
  bastide down >/dev/null 2>&1
  wait 2>/dev/null
  [ $failed = 0 ] || tail -n 25 "$home"/run/*.log "$at/libvirtd.log" "$logs"/*.log
  rm -rf "$work"
}
trap finish EXIT

# --- a node, and libvirt's own places
bastide() { "$bin/bastide" --home "$home" "$@" </dev/null; }
does "a node is made" 0 init --insecure-dev --coap "127.0.0.1:$port" --http "127.0.0.1:$((port + 3000))"
furnish "$work/machine" "$home"
enter "$at" || { echo "skipped: nothing can be mounted here"; exit 77; }
mine=() # to be who serves a VM's TPM
if [ "$as" = root ]; then
  lend "$home"
  does "the node ends" 0 down
  does "and is there again, and hears a group" 0 up
  mine=(setpriv --reuid=tss --regid=tss --clear-groups)
  server=tss
else
  mkdir -p "$home/node/instances"
  server=$(id -un)
fi
export LIBVIRT_DEFAULT_URI=$uri
start_libvirtd() { nice -n 19 libvirtd >>libvirtd.out 2>&1 & libvirtd=$!; eventually "$1" virsh list; }
start_libvirtd "libvirtd is there"

one=1b4e28ba-2fa1-11d2-883f-0016d3cca427

# --- no TPM is made without the endorsement key that libvirt asks for, unless the operator said so
define one $one tpm-crb
fails "a TPM without an endorsement key is not made unasked" virsh start one
says "libvirt says where to look" "one-swtpm.log" out
says "there it is said what to do" "bastide vtpm create NAME --id UUID" "$logs/one-swtpm.log"
check "nothing is left" "" "$(ls -A "$home/node/instances"; ls -A "$state/$one" 2>/dev/null)"
echo "endorsement = none" >>"$config"

# --- start
works "with the operator's word it starts" virsh start one
eventually "its TPM is started by the firmware" more one 0
eventually "which measured itself into it" measured one
first=$(resets one)
check "its TPM is an instance of the node" "$one" "$(ls "$home/node/instances")"
check "served by who is to" "$server" "$(stat -c %U "/proc/$(served $one)")"
check "whose it is, too" "$server" "$(stat -c %U "$home/node/instances/$one/configuration")"
cat "$home"/run/*.log >node.log
says "the node has an enclave for it" "enclave_ready.*instance=$one\|instance=$one.*enclave_ready" node.log
works "it is reset" virsh reset one
eventually "and its TPM is started once more" more one "$first"
serves=$(served $one)
kill "$libvirtd"; wait "$libvirtd"
start_libvirtd "libvirtd was stopped, and is there again"
check "the VM goes on" running "$(virsh domstate one | head -1)"
check "with the TPM that it had" "$serves" "$(served $one)"
works "which answers" answers one
first=$(resets one)
works "it is destroyed" virsh destroy one
ended $one

# --- what is in it stays
export TPM2TOOLS_TCTI="swtpm:path=$work/look/v"
install -d -m 777 look
look() { # at the TPM as libvirt's swtpm would, with no VM there
  "${mine[@]}" "$bin/bastide-vtpm" socket --tpm2 --tpmstate "dir=$state/$1/tpm2" --ctrl type=unixio,path="$work/look/v.ctrl" \
    --server type=unixio,path="$work/look/v" --flags startup-clear 2>>look.log & vtpm=$!
  eventually "it is looked at" "${mine[@]}" tpm2_getrandom 8
}
unlook() { kill "$vtpm"; wait "$vtpm"; vtpm=; } 2>/dev/null
held() { "${mine[@]}" tpm2_nvread -C o -s 5 0x1500016 2>/dev/null; }
look $one
works "an index is defined" "${mine[@]}" tpm2_nvdefine -C o -s 6 -a "ownerread|ownerwrite" 0x1500016
works "and written" "${mine[@]}" tpm2_nvwrite -C o -i- 0x1500016 <<<"kept."
unlook
works "it starts again" virsh start one
eventually "its TPM was started twice since, once of them by us" more one $((first + 1))

# --- two at once: one that its owner made beforehand, found by its id and taken; a TIS device
sed -i /endorsement/d "$config"
two=74686520-7365-636f-6e64-206775657374
does "an owner makes one for a VM, with its certificates" 0 vtpm create mine --id $two
does "and lets its state be taken back" 0 vtpm policy mine --snapshots
[ "$as" = user ] || chown -R tss: "$home/node/instances/mine"
define two $two tpm-tis
works "two starts, too" virsh start two
eventually "its TPM is started by the firmware" more two 0
eventually "which measured itself into it" measured two
says "it is the one that its owner made" "^mine$" "$state/$two/tpm2/bastide-vtpm"
works "one answers" answers one
works "and two" answers two

# --- an owner asks in the instance's directory, whatever started it
mkdir -p asked/node ek
cp "$home/node/instances/mine/configuration" asked/node/
works "two's owner has its keys, with evidence over them, while its VM runs" "$bin/vtpm_check" keys "$home/node/instances/mine/keys" asked "$bin/vtpm.image" ek
check "and finds where to have its state leave" "$server srw-------" "$(stat -c '%U %A' "$home/node/instances/mine/transfer")"

# --- two's owner lets its state be taken back to what it was: it is saved and comes back, once as if from elsewhere
first=$(resets two)
works "two is put to sleep, with its TPM" virsh managedsave two
ended $two
works "and comes back" virsh start two
works "its TPM answers" answers two
check "as one that was never off" "$first" "$(resets two)"
works "two is saved" virsh save two "$work/saved"
ended $two
rm -r "${state:?}/$two"
works "and arrives where libvirt has nothing of it" virsh restore "$work/saved"
says "its TPM is found by its id" "^mine$" "$state/$two/tpm2/bastide-vtpm"
works "and answers" answers two
check "as one that was never off" "$first" "$(resets two)"
works "two is destroyed" virsh destroy two
ended $two
works "one answers as before" answers one
look $two
for index in 0x1c00002 0x1c0000a 0x1c00016; do
  "${mine[@]}" tpm2_nvread "$index" >certificate.der 2>/dev/null
  check "two has the certificate of its owner's in $index" yes "$(openssl x509 -inform DER -in certificate.der -noout -text 2>&1 | grep -q "/vtpm/${two//-/}" && echo yes || echo no)"
done
nonce=$(openssl rand -hex 20)
quote() { # by a key of its own, from look/
  tpm2_createek -G rsa -c ek && tpm2_flushcontext -t && tpm2_createak -C ek -G ecc -s ecdsa -g sha256 -c ak && tpm2_flushcontext -t &&
    tpm2_evictcontrol -C o -c ak 0x81010002 && tpm2_quote -c 0x81010002 -l sha256:0 -q "$1" -g sha256 -m attest -s signature
}
export -f quote
works "two quotes" "${mine[@]}" bash -c "cd look && quote $nonce"
does "and its owner walks from that to the node, by what serves it" 0 vtpm verify mine --ak 0x81010002 --quote look/attest \
  --signature look/signature --nonce "$nonce"
unlook

# --- who serves VMs has nothing of the node
if [ "$as" = root ]; then
  cat >ask.py <<'PY'
import socket, struct, sys
def ask(operation, payload=b''):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(sys.argv[1]); s.settimeout(20)
    s.send(struct.pack('<HHHHII', 2, operation, 0, 0, len(payload), 0) + payload)
    return str(struct.unpack('<HHHHII', s.recv(70000)[:16])[2])
print('stop', ask(34), 'activate', ask(37, b'x'), 'attach', ask(32), 'status', ask(33), 'named', ask(33, b'nobody'.ljust(48, b'\0')))
PY
  check "tss may neither stop the node, nor ask its TPM, nor be its own host end" "stop 8 activate 8 attach 1 status 1 named 9" \
    "$("${mine[@]}" python3 ask.py "$home/run/monitor.sock" 2>&1 | tail -1)"
  fails "it does not list what is the node's" "${mine[@]}" ls "$home/node"
  echo untouched >victim
  "${mine[@]}" ln -s "$work/victim" "$home/node/instances/mine/workload.next"
  does "what root writes for an instance" 0 vtpm policy mine --no-snapshots
  "${mine[@]}" ln -s "$work" "$home/node/instances/lure"
  fails "or makes" bastide vtpm create lure --id $(cat /proc/sys/kernel/random/uuid)
  rm "$home/node/instances/lure"
  check "does not follow its links" "untouched no" "$(cat victim) $([ -e configuration ] && echo yes || echo no)"
  fails "nobody else calls it at all" setpriv --reuid=nobody --regid=nogroup --clear-groups python3 ask.py "$home/run/monitor.sock"
  works "one answers as before" answers one
fi

# --- what would take its state out of the node is refused, and it goes on
fails "its state is not given out" virsh save one "$work/given"
says "and its log says why" "refused=get_state" "$logs/one-swtpm.log"
check "the VM goes on" running "$(virsh domstate one | head -1)"
works "and its TPM answers" answers one
works "it is destroyed" virsh destroy one
ended $one

# --- libvirt forgets it, and has it again
works "one is undefined" virsh undefine one
check "and libvirt's reference is gone" "" "$(ls "$state/$one" 2>/dev/null)"
echo "endorsement = none" >>"$config"
define one $one tpm-tis
works "defined anew, as a TIS, it starts" virsh start one
eventually "its TPM is the same" more one $((first + 2))
works "it is destroyed" virsh destroy one
ended $one
look $one
check "what was kept in it is still there" kept. "$(held)"
unlook

# --- a VM whose TPM has a secret, as Nova's have
four=7c1d5a90-3b2e-4f68-8a91-665544332211 secret=0d3f6a52-9f0e-4b7c-a1c4-112233445566
cat >secret.xml <<XML
<secret ephemeral='no' private='yes'><uuid>$secret</uuid><usage type='vtpm'><name>four</name></usage></secret>
XML
secret_is() { printf %s "$1" >word; virsh secret-set-value $secret --file word --plain; }
works "a secret is defined" virsh secret-define secret.xml
works "and has a value" secret_is "open sesame"
define four $four tpm-crb
sed -i "s#<backend type='emulator' version='2.0'/>#<backend type='emulator' version='2.0'><encryption secret='$secret'/></backend>#" four.xml
works "four's TPM has that secret" virsh define four.xml
works "it starts" virsh start four
eventually "its TPM is started by the firmware" more four 0
works "it is destroyed" virsh destroy four
ended $four
works "the secret becomes another" secret_is "open barley"
fails "and four does not start" virsh start four
says "its log says why" "its passphrase is another than the one that it was first started with" "$logs/four-swtpm.log"
check "it is in no log" "" "$(grep -rl -e 'open sesame' -e 'open barley' "$logs" libvirtd.log "$home/run" 2>/dev/null)"
before=$(resets four)
works "with its own again" secret_is "open sesame"
works "four starts" virsh start four
eventually "with the TPM that it had" more four "$before"
works "it is destroyed" virsh destroy four

# --- a VM arrives: libvirt's words for it
three=5f9c8d2e-1a7b-4c3d-9e8f-001122334455
install -d -m 777 arrives
arrive() { "${mine[@]}" swtpm_setup --tpm2 --tpm-state "$work/arrives/$1/tpm2" --overwrite; }
"${mine[@]}" mkdir "arrives/$one" "arrives/$three"
works "one that was here arrives" arrive $one
says "has the TPM that it had" "$one" "arrives/$one/tpm2/bastide-vtpm"
works "one that was not is let arrive" arrive $three
check "nothing is made for it" "" "$(ls -d "$home/node/instances/$three" 2>/dev/null)"
fails "so its TPM does not start" "${mine[@]}" swtpm socket --tpm2 --tpmstate dir="$work/arrives/$three/tpm2" \
  --ctrl type=unixio,path="$work/arrives/c" --log file="$work/arrives/log"
says "and its log says what is to be done" "migrate NAME --to HOME --prepare" arrives/log
check "nothing is made for it then either" "" "$(ls -d "$home/node/instances/$three" 2>/dev/null)"
exit $failed
