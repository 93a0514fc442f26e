# Sourced by tests that boot a virtual machine: what it takes, and Debian's kernel for it. $cache is a directory beside
# the builds, where the kernel stays between runs.
cache=$build/../boot
machine_needs() { # packages...
  local missing=() package name
  [ "$(uname -m)" = x86_64 ] || { echo "skipped: the machine is emulated for x86-64 only here"; exit 77; }
  for package in qemu-system-x86 ovmf busybox-static swtpm cpio zstd "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] || { echo "skipped: missing ${missing[*]} (make deps installs them)"; exit 77; }
  ls "$cache"/kernel/boot/vmlinuz-* >/dev/null 2>&1 && return
  mkdir -p "$cache"
  exec {kernel_lock}>"$cache/lock"
  flock "$kernel_lock" # two tests may begin at once
  if ! ls "$cache"/kernel/boot/vmlinuz-* >/dev/null 2>&1; then
    name=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '$1 == "Depends:" && $2 ~ /^linux-image-6/ {print $2; exit}')
    (cd "$cache" && apt-get download "${name:-linux-image-cloud-amd64}" >apt.log 2>&1 && rm -rf kernel kernel.new && dpkg -x linux-image-6*.deb kernel.new &&
      mv kernel.new kernel) || { echo "skipped: Debian's kernel cannot be downloaded: $(tail -1 "$cache/apt.log")"; exit 77; }
  fi
  exec {kernel_lock}>&-
}
