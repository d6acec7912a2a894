#!/usr/bin/env bash
# Builds kernels/ptx/*.ptx and kernels/resources.txt from kernels/*.cu, without a GPU and without a CUDA toolkit.
#
#   scripts/build_kernels.sh           writes what is committed
#   scripts/build_kernels.sh --check   fails if what is committed differs from what the sources give
#
# The compiler is NVRTC 12.0: its PTX is of ISA 8.0, which drivers from 525 on take, and the same bytes every time. It
# and ptxas come from Python packages, fetched once by name and version into target/cuda.
set -euo pipefail
exec </dev/null
cd "$(dirname "$0")/.."

packages=${CARGO_TARGET_DIR:-target}/cuda
if [ ! -e "$packages/complete" ]; then
    rm -rf "$packages"
    python3 -m pip install --quiet --root-user-action=ignore --no-deps --target "$packages" \
        nvidia-cuda-nvrtc-cu12==12.0.140 nvidia-cuda-runtime-cu12==12.0.146 nvidia-cuda-nvcc-cu12==12.0.140
    touch "$packages/complete"
fi
export LD_LIBRARY_PATH=$packages/nvidia/cuda_nvrtc/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

out=kernels
if [ "${1:-}" = --check ]; then
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
fi
python3 scripts/build_kernels.py "$packages/nvidia" kernels "$out"
if [ "${1:-}" = --check ]; then
    diff -r "$out/ptx" kernels/ptx
    diff "$out/resources.txt" kernels/resources.txt
    echo 'the committed kernels are what their sources give'
fi
