//! Low-rank terms in one launch with the frozen product that they belong to, where they fit one.

use super::buffer::Kind;
use super::launch::{LowRankArguments, MOST_SLOTS, Output, PackArguments, Rank, Slot, Tile};
use super::tables::Spans;
use super::{Address, Cuda};
use crate::backend::{Dropout, Linear, LinearSlots, LoraSlot, Trainable};

/// Whether some of a term's input is left out.
pub(super) fn drops(slot: &LoraSlot, dropout: Option<&Dropout>) -> bool {
    slot.dropout > 0.0 && dropout.is_some()
}

pub(super) fn has_magnitudes(slots: &LinearSlots) -> bool {
    slots.lora.iter().any(|s| s.magnitude.is_some())
}

/// Sum of the ranks.
pub(super) fn reduced_columns(slots: &LinearSlots) -> usize {
    slots.lora.last().map_or(0, |s| s.reduced_column + s.rank)
}

/// The padded rank of terms that one launch computes together with their product; `None` where they are separate: terms
/// that read another input than the product, that are many or wide, or whose sum has magnitudes.
pub(super) fn fused_rank(slots: &LinearSlots, dropout: Option<&Dropout>) -> Option<Rank> {
    let together = slots.weight.is_none()
        && (1..=MOST_SLOTS).contains(&slots.lora.len())
        && !has_magnitudes(slots)
        && !slots.lora.iter().any(|s| drops(s, dropout));
    Rank::padded(reduced_columns(slots)).filter(|_| together)
}

/// What a launch of the fused product works on.
pub(super) struct Fused<'a, 'b> {
    pub layer: &'a Linear<Cuda>,
    pub slots: &'a LinearSlots,
    pub trainable: Trainable<'b, Cuda>,
    pub rank: Rank,
    /// From the gradient of the outputs to that of the inputs.
    pub backwards: bool,
}

impl Cuda {
    /// `x W^T` and its terms, or backwards; `reduced` receives what the rank columns make of `x`.
    pub(super) fn fused_product(
        &self,
        spans: &Spans,
        fused: &Fused<'_, '_>,
        x: Address,
        reduced: Address,
        out: Output,
    ) {
        let Fused { layer, slots, trainable, rank, backwards } = *fused;
        let (inputs, outputs, clients) = (layer.inputs, layer.outputs, spans.client_count);
        let (n, k) = if backwards { (inputs, outputs) } else { (outputs, inputs) };
        let (columns, down_row) = (rank.columns(), k.next_multiple_of(8));
        let mut all = [Slot::default(); MOST_SLOTS];
        for (to, slot) in all.iter_mut().zip(&slots.lora) {
            *to = Slot {
                a: slot.a as i64,
                b: slot.b as i64,
                diagonal: slot.diagonal.map_or(-1, |at| at as i64),
                scale: slot.scale as f32,
                rank: slot.rank as i32,
                outputs: slot.outputs as i32,
                column: slot.column as i32,
                first: slot.reduced_column as i32,
                unused: 0,
            };
        }
        let (down, up) =
            (self.working(Kind::Half, clients * columns * down_row), self.working(Kind::Half, clients * n * columns));
        let factors = self.working(Kind::Single, clients * columns);
        let pack = PackArguments {
            values: trainable.values.halves(clients * trainable.stride),
            down: down.address(),
            up: up.address(),
            factors: factors.address(),
            stride: trainable.stride as i64,
            slots: all,
            count: slots.lora.len() as i32,
            rank: columns as i32,
            inputs: inputs as i32,
            outputs: outputs as i32,
            down_row: down_row as i32,
            backwards: backwards.into(),
        };
        self.run(pack.launch(clients));
        let frozen = self.in_half_precision(&layer.weight);
        let product = LowRankArguments {
            x,
            w: frozen.address(),
            down: down.address(),
            up: up.address(),
            factors: factors.address(),
            reduced,
            offsets: spans.clients,
            out,
            down_group: (columns * down_row) as i64,
            up_group: (n * columns) as i64,
            n: n as i32,
            k: k as i32,
            x_row: k as i32,
            w_row: inputs as i32,
            down_row: down_row as i32,
            rows: spans.rows as i32,
            backwards: backwards.into(),
            slots: slots.lora.len() as i32,
            ranks: all.map(|s| s.rank),
            firsts: all.map(|s| s.first),
        };
        let tile = Tile::for_output(spans.most_rows, n, clients, self.device().multiprocessors());
        self.run(product.launch(rank, tile, clients, spans.most_rows));
    }
}
