//! What a job prints, and how times and memory are read.

use serde_json::{Value, json};
use std::time::Instant;

/// Seconds of the wall clock and of all threads together.
#[derive(Clone, Copy, Default)]
pub struct Seconds {
    pub wall: f64,
    pub cpu: f64,
}

/// Times `work` so many times.
pub fn time(repetitions: usize, mut work: impl FnMut()) -> Vec<Seconds> {
    (0..repetitions)
        .map(|_| {
            let (start, busy) = (Instant::now(), cpu_seconds());
            work();
            Seconds { wall: start.elapsed().as_secs_f64(), cpu: cpu_seconds() - busy }
        })
        .collect()
}

pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => 0.5 * (values[n / 2 - 1] + values[n / 2]),
    }
}

/// CPU time of this process, from the clock ticks in `/proc/self/stat`; NaN where there is none.
fn cpu_seconds() -> f64 {
    // The field before may hold spaces, but it ends with the last parenthesis. A tick is 1/100 s on every Linux.
    let ticks = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
    });
    ticks.map_or(f64::NAN, |t| t / 100.0)
}

/// Most memory that this process has had resident, in MB (10^6 bytes); NaN where the system does not say.
pub fn peak_memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()).map_or(f64::NAN, |k| k * 1024.0 / 1e6)
}

/// One finished job.
pub struct Outcome<'a> {
    pub workload: &'a str,
    pub threads: usize,
    pub times: Vec<Seconds>,
    pub tokens: usize,
    pub mean_loss: f64,
    /// What only this job has to say.
    pub extra: Value,
}

impl Outcome<'_> {
    pub fn print(self, json_only: bool) {
        let seconds = median(self.times.iter().map(|t| t.wall));
        let cpu = median(self.times.iter().map(|t| t.cpu));
        let fastest = self.times.iter().map(|t| t.wall).fold(f64::INFINITY, f64::min);
        let rate = self.tokens as f64 / seconds;
        let memory = peak_memory_mb();
        if !json_only {
            println!(
                "{:<14} {} threads  {seconds:9.3} s  {rate:8.0} tokens/s  {cpu:8.2} CPU s  mean loss {:.4}  peak {memory:.0} MB",
                self.workload, self.threads, self.mean_loss
            );
        }
        let mut line = json!({
            "side": "deft", "workload": self.workload, "threads": self.threads, "repetitions": self.times.len(),
            "seconds": seconds, "fastest_seconds": fastest, "cpu_seconds": cpu, "tokens": self.tokens,
            "tokens_per_s": rate, "mean_loss": self.mean_loss, "peak_rss_mb": memory,
        });
        if let (Value::Object(line), Value::Object(extra)) = (&mut line, self.extra) {
            line.extend(extra);
        }
        println!("{line}");
    }
}
