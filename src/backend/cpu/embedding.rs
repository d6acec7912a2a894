//! First hidden states from tokens or patches, positions and soft prompts.

use super::elementwise::{add, add_to};
use super::parameters::{GradientSets, Sets};
use super::scalar::Scalar;
use super::{Cpu, Storage};
use crate::backend::{Content, Embedding, EmbeddingSlots, Packing};

/// What a row is made of.
enum Source {
    /// Number of the soft prompt's row.
    Prompt(usize),
    Class,
    /// Number of the token or patch, all sequences counted.
    Content(usize),
}

/// A row: its client, source, and position in the table of learned positions.
struct Row {
    client: usize,
    row: usize,
    source: Source,
    position: Option<usize>,
}

/// All rows in order.
fn layout(packing: &Packing, slots: &EmbeddingSlots, has_class_token: bool) -> Vec<Row> {
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
                all.push(Row { client, row, source, position: i.checked_sub(without_position) });
            }
            content += rows.len().saturating_sub(before);
        }
    }
    all
}

pub(super) fn forward<T: Scalar, S: Storage<T>>(
    packing: &Packing,
    content: Content<'_, Cpu<T, S>>,
    embedding: &Embedding<Cpu<T, S>>,
    slots: &EmbeddingSlots,
    sets: Sets<'_, T>,
    out: &mut [T],
) {
    let width = embedding.width;
    // Row `index` of the client's own table, or of the frozen one.
    let entry = |client, slot: Option<usize>, frozen, index: usize| match slot {
        Some(at) => sets.tensor(client, at + index * width, width),
        None => row_of(frozen, index, width),
    };
    for Row { client, row, source, position } in layout(packing, slots, embedding.class_token.is_some()) {
        let out = &mut out[row * width..][..width];
        let content = match (source, &content) {
            (Source::Prompt(i), _) => entry(client, slots.prompt.map(|p| p.prompt), &[], i),
            (Source::Class, _) => entry(client, slots.class_token, embedding.class_token.as_deref().unwrap_or(&[]), 0),
            (Source::Content(i), Content::Tokens(ids)) => entry(client, slots.words, &embedding.words, ids[i] as usize),
            (Source::Content(i), Content::Patches(patches)) => row_of(patches, i, width),
        };
        match (&embedding.positions, position) {
            (Some(table), Some(position)) => add(content, entry(client, slots.positions, table, position), out),
            _ => out.copy_from_slice(content),
        }
        if let Some(token_type) = &embedding.token_type {
            add_to(entry(client, slots.token_type, token_type, 0), out);
        }
    }
    S::store(out);
}

/// Rows in order, so that a token that comes twice is always summed alike.
pub(super) fn gradient<T: Scalar, S: Storage<T>>(
    packing: &Packing,
    content: Content<'_, Cpu<T, S>>,
    (slots, has_class_token): (&EmbeddingSlots, bool),
    (d_out, width): (&[T], usize),
    mut gradient: GradientSets<'_, T>,
    mut d_patches: Option<&mut [T]>,
) {
    for Row { client, row, source, position } in layout(packing, slots, has_class_token) {
        let d = row_of(d_out, row, width);
        let mut add = |slot: Option<usize>, index: usize| {
            if let Some(at) = slot {
                add_to(d, gradient.tensor(client, at + index * width, width));
            }
        };
        match (source, &content) {
            (Source::Prompt(i), _) => add(slots.prompt.map(|p| p.prompt), i),
            (Source::Class, _) => add(slots.class_token, 0),
            (Source::Content(i), Content::Tokens(ids)) => add(slots.words, ids[i] as usize),
            (Source::Content(i), Content::Patches(_)) => {
                if let Some(d_patches) = &mut d_patches {
                    d_patches[i * width..][..width].copy_from_slice(d);
                }
            }
        }
        if let Some(position) = position {
            add(slots.positions, position);
        }
        add(slots.token_type, 0);
    }
}

/// Number of tokens or patches: rows that are neither prompts nor class tokens.
pub(super) fn content_rows(packing: &Packing, slots: &EmbeddingSlots, has_class_token: bool) -> usize {
    let before = slots.prompt.map_or(0, |p| p.tokens) + usize::from(has_class_token);
    packing.all_sequence_rows().map(|rows| rows.len().saturating_sub(before)).sum()
}

fn row_of<T>(table: &[T], index: usize, width: usize) -> &[T] {
    &table[index * width..][..width]
}
