# Stores, traces, and the programs beside the library.

# All tests of both packages, with all features.
all_tests() {
  cargo test --all-features
}

# A disk that forgets what was not synced, at each moment that matters.
disk_images() {
  LARDER_IMAGES=10000 cargo test --release -p larder --features journal --test journal_disk
}

main_jobs() {
  local here=$PWD
  cd "$(mktemp -d)"
  export CARGO_TARGET_DIR="$here/target"
  cargo run --release --manifest-path "$here/Cargo.toml" --example orders
  cargo run --release --manifest-path "$here/Cargo.toml" --example replay -- --no-progress
  test -s orders.svg
  test -s replay.svg
}

traces() {
  local folder=${LARDER_TRACES:-../shared/traces}
  if [ -f "$folder/reference.csv" ]; then
    LARDER_TRACES=$(realpath "$folder") cargo test --release --test reference
  else
    echo 'no traces here: skipped'
  fi
}

# The tests start a server of their own, from these programs.
postgres() {
  if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
    apt update >/dev/null 2>&1 || true
    apt install -y --no-install-recommends postgresql >/dev/null 2>&1 || true
  fi
  cargo test --manifest-path examples/postgres/Cargo.toml --target-dir target/postgres
}

# `macro_input` has the macro's sources in it, which may not use let-chains yet;
# clippy does not know the oldest compiler of that package.
other_packages() {
  RUSTFLAGS='--cfg larder_fuzz' cargo clippy --manifest-path fuzz/Cargo.toml --features ground \
    --all-targets --target-dir target/fuzz-clippy -- -D warnings -A clippy::collapsible_if
  cargo clippy --manifest-path .ci/public-api/Cargo.toml --target-dir target/tools -- -D warnings
  cargo clippy --manifest-path benches/peers/Cargo.toml --all-targets --target-dir target/peers -- -D warnings
}

# Every target, guided by coverage, from the corpus on.
fuzz() {
  CARGO_TARGET_DIR=$PWD/target/fuzz fuzz/run
}

# All keys of one hash at once, which a debug build would take too long for.
hostile() {
  cargo test --release -p larder --test hostile
}

# Everything switched on, for some minutes; by itself, tests/soak.sh takes hours.
soak() {
  tests/soak.sh 50000000
}
