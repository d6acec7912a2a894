//! Rows that become columns: keys and values of one head, for products that want them side by side.

use super::dispatch::LANES;
use super::scalar::Scalar;

/// `total` rows of `dim` values, `row` apart, become `dim` rows of `padded` values: `total` and zeros up to whole `LANES`.
#[inline(always)]
pub(super) fn transpose<T: Scalar>(
    (data, row): (&[T], usize),
    (total, dim): (usize, usize),
    (out, padded): (&mut [T], usize),
) {
    let whole = dim - dim % LANES;
    for first in (0..total).step_by(LANES) {
        let count = LANES.min(total - first);
        for d in (0..whole).step_by(LANES) {
            T::transpose((&data[first * row + d..], row, count), (&mut out[d * padded + first..], padded));
        }
        if whole < dim {
            let (rows, out) = (&data[first * row + whole..], &mut out[whole * padded + first..]);
            portable(dim - whole, (rows, row, count), (out, padded));
        }
    }
}

/// [`Scalar::transpose`] of so many columns, for any CPU.
pub(super) fn portable<T: Scalar>(
    columns: usize,
    (data, row, count): (&[T], usize, usize),
    (out, out_row): (&mut [T], usize),
) {
    for d in 0..columns {
        for (i, o) in out[d * out_row..][..LANES].iter_mut().enumerate() {
            *o = if i < count { data[i * row + d] } else { T::ZERO };
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::LANES;
    use std::arch::x86_64::*;

    /// [`Scalar::transpose`](super::Scalar::transpose) in registers: pairs of values, of pairs, and twice of quarters change
    /// places.
    #[target_feature(enable = "avx512f")]
    pub(in crate::backend::cpu) fn transpose(
        (data, row, count): (&[f32], usize, usize),
        (out, out_row): (&mut [f32], usize),
    ) {
        assert!(0 < count && count <= LANES && (count - 1) * row + LANES <= data.len(), "rows out of bounds");
        assert!((LANES - 1) * out_row + LANES <= out.len(), "columns out of bounds");
        let rows: [__m512; LANES] = std::array::from_fn(|i| {
            let mask = if i < count { 0xffff } else { 0 };
            // SAFETY: a row is inside the slice or masked.
            unsafe { _mm512_maskz_loadu_ps(mask, data.as_ptr().wrapping_add(i * row)) }
        });
        let pairs: [__m512; LANES] = std::array::from_fn(|i| {
            let (a, b) = (rows[i & !1], rows[i | 1]);
            if i % 2 == 0 { _mm512_unpacklo_ps(a, b) } else { _mm512_unpackhi_ps(a, b) }
        });
        // In the fours from 4 q, element j of quarter s is column 4 s + j of rows 4 q to 4 q + 3.
        let fours: [__m512; LANES] = std::array::from_fn(|i| {
            let (q, j) = (i & !3, i % 4);
            let (a, b) = (_mm512_castps_pd(pairs[q + j / 2]), _mm512_castps_pd(pairs[q + 2 + j / 2]));
            _mm512_castpd_ps(if j % 2 == 0 { _mm512_unpacklo_pd(a, b) } else { _mm512_unpackhi_pd(a, b) })
        });
        for j in 0..4 {
            let [a, b, c, d] = [fours[j], fours[4 + j], fours[8 + j], fours[12 + j]];
            let (even_low, odd_low) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
            let (even_high, odd_high) = (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xdd>(c, d));
            let columns = [
                _mm512_shuffle_f32x4::<0x88>(even_low, even_high),
                _mm512_shuffle_f32x4::<0x88>(odd_low, odd_high),
                _mm512_shuffle_f32x4::<0xdd>(even_low, even_high),
                _mm512_shuffle_f32x4::<0xdd>(odd_low, odd_high),
            ];
            for (s, column) in columns.into_iter().enumerate() {
                // SAFETY: row 4 s + j of the result, inside as asserted.
                unsafe { _mm512_storeu_ps(out.as_mut_ptr().add((4 * s + j) * out_row), column) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Scalar + std::fmt::Debug>() {
        for (total, dim) in [(1usize, 16), (16, 32), (26, 32), (5, 7), (33, 50), (48, 64)] {
            let (row, padded) = (dim + 3, total.next_multiple_of(LANES));
            let data: Vec<T> = (0..total * row).map(|i| T::from_f64(i as f64)).collect();
            let mut out = vec![T::from_f64(f64::NAN); dim * padded];
            transpose((&data, row), (total, dim), (&mut out, padded));
            for (at, &found) in out.iter().enumerate() {
                let (d, i) = (at / padded, at % padded);
                let expected = if i < total { data[i * row + d] } else { T::ZERO };
                assert_eq!(found, expected, "({d}, {i}) of {total} x {dim}");
            }
        }
    }

    #[test]
    fn equals_the_definition_at_odd_sizes() {
        check::<f32>();
        check::<f64>();
    }
}
