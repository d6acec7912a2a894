//! What draws of devices go by: their data, or what they turned out to be worth.

use crate::aggregation::{Delivery, client_of};
use crate::learning::{Learning, LearningError};
use crate::scenario::SamplingSpec;
use crate::sim::SimDuration;
use crate::world::{DeviceId, Draw, World};

/// What is known of each device after some rounds.
pub(super) struct Sampling {
    plan: SamplingSpec,
    /// Mean training loss and active seconds of the last turn whose update arrived.
    seen: Vec<Option<(f64, f64)>>,
    /// How long each had been active before its last turn, which may go through several rounds.
    before: Vec<SimDuration>,
}

impl Sampling {
    pub fn new(plan: SamplingSpec, devices: usize) -> Self {
        Self { plan, seen: vec![None; devices], before: vec![SimDuration::ZERO; devices] }
    }

    /// How the next round's devices are drawn.
    pub fn draw(&self, world: &World, learn: &Learning) -> Draw {
        let samples = |d: DeviceId| learn.samples(client_of(d));
        match self.plan {
            SamplingSpec::Uniform => Draw::Uniform,
            SamplingSpec::ByChannel => Draw::StrongestChannel,
            SamplingSpec::ByData => Draw::Weighted(world.devices().map(|d| samples(d.id)).collect()),
            SamplingSpec::ByUtility { exploration, straggler_penalty } => {
                let samples: Vec<f64> = world.devices().map(|d| samples(d.id)).collect();
                Draw::Best { utilities: utilities(&self.seen, &samples, straggler_penalty), exploration }
            }
        }
    }

    /// Remembers when the turns of those `drawn` began.
    pub fn begin(&mut self, world: &World, drawn: &[DeviceId]) {
        drawn.iter().for_each(|d| self.before[d.index()] = world.active_time(*d));
    }

    /// Remembers what a round told of those who delivered. Utilities need numbers: this computes them.
    pub fn learn_from(&mut self, world: &World, learn: &Learning, delivered: &[Delivery]) -> Result<(), LearningError> {
        if !matches!(self.plan, SamplingSpec::ByUtility { .. }) {
            return Ok(());
        }
        for d in delivered {
            let loss = if d.steps.is_empty() { None } else { learn.loss(learn.mean_loss(&d.steps))? };
            // Without training all losses are alike.
            let active = world.active_time(d.device).as_nanos() - self.before[d.device.index()].as_nanos();
            self.seen[d.device.index()] = Some((loss.unwrap_or(1.0), SimDuration::from_nanos(active).as_seconds()));
        }
        Ok(())
    }
}

/// Lai, Zhu, Madhyastha, Chowdhury 2021 (arXiv 2010.06081, Oort): statistical utility n sqrt(mean of squared losses), times
/// (T / t)^penalty where the device's t seconds exceed T. Here the mean loss of the mini-batches stands for the root mean
/// square over samples, and T is the median of the known seconds.
fn utilities(seen: &[Option<(f64, f64)>], samples: &[f64], penalty: f64) -> Vec<Option<f64>> {
    let mut seconds: Vec<f64> = seen.iter().flatten().map(|(_, t)| *t).collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(seconds.len() / 2).copied().unwrap_or(0.0);
    let utility = |((loss, t), n): ((f64, f64), &f64)| {
        let late = if t > median { (median / t).powf(penalty) } else { 1.0 };
        n * loss * late
    };
    seen.iter().zip(samples).map(|(seen, n)| seen.map(|seen| utility((seen, n)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utility_is_samples_times_loss_less_for_the_slow() {
        let seen = [Some((0.5, 1.0)), None, Some((2.0, 4.0)), Some((1.0, 2.0))];
        let found = utilities(&seen, &[10.0, 10.0, 10.0, 20.0], 2.0);
        // The median is 2 s: who takes 4 s counts a quarter.
        assert_eq!(found, [Some(5.0), None, Some(5.0), Some(20.0)]);
        assert_eq!(utilities(&seen, &[1.0; 4], 0.0)[2], Some(2.0));
        assert_eq!(utilities(&[None; 2], &[1.0; 2], 2.0), [None; 2]);
    }
}
