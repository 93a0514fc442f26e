#!/usr/bin/env bash
# Every subcommand against a real node, as root and as an ordinary user: what it prints, its exit codes, and what is left
# behind. Second argument: root or user.
set -uo pipefail
build=$(realpath "$1")
as=${2:-root}
[ "$as" = root ] && [ "$(id -u)" != 0 ] && as=user
work=$(mktemp -d)
bin=$work/bin home=$work/home
coap=127.0.0.1:25701 http=127.0.0.1:28701
[ "$as" = user ] && coap=127.0.0.1:25702 http=127.0.0.1:28702
. "$(dirname "$0")/checks.sh"
watcher=
# As an ordinary user in a run by root: programs and home where that user reaches them.
run=()
[ "$as" = user ] && [ "$(id -u)" = 0 ] && run=(setpriv --reuid=43211 --regid=43211 --clear-groups --inh-caps=-all --bounding-set=-all)
finish() {
  [ -z "$watcher" ] || kill "$watcher" 2>/dev/null
  "${run[@]}" "$bin/bastide" --home "$home" down >/dev/null 2>&1
  [ $failed = 0 ] || tail -n 40 "$home"/run/*.log
  rm -rf "$work"
}
trap finish EXIT
bastide() { (cd "$work" && exec "${run[@]}" "$bin/bastide" --home "$home" "$@" </dev/null); }
json() { jq -r "$1" "$work/out" 2>/dev/null; }
pid() { cut -d' ' -f1 "$home/run/$1.pid"; }
health() { curl -s -m 5 "http://$http/healthz" | grep -q '"enclave":"up"'; }
demands swtpm openssl setpriv jq curl
mkdir -p "$bin"
cp -r "$build"/{bastide,bastided,bastide-keyholder,bastide-monitor,bastide-launcher,hub.image} "$bin"
cp examples/vacancy/{condition.js,transform.js,sample.json} "$work"
chmod 755 "$work"
[ ${#run[@]} = 0 ] || chown -R 43211:43211 "$work"

# --- words
does "no command" 2
does "an unknown command" 2 frobnicate
does "an unknown option" 2 up --frobnicate
says "is named" "there is no option --frobnicate" "$work/err"
does "help" 0 --help
for command in init up down status client send watch rule history report; do
  does "help of $command" 0 "$command" --help
  says "has examples" "^Examples:" "$work/out"
done
does "the manual" 0 help manual
same "is docs/cli.md: bastide help manual >docs/cli.md" "$work/out" docs/cli.md
does "errors as JSON" 2 --json up --frobnicate
check "have the exit code in them" 2 "$(jq .exit "$work/err")"

# --- before there is anything
for command in up status report "client list" "rule list" history "send --as a t {}" "watch --as a --once"; do
  does "$command without a site" 6 $command
done
does "down without a site" 0 down
[ -e /dev/tpmrm0 ] || does "production without a TPM" 9 init
does "a site of production with a software TPM" 3 init --tcti swtpm:path=x --coap $coap --http $http
does "an image that is not there" 12 init --insecure-dev --image nowhere --coap $coap --http $http
check "none of these made anything" no "$([ -e "$home/owner/configuration" ] && echo yes || echo no)"

# --- init
does "init" 0 --json init --insecure-dev --coap $coap --http $http
check "tells that the TPM was pinned on first use" true "$(json .pinned_on_first_use)"
site=$(json .site) measurement=$(json .measurement)
check "keys are private" "600 600 600 600" "$(stat -c %a "$home"/owner/{owner.key,session.key,session.crt,pins.json} | xargs)"
check "the home is private" "700 700" "$(stat -c %a "$home" "$home/owner" | xargs)"
openssl verify -CAfile "$home/owner/owner.crt" "$home/owner/owner.crt" >/dev/null 2>&1; check "the certificate verifies" 0 $?
check "it is of the key" "$(openssl pkey -in "$home/owner/owner.key" -pubout 2>/dev/null)" "$(openssl x509 -in "$home/owner/owner.crt" -pubkey -noout)"
same "owner and node have one configuration" "$home/owner/configuration" "$home/node/configuration"
check "the attestation key was proved" 68 "$(jq -r .ak_name "$home/owner/pins.json" | tr -d '\n' | wc -c)"
before=$(sha256sum "$home"/owner/{owner.key,session.key,session.crt,site-ca.crt,configuration,pins.json})
does "init again" 0 --json init --insecure-dev
check "keeps the site" "$site false" "$(json .site) $(json .new_session)"
check "and every file" "$before" "$(sha256sum "$home"/owner/{owner.key,session.key,session.crt,site-ca.crt,configuration,pins.json})"
does "init without naming the mode" 0 init
does "init --renew" 0 --json init --renew
check "meets the node once more" true "$(json .new_session)"
does "up while it is up" 0 --json up
check "starts nothing" false "$(json .started)"
does "up with other settings" 3 up --http 127.0.0.1:28799
does "another endorsement key than pinned" 3 init --renew --ek-name "000b$(printf '0%.0s' $(seq 64))"

# --- status and report
does "status" 0 --json status
check "the node serves" "serving" "$(json .node)"
check "its processes" "bastided hub keyholder monitor swtpm up" "$(json '.processes | keys | sort | join(" ")')"
check "its site" "$site" "$(json .hub.site)"
check "its storage" works "$(json .hub.storage.state)"
does "status for people" 0 status
does "report" 0 --json report
check "what it proves" "true $measurement insecure-dev" "$(json '"\(.verified) \(.measurement) \(.mode)"')"
does "report for people" 0 report
says "walls in words" "^missing" "$work/out"
does "a wall that does not stand" 5 report --require secure-boot,lockdown,no-ptrace,signed-modules
does "a wall that is none" 2 report --require moat
does "a measured monitor, which this node cannot have" 5 report --require measured-monitor
says "says so" "The monitor is not measured" "$work/err"
does "a measured monitor and walls" 5 report --require secure-boot,measured-monitor,lockdown,no-ptrace,signed-modules
says "names the walls, too" "Walls missing" "$work/err"
does "report link by link" 0 report --explain
says "from the hub" "^ok  *hub " "$work/out"
says "to the session" "^ok  *session " "$work/out"
says "with what is allowed and could be better" "^allowed  *monitor " "$work/out"
does "the same for programs" 0 --json report --explain
check "is a list of links" "true 14" "$(json '"\(.verified) \(.links | length)"')"
check "none refused and all looked at" "allowed ok" "$(json '[.links[].state] | unique | join(" ")')"
refused() { json '[.links[] | select(.state == "refused").link] | join(" ")'; }
does "a wall that does not stand, explained" 5 --json report --explain --require secure-boot,lockdown,no-ptrace,signed-modules
check "is the link of walls" "false walls" "$(json .verified) $(refused)"
check "what was required this once is not kept" 0 "$(jq .required_walls "$home/owner/pins.json")"
cp "$home/owner/pins.json" "$work/pins.json"
pins() { jq "$1" "$work/pins.json" >"$home/owner/pins.json"; }
pins '.freshness.nv_counter += 1000'
does "evidence older than what was seen" 5 report
says "says so" "refused" "$work/err"
does "and so does the explanation" 5 --json report --explain
check "at its link, the others being what they are" "freshness" "$(refused)"
pins '.freshness.sequence += 1000'; does "an older sequence" 5 report
pins '.measurement = ("0" * 64)'; does "another measurement" 5 report
says "and what to do" "init --renew" "$work/err"
does "explained" 5 report --explain
says "names link and what to do" "^REFUSED  *image " "$work/out"
says "from where" "owner/pins.json: measurement" "$work/out"
says "and ends in a sentence" "refused at: image" "$work/err"
pins '.ek_name = "000b" + ("0" * 64)'; does "another TPM" 5 --json report --explain
check "leaves nothing proved" "tpm 10" "$(refused) $(json '[.links[] | select(.state == "unproved")] | length')"
pins '.ak_name = "000b" + ("0" * 64)'; does "another attestation key" 5 report
does "explained" 5 --json report --explain
check "is its link" attestation-key "$(refused)"
pins '.measurement = "xx"'; does "pins that are none" 3 report
pins .
does "report once more" 0 report

rm "$home/owner/pins.json"
does "first contact with another endorsement key than told" 5 init --renew --ek-name "000b$(printf '0%.0s' $(seq 64))"
says "names the one that answered" "$(jq -r .ek_name "$work/pins.json")" "$work/err"
does "and with the one that is told" 0 --json init --renew --ek-name "$(jq -r .ek_name "$work/pins.json")"
check "is not pinned on first use" false "$(json .pinned_on_first_use)"
does "no endorsement key" 2 init --renew --ek-name 00
several=()
for i in 1 2 3 4 5; do (cd "$work" && exec "${run[@]}" "$bin/bastide" --home "$home" status) >/dev/null 2>"$work/err.$i" & several+=($!); done
for i in "${several[@]}"; do wait "$i"; check "several at once take turns" 0 $?; done

# --- clients
for name in sensor phone valve; do does "client add $name" 0 client add $name; done
check "a client's secret is private" 600 "$(stat -c %a "$home/owner/clients/sensor")"
does "a name twice" 3 client add sensor
says "is refused with its field" "name \"sensor\" is taken" "$work/err"
does "a name that is none" 2 client add ../x
does "an algorithm that is none" 3 client add other --algorithm ROT13
does "another algorithm" 0 client add browser --algorithm A128GCM
does "client list" 0 --json client list
check "all of them" "browser phone sensor valve" "$(json '[.clients[].name] | sort | join(" ")')"
check "their keys are here" true "$(json '[.clients[].key_here] | all')"
does "client remove" 0 client remove browser
check "takes its secret away" no "$([ -e "$home/owner/clients/browser" ] && echo yes || echo no)"
does "a client that is not there" 6 client remove browser

# --- rules
add_rule=(rule add --name vacancy --when sensor:reading --condition condition.js --reads phone:presence --reads phone:planner --do valve:heating --transform transform.js)
does "rule add from options" 0 "${add_rule[@]}" --sample sample.json
jq -n '{name: "copy", when: [{source: "sensor", type: "level", condition: "@condition.js"}], do: [{target: "valve", type: "copy"}]}' >"$work/rule.json"
does "rule add from a file" 0 rule add rule.json
echo '() => { throw new Error("no") }' >"$work/throws.js"
does "a script that fails on its sample" 3 rule add --name bad --when '*:reading' --condition throws.js --do valve:x --sample sample.json
echo '() => {' >"$work/broken.js"
does "a script that is none" 3 rule add --name bad --when '*:reading' --condition broken.js --do valve:x
does "a file that is not there" 6 rule add none.json
echo '() => true' >"$work/always.js"
does "a rule that always fires" 0 rule add --name always --when sensor:alarm --condition always.js --do valve:alarm
does "rule list" 0 --json rule list
check "all of them" "always copy vacancy" "$(json '[.rules[].name] | sort | join(" ")')"
does "rule test" 0 --json rule test always '{"source":"sensor","type":"alarm","properties":{"n":23.70}}'
check "what would happen" "true alarm" "$(json '"\(.fired) \(.actions[0].type)"')"
does "a rule that is not there" 6 rule test none '{"source":"sensor","type":"alarm"}'
does "an event that is none" 3 rule test always '{"source":1}'
does "rule remove" 0 rule remove copy
does "a rule removed twice" 6 rule remove copy

# --- events
does "send over HTTP" 0 --json send --as sensor alarm '{"n": 23.70}' --id one --time 2015-02-02T14:19:00Z
check "is accepted" "1 0" "$(json '"\(.accepted) \(.duplicates)"')"
does "the same once more, over CoAP" 0 --json send --as sensor alarm '{"n": 23.70}' --id one --coap
check "is no second event" "0 1" "$(json '"\(.accepted) \(.duplicates)"')"
echo '{"n": 2}' >"$work/event.json"
does "send @FILE" 0 send --as sensor alarm @event.json --source sensor/office --coap
(cd "$work" && echo '[{"type":"other"},{"type":"other","properties":{"n":3}}]' | "${run[@]}" "$bin/bastide" --home "$home" --json send --as sensor --format events - >"$work/out" 2>"$work/err")
check "two events from standard input" 2 "$(json .accepted)"
does "SenML" 0 --json send --as sensor --format senml '[{"bn":"urn:dev:","n":"temperature","u":"Cel","v":23.7}]'
check "is accepted" 1 "$(json .accepted)"
does "another client's source" 3 send --as sensor alarm '{}' --source phone
does "properties that are no object" 3 send --as sensor alarm 5
does "properties that are no JSON" 3 send --as sensor alarm '{'
does "a client without a key" 6 send --as nobody alarm '{}'
does "no client" 2 send alarm '{}'
does "both ways at once" 2 send --as sensor alarm '{}' --coap --http
python3 -c 'print("{\"x\":\"" + "y" * 65500 + "\"}")' >"$work/large.json"
does "a body past the session's limit" 3 send --as sensor alarm @large.json
says "names the limit" 65535 "$work/err"
python3 -c 'print("{\"x\":\"" + "y" * 2500 + "\"}")' >"$work/large.json"
does "a body that is none too long" 0 send --as sensor alarm @large.json
does "up with another limit while it runs" 3 up --body-max 2048
does "down for another limit" 0 down
does "up with a limit below the least" 2 up --body-max 1023
does "up with another limit" 0 up --body-max 2048
does "a body past that limit" 3 send --as sensor alarm @large.json
says "names that limit" 2048 "$work/err"
does "down for the old limit" 0 down
does "up with the old limit" 0 up --body-max 65536

# --- watch
does "watch --once" 0 --json watch --as valve --once
check "has the action" 1 "$(jq -c 'select(.type == "alarm" and .properties.n == 23.7)' "$work/out" | wc -l)"
cursor=$(jq -s '[.[].cursor] | max' "$work/out")
does "nothing more" 6 watch --as valve --once --wait 0 --after "$cursor"
for way in --http --coap; do
  (cd "$work" && exec "${run[@]}" "$bin/bastide" --home "$home" --json watch --as valve --after "$cursor" $way) >"$work/watch" 2>"$work/watch.err" & watcher=$!
  sleep 1
  does "send while valve is watched $way" 0 send --as sensor alarm "{\"way\":\"$way\"}"
  eventually "watch $way prints it" grep -q -- "\"way\": *\"$way\"" "$work/watch"
  kill $watcher; wait $watcher 2>/dev/null; watcher=
  cursor=$(jq -s '[.[].cursor] | max' "$work/watch")
done

# --- history
does "history" 0 --json history --limit 3
check "has three rows" 3 "$(json '.rows | length')"
does "all pages" 0 --json history --follow-pages --limit 2
rows=$(wc -l <"$work/out")
check "newest first" true "$(jq -s '[.[].sequence] | . == (sort | reverse)' "$work/out")"
check "numbers as they were written" 1 "$(grep -c '23\.70' "$work/out")"
does "of a source and type" 0 --json history --source sensor/office --type alarm --follow-pages
check "is what was sent" 1 "$(wc -l <"$work/out")"
does "before there was anything" 0 --json history --to 2015-01-01T00:00:00Z
check "is empty" 0 "$(json '.rows | length')"
does "a time that is none" 3 history --from 12
does "a limit that is none" 2 history --limit 501
does "history for people" 0 history --limit 1

# --- what ends, and what comes back
kill -9 "$(pid bastided)"; eventually "bastided is started again" health
does "status" 0 --json status; kill -9 "$(json .processes.hub.pid)"; eventually "the hub is launched again" health
kill -9 "$(pid swtpm)"; sleep 0.5; eventually "TPM and key holder are started again" health
kill -9 "$(pid up)"; does "up finds what a killed supervisor left" 0 up
does "status after all that" 0 --json status
does "down" 0 --json down
check "stops" true "$(json .stopped)"
does "down again" 0 --json down
check "stops nothing" false "$(json .stopped)"
check "no process is left" "" "$(pgrep -f "$home" || true)"
for command in status report "report --explain" "client list" "rule list" history "send --as sensor t {}"; do
  does "$command while it is down" 4 $command
done
does "up" 0 --json up
check "starts" true "$(json .started)"
does "the session holds" 0 status
does "history after a restart" 0 --json history --follow-pages
check "has every row" "$rows" "$(wc -l <"$work/out")"
does "clients hold" 0 send --as sensor alarm '{}'
does "evidence is fresh" 0 report

# --- for a service manager
does "down" 0 down
(cd "$work" && exec "${run[@]}" "$bin/bastide" --home "$home" up --foreground) >"$work/out" 2>"$work/foreground" & watcher=$!
eventually "in the foreground it serves" health
does "a second one" 3 up --foreground
kill -TERM $watcher; wait $watcher; check "SIGTERM stops it cleanly" 0 $?; watcher=
check "and all it started" "" "$(pgrep -f "$home" || true)"
says "the counter moved" "stopped exit=0 counter=" "$home/run/keyholder.log"

# --- a start that is refused leaves nothing running
settings=$(sha256sum <"$home/run/node.json")
does "a wall that is missing" 10 up --require secure-boot,lockdown,no-ptrace,signed-modules
cp -r "$bin/hub.image" "$work/bent"; chmod u+w "$work"/bent/*; printf x >>"$work/bent/hub.enclave"
[ ${#run[@]} = 0 ] || chown -R 43211:43211 "$work/bent"
does "a bent image" 12 up --image bent
if [ "$as" = user ]; then # root may lock as much as it likes
  whole=("${run[@]}"); run=(prlimit --memlock=65536:65536 "${run[@]}")
  does "a memory lock limit that is too small" 11 up
  says "names it" "RLIMIT_MEMLOCK is 65536 bytes" "$work/err"
  run=("${whole[@]}")
fi
mv "$home/tpm" "$work/tpm"; "${run[@]}" mkdir -m 700 "$home/tpm"
does "another TPM" 9 up
says "says so" "another TPM than" "$work/err"
rm -rf "$home/tpm"; mv "$work/tpm" "$home/tpm"
does "a software TPM's site on a device" 3 up --tcti device:/dev/tpmrm0
python3 -c 'import socket, sys, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen(); print("taken", flush=True); time.sleep(100)' "${http##*:}" >"$work/taken" & watcher=$!
for _ in $(seq 100); do [ -s "$work/taken" ] && break; sleep 0.1; done
does "a port that is taken" 4 up
kill $watcher; wait $watcher 2>/dev/null; watcher=
mv "$home/node/archive.db" "$work/archive.db"; echo "no database, and long enough to look like none" >"$home/node/archive.db"
[ ${#run[@]} = 0 ] || chown 43211:43211 "$home/node/archive.db"
does "an archive that is none" 13 up
rm -f "$home/node/archive.db"
does "an archive that was emptied" 7 up
says "says so" "the store is empty although this site has history" "$work/err"
if [ "$(id -u)" = 0 ] && [ "$as" = root ]; then # only root can make a small disk
  mv "$home/node" "$work/node"; mkdir -m 700 "$home/node"; mount -t tmpfs -o size=12m,mode=700 none "$home/node" || failed=1
  cp -r "$work"/node/{configuration,monitor} "$home/node/"; dd if=/dev/zero of="$home/node/filler" bs=64k 2>/dev/null
  does "a disk that is full" 14 up
  umount "$home/node"; rmdir "$home/node"; mv "$work/node" "$home/node"
fi
mv "$work/archive.db" "$home/node/archive.db"
check "settings are as before" "$settings" "$(sha256sum <"$home/run/node.json")"
check "no process is left" "" "$(pgrep -f "$home" || true)"
cp "$home/node/monitor/table" "$work/table"
does "up after all those" 0 up
does "down" 0 down
cp "$work/table" "$home/node/monitor/table"
does "a table from before" 7 up

# --- on the owner's word
does "beginning anew without saying so" 2 reinitialise
does "for another counter" 0 reinitialise --forget-everything --counter 1
does "is refused" 7 up
does "beginning anew" 0 --json reinitialise --forget-everything
check "the archive is kept" yes "$(for file in "$home"/node/before-*/archive.db; do [ -s "$file" ] && echo yes; done | sort -u)"
does "the node begins with nothing" 0 up
does "the owner's daily key is unknown to it" 3 rule list
does "which an explanation tells" 3 --json report --explain
check "having asked as the owner himself, whom it knows" "false hub" "$(json .verified) $(refused)"
does "until they meet again" 0 init --renew
does "no client is left" 0 --json client list
check "none at all" 0 "$(json '.clients | length')"
does "a node that is up" 3 reinitialise --forget-everything
does "down after that" 0 down

# --- secrets stay where they belong
for secret in clients/sensor clients/valve; do
  hex=$(xxd -p -c 1000 "$home/owner/$secret" | cut -c 21-60)
  check "nothing of $secret is in logs and files of the node" "" "$(for file in $(find "$home/run" "$home/node" -type f); do xxd -p -c 100000000 "$file" | grep -q "$hex" && echo "$file"; done)"
done
exit $failed
