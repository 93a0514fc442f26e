#!/usr/bin/env bash
# A vTPM in an enclave, under the monitor on a software TPM, behind swtpm's sockets: tpm2-tools as they are, restarts of
# every process, peers that misbehave, QEMU as its control channel knows it, and an earlier state, which plain swtpm
# takes back and this one refuses. No port is used.
set -uo pipefail
build=$(realpath "$1")
work=$(mktemp -d)
home=$work/home bin=$work/bin
. "$(dirname "$0")/checks.sh"
holder= tpm= vtpm= plain= qemu=
finish() {
  kill "$qemu" "$vtpm" "$plain" 2>/dev/null
  kill "$holder" 2>/dev/null; wait "$holder" 2>/dev/null
  kill "$tpm" 2>/dev/null; wait 2>/dev/null
  [ $failed = 0 ] || { echo "--- node"; tail -40 "$work/node.log"; echo "--- vtpm"; tail -40 "$work/vtpm.log"; }
  rm -rf "$work"
}
trap finish EXIT
needs swtpm openssl tpm2_getrandom python3 jq bwrap
mkdir -p "$work/tpm" "$bin" "$work/plain" "$home"/{node,run}
cp -r "$build"/bastide-{keyholder,monitor,launcher,vtpm,vtpm-setup} "$build/tests/make_image" "$build/vtpm.image" "$bin"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=owner -keyout "$work/owner.pem" \
  -outform DER -out "$work/cert.der" 2>/dev/null

"$bin/make_image" configuration "$home/node/configuration" "$work/cert.der" insecure-dev || exit 1
swtpm socket --tpm2 --server type=unixio,path="$work/tpm.sock" --ctrl type=unixio,path="$work/tpm.ctrl" \
  --tpmstate dir="$work/tpm" --flags startup-clear >"$work/tpm.log" 2>&1 & tpm=$!
eventually "the node's software TPM is there" test -S "$work/tpm.sock"
"$bin/bastide-keyholder" --home "$home" --image "$bin/vtpm.image" --tcti "swtpm:path=$work/tpm.sock" --insecure-dev \
  2>"$work/node.log" & holder=$!
eventually "the node serves" grep -q "monitor serving" "$work/node.log"

start() { # flags
  : >"$work/vtpm.log"
  "$bin/bastide-vtpm" socket --tpm2 --tpmstate dir="$home" --ctrl type=unixio,path="$work/v.ctrl" \
    --server type=unixio,path="$work/v" ${1:+--flags "$1"} 2>>"$work/vtpm.log" & vtpm=$!
}
stop() { kill "$vtpm"; wait "$vtpm"; } 2>/dev/null
export TPM2TOOLS_TCTI="swtpm:path=$work/v"
cd "$work" || exit 1

# --- what libtpms gets to see of the C library: memory, text, and our own; the rest is libcrypto and itself
asked=$(comm -23 <(nm -u "$build/libtpms_bound.a" 2>/dev/null | awk '$1 == "U" {print $2}' | sort -u) \
  <(nm --defined-only "$build/libtpms_bound.a" 2>/dev/null | awk 'NF == 3 {print $3}' | sort -u))
allowed='malloc|realloc|free|mem(cmp|cpy|move|set)|str(cmp|dup|error|len|str)|_setjmp|stderr|vtpm_(AES_)?[a-z]+(_[a-z]+)*'
allowed+='|__(asprintf|longjmp|memcpy|memset|snprintf|vsnprintf)_chk|__(assert|stack_chk)_fail|__ctype_b_loc|__errno_location'
allowed+='|_GLOBAL_OFFSET_TABLE_|(BN|EC|EVP|AES|RSA|DES|Camellia|RAND|CMAC|ECDSA|OPENSSL|SHA[0-9]*)_[A-Za-z0-9_]+'
allowed+='|BIO_(f_base64|free|free_all|new|new_mem_buf|push|read|set_flags)|ERR_[a-z_]+' # base64 in memory
check "libtpms asks for nothing else" "" "$(grep -vxE "$allowed" <<<"$asked")"
says "and for what is bound" "^vtpm_fopen$" /dev/stdin <<<"$asked"

# --- words
check "capabilities are told in swtpm's words" swtpm "$("$bin/bastide-vtpm" socket --print-capabilities | jq -r .type)"
"$bin/bastide-vtpm" socket --tpm2 --tpmstate dir="$home" --ctrl type=unixio,path=c --runas tss 2>"$work/out"; check "what it cannot do is refused" 2 $?
says "by name" "--runas: start it as that user" "$work/out"
for passphrase in "" "$(head -c 513 /dev/zero | tr '\0' x)"; do
  printf %s "$passphrase" >"$work/word"
  "$bin/bastide-vtpm" socket --tpm2 --tpmstate dir="$home" --ctrl type=unixio,path=c --key file="$work/word" 2>"$work/out"
  check "a passphrase of ${#passphrase} bytes is none" 2 $?
done
says "which is said" "longer than a passphrase may be" "$work/out"
"$bin/bastide-vtpm" socket --colour 2>/dev/null; check "and what it does not know" 2 $?

# --- a TPM for unmodified tools
t() { # a tool and its arguments; no resource manager stands between
  local code
  "tpm2_$@"; code=$?
  tpm2_flushcontext -t >/dev/null 2>&1
  return $code
}
start startup-clear
eventually "it answers" tpm2_getrandom 8
works "a primary key" t createprimary -C o -c prim.ctx
works "a key below it" t create -C prim.ctx -G ecc -u k.pub -r k.priv
works "is loaded" t load -C prim.ctx -u k.pub -r k.priv -c k.ctx
echo message >m
works "signs" t sign -c k.ctx -o m.sig m
works "and is verified" t verifysignature -c k.ctx -m m -s m.sig
works "an index is defined" t nvdefine -C o -s 8 -a "ownerread|ownerwrite" 0x1500016
works "written" t nvwrite -C o -i- 0x1500016 <<<"earlier"
check "read" earlier "$(tpm2_nvread -C o -s 7 0x1500016)"
works "an endorsement key" t createek -c ek.ctx -G rsa -u ek.pub
works "an attestation key" t createak -C ek.ctx -c ak.ctx -G ecc -s ecdsa -g sha256 -u ak.pub -n ak.name
works "a PCR is extended" t pcrextend "16:sha256=$(sha256sum m | cut -c1-64)"
works "quoted" t quote -c ak.ctx -l sha256:0,16 -q abcd -m q.msg -s q.sig -o q.pcr -g sha256
works "and the quote is verified" t checkquote -u ak.pub -m q.msg -s q.sig -f q.pcr -q abcd -g sha256
fails "with another nonce it is not" tpm2_checkquote -u ak.pub -m q.msg -s q.sig -f q.pcr -q abce -g sha256
works "a policy of that PCR" t createpolicy --policy-pcr -l sha256:16 -L pcr.policy
works "seals a secret" t create -C prim.ctx -L pcr.policy -i- -u s.pub -r s.priv <<<"sealed"
works "which is loaded" t load -C prim.ctx -u s.pub -r s.priv -c s.ctx
check "and opens" sealed "$(tpm2_unseal -c s.ctx -p pcr:sha256:16)"
tpm2_flushcontext -t
works "the PCR moves on" t pcrextend "16:sha256=$(sha256sum m | cut -c1-64)"
fails "and it does not open any more" tpm2_unseal -c s.ctx -p pcr:sha256:16
tpm2_flushcontext -t; tpm2_flushcontext -s; tpm2_flushcontext -l 2>/dev/null

# --- peers that misbehave
enclave_pid() { grep -o 'enclave_ready launch=[0-9]* pid=[0-9]*' "$work/node.log" | tail -1 | sed 's/.*pid=//'; }
python3 - "$work/v" "$work/v.ctrl" "$(enclave_pid)" "$vtpm" <<'PY'
import os, socket, struct, sys, time
data, control, enclave, host = sys.argv[1:]
random = bytes.fromhex('80010000000c0000017b0010')
def to(path, timeout=20):
    s = socket.socket(socket.AF_UNIX); s.settimeout(timeout); s.connect(path); return s
def claim(what, good):
    print(('ok: ' if good else 'FAILED: ') + what); good or sys.exit(1)
def alive():
    s = to(data); s.sendall(random); return len(s.recv(4096)) == 28
def ask(s, command, body=b''):
    s.sendall(struct.pack('>I', command) + body); return s.recv(65536)
c = to(control)
claim('all capabilities', ask(c, 1) == bytes.fromhex('000000000000ffff'))
claim('its state is given to nobody', ask(c, 12, struct.pack('>III', 1, 1, 0))[:4] == b'\0\0\0\x09')
claim('nor set', ask(c, 13, struct.pack('>III', 0, 1, 4) + b'abcd') == b'\0\0\0\x0a')
claim('an unknown command is refused', ask(c, 0x99) == b'\0\0\0\x0a')
claim('a locality there is not, too', ask(c, 5, b'\x09') == b'\0\0\0\x3d')
claim('SET_DATAFD without a descriptor', ask(c, 16) == b'\0\0\0\x03')
a, b = socket.socketpair()
def hand(s, fd):
    socket.send_fds(s, [struct.pack('>I', 16)], [fd]); return s.recv(64)
claim('with one it is taken', hand(c, b.fileno()) == b'\0\0\0\0')
b.close(); a.settimeout(20); a.sendall(random)
claim('and a TPM speaks through it', len(a.recv(4096)) == 28)
def holds(pid, inode):
    return any(os.readlink(f'/proc/{pid}/fd/{n}') == f'socket:[{inode}]' for n in os.listdir(f'/proc/{pid}/fd'))
x, y = socket.socketpair(); inode = os.fstat(y.fileno()).st_ino
claim('a second takes its place', hand(c, y.fileno()) == b'\0\0\0\0')
y.close(); x.settimeout(20); x.sendall(random)
claim('a TPM speaks through that', len(x.recv(4096)) == 28)
claim('the former is hung up on', a.recv(64) == b'')
claim('the enclave holds it and the host end does not', os.geteuid() != 0 or (holds(enclave, inode) and not holds(host, inode)))
x.sendall(random[:5]); time.sleep(.05); x.sendall(random[5:] + random)
got = b''
while len(got) < 56: got += x.recv(4096)
claim('halves and several are commands there, too', len(got) == 56)
x.sendall(bytes.fromhex('80010000ffff0000017b0010'))
claim('what is too long is hung up on', x.recv(64) == b'')
x, y = socket.socketpair(); x.settimeout(1)
claim('one that never reads', hand(c, y.fileno()) == b'\0\0\0\0')
y.close()
try:
    for _ in range(100000): x.sendall(random)
    stuck = False
except TimeoutError: stuck = True
claim('is not read either', stuck)
claim('and others are served', alive())
x.close()
pipe = os.pipe()
d = to(control)
claim('a pipe is none', hand(d, pipe[0]) == b'\0\0\0\x03')
for byte in struct.pack('>I', 1): c.sendall(bytes([byte])); time.sleep(.02)
claim('a command byte by byte is one', c.recv(64) == bytes.fromhex('000000000000ffff'))
c.sendall(struct.pack('>I', 1) * 50)
got = b''
while len(got) < 400: got += c.recv(4096)
claim('fifty at once are answered in order', got == bytes.fromhex('000000000000ffff') * 50)
s = to(control); s.sendall(struct.pack('>II', 7, 0xffffffff))
claim('too long an announcement is hung up on', s.recv(64) == b'')
s = to(data); s.sendall(bytes.fromhex('80010000ffff0000017b0010'))
claim('so is a TPM command', s.recv(64) == b'')
s = to(data); s.sendall(bytes.fromhex('8001000000090000017b0010'))
claim('one that is too short is answered', s.recv(64)[6:10] == bytes.fromhex('00000142'))
deaf = to(data)
deaf.settimeout(1)
try:
    for _ in range(100000): deaf.sendall(random)
    stuck = False
except TimeoutError: stuck = True
claim('one that never reads is not read either', stuck)
claim('and others are served', alive())
deaf.close()
crowd = []
try:
    for _ in range(1000):
        s = socket.socket(socket.AF_UNIX); s.setblocking(False)
        try: s.connect(data)
        except BlockingIOError: pass
        crowd.append(s)
except OSError as error: print(error)
claim('a thousand connect', len(crowd) == 1000)
for s in crowd: s.close()
claim('and go, and it serves', alive())
for i in range(300):
    s = to(control if i % 2 else data); s.sendall(os.urandom(1 + i)); s.close()
claim('three hundred leave noise behind, and it serves', alive())
PY
check "peers" 0 $?
works "an honest client finds it as it was" t nvread -C o -s 7 0x1500016

# --- an instance of the node, as libvirt has swtpm_setup make one and swtpm serve it
echo "node = $home" >"$work/vtpm.conf"
set_up() {
  "$bin/bastide-vtpm-setup" --tpm2 --config "$work/vtpm.conf" --tpm-state "$work/vm" --vmid vm:1b4e28ba-2fa1-11d2-883f-0016d3cca427 \
    --logfile "$work/setup.log" --createek --create-ek-cert --create-platform-cert --lock-nvram "$@"
}
set_up --not-overwrite; check "a TPM without an endorsement key is not made unasked" 1 $?
says "and it is said why" "say .endorsement = none." "$work/setup.log"
check "nothing is left" "" "$(ls "$work/vm" "$home/node/instances" 2>/dev/null)"
echo "endorsement = none" >>"$work/vtpm.conf"
set_up --not-overwrite; check "it is made when the operator can do without" 0 $?
set_up --not-overwrite; check "once" 0 $?
set_up --overwrite; check "and never erased" 1 $?
check "its capabilities are swtpm_setup's as far as they go" '["tpm-2.0","cmdarg-keyfile-fd","cmdarg-pwdfile-fd"]' "$("$bin/bastide-vtpm-setup" --print-capabilities | jq -c .features)"
mkdir "$work/c"
"$bin/bastide-vtpm" socket --tpm2 --tpmstate dir="$work/vm" --ctrl type=unixio,path="$work/c/tpm.ctrl" \
  --server type=unixio,path="$work/c/tpm" --flags startup-clear 2>"$work/i.log" & instance=$!
eventually "it is served from where libvirt keeps it" tpm2_getrandom -T "swtpm:path=$work/c/tpm" 8
contained() {
  bwrap --unshare-all --ro-bind /usr /usr --symlink usr/lib /lib --symlink usr/lib64 /lib64 --symlink usr/bin /bin --proc /proc --dev /dev \
    --ro-bind "$work/c" /run/tpm --setenv TPM2TOOLS_TCTI swtpm:path=/run/tpm/tpm "$@"
}
works "a container has it by its sockets' directory" contained tpm2_getrandom 8
works "and what one leaves in it" contained sh -c 'tpm2_nvdefine -C o -s 2 -a "ownerread|ownerwrite" 0x1500016 && echo c | tpm2_nvwrite -C o -i- 0x1500016'
check "the next one finds" c "$(contained tpm2_nvread -C o -s 1 0x1500016)"
kill "$instance"; wait "$instance" 2>/dev/null
"$bin/bastide-vtpm" socket --tpm2 --tpmstate dir="$work/vm",instance=other --ctrl type=unixio,path="$work/c/ctrl" 2>"$work/out"
check "whose it is, is said there and nowhere else" 2 $?
echo bent >"$work/vm/bastide-vtpm"
"$bin/bastide-vtpm" socket --tpm2 --tpmstate dir="$work/vm" --ctrl type=unixio,path="$work/c/ctrl" 2>"$work/out"
check "a bent reference is refused" 2 $?
says "by name" "it is not what bastide-vtpm-setup leaves" "$work/out"

# --- as libvirt starts it: in the background, told to end with its TPM's only user
stop
"$bin/bastide-vtpm" socket --daemon --ctrl type=unixio,path="$work/l.ctrl",mode=0600 --tpmstate dir="$home",mode=0600 \
  --log file="$work/l.log",prefix=vm: --terminate --tpm2 --pid file="$work/l.pid"; check "it goes to the background" 0 $?
check "its control socket is there by then" srw------- "$(stat -c %A "$work/l.ctrl")"
vtpm=$(<"$work/l.pid")
check "its id is its own" "$bin/bastide-vtpm" "$(tr '\0' '\n' <"/proc/$vtpm/cmdline" | head -1)"
python3 - "$work/l.ctrl" <<'PY'
import socket, struct, sys
c = socket.socket(socket.AF_UNIX); c.settimeout(20); c.connect(sys.argv[1])
a, b = socket.socketpair()
c.sendall(struct.pack('>II', 2, 0)); init = c.recv(64)
socket.send_fds(c, [struct.pack('>I', 16)], [b.fileno()]); b.close()
handed = c.recv(64)
a.settimeout(20); a.sendall(bytes.fromhex('80010000000c000001440000')); started = a.recv(64)
sys.exit(0 if init == handed == bytes(4) and started[6:10] == bytes(4) else 1)
PY
check "QEMU's first words are answered" 0 $?
gone() { ! grep -q '^State:[[:space:]]*[^Z]' "/proc/$vtpm/status"; }
eventually "with the data socket's end it ends" gone
check "and takes its files along" "" "$(ls "$work/l.ctrl" "$work/l.pid" 2>/dev/null)"
says "its log is where it was said" "^vm:info vtpm serving" "$work/l.log"
"$bin/bastide-vtpm" socket --daemon --ctrl type=unixio,path="$work/none/c" --tpmstate dir="$home" --tpm2 2>/dev/null
check "what fails in the background is told in the foreground" 4 $?
start startup-clear
eventually "started anew it answers" tpm2_getrandom 8

# --- QEMU knows it by its control channel
devices=()
command -v qemu-system-x86_64 >/dev/null && devices=(tpm-crb tpm-tis)
for device in "${devices[@]}"; do
  before=$(tpm2_pcrread sha256:0 2>/dev/null | tail -1)
  nice -n 19 qemu-system-x86_64 -M q35 -accel tcg -m 64 -display none -nodefaults -serial none -chardev socket,id=c,path="$work/v.ctrl" \
    -tpmdev emulator,id=t,chardev=c -device $device,tpmdev=t >"$work/qemu.log" 2>&1 & qemu=$!
  measured() { [ "$(tpm2_pcrread sha256:0 2>/dev/null | tail -1)" != "$before" ] && tpm2_pcrread sha256:0 | grep -qi '0x[0-9a-f]*[1-9a-f]'; }
  eventually "a VM's firmware measures into it, as $device" measured
  kill "$qemu"; wait "$qemu" 2>/dev/null; qemu=
  check "QEMU has nothing to say against it" "" "$(grep -iv 'terminating' "$work/qemu.log")"
  wait "$vtpm"; check "its SHUTDOWN ends the host end" 0 $?
  start startup-clear
  eventually "started anew it answers" tpm2_getrandom 8
done

# --- deaths
enclave=$(enclave_pid)
kill -9 "$enclave"
another() { [ "$(grep -c enclave_launched "$work/vtpm.log")" = 2 ]; } # of this host end's
eventually "after its enclave was killed another is there" another
eventually "it answers" tpm2_getrandom 8
check "and holds what it held" earlier "$(tpm2_nvread -C o -s 7 0x1500016)"
stop
start startup-clear
eventually "after its host end was stopped it answers" tpm2_getrandom 8
check "and holds what it held" earlier "$(tpm2_nvread -C o -s 7 0x1500016)"

# --- an earlier state: the monitor keeps the last 32 records, and no more
stop
cp "$home/node/archive.db" "$work/archive.earlier"
start startup-clear
eventually "it answers" tpm2_getrandom 8
last() { python3 -c 'import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute("SELECT max(sequence) FROM log").fetchone())' "$1"; }
works "something is written" t nvwrite -C o -i- 0x1500016 <<<"little."
stop
check "whoever stops in order has it all in the archive" more "$([ "$(last "$home/node/archive.db")" -gt "$(last "$work/archive.earlier")" ] && echo more)"
cp "$work/archive.earlier" "$home/node/archive.db"
start startup-clear
eventually "an archive that lacks but the last records is completed" tpm2_getrandom 8
check "and nothing of them is lost" little. "$(tpm2_nvread -C o -s 7 0x1500016)"
for number in {10..42}; do t nvwrite -C o -i- 0x1500016 <<<"later$number" >/dev/null 2>&1 || bad "more is not written"; done
works "and at last" t nvwrite -C o -i- 0x1500016 <<<"later.."
stop
cp "$home/node/archive.db" "$work/archive.later"
cp "$work/archive.earlier" "$home/node/archive.db"
start startup-clear
wait "$vtpm"; check "an earlier state is refused" 7 $?
says "by name" "the store was rolled back" "$work/vtpm.log"
fails "and nothing is answered" tpm2_nvread -C o -s 7 0x1500016
cp "$work/archive.later" "$home/node/archive.db"
start startup-clear
eventually "with its own state it answers" tpm2_getrandom 8
check "and holds what was written last" later.. "$(tpm2_nvread -C o -s 7 0x1500016)"
stop

# --- which plain swtpm takes back
export TPM2TOOLS_TCTI="swtpm:path=$work/p"
plain_start() {
  swtpm socket --tpm2 --server type=unixio,path="$work/p" --ctrl type=unixio,path="$work/p.ctrl" --tpmstate dir="$work/plain" \
    --flags startup-clear >"$work/plain.log" 2>&1 & plain=$!
  eventually "plain swtpm is there" tpm2_getrandom 8
}
plain_stop() { kill "$plain"; wait "$plain"; plain=; } 2>/dev/null
plain_start
works "an index is defined there" t nvdefine -C o -s 8 -a "ownerread|ownerwrite" 0x1500016
works "written" t nvwrite -C o -i- 0x1500016 <<<"earlier"
plain_stop
cp "$work/plain/tpm2-00.permall" "$work/plain.earlier"
plain_start
works "written again" t nvwrite -C o -i- 0x1500016 <<<"later.."
plain_stop
cp "$work/plain.earlier" "$work/plain/tpm2-00.permall"
plain_start
check "with its earlier state file it is back where it was" earlier "$(tpm2_nvread -C o -s 7 0x1500016)"
plain_stop
exit $failed
