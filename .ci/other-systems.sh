#!/usr/bin/env bash
# The program for Windows and macOS, as far as it goes without their SDKs: every crate of it is type-checked, nothing is
# linked and nothing runs.
set -euo pipefail
cd "$(dirname "$0")/.."

for target in x86_64-pc-windows-gnu aarch64-apple-darwin; do
    echo "── $target"
    # Where the target's standard library cannot be had, cross.sh checks one from source.
    timeout 120 rustup target add "$target" >/dev/null 2>&1 || true
    command=(check) deny=()
    if rustup target list --installed 2>/dev/null | grep -qx "$target"; then
        command=(clippy) deny=(-- -D warnings)
    fi
    # Build scripts compile C (ring's) even for a check, whose result nothing links: `true` stands in for the compiler.
    name=$(tr - _ <<<"$target")
    env "CC_$name=true" "AR_$name=true" SDKROOT=/ .ci/cross.sh "$target" std,panic_abort \
        "${command[@]}" --locked --target-dir target/cross --package cnn-core --package cnn-train --package cuda-loader --package kernels --package host-trainer \
        --lib --bins "${deny[@]}"
done
