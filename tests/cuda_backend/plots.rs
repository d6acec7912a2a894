//! The plots of what a GPU does, from tables that nobody measured.

#[path = "../../examples/gpu_bench/plot.rs"]
mod plot;

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
        ("training.csv", training("training", 5e5)),
        ("torch.csv", kernels(1.0) + &training("\"training, eager\"", 2e5) + &training("\"training, compiled\"", 3e5)),
    ] {
        std::fs::write(folder.path().join(file), HEAD.to_owned() + &rows).expect("a writable folder");
    }
    let drawn = plot::draw(folder.path()).unwrap_or_else(|error| panic!("{error}"));
    let names: Vec<String> =
        drawn.iter().map(|p| p.file_name().expect("a file").to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["kernels_minilm-l6.svg", "kernels_minilm-l6.png", "training.svg", "training.png"]);
    let svg = std::fs::read_to_string(&drawn[0]).expect("a plot");
    for part in ["deft with LoRA", "torch", "TFLOP/s", "attention", "384x1152", "deft 8192x8192x8192"] {
        assert!(svg.contains(part), "{part}");
    }
    assert!(std::fs::read_to_string(&drawn[2]).expect("a plot").contains("torch compiled"));
    if let Some(kept) = std::env::var_os("DEFT_TEST_KEEP_PLOTS") {
        drawn
            .iter()
            .for_each(|p| drop(std::fs::copy(p, std::path::Path::new(&kept).join(p.file_name().expect("a file")))));
    }
    // Without tables there is nothing to draw.
    let empty = tempfile::tempdir().expect("a temporary folder");
    assert!(plot::draw(empty.path()).expect("nothing").is_empty());
}
