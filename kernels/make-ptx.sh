#!/usr/bin/env bash
# Compiles kernels/cuda/*.cu to the committed kernels/ptx/*.ptx. No GPU and no CUDA toolkit is needed: NVRTC and ptxas
# come from two pinned pip packages (61 MB, kept in $CUDA_TOOLS, by default a folder under the user's cache).
#
#   make-ptx.sh           writes kernels/ptx
#   make-ptx.sh --check   writes nothing; fails if kernels/ptx is not what the sources give
#
# Both assemble the result for sm_80 and sm_90 and fail if a kernel spills registers.
set -euo pipefail
cd "$(dirname "$0")"

tools=${CUDA_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/cnn-cuda-tools}
# NVRTC 12.0 writes PTX ISA 8.0, which drivers from 525 on accept.
nvrtc=$tools/nvidia/cuda_nvrtc/lib/libnvrtc.so.12
ptxas=$tools/nvidia/cu13/bin/ptxas
if [ ! -f "$nvrtc" ] || [ ! -f "$ptxas" ]; then
    python3 -m pip install --quiet --no-deps --target "$tools" \
        nvidia-cuda-nvrtc-cu12==12.0.140 nvidia-cuda-nvcc==13.0.88
fi
chmod +x "$ptxas"

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

for source in cuda/*.cu; do
    name=$(basename "$source" .cu)
    # No contraction, no flushing of subnormals, true division; the sources say so once more with __fmul_rn and others.
    python3 nvrtc.py "$nvrtc" "$source" "$made/$name.ptx" --gpu-architecture=compute_70 --std=c++17 \
        --fmad=false --ftz=false --prec-div=true --include-path=cuda
    for architecture in sm_80 sm_90; do
        report=$("$ptxas" -arch=$architecture -v -o /dev/null "$made/$name.ptx" 2>&1)
        echo "$report" | sed -n "s/.*Compiling entry function '\(.*\)' for '\(.*\)'/\2 \1/p; s/.*\(Used [0-9]* registers\).*/    \1/p"
        if echo "$report" | grep -E '[1-9][0-9]* bytes spill'; then
            echo "error: a kernel of $source spills registers on $architecture" >&2
            exit 1
        fi
    done
done

if [ "${1:-}" = --check ]; then
    if ! diff -r --brief "$made" ptx; then
        echo "error: kernels/ptx is not what kernels/cuda gives; run kernels/make-ptx.sh and commit the result" >&2
        exit 1
    fi
    echo "kernels/ptx is what kernels/cuda gives"
else
    mkdir -p ptx
    cp "$made"/*.ptx ptx/
fi
