//! The frozen backbone, loaded once and shared by every client.

use super::block::Block;
use super::names;
use super::reader::Reader;
use super::workspace::Workspace;
use super::{NnError, ParameterLayout};
use crate::backend::{Backend, Embedding, Linear, Norm};
use crate::data::{Objective, PackedBatch};
use crate::fomo::{Architecture, Family, TensorSource};
use std::sync::{Mutex, PoisonError};

/// Frozen weights on a backend. Immutable: any number of passes may run at once.
pub struct Model<B: Backend> {
    pub(super) backend: B,
    pub(super) architecture: Architecture,
    /// ViT's projection of patches.
    pub(super) patches: Option<Linear<B>>,
    pub(super) embedding: Embedding<B>,
    pub(super) embedding_norm: Option<Norm<B>>,
    pub(super) blocks: Vec<Block<B>>,
    /// Behind an encoder-decoder's encoder.
    pub(super) encoder_norm: Option<Norm<B>>,
    /// Behind the last block of a pre-norm model.
    pub(super) final_norm: Option<Norm<B>>,
    /// From hidden states to the vocabulary, where tokens are predicted.
    pub(super) output: Option<Linear<B>>,
    idle: Mutex<Vec<Workspace<B>>>,
}

impl<B: Backend> Model<B> {
    /// Reads the tensors of a Hugging Face checkpoint; poolers and the heads of other tasks are not used.
    ///
    /// # Errors
    /// If the family has no such objective, the geometry does not fit together, or a tensor is missing or misshapen.
    pub fn load(
        backend: B,
        architecture: &Architecture,
        objective: Objective,
        source: &dyn TensorSource,
    ) -> Result<Self, NnError> {
        check_geometry(architecture)?;
        let reader = Reader { backend: &backend, architecture, source };
        let family = architecture.family;
        let embedding_norm = match family {
            Family::Bert | Family::Roberta => Some(reader.norm(names::EMBEDDING_NORM)?),
            _ => None,
        };
        let patches = architecture.image.map(|image| reader.patches(image)).transpose()?;
        let embedding = reader.embedding()?;
        let blocks = reader.blocks()?;
        let encoder_norm = (family == Family::T5).then(|| reader.norm(names::ENCODER_NORM)).transpose()?;
        let final_norm = names::final_norm(family).map(|name| reader.norm(name)).transpose()?;
        let output = (objective == Objective::NextToken).then(|| reader.output()).transpose()?;
        let (architecture, idle) = (architecture.clone(), Mutex::default());
        Ok(Self {
            backend,
            architecture,
            patches,
            embedding,
            embedding_norm,
            blocks,
            encoder_norm,
            final_norm,
            output,
            idle,
        })
    }

    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Factor of the hidden states on their way to the vocabulary: T5 scales where the matrix is the embedding's.
    pub(super) fn output_scale(&self) -> f64 {
        let tied_t5 = self.architecture.family == Family::T5 && self.architecture.tied_output;
        if tied_t5 { (self.architecture.hidden as f64).sqrt().recip() } else { 1.0 }
    }

    /// Whether the model can be trained on `batch` as `layout` says; passes do not check again.
    ///
    /// # Errors
    /// Names the first sample that is empty, too long, of another kind than the model reads, or holds a token, label or
    /// value out of range.
    pub fn check_batch(&self, layout: &ParameterLayout, batch: &PackedBatch) -> Result<(), NnError> {
        let Architecture { family, vocabulary, .. } = self.architecture;
        let limit = self.longest_sequence(layout);
        for (sequence, tokens) in batch.lengths().enumerate() {
            if tokens == 0 || tokens > limit {
                return Err(NnError::SequenceLength { sequence, tokens, limit });
            }
        }
        let padding = (family == Family::Roberta).then_some(ROBERTA_PADDING);
        let known =
            |tokens: &[u32], sequence| match tokens.iter().find(|&&t| t as usize >= vocabulary || Some(t) == padding) {
                Some(&token) if Some(token) == padding => Err(NnError::Padding { sequence, token }),
                Some(&token) => Err(NnError::Token { sequence, token, vocabulary }),
                None => Ok(()),
            };
        match self.architecture.image {
            None if batch.tokens.len() != batch.rows() => return Err(NnError::Content { expected: "texts" }),
            None => (0..batch.sequences()).try_for_each(|s| known(batch.sequence(s), s))?,
            Some(image) => {
                let patches = (image.side_px / image.patch_px).pow(2);
                let values = image.channels * image.patch_px * image.patch_px;
                let fits = batch.lengths().all(|l| l == patches) && batch.patches.len() == batch.rows() * values;
                if !fits {
                    return Err(NnError::Content { expected: "images of the model's size" });
                }
            }
        }
        match layout.objective() {
            Objective::Classification { classes } => {
                let beyond = batch.labels.iter().enumerate().find(|(_, label)| **label as usize >= classes);
                beyond.map_or(Ok(()), |(sequence, &label)| Err(NnError::Label { sequence, label, classes }))
            }
            Objective::Regression => {
                let values = &batch.values;
                let unusable = values.len() != batch.sequences() || values.iter().any(|v| !v.is_finite());
                if unusable { Err(NnError::Content { expected: "one finite number a sequence" }) } else { Ok(()) }
            }
            Objective::NextToken if self.architecture.encoder_layers == 0 => {
                let short = batch.lengths().position(|l| l < 2);
                short.map_or(Ok(()), |sequence| Err(NnError::SequenceLength { sequence, tokens: 1, limit }))
            }
            Objective::NextToken => match &batch.decoder {
                Some(target) if target.offsets.len() == batch.offsets.len() => {
                    for (sequence, tokens) in target.lengths().enumerate() {
                        if tokens == 0 {
                            return Err(NnError::SequenceLength { sequence, tokens, limit });
                        }
                        known(target.sequence(sequence), sequence)?;
                    }
                    Ok(())
                }
                _ => Err(NnError::Content { expected: "one target text a sequence" }),
            },
        }
    }

    /// Rows that a sequence may have beside soft prompts.
    fn longest_sequence(&self, layout: &ParameterLayout) -> usize {
        let Architecture { family, positions, .. } = self.architecture;
        match family {
            // Relative and rotary positions have no end; images fit by construction.
            Family::Llama | Family::T5 | Family::Vit => usize::MAX,
            Family::Bert | Family::Gpt2 => positions.saturating_sub(layout.prompt_tokens()),
            Family::Roberta => (positions - ROBERTA_OFFSET).saturating_sub(layout.prompt_tokens()),
        }
    }

    /// A workspace that no other pass is using.
    pub(super) fn take_workspace(&self) -> Workspace<B> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop().unwrap_or_else(|| Workspace::new(self.blocks.len()))
    }

    pub(super) fn return_workspace(&self, workspace: Workspace<B>) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
    }
}

/// RoBERTa's first position is its padding index plus one (`create_position_ids_from_input_ids` in transformers).
pub(super) const ROBERTA_OFFSET: usize = 2;
/// RoBERTa's padding token, which takes no position there: the tokens behind it would have others than ours.
const ROBERTA_PADDING: u32 = 1;

fn check_geometry(architecture: &Architecture) -> Result<(), NnError> {
    let Architecture { family, hidden, heads, kv_heads, head_dim, ffn, token_types, positions, .. } = *architecture;
    let refuse =
        |what, found: usize, expected: &str| Err(NnError::Geometry { what, found, expected: expected.to_owned() });
    for (what, size) in [("hidden", hidden), ("heads", heads), ("head_dim", head_dim), ("ffn", ffn)] {
        if size == 0 {
            return refuse(what, 0, "1 or more");
        }
    }
    if !matches!(family, Family::Llama | Family::T5) && heads * head_dim != hidden {
        return refuse("heads * head_dim", heads * head_dim, &hidden.to_string());
    }
    if kv_heads == 0 || heads % kv_heads != 0 {
        return refuse("kv_heads", kv_heads, &format!("a divisor of {heads}, the number of heads"));
    }
    if matches!(family, Family::Bert | Family::Roberta) && token_types == 0 {
        return refuse("token_types", 0, "1 or more");
    }
    if family == Family::Roberta && positions <= ROBERTA_OFFSET {
        return refuse("positions", positions, "more than 2, which RoBERTa passes over");
    }
    if architecture.rotary.is_some() && head_dim % 2 != 0 {
        return refuse("head_dim", head_dim, "an even number, for rotary positions");
    }
    if let Some(image) = architecture.image {
        if image.patch_px == 0 || image.side_px % image.patch_px != 0 {
            return refuse("patch_px", image.patch_px, &format!("a divisor of {}, the image's side", image.side_px));
        }
        if positions != (image.side_px / image.patch_px).pow(2) + 1 {
            return refuse("positions", positions, "one a patch and one for the class token");
        }
    }
    Ok(())
}
