//! Bottleneck adapters (Houlsby et al. 2019).

use super::activation::with_curve;
use super::parameters::{GradientSets, Sets};
use super::product::{View, product};
use super::scalar::Scalar;
use super::{Cpu, Storage, elementwise, grow};
use crate::backend::{AdapterCache, AdapterSlot, Packing};

pub(super) fn forward<T: Scalar, S: Storage<T>>(
    packing: &Packing,
    x: &[T],
    slot: AdapterSlot,
    sets: Sets<'_, T>,
    cache: &mut AdapterCache<Cpu<T, S>>,
    y: &mut [T],
) {
    let (n, width) = (slot.bottleneck, slot.width);
    let activated = grow(&mut cache.activated, packing.rows() * n);
    let derivative = grow(&mut cache.derivative, packing.rows() * n);
    let scale = T::from_f64(slot.scale);
    for (client, part) in packing.segment_rows().enumerate() {
        let t = part.len();
        let down = View::rows(sets.tensor(client, slot.down_weight, n * width), width);
        let up = View::rows(sets.tensor(client, slot.up_weight, width * n), n);
        let (inner, outer) = (part.start * n..part.end * n, part.start * width..part.end * width);
        let (activated, derivative) = (&mut activated[inner.clone()], &mut derivative[inner]);
        let x = View::rows(&x[outer.clone()], width);
        product((t, n, width), x, down.transposed(), T::ONE, false, activated, n);
        let bias = sets.tensor(client, slot.down_bias, n);
        with_curve!(slot.activation, C => elementwise::activate_cached::<T, C>(activated, bias, derivative));
        S::store(activated);
        S::store(derivative);
        let y = &mut y[outer];
        product((t, width, n), View::rows(activated, n), up.transposed(), scale, true, y, width);
        for row in y.chunks_exact_mut(width) {
            elementwise::axpy(scale, sets.tensor(client, slot.up_bias, width), row);
        }
        S::store(y);
    }
}

/// What the gradient reads besides the slot: `dy`, the adapter's input, and what the forward pass kept.
#[derive(Clone, Copy)]
pub(super) struct Saved<'a, T> {
    pub dy: &'a [T],
    pub x: &'a [T],
    pub activated: &'a [T],
    pub derivative: &'a [T],
}

/// With `z = x D^T + d`, `a = act(z)`: `dU += s dy^T a`, `du += s sum dy`, `dz = (s dy U) o act'(z)`, `dD += dz^T x`,
/// `dd += sum dz`, `dx += dz D`. `scratch` is `[rows, bottleneck]`.
pub(super) fn gradient<T: Scalar, S: Storage<T>>(
    packing: &Packing,
    saved: Saved<'_, T>,
    slot: AdapterSlot,
    sets: Sets<'_, T>,
    scratch: &mut [T],
    mut gradient: GradientSets<'_, T>,
    mut dx: Option<&mut [T]>,
) {
    let (n, width, scale) = (slot.bottleneck, slot.width, T::from_f64(slot.scale));
    for (client, part) in packing.segment_rows().enumerate() {
        let t = part.len();
        let (inner, outer) = (part.start * n..part.end * n, part.start * width..part.end * width);
        let (dy, x) = (&saved.dy[outer.clone()], View::rows(&saved.x[outer.clone()], width));
        elementwise::add_column_sums(dy, width, scale, gradient.tensor(client, slot.up_bias, width));
        let dy = View::rows(dy, width);
        let activated = View::rows(&saved.activated[inner.clone()], n);
        let d_up = gradient.tensor(client, slot.up_weight, width * n);
        product((width, n, t), dy.transposed(), activated, scale, true, d_up, n);

        let dz = &mut scratch[inner.clone()];
        let up = View::rows(sets.tensor(client, slot.up_weight, width * n), n);
        product((t, n, width), dy, up, scale, false, dz, n);
        elementwise::multiply(dz, &saved.derivative[inner]);
        S::store(dz);
        elementwise::add_column_sums(dz, n, T::ONE, gradient.tensor(client, slot.down_bias, n));
        let dz = View::rows(dz, n);
        let d_down = gradient.tensor(client, slot.down_weight, n * width);
        product((n, width, t), dz.transposed(), x, T::ONE, true, d_down, width);
        if let Some(dx) = &mut dx {
            let down = View::rows(sets.tensor(client, slot.down_weight, n * width), width);
            product((t, width, n), dz, down, T::ONE, true, &mut dx[outer.clone()], width);
            S::store(&mut dx[outer]);
        }
    }
}
