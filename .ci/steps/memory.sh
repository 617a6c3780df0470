# Memory: used after its time, never given back, or raced for.

# sanitized NAME DIR ARGS...: tests under a sanitizer.
sanitized() {
  local name=$1 dir=$2
  shift 2
  RUSTFLAGS="-Zsanitizer=$name -Cunsafe-allow-abi-mismatch=sanitizer --cfg larder_sanitizer" \
    TSAN_OPTIONS="suppressions=$PWD/.ci/tsan-suppressions" \
    nightly test -p larder --target x86_64-unknown-linux-gnu --target-dir "target/$dir" "$@"
}

# Data races, in the tests that run threads. One test at a time: they run
# threads enough.
thread_sanitizer() {
  LARDER_HISTORIES=4000 sanitized thread tsan \
    --test threads --test expiry --test linearizability -- --test-threads=1 \
    --skip lifetimes_agree --skip a_million_entries
  LARDER_STRESS_SECONDS=60 sanitized thread tsan --test stress
}

# Memory that is used after its time, or never given back. Of the matrix of
# panics, the cells beside a journal are left to its own census of keys and
# values: most of their time goes into the memory that stands for the disk.
address_sanitizer() {
  local features=(--features journal,macros)
  LARDER_HISTORIES=4000 sanitized address asan "${features[@]}" \
    --test threads --test expiry --test linearizability --test alive --test shrink
  sanitized address asan "${features[@]}" --lib -- \
    hazard:: index:: slab:: slot:: vault:: tags:: claim:: store:: flight:: wait:: __private::
  sanitized address asan "${features[@]}" --test panics -- --skip beside_a_journal --skip for_tasks
  sanitized address asan "${features[@]}" --test unwinding --test wakers
  LARDER_STRESS_SECONDS=60 sanitized address asan "${features[@]}" --test stress
}

# The same, and reads of what was never written, over a smaller run: memcheck
# slows a program down thirtyfold, and lets one thread run at a time. It looks
# into `std` and the allocator's own blocks as well. What is still reachable in
# the end is no leak: the records of readers, which are never freed
# (SECURITY.md), and what the test runner holds.
memcheck() {
  local jobs=()
  debian valgrind valgrind
  checked --lib -- hazard:: slab slot:: tags claim:: budget listener flight:: & jobs+=($!)
  checked --test behaviour -- --skip every_value_that_was_written --skip capacity_follows & jobs+=($!)
  checked --test expiry -- --skip a_million_entries --skip lifetimes_agree \
    --skip an_entry_that_readers_keep_busy --skip writers_and_a_moving_clock & jobs+=($!)
  all_end "${jobs[@]}"
}

# checked TEST... -- ARGS...: the debug build of one test binary.
checked() {
  local build=()
  while [ "$1" != -- ]; do build+=("$1"); shift; done
  shift
  valgrind --quiet --leak-check=full --show-leak-kinds=definite,indirect \
    --errors-for-leak-kinds=definite,indirect --error-exitcode=9 \
    "$(test_binary "${build[@]}")" --quiet --test-threads=1 "$@"
}
