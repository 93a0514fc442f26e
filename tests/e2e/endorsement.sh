#!/usr/bin/env bash
# A TPM whose maker vouches for it, against a real node: bastide init --tpm-ca takes the maker's CA and no other, and not
# the first TPM that answers.
set -uo pipefail
build=$(realpath "$1")
work=$(mktemp -d)
tpm="swtpm:path=$work/sock"
. "$(dirname "$0")/checks.sh"
server=
finish() {
  for home in good none; do "$build/bastide" --home "$work/$home" down >/dev/null 2>&1; done
  [ -z "$server" ] || kill "$server" 2>/dev/null
  rm -rf "$work"
}
trap finish EXIT
bastide() { "$build/bastide" --home "$work/$1" "${@:2}" </dev/null; } # home arguments...
start_tpm() {
  mkdir -p "$work/tpm"
  swtpm socket --tpm2 --server type=unixio,path="$work/sock" --ctrl type=unixio,path="$work/sock.ctrl" \
    --tpmstate dir="$work/tpm" --flags not-need-init,startup-clear >"$work/swtpm.log" 2>&1 &
  server=$!
  for _ in $(seq 100); do [ -S "$work/sock" ] && return; sleep 0.05; done
  echo "FAILED: swtpm does not start"; exit 1
}
stop_tpm() { kill "$server"; wait "$server" 2>/dev/null; server=; rm -f "$work/sock" "$work/sock.ctrl"; }
demands swtpm tpm2_createek openssl

# --- a maker: an RSA CA, which certifies this TPM's endorsement key as TCG's EK profile has it
cd "$work" || exit 1
for name in maker other; do
  openssl req -x509 -newkey rsa:2048 -nodes -keyout $name.key -out $name.pem -subj "/CN=The $name" -days 30 2>/dev/null
done
does "a TPM without a certificate" 5 none init --insecure-dev --tpm-ca "$work/maker.pem" --coap 127.0.0.1:25771 --http 127.0.0.1:28771
says "is told so" "carries no certificate" "$work/err"
"$build/bastide" --home "$work/none" down >/dev/null 2>&1
start_tpm
export TPM2TOOLS_TCTI=$tpm
holds "the endorsement key" tpm2_createek -c ek.ctx -G ecc -f pem -u ek.pem
printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,keyAgreement\nextendedKeyUsage=2.23.133.8.1\nsubjectAltName=critical,dirName:tpm\n[tpm]\nCN=a TPM\n' >ek.ext
openssl req -new -key maker.key -subj /CN=unused -out ek.csr 2>/dev/null
holds "its certificate" openssl x509 -req -in ek.csr -force_pubkey ek.pem -subj / -CA maker.pem -CAkey maker.key -extfile ek.ext -outform der -out ek.crt -days 30
holds "goes where TCG has it" tpm2_nvdefine 0x01c0000a -C o -s "$(stat -c %s ek.crt)" -a "ownerread|ownerwrite|authread|no_da"
holds "and stays there" tpm2_nvwrite 0x01c0000a -C o -i ek.crt
tpm2_flushcontext -t 2>/dev/null
stop_tpm

start_tpm
home=(--coap 127.0.0.1:25772 --http 127.0.0.1:28772)
does "no such file" 6 good init --insecure-dev --tcti "$tpm" --tpm-ca "$work/nowhere.pem" "${home[@]}"
does "another maker's CA" 5 good init --insecure-dev --tcti "$tpm" --tpm-ca "$work/other.pem" "${home[@]}"
says "does not vouch" "none of the given CAs vouches" "$work/err"
does "no certificate in it" 2 good init --tpm-ca "$work/ek.ext"
holds "and nothing is pinned" test ! -e "$work/good/owner/pins.json"
does "the maker's CA" 0 good --json init --tpm-ca "$work/maker.pem"
holds "its TPM is pinned, and not because it answered first" jq -e '.pinned_on_first_use == false' "$work/out"
does "from then on the key itself is what counts" 0 good report
exit $failed
