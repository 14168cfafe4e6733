#!/usr/bin/env bash
# The tests of equality in WebAssembly, on Node's one thread: with vectors of 128 bits (the level simd128), and in a module
# that has none; every operation in Firefox and Chromium too.
set -euo pipefail
cd "$(dirname "$0")/.."
target=wasm32-wasip1
timeout 120 rustup target add "$target" >/dev/null 2>&1 || true

command -v node >/dev/null || .ci/install.sh nodejs
command -v chromium >/dev/null || .ci/install.sh chromium chromium-driver
command -v firefox-esr >/dev/null || .ci/install.sh firefox-esr
# Fewer and smaller cases, and no dimension less: a thousand runs that diverge take Node a minute.
export SLOW=1
export CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings $PWD/.ci/wasi.mjs"
# run VECTORS TESTS…
run() {
    RUSTFLAGS="-C target-feature=$1" .ci/cross.sh "$target" std,panic_abort test --locked --target-dir target/cross --config .ci/quickly.toml "${@:2}"
}
echo "── +simd128"
run +simd128 --release --package equality --test golden_run --test equality_matrix --test backend_equality --test divergence
# The portable level is in the module above too; here the compiler has no vectors to make of it.
echo "── -simd128"
run -simd128 --release --package equality --test golden_run --test equality_matrix
for browser in firefox-esr chromium; do
    echo "── $browser"
    # Not what compares the page of the matrix with the project's files: there are none.
    CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings $PWD/web/check/wasi.mjs $browser" \
        run +simd128 --release --package equality --test equality_matrix -- --skip coverage:: --skip page::
done
