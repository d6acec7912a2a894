//! Layer norm over rows (Ba et al. 2016) with frozen gain and shift.

use super::dispatch::vectorised;
use super::elementwise::lane_sum;
use super::scalar::Scalar;

#[derive(Clone, Copy)]
pub(super) struct Parameters<'a, T> {
    pub gain: &'a [T],
    pub shift: &'a [T],
    pub epsilon: T,
}

/// Mean and 1 / deviation of a row; the variance is that of the population.
#[inline(always)]
fn moments<T: Scalar>(row: &[T], epsilon: T) -> (T, T) {
    let inverse_width = T::ONE / T::from_f64(row.len() as f64);
    let mean = lane_sum(row, row, |x, _| x) * inverse_width;
    let variance = lane_sum(row, row, |x, _| (x - mean) * (x - mean)) * inverse_width;
    (mean, T::ONE / (variance + epsilon).sqrt())
}

vectorised! {
    /// Normalises the rows of `x` in place.
    pub(super) fn forward<T>(x: &mut [T], parameters: Parameters<'_, T>) {
        for row in x.chunks_exact_mut(parameters.gain.len()) {
            let (mean, inverse) = moments(row, parameters.epsilon);
            for ((x, &gain), &shift) in row.iter_mut().zip(parameters.gain).zip(parameters.shift) {
                *x = (*x - mean) * inverse * gain + shift;
            }
        }
    }
}

vectorised! {
    /// As [`forward`], keeping the normalised rows and 1 / deviation.
    pub(super) fn forward_cached<T>(
        x: &mut [T],
        parameters: Parameters<'_, T>,
        normalised: &mut [T],
        inverse_deviation: &mut [T],
    ) {
        let width = parameters.gain.len();
        let rows = x.chunks_exact_mut(width).zip(normalised.chunks_exact_mut(width)).zip(inverse_deviation);
        for ((row, normalised), kept) in rows {
            let (mean, inverse) = moments(row, parameters.epsilon);
            *kept = inverse;
            let scale = parameters.gain.iter().zip(parameters.shift);
            for ((x, n), (&gain, &shift)) in row.iter_mut().zip(normalised).zip(scale) {
                *n = (*x - mean) * inverse;
                *x = *n * gain + shift;
            }
        }
    }
}

vectorised! {
    /// `dx = (g - mean(g) - n mean(g n)) / deviation` for `g = dy gain` and normalised rows `n`.
    pub(super) fn gradient<T>(dy: &[T], gain: &[T], normalised: &[T], inverse_deviation: &[T], dx: &mut [T]) {
        let width = gain.len();
        let inverse_width = T::ONE / T::from_f64(width as f64);
        let rows = dy.chunks_exact(width).zip(normalised.chunks_exact(width)).zip(inverse_deviation);
        for (((dy, normalised), &inverse), dx) in rows.zip(dx.chunks_exact_mut(width)) {
            for ((d, &y), &g) in dx.iter_mut().zip(dy).zip(gain) {
                *d = y * g;
            }
            let mean = lane_sum(dx, dx, |g, _| g) * inverse_width;
            let slope = lane_sum(dx, normalised, |g, n| g * n) * inverse_width;
            for (d, &n) in dx.iter_mut().zip(normalised) {
                *d = (*d - mean - n * slope) * inverse;
            }
        }
    }
}
