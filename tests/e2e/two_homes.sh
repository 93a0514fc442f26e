# Sourced by tests of vTPMs that move, by `bastide`, between two nodes of one owner, whose homes are $one and $two: as root
# or as an ordinary user, as home_rig.sh has it.
. "$(dirname "$0")/home_rig.sh"
one=$work/one two=$work/two
homes=("$one" "$two")
bastide() { (cd "$work" && exec "$bin/bastide" --home "$@") >"$work/out" 2>"$work/err" </dev/null; } # home arguments...
tpm() { local home=$1; shift; TPM2TOOLS_TCTI="swtpm:path=$home/run/vtpm/vm/tpm" "$@"; } # home command...
names() { bastide "$1" --json vtpm list; jq -r 'map(.name) | join(" ")' "$work/out"; }
make_nodes() { # coap http: ports of the first; the second's are the next, and an ordinary user's those after them
  local more=0
  [ "$as" = user ] && more=2
  does "the first node" 0 "$one" init --insecure-dev --coap 127.0.0.1:$(($1 + more)) --http 127.0.0.1:$(($2 + more))
  mkdir -p "$two"/{owner/clients,node/monitor,run,tpm}
  cp "$one"/owner/{owner.key,owner.crt,configuration} "$two/owner"
  cp "$one/node/configuration" "$two/node"
  does "the second" 0 "$two" init --renew --insecure-dev --coap 127.0.0.1:$(($1 + more + 1)) --http 127.0.0.1:$(($2 + more + 1))
  [ $failed = 0 ] || exit 1
}
