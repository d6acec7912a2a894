//! (IA)3 as `peft` has it: one `ia3_l` a module, `[outputs, 1]` on what comes out of it, `[1, inputs]` on what goes into a
//! feed-forward module. deft's three factors of a block are those of the key, of the value and of the input of the
//! feed-forward layer's second matrix, as Liu et al. 2022 have them.

use super::super::AdapterError;
use super::super::modules::{Module, Part};
use super::super::native::block_and_part;
use super::super::tensors::Tensor;
use super::PREFIX;
use super::export::{Target, Written};
use super::import::Source;
use crate::fomo::Projection;
use crate::nn::{Ia3Config, PeftMethod};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What our name of the factor on `part` ends with; `None` where deft has none.
fn factor(part: &Part) -> Option<&'static str> {
    match (part.projection, part.cross) {
        (Projection::Key, false) => Some("ia3_k"),
        (Projection::Value, false) => Some("ia3_v"),
        (Projection::Key, true) => Some("cross_ia3_k"),
        (Projection::Value, true) => Some("cross_ia3_v"),
        (Projection::FfnDown, _) => Some("ia3_ff"),
        (Projection::Query | Projection::AttentionOutput | Projection::FfnGate | Projection::FfnUp, _) => None,
    }
}

fn is_feed_forward(module: &Module) -> bool {
    module.parts.iter().any(|part| part.projection == Projection::FfnDown)
}

/// The shape of the module's `ia3_l`.
fn shape(module: &Module) -> Vec<usize> {
    if is_feed_forward(module) { vec![1, module.inputs] } else { vec![module.outputs, 1] }
}

const PLACES: &str = "its (IA)3 scales keys, values and the input of the feed-forward layer's second matrix";

pub(super) fn write(target: &Target<'_>) -> Result<Written, AdapterError> {
    let (mut tensors, mut paths, mut feed_forward) = (vec![], vec![], vec![]);
    for (path, module) in target.modules.iter() {
        // GPT-2's queries, which share a module with keys and values, are left as they are.
        let mut values = vec![1.0; shape(module).iter().product()];
        let mut scaled = false;
        for part in &module.parts {
            let Some(factors) = factor(part).and_then(|suffix| target.file.block_tensor(part.block, suffix)) else {
                continue;
            };
            let place = if is_feed_forward(module) { 0..module.inputs } else { part.rows.clone() };
            values[place].copy_from_slice(factors);
            scaled = true;
        }
        if scaled {
            let path = target.path(path);
            tensors.push(Tensor { name: format!("{PREFIX}{path}.ia3_l"), shape: shape(module), values });
            feed_forward.extend(is_feed_forward(module).then(|| path.clone()));
            paths.push(path);
        }
    }
    if tensors.is_empty() {
        let instead = "no block takes part, so that the adapted model is the base model";
        return Err(AdapterError::NoPeftFormat { what: "(IA)3 without blocks".into(), instead });
    }
    let fields = [
        ("peft_type", json!("IA3")),
        ("fan_in_fan_out", json!(target.fan_in_fan_out())),
        ("init_ia3_weights", json!(true)),
        ("modules_to_save", Value::Null),
        ("target_modules", json!(paths)),
        ("feedforward_modules", json!(feed_forward)),
    ];
    let config = fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect();
    Ok(Written { config, tensors, notes: vec![] })
}

/// The method and its tensors under our names. Modules that a folder leaves out are not scaled.
pub(super) fn read(source: &Source<'_>) -> Result<(PeftMethod, BTreeMap<String, Vec<f32>>), AdapterError> {
    let mut blocks = vec![false; source.architecture.blocks()];
    // By block and by what the name ends with.
    let mut factors: BTreeMap<(usize, &str), Vec<f32>> = BTreeMap::new();
    let mut found = Vec::new();
    for key in source.keys() {
        let Some((path, "ia3_l")) = key.split() else { return Err(source.unexpected(key.stored)) };
        let Some((path, module)) = source.modules.find(path) else { return Err(source.unexpected(key.stored)) };
        if found.contains(&path) {
            return Err(source.unexpected(key.stored));
        }
        if module.parts.iter().all(|part| factor(part).is_none()) {
            return Err(source.unexpected_but(key.stored, PLACES));
        }
        found.push(path);
        let values = source.tensors.values(key.stored, &shape(module))?;
        for part in &module.parts {
            let place = if is_feed_forward(module) { 0..module.inputs } else { part.rows.clone() };
            match factor(part) {
                Some(suffix) => {
                    blocks[part.block] = true;
                    factors.insert((part.block, suffix), values[place].to_vec());
                }
                None if values[place.clone()].iter().all(|&v| v == 1.0) => {}
                None => return Err(source.unexpected_but(key.stored, PLACES)),
            }
        }
    }
    source.check_targets(&found, "ia3_l")?;
    if found.is_empty() {
        return Err(source.empty());
    }
    let method = PeftMethod::Ia3(Ia3Config { blocks });
    let layout = source.layout(&method)?;
    let values = layout
        .tensors()
        .iter()
        .filter_map(|tensor| {
            let (block, suffix) = block_and_part(tensor)?;
            let ones = || vec![1.0; tensor.range().len()];
            suffix
                .contains("ia3_")
                .then(|| (tensor.name.clone(), factors.get(&(block, suffix)).cloned().unwrap_or_else(ones)))
        })
        .collect();
    Ok((method, values))
}
