# Sourced by tests of libvirt 9.0 (Debian's) with our programs in swtpm's place: $1 is the build directory, $2 root or user.
# As root it is the system's libvirtd, in a mount namespace of its own, which starts swtpm as tss, so the node's user and its
# vTPMs' are two; as an ordinary user, that user's session. Programs are in $bin; a machine is a directory ($at).
set -uo pipefail
as=${2:-root}
here=$(dirname "$(realpath "$0")")
build=$(realpath "$1")
. "$(dirname "$0")/checks.sh"
PATH=$PATH:/usr/sbin needs swtpm swtpm_ioctl openssl python3 tpm2_nvread qemu-system-x86_64 libvirtd virsh as ld
[ "$(uname -m)" = x86_64 ] || { echo "skipped: the guest's machine is emulated on x86-64 only"; exit 77; }
[ "$as" = root ] && [ "$(id -u)" != 0 ] && as=user
if [ -z "${BASTIDE_WORK:-}" ]; then
  BASTIDE_WORK=$(mktemp -d) && export BASTIDE_WORK
  mkdir "$BASTIDE_WORK/bin"
  cp -r "$build"/{bastide,bastided,bastide-{keyholder,monitor,launcher,vtpm,vtpm-setup},hub.image,vtpm.image} \
    "$build"/tests/vtpm_check "$0" "$here"/{checks.sh,libvirt_rig.sh,tpm_guest.S} "$BASTIDE_WORK/bin"
  chmod 711 "$BASTIDE_WORK"
  own=()
  [ "$as" = root ] && own=(unshare --mount --propagation private)
  [ "$as" = user ] && [ "$(id -u)" = 0 ] && chown -R nobody "$BASTIDE_WORK" && own=(setpriv --reuid=nobody --regid=nogroup
    --clear-groups --inh-caps=-all --bounding-set=-all)
  exec "${own[@]}" bash "$BASTIDE_WORK/bin/$(basename "$0")" "$BASTIDE_WORK/bin" "$as"
fi
work=$BASTIDE_WORK
bin=$work/bin
cd "$work" || exit 1

# --- machines
machine() { # directory: where libvirt there keeps what
  at=$1
  if [ "$as" = root ]; then
    config=$at/etc/bastide/vtpm.conf settings=$at/etc/libvirt state=$at/lib/swtpm logs=$at/log/swtpm/libvirt/qemu
    uri="qemu+unix:///system?socket=$at/run/libvirt/libvirt-sock"
  else
    config=$at/config/bastide/vtpm.conf settings=$at/config/libvirt state=$at/config/libvirt/qemu/swtpm logs=$at/cache/libvirt/qemu/log
    uri="qemu+unix:///session?socket=$at/rt/libvirt/libvirt-sock"
  fi
}
furnish() { # directory home: the node's, whose instances its VMs' TPMs are to be
  machine "$1"
  mkdir -p "$at"/{path,run,log,cache,lib,rt,config,data}
  chmod 700 "$at/rt"
  ln -s "$bin/bastide-vtpm" "$at/path/swtpm"
  ln -s "$bin/bastide-vtpm-setup" "$at/path/swtpm_setup"
  [ "$as" = user ] || cp -a /etc "$at/etc"
  [ "$as" = user ] || people
  mkdir -p "$settings" "$(dirname "$config")"
  printf '%s\n' 'stdio_handler = "file"' 'security_driver = "none"' 'cgroup_controllers = [ ]' 'remember_owner = 0' >"$settings/qemu.conf"
  printf '%s\n' 'auth_unix_rw = "none"' "log_outputs = \"3:file:$at/libvirtd.log\"" "host_uuid = \"$(cat /proc/sys/kernel/random/uuid)\"" \
    >"$settings/libvirtd.conf"
  echo "node = $2" >"$config"
}
people() { # whom the system's libvirtd knows
  group() { grep -q "^$1:" "$at/etc/group" || echo "$1:x:$2:" >>"$at/etc/group"; }
  user() { grep -q "^$1:" "$at/etc/passwd" || echo "$1:x:$2:$3::/nonexistent:/usr/sbin/nologin" >>"$at/etc/passwd"; }
  group kvm 64054; group libvirt-qemu 64055; group tss 64056
  user libvirt-qemu 64055 64055; user tss 64056 "$(sed -n 's/^tss:[^:]*:\([0-9]*\):.*/\1/p' "$at/etc/group")"
}
enter() { # directory: this process is there from now on
  machine "$1"
  export PATH=$at/path:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  if [ "$as" = root ]; then
    mount --bind "$at/etc" /etc && mount --bind "$at/log" /var/log && mount --bind "$at/cache" /var/cache &&
      mkdir -p /var/lib/libvirt && mount --bind "$at/lib" /var/lib/libvirt && mount --bind "$at/run" /run
  else
    export HOME=$at XDG_RUNTIME_DIR=$at/rt XDG_CONFIG_HOME=$at/config XDG_CACHE_HOME=$at/cache XDG_DATA_HOME=$at/data
  fi
}
lend() { # home: as docs/vtpm.md has it, tss serves instances and has nothing else of the node, which is to start anew
  chgrp tss "$1" "$1"/{run,node,node/configuration}
  chmod 0710 "$1" "$1/node"; chmod 2710 "$1/run"; chmod 0640 "$1/node/configuration"
  install -d -g tss -m 3770 "$1/node/instances"
}

# --- VMs whose firmware and boot sector use their TPMs
mkdir -p serial
as --32 -o guest.o "$bin/tpm_guest.S" && ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o guest guest.o || exit 1
truncate -s 1M guest
define() { # name uuid model
  cp guest "$1.disk"
  cat >"$1.xml" <<XML
<domain type='qemu'>
  <name>$1</name>
  <uuid>$2</uuid>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$work/$1.disk'/><target dev='sda' bus='sata'/></disk>
    <serial type='file'><source path='$work/serial/$1' append='on'/></serial>
    <memballoon model='none'/>
    <tpm model='$3'><backend type='emulator' version='2.0'/></tpm>
  </devices>
</domain>
XML
  works "$1 is defined, with a $3" virsh define "$1.xml"
}
# What the guest last heard of its TPM: how often that was started; a PCR into which the firmware measured itself.
resets() { echo $((16#0$(sed -n 's/^clock 80010000002300000000.\{32\}\(.\{8\}\).\{10\}$/\1/p' "serial/$1" | tail -1))); }
pcr0() { sed -n 's/^pcr0 80010000003e00000000.*0020\(.\{64\}\)$/\1/p' "serial/$1" | tail -1; }
measured() { pcr0 "$1" | grep -q '[1-9a-f]'; }
more() { [ "$(resets "$1")" -gt "$2" ]; } # name than
count() { grep -c '^pcr0 80010000003e00000000' "serial/$1"; }
answers() { local before; before=$(count "$1"); for _ in $(seq 300); do [ "$(count "$1")" -gt $((before + 1)) ] && return; sleep 0.1; done; return 1; }
served() { pgrep -f "^$at/path/swtpm socket .*$1" | head -1; } # by the VM's UUID, on machine $at
gone() { [ -z "$(served "$1")" ]; }
ended() { eventually "its TPM is put away" gone "$1"; }
