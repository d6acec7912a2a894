//! Weights in few bits, rounded to the nearest.
//!
//! Symmetric: each group of a row has one scale s = max |w| / (2^(bits - 1) - 1), and w becomes s times the nearest whole
//! number to w / s, so that no weight moves by more than s / 2. In 8 bits a group is the row, as in the checkpoint that
//! deft carries; in 4 bits it is 64 neighbours, a usual size (Frantar et al. 2022, GPTQ, use 128).

/// Size of a group's scale: a 32-bit float.
const SCALE_BYTES: u64 = 4;
const NARROW_GROUP: usize = 64;

/// Columns that share a scale, in rows of `columns`.
fn group(columns: usize, bits: u32) -> usize {
    if bits < 8 { NARROW_GROUP.min(columns) } else { columns }
}

/// Rounds the rows of a matrix with `columns` columns to what `bits` bits a weight can hold.
///
/// # Panics
/// If there are fewer than 2 bits.
pub fn round_to_nearest(values: &mut [f32], columns: usize, bits: u32) {
    assert!(bits >= 2, "a sign and a magnitude need 2 bits");
    let levels = ((1u32 << (bits - 1)) - 1) as f32;
    for row in values.chunks_mut(columns.max(1)) {
        for group in row.chunks_mut(group(columns, bits).max(1)) {
            let largest = group.iter().fold(0.0f32, |largest, w| largest.max(w.abs()));
            let scale = largest / levels;
            if scale > 0.0 {
                group.iter_mut().for_each(|w| *w = (*w / scale).round() * scale);
            }
        }
    }
}

/// Bytes of a matrix in `bits` bits a weight, rows padded to whole bytes, scales included.
pub(crate) fn stored_bytes(rows: u64, columns: u64, bits: u32) -> u64 {
    let groups = columns.div_ceil(group(columns as usize, bits).max(1) as u64);
    rows * ((columns * u64::from(bits)).div_ceil(8) + groups * SCALE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::CounterStream;

    fn matrix(rows: usize, columns: usize) -> Vec<f32> {
        let draw = CounterStream::new(3, 1);
        (0..rows * columns).map(|i| draw.normal(i as u64) as f32).collect()
    }

    #[test]
    fn no_weight_moves_by_more_than_half_a_step_and_some_come_close() {
        for (bits, group) in [(8, 100), (4, 64)] {
            let levels = f32::from((1i16 << (bits - 1)) - 1);
            let before = matrix(7, 100);
            let mut after = before.clone();
            round_to_nearest(&mut after, 100, bits);
            let mut nearest: f32 = 0.0;
            for (old, new) in before.chunks(100).zip(after.chunks(100)) {
                for (old, new) in old.chunks(group).zip(new.chunks(group)) {
                    let step = old.iter().fold(0.0f32, |a, w| a.max(w.abs())) / levels;
                    let distinct: std::collections::BTreeSet<i32> =
                        new.iter().map(|w| (w / step).round() as i32).collect();
                    assert!(distinct.len() <= 2 * levels as usize + 1);
                    for (o, n) in old.iter().zip(new) {
                        assert!((o - n).abs() <= 0.5001 * step, "{bits} bits: {o} became {n}, step {step}");
                        nearest = nearest.max((o - n).abs() / step);
                    }
                }
            }
            assert!(nearest > 0.45, "rounding does something: {nearest}");
        }
    }

    #[test]
    fn what_is_rounded_stays_and_zeros_stay_zero() {
        let mut once = matrix(4, 64);
        once[..64].fill(0.0);
        round_to_nearest(&mut once, 64, 4);
        let mut twice = once.clone();
        round_to_nearest(&mut twice, 64, 4);
        assert!(once.iter().zip(&twice).all(|(a, b)| (a - b).abs() <= 1e-6 * a.abs()));
        assert!(once[..64].iter().all(|w| *w == 0.0));
    }

    #[test]
    fn sizes_count_weights_and_scales() {
        assert_eq!(stored_bytes(10, 384, 8), 10 * (384 + 4));
        assert_eq!(stored_bytes(10, 384, 4), 10 * (192 + 6 * 4));
        assert_eq!(stored_bytes(1, 65, 4), 33 + 2 * 4);
    }
}
