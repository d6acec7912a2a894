//! Keys of `technique.cut` and `technique.split_objective`, and the two ways to write `technique.split_point`.

use crate::scenario::schema::{CutChannel, DeviceSide, LabelPlace, MinimisedBy, QuantiserScale, ServerSide};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use std::fmt;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cut {
    pub compression: Option<CutCompression>,
    pub channel: Option<CutChannel>,
    pub labels: Option<LabelPlace>,
    pub device_side: Option<DeviceSide>,
    pub cache_activations: Option<bool>,
    pub micro_batches: Option<u64>,
    pub server_side: Option<ServerSide>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CutCompression {
    pub method: Option<CutCompressionMethod>,
    pub bits: Option<u64>,
    pub scale: Option<QuantiserScale>,
    pub kept_fraction: Option<f64>,
    pub largest_error: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CutCompressionMethod {
    None,
    Fp16,
    Quantise,
    TopK,
    MergeTokens,
    SparseQuantised,
    Auto,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SplitObjective {
    pub minimise: Option<MinimisedBy>,
    pub latency_weight: Option<f64>,
    pub lowest_edge_speed: Option<f64>,
}

/// A number of blocks, or the word `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CountOrAuto {
    Count(u64),
    Auto,
}

impl<'de> Deserialize<'de> for CountOrAuto {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountOrAutoVisitor;

        impl Visitor<'_> for CountOrAutoVisitor {
            type Value = CountOrAuto;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a whole number, or `auto`")
            }

            fn visit_u64<E: Error>(self, count: u64) -> Result<CountOrAuto, E> {
                Ok(CountOrAuto::Count(count))
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<CountOrAuto, E> {
                match word {
                    "auto" => Ok(CountOrAuto::Auto),
                    _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
                }
            }
        }

        deserializer.deserialize_any(CountOrAutoVisitor)
    }
}
