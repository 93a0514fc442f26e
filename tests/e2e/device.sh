#!/usr/bin/env bash
# Devices that enrol with a one-time code, against real nodes of two owners: the example sensor over CoAP, linked as a
# device maker links it, and bastide client enrol over HTTP. Codes that are spent, old, wrong or another owner's; lost
# halves; certificates renewed; clients removed.
set -uo pipefail
build=$(realpath "$1")
work=$(mktemp -d)
ours=$work/ours theirs=$work/theirs away=$work/away
coap=127.0.0.1:25761 http=127.0.0.1:28761 their_coap=127.0.0.1:25762 their_http=127.0.0.1:28762
. "$(dirname "$0")/checks.sh"
sensor=
finish() {
  [ -z "$sensor" ] || kill "$sensor" 2>/dev/null
  for home in "$ours" "$theirs"; do "$build/bastide" --home "$home" down >/dev/null 2>&1; done
  [ $failed = 0 ] || tail -n 20 "$ours"/run/*.log "$work"/sensor.log
  rm -rf "$work"
}
trap finish EXIT
bastide() { "$build/bastide" --home "$@"; } # home arguments...: standard input is the caller's
code() { # name file options...
  local name=$1 file=$2; shift 2
  does "a code for $name" 0 "$ours" client add "$name" --code "$@" </dev/null
  cp "$work/out" "$file"
}
turns_away() { # what pattern url state code
  exits "$1: no success" 1 timeout 60 "$build/thermometer" "$3" "$4" <"$5"
  says "$1: says why" "$2" "$work/err"
}
demands swtpm jq openssl faketime zbarimg script

does "our node" 0 "$ours" init --insecure-dev --coap $coap --http $http </dev/null
does "another owner's" 0 "$theirs" init --insecure-dev --coap $their_coap --http $their_http </dev/null
holds "the library needs libcrypto and nothing else" test -z "$(ldd "$build/thermometer" | grep -Ev 'libcrypto|libc\.|linux-vdso|ld-linux|libasan|libubsan|libm\.|libdl|libpthread|librt|libgcc')"

# --- a code, and who refuses whom
code thermometer "$work/code" --valid 10m
says "is a line of text" "^bastide:[A-Za-z0-9_-]*$" "$work/code"
holds "and nothing else" test "$(wc -l <"$work/code")" = 1
does "as JSON it is the same kind" 0 "$ours" --json client add spare --code </dev/null
holds "with the time it ends" jq -e '.expires and (.code|startswith("bastide:"))' "$work/out"
script -qec "$build/bastide --home $ours client add scanned --code" /dev/null </dev/null >"$work/terminal"
python3 tests/e2e/qr_image.py <"$work/terminal" >"$work/qr.pgm"
holds "a camera reads on a terminal what stands below it" test "$(zbarimg -q --raw "$work/qr.pgm")" = "$(tr -d '\r' <"$work/terminal" | grep '^bastide:')"
turns_away "another owner's genuine hub" "owner" coap://$their_coap "$work/sensor.state" "$work/code"
echo "bastide:nonsense" >"$work/nonsense"
turns_away "what is no code" "no code" coap://$coap "$work/other.state" "$work/nonsense"
says "nobody enrolled" "invited until" <("$build/bastide" --home "$ours" client list)

# --- the example, over CoAP
printf '{"name":"slow","when":[{"source":"thermometer","type":"reading"}],"do":[{"target":"thermometer","type":"interval","transform":"function transform(m) { return {seconds: 1}; }"}],"sample":{"source":"thermometer","type":"reading","properties":{"load":1}}}' >"$work/rule.json"
does "a rule that answers it" 0 "$ours" rule add "$work/rule.json" </dev/null
"$build/thermometer" coap://$coap "$work/sensor.state" <"$work/code" >"$work/sensor.log" 2>&1 &
sensor=$!
eventually "the sensor enrols, with the state that the refusal left" grep -q "enrolled as thermometer" "$work/sensor.log"
eventually "the rule's action reaches it" grep -q "interval: 1 s" "$work/sensor.log"
does "its events are there" 0 "$ours" --json history --source thermometer </dev/null
holds "as its own" sh -c "jq -s -e 'length > 0' '$work/out'"
does "the clients" 0 "$ours" client list </dev/null
says "it has a certificate" "thermometer.*certificate until" "$work/out"
holds "its state is for its user alone" test "$(stat -c %a "$work/sensor.state")" = 600
does "the node restarts" 0 "$ours" down </dev/null
does "and is there again" 0 "$ours" up </dev/null
lines=$(wc -l <"$work/sensor.log")
eventually "the sensor goes on by itself" sh -c "[ \$(tail -n +$((lines + 1)) '$work/sensor.log' | grep -vc 'not sent') -ge 3 ]"
kill $sensor; wait $sensor; sensor=
timeout 5 "$build/thermometer" coap://$coap "$work/sensor.state" </dev/null >"$work/sensor.log" 2>&1
holds "started again it needs no code" test "$(grep -c 'code:' "$work/sensor.log")" = 0
says "and reports" "^{" "$work/sensor.log"

# --- codes that count no more
turns_away "a code that was used" "the hub refuses the code" coap://$coap "$work/second.state" "$work/code"
code late "$work/late" --valid 1s
sleep 2
turns_away "a code that is too old" "the hub refuses the code" coap://$coap "$work/late.state" "$work/late"
tr 'A-Ya-y' 'B-Zb-z' <"$work/code" | sed 's/^cbtujef:/bastide:/' >"$work/bent"
turns_away "a code with other letters" "" coap://$coap "$work/bent.state" "$work/bent"

# --- the command line as a device, over HTTP, on a machine that has nothing but the code
code phone "$work/phone"
does "the code on the command line" 2 "$away" client enrol "$(cat "$work/phone")" --url http://$http </dev/null
does "another owner's hub" 5 "$away" client enrol - --url http://$their_http <"$work/phone"
says "is told apart" "nothing was sent" "$work/err"
does "enrols" 0 "$away" client enrol - --url http://$http <"$work/phone"
does "enrols once" 3 "$away" client enrol @"$work/phone" --url http://$http </dev/null
does "sends, over HTTP" 0 "$away" send --as phone call '{"from":"x"}' --url http://$http </dev/null
does "and over CoAP" 0 "$away" send --as phone call '{"from":"y"}' --url coap://$coap </dev/null
does "not to another owner's hub" 5 "$away" send --as phone call '{}' --url http://$their_http </dev/null
does "nor in another's name" 3 "$away" send --as phone call '{}' --source thermometer --url http://$http </dev/null
does "watches" 6 "$away" watch --as phone --once --wait 0 --url coap://$coap </dev/null

# --- the end of a client
does "is removed" 0 "$ours" client remove phone </dev/null
does "and out" 3 "$away" send --as phone call '{}' --url http://$http </dev/null
code phone "$work/phone"
rm "$away/owner/clients/phone"
does "a new code for the old name" 0 "$away" client enrol - --url coap://$coap <"$work/phone"

# --- the owner's daily key, 90 days long, is renewed after 60 by whichever command comes then
before=$(openssl x509 -inform der -in "$ours/owner/session.crt" -noout -serial)
does "a command of today" 0 "$ours" client list </dev/null
holds "renews nothing" test "$before" = "$(openssl x509 -inform der -in "$ours/owner/session.crt" -noout -serial)"
later() { faketime -f +70d "$build/bastide" --home "$ours" "$@" >"$work/out" 2>"$work/err" </dev/null; }
later client list; holds "one in 70 days" test $? = 0
holds "renews its certificate" test "$before" != "$(openssl x509 -inform der -in "$ours/owner/session.crt" -noout -serial)"
does "which is good from then on" 0 "$ours" client add after </dev/null
exit $failed
