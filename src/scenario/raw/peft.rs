//! Keys of `peft`.

use super::PlainOrMap;
use crate::scenario::schema::{AdapterActivation, AdapterPlacement, LoraScaling, Projection};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::fmt;

/// Defines the section and an entry of its `combine_with`, which differ by that one key.
macro_rules! method_keys {
    ($($key:ident: $kind:ty,)*) => {
        /// One method.
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct PeftMethod {
            $(pub $key: Option<$kind>,)*
        }

        impl PeftMethod {
            /// Every key, and whether it is written.
            pub fn written(&self) -> Vec<(&'static str, bool)> {
                vec![$((stringify!($key), self.$key.is_some()),)*]
            }
        }

        /// The section: a method, and those that go with it.
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct Peft {
            $(pub $key: Option<$kind>,)*
            pub combine_with: Option<Vec<PeftMethod>>,
        }

        impl Peft {
            /// The first method and the others.
            pub fn apart(self) -> (PeftMethod, Vec<PeftMethod>) {
                (PeftMethod { $($key: self.$key,)* }, self.combine_with.unwrap_or_default())
            }
        }
    };
}

method_keys! {
    method: PeftKind,
    blocks: PlainOrMap<WrittenBlocks, BlockRange>,
    rank: PlainOrMap<u64, SizeList>,
    alpha: f64,
    scaling: LoraScaling,
    targets: Vec<Projection>,
    dropout: f64,
    target_rank: u64,
    warmup_steps: u64,
    final_step: u64,
    orthogonality: f64,
    placement: AdapterPlacement,
    bottleneck: PlainOrMap<u64, SizeList>,
    activation: AdapterActivation,
    adapter_scale: f64,
    tokens: PlainOrMap<u64, SizeList>,
    outside_blocks: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PeftKind {
    Lora,
    Dora,
    AdaLora,
    Adapter,
    ParallelAdapter,
    Prefix,
    Prompt,
    Ia3,
    Bitfit,
    LayerNorm,
    Selective,
    Full,
    HeadOnly,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SizeList {
    pub blocks: Option<Vec<u64>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BlockRange {
    pub first: Option<u64>,
    pub last: Option<u64>,
}

/// The word `all`, or a list of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WrittenBlocks {
    All,
    Listed(Vec<u64>),
}

impl<'de> Deserialize<'de> for WrittenBlocks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WrittenBlocksVisitor;

        impl<'de> Visitor<'de> for WrittenBlocksVisitor {
            type Value = WrittenBlocks;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("`all`, {first: 2}, {last: 2}, or a list of blocks")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<WrittenBlocks, E> {
                match word {
                    "all" => Ok(WrittenBlocks::All),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(word), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<WrittenBlocks, A::Error> {
                let mut listed = Vec::new();
                while let Some(block) = entries.next_element()? {
                    listed.push(block);
                }
                Ok(WrittenBlocks::Listed(listed))
            }
        }

        deserializer.deserialize_any(WrittenBlocksVisitor)
    }
}
