//! Who is drawn for a round.

use serde::Serialize;

/// How a round's devices are drawn among those that can take part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum SamplingSpec {
    /// All with equal probability.
    #[default]
    Uniform,
    /// Those with the strongest uplink at the moment, fading aside.
    ByChannel,
    /// With probability in proportion to their samples, without replacement.
    ByData,
    /// Those of the highest utility: samples times loss, less for stragglers (Oort, Lai et al. 2021).
    ByUtility {
        /// Share of places for devices that have not taken part yet.
        exploration: f64,
        /// Exponent of the penalty on devices slower than the median.
        straggler_penalty: f64,
    },
}

impl SamplingSpec {
    /// As scenarios write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::ByChannel => "by_channel",
            Self::ByData => "by_data",
            Self::ByUtility { .. } => "by_utility",
        }
    }
}
