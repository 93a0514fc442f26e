#!/usr/bin/env bash
# A hub and two vTPMs on one node, under one monitor: each with its own enclave, user, state and host end. What is done
# to one (killed, stopped, its archive exchanged, made for somebody else) the others do not notice.
set -uo pipefail
build=$(realpath "$1")
work=$(mktemp -d)
bin=$work/bin home=$work/home
coap=127.0.0.1:25781 http=127.0.0.1:28781
. "$(dirname "$0")/checks.sh"
declare -A vtpm=()
finish() {
  kill "${vtpm[@]}" 2>/dev/null
  "$bin/bastide" --home "$home" down >/dev/null 2>&1
  wait 2>/dev/null
  [ $failed = 0 ] || tail -n 30 "$home"/run/*.log "$work"/*.log
  rm -rf "$work"
}
trap finish EXIT
bastide() { "$bin/bastide" --home "$home" "$@" </dev/null; }
needs swtpm openssl jq curl python3 tpm2_getrandom
mkdir -p "$bin"
cp -r "$build"/{bastide,bastided,bastide-keyholder,bastide-monitor,bastide-launcher,bastide-vtpm,hub.image,vtpm.image} \
  "$build/tests/make_image" "$bin"

# As a host end or a caller has it: `status NAME`, `attach NAME` (the answer's status and sentence).
cat >"$work/ask.py" <<'PY'
import hashlib, socket, struct, sys
what, name = sys.argv[2], sys.argv[3].encode()
payload = name.ljust(48, b'\0') if name else b''
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(sys.argv[1]); s.settimeout(20)
s.send(struct.pack('<HHHHII', 2, 33 if what == 'status' else 32, 0, 0, len(payload), 0) + payload)
got = s.recv(70000)
status, body = struct.unpack('<HHHHII', got[:16])[2], got[16:]
if what == 'status' and status == 0:
    print('pid=%d launches=%d measurement=%s config=%s' % (*struct.unpack('<II', body[:8]), body[48:80].hex(), body[80:112].hex()))
else:
    print('refused=%d %s' % (status, body.decode()))
PY
ask() { python3 "$work/ask.py" "$home/run/monitor.sock" "$@"; }
of() { ask status "$1" | sed -n "s/.*\b$2=\([0-9a-f]*\).*/\1/p"; } # name fact
runs() { [ "$(of "$1" pid)" -gt 0 ]; }
another() { local pid; pid=$(of "$1" pid); [ "${pid:-0}" -gt 0 ] && [ "$pid" != "$2" ]; } # name former
tpm() { local name=$1 command=$2; shift 2; "$command" -T "swtpm:path=$work/$name.sock" "$@"; } # name command arguments...
answers() { tpm "$1" tpm2_getrandom 8; }
kept() { tpm "$1" tpm2_nvread -C o -s 4 0x1500016 2>/dev/null; }
start() { # name
  : >"$work/$1.log"
  "$bin/bastide-vtpm" socket --tpm2 --tpmstate "dir=$home,instance=$1" --ctrl "type=unixio,path=$work/$1.sock.ctrl" \
    --server "type=unixio,path=$work/$1.sock" --flags startup-clear 2>>"$work/$1.log" & vtpm[$1]=$!
}
stop() { kill "${vtpm[$1]}"; wait "${vtpm[$1]}"; unset "vtpm[$1]"; } 2>/dev/null
refused() { # what code words name
  start "$4"; wait "${vtpm[$4]}"; check "$1" "$2" $?; unset "vtpm[$4]"
  says "and why is said" "$3" "$work/$4.log"
}
directory() { # name site-id certificate mode
  mkdir -p "$home/node/instances/$1"
  "$bin/make_image" configuration "$home/node/instances/$1/configuration" "$3" "$4" "$2" || failed=1
  ln -sfn "$bin/vtpm.image" "$home/node/instances/$1/image"
}

# --- the hub, by the words of every newcomer
does "init" 0 init --insecure-dev --coap $coap --http $http
does "a client" 0 client add sensor
does "the hub is told of something" 0 send --as sensor alarm '{"n": 1}'
openssl x509 -in "$home/owner/owner.crt" -outform DER -out "$work/owner.der"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=owner -keyout "$work/other.pem" \
  -outform DER -out "$work/other.der" 2>/dev/null

# --- two vTPMs beside it
directory one "the first vTPM" "$work/owner.der" insecure-dev
directory two "the second vTPM" "$work/owner.der" insecure-dev
check "who is not attached has no status" "refused=9 " "$(ask status one)"
for name in one two; do start $name; done
for name in one two; do
  eventually "vTPM $name answers" answers $name
  tpm $name tpm2_nvdefine -C o -s 8 -a "ownerread|ownerwrite" 0x1500016 >/dev/null
  tpm $name tpm2_nvwrite -C o -i- 0x1500016 <<<"$name."
  check "and holds what is its own" "$name." "$(kept $name)"
done
hub=$(of "" pid) one=$(of one pid) two=$(of two pid)
check "three enclaves run" 3 "$(printf '%s\n' "$hub" "$one" "$two" | sort -u | grep -c '^[1-9]')"
check "each of its own configuration" "$(for at in . instances/one instances/two; do sha256sum <"$home/node/$at/configuration" | cut -d' ' -f1; done | xargs)" \
  "$(for name in "" one two; do of "$name" config; done | xargs)"
check "the vTPMs of one image" "$(of one measurement)" "$(of two measurement)"
check "which is not the hub's" no "$([ "$(of one measurement)" = "$(of "" measurement)" ] && echo yes || echo no)"
if [ "$(id -u)" = 0 ]; then
  user() { awk '/^Uid:/ {print $2}' "/proc/$1/status"; }
  check "under three users" 3 "$(for pid in "$hub" "$one" "$two"; do user "$pid"; done | sort -u | wc -l)"
fi
check "a second host end of one waits" "refused=10 it has a host end" "$(ask attach one)"

# --- kill one, others go on
go_on() { # what: the hub and two are who they were, and serve
  check "$1: the hub's enclave is the same" "$hub" "$(of "" pid)"
  check "$1: vTPM two's as well" "$two" "$(of two pid)"
  check "$1: which holds what it held" "two." "$(kept two)"
  does "$1: the hub is told of more" 0 send --as sensor alarm '{"n": 2}'
}
(while answers two >/dev/null 2>&1; do echo answered; done; echo failed) >"$work/stream" & stream=$!
kill -9 "$one"
eventually "vTPM one's enclave was killed, and another is there" another one "$one"
eventually "it answers" answers one
check "and holds what it held" "one." "$(kept one)"
one=$(of one pid)
kill -KILL "${vtpm[one]}"; wait "${vtpm[one]}" 2>/dev/null
eventually "its host end was killed: its enclave goes" sh -c "! kill -0 $one"
eventually "and it is forgotten" sh -c "python3 '$work/ask.py' '$home/run/monitor.sock' status one | grep -q refused=9"
go_on "one is gone"
start one
eventually "started again it answers" answers one
check "and holds what it held" "one." "$(kept one)"
check "all the time vTPM two answered" "" "$(grep failed "$work/stream")"
kill "$stream"; wait "$stream" 2>/dev/null
check "often" yes "$([ "$(grep -c answered "$work/stream")" -gt 5 ] && echo yes || echo no)"

# --- an earlier state of one
stop one
cp "$home/node/instances/one/archive.db" "$work/earlier"
start one; eventually "it answers" answers one
for word in {10..42}.. ONE.; do tpm one tpm2_nvwrite -C o -i- 0x1500016 <<<"$word"; done
stop one
cp "$home/node/instances/one/archive.db" "$work/later"
cp "$work/earlier" "$home/node/instances/one/archive.db"
refused "an earlier state is refused" 7 "the store was rolled back" one
go_on "an earlier state"
cp "$work/later" "$home/node/instances/one/archive.db"

# --- exchanged archives
stop two
exchange() { (cd "$home/node/instances" && mv one/archive.db spare && mv two/archive.db one/ && mv spare two/archive.db); }
exchange
refused "the other's archive is refused to one" 8 "tampered with, or foreign" one
refused "and to the other" 8 "tampered with, or foreign" two
check "the hub is who it was" "$hub" "$(of "" pid)"
exchange
for name in one two; do start $name; done
for name in one two; do eventually "with its own archive $name answers" answers $name; done
check "and holds what it held" "ONE. two." "$(kept one) $(kept two)"
two=$(of two pid)

# --- exchanged names: the host's business, for the site id is in the configuration
stop one
mv "$home/node/instances/one" "$home/node/instances/uno"
start uno
eventually "under another name it answers" answers uno
check "and is who it was" "ONE." "$(kept uno)"
stop uno
mv "$home/node/instances/uno" "$home/node/instances/one"

# --- who is not served
directory stranger "a stranger's" "$work/other.der" insecure-dev
refused "another owner's" 12 "names another owner" stranger
directory real "a real one" "$work/owner.der" production
refused "another mode's" 12 "of another mode" real
directory twin "the second vTPM" "$work/owner.der" insecure-dev
refused "a twin of one that is served" 12 "the site id of two" twin
directory own "any" "$work/owner.der" insecure-dev
cp "$home/node/configuration" "$home/node/instances/own/configuration"
refused "a twin of the hub" 12 "the site id of the node's own instance" own
mkdir -p "$home/node/instances/empty"
refused "one without a configuration" 12 "it is not there" empty
directory bare "an imageless one" "$work/owner.der" insecure-dev
ln -sfn "$work/nowhere" "$home/node/instances/bare/image"
refused "one without an image" 12 "manifest is missing" bare
directory bent "a bent one" "$work/owner.der" insecure-dev
cp -r "$bin/vtpm.image" "$work/bent.image"
ln -sfn "$work/bent.image" "$home/node/instances/bent/image"
bend() { printf x | dd of="$work/bent.image/vtpm.enclave" bs=1 seek=5000 conv=notrunc 2>/dev/null; }
bend
start bent
eventually "one whose image is in memory is of that, whatever its file is now" runs bent
check "by its measurement" "$(of two measurement)" "$(of bent measurement)"
stop bent
"$build/bastide-image" --key "$work/signer" --product vtpm --version 1 --out "$work/bent.image" "$bin/vtpm.image/vtpm.enclave" >/dev/null || failed=1
bend
refused "one whose image was changed" 12 "its content differs" bent
go_on "after all that"

# --- the monitor's death, and the node's
start one
eventually "it answers" answers one
kill -9 "$(pgrep -f "^bastide-monitor .*$home" | head -1)"
eventually "the monitor was killed: the hub is another" another "" "$hub"
for name in one two; do eventually "vTPM $name comes again" answers $name; done
check "and holds what it held" "ONE. two." "$(kept one) $(kept two)"
does "down" 0 down
does "up" 0 up
for name in one two; do eventually "after a new start vTPM $name comes again" answers $name; done
check "and holds what it held" "ONE. two." "$(kept one) $(kept two)"
does "the hub is told of more" 0 send --as sensor alarm '{"n": 3}'
for name in one two; do stop $name; done

# --- one enclave more is held ready, or none
held() { grep -c "monitor spare launcher=" "$home/run/keyholder.log"; }
differs "one was held ready" 0 "$(held)"
does "down" 0 down
does "up, to hold none" 0 up --spare off
before=$(held)
for name in one two; do start $name; eventually "vTPM $name is launched as it is asked for" answers $name; done
sleep 0.5
check "none is held" "$before" "$(held)"
for name in one two; do stop $name; done
does "down" 0 down
does "up, to hold one again" 0 up --spare on
start one
eventually "vTPM one is launched" answers one
sleep 0.5
differs "one is held" "$before" "$(held)"
stop one
does "neither is a usage error" 2 up --spare perhaps
exit $failed
