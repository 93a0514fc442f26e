#!/usr/bin/env bash
# The hub is killed 20 times while a sensor sends and a valve observes: no (key, id context, Partial IV) protects two
# messages, and nothing acknowledged is lost. Capturing the loopback needs root.
set -uo pipefail
bin=$(realpath "$1")
work=$(mktemp -d)
home=$work/home
. "$(dirname "$0")/checks.sh"
jobs=()
[ "$(id -u)" = 0 ] || { echo "skipped: capturing the loopback needs root"; exit 77; }
finish() {
  kill "${jobs[@]}" 2>/dev/null
  "$bin/bastide" --home "$home" down >/dev/null 2>&1
  [ $failed = 0 ] || tail -n 20 "$work"/*.log "$home"/run/*.log
  rm -rf "$work"
}
trap finish EXIT
bastide() { "$bin/bastide" --home "$home" "$@" >>"$work/bastide.log" 2>&1 || bad "bastide $1"; }
hub() { "$bin/bastide" --home "$home" --json status 2>/dev/null | jq -r '.processes.hub.pid // empty'; }
count() { wc -l <"$work/acknowledged"; }

bastide init --insecure-dev --coap 127.0.0.1:25741 --http 127.0.0.1:28741
bastide client add sensor
bastide client add valve
bastide rule add --name echo --when sensor:reading --do valve:set
python3 examples/vacancy/capture.py "$work/wire" 25741 >"$work/capture.log" 2>&1 & capture=$!
"$bin/bastide" --home "$home" --json watch --as valve --coap >"$work/actions" 2>"$work/watch.log" & jobs+=($!)
for i in $(seq 4000); do printf '%s\tsensor\tr-%s\t{"id":"r-%s","type":"reading","properties":{"n":%s}}\n' $((i * 10)) $i $i $i; done >"$work/plan"
"$bin/vacancy-replay" coap://127.0.0.1:25741 "$home/owner/clients" "$work/acknowledged" <"$work/plan" >"$work/result" 2>"$work/replay.log" & replay=$!
jobs+=($replay)
kills=0
for turn in $(seq 20); do
  sleep 0.5
  before=$(count)
  for _ in $(seq 200); do victim=$(hub); [ -n "$victim" ] && [ "$(count)" -gt "$before" ] && break; sleep 0.05; done
  [ -n "$victim" ] && kill -9 "$victim" && kills=$((kills + 1))
done
check "the hub was killed" 20 $kills
# The hub keeps so many actions, and events come faster than a watcher that waits longer each time is back.
kill -STOP $replay
for _ in $(seq 600); do [ "$(wc -l <"$work/actions")" -ge "$(count)" ] && break; sleep 0.1; done
kill -CONT $replay
wait $replay
check "every event was acknowledged in the end" 0 $?
for _ in $(seq 300); do [ "$(wc -l <"$work/actions")" -ge 4000 ] && break; sleep 0.1; done
kill $capture; wait $capture
check "the capture missed nothing" 0 $?
check "every action was told once, in order" 4000 "$(jq .cursor "$work/actions" | uniq | wc -l)"
check "cursors only grow" "$(jq .cursor "$work/actions")" "$(jq .cursor "$work/actions" | sort -nu)"
"$bin/bastide" --home "$home" --json history --source sensor --follow-pages --limit 500 | jq -r .message.id | sort >"$work/kept"
cut -f1 "$work/acknowledged" | sort >"$work/known"
check "all that was acknowledged is in the archive, once" "" "$(diff "$work/known" "$work/kept")"
python3 tests/e2e/nonces.py "$work/wire" 25741 >"$work/nonces"
check "no nonce protects two messages" 0 $?
cat "$work/nonces"
check "there were many" yes "$(jq 'if ."own Partial IV" > 1000 and ."contexts begun" >= 20 then "yes" else "no" end' -r "$work/nonces")"
exit $failed
