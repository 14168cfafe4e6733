#!/usr/bin/env bash
# Builds the firmware of every board, runs the NUCLEO-F446RE's in QEMU and the Pico's in rp2040js against this host, and
# holds them to their budgets: flash, RAM, instructions and cycles of an inference. Works on a bare machine with rustup's
# stable toolchain; installs the rest.
#
#   firmware.sh          all of it
#   firmware.sh build    the programs of the boards alone
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

command -v qemu-system-arm >/dev/null || .ci/install.sh qemu-system-arm
command -v llvm-objdump >/dev/null || .ci/install.sh llvm
command -v readelf >/dev/null || .ci/install.sh binutils
command -v npm >/dev/null || .ci/install.sh nodejs npm
export PATH=$root/target/tools/bin:$PATH
command -v defmt-print >/dev/null || CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --debug --locked --root target/tools defmt-print

# The committed model, or none: the tests bring their own.
model=firmware/model/mnist.cnnm
if [ -f "$model" ]; then
    export FIRMWARE_HAS_MODEL=1
else
    export CNN_MODEL=
    model=target/random.cnnm
    cargo run --quiet --workspace --locked --example random_model -- 1 "$model"
fi

# A board's own .cargo/config.toml names its target, or that of the folder above does.
target_of() {
    local configs=(firmware/.cargo/config.toml)
    [ ! -f "$1/.cargo/config.toml" ] || configs=("$1/.cargo/config.toml" "${configs[@]}")
    sed -n 's/^target = "\(.*\)"/\1/p' "${configs[@]}" | sed -n 1p
}
for board in firmware/boards/*/; do
    board=${board%/}
    target=$(target_of "$board")
    (cd "$board" && RUSTUP_TOOLCHAIN=stable "$root/.ci/cross.sh" "$target" core build --release --locked)
    elf=firmware/target/$target/release/${board##*/}
    echo "${board##*/}:"
    llvm-size -A "$elf" | grep -E '^\.(vector_table|text|trap|rwtext|rodata|data|bss|uninit|model)'
done
# What trains the whole network in QEMU.
(cd firmware/trainer && RUSTUP_TOOLCHAIN=stable "$root/.ci/cross.sh" thumbv7em-none-eabihf core build --release --locked)
[ "${1:-}" != build ] || exit 0
# Forward passes on processors that are only emulated.
command -v qemu-system-riscv32 >/dev/null || .ci/install.sh qemu-system-misc
for target in thumbv6m-none-eabi thumbv8m.main-none-eabihf riscv32imc-unknown-none-elf; do
    (cd firmware/emulated && RUSTUP_TOOLCHAIN=stable "$root/.ci/cross.sh" "$target" core build --release --locked \
        --target-dir ../target)
done
cargo test --locked -p application

export FIRMWARE_ELF=$root/firmware/target/thumbv7em-none-eabihf/release/nucleo-f446re
# The Pico's emulator.
export PICO_ELF=$root/firmware/target/thumbv6m-none-eabi/release/pico RP2040JS=$root/target/tools/emulators
mkdir -p "$RP2040JS"
if ! cmp -s tests/emulators/package-lock.json "$RP2040JS/package-lock.json" || [ ! -d "$RP2040JS/node_modules" ]; then
    cp tests/emulators/package*.json "$RP2040JS"
    npm ci --silent --no-audit --no-fund --prefix "$RP2040JS"
fi
export EMULATED_TARGET_DIR=$root/firmware/target
export TRAINER_ELF=$root/firmware/target/thumbv7em-none-eabihf/release/trainer
# With the features of the step `tests`, which has built most of it.
cargo test --workspace --locked --test forward_emulator --test board_emulator --test board_training -- --nocapture
# A client that knows the protocol's page alone.
if [ -n "${FIRMWARE_HAS_MODEL:-}" ]; then
    line=$(mktemp -d)/line
    qemu-system-arm -M netduinoplus2 -display none -icount shift=0 -serial null -serial "unix:$line,server=on,wait=on" \
        -kernel "$FIRMWARE_ELF" </dev/null &
    emulator=$!
    trap 'kill $emulator' EXIT
    while [ ! -S "$line" ]; do sleep 0.1; done
    python3 tests/protocol/client.py "$line" "$model"
    kill $emulator
    trap - EXIT
fi
# Files to drag onto the boards' drives, from two runs alike.
cargo test --workspace --locked --no-run --test cli
mkdir -p target/drag
for file in pico.uf2 pico-2.uf2 microbit-v2.hex nrf52840-dk.hex nucleo-f446re.bin; do
    elf=firmware/target/$(target_of "firmware/boards/${file%.*}")/release/${file%.*}
    target/debug/host-trainer board image "$elf" "target/drag/$file"
    target/debug/host-trainer board image "$elf" "target/drag/again.$file" >/dev/null
    cmp "target/drag/$file" "target/drag/again.$file"
done
# The ESP32-C3's, which its boot loader belongs to. espflash takes minutes to build.
if command -v espflash >/dev/null; then
    for file in esp32-c3.bin again.esp32-c3.bin; do
        espflash save-image --chip esp32c3 --merge --partition-table firmware/boards/esp32-c3/partitions.csv \
            firmware/target/riscv32imc-unknown-none-elf/release/esp32-c3 "target/drag/$file"
    done
    cmp target/drag/esp32-c3.bin target/drag/again.esp32-c3.bin
    # Where the boot loader looks for the table of partitions.
    [ "$(od -An -tx1 -j $((0x8000)) -N 2 target/drag/esp32-c3.bin)" = " aa 50" ] || { echo "no partition table at 0x8000" >&2; exit 1; }
else
    .ci/skip.sh "the ESP32-C3's image" "there is no espflash"
fi
# The page with the firmware, where .ci/web.sh has installed what it takes.
if command -v chromedriver >/dev/null && [ -x target/debug/host-trainer ] && [ -f firmware/model/mnist.cnnm ]; then
    node web/check/board.mjs target/debug/host-trainer "$FIRMWARE_ELF"
else
    .ci/skip.sh "the page with the firmware in QEMU" "there is no Chromium, or no committed model (.ci/web.sh comes first)"
fi
python3 firmware/tools/estimate-cycles.py "$FIRMWARE_ELF" "$model" \
    --budget-cycles 2000000 --budget-instructions 1600000
int8=firmware/model/mnist-int8.cnnm
if [ ! -f "$int8" ]; then
    int8=target/int8.cnnm
    target/debug/host-trainer quantize "$model" "$int8" --dataset synthetic --overwrite --quiet
fi
python3 firmware/tools/estimate-cycles.py "$FIRMWARE_ELF" "$int8" \
    --budget-cycles 1000000 --budget-instructions 750000
