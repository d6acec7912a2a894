//! The roofline that explains timed steps best.

use super::Timed;
use crate::compute::Work;

/// What a machine sustains: seconds = max(flops / rate, bytes / bandwidth) + kernels x overhead, for forward and backward each, or
/// with the sum in place of the larger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fitted {
    pub flops_per_second: f64,
    pub bytes_per_second: f64,
    pub overhead_seconds: f64,
    /// Whether only the larger of arithmetic and memory counts.
    pub overlap: bool,
}

impl Fitted {
    /// The least squares of relative errors of either form, by a search along the logarithms of the three numbers from several
    /// starts.
    ///
    /// # Panics
    /// If nothing was timed.
    pub(super) fn to(timed: &[Timed]) -> Self {
        let rate = |of: fn(&Work) -> f64| {
            timed.iter().map(|t| t.work.iter().map(of).sum::<f64>() / t.seconds).fold(0.0, f64::max)
        };
        let (flops, bytes) = (rate(|w| w.flops), rate(|w| w.bytes));
        let least = timed.iter().map(|t| t.seconds / t.kernels()).fold(f64::INFINITY, f64::min);
        let starts = [1.0, 2.0, 8.0].into_iter().flat_map(|b| [0.02, 0.2, 0.8].map(|o| (b, o)));
        let start = |overlap: bool, (b, o): (f64, f64)| Self {
            overlap,
            flops_per_second: flops,
            bytes_per_second: b * bytes,
            overhead_seconds: o * least,
        };
        let searched = starts.flat_map(|s| [true, false].map(|overlap| start(overlap, s).improved(timed)));
        searched.min_by(|a, b| a.0.total_cmp(&b.0)).expect("there are starts").1
    }

    /// A minimum near by, with the sum of squares there.
    fn improved(mut self, timed: &[Timed]) -> (f64, Self) {
        let (mut best, mut stride) = (self.squares(timed), 0.5_f64);
        while stride > 1e-4 {
            let (up, down) = (stride.exp(), (-stride).exp());
            let moves = [up, down].into_iter().flat_map(|f| {
                [
                    Self { flops_per_second: self.flops_per_second * f, ..self },
                    Self { bytes_per_second: self.bytes_per_second * f, ..self },
                    Self { overhead_seconds: self.overhead_seconds * f, ..self },
                ]
            });
            let tried = moves.map(|m| (m.squares(timed), m)).min_by(|a, b| a.0.total_cmp(&b.0));
            match tried.filter(|(squares, _)| *squares < best) {
                Some((squares, better)) => (best, self) = (squares, better),
                None => stride /= 2.0,
            }
        }
        (best, self)
    }

    fn squares(&self, timed: &[Timed]) -> f64 {
        timed.iter().map(|t| self.error(t).powi(2)).sum()
    }

    /// Seconds of a step.
    pub fn predicted(&self, timed: &Timed) -> f64 {
        let pass = |w: &Work| {
            let (arithmetic, memory) = (w.flops / self.flops_per_second, w.bytes / self.bytes_per_second);
            let bound = if self.overlap { arithmetic.max(memory) } else { arithmetic + memory };
            bound + f64::from(w.kernels) * self.overhead_seconds
        };
        timed.work.iter().map(pass).sum()
    }

    /// Predicted over measured, less one.
    pub fn error(&self, timed: &Timed) -> f64 {
        self.predicted(timed) / timed.seconds - 1.0
    }
}

impl Timed {
    fn kernels(&self) -> f64 {
        self.work.iter().map(|w| f64::from(w.kernels)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of a machine whose numbers are known are explained by these.
    #[test]
    fn a_known_machine_is_found_again() {
        for overlap in [true, false] {
            let machine =
                Fitted { flops_per_second: 7.3e10, bytes_per_second: 9.1e9, overhead_seconds: 3.7e-6, overlap };
            let works =
                [(3e9, 1e8, 90), (5e8, 2e8, 90), (8e9, 3e8, 200), (1e8, 3e6, 150), (2e9, 9e8, 60), (4e7, 6e6, 300)];
            let step = |(flops, bytes, kernels)| {
                let work = [1, 2].map(|n| Work { flops, bytes, kernels } * n);
                let unknown = Timed { name: String::new(), work, seconds: 1.0 };
                Timed { seconds: machine.predicted(&unknown), ..unknown }
            };
            let timed: Vec<Timed> = works.into_iter().map(step).collect();
            let found = Fitted::to(&timed);
            assert!(timed.iter().all(|t| found.error(t).abs() < 0.01), "{found:?}");
            assert_eq!(found.overlap, overlap);
            let near = |a: f64, b: f64| (a / b - 1.0).abs() < 0.05;
            assert!(near(found.flops_per_second, machine.flops_per_second), "{found:?}");
            assert!(near(found.bytes_per_second, machine.bytes_per_second), "{found:?}");
            assert!(near(found.overhead_seconds, machine.overhead_seconds), "{found:?}");
        }
    }
}
