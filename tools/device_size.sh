#!/usr/bin/env bash
# Flash and RAM of what a device needs of Bastide, built with -Os for Cortex-M4: the size, nothing runs. Without the
# cryptographic library, the C library, sockets and the client room, which all depend on the device.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v arm-none-eabi-gcc >/dev/null && [ -e /usr/lib/arm-none-eabi/include/string.h ] || {
  echo "device-size: no compiler for Cortex-M4; install it (about 600 MB) with" >&2
  echo "  apt-get install --no-install-recommends gcc-arm-none-eabi libnewlib-arm-none-eabi" >&2
  exit 1
}
rooms=(base proto/cbor proto/cose proto/coap proto/oscore proto/eat proto/edhoc proto/attest proto/der proto/pki proto/x509 proto/tpm2
  proto/image proto/enrol verifier/evidence client/device)
out=build/device
rm -rf "$out" && mkdir -p "$out/library"
ln -s /usr/include/mbedtls /usr/include/psa "$out/library/" # these and nothing else of this machine's headers
# gcc has a <stdint.h> of its own, so newlib's <inttypes.h> must be told that there are 64 bits.
flags=(-D__int64_t_defined=1 -std=gnu11 -D_GNU_SOURCE -DNDEBUG -mcpu=cortex-m4 -mthumb -Os -ffunction-sections -fdata-sections -fstack-usage
  -Wall -Wextra -Werror -Icrypto -Icrypto/mbedtls -isystem "$out/library")
for room in "${rooms[@]}"; do flags+=("-I$room"); done
flags+=(-Iclient) # its header alone

compile() { # room sources...
  local room=$1 source
  shift
  mkdir -p "$out/$room"
  for source in "$@"; do arm-none-eabi-gcc "${flags[@]}" -c "$source" -o "$out/$room/$(basename "$source" .c).o"; done
}
for room in "${rooms[@]}"; do compile "$room" "$room"/*.c; done
compile crypto crypto/mbedtls/*.c crypto/hmac.c crypto/length.c

# What a device calls: it connects by EDHOC and judges the hub's certificates and evidence, sends and observes.
calls=(coap_init coap_request coap_input coap_tick coap_output coap_next_timeout coap_cancel coap_body_decode
  coap_option_find coap_options_check coap_options_to coap_put_segments coap_put_option_uint
  edhoc_put_message_1 edhoc_take_message_2 edhoc_verify_message_2 edhoc_put_message_3 edhoc_take_message_4
  edhoc_oscore_input edhoc_error_decode edhoc_choose_suite edhoc_find_ead edhoc_put_x5t edhoc_put_x5chain edhoc_done
  oscore_session_agree oscore_protect_request oscore_unprotect_response oscore_session_done
  attest_binder attest_put_request attest_proposal_decode attest_evidence_open attest_user_data
  x509_check_chain evidence_appraise crypto_init crypto_random crypto_key_generate
  enrol_code_decode device_begin device_decode device_keep device_edhoc device_enrol device_renew)
roots=()
for call in "${calls[@]}"; do roots+=(-u "$call"); done
mapfile -t objects < <(find "$out" -name '*.o' | sort)
# Linked only with itself; what is missing is the libraries'. A call that is gone would be missing too, so look.
arm-none-eabi-ld -r --gc-sections -e coap_request "${roots[@]}" "${objects[@]}" -o "$out/linked.o"
arm-none-eabi-nm "$out/linked.o" >"$out/linked.txt"
for call in "${calls[@]}"; do
  grep -q " T $call\$" "$out/linked.txt" || { echo "device-size: there is no $call() any more" >&2; exit 1; }
done

sum() { arm-none-eabi-size -A "$@" | awk '$1 ~ /^\.(text|rodata|ARM)/ {flash += $2} $1 ~ /^\.(data|bss)/ {ram += $2} END {print flash + 0, ram + 0}'; }
row() { printf '%-34s %8s %8s\n' "$@"; }
row "bytes, Cortex-M4, -Os" flash "static RAM"
for room in "${rooms[@]}" crypto; do
  read -r flash ram < <(sum "$out/$room"/*.o)
  row "${room/#crypto/crypto over Mbed TLS}" "$flash" "$ram"
done
read -r flash ram < <(sum "${objects[@]}")
row "all of it" "$flash" "$ram"
read -r flash ram < <(sum "$out/linked.o")
row "what a device calls, linked" "$flash" "$ram"

echo
row "bytes of RAM, each" "" size
cat >"$out/structs.c" <<'END'
#include "attest.h"
#include "coap_internal.h"
#include "edhoc.h"
#include "oscore.h"
#define SIZE(name) char size_of_##name[sizeof(struct name)];
SIZE(edhoc_session) SIZE(oscore_session) SIZE(crypto_key) SIZE(coap_endpoint) SIZE(coap_exchange) SIZE(coap_peer_slot)
SIZE(coap_recent) SIZE(coap_store)
END
arm-none-eabi-gcc "${flags[@]}" -c "$out/structs.c" -o "$out/structs.o"
arm-none-eabi-nm -S "$out/structs.o" | while read -r _ size _ name; do row "struct ${name#size_of_}" "" "$((16#$size))"; done
echo
echo "largest stack frames of one function:"
cat "$out"/*/*.su "$out"/*/*/*.su | sort -t$'\t' -k2,2nr | head -5 | sed -E 's/^[^:]*\/([^/:]+):[0-9]+:[0-9]+:([^\t]+)\t([0-9]+).*/\3 \2 (\1)/' |
  while read -r size name file; do row "$name $file" "" "$size"; done
