#!/usr/bin/env bash
# The CPU backend on processors that this machine is not: 64-bit Arm (the NEON level) and s390x (big-endian, the portable
# level), emulated by QEMU. The golden run and the tests of equality must pass there as they do here.
set -euo pipefail
cd "$(dirname "$0")/.."

.ci/install.sh qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-s390x-linux-gnu libc6-dev-s390x-cross

export SLOW=1
# What the order of bytes could change shows in every operation and in the golden run; threads and batches do not depend on it.
declare -A tests=(
    [aarch64]="--test golden_run --test equality_matrix --test backend_equality --test divergence"
    [s390x]="--test golden_run --test equality_matrix"
)
for processor in aarch64 s390x; do
    target=$processor-unknown-linux-gnu
    name=$(tr 'a-z-' 'A-Z_' <<<"CARGO_TARGET_$target")
    export "${name}_LINKER=$processor-linux-gnu-gcc" "${name}_RUNNER=qemu-$processor -L /usr/$processor-linux-gnu"
    echo "── $processor"
    .ci/cross.sh "$target" std,panic_abort test --locked --target-dir target/cross --config .ci/quickly.toml \
        --release --package equality ${tests[$processor]}
done
