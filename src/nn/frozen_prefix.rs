//! Hidden states below the lowest trainable tensor, kept from one epoch to the next.
//!
//! Blocks that nothing below or in them trains compute the same for a sample every time; so does the attention of the lowest
//! trained block where only its feed-forward layer trains, and so does the frozen part of the first product behind either:
//! `x W^T` of `x W^T + scale (x A^T) B^T`. A backend computes the rows of
//! a sequence independently of what else is in the pass, so what is kept equals what would be computed, bit for bit
//! (tests/gradients.rs), and neither the limit nor the order of arrival can be seen in a result.

use super::{Lowest, Model, ParameterLayout, Pass, Share, SumChannel};
use crate::backend::Backend;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// How far up a model what is kept reaches. Under layouts of equal depth it is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixDepth {
    /// Whole blocks.
    blocks: usize,
    /// Whether the attention of the next block, too.
    attended: bool,
    /// Whether the frozen part of the product that follows is kept beside the hidden states.
    product: bool,
}

/// The cache of one half of a data set under one layout.
#[derive(Debug)]
pub struct FrozenPrefix {
    depth: PrefixDepth,
    samples: Vec<OnceLock<Kept>>,
    memory: Arc<PrefixBudget>,
}

/// What is kept of one sample.
#[derive(Debug)]
struct Kept {
    /// `[rows, hidden]`.
    hidden: Box<[f32]>,
    /// `[rows, outputs]` of the product that follows.
    product: Option<Box<[f32]>>,
}

impl Kept {
    fn bytes(&self) -> usize {
        size_of_val(&*self.hidden) + self.product.as_ref().map_or(0, |values| size_of_val(&**values))
    }
}

/// How much memory all caches of a process may take together, and how much they take.
#[derive(Debug)]
pub struct PrefixBudget {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
}

impl PrefixBudget {
    pub fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, used_bytes: AtomicUsize::new(0) }
    }

    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Whether there is room for so many more within `1 / parts` of the limit; if so, they are taken.
    fn take(&self, bytes: usize, parts: usize) -> bool {
        let fits = self.used_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.limit_bytes / parts;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A cache, and which of its samples the sequences of a batch are.
#[derive(Clone, Copy)]
pub struct Cached<'a> {
    pub cache: &'a FrozenPrefix,
    /// One entry a sequence of the batch.
    pub samples: &'a [usize],
}

/// Products are kept in the first `1 / PRODUCT_PART` of the memory only: a byte of hidden states saves more.
const PRODUCT_PART: usize = 4;

impl PrefixDepth {
    pub fn new<B: Backend>(model: &Model<B>, layout: &ParameterLayout) -> Self {
        let all = model.blocks.len();
        let frozen = match layout.lowest_trainable() {
            Lowest::Input => 0,
            Lowest::Block(lowest) => lowest,
            Lowest::Head => all,
        };
        // A decoder's rows depend on the targets: the cache ends with the encoder.
        let blocks = if model.encoder_norm.is_some() { frozen.min(model.architecture.encoder_layers) } else { frozen };
        let Some(block) = model.blocks.get(blocks).filter(|block| blocks == frozen && block.cross.is_none()) else {
            return Self { blocks, attended: false, product: false };
        };
        let slots = layout.block(blocks);
        let attended = block.attention_is_frozen(slots);
        Self { blocks, attended, product: block.product_is_frozen(slots, attended) }
    }

    /// Blocks that it reaches into.
    fn reach(&self) -> usize {
        self.blocks + usize::from(self.attended)
    }
}

impl FrozenPrefix {
    /// An empty cache for `samples` samples that takes what it keeps out of `memory`; `None` if no block is frozen below
    /// the lowest trainable tensor.
    pub fn new<B: Backend>(
        model: &Model<B>,
        layout: &ParameterLayout,
        samples: usize,
        memory: Arc<PrefixBudget>,
    ) -> Option<Self> {
        let depth = PrefixDepth::new(model, layout);
        let samples = (0..samples).map(|_| OnceLock::new()).collect();
        (depth.blocks > 0).then_some(Self { depth, samples, memory })
    }
}

impl Cached<'_> {
    /// Whether what is kept may start a pass that stops before block `end` and goes through `channel`: hidden states that
    /// a channel has been through are another draw each time, and what was kept from above a cut has not crossed it.
    pub(super) fn serves(&self, end: usize, channel: Option<&SumChannel>) -> bool {
        let reach = self.cache.depth.reach();
        reach <= end && !channel.is_some_and(|c| c.touches_below(reach))
    }

    /// Brings `pass`, over one share of the batch, to the end of what is kept; returns the whole blocks behind it.
    pub(super) fn bring<B: Backend>(self, pass: &mut Pass<'_, B>, share: &Share<'_>) -> usize {
        let FrozenPrefix { depth, samples, memory } = self.cache;
        let blocks = depth.blocks;
        let entries: Vec<&OnceLock<Kept>> =
            self.samples[share.sequences.clone()].iter().map(|&s| &samples[s]).collect();
        if let Some(kept) = entries.iter().map(|e| e.get()).collect::<Option<Vec<&Kept>>>() {
            pass.set_hidden(&kept.iter().map(|k| &*k.hidden).collect::<Vec<_>>().concat(), blocks);
            if depth.attended {
                pass.set_attended();
            }
            let products = kept.iter().map(|k| k.product.as_deref()).collect::<Option<Vec<&[f32]>>>();
            if let Some(products) = products {
                pass.set_product(&products.concat());
            }
            return blocks;
        }
        pass.embed();
        pass.forward_blocks(0..blocks);
        if depth.attended {
            pass.attend();
        }
        let hidden = pass.hidden();
        if !memory.take(size_of_val(hidden.as_slice()), 1) {
            return blocks;
        }
        let product = if depth.product { pass.begin_product() } else { None };
        let product = product.filter(|values| memory.take(size_of_val(values.as_slice()), PRODUCT_PART));
        let rows = pass.rows();
        for (entry, sequence) in entries.into_iter().zip(pass.sequence_rows()) {
            let part = |values: &[f32]| {
                let width = values.len() / rows;
                values[sequence.start * width..sequence.end * width].into()
            };
            let kept = Kept { hidden: part(&hidden), product: product.as_deref().map(part) };
            if let Err(twice) = entry.set(kept) {
                memory.give_back(twice.bytes());
            }
        }
        blocks
    }
}
