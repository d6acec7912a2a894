//! Which prompts answer, and with what weight: plain arithmetic on scores and keys.

/// Cosine of the angle between two vectors; 0 where one of them is zero.
pub(super) fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    if norms > 0.0 { dot(a, b) / norms } else { 0.0 }
}

/// The entry-wise mean; empty for no vectors.
pub(super) fn mean(vectors: &[Vec<f64>]) -> Vec<f64> {
    let mut sum = vec![0.0; vectors.first().map_or(0, Vec::len)];
    for v in vectors {
        sum.iter_mut().zip(v).for_each(|(s, x)| *s += x);
    }
    sum.iter_mut().for_each(|s| *s /= vectors.len() as f64);
    sum
}

/// `a - b`.
pub(super) fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// Softmax of `scores / temperature` over the `top` highest; 0 for the others. Of equals the earlier is chosen.
pub(super) fn top_weights(scores: &[f64], top: usize, temperature: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    order.truncate(top.max(1));
    let mut weights = vec![0.0; scores.len()];
    let Some(&best) = order.first() else { return weights };
    for &i in &order {
        weights[i] = ((scores[i] - scores[best]) / temperature).exp();
    }
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|w| *w /= sum);
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_the_softmax_of_the_best() {
        let weights = top_weights(&[0.1, 0.5, 0.3, 0.5], 3, 0.2);
        let e = [(0.3f64 - 0.5) / 0.2, 0.0].map(f64::exp);
        let sum = e[0] + 2.0 * e[1];
        for (got, expected) in weights.iter().zip([0.0, 1.0 / sum, e[0] / sum, 1.0 / sum]) {
            assert!((got - expected).abs() < 1e-15, "{weights:?}");
        }
        for top in 1..6 {
            let weights = top_weights(&[0.2, -3.0, 7.5, 0.2, 1e3], top, 0.01);
            assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{weights:?}");
        }
        assert_eq!(top_weights(&[0.4, 0.9, 0.9], 1, 0.3), [0.0, 1.0, 0.0], "the earlier of equals, all of it");
        assert_eq!(top_weights(&[0.4], 1, 1e-9), [1.0]);
        // Hot is uniform, cold is the best alone.
        let hot = top_weights(&[0.0, 1.0], 2, 1e9);
        assert!((hot[0] - 0.5).abs() < 1e-8);
        assert_eq!(top_weights(&[0.0, 1.0], 2, 1e-6), [0.0, 1.0]);
    }

    #[test]
    fn cosine_sees_directions_alone() {
        assert_eq!(cosine(&[3.0, 0.0], &[0.5, 0.0]), 1.0);
        assert_eq!(cosine(&[3.0, 0.0], &[-2.0, 0.0]), -1.0);
        assert!(cosine(&[1.0, 1.0], &[1.0, -1.0]).abs() < 1e-15);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, -1.0]), 0.0);
        assert_eq!(mean(&[vec![1.0, 2.0], vec![3.0, 6.0]]), [2.0, 4.0]);
        assert_eq!(minus(&[1.0, 2.0], &[3.0, 1.0]), [-2.0, 1.0]);
    }
}
