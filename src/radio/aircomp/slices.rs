//! A sum of K transmitters at one receiver with several antennas at both ends: uniform forcing.
//!
//! All transmitters must arrive with one common amplitude, so each points a matched beam at the receive beam f and inverts
//! what is left: v_k = sqrt(eta) H_k^H f / |H_k^H f|^2. The weakest one sets the common received power
//! eta = min_k P_k g_k |H_k^H f|^2 with |f| = 1, and the noise behind the beam is that of one antenna (Zhu and Huang 2018,
//! arXiv 1803.11129, uniform-forcing transmission, one function). What remains to choose is f: a multicast beam.

use crate::radio::fading::FadingLaw;
use crate::random::CounterStream;
use nalgebra::{Complex, DMatrix, DVector, SymmetricEigen};

pub type Amplitude = Complex<f64>;

/// One transmitter's link to the receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct AntennaLink {
    /// Small-scale channel, receive antennas by transmit antennas, entries of mean power 1.
    pub channel: DMatrix<Amplitude>,
    /// Large-scale power gain, linear.
    pub path_gain: f64,
    /// Limit on the transmit power per subcarrier, all antennas together, watts.
    pub power_watts: f64,
}

/// How the receive beam is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveBeam {
    /// The one antenna on which the weakest transmitter is strongest.
    AntennaSelection,
    /// The dominant eigenvector of sum_k P_k g_k H_k H_k^H: most power of all together, whoever is weakest.
    Eigenvector,
    /// The beam that makes the weakest transmitter as strong as possible.
    MaxMin,
}

/// The beams of a sum and what comes of them.
#[derive(Clone, Debug, PartialEq)]
pub struct UniformForcing {
    /// Of length 1.
    pub receive: DVector<Amplitude>,
    /// One a transmitter; its squared length is that transmitter's power per subcarrier.
    pub transmit: Vec<DVector<Amplitude>>,
    /// Common received power of each transmitter per subcarrier, watts.
    pub eta_watts: f64,
}

impl UniformForcing {
    /// Beams for the channels as they are known, `links`: at least one, all with equally many receive antennas.
    pub fn new(links: &[AntennaLink], beam: ReceiveBeam) -> Self {
        let grams: Vec<DMatrix<Amplitude>> =
            links.iter().map(|l| (&l.channel * l.channel.adjoint()).scale(l.path_gain * l.power_watts)).collect();
        let receive = match beam {
            ReceiveBeam::AntennaSelection => antenna_selection(&grams),
            ReceiveBeam::Eigenvector => dominant_eigenvector(&grams, &vec![1.0; grams.len()]),
            ReceiveBeam::MaxMin => max_min(&grams),
        };
        let eta_watts = weakest(&grams, &receive);
        let transmit = links.iter().map(|l| {
            let matched = l.channel.adjoint() * &receive;
            let power = matched.norm_squared() * l.path_gain;
            if power > 0.0 { matched.scale((eta_watts * l.path_gain).sqrt() / power) } else { matched }
        });
        Self { transmit: transmit.collect(), receive, eta_watts }
    }

    /// The amplitude with which each transmitter arrives over the channels as they are, relative to what was meant: 1 where
    /// the channels were known exactly. Real parts weigh the values, imaginary parts leak between the two values of a
    /// symbol.
    pub fn gains(&self, truth: &[AntennaLink]) -> Vec<Amplitude> {
        let arrives = |(link, beam): (&AntennaLink, &DVector<Amplitude>)| {
            let sum = self.receive.dotc(&(&link.channel * beam));
            sum.scale((link.path_gain / self.eta_watts).sqrt())
        };
        truth.iter().zip(&self.transmit).map(arrives).collect()
    }

    /// eta over the noise of a subcarrier: what each transmitter's symbol is received with.
    pub fn snr(&self, noise_watts: f64) -> f64 {
        self.eta_watts / noise_watts
    }
}

/// A channel of this law: K/(K+1) of the power in one plane wave between uniform linear arrays at half a wavelength, the
/// rest Rayleigh. A constant law is the plane wave alone.
pub fn draw_channel(law: FadingLaw, receive: usize, transmit: usize, draw: &CounterStream) -> DMatrix<Amplitude> {
    let (line, scattered) = match law {
        FadingLaw::Constant => (1.0, 0.0),
        FadingLaw::Rician { k } => ((k / (k + 1.0)).sqrt(), (1.0 / (k + 1.0)).sqrt()),
    };
    let wave = draw.child(1);
    let turns = |n: u64| std::f64::consts::TAU * wave.uniform(n);
    // Electrical angles between neighbouring antennas, pi sin(direction).
    let [arrival, departure] = [1, 2].map(|n| std::f64::consts::PI * turns(n).sin());
    let cells = draw.child(0);
    DMatrix::from_fn(receive, transmit, |r, t| {
        let phase = turns(0) + arrival * r as f64 - departure * t as f64;
        let [re, im] = cells.normal_pair((r * transmit + t) as u64);
        Complex::from_polar(line, phase) + Complex::new(re, im).scale(scattered * std::f64::consts::FRAC_1_SQRT_2)
    })
}

/// What is known of `channel` after a pilot with errors of variance `error` an entry: the linear estimate of least mean
/// squared error, (H + E) / (1 + error).
pub fn estimate_channel(channel: &DMatrix<Amplitude>, error: f64, draw: &CounterStream) -> DMatrix<Amplitude> {
    let columns = channel.ncols();
    DMatrix::from_fn(channel.nrows(), columns, |r, t| {
        let [re, im] = draw.normal_pair((r * columns + t) as u64);
        (channel[(r, t)] + Complex::new(re, im).scale((error / 2.0).sqrt())).unscale(1.0 + error)
    })
}

/// The power with which beam `f` hears a transmitter that spends all of its own.
fn power(gram: &DMatrix<Amplitude>, f: &DVector<Amplitude>) -> f64 {
    f.dotc(&(gram * f)).re.max(0.0)
}

fn weakest(grams: &[DMatrix<Amplitude>], f: &DVector<Amplitude>) -> f64 {
    grams.iter().map(|g| power(g, f)).fold(f64::INFINITY, f64::min)
}

fn antenna_selection(grams: &[DMatrix<Amplitude>]) -> DVector<Amplitude> {
    let antennas = grams[0].nrows();
    let unit = |a: usize| DVector::from_fn(antennas, |r, _| Complex::new(f64::from(u8::from(r == a)), 0.0));
    best(grams, (0..antennas).map(unit))
}

fn best(grams: &[DMatrix<Amplitude>], beams: impl Iterator<Item = DVector<Amplitude>>) -> DVector<Amplitude> {
    let better = |a: DVector<Amplitude>, b| if weakest(grams, &b) > weakest(grams, &a) { b } else { a };
    beams.reduce(better).unwrap_or_else(|| DVector::zeros(0))
}

fn dominant_eigenvector(grams: &[DMatrix<Amplitude>], weights: &[f64]) -> DVector<Amplitude> {
    let antennas = grams[0].nrows();
    let sum = grams.iter().zip(weights).fold(DMatrix::zeros(antennas, antennas), |sum, (g, w)| sum + g.scale(*w));
    // Received powers are far below 1: the iteration's thresholds are not.
    let trace = sum.trace().re;
    let eigen = SymmetricEigen::new(if trace > 0.0 { sum.unscale(trace) } else { sum });
    eigen.eigenvectors.column(eigen.eigenvalues.imax()).into_owned()
}

/// Multiplicative weights on the transmitters, each round's dominant eigenvector a candidate; then ascent of a soft
/// minimum from the best candidates. The problem is not convex (Sidiropoulos, Davidson and Luo 2006,
/// doi:10.1109/TSP.2006.872578): the beam is good, not proven best; it is never worse than the eigenvector or an antenna.
fn max_min(grams: &[DMatrix<Amplitude>]) -> DVector<Amplitude> {
    const ROUNDS: usize = 60;
    const STEPS: usize = 200;
    let mut weights = vec![1.0; grams.len()];
    let mut candidates = vec![antenna_selection(grams)];
    for round in 0..ROUNDS {
        let f = dominant_eigenvector(grams, &weights);
        let powers: Vec<f64> = grams.iter().map(|g| power(g, &f)).collect();
        let mean = powers.iter().sum::<f64>() / powers.len() as f64;
        let rate = 1.0 / (1.0 + round as f64).sqrt();
        weights.iter_mut().zip(&powers).for_each(|(w, p)| *w *= (-rate * p / mean.max(f64::MIN_POSITIVE)).exp());
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= total);
        candidates.push(f);
    }
    for g in grams {
        candidates.push(dominant_eigenvector(std::slice::from_ref(g), &[1.0]));
    }
    candidates.sort_by(|a, b| weakest(grams, b).total_cmp(&weakest(grams, a)));
    candidates.truncate(4);
    let climbed: Vec<_> = candidates.iter().map(|f| climb(grams, f.clone(), STEPS)).collect();
    best(grams, candidates.into_iter().chain(climbed))
}

/// Steps along the gradient of a soft minimum that gets harder.
fn climb(grams: &[DMatrix<Amplitude>], mut f: DVector<Amplitude>, steps: usize) -> DVector<Amplitude> {
    let mut found = f.clone();
    for step in 0..steps {
        let powers: Vec<f64> = grams.iter().map(|g| power(g, &f)).collect();
        let least = powers.iter().copied().fold(f64::INFINITY, f64::min);
        let scale = powers.iter().sum::<f64>() / powers.len() as f64;
        let hardness = 4.0 + step as f64 / 2.0;
        let direction = grams.iter().zip(&powers).fold(DVector::zeros(f.len()), |sum: DVector<Amplitude>, (g, p)| {
            sum + (g * &f).scale((-hardness * (p - least) / scale.max(f64::MIN_POSITIVE)).exp() / scale)
        });
        let across = &direction - f.scale(1.0) * f.dotc(&direction);
        f = (f + across.scale(1.0 / (1.0 + step as f64 / 4.0))).normalize();
        if weakest(grams, &f) > weakest(grams, &found) {
            found = f.clone();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAYLEIGH: FadingLaw = FadingLaw::Rician { k: 0.0 };
    const BEAMS: [ReceiveBeam; 3] = [ReceiveBeam::AntennaSelection, ReceiveBeam::Eigenvector, ReceiveBeam::MaxMin];

    fn links(count: u64, receive: usize, transmit: usize, seed: u64) -> Vec<AntennaLink> {
        let link = |k: u64| AntennaLink {
            channel: draw_channel(RAYLEIGH, receive, transmit, &CounterStream::new(seed, k)),
            path_gain: 1e-10 * (1.0 + k as f64),
            power_watts: 1e-4,
        };
        (0..count).map(link).collect()
    }

    #[test]
    fn one_antenna_inverts_the_channel() {
        let links = links(3, 1, 1, 5);
        let expected = links.iter().map(|l| l.channel[(0, 0)].norm_sqr() * l.path_gain * l.power_watts);
        let expected = expected.fold(f64::INFINITY, f64::min);
        for beam in BEAMS {
            let sum = UniformForcing::new(&links, beam);
            assert!((sum.eta_watts / expected - 1.0).abs() < 1e-9, "{beam:?}");
            assert!((sum.snr(1e-16) / (expected / 1e-16) - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn one_transmitter_gets_the_gain_of_the_array() {
        // Matched combining of one transmit antenna: |h|^2, on average as many times as there are antennas.
        let mut mean = 0.0;
        for seed in 0..400 {
            let links = links(1, 8, 1, seed);
            let expected = links[0].channel.norm_squared() * links[0].path_gain * links[0].power_watts;
            for beam in [ReceiveBeam::Eigenvector, ReceiveBeam::MaxMin] {
                let eta = UniformForcing::new(&links, beam).eta_watts;
                assert!((eta / expected - 1.0).abs() < 1e-9, "{beam:?}: {eta:e} {expected:e}");
            }
            mean += links[0].channel.norm_squared() / 400.0;
        }
        assert!((mean - 8.0).abs() < 4.0 * (8f64 / 400.0).sqrt(), "{mean}");
    }

    #[test]
    fn all_arrive_alike_within_their_power_and_the_weakest_spends_all() {
        for (count, receive, transmit) in [(2, 4, 2), (4, 2, 1), (5, 8, 4)] {
            let links = links(count, receive, transmit, 3);
            for beam in BEAMS {
                let sum = UniformForcing::new(&links, beam);
                assert!((sum.receive.norm() - 1.0).abs() < 1e-9);
                assert!(sum.gains(&links).iter().all(|g| (g - Complex::new(1.0, 0.0)).norm() < 1e-9), "{beam:?}");
                let spent = || links.iter().zip(&sum.transmit).map(|(l, v)| v.norm_squared() / l.power_watts);
                assert!(spent().all(|share| share < 1.0 + 1e-9) && spent().any(|share| share > 1.0 - 1e-9));
            }
        }
    }

    #[test]
    fn the_optimised_beam_is_near_the_best_that_a_grid_finds() {
        for seed in 0..12 {
            let links = links(3, 2, 1, seed);
            let eta = |beam| UniformForcing::new(&links, beam).eta_watts;
            let [one, dominant, optimised] = BEAMS.map(eta);
            assert!(optimised >= one.max(dominant));
            let grams: Vec<_> =
                links.iter().map(|l| (&l.channel * l.channel.adjoint()).scale(l.path_gain * l.power_watts)).collect();
            // Beams of two antennas up to a common phase: an angle and a phase.
            let grid = (0..200).flat_map(|a| (0..200).map(move |p| (f64::from(a) / 200.0, f64::from(p) / 200.0)));
            let best = grid
                .map(|(a, p)| {
                    let (sin, cos) = (a * std::f64::consts::FRAC_PI_2).sin_cos();
                    let second = Complex::from_polar(sin, p * std::f64::consts::TAU);
                    weakest(&grams, &DVector::from_vec(vec![Complex::new(cos, 0.0), second]))
                })
                .fold(0.0, f64::max);
            assert!(optimised > 0.97 * best, "{seed}: {optimised:e} against {best:e}");
        }
    }

    #[test]
    fn more_antennas_are_heard_better_and_errors_of_knowledge_are_as_large_as_said() {
        let mean = |receive| {
            (0..40).map(move |s| UniformForcing::new(&links(4, receive, 1, s), ReceiveBeam::MaxMin).eta_watts)
        };
        let means: Vec<f64> = [1, 2, 4, 8].map(|receive| mean(receive).sum::<f64>()).to_vec();
        assert!(means.is_sorted_by(|a, b| *b > 1.5 * a), "{means:?}");
        // One transmitter, many antennas: gain f^H H v with v from the estimate has mean 1 and variance error / N.
        let (antennas, error, draws) = (16, 0.2, 2000);
        let gains: Vec<Amplitude> = (0..draws)
            .map(|seed| {
                let truth = links(1, antennas, 1, seed);
                let channel = estimate_channel(&truth[0].channel, error, &CounterStream::new(seed, 99));
                let known = [AntennaLink { channel, ..truth[0].clone() }];
                UniformForcing::new(&known, ReceiveBeam::Eigenvector).gains(&truth)[0]
            })
            .collect();
        let mean = gains.iter().map(|g| g.re).sum::<f64>() / draws as f64;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        // E | error part |^2 / |known|^2 with |known|^2 ~ N / (1 + error) chi-squared: error / (N - 1).
        let spread = gains.iter().map(|g| (g - Complex::new(1.0, 0.0)).norm_sqr()).sum::<f64>() / draws as f64;
        assert!((spread / (error / (antennas as f64 - 1.0)) - 1.0).abs() < 0.15, "{spread}");
    }
}
