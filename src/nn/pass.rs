//! One forward and backward pass that can be cut at any block: the unit of split learning and of parallel work.

mod begun;

use super::block::{Context, Gradients, Memory};
use super::rows::Rows;
use super::slots::HeadKind;
use super::sum_channel::PassChannel;
use super::workspace::{Scratch, Workspace};
use super::{Lowest, Model, ParameterLayout, SumChannel};
use crate::backend::{
    Adapted, AdaptedGradient, Backend, Content, Epilogue, GradientEpilogue, HeadGradient, NormCache, SequenceOutcome,
    Targets, Trainable,
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

/// Numbers of an encoder's samples start here where a decoder's come first.
const ENCODER_SAMPLES: u64 = 1 << 32;

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

    /// Runs the blocks in `range` backwards, last first, down to the lowest that has trainable parameters; from block 0
    /// on down to the embedding, if this pass did that too.
    pub fn backward_blocks(&mut self, range: Range<usize>) {
        debug_assert!(self.training, "a pass without training keeps nothing to go back on");
        let whole_input = range.start == 0;
        self.backward_to_input_of(range);
        if whole_input && self.embedded && self.layout.lowest_trainable() == Lowest::Input {
            self.input_gradient();
        }
    }

    /// As [`Pass::backward_blocks`], never on down to the embedding.
    pub(super) fn backward_to_input_of(&mut self, range: Range<usize>) {
        let (lowest, first_decoder_block) = (self.layout.lowest_trainable(), first_decoder_block(self.model));
        for i in range.rev().take_while(|&i| lowest <= Lowest::Block(i)) {
            if i + 1 == first_decoder_block {
                self.encoder_norm_gradient();
            }
            let Self { model, layout, rows, channel, workspace, .. } = &mut *self;
            let Workspace { parameters, gradient, d_hidden, memory, d_memory, blocks, scratch, .. } =
                workspace.as_mut().expect("present until dropped");
            let context = context(model, layout, rows, channel.as_ref(), i, parameters, memory);
            let memory = (i >= first_decoder_block && lowest < Lowest::Block(first_decoder_block)).then_some(d_memory);
            let gradients = Gradients { parameters: gradient, hidden: d_hidden, memory };
            let input_wanted = lowest < Lowest::Block(i);
            model.blocks[i].backward(&context, layout.block(i), &blocks[i], scratch, input_wanted, gradients);
            if i == first_decoder_block && input_wanted {
                self.decoder_input_gradient();
            }
        }
    }

    /// From the gradient of the encoder's output to that of its last block's.
    fn encoder_norm_gradient(&mut self) {
        let Some(norm) = &self.model.encoder_norm else { return };
        let Workspace { parameters, gradient, d_hidden, encoder_norm, scratch, .. } =
            self.workspace.as_mut().expect("present until dropped");
        let (packing, slots) = (&self.rows.main.packing, self.layout.output().encoder_norm);
        let trainable = Trainable { values: parameters, stride: self.model.stride(self.layout) };
        let (backend, dx) = (&self.model.backend, &mut scratch.narrow);
        backend.norm_gradient(packing, d_hidden, norm, encoder_norm, slots, trainable, gradient, false, dx);
        std::mem::swap(d_hidden, dx);
    }

    /// The decoder's own embedding gets its gradient; going on below is the encoder's output.
    fn decoder_input_gradient(&mut self) {
        let width = self.width();
        let Workspace { gradient, d_hidden, d_memory, .. } = self.workspace.as_mut().expect("present until dropped");
        let decoder = self.rows.decoder.as_ref().expect("an encoder-decoder's batch has targets");
        let slots = self.layout.input().embedding.without_prompt();
        if !slots.is_frozen() {
            let content = Content::Tokens(&decoder.tokens);
            let (backend, stride) = (&self.model.backend, self.model.stride(self.layout));
            backend.embed_gradient(&decoder.packing, content, &slots, false, width, d_hidden, stride, gradient, None);
        }
        std::mem::swap(d_hidden, d_memory);
    }

    /// From the gradient of block 0's input to the parameters of the embedding.
    fn input_gradient(&mut self) {
        let width = self.width();
        let Self { model, layout, rows, .. } = self;
        let Workspace { parameters, gradient, d_hidden, patches, pixels, projected, embedding_norm, scratch, .. } =
            self.workspace.as_mut().expect("present until dropped");
        let (backend, slots, packing) = (&model.backend, layout.input(), &rows.main.packing);
        let trainable = Trainable { values: parameters, stride: model.stride(layout) };
        let Scratch { narrow, output: d_patches, linear, .. } = scratch;
        let d_out = match &model.embedding_norm {
            None => &*d_hidden,
            Some(norm) => {
                let dy = &*d_hidden;
                backend.norm_gradient(
                    packing,
                    dy,
                    norm,
                    embedding_norm,
                    slots.norm,
                    trainable,
                    gradient,
                    false,
                    narrow,
                );
                &*narrow
            }
        };
        let (class, stride) = (model.embedding.class_token.is_some(), model.stride(layout));
        let embedding = &slots.embedding;
        match (&model.patches, &rows.patches) {
            (Some(layer), Some(patch_packing)) => {
                let content = Content::Patches(projected);
                let below = (!slots.patches.is_frozen()).then_some(&mut *d_patches);
                backend.embed_gradient(packing, content, embedding, class, width, d_out, stride, gradient, below);
                if !slots.patches.is_frozen() {
                    let (slots, x) = (&slots.patches, &*pixels);
                    let adapted = AdaptedGradient {
                        slots,
                        trainable,
                        dropout: None,
                        cache: patches,
                        x,
                        scratch: linear,
                        gradient,
                    };
                    let dx = &mut scratch.wide;
                    backend.linear_gradient(patch_packing, d_patches, layer, adapted, GradientEpilogue::Skip, dx);
                }
            }
            _ => {
                let content = Content::Tokens(&rows.main.tokens);
                backend.embed_gradient(packing, content, embedding, class, width, d_out, stride, gradient, None);
            }
        }
    }

    /// Rows of the current hidden states, and of the encoder's output where that goes along.
    fn crossing_rows(&self, split: usize) -> (usize, usize) {
        let encoder = self.rows.main.packing.rows();
        match &self.rows.decoder {
            Some(decoder) if split > first_decoder_block(self.model) => (decoder.packing.rows(), encoder),
            _ => (encoder, 0),
        }
    }

    /// Rows of the pass's only stack of blocks, or of its encoder.
    pub(super) fn rows(&self) -> usize {
        self.rows.main.packing.rows()
    }

    /// Those rows, sequence by sequence.
    pub(super) fn sequence_rows(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.rows.main.packing.all_sequence_rows()
    }

    /// What crosses before block `split`, sample by sample: a number among the pass's samples and the rows of
    /// [`Pass::hidden`]. An encoder's output that goes along with a decoder's states counts as further samples.
    pub(super) fn crossing_tensors(&self, split: usize) -> Vec<(u64, Range<usize>)> {
        let (first, memory_rows) = self.crossing_rows(split);
        let main = self.rows.main.packing.all_sequence_rows();
        match &self.rows.decoder {
            Some(decoder) if memory_rows > 0 => {
                let own = (0u64..).zip(decoder.packing.all_sequence_rows());
                let memory = (ENCODER_SAMPLES..).zip(main.map(|rows| first + rows.start..first + rows.end));
                own.chain(memory).collect()
            }
            _ => (0u64..).zip(main).collect(),
        }
    }

    /// The current hidden states, `[rows, hidden]`: what a device sends up. Between two decoder blocks of an
    /// encoder-decoder the encoder's output comes behind them.
    pub fn hidden(&self) -> Vec<f32> {
        let (rows, memory_rows) = self.crossing_rows(self.position);
        let (backend, width) = (&self.model.backend, self.width());
        let mut values = backend.read(&self.workspace().hidden, rows * width);
        if memory_rows > 0 {
            values.extend(backend.read(&self.workspace().memory, memory_rows * width));
        }
        values
    }

    /// Where each sequence's rows start among those that answer, and where the last one's end: of the decoder where there is one.
    pub fn answering_offsets(&self) -> Vec<usize> {
        let stream = self.rows.decoder.as_ref().unwrap_or(&self.rows.main);
        std::iter::once(0).chain(stream.packing.all_sequence_rows().map(|rows| rows.end)).collect()
    }

    /// The current hidden states alone, without an encoder's output.
    pub(super) fn own_hidden(&self) -> Vec<f32> {
        let (rows, _) = self.crossing_rows(self.position);
        self.model.backend.read(&self.workspace().hidden, rows * self.width())
    }

    /// Continues before block `split` from hidden states that another pass computed.
    ///
    /// # Panics
    /// If they are of another batch or another split.
    pub fn set_hidden(&mut self, values: &[f32], split: usize) {
        let (rows, memory_rows) = self.crossing_rows(split);
        let width = self.width();
        assert_eq!(values.len(), (rows + memory_rows) * width, "hidden states of another batch");
        let (hidden, memory) = values.split_at(rows * width);
        let backend = &self.model.backend;
        let workspace = self.workspace.as_mut().expect("present until dropped");
        backend.write(hidden, &mut workspace.hidden);
        if memory_rows > 0 {
            backend.write(memory, &mut workspace.memory);
        }
        self.position = split;
        self.begun = Begun::default();
    }

    /// The current gradient of the hidden states before block `split`: what an edge server sends down.
    pub fn hidden_gradient(&self, split: usize) -> Vec<f32> {
        let (rows, memory_rows) = self.crossing_rows(split);
        let (backend, width) = (&self.model.backend, self.width());
        let mut values = backend.read(&self.workspace().d_hidden, rows * width);
        if memory_rows > 0 {
            values.extend(backend.read(&self.workspace().d_memory, memory_rows * width));
        }
        values
    }

    /// Continues the backward pass below block `split` from a gradient that another pass computed.
    ///
    /// # Panics
    /// As [`Pass::set_hidden`].
    pub fn set_hidden_gradient(&mut self, values: &[f32], split: usize) {
        let (rows, memory_rows) = self.crossing_rows(split);
        let width = self.width();
        assert_eq!(values.len(), (rows + memory_rows) * width, "a gradient of another batch");
        let (hidden, memory) = values.split_at(rows * width);
        let backend = &self.model.backend;
        let workspace = self.workspace.as_mut().expect("present until dropped");
        backend.write(hidden, &mut workspace.d_hidden);
        if memory_rows > 0 {
            backend.write(memory, &mut workspace.d_memory);
        }
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
