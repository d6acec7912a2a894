//! Soft prompts and prefixes as `peft` has them: one tensor, `prompt_embeddings`.
//!
//! A prompt's rows are ours. A prefix's row is one virtual token: the key and the value of block 0, then those of block 1
//! and so on, each `kv_heads * head_dim` wide. All blocks get as many tokens.

use super::super::AdapterError;
use super::super::native::block_and_part;
use super::super::tensors::Tensor;
use super::PROMPT_EMBEDDINGS;
use super::export::{Target, Written};
use super::import::Source;
use crate::fomo::{Architecture, Family};
use crate::nn::{PeftMethod, PrefixConfig, PromptConfig};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const KEY: &str = "prefix_k";
const VALUE: &str = "prefix_v";

fn width_of_prefix(architecture: &Architecture) -> usize {
    architecture.kv_heads * architecture.head_dim
}

/// Fields that both methods have.
fn fields(
    architecture: &Architecture,
    kind: &str,
    tokens: usize,
    heads: usize,
    width: usize,
) -> Vec<(&'static str, Value)> {
    vec![
        ("peft_type", json!(kind)),
        ("modules_to_save", Value::Null),
        ("num_virtual_tokens", json!(tokens)),
        ("num_layers", json!(architecture.blocks())),
        ("num_attention_heads", json!(heads)),
        ("num_transformer_submodules", json!(1)),
        ("token_dim", json!(width)),
    ]
}

fn written(fields: Vec<(&'static str, Value)>, shape: [usize; 2], values: Vec<f32>, notes: Vec<String>) -> Written {
    let tensor = Tensor { name: PROMPT_EMBEDDINGS.to_owned(), shape: shape.to_vec(), values };
    let config = fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect();
    Written { config, tensors: vec![tensor], notes }
}

pub(super) fn write_prompt(target: &Target<'_>, config: PromptConfig) -> Result<Written, AdapterError> {
    let architecture = target.architecture;
    let (hidden, tokens) = (architecture.hidden, config.tokens);
    let Some((_, values)) = target.file.tensor("prompt").filter(|_| architecture.family != Family::Vit) else {
        let instead = "it puts prompts before words only; read deft's own file";
        return Err(AdapterError::NoPeftFormat { what: "prompts before image patches".into(), instead });
    };
    let mut fields = fields(architecture, "PROMPT_TUNING", tokens, architecture.heads, hidden);
    fields.push(("prompt_tuning_init", json!("RANDOM")));
    let note = format!(
        "The model's output has {tokens} rows in front that belong to the prompt: leave them out when pooling."
    );
    Ok(written(fields, [tokens, hidden], values.to_vec(), vec![note]))
}

pub(super) fn write_prefix(target: &Target<'_>, config: &PrefixConfig) -> Result<Written, AdapterError> {
    let architecture = target.architecture;
    let refuse = |what: &str, instead| Err(AdapterError::NoPeftFormat { what: what.to_owned(), instead });
    let tokens = config.tokens_per_block.first().copied().unwrap_or(0);
    if matches!(architecture.family, Family::T5 | Family::Vit) {
        return refuse("a prefix of an encoder-decoder or of an image model", "it has none; read deft's own file");
    }
    if tokens == 0 || config.tokens_per_block.iter().any(|&n| n != tokens) {
        let instead =
            "its prefixes are as long in all blocks; train with one number of tokens, or read deft's own file";
        return refuse("a prefix in some blocks only or of different lengths", instead);
    }
    let width = width_of_prefix(architecture);
    let slots: Vec<&[f32]> = (0..architecture.blocks())
        .flat_map(|block| [KEY, VALUE].map(|suffix| target.file.block_tensor(block, suffix)))
        .flatten()
        .collect();
    let values = (0..tokens).flat_map(|token| slots.iter().flat_map(move |slot| &slot[token * width..][..width]));
    let mut fields = fields(architecture, "PREFIX_TUNING", tokens, architecture.kv_heads, width);
    fields.extend([("encoder_hidden_size", json!(width)), ("prefix_projection", json!(false))]);
    let note = format!(
        "deft counts the text's positions from 0 whatever the prefix; transformers counts them from {tokens}, the length \
         of the prefix. Pass position_ids of {tokens} less (peft adds them back) for the same answers."
    );
    Ok(written(fields, [tokens, slots.len() * width], values.copied().collect(), vec![note]))
}

/// The only tensor, `[tokens, columns]`.
fn embeddings(source: &Source<'_>, rows: usize, columns: usize) -> Result<Vec<f32>, AdapterError> {
    let keys = source.keys();
    if let Some(other) = keys.iter().find(|key| key.name != PROMPT_EMBEDDINGS) {
        return Err(source.unexpected(other.stored));
    }
    let stored = keys.first().map_or(PROMPT_EMBEDDINGS, |key| key.stored);
    Ok(source.tensors.values(stored, &[rows, columns])?)
}

fn tokens(source: &Source<'_>) -> Result<usize, AdapterError> {
    source.config.require("num_virtual_tokens")
}

pub(super) fn read_prompt(source: &Source<'_>) -> Result<(PeftMethod, BTreeMap<String, Vec<f32>>), AdapterError> {
    let (tokens, hidden) = (tokens(source)?, source.architecture.hidden);
    // An encoder-decoder's tensor has rows for both; the model reads the encoder's only.
    let submodules = source.config.get("num_transformer_submodules")?.unwrap_or(1usize).clamp(1, 2);
    let mut values = embeddings(source, tokens.saturating_mul(submodules), hidden)?;
    values.truncate(tokens * hidden);
    let method = PeftMethod::Prompt(PromptConfig { tokens });
    Ok((method, BTreeMap::from([("prompt".to_owned(), values)])))
}

pub(super) fn read_prefix(source: &Source<'_>) -> Result<(PeftMethod, BTreeMap<String, Vec<f32>>), AdapterError> {
    let architecture = source.architecture;
    if source.config.get("prefix_projection")?.unwrap_or(false) {
        return Err(source.config.refuse("prefix_projection", "is true, but deft trains the prefix itself".into()));
    }
    if matches!(architecture.family, Family::T5 | Family::Vit) {
        let cause = "prefixes are read for models with one stack of blocks that reads words".into();
        return Err(source.config.refuse("peft_type", cause));
    }
    let (tokens, blocks, width) = (tokens(source)?, architecture.blocks(), width_of_prefix(architecture));
    let values = embeddings(source, tokens, 2 * blocks * width)?;
    let method = PeftMethod::Prefix(PrefixConfig { tokens_per_block: vec![tokens; blocks] });
    let layout = source.layout(&method)?;
    let slot = |slot: usize| values.chunks_exact(2 * blocks * width).flat_map(move |row| &row[slot * width..][..width]);
    let ours = layout.tensors().iter().filter_map(|tensor| match block_and_part(tensor)? {
        (block, KEY) => Some((tensor.name.clone(), slot(2 * block).copied().collect())),
        (block, VALUE) => Some((tensor.name.clone(), slot(2 * block + 1).copied().collect())),
        _ => None,
    });
    Ok((method, ours.collect()))
}
