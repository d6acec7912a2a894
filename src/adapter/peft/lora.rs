//! Low-rank adapters as `peft` writes them: LoRA, rsLoRA and DoRA, and AdaLoRA folded into LoRA.
//!
//! `peft` gives every module its own rank and alpha, by default `r` and `lora_alpha`, and divides alpha by the rank or its
//! root as deft does. GPT-2's queries, keys and values are one module there: their `A` are stacked and their `B` stand in
//! blocks along the diagonal, so that each row of the product gets what its own term adds and nothing else.

use super::super::AdapterError;
use super::super::modules::{Module, Part};
use super::super::tensors::Tensor;
use super::PREFIX;
use super::export::{Target, Written};
use crate::nn::{LoraConfig, LoraScaling, LoraVariant};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A module with its adapter.
struct Adapted {
    path: String,
    rank: usize,
    alpha: f64,
    tensors: Vec<Tensor>,
}

/// The term of one of our products: `scale * B A`, with AdaLoRA's `E` inside `A`.
struct Term<'a> {
    part: &'a Part,
    rank: usize,
    /// `[rank, inputs]`.
    a: Vec<f32>,
    /// `[outputs, rank]`.
    b: Vec<f32>,
    /// `[outputs]`, of DoRA.
    magnitude: Option<&'a [f32]>,
}

pub(super) fn write(target: &Target<'_>, config: &LoraConfig) -> Result<Written, AdapterError> {
    let mut adapted = Vec::new();
    for (path, module) in target.modules.iter() {
        let terms: Vec<Term<'_>> = module.parts.iter().filter_map(|part| term(target, module, part)).collect();
        if !terms.is_empty() {
            adapted.push(adapt(target.path(path), module, &terms, config)?);
        }
    }
    if adapted.is_empty() {
        let instead = "every rank is 0, so that the adapted model is the base model";
        return Err(AdapterError::NoPeftFormat { what: "LoRA without ranks".into(), instead });
    }
    let (rank, alpha) = (usual(adapted.iter().map(|m| m.rank)), usual(adapted.iter().map(|m| m.alpha.to_bits())));
    let alpha = f64::from_bits(alpha);
    let pattern = |value: &dyn Fn(&Adapted) -> Option<Value>| -> Map<String, Value> {
        adapted.iter().filter_map(|m| Some((m.path.clone(), value(m)?))).collect()
    };
    let fields = [
        ("peft_type", json!("LORA")),
        ("r", json!(rank)),
        ("lora_alpha", number(alpha)),
        ("lora_dropout", number(config.dropout)),
        ("bias", json!("none")),
        ("fan_in_fan_out", json!(target.fan_in_fan_out())),
        ("init_lora_weights", json!(true)),
        ("layers_pattern", Value::Null),
        ("layers_to_transform", Value::Null),
        ("modules_to_save", Value::Null),
        ("rank_pattern", Value::Object(pattern(&|m| (m.rank != rank).then(|| json!(m.rank))))),
        ("alpha_pattern", Value::Object(pattern(&|m| (m.alpha != alpha).then(|| number(m.alpha))))),
        ("target_modules", adapted.iter().map(|m| m.path.as_str()).collect()),
        ("use_dora", json!(config.variant == LoraVariant::Dora)),
        ("use_rslora", json!(config.scaling == LoraScaling::RankRoot)),
    ];
    let folded = matches!(config.variant, LoraVariant::Adaptive(_)).then(|| {
        "AdaLoRA's singular values are multiplied into A, and ranks that it gave up are left out: the same model, as LoRA."
            .to_owned()
    });
    Ok(Written {
        config: fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect(),
        tensors: adapted.into_iter().flat_map(|m| m.tensors).collect(),
        notes: folded.into_iter().collect(),
    })
}

/// The term of `part`, if it has one of rank above 0.
fn term<'a>(target: &'a Target<'_>, module: &Module, part: &'a Part) -> Option<Term<'a>> {
    let tensor = |suffix: &str| target.file.tensor(&format!("{}.lora_{suffix}", part.name)).map(|(_, values)| values);
    let (a, b) = (tensor("A")?, tensor("B")?);
    let stored_rank = a.len() / module.inputs;
    let singular_values = tensor("E");
    let value = |k: usize| singular_values.map_or(1.0, |e| e[k]);
    let kept: Vec<usize> = (0..stored_rank).filter(|&k| value(k) != 0.0).collect();
    let row = |&k: &usize| a[k * module.inputs..][..module.inputs].iter().map(move |&v| v * value(k));
    let b = b.chunks_exact(stored_rank).flat_map(|row| kept.iter().map(|&k| row[k])).collect();
    (!kept.is_empty()).then(|| Term {
        part,
        rank: kept.len(),
        a: kept.iter().flat_map(row).collect(),
        b,
        magnitude: tensor("magnitude_vector"),
    })
}

/// The adapter of a module out of the terms of its parts.
fn adapt(path: String, module: &Module, terms: &[Term<'_>], config: &LoraConfig) -> Result<Adapted, AdapterError> {
    if config.variant == LoraVariant::Dora && terms.len() < module.parts.len() {
        let what = "DoRA on some of GPT-2's queries, keys and values".to_owned();
        let instead = "there they are one module with one magnitude vector; adapt all three or none";
        return Err(AdapterError::NoPeftFormat { what, instead });
    }
    let rank: usize = terms.iter().map(|t| t.rank).sum();
    let mut b = vec![0.0; module.outputs * rank];
    let mut first = 0;
    for term in terms {
        for (row, values) in term.part.rows.clone().zip(term.b.chunks_exact(term.rank)) {
            b[row * rank + first..][..term.rank].copy_from_slice(values);
        }
        first += term.rank;
    }
    let name = |suffix: &str| format!("{PREFIX}{path}.lora_{suffix}");
    let a = terms.iter().flat_map(|t| &t.a).copied().collect();
    let mut tensors = vec![
        Tensor { name: name("A.weight"), shape: vec![rank, module.inputs], values: a },
        Tensor { name: name("B.weight"), shape: vec![module.outputs, rank], values: b },
    ];
    let magnitudes: Vec<f32> = terms.iter().filter_map(|t| t.magnitude).flatten().copied().collect();
    if !magnitudes.is_empty() {
        tensors.push(Tensor { name: name("magnitude_vector"), shape: vec![module.outputs], values: magnitudes });
    }
    let laid_out = config.rank_per_block[terms[0].part.block];
    Ok(Adapted { alpha: alpha_for(config.alpha, laid_out, rank, config.scaling), path, rank, tensors })
}

/// The alpha that at rank `to` scales as `alpha` does at rank `from`.
pub(super) fn alpha_for(alpha: f64, from: usize, to: usize, scaling: LoraScaling) -> f64 {
    match scaling {
        _ if from == to => alpha,
        LoraScaling::Rank => alpha * to as f64 / from as f64,
        LoraScaling::RankRoot => alpha * (to as f64).sqrt() / (from as f64).sqrt(),
    }
}

/// The most frequent value; of several, the smallest.
fn usual<T: Ord + Copy + Default>(values: impl Iterator<Item = T>) -> T {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    values.for_each(|value| *counts.entry(value).or_default() += 1);
    let most = counts.values().copied().max();
    counts.into_iter().find(|(_, count)| Some(*count) == most).map(|(value, _)| value).unwrap_or_default()
}

/// Whole numbers without a point, as `peft`'s own are.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}
