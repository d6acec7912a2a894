//! Rounds in which only slopes along a shared random direction cross the air.

use serde::Serialize;

/// How a slope is sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ZerothOrderSpec {
    /// Slopes beyond plus or minus this are cut off: over the air it is what full power stands for.
    pub slope_limit: f64,
    /// Values of the grid that carry one slope over the air; `None` where slopes are sent digitally.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repetitions: Option<usize>,
}
