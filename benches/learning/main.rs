//! How fast the learning plane is, where its time goes and what it keeps in memory: `cargo bench --bench learning`.
//!
//! The jobs `step_*`, `epoch` and `round` are those of `scripts/peers/bench_peft.py`, with the same sentences in the same
//! order; `scripts/bench_peers.sh` runs both in turn. Each job prints a line of text and a JSON object; `--json` leaves
//! the objects only. Start reading at `jobs.rs`.

mod gemm_limit;
mod jobs;
mod report;
mod setup;

use jobs::Bench;
use std::process::Command;

const USAGE: &str = "cargo bench --bench learning -- [--workloads step_32x64,step_8x128,epoch,round,
    frozen_prefix,frozen_prefix_ffn,devices_1000,gemm]
    [--threads 2] [--repetitions 7] [--every 1] [--json]
--repetitions is of a step; an epoch or a round is run once. --every N trains on every Nth batch of the epoch only.";

pub struct Options {
    pub workloads: Vec<String>,
    pub threads: usize,
    pub repetitions: usize,
    pub every: usize,
    pub json: bool,
}

fn options() -> Result<Options, String> {
    let all =
        ["step_32x64", "step_8x128", "epoch", "round", "frozen_prefix", "frozen_prefix_ffn", "devices_1000", "gemm"];
    let workloads = all.map(String::from).to_vec();
    let mut options = Options { workloads, threads: 2, repetitions: 7, every: 1, json: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().and_then(|v| v.parse().ok()).filter(|&n: &usize| n > 0);
            value.ok_or_else(|| format!("{argument} needs a number above 0\n{USAGE}"))
        };
        match argument.as_str() {
            // What `cargo bench` adds.
            "--bench" => {}
            "--json" => options.json = true,
            "--threads" => options.threads = number()?,
            "--repetitions" => options.repetitions = number()?,
            "--every" => options.every = number()?,
            "--workloads" => {
                let list = arguments.next().ok_or(USAGE)?;
                options.workloads = list.split(',').map(String::from).collect();
            }
            _ => return Err(format!("unknown argument {argument}\n{USAGE}")),
        }
    }
    match options.workloads.iter().find(|w| !all.contains(&w.as_str())) {
        Some(unknown) => Err(format!("unknown workload {unknown}\n{USAGE}")),
        None => Ok(options),
    }
}

/// Runs one job in a process of its own, so that its peak memory is not another's.
fn in_a_child(workload: &str, options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let threads = options.threads.to_string();
    let json = options.json.then_some("--json");
    let program = std::env::current_exe()?;
    let status = Command::new(program).args(["--workloads", workload, "--threads", &threads]).args(json).status()?;
    if status.success() { Ok(()) } else { Err(format!("{workload} failed").into()) }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = options()?;
    rayon::ThreadPoolBuilder::new().num_threads(options.threads).build_global()?;
    if options.workloads.iter().any(|w| w == "gemm") {
        gemm_limit::run(&options);
    }
    let needs_model = options.workloads.iter().any(|w| w != "gemm");
    if !needs_model {
        return Ok(());
    }
    let bench = Bench::new(&options)?;
    for workload in options.workloads.iter().filter(|w| *w != "gemm") {
        match workload.as_str() {
            "step_32x64" => bench.step(workload, 32, 64),
            "step_8x128" => bench.step(workload, 8, 128),
            "epoch" => bench.epoch(),
            "round" => bench.round(),
            "frozen_prefix" => bench.frozen_prefix(workload, jobs::ATTENTION),
            "frozen_prefix_ffn" => bench.frozen_prefix(workload, jobs::FEED_FORWARD),
            "devices_1000" if options.workloads.len() > 1 => in_a_child(workload, &options)?,
            _ => bench.many_devices(1000),
        }
    }
    Ok(())
}
