#!/bin/sh
# Puts deft's learning plane and torch + transformers + peft side by side on this machine: the same jobs, in turn, each in
# a process of its own, several times; prints medians and ratios and writes them as JSON.
#
#   scripts/bench_peers.sh [OUT.json]          default results/peers.json
#
# Environment: THREADS (2), REPEATS (3), WORKLOADS (step_32x64 step_8x128 epoch round), EVERY (1: the whole epoch; 4: every
# fourth batch of it), VENV (target/peers-venv: made, and filled with pip, if it is not there), DEFT_MODELS (models).
# Run it on a machine with nothing else to do: torch's threads wait for each other, and lose more than ours to a neighbour.
set -eu
cd "$(dirname "$0")/.."
out=${1:-results/peers.json}
threads=${THREADS:-2}
repeats=${REPEATS:-3}
workloads=${WORKLOADS:-step_32x64 step_8x128 epoch round}
every=${EVERY:-1}
venv=${VENV:-target/peers-venv}
model=${DEFT_MODELS:-models}/minilm-f32

[ -f "$model/model.safetensors" ] || { echo "no $model/model.safetensors: run scripts/fetch_models.sh first" >&2; exit 2; }
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet torch==2.15.0 transformers==5.23.0 peft==0.21.2
fi
cargo build --release --quiet --bench learning
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT

repeat=1
while [ "$repeat" -le "$repeats" ]; do
    for workload in $workloads; do
        echo "repeat $repeat of $repeats: $workload" >&2
        RAYON_NUM_THREADS=$threads cargo bench --quiet --bench learning -- --json \
            --workloads "$workload" --threads "$threads" --every "$every" >> "$lines"
        OMP_NUM_THREADS=$threads "$venv/bin/python" -W ignore scripts/peers/bench_peft.py \
            --model "$model" --workloads "$workload" --threads "$threads" --every "$every" 2>/dev/null >> "$lines"
    done
    repeat=$((repeat + 1))
done
"$venv/bin/python" scripts/peers/compare.py "$lines" "$out"
