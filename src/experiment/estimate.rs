//! What a scenario would take, worked out without playing it.

use super::{ExperimentError, architecture};
use crate::aggregation;
use crate::scenario::{Scenario, TechniqueKind};
use crate::world::Demand;

/// Expected needs of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// One entry a group of devices and an edge server.
    pub memory: Vec<MemoryNeed>,
    /// `None` where it is not the same every round: raw data is uploaded once.
    pub bytes_per_device_round: Option<u64>,
    /// Events of the time plane over all replications, to within a factor of two or so.
    pub events: f64,
    /// What each device downloads once, before its first round; 0 where it has the model already.
    pub download_once_bytes: u64,
    /// Local steps of the learning plane over all replications; 0 without training.
    pub local_steps: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MemoryNeed {
    pub who: String,
    pub hardware: String,
    pub needed_bytes: u64,
    pub available_bytes: u64,
}

impl MemoryNeed {
    pub fn fits(&self) -> bool {
        self.needed_bytes <= self.available_bytes
    }
}

/// Queue events of one transfer: admission and end on the air and on the wires, changes of rate in between.
const EVENTS_PER_TRANSFER: f64 = 7.0;
/// Queue events of one computation.
const EVENTS_PER_COMPUTATION: f64 = 1.0;

/// Works out memory, traffic and size of `scenario`.
pub fn estimate(scenario: &Scenario) -> Result<Estimate, ExperimentError> {
    let demand = Demand::new(scenario, &architecture(scenario)?)?;
    let batch = demand.nominal_batch();
    let technique = &scenario.technique;
    let mut memory = vec![];
    for g in &scenario.devices {
        let available = scenario.hardware_profile(&g.hardware).map_or(0, |h| h.available_bytes(g.memory_share));
        memory.push(need(&g.name, &g.hardware, demand.of_rank(g.lora_rank).device_memory_bytes(batch), available));
    }
    let served = technique.devices_per_round as u64;
    // Assumed: devices spread evenly over the servers.
    let at_once = served.div_ceil(scenario.edge_servers.len() as u64);
    for s in &scenario.edge_servers {
        let available =
            scenario.hardware_profile(&s.hardware).map_or(0, |h| h.available_bytes(1.0)) * s.accelerators as u64;
        memory.push(need(&s.name, &s.hardware, demand.edge_memory_bytes(batch, at_once), available));
    }
    let steps = technique.local_steps as u64;
    let adapters_up = match technique.kind.aggregates() {
        true => aggregation::update_bytes(technique, &demand, served),
        false => demand.update_up_bytes(),
    };
    let adapters_down = demand.update_down_bytes();
    let controls = 2 * demand.control_variate_bytes();
    let (bytes, transfers, computations) = match technique.kind {
        TechniqueKind::OnDevice => (Some(0), 0, steps),
        TechniqueKind::Centralized => (None, 0, steps),
        // A prompt, and in the first round a key.
        TechniqueKind::PromptEnsemble => (Some(adapters_up), 1, steps),
        // Over the sidelink, once a newcomer.
        TechniqueKind::PromptTransfer => (Some(0), 0, steps),
        TechniqueKind::Federated | TechniqueKind::OffsiteTuning => {
            (Some(adapters_down + adapters_up + controls), 2, steps)
        }
        // Blocks are dealt out anew each round: at most the largest goes up, and all come down.
        TechniqueKind::BlockFederated => {
            let blocks = demand.trainable_blocks();
            let largest = blocks.into_iter().map(|block| demand.block_update_bytes(block)).max();
            (Some(adapters_down + largest.unwrap_or(0)), 2, steps)
        }
        TechniqueKind::GradientDownload => {
            let dimension = technique.gradients.and_then(|g| g.projection_dimension);
            let through_the_cut = demand.smashed_bytes(&demand.nominal_samples());
            let crossing = through_the_cut + demand.parameter_gradient_bytes(dimension);
            let parameters = adapters_down + (steps - 1) * demand.parameter_bytes() + adapters_up + controls;
            (Some(parameters + steps * crossing), 1 + 3 * steps, 3 * steps)
        }
        TechniqueKind::ZerothOrderFederated => {
            let senders = if technique.aggregation.is_over_the_air() { served.max(1) } else { 1 };
            let up = demand.slope_bytes(1) / senders;
            (Some(steps * (up + demand.slope_bytes(1))), 2 * steps, steps)
        }
        TechniqueKind::Split | TechniqueKind::SplitFederated => {
            let crossing = demand.step_bytes(&demand.nominal_samples());
            (Some(adapters_down + adapters_up + controls + steps * crossing), 2 + 2 * steps, 3 * steps)
        }
        TechniqueKind::TensorParallel => {
            let samples = demand.nominal_samples();
            let through_the_cut = demand.smashed_bytes(&samples) + demand.gradient_bytes(&samples);
            let crossing = through_the_cut + demand.connection_bytes(batch);
            let slices = demand.sliced_blocks().len() as u64 * 4 * (1 + demand.slices());
            let adapters = adapters_down + adapters_up + 2 * demand.slices() * demand.slice_parameter_bytes();
            (Some(adapters + steps * crossing), 2 + steps * (2 + slices), 3 * steps * (1 + slices))
        }
    };
    let updates = technique.rounds * technique.synchrony.updates_a_round(technique.devices_per_round);
    let device_rounds = updates as f64 * scenario.replications as f64;
    let events_each = transfers as f64 * EVENTS_PER_TRANSFER + computations as f64 * EVENTS_PER_COMPUTATION;
    let download_once_bytes = technique.emulator.as_ref().map_or(0, |_| demand.emulator_bytes());
    let local_steps = if scenario.training.is_some() { device_rounds as u64 * steps } else { 0 };
    Ok(Estimate {
        memory,
        bytes_per_device_round: bytes,
        events: device_rounds * events_each,
        download_once_bytes,
        local_steps,
    })
}

fn need(who: &str, hardware: &str, needed_bytes: u64, available_bytes: u64) -> MemoryNeed {
    MemoryNeed { who: who.to_owned(), hardware: hardware.to_owned(), needed_bytes, available_bytes }
}
