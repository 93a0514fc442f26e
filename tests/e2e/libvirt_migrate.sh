#!/usr/bin/env bash
# virsh migrate between two of libvirt's daemons, on two nodes of one owner, with our programs by swtpm's names: a VM takes
# its vTPM along where its owner prepared that by `bastide vtpm migrate`, there and back, and stays with it where he did not.
# Second argument: root or user. The script itself is on machine a; b is beside it.
. "$(dirname "$0")/libvirt_rig.sh"
port=25861
[ "$as" = root ] || port=25863
declare -A daemon=()
finish() {
  for each in a b; do on $each virsh destroy one; done >/dev/null 2>&1
  kill "${daemon[@]}" 2>/dev/null
  for each in a b; do bastide $each down; done >/dev/null 2>&1
  wait 2>/dev/null
  [ $failed = 0 ] || for each in a b; do machine "$work/$each"; tail -n 25 "$work/home.$each"/run/*.log "$at/libvirtd.log" "$logs"/*.log; done
  rm -rf "$work"
}
trap finish EXIT
bastide() { local home=$work/home.$1; shift; "$bin/bastide" --home "$home" "$@" </dev/null; } # a|b arguments...
on() { machine "$work/$1"; shift; LIBVIRT_DEFAULT_URI=$uri "$@"; }                           # a|b command...
uri_of() { machine "$work/$1"; echo "$uri"; }

# --- two nodes of one owner, two machines
does "the first node" 0 a init --insecure-dev --coap 127.0.0.1:$port --http 127.0.0.1:$((port + 3000))
mkdir -p home.b/{owner/clients,node/monitor,run,tpm}
cp home.a/owner/{owner.key,owner.crt,configuration} home.b/owner
cp home.a/node/configuration home.b/node
does "the second" 0 b init --renew --insecure-dev --coap 127.0.0.1:$((port + 1)) --http 127.0.0.1:$((port + 3001))
for each in a b; do furnish "$work/$each" "$work/home.$each"; done
enter "$work/a" || { echo "skipped: nothing can be mounted here"; exit 77; }
for each in a b; do
  [ "$as" = user ] && mkdir -p home.$each/node/instances && continue
  lend "$work/home.$each"
  does "node $each ends" 0 $each down
  does "and is there again, and hears a group" 0 $each up
done
# libvirt lets nothing migrate to a host of the same name: b has its own.
begin() { hostname "machine-$1" && enter "$work/$1" && exec nice -n 19 libvirtd >>"$at/libvirtd.out" 2>&1; }
export -f begin enter machine
export work as
apart=(unshare --mount --uts)
[ "$as" = user ] && apart=(unshare --user --map-current-user --keep-caps --uts)
"${apart[@]}" hostname machine-b || { echo "skipped: there are no user namespaces here"; exit 77; }
nice -n 19 libvirtd >>a/libvirtd.out 2>&1 & daemon[a]=$!
"${apart[@]}" bash -c 'begin b' & daemon[b]=$!
for each in a b; do eventually "libvirtd $each is there" on $each virsh list; done
install -d -m 777 way
move() { # from to options...: as libvirt's documents have it, by a socket in a directory that both QEMUs may use
  on "$1" virsh migrate one "$(uri_of "$2")" --live --persistent --unsafe "${@:3}"
}
way="unix://$work/way/m"
runs() { [ "$(on "$1" virsh domstate one | head -1)" = running ]; }
serves() { machine "$work/$1"; served $one; }
log() { machine "$work/$1"; cat "$logs/one-swtpm.log" >log; echo log; }

# --- a VM with a TPM that its owner made
one=1b4e28ba-2fa1-11d2-883f-0016d3cca427
does "an owner makes a TPM for a VM" 0 a vtpm create web1 --id $one
[ "$as" = user ] || chown -R tss: home.a/node/instances/web1
LIBVIRT_DEFAULT_URI=$(uri_of a) define one $one tpm-crb
works "it starts" on a virsh start one
eventually "its firmware measures itself into it" measured one
[ $failed = 0 ] || exit 1
first=$(resets one) boot=$(pcr0 one)
bastide a vtpm show web1 >shown
says "bastide sees that it is served" "in use by a bastide-vtpm" shown
stays() {
  check "the VM stays where it was" "running, " "$(on a virsh domstate one | head -1), $(on b virsh list --name --all | head -1)"
  works "with its TPM" answers one
  check "which was not started anew" "$first $boot" "$(resets one) $(pcr0 one)"
}

# --- nobody prepared
fails "unprepared it does not migrate" move a b --p2p --migrateuri "$way"
says "libvirt says that there is no TPM" "swtpm socket did not show up" out
says "the destination's log says what to do" "reason=.*migrate NAME --to HOME --prepare" "$(log b)"
check "nothing is made there" "" "$(ls home.b/node/instances)"
stays
machine "$work/b"
works "nor where there is an empty TPM for it" "$bin/bastide-vtpm-setup" --tpm2 --tpm-state "$work/b/empty" --vmid "one:$one" --config "$config"
[ "$as" = user ] || chown -R tss: "home.b/node/instances/$one"
fails "it does not" move a b --p2p --migrateuri "$way"
says "the source's log says that no state leaves" "refused=get_state: the machine policy allows no snapshots" "$(log a)"
stays
does "that one goes" 0 b vtpm delete "$one" --yes

# --- prepared, and taken back
does "prepared while it runs" 0 a vtpm migrate web1 --to "$work/home.b" --prepare
stays
does "taken back" 0 a vtpm migrate web1 --to "$work/home.b" --abort
check "nothing is left there" "" "$(ls home.b/node/instances)"
stays

# --- prepared
does "prepared again" 0 a vtpm migrate web1 --to "$work/home.b" --prepare
fails "a migration that finds no way" move a b --p2p --migrateuri "unix://$work/nowhere/m"
stays
works "is said again, and migrates" move a b --p2p --migrateuri "$way"
check "it runs there" "shut off, running" "$(on a virsh domstate one | head -1), $(on b virsh domstate one | head -1)"
works "its TPM answers" answers one
check "and was not started anew" "$first $boot" "$(resets one) $(pcr0 one)"
check "served there" "yes no" "$([ -n "$(serves b)" ] && echo yes) $([ -n "$(serves a)" ] || echo no)"
works "it is destroyed" on b virsh destroy one
fails "it does not start where it was" on a virsh start one
says "whose log says why" "refused=init: the state has left" "$(log a)"
works "it starts where it is" on b virsh start one
eventually "its TPM is started by the firmware" more one "$first"
first=$(resets one)
does "what it left is forgotten" 0 a vtpm migrate web1 --to "$work/home.b" --finish
check "its instance is there, and nowhere else" "web1, " "$(ls home.b/node/instances), $(ls home.a/node/instances)"
check "with its certificates" 3 "$(find home.b/owner/vtpm/web1 -name 'ek-*' | wc -l)"
fails "still it does not start where it was" on a virsh start one
says "whose log says why" "instance=web1 .*it was deleted or has moved" "$(log a)"
check "and nothing was made" "" "$(ls home.a/node/instances)"

# --- and back, libvirt's client between the two, by TCP
does "its owner backs it up while it runs" 0 b vtpm backup web1 -o backup
does "prepared to go back" 0 b vtpm migrate web1 --to "$work/home.a" --prepare
works "it migrates" move b a --undefinesource --migrateuri "tcp://127.0.0.1:$((port + 4))" --listen-address 127.0.0.1
check "it runs there" "running, " "$(on a virsh domstate one | head -1), $(on b virsh list --name --all | head -1)"
works "its TPM answers" answers one
check "and was not started anew" "$first $boot" "$(resets one) $(pcr0 one)"
does "what it left is forgotten" 0 b vtpm migrate web1 --to "$work/home.a" --finish
check "its instance is there, and nowhere else" "web1, " "$(ls home.a/node/instances), $(ls home.b/node/instances)"
machine "$work/b"
check "and no reference to it" "" "$(ls "$state" 2>/dev/null)"
works "it is reset" on a virsh reset one
eventually "its TPM is started once more" more one "$first"
exit $failed
