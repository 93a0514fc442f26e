#!/usr/bin/env bash
# An enclave has of libcrypto what it uses and nothing else (enclave/algorithms, without/): to a vTPM's commands that makes no
# difference, for each algorithm that they reach swtpm with all of libcrypto answers the same; and the rest is not there.
set -uo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/vtpm_rig.sh"
needs tpm2_getrandom python3 nm
make_node
cd "$work" || exit 1
start own
mkdir theirs
peer=
extra() { [ -z "$peer" ] || kill "$peer" 2>/dev/null; }
swtpm socket --tpm2 --server type=unixio,path=peer --ctrl type=unixio,path=peer.ctrl --tpmstate dir=theirs --flags startup-clear \
  >peer.log 2>&1 & peer=$!
eventually "a swtpm answers" answers peer
python3 "$here/vtpm_algorithms.py" own peer || failed=1
for enclave in hub vtpm; do
  check "no other algorithm is in $enclave.enclave" "" "$(nm "$build/$enclave.enclave" | grep -oE 'ossl_(sm4128|aria|kdf|dsa_key|to_text|PrivateKeyInfo_der)[a-z0-9_]*functions' | head -3)"
  check "nor files, sockets, certificates or engines of a library's" "" \
    "$(nm "$build/$enclave.enclave" | grep -oE ' (getaddrinfo|localtime_r|X509_new|PEM_read_bio|ENGINE_new|BIO_s_connect|OSSL_HTTP_get|sqlite3Fts5Init[a-z]+|unixOpen)$' | head -3)"
  check "which has a symbol table to look into" 1 "$(nm "$build/$enclave.enclave" | grep -c ' algorithms_use$')"
done
exit $failed
