//! How fast the GPU is, as tables for `scripts/gpu_check.sh`.
//!
//! `cargo run --release --example gpu_bench -- kernels --out results/gpu` times the products and the attention of a block, `ways` its
//! products by `mma.sync`, by warpgroups and with bulk tensor copies beside each other,
//! `training` passes with LoRA, `round` 64 clients in one pass against one after another, `probe` prints the card's name, `plot`
//! draws the tables that are there.
//! `--backend cpu` runs the same on the CPU, in `half` with fp16 storage emulated.

mod measure;
mod plot;
mod ways;

use clap::{Parser, ValueEnum};
use deft::backend::cuda::{Cuda, DeviceError, Gpu};
use deft::backend::{Backend, Cpu, HalfCpu};
use measure::{Bench, Geometry, Row, ceilings, kernels};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Clone, Copy, ValueEnum)]
enum What {
    Probe,
    Kernels,
    /// On a GPU alone.
    Ways,
    Training,
    Round,
    Plot,
}

#[derive(Clone, Copy, ValueEnum)]
enum On {
    Cuda,
    Cpu,
    Half,
}

#[derive(Parser)]
struct Args {
    what: What,
    #[arg(long, value_enum, default_value_t = On::Cuda)]
    backend: On,
    /// Folder of the tables
    #[arg(long, default_value = "results/gpu")]
    out: PathBuf,
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Geometry::Minilm, Geometry::BertLarge, Geometry::Llama7b, Geometry::T5_11b])]
    models: Vec<Geometry>,
    /// Blocks of a model, at most; weights are random
    #[arg(long, default_value_t = 4)]
    blocks: usize,
    /// Tokens of a pass
    #[arg(long, default_value_t = 4096)]
    tokens: usize,
    #[arg(long, default_value_t = 64)]
    clients: usize,
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

/// Memory that is left to the driver.
const RESERVED_BYTES: usize = 512 << 20;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let device = |e: DeviceError| e.to_string();
    if let What::Probe = args.what {
        println!("{}", Gpu::open().map_err(device)?.name());
        return Ok(());
    }
    if let What::Plot = args.what {
        let drawn = plot::draw(&args.out).map_err(|e| e.to_string())?;
        drawn.iter().for_each(|path| println!("{}", path.display()));
        return Ok(());
    }
    let rows = match args.backend {
        On::Cpu => rows(args, &|| Cpu::<f32>::new()),
        On::Half => rows(args, &HalfCpu::new),
        On::Cuda => {
            let gpu = Gpu::open().map_err(device)?;
            let bytes = gpu.free_bytes().map_err(device)?.saturating_sub(RESERVED_BYTES);
            let cuda = Cuda::new(Arc::new(gpu), bytes).map_err(device)?;
            cuda.left_out().iter().for_each(|line| eprintln!("note: {line}"));
            if let What::Ways = args.what {
                let of = |g: &Geometry| ways::of_block(&cuda, &g.architecture(), args.tokens, args.runs);
                let rows: Vec<Row> = Cuda::catching(|| args.models.iter().flat_map(of).collect()).map_err(device)?;
                return write(args, "ways", &rows).map_err(|e| e.to_string());
            }
            Cuda::catching(|| rows(args, &|| cuda.clone())).map_err(device)?
        }
    };
    let name = args.what.to_possible_value().expect("a name").get_name().to_owned();
    write(args, &name, &rows).map_err(|e| e.to_string())
}

fn rows<B: Backend>(args: &Args, backend: &impl Fn() -> B) -> Vec<Row> {
    let of = |geometry: Geometry| match args.what {
        What::Probe | What::Plot | What::Ways => vec![],
        What::Kernels => kernels(&backend(), &geometry.architecture(), args.tokens, args.runs),
        What::Training => {
            let sequences = [args.tokens.div_ceil(128), args.tokens.min(128)];
            vec![Bench::new(backend(), geometry, args.blocks, 1, sequences).stacked("training", args.runs)]
        }
        What::Round => {
            let each = (args.tokens / args.clients).max(2);
            let bench = Bench::new(backend(), geometry, args.blocks, args.clients, [1, each]);
            vec![bench.stacked("round, one pass", args.runs), bench.one_by_one("round, one by one", args.runs)]
        }
    };
    let mut rows = match args.what {
        What::Kernels => ceilings(&backend(), 2 * args.tokens, args.runs),
        _ => vec![],
    };
    rows.extend(args.models.iter().flat_map(|g| of(*g)));
    rows
}

fn write(args: &Args, name: &str, rows: &[Row]) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(&args.out)?;
    let path = args.out.join(format!("{name}.csv"));
    let mut table = csv::Writer::from_path(&path)?;
    for row in rows {
        table.serialize(row)?;
        println!(
            "{:<28} {:<12} {:<20} {:.6} s  {:.2} TFLOP/s  {:.1} GB/s",
            row.what, row.model, row.shape, row.seconds, row.tflop_per_second, row.gbyte_per_second
        );
    }
    table.flush()?;
    println!("{}", path.display());
    Ok(())
}
