//! `deft calibrate`: this machine as hardware that scenarios may name.

use super::{Failure, progress};
use crate::experiment::calibration::{Calibration, Options, Timed};
use crate::scenario::OwnHardware;
use clap::Args;
use std::path::PathBuf;

const EXPLAINED: &str = "\
What it does: trains eight small models of known geometry (LoRA, adapters; widths of 384 to 768; 16 to 1,024
tokens a step), takes from the cost model how many operations, bytes and kernels each step has, and fits the three numbers
of the roofline: seconds = max(operations / rate, bytes / bandwidth) + kernels x overhead, or the sum of the first two where
that explains the steps better (`overlap: false`: a core that computes and then fetches).

What to do with it: name the file in a scenario, and its name in devices or servers:

  hardware: [{file: this_machine.yaml}]
  devices: [{name: phone, count: 4, hardware: this_machine}]

With one thread (the default) the processor's clock is read, so that other programs disturb little; with more the wall's, and the
machine should be quiet. --check also times six steps that the fit does not see, of other families, widths and batches, and
prints what was predicted beside what was measured. Power cannot be timed: give what the machine draws with --idle-w and
--active-w. docs/compute.md has the model and measured errors.";

#[derive(Args)]
#[command(after_help = EXPLAINED)]
pub struct Arguments {
    /// Where the profile goes
    #[arg(long, default_value = "this_machine.yaml")]
    out: PathBuf,
    /// The name that scenarios will use
    #[arg(long, default_value = "this_machine")]
    name: String,
    /// Also time steps that the fit does not see, and print predicted against measured
    #[arg(long)]
    check: bool,
    /// Threads that share a training step: the profile is that of so many
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Seconds spent on each step's shape; more finds quieter moments
    #[arg(long, default_value_t = 3.0, value_parser = positive)]
    seconds: f64,
    /// Watts that the machine draws when idle (assumed unless given)
    #[arg(long, default_value_t = 10.0, value_parser = positive)]
    idle_w: f64,
    /// Watts that it draws when it trains (assumed unless given)
    #[arg(long, default_value_t = 65.0, value_parser = positive)]
    active_w: f64,
    /// Print no progress
    #[arg(long, short)]
    quiet: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    let allowed = "a number above 0, at most 1,000,000".to_owned();
    text.parse().ok().filter(|x| *x > 0.0 && *x <= 1e6).ok_or(allowed)
}

pub fn execute(arguments: &Arguments) -> Result<(), Failure> {
    let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let &Arguments { ref out, ref name, check, threads, seconds, idle_w, active_w, quiet } = arguments;
    if name.is_empty() || name.len() > 64 || !name.chars().all(usable) || !name.starts_with(char::is_alphanumeric) {
        let allowed = "1 to 64 letters, digits, `.`, `-` and `_`, a letter or digit first";
        return Err(Failure::Usage(format!("--name {name}: allowed are {allowed}")));
    }
    if idle_w > active_w {
        return Err(Failure::Usage(format!("--idle-w {idle_w} is above --active-w {active_w}: exchange the two")));
    }
    let bar = progress::bar(1, quiet, "{bar:30} {pos}/{len}, {eta} left  {msg}");
    let options = Options { threads: threads.into(), seconds_per_shape: seconds, check };
    let calibration = Calibration::run(&options, |done, of, shape| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
        bar.set_message(shape.to_owned());
    });
    bar.finish_and_clear();
    let calibration = calibration?;
    let fitted = &calibration.fitted;
    println!(
        "{:.1} GFLOP/s in fp32, {:.1} GB/s, {:.2} us an operation",
        gflops(&calibration),
        fitted.bytes_per_second / 1e9,
        fitted.overhead_seconds * 1e6
    );
    if check {
        table("What the fit saw", &calibration, &calibration.timed);
        table("What it did not see", &calibration, &calibration.checked);
        println!("largest error of these: {:.1}%", calibration.worst_error() * 100.0);
    }
    let profile = OwnHardware {
        name: name.clone(),
        fp32_gflops: rounded(gflops(&calibration)),
        // The learning plane keeps halves in memory and multiplies in single precision here.
        fp16_gflops: rounded(gflops(&calibration)),
        int8_gops: rounded(gflops(&calibration)),
        memory_gb: memory_gb(),
        memory_bandwidth_gb_per_s: rounded(fitted.bytes_per_second / 1e9),
        launch_overhead_us: rounded(fitted.overhead_seconds * 1e6),
        overlap: fitted.overlap,
        idle_w,
        active_w,
        battery_wh: None,
    };
    let note = format!(
        "# Written by `deft calibrate` with {threads} thread(s). Rates are what training sustains; power is as given.\n"
    );
    std::fs::write(out, note + &profile.to_yaml()).map_err(|e| Failure::Other(format!("{}: {e}", out.display())))?;
    println!(
        "wrote {}; in a scenario: hardware: [{{file: {}}}], and `hardware: {name}` in devices or edge_servers",
        out.display(),
        out.display()
    );
    Ok(())
}

fn gflops(calibration: &Calibration) -> f64 {
    calibration.fitted.flops_per_second / 1e9
}

/// Four digits: more are noise.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

fn table(title: &str, calibration: &Calibration, timed: &[Timed]) {
    println!("{title:<64} {:>9} {:>10} {:>7}", "measured", "predicted", "error");
    for t in timed {
        let (predicted, error) = (calibration.fitted.predicted(t), calibration.fitted.error(t));
        println!("  {:<62} {:>6.2} ms {:>7.2} ms {:>+6.1}%", t.name, t.seconds * 1e3, predicted * 1e3, error * 100.0);
    }
}

/// Memory of the machine, where the system says it (Linux); else what most have at least.
fn memory_gb() -> f64 {
    const ASSUMED_GB: f64 = 8.0;
    let told = std::fs::read_to_string("/proc/meminfo").ok();
    let kilobytes = told.as_deref().and_then(|t| t.lines().next()?.split_whitespace().nth(1)?.parse::<f64>().ok());
    kilobytes.map_or(ASSUMED_GB, |kb| rounded(kb * 1024.0 / 1e9))
}
