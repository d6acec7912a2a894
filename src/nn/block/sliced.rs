//! How a block's sub-layers meet the channel that forms its sums over slices. In a block that is whole each of these does
//! nothing.

use super::{Context, Memory};
use crate::backend::Backend;
use crate::nn::sum_channel::{SlicedInput, Sum};

impl<'a, B: Backend> Context<'a, B> {
    /// The same pass for a sub-layer that is not in slices.
    pub(super) fn whole(&self) -> Context<'a, B> {
        let Self { backend, packing, trainable, dropout, hidden_width, .. } = *self;
        let memory = self.memory.as_ref().map(|m| Memory { packing: m.packing, hidden: m.hidden, dropout: m.dropout });
        Context { backend, packing, trainable, dropout, channel: None, memory, begun: None, hidden_width }
    }

    /// Whether the block's sums are formed by a channel: then they are kept apart from the residual until they are heard.
    pub(super) fn is_sliced(&self) -> bool {
        self.channel.is_some()
    }

    /// The context as it arrives, slice by slice: `context` itself, or a copy in `weighed` where gains differ from 1.
    pub(super) fn arriving<'b>(
        &self,
        context: &'b B::Buffer,
        width: usize,
        weighed: &'b mut B::Buffer,
    ) -> &'b B::Buffer {
        if !self.weighs() {
            return context;
        }
        self.backend.copy(context, self.packing.rows() * width, weighed);
        self.weigh(SlicedInput::Context, weighed);
        weighed
    }

    /// Whether slices arrive with different gains.
    pub(super) fn weighs(&self) -> bool {
        self.channel.is_some_and(|c| c.is_weighted())
    }

    /// Slices' columns of a product's input, or of its gradient, times their gains.
    pub(super) fn weigh(&self, input: SlicedInput, x: &mut B::Buffer) {
        if let Some(channel) = self.channel {
            channel.weigh(self.backend, input, x);
        }
    }

    /// Receiver noise on a sum over slices.
    pub(super) fn hear(&self, sum: Sum, y: &mut B::Buffer) {
        if let Some(channel) = self.channel {
            channel.add_noise(self.backend, sum, self.hidden_width, y);
        }
    }
}
