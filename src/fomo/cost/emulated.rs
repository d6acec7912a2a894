//! What an emulator takes: a model with less in its middle.

use super::{ModelCost, Part, PeftShape, Task};
use crate::compute::Precision;
use crate::fomo::emulator::{Storage, table_bytes};
use crate::fomo::{Emulator, FomoError};

/// How an emulator holds its matrices.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Emulated {
    /// Of each block; `None` where they train and are held as the model holds them.
    blocks: Vec<Option<Storage>>,
    /// Of the tables of tokens.
    table_bits: Option<u32>,
}

impl ModelCost {
    /// The cost of `emulator`; `peft` describes every block of the full model, and is asked for those that are left.
    ///
    /// # Errors
    /// As [`ModelCost::new`].
    pub fn of_emulator(
        emulator: &Emulator,
        task: Task,
        weights: Precision,
        activations: Precision,
        peft: &PeftShape,
    ) -> Result<Self, FomoError> {
        if peft.blocks.len() != emulator.full().blocks() {
            let (model, blocks) = (emulator.full().name.clone(), emulator.full().blocks());
            return Err(FomoError::PeftBlocks { model, blocks, described: peft.blocks.len() });
        }
        let peft = PeftShape { blocks: emulator.of_kept(&peft.blocks), ..peft.clone() };
        let storage = |own: usize| (!peft.blocks[own].trains_weights).then(|| Storage::of(emulator, own));
        let blocks = (0..peft.blocks.len()).map(storage).collect();
        let table_bits = emulator.table_bits().filter(|_| !peft.trains_outside);
        let cost = Self::new(emulator.architecture(), task, weights, activations, &peft)?;
        Ok(Self { emulated: Some(Emulated { blocks, table_bits }), ..cost })
    }

    /// Size of all that does not train: what a device has to download before its first round, adapters and head aside.
    pub fn frozen_bytes(&self) -> u64 {
        let trained = self.parts().map(|part| {
            let added = self.added_parameters(part);
            let own = self.trainable_parameters(part) - added;
            added * Precision::Fp32.bytes() + own * self.weights.bytes()
        });
        self.segment_weight_bytes(&self.whole()) - trained.sum::<u64>()
    }

    /// How the emulator holds a block.
    pub(super) fn storage(&self, part: Part) -> Option<&Storage> {
        let Part::Block(i) = part else { return None };
        self.emulated.as_ref()?.blocks[i].as_ref()
    }

    /// Bytes of the part's own parameters where an emulator holds them in its own way.
    pub(super) fn stored_bytes(&self, part: Part) -> Option<u64> {
        let a = &self.architecture;
        let with_table = |all: u64| {
            let table = a.vocabulary_size() * a.hidden_size();
            self.table_bytes() + (all - table) * self.weights.bytes()
        };
        match part {
            Part::Block(i) => Some(self.storage(part)?.bytes(i, self.weights)),
            Part::Embedding => Some(with_table(a.embedding_parameters())),
            Part::Head if self.task == Task::LanguageModel => Some(with_table(self.head_parameters())),
            Part::Head => None,
        }
    }

    /// Bytes of the table of tokens, or of the output matrix, which is as large.
    pub(super) fn table_bytes(&self) -> u64 {
        let a = &self.architecture;
        let bits = self.emulated.as_ref().and_then(|e| e.table_bits);
        table_bytes(a.vocabulary_size(), a.hidden_size(), bits, self.weights)
    }

    /// Parameters that PEFT puts on top of the part's own.
    fn added_parameters(&self, part: Part) -> u64 {
        match part {
            Part::Embedding => self.prompt_parameters(),
            Part::Block(i) => self.peft.blocks[i].added,
            Part::Head => 0,
        }
    }
}

impl Emulator {
    /// Size of the frozen weights alone, whatever trains outside the blocks and whatever the task.
    pub fn least_bytes(&self, weights: Precision) -> u64 {
        let nothing = PeftShape::head_only(self.full());
        ModelCost::of_emulator(self, Task::Regression, weights, weights, &nothing).map_or(0, |cost| cost.frozen_bytes())
    }
}
