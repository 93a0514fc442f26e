#!/usr/bin/env bash
# The gateway between real peers: curl and Debian's coap-client outside, a door and a control socket inside, behind which
# echo_enclave answers, answers late, never, too much, nonsense, and dies.
set -uo pipefail
build=$(realpath "$1")
bin=$build/tests
home=$(mktemp -d)
coap=127.0.0.1:25683 http=127.0.0.1:28480
url=http://$http/any/path
. "$(dirname "$0")/checks.sh"
cleanup() {
  kill "$daemon" "$enclave" 2>/dev/null
  wait 2>/dev/null
  [ $failed = 0 ] || { echo "--- daemon"; tail -40 "$home/daemon.log"; echo "--- enclave"; tail -40 "$home/enclave.log"; }
  rm -rf "$home"
}
trap cleanup EXIT
status() { curl -s -o "$home/out" -D "$home/headers" -w '%{http_code}' -m 30 "$@"; }
post() { status -H 'Content-Type: application/oscore' -H 'OSCORE: CSU' "$@"; }
header() { tr -d '\r' <"$home/headers" | sed -n "s/^$1: //Ip"; }
coap() { timeout 30 coap-client-notls -B 10 "$@" "coap://$coap/x" 2>&1; }
health() { [ "$(status "http://$http/healthz")" = "$1" ]; }
tell() { echo "$1" >&7; }
needs curl coap-client-notls python3

mkdir -p "$home/run" "$home/node"
mkfifo "$home/commands"
exec 7<>"$home/commands"
refused() { "$bin/gateway_host" "$@" >"$home/out" 2>&1; echo $?; }
check "no home" 2 "$(refused)"
check "a name for an address" 2 "$(refused --home "$home" --http localhost:1)"
check "which is named" 1 "$(grep -c -- '--http localhost:1' "$home/out")"
check "a body limit past the door's" 2 "$(refused --home "$home" --body-max 196609)"
check "help" 0 "$(refused --help)"
check "a port in use" 4 "$(python3 -c '
import socket, subprocess, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 25683))
print(subprocess.run(sys.argv[1:], stderr=subprocess.DEVNULL).returncode)' "$bin/gateway_host" --home "$home" --coap $coap --http $http)"
# Before anything is there to connect to: the daemon must serve refusals and keep trying.
"$bin/gateway_host" --home "$home" --coap $coap --http $http --body-max 65536 2>"$home/daemon.log" 7>&- & daemon=$!
enclave=
eventually "health is down without a monitor" health 503
check "a request without an enclave" 503 "$(post --data-binary x "$url")"
check "its retry hint" 1 "$(header Retry-After)"
check "over CoAP" "5.03" "$(coap -m post -e hello | grep -o '5\.03')"
"$bin/echo_enclave" "$home/run/monitor.sock" <&7 >"$home/enclave.log" 2>&1 & enclave=$!
eventually "health is up once the monitor launched an enclave" health 200
eventually "a due timer is told" grep -q '^tick' "$home/enclave.log"
eventually "a sync is answered" grep -q '^complete 77' "$home/enclave.log"
eventually "the operator's line is printable" grep -q 'text="hello ??? operato"' "$home/daemon.log"

# --- HTTP (RFC 8613 §11)
check "a POST" 200 "$(post --data-binary hello "$url")"
check "its body" hello "$(cat "$home/out")"
check "its option" CSU "$(header OSCORE)"
check "its type" application/oscore "$(header Content-Type)"
check "the empty option" 200 "$(status -H 'Content-Type: application/oscore' -H 'OSCORE: AA' --data-binary x "$url")"
check "GET" 405 "$(status "$url")"
check "what is allowed" POST "$(header Allow)"
check "PUT" 405 "$(post -X PUT --data-binary x "$url")"
check "POST to the health page" 405 "$(post --data-binary x "http://$http/healthz")"
check "another type" 415 "$(status -H 'OSCORE: CSU' -H 'Content-Type: application/cbor' --data-binary x "$url")"
check "no type" 415 "$(status -H 'OSCORE: CSU' -H 'Content-Type:' --data-binary x "$url")"
check "no option" 400 "$(status -H 'Content-Type: application/oscore' --data-binary x "$url")"
for bad in 'A' 'CSU=' 'CS+U' 'CSV' "$(printf 'A%.0s' $(seq 400))"; do
  check "the option '${bad:0:8}'" 400 "$(status -H 'Content-Type: application/oscore' -H "OSCORE: $bad" --data-binary x "$url")"
done
check "two options" 400 "$(post -H 'OSCORE: CSU' --data-binary x "$url")"
check "an empty body" 400 "$(post -X POST "$url")"
head -c 66560 /dev/urandom >"$home/most"
head -c 66561 /dev/urandom >"$home/more"
head -c 3000000 /dev/zero >"$home/much"
check "the largest body" 200 "$(post --data-binary "@$home/most" "$url")"
same "comes back whole" "$home/most" "$home/out"
check "one byte more" 413 "$(post --data-binary "@$home/more" "$url")"
check "one byte more, in chunks" 413 "$(post -H 'Transfer-Encoding: chunked' --data-binary "@$home/more" "$url")"
check "megabytes" 413 "$(post --data-binary "@$home/much" "$url")"
check "a late answer" 200 "$(post --data-binary late "$url")"
check "an answer larger than a message is not lost to others" 200 "$(post --data-binary huge "$url")"
check "nonsense from the enclave" 502 "$(post --data-binary garbage "$url")"
check "an unprotected 4.01" 403 "$(post --data-binary unauthorized "$url")"
check "its diagnostic" "Security context not found" "$(cat "$home/out")"
check "an unprotected 5.03" 503 "$(post --data-binary unavailable "$url")"
edhoc=http://$http/.well-known/edhoc
check "EDHOC" 200 "$(status -H 'Content-Type: application/cid-edhoc+cbor-seq' --data-binary message "$edhoc")"
check "EDHOC without a connection identifier" 415 "$(status -H 'Content-Type: application/edhoc+cbor-seq' --data-binary message "$edhoc")"
check "EDHOC in text" 415 "$(status -H 'Content-Type: text/plain' --data-binary message "$edhoc")"
curl -s -m 1 -H 'Content-Type: application/oscore' -H 'OSCORE: CSU' --data-binary never "$url"
eventually "a client that leaves is told of" grep -q '^gone 144115' "$home/enclave.log"
for broken in 'nonsense\r\n\r\n' 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n' "POST / HTTP/1.1\r\nX: $(printf 'y%.0s' $(seq 20000))\r\n\r\n" '\0\0\0\r\n\r\n'; do
  printf "$broken" | timeout 60 python3 -c '
import socket, sys
s = socket.create_connection(("127.0.0.1", 28480)); s.sendall(sys.stdin.buffer.read())
try:
    text = s.recv(100).decode()
except ConnectionResetError:
    text = ""
print("served" if text.startswith("HTTP/1.1 2") else "refused")' >"$home/out"
  check "the request '${broken:0:12}'" refused "$(cat "$home/out")"
done
check "a request after those" 200 "$(post --data-binary hello "$url")"

# --- CoAP
check "CoAP" hello "$(coap -m post -e hello)"
check "CoAP with OSCORE" "bare hello" "$(coap -m post -O 9,0x0925 -e 'bare hello')"
{ printf bare; head -c 30000 /dev/urandom | base64 -w0; } >"$home/big"
coap -m post -O 9,0x0925 -f "$home/big" -o "$home/out" >/dev/null
same "40 kB block-wise both ways" "$home/big" "$home/out"
check "a body over the limit" 4.13 "$(coap -m post -f "$home/much" | grep -o '4\.13' | head -1)"
check "an unknown critical option" 4.02 "$(coap -m get -O 65001,x | grep -o '4\.02')"
check "a proxy is not offered" 5.05 "$(timeout 30 coap-client-notls -B 10 -m get -O 35,coap://example.org/x "coap://$coap/x" 2>&1 | grep -o '5\.05')"
notices=$(coap -m get -s 3)
for i in 1 2 3 4 5; do check "notification $i" "notice $i" "$(grep -o "notice $i" <<<"$notices")"; done
eventually "an observer that leaves is told of" grep -q '^gone 720575' "$home/enclave.log"
python3 -c '
import os, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in list(range(0, 64)) + [1500, 5000, 60000]:
    for _ in range(20): s.sendto(os.urandom(n), ("127.0.0.1", 25683))'
check "CoAP after random datagrams" hello "$(coap -m post -e hello)"

# --- a handshake's first message from an address that nobody verified (RFC 9175 §2.4)
cat >"$home/echo.py" <<'PY'
import os, socket, sys
ECHO = 252
to, count = ("127.0.0.1", 25683), 0
def peer(): s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.bind(("127.0.0.1", 0)); return s
def post(s, echo=None, block=None):
    global count
    count += 1
    option = lambda delta, value: bytes([delta << 4 | min(len(value), 13)]) + (bytes([len(value) - 13]) if len(value) > 12 else b"") + value
    last, body = 11, option(11, b".well-known") + option(0, b"edhoc")
    if block is not None: body, last = body + bytes([0xd1, 27 - last - 13, block]), 27
    if echo is not None: body += bytes([0xd0 | len(echo), ECHO - last - 13]) + echo
    request = bytes([0x41, 2]) + count.to_bytes(2, "big") + b"T" + body + b"\xff" + (b"m" * 16)
    s.sendto(request, to)
    answer = s.recv(2000)
    given = answer[7:] if answer[1] == 0x81 and answer[5:7] == bytes([0xd8, ECHO - 13]) else b""
    return f"{answer[1] >> 5}.{answer[1] & 31:02}", given, len(answer) <= len(request)
one, two = peer(), peer()
code, echo, small = post(one)
print("asked", code, len(echo), small)
print("came back", post(one, echo)[0], post(one, echo)[0])
print("another peer's", post(two, echo)[0])
forged = [echo[:i] + bytes([echo[i] ^ 1]) + echo[i + 1:] for i in range(8)] + [echo[:7], echo + b"x", b"", os.urandom(8)]
print("forged", sorted({post(one, value)[0] for value in forged}))
print("first block", post(two, block=0x08)[0], "later block", post(two, block=0x18)[0], "with it", post(one, echo, 0x08)[0])
if len(sys.argv) > 1: # an older daemon's
    old, port = bytes.fromhex(sys.argv[1]), int(sys.argv[2])
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.bind(("127.0.0.1", port))
    print("of the daemon before", post(s, old)[0])
open(sys.argv[0] + ".kept", "w").write(f"{echo.hex()} {one.getsockname()[1]}")
PY
echoes() { python3 "$home/echo.py" "$@" >"$home/echoes" 2>&1; }
echoed() { check "$1" "$1 $2" "$(grep "^$1 " "$home/echoes")"; }
echoes
echoed asked "4.01 8 True"
echoed "came back" "2.04 2.04"
echoed "another peer's" 4.01
echoed forged "['4.01']"
echoed "first block" "4.01 later block 4.08 with it 2.31"

# --- many and slow
"$bin/http_load" 28480 1000 20000 || bad "1,000 connections"
cat >"$home/slow.py" <<'PY'
import select, socket, sys, time
lines = [socket.create_connection(("127.0.0.1", 28480)) for _ in range(200)]
text = b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 1000
print("slow", flush=True)
open_lines, at = list(lines), 0
while open_lines and at < 120:
    for line in list(open_lines):
        try:
            line.sendall(text[at:at + 1])
            if select.select([line], [], [], 0)[0] and not line.recv(100):
                open_lines.remove(line)
        except OSError:
            open_lines.remove(line)
    at += 1
    time.sleep(0.5)
sys.exit(1 if open_lines else 0)
PY
python3 "$home/slow.py" >"$home/slow.log" & slow=$!
eventually "200 slow clients are there" grep -q slow "$home/slow.log"
check "others are served beside them" 200 "$(post --data-binary hello "$url")"
wait $slow; check "slow clients are put out" 0 $?

# --- an enclave that does not read: 1 MiB of ring, 8 MiB of backlog, then refusals; nothing accepted is lost
head -c 60000 /dev/urandom >"$home/large"
tell pause
stdbuf -oL curl -s --no-progress-meter -Z --parallel-max 200 --parallel-immediate -o /dev/null -w '%{http_code}\n' -m 100 -H 'Content-Type: application/oscore' -H 'OSCORE: CSU' \
  --data-binary "@$home/large" "http://$http/[1-200]" >"$home/codes" & many=$!
eventually "past the backlog comes 503" grep -q 503 "$home/codes"
tell resume
wait $many
check "every request was answered" 200 "$(grep -cE '^(200|503)$' "$home/codes")"
check "what was taken was served" yes "$([ "$(grep -c 200 "$home/codes")" -ge 100 ] && echo yes)"
check "and the node serves on" 200 "$(post --data-binary hello "$url")"

# --- the enclave dies, lies, comes back
post --data-binary never "$url" >"$home/pending" & pending=$!
eventually "a request waits" grep -q 'never' <(sleep 0.3; tail -1 "$home/enclave.log")
tell die
wait $pending; check "a pending request when the enclave dies" 503 "$(cat "$home/pending")"
eventually "health is down" health 503
tell launch
eventually "health is up again" health 200
check "served by the next" 200 "$(post --data-binary hello "$url")"
tell corrupt
eventually "a door that contradicts itself ends the attachment" grep -q hung-up "$home/enclave.log"
eventually "and a new enclave serves" health 200
check "as before" 200 "$(post --data-binary hello "$url")"
tell hang
eventually "the monitor hung up" grep -q 'monitor hung up' "$home/daemon.log"
eventually "the daemon attached again" health 200

# --- stopping
post --data-binary late "$url" >"$home/pending" & pending=$!
sleep 0.3
kill -TERM $daemon
wait $pending; check "what is pending is answered before the end" 200 "$(cat "$home/pending")"
wait $daemon; check "a clean exit" 0 $?
"$bin/gateway_host" --home "$home" --coap $coap --http $http --body-max 65536 2>>"$home/daemon.log" 7>&- & daemon=$!
eventually "another daemon serves" health 200
echoes $(cat "$home/echo.py.kept")
echoed asked "4.01 8 True"
echoed "of the daemon before" 4.01

# --- it holds no key and links no crypto room
for program in "$bin/gateway_host" "$build/bastided"; do
  [ -e "$program" ] || continue
  name=$(basename "$program")
  check "$name has a symbol table to look into" gateway_new "$(nm "$program" | grep -o 'gateway_new$')"
  check "no cryptographic library linked by $name" "" "$(readelf -d "$program" | grep -E 'NEEDED.*(crypto|ssl|gnutls|nettle|mbed|sodium)')"
  check "no crypto room in $name" "" "$(nm "$program" | grep -iE ' (crypto|oscore|cose|EVP|AES)_')"
done
exit $failed
