//! Settings of methods that change what the same tensors compute.
//!
//! Names and shapes of tensors say which sizes a method has; what they are multiplied by, no tensor says. Settings that
//! only training reads, such as dropout and AdaLoRA's budget, may differ.

use crate::backend::Activation;
use crate::nn::{AdapterConfig, AdapterPlacement, LoraConfig, LoraScaling, LoraVariant, PeftMethod};
use std::fmt::Display;

/// A setting in which two methods of one kind differ, as scenarios call it.
#[derive(Debug, PartialEq)]
pub struct Difference {
    pub setting: &'static str,
    /// What the adapter has.
    pub found: String,
    /// What it should have.
    pub expected: String,
}

impl Difference {
    fn between<T: PartialEq + Display>(setting: &'static str, found: T, expected: T) -> Option<Self> {
        let differ = found != expected;
        differ.then(|| Self { setting, found: found.to_string(), expected: expected.to_string() })
    }
}

/// The first setting in which one of `found` differs from its like among `expected`; a method that has none there is left to
/// the comparison of tensors.
pub fn difference(found: &[PeftMethod], expected: &[PeftMethod]) -> Option<Difference> {
    found.iter().find_map(|method| match method {
        PeftMethod::Lora(own) => expected.iter().find_map(|other| match other {
            PeftMethod::Lora(other) => of_lora(own, other),
            _ => None,
        }),
        PeftMethod::Adapter(own) => {
            let others = || expected.iter().filter_map(|m| if let PeftMethod::Adapter(c) = m { Some(c) } else { None });
            let like = others().find(|other| other.placement == own.placement);
            like.or(others().next()).and_then(|other| of_adapter(own, other))
        }
        PeftMethod::Prefix(_) | PeftMethod::Prompt(_) | PeftMethod::Ia3(_) | PeftMethod::Selective(_) => None,
    })
}

fn of_lora(found: &LoraConfig, expected: &LoraConfig) -> Option<Difference> {
    let variant = |config: &LoraConfig| match config.variant {
        LoraVariant::Plain => "lora",
        LoraVariant::Dora => "dora",
        LoraVariant::Adaptive(_) => "ada_lora",
    };
    let scaling = |config: &LoraConfig| match config.scaling {
        LoraScaling::Rank => "rank",
        LoraScaling::RankRoot => "rank_root",
    };
    Difference::between("method", variant(found), variant(expected))
        .or_else(|| Difference::between("scaling", scaling(found), scaling(expected)))
        .or_else(|| Difference::between("alpha", found.alpha, expected.alpha))
}

fn of_adapter(found: &AdapterConfig, expected: &AdapterConfig) -> Option<Difference> {
    let placement = |config: &AdapterConfig| match config.placement {
        AdapterPlacement::Houlsby => "houlsby",
        AdapterPlacement::Pfeiffer => "pfeiffer",
        AdapterPlacement::Parallel => "parallel",
    };
    let activation = |config: &AdapterConfig| match config.activation {
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_tanh",
        Activation::Silu => "silu",
        Activation::Relu => "relu",
    };
    Difference::between("placement", placement(found), placement(expected))
        .or_else(|| Difference::between("activation", activation(found), activation(expected)))
        .or_else(|| Difference::between("adapter_scale", found.scale, expected.scale))
}
