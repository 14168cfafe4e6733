#!/usr/bin/env bash
# Builds the fuzz targets with the address sanitizer and runs each for SECONDS (default 600), two side by side:
#
#     fuzz/run.sh [SECONDS [TARGET …]]
#
# Starts from fuzz/corpus and fuzz/regressions and from what earlier runs found, which fuzz/target/grown keeps. What
# fails lies in fuzz/target/failed/TARGET: keep it in fuzz/regressions/TARGET. Needs a C++ compiler and rustup's stable
# toolchain; installs cargo-fuzz. Exit status 1 if anything failed.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
seconds=${1:-600}
shift || true

export PATH=$root/target/tools/bin:$PATH
command -v cargo-fuzz >/dev/null || cargo install --quiet --locked --root target/tools cargo-fuzz

out=$root/fuzz/target
triple=$(rustc -vV | sed -n 's/^host: //p')
# Lines of a target's name and its longest input.
declare -A max_len
while read -r name len; do
    max_len[$name]=$len
done < <(cargo run --quiet --locked -p tests --example fuzz_corpus -- "$out/seeds")
if [ $# -eq 0 ]; then
    mapfile -t targets < <(printf '%s\n' "${!max_len[@]}" | sort)
else
    targets=("$@")
fi

# The code under test as everyone builds it, with overflow checks: no `cfg(fuzzing)`, by which some libraries skip their
# checksums. Coverage and sanitizer are unstable flags, which the stable compiler takes with RUSTC_BOOTSTRAP.
RUSTC_BOOTSTRAP=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=line-tables-only \
    cargo fuzz build --release --debug-assertions --no-cfg-fuzzing --sanitizer address --target-dir "$out"

# Runs one target; what it said lies in $out/logs.
fuzz() {
    local name=$1 folders=()
    mkdir -p "$out/grown/$name" "$out/failed/$name" "$out/logs"
    for folder in "$out/seeds/$name" "fuzz/corpus/$name" "fuzz/regressions/$name"; do
        if [ -d "$folder" ]; then folders+=("$folder"); fi
    done
    local limits=(-max_total_time="$seconds" -max_len="${max_len[$name]}" -timeout=60 -report_slow_units=60)
    # Pictures alone may take more than 64 MB at once.
    limits+=(-rss_limit_mb=768 -malloc_limit_mb=128)
    # Freed memory is kept from being used again, 16 MB of it: more would count as the target's.
    ASAN_OPTIONS=quarantine_size_mb=16 "$out/$triple/release/$name" "$out/grown/$name" "${folders[@]}" "${limits[@]}" \
        -artifact_prefix="$out/failed/$name/" -print_final_stats=1 >"$out/logs/$name" 2>&1 ||
        touch "$out/logs/$name.failed"
}

rm -rf "$out/failed" "$out/logs"
running=0
for name in "${targets[@]}"; do
    if [ "$running" -eq 2 ]; then
        wait -n
        running=1
    fi
    fuzz "$name" &
    running=$((running + 1))
done
wait

printf '%-16s %12s %8s %8s %9s %8s\n' target executions exec/s edges 'RSS (MB)' crashes
failed=0
for name in "${targets[@]}"; do
    log=$out/logs/$name
    final() {
        sed -n "s/^stat::$1: *//p" "$log"
    }
    edges=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1 | cut -d ' ' -f 2)
    crashes=$(find "$out/failed/$name" -type f ! -name 'slow-unit-*' | wc -l)
    if [ -e "$log.failed" ]; then failed=1; fi
    printf '%-16s %12s %8s %8s %9s %8s\n' "$name" "$(final number_of_executed_units)" \
        "$(final average_exec_per_sec)" "$edges" "$(final peak_rss_mb)" "$crashes"
done
exit $failed
