#!/usr/bin/env bash
# This trainer and PyTorch side by side: same network, recipe, data, cores and thread counts; prints times and ratios.
#
#   host-trainer/benches/compare_pytorch.sh [--threads 1 2] [--epochs 3] [--simd avx2 portable]
#
# Needs a Python with torch and numpy ($PYTHON, default python3) and MNIST ($MNIST_DIR, default data/mnist).
# Run it on an idle machine: PyTorch's threads wait for each other by spinning and suffer more from other load.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release --locked --package host-trainer
exec "${PYTHON:-python3}" host-trainer/benches/compare_pytorch.py \
    --trainer "${CARGO_TARGET_DIR:-target}/release/host-trainer" --data "${MNIST_DIR:-data/mnist}" "$@"
