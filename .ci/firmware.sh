#!/usr/bin/env bash
# Builds the firmware of every board, runs it in QEMU against this host, and holds it to its budgets: flash, RAM,
# instructions and cycles of an inference. Works on a bare machine with rustup's stable toolchain; installs the rest.
#
#   firmware.sh          all of it
#   firmware.sh build    the programs of the boards alone
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
target=thumbv7em-none-eabihf

command -v qemu-system-arm >/dev/null || .ci/install.sh qemu-system-arm
command -v llvm-objdump >/dev/null || .ci/install.sh llvm
command -v readelf >/dev/null || .ci/install.sh binutils
export PATH=$root/target/tools/bin:$PATH
command -v defmt-print >/dev/null || CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --debug --locked --root target/tools defmt-print

# The committed model, or none: the tests bring their own.
model=firmware/model/mnist.cnnm
if [ -f "$model" ]; then
    export FIRMWARE_HAS_MODEL=1
else
    export CNN_MODEL=
    model=target/random.cnnm
    cargo run --quiet --locked -p tests --example random_model -- 1 "$model"
fi

for board in firmware/boards/*/; do
    (cd "$board" && RUSTUP_TOOLCHAIN=stable "$root/.ci/cross.sh" "$target" core build --release --locked)
done
[ "${1:-}" != build ] || exit 0
cargo test --locked -p application

export FIRMWARE_ELF=$root/firmware/target/$target/release/nucleo-f446re
llvm-size -A "$FIRMWARE_ELF" | grep -E '^\.(vector_table|text|rodata|data|bss|uninit|model)'
cargo test --locked -p tests --test board_emulator -- --nocapture
# The page with the firmware, where .ci/web.sh has installed what it takes.
if command -v chromedriver >/dev/null && [ -x target/debug/host-trainer ] && [ -f firmware/model/mnist.cnnm ]; then
    node web/check/board.mjs target/debug/host-trainer "$FIRMWARE_ELF"
else
    .ci/skip.sh "the page with the firmware in QEMU" "there is no Chromium, or no committed model (.ci/web.sh comes first)"
fi
python3 firmware/tools/estimate-cycles.py "$FIRMWARE_ELF" "$model" \
    --budget-cycles 2200000 --budget-instructions 1800000
