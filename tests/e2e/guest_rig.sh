# Sourced by tests with a guest: Debian's kernel and busybox, which does what it is told on its console, in machines of
# QEMU's under software emulation. Comes after a rig that has $work and checks.sh, and after machine.sh. A machine has a
# name; $control[name] is the control socket of its vTPM. The newest is the one that is asked.
declare -A control=() qemu=() say=() hear=()
on=
front=() # what starts QEMU, where that is `bastide vtpm run … --`, from what the monitor measured
firmware=/usr/share/OVMF/OVMF_CODE_4M.fd
here=$(dirname "$(realpath "$0")")
words='console=ttyS0 quiet loglevel=4'
furnish() { :; } # directory: what else is in the guest
brings() { # directory programs...: with their libraries
  local into=$1 library; shift
  cp "$@" "$into/bin"
  ldd "$@" 2>/dev/null | awk '$3 ~ "^/" {print $3} $1 ~ "^/.*ld-" {print $1}' | cat - <(ls /usr/lib/x86_64-linux-gnu/libtss2-tcti-device.so.0) | sort -u |
    while read -r library; do mkdir -p "$into$(dirname "$library")"; cp -L "$library" "$into$library"; done
}
make_guest() { # busybox, tpm2-tools and their libraries, in $work, and the firmware's variables
  local guest=$work/guest
  mkdir -p "$guest"/{bin,proc,sys,dev,tmp,lib64,usr/lib}
  ln -s usr/lib "$guest/lib"
  brings "$guest" /bin/busybox /usr/bin/tpm2
  furnish "$guest"
  cat >"$guest/init" <<'INIT'
#!/bin/busybox sh
export PATH=/bin TPM2TOOLS_TCTI=device:/dev/tpmrm0
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t securityfs none /sys/kernel/security
stty -F /dev/ttyS0 -echo -onlcr
echo "guest: ready"
while read -r line; do eval "$line" </dev/null; echo "guest: exit $?"; done
INIT
  chmod 755 "$guest/init"
  (cd "$guest" && find . | cpio --quiet -o -H newc -R 0:0) | zstd -q -3 >"$work/initrd"
  kernel=$(echo "$cache"/kernel/boot/vmlinuz-*)
  qemu-img create -q -f qcow2 -F raw -b /usr/share/OVMF/OVMF_VARS_4M.fd "$work/variables.qcow2"
}
machine_off() { # name: as when the cable is pulled
  [ -z "${qemu[$1]:-}" ] || { kill -9 "${qemu[$1]}"; wait "${qemu[$1]}"; } 2>/dev/null
  pkill -9 -f -- "-serial pipe:$work/$1 " # where what was ended had begun it
  unset "qemu[$1]"
}
machines_off() { local name; for name in "${!qemu[@]}"; do machine_off "$name"; done; }
machine_on() { # name interface kernel-words more-options...
  local name=$1 in out from=("$firmware" "$kernel" "$work/initrd" "$3")
  [ ${#front[@]} = 0 ] || from=('{firmware}' '{kernel}' '{initrd}' '{cmdline}')
  machine_off "$name"
  rm -f "$work/$name".{in,out,qmp}
  mkfifo "$work/$name.in" "$work/$name.out"
  exec {in}<>"$work/$name.in" {out}<>"$work/$name.out" # open whether or not there is a machine
  say[$name]=$in hear[$name]=$out on=$name
  "${front[@]}" nice -n 19 qemu-system-x86_64 -M q35,smm=off -cpu max -accel tcg -m 256 -display none -nodefaults -serial "pipe:$work/$name" \
    -qmp "unix:$work/$name.qmp,server,nowait" -drive "if=pflash,unit=0,format=raw,readonly=on,file=${from[0]}" \
    -drive "if=pflash,unit=1,format=qcow2,file=$work/variables.qcow2" \
    -chardev "socket,id=c,path=${control[$name]}" -tpmdev emulator,id=t,chardev=c -device "tpm-$2,tpmdev=t" \
    -kernel "${from[1]}" -initrd "${from[2]}" -append "${from[3]}" "${@:4}" >>"$work/qemu.log" 2>&1 & qemu[$name]=$!
}
qmp() { python3 "$here/qmp.py" "$work/$1.qmp" "${@:2}"; } # machine command...
runs() { qmp "$on" query-status | grep -q '"running": true'; }
ready() { # what: it is up
  local line
  while IFS= read -r -t 400 -u "${hear[$on]}" line; do
    case $line in *"guest: ready"*) ok "$1"; return ;; esac
    kill -0 "${qemu[$on]}" 2>/dev/null || break
  done
  bad "$1: the guest does not come up"
  exit 1
}
tell() { echo "$1" >&"${say[$on]}"; }
ask() { # command: its output, and exit code
  local line
  tell "$1"
  while IFS= read -r -t 200 -u "${hear[$on]}" line; do
    line=${line%$'\r'}
    case $line in "guest: exit "*) return "${line##* }" ;; esac
    echo "$line"
  done
  echo "the guest says nothing"
  return 255
}
inside() { # what command: in the guest
  ask "$2" >"$work/out"; local code=$?
  check "$1" 0 $code
  [ $code = 0 ] || cat "$work/out"
  [ $code != 255 ] || exit 1
}
sealed_to=sha256:0,2,4,7,9
seals() { # what
  inside "$1" "tpm2 createpolicy -Q --policy-pcr -l $sealed_to -L policy && tpm2 createprimary -Q -C o -G ecc -c prim.ctx && echo kept by the guest | tpm2 create -Q -C prim.ctx -L policy -i- -u s.pub -r s.priv && tpm2 load -Q -C prim.ctx -u s.pub -r s.priv -c s.ctx && tpm2 evictcontrol -Q -C o -c s.ctx 0x81000020"
}
unseals() { # what
  check "$1" "kept by the guest" "$(ask "tpm2 unseal -c 0x81000020 -p pcr:$sealed_to" 2>/dev/null | tail -1)"
}
closed() { # what: the policy is not met
  ask "tpm2 unseal -c 0x81000020 -p pcr:$sealed_to" >"$work/out"
  check "$1" "1 refused" "$? $(grep -q '(0x99D)' "$work/out" && echo refused)"
}
