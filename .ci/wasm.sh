#!/usr/bin/env bash
# The tests of equality in WebAssembly, on Node's one thread: with vectors of 128 bits (the level simd128), and in a module
# that has none.
set -euo pipefail
cd "$(dirname "$0")/.."
target=wasm32-wasip1
timeout 120 rustup target add "$target" >/dev/null 2>&1 || true

command -v node >/dev/null || .ci/install.sh nodejs
# Fewer and smaller cases, and no dimension less: a thousand runs that diverge take Node a minute.
export SLOW=1
export CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings $PWD/.ci/wasi.mjs"
for vectors in +simd128 -simd128; do
    echo "── $vectors"
    RUSTFLAGS="-C target-feature=$vectors" .ci/cross.sh "$target" std,panic_abort test --locked --target-dir "target/wasi$vectors" \
        --release --package equality --test golden_run --test equality_matrix --test backend_equality --test divergence
done
