//! Adapters as files: what is written is read back, and what is not an adapter for this model is refused by one message.
//!
//! `peft_folders.rs` holds what Hugging Face's `peft` reads and writes, `hostile.rs` breaks files and folders, `answers.rs`
//! asks models with adapters.

#[path = "adapter_files/answers.rs"]
mod answers;
#[path = "adapter_files/hostile.rs"]
mod hostile;
#[path = "adapter_files/peft_folders.rs"]
mod peft_folders;
#[path = "adapter_files/tiny.rs"]
mod tiny;

use deft::adapter::{AdapterFile, summarise};
use deft::data::Objective;
use deft::nn::PeftMethod;
use tiny::{adapter, ia3, lora, model, prefix};

/// Methods that fit every family, each alone, and some together.
fn everything(blocks: usize) -> Vec<Vec<PeftMethod>> {
    use deft::backend::Activation;
    use deft::nn::{AdapterConfig, AdapterPlacement, PromptConfig, Selection, SelectiveConfig};
    let bottlenecks = |placement| {
        let bottleneck_per_block = (0..blocks).map(|b| b % 3).collect();
        PeftMethod::Adapter(AdapterConfig {
            bottleneck_per_block,
            placement,
            activation: Activation::GeluTanh,
            scale: 0.3,
        })
    };
    let own =
        |selection, outside| PeftMethod::Selective(SelectiveConfig { selection, blocks: vec![true; blocks], outside });
    let prompt = PeftMethod::Prompt(PromptConfig { tokens: 3 });
    vec![
        vec![],
        vec![lora(blocks)],
        vec![tiny::dora(blocks)],
        vec![tiny::adalora(blocks)],
        vec![bottlenecks(AdapterPlacement::Houlsby), bottlenecks(AdapterPlacement::Parallel)],
        vec![bottlenecks(AdapterPlacement::Pfeiffer)],
        vec![prefix(blocks), ia3(blocks)],
        vec![prompt, own(Selection::Norms, true)],
        vec![own(Selection::Everything, true)],
    ]
}

#[test]
fn every_method_of_every_family_is_read_back_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter.safetensors");
    for family in tiny::FAMILIES {
        let architecture = model(family);
        for methods in everything(architecture.blocks()) {
            let decoder = matches!(family, "llama" | "gpt2" | "t5");
            if family == "t5" && methods.is_empty() {
                continue;
            }
            let objective = if decoder && !methods.is_empty() {
                Objective::NextToken
            } else {
                Objective::Classification { classes: 3 }
            };
            let written = adapter(&architecture, &methods, objective);
            std::fs::write(&path, written.to_bytes()).unwrap();
            let read = AdapterFile::read(&path).unwrap_or_else(|e| panic!("{family} {methods:?}: {e}"));
            assert_eq!(read, written, "{family} {methods:?}");
            assert_eq!(read.to_bytes(), written.to_bytes());
            let layout = read.layout_for("here", &architecture).unwrap();
            assert_eq!(layout.tensors(), read.layout().tensors());
            let summaries = summarise(&path).unwrap();
            assert_eq!(summaries.len(), layout.tensors().len());
            let squares: f64 = summaries.iter().map(|s| s.norm.powi(2)).sum();
            let expected: f64 = read.parameters().iter().map(|&v| f64::from(v).powi(2)).sum();
            assert!((squares / expected - 1.0).abs() < 1e-9);
        }
    }
}

#[test]
fn names_and_shapes_are_those_of_the_layout() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter.safetensors");
    let bert = model("bert");
    let written = adapter(&bert, &[lora(2)], Objective::Classification { classes: 3 });
    std::fs::write(&path, written.to_bytes()).unwrap();
    let found: Vec<(String, Vec<usize>)> = summarise(&path).unwrap().into_iter().map(|s| (s.name, s.shape)).collect();
    let block = |b: usize, rank: usize| {
        ["query", "value"].map(|p| {
            let module = format!("encoder.layer.{b}.attention.self.{p}");
            [(format!("{module}.lora_A"), vec![rank, 12]), (format!("{module}.lora_B"), vec![12, rank])]
        })
    };
    let mut expected: Vec<(String, Vec<usize>)> = [block(0, 2), block(1, 4)].into_iter().flatten().flatten().collect();
    expected.extend([("head.bias".into(), vec![1, 3]), ("head.weight".into(), vec![3, 12])]);
    assert_eq!(found, expected);
    assert_eq!((written.model_name().as_str(), written.methods()), ("bert", &[lora(2)][..]));
}

#[test]
fn a_run_keeps_its_adapters_by_name() {
    use deft::experiment::Record;
    use deft::results::{RunDescription, write_run};
    let root = tempfile::tempdir().unwrap();
    let file = |seed: f32| {
        let bert = model("bert");
        let made = adapter(&bert, &[lora(2)], Objective::Regression);
        AdapterFile::new(&bert, made.layout(), made.parameters().iter().map(|v| v * seed).collect())
    };
    let write = |name: &str, adapters: &[(String, AdapterFile)]| {
        let run = RunDescription {
            scenario_name: name,
            resolved_yaml: "",
            version: "0",
            seed: 1,
            wall_seconds: 0.0,
            threads: 1,
            backend: "cpu",
            adapters,
        };
        write_run(root.path(), &run, &Record { replications: vec![] }, None).unwrap()
    };
    let one = write("one", &[("global".to_owned(), file(1.0))]);
    assert_eq!(one.adapter(None).unwrap(), one.adapter(Some("global")).unwrap());
    assert_eq!(AdapterFile::read(&one.adapter(None).unwrap()).unwrap(), file(1.0));

    let several = write("several", &[("phone-0".to_owned(), file(2.0)), ("phone-1".to_owned(), file(3.0))]);
    assert_eq!(AdapterFile::read(&several.adapter(Some("phone-1")).unwrap()).unwrap(), file(3.0));
    let error = |name| several.adapter(name).unwrap_err().to_string();
    assert!(error(None).contains("there are several; name one of phone-0, phone-1"), "{}", error(None));
    assert!(error(Some("phone-2")).contains("none is called `phone-2`; there are phone-0, phone-1"));
    let none = write("none", &[]).adapter(None).unwrap_err().to_string();
    assert!(none.contains("the run trained nothing"), "{none}");
}
