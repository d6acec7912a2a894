//! Which rows an embedding makes and which ones a head reads: the same on every backend.

use super::{EmbeddingSlots, HeadSlot, Packing, Pooling};
use std::ops::Range;

/// What a row is made of.
pub(super) enum Source {
    /// Number of the soft prompt's row.
    Prompt(usize),
    Class,
    /// Number of the token or patch, all sequences counted.
    Content(usize),
}

/// A row: its client, source, and position in the table of learned positions.
pub(super) struct EmbeddedRow {
    pub client: usize,
    pub row: usize,
    pub source: Source,
    pub position: Option<usize>,
}

/// All rows of an embedding in order.
pub(super) fn embedded_rows(packing: &Packing, slots: &EmbeddingSlots, has_class_token: bool) -> Vec<EmbeddedRow> {
    let prompts = slots.prompt.map_or(0, |p| p.tokens);
    let without_position = slots.prompt.filter(|p| !p.takes_positions).map_or(0, |p| p.tokens);
    let before = prompts + usize::from(has_class_token);
    let (mut all, mut content) = (Vec::with_capacity(packing.rows()), 0);
    for (client, sequences) in packing.segments().iter().enumerate() {
        for rows in sequences.clone().map(|s| packing.sequence_rows(s)) {
            for (i, row) in rows.clone().enumerate() {
                let source = if i < prompts {
                    Source::Prompt(i)
                } else if i < before {
                    Source::Class
                } else {
                    Source::Content(content + i - before)
                };
                all.push(EmbeddedRow { client, row, source, position: i.checked_sub(without_position) });
            }
            content += rows.len().saturating_sub(before);
        }
    }
    all
}

/// Number of tokens or patches: rows that are neither prompts nor class tokens.
pub(super) fn content_rows(packing: &Packing, slots: &EmbeddingSlots, has_class_token: bool) -> usize {
    let before = slots.prompt.map_or(0, |p| p.tokens) + usize::from(has_class_token);
    packing.all_sequence_rows().map(|rows| rows.len().saturating_sub(before)).sum()
}

/// The rows whose mean the head reads.
pub(super) fn read_rows(rows: Range<usize>, slot: HeadSlot) -> Range<usize> {
    let first = rows.start + slot.skip;
    match slot.pooling {
        Pooling::Mean => first..rows.end,
        Pooling::First => first..first + 1,
        Pooling::Last => rows.end - 1..rows.end,
    }
}

/// One row with a target.
#[derive(Clone, Copy)]
pub(super) struct Predicted {
    pub row: usize,
    pub sequence: usize,
    pub target: u32,
}

/// The rows with targets, client by client.
pub(super) fn predicted_rows(packing: &Packing, targets: &[u32]) -> Vec<Vec<Predicted>> {
    let of_sequence = |sequence: usize| {
        let rows = packing.sequence_rows(sequence).map(move |row| (row, targets[row]));
        rows.filter(|&(_, target)| target != u32::MAX).map(move |(row, target)| Predicted { row, sequence, target })
    };
    packing.segments().iter().map(|sequences| sequences.clone().flat_map(of_sequence).collect()).collect()
}
