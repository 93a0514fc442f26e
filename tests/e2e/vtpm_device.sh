#!/usr/bin/env bash
# A vTPM as a device: a machine with Debian's kernel, which has the vTPM proxy that the kernel here may lack, is a node of
# its own, on a software TPM; there `bastide-vtpm chardev --vtpm-proxy` makes /dev/tpm1, which is spoken to by its
# path alone. No port is used. Second argument: root or user.
set -uo pipefail
. "$(dirname "$0")/user_rig.sh"
. "$(dirname "$0")/vtpm_rig.sh"
. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/guest_rig.sh"
needs python3
machine_needs qemu-utils
extra() { machines_off; }
furnish() { # a node: its programs, its image, its owner's configuration; and the module
  brings "$1" "$bin"/bastide-{keyholder,monitor,launcher,vtpm} "$(command -v swtpm)"
  cp -L /usr/lib/x86_64-linux-gnu/libtss2-tcti-swtpm.so.0 "$1/usr/lib/x86_64-linux-gnu"
  cp -r "$bin/vtpm.image" "$1/bin"
  mkdir -p "$1"/home/{node,run,tpm}
  "$bin/make_image" configuration "$1/home/node/configuration" "$work/owner.der" insecure-dev "a vTPM in a VM" || exit 1
  cp "$cache"/kernel/lib/modules/*/kernel/drivers/char/tpm/tpm_vtpm_proxy.ko "$1"
}
make_node
cd "$work" || exit 1
make_guest
control[own]=$work/own.ctrl
begin own --log file=own.log
eventually "the VM's own TPM waits for it" test -S own.ctrl
machine_on own crb "$words"
ready "the VM starts"

until_inside() { # what file pattern
  inside "$1" "for i in \$(seq 100); do grep -q '$3' $2 && break; sleep 0.2; done; grep -q '$3' $2 || { cat $2 node.log; false; }"
}
inside "a software TPM is started" 'swtpm socket --tpm2 --server type=unixio,path=/tpm --ctrl type=unixio,path=/tpm.ctrl --tpmstate dir=/home/tpm --flags startup-clear 2>swtpm.log & for i in $(seq 100); do test -S /tpm && break; sleep 0.2; done; test -S /tpm || { cat swtpm.log; false; }'
inside "and on it a node" 'bastide-keyholder --home /home --image /bin/vtpm.image --tcti swtpm:path=/tpm --insecure-dev 2>node.log & sleep 1'
until_inside "and serves" node.log 'monitor serving'
inside "without the module there is no device" 'bastide-vtpm chardev --vtpm-proxy --tpm2 --tpmstate dir=/home 2>out; test $? = 4 && grep -q "modprobe tpm_vtpm_proxy" out'
inside "with it" 'insmod /tpm_vtpm_proxy.ko && test -c /dev/vtpmx'
start_device() { inside "$1" 'bastide-vtpm chardev --vtpm-proxy --tpm2 --tpmstate dir=/home >made 2>v.log & sleep 1'; }
start_device "a device is asked for"
until_inside "and there" made 'New TPM device: /dev/tpm1'
until_inside "the kernel starts it" v.log 'serving'
inside "it is a TPM 2.0" 'for i in $(seq 100); do test -e /dev/tpmrm1 && break; sleep 0.2; done; test "$(cat /sys/class/tpm/tpm1/tpm_version_major)" = 2'
inside "it answers by its path" 'tpm2 getrandom -T device:/dev/tpm1 8 --hex && echo'
check "with random bytes" 16 "$(tail -1 out | tr -d '\n\r' | wc -c)"
inside "a key is made in it" 'export TPM2TOOLS_TCTI=device:/dev/tpmrm1; tpm2 createprimary -Q -C o -G ecc -c prim.ctx && echo kept | tpm2 create -Q -C prim.ctx -i- -u s.pub -r s.priv'
inside "and PCR 16 extended" 'tpm2 pcrextend -T device:/dev/tpmrm1 16:sha256=$(printf %064d 1)'
inside "which the VM's own knows nothing of" 'tpm2 pcrread -T device:/dev/tpmrm0 sha256:16 | grep -q 0x0000000000000000000000000000000000000000000000000000000000000000'
inside "it ends with its program" 'kill $(pidof bastide-vtpm); for i in $(seq 100); do test -e /dev/tpm1 || break; sleep 0.2; done; test ! -e /dev/tpm1'
start_device "and is had again"
until_inside "as a device" made 'New TPM device'
inside "with the state that it had" 'for i in $(seq 100); do test -e /dev/tpmrm1 && break; sleep 0.2; done; export TPM2TOOLS_TCTI=device:/dev/tpmrm1; tpm2 createprimary -Q -C o -G ecc -c prim.ctx && tpm2 load -Q -C prim.ctx -u s.pub -r s.priv -c s.ctx && test "$(tpm2 unseal -c s.ctx)" = kept || { cat v.log; dmesg | tail; false; }'
machine_off own
exit $failed
