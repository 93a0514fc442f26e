#!/usr/bin/env bash
# The owner's key behind a passphrase, against a real node: made, read by openssl(1), asked for when something is signed
# and only then; and a key without one, locked by openssl(1) afterwards.
set -uo pipefail
build=$(realpath "$1")
work=$(mktemp -d)
home=$work/home
. "$(dirname "$0")/checks.sh"
finish() {
  "$build/bastide" --home "$home" down >/dev/null 2>&1
  [ $failed = 0 ] || tail -n 20 "$home"/run/*.log
  rm -rf "$work"
}
trap finish EXIT
bastide() { "$build/bastide" --home "$home" "$@" </dev/null; }
demands swtpm openssl jq
printf 'four words at random\n' >"$work/right"
printf 'four words at randon\n' >"$work/wrong"
key=$home/owner/owner.key

does "neither passphrase nor none" 2 init --insecure-dev --passphrase-file "$work/right" --no-passphrase
does "a passphrase file that is not there" 6 init --insecure-dev --passphrase-file "$work/nowhere"
holds "nothing was made" test ! -e "$home/owner/configuration"
does "init with a passphrase" 0 --json init --insecure-dev --passphrase-file "$work/right" --coap 127.0.0.1:25751 --http 127.0.0.1:28751
holds "and says so" jq -e .key_locked "$work/out"
holds "the key is encrypted" grep -q "BEGIN ENCRYPTED PRIVATE KEY" "$key"
holds "by scrypt and AES-256" sh -c "openssl asn1parse -in '$key' | grep -q scrypt && openssl asn1parse -in '$key' | grep -q aes-256-cbc"
holds "openssl reads it" openssl pkey -in "$key" -passin "file:$work/right" -noout
holds "and its certificate is the key's" sh -c "[ \"\$(openssl pkey -in '$key' -passin 'file:$work/right' -pubout)\" = \"\$(openssl x509 -in '$home/owner/owner.crt' -noout -pubkey)\" ]"
holds "which openssl takes for a CA" openssl verify -x509_strict -CAfile "$home/owner/owner.crt" "$home/owner/owner.crt"
does "a report needs no passphrase" 0 report
does "nor does a client" 0 client add sensor
does "nor init when all is there" 0 init
does "nor does a vTPM" 0 vtpm create plain
does "one with a limit does, which is signed" 3 vtpm create bound --state-max 16384
does "and nothing of it was begun" 6 vtpm show bound
does "with the passphrase it is made" 0 --json --passphrase-file "$work/right" vtpm create bound --state-max 16384
holds "and has the limit" jq -e '.state_max == 16384' "$work/out"
does "meeting anew does, and nobody can be asked" 3 init --renew
holds "which is said" grep -q "no terminal to ask for it: --passphrase-file FILE" "$work/err"
does "another passphrase" 3 init --renew --passphrase-file "$work/wrong"
holds "is named" grep -q "owner/owner.key: wrong passphrase" "$work/err"
lacks "and not shown" "four words" "$work/err"
does "the right one" 0 init --renew --passphrase-file "$work/right"
does "down" 0 down
does "to begin anew is signed as well" 3 reinitialise --forget-everything --counter 1
does "with the passphrase" 0 --passphrase-file "$work/right" reinitialise --forget-everything --counter 1
for file in "$home"/run/*.log; do lacks "no passphrase in $(basename "$file")" "four words" "$file"; done

rm -rf "$home"
does "init without" 0 init --insecure-dev --coap 127.0.0.1:25751 --http 127.0.0.1:28751
holds "and says what that means" grep -q "the key has no passphrase" "$work/out"
holds "openssl locks it" sh -c "openssl pkcs8 -topk8 -scrypt -in '$key' -out '$work/locked' -passout 'file:$work/right' && mv '$work/locked' '$key'"
does "locked now" 3 init --renew
does "and unlocked" 0 init --renew --passphrase-file "$work/right"
exit $failed
