//! Gradients of products: of the input, and of everything about them that a client may train.

use super::arena::Block;
use super::buffer::{Buffer, Kind};
use super::launch::{
    Activation, ColumnSums, DiagonalArguments, FinishArguments, Grouped, Output, PairArguments, ProductArguments,
    ProductKind,
};
use super::linear::{magnitude_factors, parameters};
use super::low_rank::{Fused, drops, fused_rank, has_magnitudes, reduced_columns};
use super::tables::Spans;
use super::{Address, Cuda};
use crate::backend::{
    AdaptedGradient, Dropout, GradientEpilogue, Linear, LinearCache, LinearSlots, LoraSlot, Packing, Trainable,
};

/// What all gradients of one product share.
struct Trained<'a, 'b> {
    cuda: &'a Cuda,
    spans: &'a Spans,
    layer: &'a Linear<Cuda>,
    slots: &'a LinearSlots,
    trainable: Trainable<'b, Cuda>,
    /// Of the first client's parameters.
    gradient: Address,
    dropout: Option<&'a Dropout>,
    /// The product's input, where something reads it.
    x: Address,
}

impl Cuda {
    pub(super) fn linear_backward(
        &self,
        packing: &Packing,
        dy: &Buffer,
        layer: &Linear<Self>,
        adapted: AdaptedGradient<'_, Self>,
        epilogue: GradientEpilogue<'_, Self>,
        dx: &mut Buffer,
    ) {
        let spans = &*self.spans(packing);
        let (rows, inputs, outputs) = (spans.rows, layer.inputs, layer.outputs);
        let AdaptedGradient { slots, trainable, dropout, cache, x, scratch, gradient } = adapted;
        let accumulate = matches!(epilogue, GradientEpilogue::Accumulate);
        let to = match &epilogue {
            GradientEpilogue::Skip => None,
            GradientEpilogue::Accumulate => Some(dx.halves(rows * inputs)),
            GradientEpilogue::Overwrite | GradientEpilogue::Multiply(_) => Some(self.room(dx, rows * inputs)),
        };
        if rows == 0 {
            return;
        }
        let factor = match epilogue {
            GradientEpilogue::Multiply(factor) => factor.halves(rows * inputs),
            _ => Address::NULL,
        };
        let out = to.map(|to| Output { factor, accumulate: accumulate.into(), ..Output::half(to, inputs) });
        let gradient = match slots.is_frozen() {
            true => Address::NULL,
            false => gradient.singles(spans.client_count * trainable.stride),
        };
        let x = if slots.reads_input() { x.halves(rows * inputs) } else { Address::NULL };
        let trained = Trained { cuda: self, spans, layer, slots, trainable, gradient, dropout, x };

        let dy = dy.halves(rows * outputs);
        trained.bias(dy);
        let magnified = has_magnitudes(slots).then(|| trained.magnitudes(dy, cache));
        let dy = magnified.as_ref().map_or(dy, Block::address);
        if slots.weight.is_some() {
            trained.weight(dy);
        }
        if slots.lora.is_empty() {
            if let Some(out) = out {
                trained.input(dy, out);
            }
            return;
        }
        let d_reduced = self.room(scratch, rows * reduced_columns(slots));
        let reduced = cache.reduced.halves(rows * reduced_columns(slots));
        match (fused_rank(slots, dropout), out) {
            (Some(rank), Some(out)) => {
                let fused = Fused { layer, slots, trainable, rank, backwards: true };
                self.fused_product(spans, &fused, dy, d_reduced, out);
                slots.lora.iter().for_each(|slot| trained.term(slot, dy, reduced, d_reduced));
            }
            (_, out) => {
                if let Some(out) = out {
                    trained.input(dy, Output { factor: Address::NULL, ..out });
                }
                for slot in &slots.lora {
                    trained.reduced_gradient(slot, dy, d_reduced);
                    trained.term(slot, dy, reduced, d_reduced);
                    if let Some(out) = out {
                        trained.term_input(slot, d_reduced, out.values);
                    }
                }
                if let Some(out) = out.filter(|o| o.factor != Address::NULL) {
                    self.run(PairArguments { x: out.factor, y: out.values, len: (rows * inputs) as i64 }.multiply());
                }
            }
        }
    }

    /// `out[client, c] += factor weight[client, c] sum_r a[r, c] b[r, c]`.
    pub(super) fn column_sums(&self, spans: &Spans, sums: &ColumnSums) {
        if spans.most_rows == 0 {
            return;
        }
        let partial = self.working(Kind::Single, sums.partial_len(spans.client_count, spans.most_rows));
        sums.launch(spans.client_count, spans.most_rows, partial.address()).into_iter().for_each(|l| self.run(l));
    }

    /// `out[client] += scale a^T b` over each client's rows, or overwritten, as `out` says.
    pub(super) fn depth_product(
        &self,
        spans: &Spans,
        (a, a_row): (Address, usize),
        (b, b_row): (Address, usize),
        (m, n): (usize, usize),
        (out, out_group): (Output, usize),
    ) {
        let of_one = ProductArguments::of_one([a, b], out, [m, n, spans.most_rows], [a_row, b_row]);
        let (out_group, grouped) = (out_group as i64, Grouped::ByDepth);
        let arguments = ProductArguments { offsets: spans.clients, out_group, grouped, ..of_one };
        self.product(ProductKind::Tn, spans.client_count, spans.rows, arguments);
    }
}

impl Trained<'_, '_> {
    fn bias(&self, dy: Address) {
        let Some(at) = self.slots.bias else { return };
        let outputs = self.layer.outputs;
        let sums = ColumnSums {
            a: dy,
            a_row: outputs,
            b: Address::NULL,
            b_row: 0,
            columns: outputs,
            weight: Address::NULL,
            weight_group: 0,
            factor: 1.0,
            out: self.gradient.singles(at),
            out_group: self.trainable.stride,
            offsets: self.spans.clients,
        };
        self.cuda.column_sums(self.spans, &sums);
    }

    /// `dm += sum over rows of dy o product / norm`; returns `dy o m / norm`, the norm a constant.
    fn magnitudes(&self, dy: Address, cache: &LinearCache<Cuda>) -> Block {
        let (rows, outputs, clients) = (self.spans.rows, self.layer.outputs, self.spans.client_count);
        let norms = cache.inverse_norm.singles(2 * clients * outputs);
        let product = cache.product.halves(rows * outputs);
        for slot in &self.slots.lora {
            let Some(at) = slot.magnitude else { continue };
            let sums = ColumnSums {
                a: dy.halves(slot.column),
                a_row: outputs,
                b: product.halves(slot.column),
                b_row: outputs,
                columns: slot.outputs,
                weight: norms.singles(slot.column),
                weight_group: outputs,
                factor: 1.0,
                out: self.gradient.singles(at),
                out_group: self.trainable.stride,
                offsets: self.spans.clients,
            };
            self.cuda.column_sums(self.spans, &sums);
        }
        let d_product = self.cuda.working(Kind::Half, rows * outputs);
        let multiplied = FinishArguments {
            product: dy,
            factor: magnitude_factors(norms, clients, outputs),
            bias: Address::NULL,
            y: d_product.address(),
            derivative: Address::NULL,
            offsets: self.spans.clients,
            bias_group: 0,
            columns: outputs as i32,
            accumulate: 0,
            activation: Activation::None,
            unused: 0,
        };
        self.cuda.run(multiplied.launch(clients, self.spans.most_rows));
        d_product
    }

    /// `dx = dy W` on the way to `out`.
    fn input(&self, dy: Address, out: Output) {
        let (inputs, outputs) = (self.layer.inputs, self.layer.outputs);
        let by_client = self.slots.weight.is_some();
        if !by_client && self.cuda.few_bits_product(self.layer, true, (self.spans.rows, dy), out) {
            return;
        }
        let frozen = self.cuda.in_half_precision(&self.layer.weight);
        let (w, group) = match self.slots.weight {
            Some(at) => (parameters(self.spans, self.trainable).halves(at), self.trainable.stride),
            None => (frozen.address(), 0),
        };
        let b = (w, inputs, group);
        self.cuda.rows_product(self.spans, ProductKind::Nn, (dy, outputs), b, (inputs, outputs), by_client, out);
    }

    /// `dW += dy^T x`.
    fn weight(&self, dy: Address) {
        let Some(at) = self.slots.weight else { return };
        let (inputs, outputs) = (self.layer.inputs, self.layer.outputs);
        let out = Output::sums(self.gradient.singles(at), inputs, 1.0);
        let (a, b) = ((dy, outputs), (self.x, inputs));
        self.cuda.depth_product(self.spans, a, b, (outputs, inputs), (out, self.trainable.stride));
    }

    fn part(&self, slot: &LoraSlot, reduced: Address) -> Address {
        reduced.halves(self.spans.rows * slot.reduced_column)
    }

    /// `du = scale dy B E`.
    fn reduced_gradient(&self, slot: &LoraSlot, dy: Address, d_reduced: Address) {
        let du = self.part(slot, d_reduced);
        let b = (parameters(self.spans, self.trainable).halves(slot.b), slot.rank, self.trainable.stride);
        let a = (dy.halves(slot.column), self.layer.outputs);
        let out = Output { scale: slot.scale as f32, ..Output::half(du, slot.rank) };
        self.cuda.rows_product(self.spans, ProductKind::Nn, a, b, (slot.rank, slot.outputs), true, out);
        self.cuda.stretch(self.spans, slot, self.trainable, du);
    }

    /// `dA += du^T drop(x)`, `dB += scale dy^T u E`, `dE += scale sum over rows of (dy B) o u`.
    fn term(&self, slot: &LoraSlot, dy: Address, reduced: Address, d_reduced: Address) {
        let (cuda, spans, stride) = (self.cuda, self.spans, self.trainable.stride);
        let (u, du) = (self.part(slot, reduced), self.part(slot, d_reduced));
        let (scale, shape) = (slot.scale as f32, (slot.outputs, slot.rank));
        let (a, b) = ((dy.halves(slot.column), self.layer.outputs), (u, slot.rank));
        let d_b = self.gradient.singles(slot.b);
        match slot.diagonal {
            None => {
                let out = Output::sums(d_b, slot.rank, scale);
                cuda.depth_product(spans, a, b, shape, (out, stride));
            }
            Some(at) => {
                let group = slot.outputs * slot.rank;
                let sums = cuda.working(Kind::Single, spans.client_count * group);
                let out = Output { accumulate: 0, ..Output::sums(sums.address(), slot.rank, scale) };
                cuda.depth_product(spans, a, b, shape, (out, group));
                let values = parameters(spans, self.trainable);
                let both = DiagonalArguments {
                    sums: sums.address(),
                    b: values.halves(slot.b),
                    diagonal: values.halves(at),
                    d_b,
                    d_diagonal: self.gradient.singles(at),
                    stride: stride as i64,
                    rank: slot.rank as i32,
                    outputs: slot.outputs as i32,
                };
                cuda.run(both.launch(spans.client_count));
            }
        }
        let dropped = cuda.dropped(spans, slot, self.dropout, self.x);
        let x = dropped.as_ref().map_or(self.x, Block::address);
        let out = Output::sums(self.gradient.singles(slot.a), slot.inputs, 1.0);
        cuda.depth_product(spans, (du, slot.rank), (x, slot.inputs), (slot.rank, slot.inputs), (out, stride));
    }

    /// `dx += drop(du A)`.
    fn term_input(&self, slot: &LoraSlot, d_reduced: Address, dx: Address) {
        let (cuda, spans) = (self.cuda, self.spans);
        let du = (self.part(slot, d_reduced), slot.rank);
        let a = (parameters(spans, self.trainable).halves(slot.a), slot.inputs, self.trainable.stride);
        let shape = (slot.inputs, slot.rank);
        match self.dropout.filter(|_| drops(slot, self.dropout)) {
            None => {
                let out = Output { accumulate: 1, ..Output::half(dx, slot.inputs) };
                cuda.rows_product(spans, ProductKind::Nn, du, a, shape, true, out);
            }
            Some(dropout) => {
                let d = cuda.working(Kind::Half, spans.rows * slot.inputs);
                let out = Output::half(d.address(), slot.inputs);
                cuda.rows_product(spans, ProductKind::Nn, du, a, shape, true, out);
                cuda.drop_elements(spans, slot, dropout, d.address(), (dx, true));
            }
        }
    }
}
