//! What must be in memory at once.

use super::{BatchShape, ModelCost, Part, Segment, Task};
use crate::compute::Precision;

/// AdamW's two moments in 32 bits (Loshchilov and Hutter 2019).
pub const ADAMW_BYTES_PER_PARAMETER: u64 = 8;
/// One velocity in 32 bits (Polyak 1964); plain SGD keeps nothing.
pub const MOMENTUM_BYTES_PER_PARAMETER: u64 = 4;

impl ModelCost {
    /// Memory of the segment's parameters; a tied output matrix counts once where both of its users are.
    pub fn segment_weight_bytes(&self, segment: &Segment) -> u64 {
        let bytes: u64 = segment.parts().map(|part| self.weight_bytes(part)).sum();
        let shares_matrix =
            segment.embedding && segment.head && self.architecture.tied_output && self.task == Task::LanguageModel;
        if shares_matrix { bytes - self.table_bytes() } else { bytes }
    }

    /// Memory of one training step: parameters; for each trainable one a gradient in 32 bits and
    /// `optimizer_bytes_per_parameter` (8 for AdamW, 12 with a 32-bit master copy); what forward keeps for backward;
    /// and the working buffer of the largest operation.
    pub fn training_memory_bytes(
        &self,
        segment: &Segment,
        batch: &BatchShape,
        optimizer_bytes_per_parameter: u64,
    ) -> u64 {
        let per_trainable = Precision::Fp32.bytes() + optimizer_bytes_per_parameter;
        let stored: u64 = segment.parts().map(|part| self.stored_activation_bytes(part, batch)).sum();
        self.segment_weight_bytes(segment)
            + self.segment_trainable_parameters(segment) * per_trainable
            + stored
            + self.working_bytes(segment.parts(), batch)
    }

    /// Memory of a forward pass alone: parameters and working buffer.
    pub fn inference_memory_bytes(&self, segment: &Segment, batch: &BatchShape) -> u64 {
        self.segment_weight_bytes(segment) + self.working_bytes(segment.parts(), batch)
    }

    /// Inputs and output of the largest operation, and the residual stream beside it.
    fn working_bytes(&self, parts: impl Iterator<Item = Part>, batch: &BatchShape) -> u64 {
        if self.fused_attention {
            return self.workspace_bytes(batch);
        }
        let largest = parts.map(|part| self.ledger(part, batch).peak_elements).max().unwrap_or(0);
        let batch = self.seen(batch);
        let residual = (batch.tokens + batch.decoder_tokens) * self.architecture.hidden_size();
        (largest + residual) * self.activations.bytes()
    }

    /// What fused passes hold once: hidden states and their gradient, one set of a block's gradients, and, where the lowest blocks
    /// keep nothing for backward, one set of what a block computes forward.
    fn workspace_bytes(&self, batch: &BatchShape) -> u64 {
        let (a, batch) = (&self.architecture, self.seen(batch));
        let (h, q, k, f) = (a.hidden_size(), a.query_size(), a.key_size(), a.ffn_size());
        let pairs = if a.gated_ffn { 2 * f } else { 0 };
        let gradients = h.max(q) + h + f + pairs + (q + 2 * k);
        let is_first_kept = self.lowest_trainable().is_some_and(|lowest| lowest <= Part::Block(0));
        let forward = if is_first_kept { 0 } else { 2 * h + 2 * q + 2 * k + pairs };
        let (tokens, encoder) = match batch.decoder_tokens {
            0 => (batch.tokens, 0),
            decoder => (decoder.max(batch.tokens), batch.tokens),
        };
        // Where the encoder only runs forward, gradients are the decoder's.
        let differentiated = if encoder > 0 && !self.source_trains() { batch.decoder_tokens } else { tokens };
        let own = tokens * (h + forward) + differentiated * (h + gradients);
        (own + encoder * (2 * h + 2 * k)) * self.activations.bytes()
    }
}
