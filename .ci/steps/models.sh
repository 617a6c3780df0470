# Schedules: every one in the small, very many in the large.

# Every interleaving of the protocols, up to a number of preemptions.
models() {
  RUSTFLAGS='--cfg larder_loom' cargo test --release -p larder --lib --target-dir target/loom models
}

# The whole cache, its loads and its stores, under many random schedules.
schedules() {
  export RUSTFLAGS='--cfg larder_shuttle' CARGO_TARGET_DIR=target/shuttle
  cargo test --release -p larder --features journal --test shuttle --test store_shuttle
  cargo test --release -p larder --features journal --lib journal::model
}

# What threads saw of the cache, explained by some order of their operations.
histories() {
  LARDER_HISTORIES=100000 cargo test --release -p larder --test linearizability
}

# Each protocol with one mistake in it: a model has to fail of every one.
protocol_mutations() {
  tests/mutations/run
}
