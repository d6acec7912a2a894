//! Blocks of which devices hold slices, whose sums a channel forms: what it does to the numbers.
//!
//! A slice has some of a block's attention heads and some columns of its feed-forward layer, as in tensor parallelism
//! (Shoeybi et al. 2019, arXiv 1909.08053, section 3). Then four sums over slices cross the air: forward the outputs of
//! attention and of the feed-forward layer, backward the gradients of their inputs. Where transmitters invert their
//! channels imperfectly, slice s arrives with a gain g_s near 1, and the receiver adds noise:
//!
//! `y[row] = sum_s g_s x_s[row] W_s + noise_std rms(y[row]) z`, z standard normal.
//!
//! Backward the slices' terms arrive with the same gains over the same channels, so without noise what comes back is the
//! gradient of the network that was heard. A row (a token) is the unit of power control: its noise is as strong as its
//! own signal says. This module knows neither antennas nor time. Blocks ask it through `block/sliced.rs`.

use super::Share;
use super::rows::Stream;
use crate::backend::{Backend, ScaleSlot};
use crate::fomo::Architecture;
use crate::random::CounterStream;
use std::ops::Range;

/// What the channel does to the sums over slices of one client's batch.
#[derive(Clone, Debug, PartialEq)]
pub struct SumChannel {
    /// The blocks of which devices hold slices, ascending.
    pub blocks: Vec<usize>,
    /// Gain with which each slice's term arrives: 1 where channels are inverted exactly. One a slice, equal parts of the
    /// columns each.
    pub gains: Vec<f64>,
    /// Standard deviation of the noise on every entry of a sum, over the root mean square of the sum's row.
    pub noise_std: f64,
    /// Key of the noise: entries depend on it, on the block, on which of its sums it is, and on their place in the batch.
    pub noise: CounterStream,
}

impl SumChannel {
    /// Whether sums arrive as they are: such a channel may as well be left out.
    pub fn is_exact(&self) -> bool {
        self.blocks.is_empty() || self.noise_std == 0.0 && self.gains.iter().all(|g| *g == 1.0)
    }

    /// Whether it changes what lies below block `above`.
    pub fn touches_below(&self, above: usize) -> bool {
        self.blocks.first().is_some_and(|lowest| *lowest < above)
    }

    /// The gain of each of `columns` columns.
    fn column_gains(&self, columns: usize) -> impl Iterator<Item = f32> + '_ {
        let slices = self.gains.len();
        (0..columns).map(move |c| self.gains[c * slices / columns] as f32)
    }

    /// Adds noise to `rows` of `values`, whose row `rows.start` is row `first` of the client's batch.
    fn add_noise(&self, key: CounterStream, rows: Range<usize>, first: u64, width: usize, values: &mut [f32]) {
        // Entries of a row in pairs of normals, whatever the width.
        let pairs = width.div_ceil(2) as u64;
        for (n, row) in (first..).zip(values[rows.start * width..rows.end * width].chunks_exact_mut(width)) {
            let power = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / width as f64;
            let std = self.noise_std * power.sqrt();
            for (pair, entries) in (n * pairs..).zip(row.chunks_mut(2)) {
                let noise = key.normal_pair(pair);
                entries.iter_mut().zip(noise).for_each(|(v, z)| *v = (f64::from(*v) + std * z) as f32);
            }
        }
    }
}

/// The four sums of a sliced block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sum {
    AttentionOutput,
    FeedForwardOutput,
    AttentionInputGradient,
    FeedForwardInputGradient,
}

/// The products whose inputs are dealt to slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlicedInput {
    /// Columns of the attention's context, head by head.
    Context,
    /// Columns of the feed-forward layer's inner values.
    Inner,
}

/// The channels of a pass's clients.
pub(super) struct PassChannel<B: Backend> {
    /// One a client, all of the same blocks.
    clients: Vec<SumChannel>,
    /// The clients' gains by column, `[clients, columns]`, of context and inner values; `None` where all are 1.
    gains: Option<[(B::Buffer, usize); 2]>,
}

impl<B: Backend> PassChannel<B> {
    /// `None` where no share has a channel.
    ///
    /// # Panics
    /// If the shares of one pass do not agree on the sliced blocks.
    pub fn new(backend: &B, architecture: &Architecture, shares: &[Share<'_>]) -> Option<Self> {
        let clients: Vec<SumChannel> = shares.iter().filter_map(|s| s.channel.cloned()).collect();
        let first = clients.first()?;
        let agree = clients.len() == shares.len() && clients.iter().all(|c| c.blocks == first.blocks);
        assert!(agree, "shares of one pass have different blocks in slices");
        let weighted = clients.iter().any(|c| c.gains.iter().any(|g| *g != 1.0));
        let by_column = |columns: usize| {
            let gains: Vec<f32> = clients.iter().flat_map(|c| c.column_gains(columns)).collect();
            (backend.upload(&gains), columns)
        };
        let gains = weighted.then(|| [architecture.heads * architecture.head_dim, architecture.ffn].map(by_column));
        Some(Self { clients, gains })
    }

    /// What block `block` sees of it; `None` where the block is whole.
    pub fn of_block<'a>(&'a self, block: usize, stream: &'a Stream) -> Option<BlockChannel<'a, B>> {
        let sliced = self.clients[0].blocks.contains(&block);
        sliced.then_some(BlockChannel { channel: self, block: block as u64, stream })
    }
}

/// The channel as one sliced block sees it.
pub(super) struct BlockChannel<'a, B: Backend> {
    channel: &'a PassChannel<B>,
    block: u64,
    stream: &'a Stream,
}

impl<B: Backend> Clone for BlockChannel<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<B: Backend> Copy for BlockChannel<'_, B> {}

impl<B: Backend> BlockChannel<'_, B> {
    /// Whether some slice arrives with another gain than 1.
    pub fn is_weighted(&self) -> bool {
        self.channel.gains.is_some()
    }

    /// Multiplies each slice's columns of `x` by its gain: what the product makes of them is what arrives.
    pub fn weigh(&self, backend: &B, input: SlicedInput, x: &mut B::Buffer) {
        let Some(gains) = &self.channel.gains else { return };
        let (values, columns) = &gains[input as usize];
        let slot = ScaleSlot { factor: 0, columns: *columns };
        let gains = crate::backend::Trainable { values, stride: *columns };
        backend.scale(&self.stream.packing, slot, gains, x, *columns, 0, None);
    }

    /// Adds the receiver's noise to the sum `y`, `[rows, width]`.
    pub fn add_noise(&self, backend: &B, sum: Sum, width: usize, y: &mut B::Buffer) {
        let clients = &self.channel.clients;
        if clients.iter().all(|c| c.noise_std == 0.0) {
            return;
        }
        let packing = &self.stream.packing;
        let mut values = backend.read(y, packing.rows() * width);
        for ((client, rows), first) in clients.iter().zip(packing.segment_rows()).zip(&self.stream.first_rows) {
            let key = client.noise.child(self.block).child(sum as u64);
            client.add_noise(key, rows, *first, width, &mut values);
        }
        backend.write(&values, y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_as_strong_as_said_and_belongs_to_its_row() {
        let noise = CounterStream::new(1, 2);
        let channel = SumChannel { blocks: vec![0], gains: vec![1.0; 2], noise_std: 0.1, noise };
        let (rows, width) = (400, 51);
        let clean: Vec<f32> =
            (0..rows * width).map(|i| (1 + i / width) as f32 * (1.0 - 2.0 * (i % 2) as f32)).collect();
        let mut noisy = clean.clone();
        channel.add_noise(noise, 0..rows, 0, width, &mut noisy);
        // Relative to its row, every entry has the same law.
        let errors =
            || noisy.iter().zip(&clean).enumerate().map(|(i, (n, c))| f64::from(n - c) / (1 + i / width) as f64);
        let count = (rows * width) as f64;
        let (mean, power) = (errors().sum::<f64>() / count, errors().map(|e| e * e).sum::<f64>() / count);
        assert!(mean.abs() < 4.0 * 0.1 / count.sqrt(), "{mean}");
        assert!((power / 0.01 - 1.0).abs() < 4.0 * (2.0 / count).sqrt(), "{power}");
        // The second half on its own, as another pass would see it.
        let mut half = clean[200 * width..].to_vec();
        channel.add_noise(noise, 0..200, 200, width, &mut half);
        assert_eq!(half, noisy[200 * width..]);
    }

    #[test]
    fn columns_belong_to_slices_in_equal_parts() {
        let noise = CounterStream::new(1, 2);
        let channel = SumChannel { blocks: vec![3], gains: vec![0.5, 1.0, 2.0], noise_std: 0.0, noise };
        assert_eq!(channel.column_gains(6).collect::<Vec<_>>(), [0.5, 0.5, 1.0, 1.0, 2.0, 2.0]);
        assert!(!channel.is_exact() && channel.touches_below(4) && !channel.touches_below(3));
        assert!(SumChannel { gains: vec![1.0; 3], ..channel }.is_exact());
    }
}
