//! What a user points at as a model: it opens, or one message says which file and what of it is wrong.
//!
//! Start with `opens_what_hubs_publish`; `model_files/robustness.rs` breaks every byte of every kind of file.

#[path = "model_files/gguf_format.rs"]
mod gguf_format;
#[path = "model_files/gguf_writer.rs"]
mod gguf_writer;
#[path = "model_files/robustness.rs"]
mod robustness;
#[path = "model_files/smollm2.rs"]
mod smollm2;
#[path = "model_files/tiny.rs"]
mod tiny;
#[path = "model_files/tokenizer_parts.rs"]
mod tokenizer_parts;

use deft::fomo::{Architecture, Family, ModelFiles, RandomWeights, TensorSource, TokenizerError, Weights, preset};
use deft::random::Streams;
use std::path::Path;

fn open_error(path: &Path) -> String {
    ModelFiles::open(path).expect_err("opened").to_string()
}

// ---- what a user can point at ----

#[test]
fn opens_what_hubs_publish() {
    let folder = tempfile::tempdir().unwrap();
    tiny::sharded_folder(folder.path());
    let files = ModelFiles::open(folder.path()).unwrap();
    let architecture = files.architecture().unwrap().unwrap();
    assert_eq!((architecture.family, architecture.hidden, architecture.positions), (Family::Bert, 4, 6));
    assert_eq!(architecture.name, folder.path().file_name().unwrap().to_string_lossy());
    for (name, shape) in tiny::BERT {
        assert_eq!(files.weights().tensor(name, shape).unwrap()[..2], [0.5, 1.5], "{name}");
        assert!(files.weights().has(name) && files.weights().has(&format!("bert.{name}")));
    }
    assert!(!files.weights().has("pooler.dense.weight"));
    let tokenizer = files.tokenizer().unwrap();
    tokenizer.check_vocabulary(&architecture).unwrap();
    assert_eq!(tokenizer.encode("good good film", 9).unwrap(), [1, 1, 3]);
}

#[test]
fn one_file_has_what_lies_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.safetensors");
    std::fs::write(&path, tiny::safetensors(&tiny::BERT)).unwrap();
    let files = ModelFiles::open(&path).unwrap();
    assert_eq!(files.architecture().unwrap(), None);
    let message = files.tokenizer().unwrap_err().to_string();
    assert!(message.contains("tokenizer.json: cannot be read"), "{message}");
    // The only weights of a folder are found whatever they are called.
    assert!(matches!(ModelFiles::open(folder.path()).unwrap().weights(), Weights::Safetensors(_)));

    std::fs::write(folder.path().join("config.json"), tiny::CONFIG).unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), tiny::TOKENIZER).unwrap();
    let files = ModelFiles::open(&path).unwrap();
    assert_eq!(files.architecture().unwrap().unwrap().name, "mine");
    assert!(files.tokenizer().is_ok());
    // A hub's own name says nothing; the folder's does.
    std::fs::rename(&path, folder.path().join("model.safetensors")).unwrap();
    let files = ModelFiles::open(&folder.path().join("model.safetensors")).unwrap();
    assert_eq!(files.architecture().unwrap().unwrap().name, folder.path().file_name().unwrap().to_string_lossy());
}

#[test]
fn what_holds_no_weights_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().display().to_string();
    for (message, part) in [
        (open_error(folder.path()), "there is no .safetensors or .gguf file in this folder"),
        (open_error(&folder.path().join("pytorch_model.bin")), "neither a folder nor a .safetensors or .gguf file"),
        (open_error(&folder.path().join("absent.gguf")), "cannot be read"),
    ] {
        assert!(message.starts_with(&name) && message.contains(part), "{message}");
    }
    for file in ["a.safetensors", "b.safetensors"] {
        std::fs::write(folder.path().join(file), tiny::safetensors(&tiny::BERT[..1])).unwrap();
    }
    assert!(open_error(folder.path()).contains("there are 2 .safetensors files and no model.safetensors.index.json"));

    let sharded = tempfile::tempdir().unwrap();
    tiny::sharded_folder(sharded.path());
    std::fs::write(sharded.path().join("model.safetensors.index.json"), r#"{"weight_map": {}}"#).unwrap();
    let message = open_error(sharded.path());
    assert!(
        message.contains("model.safetensors.index.json: not a valid checkpoint: its weight_map names"),
        "{message}"
    );
    tiny::sharded_folder(sharded.path());
    std::fs::remove_file(sharded.path().join("model-00002-of-00002.safetensors")).unwrap();
    let message = open_error(sharded.path());
    assert!(message.contains("model-00002-of-00002.safetensors: cannot be read: named by"), "{message}");
}

#[test]
fn stamps_change_with_any_file_that_the_model_depends_on() {
    let folder = tempfile::tempdir().unwrap();
    let written = tiny::sharded_folder(folder.path());
    let stamp = || ModelFiles::open(folder.path()).unwrap().stamp().to_vec();
    let first = stamp();
    assert_eq!((first.len(), &first), (written.len(), &stamp()));
    for (name, bytes) in &written {
        assert!(first.iter().any(|s| s.name == *name && s.bytes == bytes.len() as u64 && s.modified_ns > 0), "{name}");
        let path = folder.path().join(name);
        let handle = std::fs::File::options().write(true).open(&path).unwrap();
        handle.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert_ne!(stamp(), first, "{name}");
        tiny::sharded_folder(folder.path());
    }
}

#[test]
fn parts_of_different_models_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    tiny::sharded_folder(folder.path());
    // A tokenizer with more tokens than the embedding has rows.
    let larger = tiny::TOKENIZER.replace("\"film\": 3", "\"film\": 3, \"scene\": 4");
    std::fs::write(folder.path().join("tokenizer.json"), larger).unwrap();
    let files = ModelFiles::open(folder.path()).unwrap();
    let architecture = files.architecture().unwrap().unwrap();
    let error = files.tokenizer().unwrap().check_vocabulary(&architecture).unwrap_err();
    assert!(matches!(error, TokenizerError::Vocabulary { largest: 4, rows: 4, .. }), "{error}");
    assert!(error.to_string().contains("tokenizer.json: token ids go up to 4"), "{error}");
    // One whose vocabulary fits, but not what it puts around every text.
    for frame in [
        r#"{"type": "BertProcessing", "sep": ["[SEP]", 500], "cls": ["[CLS]", 2]}"#,
        r#"{"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "[X]", "type_id": 0}}], "pair": [],
            "special_tokens": {"[X]": {"id": "[X]", "ids": [2, 500], "tokens": ["a", "b"]}}}"#,
    ] {
        let framed = tiny::TOKENIZER.replace("\"post_processor\": null", &format!("\"post_processor\": {frame}"));
        std::fs::write(folder.path().join("tokenizer.json"), framed).unwrap();
        let error = files.tokenizer().unwrap().check_vocabulary(&architecture).unwrap_err();
        assert!(matches!(error, TokenizerError::Vocabulary { largest: 500, rows: 4, .. }), "{error}");
    }
    // A configuration of another shape: the first tensor that is asked for says so.
    let other = tiny::CONFIG.replace("\"vocab_size\": 4", "\"vocab_size\": 5");
    std::fs::write(folder.path().join("config.json"), other).unwrap();
    let vocabulary = files.architecture().unwrap().unwrap().vocabulary;
    let message = files.weights().tensor(tiny::BERT[0].0, &[vocabulary, 4]).unwrap_err().to_string();
    assert!(
        message
            .contains("00001-of-00002.safetensors: tensor `bert.embeddings.word_embeddings.weight` has shape [4, 4]")
    );
    // Of another family.
    std::fs::write(folder.path().join("config.json"), r#"{"model_type": "gemma3"}"#).unwrap();
    let message = files.architecture().unwrap_err().to_string();
    assert!(message.contains("config.json: model_type is `gemma3`, expected `bert`"), "{message}");
    let message = files.weights().tensor("model.norm.weight", &[4]).unwrap_err().to_string();
    assert!(message.contains("tensor `model.norm.weight` is missing"), "{message}");
}

/// transformers 5 ties output and embedding only where the file does not tell them apart.
#[test]
fn an_output_matrix_of_its_own_is_used_whatever_the_configuration_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    for (config, words) in [
        (
            r#"{"model_type": "gpt2", "n_embd": 4, "n_layer": 1, "n_head": 2, "vocab_size": 3, "n_positions": 6,
                "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new"}"#,
            "transformer.wte.weight",
        ),
        (
            r#"{"model_type": "llama", "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2,
                "intermediate_size": 8, "vocab_size": 3, "rms_norm_eps": 1e-5, "tie_word_embeddings": true}"#,
            "model.embed_tokens.weight",
        ),
    ] {
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        let tied = || ModelFiles::open(folder.path()).unwrap().architecture().unwrap().unwrap().tied_output;
        let shape: &[usize] = &[3, 4];
        std::fs::write(&path, tiny::safetensors(&[(words, shape)])).unwrap();
        assert!(tied(), "{words}");
        let mut both = tiny::safetensors(&[(words, shape), ("lm_head.weight", shape)]);
        std::fs::write(&path, &both).unwrap();
        assert!(tied(), "{words}, written twice");
        *both.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &both).unwrap();
        assert!(!tied(), "{words} and another");
        // The same under the name of an architecture that ties them.
        let weights = ModelFiles::open(folder.path()).unwrap();
        let own = weights.weights().own_output(words).expect("an output matrix");
        assert!(own.ends_with("model.safetensors"), "{own}");
    }
}

#[test]
fn pixels_that_would_be_prepared_in_another_way_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.safetensors"), tiny::safetensors(&tiny::BERT[..1])).unwrap();
    let config = r#"{"model_type": "vit", "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3,
        "intermediate_size": 20, "image_size": 8, "patch_size": 4, "layer_norm_eps": 1e-12, "hidden_act": "gelu"}"#;
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    let read = |json: &str| {
        std::fs::write(folder.path().join("preprocessor_config.json"), json).unwrap();
        ModelFiles::open(folder.path()).unwrap().architecture().map(|_| ()).map_err(|e| e.to_string())
    };
    let usual = r#"{"do_normalize": true, "do_rescale": true, "do_resize": true, "rescale_factor": 0.00392156862745098,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "size": {"height": 224, "width": 224}}"#;
    for json in [usual, "{}", r#"{"image_mean": 0.5}"#] {
        assert_eq!(read(json), Ok(()), "{json}");
    }
    for (from, to, said) in [
        ("mean\": [0.5,", "mean\": [0.485,", "image_mean is [0.485,0.5,0.5], expected 0.5 for every channel"),
        ("std\": [0.5,", "std\": [0.229,", "image_std is [0.229,0.5,0.5], expected 0.5 for every channel"),
        ("normalize\": true", "normalize\": false", "do_normalize is false, expected true"),
        ("rescale\": true", "rescale\": false", "do_rescale is false, expected true"),
        ("0.00392156862745098", "1.0", "rescale_factor is 1.0, expected 1 / 255"),
    ] {
        let message = read(&usual.replacen(from, to, 1)).expect_err(to);
        assert!(message.contains("preprocessor_config.json: ") && message.contains(said), "{message}");
    }
    assert!(read("{").unwrap_err().contains("preprocessor_config.json: not a model configuration"));
}

// ---- made-up weights ----

#[test]
fn random_weights_are_those_that_published_training_starts_from() {
    let weights = RandomWeights::new(Streams::new(5, 0));
    let matrix = weights.tensor("h.0.attn.c_attn.weight", &[300, 401]).unwrap();
    let n = matrix.len() as f64;
    let mean = matrix.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let variance = matrix.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / n;
    // Four standard errors.
    assert!(mean.abs() < 4.0 * 0.02 / n.sqrt(), "{mean}");
    assert!((variance / 4e-4 - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "{variance}");
    assert_eq!(weights.tensor("h.0.ln_1.weight", &[3]).unwrap(), [1.0; 3]);
    assert_eq!(weights.tensor("encoder.final_layer_norm.weight", &[2]).unwrap(), [1.0; 2]);
    assert_eq!(weights.tensor("h.0.ln_1.bias", &[3]).unwrap(), [0.0; 3]);
    assert!(weights.tensor("embeddings.cls_token", &[1, 1, 8]).unwrap().iter().all(|v| *v != 0.0 && v.abs() < 0.2));
    assert!(weights.has("anything"));

    let threads = |n| rayon_pool(n, || weights.tensor("wte.weight", &[1000, 64]).unwrap());
    assert_eq!(threads(1), threads(3));
    let of = |seed, name| RandomWeights::new(Streams::new(seed, 0)).tensor(name, &[2, 2]).unwrap();
    assert_ne!(of(1, "wte.weight"), of(2, "wte.weight"));
    assert_ne!(of(1, "wte.weight"), of(1, "wpe.weight"));
    for shape in [[usize::MAX, 2], [1 << 40, 1 << 20]] {
        let message = weights.tensor("wte.weight", &shape).unwrap_err().to_string();
        assert!(message.contains("tensor `wte.weight` of shape") && message.contains("does not fit"), "{message}");
    }
}

fn rayon_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// The names under which checkpoints of each family hold the same tensor.
#[test]
fn wrappers_of_every_family_are_optional() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    for (asked, held) in [
        ("encoder.layer.0.output.dense.bias", "bert.encoder.layer.0.output.dense.bias"),
        ("encoder.layer.0.output.dense.bias", "roberta.encoder.layer.0.output.dense.bias"),
        ("embeddings.LayerNorm.bias", "bert.embeddings.LayerNorm.beta"),
        ("h.0.ln_1.bias", "transformer.h.0.ln_1.bias"),
        ("transformer.h.0.ln_1.bias", "h.0.ln_1.bias"),
        ("embeddings.cls_token", "vit.embeddings.cls_token"),
        ("model.norm.weight", "norm.weight"),
        ("shared.weight", "shared.weight"),
    ] {
        std::fs::write(&path, tiny::safetensors(&[(held, &[2])])).unwrap();
        let files = ModelFiles::open(&path).unwrap();
        assert_eq!(files.weights().tensor(asked, &[2]).unwrap(), [0.5, 1.5], "{asked} as {held}");
    }
}

/// Names an architecture of a GGUF file by the table, for tests that compare the two.
fn named(name: &str) -> Architecture {
    preset(name).expect("a name of the table")
}
