#!/usr/bin/env bash
# This trainer beside others, each at its best: same network, recipe, data and cores. Prints seconds and ratios,
# and what the arithmetic of this machine allows at best (benches/bound.rs).
#
#   host-trainer/benches/peers/compare.sh [--threads 1 2] [--rounds 5] [--peers pytorch openvino] [--simd avx2]
#
# Needs a Python with requirements.txt ($PYTHON, default python3) and MNIST ($MNIST_DIR, default data/mnist).
# Run it on an idle machine: threads of some peers wait for each other by spinning and suffer more from other load.
set -euo pipefail
cd "$(dirname "$0")/../../.."
cargo build --release --locked --package host-trainer
cargo bench --no-run --locked --package host-trainer --bench bound
exec "${PYTHON:-python3}" host-trainer/benches/peers/compare.py \
    --trainer "${CARGO_TARGET_DIR:-target}/release/host-trainer" --data "${MNIST_DIR:-data/mnist}" "$@"
