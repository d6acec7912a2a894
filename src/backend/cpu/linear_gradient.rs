//! Gradients of products: of the input, and of everything about them that a client may train.

use super::dropout::Mask;
use super::linear::{factors, has_magnitudes, reduced_columns, stretch};
use super::parameters::{GradientSets, Sets};
use super::product::{View, product};
use super::scalar::Scalar;
use super::{Cpu, Storage, elementwise, grow};
use crate::backend::{AdaptedGradient, Dropout, GradientEpilogue, Linear, LinearCache, LinearSlots, Packing};

pub(super) fn gradient<T: Scalar, S: Storage<T>>(
    packing: &Packing,
    dy: &[T],
    layer: &Linear<Cpu<T, S>>,
    adapted: AdaptedGradient<'_, Cpu<T, S>>,
    epilogue: GradientEpilogue<'_, Cpu<T, S>>,
    dx: &mut Vec<T>,
) {
    let (rows, inputs, outputs) = (packing.rows(), layer.inputs, layer.outputs);
    let AdaptedGradient { slots, trainable, dropout, cache, x, scratch, gradient } = adapted;
    let gradient = GradientSets::new(gradient, trainable.stride);
    let mut trained = Trained { packing, slots, sets: trainable.into(), gradient, inputs, outputs };
    let magnified = if has_magnitudes(slots) { rows * outputs } else { 0 };
    let scratch = grow(scratch, magnified + rows * reduced_columns(&slots.lora));
    let (d_product, d_reduced) = scratch.split_at_mut(magnified);

    let mut dy = &dy[..rows * outputs];
    trained.bias(dy);
    if magnified > 0 {
        trained.magnitudes(dy, cache, d_product);
        S::store(d_product);
        dy = d_product;
    }
    let mut dx = match epilogue {
        GradientEpilogue::Skip => None,
        GradientEpilogue::Accumulate => Some(&mut dx[..rows * inputs]),
        GradientEpilogue::Overwrite | GradientEpilogue::Multiply(_) => Some(grow(dx, rows * inputs)),
    };
    if let Some(dx) = dx.as_deref_mut() {
        let accumulate = matches!(epilogue, GradientEpilogue::Accumulate);
        match slots.weight {
            None => layer.weight.gradient(rows, dy, T::ONE, accumulate, dx),
            Some(at) => trained.own_input(at, dy, accumulate, dx),
        }
    }
    if let Some(at) = slots.weight {
        trained.weight(at, dy, x);
    }
    trained.low_rank::<S>(dy, (x, &cache.reduced), dropout, d_reduced, dx.as_deref_mut());
    if let Some(dx) = dx {
        if let GradientEpilogue::Multiply(factor) = epilogue {
            elementwise::multiply(dx, &factor[..rows * inputs]);
        }
        S::store(dx);
    }
}

/// What all gradients of one product share.
struct Trained<'a, T> {
    packing: &'a Packing,
    slots: &'a LinearSlots,
    sets: Sets<'a, T>,
    gradient: GradientSets<'a, T>,
    inputs: usize,
    outputs: usize,
}

impl<T: Scalar> Trained<'_, T> {
    fn bias(&mut self, dy: &[T]) {
        let Some(at) = self.slots.bias else { return };
        for (client, part) in self.packing.segment_rows().enumerate() {
            let dy = &dy[part.start * self.outputs..part.end * self.outputs];
            elementwise::add_column_sums(dy, self.outputs, T::ONE, self.gradient.tensor(client, at, self.outputs));
        }
    }

    /// `dm += sum over rows of dy o product / norm` and `d_product = dy o m / norm`, the norm a constant.
    fn magnitudes<S: Storage<T>>(&mut self, dy: &[T], cache: &LinearCache<Cpu<T, S>>, d_product: &mut [T]) {
        let outputs = self.outputs;
        d_product.copy_from_slice(dy);
        for (client, part) in self.packing.segment_rows().enumerate().filter(|(_, part)| !part.is_empty()) {
            let values = part.start * outputs..part.end * outputs;
            let factors = factors(self.slots, self.sets, client, &cache.inverse_norm, outputs);
            elementwise::multiply_columns(&mut d_product[values.clone()], outputs, &factors);
            for slot in &self.slots.lora {
                let Some(at) = slot.magnitude else { continue };
                let first = values.start + slot.column..values.end;
                let mut sums = vec![T::ZERO; slot.outputs];
                let product = &cache.product[first.clone()];
                elementwise::add_column_products(&dy[first], outputs, product, outputs, &mut sums);
                let inverse = &cache.inverse_norm[client * outputs + slot.column..][..slot.outputs];
                let dm = self.gradient.tensor(client, at, slot.outputs);
                elementwise::add_column_products(&sums, slot.outputs, inverse, slot.outputs, dm);
            }
        }
    }

    /// `dx = [dx +] dy W` with each client's own `W`.
    fn own_input(&self, at: usize, dy: &[T], accumulate: bool, dx: &mut [T]) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        for (client, part) in self.packing.segment_rows().enumerate() {
            let w = View::rows(self.sets.tensor(client, at, outputs * inputs), inputs);
            let dy = View::rows(&dy[part.start * outputs..], outputs);
            product((part.len(), inputs, outputs), dy, w, T::ONE, accumulate, &mut dx[part.start * inputs..], inputs);
        }
    }

    /// `dW += dy^T x`.
    fn weight(&mut self, at: usize, dy: &[T], x: &[T]) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        for (client, part) in self.packing.segment_rows().enumerate() {
            let dy = View::rows(&dy[part.start * outputs..], outputs);
            let x = View::rows(&x[part.start * inputs..], inputs);
            let dw = self.gradient.tensor(client, at, outputs * inputs);
            product((outputs, inputs, part.len()), dy.transposed(), x, T::ONE, true, dw, inputs);
        }
    }

    /// With `u = drop(x) A^T`: `dB += s dy^T u E`, `dE += s sum over rows of (dy B) o u`, `du = s dy B E`,
    /// `dA += du^T drop(x)`, `dx += drop(du A)`.
    fn low_rank<S: Storage<T>>(
        &mut self,
        dy: &[T],
        (x, reduced): (&[T], &[T]),
        dropout: Option<&Dropout>,
        d_reduced: &mut [T],
        mut dx: Option<&mut [T]>,
    ) {
        let (sets, inputs, outputs) = (self.sets, self.inputs, self.outputs);
        let (mut dropped, mut stretched) = (Vec::new(), Vec::new());
        for slot in &self.slots.lora {
            for (client, part) in self.packing.segment_rows().enumerate().filter(|(_, part)| !part.is_empty()) {
                let (t, r) = (part.len(), slot.rank);
                let at = slot.reduced_column * self.packing.rows() + part.start * r;
                let (u, du) = (&reduced[at..][..t * r], &mut d_reduced[at..][..t * r]);
                let dy = View::rows(&dy[part.start * outputs + slot.column..], outputs);
                let scale = T::from_f64(slot.scale);
                let b = View::rows(sets.tensor(client, slot.b, slot.outputs * r), r);
                let stretched = View::rows(stretch(slot, sets, client, u, &mut stretched), r);
                let db = self.gradient.tensor(client, slot.b, slot.outputs * r);
                product((slot.outputs, r, t), dy.transposed(), stretched, scale, true, db, r);

                product((t, r, slot.outputs), dy, b, scale, false, du, r);
                if let Some(at) = slot.diagonal {
                    elementwise::add_column_products(du, r, u, r, self.gradient.tensor(client, at, r));
                    elementwise::multiply_columns(du, r, sets.tensor(client, at, r));
                }
                S::store(du);
                let du = View::rows(du, r);

                let mask = Mask::of(dropout, slot, client);
                let values = part.start * inputs..part.end * inputs;
                let mut x = &x[values.clone()];
                if let Some(mask) = mask {
                    let out = grow(&mut dropped, t * inputs);
                    mask.apply(x, inputs, out);
                    x = out;
                }
                let da = self.gradient.tensor(client, slot.a, r * inputs);
                product((r, inputs, t), du.transposed(), View::rows(x, inputs), T::ONE, true, da, inputs);
                let Some(dx) = &mut dx else { continue };
                let dx = &mut dx[values];
                let a = View::rows(sets.tensor(client, slot.a, r * inputs), inputs);
                if let Some(mask) = mask {
                    let out = grow(&mut dropped, t * inputs);
                    product((t, inputs, r), du, a, T::ONE, false, out, inputs);
                    mask.add_gradient(out, inputs, dx);
                } else {
                    product((t, inputs, r), du, a, T::ONE, true, dx, inputs);
                }
            }
        }
    }
}
