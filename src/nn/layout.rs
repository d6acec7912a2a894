//! Where each trainable tensor lies in a client's flat vector of parameters.

use super::{LoraConfig, NnError, PeftMethod, Projection};
use crate::backend::{HeadSlot, LoraSlot};
use crate::fomo::{Architecture, Family};
use crate::random::Streams;
use std::ops::Range;

/// The part of the model that a trainable tensor belongs to, which decides on which side of a split it is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Block(usize),
    Head,
}

/// What a tensor is for: the head may have its own learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Peft,
    Head,
}

/// One trainable tensor: `rows * columns` values from `offset` on, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// As Hugging Face's `peft` would call it, such as `encoder.layer.3.attention.self.query.lora_A`.
    pub name: String,
    /// `[rows, columns]`; a vector has one row.
    pub shape: [usize; 2],
    pub offset: usize,
    pub owner: Owner,
    pub group: Group,
    initial: Initial,
}

impl TensorSpec {
    /// Its place in the flat vector.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.shape[0] * self.shape[1]
    }
}

/// How a tensor starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Initial {
    Zero,
    /// Uniform in +-1 / sqrt(fan-in): Kaiming's uniform rule with a = sqrt 5, the default of `peft` and of `nn.Linear`.
    Uniform {
        fan_in: usize,
    },
}

/// The low-rank terms of one block, by fused product.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct BlockSlots {
    pub qkv: Vec<LoraSlot>,
    pub attention_output: Vec<LoraSlot>,
    pub ffn_up: Vec<LoraSlot>,
    pub ffn_down: Vec<LoraSlot>,
}

/// All trainable parameters of a client in one vector: blocks in order, then the head.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterLayout {
    tensors: Vec<TensorSpec>,
    blocks: Vec<BlockSlots>,
    head: HeadSlot,
}

impl ParameterLayout {
    /// The layout of `method` on `architecture` with a linear head of `classes` outputs.
    ///
    /// # Errors
    /// If the method does not fit the architecture, or there are fewer than two classes.
    pub fn new(architecture: &Architecture, method: &PeftMethod, classes: usize) -> Result<Self, NnError> {
        if architecture.family != Family::Bert {
            return Err(NnError::UnsupportedFamily { family: architecture.family });
        }
        if classes < 2 {
            return Err(NnError::Geometry { what: "number of classes", found: classes, expected: "2 or more".into() });
        }
        let mut builder = Builder::default();
        let mut blocks = vec![BlockSlots::default(); architecture.blocks()];
        if let PeftMethod::Lora(config) = method {
            config.check(architecture)?;
            for (block, slots) in blocks.iter_mut().enumerate() {
                builder.lora_block(architecture, config, block, slots);
            }
        }
        let width = architecture.hidden;
        let uniform = Initial::Uniform { fan_in: width };
        let weight = builder.push("head.weight".into(), [classes, width], Owner::Head, uniform);
        let bias = builder.push("head.bias".into(), [1, classes], Owner::Head, Initial::Zero);
        let head = HeadSlot { weight, bias, width, classes, stride: builder.len };
        Ok(Self { tensors: builder.tensors, blocks, head })
    }

    /// Number of trainable parameters.
    #[allow(clippy::len_without_is_empty)] // The head is always there.
    pub fn len(&self) -> usize {
        self.head.stride
    }

    /// All tensors, in order of their offsets.
    pub fn tensors(&self) -> &[TensorSpec] {
        &self.tensors
    }

    pub fn classes(&self) -> usize {
        self.head.classes
    }

    /// The entries that live on the device when the model is cut below block `split_point`: those of blocks
    /// `0..split_point`, adjacent ranges merged.
    pub fn device_side(&self, split_point: usize) -> Vec<Range<usize>> {
        let mut merged: Vec<Range<usize>> = Vec::new();
        for tensor in &self.tensors {
            if !matches!(tensor.owner, Owner::Block(block) if block < split_point) {
                continue;
            }
            let range = tensor.range();
            match merged.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => merged.push(range),
            }
        }
        merged
    }

    /// Starting values: `lora_B` and biases zero, the others uniform, each tensor from a stream of its own name.
    pub fn initial(&self, streams: &Streams) -> Vec<f32> {
        let mut values = vec![0.0; self.len()];
        for tensor in &self.tensors {
            if let Initial::Uniform { fan_in } = tensor.initial {
                let bound = (fan_in as f64).sqrt().recip();
                let stream = streams.counter(&tensor.name, "initial value");
                for (n, value) in values[tensor.range()].iter_mut().enumerate() {
                    *value = (bound * (2.0 * stream.uniform(n as u64) - 1.0)) as f32;
                }
            }
        }
        values
    }

    /// The lowest block with trainable parameters; nothing below it needs a backward pass.
    pub fn lowest_trainable_block(&self) -> Option<usize> {
        self.tensors.iter().find_map(|t| if let Owner::Block(block) = t.owner { Some(block) } else { None })
    }

    pub(super) fn block(&self, block: usize) -> &BlockSlots {
        &self.blocks[block]
    }

    pub(super) fn head(&self) -> HeadSlot {
        self.head
    }
}

#[derive(Default)]
struct Builder {
    tensors: Vec<TensorSpec>,
    len: usize,
}

impl Builder {
    /// Appends a tensor and returns its offset.
    fn push(&mut self, name: String, shape: [usize; 2], owner: Owner, initial: Initial) -> usize {
        let group = if owner == Owner::Head { Group::Head } else { Group::Peft };
        let offset = self.len;
        self.tensors.push(TensorSpec { name, shape, offset, owner, group, initial });
        self.len += shape[0] * shape[1];
        offset
    }

    fn lora_block(&mut self, architecture: &Architecture, config: &LoraConfig, block: usize, slots: &mut BlockSlots) {
        let rank = config.rank_per_block[block];
        for projection in Projection::ALL {
            if rank == 0 || !config.targets.contains(&projection) {
                continue;
            }
            let (inputs, outputs) = projection.shape(architecture);
            let name = |letter| format!("encoder.layer.{block}.{}.lora_{letter}", projection.module());
            let owner = Owner::Block(block);
            let a = self.push(name('A'), [rank, inputs], owner, Initial::Uniform { fan_in: inputs });
            let b = self.push(name('B'), [outputs, rank], owner, Initial::Zero);
            let (column, terms) = match projection {
                Projection::Query => (0, &mut slots.qkv),
                Projection::Key => (outputs, &mut slots.qkv),
                Projection::Value => (2 * outputs, &mut slots.qkv),
                Projection::AttentionOutput => (0, &mut slots.attention_output),
                Projection::FfnUp => (0, &mut slots.ffn_up),
                Projection::FfnDown => (0, &mut slots.ffn_down),
            };
            let reduced_column = terms.iter().map(|t| t.rank).sum();
            let scale = config.alpha / rank as f64;
            terms.push(LoraSlot { a, b, rank, scale, inputs, outputs, column, reduced_column });
        }
    }
}
