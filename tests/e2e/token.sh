#!/usr/bin/env bash
# The owner's key in a PKCS #11 token, against a real node: SoftHSM's, in a directory of this test, and a TPM's (swtpm)
# through Debian's tpm2-pkcs11. Made there, asked for its PIN when something is signed and only then, pulled out, moved.
# Second argument: root or user.
set -uo pipefail
build=$(realpath "$1")
as=${2:-root}
[ "$as" = root ] && [ "$(id -u)" != 0 ] && as=user
work=$(mktemp -d)
bin=$work/bin home=$work/home
coap=127.0.0.1:25761 http=127.0.0.1:28761
[ "$as" = user ] && coap=127.0.0.1:25762 http=127.0.0.1:28762
. "$(dirname "$0")/checks.sh"
tpm=
run=()
[ "$as" = user ] && [ "$(id -u)" = 0 ] && run=(setpriv --reuid=43212 --regid=43212 --clear-groups --inh-caps=-all --bounding-set=-all)
finish() {
  "${run[@]}" "$bin/bastide" --home "$home" down >/dev/null 2>&1
  [ -z "$tpm" ] || { kill "$tpm"; wait "$tpm"; } 2>/dev/null
  [ $failed = 0 ] || tail -n 20 "$home"/run/*.log
  rm -rf "$work"
}
trap finish EXIT
bastide() { (cd "$work" && exec "${run[@]}" "$bin/bastide" --home "$home" "$@" </dev/null); }
softhsm=/usr/lib/softhsm/libsofthsm2.so
tpm_module=$(ls /usr/lib/*/pkcs11/libtpm2_pkcs11.so 2>/dev/null)
demands swtpm openssl jq setpriv softhsm2-util
[ -n "$tpm_module" ] || { echo "FAILED: libtpm2-pkcs11-1 is missing (make deps installs it)"; exit 1; }

mkdir -p "$bin" "$work/tokens" "$work/tpm-store" "$work/tpm-state"
cp -r "$build"/{bastide,bastided,bastide-keyholder,bastide-monitor,bastide-launcher,hub.image,tests/faulty_token.so} "$bin"
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$work/tokens" >"$work/softhsm2.conf"
printf '492163\n' >"$work/right"
printf '492164\n' >"$work/wrong"
chmod 755 "$work"
[ ${#run[@]} = 0 ] || chown -R 43212:43212 "$work"
export SOFTHSM2_CONF=$work/softhsm2.conf TPM2_PKCS11_STORE=$work/tpm-store TPM2_PKCS11_TCTI=swtpm:path=$work/tpm.sock HOME=$work
new_token() { # label module
  (cd "$work" && "${run[@]}" softhsm2-util --init-token --free --label "$1" --pin 492163 --so-pin 87654321 --module "$2") >"$work/out" 2>"$work/err"
}
public_of() { openssl x509 -in "$1" -noout -pubkey; }

# --- made in the token
holds "a token" new_token alice $softhsm
uri='pkcs11:token=alice;object=owner'
init=(init --insecure-dev --coap $coap --http $http)
does "a PIN in the URI" 2 "${init[@]}" --owner-key "$uri?pin-value=492163"
says "is refused, and where it goes is said" "--passphrase-file" "$work/err"
lacks "and not shown" 492163 "$work/err"
does "a module without a key" 2 "${init[@]}" --pkcs11-module $softhsm
does "a token's key without a passphrase" 2 "${init[@]}" --owner-key "$uri" --no-passphrase
does "neither PIN nor terminal" 3 "${init[@]}" --owner-key "$uri" --pkcs11-module $softhsm
says "is said" 'the token "alice" wants its PIN and there is no terminal' "$work/err"
does "another token" 6 --passphrase-file right "${init[@]}" --owner-key 'pkcs11:token=bob;object=owner' --pkcs11-module $softhsm
does "no module" 6 --passphrase-file right "${init[@]}" --owner-key "$uri" --pkcs11-module "$work/right"
does "another PIN" 3 --passphrase-file wrong "${init[@]}" --owner-key "$uri" --pkcs11-module $softhsm
says "is named" 'wrong PIN: the token "alice" has another PIN, and has fewer tries left' "$work/err"
lacks "and not shown" 49216 "$work/err"
holds "nothing was made" test ! -e "$home/owner/configuration"
does "init" 0 --json --passphrase-file right "${init[@]}" --owner-key "$uri" --pkcs11-module $softhsm
holds "says where the key is" jq -e '.key_locked and .key_in_token' "$work/out"
holds "which is not here" test ! -e "$home/owner/owner.key"
holds "but named" grep -q 'token=alice.*object=owner.*module-path=' "$home/owner/owner.token"
lacks "without a PIN" 492163 "$home/owner" "$home/node" "$home/run"
holds "its certificate is a CA's" openssl verify -x509_strict -CAfile "$home/owner/owner.crt" "$home/owner/owner.crt"
holds "and the site's ends there" sh -c "openssl x509 -inform DER -in '$home/owner/site-ca.crt' -out '$work/site.pem' && openssl verify -x509_strict -CAfile '$home/owner/owner.crt' '$work/site.pem'"
first=$(public_of "$home/owner/owner.crt")

# --- asked for when something is signed
does "a report needs no PIN" 0 report
does "nor does a client" 0 client add sensor
does "nor init when all is there" 0 init
does "meeting anew does, and nobody can be asked" 3 init --renew
does "another PIN" 3 --passphrase-file wrong init --renew
does "the right one" 0 --passphrase-file right init --renew

# --- the token goes
mv "$work/tokens" "$work/pocket"; mkdir "$work/tokens"; [ ${#run[@]} = 0 ] || chown 43212:43212 "$work/tokens"
does "without the token" 6 --passphrase-file right init --renew
says "is said" "there is no such token: is it plugged in" "$work/err"
does "a report goes on" 0 report
rmdir "$work/tokens"; mv "$work/pocket" "$work/tokens"
does "its key behind another module" 0 --passphrase-file right init --owner-key "$uri" --pkcs11-module "$bin/faulty_token.so"
holds "which is named from now on" grep -q faulty_token.so "$home/owner/owner.token"
does "and serves" 0 --passphrase-file right init --renew
turn=0 got=0
while [ $got != 1 ] && [ $turn -lt 60 ]; do # pulled out at every call in turn, until none is left that would notice
  turn=$((turn + 1))
  (cd "$work" && FAULTY_FROM=$turn FAULTY_ANSWER=0x32 exec "${run[@]}" "$bin/bastide" --home "$home" --passphrase-file right init --renew) >"$work/out" 2>"$work/err" </dev/null
  code=$?
  case $code in
    0) got=1 ;;
    3) grep -q "is not there any more: put it back" "$work/err" || { bad "pulled out at call $turn:"; cat "$work/err"; } ;;
    6) grep -q "no such token" "$work/err" || { bad "pulled out at call $turn:"; cat "$work/err"; } ;;
    *) bad "pulled out at call $turn: exit code $code"; cat "$work/err" ;;
  esac
done
holds "pulled out at each of its calls it is missed, in words" test $turn -gt 15 -a $got = 1
echo "ok: $turn calls"
does "a report goes on after all that" 0 report
does "the genuine module again" 0 --passphrase-file right init --owner-key "$uri" --pkcs11-module $softhsm

# --- what else is signed
does "down" 0 down
does "to begin anew is signed as well" 3 reinitialise --forget-everything --counter 1
does "with the PIN" 0 --passphrase-file right reinitialise --forget-everything --counter 1
lacks "no PIN in the logs" 49216 "$home/run"
holds "and the owner is the same" test "$first" = "$(public_of "$home/owner/owner.crt")"
lacks "and no private key here but the daily one" "PRIVATE KEY" "$home/owner/owner.token" "$home/owner/owner.crt" "$home/node"

# --- another home, the same token: p11-kit knows SoftHSM by its package
home=$work/second
does "the key is taken, and no second one made" 0 --passphrase-file right boot prepare esp --owner-key "$uri"
holds "it is the same" test "$first" = "$(public_of "$home/owner/owner.crt")"
holds "and no module is named" sh -c "! grep -q module-path '$home/owner/owner.token'"
does "it signs" 0 --passphrase-file right reinitialise --forget-everything --counter 1

# --- a key of a file moves into the token
home=$work/third
does "init with a file" 0 "${init[@]}"
does "the token's key is another's" 3 --passphrase-file right init --owner-key "$uri" --pkcs11-module $softhsm
says "and so refused" "is not the one of the owner's certificate" "$work/err"
holds "nothing changed" test ! -e "$home/owner/owner.token"
holds "put into the token by its own program" sh -c "cd '$work' && ${run[*]} softhsm2-util --import '$home/owner/owner.key' --token alice --label moved --id 77 --pin 492163"
does "named" 0 --passphrase-file right init --owner-key 'pkcs11:token=alice;object=moved' --pkcs11-module $softhsm
says "with a word on the file" "owner.key is still there" "$work/err"
rm "$home/owner/owner.key"
does "and used" 0 --passphrase-file right init --renew
does "down again" 0 down

# --- a TPM
home=$work/fourth
"${run[@]}" swtpm socket --tpm2 --server type=unixio,path="$work/tpm.sock" --ctrl type=unixio,path="$work/tpm.sock.ctrl" \
  --tpmstate dir="$work/tpm-state" --flags startup-clear >"$work/tpm.log" 2>&1 & tpm=$!
for _ in $(seq 100); do [ -S "$work/tpm.sock" ] && break; sleep 0.05; done
holds "a TPM as a token" new_token carol "$tpm_module"
uri='pkcs11:token=carol;object=owner'
does "another PIN" 3 --passphrase-file wrong boot prepare esp4 --owner-key "$uri" --pkcs11-module "$tpm_module"
says "is named" 'wrong PIN: the token "carol"' "$work/err"
does "the key is made there" 0 --passphrase-file right boot prepare esp4 --owner-key "$uri" --pkcs11-module "$tpm_module"
holds "its certificate is a CA's" openssl verify -x509_strict -CAfile "$home/owner/owner.crt" "$home/owner/owner.crt"
does "and it signs" 0 --passphrase-file right reinitialise --forget-everything --counter 1
kill $tpm; wait $tpm 2>/dev/null; tpm=
does "but not without its TPM" 3 --passphrase-file right reinitialise --forget-everything --counter 1
says "which is said" "libtpm2_pkcs11.so cannot be started" "$work/err"

# --- such keys are the owner's alone
holds "bastide knows keys that are elsewhere" sh -c "nm '$build/bastide' | grep -q crypto_key_delegate"
holds "an enclave's keys have no such way out" sh -c "nm '$build/hub.enclave' | grep -q crypto_sign && ! nm '$build/hub.enclave' | grep -q crypto_key_delegate"
exit $failed
