//! The frozen backbone, loaded once and shared by every client.

use super::NnError;
use super::block::Block;
use super::workspace::Workspace;
use crate::backend::{AttentionShape, Backend, Linear, Norm};
use crate::data::PackedBatch;
use crate::fomo::{Architecture, Family, TensorSource};
use std::sync::{Mutex, PoisonError};

/// Frozen weights on a backend. Immutable: any number of passes may run at once.
pub struct Model<B: Backend> {
    pub(super) backend: B,
    pub(super) architecture: Architecture,
    /// `[vocabulary, hidden]`.
    pub(super) words: B::Buffer,
    /// `[positions, hidden]`, the embedding of token type 0 included.
    pub(super) positions: B::Buffer,
    pub(super) embedding_norm: Norm<B>,
    pub(super) blocks: Vec<Block<B>>,
    idle: Mutex<Vec<Workspace<B>>>,
}

impl<B: Backend> Model<B> {
    /// Reads the tensors that a Hugging Face BERT checkpoint holds; the pooler is not used.
    ///
    /// # Errors
    /// If the family is not supported, the geometry does not fit together, or a tensor is missing or misshapen.
    pub fn load(backend: B, architecture: &Architecture, source: &dyn TensorSource) -> Result<Self, NnError> {
        check_geometry(architecture)?;
        let reader = Reader { backend: &backend, architecture, source };
        let hidden = architecture.hidden;
        let words = source.tensor("embeddings.word_embeddings.weight", &[architecture.vocabulary, hidden])?;
        let types = source.tensor("embeddings.token_type_embeddings.weight", &[architecture.token_types, hidden])?;
        let mut positions =
            source.tensor("embeddings.position_embeddings.weight", &[architecture.positions, hidden])?;
        for row in positions.chunks_exact_mut(hidden) {
            row.iter_mut().zip(&types[..hidden]).for_each(|(p, t)| *p += t);
        }
        let embedding_norm = reader.norm("embeddings.LayerNorm")?;
        let blocks = (0..architecture.blocks()).map(|i| reader.block(i)).collect::<Result<_, _>>()?;
        let (words, positions) = (backend.upload(&words), backend.upload(&positions));
        let (architecture, idle) = (architecture.clone(), Mutex::default());
        Ok(Self { backend, architecture, words, positions, embedding_norm, blocks, idle })
    }

    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Whether the model can be trained on `batch` with labels below `classes`; passes do not check again.
    ///
    /// # Errors
    /// Names the first sequence that is empty, too long, or holds a token or label out of range.
    pub fn check_batch(&self, batch: &PackedBatch, classes: usize) -> Result<(), NnError> {
        let Architecture { positions: limit, vocabulary, .. } = self.architecture;
        for (sequence, &label) in batch.labels.iter().enumerate() {
            let tokens = batch.sequence(sequence);
            if tokens.is_empty() || tokens.len() > limit {
                return Err(NnError::SequenceLength { sequence, tokens: tokens.len(), limit });
            }
            if let Some(&token) = tokens.iter().find(|&&t| t as usize >= vocabulary) {
                return Err(NnError::Token { sequence, token, vocabulary });
            }
            if label as usize >= classes {
                return Err(NnError::Label { sequence, label, classes });
            }
        }
        Ok(())
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

fn check_geometry(architecture: &Architecture) -> Result<(), NnError> {
    let Architecture { family, hidden, heads, kv_heads, head_dim, token_types, .. } = *architecture;
    if family != Family::Bert {
        return Err(NnError::UnsupportedFamily { family });
    }
    let expect = |what, found, expected: usize| {
        let mismatch = NnError::Geometry { what, found, expected: expected.to_string() };
        if found == expected { Ok(()) } else { Err(mismatch) }
    };
    expect("heads * head_dim", heads * head_dim, hidden)?;
    expect("kv_heads", kv_heads, heads)?;
    if token_types == 0 {
        return Err(NnError::Geometry { what: "token_types", found: 0, expected: "1 or more".into() });
    }
    Ok(())
}

/// Turns named tensors into a backend's weights.
struct Reader<'a, B: Backend> {
    backend: &'a B,
    architecture: &'a Architecture,
    source: &'a dyn TensorSource,
}

impl<B: Backend> Reader<'_, B> {
    /// Projections `names` of the same input, stacked into one matrix.
    fn linear(&self, names: &[String], inputs: usize, outputs_each: usize) -> Result<Linear<B>, NnError> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            weight.extend(self.source.tensor(&format!("{name}.weight"), &[outputs_each, inputs])?);
            bias.extend(self.source.tensor(&format!("{name}.bias"), &[outputs_each])?);
        }
        let outputs = outputs_each * names.len();
        let weight = self.backend.matrix(&weight, outputs, inputs);
        Ok(Linear { weight, bias: self.backend.upload(&bias), inputs, outputs })
    }

    fn norm(&self, name: &str) -> Result<Norm<B>, NnError> {
        let width = self.architecture.hidden;
        let gain = self.source.tensor(&format!("{name}.weight"), &[width])?;
        let shift = self.source.tensor(&format!("{name}.bias"), &[width])?;
        let (gain, shift) = (self.backend.upload(&gain), self.backend.upload(&shift));
        Ok(Norm { gain, shift, epsilon: self.architecture.norm_eps, width })
    }

    fn block(&self, index: usize) -> Result<Block<B>, NnError> {
        let Architecture { hidden, heads, head_dim, ffn, .. } = *self.architecture;
        let name = |part: &str| format!("encoder.layer.{index}.{part}");
        let qkv = ["query", "key", "value"].map(|p| name(&format!("attention.self.{p}")));
        Ok(Block {
            shape: AttentionShape { heads, head_dim, scale: (head_dim as f64).sqrt().recip() },
            qkv: self.linear(&qkv, hidden, hidden)?,
            attention_output: self.linear(&[name("attention.output.dense")], hidden, hidden)?,
            attention_norm: self.norm(&name("attention.output.LayerNorm"))?,
            ffn_up: self.linear(&[name("intermediate.dense")], hidden, ffn)?,
            ffn_down: self.linear(&[name("output.dense")], ffn, hidden)?,
            ffn_norm: self.norm(&name("output.LayerNorm"))?,
        })
    }
}
