//! Bottleneck adapters (Houlsby et al. 2019): products with matrices of each client's own.

use super::buffer::{Buffer, Kind};
use super::launch::{Activation, ColumnSums, Output, ProductKind};
use super::linear::parameters;
use super::{Address, Cuda};
use crate::backend::{AdapterCache, AdapterSlot, Packing, Trainable};

impl Cuda {
    pub(super) fn adapter_forward(
        &self,
        packing: &Packing,
        x: &Buffer,
        slot: AdapterSlot,
        trainable: Trainable<'_, Self>,
        cache: &mut AdapterCache<Self>,
        y: &Buffer,
    ) {
        let spans = &*self.spans(packing);
        let (rows, n, width, stride) = (spans.rows, slot.bottleneck, slot.width, trainable.stride);
        let values = parameters(spans, trainable);
        let activated = self.room(&mut cache.activated, rows * n);
        let inner = Output {
            bias: values.halves(slot.down_bias),
            bias_group: stride as i64,
            activation: Activation::from(slot.activation),
            derivative: self.room(&mut cache.derivative, rows * n),
            ..Output::half(activated, n)
        };
        let down = (values.halves(slot.down_weight), width, stride);
        let x = (x.halves(rows * width), width);
        self.rows_product(spans, ProductKind::Nt, x, down, (n, width), true, inner);
        let scale = slot.scale as f32;
        let outer = Output {
            bias: values.halves(slot.up_bias),
            bias_group: stride as i64,
            scale,
            bias_scale: scale,
            accumulate: 1,
            ..Output::half(y.halves(rows * width), width)
        };
        let up = (values.halves(slot.up_weight), n, stride);
        self.rows_product(spans, ProductKind::Nt, (activated, n), up, (width, n), true, outer);
    }

    /// With `z = x D^T + d`, `a = act(z)`: `dU += s dy^T a`, `du += s sum dy`, `dz = (s dy U) o act'(z)`, `dD += dz^T x`,
    /// `dd += sum dz`, `dx += dz D`.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn adapter_backward(
        &self,
        packing: &Packing,
        (dy, x): (&Buffer, &Buffer),
        slot: AdapterSlot,
        trainable: Trainable<'_, Self>,
        cache: &AdapterCache<Self>,
        scratch: &mut Buffer,
        gradient: &Buffer,
        dx: Option<&mut Buffer>,
    ) {
        let spans = &*self.spans(packing);
        let (rows, n, width, stride) = (spans.rows, slot.bottleneck, slot.width, trainable.stride);
        let (values, scale) = (parameters(spans, trainable), slot.scale as f32);
        let gradient = gradient.singles(spans.client_count * stride);
        let (dy, x) = (dy.halves(rows * width), x.halves(rows * width));
        let sums_of = |a: Address, columns: usize, factor: f32, at: usize| ColumnSums {
            a,
            a_row: columns,
            b: Address::NULL,
            b_row: 0,
            columns,
            weight: Address::NULL,
            weight_group: 0,
            factor,
            out: gradient.singles(at),
            out_group: stride,
            offsets: spans.clients,
        };
        self.column_sums(spans, &sums_of(dy, width, scale, slot.up_bias));
        let d_up = Output::sums(gradient.singles(slot.up_weight), n, scale);
        let activated = (cache.activated.halves(rows * n), n);
        self.depth_product(spans, (dy, width), activated, (width, n), (d_up, stride));

        let dz = self.room_for(scratch, rows * n, Kind::Half, super::Purpose::Activations);
        let through = Output { scale, factor: cache.derivative.halves(rows * n), ..Output::half(dz, n) };
        let up = (values.halves(slot.up_weight), n, stride);
        self.rows_product(spans, ProductKind::Nn, (dy, width), up, (n, width), true, through);
        self.column_sums(spans, &sums_of(dz, n, 1.0, slot.down_bias));
        let d_down = Output::sums(gradient.singles(slot.down_weight), width, 1.0);
        self.depth_product(spans, (dz, n), (x, width), (n, width), (d_down, stride));
        if let Some(dx) = dx {
            let out = Output { accumulate: 1, ..Output::half(dx.halves(rows * width), width) };
            let down = (values.halves(slot.down_weight), width, stride);
            self.rows_product(spans, ProductKind::Nn, (dz, n), down, (width, n), true, out);
        }
    }
}
