//! What models answer with adapters: the same as in training, and the same after a journey through `peft`'s format.

use crate::peft_folders::{Stored, store, stored, write};
use crate::tiny::{adapter, config, dora, ia3, lora, model, prefix, rslora};
use deft::adapter::{AdapterFile, Answer, NamedModel, Query, peft, probe};
use deft::backend::Cpu;
use deft::data::{ImageSize, Objective, PackedBatch, TargetText};
use deft::fomo::{Architecture, CheckpointError, RandomWeights, TensorSource};
use deft::nn::{Model, ParameterLayout, PeftMethod, PromptConfig, Selection, SelectiveConfig};
use deft::random::Streams;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

/// Random weights that remember what they were asked for.
struct Recorder {
    weights: RandomWeights,
    asked: RefCell<Stored>,
}

impl TensorSource for Recorder {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        // Larger than fresh weights, so that what an adapter adds is not lost beside them.
        let values: Vec<f32> = self.weights.tensor(name, shape)?.into_iter().map(|v| v * 10.0).collect();
        self.asked.borrow_mut().insert(name.to_owned(), (shape.to_vec(), values.clone()));
        Ok(values)
    }

    fn has(&self, _name: &str) -> bool {
        true
    }
}

/// A small model as a folder; its architecture is named after the family.
fn model_folder(family: &str, parent: &Path) -> NamedModel {
    let folder = parent.join(family);
    std::fs::create_dir_all(&folder).unwrap();
    let recorder = Recorder { weights: RandomWeights::new(Streams::new(3, 0)), asked: RefCell::default() };
    let objective = if matches!(family, "bert" | "vit") { Objective::Regression } else { Objective::NextToken };
    Model::load(Cpu::<f32>::new(), &model(family), objective, &recorder).unwrap();
    store(&folder.join("model.safetensors"), &recorder.asked.borrow());
    std::fs::write(folder.join("config.json"), config(family)).unwrap();
    NamedModel::open(&folder.display().to_string()).unwrap()
}

const SEQUENCES: [&[u32]; 3] = [&[3, 14, 15, 9, 2], &[6, 5], &[30, 8, 9, 7, 9, 3, 2]];

fn text(tokens: &[u32]) -> Query {
    Query::Text { tokens: tokens.to_vec(), written: vec![] }
}

fn ask(adapter: &AdapterFile, model: &NamedModel) -> Vec<Answer> {
    probe("adapter", adapter, model, &SEQUENCES.map(text)).unwrap_or_else(|e| panic!("{e}"))
}

fn apart(a: &[Answer], b: &[Answer]) -> f64 {
    let distance = |a: &Answer, b: &Answer| {
        a.hidden_mean.iter().zip(&b.hidden_mean).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    a.iter().zip(b).map(|(a, b)| distance(a, b)).fold(0.0, f64::max)
}

fn objective_of(architecture: &Architecture) -> Objective {
    if architecture.encoder_layers > 0 { Objective::Classification { classes: 3 } } else { Objective::NextToken }
}

#[test]
fn a_journey_through_peft_changes_no_answer() {
    let parent = tempfile::tempdir().unwrap();
    for family in ["bert", "llama", "gpt2"] {
        let model = model_folder(family, parent.path());
        let objective = objective_of(&model.architecture);
        let prompt = PeftMethod::Prompt(PromptConfig { tokens: 3 });
        let base = adapter(&model.architecture, &[ia3(2)], objective);
        let ones: Vec<f32> = base.parameters().iter().map(|_| 1.0).collect();
        let bare = ask(&AdapterFile::new(&model.architecture, base.layout(), ones), &model);
        for method in [lora(2), rslora(2), dora(2), ia3(2), prompt, prefix(2)] {
            let folder = tempfile::tempdir().unwrap();
            let original = adapter(&model.architecture, &[method], objective);
            let answers = ask(&original, &model);
            assert!(apart(&answers, &bare) > 1e-3, "{family}: the adapter does something");
            write(&original, folder.path());
            let back = peft::import(folder.path(), &model.architecture).unwrap();
            assert_eq!(ask(&back, &model), answers, "{family}");
        }
    }
}

/// transformers 5 gives a T5 without an output matrix the embedding's, scaled only if the configuration says so.
#[test]
fn a_t5_without_an_output_matrix_answers_through_its_embedding() {
    let parent = tempfile::tempdir().unwrap();
    let tied = model_folder("t5", parent.path());
    let file = adapter(&tied.architecture, &[lora(3)], Objective::NextToken);
    let scaled = ask(&file, &tied);
    let folder = parent.path().join("t5");
    let unscaled = config("t5").replace("\"d_ff\"", "\"scale_decoder_outputs\": false, \"d_ff\"");
    std::fs::write(folder.join("config.json"), unscaled).unwrap();
    let untied = NamedModel::open(&folder.display().to_string()).unwrap();
    assert!(!untied.architecture.tied_output);
    let factor = 12f64.sqrt();
    for (scaled, plain) in scaled.iter().zip(&ask(&file, &untied)) {
        assert_eq!(scaled.hidden_last, plain.hidden_last);
        let logits = scaled.logits.iter().flatten().zip(plain.logits.iter().flatten());
        assert!(
            logits.clone().count() == 31
                && logits.clone().all(|(s, p)| (s * factor - p).abs() < 1e-6 * p.abs().max(1.0))
        );
    }
    // Full fine-tuning would train one matrix as two.
    let full = PeftMethod::Selective(SelectiveConfig {
        selection: Selection::Everything,
        blocks: vec![true; 3],
        outside: true,
    });
    let layout = ParameterLayout::new(&untied.architecture, &[full], Objective::NextToken).unwrap();
    let message = layout.initial(&Streams::new(1, 0), untied.weights()).unwrap_err().to_string();
    assert!(message.contains("`lm_head.weight`") && message.contains("scale_decoder_outputs"), "{message}");

    // Scaled, with an output matrix of its own: two things that deft has not together.
    let path = folder.join("model.safetensors");
    let mut tensors = stored(&path);
    let (shape, mut values) = tensors["shared.weight"].clone();
    values[0] += 1.0;
    tensors.insert("lm_head.weight".into(), (shape, values));
    store(&path, &tensors);
    std::fs::write(folder.join("config.json"), config("t5")).unwrap();
    let both = NamedModel::open(&folder.display().to_string()).unwrap();
    let message = probe("adapter", &file, &both, &SEQUENCES.map(text)).unwrap_err().to_string();
    assert!(message.contains("model.safetensors: tensor `lm_head.weight` differs from `shared.weight`"), "{message}");
}

/// An output matrix that differs from the embedding is used, whatever the configuration says.
#[test]
fn a_gpt2_with_an_output_matrix_of_its_own_answers_through_it() {
    let parent = tempfile::tempdir().unwrap();
    let tied = model_folder("gpt2", parent.path());
    let file = adapter(&tied.architecture, &[lora(2)], Objective::NextToken);
    let through_words = ask(&file, &tied);
    let folder = parent.path().join("gpt2");
    let mut tensors = stored(&folder.join("model.safetensors"));
    let (shape, values) = tensors["wte.weight"].clone();
    tensors.insert("lm_head.weight".into(), (shape, values.iter().map(|v| -2.0 * v).collect()));
    store(&folder.join("model.safetensors"), &tensors);
    let own = NamedModel::open(&folder.display().to_string()).unwrap();
    for (words, own) in through_words.iter().zip(&ask(&file, &own)) {
        let logits = words.logits.iter().flatten().zip(own.logits.iter().flatten());
        assert!(
            logits.clone().count() == 31 && logits.clone().all(|(w, o)| (-2.0 * w - o).abs() < 1e-9 * o.abs().max(1.0))
        );
    }
}

/// The part of a fused product that `peft` trains with one `A` for queries, keys and values.
#[test]
fn a_dense_adapter_of_gpt2s_fused_product_is_read_as_three() {
    let parent = tempfile::tempdir().unwrap();
    let model = model_folder("gpt2", parent.path());
    let folder = tempfile::tempdir().unwrap();
    write(&adapter(&model.architecture, &[lora(2)], Objective::NextToken), folder.path());
    // Every row of B now uses every row of A.
    let path = folder.path().join(peft::TENSORS);
    let mut tensors = stored(&path);
    for (_, values) in tensors.values_mut() {
        values.iter_mut().enumerate().for_each(|(i, v)| *v += 0.01 * (i % 7) as f32 + 0.003);
    }
    store(&path, &tensors);
    let read = peft::import(folder.path(), &model.architecture).unwrap();
    let ours: BTreeMap<&str, &[f32]> = read.tensors().map(|(t, values)| (t.name.as_str(), values)).collect();
    let PeftMethod::Lora(config) = &read.methods()[0] else { panic!("LoRA") };
    assert_eq!(config.rank_per_block, [4, 8]);
    let scale = config.alpha / 4.0;
    let (_, a) = &tensors["base_model.model.transformer.h.0.attn.c_attn.lora_A.weight"];
    let (_, b) = &tensors["base_model.model.transformer.h.0.attn.c_attn.lora_B.weight"];
    // The folder's scale in block 0 is that of the native state: 12 / 2.
    for (row, column) in [(0, 0), (13, 5), (35, 11)] {
        let theirs: f64 = (0..4).map(|k| f64::from(b[row * 4 + k]) * f64::from(a[k * 12 + column])).sum::<f64>() * 6.0;
        let module = ["query", "key", "value"][row / 12];
        let (a, b) = (ours[&*format!("h.0.attn.{module}.lora_A")], ours[&*format!("h.0.attn.{module}.lora_B")]);
        let own: f64 =
            (0..4).map(|k| f64::from(b[row % 12 * 4 + k]) * f64::from(a[k * 12 + column])).sum::<f64>() * scale;
        assert!((own - theirs).abs() < 1e-5 * theirs.abs().max(1.0), "{own} {theirs}");
    }
}

fn cross_entropy(logits: &[f64], label: usize) -> f64 {
    let largest = logits.iter().copied().fold(f64::MIN, f64::max);
    largest + logits.iter().map(|l| (l - largest).exp()).sum::<f64>().ln() - logits[label]
}

/// The loss of training is that of the logits.
#[test]
fn logits_are_those_of_training() {
    let parent = tempfile::tempdir().unwrap();
    for (family, objective) in [
        ("bert", Objective::Classification { classes: 3 }),
        ("llama", Objective::Classification { classes: 3 }),
        ("gpt2", Objective::Classification { classes: 3 }),
        ("llama", Objective::NextToken),
        ("gpt2", Objective::NextToken),
    ] {
        let named = model_folder(family, parent.path());
        for method in [lora(2), PeftMethod::Prompt(PromptConfig { tokens: 3 })] {
            let file = adapter(&named.architecture, &[method], objective);
            let loaded = Model::load(Cpu::<f32>::new(), &named.architecture, objective, named.weights()).unwrap();
            let loss = |sequence: &[u32], label| {
                let batch = PackedBatch::pack([(sequence, label)]);
                loaded.evaluate(file.layout(), file.parameters(), &batch).loss_sum
            };
            let answer = |sequence: &[u32]| {
                probe("adapter", &file, &named, &[text(sequence)]).unwrap().remove(0).logits.expect("an output")
            };
            let sequence = SEQUENCES[2];
            let (expected, found) = match objective {
                // A text's loss is the sum over its predictions: one token more adds the last one's.
                Objective::NextToken => {
                    let (known, next) = (&sequence[..sequence.len() - 1], sequence[sequence.len() - 1]);
                    (loss(sequence, 0) - loss(known, 0), cross_entropy(&answer(known), next as usize))
                }
                _ => (loss(sequence, 2), cross_entropy(&answer(sequence), 2)),
            };
            assert!((expected - found).abs() < 2e-4, "{family} {objective:?}: {expected} {found}");
        }
    }
}

/// The same for a model that writes: each token costs what the logits before it say.
#[test]
fn an_encoder_decoders_logits_are_those_of_training() {
    let parent = tempfile::tempdir().unwrap();
    let named = model_folder("t5", parent.path());
    let norms = PeftMethod::Selective(SelectiveConfig {
        selection: Selection::Norms,
        blocks: vec![true; named.architecture.blocks()],
        outside: true,
    });
    for method in [lora(3), PeftMethod::Prompt(PromptConfig { tokens: 3 }), norms] {
        let file = adapter(&named.architecture, &[method], Objective::NextToken);
        let loaded =
            Model::load(Cpu::<f32>::new(), &named.architecture, Objective::NextToken, named.weights()).unwrap();
        let target = [9, 4, 7, 1];
        let answers: Vec<Query> =
            (0..4).map(|n| Query::Text { tokens: SEQUENCES[0].to_vec(), written: target[..n].to_vec() }).collect();
        let answers = probe("adapter", &file, &named, &answers).unwrap();
        let mut decoder = TargetText::new();
        decoder.push(&target);
        let batch = PackedBatch { decoder: Some(decoder), ..PackedBatch::pack([(SEQUENCES[0], 0)]) };
        let expected = loaded.evaluate(file.layout(), file.parameters(), &batch).loss_sum;
        let costs =
            answers.iter().zip(target).map(|(a, token)| cross_entropy(a.logits.as_ref().unwrap(), token as usize));
        let found: f64 = costs.sum();
        assert!((expected - found).abs() < 2e-4, "{expected} {found}");
        assert_eq!(answers[2].written.as_deref(), Some(&target[..2]));
        assert_eq!(answers[2].tokens, SEQUENCES[0]);
    }
}

#[test]
fn logits_of_images_are_those_of_training() {
    let parent = tempfile::tempdir().unwrap();
    let named = model_folder("vit", parent.path());
    let image: Vec<u8> = (0..64).map(|i| (i * 37 % 256) as u8).collect();
    for method in [lora(2), PeftMethod::Prompt(PromptConfig { tokens: 3 })] {
        let file = adapter(&named.architecture, &[method], Objective::Classification { classes: 3 });
        let objective = Objective::Classification { classes: 3 };
        let loaded = Model::load(Cpu::<f32>::new(), &named.architecture, objective, named.weights()).unwrap();
        let size = ImageSize { side_px: 8, channels: 1 };
        let batch = PackedBatch::pack_images([(image.as_slice(), 2)], size, 4);
        let expected = loaded.evaluate(file.layout(), file.parameters(), &batch).loss_sum;
        let asked = probe("adapter", &file, &named, &[Query::Image(image.clone())]).unwrap().remove(0);
        let found = cross_entropy(&asked.logits.unwrap(), 2);
        assert!((expected - found).abs() < 2e-4, "{expected} {found}");
        let refusal = |query| probe("a", &file, &named, &[query]).unwrap_err().to_string();
        assert!(refusal(text(&[1])).contains("vit was given tokens, and reads images: give `--images`"));
        assert!(refusal(Query::Image(vec![0; 63])).contains("an image of 63 values for vit, whose images have 64"));
    }
}

#[test]
fn what_cannot_be_asked_is_said() {
    let parent = tempfile::tempdir().unwrap();
    let bert = model_folder("bert", parent.path());
    let file = adapter(&bert.architecture, &[lora(2)], Objective::Regression);
    let said = |model: &NamedModel, tokens: &[u32]| probe("a", &file, model, &[text(tokens)]).unwrap_err().to_string();
    assert!(said(&bert, &[1, 31]).contains("token 31, beyond the vocabulary of 31"));
    assert!(said(&bert, &[1; 17]).contains("has 17 tokens; allowed are 1 to 16"));
    assert!(said(&bert, &[]).contains("has 0 tokens"));
    let refusal = |query| probe("a", &file, &bert, &[query]).unwrap_err().to_string();
    assert!(refusal(Query::Image(vec![0; 64])).contains("was given an image, and reads texts: give `--tokens`"));
    let written = Query::Text { tokens: vec![1], written: vec![2] };
    assert!(refusal(written).contains("what its decoder has written, and reads one text: leave out `--written`"));
    let llama = model_folder("llama", parent.path());
    assert!(said(&llama, &[1]).starts_with("a: made for bert, it does not fit llama: "));
    let error = NamedModel::open("gpt2").map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("deft carries no weights of `gpt2`"), "{error}");
    assert_eq!(NamedModel::open("minilm-l6").unwrap().architecture.hidden, 384);
}
