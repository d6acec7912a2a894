//! How updates become one.

use crate::scenario::key_path::KeyPath;
use crate::scenario::raw::{self, AggregationMethod};
use crate::scenario::schema::AggregationSpec;
use crate::scenario::validate::check::{Check, above_to, from_to};

pub(super) fn aggregation(c: &mut Check, at: &KeyPath, raw: raw::Aggregation) -> AggregationSpec {
    match raw.method.unwrap_or(AggregationMethod::Digital) {
        AggregationMethod::Digital => {
            let analog = [
                ("truncation_threshold", raw.truncation_threshold.is_some()),
                ("average_power_dbm", raw.average_power_dbm.is_some()),
            ];
            c.unused(at, &analog, "digital", "method");
            AggregationSpec::Digital
        }
        AggregationMethod::AirComp => AggregationSpec::AirComp {
            // Zero would ask for unbounded power; at 10 a Rayleigh channel (mean gain 1) is open once in 22,000 blocks.
            truncation_threshold: c.number(
                at,
                "truncation_threshold",
                raw.truncation_threshold,
                0.1,
                above_to(0.0, 10.0),
            ),
            average_power_dbm: c.number(at, "average_power_dbm", raw.average_power_dbm, 23.0, from_to(-40.0, 50.0)),
        },
    }
}
