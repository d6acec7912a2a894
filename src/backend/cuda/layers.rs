//! Norms, gates, learned factors, rotary positions.

use super::buffer::{Buffer, Kind};
use super::launch::{
    Activation as Curve, ColumnSums, GateArguments, NormArguments, NormGradientArguments, RotateArguments,
    ScaleArguments,
};
use super::linear::parameters;
use super::{Address, Cuda};
use crate::backend::{Activation, Norm, NormCache, NormSlots, Packing, Rotary, ScaleSlot, Trainable};

/// Columns of a buffer whose rows are `row` values apart.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub row: usize,
    pub column: usize,
}

impl Cuda {
    /// A vector of the client's own, or the frozen one, with the distance from client to client.
    fn vector(
        &self,
        clients: usize,
        slot: Option<usize>,
        trainable: Trainable<'_, Self>,
        frozen: &Buffer,
        width: usize,
    ) -> (Address, i64) {
        match slot {
            Some(at) => (trainable.values.halves(clients * trainable.stride).halves(at), trainable.stride as i64),
            None => (frozen.halves(width), 0),
        }
    }

    pub(super) fn norm_forward(
        &self,
        packing: &Packing,
        (x, residual): (&Buffer, Option<&Buffer>),
        norm: &Norm<Self>,
        (slots, trainable): (NormSlots, Trainable<'_, Self>),
        out: &mut Buffer,
        cache: Option<&mut NormCache<Self>>,
    ) {
        let spans = self.spans(packing);
        let (len, clients) = (spans.rows * norm.width, spans.client_count);
        let out = self.room(out, len);
        let (normalised, inverse) = match cache {
            None => (Address::NULL, Address::NULL),
            Some(NormCache { normalised, inverse_deviation }) => {
                (self.room(normalised, len), self.single_room(inverse_deviation, spans.rows))
            }
        };
        let (gain, gain_group) = self.vector(clients, slots.gain, trainable, &norm.gain, norm.width);
        let (shift, shift_group) = match &norm.shift {
            None => (Address::NULL, 0),
            Some(shift) => self.vector(clients, slots.shift, trainable, shift, norm.width),
        };
        let arguments = NormArguments {
            x: x.halves(len),
            residual: residual.map_or(Address::NULL, |r| r.halves(len)),
            gain,
            shift,
            out,
            normalised,
            inverse,
            offsets: spans.clients,
            gain_group,
            shift_group,
            width: norm.width as i32,
            centred: norm.centred.into(),
            epsilon: norm.epsilon as f32,
            unused: 0,
        };
        self.run(arguments.launch(clients, spans.most_rows));
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn norm_backward(
        &self,
        packing: &Packing,
        dy: &Buffer,
        norm: &Norm<Self>,
        cache: &NormCache<Self>,
        (slots, trainable): (NormSlots, Trainable<'_, Self>),
        gradient: &Buffer,
        accumulate: bool,
        dx: &mut Buffer,
    ) {
        let spans = self.spans(packing);
        let (len, clients) = (spans.rows * norm.width, spans.client_count);
        let dx = if accumulate { dx.halves(len) } else { self.room(dx, len) };
        let (dy, normalised) = (dy.halves(len), cache.normalised.halves(len));
        let (gain, gain_group) = self.vector(clients, slots.gain, trainable, &norm.gain, norm.width);
        for (slot, b) in [(slots.gain, normalised), (slots.shift, Address::NULL)] {
            let Some(at) = slot else { continue };
            let sums = ColumnSums {
                a: dy,
                a_row: norm.width,
                b,
                b_row: norm.width,
                columns: norm.width,
                weight: Address::NULL,
                weight_group: 0,
                factor: 1.0,
                out: gradient.singles(clients * trainable.stride).singles(at),
                out_group: trainable.stride,
                offsets: spans.clients,
            };
            self.column_sums(&spans, &sums);
        }
        let arguments = NormGradientArguments {
            dy,
            gain,
            normalised,
            inverse: cache.inverse_deviation.singles(spans.rows),
            dx,
            offsets: spans.clients,
            gain_group,
            width: norm.width as i32,
            centred: norm.centred.into(),
            accumulate: accumulate.into(),
            unused: 0,
        };
        self.run(arguments.launch(clients, spans.most_rows));
    }

    pub(super) fn gate_forward(
        &self,
        rows: usize,
        pairs: &Buffer,
        width: usize,
        activation: Activation,
        out: &mut Buffer,
    ) {
        let arguments = GateArguments {
            pairs: pairs.halves(2 * rows * width),
            d_out: Address::NULL,
            out: self.room(out, rows * width),
            rows: rows as i64,
            width: width as i32,
            activation: Curve::from(activation),
        };
        self.run(arguments.forward());
    }

    pub(super) fn gate_backward(
        &self,
        rows: usize,
        (pairs, d_out): (&Buffer, &Buffer),
        width: usize,
        activation: Activation,
        d_pairs: &mut Buffer,
    ) {
        let arguments = GateArguments {
            pairs: pairs.halves(2 * rows * width),
            d_out: d_out.halves(rows * width),
            out: self.room(d_pairs, 2 * rows * width),
            rows: rows as i64,
            width: width as i32,
            activation: Curve::from(activation),
        };
        self.run(arguments.backward());
    }

    pub(super) fn scale_forward(
        &self,
        packing: &Packing,
        slot: ScaleSlot,
        trainable: Trainable<'_, Self>,
        x: &Buffer,
        place: Place,
        before: Option<&mut Buffer>,
    ) {
        let spans = self.spans(packing);
        let before = before.map_or(Address::NULL, |b| self.room(b, spans.rows * slot.columns));
        let arguments = ScaleArguments {
            x: x.halves(spans.rows * place.row),
            factor: parameters(&spans, trainable).halves(slot.factor),
            before,
            offsets: spans.clients,
            factor_group: trainable.stride as i64,
            row: place.row as i32,
            column: place.column as i32,
            columns: slot.columns as i32,
            unused: 0,
        };
        self.run(arguments.launch(spans.client_count, spans.most_rows));
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn scale_backward(
        &self,
        packing: &Packing,
        slot: ScaleSlot,
        trainable: Trainable<'_, Self>,
        before: &Buffer,
        gradient: &Buffer,
        dx: &Buffer,
        place: Place,
    ) {
        let spans = self.spans(packing);
        let sums = ColumnSums {
            a: dx.halves(spans.rows * place.row).halves(place.column),
            a_row: place.row,
            b: before.halves(spans.rows * slot.columns),
            b_row: slot.columns,
            columns: slot.columns,
            weight: Address::NULL,
            weight_group: 0,
            factor: 1.0,
            out: gradient.singles(spans.client_count * trainable.stride).singles(slot.factor),
            out_group: trainable.stride,
            offsets: spans.clients,
        };
        self.column_sums(&spans, &sums);
        self.scale_forward(packing, slot, trainable, dx, place, None);
    }

    pub(super) fn rotate_rows(
        &self,
        packing: &Packing,
        rotary: &Rotary,
        heads: usize,
        backwards: bool,
        buffer: &Buffer,
        place: Place,
    ) {
        let spans = self.spans(packing);
        let angles = self.angles(rotary, spans.longest);
        let arguments = RotateArguments {
            x: buffer.halves(spans.rows * place.row),
            cosine: angles.cosine,
            sine: if backwards { angles.negative_sine } else { angles.sine },
            positions: spans.positions,
            rows: spans.rows as i64,
            heads: heads as i32,
            half_width: rotary.inverse_frequencies.len() as i32,
            row: place.row as i32,
            column: place.column as i32,
        };
        self.run(arguments.launch());
    }

    /// What a buffer holds, as single-precision numbers on the host.
    pub(super) fn values(&self, buffer: &Buffer, len: usize) -> Vec<f32> {
        if len == 0 {
            return vec![];
        }
        match buffer.kind {
            Kind::Single => self.fetched(buffer.singles(len), len),
            Kind::Half => {
                use half::slice::HalfFloatSliceExt as _;
                let stored: Vec<half::f16> = self.fetched(buffer.halves(len), len);
                let mut values = vec![0.0; len];
                stored.convert_to_f32_slice(&mut values);
                values
            }
        }
    }
}
