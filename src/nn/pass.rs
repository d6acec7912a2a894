//! One forward and backward pass that can be cut at any block: the unit of split learning and of parallel work.
//!
//! Here are its start, the way up and the head; `backward.rs` has the way back, `crossing.rs` what goes over a cut, `begun.rs`
//! passes that start inside a block.

mod backward;
mod begun;
mod crossing;

use super::block::{Context, Memory};
use super::rows::Rows;
use super::slots::HeadKind;
use super::sum_channel::PassChannel;
use super::workspace::{Scratch, Workspace};
use super::{Lowest, Model, ParameterLayout, SumChannel};
use crate::backend::{
    Adapted, Backend, Content, Epilogue, HeadGradient, NormCache, SequenceOutcome, Targets, Trainable,
};
use crate::data::PackedBatch;
use crate::random::CounterStream;
use begun::Begun;
use std::ops::Range;

/// The sequences of one client that take part in a pass, with the client's trainable parameters.
#[derive(Clone)]
pub struct Share<'a> {
    /// As `ParameterLayout` describes.
    pub parameters: &'a [f32],
    pub batch: &'a PackedBatch,
    /// Which sequences of `batch`.
    pub sequences: Range<usize>,
    /// Key of this step's dropout masks; `None` drops nothing.
    pub dropout: Option<CounterStream>,
    /// Factor of the loss, and so of every gradient: keeps small gradients above fp16's smallest number.
    pub loss_scale: f32,
    /// What forms the sums of blocks that devices hold in slices; `None` where all blocks are whole.
    pub channel: Option<&'a SumChannel>,
}

impl<'a> Share<'a> {
    /// All of `batch`, without dropout.
    pub fn whole(parameters: &'a [f32], batch: &'a PackedBatch) -> Self {
        Self { parameters, batch, sequences: 0..batch.sequences(), dropout: None, loss_scale: 1.0, channel: None }
    }
}

/// A pass in progress: call `embed` or `set_hidden`, `forward_blocks`, `classify`, then `backward_blocks`.
///
/// When a model is cut at block `s`, the device's pass runs `embed` and `forward_blocks(0..s)`, the edge's pass takes
/// [`Pass::hidden`] by [`Pass::set_hidden`] and runs the rest, and the gradient travels back the same way. Bit for bit
/// the outcome is that of one uncut pass over the same shares.
pub struct Pass<'m, B: Backend> {
    model: &'m Model<B>,
    layout: &'m ParameterLayout,
    rows: Rows,
    channel: Option<PassChannel<B>>,
    training: bool,
    /// Blocks done going forward.
    position: usize,
    /// What is done of the next one.
    begun: Begun,
    /// Whether this pass computed the first hidden states itself, so that the embedding's gradient is its to compute.
    embedded: bool,
    /// Present until the pass is dropped.
    workspace: Option<Workspace<B>>,
}

impl<B: Backend> Drop for Pass<'_, B> {
    fn drop(&mut self) {
        if let Some(workspace) = self.workspace.take() {
            self.model.return_workspace(workspace);
        }
    }
}

impl<B: Backend> Model<B> {
    /// From one share's parameters to the next's.
    fn stride(&self, layout: &ParameterLayout) -> usize {
        self.backend.parameter_stride(layout.len())
    }

    /// Starts a pass over `shares`; with `training`, it keeps what the backward pass needs.
    ///
    /// # Panics
    /// If a share's parameters do not have the layout's length, or its sequences lie outside its batch.
    pub fn pass<'m>(&'m self, layout: &'m ParameterLayout, shares: &[Share<'_>], training: bool) -> Pass<'m, B> {
        let stride = self.stride(layout);
        let mut parameters = Vec::with_capacity(shares.len() * stride);
        for (i, share) in shares.iter().enumerate() {
            assert_eq!(share.parameters.len(), layout.len(), "parameters of another layout");
            parameters.extend_from_slice(share.parameters);
            parameters.resize((i + 1) * stride, 0.0);
        }
        let mut workspace = self.take_workspace();
        self.backend.write(&parameters, &mut workspace.parameters);
        let rows = Rows::new(&self.architecture, layout, shares);
        let channel = PassChannel::new(&self.backend, &self.architecture, shares);
        if training {
            self.backend.zero_sums(&mut workspace.gradient, parameters.len());
            if let Some(decoder) = &rows.decoder {
                debug_assert_eq!(decoder.packing.sequences(), rows.main.packing.sequences());
                self.backend.zero(&mut workspace.d_memory, rows.main.packing.rows() * self.architecture.hidden);
            }
        }
        let (begun, workspace) = (Begun::default(), Some(workspace));
        Pass { model: self, layout, rows, channel, training, position: 0, begun, embedded: false, workspace }
    }
}

/// The number of the first decoder block of an encoder-decoder; beyond all blocks for other models.
fn first_decoder_block<B: Backend>(model: &Model<B>) -> usize {
    if model.encoder_norm.is_some() { model.architecture.encoder_layers } else { usize::MAX }
}

impl<B: Backend> Pass<'_, B> {
    fn workspace(&self) -> &Workspace<B> {
        self.workspace.as_ref().expect("present until dropped")
    }

    fn width(&self) -> usize {
        self.model.architecture.hidden
    }

    /// Whether block `i` or something below it trains.
    fn trains_up_to(&self, i: usize) -> bool {
        self.layout.lowest_trainable() <= Lowest::Block(i)
    }

    /// Hidden states before block 0.
    pub fn embed(&mut self) {
        self.embedded = true;
        let Self { model, layout, rows, .. } = self;
        let Workspace { parameters, hidden, patches, pixels, projected, embedding_norm, scratch, .. } =
            self.workspace.as_mut().expect("present until dropped");
        let (backend, slots, packing) = (&model.backend, layout.input(), &rows.main.packing);
        let trainable = Trainable { values: parameters, stride: model.stride(layout) };
        let content = match (&model.patches, &rows.patches) {
            (Some(layer), Some(patch_packing)) => {
                backend.write(&rows.pixels, pixels);
                let adapted = Adapted { slots: &slots.patches, trainable, dropout: None, cache: patches };
                backend.linear(patch_packing, pixels, layer, adapted, Epilogue::None, projected);
                Content::Patches(projected)
            }
            _ => Content::Tokens(&rows.main.tokens),
        };
        let Some(norm) = &model.embedding_norm else {
            backend.embed(packing, content, &model.embedding, &slots.embedding, trainable, hidden);
            return;
        };
        let narrow = &mut scratch.narrow;
        backend.embed(packing, content, &model.embedding, &slots.embedding, trainable, narrow);
        let kept = self.training.then_some(embedding_norm);
        backend.norm(packing, narrow, None, norm, slots.norm, trainable, hidden, kept);
    }

    /// Runs the blocks in `range` on the current hidden states.
    pub fn forward_blocks(&mut self, range: Range<usize>) {
        let first_decoder_block = first_decoder_block(self.model);
        for i in range {
            if i == first_decoder_block {
                self.start_decoder();
            }
            let keep = self.training && self.trains_up_to(i);
            let Begun { attended, product } = std::mem::take(&mut self.begun);
            let Self { model, layout, rows, channel, workspace, .. } = &mut *self;
            let Workspace { parameters, hidden, memory, blocks, shared, scratch, .. } =
                workspace.as_mut().expect("present until dropped");
            let context = context(model, layout, rows, channel.as_ref(), i, parameters, memory);
            let context = Context { begun: product, ..context };
            let cache = if keep { &mut blocks[i] } else { &mut *shared };
            model.blocks[i].forward(&context, layout.block(i), cache, scratch, keep, attended, hidden);
            self.position = i + 1;
            if i + 1 == first_decoder_block {
                self.finish_encoder();
            }
        }
    }

    /// The norm that ends an encoder-decoder's encoder.
    fn finish_encoder(&mut self) {
        let Some(norm) = &self.model.encoder_norm else { return };
        let Workspace { parameters, hidden, encoder_norm, scratch, .. } =
            self.workspace.as_mut().expect("present until dropped");
        let (packing, slots) = (&self.rows.main.packing, self.layout.output().encoder_norm);
        let trainable = Trainable { values: parameters, stride: self.model.stride(self.layout) };
        let (backend, kept) = (&self.model.backend, self.training.then_some(encoder_norm));
        backend.norm(packing, hidden, None, norm, slots, trainable, &mut scratch.narrow, kept);
        std::mem::swap(hidden, &mut scratch.narrow);
    }

    /// The encoder's output becomes what decoder blocks attend to; the decoder's own inputs become hidden states.
    fn start_decoder(&mut self) {
        let Workspace { parameters, hidden, memory, .. } = self.workspace.as_mut().expect("present until dropped");
        let decoder = self.rows.decoder.as_ref().expect("an encoder-decoder's batch has targets");
        std::mem::swap(hidden, memory);
        let trainable = Trainable { values: parameters, stride: self.model.stride(self.layout) };
        let (embedding, content) = (&self.model.embedding, Content::Tokens(&decoder.tokens));
        let slots = self.layout.input().embedding.without_prompt();
        self.model.backend.embed(&decoder.packing, content, embedding, &slots, trainable, hidden);
    }

    /// Answers from the current hidden states; in training, also starts the backward pass at the head.
    pub fn classify(&mut self) -> Vec<SequenceOutcome> {
        let Self { model, layout, rows, training, .. } = self;
        let Workspace { parameters, gradient, hidden, d_hidden, final_norm, scratch, .. } =
            self.workspace.as_mut().expect("present until dropped");
        let Scratch { narrow, output: d_normed, .. } = scratch;
        let (backend, slots) = (&model.backend, layout.output());
        let stream = rows.decoder.as_ref().unwrap_or(&rows.main);
        let packing = &stream.packing;
        let trainable = Trainable { values: parameters, stride: model.stride(layout) };
        let (normed, d_normed) = match &model.final_norm {
            None => (&*hidden, &mut *d_hidden),
            Some(norm) => {
                let kept = training.then_some(&mut *final_norm);
                backend.norm(packing, hidden, None, norm, slots.norm, trainable, narrow, kept);
                (&*narrow, d_normed)
            }
        };
        let head_gradient =
            training.then_some(HeadGradient { weights: &rows.weights, parameters: gradient, hidden: d_normed });
        let outcomes = match slots.head {
            HeadKind::Linear(slot) => {
                let targets = match rows.values.is_empty() {
                    true => Targets::Classes(&rows.labels),
                    false => Targets::Values(&rows.values),
                };
                backend.classify(packing, normed, slot, trainable, targets, head_gradient)
            }
            HeadKind::NextToken { weight, .. } => {
                let output = model.output.as_ref().expect("a model loaded to predict tokens has an output matrix");
                let scale = model.output_scale();
                let targets = &stream.targets;
                backend.predict_tokens(packing, normed, output, weight, scale, trainable, targets, head_gradient)
            }
        };
        let wanted = !slots.norm.is_frozen() || layout.lowest_trainable() < Lowest::Head;
        if let Some(norm) = model.final_norm.as_ref().filter(|_| *training && wanted) {
            let d_normed = &scratch.output;
            let cache: &NormCache<B> = final_norm;
            backend.norm_gradient(packing, d_normed, norm, cache, slots.norm, trainable, gradient, false, d_hidden);
        }
        outcomes
    }

    /// The same answers, judged as if `class` were the label of every sequence.
    pub(super) fn classify_as(&mut self, class: u32) -> Vec<SequenceOutcome> {
        self.rows.labels.fill(class);
        self.classify()
    }

    /// The gradient of the trainable parameters so far, times the shares' loss scale: one set of `layout.len()` a share.
    pub fn gradient(&self) -> Vec<f32> {
        let (shares, len, stride) =
            (self.rows.main.packing.segments().len(), self.layout.len(), self.model.stride(self.layout));
        let values = self.model.backend.read(&self.workspace().gradient, shares * stride);
        if stride == len {
            return values;
        }
        values.chunks(stride).flat_map(|share| &share[..len]).copied().collect()
    }

    /// Adds the gradient of share `share` to `sums`, on a backend that takes steps.
    pub(super) fn add_gradient(&self, share: usize, sums: &mut B::Buffer) {
        let (len, stride) = (self.layout.len(), self.model.stride(self.layout));
        self.model.backend.add_sums(&self.workspace().gradient, share * stride, len, sums);
    }
}

/// What block `i` sees of the pass.
fn context<'a, B: Backend>(
    model: &'a Model<B>,
    layout: &ParameterLayout,
    rows: &'a Rows,
    channel: Option<&'a PassChannel<B>>,
    i: usize,
    parameters: &'a B::Buffer,
    memory: &'a B::Buffer,
) -> Context<'a, B> {
    let (backend, hidden_width) = (&model.backend, model.architecture.hidden);
    let trainable = Trainable { values: parameters, stride: model.stride(layout) };
    let main = &rows.main;
    match &rows.decoder {
        Some(decoder) if i >= first_decoder_block(model) => Context {
            backend,
            packing: &decoder.packing,
            trainable,
            dropout: decoder.dropout.as_ref(),
            channel: channel.and_then(|c| c.of_block(i, decoder)),
            memory: Some(Memory { packing: &main.packing, hidden: memory, dropout: main.dropout.as_ref() }),
            begun: None,
            hidden_width,
        },
        _ => Context {
            backend,
            packing: &main.packing,
            trainable,
            dropout: main.dropout.as_ref(),
            channel: channel.and_then(|c| c.of_block(i, main)),
            memory: None,
            begun: None,
            hidden_width,
        },
    }
}
