//! Where the model is cut, or who decides.

use serde::{Deserialize, Serialize, Serializer};

/// Where the model is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitPoint {
    /// Blocks below it run on the device, the rest at the edge.
    At(usize),
    /// The best one for each device, by [`SplitObjective`].
    Auto,
}

impl SplitPoint {
    /// The same for all devices, where it is.
    pub fn fixed(self) -> Option<usize> {
        match self {
            Self::At(split_point) => Some(split_point),
            Self::Auto => None,
        }
    }
}

impl Serialize for SplitPoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::At(split_point) => serializer.serialize_u64(*split_point as u64),
            Self::Auto => serializer.serialize_str("auto"),
        }
    }
}

/// What `split_point: auto` looks for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "minimise")]
pub enum SplitObjective {
    /// Seconds of a device's round.
    Latency,
    /// Joules of the device in a round.
    Energy,
    /// `latency_weight` times the seconds over their smallest value, and the rest times the joules over theirs.
    Weighted { latency_weight: f64 },
    /// As `weighted` with the edge's joules, by cut and by the speed at which the edge computes for the device, from
    /// `lowest_edge_speed` to 1 times its profile's (CARD).
    Card { latency_weight: f64, lowest_edge_speed: f64 },
}

/// The objectives by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MinimisedBy {
    Latency,
    Energy,
    Weighted,
    Card,
}
