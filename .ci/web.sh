#!/usr/bin/env bash
# The page: its WebAssembly is what the sources give and has the known bits in Node; the page itself in Chromium, as
# `host-trainer serve` gives it.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=()
command -v node >/dev/null || packages+=(nodejs)
command -v chromedriver >/dev/null || packages+=(chromium chromium-driver)
if [ ${#packages[@]} -gt 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

modules=(web/page/cnn.wasm)
web/make-wasm.sh --check
# Another compiler's module has other bytes: it is held to the same bits.
cmp -s target/wasm/cnn.wasm web/page/cnn.wasm || modules+=(target/wasm/cnn.wasm)
node web/check/bits.mjs "${modules[@]}"

# With the features of the tests, which have built it.
cargo test --workspace --locked --no-run --test cli
node web/check/page.mjs target/debug/host-trainer
