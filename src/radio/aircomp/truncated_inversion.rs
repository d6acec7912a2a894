//! Truncated channel inversion of broadband analog aggregation (Zhu, Wang, Huang 2020, arXiv:1812.11494).
//!
//! Device k sends sqrt(rho / g_k) x / h_k where |h_k|^2 >= G and nothing otherwise, so that every participant
//! arrives with the common power rho.

use super::{AirInterface, ChannelState, ValuesPerSymbol};
use crate::radio::error::{RadioError, require};
use crate::radio::special::binomial_pmf;

/// By what the receiver divides the sum to estimate the mean over K scheduled devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Divisor {
    /// K: shrinks the mean by the share that took part.
    Scheduled,
    /// p K with p the probability of taking part: unbiased over fading.
    ExpectedParticipants,
    /// The number that took part.
    Participants,
}

/// Which device's path loss sets the common received power rho.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PowerRule {
    /// The weakest one that takes part this round.
    WeakestParticipant,
    /// A fixed cell edge with this path gain: weaker devices are not scheduled (the paper's r_max), and rho does not
    /// depend on who is in a fade.
    CellEdge { path_gain: f64 },
}

/// The transmission scheme.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TruncatedInversion {
    threshold: f64,
    pub divisor: Divisor,
    pub power_rule: PowerRule,
    pub values_per_symbol: ValuesPerSymbol,
}

/// What the air does to one aggregation: estimate = scale x (sum of the participants' values) + noise_std x N(0, 1).
#[derive(Clone, Debug, PartialEq)]
pub struct Superposition {
    /// In the order of the channel states given.
    pub participants: Vec<bool>,
    /// Factor on each participant's value; 0 if nobody took part.
    pub scale: f64,
    /// Standard deviation of the noise on each real entry of the estimated mean, for inputs of unit variance.
    /// Inputs scaled by s before transmission bring noise s times as strong. 0 if nobody took part.
    pub noise_std: f64,
    /// Common received power per subcarrier and symbol, watts; 0 if nobody took part.
    pub rho_watts: f64,
    /// Average power per subcarrier that each device spends over its fading at this rho, watts; 0 if it does not send.
    pub mean_tx_watts: Vec<f64>,
}

impl Superposition {
    pub fn participant_count(&self) -> usize {
        self.participants.iter().filter(|p| **p).count()
    }

    /// rho over the noise of a subcarrier.
    pub fn receive_snr(&self, air: &AirInterface) -> f64 {
        self.rho_watts / air.noise_watts
    }
}

impl TruncatedInversion {
    /// Truncates fades below `threshold`, a power gain relative to the mean; unbiased for those present, weakest
    /// participant, two values a symbol.
    ///
    /// # Errors
    /// The threshold must be positive: inverting every Rayleigh fade takes infinite power.
    pub fn new(threshold: f64) -> Result<Self, RadioError> {
        require("truncation threshold", threshold, threshold > 0.0, "a positive power gain, say 0.1")?;
        Ok(Self {
            threshold,
            divisor: Divisor::Participants,
            power_rule: PowerRule::WeakestParticipant,
            values_per_symbol: ValuesPerSymbol::Two,
        })
    }

    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Who takes part and how noisy the mean is, for the channels of the K scheduled devices.
    ///
    /// The common power is the largest at which no device that sets it exceeds its average power P_k over the law of
    /// its own fading: rho = min_k P_k g_k / (M E[1/|h_k|^2; |h_k|^2 >= G]), with g_k the path gain, or the cell edge's
    /// under [`PowerRule::CellEdge`]. For Rayleigh fading the expectation is E1(G).
    pub fn realise(&self, states: &[ChannelState], air: &AirInterface) -> Superposition {
        let scheduled: Vec<bool> = states.iter().map(|s| self.is_scheduled(s)).collect();
        let participants: Vec<bool> =
            states.iter().zip(&scheduled).map(|(s, yes)| *yes && s.fading_power >= self.threshold).collect();
        let count = participants.iter().filter(|p| **p).count();
        let scheduled_count = scheduled.iter().filter(|s| **s).count() as f64;
        let expected: f64 =
            states.iter().zip(&scheduled).filter(|(_, yes)| **yes).map(|(s, _)| s.law.exceeds(self.threshold)).sum();
        if count == 0 {
            let nothing = vec![0.0; states.len()];
            return Superposition { participants, scale: 0.0, noise_std: 0.0, rho_watts: 0.0, mean_tx_watts: nothing };
        }
        let setters = if self.power_rule == PowerRule::WeakestParticipant { &participants } else { &scheduled };
        let rho_watts = states
            .iter()
            .zip(setters)
            .filter(|(_, sets)| **sets)
            .map(|(s, _)| self.affordable_rho(s, air))
            .fold(f64::INFINITY, f64::min);
        let divisor = match self.divisor {
            Divisor::Scheduled => scheduled_count,
            Divisor::ExpectedParticipants => expected,
            Divisor::Participants => count as f64,
        };
        let noise_per_value = air.noise_watts * f64::from(self.values_per_symbol.count()) / 2.0;
        let mean_tx = |(s, sends): (&ChannelState, &bool)| {
            if *sends { rho_watts / s.path_gain * s.law.truncated_inverse_mean(self.threshold) } else { 0.0 }
        };
        Superposition {
            scale: 1.0 / divisor,
            noise_std: (noise_per_value / rho_watts).sqrt() / divisor,
            rho_watts,
            mean_tx_watts: states.iter().zip(&participants).map(mean_tx).collect(),
            participants,
        }
    }

    fn is_scheduled(&self, state: &ChannelState) -> bool {
        match self.power_rule {
            PowerRule::WeakestParticipant => true,
            PowerRule::CellEdge { path_gain } => state.path_gain >= path_gain,
        }
    }

    /// The received power at which `state` spends its whole average power.
    fn affordable_rho(&self, state: &ChannelState, air: &AirInterface) -> f64 {
        let gain = match self.power_rule {
            PowerRule::WeakestParticipant => state.path_gain,
            PowerRule::CellEdge { path_gain } => path_gain,
        };
        state.power_watts * gain / (f64::from(air.subcarriers) * state.law.truncated_inverse_mean(self.threshold))
    }
}

/// Expected squared error of an entry of the mean over K = `devices`, each taking part with probability
/// `participation` independently, at noise-to-rho ratio N0/rho and two values a symbol.
///
/// Scheduled: (1-p)/K + N0/(K^2 rho). Expected: (1-p)/(pK) + N0/(p^2 K^2 rho).
/// Participants: E[1/n - 1/K + N0/(rho n^2) | n >= 1] with n ~ Binomial(K, p).
pub fn expected_mse(divisor: Divisor, devices: u32, participation: f64, noise_to_rho: f64) -> f64 {
    let (k, p) = (f64::from(devices), participation);
    match divisor {
        Divisor::Scheduled => (1.0 - p) / k + noise_to_rho / (k * k),
        Divisor::ExpectedParticipants => (1.0 - p) / (p * k) + noise_to_rho / (p * k).powi(2),
        Divisor::Participants => {
            let term = |n: u32| {
                let present = f64::from(n);
                binomial_pmf(devices, n, p) * (1.0 / present - 1.0 / k + noise_to_rho / present.powi(2))
            };
            (1..=devices).map(term).sum::<f64>() / (1.0 - binomial_pmf(devices, 0, p))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::fading::FadingLaw;

    const AIR: AirInterface =
        AirInterface { subcarriers: 64, symbol_seconds: 1e-4, noise_watts: 1e-15, time_share: 1.0 };

    fn state(fading_power: f64, path_gain: f64) -> ChannelState {
        ChannelState { fading_power, law: FadingLaw::Rician { k: 0.0 }, path_gain, power_watts: 0.2 }
    }

    #[test]
    fn the_power_limit_holds_and_the_weakest_meets_it() {
        let scheme = TruncatedInversion::new(0.1).unwrap();
        let s = scheme.realise(&[state(1.0, 1e-9), state(0.05, 1e-12), state(2.0, 1e-10)], &AIR);
        assert_eq!(s.participants, [true, false, true]);
        let limit = 0.2 / 64.0;
        assert!((s.mean_tx_watts[2] / limit - 1.0).abs() < 1e-12);
        assert!((s.mean_tx_watts[0] / limit - 0.1).abs() < 1e-12);
        assert_eq!(s.scale, 0.5);
    }

    #[test]
    fn a_cell_edge_excludes_what_lies_beyond_and_fixes_rho() {
        let mut scheme = TruncatedInversion::new(0.1).unwrap();
        scheme.power_rule = PowerRule::CellEdge { path_gain: 1e-10 };
        let faded = scheme.realise(&[state(1.0, 1e-9), state(0.05, 2e-10), state(2.0, 1e-11)], &AIR);
        let clear = scheme.realise(&[state(1.0, 1e-9), state(0.5, 2e-10), state(2.0, 1e-11)], &AIR);
        assert_eq!(
            (&faded.participants[..], &clear.participants[..]),
            (&[true, false, false][..], &[true, true, false][..])
        );
        assert_eq!(faded.rho_watts, clear.rho_watts);
        assert!(clear.mean_tx_watts.iter().all(|w| *w <= 0.2 / 64.0));
    }

    #[test]
    fn one_value_a_symbol_halves_the_noise_power_and_nobody_means_nothing() {
        let two = TruncatedInversion::new(0.1).unwrap();
        let one = TruncatedInversion { values_per_symbol: ValuesPerSymbol::One, ..two };
        let states = [state(1.0, 1e-9)];
        let ratio = two.realise(&states, &AIR).noise_std / one.realise(&states, &AIR).noise_std;
        assert!((ratio - 2f64.sqrt()).abs() < 1e-12);
        let nobody = two.realise(&[state(0.01, 1e-9)], &AIR);
        assert_eq!((nobody.participant_count(), nobody.scale, nobody.noise_std), (0, 0.0, 0.0));
        assert!(TruncatedInversion::new(0.0).is_err());
    }
}
