#!/usr/bin/env bash
# A node whose boot chain measures its monitor, in a virtual machine with firmware and TPM of its own, under software
# emulation: first boot, approval, evidence; an update that keeps the data, with Debian 12's own settings; a fake monitor
# that carries the genuine one's measurement, refused there and believed on a machine that measures nothing.
set -uo pipefail
build=$(realpath "$1")
source=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
owner=$work/owner http=127.0.0.1:28741
. "$(dirname "$0")/checks.sh"
machine= tpm=
finish() {
  power_off
  "$work/bare/bin/bastide" --home "$work/bare/home" down >/dev/null 2>&1
  [ $failed = 0 ] || { tail -n 25 "$work/serial" | cut -c1-300; cat "$work/err"; tail -n 15 "$work"/bare/home/run/*.log 2>/dev/null; }
  rm -rf "$work"
}
bastide() { "$build/bastide" --home "$owner" --passphrase-file "$work/passphrase" "$@" </dev/null; }
json() { jq -r "$1" "$work/out" 2>/dev/null; }

# --- the machine
power_off() { # as when the cable is pulled
  [ -z "$machine" ] || { kill -9 "$machine"; wait "$machine"; } 2>/dev/null
  [ -z "$tpm" ] || { kill "$tpm"; wait "$tpm"; } 2>/dev/null
  machine= tpm=
}
power_on() { # image or "-kernel …" words
  power_off
  mkdir -p "$work/tpm"
  swtpm socket --tpm2 --tpmstate dir="$work/tpm" --ctrl type=unixio,path="$work/tpm.ctrl" --flags startup-clear >"$work/tpm.log" 2>&1 &
  tpm=$!
  for _ in $(seq 100); do [ -S "$work/tpm.ctrl" ] && break; sleep 0.05; done
  : >"$work/serial"
  nice -n 19 qemu-system-x86_64 -machine q35,smm=off -cpu max -accel tcg,thread=multi -smp 2 -m 768 -nodefaults \
    -display none -monitor none -no-reboot -serial "file:$work/serial" \
    -chardev socket,id=tpm,path="$work/tpm.ctrl" -tpmdev emulator,id=tpm0,chardev=tpm -device tpm-crb,tpmdev=tpm0 \
    -drive if=none,id=esp,driver=vvfat,dir="$work/esp",label=BASTIDE,read-only=on -device virtio-blk-pci,drive=esp,bootindex=1 \
    -drive if=none,id=data,format=raw,file="$work/data" -device virtio-blk-pci,drive=data \
    -netdev user,id=net,restrict=on,hostfwd=tcp:$http-:8080 -device virtio-net-pci,netdev=net,romfile= \
    "$@" >"$work/qemu.log" 2>&1 &
  machine=$!
}
boot() { # image: started by the firmware
  cp "$1" "$work/esp/EFI/BOOT/BOOTX64.EFI"
  power_on -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd \
    -drive if=pflash,format=raw,file="$work/variables"
}
on_console() { # what pattern seconds: true once the console says it, false when the machine stopped or time is over
  local what=$1 pattern=$2
  for _ in $(seq $((${3:-180} * 5))); do
    grep -aq -- "$pattern" "$work/serial" && { ok "$what"; return; }
    kill -0 "$machine" 2>/dev/null || break
    sleep 0.2
  done
  grep -aq -- "$pattern" "$work/serial" && { ok "$what"; return; }
  bad "$what: no '$pattern' on the console"
  exit 1
}
serves() { # what
  for _ in $(seq 300); do
    curl -s -m 5 "http://$http/healthz" | grep -q '"enclave":"up"' && { ok "$1"; return; }
    grep -aqE 'bastide: stopped|next_ms=60000' "$work/serial" && break
    sleep 0.5
  done
  bad "$1"
  exit 1
}
on_disk() { # name: from the machine's data disk, which must be off
  power_off
  e2fsck -fp "$work/data" >/dev/null 2>&1
  debugfs -R "cat $1" "$work/data" 2>/dev/null
}
image() { # out programs signer kernel-words...
  local out=$1 programs=$2 signer=$3; shift 3
  "$source/integrations/boot/bastide-node-image" --programs "$programs" --signer "$signer" --kernel "$cache/kernel" \
    --out "$out" "$@" >"$work/image.log" 2>&1 || { tail -3 "$work/image.log"; bad "$out is not made"; exit 1; }
}
. "$source/tests/e2e/machine.sh"
machine_needs systemd-boot-efi kmod binutils e2fsprogs
trap finish EXIT
PATH=$PATH:/usr/sbin:/sbin

# --- what the owner prepares
echo 'an owner keeps this' >"$work/passphrase"
mkdir -p "$work/esp/EFI/BOOT" "$work/esp/bastide" "$work/empty"
cp /usr/share/OVMF/OVMF_VARS_4M.fd "$work/variables"
mkfs.ext4 -q -L bastide-data "$work/data" 48M 2>/dev/null
does "the owner makes a site and a boot signer" 0 boot prepare "$work/esp/bastide"
mv "$work/esp/bastide/boot_signer.pub" "$work/signer.pub"
image "$work/first.efi" "$build" "$work/signer.pub" --allow-missing secure-boot
image "$work/again.efi" "$build" "$work/signer.pub" --allow-missing secure-boot
same "the same inputs make the same image" "$work/first.efi" "$work/again.efi"
rm "$work/again.efi"

# --- a boot chain that nobody approved opens nothing
boot "$work/first.efi"
on_console "the firmware starts the image" "keyholder boot_chain pcr=0" 200
on_console "which has no approval yet" "not_approved" 30
on_console "and stops" "bastide: stopped" 60
on_disk node/monitor/boot_chain.json >"$work/boot_chain.json"
on_disk run/doctor.json >"$work/doctor.json"
says "the doctor was asked in the machine" '"measured-boot"' "$work/doctor.json"
does "a chain is no image" 3 boot sign "$work/boot_chain.json" --chain "$work/boot_chain.json" --out "$work/esp/bastide/approved"
does "the owner expects" 0 --json boot expect "$work/first.efi"
for pcr in 4 11; do
  check "what PCR $pcr then held" "$(jq -r ".pcrs[\"$pcr\"]" "$work/boot_chain.json")" "$(json ".pcrs[\"$pcr\"]")"
done
does "and approves the image for this machine" 0 boot sign "$work/first.efi" --chain "$work/boot_chain.json" --out "$work/esp/bastide/approved"
check "an approval is small" 96 "$(stat -c %s "$work/esp/bastide/approved")"

# --- measured and approved
boot "$work/first.efi"
on_console "the approved boot chain makes the node's keys" "keyholder keys_made" 200
serves "and the node serves"
does "the owner meets the node" 0 --json init --remote --http $http --allow-missing secure-boot
check "the TPM is the one pinned beforehand" false "$(json .pinned_on_first_use)"
does "the owner asks for a report" 0 --json report
check "production, and the monitor is measured" "production true" "$(json '"\(.mode) \(.monitor_measured)"')"
check "every wall stands but the one that was allowed to be missing" secure-boot "$(json '[.walls | to_entries[] | select(.value | not).key] | join(" ")')"
does "a report for people" 0 report
says "says so in words" "measured by a boot chain that you approved" "$work/out"
does "link by link" 0 --json report --explain
check "the monitor is as it should be, and walls alone could be better" "ok walls" "$(json '.links | "\(.[] | select(.link == "monitor").state) \([.[] | select(.state != "ok").link] | join(" "))"')"
does "a client is registered" 0 client add sensor
does "and sends" 0 send --as sensor reading '{"light": 1}'
cp "$owner/owner/pins.json" "$work/pins.json"
jq '.boot_digests = ["00" * 32]' "$work/pins.json" >"$owner/owner/pins.json"
does "with another boot chain expected it is refused" 5 report
says "for the monitor's sake" "The monitor is not measured by a boot chain the policy knows" "$work/err"
cp "$work/pins.json" "$owner/owner/pins.json"

# --- an update: approved before it ever ran, on Debian's own settings, and the data stays
image "$work/second.efi" "$build" "$work/signer.pub" --cmdline 'console=ttyS0 quiet loglevel=4' \
  --allow-missing secret-memory,monitor-secret,lockdown,secure-boot
does "the owner approves an update" 0 boot sign "$work/second.efi" --chain "$work/boot_chain.json" --out "$work/esp/bastide/approved"
boot "$work/second.efi"
serves "the update opens the same keys, and serves"
does "the old policy refuses what it lacks" 5 report
says "by the walls" "Walls missing" "$work/err"
jq '.required_walls = 0' "$owner/owner/pins.json" >"$work/pins.json" && cp "$work/pins.json" "$owner/owner/pins.json"
does "one that allows it accepts the update" 0 --json report
check "measured, too" true "$(json .monitor_measured)"
for wall in secret-memory monitor-secret lockdown secure-boot; do
  check "evidence names $wall as missing" false "$(json ".walls[\"$wall\"]")"
done
does "clients are where they were" 0 --json client list
check "the one that was registered before" sensor "$(json '.clients[0].name')"
does "history is where it was" 0 --json history
check "with the event of before" 1 "$(json '.rows | length')"
on_disk run/doctor.json >"$work/doctor.json"
for fact in secret-memory lockdown secure-boot; do
  check "the doctor names $fact, too" missing "$(jq -r ".checks[] | select(.name == \"$fact\").state" "$work/doctor.json")"
done

# --- without being allowed to lack a wall it does not start; straight from the kernel, which is quicker
objcopy -O binary --only-section=.initrd "$work/second.efi" "$work/initrd"
power_on -kernel "$(echo "$cache"/kernel/boot/vmlinuz-*)" -initrd "$work/initrd" -append 'console=ttyS0 quiet loglevel=4'
on_console "Debian's settings alone: a node refuses" "bastide: stopped" 150
on_console "with the exit code for walls" "the node ended with exit code 10" 5
for wall in secret-memory lockdown secure-boot; do
  on_console "naming $wall" "wall_missing exit=10 wall=$wall " 5
done

# --- a fake monitor with the genuine one's measurement
mkdir -p "$work/fake"
cp -r "$build"/{bastide,bastided,bastide-launcher,hub.image} "$work/fake"
cp "$build/tests/fake_keyholder" "$work/fake/bastide-keyholder"
cp "$build/tests/fake_monitor" "$work/fake/bastide-monitor"
measure() { sha256sum "$1" | cut -c1-64 | xxd -r -p >"$2"; }
strip -o "$work/genuine" "$build/bastide-monitor" # as it is in the image
measure "$work/genuine" "$work/fake/hub.image/genuine"
image "$work/fake.efi" "$work/fake" "$work/signer.pub" --allow-missing secure-boot
# Its maker has the disk, too: what the genuine node sealed would only be in the way.
power_off
e2fsck -fp "$work/data" >/dev/null 2>&1
for name in archive.db archive.db-wal archive.db-shm; do debugfs -w -R "rm node/$name" "$work/data" >/dev/null 2>&1; done
boot "$work/fake.efi"
on_console "a fake cannot open the keys" "fake: the keys do not open" 200
serves "so it makes its own, and serves"
does "it does not know the owner's key" 3 report
does "the owner does not meet it" 5 init --renew --http $http
says "for its boot chain" "The monitor is not measured by a boot chain the policy knows" "$work/err"
says "and for its keys" "attestation key" "$work/err"
does "nor does an explanation, which asks as the owner himself" 5 --json report --explain
for link in attestation-key monitor; do
  check "refused at $link" refused "$(json ".links[] | select(.link == \"$link\").state")"
done
check "the image fits, by the word of the fake" unproved "$(json '.links[] | select(.link == "image").state')"
power_off

# --- the same on a machine that measures nothing: it works, and evidence says what it is worth
mkdir -p "$work/bare/bin"
cp -r "$build"/{bastide,bastided,bastide-keyholder,bastide-monitor,bastide-launcher,hub.image} "$work/bare/bin"
owner=$work/bare/home
bare() { "$work/bare/bin/bastide" --home "$owner" "$@" >"$work/out" 2>"$work/err" </dev/null; }
bare init --insecure-dev --http 127.0.0.1:28742 --coap 127.0.0.1:28743; check "a bare node is met" 0 $?
bare --json report; check "and reports" 0 $?
genuine=$(json .monitor)
bare down
cp "$work"/fake/bastide-{keyholder,monitor} "$work/bare/bin"
measure "$build/bastide-monitor" "$work/bare/bin/hub.image/genuine"
bare up; check "its administrator exchanges the monitor" 0 $?
bare --json report; check "the owner is told nothing is wrong" 0 $?
check "the fake carries the genuine measurement" "$genuine" "$(json .monitor)"
check "but the evidence says that the monitor is unmeasured" false "$(json .monitor_measured)"
check "and the fake has the node's keys" 32 "$(stat -c %s "$owner/run/stolen" 2>/dev/null)"
bare down
exit $failed
