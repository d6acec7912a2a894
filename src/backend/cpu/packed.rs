//! Products with a frozen matrix, which is laid out for them once, when it is loaded.
//!
//! A general GEMM copies both factors into an order of its own at every call. Here the frozen factor lies in panels already,
//! a panel is read once for all rows, the rows are read where they are, and a tile of the result stays in registers from the
//! first summand to the last (the inner loops of Goto and van de Geijn 2008, "Anatomy of high-performance matrix
//! multiplication"). A whole training step took 5% less time for it (docs/performance.md).
//!
//! Every element is summed in the order of the inner index, so no row depends on how many rows there are: hidden states
//! below the lowest trainable block may come from any batch.

use super::scalar::Scalar;
use super::tile::{MOST_ROWS, WIDE as PANEL};

/// A `[k, n]` factor in panels of `PANEL` columns, each `[k, PANEL]` row-major, the last one padded with zeros.
pub(super) struct Panels<T> {
    values: Vec<T>,
    k: usize,
    n: usize,
}

impl<T: Scalar> Panels<T> {
    /// `value(p, j)` is element (p, j) of the factor.
    pub(super) fn new(k: usize, n: usize, value: impl Fn(usize, usize) -> T) -> Self {
        let mut values = vec![T::ZERO; n.div_ceil(PANEL) * k * PANEL];
        for (i, row) in values.chunks_exact_mut(PANEL).enumerate() {
            let (panel, p) = (i / k, i % k);
            for (j, v) in (panel * PANEL..n).zip(row) {
                *v = value(p, j);
            }
        }
        Self { values, k, n }
    }

    /// The factor, `[k, n]` row-major.
    pub(super) fn row_major(&self) -> Vec<T> {
        let mut out = vec![T::ZERO; self.k * self.n];
        for (i, row) in self.values.chunks_exact(PANEL).enumerate() {
            let (panel, p) = (i / self.k, i % self.k);
            for (o, &v) in out[p * self.n..][..self.n].iter_mut().skip(panel * PANEL).zip(row) {
                *o = v;
            }
        }
        out
    }

    /// `out = [out +] scale * a b` for `a` `[rows, k]` and `b` this factor.
    pub(super) fn product(&self, rows: usize, a: &[T], scale: T, accumulate: bool, out: &mut [T]) {
        let Self { k, n, ref values } = *self;
        let (a, out) = (&a[..rows * k], &mut out[..rows * n]);
        let tile_rows = T::tile_rows();
        for (i, panel) in (0..n).step_by(PANEL).enumerate() {
            let (columns, b) = (PANEL.min(n - panel), &values[i * k * PANEL..][..k * PANEL]);
            for row in (0..rows).step_by(tile_rows) {
                let count = tile_rows.min(rows - row);
                let (a, out) = ((&a[row * k..], k, 1), &mut out[row * n + panel..]);
                if columns == PANEL {
                    T::tile((count, PANEL, k), a, (b, PANEL), (scale, accumulate), (out, n));
                } else {
                    edge_tile((count, columns, k), a, b, (scale, accumulate), (out, n));
                }
            }
        }
    }
}

/// A tile of fewer columns than a panel has.
fn edge_tile<T: Scalar>(
    (count, columns, k): (usize, usize, usize),
    a: (&[T], usize, usize),
    panel: &[T],
    (scale, accumulate): (T, bool),
    (out, out_row): (&mut [T], usize),
) {
    let mut tile = [T::ZERO; MOST_ROWS * PANEL];
    T::tile((count, PANEL, k), a, (panel, PANEL), (scale, false), (&mut tile, PANEL));
    for (r, tile) in tile.chunks_exact(PANEL).take(count).enumerate() {
        for (o, &t) in out[r * out_row..][..columns].iter_mut().zip(tile) {
            *o = if accumulate { *o + t } else { t };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Scalar + std::fmt::Debug>() {
        for (m, n, k) in [(1, 1, 1), (13, 33, 385), (25, 64, 7), (100, 31, 80), (4, 96, 3), (0, 5, 4), (3, 2, 0)] {
            let a: Vec<T> = (0..m * k).map(|i| T::from_f64(((i * 7) % 11) as f64 - 4.0)).collect();
            let b: Vec<T> = (0..k * n).map(|i| T::from_f64(((i * 5) % 13) as f64 - 6.0)).collect();
            let panels = Panels::new(k, n, |p, j| b[p * n + j]);
            assert_eq!(panels.row_major(), b, "{k} x {n}");
            let mut out = vec![T::ONE; m * n];
            for (accumulate, start) in [(false, 0.0), (true, 1.0)] {
                out.fill(T::ONE);
                panels.product(m, &a, T::from_f64(0.5), accumulate, &mut out);
                for (at, &found) in out.iter().enumerate() {
                    let (i, j) = (at / n, at % n);
                    let sum: f64 = (0..k).map(|p| a[i * k + p].to_f64() * b[p * n + j].to_f64()).sum();
                    // Halves of small integers: exact in any order.
                    assert_eq!(found, T::from_f64(start + 0.5 * sum), "({i}, {j}) of {m} x {n} x {k}");
                }
            }
        }
    }

    #[test]
    fn equals_the_definition_at_odd_sizes() {
        check::<f32>();
        check::<f64>();
    }
}
