# Sourced first by tests of vTPMs by `bastide`, as root or as an ordinary user: $1 is the build directory, $2 root or user. The
# programs are in $bin; $home is one home, or $homes are all.
. "$(dirname "$0")/user_rig.sh"
build=$(realpath "$1")
as=${2:-root}
[ "$as" = root ] && [ "$(id -u)" != 0 ] && as=user
work=$(mktemp -d /tmp/vtpm.XXXX) # sockets' names are short
bin=$work/bin home=$work/home
homes=("$home")
. "$(dirname "$0")/checks.sh"
extra() { :; } # what else a test ends
finish() {
  local each
  extra
  for each in "${homes[@]}"; do
    "$bin/bastide" --home "$each" down >/dev/null 2>&1
    [ $failed = 0 ] || tail -n 30 "$each"/run/*.log "$each"/run/vtpm/*/host.log
  done
  rm -rf "$work"
}
trap finish EXIT
bastide() { (cd "$work" && exec "$bin/bastide" --home "$home" "$@") >"$work/out" 2>"$work/err" </dev/null; }
json() { jq -r "$1" "$work/out" 2>/dev/null; }
tpm() { local name=$1; shift; TPM2TOOLS_TCTI="swtpm:path=$home/run/vtpm/$name/tpm" "$@"; } # name command...
needs swtpm openssl jq curl python3 tpm2_nvread
mkdir -p "$bin"
cp -r "$build"/{bastide,bastided,bastide-keyholder,bastide-monitor,bastide-launcher,bastide-vtpm,hub.image,vtpm.image} "$bin"
chmod 755 "$work"
