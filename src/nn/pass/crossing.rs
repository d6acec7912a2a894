//! Hidden states and their gradients where a pass is cut: what goes from a device's pass to the edge's and back.

use super::begun::Begun;
use super::{Pass, first_decoder_block};
use crate::backend::Backend;
use std::ops::Range;

/// Numbers of an encoder's samples start here where a decoder's come first.
const ENCODER_SAMPLES: u64 = 1 << 32;

impl<B: Backend> Pass<'_, B> {
    /// Rows of the current hidden states, and of the encoder's output where that goes along.
    fn crossing_rows(&self, split: usize) -> (usize, usize) {
        let encoder = self.rows.main.packing.rows();
        match &self.rows.decoder {
            Some(decoder) if split > first_decoder_block(self.model) => (decoder.packing.rows(), encoder),
            _ => (encoder, 0),
        }
    }

    /// Rows of the pass's only stack of blocks, or of its encoder.
    pub(in crate::nn) fn rows(&self) -> usize {
        self.rows.main.packing.rows()
    }

    /// Those rows, sequence by sequence.
    pub(in crate::nn) fn sequence_rows(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.rows.main.packing.all_sequence_rows()
    }

    /// What crosses before block `split`, sample by sample: a number among the pass's samples and the rows of
    /// [`Pass::hidden`]. An encoder's output that goes along with a decoder's states counts as further samples.
    pub(in crate::nn) fn crossing_tensors(&self, split: usize) -> Vec<(u64, Range<usize>)> {
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
    pub(in crate::nn) fn own_hidden(&self) -> Vec<f32> {
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
}
