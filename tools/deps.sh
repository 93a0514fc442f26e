#!/usr/bin/env bash
# Install what is missing from Debian 12 packages and npm; say what, and do nothing the second time.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  cmake ninja-build gcc libc6-dev clang lld clang-format libclang-rt-14-dev   # toolchain, sanitizers, libFuzzer
  wabt wasi-libc libclang-rt-14-dev-wasm32                                    # compartments
  libssl-dev libmbedtls-dev libsqlite3-dev libmicrohttpd-dev libcurl4-openssl-dev libjansson-dev
  libtss2-dev swtpm tpm2-tools libseccomp-dev libqrencode-dev
  libtpms-dev                                                                 # the TPM inside vtpm.enclave
  libp11-kit-dev softhsm2 libtpm2-pkcs11-1                                    # the owner's key in a token; two to test with
  tpm2-openssl                                                                # a TLS key in a vTPM
  libcmocka-dev libcoap3-bin valgrind curl openssl jq xxd procps faketime bsdutils zbar-tools             # tests and their peers
  bubblewrap                                                                  # a container that has a vTPM
  nodejs npm git python3
  python3-pyasn1-modules                                                      # reads attribute certificates, which openssl 3.0 does not
  busybox-static cpio zstd binutils kmod systemd-boot-efi e2fsprogs           # a node's image
)
# The machine it is booted in is emulated for x86-64 only.
# libvirt, which starts it with our programs in swtpm's place: 3 MB, with neither networks, nor polkit, nor a running daemon;
# swtpm_ioctl, by which it ends a TPM, is in swtpm-tools. A VM's disks and variables that snapshots go into are qemu-img's (qemu-utils).
[ "$(uname -m)" != x86_64 ] || packages+=(qemu-system-x86 qemu-utils ovmf libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients swtpm-tools)
missing=()
for package in "${packages[@]}"; do
  # A machine may have Node.js from elsewhere; what counts is that the command is there.
  case $package in nodejs) command -v node >/dev/null && continue ;; npm) command -v npm >/dev/null && continue ;; esac
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "deps: these Debian packages are missing and need root: ${missing[*]}" >&2; exit 1; }
    root=(sudo)
  fi
  echo "deps: installing ${missing[*]}"
  "${root[@]}" apt-get update -qq
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
if [ -f package-lock.json ] && ! cmp -s package-lock.json node_modules/.bastide-lock; then
  echo "deps: npm ci"
  npm ci --silent --no-fund --no-audit --ignore-scripts
  cp package-lock.json node_modules/.bastide-lock
fi
