//! What a cut does to what crosses it: activations on their way up, their gradient on its way down.
//!
//! A [`Distortion`] is the error that compression or an analog channel leaves behind, whatever it took to send the
//! values. Backward is straight through: below the cut goes on with the gradient that arrived, above it the hidden
//! states that arrived are taken for those that were sent. A sample is distorted on its own, with draws numbered by its
//! place in the mini-batch, so that neither chunks nor threads can be seen in the outcome.

use super::Pass;
use crate::backend::Backend;
use crate::fomo::cost::kept;
use crate::random::CounterStream;
use ::half::f16;
use std::ops::Range;

/// A cut below block `block`, and what happens to what crosses it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    pub block: usize,
    /// What becomes of activations.
    pub up: Distortion,
    /// What becomes of their gradient.
    pub down: Distortion,
}

/// How values differ after they have crossed. `[tokens, width]` values of one sample at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distortion {
    None,
    /// Rounded to 16 bits (IEEE 754 binary16).
    Half,
    /// Stochastic rounding to the 2^bits - 1 levels -L..=L of max|x| / L, L = 2^(bits-1) - 1: without bias, and with
    /// variance f (1 - f) (max|x| / L)^2 where f is how far x lies between two levels (Alistarh et al. 2017, QSGD,
    /// arXiv 1610.02132, with the largest magnitude in place of the norm).
    Quantise {
        bits: u32,
        per_token: bool,
    },
    /// All but the `ceil(kept_fraction width)` largest magnitudes of each token become 0; of equals the first stay.
    TopK {
        kept_fraction: f64,
    },
    /// `TopK`, and what stays is rounded as `Quantise` rounds it, by the token's largest magnitude.
    SparseQuantise {
        kept_fraction: f64,
        bits: u32,
    },
    /// Neighbouring tokens that are most alike (cosine) become their mean until `ceil(kept_fraction tokens)` are left.
    /// The map is symmetric, so the gradient's own way back through it is the same mean over the same groups.
    MergeTokens {
        kept_fraction: f64,
    },
    /// Normalised to unit power, received as x + z / sqrt(snr) with z standard normal, and scaled by snr / (1 + snr), the
    /// linear estimate of least mean square error.
    Noise {
        snr: f64,
    },
}

/// A cut during one step.
#[derive(Clone, Copy, Debug)]
pub struct AtCut<'a> {
    pub cut: &'a Cut,
    /// Key of the step's draws.
    pub stream: CounterStream,
}

/// One crossing up and down: what was decided on the way up holds on the way down.
pub(super) struct Crossing<'a> {
    at: AtCut<'a>,
    /// Number in the batch of the pass's first sequence.
    first: usize,
    /// The groups of each tensor, where tokens are merged.
    groups: Vec<Vec<Range<usize>>>,
}

impl<'a> Crossing<'a> {
    pub fn new(at: AtCut<'a>, first: usize) -> Self {
        Self { at, first, groups: vec![] }
    }

    /// The pass stands before the cut block: its hidden states go up.
    pub fn up<B: Backend>(&mut self, pass: &mut Pass<'_, B>) {
        let Cut { block, up, .. } = *self.at.cut;
        if up == Distortion::None {
            return;
        }
        let mut values = pass.hidden();
        self.distort(pass, &mut values, up, self.at.stream.child(0));
        pass.set_hidden(&values, block);
    }

    /// The pass has gone back to the cut block: the gradient of its input goes down.
    pub fn down<B: Backend>(&mut self, pass: &mut Pass<'_, B>) {
        let Cut { block, down, .. } = *self.at.cut;
        if down == Distortion::None {
            return;
        }
        let mut values = pass.hidden_gradient(block);
        self.distort(pass, &mut values, down, self.at.stream.child(1));
        pass.set_hidden_gradient(&values, block);
    }

    fn distort<B: Backend>(
        &mut self,
        pass: &Pass<'_, B>,
        values: &mut [f32],
        distortion: Distortion,
        stream: CounterStream,
    ) {
        let tensors = pass.crossing_tensors(self.at.cut.block);
        let width = values.len() / tensors.last().map_or(1, |(_, rows)| rows.end).max(1);
        for (number, (id, rows)) in tensors.into_iter().enumerate() {
            let tensor = &mut values[rows.start * width..rows.end * width];
            let Distortion::MergeTokens { kept_fraction } = distortion else {
                distortion.apply(tensor, width, &stream.child(id + self.first as u64));
                continue;
            };
            if self.groups.len() <= number {
                self.groups.push(alike_neighbours(tensor, width, kept_fraction));
            }
            average(tensor, width, &self.groups[number]);
        }
    }
}

impl Distortion {
    /// What becomes of one sample's `tensor`, `[tokens, width]`.
    pub fn apply(&self, tensor: &mut [f32], width: usize, stream: &CounterStream) {
        match *self {
            Self::None => {}
            Self::Half => tensor.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32()),
            Self::Quantise { bits, per_token } => {
                let rows = if per_token { width } else { tensor.len().max(1) };
                for (number, row) in tensor.chunks_mut(rows).enumerate() {
                    quantise(row, bits, stream, (number * rows) as u64);
                }
            }
            Self::TopK { kept_fraction } => {
                let k = kept(kept_fraction, width as u64) as usize;
                tensor.chunks_mut(width).for_each(|row| keep_largest(row, k));
            }
            Self::SparseQuantise { kept_fraction, bits } => {
                Self::TopK { kept_fraction }.apply(tensor, width, stream);
                // A zero lies on a level: it stays.
                Self::Quantise { bits, per_token: true }.apply(tensor, width, stream);
            }
            Self::MergeTokens { kept_fraction } => {
                let groups = alike_neighbours(tensor, width, kept_fraction);
                average(tensor, width, &groups);
            }
            Self::Noise { snr } => receive(tensor, snr, stream),
        }
    }
}

/// Rounds to levels with draws from number `first` on.
fn quantise(values: &mut [f32], bits: u32, stream: &CounterStream, first: u64) {
    let largest = values.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    if largest == 0.0 {
        return;
    }
    let levels = f64::from((1u32 << (bits - 1)) - 1);
    for (n, x) in (first..).zip(values) {
        let level = (f64::from(*x) / f64::from(largest) * levels + stream.uniform(n)).floor();
        *x = (level / levels * f64::from(largest)) as f32;
    }
}

fn keep_largest(row: &mut [f32], k: usize) {
    if k >= row.len() {
        return;
    }
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.select_nth_unstable_by(k, |&a, &b| row[b].abs().total_cmp(&row[a].abs()).then(a.cmp(&b)));
    for &dropped in &order[k..] {
        row[dropped] = 0.0;
    }
}

/// Runs of neighbouring tokens to be merged: the boundaries between the least alike stay, the first of equals go.
fn alike_neighbours(tensor: &[f32], width: usize, kept_fraction: f64) -> Vec<Range<usize>> {
    let tokens = tensor.len() / width;
    let groups = kept(kept_fraction, tokens as u64) as usize;
    let row = |i: usize| tensor[i * width..][..width].iter().map(|x| f64::from(*x));
    let dot = |i: usize, j: usize| row(i).zip(row(j)).map(|(a, b)| a * b).sum::<f64>();
    let norms: Vec<f64> = (0..tokens).map(|i| dot(i, i).sqrt()).collect();
    let alike = |i: usize| dot(i, i + 1) / (norms[i] * norms[i + 1]).max(f64::MIN_POSITIVE);
    let mut boundaries: Vec<(f64, usize)> = (0..tokens.saturating_sub(1)).map(|i| (alike(i), i + 1)).collect();
    // Most alike first: so many boundaries fall.
    boundaries.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut starts: Vec<usize> = boundaries[tokens.saturating_sub(groups)..].iter().map(|(_, start)| *start).collect();
    starts.sort_unstable();
    let ends = starts.iter().copied().chain([tokens]);
    std::iter::once(0).chain(starts.iter().copied()).zip(ends).map(|(start, end)| start..end).collect()
}

/// Every token of a group becomes their mean.
fn average(tensor: &mut [f32], width: usize, groups: &[Range<usize>]) {
    for group in groups.iter().filter(|g| g.len() > 1) {
        for column in 0..width {
            let sum: f64 = group.clone().map(|i| f64::from(tensor[i * width + column])).sum();
            let mean = (sum / group.len() as f64) as f32;
            group.clone().for_each(|i| tensor[i * width + column] = mean);
        }
    }
}

fn receive(tensor: &mut [f32], snr: f64, stream: &CounterStream) {
    let power = tensor.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / tensor.len().max(1) as f64;
    let (std, scale) = ((power / snr).sqrt(), 1.0 / (1.0 + 1.0 / snr));
    for (n, x) in (0..).zip(tensor) {
        *x = (scale * (f64::from(*x) + std * stream.normal(n))) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: fn(u64) -> CounterStream = |n| CounterStream::new(3, 9).child(n);

    fn sample(n: usize) -> Vec<f32> {
        (0..n).map(|i| STREAM(77).normal(i as u64) as f32).collect()
    }

    #[test]
    fn stochastic_rounding_has_no_bias_and_the_variance_of_its_formula() {
        let x = sample(12);
        for (bits, per_token) in [(8, false), (4, true), (2, false)] {
            let quantiser = Distortion::Quantise { bits, per_token };
            let draws = 40_000u64;
            let mut sums = vec![(0.0f64, 0.0f64); x.len()];
            for draw in 0..draws {
                let mut y = x.clone();
                quantiser.apply(&mut y, 4, &STREAM(draw));
                for ((sum, y), x) in sums.iter_mut().zip(y).zip(&x) {
                    let error = f64::from(y) - f64::from(*x);
                    *sum = (sum.0 + error, sum.1 + error * error);
                }
            }
            for (i, (sum, squares)) in sums.into_iter().enumerate() {
                let own = if per_token { &x[i / 4 * 4..][..4] } else { &x[..] };
                let largest = own.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                let step = f64::from(largest) / f64::from((1u32 << (bits - 1)) - 1);
                let place = f64::from(x[i]) / step;
                let f = place - place.floor();
                let variance = f * (1.0 - f) * step * step;
                let (mean, found) = (sum / draws as f64, squares / draws as f64);
                // Six standard errors; a fourth moment is at most step^2 times the variance.
                let of_mean = 6.0 * (variance / draws as f64).sqrt() + 1e-7;
                assert!(mean.abs() < of_mean, "{bits} bits, entry {i}: bias {mean}");
                let of_variance = 6.0 * step * (variance / draws as f64).sqrt() + 1e-9;
                assert!((found - variance).abs() < of_variance, "{bits} bits, entry {i}: {found} for {variance}");
            }
        }
    }

    #[test]
    fn the_largest_magnitudes_of_each_token_stay() {
        let mut x = vec![1.0, -5.0, 2.0, 2.0, 0.5, 0.0, -0.25, 0.125];
        Distortion::TopK { kept_fraction: 0.5 }.apply(&mut x, 4, &STREAM(0));
        assert_eq!(x, [0.0, -5.0, 2.0, 0.0, 0.5, 0.0, -0.25, 0.0]);
        let all = sample(24);
        let mut same = all.clone();
        Distortion::TopK { kept_fraction: 1.0 }.apply(&mut same, 8, &STREAM(0));
        assert_eq!(same, all);
    }

    #[test]
    fn what_sparse_rounding_drops_is_zero_and_what_it_keeps_is_rounded() {
        let (x, mut y) = (sample(40), sample(40));
        Distortion::SparseQuantise { kept_fraction: 0.3, bits: 3 }.apply(&mut y, 10, &STREAM(4));
        for (row, before) in y.chunks(10).zip(x.chunks(10)) {
            let largest = before.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            assert!(row.iter().filter(|v| **v != 0.0).count() <= 3);
            let levels = row.iter().map(|v| f64::from(*v) / f64::from(largest) * 3.0);
            assert!(levels.into_iter().all(|l| (l - l.round()).abs() < 1e-5), "{row:?}");
            assert!(row.iter().any(|v| v.abs() == largest), "the largest is a level itself");
        }
        let mut dense = x.clone();
        let mut all = x;
        Distortion::Quantise { bits: 5, per_token: true }.apply(&mut dense, 10, &STREAM(5));
        Distortion::SparseQuantise { kept_fraction: 1.0, bits: 5 }.apply(&mut all, 10, &STREAM(5));
        assert_eq!(dense, all);
    }

    #[test]
    fn alike_neighbours_become_their_mean_and_merging_is_its_own_transpose() {
        // Tokens 0 and 1 point the same way, so do 3 and 4.
        let x = vec![1.0, 0.0, 3.0, 0.0, 0.0, 2.0, 1.0, 1.0, 2.0, 2.0];
        let mut y = x.clone();
        Distortion::MergeTokens { kept_fraction: 0.6 }.apply(&mut y, 2, &STREAM(0));
        assert_eq!(y, [2.0, 0.0, 2.0, 0.0, 0.0, 2.0, 1.5, 1.5, 1.5, 1.5]);
        for tokens in 1..9 {
            for kept_fraction in [0.05, 0.3, 0.5, 1.0] {
                let (a, b) = (sample(tokens * 3), sample(tokens * 3 + 5)[5..].to_vec());
                let groups = alike_neighbours(&a, 3, kept_fraction);
                assert_eq!(groups.len() as u64, kept(kept_fraction, tokens as u64));
                assert_eq!(groups.iter().map(Range::len).sum::<usize>(), tokens);
                let [mut pa, mut pb] = [a.clone(), b.clone()];
                average(&mut pa, 3, &groups);
                average(&mut pb, 3, &groups);
                let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(x * y)).sum::<f64>();
                assert!((dot(&pa, &b) - dot(&a, &pb)).abs() < 1e-4, "<Pa, b> = <a, Pb>");
            }
        }
    }

    #[test]
    fn noise_has_the_error_of_the_best_linear_estimate_and_none_at_infinite_snr() {
        let x = sample(100_000);
        let power = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / x.len() as f64;
        for snr in [0.1, 1.0, 30.0] {
            let mut y = x.clone();
            Distortion::Noise { snr }.apply(&mut y, 100, &STREAM(1));
            let error = x.iter().zip(&y).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>() / x.len() as f64;
            assert!((error / power * (1.0 + snr) - 1.0).abs() < 0.03, "{snr}: {error}");
        }
        let mut y = x.clone();
        Distortion::Noise { snr: f64::INFINITY }.apply(&mut y, 100, &STREAM(1));
        assert_eq!(x, y);
    }

    #[test]
    fn nothing_but_zeros_stays_that() {
        for distortion in [
            Distortion::Half,
            Distortion::Quantise { bits: 4, per_token: true },
            Distortion::TopK { kept_fraction: 0.2 },
            Distortion::MergeTokens { kept_fraction: 0.2 },
            Distortion::Noise { snr: 2.0 },
        ] {
            let mut zeros = vec![0.0; 12];
            distortion.apply(&mut zeros, 4, &STREAM(0));
            assert_eq!(zeros, [0.0; 12], "{distortion:?}");
        }
    }
}
