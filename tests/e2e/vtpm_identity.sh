#!/usr/bin/env bash
# Who a vTPM is: its endorsement keys asked for with evidence over them, those that tpm2-tools get, certified, and the
# certificates where tpm2-tools look for them, before any VM was there. No port is used.
set -uo pipefail
build=$(realpath "$1")
work=$(mktemp -d)
home=$work/home bin=$work/bin
failed=0
holder= tpm= vtpm=
finish() {
  kill "$vtpm" 2>/dev/null
  kill "$holder" 2>/dev/null; wait "$holder" 2>/dev/null
  kill "$tpm" 2>/dev/null; wait 2>/dev/null
  [ $failed = 0 ] || { echo "--- node"; tail -40 "$work/node.log"; echo "--- vtpm"; tail -40 "$work/vtpm.log"; }
  rm -rf "$work"
}
trap finish EXIT
check() { # what expected actual
  if [ "$2" = "$3" ]; then echo "ok: $1"; else echo "FAILED: $1: expected '$2', got '$3'"; failed=1; fi
}
does() { # what command...
  local what=$1; shift
  if "$@" >"$work/out" 2>&1; then echo "ok: $what"; else echo "FAILED: $what"; tail -5 "$work/out"; failed=1; fi
}
refuses() { # what command...
  local what=$1; shift
  if "$@" >"$work/out" 2>&1; then echo "FAILED: $what: was not refused"; failed=1; else echo "ok: $what"; fi
}
eventually() { # what command...
  local what=$1; shift
  for _ in $(seq 300); do "$@" >/dev/null 2>&1 && { echo "ok: $what"; return; }; sleep 0.05; done
  echo "FAILED: $what"; failed=1
}
same() { cmp -s "$1" "$2" && echo same || echo different; }
for tool in swtpm openssl tpm2_createek tpm2_getekcertificate; do
  command -v $tool >/dev/null || { echo "skipped: $tool is missing (make deps installs it)"; exit 77; }
done
mkdir -p "$home/node" "$home/run" "$home/tpm" "$bin" "$work/ek"
cp -r "$build"/bastide-{keyholder,monitor,launcher,vtpm} "$build"/tests/{make_image,vtpm_check} "$build/vtpm.image" "$bin"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=owner -keyout "$work/owner.pem" \
  -outform DER -out "$work/cert.der" 2>/dev/null
"$bin/make_image" configuration "$home/node/configuration" "$work/cert.der" insecure-dev || exit 1
swtpm socket --tpm2 --server type=unixio,path="$work/tpm.sock" --ctrl type=unixio,path="$work/tpm.ctrl" \
  --tpmstate dir="$home/tpm" --flags startup-clear >"$work/tpm.log" 2>&1 & tpm=$!
eventually "the node's software TPM is there" test -S "$work/tpm.sock"
"$bin/bastide-keyholder" --home "$home" --image "$bin/vtpm.image" --tcti "swtpm:path=$work/tpm.sock" --insecure-dev \
  2>"$work/node.log" & holder=$!
eventually "the node serves" grep -q "monitor serving" "$work/node.log"

start() {
  "$bin/bastide-vtpm" socket --tpm2 --tpmstate dir="$home" --ctrl type=unixio,path="$work/v.ctrl" \
    --server type=unixio,path="$work/v" --keys type=unixio,path="$work/v.keys" --flags startup-clear 2>>"$work/vtpm.log" & vtpm=$!
  eventually "the vTPM answers" tpm2_getrandom 8
}
stop() { kill "$vtpm"; wait "$vtpm"; } 2>/dev/null
export TPM2TOOLS_TCTI="swtpm:path=$work/v"
cd "$work" || exit 1
start

# --- its keys, with evidence
"$bin/vtpm_check" keys "$work/v.keys" "$home" "$bin/vtpm.image" "$work/ek"; check "the owner's side" 0 $?
for key in rsa:rsa ecc:p256 ecc384:p384; do
  does "tpm2_createek makes ${key%:*}" tpm2_createek -G "${key%:*}" -c ek.ctx -u "ek.${key#*:}" -f tpmt
  tpm2_flushcontext -t
  check "and it is the one that was told" same "$(same "ek.${key#*:}" "ek/${key#*:}.tpmt")"
done

# --- their certificates
"$bin/vtpm_check" provision "$work/v" "$work/ek"; check "provisioned" 0 $?
stop
start
does "tpm2_getekcertificate finds two" tpm2_getekcertificate -o got.rsa -o got.p256
does "and tpm2_nvread the third" tpm2_nvread -o got.p384 0x01c00016
openssl x509 -inform DER -in ek/ca.der -out ca.pem
for key in rsa p256 p384; do
  check "the one for $key is what the CA gave" same "$(same "got.$key" "ek/$key.der")"
  openssl x509 -inform DER -in "got.$key" -out "got.$key.pem"
  does "and holds against the CA" openssl verify -partial_chain -CAfile ca.pem "got.$key.pem"
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
refuses "its owner cannot write it" tpm2_nvwrite -C o -i ek/p256.der 0x01c00002
refuses "nor the platform" tpm2_nvwrite -C p -i ek/p256.der 0x01c00002
refuses "nor its owner undefine it" tpm2_nvundefine -C o 0x01c00002
does "an attestation key of that endorsement key" tpm2_createek -c ek.ctx -G rsa -u ek.pub
does "is made" tpm2_createak -C ek.ctx -c ak.ctx -G ecc -s ecdsa -g sha256 -u ak.pub -n ak.name
tpm2_flushcontext -t
stop
exit $failed
