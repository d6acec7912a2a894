//! Norms, gates, learned factors, adapters.

use super::harness::*;
use deft::backend::cpu::{Cpu, Scalar, Storage};
use deft::backend::{
    Activation, AdapterCache, AdapterSlot, Backend, Norm, NormCache, NormSlots, Packing, ScaleSlot, Trainable,
};

const WIDTH: usize = 19;

#[derive(Clone)]
struct Normed {
    packing: Packing,
    residual: bool,
    centred: bool,
    has_shift: bool,
    slots: NormSlots,
    accumulate: bool,
}

const NORM_STRIDE: usize = 2 * WIDTH + 3;

impl Operation for Normed {
    fn packing(&self) -> &Packing {
        &self.packing
    }

    fn only(&self, client: usize) -> Self {
        Self { packing: one_client(&self.packing, client), ..self.clone() }
    }

    fn inputs(&self) -> Vec<(Of, Vec<f64>)> {
        let (rows, clients) = (self.packing.rows(), self.packing.segments().len());
        let mut inputs = vec![(Of::Rows, made_up(rows * WIDTH, 1))];
        if self.residual {
            inputs.push((Of::Rows, made_up(rows * WIDTH, 2)));
        }
        if !self.slots.is_frozen() {
            inputs.push((Of::Clients, made_up(clients * NORM_STRIDE, 3)));
        }
        inputs
    }

    fn oracle(&self, inputs: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<f64> {
        let (gain, shift) = (made_up(WIDTH, 4), made_up(WIDTH, 5));
        let own = |client: usize, i: usize| inputs[inputs.len() - 1][client * NORM_STRIDE + i];
        let mut y = vec![];
        for (client, _, row) in client_rows(&self.packing) {
            let of = |input: &[f64]| input[row * WIDTH..][..WIDTH].to_vec();
            let mut x = of(&inputs[0]);
            if self.residual {
                x.iter_mut().zip(of(&inputs[1])).for_each(|(x, r)| *x += r);
            }
            let mean = if self.centred { x.iter().sum::<f64>() / WIDTH as f64 } else { 0.0 };
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / WIDTH as f64;
            y.extend(x.iter().enumerate().map(|(i, x)| {
                let gain = self.slots.gain.map_or(gain[i], |at| own(client, at + i));
                let frozen = if self.has_shift { shift[i] } else { 0.0 };
                let shift = self.slots.shift.map_or(frozen, |at| own(client, at + i));
                (x - mean) / (variance + 1e-5).sqrt() * gain + shift
            }));
        }
        y
    }

    fn run<T: Scalar, S: Storage<T>>(
        &self,
        backend: &Cpu<T, S>,
        inputs: &[Vec<T>],
        d_out: &[T],
    ) -> (Vec<T>, Vec<Gradient<T>>) {
        let (packing, slots, len) = (&self.packing, self.slots, self.packing.rows() * WIDTH);
        let upload = |salt| backend.upload(&single(&made_up(WIDTH, salt)));
        let norm = Norm {
            gain: upload(4),
            shift: self.has_shift.then(|| upload(5)),
            centred: self.centred,
            epsilon: 1e-5,
            width: WIDTH,
        };
        let none = Vec::new();
        let values = if slots.is_frozen() { &none } else { &inputs[inputs.len() - 1] };
        let trainable = Trainable { values, stride: NORM_STRIDE };
        let (mut y, mut without_cache, mut cache) = (garbage(len), vec![], NormCache::default());
        let residual = self.residual.then(|| &inputs[1]);
        backend.norm(packing, &inputs[0], residual, &norm, slots, trainable, &mut y, Some(&mut cache));
        backend.norm(packing, &inputs[0], residual, &norm, slots, trainable, &mut without_cache, None);
        let y = cut(y, len);
        // Exactly, for the normalised row is the same number whether it is kept or not.
        assert!(y == without_cache);

        let dy = d_out.to_vec();
        let mut dx = if self.accumulate { base(len) } else { garbage(len) };
        let mut gradient = base(values.len());
        let accumulate = self.accumulate;
        backend.norm_gradient(packing, &dy, &norm, &cache, slots, trainable, &mut gradient, accumulate, &mut dx);
        let dx = cut(dx, len);
        let wrap = |dx: Vec<T>| if accumulate { Gradient::Added(dx) } else { Gradient::Written(dx) };
        let mut gradients = vec![wrap(dx.clone())];
        gradients.extend(self.residual.then(|| wrap(dx)));
        gradients.extend((!slots.is_frozen()).then_some(Gradient::Added(gradient)));
        (y, gradients)
    }
}

#[test]
fn layer_norms_and_rms_norms() {
    let packing = small();
    for centred in [true, false] {
        for (gain, shift) in [(None, None), (Some(1), None), (None, Some(2 + WIDTH)), (Some(1), Some(2 + WIDTH))] {
            for residual in [false, true] {
                let slots = NormSlots { gain, shift };
                let has_shift = centred || shift.is_some();
                let accumulate = residual;
                let norm = Normed { packing: packing.clone(), residual, centred, has_shift, slots, accumulate };
                check(&format!("centred {centred}, residual {residual}, {slots:?}"), &norm);
            }
        }
    }
}

#[derive(Clone)]
struct Gated {
    packing: Packing,
    activation: Activation,
}

impl Operation for Gated {
    fn packing(&self) -> &Packing {
        &self.packing
    }

    fn only(&self, client: usize) -> Self {
        Self { packing: one_client(&self.packing, client), ..self.clone() }
    }

    fn inputs(&self) -> Vec<(Of, Vec<f64>)> {
        vec![(Of::Rows, made_up(self.packing.rows() * 2 * WIDTH, 1))]
    }

    fn oracle(&self, inputs: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<f64> {
        let rows = inputs[0].chunks(2 * WIDTH).flat_map(|pair| pair[..WIDTH].iter().zip(&pair[WIDTH..]));
        rows.map(|(&gate, up)| up * activation(self.activation, gate)).collect()
    }

    fn run<T: Scalar, S: Storage<T>>(
        &self,
        backend: &Cpu<T, S>,
        inputs: &[Vec<T>],
        d_out: &[T],
    ) -> (Vec<T>, Vec<Gradient<T>>) {
        let len = self.packing.rows() * WIDTH;
        let (mut y, mut d) = (garbage(len), garbage(2 * len));
        backend.gate(&self.packing, &inputs[0], WIDTH, self.activation, &mut y);
        backend.gate_gradient(&self.packing, &inputs[0], WIDTH, self.activation, &d_out.to_vec(), &mut d);
        (cut(y, len), vec![Gradient::Written(cut(d, 2 * len))])
    }
}

#[test]
fn gates() {
    for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Silu, Activation::Relu] {
        check(&format!("gate by {activation:?}"), &Gated { packing: small(), activation });
    }
}

#[derive(Clone)]
struct Scaled {
    packing: Packing,
}

/// The scaled columns lie at 2 in rows of this many.
const SCALED_ROW: usize = WIDTH + 5;
const SCALE_STRIDE: usize = WIDTH + 2;

impl Operation for Scaled {
    fn packing(&self) -> &Packing {
        &self.packing
    }

    fn only(&self, client: usize) -> Self {
        Self { packing: one_client(&self.packing, client) }
    }

    fn inputs(&self) -> Vec<(Of, Vec<f64>)> {
        let (rows, clients) = (self.packing.rows(), self.packing.segments().len());
        vec![(Of::Rows, made_up(rows * SCALED_ROW, 1)), (Of::Clients, made_up(clients * SCALE_STRIDE, 2))]
    }

    fn oracle(&self, inputs: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<f64> {
        let mut y = inputs[0].clone();
        for (client, _, row) in client_rows(&self.packing) {
            for i in 0..WIDTH {
                y[row * SCALED_ROW + 2 + i] *= inputs[1][client * SCALE_STRIDE + 1 + i];
            }
        }
        y
    }

    fn run<T: Scalar, S: Storage<T>>(
        &self,
        backend: &Cpu<T, S>,
        inputs: &[Vec<T>],
        d_out: &[T],
    ) -> (Vec<T>, Vec<Gradient<T>>) {
        let slot = ScaleSlot { factor: 1, columns: WIDTH };
        let trainable = Trainable { values: &inputs[1], stride: SCALE_STRIDE };
        let (mut y, mut before, mut dx) = (inputs[0].clone(), vec![], d_out.to_vec());
        let mut gradient = base(inputs[1].len());
        backend.scale(&self.packing, slot, trainable, &mut y, SCALED_ROW, 2, Some(&mut before));
        backend.scale_gradient(&self.packing, slot, trainable, &before, &mut gradient, &mut dx, SCALED_ROW, 2);
        (y, vec![Gradient::Written(dx), Gradient::Added(gradient)])
    }
}

#[test]
fn learned_factors() {
    check("(IA)3", &Scaled { packing: small() });
}

#[derive(Clone)]
struct Adapter {
    packing: Packing,
    activation: Activation,
}

impl Adapter {
    fn slot(&self) -> AdapterSlot {
        let bottleneck = 5;
        let up_weight = 2 + bottleneck * WIDTH + bottleneck;
        AdapterSlot {
            down_weight: 2,
            down_bias: 2 + bottleneck * WIDTH,
            up_weight,
            up_bias: up_weight + bottleneck * WIDTH,
            width: WIDTH,
            bottleneck,
            activation: self.activation,
            scale: 0.8,
        }
    }

    fn stride(&self) -> usize {
        self.slot().up_bias + WIDTH
    }
}

impl Operation for Adapter {
    fn packing(&self) -> &Packing {
        &self.packing
    }

    fn only(&self, client: usize) -> Self {
        Self { packing: one_client(&self.packing, client), ..self.clone() }
    }

    fn inputs(&self) -> Vec<(Of, Vec<f64>)> {
        let (rows, clients) = (self.packing.rows(), self.packing.segments().len());
        let of_rows = |salt| (Of::Rows, made_up(rows * WIDTH, salt));
        vec![of_rows(1), of_rows(2), (Of::Clients, made_up(clients * self.stride(), 3))]
    }

    fn oracle(&self, inputs: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<f64> {
        let (slot, mut y) = (self.slot(), inputs[1].clone());
        for (client, _, row) in client_rows(&self.packing) {
            let (x, set) = (&inputs[0][row * WIDTH..][..WIDTH], &inputs[2][client * self.stride()..]);
            for j in 0..slot.bottleneck {
                let down = &set[slot.down_weight + j * WIDTH..][..WIDTH];
                let z: f64 = down.iter().zip(x).map(|(d, x)| d * x).sum();
                let a = activation(self.activation, z + set[slot.down_bias + j]);
                for i in 0..WIDTH {
                    y[row * WIDTH + i] += slot.scale * a * set[slot.up_weight + i * slot.bottleneck + j];
                }
            }
            (0..WIDTH).for_each(|i| y[row * WIDTH + i] += slot.scale * set[slot.up_bias + i]);
        }
        y
    }

    fn run<T: Scalar, S: Storage<T>>(
        &self,
        backend: &Cpu<T, S>,
        inputs: &[Vec<T>],
        d_out: &[T],
    ) -> (Vec<T>, Vec<Gradient<T>>) {
        let (packing, slot, mut cache) = (&self.packing, self.slot(), AdapterCache::default());
        let trainable = Trainable { values: &inputs[2], stride: self.stride() };
        let (mut y, mut scratch) = (inputs[1].clone(), vec![]);
        backend.adapter(packing, &inputs[0], slot, trainable, &mut cache, &mut y);
        let (dy, mut dx, mut gradient) = (d_out.to_vec(), base(inputs[0].len()), base(inputs[2].len()));
        let (x, d, scratch) = (&inputs[0], Some(&mut dx), &mut scratch);
        backend.adapter_gradient(packing, &dy, x, slot, trainable, &cache, scratch, &mut gradient, d);
        (y, vec![Gradient::Added(dx), Gradient::Written(dy), Gradient::Added(gradient)])
    }
}

#[test]
fn adapters() {
    for activation in [Activation::Gelu, Activation::Silu, Activation::Relu] {
        check(&format!("adapter with {activation:?}"), &Adapter { packing: small(), activation });
    }
}
