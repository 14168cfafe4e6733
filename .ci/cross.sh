#!/usr/bin/env bash
# Runs cargo for a target that this machine's toolchain may lack: .ci/cross.sh TARGET CRATES COMMAND ARGUMENTS…
#
# Prefers the rustup target where it is installed. Otherwise (a closed network, a bare CI machine) Debian's compiler
# builds the standard library's CRATES (core, or std,panic_abort) from source; the linker for bare-metal targets is
# the rust-lld that comes with rustup's toolchain.
set -euo pipefail
target=$1 crates=$2 command=$3
shift 3

if rustup target list --installed 2>/dev/null | grep -qx "$target"; then
    exec cargo "$command" --target "$target" "$@"
fi

"$(dirname "$0")/install.sh" rustc-web cargo-web rust-web-src >&2
lld=$(find "$(rustc --print sysroot)/lib/rustlib" -name rust-lld -path '*/bin/*' | head -n 1)
linker=CARGO_TARGET_$(tr 'a-z.-' 'A-Z__' <<<"$target")_LINKER
case $target in *-none-*) export "$linker=${!linker:-$lld}" ;; esac
export PATH=/usr/bin:$PATH RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=$crates
exec /usr/bin/cargo "$command" --target "$target" "$@"
