#!/usr/bin/env bash
# Who a vTPM is: its endorsement keys asked for with evidence over them, those that tpm2-tools get, certified, and the
# certificates where tpm2-tools look for them, before any VM was there. No port is used.
set -uo pipefail
. "$(dirname "$0")/vtpm_rig.sh"
needs tpm2_createek tpm2_getekcertificate
make_node
mkdir "$work/ek"
export TPM2TOOLS_TCTI="swtpm:path=$work/own"
cd "$work" || exit 1
start own

# --- its keys, with evidence
"$bin/vtpm_check" keys "$work/own.keys" "$home" "$bin/vtpm.image" "$work/ek"; check "the owner's side" 0 $?
for key in rsa:rsa ecc:p256 ecc384:p384; do
  works "tpm2_createek makes ${key%:*}" tpm2_createek -G "${key%:*}" -c ek.ctx -u "ek.${key#*:}" -f tpmt
  tpm2_flushcontext -t
  same "and it is the one that was told" "ek.${key#*:}" "ek/${key#*:}.tpmt"
done

# --- their certificates
"$bin/vtpm_check" provision "$work/own" "$work/ek"; check "provisioned" 0 $?
stop own; start own
works "tpm2_getekcertificate finds two" tpm2_getekcertificate -o got.rsa -o got.p256
works "and tpm2_nvread the third" tpm2_nvread -o got.p384 0x01c00016
openssl x509 -inform DER -in ek/ca.der -out ca.pem
for key in rsa p256 p384; do
  same "the one for $key is what the CA gave" "got.$key" "ek/$key.der"
  openssl x509 -inform DER -in "got.$key" -out "got.$key.pem"
  works "and holds against the CA" openssl verify -partial_chain -CAfile ca.pem "got.$key.pem"
done
for key in rsa:rsa ecc:p256; do
  tpm2_createek -G "${key%:*}" -c ek.ctx -u pub.pem -f pem >/dev/null 2>&1; tpm2_flushcontext -t
  check "${key#*:} is of the key that the TPM has" "$(openssl pkey -pubin -in pub.pem -outform DER | sha256sum)" \
    "$(openssl x509 -in "got.${key#*:}.pem" -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum)"
done
attributes=$(tpm2_nvreadpublic 0x01c00002)
for attribute in platformcreate ppread ownerread authread no_da writelocked written; do
  check "its index is $attribute" yes "$(grep -q "$attribute" <<<"$attributes" && echo yes)"
done
fails "its owner cannot write it" tpm2_nvwrite -C o -i ek/p256.der 0x01c00002
fails "nor the platform" tpm2_nvwrite -C p -i ek/p256.der 0x01c00002
fails "nor its owner undefine it" tpm2_nvundefine -C o 0x01c00002
works "an attestation key of that endorsement key" tpm2_createek -c ek.ctx -G rsa -u ek.pub
works "is made" tpm2_createak -C ek.ctx -c ak.ctx -G ecc -s ecdsa -g sha256 -u ak.pub -n ak.name
tpm2_flushcontext -t
stop own
exit $failed
