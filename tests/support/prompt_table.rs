//! The keys of `technique.ensemble` and `technique.transfer`.

use crate::key_bases::Base;
use crate::key_table::{Row, row, together};
use Base::Prompts;
use PromptBase::{ByKey, ByValidation, Trained, Transferred, TransferredTrained};
use serde_json::{Value, json};

/// Scenarios that together hold every key of the two sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptBase {
    /// Emulations.
    ByKey,
    ByValidation,
    Transferred,
    /// Real training.
    Trained,
    TransferredTrained,
}

impl PromptBase {
    pub const ALL: [Self; 5] = [ByKey, ByValidation, Transferred, Trained, TransferredTrained];

    /// Its file, and what is set in it.
    pub fn recipe(self) -> (&'static str, Vec<(&'static str, Value)>) {
        let technique = |kind: &str, section: &str, keys: Value| {
            let rounds = if section == "transfer" { 4 } else { 2 };
            ("technique", json!({"kind": kind, "rounds": rounds, "local_steps": 2, section: keys}))
        };
        let prompt = ("peft", json!({"method": "prompt", "tokens": 2}));
        let ring = ("placement", json!({"kind": "uniform", "min_distance_m": 5, "max_distance_m": 20}));
        let few = ("training.final_evaluation_samples", json!(12));
        let fast = ("training.learning_rate", json!(0.05));
        match self {
            ByKey => {
                let keys = json!({"combine": "key_similarity", "top": 2, "temperature": 0.1, "key": "hidden",
                                  "key_samples": 64, "queries": 2, "query": "text"});
                ("keys.yaml", vec![prompt, technique("prompt_ensemble", "ensemble", keys)])
            }
            ByValidation => {
                let keys = json!({"combine": "validation_weighted", "top": 2, "validation_samples": 64});
                ("keys.yaml", vec![prompt, technique("prompt_ensemble", "ensemble", keys)])
            }
            Transferred => {
                let keys = json!({"donor_rounds": 1, "newcomers": [2], "choose": "most_similar", "key": "hidden",
                                  "key_samples": 64, "carries": "prompt_and_head"});
                ("keys.yaml", vec![prompt, ring, technique("prompt_transfer", "transfer", keys)])
            }
            Trained => {
                let keys = json!({"combine": "key_similarity", "top": 2, "temperature": 0.1, "queries": 1});
                ("tiny.yaml", vec![prompt, few, fast, technique("prompt_ensemble", "ensemble", keys)])
            }
            TransferredTrained => {
                let keys = json!({"newcomers": [1], "target_accuracy": 0.01});
                ("tiny.yaml", vec![prompt, few, fast, ring, technique("prompt_transfer", "transfer", keys)])
            }
        }
    }
}

pub fn rows() -> Vec<Row> {
    let ensemble = |key, base, value| row(key, Prompts(base), value);
    let uniform = [("technique.ensemble", json!({"combine": "uniform"}))];
    let cold = [("technique.transfer", json!({"choose": "none", "donor_rounds": 1, "newcomers": [2]}))];
    vec![
        together("technique.ensemble.combine", Prompts(ByKey), &uniform),
        ensemble("technique.ensemble.top", ByKey, json!(1)),
        ensemble("technique.ensemble.temperature", Trained, json!(10)),
        ensemble("technique.ensemble.key", ByKey, json!("embeddings")),
        ensemble("technique.ensemble.key_samples", ByKey, json!(200)),
        ensemble("technique.ensemble.validation_samples", ByValidation, json!(200)),
        ensemble("technique.ensemble.queries", ByKey, json!(3)),
        ensemble("technique.ensemble.query", ByKey, json!("embeddings")),
        ensemble("technique.transfer.donor_rounds", Transferred, json!(2)),
        ensemble("technique.transfer.newcomers[*]", Transferred, json!(0)),
        together("technique.transfer.choose", Prompts(Transferred), &cold),
        ensemble("technique.transfer.carries", Transferred, json!("prompt")),
        ensemble("technique.transfer.key", Transferred, json!("embeddings")),
        ensemble("technique.transfer.key_samples", Transferred, json!(200)),
        ensemble("technique.transfer.sidelink.environment", Transferred, json!("highway")),
        ensemble("technique.transfer.sidelink.carrier_ghz", Transferred, json!(3.5)),
        ensemble("technique.transfer.sidelink.bandwidth_mhz", Transferred, json!(10)),
        ensemble("technique.transfer.target_accuracy", TransferredTrained, json!(1)),
    ]
}
