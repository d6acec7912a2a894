//! What a pass works on: the rows of its sequences, their contents, and what the model should answer.

use super::{ParameterLayout, Share};
use crate::backend::{Dropout, Packing};
use crate::data::{Objective, PackedBatch};
use crate::fomo::Architecture;

/// No next token is predicted from this row.
const NO_TARGET: u32 = u32::MAX;
/// What T5's decoder reads first: its padding token. A config.json with another `decoder_start_token_id` is refused.
const DECODER_START: u32 = 0;

/// All shares of a pass.
pub(super) struct Rows {
    /// The only stack of a model, or its encoder.
    pub main: Stream,
    /// The decoder of an encoder-decoder.
    pub decoder: Option<Stream>,
    /// Pixels `[patches, values]`, and how patches belong to images.
    pub pixels: Vec<f32>,
    pub patches: Option<Packing>,
    pub labels: Vec<u32>,
    pub values: Vec<f32>,
    /// Weight of each of a sequence's targets in the loss.
    pub weights: Vec<f64>,
}

/// The rows of one stack of blocks.
pub(super) struct Stream {
    pub packing: Packing,
    /// Token ids, soft prompts not counted; empty for images.
    pub tokens: Vec<u32>,
    /// The token that each row should predict.
    pub targets: Vec<u32>,
    pub dropout: Option<Dropout>,
    /// The row of its batch that each client's rows start with.
    pub first_rows: Vec<u64>,
}

/// How many answers a batch asks for.
pub(super) fn targets_of(objective: Objective, batch: &PackedBatch) -> usize {
    match (objective, &batch.decoder) {
        (Objective::NextToken, Some(target)) => target.tokens.len(),
        (Objective::NextToken, None) => batch.rows() - batch.sequences(),
        _ => batch.sequences(),
    }
}

impl Rows {
    pub fn new(architecture: &Architecture, layout: &ParameterLayout, shares: &[Share<'_>]) -> Self {
        let objective = layout.objective();
        let image = architecture.image.is_some();
        // Rows of each sequence beside its tokens or patches.
        let extra = layout.prompt_tokens() + usize::from(image);
        let seq2seq = objective == Objective::NextToken && architecture.encoder_layers > 0;
        let mut main = Builder::default();
        let (mut patches, mut decoder) = (Builder::default(), Builder::default());
        let (mut labels, mut values, mut weights, mut pixels) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for share in shares {
            let Share { batch, sequences, .. } = share;
            let weight = f64::from(share.loss_scale) / targets_of(objective, batch) as f64;
            let rows = batch.offsets[sequences.start]..batch.offsets[sequences.end];
            main.start(share, rows.start + extra * sequences.start);
            patches.start(share, rows.start);
            if let Some(target) = batch.decoder.as_ref().filter(|_| seq2seq) {
                decoder.start(share, target.offsets[sequences.start]);
            }
            if image {
                let patch_values = batch.patches.len() / batch.rows().max(1);
                pixels.extend_from_slice(&batch.patches[rows.start * patch_values..rows.end * patch_values]);
            }
            for sequence in sequences.clone() {
                let len = batch.offsets[sequence + 1] - batch.offsets[sequence];
                let tokens: &[u32] = if image { &[] } else { batch.sequence(sequence) };
                main.tokens.extend_from_slice(tokens);
                main.sequence(extra + len);
                patches.sequence(len);
                if objective == Objective::NextToken && !seq2seq {
                    main.targets.extend(std::iter::repeat_n(NO_TARGET, extra));
                    main.targets.extend_from_slice(&tokens[1..]);
                    main.targets.push(NO_TARGET);
                }
                if let Some(target) = batch.decoder.as_ref().filter(|_| seq2seq) {
                    let target = target.sequence(sequence);
                    decoder.tokens.push(DECODER_START);
                    decoder.tokens.extend_from_slice(&target[..target.len() - 1]);
                    decoder.targets.extend_from_slice(target);
                    decoder.sequence(target.len());
                }
                labels.push(batch.labels[sequence]);
                if objective == Objective::Regression {
                    values.push(batch.values[sequence]);
                }
                weights.push(weight);
            }
        }
        Self {
            main: main.finish(),
            decoder: seq2seq.then(|| decoder.finish()),
            pixels,
            patches: image.then(|| patches.finish().packing),
            labels,
            values,
            weights,
        }
    }
}

#[derive(Default)]
struct Builder {
    offsets: Vec<usize>,
    segments: Vec<std::ops::Range<usize>>,
    tokens: Vec<u32>,
    targets: Vec<u32>,
    masks: Vec<(crate::random::CounterStream, u64)>,
    first_rows: Vec<u64>,
}

impl Builder {
    /// Begins the share of a client, whose first row is row `first` of its batch.
    fn start(&mut self, share: &Share<'_>, first: usize) {
        let start = self.segments.last().map_or(0, |s| s.end);
        self.segments.push(start..start + share.sequences.len());
        self.masks.extend(share.dropout.map(|key| (key, first as u64)));
        self.first_rows.push(first as u64);
    }

    fn sequence(&mut self, rows: usize) {
        let end = self.offsets.last().copied().unwrap_or(0) + rows;
        self.offsets.push(end);
    }

    fn finish(self) -> Stream {
        let Self { offsets, segments, tokens, targets, masks, first_rows } = self;
        let offsets = std::iter::once(0).chain(offsets).collect();
        let dropout = (!masks.is_empty() && masks.len() == segments.len()).then_some(Dropout { masks });
        Stream { packing: Packing::new(offsets, segments), tokens, targets, dropout, first_rows }
    }
}
