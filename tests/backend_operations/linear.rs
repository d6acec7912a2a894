//! Products and everything that a client may train about them.

use super::harness::*;
use deft::backend::cpu::{Cpu, Scalar, Storage};
use deft::backend::{
    Activation, Adapted, AdaptedGradient, Backend, Dropout, Epilogue, GradientEpilogue, Linear, LinearCache,
    LinearSlots, LoraSlot, Packing, Trainable,
};
use deft::random::CounterStream;

const INPUTS: usize = 13;
const OUTPUTS: usize = 23;

#[derive(Clone)]
struct Product {
    packing: Packing,
    slots: LinearSlots,
    stride: usize,
    has_bias: bool,
    activation: Option<Activation>,
    accumulate: bool,
    dropout: Option<Dropout>,
}

/// Which tensors a slot has beside A and B.
#[derive(Clone, Copy, Default)]
struct Kind {
    diagonal: bool,
    magnitude: bool,
    dropout: f64,
}

impl Product {
    /// Two low-rank terms on neighbouring columns, none on the last ones, in a product with a frozen bias.
    fn with_terms(kind: Kind) -> Self {
        let packing = small();
        let masks = (0..3).map(|c| (CounterStream::new(c, 4), 10 * c)).collect();
        let mut product = Self {
            packing,
            slots: LinearSlots::default(),
            stride: 2,
            has_bias: true,
            activation: None,
            accumulate: false,
            dropout: (kind.dropout > 0.0).then_some(Dropout { masks }),
        };
        for (rank, outputs, column, reduced_column) in [(3, 9, 0, 0), (2, 11, 9, 3)] {
            let (a, b) = (product.take(rank * INPUTS), product.take(outputs * rank));
            let diagonal = kind.diagonal.then(|| product.take(rank));
            let magnitude = kind.magnitude.then(|| product.take(outputs));
            let (scale, inputs, dropout) = (0.7, INPUTS, kind.dropout);
            product.slots.lora.push(LoraSlot {
                a,
                b,
                rank,
                scale,
                inputs,
                outputs,
                column,
                reduced_column,
                diagonal,
                magnitude,
                dropout,
            });
        }
        product
    }

    fn take(&mut self, len: usize) -> usize {
        self.stride += len;
        self.stride - len
    }

    fn with_own(mut self, weight: bool, bias: bool) -> Self {
        self.slots.weight = weight.then(|| self.take(INPUTS * OUTPUTS));
        self.slots.bias = bias.then(|| self.take(OUTPUTS));
        self
    }

    fn layer<T: Scalar, S: Storage<T>>(&self, backend: &Cpu<T, S>) -> Linear<Cpu<T, S>> {
        Linear {
            weight: backend.matrix(&single(&made_up(OUTPUTS * INPUTS, 1)), OUTPUTS, INPUTS),
            bias: self.has_bias.then(|| backend.upload(&single(&made_up(OUTPUTS, 2)))),
            inputs: INPUTS,
            outputs: OUTPUTS,
        }
    }

    /// `|W + scale B diag(E) A|` of row `o` of a slot.
    fn row_norm(&self, set: &[f64], slot: &LoraSlot, o: usize) -> f64 {
        let weight = self.weight(set);
        let square = |i: usize| {
            let low_rank: f64 = (0..slot.rank)
                .map(|j| set[slot.b + o * slot.rank + j] * diagonal(set, slot, j) * set[slot.a + j * INPUTS + i])
                .sum();
            (weight[(slot.column + o) * INPUTS + i] + slot.scale * low_rank).powi(2)
        };
        (0..INPUTS).map(square).sum::<f64>().sqrt()
    }

    fn weight(&self, set: &[f64]) -> Vec<f64> {
        match self.slots.weight {
            Some(at) => set[at..][..OUTPUTS * INPUTS].to_vec(),
            None => made_up(OUTPUTS * INPUTS, 1),
        }
    }
}

fn diagonal(set: &[f64], slot: &LoraSlot, j: usize) -> f64 {
    slot.diagonal.map_or(1.0, |at| set[at + j])
}

impl Operation for Product {
    fn packing(&self) -> &Packing {
        &self.packing
    }

    fn only(&self, client: usize) -> Self {
        let dropout = self.dropout.as_ref().map(|d| Dropout { masks: vec![d.masks[client]] });
        Self { packing: one_client(&self.packing, client), dropout, ..self.clone() }
    }

    fn inputs(&self) -> Vec<(Of, Vec<f64>)> {
        let rows = self.packing.rows();
        let clients = self.packing.segments().len();
        let mut inputs = vec![(Of::Rows, made_up(rows * INPUTS, 5))];
        if !self.slots.is_frozen() {
            inputs.push((Of::Clients, made_up(clients * self.stride, 6)));
        }
        if self.accumulate {
            inputs.push((Of::Rows, made_up(rows * OUTPUTS, 7)));
        }
        inputs
    }

    fn oracle(&self, inputs: &[Vec<f64>], fixed: &[Vec<f64>]) -> Vec<f64> {
        let sets = |values: &[Vec<f64>], c: usize| match self.slots.is_frozen() {
            true => vec![],
            false => values[1][c * self.stride..][..self.stride].to_vec(),
        };
        let clients = self.packing.segments().len();
        let own: Vec<_> = (0..clients).map(|c| (sets(inputs, c), self.weight(&sets(inputs, c)))).collect();
        let norms = |c: usize, slot| {
            let set = sets(fixed, c);
            (0..OUTPUTS)
                .map(|o| if o < 11 { self.row_norm(&set, slot, o.min(slot.outputs - 1)) } else { 0.0 })
                .collect()
        };
        let magnified = |slot: &&LoraSlot| slot.magnitude.is_some();
        let norms: Vec<Vec<Vec<f64>>> =
            (0..clients).map(|c| self.slots.lora.iter().filter(magnified).map(|s| norms(c, s)).collect()).collect();
        let frozen_bias = made_up(OUTPUTS, 2);
        let mut y = vec![];
        for (c, i, row) in client_rows(&self.packing) {
            let (set, weight) = &own[c];
            let x = &inputs[0][row * INPUTS..][..INPUTS];
            let mut z: Vec<f64> = weight.chunks(INPUTS).map(|w| w.iter().zip(x).map(|(w, x)| w * x).sum()).collect();
            for (s, slot) in self.slots.lora.iter().enumerate() {
                let kept = |column: usize| match &self.dropout {
                    None => 1.0,
                    Some(dropout) => {
                        let (key, first_row) = dropout.masks[c];
                        let element = (first_row + i as u64) * INPUTS as u64 + column as u64;
                        let kept = key.child(slot.a as u64).uniform(element) >= slot.dropout;
                        f64::from(u8::from(kept)) / (1.0 - slot.dropout)
                    }
                };
                let dropped: Vec<f64> = x.iter().enumerate().map(|(i, x)| x * kept(i)).collect();
                for o in 0..slot.outputs {
                    for j in 0..slot.rank {
                        let a = &set[slot.a + j * INPUTS..][..INPUTS];
                        let u: f64 = a.iter().zip(&dropped).map(|(a, x)| a * x).sum();
                        let b = set[slot.b + o * slot.rank + j];
                        z[slot.column + o] += slot.scale * u * diagonal(set, slot, j) * b;
                    }
                    if let Some(m) = slot.magnitude {
                        z[slot.column + o] *= set[m + o] / norms[c][s][o];
                    }
                }
            }
            for (o, z) in z.iter_mut().enumerate() {
                *z += match self.slots.bias {
                    Some(at) => set[at + o],
                    None => {
                        if self.has_bias {
                            frozen_bias[o]
                        } else {
                            0.0
                        }
                    }
                };
                *z = self.activation.map_or(*z, |kind| activation(kind, *z));
                *z += if self.accumulate { inputs[inputs.len() - 1][row * OUTPUTS + o] } else { 0.0 };
            }
            y.extend(z);
        }
        y
    }

    fn run<T: Scalar, S: Storage<T>>(
        &self,
        backend: &Cpu<T, S>,
        inputs: &[Vec<T>],
        d_out: &[T],
    ) -> (Vec<T>, Vec<Gradient<T>>) {
        let (rows, layer) = (self.packing.rows(), self.layer(backend));
        let none = Vec::new();
        let values = if self.slots.is_frozen() { &none } else { &inputs[1] };
        let trainable = Trainable { values, stride: self.stride };
        let (slots, dropout, mut cache) = (&self.slots, self.dropout.as_ref(), LinearCache::default());
        let (mut y, mut derivative) = (garbage(rows * OUTPUTS), garbage(rows * OUTPUTS));
        let epilogue = match self.activation {
            Some(kind) => Epilogue::Activation { kind, derivative: Some(&mut derivative) },
            None if self.accumulate => {
                y = inputs[inputs.len() - 1].clone();
                Epilogue::Accumulate
            }
            None => Epilogue::None,
        };
        let adapted = Adapted { slots, trainable, dropout, cache: &mut cache };
        backend.linear(&self.packing, &inputs[0], &layer, adapted, epilogue, &mut y);

        let mut dy = d_out.to_vec();
        if self.activation.is_some() {
            backend.multiply(&derivative, rows * OUTPUTS, &mut dy);
        }
        let (mut dx, mut gradient, mut scratch) = (garbage(rows * INPUTS), base(values.len()), Vec::new());
        let adapted = AdaptedGradient {
            slots,
            trainable,
            dropout,
            cache: &cache,
            x: &inputs[0],
            scratch: &mut scratch,
            gradient: &mut gradient,
        };
        backend.linear_gradient(&self.packing, &dy, &layer, adapted, GradientEpilogue::Overwrite, &mut dx);
        let mut gradients = vec![Gradient::Written(cut(dx, rows * INPUTS))];
        if !slots.is_frozen() {
            gradients.push(Gradient::Added(gradient));
        }
        if self.accumulate {
            gradients.push(Gradient::Written(d_out.to_vec()));
        }
        (cut(y, rows * OUTPUTS), gradients)
    }
}

const LORA: Kind = Kind { diagonal: false, magnitude: false, dropout: 0.0 };

#[test]
fn low_rank_terms_of_every_kind() {
    for diagonal in [false, true] {
        for magnitude in [false, true] {
            for dropout in [0.0, 0.3] {
                let name = format!("diagonal {diagonal}, magnitude {magnitude}, dropout {dropout}");
                let product = Product::with_terms(Kind { diagonal, magnitude, dropout });
                check(&name, &product);
                check(&format!("{name}, accumulated"), &Product { accumulate: true, ..product });
            }
        }
    }
}

#[test]
fn own_weights_and_biases_with_and_without_terms() {
    for (weight, bias) in [(true, false), (false, true), (true, true)] {
        let name = format!("own weight {weight}, own bias {bias}");
        let with_terms = Product::with_terms(LORA).with_own(weight, bias);
        let mut alone = with_terms.clone();
        alone.slots.lora.clear();
        check(&name, &alone);
        check(&format!("{name}, low rank"), &with_terms);
        let all = Kind { diagonal: true, magnitude: true, dropout: 0.2 };
        check(&format!("{name}, everything"), &Product::with_terms(all).with_own(weight, bias));
    }
}

#[test]
fn frozen_products_with_and_without_a_bias() {
    let mut product = Product::with_terms(LORA);
    product.slots.lora.clear();
    check("frozen", &product);
    product.has_bias = false;
    check("frozen without bias", &product);
}

#[test]
fn every_activation() {
    for kind in [Activation::Gelu, Activation::GeluTanh, Activation::Silu, Activation::Relu] {
        let plain = Product { activation: Some(kind), ..Product::with_terms(LORA) };
        check(&format!("{kind:?}"), &plain);
        let own = Product { has_bias: true, ..plain.clone() }.with_own(false, true);
        check(&format!("{kind:?} with own biases"), &own);
        check(&format!("{kind:?} without bias"), &Product { has_bias: false, ..plain });
    }
}

#[test]
fn the_ways_to_combine_the_input_gradient() {
    let product = Product::with_terms(Kind { diagonal: true, magnitude: true, dropout: 0.2 }).with_own(true, true);
    let (backend, rows) = (Cpu::<f64>::new(), product.packing.rows());
    let (layer, inputs, mut cache) = (product.layer(&backend), product.inputs(), LinearCache::default());
    let (x, values, dy) = (&inputs[0].1, &inputs[1].1, made_up(rows * OUTPUTS, 3));
    let trainable = Trainable { values, stride: product.stride };
    let (slots, dropout, mut y) = (&product.slots, product.dropout.as_ref(), vec![]);
    let adapted = Adapted { slots, trainable, dropout, cache: &mut cache };
    backend.linear(&product.packing, x, &layer, adapted, Epilogue::None, &mut y);
    let start = made_up(rows * INPUTS, 4);
    let combined = |epilogue: GradientEpilogue<'_, Cpu<f64>>| {
        let (mut dx, mut scratch, mut gradient) = (start.clone(), vec![], base(values.len()));
        let (scratch, gradient_of) = (&mut scratch, &mut gradient);
        let adapted = AdaptedGradient { slots, trainable, dropout, cache: &cache, x, scratch, gradient: gradient_of };
        backend.linear_gradient(&product.packing, &dy, &layer, adapted, epilogue, &mut dx);
        (dx, gradient)
    };
    let (plain, gradient) = combined(GradientEpilogue::Overwrite);
    let factor = made_up(rows * INPUTS, 8);
    let (skipped, added, multiplied) = (
        combined(GradientEpilogue::Skip),
        combined(GradientEpilogue::Accumulate),
        combined(GradientEpilogue::Multiply(&factor)),
    );
    assert_eq!(skipped.0, start);
    for i in 0..plain.len() {
        assert!((added.0[i] - start[i] - plain[i]).abs() < 1e-13);
        assert_eq!(multiplied.0[i], plain[i] * factor[i]);
    }
    assert!([skipped.1, added.1, multiplied.1].iter().all(|g| *g == gradient));
}
