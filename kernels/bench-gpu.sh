#!/usr/bin/env bash
# Everything that only a real GPU can show, in one go: the tests of the kernels, equality with the CPU, clean memory
# and no races under compute-sanitizer, the time of the recipe, PyTorch on the same GPU. Prints a table last.
#
# Needs no Rust toolchain, only what a build leaves behind and the data:
#   cargo build --release -p host-trainer
#   cargo test --release -p tests --test cuda_equality --no-run
#   MNIST_DIR=… kernels/bench-gpu.sh
#
#   MNIST_DIR       the four IDX files
#   HOST_TRAINER    the program                          [target/release/host-trainer]
#   CUDA_TESTS      the tests' executable                [the newest cuda_equality-* in target/release/deps]
#   TORCH_BASELINE  the script that trains with PyTorch  [none: no ratio]
#   EPOCHS          of the timed runs                    [100]
#   OUT             logs and runs                        [a new temporary folder]
set -uo pipefail
cd "$(dirname "$0")/.."

: "${MNIST_DIR:?is not set: name the folder with the four IDX files of MNIST}"
export MNIST_DIR
trainer=${HOST_TRAINER:-target/release/host-trainer}
tests=${CUDA_TESTS:-$(find target/release/deps -maxdepth 1 -type f -executable -name 'cuda_equality-*' -printf '%T@ %p\n' \
    2>/dev/null | sort -rn | head -n 1 | cut -d ' ' -f 2)}
epochs=${EPOCHS:-100}
out=${OUT:-$(mktemp -d)}
for program in "$trainer" "$tests"; do
    if [ ! -x "$program" ]; then
        echo "error: '$program' is not there: build first, as the head of this script says" >&2
        exit 2
    fi
done
mkdir -p "$out"

table=()
failed=0
row() { table+=("$(printf '%-34s %-9s %10s  %s' "$@")"); }

# check NAME COMMAND…: runs it with its output in a log; a row with its result and seconds.
check() {
    local name=$1 log start seconds
    shift
    log=$out/${name// /-}.log
    echo "── $name: $*"
    start=$(date +%s.%N)
    if "$@" >"$log" 2>&1; then
        seconds=$(echo "$(date +%s.%N) $start" | awk '{ printf "%.2f", $1 - $2 }')
        row "$name" passed "$seconds s" "$(grep . "$log" | tail -n 1 | cut -c 1-80)"
    else
        failed=1
        tail -n 15 "$log"
        row "$name" FAILED "" "$log"
    fi
}

# A time of a run's record; the fingerprint after its last epoch.
seconds_of() {
    sed -n "s/.*\"$2\": *\([0-9.e+-]*\).*/\1/p" "$out/$1/run.json" | head -n 1 | awk '{ printf "%.3f", $1 }'
}
fingerprint_of() { sed -n 's/.*"fingerprint": *"\([0-9a-f]*\)".*/\1/p' "$out/$1/run.json" | tail -n 1; }

# train BACKEND: the recipe with its files in $out/BACKEND.
train() {
    check "$epochs epochs $1" "$trainer" train --epochs "$epochs" --backend "$1" --out "$out/$1" --overwrite
    [ -f "$out/$1/run.json" ] || return
    row "  training" "" "$(seconds_of "$1" training) s" ""
    row "  evaluation" "" "$(seconds_of "$1" evaluation) s" ""
}

# same BACKEND BACKEND: whether both runs ended with the same parameters.
same() {
    local first second
    first=$(fingerprint_of "$1")
    second=$(fingerprint_of "$2")
    if [ -n "$first" ] && [ "$first" = "$second" ]; then
        row "$1 = $2 after $epochs epochs" passed "" "$first"
    else
        failed=1
        row "$1 = $2 after $epochs epochs" FAILED "" "${first:-none} ${second:-none}"
    fi
}

# sanitize TOOL: a short training on the tests' executable.
sanitize() {
    if command -v compute-sanitizer >/dev/null; then
        check "$1" compute-sanitizer --tool "$1" --error-exitcode 9 "$tests" --test-threads 1 \
            equality::every_single_step
    else
        row "$1" skipped "" "no compute-sanitizer"
    fi
}

check doctor "$trainer" doctor
cat "$out/doctor.log"
check "kernels' tests" "$tests" --test-threads 1
check "verify 3 epochs" "$trainer" verify --epochs 3 --backend cuda --against cpu
check "verify 3 epochs by graphs" "$trainer" verify --epochs 3 --backend cuda-graph --against cpu
sanitize memcheck
sanitize racecheck
train cuda
train cuda-graph
train cpu
same cuda cpu
same cuda-graph cpu
if [ -n "${TORCH_BASELINE:-}" ]; then
    check "PyTorch eager 5 epochs" python3 "$TORCH_BASELINE" 5 0 --cuda
    # The first epoch warms up; the others are as long as any.
    torch=$(sed -n 's/.*train_s=\([0-9.]*\) eval_s=\([0-9.]*\).*/\1 \2/p' "$out/PyTorch-eager-5-epochs.log" |
        awk -v epochs="$epochs" 'NR > 1 { sum += $1 + $2 } END { if (NR > 1) printf "%.1f", sum / (NR - 1) * epochs }')
    ours=$(seconds_of cuda total)
    row "PyTorch, $epochs epochs at that pace" "" "$torch s" \
        "$(awk -v a="${torch:-0}" -v b="${ours:-0}" 'BEGIN { if (b > 0) printf "%.1f times ours", a / b }')"
else
    row "PyTorch eager" skipped "" "TORCH_BASELINE is not set"
fi

echo
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo "no nvidia-smi"
printf '%s\n' "${table[@]}"
exit "$failed"
