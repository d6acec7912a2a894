//! Models whose weights are a file's made-up numbers: no checkpoint is needed.

use crate::compare::{fill, gradient_difference, number, numbers};
use deft::fomo::{Architecture, CheckpointError, TensorSource};
use deft::nn::{PeftMethod, Selection, SelectiveConfig};
use serde_json::Value;

/// The file's weights, by their names in a checkpoint.
pub struct MadeUp<'a> {
    pub constants: &'a Value,
    pub tensors: &'a [Value],
}

impl MadeUp<'_> {
    fn find(&self, name: &str) -> Option<&Value> {
        self.tensors.iter().find(|t| t["name"] == name)
    }
}

impl TensorSource for MadeUp<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        let listed = self.find(name).unwrap_or_else(|| panic!("the file has no {name}"));
        assert_eq!(numbers(&listed["shape"]), shape.iter().map(|&n| n as f64).collect::<Vec<_>>(), "{name}");
        let norm = listed["norm"] == true || name.contains("layer_norm");
        let amp = number(&self.constants[if norm { "norm_amp" } else { "amp" }]) as f32;
        let values = fill(seed(self.constants), t(listed), shape.iter().product(), amp);
        Ok(if norm { values.into_iter().map(|v| 1.0 + v).collect() } else { values })
    }

    fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}

pub fn seed(constants: &Value) -> u64 {
    constants["seed"].as_u64().expect("a seed")
}

pub fn t(tensor: &Value) -> u64 {
    tensor["t"].as_u64().expect("t counts")
}

/// All that a model has trains.
pub fn full(architecture: &Architecture) -> PeftMethod {
    PeftMethod::Selective(SelectiveConfig {
        selection: Selection::Everything,
        blocks: vec![true; architecture.blocks()],
        outside: true,
    })
}

/// [`gradient_difference`], and of all values in one number, so that none can be off unseen.
pub fn whole_difference(gradient: &[f32], tensor: &Value, constants: &Value) -> f64 {
    let made_up = fill(seed(constants), t(tensor) + 1000, gradient.len(), 1.0);
    let product: f64 = gradient.iter().zip(made_up).map(|(&g, m)| f64::from(g) * f64::from(m)).sum();
    let off = (product - number(&tensor["grad_product"])).abs();
    let share = off / (number(&tensor["grad_l2"]) * (gradient.len() as f64).sqrt());
    gradient_difference(gradient, tensor).max(share)
}
