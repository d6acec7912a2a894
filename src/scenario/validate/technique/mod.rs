//! The protocol, and what it can be combined with.

mod aggregation;
mod blocks;
mod connections;
mod cut;
pub(super) mod emulator;
mod federation;
mod gradients;
mod prompts;
mod sampling;
mod zeroth_order;

use super::check::{Check, above_to};
use crate::fomo::Architecture;
use crate::scenario::key_path::KeyPath;
use crate::scenario::raw::{self, CountOrAll};
use crate::scenario::schema::{PeftSpec, TechniqueKind, TechniqueSpec};
use aggregation::{aggregation, without_aggregation};
pub(super) use cut::{Beside, cut_fits};
use emulator::emulator;
pub(super) use federation::{local_steps_fit, pairs_fit};
pub(super) use prompts::{Around, prompts_fit};

/// `None` only after an issue was noted.
pub(super) fn technique(
    c: &mut Check,
    raw: Option<raw::Technique>,
    architecture: Option<&Architecture>,
    device_count: usize,
    cells: usize,
) -> Option<TechniqueSpec> {
    let top = KeyPath::default();
    let at = top.key("technique");
    let raw = c.required(&top, "technique", raw, "technique: {kind: split_federated}")?;
    let kind = c.required(&at, "kind", raw.kind, "kind: split_federated");
    let rounds = c.count(&at, "rounds", raw.rounds, 10, 1..=1_000_000);
    let local_steps = c.count(&at, "local_steps", raw.local_steps, 4, 1..=1_000_000);
    let (split_point, split_objective) = cut::split_point(c, &at, raw.split_point, raw.split_objective, architecture);
    let devices_per_round = match raw.devices_per_round {
        // Without devices there is nothing to compare with, and that is noted elsewhere.
        Some(CountOrAll::Count(n)) if device_count > 0 => {
            let reason = format!("the scenario has {device_count} devices");
            c.count_because(&at, "devices_per_round", Some(n), device_count, 1..=device_count, &reason)
        }
        _ => device_count,
    };
    let round_deadline_s =
        raw.round_deadline_s.map(|written| c.number(&at, "round_deadline_s", Some(written), 1.0, above_to(0.0, 1e9)));
    let aggregation = aggregation(c, &at.key("aggregation"), raw.aggregation.unwrap_or_default(), devices_per_round);
    let local = federation::local(c, &at.key("local"), raw.local.unwrap_or_default());
    let server = federation::server(c, &at.key("server"), raw.server.unwrap_or_default());
    let sampling = sampling::sampling(c, &at.key("sampling"), raw.sampling.unwrap_or_default());
    let synchrony = raw.synchrony.unwrap_or_default();
    let synchrony = federation::synchrony(c, &at.key("synchrony"), synchrony, devices_per_round);

    let ensemble = prompts::ensemble(c, &at, raw.ensemble, kind, device_count);
    let transfer = prompts::transfer(c, &at, raw.transfer, kind, rounds, device_count);

    let kind = kind?;
    let cut = cut::cut(c, &at.key("cut"), raw.cut, kind);
    let emulator = emulator(c, &at, raw.emulator, kind, architecture);
    if !kind.aggregates() {
        without_aggregation(c, &at, kind, &aggregation);
        if round_deadline_s.is_some() {
            let message = format!("`{}` waits for nobody's update: it has no deadline to miss", kind.name());
            let help = "drop the key, or use a technique that aggregates, such as federated";
            c.conflict(at.key("round_deadline_s"), message, help);
        }
    }
    if kind == TechniqueKind::TensorParallel && split_point.fixed().is_none() {
        let message = "`tensor_parallel` holds its slices beyond one cut for all devices";
        c.conflict(at.key("split_point"), message, "give a number, or use split or split_federated");
    }
    let cut_at = split_point.fixed().unwrap_or(0);
    let around = connections::Around { kind, architecture, split_point: cut_at, devices_per_round };
    let connections = connections::connections(c, &at.key("connections"), raw.connections, &around);
    let own = OwnSections { blocks: raw.blocks, gradients: raw.gradients, zeroth_order: raw.zeroth_order };
    let mut spec = TechniqueSpec {
        kind,
        rounds,
        local_steps,
        split_point,
        aggregation,
        connections,
        cut,
        devices_per_round,
        round_deadline_s,
        split_objective,
        blocks: None,
        gradients: None,
        zeroth_order: None,
        ensemble,
        transfer,
        emulator,
        local,
        server,
        averaging: raw.averaging.unwrap_or_default(),
        synchrony,
        sampling,
    };
    own_sections(c, &at, own, (architecture, cells), &mut spec);
    federation::goes_together(c, &at, &spec);
    sampling::draws(c, &at, &spec, device_count);
    Some(spec)
}

/// Sections that one kind each has for itself.
struct OwnSections {
    blocks: Option<raw::Blocks>,
    gradients: Option<raw::Gradients>,
    zeroth_order: Option<raw::ZerothOrderRounds>,
}

fn own_sections(
    c: &mut Check,
    at: &KeyPath,
    raw: OwnSections,
    (architecture, cells): (Option<&Architecture>, usize),
    spec: &mut TechniqueSpec,
) {
    let sections = [
        (TechniqueKind::BlockFederated, "blocks", raw.blocks.is_some()),
        (TechniqueKind::GradientDownload, "gradients", raw.gradients.is_some()),
        (TechniqueKind::ZerothOrderFederated, "zeroth_order", raw.zeroth_order.is_some()),
    ];
    for (owner, key, written) in sections.into_iter().filter(|(owner, ..)| *owner != spec.kind) {
        let own = format!("those of all techniques; `{key}` is a section of `{}`", owner.name());
        c.unused(at, &[(key, written)], spec.kind.name(), &own);
    }
    match spec.kind {
        TechniqueKind::BlockFederated => spec.blocks = Some(blocks::blocks(raw.blocks.unwrap_or_default(), cells)),
        TechniqueKind::GradientDownload => {
            let raw = raw.gradients.unwrap_or_default();
            spec.gradients = Some(gradients::gradients(c, &at.key("gradients"), raw, architecture));
        }
        TechniqueKind::ZerothOrderFederated => {
            let raw = raw.zeroth_order.unwrap_or_default();
            let at = at.key("zeroth_order");
            spec.zeroth_order = Some(zeroth_order::zeroth_order(c, &at, raw, &spec.aggregation));
        }
        _ => {}
    }
}

/// Notes where the technique does not go with what is trained, or with the cells.
pub(super) fn technique_fits(
    c: &mut Check,
    technique: &TechniqueSpec,
    peft: &PeftSpec,
    architecture: &Architecture,
    cells: usize,
) {
    blocks::blocks_fit(c, technique, peft, architecture, cells);
    gradients::gradients_fit(c, technique, peft, architecture);
}
