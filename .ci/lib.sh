# What the steps share. Sourced by .ci/run, from the root of the repository.

# step NAME COMMAND...: runs a step, prints how long it took, and ends the gate
# if it fails. The output of a step that passes is of little interest: only its
# last lines are shown. The whole is in target/gate/.
step() {
  local name=$1 begin=$SECONDS log status
  shift
  if [ -n "${ONLY:-}" ] && [[ "$name" != *"$ONLY"* ]]; then return; fi
  mkdir -p target/gate
  log=target/gate/${name// /-}.log
  printf '\n=== %s\n' "$name"
  # Not `if (...)`: within a condition, bash forgets `set -e`.
  set +e
  (set -euo pipefail; "$@") >"$log" 2>&1
  status=$?
  set -e
  if [ $status != 0 ]; then
    tail -n 200 "$log"
    printf -- '--- %s: FAILED (%s) after %s s; the whole output is in %s\n' \
      "$name" $status $((SECONDS - begin)) "$log"
    exit 1
  fi
  (grep -vE "$UNINTERESTING" "$log" || true) | tail -n 6
  printf -- '--- %s: %s s\n' "$name" $((SECONDS - begin))
}

# What cargo says on the way, and each test that passed.
UNINTERESTING='^ *(Compiling|Download|Check|Running|Doc-tests|Document|Finished|Updating|Locking|Add'
UNINTERESTING+='|Blocking|Installing|Executable|running [0-9]|test .* ok$|$)'

# both NAME COMMAND -- NAME COMMAND: two steps side by side, each of which keeps
# one processor busy. Both end before the gate goes on.
both() {
  local first=() first_job second_job failed=0
  while [ "$1" != -- ]; do first+=("$1"); shift; done
  shift
  step "${first[@]}" & first_job=$!
  step "$@" & second_job=$!
  wait $first_job || failed=1
  wait $second_job || failed=1
  [ $failed = 0 ] || exit 1
}

# debian PROGRAM PACKAGE: a program that a step needs, from the distribution.
debian() {
  command -v "$1" >/dev/null || {
    apt-get update >/dev/null 2>&1 || true
    apt-get install -y --no-install-recommends "$2" >/dev/null
  }
}

# nightly ARGS...: cargo of the nightly toolchain. Where there is none, the
# stable one is allowed to do as if it were one.
nightly() {
  if cargo +nightly --version >/dev/null 2>&1; then
    cargo +nightly "$@"
  else
    RUSTC_BOOTSTRAP=1 cargo "$@"
  fi
}

# test_binary ARGS...: builds one test and prints where it is.
test_binary() {
  cargo test --no-run --message-format=json "$@" 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
}
