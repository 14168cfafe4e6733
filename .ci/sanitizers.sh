#!/usr/bin/env bash
# The unsafe code of the CPU backend under tools that watch memory: every operation at every level, on small cases.
#
#   sanitizers.sh            valgrind (avx2, sse2, portable: it knows no AVX-512), and Miri where the toolchain has it
#   sanitizers.sh address    AddressSanitizer, AVX-512 too where the processor has it; builds everything anew, in minutes
set -euo pipefail
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
export SLOW=1

if [ "${1:-}" = address ]; then
    # The runtime comes with the stable toolchain, the flag is unstable. With a target given, what runs while building
    # is built without it; dependencies are built quickly.
    RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address cargo test --locked --target "$host" --target-dir target/sanitizers \
        --config 'profile.dev.package."*".opt-level=0' --package equality --test equality_matrix -- cpu::
    exit
fi

command -v valgrind >/dev/null || .ci/install.sh valgrind libc6-dbg
echo "── valgrind"
runner=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$host")_RUNNER
env "$runner=valgrind --quiet --error-exitcode=9" \
    cargo test --workspace --locked --test equality_matrix -- --test-threads 1 cpu::

echo "── Miri"
if cargo miri --version >/dev/null 2>&1; then
    cargo miri test --locked --package cnn-core
    cargo miri test --locked --package equality --test equality_matrix -- portable
else
    .ci/skip.sh Miri "this toolchain has none (rustup component add miri, on nightly)"
fi
