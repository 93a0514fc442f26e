# Sourced by tests of vTPMs against real peers: a node on a software TPM, whose own instance is a vTPM and which may have
# more, each by a name ("own" is the node's own). $1 is the build directory. No port is used.
build=$(realpath "$1")
work=$(mktemp -d)
home=$work/home bin=$work/bin
. "$(dirname "$0")/checks.sh"
holder= tpm=
declare -A vtpm=()
extra() { :; } # what else a test ends
finish() {
  extra
  kill "${vtpm[@]}" 2>/dev/null
  kill "$holder" 2>/dev/null; wait "$holder" 2>/dev/null
  kill "$tpm" 2>/dev/null; wait 2>/dev/null
  [ $failed = 0 ] || tail -n 30 "$work"/*.log
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM
needs swtpm openssl

# --- the node
configure() { # name site-id: the configuration of an instance, whose image is the node's
  local at=$home/node
  [ "$1" = own ] || { at=$home/node/instances/$1; mkdir -p "$at"; ln -sfn "$bin/vtpm.image" "$at/image"; }
  "$bin/make_image" configuration "$at/configuration" "$work/owner.der" insecure-dev "$2" || exit 1
}
node_tpm_up() {
  swtpm socket --tpm2 --server type=unixio,path="$work/tpm.sock" --ctrl type=unixio,path="$work/tpm.ctrl" \
    --tpmstate dir="$home/tpm" --flags startup-clear >"$work/tpm.log" 2>&1 & tpm=$!
  eventually "the node's software TPM is there" test -S "$work/tpm.sock"
}
node_up() {
  node_tpm_up
  : >"$work/node.log"
  "$bin/bastide-keyholder" --home "$home" --image "$bin/vtpm.image" --tcti "swtpm:path=$work/tpm.sock" --insecure-dev \
    2>"$work/node.log" & holder=$!
  eventually "the node serves" grep -q "monitor serving" "$work/node.log"
  [ $failed = 0 ] || exit 1 # whoever waits for its vTPMs would wait for good
}
node_killed() { # nobody is told
  kill -9 "$holder" $(cat "/proc/$holder/task/$holder/children") "$@"
  { wait "$holder"; kill "$tpm"; wait "$tpm"; } 2>/dev/null
  rm -f "$work/tpm.sock"
  holder= tpm=
}
node_down() { # in order, as a service manager would
  { kill "$holder"; wait "$holder"; kill "$tpm"; wait "$tpm"; } 2>/dev/null
  rm -f "$work/tpm.sock"
  holder= tpm=
}
prepare() { :; } # what else a node has before it starts
make_node() { # names of instances beside its own...
  mkdir -p "$home/node" "$home/run" "$home/tpm" "$bin"
  cp -r "$build"/bastide-{keyholder,monitor,launcher,vtpm} "$build"/tests/{make_image,vtpm_check} "$build/vtpm.image" "$bin"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=owner -keyout "$work/owner.pem" \
    -outform DER -out "$work/owner.der" 2>/dev/null
  configure own "its own vTPM"
  local name
  for name; do configure "$name" "vTPM $name"; done
  prepare
  node_up
}

# --- vTPMs: NAME listens at $work/NAME, $work/NAME.ctrl, $work/NAME.keys
tcti() { echo "swtpm:path=$work/$1"; }
begin() { # name options...: startup-clear unless said otherwise; $state is more of --tpmstate
  local name=$1; shift
  [ $# -gt 0 ] || set -- --flags startup-clear
  : >"$work/$name.log"
  "$bin/bastide-vtpm" socket --tpm2 --tpmstate "dir=$home$([ "$name" = own ] || echo ",instance=$name")${state:-}" \
    --ctrl "type=unixio,path=$work/$name.ctrl" --server "type=unixio,path=$work/$name" \
    --keys "type=unixio,path=$work/$name.keys" "$@" 2>>"$work/$name.log" & vtpm[$name]=$!
}
answers() { tpm2_getrandom -T "$(tcti "$1")" 8; }
start() { # name
  begin "$@"
  eventually "vTPM $1 answers" answers "$1"
}
stop() { kill "${vtpm[$1]}"; wait "${vtpm[$1]}"; unset "vtpm[$1]"; } 2>/dev/null
enclave_of() { # name: the process of its enclave, by the monitor's word
  local of=
  [ "$1" = own ] || of="instance=$1 "
  grep -o "enclave_ready ${of}launch=[0-9]* pid=[0-9]*" "$work/node.log" | tail -1 | sed 's/.*pid=//'
}
