//! How deep into a block backward must go.

use crate::fomo::architecture::Family;
use std::ops::{Index, IndexMut};

/// Where in a block something happens, from its input up. The gradient of a stage's input is needed only if something
/// below that stage trains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Below the whole block.
    #[default]
    Input,
    /// The norm before the attention of a pre-LN block.
    AttentionNorm,
    QueryKeyValue,
    /// Keys and values on their way into the attention: a prefix before them, factors on them.
    KeysAndValues,
    Attention,
    AttentionOutput,
    AttentionAdapter,
    /// The norm behind the attention of a post-LN block.
    AttentionEnd,
    CrossNorm,
    CrossQueryKeyValue,
    CrossKeysAndValues,
    CrossAttention,
    CrossOutput,
    CrossAdapter,
    FfnNorm,
    FfnUp,
    FfnInner,
    FfnDown,
    FfnAdapter,
    FfnEnd,
    /// The norm that ends an encoder-decoder's encoder.
    EncoderNorm,
}

impl Stage {
    const COUNT: usize = Self::EncoderNorm as usize + 1;

    /// The lowest weights of a block.
    pub(super) fn lowest_of(family: Family) -> Self {
        if family.has_final_norm() { Self::AttentionNorm } else { Self::QueryKeyValue }
    }

    /// The lowest norm of a block.
    pub(super) fn lowest_norm_of(family: Family) -> Self {
        if family.has_final_norm() { Self::AttentionNorm } else { Self::AttentionEnd }
    }
}

/// Something for each stage.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ByStage<T>([T; Stage::COUNT]);

impl<T: Copy> ByStage<T> {
    /// Of the stages that lie above `floor`, where backward ends.
    pub(super) fn above(&self, floor: Stage) -> impl Iterator<Item = T> + '_ {
        self.0[floor as usize + 1..].iter().copied()
    }

    pub(super) fn up_to(&self, floor: Stage) -> impl Iterator<Item = T> + '_ {
        self.0[..=floor as usize].iter().copied()
    }

    pub(super) fn zip(self, other: Self, join: impl Fn(T, T) -> T) -> Self {
        let mut joined = self;
        joined.0.iter_mut().zip(other.0).for_each(|(a, b)| *a = join(*a, b));
        joined
    }
}

impl<T> Index<Stage> for ByStage<T> {
    type Output = T;
    fn index(&self, stage: Stage) -> &T {
        &self.0[stage as usize]
    }
}

impl<T> IndexMut<Stage> for ByStage<T> {
    fn index_mut(&mut self, stage: Stage) -> &mut T {
        &mut self.0[stage as usize]
    }
}
