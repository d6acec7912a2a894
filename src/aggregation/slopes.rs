//! Slopes of a zeroth-order step: one number a device, averaged digitally or added by the channel.
//!
//! Over the air all devices send their slope at once, clipped and relative to the limit, so that nobody needs to know the
//! largest; power and silence are those of `over_the_air`. A slope that is repeated on r values of the grid is averaged by
//! the receiver, which leaves 1/sqrt(r) of the noise.

use super::over_the_air::{delivered, measures, superposition};
use super::{Delivery, Measure, client_of, digital};
use crate::learning::{Combination, Learning, SlopeMean};
use crate::scenario::{AggregationSpec, AirCompSpec, Averaging, TechniqueSpec};
use crate::world::{Content, DeviceId, Lost, Transmission, World};

/// What became of the slopes of one step.
pub struct MeanSlope {
    /// `None` if nobody was heard.
    pub mean: Option<SlopeMean>,
    /// Those that count.
    pub counted: Vec<Delivery>,
    pub measures: Vec<Measure>,
}

/// What one device does alone to hand in its slope: nothing if all transmit at once later.
pub async fn upload(world: &World, plan: &TechniqueSpec, device: DeviceId) -> Result<(), Lost> {
    if plan.aggregation.is_over_the_air() {
        return Ok(());
    }
    world.upload(device, world.demand().slope_bytes(1), Content::Slopes).await
}

/// How the `slopes` of a step become one.
pub async fn combine(world: &World, learn: &Learning, plan: &TechniqueSpec, slopes: &[Delivery]) -> MeanSlope {
    if slopes.is_empty() {
        return MeanSlope { mean: None, counted: vec![], measures: vec![] };
    }
    let limit = plan.zeroth_order.map_or(f64::MAX, |z| z.slope_limit);
    let combined = match &plan.aggregation {
        AggregationSpec::AirComp(spec) => superpose(world, learn, plan, spec, slopes, limit).await,
        // The reader of scenarios admits no other way.
        AggregationSpec::Digital(_) | AggregationSpec::OneBit(_) => {
            let weights = match digital::weighted_mean(learn, Averaging::Plain, slopes) {
                Combination::Mean { weights } => weights,
                _ => vec![],
            };
            let mean = SlopeMean { weights, limit, noise_std: 0.0, noise: world.air_noise() };
            MeanSlope { mean: Some(mean), counted: slopes.to_vec(), measures: vec![] }
        }
    };
    world.synchronise_servers().await;
    combined
}

/// Lets all devices transmit their slopes at once.
async fn superpose(
    world: &World,
    learn: &Learning,
    plan: &TechniqueSpec,
    spec: &AirCompSpec,
    slopes: &[Delivery],
    limit: f64,
) -> MeanSlope {
    let devices: Vec<DeviceId> = slopes.iter().map(|s| s.device).collect();
    let samples: Vec<f64> = devices.iter().map(|d| learn.samples(client_of(*d))).collect();
    let largest = samples.iter().fold(0.0, |a: f64, b| a.max(*b));
    let scale: Vec<f64> = samples.iter().map(|n| n / largest).collect();
    let transmission = Transmission {
        power_control: spec.power_control,
        average_power_dbm: spec.average_power_dbm,
        imperfections: spec.imperfections,
        scheduling: spec.scheduling,
        weights: &scale,
        content: Content::Slopes,
        bytes: world.demand().slope_bytes(1),
    };
    let heard = world.superpose(&devices, &transmission).await;
    let air = superposition(world, &heard, &scale);
    // A slope is real: what a device's phase turns into the other dimension is lost. It is sent at the centre of the band,
    // where timing errors turn nothing.
    let in_phase = heard.arrivals.iter().map(|arrival| arrival.radians.cos());
    let repetitions = plan.zeroth_order.and_then(|z| z.repetitions).unwrap_or(1) as f64;
    let mean = SlopeMean {
        weights: air.weights.iter().zip(in_phase).map(|(w, c)| w * c).collect(),
        limit,
        noise_std: air.noise_std / repetitions.sqrt(),
        noise: air.noise,
    };
    let counted = delivered(slopes, &heard);
    // Who fades stays silent; where all do, nobody moves.
    MeanSlope { mean: (!counted.is_empty()).then_some(mean), counted, measures: measures(&heard) }
}
