//! The plots of what a GPU does, from tables that nobody measured.

#[path = "../../examples/gpu_bench/plot.rs"]
mod plot;
#[path = "../../examples/gpu_bench"]
mod bench {
    #[allow(dead_code, reason = "the example asks for more")]
    pub mod measure;
    #[allow(dead_code, reason = "the example asks for more")]
    pub mod ways;
}

use crate::cuda_device::on_gpu;
use crate::cuda_host::{HostDevice, Schedule};
use deft::backend::cuda::Cuda;
use std::sync::Arc;

const HEAD: &str = "what,model,shape,seconds,tflop_per_second,gbyte_per_second,tokens_per_second\n";

#[test]
fn tables_become_plots() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kernels = |factor: f64| -> String {
        let shapes = [(384, 1152), (384, 384), (384, 1536), (1536, 384)];
        let product = |(i, (inputs, outputs)): (usize, (u32, u32))| {
            let row = |what: &str, speed: f64| {
                format!("{what},minilm-l6,4096x{inputs}x{outputs},0.001,{},300,4e6\n", factor * speed)
            };
            row("product", 40.0 + 9.0 * i as f64) + &row("product with LoRA of rank 8", 44.0 + 8.0 * i as f64)
        };
        let products: String = shapes.into_iter().enumerate().map(product).collect();
        products
            + &format!("attention,minilm-l6,8x512x12x32,0.001,{},200,4e6\n", 30.0 * factor)
            + &format!("product,ceiling,8192x8192x8192,0.002,{},90,4e6\ncopy,ceiling,99,0.1,0,900,0\n", 110.0 * factor)
    };
    let training = |what: &str, speed: f64| -> String {
        let row = |model: &str| format!("{what},{model},4x1x4096,0.01,10,0,{speed}\n");
        row("minilm-l6") + &row("bert-large")
    };
    for (file, rows) in [
        ("kernels.csv", kernels(1.2)),
        ("ways.csv", ways()),
        ("training.csv", training("training", 5e5)),
        ("torch.csv", kernels(1.0) + &training("\"training, eager\"", 2e5) + &training("\"training, compiled\"", 3e5)),
    ] {
        std::fs::write(folder.path().join(file), HEAD.to_owned() + &rows).expect("a writable folder");
    }
    let drawn = plot::draw(folder.path()).unwrap_or_else(|error| panic!("{error}"));
    let names: Vec<String> =
        drawn.iter().map(|p| p.file_name().expect("a file").to_string_lossy().into_owned()).collect();
    let kinds = ["ways_llama2-7b_nn", "ways_llama2-7b_nt", "ways_llama2-7b_tn"];
    let figures = ["kernels_minilm-l6", kinds[0], kinds[1], kinds[2], "training"];
    assert_eq!(names, figures.map(|f| [".svg", ".png"].map(|ending| f.to_owned() + ending)).concat());
    let svg = std::fs::read_to_string(&drawn[0]).expect("a plot");
    for part in ["deft with LoRA", "torch", "TFLOP/s", "attention", "384x1152", "deft 8192x8192x8192"] {
        assert!(svg.contains(part), "{part}");
    }
    let svg = std::fs::read_to_string(&drawn[6]).expect("a plot");
    for part in ["wgmma and TMA", "mma.sync", "llama2-7b, TN", "11008x4096"] {
        assert!(svg.contains(part), "{part}");
    }
    assert!(std::fs::read_to_string(&drawn[8]).expect("a plot").contains("torch compiled"));
    if let Some(kept) = std::env::var_os("DEFT_TEST_KEEP_PLOTS") {
        drawn
            .iter()
            .for_each(|p| drop(std::fs::copy(p, std::path::Path::new(&kept).join(p.file_name().expect("a file")))));
    }
    // Without tables there is nothing to draw.
    let empty = tempfile::tempdir().expect("a temporary folder");
    assert!(plot::draw(empty.path()).expect("nothing").is_empty());
}

fn ways() -> String {
    let layers = ["4096x12288", "4096x4096", "4096x22016", "11008x4096"];
    let kinds = ["NT", "NN", "TN"];
    let rows = layers.into_iter().flat_map(|layer| kinds.map(|kind| (layer, kind))).enumerate().flat_map(
        |(i, (layer, kind))| {
            [("mma.sync", 280.0), ("wgmma", 410.0), ("wgmma and TMA", 560.0)].map(|(way, speed)| {
                format!("{kind} by {way},llama2-7b,4096x{layer},0.001,{},300,4e6\n", speed + 7.0 * i as f64)
            })
        },
    );
    rows.collect()
}

/// Each way computes what it is asked to.
#[test]
fn the_ways_of_a_layer_are_timed_beside_each_other() {
    if on_gpu() {
        return;
    }
    let Some(device) = HostDevice::new(Schedule::default()) else { return };
    let device: [Arc<HostDevice>; 2] = [Arc::new(device), Arc::new(hopper())];
    let expected = [vec!["mma.sync"], vec!["mma.sync", "wgmma", "wgmma and TMA"]];
    for (device, ways) in device.into_iter().zip(expected) {
        let cuda = Cuda::new(device, 64 << 20).expect("a little memory");
        let rows = bench::ways::of_layer(&cuda, "model", [4, 1024, 1024], [1, 1]);
        let named = rows.iter().map(|row| row.what.clone()).collect::<Vec<String>>();
        let each =
            ["NT", "NN", "TN"].into_iter().flat_map(|kind| ways.iter().map(move |way| format!("{kind} by {way}")));
        assert_eq!(named, each.collect::<Vec<String>>());
        assert!(rows.iter().all(|row| row.seconds > 0.0 && row.seconds.is_finite() && row.shape == "4x1024x1024"));
    }
}

fn hopper() -> HostDevice {
    HostDevice::new(Schedule::default()).expect("a compiler was there").with_warpgroups().with_tensor_copies()
}
