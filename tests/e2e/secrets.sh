#!/usr/bin/env bash
# As root: every way of reading another process's memory, over monitor, key holder, hub and bastided while a script runs,
# finds none of four planted secrets — an event's body, an OSCORE secret, a stored row, a script's variable. The control
# is the same node with secret memory switched off, where the same scan finds each of them. What the `linux` port does
# lose is shown as lost: registers can be read, and injected code copies secret memory out.
set -uo pipefail
build=$(realpath "$1")
bin=$build
work=$(mktemp -d)
home=$work/home
. "$(dirname "$0")/checks.sh"
replay=
[ "$(id -u)" = 0 ] || { echo "skipped: reading other processes' memory needs root"; exit 77; }
finish() {
  [ -z "$replay" ] || kill "$replay" 2>/dev/null
  "$bin/bastide" --home "$home" down >/dev/null 2>&1
  [ $failed = 0 ] || tail -n 20 "$work"/*.log "$home"/run/*.log
  rm -rf "$work"
}
trap finish EXIT
more() { if [ "${2:-0}" -gt 0 ]; then ok "$1 ($2)"; else bad "$1: none"; fi; }
bastide() { "$bin/bastide" --home "$home" "$@" >>"$work/bastide.log" 2>&1 || bad "bastide $1 $2: exit code $?"; }
random() { head -c 32 /dev/urandom | xxd -p -c 64; }
pid() { "$bin/bastide" --home "$home" --json status | jq -r ".processes.$1.pid // empty"; }
text() { printf '%s' "$1" | xxd -p -c 200; } # a secret that travels in JSON is planted as its hex digits
scan() { # needles paths pid -> sum of a column: 3 bytes, 5 hits
  "$bin/bastide-scan" --needles "$1" --paths "$2" "$3" 2>>"$work/scan.log" | tee -a "$work/scan.log" | awk -F'\t' -v n="$4" '{s += $n} END {print s + 0}'
}

# A rule that keeps a secret in a variable while it works for some milliseconds, and whose text, which is a stored row,
# holds another. The variable's value stands nowhere in the text: it is put together as the script runs.
start() { # up-options...
  "$bin/bastide" --home "$home" down >/dev/null 2>&1
  rm -rf "$home"
  body=$(random) row=$(random) variable=$(random)
  bastide init --insecure-dev --coap 127.0.0.1:25731 --http 127.0.0.1:28731 "$@"
  bastide client add sensor --algorithm A256GCM
  cat >"$work/condition.js" <<JS
(event) => {
  const row = "$row", halves = ["${variable:0:32}", "${variable:32}"];
  const key = halves.map(half => half.slice(0)).join("");
  let sum = 0;
  for (let i = 0; i < 300000; i++) sum = (sum * 31 + key.charCodeAt(i % 64)) | 0;
  return row.length + sum === -1;
}
JS
  bastide rule add --name busy --when sensor:reading --condition "$work/condition.js" --do sensor:never
  secret=$(dd if="$home/owner/clients/sensor" bs=1 skip=4 count=32 status=none | xxd -p -c 64)
  for name in body row variable; do text "${!name}" >"$work/$name"; done
  echo "$secret" >"$work/oscore"
  cat "$work"/{body,row,variable,oscore} >"$work/all"
  keep_busy
}
round=0
keep_busy() { # with events, each of which is new and so starts the script, one after the other until they are stopped
  [ -z "$replay" ] || { kill "$replay"; wait "$replay"; } 2>/dev/null
  rm -f "$work/acknowledged"
  round=$((round + 1))
  seq 20000 | awk -v round=$round -v body="$body" '{id = round "-" $1; printf "0\tsensor\t%s\t{\"id\":\"%s\",\"type\":\"reading\",\"properties\":{\"key\":\"%s\"}}\n", id, id, body}' >"$work/plan"
  "$bin/vacancy-replay" coap://127.0.0.1:25731 "$home/owner/clients" "$work/acknowledged" <"$work/plan" >/dev/null 2>"$work/replay.log" & replay=$!
  for _ in $(seq 200); do [ -s "$work/acknowledged" ] && break; sleep 0.1; done
}
busy() { # the script runs: events, each of which starts it, are acknowledged one after the other
  local before=$(wc -l <"$work/acknowledged")
  for _ in $(seq 100); do sleep 0.1; [ "$(wc -l <"$work/acknowledged")" -gt "$before" ] && return; done
  return 1
}
serves() { for _ in $(seq 300); do "$bin/bastide" --home "$home" status >/dev/null 2>&1 && return; sleep 0.1; done; bad "the node serves again"; }

paths=mem,process_vm_readv,ptrace_peek,map_files,fd,pidfd_getfd
start
busy && ok "a script is running" || bad "a script is running"
control=$(scan "$work/all" mem $replay 5)
more "the scan finds the secrets in the client, whose memory is ordinary" "$control"
for process in monitor keyholder hub bastided; do
  for path in ${paths//,/ }; do check "$path of $process finds nothing" 0 "$(scan "$work/all" "$path" "$(pid $process)" 5)"; done
  more "though much of $process can be read" "$(scan "$work/all" mem "$(pid $process)" 3)"
done
busy && ok "the script ran on all the while" || bad "the script ran on all the while"

# Lost rows: told, shown.
more "lost: registers can be read" "$(scan "$work/all" registers "$(pid hub)" 3)"
# The way out is the door that bastided serves: it stands still meanwhile, or would have the hub ended for a broken door.
host=$(pid bastided)
kill -STOP "$host"
more "lost: injected code copies secret memory out" "$(scan "$work/all" inject "$(pid hub)" 5)"
kill -CONT "$host"
serves
for process in hub bastided monitor; do
  keep_busy
  check "a core dump of $process holds nothing" 0 "$(scan "$work/all" core "$(pid $process)" 5)"
  serves
done

# The control: one wall less, and the same scan finds every secret.
start --no-secret-memory
busy && ok "control: a script is running" || bad "control: a script is running"
for name in body row variable oscore; do
  for path in mem process_vm_readv ptrace_peek; do
    hits=0
    for _ in 1 2 3 4 5; do hits=$(scan "$work/$name" $path "$(pid hub)" 5); [ "$hits" -gt 0 ] && break; done
    more "control: $path finds the $name secret" "$hits"
  done
done
check "control: the evidence says that the wall is missing" false "$("$bin/bastide" --home "$home" --json report | jq '.walls."secret-memory"')"
exit $failed
