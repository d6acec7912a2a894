#!/usr/bin/env python3
"""Medians and ratios of the JSON lines that `scripts/bench_peers.sh` collects: compare.py LINES OUT.json"""

import json
import os
import platform
import statistics
import sys
from pathlib import Path

LEAST_RATIO = {"step_32x64": 1.5, "step_8x128": 1.5, "epoch": 3.0, "round": 4.0}


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    source, target = sys.argv[1:]
    lines = [json.loads(line) for line in Path(source).read_text().splitlines() if line.startswith("{")]
    rows = []
    for workload in dict.fromkeys(line["workload"] for line in lines):
        row = {"workload": workload}
        for side in ("deft", "peft"):
            runs = [line for line in lines if (line["workload"], line["side"]) == (workload, side)]
            if not runs:
                sys.exit(f"{workload}: the {side} side printed nothing; run it alone to see why")
            row["threads"], row["tokens"] = runs[0]["threads"], runs[0]["tokens"]
            row[side] = {
                "seconds": statistics.median(r["seconds"] for r in runs),
                "tokens_per_s": statistics.median(r["tokens_per_s"] for r in runs),
                "cpu_seconds": statistics.median(r["cpu_seconds"] for r in runs),
                "mean_loss": statistics.median(r["mean_loss"] for r in runs),
                "peak_rss_mb": max(r["peak_rss_mb"] for r in runs),
                "all_seconds": [r["seconds"] for r in runs],
            }
        row["ratio"] = row["peft"]["seconds"] / row["deft"]["seconds"]
        row["cpu_ratio"] = row["peft"]["cpu_seconds"] / row["deft"]["cpu_seconds"]
        row["least_ratio"] = LEAST_RATIO.get(workload)
        rows.append(row)

    print(f"{'workload':12} {'deft':>9} {'peft':>9} {'ratio':>6} {'wanted':>7}   loss deft / peft   memory deft / peft")
    print(f"{'':12} {'tokens/s':>9} {'tokens/s':>9}")
    for r in rows:
        ours, theirs = r["deft"], r["peft"]
        print(
            f"{r['workload']:12} {ours['tokens_per_s']:9.0f} {theirs['tokens_per_s']:9.0f} {r['ratio']:6.2f} {r['least_ratio'] or '':>7}"
            f"   {ours['mean_loss']:.3f} / {theirs['mean_loss']:.3f}      {ours['peak_rss_mb']:.0f} / {theirs['peak_rss_mb']:.0f} MB"
        )
    versions = next(line["versions"] for line in lines if line["side"] == "peft")
    machine = {"processor": processor(), "cpus": os.cpu_count(), "load_average_at_end": os.getloadavg()}
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_text(json.dumps({"machine": machine, "peer": versions, "rows": rows}, indent=1) + "\n")
    print(f"written to {target}; tokens are real ones, padding not counted")


if __name__ == "__main__":
    main()
