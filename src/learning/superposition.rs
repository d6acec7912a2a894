//! What the channel's addition does to updates: weights, turned phases, noise, and votes by sign.
//!
//! Two entries of a tensor share a complex symbol, the even one in phase and the odd one in quadrature. A device that arrives
//! turned by an angle t contributes cos t of an entry and leaks sin t of its neighbour into it.

use super::identity::IdentityBuilder;
use super::value::State;
use crate::random::CounterStream;
use std::ops::Range;
use std::sync::Arc;

/// By what updates are divided before they are sent, so that their power is that of unit-variance symbols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Normalisation {
    /// Each tensor by its largest root mean square over the devices that transmit.
    #[default]
    PerTensor,
    /// All tensors by one number: the same over all entries that cross the air.
    Global,
    /// Not at all: entries go out as if they were of unit variance.
    None,
}

/// By which angle each device arrives turned.
#[derive(Clone, Debug, PartialEq)]
pub struct Misalignment {
    /// At the centre of the band, radians, one a device.
    pub radians: Vec<f64>,
    /// Change from one subcarrier to the next, radians, one a device.
    pub radians_per_subcarrier: Vec<f64>,
    pub subcarriers: u32,
}

impl Misalignment {
    /// Angle of `device` in complex symbol number `symbol`: symbols fill the band subcarrier by subcarrier.
    pub fn angle(&self, device: usize, symbol: usize) -> f64 {
        let from_centre = (symbol % self.subcarriers as usize) as f64 - f64::from(self.subcarriers - 1) / 2.0;
        self.radians[device] + self.radians_per_subcarrier[device] * from_centre
    }
}

/// Devices that transmit at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Superposition {
    /// Amplitude with which each update arrives in the estimated mean; 0 for who stays silent.
    pub weights: Vec<f64>,
    /// `None` where all arrive in phase.
    pub misalignment: Option<Misalignment>,
    /// Deviation of the noise on each entry of the mean of inputs of unit variance.
    pub noise_std: f64,
    pub noise: CounterStream,
}

impl Superposition {
    pub(super) fn identify(&self, b: IdentityBuilder) -> IdentityBuilder {
        let mut b = self.weights.iter().fold(b.word(self.weights.len() as u64), |b, w| b.real(*w));
        b = b.real(self.noise_std).word(self.noise.key().0).word(self.noise.key().1);
        if let Some(m) = &self.misalignment {
            b = b.text("misalignment").word(u64::from(m.subcarriers));
            b = m.radians.iter().chain(&m.radians_per_subcarrier).fold(b, |b, r| b.real(*r));
        }
        b
    }

    fn transmitters(&self) -> impl Iterator<Item = (usize, f64)> {
        self.weights.iter().copied().enumerate().filter(|(_, w)| *w > 0.0)
    }

    /// What arrives of entry `i` of `tensor` without noise, where device k sent `value(k, i)`.
    fn sum(&self, tensor: &Range<usize>, i: usize, value: impl Fn(usize, usize) -> f64) -> f64 {
        let Some(misalignment) = &self.misalignment else {
            return self.transmitters().map(|(k, w)| w * value(k, i)).sum();
        };
        let offset = i - tensor.start;
        let neighbour = tensor.start + (offset ^ 1);
        let leaks = if offset.is_multiple_of(2) { -1.0 } else { 1.0 };
        let arrives = |(k, w): (usize, f64)| {
            let (sin, cos) = misalignment.angle(k, i / 2).sin_cos();
            let leaked = if neighbour < tensor.end { leaks * value(k, neighbour) } else { 0.0 };
            w * (cos * value(k, i) + sin * leaked)
        };
        self.transmitters().map(arrives).sum()
    }

    /// reference + sigma (sum_k w_k update_k / sigma + noise), tensor by tensor.
    pub(super) fn add(
        &self,
        normalisation: Normalisation,
        out: &mut [f32],
        reference: &State,
        updates: &[Arc<State>],
        tensors: &[Range<usize>],
    ) {
        let update = |k: usize, i: usize| f64::from(updates[k].parameters[i]) - f64::from(reference.parameters[i]);
        let sigma = |tensors: &[Range<usize>]| {
            let entries: usize = tensors.iter().map(ExactSizeIterator::len).sum();
            let squares = |k: usize| tensors.iter().cloned().flatten().map(|i| update(k, i).powi(2)).sum::<f64>();
            let rms = self.transmitters().map(|(k, _)| (squares(k) / entries as f64).sqrt());
            rms.fold(0.0, f64::max)
        };
        let common = match normalisation {
            Normalisation::PerTensor => None,
            Normalisation::Global => Some(sigma(tensors)),
            Normalisation::None => Some(1.0),
        };
        for tensor in tensors {
            let sigma = common.unwrap_or_else(|| sigma(std::slice::from_ref(tensor)));
            for i in tensor.clone() {
                let sum = self.sum(tensor, i, update);
                let noise = sigma * self.noise_std * self.noise.normal(i as u64);
                out[i] = (f64::from(reference.parameters[i]) + sum + noise) as f32;
            }
        }
    }

    /// reference + step sign(sum_k w_k sign(update_k) + noise). Where an update is 0 a coin decides what the device sends.
    pub(super) fn vote(
        &self,
        step: f64,
        out: &mut [f32],
        reference: &State,
        updates: &[Arc<State>],
        tensors: &[Range<usize>],
    ) {
        let coins = self.noise.child(u64::MAX);
        let sign = |k: usize, i: usize| {
            let update = updates[k].parameters[i] - reference.parameters[i];
            let heads = coins.child(k as u64).bits(i as u64) & 1 == 1;
            if update > 0.0 || (update == 0.0 && heads) { 1.0 } else { -1.0 }
        };
        // Without a voter there is only noise to listen to: nothing moves.
        if self.transmitters().next().is_none() {
            return;
        }
        for tensor in tensors {
            for i in tensor.clone() {
                let heard = self.sum(tensor, i, sign) + self.noise_std * self.noise.normal(i as u64);
                out[i] = (f64::from(reference.parameters[i]) + step * heard.signum()) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(parameters: &[f32]) -> Arc<State> {
        Arc::new(State { parameters: parameters.to_vec(), moments: None, loss: None })
    }

    fn quiet(weights: &[f64], misalignment: Option<Misalignment>) -> Superposition {
        Superposition { weights: weights.to_vec(), misalignment, noise_std: 0.0, noise: CounterStream::new(1, 2) }
    }

    fn turned(radians: &[f64], slope: f64, subcarriers: u32) -> Option<Misalignment> {
        let radians_per_subcarrier = vec![slope; radians.len()];
        Some(Misalignment { radians: radians.to_vec(), radians_per_subcarrier, subcarriers })
    }

    fn added(air: &Superposition, normalisation: Normalisation, updates: &[Arc<State>]) -> Vec<f32> {
        let reference = state(&[0.0; 5]);
        let mut out = [0.0; 5];
        air.add(normalisation, &mut out, &reference, updates, &[0..2, 2..5]);
        out.to_vec()
    }

    #[test]
    fn a_quarter_turn_exchanges_neighbours_and_half_a_turn_changes_the_sign() {
        use std::f64::consts::{FRAC_PI_2, PI};
        let update = [state(&[1.0, 2.0, 3.0, 4.0, 5.0])];
        let heard = |angle| added(&quiet(&[1.0], turned(&[angle], 0.0, 7)), Normalisation::PerTensor, &update);
        // The last entry has no neighbour in its tensor.
        for (got, expected) in heard(FRAC_PI_2).iter().zip([-2.0, 1.0, -4.0, 3.0, 0.0]) {
            assert!((got - expected).abs() < 1e-6);
        }
        for (got, expected) in heard(PI).iter().zip([-1.0, -2.0, -3.0, -4.0, -5.0]) {
            assert!((got - expected).abs() < 1e-6);
        }
        assert_eq!(heard(0.0), added(&quiet(&[1.0], None), Normalisation::PerTensor, &update));
    }

    #[test]
    fn a_delay_turns_each_subcarrier_its_own_way() {
        let update = [state(&[1.0, 0.0, 1.0, 0.0, 1.0])];
        let heard = added(&quiet(&[1.0], turned(&[0.0], 0.5, 3)), Normalisation::None, &update);
        // Symbols 0, 1 and 2 lie on subcarriers -1, 0 and 1.
        for (i, from_centre) in [(0, -1.0f64), (2, 0.0), (4, 1.0)] {
            assert!((f64::from(heard[i]) - (0.5 * from_centre).cos()).abs() < 1e-6);
        }
        assert!((f64::from(heard[1]) - (-0.5f64).sin()).abs() < 1e-6);
    }

    #[test]
    fn noise_follows_the_normalisation() {
        let updates = [state(&[3.0, 3.0, 1.0, 1.0, 1.0]), state(&[-1.0, 1.0, 0.0, 0.0, 0.0])];
        let air = Superposition { noise_std: 0.1, ..quiet(&[0.5, 0.5], None) };
        let heard = |n| added(&air, n, &updates);
        let clean = added(&quiet(&[0.5, 0.5], None), Normalisation::None, &updates);
        let noise = |n: Normalisation| heard(n).iter().zip(&clean).map(|(a, b)| a - b).collect::<Vec<f32>>();
        let (one, tensor, global) =
            (noise(Normalisation::None), noise(Normalisation::PerTensor), noise(Normalisation::Global));
        let rms = (21f32 / 5.0).sqrt();
        for i in 0..5 {
            assert!((tensor[i] / one[i] - if i < 2 { 3.0 } else { 1.0 }).abs() < 1e-4);
            assert!((global[i] / one[i] - rms).abs() < 1e-4);
        }
    }

    #[test]
    fn the_majority_wins_where_it_is_quiet() {
        let reference = state(&[1.0; 3]);
        let updates = [state(&[2.0, 0.5, 0.9]), state(&[1.1, 0.0, 9.0]), state(&[0.0, 1.5, 0.0])];
        let mut out = [1.0; 3];
        quiet(&[1.0; 3], None).vote(0.25, &mut out, &reference, &updates, &[0..3]);
        assert_eq!(out, [1.25, 0.75, 0.75]);
        let mut out = [1.0; 3];
        quiet(&[0.0; 3], None).vote(0.25, &mut out, &reference, &updates, &[0..3]);
        assert_eq!(out, [1.0; 3]);
    }

    /// Two of three say plus: noise of deviation s turns the vote with probability Q(1/s), and Q(1) = 0.158655.
    #[test]
    fn noise_turns_votes_as_often_as_the_closed_form_says() {
        const ENTRIES: usize = 100_000;
        let reference = state(&[0.0; ENTRIES]);
        let updates = [state(&[1.0; ENTRIES]), state(&[0.5; ENTRIES]), state(&[-9.0; ENTRIES])];
        let air = Superposition { noise_std: 1.0 / 3.0, ..quiet(&[1.0 / 3.0; 3], None) };
        let mut out = vec![0.0; ENTRIES];
        air.vote(1.0, &mut out, &reference, &updates, &[0..ENTRIES]);
        let wrong = out.iter().filter(|x| **x < 0.0).count() as f64 / ENTRIES as f64;
        let error = (0.158_655f64 * (1.0 - 0.158_655) / ENTRIES as f64).sqrt();
        assert!((wrong - 0.158_655).abs() < 4.0 * error, "{wrong}");
    }

    #[test]
    fn without_noise_the_sum_is_the_weighted_mean() {
        let updates = [state(&[3.0, -3.5, 1.25, 1.0, 1e-3]), state(&[-1.0, 1.0, 0.1, 0.2, 0.3])];
        let heard = added(&quiet(&[0.25, 0.75], None), Normalisation::PerTensor, &updates);
        for (i, got) in heard.iter().enumerate() {
            let mean = 0.25 * updates[0].parameters[i] + 0.75 * updates[1].parameters[i];
            assert!((got - mean).abs() < 1e-6);
        }
    }
}
