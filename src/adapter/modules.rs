//! The products of a model as Hugging Face's classes have them, and the products of ours that each of them is.
//!
//! They differ in two ways. GPT-2 keeps queries, keys and values in one matrix, which for deft are three products; and
//! the classes of some families put a name in front of, or in place of, the names in checkpoints.

use super::AdapterError;
use super::native::bare_objective;
use crate::data::Objective;
use crate::fomo::{Architecture, Family, Projection};
use crate::nn::{LoraConfig, LoraScaling, LoraVariant, Owner, ParameterLayout, PeftMethod};
use std::collections::BTreeMap;
use std::ops::Range;

/// The attribute that holds the base model inside a class with a head, such as `BertForSequenceClassification.bert`.
const WRAPPERS: [&str; 5] = ["bert.", "roberta.", "transformer.", "vit.", "model."];
const LORA_A: &str = ".lora_A";

/// One product of Hugging Face's model.
#[derive(Debug, PartialEq)]
pub struct Module {
    pub inputs: usize,
    pub outputs: usize,
    /// Ours, in the order of their rows.
    pub parts: Vec<Part>,
}

/// One product of ours.
#[derive(Debug, PartialEq)]
pub struct Part {
    /// In front of the names of its tensors, as in `encoder.layer.0.attention.self.query.lora_A`.
    pub name: String,
    pub block: usize,
    pub projection: Projection,
    /// Whether it belongs to a decoder's attention to its encoder.
    pub cross: bool,
    /// Outputs of the module that are its own.
    pub rows: Range<usize>,
}

/// All products of the blocks of one model, by their path in the class that `AutoModel` loads.
pub struct Modules {
    by_path: BTreeMap<String, Module>,
}

impl Modules {
    pub fn of(architecture: &Architecture) -> Result<Self, AdapterError> {
        let mut by_path: BTreeMap<String, Module> = BTreeMap::new();
        for projection in Projection::of(architecture) {
            let (inputs, outputs) = projection.shape(architecture);
            for (block, name) in adapted_products(architecture, projection)? {
                let path = auto_model_path(architecture.family, &name);
                let module = by_path.entry(path).or_insert(Module { inputs, outputs: 0, parts: vec![] });
                let rows = module.outputs..module.outputs + outputs;
                let cross = name.contains(".EncDecAttention.");
                module.outputs = rows.end;
                module.parts.push(Part { name, block, projection, cross, rows });
            }
        }
        Ok(Self { by_path })
    }

    /// Sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Module)> {
        self.by_path.iter().map(|(path, module)| (path.as_str(), module))
    }

    /// The module at `path` in any class that holds the model, with its path in the class that `AutoModel` loads. ViT's
    /// modules may also be called as they were before transformers 5.
    pub fn find(&self, path: &str) -> Option<(&str, &Module)> {
        let bare = WRAPPERS.iter().find_map(|w| path.strip_prefix(w)).unwrap_or(path);
        let exact = [path, bare].into_iter().find_map(|p| self.by_path.get_key_value(p));
        let found = exact.or_else(|| self.by_path.iter().find(|(_, m)| matches!(&m.parts[..], [p] if p.name == bare)));
        found.map(|(path, module)| (path.as_str(), module))
    }
}

/// Our names for `projection`, with their blocks: read off the layout that adapts it everywhere, since `nn` names them.
fn adapted_products(architecture: &Architecture, projection: Projection) -> Result<Vec<(usize, String)>, AdapterError> {
    let everywhere = PeftMethod::Lora(LoraConfig {
        rank_per_block: vec![1; architecture.blocks()],
        alpha: 1.0,
        targets: vec![projection],
        scaling: LoraScaling::Rank,
        dropout: 0.0,
        variant: LoraVariant::Plain,
    });
    let layout = ParameterLayout::new(architecture, &[everywhere], bare_objective(architecture.family))?;
    let product = |owner, name: &str| match owner {
        Owner::Block(block) => name.strip_suffix(LORA_A).map(|name| (block, name.to_owned())),
        Owner::Input | Owner::Head => None,
    };
    Ok(layout.tensors().iter().filter_map(|t| product(t.owner, &t.name)).collect())
}

/// Where the class that `AutoModel` loads has the product that we call `name`.
fn auto_model_path(family: Family, name: &str) -> String {
    match family {
        Family::Bert | Family::Roberta | Family::T5 => name.to_owned(),
        Family::Llama => name.strip_prefix("model.").unwrap_or(name).to_owned(),
        Family::Gpt2 => {
            let fused = ["attn.query", "attn.key", "attn.value"].into_iter().find_map(|p| name.strip_suffix(p));
            fused.map_or(name.to_owned(), |block| format!("{block}attn.c_attn"))
        }
        // transformers 5 renamed the modules; checkpoints keep the names that we use.
        Family::Vit => {
            let renamed = [
                ("attention.attention.query", "attention.q_proj"),
                ("attention.attention.key", "attention.k_proj"),
                ("attention.attention.value", "attention.v_proj"),
                ("attention.output.dense", "attention.o_proj"),
                ("intermediate.dense", "mlp.fc1"),
                ("output.dense", "mlp.fc2"),
            ];
            let bare = name.strip_prefix("encoder.").unwrap_or(name).replacen("layer.", "layers.", 1);
            let found = renamed.into_iter().find_map(|(old, new)| Some(format!("{}{new}", bare.strip_suffix(old)?)));
            found.unwrap_or(bare)
        }
    }
}

/// What stands in front of a path in the class for an objective, and what `peft` calls the class's task.
pub fn class_of(family: Family, objective: Option<Objective>) -> (&'static str, &'static str) {
    match (objective, family) {
        (Some(Objective::NextToken), Family::Llama) => ("model.", "CAUSAL_LM"),
        (Some(Objective::NextToken), Family::Gpt2) => ("transformer.", "CAUSAL_LM"),
        (Some(Objective::NextToken), Family::T5) => ("", "SEQ_2_SEQ_LM"),
        _ => ("", "FEATURE_EXTRACTION"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fomo::preset;

    fn modules(model: &str) -> Modules {
        Modules::of(&preset(model).unwrap()).unwrap()
    }

    /// Paths as `named_modules()` of transformers 5.23 lists them.
    #[test]
    fn paths_are_those_of_transformers() {
        for (model, count, paths) in [
            ("minilm-l6", 36, vec!["encoder.layer.5.attention.output.dense", "bert.encoder.layer.0.output.dense"]),
            ("gpt2", 48, vec!["h.11.attn.c_attn", "transformer.h.0.mlp.c_proj"]),
            ("tinyllama-1.1b", 22 * 7, vec!["layers.0.self_attn.q_proj", "model.layers.21.mlp.gate_proj"]),
            (
                "t5-small",
                6 * 6 + 6 * 10,
                vec!["encoder.block.0.layer.1.DenseReluDense.wi", "decoder.block.5.layer.1.EncDecAttention.v"],
            ),
            ("vit-b-16", 72, vec!["layers.0.mlp.fc1", "vit.encoder.layer.0.attention.attention.query"]),
        ] {
            let modules = modules(model);
            assert_eq!(modules.iter().count(), count, "{model}");
            for path in paths {
                assert!(modules.find(path).is_some(), "{model} has {path}");
            }
            assert_eq!(modules.find("pooler.dense"), None);
        }
    }

    #[test]
    fn gpt2_keeps_three_products_in_one() {
        let modules = modules("gpt2");
        let (path, module) = modules.find("transformer.h.1.attn.c_attn").unwrap();
        assert_eq!((path, module.inputs, module.outputs), ("h.1.attn.c_attn", 768, 2304));
        let parts: Vec<_> = module.parts.iter().map(|p| (p.name.as_str(), p.rows.clone())).collect();
        assert_eq!(parts, [("h.1.attn.query", 0..768), ("h.1.attn.key", 768..1536), ("h.1.attn.value", 1536..2304)]);
    }
}
