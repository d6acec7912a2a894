//! Loops over single elements: sums, activations, gates.

use super::activation::Curve;
use super::dispatch::{LANES, vectorised};
use super::scalar::Scalar;

vectorised! {
    /// `out = a + b`.
    pub(super) fn add<T>(a: &[T], b: &[T], out: &mut [T]) {
        for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *o = a + b;
        }
    }
}

vectorised! {
    /// `y += x`.
    pub(super) fn add_to<T>(x: &[T], y: &mut [T]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y += x;
        }
    }
}

vectorised! {
    /// `y *= factor`.
    pub(super) fn multiply<T>(y: &mut [T], factor: &[T]) {
        for (y, &f) in y.iter_mut().zip(factor) {
            *y *= f;
        }
    }
}

vectorised! {
    /// Adds `bias` to every row of `y`.
    pub(super) fn add_bias<T>(y: &mut [T], bias: &[T]) {
        for row in y.chunks_exact_mut(bias.len()) {
            for (y, &b) in row.iter_mut().zip(bias) {
                *y += b;
            }
        }
    }
}

vectorised! {
    /// `y = act(y + bias)` on every row.
    pub(super) fn activate<T, C: Curve>(y: &mut [T], bias: &[T]) {
        for row in y.chunks_exact_mut(bias.len()) {
            for (y, &b) in row.iter_mut().zip(bias) {
                *y = C::value(*y + b);
            }
        }
    }
}

vectorised! {
    /// As [`activate`], keeping the derivative.
    pub(super) fn activate_cached<T, C: Curve>(y: &mut [T], bias: &[T], derivative: &mut [T]) {
        for (row, derivative) in y.chunks_exact_mut(bias.len()).zip(derivative.chunks_exact_mut(bias.len())) {
            for ((y, d), &b) in row.iter_mut().zip(derivative).zip(bias) {
                (*y, *d) = C::with_derivative(*y + b);
            }
        }
    }
}

vectorised! {
    /// `out = act(gate) * up` for rows `gate | up` of `2 * width` columns.
    pub(super) fn gate<T, C: Curve>(pairs: &[T], width: usize, out: &mut [T]) {
        for (pair, out) in pairs.chunks_exact(2 * width).zip(out.chunks_exact_mut(width)) {
            let (gate, up) = pair.split_at(width);
            for ((o, &g), &u) in out.iter_mut().zip(gate).zip(up) {
                *o = C::value(g) * u;
            }
        }
    }
}

vectorised! {
    /// `d_gate = d_out up act'(gate)`, `d_up = d_out act(gate)`.
    pub(super) fn gate_gradient<T, C: Curve>(pairs: &[T], width: usize, d_out: &[T], d_pairs: &mut [T]) {
        let rows = pairs.chunks_exact(2 * width).zip(d_pairs.chunks_exact_mut(2 * width));
        for ((pair, d_pair), d_out) in rows.zip(d_out.chunks_exact(width)) {
            let ((gate, up), (d_gate, d_up)) = (pair.split_at(width), d_pair.split_at_mut(width));
            for (((dg, du), (&g, &u)), &d) in d_gate.iter_mut().zip(d_up).zip(gate.iter().zip(up)).zip(d_out) {
                let (value, derivative) = C::with_derivative(g);
                *dg = d * u * derivative;
                *du = d * value;
            }
        }
    }
}

vectorised! {
    /// `sums += factor * column sums of x`, the rows in order.
    pub(super) fn add_column_sums<T>(x: &[T], row: usize, factor: T, sums: &mut [T]) {
        for x in x.chunks(row) {
            for (s, &x) in sums.iter_mut().zip(x) {
                *s += factor * x;
            }
        }
    }
}

vectorised! {
    /// `sums += column sums of a o b`, the rows in order; rows of `a` and `b` are `a_row` and `b_row` apart.
    pub(super) fn add_column_products<T>(a: &[T], a_row: usize, b: &[T], b_row: usize, sums: &mut [T]) {
        for (a, b) in a.chunks(a_row).zip(b.chunks(b_row)) {
            for ((s, &a), &b) in sums.iter_mut().zip(a).zip(b) {
                *s += a * b;
            }
        }
    }
}

vectorised! {
    /// `y[.., ..factor.len()] *= factor` on every row; rows of `y` are `row` apart.
    pub(super) fn multiply_columns<T>(y: &mut [T], row: usize, factor: &[T]) {
        for y in y.chunks_mut(row) {
            for (y, &f) in y.iter_mut().zip(factor) {
                *y *= f;
            }
        }
    }
}

vectorised! {
    /// `y += factor * x`.
    pub(super) fn axpy<T>(factor: T, x: &[T], y: &mut [T]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y += factor * x;
        }
    }
}

vectorised! {
    pub(super) fn dot<T>(a: &[T], b: &[T]) -> T {
        lane_sum(a, b, |a, b| a * b)
    }
}

/// `sum of f(a, b)` in a fixed order: `LANES` partial sums, then pairwise.
#[inline(always)]
pub(super) fn lane_sum<T: Scalar>(a: &[T], b: &[T], f: impl Fn(T, T) -> T) -> T {
    let mut sums = [T::ZERO; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (a_rest, b_rest) = (a_lanes.remainder(), b_lanes.remainder());
    if !a_rest.is_empty() {
        for (s, (&a, &b)) in sums.iter_mut().zip(a_rest.iter().zip(b_rest)) {
            *s = f(a, b);
        }
    }
    for (a, b) in a_lanes.zip(b_lanes) {
        for ((s, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *s += f(a, b);
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            let other = sums[i + width];
            sums[i] += other;
        }
        width /= 2;
    }
    sums[0]
}

/// The largest of all values; there are some.
#[inline(always)]
pub(super) fn lane_maximum<T: Scalar>(lanes: &[[T; LANES]]) -> T {
    let mut largest = lanes[0];
    for lanes in &lanes[1..] {
        for (l, &x) in largest.iter_mut().zip(lanes) {
            *l = l.maximum(x);
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            largest[i] = largest[i].maximum(largest[i + width]);
        }
        width /= 2;
    }
    largest[0]
}
