//! Over-the-air aggregation: devices transmit at once, the channel adds, the edge sees only the sum and noise.
//!
//! Zhu, Wang, Huang 2020 (arXiv 1812.11494), broadband analog aggregation with truncated channel inversion. A device
//! whose channel is too weak stays silent; the others invert theirs so that all arrive aligned. Device k scales its
//! normalised update by n_k / max n before it transmits, so that the sum, divided by the transmitters' total scale,
//! is their mean weighted by samples; no device exceeds its average power.

use super::{Delivery, client_of, nobody};
use crate::learning::{Combination, Learning};
use crate::world::{DeviceId, World};

/// The scenario's choices.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    pub truncation_threshold: f64,
    pub average_power_dbm: f64,
}

/// Lets all devices transmit their device-side parameters at once. Returns what that does to the numbers, and whose
/// updates took part.
pub(super) async fn superpose(
    world: &World,
    learn: &Learning,
    air: Settings,
    updates: &[Delivery],
) -> (Combination, Vec<Delivery>) {
    let devices: Vec<DeviceId> = updates.iter().map(|u| u.device).collect();
    let heard = world.superpose(&devices, air.truncation_threshold, air.average_power_dbm).await;
    let samples: Vec<f64> = devices.iter().map(|d| learn.samples(client_of(*d))).collect();
    let largest = samples.iter().fold(0.0, |a: f64, b| a.max(*b));
    let scale: Vec<f64> =
        samples.iter().zip(&heard.participates).map(|(n, p)| if *p { n / largest } else { 0.0 }).collect();
    let total: f64 = scale.iter().sum();
    if total == 0.0 {
        return (nobody(updates.len(), world), vec![]);
    }
    let delivered = updates.iter().zip(&heard.participates).filter(|(_, p)| **p).map(|(u, _)| u.clone()).collect();
    let combination = Combination::OverTheAir {
        weights: scale.iter().map(|s| s / total).collect(),
        noise_std: heard.noise_std_of_sum / total,
        noise: world.air_noise(),
    };
    (combination, delivered)
}
