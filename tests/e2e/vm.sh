#!/usr/bin/env bash
# The example of a VM with a vTPM, to its end: OVMF measures itself into it, twice alike, and what it kept is still there.
set -uo pipefail
. "$(dirname "$0")/checks.sh"
needs swtpm openssl tpm2_pcrread qemu-system-x86_64
[ -r /usr/share/OVMF/OVMF_CODE_4M.fd ] || { echo "skipped: ovmf is missing (make deps installs it)"; exit 77; }
exec "$PWD/examples/vm.sh" "$(realpath "$1")"
