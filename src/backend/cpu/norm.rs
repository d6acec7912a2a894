//! Layer norm (Ba et al. 2016) and RMS norm (Zhang and Sennrich 2019) over rows.

use super::dispatch::vectorised;
use super::elementwise::{add_column_products, add_column_sums, lane_sum};
use super::parameters::{GradientSets, Sets, parts};
use super::scalar::Scalar;
use super::{Cpu, Storage, elementwise, grow};
use crate::backend::{Norm, NormCache, NormSlots, Packing};

#[derive(Clone, Copy)]
struct Parameters<'a, T> {
    gain: &'a [T],
    shift: &'a [T],
    epsilon: T,
}

/// Whether rows lose their mean, known when the loops are compiled.
trait Centring {
    const CENTRED: bool;
}

struct LayerNorm;
struct RmsNorm;

impl Centring for LayerNorm {
    const CENTRED: bool = true;
}

impl Centring for RmsNorm {
    const CENTRED: bool = false;
}

pub(super) fn forward<T: Scalar, S: Storage<T>>(
    packing: &Packing,
    (x, residual): (&[T], Option<&[T]>),
    norm: &Norm<Cpu<T, S>>,
    slots: NormSlots,
    sets: Sets<'_, T>,
    out: &mut [T],
    cache: Option<&mut NormCache<Cpu<T, S>>>,
) {
    let (rows, width) = (packing.rows(), norm.width);
    match residual {
        Some(residual) => elementwise::add(&x[..rows * width], &residual[..rows * width], out),
        None => out.copy_from_slice(&x[..rows * width]),
    }
    let mut kept =
        cache.map(|cache| (grow(&mut cache.normalised, rows * width), grow(&mut cache.inverse_deviation, rows)));
    let no_shift = if norm.shift.is_none() { vec![T::ZERO; width] } else { vec![] };
    for (client, part) in parts(packing, !slots.is_frozen()) {
        let values = part.start * width..part.end * width;
        let parameters = Parameters {
            gain: slots.gain.map_or(&norm.gain, |at| sets.tensor(client, at, width)),
            shift: match slots.shift {
                Some(at) => sets.tensor(client, at, width),
                None => norm.shift.as_deref().unwrap_or(&no_shift),
            },
            epsilon: T::from_f64(norm.epsilon),
        };
        match &mut kept {
            Some((normalised, inverse)) => {
                let (out, normalised, inverse) =
                    (&mut out[values.clone()], &mut normalised[values], &mut inverse[part]);
                if norm.centred {
                    normalise_cached::<T, LayerNorm>(out, parameters, normalised, inverse);
                } else {
                    normalise_cached::<T, RmsNorm>(out, parameters, normalised, inverse);
                }
            }
            None if norm.centred => normalise::<T, LayerNorm>(&mut out[values], parameters),
            None => normalise::<T, RmsNorm>(&mut out[values], parameters),
        }
    }
    S::store(out);
    if let Some((normalised, _)) = kept {
        S::store(normalised);
    }
}

pub(super) fn gradient<T: Scalar, S: Storage<T>>(
    packing: &Packing,
    dy: &[T],
    norm: &Norm<Cpu<T, S>>,
    cache: &NormCache<Cpu<T, S>>,
    (slots, sets, mut gradient): (NormSlots, Sets<'_, T>, GradientSets<'_, T>),
    accumulate: bool,
    dx: &mut [T],
) {
    let width = norm.width;
    let mut row = vec![T::ZERO; width];
    for (client, part) in parts(packing, !slots.is_frozen()) {
        let values = part.start * width..part.end * width;
        let (dy, normalised) = (&dy[values.clone()], &cache.normalised[values.clone()]);
        if let Some(at) = slots.gain {
            add_column_products(dy, width, normalised, width, gradient.tensor(client, at, width));
        }
        if let Some(at) = slots.shift {
            add_column_sums(dy, width, T::ONE, gradient.tensor(client, at, width));
        }
        let gain = slots.gain.map_or(norm.gain.as_slice(), |at| sets.tensor(client, at, width));
        let (inverse, dx) = (&cache.inverse_deviation[part], &mut dx[values]);
        match (norm.centred, accumulate) {
            (true, false) => backwards::<T, LayerNorm>(dy, gain, normalised, inverse, dx),
            (false, false) => backwards::<T, RmsNorm>(dy, gain, normalised, inverse, dx),
            (true, true) => backwards_added::<T, LayerNorm>(dy, gain, normalised, inverse, &mut row, dx),
            (false, true) => backwards_added::<T, RmsNorm>(dy, gain, normalised, inverse, &mut row, dx),
        }
    }
    S::store(dx);
}

/// Mean and 1 / deviation of a row; the variance is that of the population. Without centring the mean counts as 0.
#[inline(always)]
fn moments<T: Scalar, C: Centring>(row: &[T], epsilon: T) -> (T, T) {
    let inverse_width = T::ONE / T::from_f64(row.len() as f64);
    let mean = if C::CENTRED { lane_sum(row, row, |x, _| x) * inverse_width } else { T::ZERO };
    let variance = lane_sum(row, row, |x, _| (x - mean) * (x - mean)) * inverse_width;
    (mean, T::ONE / (variance + epsilon).sqrt())
}

vectorised! {
    /// Normalises the rows of `x` in place.
    fn normalise<T, C: Centring>(x: &mut [T], parameters: Parameters<'_, T>) {
        for row in x.chunks_exact_mut(parameters.gain.len()) {
            let (mean, inverse) = moments::<T, C>(row, parameters.epsilon);
            for ((x, &gain), &shift) in row.iter_mut().zip(parameters.gain).zip(parameters.shift) {
                *x = (*x - mean) * inverse * gain + shift;
            }
        }
    }
}

vectorised! {
    /// As [`normalise`], keeping the normalised rows and 1 / deviation.
    fn normalise_cached<T, C: Centring>(
        x: &mut [T],
        parameters: Parameters<'_, T>,
        normalised: &mut [T],
        inverse_deviation: &mut [T],
    ) {
        let width = parameters.gain.len();
        let rows = x.chunks_exact_mut(width).zip(normalised.chunks_exact_mut(width)).zip(inverse_deviation);
        for ((row, normalised), kept) in rows {
            let (mean, inverse) = moments::<T, C>(row, parameters.epsilon);
            *kept = inverse;
            let scale = parameters.gain.iter().zip(parameters.shift);
            for ((x, n), (&gain, &shift)) in row.iter_mut().zip(normalised).zip(scale) {
                *n = (*x - mean) * inverse;
                *x = *n * gain + shift;
            }
        }
    }
}

/// `dx = (g - mean(g) - n mean(g n)) / deviation` for `g = dy gain` and the normalised row `n`; an RMS norm lacks the
/// first mean.
#[inline(always)]
fn row_gradient<T: Scalar, C: Centring>(dy: &[T], gain: &[T], normalised: &[T], inverse: T, dx: &mut [T]) {
    let inverse_width = T::ONE / T::from_f64(gain.len() as f64);
    for ((d, &y), &g) in dx.iter_mut().zip(dy).zip(gain) {
        *d = y * g;
    }
    let mean = if C::CENTRED { lane_sum(dx, dx, |g, _| g) * inverse_width } else { T::ZERO };
    let slope = lane_sum(dx, normalised, |g, n| g * n) * inverse_width;
    for (d, &n) in dx.iter_mut().zip(normalised) {
        *d = (*d - mean - n * slope) * inverse;
    }
}

vectorised! {
    fn backwards<T, C: Centring>(dy: &[T], gain: &[T], normalised: &[T], inverse_deviation: &[T], dx: &mut [T]) {
        let width = gain.len();
        let rows = dy.chunks_exact(width).zip(normalised.chunks_exact(width)).zip(inverse_deviation);
        for (((dy, normalised), &inverse), dx) in rows.zip(dx.chunks_exact_mut(width)) {
            row_gradient::<T, C>(dy, gain, normalised, inverse, dx);
        }
    }
}

vectorised! {
    /// As [`backwards`], but added to `dx`; `one` is a row of working memory.
    fn backwards_added<T, C: Centring>(
        dy: &[T],
        gain: &[T],
        normalised: &[T],
        inverse_deviation: &[T],
        one: &mut [T],
        dx: &mut [T],
    ) {
        let width = gain.len();
        let rows = dy.chunks_exact(width).zip(normalised.chunks_exact(width)).zip(inverse_deviation);
        for (((dy, normalised), &inverse), dx) in rows.zip(dx.chunks_exact_mut(width)) {
            row_gradient::<T, C>(dy, gain, normalised, inverse, one);
            for (d, &o) in dx.iter_mut().zip(one.iter()) {
                *d += o;
            }
        }
    }
}
