//! Over-the-air aggregation: devices transmit at once, the channel adds, the edge sees only the sum and noise.
//!
//! Zhu, Wang, Huang 2020 (arXiv 1812.11494), broadband analog aggregation with truncated channel inversion: a device
//! whose channel is too weak stays silent; the others invert theirs so that all arrive aligned. Cao, Zhu, Xu, Huang 2020
//! (doi:10.1109/TWC.2020.3012287) and Chen, Zhao, Letaief 2018 (doi:10.1109/LWC.2018.2840157) choose powers in other ways. Device k
//! scales its normalised update by n_k / max n before it transmits, so that the sum, divided by the transmitters' total
//! scale, is their mean weighted by samples; no device exceeds its average power.

use super::digital::compensated;
use super::{Delivery, Measure, client_of};
use crate::learning::{Combination, Learning, Misalignment, Normalisation, Shaping, StateHandle, Superposition};
use crate::scenario::{AirCompSpec, TechniqueSpec, UpdateNormalisation};
use crate::world::{Arrival, Content, DeviceId, Heard, Transmission, World};

/// What became of the devices' side.
pub(super) struct Outcome {
    pub combination: Combination,
    /// The devices' states as far as they took part in the sum.
    pub states: Vec<StateHandle>,
    /// Those whose update took part.
    pub delivered: Vec<Delivery>,
    pub measures: Vec<Measure>,
}

/// Lets all devices transmit their device-side parameters at once.
pub(super) async fn superpose(
    world: &World,
    learn: &Learning,
    plan: &TechniqueSpec,
    spec: &AirCompSpec,
    reference: StateHandle,
    updates: &[Delivery],
) -> Outcome {
    let devices: Vec<DeviceId> = updates.iter().map(|u| u.device).collect();
    let samples: Vec<f64> = devices.iter().map(|d| learn.samples(client_of(*d))).collect();
    let largest = samples.iter().fold(0.0, |a: f64, b| a.max(*b));
    let scale: Vec<f64> = samples.iter().map(|n| n / largest).collect();
    let transmission = Transmission {
        power_control: spec.power_control,
        average_power_dbm: spec.average_power_dbm,
        imperfections: spec.imperfections,
        scheduling: spec.scheduling,
        weights: &scale,
        content: Content::AnalogUpdate,
        bytes: world.demand().device_side_bytes(),
    };
    let heard = world.superpose(&devices, &transmission).await;
    let split_point = plan.kind.is_split().then_some(plan.split_point);
    let states = if spec.error_feedback {
        let kept = updates.iter().zip(&heard.arrivals);
        kept.map(|(update, arrival)| feed_back(learn, split_point, reference, update, arrival)).collect()
    } else {
        updates.iter().map(|u| u.state).collect()
    };
    let normalisation = match spec.normalisation {
        UpdateNormalisation::PerTensor => Normalisation::PerTensor,
        UpdateNormalisation::Global => Normalisation::Global,
        UpdateNormalisation::None => Normalisation::None,
    };
    let air = superposition(world, &heard, &scale);
    let measures = [measures(&heard), aggregation_mse(&air, &scale)].concat();
    let delivered = delivered(updates, &heard);
    Outcome { combination: Combination::OverTheAir { air, normalisation }, states, delivered, measures }
}

/// The device's state with what it kept added; it keeps what does not arrive in full.
fn feed_back(
    learn: &Learning,
    split_point: Option<usize>,
    reference: StateHandle,
    update: &Delivery,
    arrival: &Arrival,
) -> StateHandle {
    let whole = compensated(learn, split_point, update);
    let sent = arrival.intended;
    let left = (sent < 1.0).then(|| learn.shape(Shaping::Withhold { sent }, split_point, [reference, whole]));
    learn.keep_residual(update.device.number(), left);
    whole
}

/// Those who sent.
pub(super) fn delivered(updates: &[Delivery], heard: &Heard) -> Vec<Delivery> {
    updates.iter().zip(&heard.arrivals).filter(|(_, a)| a.sends).map(|(u, _)| u.clone()).collect()
}

/// The sum as the edge divides it: by the total scale of those who sent. Nobody leaves the reference as it is.
pub(super) fn superposition(world: &World, heard: &Heard, scale: &[f64]) -> Superposition {
    let arrivals = || heard.arrivals.iter();
    let total: f64 = scale.iter().zip(arrivals()).filter(|(_, a)| a.sends).map(|(s, _)| s).sum();
    let share = |x: f64| if total > 0.0 { x / total } else { 0.0 };
    let aligned = arrivals().all(|a| a.radians == 0.0 && a.radians_per_subcarrier == 0.0);
    Superposition {
        weights: scale.iter().zip(arrivals()).map(|(s, a)| share(s * a.amplitude)).collect(),
        misalignment: (!aligned).then(|| Misalignment {
            radians: arrivals().map(|a| a.radians).collect(),
            radians_per_subcarrier: arrivals().map(|a| a.radians_per_subcarrier).collect(),
            subcarriers: heard.subcarriers,
        }),
        noise_std: share(heard.noise_std_of_sum),
        noise: world.air_noise(),
    }
}

/// What every superposition has to tell.
pub(super) fn measures(heard: &Heard) -> Vec<Measure> {
    let silent = heard.arrivals.iter().filter(|a| !a.sends).count();
    let snr = heard.receive_snr_db.map(|db| ("receive_snr_db", db));
    std::iter::once(("silent_devices", silent as f64)).chain(snr).collect()
}

/// Expected squared error of an entry of the mean over all devices, silent ones included, for updates that are
/// independent between devices and of unit variance: sum_k |c_k - t_k|^2 + noise variance, c_k the complex weight with which
/// device k arrives (over subcarriers: their mean) and t_k the one it should have.
fn aggregation_mse(air: &Superposition, scale: &[f64]) -> Vec<Measure> {
    let total: f64 = scale.iter().sum();
    let cosine = |k: usize| match &air.misalignment {
        None => 1.0,
        Some(m) => {
            let symbol = |s: usize| m.angle(k, s).cos();
            (0..m.subcarriers as usize).map(symbol).sum::<f64>() / f64::from(m.subcarriers)
        }
    };
    let misfit = |(k, (w, a)): (usize, (&f64, &f64))| {
        let wanted = a / total;
        w * w - 2.0 * w * wanted * cosine(k) + wanted * wanted
    };
    let devices: f64 = air.weights.iter().zip(scale).enumerate().map(misfit).sum();
    vec![("aggregation_mse", devices.max(0.0) + air.noise_std * air.noise_std)]
}
