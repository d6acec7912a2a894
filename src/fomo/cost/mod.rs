//! What fine-tuning a model takes: operations, memory traffic, memory and bytes on the air, part by part.
//!
//! Pure arithmetic on shapes. The formulas and their sources are in `docs/compute.md`; the operations of a block, in the
//! order in which a straightforward implementation performs them, are in `operations`, what PEFT adds to them in
//! `peft_shape`. Start with [`ModelCost`].

mod batch_shape;
mod emulated;
mod kept;
mod ledger;
mod low_rank;
mod memory;
mod one_block;
mod operations;
mod peft_shape;
mod positions;
mod segment;
mod selective;
mod stage;
mod zeroth_order;

pub use batch_shape::BatchShape;
pub use kept::kept;
pub use memory::{ADAMW_BYTES_PER_PARAMETER, MOMENTUM_BYTES_PER_PARAMETER};
pub use peft_shape::{BlockPeft, PeftShape, Rates};
pub use segment::Segment;
pub use stage::{ByStage, Stage};

use super::FomoError;
use super::architecture::{Architecture, Family};
use crate::compute::{Precision, Work};
use emulated::Emulated;
use ledger::Ledger;

/// Size of a label or of a token number on the air and in memory.
const LABEL_BYTES: u64 = 4;

/// The units of which a model is made; a split point lies between two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Tokens, or image patches, to vectors. Stays with the data, at every split point.
    Embedding,
    /// Block number, encoder first.
    Block(usize),
    /// Final norm, pooling, output projection and loss.
    Head,
}

/// What the head predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// One class a sequence, from its pooled last hidden states.
    Classification { classes: usize },
    /// One number a sequence, likewise.
    Regression,
    /// One entry of the vocabulary a token (of the decoder, if there are two stacks).
    LanguageModel,
}

impl Task {
    /// Outputs of the linear head that the task adds to the model; `None` where the model's own output matrix answers.
    fn head_outputs(self) -> Option<u64> {
        match self {
            Self::Classification { classes } => Some(classes as u64),
            Self::Regression => Some(1),
            Self::LanguageModel => None,
        }
    }
}

/// The cost of one model with its PEFT methods at one pair of precisions.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelCost {
    architecture: Architecture,
    task: Task,
    weights: Precision,
    activations: Precision,
    peft: PeftShape,
    /// How an emulator holds its matrices; `None` for a model that is held as it is.
    emulated: Option<Emulated>,
    /// Whether attention is one operation that keeps no probabilities.
    pub(super) fused_attention: bool,
}

impl ModelCost {
    /// # Errors
    /// If `peft` does not describe every block, a model without vocabulary shall predict one, or there are no classes.
    pub fn new(
        architecture: &Architecture,
        task: Task,
        weights: Precision,
        activations: Precision,
        peft: &PeftShape,
    ) -> Result<Self, FomoError> {
        let model = || architecture.name.clone();
        if peft.blocks.len() != architecture.blocks() {
            let (blocks, described) = (architecture.blocks(), peft.blocks.len());
            return Err(FomoError::PeftBlocks { model: model(), blocks, described });
        }
        match task {
            Task::LanguageModel if architecture.vocabulary == 0 => Err(FomoError::NoVocabulary { model: model() }),
            Task::Classification { classes: 0 } => Err(FomoError::NoClasses { classes: 0 }),
            _ => {
                let (architecture, peft) = (architecture.clone(), peft.clone());
                Ok(Self { architecture, task, weights, activations, peft, emulated: None, fused_attention: false })
            }
        }
    }

    /// With `fused`, attention is one operation that keeps no probabilities and computes them again (Dao et al. 2022), and memory is
    /// what the learning plane's own passes hold.
    pub fn with_attention_fused(self, fused: bool) -> Self {
        Self { fused_attention: fused, ..self }
    }

    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Number of blocks; split points are `0..=blocks()`.
    pub fn blocks(&self) -> usize {
        self.architecture.blocks()
    }

    /// All parts in the order of the forward pass.
    pub fn parts(&self) -> impl Iterator<Item = Part> + use<> {
        let blocks = (0..self.blocks()).map(Part::Block);
        std::iter::once(Part::Embedding).chain(blocks).chain(std::iter::once(Part::Head))
    }

    /// Parameters of `part` that fine-tuning changes.
    ///
    /// # Panics
    /// If `part` is a block that the model does not have; so does every function here that takes a part.
    pub fn trainable_parameters(&self, part: Part) -> u64 {
        match part {
            Part::Embedding => self.peft.embedding_trainable + self.prompt_parameters(),
            Part::Block(i) => self.peft.blocks[i].trainable,
            Part::Head => self.peft.final_norm_trainable + self.trainable_head_parameters(),
        }
    }

    /// The linear head, or what trains of a language model's own one: a matrix that it shares with the embedding counts
    /// there.
    fn trainable_head_parameters(&self) -> u64 {
        let a = &self.architecture;
        match self.task.head_outputs() {
            Some(outputs) => outputs * (a.hidden_size() + 1),
            None if self.peft.trains_outside => {
                let shared = if a.tied_output { a.vocabulary_size() * a.hidden_size() } else { 0 };
                self.head_parameters() - a.final_norm_parameters() - shared
            }
            None => 0,
        }
    }

    fn prompt_parameters(&self) -> u64 {
        self.peft.prompt_tokens * self.architecture.hidden_size()
    }

    /// Whether fine-tuning changes a parameter that `part` uses.
    fn trains(&self, part: Part) -> bool {
        self.trainable_parameters(part) > 0 || part == Part::Head && self.trains_own_weights(part)
    }

    /// The first part with a trainable parameter. Backward ends there, and nothing below it stores activations.
    pub fn lowest_trainable(&self) -> Option<Part> {
        self.parts().find(|part| self.trains(*part))
    }

    /// Whether backward must hand a gradient to what lies below `part`.
    pub fn needs_input_gradient(&self, part: Part) -> bool {
        self.lowest_trainable().is_some_and(|lowest| lowest < part)
    }

    /// One forward pass of `part`.
    pub fn forward(&self, part: Part, batch: &BatchShape) -> Work {
        let products = self.peft_work(part, batch, |rates| rates.elements);
        self.ledger(part, batch).forward + products + self.peft_work_per_pass(part)
    }

    /// One backward pass of `part`.
    ///
    /// Every weight product costs its forward FLOPs once for the gradient of its input, and once more for the gradient
    /// of its weights where those train; attention's products, of two activations, cost twice. Without
    /// `needs_input_gradient` backward ends at the lowest stage of the part that trains, without `trains` what leads to
    /// parameters is left out; without both the part costs nothing.
    pub fn backward(&self, part: Part, batch: &BatchShape, needs_input_gradient: bool, trains: bool) -> Work {
        let mut work = if trains { self.position_gradient(part, batch) } else { Work::default() };
        let trains = trains && self.trains(part);
        if !needs_input_gradient && !trains {
            return work;
        }
        let ledger = self.ledger(part, batch);
        work += self.peft_work(part, batch, |rates| rates.elements);
        let floor = match part {
            Part::Block(i) if trains => self.peft.blocks[i].lowest,
            _ => Stage::Input,
        };
        if needs_input_gradient {
            work += ledger.gradients.up_to(floor).sum();
        }
        work += ledger.gradients.above(floor).sum();
        let source_wanted = self.source_trains() && needs_input_gradient;
        if source_wanted {
            work += ledger.source_gradient;
        }
        work.flops -= self.peft_gradients_unneeded(part, batch, (floor, needs_input_gradient), source_wanted);
        if trains {
            work += self.peft_work(part, batch, |rates| rates.elements + rates.reduced);
            if self.trains_own_weights(part) {
                work += ledger.weight_gradient;
            }
        }
        work
    }

    /// Memory of the part's parameters. What PEFT adds is held in 32 bits. The output matrix of a language model counts
    /// in the head even where it is tied: the two sides of a split hold a copy each (see
    /// [`segment_weight_bytes`](Self::segment_weight_bytes) for both parts on one side).
    pub fn weight_bytes(&self, part: Part) -> u64 {
        let own = match part {
            Part::Embedding => self.architecture.embedding_parameters(),
            Part::Block(i) => self.architecture.block_parameters(i),
            Part::Head => self.head_parameters(),
        };
        let own = self.stored_bytes(part).unwrap_or(own * self.weights.bytes());
        let added = match part {
            Part::Embedding => self.prompt_parameters(),
            Part::Block(i) => self.peft.blocks[i].added,
            Part::Head => 0,
        };
        own + added * Precision::Fp32.bytes()
    }

    /// Memory of what `part` keeps from forward for backward: nothing below the lowest trainable part.
    pub fn stored_activation_bytes(&self, part: Part, batch: &BatchShape) -> u64 {
        if self.lowest_trainable().is_none_or(|lowest| part < lowest) {
            return 0;
        }
        let ledger = self.ledger(part, batch);
        let mut elements = ledger.stored_elements;
        if self.trains_own_weights(part) {
            elements += ledger.stored_for_weights;
        }
        if let Part::Block(i) = part {
            let (block, batch) = (&self.peft.blocks[i], self.seen(batch));
            elements += block.per_token.stored * self.tokens_of(i, &batch);
            elements += block.per_source_token.stored * batch.tokens;
            if self.fused_attention {
                let [own, source] = block.shared_inputs;
                elements -= own * self.tokens_of(i, &batch) + source * batch.tokens;
            }
        }
        elements * self.activations.bytes()
    }

    /// Size of the smashed data at `split` (blocks below it on the device), forward; that of its gradient, backward.
    ///
    /// Up to the end of the encoder these are the hidden states of the batch's tokens and prompts. Between two blocks of T5's
    /// decoder the encoder's output goes along, because later blocks attend to it; behind the last one it does not. A
    /// decoder whose first block is at the edge embeds its own inputs there, from the labels.
    ///
    /// # Panics
    /// If `split` is above [`blocks`](Self::blocks).
    pub fn boundary_bytes(&self, split: usize, batch: &BatchShape) -> u64 {
        self.boundary_vectors(split, batch) * self.architecture.hidden_size() * self.activations.bytes()
    }

    /// Hidden states of which the smashed data at `split` consist, `hidden_size` values each.
    ///
    /// # Panics
    /// As [`boundary_bytes`](Self::boundary_bytes).
    pub fn boundary_vectors(&self, split: usize, batch: &BatchShape) -> u64 {
        assert!(split <= self.blocks(), "{} has no split point {split}", self.architecture.name);
        let batch = self.seen(batch);
        if self.architecture.family != Family::T5 || split <= self.architecture.encoder_layers {
            batch.tokens
        } else if split < self.blocks() {
            batch.tokens + batch.decoder_tokens
        } else {
            batch.decoder_tokens
        }
    }

    /// Whether the smashed data at `split` hold hidden states of both an encoder and a decoder.
    pub fn boundary_has_two_stacks(&self, split: usize) -> bool {
        self.architecture.family == Family::T5 && split > self.architecture.encoder_layers && split < self.blocks()
    }

    /// Size of the batch's labels: 4 bytes a sequence, or a predicted token.
    pub fn label_bytes(&self, batch: &BatchShape) -> u64 {
        let labels = match self.task.head_outputs() {
            Some(_) => batch.sequences,
            None => operations::output_tokens(&self.architecture, &self.with_decoder(batch)),
        };
        LABEL_BYTES * labels
    }

    fn ledger(&self, part: Part, batch: &BatchShape) -> Ledger {
        let mut ledger = Ledger::new(self.weights, self.activations);
        ledger.fused = self.fused_attention;
        let (a, seen) = (&self.architecture, self.seen(batch));
        if let (Part::Block(i), Some(storage)) = (part, self.storage(part)) {
            let ledger = ledger.stored_in(storage.rank, storage.bits);
            return operations::block(&storage.architecture, i, &seen, self.peft.blocks[i].prefix_tokens, ledger);
        }
        match part {
            Part::Embedding => operations::embedding(a, &seen, self.peft.prompt_tokens, ledger),
            Part::Block(i) => operations::block(a, i, &seen, self.peft.blocks[i].prefix_tokens, ledger),
            // A prompt is nothing to predict.
            Part::Head => operations::head(a, self.task, &seen, &self.with_decoder(batch), ledger),
        }
    }

    /// What PEFT's own operations cost forward, and about what either of their two gradients costs; `moved` says how many
    /// numbers pass through memory for a token.
    fn peft_work(&self, part: Part, batch: &BatchShape, moved: impl Fn(&Rates) -> u64) -> Work {
        let Part::Block(i) = part else { return Work::default() };
        let (block, batch) = (&self.peft.blocks[i], self.seen(batch));
        let (own, source) = (self.tokens_of(i, &batch), batch.tokens);
        let numbers = moved(&block.per_token) * own + moved(&block.per_source_token) * source;
        Work {
            flops: block.per_token.flops * own as f64 + block.per_source_token.flops * source as f64,
            bytes: (block.added * Precision::Fp32.bytes() + numbers * self.activations.bytes()) as f64,
            kernels: block.kernels,
        }
    }

    /// FLOPs of gradients of inputs of PEFT's products that lead nowhere: those at `floor` and below, where backward ends, and
    /// those of the encoder's output, where nothing trains there.
    fn peft_gradients_unneeded(
        &self,
        part: Part,
        batch: &BatchShape,
        (floor, needs_input_gradient): (Stage, bool),
        source_wanted: bool,
    ) -> f64 {
        let Part::Block(i) = part else { return 0.0 };
        let (block, batch) = (&self.peft.blocks[i], self.seen(batch));
        let below: f64 = if needs_input_gradient { 0.0 } else { block.input_flops.up_to(floor).sum() };
        let source = if source_wanted { 0.0 } else { block.source_input_flops };
        below * self.tokens_of(i, &batch) as f64 + source * batch.tokens as f64
    }

    /// Whether something trains on the way to the encoder's output.
    pub(super) fn source_trains(&self) -> bool {
        self.lowest_trainable().is_some_and(|lowest| lowest < Part::Block(self.architecture.encoder_layers))
    }

    /// What PEFT adds to a forward pass whatever the batch.
    fn peft_work_per_pass(&self, part: Part) -> Work {
        let Part::Block(i) = part else { return Work::default() };
        let block = &self.peft.blocks[i];
        let bytes = (block.weights_per_pass * self.weights.bytes()) as f64;
        Work { flops: block.flops_per_pass, bytes, kernels: 0 }
    }

    /// The batch as the blocks see it: with a prompt before every sequence, and with something to decode.
    fn seen(&self, batch: &BatchShape) -> BatchShape {
        self.with_decoder(batch).with_prompt(self.peft.prompt_tokens)
    }

    /// Two stacks need something to decode: without decoder lengths one token a sequence, as in classification.
    fn with_decoder(&self, batch: &BatchShape) -> BatchShape {
        let one_token = self.architecture.family == Family::T5 && batch.decoder_tokens == 0;
        if one_token { batch.with_one_decoder_token() } else { *batch }
    }

    /// Tokens that run through block `i`.
    fn tokens_of(&self, i: usize, batch: &BatchShape) -> u64 {
        if self.architecture.has_cross_attention(i) { batch.decoder_tokens } else { batch.tokens }
    }

    fn head_parameters(&self) -> u64 {
        operations::head_parameters(&self.architecture, self.task)
    }

    fn trains_own_weights(&self, part: Part) -> bool {
        match part {
            Part::Embedding => self.peft.trains_outside,
            Part::Block(i) => self.peft.blocks[i].trains_weights,
            Part::Head => self.task.head_outputs().is_some() || self.peft.trains_outside,
        }
    }
}
