#!/usr/bin/env bash
# The whole life of vTPMs by `bastide vtpm`, as root and as an ordinary user: made, cut in the making, shown, started,
# used, stopped, exported, deleted; and what is left of a deleted one does not open. Second argument: root or user.
set -uo pipefail
. "$(dirname "$0")/home_rig.sh"
coap=127.0.0.1:25793 http=127.0.0.1:28793
[ "$as" = user ] && coap=127.0.0.1:25794 http=127.0.0.1:28794
hex() { od -An -tx1 -v | tr -d ' \n'; }
# The certificate that is in it is the one that its owner has.
holds_certificate() { # name
  does "vTPM $1 is started, switched on" 0 vtpm start "$1" --on
  tpm "$1" tpm2_nvread 0x01c0000a >"$work/in" 2>/dev/null
  does "its certificate is exported" 0 vtpm export-ek "$1" --kind p256 --der
  same "and is the one in it" "$work/in" "$work/out"
  does "it is stopped" 0 vtpm stop "$1"
}

# --- words
does "no verb" 2 vtpm
does "an unknown verb" 2 vtpm frobnicate
does "no name" 2 vtpm create
does "two names" 2 vtpm create a b
for name in .a -a _a 'a b' 'a/b' 'a;b' "$(printf 'a%.0s' {1..48})"; do does "the name '$name'" 2 vtpm create -- "$name"; done
for verb in create list show start stop run policy tag export-ek export-platform verify delete backup restore migrate; do
  does "the page of $verb" 0 vtpm $verb --help
  says "has its usage" "^Usage: bastide vtpm $verb" "$work/out"
  says "and an example" "^  bastide vtpm .*$verb" "$work/out"
done
does "all pages" 0 vtpm --help
check "are named" 15 "$(sed -n '/^Verbs:/,$p' "$work/out" | grep -c '^  [a-z-]* ')"
does "an id that is none" 2 vtpm create a --id 1234
says "is named" "is no UUID" "$work/err"
does "an option of another verb" 2 vtpm show a --yes
says "is named" "show has no --yes" "$work/err"
does "nothing is there yet" 0 vtpm list
says "and what to do is said" "bastide vtpm create NAME" "$work/out"
does "without a site none is made" 6 vtpm create web1
says "and what to do is said" "bastide init makes one" "$work/err"
check "and nothing is left of it" "" "$(ls "$home" 2>/dev/null)"

# --- one is made
does "init" 0 init --insecure-dev --coap $coap --http $http
id=0b5c1d7e-8f90-4a1b-9c2d-3e4f50617283
does "an image that is no vTPM's" 12 vtpm create web1 --image "$bin/hub.image"
says "is named" 'of the product "hub"' "$work/err"
does "an image that is none" 12 vtpm create web1 --image "$bin"
check "nothing is left of those" "" "$(ls "$home/owner/vtpm" "$home/node/instances" 2>/dev/null)"
does "one is made" 0 --json vtpm create web1 --id $id --tenant "Hôpital sud"
check "it is stopped" stopped "$(json .state)"
check "it has the id" $id "$(json .id)"
check "it has the tenant" "Hôpital sud" "$(json .tenant)"
check "it has three certificates" "p256 p384 rsa2048" "$(json '.certificates | keys | join(" ")')"
measurement=$(json .measurement)
does "the same again is refused" 3 vtpm create web1
says "for it is there" "is there already" "$work/err"
does "another is made with what is left out" 0 vtpm create web2
does "all are listed" 0 --json vtpm list
check "by name" "web1 stopped true, web2 stopped true" "$(json 'map("\(.name) \(.state) \(.certified)") | join(", ")')"
does "one that is not there is not shown" 6 vtpm show nobody
does "nor started" 6 vtpm start nobody
does "nor exported" 6 vtpm export-ek nobody
does "nor deleted" 6 vtpm delete nobody --yes
does "nor backed up" 6 vtpm backup nobody -o "$work/backup"
does "nor moved" 6 vtpm migrate nobody --to "$work"

# --- its certificates, without its being started
does "they are exported" 0 vtpm export-ek web1 -o "$work/all.pem"
check "all three" 3 "$(grep -c "BEGIN CERTIFICATE" "$work/all.pem")"
openssl x509 -inform DER -in "$home/owner/site-ca.crt" -out "$work/ca.pem"
for kind in rsa2048 p256 p384; do
  does "the one for $kind" 0 vtpm export-ek web1 --kind $kind
  cp "$work/out" "$work/$kind.pem"
  check "holds against the site CA" yes "$(openssl verify -partial_chain -CAfile "$work/ca.pem" "$work/$kind.pem" >/dev/null 2>&1 && echo yes)"
  openssl x509 -in "$work/$kind.pem" -noout -text >"$work/text"
  says "names the vTPM" "CN = web1" "$work/text"
  says "its id" "/vtpm/${id//-/}" "$work/text"
  check "its tenant and measurement" yes "$(openssl x509 -in "$work/$kind.pem" -outform DER | hex | grep -q "$(printf 'Hôpital sud' | hex)0420$measurement" && echo yes)"
done
does "DER of all is refused" 2 vtpm export-ek web1 --der
does "both forms are refused" 2 vtpm export-ek web1 --der --pem --kind p256
does "another kind is refused" 2 vtpm export-ek web1 --kind p521
does "that of its platform as JSON" 0 --json vtpm export-platform web1
check "is the DER one" same "$(json .platform | python3 -c 'import base64, sys; text = sys.stdin.read().strip(); sys.stdout.buffer.write(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))' | cmp -s - "$home/owner/vtpm/web1/platform.der" && echo same)"
holds_certificate web1

# --- started and stopped
does "started for a VM" 0 vtpm start web1
says "QEMU's words are said" "-tpmdev emulator,id=tpm0,chardev=vtpm" "$work/out"
check "it is off until the VM switches it on" no "$(tpm web1 timeout 5 tpm2_getrandom 8 >/dev/null 2>&1 && echo yes || echo no)"
does "a second time is refused" 3 vtpm start web1
does "it is shown" 0 --json vtpm show web1
check "as running" running "$(json .state)"
check "by an enclave" yes "$([ "$(json .enclave.process)" -gt 0 ] && echo yes)"
check "of the image it was certified with" "$measurement" "$(json .enclave.measurement)"
does "stopped" 0 vtpm stop web1
check "its process is gone" "" "$(pgrep -f "instance=web1" || true)"
does "stopped again is no failure" 0 --json vtpm stop web1
check "and said" false "$(json .stopped)"
does "started, switched on" 0 vtpm start web1 --on
tpm web1 tpm2_nvdefine -C o -s 5 -a "ownerread|ownerwrite" 0x1500016 >/dev/null
tpm web1 tpm2_nvwrite -C o -i- 0x1500016 <<<"mine" 
kill -9 "$(cut -d' ' -f1 "$home/run/vtpm/web1/host.pid")"
does "an answer that is none is refused" 2 vtpm start web1 --fsync never
does "a word of start's alone" 2 vtpm stop web1 --fsync no
eventually "its process was killed: it is stopped" sh -c "'$bin/bastide' --home '$home' --json vtpm show web1 2>/dev/null | jq -e '.state == \"stopped\"'"
does "and can be started, to answer before the disk does" 0 vtpm start web1 --on --fsync no
says "which the monitor is told" "host_attached instance=web1 .*commits=relaxed" "$home/run/keyholder.log"
check "it holds what it held" mine "$(tpm web1 tpm2_nvread -C o -s 5 0x1500016 2>/dev/null | head -c4)"
does "down stops it, too" 0 --json down
check "and says so" web1 "$(json '.vtpms | join(" ")')"
does "shown without a node" 0 --json vtpm show web1
check "it is stopped" stopped "$(json .state)"
does "exported without a node" 0 vtpm export-ek web1
does "started without a node it is refused" 4 vtpm start web1
does "deleted as well" 4 vtpm delete web1 --yes
says "and nothing is removed" "" "$home/owner/vtpm/web1/instance.json"
does "up" 0 up
does "one is not started by that" 0 --json vtpm show web1
check "but stopped" stopped "$(json .state)"
(cd "$work" && exec "$bin/bastide" --home "$home" vtpm start web1 --on --foreground) 2>>"$work/fg.log" & foreground=$!
eventually "in the foreground" tpm web1 tpm2_getrandom 8
check "it holds what it held" mine "$(tpm web1 tpm2_nvread -C o -s 5 0x1500016 2>/dev/null | head -c4)"
does "and is stopped by its word" 0 vtpm stop web1
wait $foreground; check "with success" 0 $?

# --- cut in the making, anywhere
for cut in 0.02 0.05 0.1 0.15 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1.0 1.2; do
  (cd "$work" && exec "$bin/bastide" --home "$home" vtpm create cut) >/dev/null 2>&1 </dev/null & making=$!
  sleep $cut
  kill -9 $making 2>/dev/null
  wait $making 2>/dev/null
  state=$("$bin/bastide" --home "$home" --json vtpm show cut 2>/dev/null | jq -r .state)
  [ "$state" = stopped ] && break
done
[ "$state" = stopped ] || does "a making that was cut, again and again, is taken up" 0 vtpm create cut
holds_certificate cut
does "another is cut" 0 vtpm list
(cd "$work" && exec "$bin/bastide" --home "$home" vtpm create gone) >/dev/null 2>&1 </dev/null & making=$!
eventually "while it is made" test -e "$home/node/instances/gone/archive.db"
kill -9 $making; wait $making 2>/dev/null
does "it is not whole" 0 --json vtpm show gone
check "and said to be" unfinished "$(json .state)"
does "and not started" 3 vtpm start gone
does "but taken up with what it was begun with only" 3 vtpm create gone --tenant other
does "or deleted" 0 vtpm delete gone --yes
check "with all that was of it" "" "$(ls -d "$home"/{owner/vtpm,node/instances,run/vtpm}/gone 2>/dev/null)"

# --- deleted
does "without saying so nothing is deleted" 2 vtpm delete web1
does "while it runs" 0 vtpm start web1 --on
cp -r "$home/node/instances/web1" "$work/kept"
does "it is deleted" 0 --json vtpm delete web1 --yes
check "its process is gone" "" "$(pgrep -f "instance=web1" || true)"
check "with all that was of it" "" "$(ls -d "$home"/{owner/vtpm,node/instances,run/vtpm}/web1 2>/dev/null)"
does "a second time there is none" 6 vtpm delete web1 --yes
opens() { # the code with which what is in $work/kept is refused
  rm -rf "$home/node/instances/web1"
  cp -r "$work/kept" "$home/node/instances/web1"
  timeout 30 "$bin/bastide-vtpm" socket --tpm2 --tpmstate "dir=$home,instance=web1" \
    --ctrl "type=unixio,path=$work/kept.ctrl" --flags startup-clear 2>"$work/kept.log"
  echo $?
}
chmod -R a+rX "$work/kept"
check "a copy of it does not open" 7 "$(opens)"
says "for nothing of it is confirmed" "nothing is confirmed, and it begins elsewhere" "$work/kept.log"
python3 - "$work/kept/archive.db" <<'PY'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("DELETE FROM log WHERE sequence > 1"), db.commit(), db.close()
PY
check "nor does its first record" 7 "$(opens)"
says "which is of another history" "of another history" "$work/kept.log"
rm -rf "$home/node/instances/web1"
does "one of the same name and id is another" 0 vtpm create web1 --id $id
holds_certificate web1
exits "with other keys" 1 cmp "$work/in" <(openssl x509 -in "$work/p256.pem" -outform DER)
does "web2 is who it was" 0 vtpm show web2
for name in web1 web2 cut; do does "$name is deleted" 0 vtpm delete $name --yes; done
does "none is left" 0 --json vtpm list
check "none" "[]" "$(cat "$work/out")"
exit $failed
