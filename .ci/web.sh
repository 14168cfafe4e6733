#!/usr/bin/env bash
# The page: its WebAssembly is what the sources give and has the known bits in Node, Firefox and Chromium; the page itself
# in Chromium, as `host-trainer serve` and `train --live` give it, and with a board.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v node >/dev/null || .ci/install.sh nodejs
command -v chromedriver >/dev/null || .ci/install.sh chromium chromium-driver
command -v firefox-esr >/dev/null || .ci/install.sh firefox-esr

modules=(web/page/cnn.wasm)
web/make-wasm.sh --check
# Another compiler's module has other bytes: it is held to the same bits.
cmp -s target/wasm/cnn.wasm web/page/cnn.wasm || modules+=(target/wasm/cnn.wasm)
node web/check/node.mjs "${modules[@]}"
node web/check/hostile.mjs web/page/cnn.wasm
node web/check/anywhere.mjs firefox-esr --whole-epoch
node web/check/anywhere.mjs chromium

# With the features of the tests, which have built it.
cargo test --workspace --locked --no-run --test cli
cargo build --workspace --locked --example board_socket
node web/check/page.mjs target/debug/host-trainer
node web/check/live.mjs target/debug/host-trainer
node web/check/board.mjs target/debug/host-trainer target/debug/examples/board_socket
