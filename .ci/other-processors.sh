#!/usr/bin/env bash
# The CPU backend on processors that this machine is not: 64-bit Arm (the NEON level) and s390x (big-endian, the portable
# level), emulated by QEMU. Its equality tests and the golden run must pass there as they do here.
set -euo pipefail
cd "$(dirname "$0")/.."

.ci/install.sh qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-s390x-linux-gnu libc6-dev-s390x-cross

# The project itself is optimised as in every release build; what it depends upon is only built quickly, but for what
# computes on many bytes.
quickly=(--config 'profile.release.package."*".opt-level=0' --config 'profile.release.package."*".codegen-units=16')
for package in chacha20 sha2; do
    quickly+=(--config "profile.release.package.$package.opt-level=3")
done

export SLOW=1
for processor in aarch64 s390x; do
    target=$processor-unknown-linux-gnu
    name=$(tr 'a-z-' 'A-Z_' <<<"CARGO_TARGET_$target")
    export "${name}_LINKER=$processor-linux-gnu-gcc" "${name}_RUNNER=qemu-$processor -L /usr/$processor-linux-gnu"
    echo "── $processor"
    .ci/cross.sh "$target" std,panic_abort test --locked --target-dir target/other-processors "${quickly[@]}" \
        --release --package equality --test golden_run --test equality_matrix --test backend_equality --test divergence
done
