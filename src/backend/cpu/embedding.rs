//! First hidden states from tokens or patches, positions and soft prompts.

use super::elementwise::{add, add_to};
use super::parameters::{GradientSets, Sets};
use super::scalar::Scalar;
use super::{Cpu, Storage};
use crate::backend::rows::{EmbeddedRow, Source, embedded_rows};
use crate::backend::{Content, Embedding, EmbeddingSlots, Packing};

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
    for EmbeddedRow { client, row, source, position } in embedded_rows(packing, slots, embedding.class_token.is_some())
    {
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
    for EmbeddedRow { client, row, source, position } in embedded_rows(packing, slots, has_class_token) {
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

fn row_of<T>(table: &[T], index: usize, width: usize) -> &[T] {
    &table[index * width..][..width]
}
