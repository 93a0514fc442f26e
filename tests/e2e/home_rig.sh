# Sourced by tests of vTPMs by `bastide`, as root or as an ordinary user: $1 is the build directory, $2 root or user. The
# programs are in $bin; $home is one home, or $homes are all.
build=$(realpath "$1")
as=${2:-root}
[ "$as" = root ] && [ "$(id -u)" != 0 ] && as=user
work=$(mktemp -d /tmp/vtpm.XXXX) # sockets' names are short
bin=$work/bin home=$work/home
homes=("$home")
failed=0
user=43214
run=()
[ "$as" = user ] && [ "$(id -u)" = 0 ] && run=(setpriv --reuid=$user --regid=$user --clear-groups --inh-caps=-all --bounding-set=-all)
extra() { :; } # what else a test ends
finish() {
  local each
  extra
  for each in "${homes[@]}"; do
    "${run[@]}" "$bin/bastide" --home "$each" down >/dev/null 2>&1
    [ $failed = 0 ] || tail -n 30 "$each"/run/*.log "$each"/run/vtpm/*/host.log
  done
  rm -rf "$work"
}
trap finish EXIT
check() { # what expected actual
  if [ "$2" = "$3" ]; then echo "ok: $1"; else echo "FAILED: $1: expected '$2', got '$3'"; failed=1; fi
}
says() { # what pattern file
  if grep -q -- "$2" "$3"; then echo "ok: $1"; else echo "FAILED: $1: no '$2' in:"; tail -5 "$3"; failed=1; fi
}
eventually() { # what command...
  local what=$1; shift
  for _ in $(seq 300); do "$@" >/dev/null 2>&1 && { echo "ok: $what"; return; }; sleep 0.1; done
  echo "FAILED: $what"; failed=1
}
bastide() { (cd "$work" && exec "${run[@]}" "$bin/bastide" --home "$home" "$@") >"$work/out" 2>"$work/err" </dev/null; }
does() { # what code arguments...
  local what=$1 code=$2 got; shift 2
  bastide "$@"
  got=$?
  if [ $got = "$code" ]; then echo "ok: $what"; else echo "FAILED: $what: exit code $got, not $code"; tail -3 "$work/err"; failed=1; fi
}
json() { jq -r "$1" "$work/out" 2>/dev/null; }
same() { cmp -s "$1" "$2" && echo same || echo different; }
tpm() { local name=$1; shift; "${run[@]}" env TPM2TOOLS_TCTI="swtpm:path=$home/run/vtpm/$name/tpm" "$@"; } # name command...
for tool in swtpm openssl setpriv jq curl python3 tpm2_nvread; do
  command -v $tool >/dev/null || { echo "skipped: $tool is missing (make deps installs it)"; exit 77; }
done
mkdir -p "$bin"
cp -r "$build"/{bastide,bastided,bastide-keyholder,bastide-monitor,bastide-launcher,bastide-vtpm,hub.image,vtpm.image} "$bin"
chmod 755 "$work"
lend() { [ ${#run[@]} = 0 ] || chown -R $user:$user "$work"; } # to the user, once all is there
lend
