//! Who is drawn for a round.

use crate::scenario::key_path::KeyPath;
use crate::scenario::raw::{self, SamplingKind};
use crate::scenario::schema::{SamplingSpec, TechniqueSpec};
use crate::scenario::validate::check::{Check, from_to};

pub(super) fn sampling(c: &mut Check, at: &KeyPath, raw: raw::Sampling) -> SamplingSpec {
    let kind = raw.kind.unwrap_or(SamplingKind::Uniform);
    let (name, spec) = match kind {
        SamplingKind::Uniform => ("uniform", SamplingSpec::Uniform),
        SamplingKind::ByChannel => ("by_channel", SamplingSpec::ByChannel),
        SamplingKind::ByData => ("by_data", SamplingSpec::ByData),
        SamplingKind::ByUtility => {
            // Oort's penalty is 2; it begins with an exploration of 0.9 that falls to 0.2.
            return SamplingSpec::ByUtility {
                exploration: c.number(at, "exploration", raw.exploration, 0.2, from_to(0.0, 1.0)),
                straggler_penalty: c.number(at, "straggler_penalty", raw.straggler_penalty, 2.0, from_to(0.0, 100.0)),
            };
        }
    };
    let of_utility =
        [("exploration", raw.exploration.is_some()), ("straggler_penalty", raw.straggler_penalty.is_some())];
    c.unused(at, &of_utility, name, "kind");
    spec
}

/// Notes a draw that decides nothing, or by what there is not.
pub(super) fn draws(c: &mut Check, at: &KeyPath, technique: &TechniqueSpec, device_count: usize) {
    let TechniqueSpec { kind, sampling, devices_per_round, .. } = technique;
    let at = at.key("sampling").key("kind");
    if *sampling == SamplingSpec::Uniform {
        return;
    }
    if *devices_per_round >= device_count {
        let message = format!("`{}` draws devices, and all of them take part in every round", sampling.name());
        c.conflict(at, message, "set `devices_per_round` below the number of devices, or drop the key");
    } else if matches!(sampling, SamplingSpec::ByUtility { .. }) && !kind.aggregates() {
        let message =
            format!("`by_utility` asks for the losses of devices that serve one model, and `{}` has none", kind.name());
        c.conflict(at, message, "use a technique that aggregates: federated, split_federated");
    }
}
