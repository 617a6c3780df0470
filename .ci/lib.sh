# What the steps share. Sourced by .ci/run, from the root of the repository.

# step NAME COMMAND...: runs a step, prints how long it took, and ends the gate
# if it fails. The output of a step that passes is of little interest: only its
# last lines are shown. The whole is in target/gate/. Where steps run side by
# side, those that have begun go on to their end.
FAILED=target/gate/failed
step() {
  local name=$1 begin=$SECONDS log status
  shift
  if [ -n "${ONLY:-}" ] && [[ "$name" != *"$ONLY"* ]]; then return; fi
  [ ! -e $FAILED ] || exit 1
  log=target/gate/${name// /-}.log
  printf '\n=== %s\n' "$name"
  # Not `if (...)`: within a condition, bash forgets `set -e`.
  set +e
  (set -euo pipefail; "$@") >"$log" 2>&1
  status=$?
  set -e
  if [ $status != 0 ]; then
    touch $FAILED
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

# side_by_side LANE...: functions that run steps one after the other, all at the
# same time. Where a step of one lane keeps one processor busy (a compiler that
# comes to its last crate, a checker that lets one thread run at a time), a step
# of another has the rest.
side_by_side() {
  local lane jobs=()
  for lane; do "$lane" & jobs+=($!); done
  all_end "${jobs[@]}" || exit 1
}

# all_end JOB...: waits for jobs that a step has started side by side. Fails if
# one of them does, but not before all have ended.
all_end() {
  local job failed=0
  for job; do wait "$job" || failed=1; done
  return $failed
}

# apt ARGS...: apt-get, one lane at a time.
APT_LOCK=$PWD/target/gate/apt.lock
apt() { flock "$APT_LOCK" apt-get "$@"; }

# debian PROGRAM PACKAGE: a program that a step needs, from the distribution.
debian() {
  command -v "$1" >/dev/null || {
    apt update >/dev/null 2>&1 || true
    apt install -y --no-install-recommends "$2" >/dev/null
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

# test_binary ARGS...: builds one test of larder, as among all tests, and prints
# where it is.
test_binary() {
  cargo test --all-features --no-run --message-format=json "$@" 2>/dev/null |
    grep -vF "$PWD/macros/" | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
}
