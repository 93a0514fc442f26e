# Sourced by the tests and rigs of this directory: what they assert with. Each says "ok: WHAT" or "FAILED: WHAT" and why,
# and a script ends with `exit $failed`. What a command prints is in $work/out, of does and exits its errors are in
# $work/err; what holds asks leaves both as they are.
failed=0
ok() { echo "ok: $1 ($SECONDS s)"; }
bad() { echo "FAILED: $1"; failed=1; }
check() { # what expected actual
  if [ "$2" = "$3" ]; then ok "$1"; else bad "$1: expected '$2', got '$3'"; fi
}
differs() { # what unwanted actual
  if [ -n "$3" ] && [ "$2" != "$3" ]; then ok "$1"; else bad "$1: got '$3'"; fi
}
same() { # what file file
  if cmp -s "$2" "$3"; then ok "$1"; else bad "$1: $2 and $3 differ"; fi
}
says() { # what pattern file
  if grep -aq -- "$2" "$3"; then ok "$1"; else bad "$1: no '$2' in:"; tail -n 5 "$3"; fi
}
lacks() { # what text files...: and directories
  grep -arqF -- "$2" "${@:3}"
  case $? in 1) ok "$1" ;; *) bad "$1: '$2' in ${*:3}" ;; esac
}
exits() { # what code command...
  local got
  "${@:3}" >"$work/out" 2>"$work/err"
  got=$?
  if [ $got = "$2" ]; then ok "$1"; else bad "$1: exit code $got, not $2"; tail -n 5 "$work/err"; fi
}
does() { # what code arguments...: of bastide, which is each script's own
  exits "$1" "$2" bastide "${@:3}"
}
works() { # what command...
  if "${@:2}" >"$work/out" 2>&1; then ok "$1"; else bad "$1"; tail -n 5 "$work/out"; fi
}
holds() { # what command...: which only looks
  local said
  if said=$("${@:2}" 2>&1); then ok "$1"; else bad "$1"; tail -n 5 <<<"$said"; fi
}
fails() { # what command...
  "${@:2}" >"$work/out" 2>&1
  case $? in 0) bad "$1: was not refused" ;; 126 | 127) bad "$1: $2 does not run" ;; *) ok "$1" ;; esac
}
refuses() { # what words command...: it fails, and says these words
  if "${@:3}" >"$work/out" 2>&1; then
    bad "$1: was not refused"
  elif ! grep -aiqw -- "$2" "$work/out"; then
    bad "$1: not with '$2':"; tail -n 6 "$work/out"
  else
    ok "$1"
  fi
}
eventually() { # what command...: for a minute
  for _ in $(seq 1200); do "${@:2}" >/dev/null 2>&1 && { ok "$1"; return; }; sleep 0.05; done
  bad "$1"
}
without() { # code word tools...: the end, where one of them is missing
  local tool
  for tool in "${@:3}"; do
    command -v "$tool" >/dev/null || { echo "$2: $tool is missing (make deps installs it)"; exit "$1"; }
  done
}
needs() { without 77 skipped "$@"; } # tools...
demands() { without 1 FAILED "$@"; } # tools...: of tests that are never skipped
