//! What every operation of a backend is checked for, given a slow and obvious formula for its values.

use deft::backend::cpu::{Cpu, Exact, Scalar, Storage};
use deft::backend::{Activation, Backend, Half, HalfCpu, Packing};
use deft::random::CounterStream;
use std::ops::Range;

/// What the entries of a tensor belong to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Of {
    Rows,
    KeyRows,
    Sequences,
    Clients,
}

/// The gradient that an operation left for one of its inputs.
pub enum Gradient<T> {
    /// Over whatever was there.
    Written(Vec<T>),
    /// On top of [`BASE`].
    Added(Vec<T>),
}

/// What gradients that are added to start from.
pub const BASE: f64 = 0.5;

pub trait Operation {
    fn packing(&self) -> &Packing;
    fn keys(&self) -> &Packing {
        self.packing()
    }
    /// The same operation on the sequences of one client.
    fn only(&self, client: usize) -> Self;
    /// Everything that has a gradient.
    fn inputs(&self) -> Vec<(Of, Vec<f64>)>;
    fn output(&self) -> Of {
        Of::Rows
    }
    /// The output by definition; what the gradient takes as constant is computed from `fixed`, not from `inputs`.
    fn oracle(&self, inputs: &[Vec<f64>], fixed: &[Vec<f64>]) -> Vec<f64>;
    /// Output, and gradients of all inputs when the output's is `d_out`.
    fn run<T: Scalar, S: Storage<T>>(
        &self,
        backend: &Cpu<T, S>,
        inputs: &[Vec<T>],
        d_out: &[T],
    ) -> (Vec<T>, Vec<Gradient<T>>);
}

/// Values in -1..1 that are exact in single precision.
pub fn made_up(len: usize, salt: u64) -> Vec<f64> {
    let stream = CounterStream::new(9, salt);
    (0..len as u64).map(|i| f64::from((2.0 * stream.uniform(i) - 1.0) as f32)).collect()
}

pub fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

/// A buffer that an operation should write over.
pub fn garbage<T: Scalar>(len: usize) -> Vec<T> {
    vec![T::from_f64(f64::NAN); len + 3]
}

pub fn base<T: Scalar>(len: usize) -> Vec<T> {
    vec![T::from_f64(BASE); len]
}

pub fn cut<T>(mut values: Vec<T>, len: usize) -> Vec<T> {
    values.truncate(len);
    values
}

pub fn packing(lengths: &[usize], segments: &[Range<usize>]) -> Packing {
    let mut offsets = vec![0];
    offsets.extend(lengths.iter().scan(0, |sum, l| {
        *sum += l;
        Some(*sum)
    }));
    Packing::new(offsets, segments.to_vec())
}

/// Three clients, sequences of 1 to 33 rows.
pub fn small() -> Packing {
    packing(&[1, 19, 4, 33], &[0..1, 1..3, 3..4])
}

pub fn one_client(packing: &Packing, client: usize) -> Packing {
    let sequences = packing.segments()[client].clone();
    let lengths: Vec<usize> = sequences.map(|s| packing.sequence_rows(s).len()).collect();
    self::packing(&lengths, std::slice::from_ref(&(0..lengths.len())))
}

/// (client, its place in the client's batch, row) of every row.
pub fn client_rows(packing: &Packing) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
    packing.segment_rows().enumerate().flat_map(|(c, rows)| rows.enumerate().map(move |(i, row)| (c, i, row)))
}

/// By definition.
pub fn activation(kind: Activation, x: f64) -> f64 {
    match kind {
        Activation::Gelu => x * Scalar::gaussian(x).0,
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
        }
        Activation::Silu => x / (1.0 + f64::exp(-x)),
        Activation::Relu => x.max(0.0),
    }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

fn norm(a: &[f64]) -> f64 {
    a.iter().map(|a| a * a).sum::<f64>().sqrt()
}

struct Outcome {
    output: Vec<f64>,
    gradients: Vec<Vec<f64>>,
}

fn d_output(operation: &impl Operation) -> Vec<f64> {
    let inputs: Vec<Vec<f64>> = operation.inputs().into_iter().map(|(_, values)| values).collect();
    made_up(operation.oracle(&inputs, &inputs).len(), 77)
}

fn outcome<T: Scalar, S: Storage<T>>(operation: &impl Operation, inputs: &[Vec<f64>], d_out: &[f64]) -> Outcome {
    let convert = |values: &[f64]| {
        let mut values: Vec<T> = values.iter().map(|&v| T::from_f64(v)).collect();
        S::store(&mut values);
        values
    };
    let inputs: Vec<Vec<T>> = inputs.iter().map(|values| convert(values)).collect();
    let (output, gradients) = operation.run(&Cpu::<T, S>::new(), &inputs, &convert(d_out));
    let wide = |values: Vec<T>, base: f64| values.into_iter().map(|v| v.to_f64() - base).collect::<Vec<f64>>();
    let gradients = gradients.into_iter().map(|gradient| match gradient {
        Gradient::Written(values) => wide(values, 0.0),
        Gradient::Added(values) => wide(values, BASE),
    });
    Outcome { gradients: gradients.collect(), output: wide(output, 0.0) }
}

/// Values against the definition, gradients against its differences, single and half precision against double, and
/// every client alone against all together.
pub fn check(name: &str, operation: &impl Operation) {
    let (kinds, inputs): (Vec<Of>, Vec<Vec<f64>>) = operation.inputs().into_iter().unzip();
    let d_out = d_output(operation);
    let exact = outcome::<f64, Exact>(operation, &inputs, &d_out);
    let expected = operation.oracle(&inputs, &inputs);
    let error = distance(&exact.output, &expected) / norm(&expected);
    assert!(error < 1e-12, "{name}: values are off by {error:e}");
    check_differences(name, operation, &inputs, &d_out, &exact);

    let single = outcome::<f32, Exact>(operation, &inputs, &d_out);
    let half = outcome::<f32, Half>(operation, &inputs, &d_out);
    let tensors = |o: &Outcome| [vec![o.output.clone()], o.gradients.clone()].concat();
    for (i, exact) in tensors(&exact).iter().enumerate() {
        for (precision, found, tolerance) in [("single", &single, 2e-6), ("half", &half, 1e-2)] {
            let error = distance(&tensors(found)[i], exact) / norm(exact);
            assert!(error < tolerance, "{name}: tensor {i} in {precision} precision is off by {error:e}");
        }
    }
    if operation.output() == Of::Rows {
        assert!(is_half(&half.output), "{name}: the output is stored in half precision");
        assert!(!is_half(&single.output), "{name}: the output has more than half precision");
    }
    for (_, gradient) in kinds.iter().zip(&half.gradients).filter(|(kind, _)| **kind != Of::Clients) {
        let with_base: Vec<f64> = gradient.iter().map(|g| g + BASE).collect();
        assert!(is_half(gradient) || is_half(&with_base), "{name}: a gradient is stored in half precision");
    }
    check_clients_apart(name, operation, (&kinds, &inputs), &d_out, &single);
}

fn is_half(values: &[f64]) -> bool {
    let (values, backend) = (single(values), HalfCpu::new());
    backend.read(&backend.upload(&values), values.len()) == values
}

/// Central differences of fourth order at about a hundred entries of every input.
fn check_differences(name: &str, operation: &impl Operation, inputs: &[Vec<f64>], d_out: &[f64], exact: &Outcome) {
    const STEP: f64 = 1e-4;
    assert_eq!(inputs.len(), exact.gradients.len());
    let loss = |at: &[Vec<f64>]| operation.oracle(at, inputs).iter().zip(d_out).map(|(y, d)| y * d).sum::<f64>();
    for (which, gradient) in exact.gradients.iter().enumerate() {
        assert_eq!(gradient.len(), inputs[which].len(), "{name}: input {which}");
        // Odd strides, so that the sample wanders over the columns; half of it where the gradient is not zero.
        let every = |entries: Vec<usize>| entries.iter().step_by((entries.len() / 50) | 1).copied().collect::<Vec<_>>();
        let nonzero = (0..gradient.len()).filter(|&i| gradient[i] != 0.0).collect();
        let sample = [every((0..gradient.len()).collect()), every(nonzero)].concat();
        let mut at = inputs.to_vec();
        let mut value = |i: usize, k: f64| {
            at[which][i] = inputs[which][i] + k * STEP;
            let value = loss(&at);
            at[which][i] = inputs[which][i];
            value
        };
        let numeric: Vec<f64> = sample
            .iter()
            .map(|&i| (8.0 * (value(i, 1.0) - value(i, -1.0)) - value(i, 2.0) + value(i, -2.0)) / (12.0 * STEP))
            .collect();
        let found: Vec<f64> = sample.iter().map(|&i| gradient[i]).collect();
        let (size, error) = (norm(&numeric), distance(&numeric, &found));
        assert!(size > 1e-6, "{name}: input {which} has no gradient to compare");
        if error > 1e-8 * size {
            let worst = (0..sample.len())
                .max_by(|&a, &b| (numeric[a] - found[a]).abs().total_cmp(&(numeric[b] - found[b]).abs()));
            let worst = worst.expect("a sample");
            let (n, f) = (numeric[worst], found[worst]);
            panic!("{name}: input {which} is off by {:e}, entry {}: {f} against {n}", error / size, sample[worst]);
        }
    }
}

/// Entries of one client in a tensor of `len` values.
fn range_of(operation: &impl Operation, of: Of, client: usize, len: usize) -> Range<usize> {
    let packing = operation.packing();
    let sequences = packing.segments()[client].clone();
    let rows = |p: &Packing| (p.sequence_rows(sequences.start).start..p.sequence_rows(sequences.end - 1).end, p.rows());
    let (part, all) = match of {
        Of::Rows => rows(packing),
        Of::KeyRows => rows(operation.keys()),
        Of::Sequences => (sequences, packing.sequences()),
        Of::Clients => (client..client + 1, packing.segments().len()),
    };
    part.start * (len / all)..part.end * (len / all)
}

fn check_clients_apart(
    name: &str,
    operation: &impl Operation,
    (kinds, inputs): (&[Of], &[Vec<f64>]),
    d_out: &[f64],
    together: &Outcome,
) {
    for client in 0..operation.packing().segments().len() {
        let part = |of: Of, values: &[f64]| values[range_of(operation, of, client, values.len())].to_vec();
        let own: Vec<Vec<f64>> = kinds.iter().zip(inputs).map(|(&of, values)| part(of, values)).collect();
        let alone = operation.only(client);
        let alone = outcome::<f32, Exact>(&alone, &own, &part(operation.output(), d_out));
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<u64>>();
        let same = bits(&alone.output) == bits(&part(operation.output(), &together.output));
        assert!(same, "{name}: what client {client} gets depends on the others");
        for (which, gradient) in alone.gradients.iter().enumerate() {
            let same = bits(gradient) == bits(&part(kinds[which], &together.gradients[which]));
            assert!(same, "{name}: the gradient of client {client}'s input {which} depends on the others");
        }
    }
}
