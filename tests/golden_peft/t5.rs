//! Cases of tiny T5s with made-up weights, all of which train: no checkpoint is needed.

use crate::compare::{assert_close, number, numbers, relative_distance};
use crate::made_up::{MadeUp, full, whole_difference};
use deft::backend::{Activation, Cpu};
use deft::data::{Objective, PackedBatch, TargetText};
use deft::fomo::{Architecture, Family, RelativePositions};
use deft::nn::{Model, ParameterLayout, StackItem};
use deft::random::Streams;
use serde_json::Value;

/// Both sides compute in double precision; ours hands gradients over in single.
const TOLERANCE: f64 = 2e-7;

fn architecture(config: &Value, case: &Value) -> Architecture {
    let size = |key: &str| number(&config[key]) as usize;
    let is = |key: &str| case[key].as_bool().expect("a flag");
    Architecture {
        name: "tiny T5".into(),
        family: Family::T5,
        encoder_layers: size("num_layers"),
        decoder_layers: size("num_decoder_layers"),
        hidden: size("d_model"),
        heads: size("num_heads"),
        kv_heads: size("num_heads"),
        head_dim: size("d_kv"),
        ffn: size("d_ff"),
        gated_ffn: is("gated"),
        vocabulary: size("vocab_size"),
        positions: 0,
        token_types: 0,
        image: None,
        norm_eps: number(&config["layer_norm_epsilon"]),
        activation: if is("gated") { Activation::GeluTanh } else { Activation::Relu },
        rotary: None,
        relative_positions: Some(RelativePositions {
            buckets: size("relative_attention_num_buckets"),
            max_distance: size("relative_attention_max_distance"),
        }),
        tied_output: is("tied"),
    }
}

fn batch(json: &Value) -> PackedBatch {
    let rows = |key: &str| -> Vec<Vec<u32>> {
        let row = |row: &Value| numbers(row).into_iter().map(|id| id as u32).collect();
        json[key].as_array().expect("sequences").iter().map(row).collect()
    };
    let sources = rows("input_ids");
    let mut target = TargetText::new();
    rows("labels").iter().for_each(|row| target.push(row));
    PackedBatch { decoder: Some(target), ..PackedBatch::pack(sources.iter().map(|s| (s.as_slice(), 0))) }
}

/// Compares everything that `json` holds; returns the models that it compared, as paths in the file.
pub fn check(file: &str, json: &Value) -> Vec<String> {
    let cases = json["full"].as_object().expect("models");
    for (name, case) in cases {
        let what = format!("{file} {name}");
        let tensors = case["tensors"].as_array().expect("tensors");
        let (architecture, constants) = (architecture(&json["config"], case), &json["constants"]);
        let source = MadeUp { constants, tensors };
        let layout =
            ParameterLayout::new(&architecture, &[full(&architecture)], Objective::NextToken).expect("fits T5");
        let model = Model::load(Cpu::<f64>::new(), &architecture, Objective::NextToken, &source).expect("T5's tensors");
        let parameters = layout.initial(&Streams::new(0, 0), &source).expect("T5's own values");
        assert_eq!(layout.tensors().len(), tensors.len(), "{what}: all that the model has trains");
        let batch = batch(json);
        let outcome = &model.loss_and_gradients(&layout, &[StackItem::new(&parameters, &batch)])[0];
        assert_close(outcome.loss, number(&case["loss"]), 1e-8, &what);
        let mut worst = 0f64;
        for tensor in tensors {
            let ours = layout.tensors().iter().find(|ours| tensor["name"] == ours.name);
            let ours = ours.unwrap_or_else(|| panic!("{what}: {} does not train", tensor["name"]));
            let gradient = &outcome.gradient[ours.range()];
            let mut difference = whole_difference(gradient, tensor, constants);
            if ours.name.contains("relative") {
                let all = numbers(&tensor["grad_first16"]);
                assert_eq!(all.len(), gradient.len(), "{what}: {} is there whole", ours.name);
                difference = difference.max(relative_distance(gradient, &all));
            }
            assert!(difference <= TOLERANCE, "{what}: gradient of {} off by {difference:e}", ours.name);
            worst = worst.max(difference);
        }
        println!("golden {file} full ({name}) worst_grad_rel={worst:.1e} ok");
    }
    cases.keys().map(|name| format!("full/{name}")).collect()
}
