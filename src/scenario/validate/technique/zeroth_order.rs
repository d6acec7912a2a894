//! Rounds in which only slopes cross the air.

use crate::scenario::key_path::KeyPath;
use crate::scenario::raw;
use crate::scenario::schema::{AggregationSpec, DigitalSpec, UpdateNormalisation, ZerothOrderSpec};
use crate::scenario::validate::check::{Check, above_to};

pub(super) fn zeroth_order(
    c: &mut Check,
    at: &KeyPath,
    raw: raw::ZerothOrderRounds,
    aggregation: &AggregationSpec,
) -> ZerothOrderSpec {
    if let Some(message) = why_not(aggregation) {
        let at = KeyPath::default().key("technique").key("aggregation");
        c.conflict(
            at,
            message,
            "use `aggregation: {method: digital}`, or `{method: air_comp}` with the keys of power and channel",
        );
    }
    let repetitions = match aggregation {
        AggregationSpec::Digital(_) | AggregationSpec::OneBit(_) => {
            c.unused(
                at,
                &[("repetitions", raw.repetitions.is_some())],
                "aggregation: {method: digital}",
                "slope_limit",
            );
            None
        }
        AggregationSpec::AirComp(_) => Some(c.count(at, "repetitions", raw.repetitions, 1, 1..=1_000_000)),
    };
    ZerothOrderSpec { slope_limit: c.number(at, "slope_limit", raw.slope_limit, 10.0, above_to(0.0, 1e6)), repetitions }
}

/// Why slopes cannot be aggregated like this.
fn why_not(aggregation: &AggregationSpec) -> Option<&'static str> {
    match aggregation {
        AggregationSpec::Digital(spec) if *spec == DigitalSpec::default() => None,
        AggregationSpec::Digital(_) => {
            Some("slopes are single numbers: they are not compressed, and share the cell as it is")
        }
        AggregationSpec::AirComp(spec) if spec.error_feedback => Some(
            "slopes are of one step: what is left of one says nothing about the next, so there is no error feedback",
        ),
        AggregationSpec::AirComp(spec) if spec.normalisation != UpdateNormalisation::PerTensor => {
            Some("slopes are sent relative to `slope_limit` and not normalised in another way")
        }
        AggregationSpec::AirComp(_) => None,
        AggregationSpec::OneBit(_) => Some("`one_bit` takes votes on parameters, and slopes are single numbers"),
    }
}
