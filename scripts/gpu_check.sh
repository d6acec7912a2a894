#!/usr/bin/env bash
# Checks and measures the GPU backend, in two steps, since machines with a GPU often have no compiler.
#
#   scripts/gpu_check.sh prepare            builds what the other machine needs into target/gpu_check (no GPU needed)
#   scripts/gpu_check.sh [--out DIR]        on the machine with the GPU, in this checkout with target/gpu_check beside it: all
#                                           kernels and the backend as a whole on the card, tables of speed, 64 devices in a
#                                           pass, torch and peft on the same shapes, a scenario on both backends; on Hopper the
#                                           ways of large products beside each other (ways.csv)
#
# Under nine minutes. Writes DIR/<card>/*.csv (default results/gpu): steps.csv says what passed; kernels.csv, training.csv,
# round.csv and torch.csv have one format and are drawn (kernels_<model>.png, training.png); scenario.csv the accuracy on both backends. Exit code 0 if all steps passed, 1 if one
# failed, 2 without a GPU. docs/gpu.md explains the tables.
set -euo pipefail
exec </dev/null
cd "$(dirname "$0")/.."

bin=target/gpu_check
out=results/gpu
# Carried once, as a file of this checkout, and put back into the programs that have it inside.
asset=assets/minilm/model.int8.safetensors

# The programs as they were built.
unpack() {
    local packed program
    for packed in "$bin"/*.gz; do
        program=${packed%.gz}
        [ "$program" -nt "$packed" ] && continue
        gunzip -c "$packed" >"$program.tmp"
        if [ -s "$program.at" ]; then
            dd if="$asset" of="$program.tmp" bs=1M seek="$(cat "$program.at")" oflag=seek_bytes conv=notrunc status=none
        fi
        chmod +x "$program.tmp"
        mv "$program.tmp" "$program"
    done
}

scenario() {
    local backend folder
    rm -rf "$bin/runs" && echo "backend,final_accuracy,wall_seconds" >"$out/scenario.csv"
    for backend in cuda cpu; do
        "$bin/deft" run scenarios/quickstart.yaml --set model.precision=fp16 --backend "$backend" --no-cache --quiet \
            --out "$bin/runs/$backend"
        folder=$(echo "$bin/runs/$backend"/quickstart/*/)
        echo "$backend,$(number final_accuracy "$folder/summary.json"),$(number wall_seconds "$folder/manifest.json")" \
            >>"$out/scenario.csv"
    done
    rm -rf "$bin/runs"
    # The same accuracy within one point.
    awk -F, 'NR > 1 { a[NR] = $2 } END { d = a[2] - a[3]; exit !(d < 0.01 && d > -0.01) }' "$out/scenario.csv"
}

# number KEY FILE: the first number at or below a key of a JSON file.
number() {
    awk -v key="\"$1\"" 'index($0, key) { found = 1 } found && match($0, /: *-?[0-9][0-9.e+-]*/) {
        value = substr($0, RSTART + 1); sub(/,.*/, "", value); print value + 0; exit }' "$2"
}

case "${1:-}" in
    prepare)
        rm -rf "$bin" && mkdir -p "$bin"
        release=${CARGO_TARGET_DIR:-target}/release
        cargo build --locked --release --bin deft --example gpu_bench
        cp "$release/deft" "$release/examples/gpu_bench" "$bin/"
        for test in cuda_kernels cuda_backend; do
            built=$(cargo test --locked --release --no-run --test "$test" --message-format json |
                sed -n 's/.*"name":"'"$test"'".*"executable":"\([^"]*\)".*/\1/p' | tail -1)
            cp "$built" "$bin/$test"
        done
        strip "$bin"/*
        python3 scripts/gpu_pack.py "$asset" "$bin"/*
        if git rev-parse HEAD >/dev/null 2>&1; then
            git ls-files -z | du --files0-from=- --apparent-size -cm | awk 'END { print $1 " MiB of this checkout" }'
        fi
        du --apparent-size -sm "$bin" | awk '{ print $1 " MiB in " $2 }'
        exit
        ;;
    scenario-step)
        out=$2
        scenario
        exit
        ;;
    --out)
        out=${2:-}
        [ -n "$out" ] || { echo "--out needs a folder" >&2; exit 2; }
        ;;
    '') ;;
    *)
        echo "usage: $0 [prepare | --out DIR]" >&2
        exit 2
        ;;
esac

if [ ! -e "$bin/gpu_bench.gz" ]; then
    echo "nothing to run in $bin: scripts/gpu_check.sh prepare builds it" >&2
    exit 2
fi
unpack
# One line where there is no GPU.
card=$("$bin/gpu_bench" probe) || exit 2
out=$out/$(printf '%s' "$card" | tr -cs '[:alnum:]' '_' | tr '[:upper:]' '[:lower:]' | sed 's/_*$//')
mkdir -p "$out"
echo "step,seconds,passed" >"$out/steps.csv"
failed=0

# step NAME SECONDS COMMAND...: runs it for at most so many seconds and notes how it went.
step() {
    local name=$1 limit=$2 start=$SECONDS passed=1
    shift 2
    echo "== $name"
    timeout "$limit" "$@" >"$bin/$name.log" 2>&1 || passed=0
    tail -n 3 "$bin/$name.log"
    if [ $passed = 0 ]; then
        failed=1
        grep -m 5 -E '^error|panicked|FAILED' "$bin/$name.log" || true
    fi
    echo "$name,$((SECONDS - start)),$passed" >>"$out/steps.csv"
}

export DEFT_TEST_GPU=1
step kernels_on_the_card 60 "$bin/cuda_kernels" --test-threads 1
step backend_on_the_card 60 "$bin/cuda_backend" --skip golden --test-threads 1
# Gradients of MiniLM's golden cases within 3e-2.
step golden 30 "$bin/cuda_backend" golden --test-threads 1
sanitizer=$(PATH=$PATH:/usr/local/cuda/bin command -v compute-sanitizer || true)
if [ -n "$sanitizer" ]; then
    step sanitizer 40 "$sanitizer" --tool memcheck --error-exitcode 9 "$bin/cuda_kernels" every_kind_at_awkward_sizes heads_of_every_width \
        what_overflowed_in_one_client matrices_at_a_stride \
        --test-threads 1
    step races 30 "$sanitizer" --tool racecheck --error-exitcode 9 "$bin/cuda_kernels" groups_of_uneven what_overflowed_in_one_client --test-threads 1
    step barriers 15 "$sanitizer" --tool synccheck --error-exitcode 9 "$bin/cuda_kernels" tensor_copies --test-threads 1
else
    printf '%s\n' sanitizer,0,skipped races,0,skipped barriers,0,skipped >>"$out/steps.csv"
fi
step kernels 40 "$bin/gpu_bench" kernels --out "$out"
step ways 20 "$bin/gpu_bench" ways --models bert-large,llama7b --runs 3 --out "$out"
step training 60 "$bin/gpu_bench" training --out "$out"
step round 25 "$bin/gpu_bench" round --models minilm --blocks 6 --out "$out"
if python3 -c 'import torch, peft, transformers' 2>"$bin/torch.log"; then
    step torch 90 python3 scripts/gpu_torch.py --out "$out/torch.csv"
else
    echo "torch,0,skipped" >>"$out/steps.csv"
fi
step plots 5 "$bin/gpu_bench" plot --out "$out"
step scenario 60 "$0" scenario-step "$out"
column -s, -t "$out/steps.csv" 2>/dev/null || cat "$out/steps.csv"
exit $failed
