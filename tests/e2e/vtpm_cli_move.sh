#!/usr/bin/env bash
# vTPMs that move between two nodes of one owner, are backed up and restored, by `bastide vtpm`: cut anywhere, taken back,
# and refused where it must be. Second argument: root or user.
set -uo pipefail
. "$(dirname "$0")/two_homes.sh"
keeps() { # what home expected: started, asked, stopped
  does "$1: it starts" 0 "$2" vtpm start vm --on
  check "$1: it holds what it held" "$3" "$(tpm "$2" tpm2_nvread -C o -s 4 0x1500016 2>/dev/null)"
  tpm "$2" tpm2_nvread 0x01c0000a >"$work/in" 2>/dev/null
  does "$1: its certificate is exported" 0 "$2" vtpm export-ek vm --kind p256 --der
  same "$1: and is the one in it" "$work/in" "$work/out"
  does "$1: it stops" 0 "$2" vtpm stop vm
}
nonce=00112233445566778899aabbccddeeff
quotes() { # home: what its VM would, by a key that is made with the first one
  tpm "$1" tpm2_readpublic -c 0x81010002 >/dev/null 2>&1 || {
    tpm "$1" tpm2_createek -G rsa -c "$work/ek" -u "$work/ek.pub" && tpm "$1" tpm2_flushcontext -t
    tpm "$1" tpm2_createak -C "$work/ek" -G ecc -s ecdsa -g sha256 -c "$work/ak" && tpm "$1" tpm2_flushcontext -t
    tpm "$1" tpm2_evictcontrol -C o -c "$work/ak" 0x81010002; tpm "$1" tpm2_flushcontext -t; } >/dev/null 2>&1
  tpm "$1" tpm2_quote -c 0x81010002 -l sha256:0,2 -q $nonce -g sha256 -m "$work/attest" -s "$work/signature" >/dev/null 2>&1
}
verify=(--ak 0x81010002 --quote "$work/attest" --signature "$work/signature" --nonce $nonce)
link() { jq -r ".links[] | select(.link == \"$1\") | .state" "$work/out"; }
# The one in its NV, and what verify makes of it.
platform() { # what home outcome
  does "$1: it starts" 0 "$2" vtpm start vm --on
  tpm "$2" tpm2_nvread 0x01c08000 >"$work/in" 2>/dev/null
  does "$1: its platform certificate is exported" 0 "$2" vtpm export-platform vm
  same "$1: and is the one in it" "$work/in" "$work/out"
  same "$1: which it was made with" "$work/in" "$work/platform"
  quotes "$2"
  does "$1: its quote is verified" 0 "$2" --json vtpm verify vm "${verify[@]}"
  check "$1: by a certificate of where it was made" "ok $3" "$(link ek-certificate) $(link platform-certificate)"
  does "$1: one that is to be of this node" "$([ "$3" = ok ] && echo 0 || echo 5)" "$2" --json vtpm verify vm "${verify[@]}" --platform-certificate "$work/platform"
  does "$1: it stops" 0 "$2" vtpm stop vm
}
make_nodes 25835 28835

# --- a vTPM with something in it
does "a vTPM is made" 0 "$one" vtpm create vm --tenant acme
does "and started" 0 "$one" vtpm start vm --on
tpm "$one" tpm2_nvdefine -C o -s 4 -a "ownerread|ownerwrite" 0x1500016 >/dev/null
printf mine | tpm "$one" tpm2_nvwrite -C o -i- 0x1500016
does "backed up while it runs" 0 "$one" vtpm backup vm -o "$work/backup"
does "stopped" 0 "$one" vtpm stop vm
does "backed up while it does not" 0 "$one" vtpm backup vm -o "$work/backup2"
check "and stays stopped" "" "$(pgrep -f "$one,instance=vm" || true)"
printf meant | head -c4 >"$work/four"
does "a policy of its own" 0 "$one" vtpm policy vm --snapshots
does "and a second" 0 "$one" vtpm policy vm --state-max 65536
cp "$one/owner/vtpm/vm/policy" "$work/second"
does "its platform certificate" 0 "$one" vtpm export-platform vm -o "$work/platform"
platform "where it was made" "$one" ok
does "backed up under that" 0 "$one" vtpm backup vm -o "$work/backup3"

# --- words
does "to where" 2 "$one" vtpm migrate vm
does "two steps at once" 2 "$one" vtpm migrate vm --to "$two" --prepare --finish
does "to where it is" 2 "$one" vtpm migrate vm --to "$one"
does "to nowhere" 6 "$one" vtpm migrate vm --to "$work/nowhere"
does "to where no node is pinned" 6 "$one" vtpm migrate vm --to "$work"
does "one that is not there" 6 "$one" vtpm migrate nobody --to "$two"
does "a restore without its word" 2 "$one" vtpm restore vm "$work/backup"
does "a restore of what is there" 3 "$one" vtpm restore vm "$work/backup" --gone
says "is refused" "is there: bastide vtpm delete vm first" "$work/err"

# --- prepared and taken back
does "prepared" 0 "$one" vtpm migrate vm --to "$two" --prepare
does "nothing landed that could be finished" 3 "$one" vtpm migrate vm --to "$two" --finish
says "the source's copy is usable" "source's copy is usable" "$work/err"
does "taken back" 0 "$one" vtpm migrate vm --to "$two" --abort
check "nothing is left at the destination" "" "$(names "$two")"
does "stopped" 0 "$one" vtpm stop vm
keeps "taken back" "$one" mine

# --- moved, cut anywhere
for cut in 0.1 0.2 0.3 0.4 0.5 0.6 0.8; do
  (cd "$work" && exec "$bin/bastide" --home "$one" vtpm migrate vm --to "$two") >/dev/null 2>&1 </dev/null & moving=$!
  sleep $cut
  kill -9 $moving 2>/dev/null
  wait $moving 2>/dev/null
  [ -e "$one/node/instances/vm" ] || break
done
[ ! -e "$one/node/instances/vm" ] || does "a move that was cut, again and again, is taken up" 0 "$one" vtpm migrate vm --to "$two"
[ ! -e "$one/owner/vtpm/vm" ] || does "what is left of it at the source goes" 0 "$one" vtpm delete vm --yes
check "the source has it no more" "" "$(names "$one")"
check "the destination has" vm "$(names "$two")"
does "it is not running, or was left so" 0 "$two" vtpm stop vm
keeps "moved" "$two" mine
platform "moved" "$two" allowed
does "its policy came along" 0 "$two" --json vtpm policy vm
check "as it was" "2 true 65536 true" "$(jq -r '"\(.serial) \(.snapshots) \(.state_max) \(.installed)"' "$work/out")"
does "the third is signed there" 0 "$two" vtpm policy vm --no-snapshots
does "and served under" 0 "$two" vtpm start vm --on
does "stopped" 0 "$two" vtpm stop vm
does "and back" 0 "$two" vtpm migrate vm --to "$one"
cp "$one/node/instances/vm/workload" "$work/third"
cp "$work/second" "$one/node/instances/vm/workload"
does "where the second counts no more" 7 "$one" vtpm start vm --on
says "for the third went along" "rolled back: its serial is 2, and 3 was seen" "$one/run/vtpm/vm/host.log"
cp "$work/third" "$one/node/instances/vm/workload"
keeps "and back" "$one" mine

# --- lost and restored
does "it is deleted" 0 "$one" vtpm delete vm --yes
printf x | dd of="$work/backup2" bs=1 seek=700 conv=notrunc 2>/dev/null
does "a bent backup" 3 "$one" vtpm restore vm "$work/backup2" --gone
does "what was begun for it goes" 0 "$one" vtpm delete vm --yes
does "no backup at all" 3 "$one" vtpm restore vm "$work/four" --gone
does "of no file" 6 "$one" vtpm restore vm "$work/nothing" --gone
does "restored" 0 "$one" vtpm restore vm "$work/backup" --gone --tenant acme
keeps "restored" "$one" mine
does "deleted" 0 "$one" vtpm delete vm --yes
does "restored, of one that had a policy" 0 "$one" vtpm restore vm "$work/backup3" --gone --tenant acme
says "it is said that there is none here" "machine policy of vTPM vm is not here" "$work/err"
does "so it has the least" 0 "$one" --json vtpm policy vm
check "above what was" "3 false acme" "$(jq -r '"\(.serial) \(.snapshots) \(.tenant)"' "$work/out")"
platform "restored" "$one" ok
cp "$work/second" "$one/node/instances/vm/workload"
does "and an earlier policy counts no more" 7 "$one" vtpm start vm --on
cp "$one/owner/vtpm-backup.key" "$two/owner"
does "it is deleted once more" 0 "$one" vtpm delete vm --yes
does "and restored on the other node" 0 "$two" vtpm restore vm "$work/backup" --gone
keeps "restored there" "$two" mine
exit $failed
