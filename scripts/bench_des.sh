#!/bin/sh
# Puts deft's discrete-event core and wired network side by side with other simulators on this machine: PHOLD, M/M/1 and bulk
# transfers, in turn, each in a process of its own on one core, several rounds; prints medians and ratios (peers_des/table.py).
#
#   scripts/bench_des.sh [LINES.tsv]           default results/des.tsv: one line a run, which table.py reads
#
# Peers that cannot be had are left out: simcore and nexosim (crates, built here), SimPy and ns-3 (pip, put into VENV), SimGrid
# (Debian: libsimgrid-dev). Rates are units a second of processor time, so a busy neighbour costs little; compare ratios.
#
# Environment: ROUNDS (5), CORE (0), VENV (target/des-venv: made if it is not there), CARGO_TARGET_DIR (target).
set -eu
cd "$(dirname "$0")/.."
out=${1:-results/des.tsv}
rounds=${ROUNDS:-5}
core=${CORE:-0}
venv=${VENV:-target/des-venv}
target=${CARGO_TARGET_DIR:-target}
peers=scripts/peers_des
built=$target/peers_des
mkdir -p "$built" "$(dirname "$out")"

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
python=$venv/bin/python
"$python" -c 'import simpy' 2>/dev/null || "$venv/bin/pip" install --quiet simpy==4.1.2 || true
"$python" -c 'import ns3' 2>/dev/null || "$venv/bin/pip" install --quiet ns3 || true
cargo build --release --quiet --example phold --example mm1 --example flows
have_rust=0
cargo build --release --quiet --manifest-path "$peers/Cargo.toml" --target-dir "$built/rust" && have_rust=1
cxx=${CXX:-g++}
ns3=$("$python" -c 'import importlib.util as u; s = u.find_spec("ns3"); print(list(s.submodule_search_locations)[0] if s else "")')
have_ns3=0
if [ -n "$ns3" ] && library=$(ls "$ns3"/lib*/libns3.*-core.so 2>/dev/null | head -1) && [ -n "$library" ]; then
    folder=$(dirname "$library")
    name=$(basename "$library" .so)
    $cxx -O3 -std=c++20 "$peers/ns3_bench.cc" -o "$built/ns3_bench" -I"$ns3/include" -L"$folder" -l"${name#lib}" \
        -Wl,-rpath,"$folder" && have_ns3=1
fi
have_simgrid=0
$cxx -O3 -std=c++17 "$peers/simgrid_bench.cc" -o "$built/simgrid_bench" -lsimgrid 2>/dev/null && have_simgrid=1
echo "peers: crates $have_rust, ns-3 $have_ns3, SimGrid $have_simgrid" >&2

pin() {
    if command -v taskset >/dev/null; then taskset -c "$core" "$@"; else "$@"; fi
}
ours() {
    example=$1
    shift
    pin "$target/release/examples/$example" --line "$@"
}
: >"$out"
round=1
while [ "$round" -le "$rounds" ]; do
    echo "round $round of $rounds" >&2
    for pending in 1 16; do
        for through in bare events processes; do
            ours phold --pending $pending --events 3000000 --through $through >>"$out"
        done
        if [ $have_rust = 1 ]; then
            pin "$built/rust/release/simcore_bench" 2000000 $pending 1000000 >>"$out"
            pin "$built/rust/release/nexosim_bench" 500000 $pending 300000 >>"$out"
        fi
        pin "$python" "$peers/simpy_bench.py" 200000 $pending 100000 >>"$out" 2>/dev/null || true
        if [ $have_ns3 = 1 ]; then
            for scheduler in Map Heap Calendar PriorityQueue; do
                pin "$built/ns3_bench" 1000000 $pending 500000 $scheduler >>"$out"
            done
        fi
        if [ $have_simgrid = 1 ]; then pin "$built/simgrid_bench" phold 200000 $pending 2>/dev/null >>"$out"; fi
    done
    ours phold --entities 65536 --events 3000000 >>"$out"
    ours phold --entities 65536 --events 3000000 --together >>"$out"
    ours mm1 --customers 1000000 >>"$out"
    ours mm1 --customers 500000 --processes >>"$out"
    if [ $have_simgrid = 1 ]; then pin "$built/simgrid_bench" mm1 100000 2>/dev/null >>"$out"; fi
    for live in 100 1000; do
        ours flows --total 20000 --live $live >>"$out"
        ours flows --total 20000 --live $live --plain >>"$out"
        if [ $have_simgrid = 1 ]; then
            pin "$built/simgrid_bench" star 20000 $live 100 2>/dev/null >>"$out"
        fi
    done
    ours flows --tree --total 20000 --live 64 --hosts 256 >>"$out"
    ours flows --tree --total 20000 --live 64 --hosts 256 --plain >>"$out"
    if [ $have_simgrid = 1 ]; then pin "$built/simgrid_bench" tree 20000 64 256 2>/dev/null >>"$out"; fi
    round=$((round + 1))
done
"$python" "$peers/table.py" "$out"
