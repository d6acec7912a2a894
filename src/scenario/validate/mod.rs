//! From a scenario as typed to one that can be played: defaults filled in, names looked up, limits and contradictions
//! checked. One file a section; each returns its section and notes every problem in [`check::Check`].

mod check;
mod devices;
mod hardware;
mod model;
mod network;
mod peft;
mod peft_sizes;
mod radio;
mod search;
mod slots;
mod steps;
mod technique;
mod topology;
mod training;
mod workload;

pub(super) use search::search;

use super::error::Issue;
use super::key_path::KeyPath;
use super::names::Tables;
use super::{raw, schema};
use check::Check;
use std::path::Path;
use steps::Steps;

/// What validation needs from outside the text.
pub(super) struct Surroundings<'a> {
    /// Where relative paths start.
    pub folder: &'a Path,
    pub tables: &'a Tables,
}

/// The scenario that `raw` describes, without its search section.
///
/// # Errors
/// Every problem found.
pub(super) fn scenario(raw: raw::Scenario, around: &Surroundings) -> Result<schema::Scenario, Vec<Issue>> {
    let mut check = Check::default();
    let top = KeyPath::default();
    let c = &mut check;

    let name = c.required(&top, "name", raw.name, "name: my_experiment").unwrap_or_default();
    if !name.is_empty() || c.issues.is_empty() {
        c.name(top.key("name"), &name);
    }
    // A count of replications needs no more than the tables can hold.
    let replications = c.count(&top, "replications", raw.replications, 1, 1..=10_000);
    let devices_at = top.key("devices");

    let radio = radio::radio(c, raw.radio.unwrap_or_default());
    let hardware = hardware::hardware(c, raw.hardware, around.folder);
    let devices = devices::devices(c, &devices_at, raw.devices, (&hardware, &radio));
    let device_count = devices.iter().map(|group| group.count).sum();
    let placement = devices::placement(c, raw.placement.unwrap_or_default(), device_count);
    let mobility = devices::mobility(c, raw.mobility.unwrap_or_default(), &placement);

    let trains = matches!(raw.training, Some(raw::PlainOrMap::Map(_)));
    let shape = model::shape(c, raw.model, trains, around.folder);
    let architecture = shape.architecture.clone();
    let cell_count = network::cell_count(raw.cells.as_deref());
    let kind = raw.technique.as_ref().and_then(|t| t.kind);
    let (training, facts) = training::training(c, raw.training, architecture.as_ref(), kind, around);
    let model = model::model(c, shape, training.as_ref(), facts.as_ref());
    let raw_workload = raw.workload.unwrap_or_default();
    let steps = Steps::of(c, training.as_ref(), trains, raw_workload.optimizer);
    let mut raw_technique = raw.technique;
    let raw_emulator = raw_technique.as_mut().and_then(|t| t.emulator.as_mut());
    let raw_distillation = raw_emulator.and_then(|e| e.distillation.take());
    let mut technique = technique::technique(c, raw_technique, architecture.as_ref(), device_count, cell_count);
    let setting = peft::Setting {
        architecture: architecture.as_ref(),
        technique: technique.as_ref(),
        training: training.as_ref(),
        steps,
    };
    let peft = peft::peft(c, raw.peft.unwrap_or_default(), &setting);
    technique::emulator::adapters_fit(c, technique.as_ref(), architecture.as_ref(), &peft);
    let precision = model.precision;
    technique::emulator::fits_some_device(
        c,
        technique.as_ref(),
        (architecture.as_ref(), precision),
        (&devices, &hardware),
    );
    if let Some(technique) = &technique {
        technique::pairs_fit(c, &peft, technique, steps, &devices);
    }
    let workload = workload::workload(c, raw_workload, architecture.as_ref(), peft.prompt_tokens());
    if let Some((plan, a)) = technique.as_mut().and_then(|t| t.emulator.as_mut()).zip(architecture.as_ref()) {
        let (training, batch_size) = (training.as_ref(), workload.batch_size);
        plan.distillation =
            technique::emulator::distillation(c, raw_distillation, plan, training, batch_size, (a, around));
    }
    if let (Some(steps), Some(technique)) = (steps, &technique) {
        steps::optimizer_fits(c, steps, technique);
        technique::local_steps_fit(c, steps, technique);
    }
    if let Some(technique) = &technique {
        let bits = 8 * model.precision.bytes();
        let batch_size = workload.batch_size;
        let beside = technique::Beside { architecture: architecture.as_ref(), bits, batch_size, peft: &peft };
        technique::cut_fits(c, technique, &beside);
        let around = technique::Around {
            peft: &peft,
            training: training.as_ref(),
            devices: &devices,
            placement: &placement,
            mobility: &mobility,
            radio: &radio.spec,
        };
        technique::prompts_fit(c, technique, &around);
    }

    let cells = network::cells(c, raw.cells, radio.spec.propagation);
    devices::handover_fits(c, &mobility, cells.specs.len());
    let edge_servers = network::edge_servers(c, raw.edge_servers, &hardware);
    if let (Some(technique), Some(architecture)) = (&technique, &architecture) {
        technique::technique_fits(c, technique, &peft, architecture, cells.specs.len());
    }
    if let Some(technique) = &technique {
        radio::fading_fits(c, &radio.spec, technique);
        network::sharing_fits(c, &edge_servers, technique);
    }
    let network = topology::network(c, raw.network.unwrap_or_default(), &cells, &edge_servers);
    let prices = network::prices(c, raw.prices.unwrap_or_default());
    let results = network::results(c, &raw.results.unwrap_or_default(), device_count);

    if !check.issues.is_empty() {
        return Err(check.issues);
    }
    // The kind is among the required keys: where it is absent, an issue was noted.
    let Some(technique) = technique else { return Err(check.issues) };
    Ok(schema::Scenario {
        name,
        description: raw.description.unwrap_or_default(),
        seed: raw.seed.unwrap_or(1),
        replications: replications as u64,
        model,
        peft,
        workload,
        training,
        technique,
        hardware,
        devices,
        placement,
        mobility,
        radio: radio.spec,
        cells: cells.specs,
        edge_servers: edge_servers.specs,
        network,
        prices,
        results,
        search: None,
    })
}
