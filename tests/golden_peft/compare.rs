//! Numbers of a case file, and how far ours may be from them.

use serde_json::Value;

/// `fill(seed, t, n, amp)` of the README.
pub fn fill(seed: u64, t: u64, n: usize, amp: f32) -> Vec<f32> {
    let start = seed.wrapping_add(t.wrapping_mul(0x632B_E59B_D9B4_E019));
    (1..=n as u64)
        .map(|i| {
            let mut z = start.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            amp * ((z >> 40) as f32 * 2f32.powi(-23) - 1.0)
        })
        .collect()
}

pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap_or_else(|| panic!("{value} is not an array")).iter().map(number).collect()
}

pub fn l2(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt()
}

pub fn assert_close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((found - expected).abs() <= tolerance, "{what}: {found}, expected {expected} within {tolerance:e}");
}

/// Euclidean distance of `found` from the expected numbers, which may be fewer, relative to theirs.
pub fn relative_distance(found: &[f32], expected: &[f64]) -> f64 {
    let norm = expected.iter().map(|e| e * e).sum::<f64>().sqrt();
    let distance = found.iter().zip(expected).map(|(&f, e)| (f64::from(f) - e).powi(2)).sum::<f64>().sqrt();
    if distance == 0.0 { 0.0 } else { distance / norm }
}

pub fn assert_prefix(found: &[f32], expected: &Value, relative: f64, what: &str) {
    let distance = relative_distance(found, &numbers(expected));
    assert!(distance <= relative, "{what}: relative distance {distance:e} above {relative:e}");
}

/// The worst relative difference of a gradient from what is known of the reference: its norm, its sum, its first values.
///
/// The first values count against the size that a tensor's values have on average, where theirs is smaller.
pub fn gradient_difference(found: &[f32], reference: &Value) -> f64 {
    let norm = number(&reference["grad_l2"]);
    let first = numbers(&reference["grad_first16"]);
    let typical = norm * (first.len() as f64 / found.len() as f64).sqrt();
    let first_norm = first.iter().map(|e| e * e).sum::<f64>().sqrt();
    let distance = found.iter().zip(&first).map(|(&f, e)| (f64::from(f) - e).powi(2)).sum::<f64>().sqrt();
    let sum: f64 = found.iter().map(|&g| f64::from(g)).sum();
    // Each of n values may be off by a share of norm / sqrt(n): so may their sum, sqrt(n) times as much.
    let sum_difference = (sum - number(&reference["grad_sum"])).abs() / (norm * (found.len() as f64).sqrt());
    [(l2(found) - norm).abs() / norm, distance / first_norm.max(typical), sum_difference]
        .into_iter()
        .fold(0.0, f64::max)
}
