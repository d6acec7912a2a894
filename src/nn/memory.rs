//! How much memory a pass takes where all of it must be found beforehand: in half precision, nothing recomputed.

use crate::fomo::{Architecture, Family, Projection, TensorSource, names::BlockNames};

/// Bytes of a model and of one training pass over it, trainable parameters and their gradients not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassMemory {
    pub frozen: u64,
    /// What blocks keep for their gradients, and what passes from one to the next.
    pub activations: u64,
    /// Of a vocabulary's block of rows.
    pub logits: u64,
}

/// Bytes of a half-precision number, and of a sum.
const HALF: u64 = 2;
const SINGLE: u64 = 4;

impl PassMemory {
    /// A pass over `tokens` tokens; `logits` are held at once where tokens are predicted.
    ///
    /// Counts the arrays of `workspace.rs` as if every term that may keep something did.
    pub fn new(architecture: &Architecture, tokens: u64, logits: Option<u64>) -> Self {
        let a = architecture;
        let size = |v: usize| v as u64;
        let (h, f) = (size(a.hidden), size(a.ffn));
        let (q, k) = (size(a.heads * a.head_dim), size(a.kv_heads * a.head_dim));
        let up = if a.gated_ffn { 2 * f } else { f };
        // Input, what attention's and the feed-forward layer's products read, their norms, the state between both.
        let states = 6 * h;
        let attention = 2 * q + 2 * k;
        // Cross-attention has its own, over the encoder's rows for keys and values.
        let cross = if a.encoder_layers > 0 && a.decoder_layers > 0 { 2 * h + attention } else { 0 };
        let kept = HALF * (states + attention + cross + up + f) + SINGLE * (size(a.heads) + 2);
        // Hidden states, encoder's output and gradients of all of them; one set of working arrays.
        let once = HALF * (8 * h + 2 * (q + 2 * k) + up + 2 * f) + SINGLE * size(a.heads);
        Self {
            frozen: HALF * a.parameters(),
            activations: tokens * (size(a.blocks() + 1) * kept + once),
            logits: logits.map_or(0, |logits| logits * (SINGLE + HALF)),
        }
    }

    /// The same where matrices stay in the few bits that `source` holds them in: as [`Model::load`](super::Model::load) stacks them, and
    /// the largest of them in half precision besides.
    #[must_use]
    pub fn with_few_bits(self, architecture: &Architecture, source: &dyn TensorSource) -> Self {
        use Projection::{AttentionOutput, FfnDown, FfnGate, FfnUp, Key, Query, Value};
        if architecture.family == Family::Gpt2 {
            return self;
        }
        let up: &[Projection] = if architecture.gated_ffn { &[FfnGate, FfnUp] } else { &[FfnUp] };
        let stacks: [&[Projection]; 4] = [&[Query, Key, Value], &[AttentionOutput], up, &[FfnDown]];
        let (mut saved, mut largest) = (0, 0);
        for block in 0..architecture.blocks() {
            let names = BlockNames::new(architecture, block);
            for stack in stacks {
                let shapes = stack.iter().map(|p| p.shape(architecture));
                let weights: u64 = shapes.map(|(inputs, outputs)| (inputs * outputs) as u64).sum();
                let kind = |p: &Projection| {
                    let (inputs, outputs) = p.shape(architecture);
                    source.few_bits(&format!("{}.weight", names.projection(*p)), [outputs, inputs])
                };
                let Some((bits, group)) = kind(&stack[0]).filter(|k| stack.iter().all(|p| kind(p) == Some(*k))) else {
                    continue;
                };
                saved += HALF * weights - weights * u64::from(bits) / 8 - SINGLE * weights / group as u64;
                largest = largest.max(HALF * weights);
            }
        }
        Self { frozen: self.frozen + largest - saved.min(self.frozen), ..self }
    }

    pub fn bytes(&self) -> u64 {
        self.frozen + self.activations + self.logits
    }
}
