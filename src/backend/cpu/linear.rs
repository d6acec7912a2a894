//! Products with frozen or own matrices and their low-rank terms.

use super::activation::with_curve;
use super::dropout::Mask;
use super::parameters::{Sets, parts};
use super::product::{View, product};
use super::scalar::Scalar;
use super::{Cpu, Storage, elementwise, grow, magnitude};
use crate::backend::{Adapted, Dropout, Epilogue, Linear, LinearCache, LinearSlots, LoraSlot, Packing};

/// With `begun`, `y` is the frozen product already.
pub(super) fn forward<T: Scalar, S: Storage<T>>(
    packing: &Packing,
    x: &[T],
    layer: &Linear<Cpu<T, S>>,
    adapted: Adapted<'_, Cpu<T, S>>,
    epilogue: Epilogue<'_, Cpu<T, S>>,
    begun: bool,
    y: &mut Vec<T>,
) {
    let (rows, outputs) = (packing.rows(), layer.outputs);
    let Adapted { slots, trainable, dropout, cache } = adapted;
    let sets = Sets::from(trainable);
    let accumulate = matches!(epilogue, Epilogue::Accumulate);
    let y = if accumulate || begun { &mut y[..rows * outputs] } else { grow(y, rows * outputs) };
    let LinearCache { reduced, product, inverse_norm } = cache;
    let reduced = grow(reduced, rows * reduced_columns(&slots.lora));
    if has_magnitudes(slots) {
        let product = grow(product, rows * outputs);
        let inverse_norm = grow(inverse_norm, packing.segments().len() * outputs);
        plain_product(packing, x, layer, slots, sets, false, product);
        low_rank_terms::<T, S>(packing, x, slots, sets, dropout, reduced, (product, outputs));
        S::store(product);
        inverse_norms(packing, layer, slots, sets, inverse_norm);
        magnified(packing, slots, sets, inverse_norm, (product, outputs), accumulate, y);
    } else {
        if !begun {
            plain_product(packing, x, layer, slots, sets, accumulate, y);
        }
        low_rank_terms::<T, S>(packing, x, slots, sets, dropout, reduced, (y, outputs));
    }
    finish(packing, layer, slots, sets, epilogue, y);
}

/// `y = [y +] x W^T`.
fn plain_product<T: Scalar, S: Storage<T>>(
    packing: &Packing,
    x: &[T],
    layer: &Linear<Cpu<T, S>>,
    slots: &LinearSlots,
    sets: Sets<'_, T>,
    accumulate: bool,
    y: &mut [T],
) {
    let (inputs, outputs) = (layer.inputs, layer.outputs);
    let Some(at) = slots.weight else {
        return layer.weight.product(packing.rows(), x, T::ONE, accumulate, y);
    };
    for (client, part) in packing.segment_rows().enumerate() {
        let w = View::rows(sets.tensor(client, at, outputs * inputs), inputs);
        let x = View::rows(&x[part.start * inputs..], inputs);
        let y = &mut y[part.start * outputs..];
        product((part.len(), outputs, inputs), x, w.transposed(), T::ONE, accumulate, y, outputs);
    }
}

/// `y += scale * (drop(x) A^T) diag(E) B^T` for every slot.
fn low_rank_terms<T: Scalar, S: Storage<T>>(
    packing: &Packing,
    x: &[T],
    slots: &LinearSlots,
    sets: Sets<'_, T>,
    dropout: Option<&Dropout>,
    reduced: &mut [T],
    (y, outputs): (&mut [T], usize),
) {
    let (mut dropped, mut stretched) = (Vec::new(), Vec::new());
    for slot in &slots.lora {
        for (client, part) in packing.segment_rows().enumerate().filter(|(_, part)| !part.is_empty()) {
            let (t, r, inputs) = (part.len(), slot.rank, slot.inputs);
            let mut x = &x[part.start * inputs..part.end * inputs];
            if let Some(mask) = Mask::of(dropout, slot, client) {
                let out = grow(&mut dropped, t * inputs);
                mask.apply(x, inputs, out);
                x = out;
            }
            let a = View::rows(sets.tensor(client, slot.a, r * inputs), inputs);
            let b = View::rows(sets.tensor(client, slot.b, slot.outputs * r), r);
            let u = &mut reduced[slot.reduced_column * packing.rows() + part.start * r..][..t * r];
            product((t, r, inputs), View::rows(x, inputs), a.transposed(), T::ONE, false, u, r);
            S::store(u);
            let u = stretch(slot, sets, client, u, &mut stretched);
            let y = &mut y[part.start * outputs + slot.column..];
            let scale = T::from_f64(slot.scale);
            product((t, slot.outputs, r), View::rows(u, r), b.transposed(), scale, true, y, outputs);
        }
    }
}

/// `u diag(E)`, or `u` itself where the slot has no `E`.
pub(super) fn stretch<'a, T: Scalar>(
    slot: &LoraSlot,
    sets: Sets<'_, T>,
    client: usize,
    u: &'a [T],
    scratch: &'a mut Vec<T>,
) -> &'a [T] {
    let Some(at) = slot.diagonal else { return u };
    let out = grow(scratch, u.len());
    out.copy_from_slice(u);
    elementwise::multiply_columns(out, slot.rank, sets.tensor(client, at, slot.rank));
    out
}

fn inverse_norms<T: Scalar, S: Storage<T>>(
    packing: &Packing,
    layer: &Linear<Cpu<T, S>>,
    slots: &LinearSlots,
    sets: Sets<'_, T>,
    inverse_norm: &mut [T],
) {
    let (inputs, outputs) = (layer.inputs, layer.outputs);
    let frozen = if slots.weight.is_none() { layer.weight.values() } else { vec![] };
    for slot in slots.lora.iter().filter(|s| s.magnitude.is_some()) {
        for client in 0..packing.segments().len() {
            let weight = match slots.weight {
                Some(at) => sets.tensor(client, at, outputs * inputs),
                None => &frozen,
            };
            let inverse = &mut inverse_norm[client * outputs + slot.column..][..slot.outputs];
            magnitude::inverse_norms(slot, sets, client, &weight[slot.column * inputs..], inverse);
        }
    }
}

/// `m / |W + scale B A|` of one client, 1 in columns without magnitudes.
pub(super) fn factors<T: Scalar>(
    slots: &LinearSlots,
    sets: Sets<'_, T>,
    client: usize,
    inverse_norm: &[T],
    outputs: usize,
) -> Vec<T> {
    let mut factors = vec![T::ONE; outputs];
    for slot in &slots.lora {
        let Some(at) = slot.magnitude else { continue };
        let inverse = &inverse_norm[client * outputs + slot.column..][..slot.outputs];
        let magnitudes = sets.tensor(client, at, slot.outputs);
        elementwise::multiply(&mut factors[slot.column..][..slot.outputs], magnitudes);
        elementwise::multiply(&mut factors[slot.column..][..slot.outputs], inverse);
    }
    factors
}

/// `y = [y +] product o factors`.
fn magnified<T: Scalar>(
    packing: &Packing,
    slots: &LinearSlots,
    sets: Sets<'_, T>,
    inverse_norm: &[T],
    (values, outputs): (&[T], usize),
    accumulate: bool,
    y: &mut [T],
) {
    for (client, part) in packing.segment_rows().enumerate() {
        let factors = factors(slots, sets, client, inverse_norm, outputs);
        let values = values[part.start * outputs..part.end * outputs].chunks_exact(outputs);
        for (y, values) in y[part.start * outputs..part.end * outputs].chunks_exact_mut(outputs).zip(values) {
            if !accumulate {
                y.fill(T::ZERO);
            }
            for ((y, &v), &f) in y.iter_mut().zip(values).zip(&factors) {
                *y += v * f;
            }
        }
    }
}

/// Bias, nonlinearity, storage.
fn finish<T: Scalar, S: Storage<T>>(
    packing: &Packing,
    layer: &Linear<Cpu<T, S>>,
    slots: &LinearSlots,
    sets: Sets<'_, T>,
    epilogue: Epilogue<'_, Cpu<T, S>>,
    y: &mut [T],
) {
    let outputs = layer.outputs;
    let no_bias = if layer.bias.is_none() { vec![T::ZERO; outputs] } else { vec![] };
    let bias_of = |client| match slots.bias {
        Some(at) => sets.tensor(client, at, outputs),
        None => layer.bias.as_deref().unwrap_or(&no_bias),
    };
    let parts = parts(packing, slots.bias.is_some()).into_iter();
    let parts = parts.map(|(client, part)| (client, part.start * outputs..part.end * outputs));
    match epilogue {
        Epilogue::None | Epilogue::Accumulate => {
            if layer.bias.is_some() || slots.bias.is_some() {
                parts.for_each(|(client, part)| elementwise::add_bias(&mut y[part], bias_of(client)));
            }
        }
        Epilogue::Activation { kind, derivative: None } => {
            for (client, part) in parts {
                with_curve!(kind, C => elementwise::activate::<T, C>(&mut y[part], bias_of(client)));
            }
        }
        Epilogue::Activation { kind, derivative: Some(derivative) } => {
            let derivative = grow(derivative, y.len());
            for (client, part) in parts {
                let (y, derivative) = (&mut y[part.clone()], &mut derivative[part]);
                with_curve!(kind, C => elementwise::activate_cached::<T, C>(y, bias_of(client), derivative));
            }
            S::store(derivative);
        }
    }
    S::store(y);
}

pub(super) fn has_magnitudes(slots: &LinearSlots) -> bool {
    slots.lora.iter().any(|s| s.magnitude.is_some())
}

pub(super) fn reduced_columns(slots: &[LoraSlot]) -> usize {
    slots.last().map_or(0, |s| s.reduced_column + s.rank)
}
