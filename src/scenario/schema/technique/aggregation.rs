//! How updates become one.

use serde::{Deserialize, Serialize};

/// How the updates of a round's devices become one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "method", deny_unknown_fields)]
pub enum AggregationSpec {
    /// Each device sends its parameters over the digital uplink; the edge takes the mean weighted by samples.
    Digital,
    /// Devices transmit at once and the channel adds (Zhu, Wang, Huang 2020).
    AirComp {
        /// A device whose power gain |h|^2 (mean 1) lies below this stays silent on that coherence block.
        truncation_threshold: f64,
        /// Average transmit power that a device may spend on analog symbols.
        average_power_dbm: f64,
    },
}
