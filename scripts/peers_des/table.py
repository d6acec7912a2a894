"""Medians of the rates, and of ours over each peer's in the same round, from the lines that bench_des.sh wrote.

usage: table.py LINES.tsv          a Markdown table for each load
"""
import sys
from collections import defaultdict
from statistics import median

# Ours, and what it is to be divided by: the best of those whose name begins so (None: of all peers); the ratio wanted.
BARS = {
    "phold-1024-1": [("simcore", 2.0), ("ns3", 2.0), ("nexosim", 10.0), ("simpy", 30.0)],
    "phold-1024-16": [(None, 2.0)],
    "mm1": [("simcore", 1.5), ("ns3", 2.5), ("simpy", 180.0)],
    "flows-star-100-1000": [("simgrid", 15.0)],
    "flows-star-100-100": [("simgrid", 2.5)],
    "flows-tree-256-64": [("simgrid", 1.0)],
}
REFERENCE = {"phold": "deft-events", "mm1": "deft-events", "flows": "deft"}


def main(path):
    rates, checks = defaultdict(lambda: defaultdict(list)), {}
    for line in open(path):
        load, name, units, cpu, _wall, _rate, *check = line.rstrip("\n").split("\t")
        rates[load][name].append(int(units) / float(cpu))
        checks[load, name] = check[0] if check else ""
    for load, names in rates.items():
        ours = names[REFERENCE[load.split("-")[0]]]
        print(f"\n**{load}**, {len(ours)} rounds\n\n| program | units a processor second (lowest to highest) | ours is so many times as fast | check |\n|---|---|---|---|")
        for name, v in sorted(names.items(), key=lambda item: -median(item[1])):
            ratio = median(a / b for a, b in zip(ours, v))
            print(f"| {name} | {median(v):,.0f} ({min(v):,.0f} to {max(v):,.0f}) | {ratio:.2f} | {checks[load, name]} |")
        for start, wanted in BARS.get(load, []):
            peers = [v for n, v in names.items() if not n.startswith(("deft", "bare")) and n.startswith(start or "")]
            if peers:
                best = median(a / max(each) for a, *each in zip(ours, *peers))
                verdict = "met" if best >= wanted else "missed"
                print(f"\n{best:.2f} times {'the best peer' if start is None else 'the best of ' + start}; wanted {wanted}: {verdict}.")
    together, apart = (rates.get(f"phold{kind}-65536-1", {}).get("deft-events") for kind in ("-together", ""))
    if together and apart:
        ratio = median(a / b for a, b in zip(together, apart))
        print(f"\n65,536 events due at once: {ratio:.2f} times the rate of 65,536 at random times; wanted 1: {'met' if ratio >= 1 else 'missed'}.")


main(sys.argv[1])
