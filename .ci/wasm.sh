#!/usr/bin/env bash
# cnn-train in WebAssembly: the golden run of the reference and of the CPU backend, on Node's one thread, bit for bit.
set -euo pipefail
cd "$(dirname "$0")/.."
target=wasm32-unknown-unknown
timeout 120 rustup target add "$target" >/dev/null 2>&1 || true
.ci/cross.sh "$target" std,panic_abort build --locked --release --package wasm-golden --target-dir target/wasm

if ! command -v node >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs
fi
node --input-type=module - target/wasm/$target/release/wasm_golden.wasm <<'END'
import { readFileSync } from 'node:fs';
const { exports } = (await WebAssembly.instantiate(readFileSync(process.argv[2]))).instance;
for (const backend of ['reference', 'cpu']) {
    const start = performance.now();
    const [equal, expected] = [exports[backend](), exports.expected()];
    console.log(`${backend}: ${equal} of ${expected} fingerprints (${Math.round(performance.now() - start)} ms)`);
    if (equal !== expected) process.exitCode = 1;
}
END
