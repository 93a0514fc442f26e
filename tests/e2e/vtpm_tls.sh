#!/usr/bin/env bash
# A TLS key that never leaves a vTPM, by OpenSSL's tpm2 provider as it is: made there, certified, a server's in
# handshakes, EC and RSA, across a restart; without that vTPM the key file is nothing.
set -uo pipefail
. "$(dirname "$0")/vtpm_rig.sh"
needs tpm2_getrandom
modules=$(openssl version -m 2>/dev/null | sed -n 's/.*"\(.*\)"/\1/p')
[ -r "$modules/tpm2.so" ] || { echo "skipped: tpm2-openssl is missing (make deps installs it)"; exit 77; }
make_node two
cd "$work" || exit 1
start own
start two
server=
extra() { [ -z "$server" ] || kill "$server" 2>/dev/null; }
# It would otherwise have the TPM hash, too, which has not room for as many at a time as a handshake takes.
provider=(-provider default -provider tpm2 -propquery '?provider=tpm2,tpm2.digest!=yes')
within() { TPM2OPENSSL_TCTI=$(tcti own) "$@"; } # command...: with that vTPM
flush() { tpm2_flushcontext -T "$(tcti own)" -t; tpm2_flushcontext -T "$(tcti own)" -l; } >/dev/null 2>&1
serve() { # options...
  rm -f tls
  TPM2OPENSSL_TCTI=$(tcti own) openssl s_server "${provider[@]}" "$@" -unix "$work/tls" -www >server.log 2>&1 & server=$!
  for _ in $(seq 200); do [ -S tls ] && return; sleep 0.05; done
}
ask() { printf 'GET / HTTP/1.0\r\n\r\n' | timeout 60 openssl s_client -unix tls -CAfile ca.pem -verify_return_error -verify_hostname vm.example -ign_eof "$@" 2>&1; }
end() { kill "$server"; wait "$server"; server=; flush; } 2>/dev/null

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca -keyout ca.key -out ca.pem -days 2 2>/dev/null
echo 'subjectAltName = DNS:vm.example' >san
for kind in EC:group:P-256 RSA:bits:2048; do
  name=${kind%%:*}
  works "an $name key is made in the vTPM" within openssl genpkey "${provider[@]}" -algorithm "$name" -pkeyopt "${kind#*:}" -out "$name.key"
  says "and leaves it wrapped only" "BEGIN TSS2 PRIVATE KEY" "$name.key"
  works "it signs a request" within openssl req "${provider[@]}" -new -key "$name.key" -subj /CN=vm.example -out "$name.csr"
  works "which verifies without a TPM" openssl req -in "$name.csr" -verify -noout
  works "a CA certifies it" openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -days 2 -extfile san -out "$name.pem"
  flush
  serve -key "$name.key" -cert "$name.pem" -tls1_3
  ask -tls1_3 >out
  says "the server is who its certificate says" "Verified peername: vm.example" out
  says "and answers" "HTTP/1.0 200 ok" out
  end
done
fails "with another vTPM the key file is nothing" env TPM2OPENSSL_TCTI="$(tcti two)" openssl pkeyutl "${provider[@]}" -sign -inkey EC.key -rawin -in san -out none
says "for its parent is another" "0x000001df" out
fails "and without one, too" openssl pkey -in EC.key -noout
stop own; start own
serve -key EC.key -cert EC.pem -tls1_3
ask -tls1_3 >out
says "after a restart the same key serves" "Verified peername: vm.example" out
end
for name in own two; do stop $name; done
exit $failed
