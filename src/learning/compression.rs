//! Compressed updates: stochastic quantisation and sparsification, what they do to numbers and what they weigh in bits.
//!
//! Each scheme comes with its exact variance or error, so that tests and pages can say what to expect.

use super::identity::IdentityBuilder;
use crate::random::CounterStream;

/// Size of a norm on the network.
const NORM_BITS: u64 = 32;

/// How an update is compressed, as data of an operation. Factors are 1 for unbiased quantisers, see [`Compression::contracting`].
#[derive(Clone, Debug, PartialEq)]
pub enum Compression {
    /// Stochastic quantisation (Alistarh et al. 2017, arXiv 1610.02132) with `levels` levels above 0, each run of `bucket` entries by its own norm.
    Qsgd { levels: u32, bucket: usize, factor: f64 },
    /// The `kept` entries of largest magnitude as they are, 0 for the rest (Stich et al. 2018, arXiv 1809.07599).
    TopK { kept: usize },
    /// `kept` entries drawn evenly, times `factor`; sender and receiver draw the same ones from a common seed.
    RandK { kept: usize, factor: f64 },
}

impl Compression {
    /// QSGD without bias.
    pub fn qsgd(levels: u32, bucket: usize) -> Self {
        Self::Qsgd { levels, bucket, factor: 1.0 }
    }

    /// `kept` of `entries` drawn evenly, times entries/kept: unbiased.
    pub fn rand_k(kept: usize, entries: usize) -> Self {
        Self::RandK { kept, factor: entries as f64 / kept as f64 }
    }

    /// The same scheme as error feedback wants it: no longer unbiased, but never farther from its input than 0 is in the
    /// mean. An unbiased quantiser of variance at most w |v|^2 is divided by 1 + w (Karimireddy et al. 2019,
    /// arXiv 1901.09847), and entries that are drawn evenly are left as they are (Stich et al. 2018).
    #[must_use]
    pub fn contracting(self) -> Self {
        match self {
            Self::Qsgd { levels, bucket, .. } => {
                Self::Qsgd { levels, bucket, factor: 1.0 / (1.0 + qsgd_relative_bound(bucket, levels)) }
            }
            Self::TopK { kept } => Self::TopK { kept },
            Self::RandK { kept, .. } => Self::RandK { kept, factor: 1.0 },
        }
    }

    /// Bits of `entries` compressed numbers where one that is sent as it is takes `value_bits`.
    pub fn bits(&self, entries: usize, value_bits: u64) -> u64 {
        match *self {
            Self::Qsgd { levels, bucket, .. } => qsgd_bits(entries, levels, bucket),
            Self::TopK { kept } => top_k_bits(entries, kept, value_bits),
            Self::RandK { kept, .. } => kept.min(entries) as u64 * value_bits,
        }
    }

    /// `values` as the receiver gets them. `noise` decides every draw.
    pub fn apply(&self, values: &mut [f64], noise: &CounterStream) {
        match *self {
            Self::Qsgd { levels, bucket, factor } => {
                for (number, run) in values.chunks_mut(bucket).enumerate() {
                    qsgd(run, levels, &noise.child(number as u64));
                    run.iter_mut().for_each(|x| *x *= factor);
                }
            }
            Self::TopK { kept } => keep(values, &top_k(values, kept), 1.0),
            Self::RandK { kept, factor } => keep(values, &rand_k(values.len(), kept, noise), factor),
        }
    }

    pub(super) fn identify(&self, b: IdentityBuilder) -> IdentityBuilder {
        match *self {
            Self::Qsgd { levels, bucket, factor } => {
                b.text("qsgd").word(u64::from(levels)).word(bucket as u64).real(factor)
            }
            Self::TopK { kept } => b.text("top_k").word(kept as u64),
            Self::RandK { kept, factor } => b.text("rand_k").word(kept as u64).real(factor),
        }
    }
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Q_i = |v| sign(v_i) l_i / s with l_i one of the two whole numbers around s |v_i| / |v|, such that E[Q] = v.
pub fn qsgd(v: &mut [f64], levels: u32, noise: &CounterStream) {
    let (norm, s) = (norm(v), f64::from(levels));
    if norm == 0.0 {
        return;
    }
    for (i, x) in v.iter_mut().enumerate() {
        let level = (s * x.abs() / norm + noise.uniform(i as u64)).floor();
        *x = norm * x.signum() * level / s;
    }
}

/// E|Q(v) - v|^2 = (|v|^2 / s^2) sum_i f_i (1 - f_i) with f_i the fraction of s |v_i| / |v| above a whole number.
pub fn qsgd_variance(v: &[f64], levels: u32) -> f64 {
    let (norm, s) = (norm(v), f64::from(levels));
    if norm == 0.0 {
        return 0.0;
    }
    let spread = |x: &f64| {
        let level = s * x.abs() / norm;
        let fraction = level - level.floor();
        fraction * (1.0 - fraction)
    };
    (norm / s).powi(2) * v.iter().map(spread).sum::<f64>()
}

/// The variance is at most this times |v|^2: min(d/s^2, sqrt(d)/s) (Alistarh et al. 2017, lemma 3.1).
pub fn qsgd_relative_bound(entries: usize, levels: u32) -> f64 {
    let (d, s) = (entries as f64, f64::from(levels));
    (d / (s * s)).min(d.sqrt() / s)
}

/// Fixed-length code: a norm a bucket; a sign and one of s + 1 levels an entry.
pub fn qsgd_bits(entries: usize, levels: u32, bucket: usize) -> u64 {
    let level_bits = u64::from(u32::BITS - levels.leading_zeros());
    NORM_BITS * entries.div_ceil(bucket) as u64 + entries as u64 * (1 + level_bits)
}

/// The `kept` entries of largest magnitude, in ascending order; of equals, those that come first.
pub fn top_k(v: &[f64], kept: usize) -> Vec<usize> {
    select(v.len(), kept, |a, b| v[b].abs().total_cmp(&v[a].abs()))
}

/// A value and an index for each entry that is kept.
pub fn top_k_bits(entries: usize, kept: usize, value_bits: u64) -> u64 {
    let index_bits = u64::from(usize::BITS - entries.saturating_sub(1).leading_zeros());
    kept.min(entries) as u64 * (value_bits + index_bits)
}

/// `kept` of `entries` indices drawn without putting back, in ascending order.
pub fn rand_k(entries: usize, kept: usize, noise: &CounterStream) -> Vec<usize> {
    select(entries, kept, |a, b| noise.bits(a as u64).cmp(&noise.bits(b as u64)))
}

/// Variance of unbiased rand-k: (d/k - 1) |v|^2.
pub fn rand_k_variance(v: &[f64], kept: usize) -> f64 {
    (v.len() as f64 / kept as f64 - 1.0) * norm(v).powi(2)
}

/// The `kept` first of `entries` indices in an order, the lower of equals first; returned in ascending order.
fn select(entries: usize, kept: usize, order: impl Fn(usize, usize) -> std::cmp::Ordering) -> Vec<usize> {
    let mut all: Vec<usize> = (0..entries).collect();
    if kept < entries {
        all.select_nth_unstable_by(kept, |&a, &b| order(a, b).then(a.cmp(&b)));
        all.truncate(kept);
        all.sort_unstable();
    }
    all
}

/// Keeps the entries listed in ascending order, times `factor`; the others become 0.
fn keep(values: &mut [f64], kept: &[usize], factor: f64) {
    let mut next = kept.iter().peekable();
    for (i, x) in values.iter_mut().enumerate() {
        *x = if next.next_if_eq(&&i).is_some() { *x * factor } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V: [f64; 7] = [0.3, -1.2, 0.0, 2.5, -0.01, 0.7, -2.5];

    #[test]
    fn very_many_levels_leave_the_vector_as_it_is() {
        let mut quantised = V;
        Compression::qsgd(1 << 30, 3).apply(&mut quantised, &CounterStream::new(1, 2));
        for (q, v) in quantised.iter().zip(V) {
            assert!((q - v).abs() < 1e-8);
        }
    }

    #[test]
    fn keeping_all_changes_nothing() {
        for compression in [Compression::TopK { kept: 7 }, Compression::TopK { kept: 9 }, Compression::rand_k(7, 7)] {
            let mut all = V;
            compression.apply(&mut all, &CounterStream::new(1, 2));
            assert_eq!(all, V);
        }
    }

    #[test]
    fn the_largest_are_kept_and_the_first_of_equals() {
        assert_eq!(top_k(&V, 1), [3]);
        assert_eq!(top_k(&V, 3), [1, 3, 6]);
        let mut v = V;
        Compression::TopK { kept: 2 }.apply(&mut v, &CounterStream::new(1, 2));
        assert_eq!(v, [0.0, 0.0, 0.0, 2.5, 0.0, 0.0, -2.5]);
    }

    /// E|C(v) - v|^2 <= (1 - delta) |v|^2, delta > 0: what error feedback needs.
    #[test]
    fn contracting_schemes_come_no_farther_from_the_vector_than_zero_is() {
        let squared = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>();
        for scheme in [Compression::qsgd(1, 7), Compression::TopK { kept: 1 }, Compression::rand_k(1, 7)] {
            let scheme = scheme.contracting();
            let mean = (0..20_000)
                .map(|i| {
                    let mut c = V;
                    scheme.apply(&mut c, &CounterStream::new(i, 4));
                    squared(&std::array::from_fn::<f64, 7, _>(|i| c[i] - V[i]))
                })
                .sum::<f64>()
                / 20_000.0;
            assert!(mean < 0.95 * squared(&V), "{scheme:?}: {mean}");
        }
    }

    #[test]
    fn bits_of_buckets() {
        // 1000 entries: two norms; a sign and four bits for 0..=15.
        assert_eq!(Compression::qsgd(15, 512).bits(1000, 32), 2 * 32 + 1000 * 5);
        assert_eq!(Compression::qsgd(16, 512).bits(1000, 32), 2 * 32 + 1000 * 6);
        assert_eq!(Compression::TopK { kept: 10 }.bits(1024, 32), 10 * 42);
        assert_eq!(Compression::TopK { kept: 10 }.bits(1025, 16), 10 * 27);
        assert_eq!(Compression::rand_k(10, 1000).bits(1000, 32), 320);
    }
}
