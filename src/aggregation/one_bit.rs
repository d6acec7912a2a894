//! One-bit over-the-air aggregation: devices send the signs of their updates at once, the edge moves each parameter by
//! a fixed step along the sign of what it hears.
//!
//! Zhu, Du, Gunduz, Huang 2021 (arXiv 2001.05713), truncated channel inversion of two signs a symbol; signSGD with majority vote
//! (Bernstein et al. 2018, arXiv 1802.04434). A vote is a vote: it does not weigh samples.

use super::Delivery;
use super::over_the_air::{Outcome, delivered, measures, superposition};
use crate::learning::Combination;
use crate::scenario::{AirPowerControl, OneBitSpec};
use crate::world::{Content, DeviceId, Transmission, World};

/// Lets all devices transmit the signs of their device-side updates at once.
pub(super) async fn vote(world: &World, spec: &OneBitSpec, updates: &[Delivery]) -> Outcome {
    let devices: Vec<DeviceId> = updates.iter().map(|u| u.device).collect();
    let equal = vec![1.0; devices.len()];
    let transmission = Transmission {
        power_control: AirPowerControl::TruncatedInversion { truncation_threshold: spec.truncation_threshold },
        average_power_dbm: spec.average_power_dbm,
        imperfections: spec.imperfections,
        scheduling: spec.scheduling,
        weights: &equal,
        content: Content::Votes,
        bytes: vote_bytes(world.demand().device_side_parameters()),
    };
    let heard = world.superpose(&devices, &transmission).await;
    Outcome {
        combination: Combination::MajorityVote { air: superposition(world, &heard, &equal), step: spec.vote_step },
        states: updates.iter().map(|u| u.state).collect(),
        delivered: delivered(updates, &heard),
        measures: measures(&heard),
    }
}

/// One bit a parameter.
pub(super) fn vote_bytes(parameters: u64) -> u64 {
    parameters.div_ceil(8)
}
