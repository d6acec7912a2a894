//! The protocol, and what it can be combined with.

mod aggregation;
mod federation;
mod sampling;

use super::check::{Check, above_to};
use crate::fomo::Architecture;
use crate::scenario::key_path::KeyPath;
use crate::scenario::raw::{self, CountOrAll};
use crate::scenario::schema::TechniqueSpec;
use aggregation::{aggregation, without_aggregation};
pub(super) use federation::{local_steps_fit, pairs_fit};

/// `None` only after an issue was noted.
pub(super) fn technique(
    c: &mut Check,
    raw: Option<raw::Technique>,
    architecture: Option<&Architecture>,
    device_count: usize,
) -> Option<TechniqueSpec> {
    let top = KeyPath::default();
    let at = top.key("technique");
    let raw = c.required(&top, "technique", raw, "technique: {kind: split_federated}")?;
    let kind = c.required(&at, "kind", raw.kind, "kind: split_federated");
    let rounds = c.count(&at, "rounds", raw.rounds, 10, 1..=1_000_000);
    let local_steps = c.count(&at, "local_steps", raw.local_steps, 4, 1..=1_000_000);
    let split_point = match architecture {
        Some(a) => {
            let reason = format!("{} has {} blocks", a.name, a.blocks());
            let third = (a.blocks() as f64 / 3.0).round() as usize;
            c.count_because(&at, "split_point", raw.split_point, third, 0..=a.blocks(), &reason)
        }
        None => 0,
    };
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

    let kind = kind?;
    if !kind.aggregates() {
        without_aggregation(c, &at, kind, &aggregation);
        if round_deadline_s.is_some() {
            let message = format!("`{}` waits for nobody's update: it has no deadline to miss", kind.name());
            let help = "drop the key, or use a technique that aggregates: federated, split_federated";
            c.conflict(at.key("round_deadline_s"), message, help);
        }
    }
    let technique = TechniqueSpec {
        kind,
        rounds,
        local_steps,
        split_point,
        devices_per_round,
        round_deadline_s,
        aggregation,
        local,
        server,
        averaging: raw.averaging.unwrap_or_default(),
        synchrony,
        sampling,
    };
    federation::goes_together(c, &at, &technique);
    sampling::draws(c, &at, &technique, device_count);
    Some(technique)
}
