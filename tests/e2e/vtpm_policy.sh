#!/usr/bin/env bash
# What an owner lets happen to a vTPM, by `bastide vtpm policy`; a command that is started from what the monitor measured,
# by `run`; what a node is and where, by `tag`. As root and as an ordinary user. Second argument: root or user.
set -uo pipefail
. "$(dirname "$0")/home_rig.sh"
coap=127.0.0.1:25799 http=127.0.0.1:28799
[ "$as" = user ] && coap=127.0.0.1:25800 http=127.0.0.1:28800
head -c 300000 /dev/urandom >"$work/kernel"
cp "$work/kernel" "$work/other" && echo >>"$work/other"
kernel=$(sha256sum <"$work/kernel" | cut -d' ' -f1) cmdline=$(printf 'quiet root=/dev/vda' | sha256sum | cut -d' ' -f1)

does "init" 0 init --insecure-dev --coap $coap --http $http
does "a vTPM" 0 vtpm create web --tenant acme

# --- a policy
does "without a policy" 6 vtpm policy web
says "what that means is said" "no snapshots" "$work/err"
does "of a vTPM that is not there" 6 vtpm policy nobody --snapshots
does "without a name" 2 vtpm policy
does "a launch that is none" 2 vtpm policy web --launch measured
does "hashes that nothing looks at" 2 vtpm policy web --allow kernel=kernel
does "nothing to enforce" 2 vtpm policy web --launch hash-and-enforce
does "a part that is none" 2 vtpm policy web --launch hash --allow floppy=kernel
does "a hash that is none" 2 vtpm policy web --launch hash --allow-sha256 kernel=12
does "a file that is not there" 6 vtpm policy web --launch hash --allow kernel=nothing
does "two words against each other" 2 vtpm policy web --snapshots --no-snapshots
check "nothing was signed" "" "$(ls "$home/owner/vtpm/web/policy" "$home/node/instances/web/workload" 2>/dev/null)"
does "snapshots are allowed" 0 --json vtpm policy web --snapshots
check "by the first" "1 acme true none true" "$(json '"\(.serial) \(.tenant) \(.snapshots) \(.launch) \(.installed)"')"
cp -p "$home/node/instances/web/workload" "$work/first"
does "it is started under that" 0 vtpm start web --on
does "and stopped" 0 vtpm stop web
does "what a VM may be started from" 0 --json vtpm policy web --launch hash-and-enforce --allow kernel=kernel --allow-sha256 cmdline="$cmdline"
check "is in the second, snapshots as they were" "2 true $kernel $cmdline" \
  "$(json '"\(.serial) \(.snapshots) \(.allowed.kernel[0]) \(.allowed.cmdline[0])"')"
does "it is shown" 0 vtpm policy web
says "in words" "hash-and-enforce" "$work/out"

# --- started from what was measured
does "unmeasured it is not switched on" 9 vtpm start web --on
does "no command" 2 vtpm run web --launch kernel=kernel
does "nothing to measure" 2 vtpm run web -- true
does "another kernel" 15 vtpm run web --launch kernel=other --launch-cmdline 'quiet root=/dev/vda' -- cat '{kernel}'
check "is not started" 0 "$(stat -c %s "$work/out")"
does "no command line" 15 vtpm run web --launch kernel=kernel -- true
does "the kernel that is allowed" 0 vtpm run web --launch kernel=kernel --launch-cmdline 'quiet root=/dev/vda' -- cat '{kernel}'
check "is what the command is given" "$kernel" "$(sha256sum <"$work/out" | cut -d' ' -f1)"
does "the command's failure" 16 vtpm run web --launch kernel=kernel --launch-cmdline 'quiet root=/dev/vda' -- false

# --- served under the third, no earlier one counts
does "the third" 0 --json vtpm policy web --launch none --no-snapshots
check "has no hashes" "3 false 0" "$(json '"\(.serial) \(.snapshots) \([.allowed[] | length] | add)"')"
does "it is started under that" 0 vtpm start web --on
does "and stopped" 0 vtpm stop web
cp -p "$work/first" "$home/node/instances/web/workload"
does "the first again" 7 vtpm start web --on
does "is told from the owner's" 0 --json vtpm policy web
check "as it is" "3 false" "$(json '"\(.serial) \(.installed)"')"
does "a new one takes its place" 0 vtpm policy web --tenant other
does "and is served under" 0 vtpm start web --on

# --- how much it may hold
for bytes in 0 16383 114689 99999999999999999999 -1 16k; do
  does "a limit of $bytes" 2 vtpm policy web --state-max=$bytes
done
says "its range is named" "from 16384 to 114688" "$work/err"
does "one past it at the making" 2 vtpm create bound --state-max 16383
does "and none was begun" 6 vtpm show bound
does "one is made with the least" 0 --json vtpm create bound --state-max 16384
check "which is shown" 16384 "$(json .state_max)"
does "and listed" 0 --json vtpm list
check "beside who has none" "bound 16384, web 114688" "$(json 'map("\(.name) \(.state_max)") | join(", ")')"
does "by a policy" 0 --json vtpm policy bound
check "its first" "1 default 16384 true" "$(json '"\(.serial) \(.tenant) \(.state_max) \(.installed)"')"
does "under which it is started" 0 vtpm start bound --on
fill() { # defines indices until that is refused; how many, and with what code
  local count=0
  while tpm bound tpm2_nvdefine -C o -s 512 $((0x1500000 + $1 + count)) >/dev/null 2>"$work/refusal"; do count=$((count + 1)); done
  echo "$count $(grep -o '0x14B' "$work/refusal" | head -1)" # TPM_RC_NV_SPACE
}
check "beside its certificates there is room for a few indices" yes "$(read -r count code < <(fill 0); [ "$count" -gt 2 ] && [ "$count" -lt 16 ] && [ "$code" = 0x14B ] && echo yes)"
check "and no more" "0 0x14B" "$(fill 100)"
check "what is there is used" yes "$(tpm bound tpm2_nvwrite -C o -i- 0x1500000 <<<mine >/dev/null 2>&1 && tpm bound tpm2_nvread -C o -s 4 0x1500000 2>/dev/null | grep -q mine && echo yes)"
does "stopped" 0 vtpm stop bound
does "another limit" 0 --json vtpm policy bound --state-max 20480
check "is in the second, and leaves all else" "2 20480 none false" "$(json '"\(.serial) \(.state_max) \(.launch) \(.snapshots)"')"
does "started" 0 vtpm start bound --on
check "there is room for more" yes "$(read -r count code < <(fill 200); [ "$count" -gt 2 ] && [ "$code" = 0x14B ] && echo yes)"
does "deleted" 0 vtpm delete bound --yes

# --- what a node is and where
does "the node's own vTPM" 0 vtpm create node
does "is that by its policy" 0 --json vtpm policy node --hypervisor
check "which says so" true "$(json .hypervisor)"
does "while it does not run" 4 vtpm tag node
does "it is started" 0 vtpm start node --on
does "without a tag" 6 vtpm tag node
does "a place that is none" 2 vtpm tag node --at 91,0
does "an asset that is none" 2 vtpm tag node --asset rack
does "an asset twice" 2 vtpm tag node --asset rack=B7 --asset rack=B8
does "a region that is none" 2 vtpm tag node --region Bogota
does "one is written" 0 --json vtpm tag node --asset serial=SN-77 --asset rack=B7 --region CO-DC --at 4.6,-74.1 --days 30
check "and read" "1 B7 SN-77 CO-DC 4.6 -74.1 false" \
  "$(json '"\(.serial) \(.assets.rack) \(.assets.serial) \(.region) \(.latitude) \(.longitude) \(.expired)"')"
check "by anybody" yes "$(tpm node tpm2_nvread 0x1410000 2>/dev/null | grep -qa SN-77 && echo yes)"
does "the node moves" 0 --json vtpm tag node --asset rack=C1 --region CO-ANT
check "the next one counts" "2 C1 CO-ANT" "$(json '"\(.serial) \(.assets.rack) \(.region)"')"
tpm node tpm2_nvundefine 0x1410000 -C p >/dev/null 2>&1
check "and nobody deletes the first" yes "$(tpm node tpm2_nvread 0x1410000 2>/dev/null | grep -qa SN-77 && echo yes)"
does "restarted" 0 vtpm stop node
does "restarted" 0 vtpm start node --on
does "it is still there" 0 vtpm tag node
says "in words" "CO-ANT" "$work/out"
for name in web node; do does "$name is deleted" 0 vtpm delete $name --yes; done
exit $failed
