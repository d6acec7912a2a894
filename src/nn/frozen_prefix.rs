//! Hidden states below the lowest trainable block, kept from one epoch to the next.
//!
//! Blocks that nothing below or in them trains compute the same for a sample every time. A backend computes the rows of
//! a sequence independently of what else is in the pass, so what is kept equals what would be computed, bit for bit
//! (tests/gradients.rs), and neither the limit nor the order of arrival can be seen in a result.

use super::{Lowest, Model, ParameterLayout, Pass, Share};
use crate::backend::Backend;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// The cache of one half of a data set under one layout.
#[derive(Debug)]
pub struct FrozenPrefix {
    /// Blocks below what is kept.
    blocks: usize,
    /// Hidden states of each sample, `[rows, hidden]`.
    samples: Vec<OnceLock<Box<[f32]>>>,
    memory: Arc<PrefixBudget>,
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

    /// Whether there is room for so many more; if so, they are taken.
    fn take(&self, bytes: usize) -> bool {
        let fits = self.used_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.limit_bytes;
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

impl FrozenPrefix {
    /// An empty cache for `samples` samples that takes what it keeps out of `memory`; `None` if no block is frozen below
    /// the lowest trainable tensor.
    pub fn new<B: Backend>(
        model: &Model<B>,
        layout: &ParameterLayout,
        samples: usize,
        memory: Arc<PrefixBudget>,
    ) -> Option<Self> {
        let all = model.blocks.len();
        let frozen = match layout.lowest_trainable() {
            Lowest::Input => 0,
            Lowest::Block(lowest) => lowest,
            Lowest::Head => all,
        };
        // A decoder's rows depend on the targets: the cache ends with the encoder.
        let blocks = if model.encoder_norm.is_some() { frozen.min(model.architecture.encoder_layers) } else { frozen };
        let samples = (0..samples).map(|_| OnceLock::new()).collect();
        (blocks > 0).then_some(Self { blocks, samples, memory })
    }

    /// Blocks below what is kept.
    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }
}

impl Cached<'_> {
    /// Blocks below what is kept.
    pub(super) fn blocks(&self) -> usize {
        self.cache.blocks
    }

    /// Brings `pass`, over one share of the batch, to the end of the kept blocks; returns how many these are.
    pub(super) fn bring<B: Backend>(self, pass: &mut Pass<'_, B>, share: &Share<'_>) -> usize {
        let FrozenPrefix { blocks, samples, memory } = self.cache;
        let entries: Vec<&OnceLock<Box<[f32]>>> =
            self.samples[share.sequences.clone()].iter().map(|&s| &samples[s]).collect();
        let kept: Option<Vec<&[f32]>> = entries.iter().map(|e| e.get().map(|values| &**values)).collect();
        if let Some(kept) = kept {
            pass.set_hidden(&kept.concat(), *blocks);
            return *blocks;
        }
        pass.embed();
        pass.forward_blocks(0..*blocks);
        let hidden = pass.hidden();
        if !memory.take(size_of_val(hidden.as_slice())) {
            return *blocks;
        }
        let width = hidden.len() / pass.rows();
        for (entry, rows) in entries.into_iter().zip(pass.sequence_rows()) {
            let kept = entry.set(hidden[rows.start * width..rows.end * width].into());
            if kept.is_err() {
                memory.give_back(size_of::<f32>() * rows.len() * width);
            }
        }
        *blocks
    }
}
