#!/bin/sh
# build-module.sh in.wasm out.so: validate, translate and compile one WebAssembly module into an object that the run-time
# linker takes. No experimental wasm feature is ever enabled. The same input and tools give the same bytes.
set -eu
[ $# -eq 2 ] || { echo "usage: build-module.sh in.wasm out.so" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wasm-validate "$1"
wasm2c "$1" -n module -o "$work/translated.c"
# wasm2c pins every loaded value in an integer register, so that a load which nobody needs still traps. Without the pin such
# a load is left out; nothing else changes, and floating point stops moving between register files.
sed -i 's/wasm_asm("" ::"r"(result));//' "$work/translated.c"
clash=-fstack-clash-protection
machine=$(uname -m)
[ "$machine" = x86_64 ] || clash=
# No errno by the C library, no contracted floating point, no recursion turned into loops: WebAssembly's own arithmetic.
clang -O2 -fPIC -shared -nostdlib -DNDEBUG -w -fno-math-errno -ffp-contract=off -fno-optimize-sibling-calls -fno-stack-protector $clash \
  -fno-asynchronous-unwind-tables -fno-ident -DMODULE_SOURCE='"translated.c"' -I"$work" "$here/guest/module.c" \
  -fuse-ld=lld -Wl,-z,separate-code -Wl,-z,max-page-size=4096 -Wl,-z,norelro -Wl,-z,noexecstack \
  -Wl,--hash-style=sysv -Wl,-Bsymbolic -Wl,--build-id=none -Wl,-s -o "$work/object.so"
mv "$work/object.so" "$2"
