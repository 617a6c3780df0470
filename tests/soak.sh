#!/usr/bin/env bash
# A thousand million operations with everything switched on, or as many as the
# first argument says. Prints what each policy's cache held after every tenth.
set -euo pipefail
cd "$(dirname "$0")/.."
LARDER_SOAK_OPS=${1:-1000000000} cargo test --release -p larder --test soak -- --nocapture
