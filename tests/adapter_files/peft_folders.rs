//! Folders as `peft` 0.21.2 writes and reads them: the keys, shapes and fields below were listed from that library.

use crate::tiny::{self, adapter, config, dora, ia3, lora, model, prefix, rslora};
use deft::adapter::peft::{self, CONFIG, ExportOptions, HEAD, TENSORS};
use deft::adapter::{AdapterFile, architecture};
use deft::data::Objective;
use deft::fomo::Projection;
use deft::nn::{LoraConfig, PeftMethod, PrefixConfig, PromptConfig, Selection, SelectiveConfig};
use safetensors::tensor::SafeTensors;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

const CLASSES: Objective = Objective::Classification { classes: 3 };

/// Exports `file` into `folder`; its configuration.
pub fn write(file: &AdapterFile, folder: &Path) -> Value {
    let exported = peft::export(file, &ExportOptions::default()).unwrap_or_else(|e| panic!("{e}"));
    for (name, bytes) in &exported.files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    serde_json::from_slice(&std::fs::read(folder.join(CONFIG)).unwrap()).unwrap()
}

/// Shapes and values by name.
pub type Stored = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// All tensors of a file.
pub fn stored(path: &Path) -> Stored {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let value = |data: &[u8]| data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    file.iter().map(|(name, t)| (name.to_owned(), (t.shape().to_vec(), value(t.data())))).collect()
}

fn shapes(folder: &Path) -> Vec<(String, Vec<usize>)> {
    stored(&folder.join(TENSORS)).into_iter().map(|(name, (shape, _))| (name, shape)).collect()
}

fn with(method: PeftMethod, change: impl FnOnce(&mut LoraConfig)) -> PeftMethod {
    let PeftMethod::Lora(mut config) = method else { panic!("no LoRA") };
    change(&mut config);
    PeftMethod::Lora(config)
}

// ---- what is written ----

#[test]
fn lora_has_the_keys_shapes_and_fields_of_peft() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(&adapter(&model("bert"), &[lora(2)], CLASSES), folder.path());
    let module = |block: usize, projection: &str| format!("encoder.layer.{block}.attention.self.{projection}");
    let modules = [module(0, "query"), module(0, "value"), module(1, "query"), module(1, "value")];
    let expected: Vec<_> = [2, 2, 4, 4]
        .into_iter()
        .zip(&modules)
        .flat_map(|(rank, m)| {
            let name = |matrix: &str| format!("base_model.model.{m}.lora_{matrix}.weight");
            [(name("A"), vec![rank, 12]), (name("B"), vec![12, rank])]
        })
        .collect();
    assert_eq!(shapes(folder.path()), expected);
    assert_eq!(config["target_modules"], json!(modules));
    assert_eq!((&config["r"], &config["lora_alpha"], &config["alpha_pattern"]), (&json!(2), &json!(12), &json!({})));
    assert_eq!(config["rank_pattern"], json!({&modules[2]: 4, &modules[3]: 4}));
    for (field, value) in [
        ("peft_type", json!("LORA")),
        ("task_type", json!("FEATURE_EXTRACTION")),
        ("base_model_name_or_path", json!("bert")),
        ("lora_dropout", json!(0.1)),
        ("bias", json!("none")),
        ("inference_mode", json!(true)),
        ("use_dora", json!(false)),
        ("use_rslora", json!(false)),
        ("fan_in_fan_out", json!(false)),
    ] {
        assert_eq!(config[field], value, "{field}");
    }
    let head = stored(&folder.path().join(HEAD));
    assert_eq!((head["weight"].0.as_slice(), head["bias"].0.as_slice()), (&[3, 12][..], &[3][..]));
    let named = peft::export(
        &adapter(&model("bert"), &[lora(2)], CLASSES),
        &ExportOptions { base_model: Some("sentence-transformers/all-MiniLM-L6-v2") },
    );
    let json: Value = serde_json::from_slice(&named.unwrap().files[0].1).unwrap();
    assert_eq!(json["base_model_name_or_path"], "sentence-transformers/all-MiniLM-L6-v2");
}

#[test]
fn variants_of_lora_are_flags_and_a_vector() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(&adapter(&model("llama"), &[dora(2)], Objective::NextToken), folder.path());
    assert_eq!((&config["use_dora"], &config["task_type"]), (&json!(true), &json!("CAUSAL_LM")));
    let found: BTreeMap<_, _> = shapes(folder.path()).into_iter().collect();
    // Grouped queries: keys and values are a third as wide.
    let key = |end: &str| found[&format!("base_model.model.model.layers.1.self_attn.k_proj.{end}")].clone();
    assert_eq!(key("lora_A.weight"), [4, 12]);
    assert_eq!(key("lora_B.weight"), [4, 4]);
    assert_eq!(key("lora_magnitude_vector"), [4]);
    assert_eq!(found.len(), 2 * 4 * 3);

    let config = write(&adapter(&model("bert"), &[rslora(2)], CLASSES), folder.path());
    assert_eq!(config["use_rslora"], json!(true));
    assert_eq!(config["alpha_pattern"], json!({}));
    // `output.dense` alone would also name the attention's.
    let wanted = ["attention.output.dense", "output.dense"].map(|m| format!("encoder.layer.0.{m}"));
    assert!(wanted.iter().all(|path| config["target_modules"].as_array().unwrap().contains(&json!(path))));
}

#[test]
fn gpt2_adapts_its_fused_product_in_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let method = with(lora(2), |c| c.rank_per_block = vec![2, 2]);
    let file = adapter(&model("gpt2"), &[method], Objective::NextToken);
    let config = write(&file, folder.path());
    assert_eq!((&config["fan_in_fan_out"], &config["r"], &config["lora_alpha"]), (&json!(true), &json!(4), &json!(24)));
    let found = stored(&folder.path().join(TENSORS));
    let module = "base_model.model.transformer.h.1.attn.c_attn";
    let (a_shape, a) = &found[&format!("{module}.lora_A.weight")];
    let (b_shape, b) = &found[&format!("{module}.lora_B.weight")];
    assert_eq!((a_shape.as_slice(), b_shape.as_slice()), (&[4, 12][..], &[36, 4][..]));
    let ours: BTreeMap<&str, &[f32]> = file.tensors().map(|(t, values)| (t.name.as_str(), values)).collect();
    for row in 0..36 {
        for column in 0..12 {
            let fused: f32 = (0..4).map(|k| b[row * 4 + k] * a[k * 12 + column]).sum();
            let own = match row / 12 {
                1 => 0.0,
                part => {
                    let name = if part == 0 { "query" } else { "value" };
                    let (a, b) = (ours[&*format!("h.1.attn.{name}.lora_A")], ours[&*format!("h.1.attn.{name}.lora_B")]);
                    (0..2).map(|k| b[row % 12 * 2 + k] * a[k * 12 + column]).sum()
                }
            };
            assert_eq!(fused, own, "row {row}, column {column}");
        }
    }
}

#[test]
fn adalora_becomes_the_lora_that_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let bert = model("bert");
    let full = adapter(&bert, &[tiny::adalora(2)], CLASSES);
    // One singular value has been given up.
    let mut parameters = full.parameters().to_vec();
    let e = full.layout().tensors().iter().find(|t| t.name == "encoder.layer.1.attention.self.query.lora_E").unwrap();
    parameters[e.offset + 1] = 0.0;
    let file = AdapterFile::new(&bert, full.layout(), parameters);
    let config = write(&file, folder.path());
    let path = "encoder.layer.1.attention.self.query";
    assert_eq!((&config["peft_type"], &config["rank_pattern"][path]), (&json!("LORA"), &json!(3)));
    // 12 / 4 before, 9 / 3 now.
    assert_eq!(config["alpha_pattern"][path], json!(9));
    let found = stored(&folder.path().join(TENSORS));
    let (_, a) = &found[&format!("base_model.model.{path}.lora_A.weight")];
    let (shape, b) = &found[&format!("base_model.model.{path}.lora_B.weight")];
    assert_eq!(shape, &[12, 3]);
    let ours: BTreeMap<&str, &[f32]> = file.tensors().map(|(t, values)| (t.name.as_str(), values)).collect();
    let own = |suffix: &str| ours[&*format!("{path}.lora_{suffix}")];
    for (row, column) in [(0, 0), (3, 7), (11, 11)] {
        let folded: f32 = (0..3).map(|k| b[row * 3 + k] * a[k * 12 + column]).sum();
        let full: f32 = (0..4).map(|k| own("B")[row * 4 + k] * own("E")[k] * own("A")[k * 12 + column]).sum();
        assert!((folded - full).abs() < 1e-6, "{folded} {full}");
    }
}

#[test]
fn prompts_and_prefixes_are_one_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let prompt = PeftMethod::Prompt(PromptConfig { tokens: 5 });
    let file = adapter(&model("bert"), &[prompt], CLASSES);
    let config = write(&file, folder.path());
    let fields = |config: &Value| {
        ["num_virtual_tokens", "token_dim", "num_attention_heads", "num_layers"].map(|f| config[f].as_u64().unwrap())
    };
    assert_eq!((&config["peft_type"], fields(&config)), (&json!("PROMPT_TUNING"), [5, 12, 3, 2]));
    let found = stored(&folder.path().join(TENSORS));
    assert_eq!((found.len(), &found["prompt_embeddings"].0), (1, &vec![5, 12]));
    assert_eq!(found["prompt_embeddings"].1, file.tensors().next().unwrap().1);

    let file = adapter(&model("llama"), &[prefix(2)], Objective::NextToken);
    let config = write(&file, folder.path());
    assert_eq!((&config["peft_type"], fields(&config)), (&json!("PREFIX_TUNING"), [5, 4, 1, 2]));
    let (shape, values) = &stored(&folder.path().join(TENSORS))["prompt_embeddings"];
    assert_eq!(shape, &[5, 16]);
    // Key of block 0, value of block 0, key of block 1, value of block 1.
    let names = ["0.prefix_k", "0.prefix_v", "1.prefix_k", "1.prefix_v"];
    for (slot, name) in names.into_iter().enumerate() {
        let (_, own) = file.tensors().find(|(t, _)| t.name.ends_with(name)).unwrap();
        for token in 0..5 {
            assert_eq!(values[token * 16 + slot * 4..][..4], own[token * 4..][..4], "{name}, token {token}");
        }
    }
}

#[test]
fn ia3_scales_outputs_of_keys_and_values_and_the_input_of_the_second_ffn_matrix() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(&adapter(&model("bert"), &[ia3(2)], CLASSES), folder.path());
    let block = |end: &str| format!("encoder.layer.1.{end}");
    let paths = [block("attention.self.key"), block("attention.self.value"), block("output.dense")];
    assert_eq!(config["target_modules"], json!(paths));
    assert_eq!(config["feedforward_modules"], json!([paths[2]]));
    let expected: Vec<_> = [vec![12, 1], vec![12, 1], vec![1, 20]]
        .into_iter()
        .zip(&paths)
        .map(|(shape, path)| (format!("base_model.model.{path}.ia3_l"), shape))
        .collect();
    assert_eq!(shapes(folder.path()), expected);

    let file = adapter(&model("gpt2"), &[ia3(2)], Objective::NextToken);
    write(&file, folder.path());
    let found = stored(&folder.path().join(TENSORS));
    let (shape, values) = &found["base_model.model.transformer.h.1.attn.c_attn.ia3_l"];
    assert_eq!((shape, &values[..12]), (&vec![36, 1], &[1.0; 12][..]));
    let (_, keys) = file.tensors().find(|(t, _)| t.name == "h.1.ia3_k").unwrap();
    assert_eq!(&values[12..24], keys);

    write(&adapter(&model("t5"), &[ia3(3)], Objective::NextToken), folder.path());
    let names: Vec<String> = shapes(folder.path()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 2 * 5, "{names:?}");
    assert!(names.contains(&"base_model.model.decoder.block.1.layer.1.EncDecAttention.v.ia3_l".to_owned()));
    assert!(names.contains(&"base_model.model.decoder.block.0.layer.2.DenseReluDense.wo.ia3_l".to_owned()));
}

// ---- what is read back ----

#[test]
fn export_and_import_are_each_others_inverse() {
    let prompt = PeftMethod::Prompt(PromptConfig { tokens: 5 });
    for family in tiny::FAMILIES {
        let model = model(family);
        let blocks = model.blocks();
        let objective = match family {
            "bert" | "vit" => CLASSES,
            _ => Objective::NextToken,
        };
        let all = Projection::of(&model).collect();
        let mut methods = vec![
            lora(blocks),
            rslora(blocks),
            dora(blocks),
            with(lora(blocks), |c| (c.targets, c.alpha) = (all, 7.3)),
            with(lora(blocks), |c| c.rank_per_block[0] = 0),
            ia3(blocks),
        ];
        methods.extend((family != "vit").then_some(prompt.clone()));
        methods.extend((family != "vit" && family != "t5").then(|| prefix(blocks)));
        for method in methods {
            let folder = tempfile::tempdir().unwrap();
            let file = adapter(&model, &[method], objective);
            write(&file, folder.path());
            let read = peft::import(folder.path(), &model).unwrap_or_else(|e| panic!("{family}: {e}"));
            assert_eq!(read, file, "{family}");
        }
    }
}

#[test]
fn a_regression_head_and_a_bare_model_come_back_too() {
    let folder = tempfile::tempdir().unwrap();
    let bert = model("bert");
    let file = adapter(&bert, &[lora(2)], Objective::Regression);
    write(&file, folder.path());
    assert_eq!(peft::import(folder.path(), &bert).unwrap(), file);
    // Without the head: the same adapter of a bare model, in deft's file too.
    std::fs::remove_file(folder.path().join(HEAD)).unwrap();
    let bare = peft::import(folder.path(), &bert).unwrap();
    assert_eq!(bare.objective(), None);
    assert_eq!(bare.tensors().count(), file.tensors().count() - 2);
    assert!(bare.tensors().zip(file.tensors()).all(|(a, b)| a == b));
    assert_eq!(AdapterFile::from_bytes("bare", bare.to_bytes()).unwrap(), bare);
    assert!(!peft::export(&bare, &ExportOptions::default()).unwrap().files.iter().any(|(name, _)| *name == HEAD));
}

/// Rewrites the folder's tensors under other names.
pub fn rename(folder: &Path, new: impl Fn(&str) -> String) {
    let path = folder.join(TENSORS);
    let renamed: Stored = stored(&path).into_iter().map(|(name, tensor)| (new(&name), tensor)).collect();
    store(&path, &renamed);
}

pub fn store(path: &Path, tensors: &Stored) {
    use safetensors::tensor::{Dtype, TensorView, serialize};
    let bytes: Vec<Vec<u8>> =
        tensors.values().map(|(_, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, (shape, _)), data)| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), data).expect("as many bytes as the shape asks for"))
    });
    std::fs::write(path, serialize(views, None).unwrap()).unwrap();
}

pub fn set(folder: &Path, fields: &[(&str, Value)]) {
    let path = folder.join(CONFIG);
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    fields.iter().for_each(|(field, value)| config[*field] = value.clone());
    std::fs::write(path, config.to_string()).unwrap();
}

#[test]
fn other_spellings_of_the_same_adapter_are_read() {
    let (bert, folder) = (model("bert"), tempfile::tempdir().unwrap());
    let file = adapter(&bert, &[dora(2)], CLASSES);
    write(&file, folder.path());
    // As a live model names them, within a class that wraps the base model, with targets by their ends.
    rename(folder.path(), |name| match name.strip_suffix(".weight") {
        Some(name) => format!("{}.default.weight", name.replace("model.encoder", "model.bert.encoder")),
        None => format!("{}.default", name.replace("model.encoder", "model.bert.encoder")),
    });
    let ends = json!(["query", "key", "value", "intermediate.dense"]);
    set(folder.path(), &[("target_modules", ends), ("rank_pattern", json!({"layer.1.intermediate.dense": 4}))]);
    let error = peft::import(folder.path(), &bert).unwrap_err().to_string();
    assert!(error.contains("[4, 12], expected [2, 12]"), "a rank that the configuration denies: {error}");
    let pattern = json!({
        "layer.1.intermediate.dense": 4,
        "bert.encoder.layer.1.attention.self.value": 4,
        "encoder.layer.1.attention.self.key": 4,
        "1.attention.self.query": 4
    });
    set(folder.path(), &[("rank_pattern", pattern)]);
    assert_eq!(peft::import(folder.path(), &bert).unwrap(), file);
    // Older names of ViT's modules.
    let vit = model("vit");
    let file = adapter(&vit, &[with(lora(2), |c| c.rank_per_block = vec![2, 2])], CLASSES);
    write(&file, folder.path());
    rename(folder.path(), |name| {
        let old = name.replace("model.layers", "model.encoder.layer");
        old.replace("attention.q_proj", "attention.attention.query")
            .replace("attention.v_proj", "attention.attention.value")
    });
    assert_eq!(peft::import(folder.path(), &vit).unwrap(), file);
}

#[test]
fn what_peft_allows_and_deft_lays_out_otherwise_stays_the_same_model() {
    let (bert, folder) = (model("bert"), tempfile::tempdir().unwrap());
    let file = adapter(&bert, &[with(lora(2), |c| c.rank_per_block = vec![2, 2])], CLASSES);
    write(&file, folder.path());
    // Only one module of block 1, with twice the scale.
    let path = folder.path().join(TENSORS);
    let mut kept = stored(&path);
    kept.retain(|name, _| !name.contains("layer.1.attention.self.query"));
    store(&path, &kept);
    let value = "encoder.layer.1.attention.self.value";
    let targets = json!(["encoder.layer.0.attention.self.query", "encoder.layer.0.attention.self.value", value]);
    set(folder.path(), &[("target_modules", targets), ("alpha_pattern", json!({value: 24}))]);
    let read = peft::import(folder.path(), &bert).unwrap();
    assert_eq!(read.methods(), file.methods());
    for ((tensor, ours), (_, was)) in read.tensors().zip(file.tensors()) {
        let factor = match tensor.name.as_str() {
            name if name.contains("layer.1.attention.self.query") => 0.0,
            "encoder.layer.1.attention.self.value.lora_B" => 2.0,
            _ => 1.0,
        };
        assert!(ours.iter().zip(was).all(|(a, b)| *a == factor * b), "{}", tensor.name);
    }
}

#[test]
fn models_are_named_by_folder_or_by_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config("bert")).unwrap();
    assert_eq!(architecture("minilm-l6").unwrap().hidden, 384);
    let error = |name: &str| architecture(name).unwrap_err().to_string();
    assert!(error("minilm-l7").contains("`deft list models` names all"));
    assert!(error(&folder.path().display().to_string()).contains("no .safetensors or .gguf file"));
}

// ---- what cannot be written ----

#[test]
fn what_peft_has_no_format_for_is_named_with_what_to_do() {
    let refuse = |family: &str, methods: &[PeftMethod], objective| {
        peft::export(&adapter(&model(family), methods, objective), &ExportOptions::default()).unwrap_err().to_string()
    };
    let own = |selection| PeftMethod::Selective(SelectiveConfig { selection, blocks: vec![true; 2], outside: true });
    let two_lengths = PeftMethod::Prefix(PrefixConfig { tokens_per_block: vec![5, 0] });
    for (family, methods, objective, said) in [
        ("bert", vec![own(Selection::Biases)], CLASSES, "trained biases (BitFit)"),
        ("bert", vec![own(Selection::Everything)], CLASSES, "the model's own weights"),
        ("bert", vec![], CLASSES, "a head alone"),
        ("bert", vec![lora(2), prefix(2)], CLASSES, "LoRA and prefix tuning together"),
        ("bert", vec![two_lengths], CLASSES, "train with one number of tokens"),
        ("vit", vec![PeftMethod::Prompt(PromptConfig { tokens: 2 })], CLASSES, "before image patches"),
        ("t5", vec![prefix(3)], Objective::NextToken, "encoder-decoder"),
        (
            "gpt2",
            vec![with(dora(2), |c| c.targets = vec![Projection::Query])],
            Objective::NextToken,
            "adapt all three or none",
        ),
    ] {
        let message = refuse(family, &methods, objective);
        assert!(message.starts_with("a peft folder cannot hold") && message.contains(said), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}
