#!/usr/bin/env bash
# From a VM's quote to the node's hardware, with tpm2-tools as what runs in the VM: quotes by keys of every kind that they
# make, each link broken once; the same key proved the other way, by MakeCredential to the certified endorsement key;
# and the platform certificate, read by a reader of others' making. Second argument: root or user.
set -uo pipefail
. "$(dirname "$0")/user_rig.sh"
build=$(realpath "$1")
tests=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
bin=$work/bin home=$work/home
coap=127.0.0.1:25811 http=127.0.0.1:28811
[ "${2:-root}" = user ] && coap=127.0.0.1:25812 http=127.0.0.1:28812
. "$(dirname "$0")/checks.sh"
software=
finish() {
  "$bin/bastide" --home "$home" down >/dev/null 2>&1
  [ -z "$software" ] || kill "$software"
  wait 2>/dev/null
  [ $failed = 0 ] || tail -n 30 "$home"/run/*.log "$home"/run/vtpm/*/*.log
  rm -rf "$work"
}
trap finish EXIT
bastide() { "$bin/bastide" --home "$home" "$@" >"$work/out" 2>"$work/err" </dev/null; }
needs swtpm openssl jq tpm2_createak tpm2_quote tpm2_makecredential
/usr/bin/python3 -c 'import pyasn1_modules.rfc5755' 2>/dev/null || { echo "skipped: python3-pyasn1-modules is missing (make deps installs it)"; exit 77; }
mkdir -p "$bin"
cp -r "$build"/{bastide,bastided,bastide-keyholder,bastide-monitor,bastide-launcher,bastide-vtpm,hub.image,vtpm.image} "$bin"
cd "$work" || exit 1

# --- a node with two VMs' vTPMs
does "init" 0 init --insecure-dev --coap $coap --http $http
for name in one two; do does "vTPM $name" 0 vtpm create $name --tenant acme --start --on; done

tpm() { local name=$1 command=$2; shift 2; "$command" -T "swtpm:path=$home/run/vtpm/$name/tpm" "$@"; } # name command arguments...
key() { # name handle algorithm scheme: an attestation key of tpm2-tools' making, made persistent
  tpm "$1" tpm2_createek -G rsa -c "$1.ek.ctx" -u "$1.ek.pub" && tpm "$1" tpm2_flushcontext -t &&
    tpm "$1" tpm2_createak -C "$1.ek.ctx" -G "$3" -s "$4" -g sha256 -c "$1.$2.ctx" -u "$1.$2.pub" -n "$1.$2.name" &&
    tpm "$1" tpm2_flushcontext -t && tpm "$1" tpm2_evictcontrol -C o -c "$1.$2.ctx" "$2" && tpm "$1" tpm2_flushcontext -t
}
nonce=$(openssl rand -hex 20)
quote() { # name handle nonce scheme: attest, signature
  tpm "$1" tpm2_quote -c "$2" -l sha256:0,7,16 -q "$3" -g sha256 ${4:+--scheme "$4"} -m attest -s signature
}
verify() { # name handle arguments...: words of the links that are refused
  local name=$1 handle=$2; shift 2
  bastide --json vtpm verify "$name" --ak "$handle" --quote attest --signature signature --nonce "$nonce" "$@"
  local code=$?
  jq -r '[.links[] | select(.state == "refused") | .link] | join(" ")' "$work/out"
  return $code
}
works "PCRs of the first" tpm one tpm2_pcrextend "7:sha256=$(openssl rand -hex 32)" "16:sha256=$(openssl rand -hex 32)"
tpm one tpm2_pcrread sha256:0,7,16 >pcrs

# --- each kind of key that tpm2-tools make
at=$((0x81010002))
for kind in ecc:ecdsa rsa:rsassa rsa:rsapss; do
  handle=$(printf '0x%x' $at); at=$((at + 1))
  works "an attestation key, $kind" key one "$handle" "${kind%:*}" "${kind#*:}"
  works "quotes" quote one "$handle" "$nonce" "${kind#*:}"
  check "and the quote leads to the hardware" "0 " "$(links=$(verify one "$handle" --pcrs pcrs); echo "$? $links")"
done
ak=0x81010002
works "the first again" quote one $ak "$nonce"
does "it is told link by link" 0 vtpm verify one --ak $ak --quote attest --signature signature --nonce "$nonce" --pcrs pcrs --save answer
for link in tpm attestation-key quote monitor image configuration vtpm-keys vm-attestation-key vm-quote vm-nonce vm-pcrs; do
  check "with the link $link" yes "$(grep -qE "^(ok|allowed) +$link " "$work/out" && echo yes)"
done
does "without the vTPM, of the answer that was kept" 0 vtpm verify one --ak $ak --quote attest --signature signature --nonce "$nonce" --pcrs pcrs --answer answer
check "what no value is expected of is allowed, and said" allowed "$(verify one $ak >/dev/null; jq -r '.links[] | select(.link == "vm-pcrs") | .state' "$work/out")"

check "that nobody measured what the VM starts from, too" allowed "$(jq -r '.links[] | select(.link == "vm-launch") | .state' "$work/out")"

# --- words
wrong() { # what code arguments of verify...
  local what=$1 code=$2; shift 2
  bastide vtpm verify one --quote attest --signature signature "$@"
  check "$what" "$code" $?
}
printf 'sha256:\n  7 : 0x%s\n' "$(openssl rand -hex 31)" >bad.pcrs
wrong "a value of 31 bytes is named by its line" 2 --ak $ak --nonce "$nonce" --pcrs bad.pcrs
check "and why is said" yes "$(grep -q 'bad.pcrs, line 2' "$work/err" && echo yes)"
sed -n '2p;2p' pcrs >bad.pcrs
wrong "a PCR twice" 2 --ak $ak --nonce "$nonce" --pcrs bad.pcrs
echo sha256: >bad.pcrs
wrong "no PCR at all" 2 --ak $ak --nonce "$nonce" --pcrs bad.pcrs
wrong "without a nonce" 2 --ak $ak
wrong "with one of 7 bytes" 2 --ak $ak --nonce 01020304050607
wrong "a handle of nothing that persists" 2 --ak 0x80000000 --nonce "$nonce"
wrong "a file that is not there" 6 --ak $ak --nonce "$nonce" --answer nothing
wrong "a policy that is none" 3 --ak $ak --nonce "$nonce" --policy pcrs

# --- each link broken once
broken() { # what links arguments of verify...
  local what=$1 expected=$2; shift 2
  check "$what" "5 $expected" "$(links=$(verify "$@"); echo "$? $links")"
}
cp attest good.attest; cp signature good.signature
good() { cp good.attest attest; cp good.signature signature; }
quote one $ak "$(openssl rand -hex 20)" >/dev/null
broken "an old quote" "vm-nonce" one $ak --pcrs pcrs
good
works "another thing starts" tpm one tpm2_pcrextend "7:sha256=$(openssl rand -hex 32)"
quote one $ak "$nonce" >/dev/null
broken "changed PCRs" "vm-pcrs" one $ak --pcrs pcrs
good
works "an attestation key of the other VM's" key two $ak ecc ecdsa
quote two $ak "$nonce" >/dev/null
broken "another vTPM's quote" "vm-quote" one $ak
does "is that one's" 0 vtpm verify two --ak $ak --quote attest --signature signature --nonce "$nonce" --save two.answer
broken "another vTPM's answer" "configuration ek-certificate platform-certificate" one $ak --answer two.answer
good
nonce=$(openssl rand -hex 20) broken "an answer for another request" "nonce quote vm-nonce" one $ak --answer answer
tpm one tpm2_createprimary -C o -G ecc -c prim.ctx >/dev/null
tpm one tpm2_create -C prim.ctx -G ecc:ecdsa-sha256 -a "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign" -u free.pub -r free.priv >/dev/null
tpm one tpm2_flushcontext -t
tpm one tpm2_load -C prim.ctx -u free.pub -r free.priv -c free.ctx >/dev/null
tpm one tpm2_flushcontext -t
works "a key that signs whatever it is given" tpm one tpm2_evictcontrol -C o -c free.ctx 0x81010009
works "quotes too" quote one 0x81010009 "$nonce"
broken "and is no attestation key" "vm-attestation-key" one 0x81010009
mkdir software
swtpm socket --tpm2 --server type=unixio,path="$work/software.sock" --ctrl type=unixio,path="$work/software.sock.ctrl" \
  --tpmstate dir=software --flags startup-clear >software.log 2>&1 & software=$!
for _ in $(seq 100); do [ -S software.sock ] && break; sleep 0.05; done
soft() { local command=$1; shift; "$command" -T "swtpm:path=$work/software.sock" "$@"; }
{ soft tpm2_createek -G rsa -c soft.ek.ctx && soft tpm2_flushcontext -t && soft tpm2_createak -C soft.ek.ctx -G ecc -s ecdsa -g sha256 -c soft.ak.ctx; } >/dev/null
soft tpm2_flushcontext -t
works "a TPM of whoever wants to be that VM quotes" soft tpm2_quote -c soft.ak.ctx -l sha256:0,7,16 -q "$nonce" -g sha256 -m attest -s signature
broken "and its quote is not the vTPM's" "vm-quote" one $ak
good
works "its key, without the private half, goes into the vTPM" bash -c "
  tpm2_readpublic -T swtpm:path=$work/software.sock -c soft.ak.ctx -o soft.ak.pub >/dev/null &&
  tpm2_flushcontext -T swtpm:path=$work/software.sock -t;
  tpm2_loadexternal -T swtpm:path=$home/run/vtpm/one/tpm -C e -u soft.ak.pub -c outside.ctx"
fails "and does not persist there" tpm one tpm2_evictcontrol -C o -c outside.ctx 0x8101000a
tpm one tpm2_flushcontext -t
check "so nothing is told of it" 6 "$(bastide vtpm verify one --ak 0x8101000a --quote attest --signature signature --nonce "$nonce"; echo $?)"
with() { # what links file change: what is kept of the owner's changed by jq
  cp "$home/$3" kept; jq "$4" kept >"$home/$3"
  broken "$1" "$2" one $ak --answer answer
  cp kept "$home/$3"
}
with "another node's TPM" "tpm" owner/pins.json '.ek_name = (.ek_name[0:66] + "00")'
with "another attestation key of the node's" "attestation-key" owner/pins.json '.ak_name = (.ak_name[0:66] + "00")'
with "another enclave image" "image" owner/vtpm/one/instance.json '.measurement = (.measurement[0:62] + "00")'
broken "who insists on a measured launch" "vm-launch" one $ak --answer answer --measured-launch
check "unbent it holds" "0 " "$(links=$(verify one $ak --answer answer); echo "$? $links")"

# --- the certificate of the endorsement key, and by it the key the other way, as Keylime has it
for kind in rsa2048:0x01c00002 p256:0x01c0000a; do
  does "the ${kind%:*} certificate is exported" 0 vtpm export-ek one --kind "${kind%:*}" --der -o "ek.${kind%:*}.der"
done
check "and is a link, with the site's CA" ok "$(verify one $ak --answer answer >/dev/null; jq -r '.links[] | select(.link == "ek-certificate") | .state' "$work/out")"
bastide vtpm export-ek two --kind p256 --der -o two.p256.der
broken "the other vTPM's certificate" "ek-certificate" one $ak --answer answer --ek-certificate two.p256.der
openssl x509 -inform DER -in "$home/owner/site-ca.crt" -out ca.pem
for kind in rsa2048 p256; do
  openssl x509 -inform DER -in ek.$kind.der -out ek.$kind.pem
  works "openssl verifies the $kind certificate against the site CA" openssl verify -partial_chain -CAfile ca.pem ek.$kind.pem
done
works "tpm2_getekcertificate fetches it" tpm one tpm2_getekcertificate -o got.rsa
same "the same" got.rsa ek.rsa2048.der
openssl x509 -inform DER -in got.rsa -noout -pubkey >ek.pem
openssl rand 24 >secret
works "a credential to the certified key, for the attestation key" tpm2_makecredential -T none -u ek.pem -G rsa -s secret -n "$(xxd -p -c 80 one.$ak.name)" -o credential
activate() { # name key
  tpm "$1" tpm2_startauthsession --policy-session -S session.ctx >/dev/null && tpm "$1" tpm2_policysecret -S session.ctx -c e >/dev/null &&
    tpm "$1" tpm2_activatecredential -c "$2" -C "$1.ek.ctx" -i credential -o activated -P session:session.ctx
  local code=$?
  tpm "$1" tpm2_flushcontext session.ctx; tpm "$1" tpm2_flushcontext -t
  return $code
}
works "is activated by the vTPM that holds both" activate one one.$ak.ctx
same "with the secret" secret activated
fails "not for another key in it" activate one one.0x81010003.ctx
fails "nor by another vTPM" activate two two.$ak.ctx

# --- the platform certificate, read by a reader of others' making
does "the platform certificate is exported" 0 vtpm export-platform one -o platform.der
works "tpm2_nvread finds it where TCG has it" tpm one tpm2_nvread -o got.platform 0x01c08000
same "the same" platform.der got.platform
works "it is an attribute certificate" bash -c "/usr/bin/python3 '$tests/attribute_certificate.py' platform.der signed signature >read"
fact() { sed -n "s/^$1=//p" read; }
check "of version 2" 1 "$(fact version)"
serial=$(openssl x509 -in ek.rsa2048.pem -noout -serial | cut -d= -f2 | tr A-F a-f)
check "held by the RSA endorsement key's certificate" "$serial" "$(fact holder)"
issuer=$(openssl x509 -in ca.pem -noout -subject -nameopt sep_multiline,utf8 | sed -n 's/^ *CN=//p')
check "of the same issuer" "$issuer $issuer" "$(fact holder_issuer) $(fact issuer)"
id=$(jq -r .id "$home/owner/vtpm/one/instance.json")
check "for this VM" "$id" "$(fact "name 2.23.133.5.1.6")"
check "of this maker" "Bastide vtpm" "$(fact "name 2.23.133.5.1.1") $(fact "name 2.23.133.5.1.4")"
check "its name is the instance's" "/vtpm/${id//-/}" "/vtpm/$(fact uri | sed 's|.*/vtpm/||')"
check "a virtual platform's" "1 0 26 0000000c" "$(fact "attribute 2.23.133.2.17")"
check "after TCG's profile" "1 1 19 2.23.133.8.2" "$(fact "attribute 2.23.133.2.23") $(fact "attribute 2.23.133.2.25")"
check "on this node, of this configuration and image" "acme $(jq -r .ek_name "$home/owner/pins.json") $(sha256sum <"$home/node/instances/one/configuration" | cut -d' ' -f1) $(jq -r .measurement "$home/owner/vtpm/one/instance.json")" \
  "$(fact "attribute 2.25.122898915368401732794719524281580743377")"
openssl x509 -in ca.pem -noout -pubkey >ca.pub.pem
works "and the site CA signed it" openssl dgst -sha256 -verify ca.pub.pem -signature signature signed
fails "its owner cannot change it" tpm one tpm2_nvwrite -C o -i platform.der 0x01c08000
fails "nor undefine it" tpm one tpm2_nvundefine -C o 0x01c08000
exit $failed
