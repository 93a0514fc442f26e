#!/usr/bin/env bash
# Our CoAP against Debian's libcoap programs over real sockets: coap-client against our endpoint and against the gateway,
# our client against coap-server. What went over the wire is read from libcoap's own log. Datagrams are lost on purpose.
set -uo pipefail
bin=$(realpath "$1")/tests
home=$(mktemp -d)
ours=25691 theirs=25692 gateway=25693 observer=25694
. "$(dirname "$0")/checks.sh"
pids=()
cleanup() {
  kill -9 "${pids[@]}" 2>/dev/null
  wait 2>/dev/null
  [ $failed = 0 ] || for log in "$home"/*.log; do echo "--- $log"; tail -40 "$log" | cut -c1-200; done
  rm -rf "$home"
}
trap cleanup EXIT
needs coap-client-notls coap-server-notls

# asked PORT PATH coap-client's arguments...: the answer into $home/out, the wire as libcoap saw it into $home/wire.
asked() {
  local port=$1 path=$2; shift 2
  rm -f "$home/out"
  timeout 60 coap-client-notls -B 50 -v 7 -o "$home/out" "$@" "coap://127.0.0.1:$port/$path" >"$home/client.log" 2>&1
  grep -E '^v:1 ' "$home/client.log" >"$home/wire"
}
text() { cat "$home/out" 2>/dev/null; }
wire() { grep -cE "$1" "$home/wire"; }
answers() { grep -v 'c:[GP]' "$home/wire" | grep -oE '(ACK|CON|NON) c:[0-9.]+' | tr '\n' ' ' | sed 's/ $//'; }
last() { tail -1 "$home/wire" | grep -oE 'c:[0-9]\.[0-9]+'; }
peer() { timeout 60 "$bin/coap_peer" "$@"; }
serve() { # lose=... and so on; the log begins anew
  [ -n "${served:-}" ] && { kill "$served"; wait "$served" 2>/dev/null; }
  "$bin/coap_peer" serve $ours "$@" >"$home/ours.log" & served=$!
  pids+=("$served")
  eventually "our endpoint listens ($*)" ss_has $ours
}
ss_has() { grep -qi ":$(printf %04X "$1") " /proc/net/udp; }
ours_log() { grep -cE "$1" "$home/ours.log"; }
head -c 5000 /dev/urandom | base64 -w0 >"$home/body" # 6,668 letters
head -c 900 "$home/body" >"$home/short"
tail -c 3000 "$home/body" >"$home/other"
head -c 90 "$home/body" >"$home/least"

# ---- coap-client asks our endpoint
serve
asked $ours store -m post -e hello
check "POST" hello "$(text)"
asked $ours store -m get
check "GET" hello "$(text)"
asked $ours store -N -m get
check "GET, not confirmable" "hello 1" "$(text) $(wire 't:NON c:2.05')"
asked $ours nowhere -m get
check "GET of what is not there" "c:4.04" "$(last)"
for size in 16 64 256 1024; do
  asked $ours store -m put -b $size -f "$home/body"
  check "PUT of 6,668 bytes in blocks of $size" "c:2.04 $(((6668 + size - 1) / size))" "$(last) $(wire "t:CON c:PUT.*Block1:[0-9]+/[M_]/$size.*Size1")"
  asked $ours store -m get -b $size
  same "and back in such blocks" "$home/body" "$home/out"
  check "of that size on the wire" 0 "$(grep -E 't:ACK c:2.05' "$home/wire" | grep -vcE "Block2:[0-9]+/[M_]/$size")"
done
asked $ours store -m post -b 512 -f "$home/body"
same "POST in blocks, answered in blocks" "$home/body" "$home/out"
check "is one request each" 5 "$(ours_log '^served .* 6668 bytes')"
asked $ours slow -m get
check "a slow answer is separate" "at last: ACK c:0.00 CON c:2.05 ACK c:0.00" "$(text): $(answers)"
asked $ours store -m get -O 65001,x
check "an unknown critical option" "c:4.02 1" "$(last) $(ours_log 'refused the option 65001')"
asked $ours store -m get -O 65000,x
check "an unknown elective option" "c:2.05" "$(grep -oE 'c:2.05' "$home/wire" | tail -1)"

# Observation: what is put is told, larger than a datagram too, until the client ends it.
asked_observe() { asked $ours store "$@" & observing=$!; eventually "an observation begins" grep -q '^watched' "$home/ours.log"; }
serve
peer put $ours store payload="$home/short" >/dev/null
asked_observe -s 4 -K 1 -m get
for body in other short body; do sleep 0.4; peer put $ours store payload="$home/$body" >/dev/null; done
wait $observing
cat "$home/short" "$home/other" "$home/short" "$home/body" >"$home/expected"
same "first state and three notifications" "$home/expected" "$home/out"
check "each acknowledged" "3 3" "$(ours_log '^acknowledged') $(wire 't:CON c:2.05')"
check "with rising numbers" "1 2 3 4" "$(grep -E '(ACK|CON) c:2.05' "$home/wire" | grep -oE 'Observe:[0-9]+' | cut -d: -f2 | uniq | tr '\n' ' ' | sed 's/ $//')"
check "ended by Observe 1" "unwatched: asked to" "$(grep unwatched "$home/ours.log")"
check "a ping is answered by a reset" yes "$([ "$(wire 't:RST c:0.00')" -ge 1 ] && echo yes)"

# The observer dies; whoever has its port next knows nothing of it and resets the notification.
serve
asked $ours store -m put -e old
coap-client-notls -B 60 -s 60 -T dead -p $observer -m get coap://127.0.0.1:$ours/store >/dev/null 2>&1 & dead=$!
eventually "an observation begins" grep -q '^watched' "$home/ours.log"
kill -9 $dead; wait $dead 2>/dev/null
asked $ours store -s 3 -T next -p $observer -m get & heir=$!
sleep 1.5
peer put $ours store payload="$home/short" >/dev/null
wait $heir
check "a notification to a stranger is reset" "unwatched: reset" "$(grep unwatched "$home/ours.log" | head -1)"
check "seen by libcoap" 1 "$(wire 't:RST c:0.00')"
serve type=non
asked_observe -s 2 -m get
for body in least short; do sleep 0.3; peer put $ours store payload="$home/$body" >/dev/null; done
wait $observing
cat "$home/least" "$home/short" >"$home/expected"
same "notifications that are not confirmable" "$home/expected" "$home/out"
check "on the wire" "2 0" "$(wire 't:NON c:2.05') $(ours_log '^acknowledged')"

# Duplicates and losses. What we sent first is lost: libcoap asks again with the same message id.
serve lose=1,3
asked $ours count -m post
check "a repeated request is served once" "count 1" "$(text)"
check "though it came twice" 1 "$(grep -c 'retransmission #1' "$home/client.log")"
asked $ours count -m post
check "and the next is the next" "count 2" "$(text)"
serve lose=2,9
asked $ours store -m post -l 5 -b 1024 -f "$home/body"
same "blocks both ways over a wire that loses both ways" "$home/body" "$home/out"
check "are one request" 1 "$(ours_log '^served')"
serve
asked_observe -s 5 -l 2 -m get # libcoap hears the repetition, and tells it to nobody
peer put $ours store payload="$home/short" >/dev/null
wait $observing
same "a notification whose acknowledgement is lost" "$home/short" "$home/out"
check "goes again as the same message" "2 1" "$(wire 't:CON c:2.05') $(grep -E 't:CON c:2.05' "$home/wire" | grep -oE 'i:[0-9a-f]+' | sort -u | wc -l)"
# ---- our client asks coap-server
coap_server() { # arguments
  [ -n "${serving:-}" ] && { kill -9 "$serving"; wait "$serving" 2>/dev/null; }
  stdbuf -oL -eL coap-server-notls -A 127.0.0.1 -p $theirs -d 10 -v 7 "$@" >"$home/theirs.log" 2>&1 & serving=$!
  pids+=("$serving")
  eventually "coap-server listens ($*)" ss_has $theirs
}
theirs_log() { grep -cE "$1" "$home/theirs.log"; }
theirs_mids() { grep -E "$1" "$home/theirs.log" | grep -oE 'i:[0-9a-f]{4}' | sort -u | wc -l; } # libcoap may log a message twice
coap_server
check "POST makes a resource" "2.01 0 bytes " "$(peer post $theirs fresh payload="$home/short")"
check "GET" "2.05 900 bytes " "$(peer get $theirs fresh out="$home/out")"
same "of what was posted" "$home/short" "$home/out"
check "GET, not confirmable" "2.05 900 bytes  1" "$(peer get $theirs fresh type=non) $(theirs_log 't:NON c:GET')"
check "DELETE" "2.02 0 bytes " "$(peer delete $theirs fresh)"
check "GET of what is no more" "4.04 9 bytes Not Found" "$(peer get $theirs fresh)"
check "POST where there is none" "4.05 18 bytes Method Not Allowed" "$(peer post $theirs time)"
check "an unknown critical option" 4.02 "$(peer get $theirs time option=65001 | cut -d' ' -f1)"
check "POST of 6,668 bytes" "2.01 0 bytes  7" "$(peer post $theirs large payload="$home/body") $(theirs_log 'c:POST.*Block1:[0-6]/[M_]/1024')"
check "GET of them" "2.05 6668 bytes " "$(peer get $theirs large out="$home/out")"
same "as they were" "$home/body" "$home/out"
for szx in 0 2 5; do
  check "GET in blocks of $((16 << szx))" "2.05 6668 bytes " "$(peer get $theirs large szx=$szx out="$home/out")"
  same "as they were" "$home/body" "$home/out"
  check "of that size" "$(((6668 + (16 << szx) - 1) / (16 << szx)))" "$(theirs_mids "t:ACK c:2.05.*Block2:[0-9]+/[M_]/$((16 << szx)) ?[],]")"
done

coap_server
check "a separate answer, whose acknowledgement is lost" "2.05 4 bytes done" "$(peer get $theirs async query=1 lose=2 linger=4500)"
check "comes twice" 1 "$(theirs_log 'retransmission #1')"
check "and is acknowledged again" "ACK c:0.00 CON c:2.05 ACK c:0.00" "$(grep -oE '^v:1 t:(ACK|CON) c:[02]\.[0-9]+' "$home/theirs.log" | cut -c7- | uniq | tr '\n' ' ' | sed 's/ $//')"
check "a lost request goes again" "2.05 4 bytes done" "$(peer get $theirs async query=1 lose=1)"
check "a request that leaves twice is answered once" "2.01 0 bytes " "$(peer put $theirs example_data payload="$home/short" twice=1 linger=500)"

# Observation, until we forget it: the next notification is reset, and with that it is over at the server.
coap_server
peer get $theirs time watch=3 linger=3500 >"$home/told"
check "first state and three notifications" 4 "$(grep -c '^notified 2.05' "$home/told")"
check "nothing is told after the end" 4 "$(wc -l <"$home/told")"
check "whose end is a reset" 1 "$(theirs_log 't:RST c:0.00')"
check "after which nothing is sent" 0 "$(sed -n '/t:RST c:0.00/,$p' "$home/theirs.log" | grep -cE 'c:2.05')"
peer put $theirs example_data payload="$home/body" >/dev/null
peer get $theirs example_data watch=1 out="$home/out" >"$home/told" & watching=$!
eventually "an observation begins" grep -q '^notified' "$home/told"
same "of a state in blocks" "$home/body" "$home/out"
peer put $theirs example_data payload="$home/other" >/dev/null
wait $watching
check "a notification in blocks" "notified 2.05 3000 bytes " "$(tail -1 "$home/told")"
same "is the new state" "$home/other" "$home/out"
coap_server -N
peer get $theirs time watch=3 >"$home/told"
check "notifications that are not confirmable" "4 yes" "$(grep -c '^notified 2.05' "$home/told") $([ "$(theirs_log 't:NON c:2.05')" -ge 3 ] && echo yes)"
coap_server -l 1
check "blocks to a server that loses" "2.01 0 bytes " "$(peer post $theirs lossy payload="$home/body" lose=6)"
check "and from it" "2.05 6668 bytes " "$(peer get $theirs lossy lose=3 out="$home/out")"
same "as they were" "$home/body" "$home/out"

# ---- coap-client asks the gateway; behind its door stands echo_enclave
mkdir -p "$home/run" "$home/node"
mkfifo "$home/commands"
exec 7<>"$home/commands" # echo_enclave ends with its input
"$bin/echo_enclave" "$home/run/monitor.sock" <&7 >"$home/enclave.log" 2>&1 & pids+=($!)
"$bin/gateway_host" --home "$home" --coap 127.0.0.1:$gateway --http 127.0.0.1:28493 --body-max 65536 2>"$home/daemon.log" & pids+=($!)
eventually "an enclave is launched" grep -q '^launched' "$home/enclave.log"
for size in 16 128 1024; do
  asked $gateway x -m post -b $size -f "$home/body"
  same "gateway: 6,668 bytes there in blocks of $size, and back" "$home/body" "$home/out"
done
asked $gateway x -m post -b 1024 -l 2,9 -f "$home/body"
same "gateway: over a wire that loses" "$home/body" "$home/out"
asked $gateway .well-known/edhoc -m post -e message # RFC 9175: libcoap repeats what it is asked to by itself
check "gateway: a handshake, once an Echo was asked for" "message: ACK c:4.01 ACK c:2.04" "$(text): $(answers)"
check "gateway: which came back" 1 "$(wire 'c:POST.*Echo:0x[0-9a-f]{16}')"
for size in 16 1024; do
  asked $gateway .well-known/edhoc -m post -b $size -f "$home/body"
  same "gateway: a handshake of 6,668 bytes in blocks of $size, and back" "$home/body" "$home/out"
  check "gateway: asked for an Echo once, at its first block" 1 "$(wire 'c:4.01')"
done
asked $gateway .well-known/edhoc -m post -b 512 -l 2,5,9 -f "$home/body"
same "gateway: a handshake over a wire that loses" "$home/body" "$home/out"
asked $gateway x -m post -e late
check "gateway: a late answer is separate" "late: ACK c:0.00 CON c:2.04 ACK c:0.00" "$(text): $(answers)"
printf never >"$home/never"
timeout 2 "$bin/coap_peer" post $gateway x payload="$home/never" twice=1
check "gateway: a request that comes twice is asked once" 1 "$(grep -c '^never' "$home/enclave.log")"
asked $gateway x -s 2 -K 1 -m get
check "gateway: notifications" "5 5" "$(text | grep -o 'notice [1-5]' | sort -u | wc -l) $(wire 't:CON c:2.05')"
check "gateway: a ping is answered by a reset" yes "$([ "$(wire 't:RST c:0.00')" -ge 1 ] && echo yes)"
eventually "gateway: the enclave is told that the observer left" grep -q '^gone' "$home/enclave.log"
asked $gateway x -s 2 -m fetch -b 1024 -f "$home/body" # what an OSCORE request that observes looks like from outside
check "gateway: FETCH with a body in blocks observes" "5 1" "$(text | grep -o 'notice [1-5]' | sort -u | wc -l) $(wire 'c:FETCH.*Observe:1,')"
gone_twice() { [ "$(grep -c '^gone' "$home/enclave.log")" = 2 ]; }
eventually "gateway: and its end is told too" gone_twice
exit $failed
