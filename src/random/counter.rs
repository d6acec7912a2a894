//! Counter-based generator: value n is a pure function of (key, n), so draws need no order and no state.

/// Two rounds of the SplitMix64 finaliser (Steele, Lea, Flood 2014) over a keyed counter.
///
/// The same few integer operations run on a GPU, which is why over-the-air noise is drawn from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterStream {
    key: u64,
    tweak: u64,
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl CounterStream {
    pub const fn new(key: u64, tweak: u64) -> Self {
        Self { key, tweak }
    }

    /// The two words that determine the stream: its identity.
    pub fn key(&self) -> (u64, u64) {
        (self.key, self.tweak)
    }

    /// The sub-stream numbered `index`, independent of its siblings.
    pub fn child(&self, index: u64) -> Self {
        Self { key: mix(self.key ^ mix(index.wrapping_add(GOLDEN))), tweak: mix(self.tweak.wrapping_add(index)) }
    }

    /// 64 uniform bits number `n`.
    #[inline]
    pub fn bits(&self, n: u64) -> u64 {
        mix(mix(self.key.wrapping_add(n.wrapping_mul(GOLDEN))) ^ self.tweak)
    }

    /// Uniform in (0, 1), number `n`: never 0, so that its logarithm is finite.
    #[inline]
    pub fn uniform(&self, n: u64) -> f64 {
        ((self.bits(n) >> 11) as f64 + 0.5) * (1.0 / (1u64 << 53) as f64)
    }

    /// Standard normal number `n` (Box and Muller 1958): draws 2m and 2m+1 are one pair.
    #[inline]
    pub fn normal(&self, n: u64) -> f64 {
        let (radius, angle) = (self.uniform(n & !1), self.uniform(n | 1));
        let r = (-2.0 * radius.ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * angle).sin_cos();
        if n & 1 == 0 { r * cos } else { r * sin }
    }

    /// Standard normals number 2m and 2m+1, for the work of one.
    #[inline]
    pub fn normal_pair(&self, m: u64) -> [f64; 2] {
        let r = (-2.0 * self.uniform(2 * m).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.uniform(2 * m + 1)).sin_cos();
        [r * cos, r * sin]
    }

    /// Exponential with mean 1, number `n`: the power gain of a Rayleigh channel.
    #[inline]
    pub fn exponential(&self, n: u64) -> f64 {
        -self.uniform(n).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_match_within_four_standard_errors() {
        let s = CounterStream::new(7, 11);
        let n = 200_000u64;
        let mean = |f: &dyn Fn(u64) -> f64| (0..n).map(f).sum::<f64>() / n as f64;
        let se = |sd: f64| 4.0 * sd / (n as f64).sqrt();
        assert!((mean(&|i| s.uniform(i)) - 0.5).abs() < se(12f64.sqrt().recip()));
        assert!(mean(&|i| s.normal(i)).abs() < se(1.0));
        assert!((mean(&|i| s.normal(i).powi(2)) - 1.0).abs() < se(2f64.sqrt()));
        assert!(mean(&|i| s.normal(i) * s.normal(i + 1)).abs() < se(1.0));
        assert!((mean(&|i| s.exponential(i)) - 1.0).abs() < se(1.0));
    }

    #[test]
    fn a_pair_is_its_two_normals() {
        let s = CounterStream::new(7, 11);
        assert!((0..50).all(|m| s.normal_pair(m) == [s.normal(2 * m), s.normal(2 * m + 1)]));
    }

    #[test]
    fn children_differ_from_their_parent_and_from_each_other() {
        let s = CounterStream::new(1, 2);
        let values: std::collections::HashSet<u64> =
            (0..1000).flat_map(|c| (0..10).map(move |i| s.child(c).bits(i))).collect();
        assert_eq!(values.len(), 10_000);
    }
}
