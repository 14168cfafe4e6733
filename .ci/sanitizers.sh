#!/usr/bin/env bash
# The unsafe code of the CPU backend under tools that watch memory: every operation at every level, on small cases.
#
#   AddressSanitizer   avx512, avx2, sse2, portable: what this processor has
#   Miri               portable and cnn-core, where the toolchain has it
set -euo pipefail
cd "$(dirname "$0")/.."
target=x86_64-unknown-linux-gnu
export EMULATED=1

echo "── AddressSanitizer"
# The runtime comes with the stable toolchain, the flag is unstable. With a target given, build scripts are built without.
RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address cargo test --locked --target "$target" --target-dir target/sanitizers \
    --package tests --test equality_matrix --test backend_equality

echo "── Miri"
if cargo miri --version >/dev/null 2>&1; then
    cargo miri test --locked --package cnn-core
    cargo miri test --locked --package tests --test equality_matrix portable
else
    echo "skipped: this toolchain has no Miri (rustup component add miri, on nightly)"
fi
