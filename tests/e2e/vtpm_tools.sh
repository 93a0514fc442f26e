#!/usr/bin/env bash
# tpm2-tools, as they are, against vTPMs: keys, seals and policies, import and duplication, NV, sessions, dictionary
# attack, clear. What there is to verify OpenSSL verifies; what is refused is refused with the TPM's own response code.
set -uo pipefail
. "$(dirname "$0")/vtpm_rig.sh"
needs tpm2_getrandom xxd
make_node two
cd "$work" || exit 1
start own
start two
export TPM2TOOLS_TCTI
at() { TPM2TOOLS_TCTI=$(tcti "$1"); } # name: who is spoken to from here on
t() { # a tool and its arguments: run, and what it left loaded flushed, for no resource manager stands between
  local code
  "tpm2_$@"; code=$?
  tpm2_flushcontext -t >/dev/null 2>&1
  [ $code = 0 ] || tpm2_flushcontext -l >/dev/null 2>&1 # nor is a session ended that a tool failed with
  return $code
}
over() { # a policy session, whether or not what it was for came about
  tpm2_flushcontext s || tpm2_flushcontext -l
  tpm2_flushcontext -t
} >/dev/null 2>&1
quiet() { t "$@" >/dev/null 2>"$work/err" || { bad "tpm2_$*"; tail -3 "$work/err"; }; }
sum() { sha256sum "$1" | cut -c1-64; }
verified() { # what key.pem signature message more-options...
  local what=$1 key=$2 signature=$3 message=$4; shift 4
  works "$what" openssl dgst -sha256 -verify "$key" -signature "$signature" "$@" "$message"
}
at own
quiet dictionarylockout -s -n 30 -t 4000 -l 4000 # a death without a shutdown counts as a guess, see below
echo message >m
echo another >m2
head -c 32 /dev/zero >zero
head -c 100000 /dev/urandom >long

# --- random, hash, HMAC, a block cipher
check "random bytes" 32 "$(t getrandom 32 | wc -c)"
differs "are others each time" "$(t getrandom --hex 32)" "$(t getrandom --hex 32)"
for hash in sha1 sha256 sha384 sha512; do
  check "$hash of many buffers" "$(${hash}sum long | cut -d' ' -f1)" "$(t hash -C o -g $hash --hex long)"
done
head -c 20 /dev/urandom >secret
head -c 16 /dev/urandom >secret.aes
head -c 16 /dev/urandom >iv
head -c 8 iv >eight
hex() { xxd -p -c 200 "$1"; }
quiet createprimary -C o -G ecc -c prim.ctx
quiet import -C prim.ctx -G hmac -i secret -u h.pub -r h.priv
quiet load -C prim.ctx -u h.pub -r h.priv -c h.ctx
for file in m long; do
  check "HMAC of $file by an outside key is OpenSSL's" "$(openssl dgst -sha256 -mac HMAC -macopt "hexkey:$(hex secret)" -r $file | cut -d' ' -f1)" \
    "$(t hmac -c h.ctx --hex $file)"
done
quiet import -C prim.ctx -G aes -i secret.aes -u a.pub -r a.priv
quiet load -C prim.ctx -u a.pub -r a.priv -c a.ctx
quiet encryptdecrypt -c a.ctx -t iv -o m.aes m
check "AES by an outside key is OpenSSL's" "$(openssl enc -aes-128-cfb -K "$(hex secret.aes)" -iv "$(hex iv)" -in m | sum /dev/stdin)" "$(sum m.aes)"

# --- keys of either kind
make() { # name algorithm more...
  local name=$1 algorithm=$2; shift 2
  quiet create -C prim.ctx -G "$algorithm" -u "$name.pub" -r "$name.priv" "$@"
  quiet load -C prim.ctx -u "$name.pub" -r "$name.priv" -c "$name.ctx" -n "$name.name"
  quiet readpublic -c "$name.ctx" -f pem -o "$name.pem"
}
make rsa rsa2048:null:null -a "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign|decrypt"
make ecc ecc256:ecdsa-sha256:null
make ecc384 ecc384:ecdsa-sha384:null
quiet sign -c rsa.ctx -g sha256 -s rsassa -f plain -o rsa.sig m
verified "an RSA signature" rsa.pem rsa.sig m
quiet sign -c rsa.ctx -g sha256 -s rsapss -f plain -o pss.sig m
verified "an RSA-PSS signature" rsa.pem pss.sig m -sigopt rsa_padding_mode:pss
quiet sign -c ecc.ctx -g sha256 -f plain -o ecc.sig m
verified "an ECDSA signature" ecc.pem ecc.sig m
fails "is none of another message" openssl dgst -sha256 -verify ecc.pem -signature ecc.sig m2
quiet sign -c ecc384.ctx -g sha384 -f plain -o ecc384.sig m
works "on P-384" openssl dgst -sha384 -verify ecc384.pem -signature ecc384.sig m
openssl dgst -sha256 -sign "$work/owner.pem" -out outside.sig m
openssl pkey -in "$work/owner.pem" -pubout -out outside.pem
quiet loadexternal -C n -G ecc -u outside.pem -c outside.ctx
works "an outside signature is verified" t verifysignature -c outside.ctx -g sha256 -m m -f ecdsa -s outside.sig
refuses "and a wrong one is not" 0x2DB t verifysignature -c outside.ctx -g sha256 -m m2 -f ecdsa -s outside.sig
openssl pkeyutl -encrypt -pubin -inkey rsa.pem -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -in m -out m.rsa
check "what OpenSSL encrypted to it it decrypts" message "$(t rsadecrypt -c rsa.ctx -s oaep m.rsa)"
quiet create -C prim.ctx -G ecc256:null:null -u dh.pub -r dh.priv -a "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|decrypt"
quiet load -C prim.ctx -u dh.pub -r dh.priv -c dh.ctx
quiet readpublic -c dh.ctx -f pem -o dh.pem
quiet ecdhkeygen -c dh.ctx -u point.theirs -o z.theirs
quiet ecdhzgen -c dh.ctx -u point.theirs -o z.ours
check "two sides of a key agreement agree" "$(sum z.theirs)" "$(sum z.ours)"

# --- seals, and policies of PCRs
extend() { quiet pcrextend "$1:sha256=$(sum m)"; } # PCR
seal() { # name secret policy
  quiet create -C prim.ctx -L "$3" -i- -u "$1.pub" -r "$1.priv" <<<"$2"
  quiet load -C prim.ctx -u "$1.pub" -r "$1.priv" -c "$1.ctx"
}
opens() { check "$1" "$2" "$(t unseal -c "$3" "${@:4}" 2>"$work/err")"; } # what secret object more...
check "a PCR of a debugger is zero" "$(hex zero | tr a-f A-F)" "$(t pcrread sha256:16 | sed -n 's/.*0x//p')"
quiet createpolicy --policy-pcr -l sha256:16,23 -L pcr.policy
seal pcr "by PCR" pcr.policy
opens "what is sealed to PCRs opens" "by PCR" pcr.ctx -p pcr:sha256:16,23
refuses "not without its policy" 0x12F t unseal -c pcr.ctx
refuses "not with other PCRs" 0x99D t unseal -c pcr.ctx -p pcr:sha256:16
extend 23
check "the PCR is what it should be" "$(cat zero <(sha256sum m | cut -c1-64 | xxd -r -p) | sha256sum | cut -c1-64 | tr a-f A-F)" \
  "$(t pcrread sha256:23 | sed -n 's/.*0x//p')"
refuses "not after one was extended" 0x99D t unseal -c pcr.ctx -p pcr:sha256:16,23
quiet pcrreset 23
opens "again once it was reset" "by PCR" pcr.ctx -p pcr:sha256:16,23
refuses "which only some are for a VM's user" 0x907 t pcrreset 0

# --- attestation
quiet createek -c ek.ctx -G rsa -u ek.pub
tpm2_createak -C ek.ctx -c ak.ctx -G ecc -s ecdsa -g sha256 -u ak.pem -f pem -n ak.name >/dev/null 2>&1
tpm2_flushcontext -t; tpm2_flushcontext -l; tpm2_flushcontext -s
quiet quote -c ak.ctx -l sha256:0,16 -q abcd -m q.msg -s q.sig -f plain -o q.pcr -g sha256
verified "a quote" ak.pem q.sig q.msg
quiet quote -c ak.ctx -l sha256:0,16 -q abcd -m q.msg -s q.sig -o q.pcr -g sha256
works "and tpm2_checkquote has it so" tpm2_checkquote -u ak.pem -m q.msg -s q.sig -f q.pcr -q abcd -g sha256
fails "not for another nonce" tpm2_checkquote -u ak.pem -m q.msg -s q.sig -f q.pcr -q abce -g sha256
quiet certify -c ecc.ctx -C ak.ctx -g sha256 -f plain -o certify.msg -s certify.sig
verified "one key certifies another" ak.pem certify.sig certify.msg
check "by its name" 1 "$(xxd -p -c 1000 certify.msg | grep -c "$(hex ecc.name)")"
cp certify.msg forged
printf x | dd of=forged bs=1 seek=40 conv=notrunc status=none
refuses "what looks like the TPM's own word an attestation key does not sign" 0x3E0 t sign -c ak.ctx -g sha256 -o none forged
quiet makecredential -e ek.pub -s secret -n "$(hex ak.name)" -o credential
tpm2_startauthsession --policy-session -S ek.session && tpm2_policysecret -S ek.session -c e >/dev/null
check "a credential is activated by the key that it is for" "$(sum secret)" \
  "$(tpm2_activatecredential -c ak.ctx -C ek.ctx -i credential -o activated -P session:ek.session >/dev/null 2>&1; sum activated)"
tpm2_flushcontext ek.session; tpm2_flushcontext -t
quiet makecredential -e ek.pub -s secret -n "$(hex ecc.name)" -o credential
tpm2_startauthsession --policy-session -S ek.session && tpm2_policysecret -S ek.session -c e >/dev/null
refuses "and by no other" 0x1DF tpm2_activatecredential -c ak.ctx -C ek.ctx -i credential -o none -P session:ek.session
tpm2_flushcontext ek.session; tpm2_flushcontext -t

# --- keys from outside, and to another TPM
openssl genrsa -out import.rsa 2048 2>/dev/null
openssl ecparam -name prime256v1 -genkey -noout -out import.ecc
for kind in rsa ecc; do
  quiet import -C prim.ctx -G $kind -i import.$kind -u i.pub -r i.priv
  quiet load -C prim.ctx -u i.pub -r i.priv -c i.ctx
  quiet sign -c i.ctx -g sha256 $([ $kind = rsa ] && echo -s rsassa) -f plain -o i.sig m
  openssl pkey -in import.$kind -pubout -out import.pem
  verified "an $kind key from outside signs" import.pem i.sig m
done
at two
quiet createprimary -C o -G ecc -c new.ctx
quiet readpublic -c new.ctx -o new.pub
at own
tpm2_startauthsession -S trial && tpm2_policycommandcode -S trial -L duplicate.policy TPM2_CC_Duplicate >/dev/null; tpm2_flushcontext trial
make leaves ecc256:ecdsa-sha256:null -L duplicate.policy -a "sensitivedataorigin|userwithauth|sign"
quiet loadexternal -C n -u new.pub -c new.here
tpm2_startauthsession --policy-session -S s && tpm2_policycommandcode -S s TPM2_CC_Duplicate >/dev/null
works "a key whose policy says so is duplicated" tpm2_duplicate -C new.here -c leaves.ctx -G null -p session:s -r d.priv -s d.seed
over
at two
quiet import -C new.ctx -u leaves.pub -i d.priv -s d.seed -r d.new
quiet load -C new.ctx -u leaves.pub -r d.new -c d.ctx
quiet sign -c d.ctx -g sha256 -f plain -o d.sig m
verified "and signs in another TPM" leaves.pem d.sig m
refuses "a key of one TPM is none of another's" 0x1DF t load -C new.ctx -u ecc.pub -r ecc.priv -c none
at own
make stays ecc256:ecdsa-sha256:null -L duplicate.policy -a "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign"
tpm2_startauthsession --policy-session -S s && tpm2_policycommandcode -S s TPM2_CC_Duplicate >/dev/null
refuses "a key that is fixed to its TPM stays" 0x182 tpm2_duplicate -C new.here -c stays.ctx -G null -p session:s -r none -s none.seed
over
printf x | dd of=d.priv bs=1 seek=20 conv=notrunc status=none
at two
refuses "a bent one is refused" 0x3DF t import -C new.ctx -u leaves.pub -i d.priv -s d.seed -r none
at own

# --- policies: authorize, or, secret, signed, password
openssl genrsa -out signer.key 2048 2>/dev/null
openssl pkey -in signer.key -pubout -out signer.pem
quiet loadexternal -C o -G rsa -u signer.pem -c signer.ctx -n signer.name
tpm2_startauthsession -S trial && tpm2_policyauthorize -S trial -L authorize.policy -n signer.name >/dev/null; tpm2_flushcontext trial
seal auth "by the signer" authorize.policy
approve() { # the PCR's value now
  quiet createpolicy --policy-pcr -l sha256:23 -L now.policy
  openssl dgst -sha256 -sign signer.key -out now.sig now.policy
}
authorized() { # how the unsealing goes with PCR 23 as it is and the newest approval
  local code=1
  tpm2_loadexternal -C o -G rsa -u signer.pem -c signer.ctx -n signer.name >/dev/null &&
    tpm2_verifysignature -c signer.ctx -g sha256 -m now.policy -s now.sig -t ticket -f rsassa && tpm2_flushcontext -t &&
    tpm2_startauthsession --policy-session -S s && tpm2_policypcr -S s -l sha256:23 >/dev/null &&
    tpm2_policyauthorize -S s -i now.policy -n signer.name -t ticket >/dev/null && tpm2_unseal -p session:s -c auth.ctx
  code=$?
  over
  return $code
}
approve
check "a policy that its signer approved" "by the signer" "$(authorized 2>"$work/err")"
extend 23
refuses "for another PCR value it is none" 0x1C4 authorized
approve
check "until the signer says so" "by the signer" "$(authorized 2>"$work/err")"
openssl dgst -sha256 -sign import.rsa -out now.sig now.policy
refuses "another's word does not count" 0x2DB authorized
quiet pcrreset 23

tpm2_startauthsession -S trial && tpm2_policypassword -S trial -L password.policy >/dev/null; tpm2_flushcontext trial
tpm2_startauthsession -S trial && tpm2_policyor -S trial -L or.policy sha256:pcr.policy,password.policy >/dev/null; tpm2_flushcontext trial
quiet create -C prim.ctx -L or.policy -p "" -i- -u or.pub -r or.priv <<<"either"
quiet load -C prim.ctx -u or.pub -r or.priv -c or.ctx
either() { # what command...: a policy session, one step, the alternative
  local code
  tpm2_startauthsession --policy-session -S s && "$@" -S s >/dev/null &&
    tpm2_policyor -S s sha256:pcr.policy,password.policy >/dev/null && tpm2_unseal -p session:s"${with:-}" -c or.ctx
  code=$?
  over
  return $code
}
check "one of two policies" either "$(either tpm2_policypcr -l sha256:16,23 2>"$work/err")"
check "or the other" either "$(with=+ either tpm2_policypassword 2>"$work/err")"
extend 23
refuses "but not none" 0x1C4 either tpm2_policypcr -l sha256:16,23
quiet pcrreset 23

quiet nvdefine -C o -s 8 -a "authread|authwrite|ownerread" -p pin 0x1500020
quiet nvwrite -C 0x1500020 -P pin -i- 0x1500020 <<<"data..."
tpm2_startauthsession -S trial && tpm2_policysecret -S trial -c 0x1500020 -L secret.policy pin >/dev/null; tpm2_flushcontext trial
seal secret "by a secret" secret.policy
by_secret() { # pin
  local code
  tpm2_startauthsession --policy-session -S s && tpm2_policysecret -S s -c 0x1500020 "$1" >/dev/null && tpm2_unseal -p session:s -c secret.ctx
  code=$?
  over
  return $code
}
check "who knows another's secret" "by a secret" "$(by_secret pin 2>"$work/err")"
refuses "and who does not" 0x98E by_secret wrong

# --- NV: written, locked, counted, extended, certified
quiet nvdefine -C o -s 16 -a "ownerread|ownerwrite|authread|write_stclear|read_stclear" 0x1500021
refuses "what was not written cannot be read" 0x14A t nvread -C o -s 16 0x1500021
quiet nvwrite -C o -i- 0x1500021 <<<"fifteen bytes.."
check "written and read" "fifteen bytes.." "$(t nvread -C o -s 15 0x1500021)"
check "in parts" "bytes" "$(t nvread -C o --offset 8 -s 5 0x1500021)"
refuses "not defined twice" 0x14C t nvdefine -C o -s 16 0x1500021
quiet nvwritelock -C o 0x1500021
refuses "locked, it is not written" 0x148 t nvwrite -C o -i m 0x1500021
check "but read" "fifteen bytes.." "$(t nvread -C o -s 15 0x1500021)"
quiet nvreadlock -C o 0x1500021
refuses "until that is locked, too" 0x148 t nvread -C o -s 15 0x1500021
refuses "a wrong password of an index" 0x98E t nvread -C 0x1500020 -P wrong -s 8 0x1500020
refuses "an index that is not there" 0x18B t nvread -C o -s 8 0x15000ff
quiet nvdefine -C o -a "ownerread|ownerwrite|nt=counter" 0x1500022
count() { t nvread -C o -s 8 0x1500022 | xxd -p; }
quiet nvincrement -C o 0x1500022
before=$((16#$(count)))
for _ in 1 2 3; do quiet nvincrement -C o 0x1500022; done
check "a counter counts" $((before + 3)) $((16#$(count)))
refuses "and is not written" 0x82 t nvwrite -C o -i eight 0x1500022
quiet nvdefine -C o -a "ownerread|ownerwrite|nt=extend" -g sha256 0x1500023
quiet nvextend -C o -i m 0x1500023
check "an index is extended as a PCR is" "$(cat zero m | sum /dev/stdin)" "$(t nvread -C o -s 32 0x1500023 | xxd -p -c 100)"
quiet nvdefine -C o -a "ownerread|ownerwrite|nt=bits" 0x1500024
quiet nvsetbits -C o -i 0x5 0x1500024; quiet nvsetbits -C o -i 0x10 0x1500024
check "bits are set and stay" 0000000000000015 "$(t nvread -C o -s 8 0x1500024 | xxd -p)"
quiet nvcertify -C ak.ctx -g sha256 -f plain -o nv.sig --attestation nv.msg -c o --size 8 0x1500022
verified "an index is certified" ak.pem nv.sig nv.msg
check "with what it holds" 1 "$(xxd -p -c 1000 nv.msg | grep -c "$(count)\$")"

# --- sessions: encrypted, salted; what passes by is in a record of it
wire() { TPM2TOOLS_TCTI="pcap:$TPM2TOOLS_TCTI" TCTI_PCAP_FILE="$work/wire" "$@"; }
seen() { grep -c -a "$1" "$work/wire"; }
quiet create -C prim.ctx -p sesame -i- -u s.pub -r s.priv <<<"plain to see"
quiet load -C prim.ctx -u s.pub -r s.priv -c s.ctx
check "a password opens" "plain to see" "$(wire tpm2_unseal -c s.ctx -p sesame 2>"$work/err")"; tpm2_flushcontext -t
check "it is not on the wire, what it opened is" "0 1" "$(seen sesame) $(seen 'plain to see')"
rm -f wire
tpm2_startauthsession --hmac-session -c prim.ctx -S s && tpm2_sessionconfig --enable-encrypt --enable-decrypt s
check "a session opens" "plain to see" "$(wire tpm2_unseal -c s.ctx -p session:s+sesame 2>"$work/err")"
check "and neither is seen" "0 0" "$(seen sesame) $(seen 'plain to see')"
over
tpm2_startauthsession --hmac-session -c prim.ctx -S s && tpm2_sessionconfig --enable-encrypt --enable-decrypt s
refuses "by session a wrong password is refused, too" 0x98E tpm2_unseal -c s.ctx -p session:s+nonsense
over
tpm2_dictionarylockout -c -T "$TPM2TOOLS_TCTI"

# --- what outlives it: an enclave killed, a host end stopped and killed
quiet evictcontrol -C o -c ecc.ctx 0x81000010
counted=$((16#$(count)))
clock() { t readclock | sed -n 's/^ *reset_count: //p'; }
resets=$(clock)
reborn() { # how: comes again, and what it holds
  eventually "$1: it answers" answers own
  check "$1: the counter stands" $counted $((16#$(count)))
  quiet sign -c 0x81000010 -g sha256 -f plain -o ecc.sig m2
  verified "$1: a kept key signs" ecc.pem ecc.sig m2
  check "$1: locked until then, it is read" "fifteen bytes.." "$(t nvread -C o -s 15 0x1500021)"
  check "$1: one reset more" $((resets += 1)) "$(clock)"
  quiet nvincrement -C o 0x1500022
  counted=$((counted + 1))
}
tpm2_startauthsession --policy-session -S old && cp old old.kept
kill -9 "$(enclave_of own)"
sleep 0.2
reborn "its enclave killed"
refuses "a session of before is none any more" 0x1DF tpm2_policypcr -S old.kept -l sha256:16
refuses "nor is a loaded key's context" 0x1DF t sign -c ecc.ctx -g sha256 -o none m
stop own; start own; reborn "its host end stopped"
kill -9 "${vtpm[own]}"; wait "${vtpm[own]}" 2>/dev/null; start own; reborn "its host end killed"
quiet createprimary -C o -G ecc -c prim.ctx
quiet load -C prim.ctx -u ecc.pub -r ecc.priv -c ecc.ctx
quiet sign -c ecc.ctx -g sha256 -f plain -o ecc.sig m
verified "the same primary key loads what was made below it" ecc.pem ecc.sig m
quiet load -C prim.ctx -u pcr.pub -r pcr.priv -c pcr.ctx
opens "and what was sealed opens" "by PCR" pcr.ctx -p pcr:sha256:16,23

# --- hierarchies and passwords
quiet changeauth -c o owner
refuses "with the owner's password set, none will not do" 0x9A2 t nvdefine -C o -s 8 0x1500030
works "with it, it does" t nvdefine -C o -P owner -s 8 0x1500030
quiet changeauth -c o -p owner ""
quiet hierarchycontrol -C p shEnable clear
refuses "a hierarchy that was closed" 0x185 t createprimary -C o -G ecc -c none
kill -9 "$(enclave_of own)"; sleep 0.2
eventually "is open after a reset" t createprimary -C o -G ecc -c prim.ctx

# --- dictionary attack
quiet dictionarylockout -s -n 3 -t 4000 -l 4000
quiet changeauth -c l lockout
guess() { t nvread -C 0x1500020 -P "$1" -s 7 0x1500020; }
guesses() { t getcap properties-variable | sed -n 's/TPM2_PT_LOCKOUT_COUNTER: //p'; }
quiet dictionarylockout -c -p lockout
check "the right password reads" "data..." "$(guess pin)"
kill -9 "$(enclave_of own)"; sleep 0.2; eventually "its enclave killed, it answers" answers own
check "and has counted that, for it may have been to undo a guess" 0x1 "$(guesses)"
quiet dictionarylockout -c -p lockout
for _ in 1 2 3; do refuses "a wrong guess" 0x98E guess wrong; done
refuses "after three even the right one is not looked at" 0x921 guess pin
stop own; start own
refuses "nor after a restart" 0x921 guess pin
kill -9 "$(enclave_of own)"; sleep 0.2; eventually "its enclave killed, it answers" answers own
refuses "nor then" 0x921 guess pin
kill -9 "${vtpm[own]}"; wait "${vtpm[own]}" 2>/dev/null; start own
refuses "nor after its host end was killed" 0x921 guess pin
works "other things go on" t nvread -C o -s 7 0x1500021
works "who may says it is over" t dictionarylockout -c -p lockout
check "and the right password reads" "data..." "$(guess pin)"
refuses "a wrong word of who may" 0x98E t dictionarylockout -c -p wrong
refuses "is the last for a long time" 0x921 t dictionarylockout -c -p lockout

# --- clear
quiet createek -c ek.ctx -G ecc -u ek.before -f tpmt
quiet clearcontrol -C p s
refuses "with clearing switched off it is refused" 0x120 t clear -c p
quiet clearcontrol -C p c
works "the platform clears" t clear -c p
refuses "the owner's indices are gone" 0x18B t nvread -C o -s 8 0x1500020
refuses "so is a kept key" 0x18B t sign -c 0x81000010 -g sha256 -o none m
quiet createprimary -C o -G ecc -c prim2.ctx
refuses "the owner's root is another" 0x1DF t load -C prim2.ctx -u ecc.pub -r ecc.priv -c none
quiet createek -c ek.ctx -G ecc -u ek.after -f tpmt
check "the endorsement key is the same" "$(sum ek.before)" "$(sum ek.after)"
works "the lockout's password is gone with it" t dictionarylockout -c
quiet nvdefine -C o -a "ownerread|ownerwrite|nt=counter" 0x1500022
quiet nvincrement -C o 0x1500022
check "a counter that is made anew goes on above" yes "$([ $((16#$(count))) -gt $counted ] && echo yes)"
for name in own two; do stop $name; done
exit $failed
