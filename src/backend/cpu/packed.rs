//! Products with a frozen matrix, which is laid out for them once, when it is loaded.
//!
//! A general GEMM copies both factors into an order of its own at every call. Here the frozen factor lies in panels already,
//! a panel is read once for all rows, the rows are read where they are, and a tile of the result stays in registers from the
//! first summand to the last (the inner loops of Goto and van de Geijn 2008, "Anatomy of high-performance matrix
//! multiplication"). A whole training step took 5% less time for it (docs/performance.md).
//!
//! Every element is summed in the order of the inner index, so no row depends on how many rows there are: hidden states
//! below the lowest trainable block may come from any batch.

use super::dispatch::LANES;
use super::scalar::Scalar;
use super::tile::{MOST_VALUES, WIDEST as PANEL};

/// A `[k, n]` factor in panels of `PANEL` columns, each `[k, PANEL]` row-major, the last one padded with zeros.
pub(super) struct Panels<T> {
    /// The panels start at `start`, where a cache line does: a row of a panel is whole lines, and no load touches two.
    values: Vec<T>,
    start: usize,
    k: usize,
    n: usize,
}

/// Bytes of a cache line, and of the widest register.
const LINE: usize = 64;

impl<T: Scalar> Panels<T> {
    /// `value(p, j)` is element (p, j) of the factor.
    pub(super) fn new(k: usize, n: usize, value: impl Fn(usize, usize) -> T) -> Self {
        let mut values = vec![T::ZERO; n.div_ceil(PANEL) * k * PANEL + LINE / size_of::<T>()];
        let start = values.as_ptr().align_offset(LINE).min(LINE / size_of::<T>());
        for (i, row) in values[start..].chunks_exact_mut(PANEL).take(n.div_ceil(PANEL) * k).enumerate() {
            let (panel, p) = (i / k, i % k);
            for (j, v) in (panel * PANEL..n).zip(row) {
                *v = value(p, j);
            }
        }
        Self { values, start, k, n }
    }

    fn panels(&self) -> &[T] {
        &self.values[self.start..][..self.n.div_ceil(PANEL) * self.k * PANEL]
    }

    /// The factor, `[k, n]` row-major.
    pub(super) fn row_major(&self) -> Vec<T> {
        let mut out = vec![T::ZERO; self.k * self.n];
        for (i, row) in self.panels().chunks_exact(PANEL).enumerate() {
            let (panel, p) = (i / self.k, i % self.k);
            for (o, &v) in out[p * self.n..][..self.n].iter_mut().skip(panel * PANEL).zip(row) {
                *o = v;
            }
        }
        out
    }

    /// `out = [out +] scale * a b` for `a` `[rows, k]` and `b` this factor.
    pub(super) fn product(&self, rows: usize, a: &[T], scale: T, accumulate: bool, out: &mut [T]) {
        let (&Self { k, n, .. }, panels) = (self, self.panels());
        let (a, out, how) = (&a[..rows * k], &mut out[..rows * n], (scale, accumulate));
        for (i, panel) in (0..n).step_by(PANEL).enumerate() {
            let (columns, b) = (PANEL.min(n - panel), &panels[i * k * PANEL..][..k * PANEL]);
            // The next panel comes from far away, so it is asked for during this one.
            let next = if panel + PANEL < n { &panels[(i + 1) * k * PANEL..][..k * PANEL] } else { &[] };
            let done = match columns {
                PANEL => T::column((rows, k), a, b, how, (&mut out[panel.min(rows * n)..], n), next),
                _ => 0,
            };
            let mut first = 0;
            while first < columns {
                let (tile_rows, wide) = T::tile_shape(columns.next_multiple_of(LANES) - first);
                let (b, whole) = ((&b[first.min(b.len())..], PANEL), first + wide <= columns);
                for row in (done..rows).step_by(tile_rows) {
                    let count = tile_rows.min(rows - row);
                    let (a, out) = ((&a[row * k..], k, 1), (&mut out[row * n + panel + first..], n));
                    if whole {
                        T::tile((count, wide, k), a, b, how, out);
                    } else {
                        edge_tile((count, wide, k), columns - first, a, b, how, out);
                    }
                }
                first += wide;
            }
        }
    }
}

/// A tile of which only the first `columns` belong to the result.
pub(super) fn edge_tile<T: Scalar>(
    shape: (usize, usize, usize),
    columns: usize,
    a: (&[T], usize, usize),
    b: (&[T], usize),
    (scale, accumulate): (T, bool),
    (out, out_row): (&mut [T], usize),
) {
    let ((count, wide, _), mut tile) = (shape, [T::ZERO; MOST_VALUES]);
    T::tile(shape, a, b, (scale, false), (&mut tile, wide));
    for (r, tile) in tile.chunks_exact(wide).take(count).enumerate() {
        for (o, &t) in out[r * out_row..][..columns].iter_mut().zip(tile) {
            *o = if accumulate { *o + t } else { t };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Scalar + std::fmt::Debug>() {
        for (m, n, k) in
            [(1, 1, 1), (13, 33, 385), (25, 64, 7), (100, 31, 80), (22, 144, 44), (4, 96, 3), (0, 5, 4), (3, 2, 0)]
        {
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
