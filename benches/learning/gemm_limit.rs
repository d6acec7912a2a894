//! What the machine's matrix product reaches at the shapes of MiniLM: the limit of a training step.
//!
//! On several threads each computes a product of its own, as the backend does.

use crate::Options;
use crate::report::{median, time};
use serde_json::json;

/// Rows, inputs, outputs: attention's output, the FFN's two products; a whole batch of 32 x 64 and one chunk of it.
const SHAPES: [(usize, usize, usize); 6] =
    [(2048, 384, 384), (2048, 384, 1536), (2048, 1536, 384), (320, 384, 384), (320, 384, 1536), (320, 1536, 384)];
/// Operations that one timing should hold, so that the clock's grain does not matter.
const OPERATIONS: f64 = 4e9;

pub fn run(options: &Options) {
    for threads in 1..=options.threads {
        for (m, k, n) in SHAPES {
            let operations = 2.0 * (m * k * n) as f64;
            let rounds = (OPERATIONS / operations).ceil() as usize;
            let (a, b) = (vec![0.5f32; m * k], vec![0.25f32; k * n]);
            let mut work = || {
                rayon::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|_| {
                            let mut out = vec![0f32; m * n];
                            (0..rounds).for_each(|_| product(m, k, n, &a, &b, &mut out));
                        });
                    }
                });
            };
            time(1, &mut work);
            let seconds = median(time(options.repetitions, &mut work).iter().map(|t| t.wall));
            let gflops = operations * (rounds * threads) as f64 / seconds / 1e9;
            if !options.json {
                println!("gemm           {threads} threads  {m:5} x {k:5} x {n:5}  {gflops:6.1} GFLOP/s");
            }
            let shape = format!("{m}x{k}x{n}");
            println!(
                "{}",
                json!({ "side": "deft", "workload": "gemm", "threads": threads, "shape": shape, "gflops": gflops })
            );
        }
    }
}

/// `out = a b` on this thread, all row-major.
fn product(m: usize, k: usize, n: usize, a: &[f32], b: &[f32], out: &mut [f32]) {
    let (k_stride, n_stride) = (k as isize, n as isize);
    // SAFETY: the slices hold exactly the elements that the sizes and strides describe.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n_stride,
            false,
            a.as_ptr(),
            1,
            k_stride,
            b.as_ptr(),
            1,
            n_stride,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
