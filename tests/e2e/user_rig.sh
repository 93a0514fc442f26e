# Sourced first by tests that ask nothing of root: where the second argument is user and root began them, they begin anew
# as an ordinary user, with copies of script and programs that are his.
if [ "${2:-root}" = user ] && [ "$(id -u)" = 0 ]; then
  copies=$(mktemp -d /tmp/user.XXXX)
  mkdir -p "$copies"/{e2e,build/tests}
  cp "$(dirname "$0")"/*.{sh,py,S} "$copies/e2e"
  cp -r "$1"/{bastide,bastided,bastide-{image,keyholder,launcher,monitor,vtpm},hub.image,vtpm.image,vtpm.enclave} "$copies/build"
  cp "$1"/tests/{make_image,vtpm_check,vtpm_move,log_check} "$copies/build/tests"
  [ ! -d "$1/../boot" ] || ln -s "$(realpath "$1/../boot")" "$copies/boot" # where machine.sh keeps Debian's kernel
  chown -Rh 43214:43214 "$copies"
  env HOME="$copies" TMPDIR="$copies" setpriv --reuid=43214 --regid=43214 --clear-groups --inh-caps=-all --bounding-set=-all \
    bash "$copies/e2e/$(basename "$0")" "$copies/build" user
  code=$?
  rm -rf "$copies"
  exit $code
fi
