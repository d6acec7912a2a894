//! Weight decomposition: the magnitudes of DoRA (Liu et al. 2024).

use super::dispatch::vectorised;
use super::parameters::Sets;
use super::product::{View, product};
use super::scalar::Scalar;
use crate::backend::LoraSlot;

/// `inverse[o] = 1 / |W_o + s B_o A|` for the rows of one client's slot, with
/// `|W_o + s B_o A|^2 = |W_o|^2 + 2 s B_o (A W_o^T) + s^2 B_o (A A^T) B_o^T`: no matrix of W's size is formed.
///
/// `weight` holds the slot's rows of `W`, `[outputs, inputs]`. The sums over rank and over the inputs of `|W_o|^2` are
/// in double precision, since the three terms may cancel.
pub(super) fn inverse_norms<T: Scalar>(
    slot: &LoraSlot,
    sets: Sets<'_, T>,
    client: usize,
    weight: &[T],
    inverse: &mut [T],
) {
    let (r, inputs, outputs) = (slot.rank, slot.inputs, slot.outputs);
    let a = View::rows(sets.tensor(client, slot.a, r * inputs), inputs);
    let b = sets.tensor(client, slot.b, outputs * r);
    let mut aw = vec![T::ZERO; outputs * r];
    product((outputs, r, inputs), View::rows(weight, inputs), a.transposed(), T::ONE, false, &mut aw, r);
    let mut aa = vec![T::ZERO; r * r];
    product((r, r, inputs), a, a.transposed(), T::ONE, false, &mut aa, r);

    let mut row = vec![0.0; r];
    for (o, inverse) in inverse[..outputs].iter_mut().enumerate() {
        for (j, value) in row.iter_mut().enumerate() {
            let diagonal = slot.diagonal.map_or(1.0, |at| sets.tensor(client, at, r)[j].to_f64());
            *value = slot.scale * b[o * r + j].to_f64() * diagonal;
        }
        let mut square = squared_norm(&weight[o * inputs..][..inputs]);
        for (i, &bi) in row.iter().enumerate() {
            let inner: f64 = row.iter().enumerate().map(|(j, &bj)| aa[i * r + j].to_f64() * bj).sum();
            square += bi * (2.0 * aw[o * r + i].to_f64() + inner);
        }
        *inverse = T::from_f64(1.0 / square.sqrt());
    }
}

vectorised! {
    fn squared_norm<T>(values: &[T]) -> f64 {
        let mut sums = [0.0; 8];
        for values in values.chunks(8) {
            for (s, v) in sums.iter_mut().zip(values) {
                *s += v.to_f64() * v.to_f64();
            }
        }
        sums.iter().sum()
    }
}
