#!/usr/bin/env bash
# Compiles the crate `web` to the committed web/page/cnn.wasm.
#
#   make-wasm.sh           writes web/page/cnn.wasm
#   make-wasm.sh --check   writes nothing; fails if web/page/cnn.wasm is not what the sources give
#
# One compiler gives one file, byte for byte, in whatever folder it runs; another gives other bytes that compute the same.
# So the file is compared where the compiler is the one below, and elsewhere that is said. Either way the file that was
# compiled is left as target/wasm/cnn.wasm, for .ci/web.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

compiler="1.95.0 (59807616e 2026-04-14)"
target=wasm32-unknown-unknown
timeout 120 rustup target add "$target" >/dev/null 2>&1 || true
# What computes is optimised for speed, what stands around it for size.
around=()
for package in web serde serde_core postcard hex rayon rayon-core; do
    around+=(--config "profile.release.package.$package.opt-level=\"s\"")
done
# Panics name source files: without their folders on this machine.
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
folders=()
for index in "$registry"/*; do folders+=("--remap-path-prefix=$index=registry"); done
RUSTFLAGS="-C target-feature=+simd128 --remap-path-prefix=$PWD=. ${folders[*]}" \
    .ci/cross.sh "$target" std,panic_abort rustc --locked --release --package web --crate-type cdylib --target-dir target/wasm \
    --config 'profile.release.lto=true' --config 'profile.release.panic="abort"' --config 'profile.release.strip=true' \
    "${around[@]}"
made=target/wasm/cnn.wasm
cp "target/wasm/$target/release/web.wasm" "$made"

if [ "${1:-}" != --check ]; then
    cp "$made" web/page/cnn.wasm
elif [ "$(rustc --version)" != "rustc $compiler" ] || ! rustup target list --installed 2>/dev/null | grep -qx "$target"; then
    .ci/skip.sh "web/page/cnn.wasm is compared with its sources" "the compiler is not $compiler with $target"
elif ! cmp "$made" web/page/cnn.wasm; then
    echo "error: web/page/cnn.wasm is not what the sources give; run web/make-wasm.sh and commit the result" >&2
    exit 1
else
    echo "web/page/cnn.wasm is what the sources give"
fi
ls -l "$made" | awk '{ print $5 " bytes" }'
