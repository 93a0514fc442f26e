#!/usr/bin/env bash
# Key holder, monitor and launcher on a software TPM, with an enclave that hands on whatever the host writes: launch and
# walls, evidence as the verifier judges it, sealing keys, deaths of every process, and every refusal with its exit code.
set -uo pipefail
build=$(realpath "$1")
as=${2:-root} # or "user": the same as nobody in particular
[ "$as" = root ] && [ "$(id -u)" != 0 ] && as=user
work=$(mktemp -d)
home=$work/home bin=$work/bin image=$work/image
. "$(dirname "$0")/checks.sh"
holder= tpm=
finish() {
  kill "$holder" 2>/dev/null; wait "$holder" 2>/dev/null
  kill "$tpm" 2>/dev/null; wait 2>/dev/null
  [ $failed = 0 ] || { echo "--- node"; tail -60 "$work/node.log"; }
  rm -rf "$work"
}
trap finish EXIT
needs swtpm openssl setpriv
# As an ordinary user in a run by root: programs and home where that user reaches them.
run=()
[ "$as" = user ] && [ "$(id -u)" = 0 ] && run=(setpriv --reuid=43210 --regid=43210 --clear-groups --inh-caps=-all --bounding-set=-all)
mkdir -p "$home/node" "$home/run" "$home/tpm" "$bin" "$image" "$work/other-tpm"
cp "$build"/bastide-{keyholder,monitor,launcher} "$bin"
cp "$build"/tests/{monitor_check,make_image,probe_proxy} "$bin"
chmod 755 "$work"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=owner -keyout "$work/owner.pem" \
  -outform DER -out "$work/cert.der" 2>/dev/null
"$bin/make_image" configuration "$home/node/configuration" "$work/cert.der" insecure-dev || exit 1
"$bin/make_image" image "$image" "$bin/probe_proxy" 1 "$work/signer" || exit 1
[ ${#run[@]} = 0 ] || chown -R 43210:43210 "$work"

boot() { # the machine starts: the TPM is reset
  local state=${1:-$home/tpm}
  [ -z "$tpm" ] || { kill "$tpm"; wait "$tpm"; } 2>/dev/null
  rm -f "$work/tpm.sock"
  exec_tpm() { exec "${run[@]}" swtpm socket --tpm2 --server type=unixio,path="$work/tpm.sock" --ctrl type=unixio,path="$work/tpm.ctrl" \
    --tpmstate dir="$state" --flags startup-clear >"$work/tpm.log" 2>&1; }
  exec_tpm & tpm=$!
  for _ in $(seq 100); do [ -S "$work/tpm.sock" ] && break; sleep 0.05; done
}
node() { exec "${run[@]}" "$bin/bastide-keyholder" --home "$home" --image "$image" --tcti "swtpm:path=$work/tpm.sock" "$@"; }
start() {
  : >"$work/node.log"
  node --insecure-dev "$@" 2>>"$work/node.log" & holder=$!
  eventually "the node serves" grep -q "monitor serving" "$work/node.log"
}
stop() { kill "$holder" 2>/dev/null; wait "$holder"; local code=$?; holder=; return $code; }
refused() { # what code pattern arguments...: a start that must end by itself
  local what=$1 code=$2 pattern=$3; shift 3
  : >"$work/node.log"
  timeout 60 "${run[@]}" "$bin/bastide-keyholder" --home "$home" --image "$image" --tcti "swtpm:path=$work/tpm.sock" "$@" \
    2>"$work/node.log"
  check "$what: exit code" "$code" $?
  says "$what: the reason" "$pattern" "$work/node.log"
}
ask() { "${run[@]}" "$bin/monitor_check" "$@"; }
counter() { ask status "$home" | sed -n 's/.*counter=\([0-9]*\).*/\1/p'; }
monitor_pid() { sed -n 's/.*monitor_started pid=//p' "$work/node.log" | tail -1; }
enclave_pid() { sed -n 's/.*enclave_ready launch=[0-9]* pid=\([0-9]*\).*/\1/p' "$work/node.log" | tail -1; }
lines() { [ "$(grep -c "$1" "$2")" -ge "$3" ]; }

boot
start
works "status" ask status "$home"
says "what is missing is named" '^lockdown$' "$work/out"
says "the monitor is told to be unmeasured" 'measured=0 dev=1' "$work/out"

filters() { echo $(($(sed -n 's/^Seccomp_filters:\t*//p' "/proc/$1/status") - $(sed -n 's/^Seccomp_filters:\t*//p' /proc/self/status))); }
check "key holder and monitor run under one system call filter, the key holder's" "1 1" "$(filters "$holder") $(filters "$(monitor_pid)")"
check "the monitor's own memory is secret" 0 "$(grep -c '^monitor-secret$' "$work/out")"

# --- callers that are none
cat >"$work/garbage.py" <<'PY'
import os, socket, struct, sys
def reach():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(sys.argv[1]); s.settimeout(5); return s
def packet(op, payload=b'', version=2, status=0, length=None):
    return struct.pack('<HHHHII', version, op, status, 0, len(payload) if length is None else length, 0) + payload
hung_up = 0
for bad in [b'x', b'y' * 15, os.urandom(16), os.urandom(65000), packet(33, version=1), packet(33, length=9), packet(33, b'more'), packet(7), packet(40)]:
    s = reach(); s.send(bad)
    try:
        while s.recv(70000): pass
        hung_up += 1
    except ConnectionResetError: hung_up += 1
s = reach()
refused = 0
for op in range(0, 64):
    if op in (7, 32, 33, 34, 37, 40): continue  # what a caller may ask, one or the other by more than a header
    s.send(packet(op)); got = struct.unpack('<HHHHII', s.recv(70000)[:16]); refused += got[1] == op and got[2] == 8
many = []
for _ in range(40):
    many.append(reach())
s.send(packet(33)); told = len(s.recv(70000)) > 100
print('hung_up=%d refused=%d told=%d' % (hung_up, refused, told))
PY
python3 "$work/garbage.py" "$home/run/monitor.sock" >"$work/out" 2>&1
check "garbage is hung up on, what is not permitted refused, the rest answered" "hung_up=9 refused=58 told=1" "$(tail -1 "$work/out")"

# --- walls around an enclave
works "an enclave is launched" ask facts "$home"
for fact in pid=1 ppid=0 root_entries=0 open=10 dumpable=0 no_new_privs=1 nproc=0 core=0 mkdir=0 fork=0 writable_program=0 got=1; do
  says "it sees $fact" " $fact\b" "$work/out"
done
if [ "$as" = root ]; then
  check "its user is one that nobody has" 1 "$(awk -F'[= ]' '{print ($2 >= 1879048192)}' "$work/out")"
  says "it may lock memory until it drops that" lock_ambient=1 "$work/out"
  says "all of its pool may be secret" 'pool=67108864 secret=67108864' "$work/out"
else
  says "it has no capability to keep" lock_ambient=0 "$work/out"
  says "and the shortfall is said with the limit's name" 'RLIMIT_MEMLOCK is [0-9]* bytes' "$work/node.log"
fi

# --- what it may ask
works "evidence" ask evidence "$home"
says "the unlocked probe earns no wall it did not build" 'secret=0 unprotected=67108864' "$work/out"
works "permits" ask permits "$home"
works "heads" ask heads "$home"
works "sealing keys are given" ask seal "$home" "$work/keys"
works "and given again" ask seal "$home" "$work/keys"
says "the same exact key" exact=same "$work/out"
says "the same signer's key" signer=same "$work/out"

# --- deaths
(exec "${run[@]}" "$bin/monitor_check" watch "$home") >"$work/watch" 2>&1 & watcher=$!
eventually "a host end that stays" lines '^launched' "$work/watch" 1
works "status while it runs" ask status "$home"
check "status names the enclave's own process" "pid=$(enclave_pid)" "$(sed -n 's/^\(pid=[0-9]*\).*/\1/p' "$work/out")"
check "a second host end is told to wait" 2 "$(ask facts "$home" >/dev/null 2>&1; echo $?)"
kill -9 "$(enclave_pid)"
eventually "the death of an enclave is told" grep -q '^died: killed by SIGKILL' "$work/watch"
eventually "and it is launched again" lines '^launched' "$work/watch" 2
check "it is the monitor's own child, and the only one" "$(enclave_pid) " "$(cat "/proc/$(monitor_pid)/task/$(monitor_pid)/children")"
gone=$(enclave_pid)
kill -9 "$(monitor_pid)"
eventually "a killed monitor is started again" lines monitor_started "$work/node.log" 2
eventually "and serves" lines 'monitor serving' "$work/node.log" 2
eventually "its host end hears of it" grep -q '^hung up' "$work/watch"
eventually "its enclave went with it" sh -c "! kill -0 $gone"
wait "$watcher"
works "a new host end has the same keys" ask seal "$home" "$work/keys"
says "after that the signer's key is the same" signer=same "$work/out"
works "a refusal of the enclave's is told" ask exit "$home" 7
says "in words" 'rolled back' "$work/out"
says "and not tried again soon" 'next_ms=60000' "$work/node.log"

# --- no acknowledged head is lost, whenever the monitor is killed
for round in 1 2 3 4 5 6; do
  (exec "${run[@]}" "$bin/monitor_check" hammer "$home") >"$work/hammer" 2>/dev/null & watcher=$!
  for _ in $(seq 100); do [ -s "$work/hammer" ] && break; sleep 0.05; done
  sleep "0.0$((RANDOM % 9))"
  kill -9 "$(monitor_pid)"
  wait "$watcher"
  acknowledged=$(tail -1 "$work/hammer")
  eventually "round $round: it serves again" lines 'monitor serving' "$work/node.log" $((round + 2))
  found=$(ask status "$home" | sed -n 's/.*sequence=\([0-9]*\).*/\1/p')
  check "round $round: head $acknowledged was kept, or the one on its way" yes \
    "$([ "${found:-0}" -ge "$acknowledged" ] && [ "$found" -le $((acknowledged + 1)) ] && echo yes || echo "no: $found")"
done

# --- a TPM that does not answer
kill -STOP "$tpm"
works "a running site goes on" ask advance "$home" plain
says "for ordinary commits" '^advance=ok' "$work/out"
says "but not for reports" '^report=input/output' "$work/out"
works "nor" ask advance "$home" strict
says "for strict commits" '^advance=input/output' "$work/out"
works "status" ask status "$home"
says "tells why" '^tpm: ' "$work/out"
kill -CONT "$tpm"
sleep 2.5
works "when the TPM is back" ask advance "$home" strict
says "strict commits go on" '^advance=ok' "$work/out"
says "reports, too" '^report=ok' "$work/out"

# --- stops, starts and boots
before=$(counter)
stop; check "a clean stop" 0 $?
says "moves the counter" "monitor stopped exit=0 counter=$((before + 1))" "$work/node.log"
refused "a second unsealing in one boot" 9 "they were unsealed earlier in this boot" --insecure-dev
boot
start
check "a boot later the counter went on" $((before + 2)) "$(counter)"
works "and the keys" ask seal "$home" "$work/keys"
says "are the same" exact=same "$work/out"
works "a stop by the control socket" ask stop "$home"
wait "$holder"; check "ends the key holder, too" 0 $?; holder=
cp -a "$home/node/monitor" "$work/old-monitor"

# --- upgrades and downgrades
boot
"$bin/make_image" image "$image" "$bin/probe_proxy" 2 "$work/signer"
start
works "a newer version" ask seal "$home" "$work/keys"
says "has its signer's key" signer=same "$work/out"
says "but not what was sealed exactly" exact=denied "$work/out"
works "it seals anew" ask seal "$home" "$work/newer"
stop
boot
"$bin/make_image" image "$image" "$bin/probe_proxy" 1 "$work/signer"
start
works "the older version" ask seal "$home" "$work/newer"
says "is refused what the newer sealed" signer=denied "$work/out"
stop
boot
"$bin/make_image" image "$image" "$bin/probe_proxy" 1 "$work/signer2"
start
works "another signer's program" ask seal "$home" "$work/keys"
says "is refused" signer=denied "$work/out"
stop
"$bin/make_image" image "$image" "$bin/probe_proxy" 1 "$work/signer"

# --- refusals before anything is unsealed
boot
cp "$image/probe.enclave" "$work/good"
printf 'x' | dd of="$image/probe.enclave" bs=1 seek=5000 conv=notrunc 2>/dev/null
refused "a changed program" 12 "probe.enclave is not what the manifest says" --insecure-dev
cp "$work/good" "$image/probe.enclave"
printf 'x' >>"$image/probe.enclave"
refused "a longer program" 12 "probe.enclave is not what the manifest says" --insecure-dev
rm "$image/probe.enclave"
refused "no program" 12 "probe.enclave is missing" --insecure-dev
cp "$work/good" "$image/probe.enclave"
cp "$image/manifest" "$work/manifest"
printf 'x' | dd of="$image/manifest" bs=1 seek=70 conv=notrunc 2>/dev/null
refused "a changed manifest" 12 "manifest" --insecure-dev
cp "$work/manifest" "$image/manifest"
refused "a wall that does not stand" 10 "wall=lockdown" --insecure-dev --require namespaces,lockdown
refused "a wall that is none" 2 "moat is no wall" --insecure-dev --require moat
refused "a software TPM in production" 3 "made with --insecure-dev" 
mv "$home/node/configuration" "$work/configuration"
refused "no configuration" 12 "node/configuration is missing" --insecure-dev
mv "$work/configuration" "$home/node/configuration"
small=(setpriv --reuid=43210 --regid=43210 --clear-groups --inh-caps=-all --bounding-set=-all)
[ "$(id -u)" = 0 ] || small=()
if [ "$as" = user ]; then
  check "a memory lock limit that is too small" 11 "$("${small[@]}" prlimit --memlock=1048576:1048576 "$bin/bastide-keyholder" \
    --home "$home" --image "$image" --tcti "swtpm:path=$work/tpm.sock" --insecure-dev 2>"$work/node.log"; echo $?)"
  says "is named with what it is and should be" "RLIMIT_MEMLOCK is 1048576 bytes: an enclave needs at least 4194304" "$work/node.log"
fi
start # none of that unsealed anything: this boot still can
stop

# --- a wall that turns out not to stand: the probe puts up no filter of its own
boot
start --require namespaces,non-dumpable,syscall-filter
check "no enclave is given to the host" 2 "$(ask facts "$home" >/dev/null 2>&1; echo $?)"
wait "$holder"; check "the node stops with the wall's exit code" 10 $?; holder=
says "and names it" 'exit=10 wall=syscall-filter' "$work/node.log"

# --- the table
boot
mv "$home/node/monitor/table" "$work/table"
cp -a "$work/old-monitor/table" "$home/node/monitor/table"
refused "an older table" 7 "older than the TPM's counter" --insecure-dev
boot
rm "$home/node/monitor/table"
refused "no table" 7 "there is no table of heads" --insecure-dev
boot
head -c 8192 /dev/urandom >"$home/node/monitor/table"
[ ${#run[@]} = 0 ] || chown 43210:43210 "$home/node/monitor/table"
refused "a table of someone else's" 8 "was changed or comes from another node" --insecure-dev
boot
cp -a "$work/table" "$home/node/monitor/table"
start # the true one
stop

# --- a new beginning, by the owner's word only
openssl ec -in "$work/owner.pem" -outform DER 2>/dev/null | dd bs=1 skip=7 count=32 of="$work/owner.key" 2>/dev/null
boot
rm "$home/node/monitor/table"
refused "again no table" 7 "there is no table of heads" --insecure-dev
at=$(sed -n 's/.*monitor table counter=//p' "$work/node.log")
token() { "$bin/make_image" token "$home/node/reinitialise" "$1" "$2"; [ ${#run[@]} = 0 ] || chown 43210:43210 "$home/node/reinitialise"; }
boot
token "$work/signer" "$at"
refused "a stranger's token" 7 "status=not authentic" --insecure-dev
boot
token "$work/owner.key" "$((at - 1))"
refused "a token for another counter" 7 "status=denied" --insecure-dev
boot
token "$work/owner.key" "$at"
start
says "with the owner's token the node begins anew" "reinitialise counter=$at status=ok" "$work/node.log"
works "it serves" ask seal "$home" "$work/keys"
says "with the keys it had" signer=same "$work/out"
check "the token is gone" no "$([ -e "$home/node/reinitialise" ] && echo yes || echo no)"
token "$work/owner.key" "$at"
stop
boot
rm "$home/node/monitor/table"
refused "a token that was used" 7 "status=denied" --insecure-dev
rm "$home/node/reinitialise"
at=$(sed -n 's/.*monitor table counter=//p' "$work/node.log")
token "$work/owner.key" "$at"
boot
start
stop

# --- the keys
boot
mv "$home/node/monitor/sealed" "$work/sealed"
refused "no sealed keys where there is a counter" 7 "sealed is missing although" --insecure-dev
cp -a "$work/sealed" "$home/node/monitor/sealed"
boot "$work/other-tpm"
refused "another TPM" 9 "." --insecure-dev
boot
start
stop; check "the right one" 0 $?
exit $failed
