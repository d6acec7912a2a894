//! Learned factors on activations: (IA)3 (Liu et al. 2022).

use super::elementwise::{add_column_products, multiply_columns};
use super::parameters::{GradientSets, Sets};
use super::scalar::Scalar;
use crate::backend::{Packing, ScaleSlot};

/// The columns that are scaled: rows `row` values apart, the first at `column`.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub row: usize,
    pub column: usize,
}

pub(super) fn forward<T: Scalar>(
    packing: &Packing,
    slot: ScaleSlot,
    sets: Sets<'_, T>,
    x: &mut [T],
    place: Place,
    before: Option<&mut [T]>,
) {
    if let Some(before) = before {
        for (x, before) in x.chunks_exact(place.row).zip(before.chunks_exact_mut(slot.columns)) {
            before.copy_from_slice(&x[place.column..][..slot.columns]);
        }
    }
    multiply(packing, slot, sets, x, place);
}

/// `d factor += sum over rows of dx o before`, `dx *= factor`.
pub(super) fn gradient<T: Scalar>(
    packing: &Packing,
    slot: ScaleSlot,
    sets: Sets<'_, T>,
    before: &[T],
    mut gradient: GradientSets<'_, T>,
    dx: &mut [T],
    place: Place,
) {
    let columns = slot.columns;
    for (client, part) in packing.segment_rows().enumerate().filter(|(_, part)| !part.is_empty()) {
        let dx = &dx[part.start * place.row + place.column..part.end * place.row];
        let before = &before[part.start * columns..part.end * columns];
        add_column_products(dx, place.row, before, columns, gradient.tensor(client, slot.factor, columns));
    }
    multiply(packing, slot, sets, dx, place);
}

fn multiply<T: Scalar>(packing: &Packing, slot: ScaleSlot, sets: Sets<'_, T>, x: &mut [T], place: Place) {
    for (client, part) in packing.segment_rows().enumerate().filter(|(_, part)| !part.is_empty()) {
        let x = &mut x[part.start * place.row + place.column..part.end * place.row];
        multiply_columns(x, place.row, sets.tensor(client, slot.factor, slot.columns));
    }
}
