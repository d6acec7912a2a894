//! From a scenario as typed to one that can be played: defaults filled in, names looked up, limits and contradictions
//! checked. One file a section; each returns its section and notes every problem in [`check::Check`].

mod check;
mod devices;
mod model;
mod network;
mod peft;
mod peft_sizes;
mod radio;
mod search;
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
    let devices = devices::devices(c, &devices_at, raw.devices, radio.device_tx_power_dbm);
    let device_count = devices.iter().map(|group| group.count).sum();
    let placement = devices::placement(c, raw.placement.unwrap_or_default(), device_count);
    let mobility = devices::mobility(c, raw.mobility.unwrap_or_default(), &placement);

    let trains = matches!(raw.training, Some(raw::PlainOrMap::Map(_)));
    let shape = model::shape(c, raw.model, trains, around.folder);
    let architecture = shape.architecture.clone();
    let (training, facts) = training::training(c, raw.training, architecture.as_ref(), around);
    let model = model::model(c, shape, training.as_ref(), facts.as_ref());
    let technique = technique::technique(c, raw.technique, architecture.as_ref(), device_count);
    let setting = peft::Setting {
        architecture: architecture.as_ref(),
        technique: technique.as_ref(),
        training: training.as_ref(),
    };
    let peft = peft::peft(c, raw.peft.unwrap_or_default(), &setting);
    if let Some(technique) = &technique {
        technique::pairs_fit(c, &peft, technique, &devices);
    }
    let workload = workload::workload(c, raw.workload.unwrap_or_default(), architecture.as_ref(), peft.prompt_tokens());
    if let (Some(training), Some(technique)) = (&training, &technique) {
        training::optimizer_fits(c, training, technique);
        technique::local_steps_fit(c, training, technique);
    }

    let cells = network::cells(c, raw.cells, radio.spec.propagation);
    let edge_servers = network::edge_servers(c, raw.edge_servers);
    let network = topology::network(c, raw.network.unwrap_or_default(), &cells, &edge_servers);
    let prices = network::prices(c, raw.prices.unwrap_or_default());

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
        devices,
        placement,
        mobility,
        radio: radio.spec,
        cells,
        edge_servers,
        network,
        prices,
        search: None,
    })
}
