#!/usr/bin/env bash
# What the program exports, used by tools that are not ours: the C header by gcc and clang, on x86-64, 64-bit Arm and a
# Cortex-M4F; the ONNX file by onnx's checker and onnxruntime; a run's event files by TensorBoard's reader; the notebook by
# Jupyter's runner.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
out=$root/target/exports
program=$root/target/debug/host-trainer
model=firmware/model/mnist.cnnm

.ci/install.sh clang gcc-arm-none-eabi gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-system-arm qemu-user

# environment NAME REQUIREMENTS: a Python with these packages, its own for each list.
environment() {
    local folder=$out/$1
    if ! cmp -s "$2" "$folder/requirements.txt"; then
        rm -rf "$folder"
        python3 -m venv "$folder"
        "$folder/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check -r "$2"
        cp "$2" "$folder/requirements.txt"
    fi
}
environment venv tests/exports/requirements.txt
python=$out/venv/bin/python

# With the features of the tests, which have built them.
cargo test --workspace --locked --no-run
mkdir -p "$out/c"
target/debug/examples/logit_vectors "$model" "$out/c"
"$program" export "$model" "$out/c/cnn.h"

echo "── ONNX and TensorBoard"
"$program" export "$model" "$out/net.onnx"
fingerprint=$("$program" summary --json "$model" | "$python" -c 'import json, sys; print(json.load(sys.stdin)["model"]["fingerprint"])')
"$python" tests/exports/check_onnx.py "$out/net.onnx" "$out/c" "$fingerprint"
rm -rf "$out/logs"
# A run that is replaced by a shorter one, which is gone on with: the curves are those of the last alone.
for run in "--epochs 2 --lr 0.02 --overwrite" "--epochs 1 --lr 0.01 --overwrite" "--epochs 2 --lr 0.01 --resume"; do
    "$program" train --quiet --dataset synthetic $run --lr-schedule step:1:0.5 --out "$out/run" --tensorboard "$out/logs"
    # TensorBoard reads files in the order of their names, which hold the second.
    sleep 1
done
"$python" tests/exports/read_tensorboard.py "$out/logs" "$out/run/metrics.csv"

echo "── the notebook, with PyTorch"
if [ -z "${MNIST_DIR:-}" ]; then
    .ci/skip.sh "the notebook is executed" "there is no MNIST (MNIST_DIR)"
else
    # A Python that has the packages already may be named: they are some gigabytes.
    [ -n "${CNN_TORCH_PYTHON:-}" ] || environment torch tests/pytorch/requirements.txt
    HOST_TRAINER=$program CNN_DATA=$(realpath "$MNIST_DIR") CNN_EPOCHS=1 \
        "${CNN_TORCH_PYTHON:-$out/torch/bin/python}" tests/exports/run_notebook.py docs/notebooks/pytorch.ipynb
    # The folder is made anew where it is wanted again; the machine's disk is for other steps.
    rm -rf "$out/torch"
fi

echo "── the C header: 1,000 logits, bit for bit"
cd "$out/c"
warnings=(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
sources=$root/tests/exports

# build NAME COMPILER FLAGS …: the check as a program of that name.
build() {
    local name=$1 compiler=$2
    shift 2
    $compiler "${warnings[@]}" "$@" -I . "$sources/check.c" -o "$name"
}
# expect CODE COMMAND …
expect() {
    local code=0
    "${@:2}" || code=$?
    if [ "$code" -ne "$1" ]; then
        echo "${*:2} ended with $code instead of $1"
        exit 1
    fi
}

native=(-O3)
grep -qw fma /proc/cpuinfo 2>/dev/null && native=(-O3 -mavx2 -mfma)
for compiler in "gcc -std=c99" "gcc -std=gnu17" "gcc -x c++ -std=c++98" "gcc -x c++ -std=gnu++20" \
    "clang -std=c99" "clang -x c++ -std=c++17"; do
    for flags in -O0 -O3 "${native[*]}"; do
        build check "$compiler" $flags
        expect 0 ./check
    done
    echo "x86-64: $compiler"
done
gcc -std=c99 "${warnings[@]}" -O2 -I . -DOTHER_UNIT "$sources/check.c" "$sources/other_unit.c" -o check
expect 0 ./check
for flags in -O0 -O3; do
    build check aarch64-linux-gnu-gcc -std=gnu17 $flags -static
    expect 0 qemu-aarch64 ./check
    build check "clang --target=aarch64-linux-gnu" -std=c99 $flags -static
    expect 0 qemu-aarch64 ./check
done
echo "64-bit Arm: gcc, clang"
for flags in -O0 -O3; do
    build check.elf arm-none-eabi-gcc -std=gnu17 $flags -mcpu=cortex-m4 -mthumb -mfpu=fpv4-sp-d16 -mfloat-abi=hard \
        -ffreestanding -nostdlib "$sources/cortex_m4f.c" -T "$sources/cortex_m4f.ld" -lgcc
    expect 0 qemu-system-arm -machine mps2-an386 -nographic -semihosting -kernel check.elf </dev/null
done
arm-none-eabi-size check.elf
echo "Cortex-M4F: gcc"

# The Arduino sketch of the page, with a stand-in for its serial port.
awk '/^```cpp$/ { on = 1; next } /^```$/ { on = 0 } on' "$root/docs/c.md" >sketch.h
gcc -x c++ -std=gnu++17 -Wall -Wextra -Werror -O2 -I . "$sources/arduino.cpp" -o check
expect 0 ./check
echo "the Arduino sketch"

echo "── what the self-test finds, and what is refused"
mkdir -p spoiled
# unguarded: the header without what keeps gcc from fusing.
sed '/pragma GCC optimize/d' cnn.h >spoiled/cnn.h
cp vectors.h spoiled
if [ "${native[*]}" != -O3 ]; then
    gcc -std=gnu17 "${native[@]}" -DEXPECT=CNN_FUSED -I spoiled "$sources/check.c" -o check
    expect 0 ./check
    # This option of clang's is stronger than its pragma.
    clang -std=c99 "${native[@]}" -ffp-contract=fast -DEXPECT=CNN_FUSED -I . "$sources/check.c" -o check
    expect 0 ./check
fi
arm-none-eabi-gcc -std=gnu17 -O3 -mcpu=cortex-m4 -mthumb -mfpu=fpv4-sp-d16 -mfloat-abi=hard -ffreestanding -nostdlib \
    -DEXPECT=CNN_FUSED -I spoiled "$sources/check.c" "$sources/cortex_m4f.c" -T "$sources/cortex_m4f.ld" -lgcc -o check.elf
expect 0 qemu-system-arm -machine mps2-an386 -nographic -semihosting -kernel check.elf </dev/null
[ "$(uname -m)" != x86_64 ] || {
    gcc -std=gnu17 -O2 -DFLUSH -DEXPECT=CNN_FLUSHED -I . "$sources/check.c" -o check
    expect 0 ./check
}
# One bit of one parameter; then one of a known logit.
awk '/cnn_parameters = / { at = NR } at && NR == at + 5000 { sub(/0x./, "0x7") } { print }' cnn.h >spoiled/cnn.h
gcc -std=gnu17 -O2 -DEXPECT=CNN_PARAMETERS -I spoiled "$sources/check.c" -o check
expect 0 ./check
awk '/cnn_golden_logits\[CNN_CLASSES\] = / { at = NR } at && NR == at + 1 { sub(/0x./, "0x7") } { print }' cnn.h >spoiled/cnn.h
gcc -std=gnu17 -O2 -DEXPECT=CNN_LOGITS -I spoiled "$sources/check.c" -o check
expect 0 ./check
for flags in "gcc -ffast-math" "gcc -Ofast" "clang -ffast-math" "gcc -m32 -ffreestanding -march=i386 -mfpmath=387"; do
    if $flags -I . -fsyntax-only "$sources/check.c" 2>errors; then
        echo "$flags is not refused"
        exit 1
    fi
    grep -q '#error "cnn.h:\|error: "cnn.h:' errors
done

echo "── the C header in integers: 1,000 logits"
mkdir -p "$out/c-int8"
cd "$out/c-int8"
"$program" quantize "$root/$model" int8.cnnm --dataset synthetic --overwrite --quiet
"$root/target/debug/examples/logit_vectors" int8.cnnm .
"$program" export int8.cnnm cnn.h
# Integers need no care: -ffast-math is as good as none, and nothing overflows.
for compiler in "gcc -std=c99" "gcc -x c++ -std=c++98" "gcc -std=gnu17 -fsanitize=undefined -fno-sanitize-recover" \
    "clang -std=c99" "clang -x c++ -std=c++17"; do
    for flags in -O0 "-O3 -ffast-math"; do
        build check "$compiler" $flags
        expect 0 ./check
    done
done
build check aarch64-linux-gnu-gcc -std=gnu17 -O3 -static
expect 0 qemu-aarch64 ./check
build check.elf arm-none-eabi-gcc -std=gnu17 -O3 -mcpu=cortex-m4 -mthumb -mfpu=fpv4-sp-d16 -mfloat-abi=hard \
    -ffreestanding -nostdlib "$sources/cortex_m4f.c" -T "$sources/cortex_m4f.ld" -lgcc
expect 0 qemu-system-arm -machine mps2-an386 -nographic -semihosting -kernel check.elf </dev/null
# Another weight; then another known logit.
mkdir -p spoiled
awk '/cnn_weights\[CNN_WEIGHT_COUNT\] = / { at = NR } at && NR == at + 1000 { sub(/ -?[1-9][0-9]*,/, " 0,") } { print }' cnn.h >spoiled/cnn.h
gcc -std=c99 -DEXPECT=CNN_PARAMETERS -I spoiled -I . "$sources/check.c" -o check
expect 0 ./check
awk '/cnn_golden_logits\[CNN_CLASSES\] = / { at = NR } at && NR == at + 1 { sub(/ -?[1-9][0-9]*,/, " 0,") } { print }' cnn.h >spoiled/cnn.h
gcc -std=c99 -DEXPECT=CNN_LOGITS -I spoiled -I . "$sources/check.c" -o check
expect 0 ./check
