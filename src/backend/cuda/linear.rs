//! Products with frozen or own matrices and their low-rank terms.

use super::arena::Block;
use super::buffer::{Buffer, Kind};
use super::launch::{
    Activation, CounterKey, DropArguments, FinishArguments, Grouped, MOST_SLOTS, MagnitudeArguments, MagnitudeSlot,
    Output, ProductArguments, ProductKind, ScaleArguments,
};
use super::low_rank::{Fused, drops, fused_rank, has_magnitudes, reduced_columns};
use super::tables::Spans;
use super::{Address, Cuda};
use crate::backend::{Adapted, Dropout, Epilogue, Linear, LinearCache, LinearSlots, LoraSlot, Packing, Trainable};

impl Cuda {
    pub(super) fn linear_forward(
        &self,
        packing: &Packing,
        x: &Buffer,
        layer: &Linear<Self>,
        adapted: Adapted<'_, Self>,
        epilogue: Epilogue<'_, Self>,
        y: &mut Buffer,
    ) {
        let spans = &*self.spans(packing);
        let (rows, inputs, outputs) = (spans.rows, layer.inputs, layer.outputs);
        let Adapted { slots, trainable, dropout, cache } = adapted;
        let accumulate = matches!(epilogue, Epilogue::Accumulate);
        let to = if accumulate { y.halves(rows * outputs) } else { self.room(y, rows * outputs) };
        if rows == 0 {
            return;
        }
        let x = x.halves(rows * inputs);
        let mut out = Output { accumulate: accumulate.into(), ..Output::half(to, outputs) };
        (out.bias, out.bias_group) = match (slots.bias, &layer.bias) {
            (Some(at), _) => (parameters(spans, trainable).halves(at), trainable.stride as i64),
            (None, Some(bias)) => (bias.halves(outputs), 0),
            (None, None) => (Address::NULL, 0),
        };
        if let Epilogue::Activation { kind, derivative } = epilogue {
            out.activation = Activation::from(kind);
            out.derivative = derivative.map_or(Address::NULL, |d| self.room(d, rows * outputs));
        }
        if let Some(rank) = fused_rank(slots, dropout) {
            let reduced = self.room(&mut cache.reduced, rows * reduced_columns(slots));
            let fused = Fused { layer, slots, trainable, rank, backwards: false };
            self.fused_product(spans, &fused, x, reduced, out);
        } else if slots.lora.is_empty() {
            self.plain_product(spans, x, layer, slots, trainable, out);
        } else {
            self.separate_product(spans, x, layer, (slots, trainable, dropout), cache, out);
        }
    }

    /// `x W^T`, by the frozen matrix or each client's own.
    fn plain_product(
        &self,
        spans: &Spans,
        x: Address,
        layer: &Linear<Self>,
        slots: &LinearSlots,
        trainable: Trainable<'_, Self>,
        out: Output,
    ) {
        if slots.weight.is_none() && self.few_bits_product(layer, false, (spans.rows, x), out) {
            return;
        }
        let frozen = self.in_half_precision(&layer.weight);
        let (b, b_group) = match slots.weight {
            Some(at) => (parameters(spans, trainable).halves(at), trainable.stride),
            None => (frozen.address(), 0),
        };
        let by_client = slots.weight.is_some() || out.bias_group != 0;
        let shape = (layer.outputs, layer.inputs);
        self.rows_product(spans, ProductKind::Nt, (x, layer.inputs), (b, layer.inputs, b_group), shape, by_client, out);
    }

    /// Rows of `a` times B of `[n, k]` (NT) or `[k, n]` (NN): each client's own where they are `by_client` apart.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn rows_product(
        &self,
        spans: &Spans,
        kind: ProductKind,
        (a, a_row): (Address, usize),
        (b, b_row, b_group): (Address, usize, usize),
        (n, k): (usize, usize),
        by_client: bool,
        out: Output,
    ) {
        let (grouped, groups, m) = match by_client {
            true => (Grouped::ByRows, spans.client_count, spans.most_rows),
            false => (Grouped::ByStride, 1, spans.rows),
        };
        let of_one = ProductArguments::of_one([a, b], out, [m, n, k], [a_row, b_row]);
        let arguments = ProductArguments { offsets: spans.clients, b_group: b_group as i64, grouped, ..of_one };
        self.product(kind, groups, spans.rows, arguments);
    }

    /// Product, terms one by one, magnitudes, and then what `out` says.
    fn separate_product(
        &self,
        spans: &Spans,
        x: Address,
        layer: &Linear<Self>,
        (slots, trainable, dropout): (&LinearSlots, Trainable<'_, Self>, Option<&Dropout>),
        cache: &mut LinearCache<Self>,
        out: Output,
    ) {
        let (rows, outputs) = (spans.rows, layer.outputs);
        let LinearCache { reduced, product, inverse_norm } = cache;
        let reduced = self.room(reduced, rows * reduced_columns(slots));
        let mut working: Option<Block> = None;
        let sum = if has_magnitudes(slots) {
            self.room(product, rows * outputs)
        } else if out.accumulate != 0 {
            working.insert(self.working(Kind::Half, rows * outputs)).address()
        } else {
            out.values
        };
        self.plain_product(spans, x, layer, slots, trainable, Output::half(sum, outputs));
        for slot in &slots.lora {
            self.term(spans, x, (slot, trainable, dropout), reduced, (sum, outputs));
        }
        let factor = has_magnitudes(slots).then(|| {
            let norms = self.single_room(inverse_norm, 2 * spans.client_count * outputs);
            self.magnitudes(spans, layer, slots, trainable, norms)
        });
        let finish = FinishArguments {
            product: sum,
            factor: factor.unwrap_or(Address::NULL),
            bias: out.bias,
            y: out.values,
            derivative: out.derivative,
            offsets: spans.clients,
            bias_group: out.bias_group,
            columns: outputs as i32,
            accumulate: out.accumulate,
            activation: out.activation,
            unused: 0,
        };
        self.run(finish.launch(spans.client_count, spans.most_rows));
    }

    /// `y[:, column..] += scale (drop(x) A^T) diag(E) B^T`.
    fn term(
        &self,
        spans: &Spans,
        x: Address,
        (slot, trainable, dropout): (&LoraSlot, Trainable<'_, Self>, Option<&Dropout>),
        reduced: Address,
        (y, y_row): (Address, usize),
    ) {
        let (values, stride) = (parameters(spans, trainable), trainable.stride);
        let dropped = self.dropped(spans, slot, dropout, x);
        let x = dropped.as_ref().map_or(x, Block::address);
        let u = reduced.halves(spans.rows * slot.reduced_column);
        let a = (values.halves(slot.a), slot.inputs, stride);
        let shape = (slot.rank, slot.inputs);
        self.rows_product(spans, ProductKind::Nt, (x, slot.inputs), a, shape, true, Output::half(u, slot.rank));
        let stretched = self.stretched(spans, slot, trainable, u);
        let u = stretched.as_ref().map_or(u, Block::address);
        let b = (values.halves(slot.b), slot.rank, stride);
        let out = Output { scale: slot.scale as f32, accumulate: 1, ..Output::half(y.halves(slot.column), y_row) };
        self.rows_product(spans, ProductKind::Nt, (u, slot.rank), b, (slot.outputs, slot.rank), true, out);
    }

    /// `drop(x)`; `None` where nothing is dropped.
    pub(super) fn dropped(
        &self,
        spans: &Spans,
        slot: &LoraSlot,
        dropout: Option<&Dropout>,
        x: Address,
    ) -> Option<Block> {
        let dropout = dropout.filter(|_| drops(slot, dropout))?;
        let out = self.working(Kind::Half, spans.rows * slot.inputs);
        self.drop_elements(spans, slot, dropout, x, (out.address(), false));
        Some(out)
    }

    /// `out [+]= drop(x)`.
    pub(super) fn drop_elements(
        &self,
        spans: &Spans,
        slot: &LoraSlot,
        dropout: &Dropout,
        x: Address,
        (out, accumulate): (Address, bool),
    ) {
        let keys = dropout.masks.iter().map(|(stream, _)| CounterKey::from(stream.child(slot.a as u64)));
        let keys = self.table(&keys.flat_map(|k| [k.key, k.tweak]).collect::<Vec<u64>>());
        let first_rows = self.table(&dropout.masks.iter().map(|(_, row)| *row as i64).collect::<Vec<i64>>());
        let arguments = DropArguments {
            x,
            out,
            keys: keys.address(),
            first_rows: first_rows.address(),
            offsets: spans.clients,
            share: slot.dropout,
            width: slot.inputs as i32,
            accumulate: accumulate.into(),
        };
        self.run(arguments.launch(spans.client_count, spans.most_rows));
    }

    /// `u diag(E)`; `None` where there is no E.
    pub(super) fn stretched(
        &self,
        spans: &Spans,
        slot: &LoraSlot,
        trainable: Trainable<'_, Self>,
        u: Address,
    ) -> Option<Block> {
        slot.diagonal?;
        let copy = self.working(Kind::Half, spans.rows * slot.rank);
        self.copy_bytes(u, copy.address(), Kind::Half.bytes() * spans.rows * slot.rank);
        self.stretch(spans, slot, trainable, copy.address());
        Some(copy)
    }

    /// `u <- u diag(E)`, if there is an E.
    pub(super) fn stretch(&self, spans: &Spans, slot: &LoraSlot, trainable: Trainable<'_, Self>, u: Address) {
        let Some(at) = slot.diagonal else { return };
        let arguments = ScaleArguments {
            x: u,
            factor: parameters(spans, trainable).halves(at),
            before: Address::NULL,
            offsets: spans.clients,
            factor_group: trainable.stride as i64,
            row: slot.rank as i32,
            column: 0,
            columns: slot.rank as i32,
            unused: 0,
        };
        self.run(arguments.launch(spans.client_count, spans.most_rows));
    }

    /// Writes `1 / |W + scale B E A|` and behind it `m / |W + scale B E A|`, `[clients, outputs]` each; returns where the
    /// latter lies.
    fn magnitudes(
        &self,
        spans: &Spans,
        layer: &Linear<Self>,
        slots: &LinearSlots,
        trainable: Trainable<'_, Self>,
        norms: Address,
    ) -> Address {
        let (clients, outputs) = (spans.client_count, layer.outputs);
        let values = parameters(spans, trainable);
        let with: Vec<(&LoraSlot, usize)> = slots.lora.iter().filter_map(|s| Some((s, s.magnitude?))).collect();
        assert!(with.len() <= MOST_SLOTS, "at most {MOST_SLOTS} terms with magnitudes in one product");
        let mut all = [MagnitudeSlot::default(); MOST_SLOTS];
        for (to, (slot, magnitude)) in all.iter_mut().zip(&with) {
            *to = MagnitudeSlot {
                a: slot.a as i64,
                b: slot.b as i64,
                magnitude: *magnitude as i64,
                diagonal: slot.diagonal.map_or(-1, |at| at as i64),
                scale: slot.scale as f32,
                rank: slot.rank as i32,
                outputs: slot.outputs as i32,
                column: slot.column as i32,
            };
        }
        let frozen = self.in_half_precision(&layer.weight);
        let (weight, weight_group) = match slots.weight {
            Some(at) => (values.halves(at), trainable.stride as i64),
            None => (frozen.address(), 0),
        };
        let factor = magnitude_factors(norms, clients, outputs);
        let arguments = MagnitudeArguments {
            values,
            weight,
            inverse: norms,
            factor,
            stride: trainable.stride as i64,
            weight_group,
            slots: all,
            count: with.len() as i32,
            inputs: layer.inputs as i32,
            outputs: outputs as i32,
            unused: 0,
        };
        self.run(arguments.launch(clients));
        factor
    }
}

/// Where the factors lie behind the inverse norms.
pub(super) fn magnitude_factors(norms: Address, clients: usize, outputs: usize) -> Address {
    norms.singles(clients * outputs)
}

/// The first client's.
pub(super) fn parameters(spans: &Spans, trainable: Trainable<'_, Cuda>) -> Address {
    match spans.client_count * trainable.stride {
        0 => Address::NULL,
        len => trainable.values.halves(len),
    }
}
