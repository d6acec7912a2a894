//! Attention in all its forms, and rotary positions.

use super::harness::*;
use deft::backend::cpu::{Cpu, Scalar, Storage};
use deft::backend::{
    AttentionGradient, AttentionInput, AttentionSaved, AttentionShape, Backend, Columns, Packing, PrefixSlot,
    RelativeBias, Rotary, Trainable,
};

#[derive(Clone)]
struct Attention {
    packing: Packing,
    /// Of the keys, where they are another's: cross-attention.
    keys: Option<Packing>,
    shape: AttentionShape,
    prefix: Option<PrefixSlot>,
    stride: usize,
    /// Whether there is a relative bias, and whether it knows the keys after a query.
    bias: Option<bool>,
    /// Where the clients have tables of their own.
    bias_table: Option<usize>,
}

const BUCKETS: usize = 8;
const MAX_DISTANCE: usize = 20;

impl Attention {
    fn new(heads: usize, kv_heads: usize, causal: bool) -> Self {
        let shape = AttentionShape { heads, kv_heads, head_dim: 7, scale: 0.41, causal };
        Self {
            packing: lengths([1, 70, 3, 18]),
            keys: None,
            shape,
            prefix: None,
            stride: 0,
            bias: None,
            bias_table: None,
        }
    }

    fn with_prefix(mut self) -> Self {
        let tokens = 5;
        let len = tokens * self.shape.kv_width();
        self.prefix = Some(PrefixSlot { key: 1, value: 2 + len, tokens });
        self.stride = 3 + 2 * len;
        self
    }

    /// Behind whatever parameters there are.
    fn with_own_biases(mut self) -> Self {
        self.bias_table = Some(self.stride + 1);
        self.stride += 2 + BUCKETS * self.shape.heads;
        self
    }

    /// Two columns that no one reads lie before the queries, one after the values.
    fn row(&self) -> usize {
        2 + self.shape.width() + self.kv_row()
    }

    fn kv_row(&self) -> usize {
        2 * self.shape.kv_width() + 1
    }

    fn input<'a, T: Scalar, S: Storage<T>>(
        &'a self,
        inputs: &'a [Vec<T>],
        values: &'a Vec<T>,
        bias: Option<&'a RelativeBias<Cpu<T, S>>>,
    ) -> AttentionInput<'a, Cpu<T, S>> {
        let (row, kv) = match self.keys {
            None => (self.row(), Columns { buffer: &inputs[0], row: self.row(), column: 2 + self.shape.width() }),
            Some(_) => (2 + self.shape.width(), Columns { buffer: &inputs[1], row: self.kv_row(), column: 0 }),
        };
        AttentionInput {
            query: Columns { buffer: &inputs[0], row, column: 2 },
            key: kv,
            value: Columns { column: kv.column + self.shape.kv_width(), ..kv },
            keys: self.keys.as_ref().unwrap_or(&self.packing),
            prefix: self.prefix,
            trainable: Trainable { values, stride: self.stride },
            bias,
            bias_table: self.bias_table,
        }
    }
}

fn lengths(lengths: [usize; 4]) -> Packing {
    packing(&lengths, &[0..1, 1..3, 3..4])
}

/// By the definition of Hugging Face's `T5Attention._relative_position_bucket`, in double precision away from ties.
fn bucket(query: usize, key: usize, bidirectional: bool) -> usize {
    let distance = key as f64 - query as f64;
    let (buckets, first) = match bidirectional {
        true => (BUCKETS / 2, if distance > 0.0 { BUCKETS / 2 } else { 0 }),
        false => (BUCKETS, 0),
    };
    let away = if bidirectional { distance.abs() } else { (-distance).max(0.0) };
    let exact = (buckets / 2) as f64;
    if away < exact {
        return first + away as usize;
    }
    let share = (away / exact).ln() / (MAX_DISTANCE as f64 / exact).ln();
    first + (exact + share * (buckets as f64 - exact)).min(buckets as f64 - 1.0) as usize
}

impl Operation for Attention {
    fn packing(&self) -> &Packing {
        &self.packing
    }

    fn keys(&self) -> &Packing {
        self.keys.as_ref().unwrap_or(&self.packing)
    }

    fn only(&self, client: usize) -> Self {
        let keys = self.keys.as_ref().map(|keys| one_client(keys, client));
        Self { packing: one_client(&self.packing, client), keys, ..self.clone() }
    }

    fn inputs(&self) -> Vec<(Of, Vec<f64>)> {
        let rows = self.packing.rows();
        let mut inputs = match &self.keys {
            None => vec![(Of::Rows, made_up(rows * self.row(), 1))],
            Some(keys) => vec![
                (Of::Rows, made_up(rows * (2 + self.shape.width()), 1)),
                (Of::KeyRows, made_up(keys.rows() * self.kv_row(), 2)),
            ],
        };
        if self.stride > 0 {
            inputs.push((Of::Clients, made_up(self.packing.segments().len() * self.stride, 3)));
        }
        inputs
    }

    fn oracle(&self, inputs: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<f64> {
        let none = vec![];
        let values = if self.stride > 0 { &inputs[inputs.len() - 1] } else { &none };
        let input: AttentionInput<'_, Cpu<f64>> = self.input(inputs, values, None);
        let AttentionShape { heads, kv_heads, head_dim: dim, scale, causal } = self.shape;
        let table = made_up(BUCKETS * heads, 4);
        let at = |c: &Columns<'_, Cpu<f64>>, row: usize, head: usize| {
            c.buffer[row * c.row + c.column + head * dim..][..dim].to_vec()
        };
        let mut context = vec![0.0; self.packing.rows() * heads * dim];
        for (client, sequences) in self.packing.segments().iter().enumerate() {
            for s in sequences.clone() {
                let (rows, key_rows) = (self.packing.sequence_rows(s), input.keys.sequence_rows(s));
                for (i, row) in rows.enumerate() {
                    for h in 0..heads {
                        let kv = h / (heads / kv_heads);
                        let prefixed = |start: usize, i: usize| {
                            values[client * self.stride + start + i * kv_heads * dim + kv * dim..][..dim].to_vec()
                        };
                        let mut keys: Vec<(Vec<f64>, Vec<f64>, f64)> = self.prefix.map_or(vec![], |p| {
                            (0..p.tokens).map(|t| (prefixed(p.key, t), prefixed(p.value, t), 0.0)).collect()
                        });
                        for (j, key_row) in key_rows.clone().enumerate().filter(|(j, _)| !causal || *j <= i) {
                            let table = self.bias_table.map_or(&table[..], |at| &values[client * self.stride + at..]);
                            let bias = self.bias.map_or(0.0, |both| table[bucket(i, j, both) * heads + h]);
                            keys.push((at(&input.key, key_row, kv), at(&input.value, key_row, kv), bias));
                        }
                        let query = at(&input.query, row, h);
                        let score = |(k, _, bias): &(Vec<f64>, Vec<f64>, f64)| {
                            (scale * query.iter().zip(k).map(|(q, k)| q * k).sum::<f64>() + bias).exp()
                        };
                        let sum: f64 = keys.iter().map(score).sum();
                        for key in &keys {
                            let out = &mut context[row * heads * dim + h * dim..][..dim];
                            out.iter_mut().zip(&key.1).for_each(|(o, v)| *o += score(key) / sum * v);
                        }
                    }
                }
            }
        }
        context
    }

    fn run<T: Scalar, S: Storage<T>>(
        &self,
        backend: &Cpu<T, S>,
        inputs: &[Vec<T>],
        d_out: &[T],
    ) -> (Vec<T>, Vec<Gradient<T>>) {
        let (packing, shape) = (&self.packing, self.shape);
        let none = Vec::new();
        let values = if self.stride > 0 { &inputs[inputs.len() - 1] } else { &none };
        let bias = self.bias.map(|bidirectional| RelativeBias {
            table: backend.upload(&single(&made_up(BUCKETS * shape.heads, 4))),
            buckets: BUCKETS,
            max_distance: MAX_DISTANCE,
            bidirectional,
        });
        let input = self.input(inputs, values, bias.as_ref());
        let len = packing.rows() * shape.width();
        let (mut context, mut log_sum) = (garbage(len), garbage(packing.rows() * shape.heads));
        backend.attention(packing, shape, &input, &mut context, &mut log_sum);
        let saved = AttentionSaved { context: &context, log_sum: &log_sum };
        // Columns that attention does not read keep what they hold.
        let mut d_query = vec![T::ZERO; inputs[0].len()];
        let mut d_key_value = self.keys.as_ref().map(|_| vec![T::ZERO; inputs[1].len()]);
        let mut parameters = base(values.len());
        let gradient =
            AttentionGradient { query: &mut d_query, key_value: d_key_value.as_mut(), parameters: &mut parameters };
        backend.attention_gradient(packing, shape, &input, saved, &d_out.to_vec(), gradient);
        let mut gradients = vec![Gradient::Written(d_query)];
        gradients.extend(d_key_value.map(Gradient::Written));
        gradients.extend((self.stride > 0).then_some(Gradient::Added(parameters)));
        (cut(context, len), gradients)
    }
}

#[test]
fn self_attention_of_every_kind() {
    for (heads, kv_heads) in [(3, 3), (6, 2)] {
        for causal in [false, true] {
            for bias in [None, Some(!causal)] {
                let name = format!("{heads} heads of {kv_heads}, causal {causal}, bias {bias:?}");
                let plain = Attention { bias, ..Attention::new(heads, kv_heads, causal) };
                check(&name, &plain);
                let prefixed = plain.with_prefix();
                check(&format!("{name}, prefix"), &prefixed);
                if bias.is_some() {
                    check(&format!("{name} of its own, prefix"), &prefixed.with_own_biases());
                }
            }
        }
    }
}

#[test]
fn cross_attention_with_keys_of_other_lengths() {
    let keys = lengths([66, 2, 1, 30]);
    let plain = Attention { keys: Some(keys), ..Attention::new(4, 2, false) };
    check("cross", &plain);
    let biased = Attention { bias: Some(false), ..plain.clone() };
    check("cross with a bias", &biased);
    check("cross with biases of its own", &biased.with_own_biases());
    check("cross with a prefix", &plain.with_prefix());
}

#[test]
fn sequences_around_the_length_of_a_tile() {
    for length in [63, 64, 65, 129] {
        let packing = packing(&[length], std::slice::from_ref(&(0..1)));
        let causal = Attention { packing, ..Attention::new(1, 1, true) };
        check(&format!("causal, {length} rows"), &causal);
        check(&format!("causal, {length} rows, prefix"), &causal.with_prefix());
    }
}

#[test]
fn large_scores_do_not_overflow() {
    let attention = Attention {
        shape: AttentionShape { scale: 40.0, ..Attention::new(1, 1, true).shape },
        ..Attention::new(1, 1, true)
    };
    let inputs: Vec<Vec<f32>> =
        attention.inputs().iter().map(|(_, v)| single(v).iter().map(|v| v * 30.0).collect()).collect();
    let d_out = vec![1.0; attention.packing.rows() * 7];
    let (context, gradients) = attention.run(&Cpu::<f32>::new(), &inputs, &d_out);
    assert!(context.iter().all(|c| c.is_finite()));
    let Gradient::Written(d) = &gradients[0] else { panic!("written") };
    assert!(d.iter().all(|d| d.is_finite()));
}

#[derive(Clone)]
struct Turn {
    packing: Packing,
}

const HALF: usize = 3;
const TURN_ROW: usize = 2 + 2 * 2 * HALF + 1;

fn rotary() -> Rotary {
    Rotary { inverse_frequencies: (0..HALF).map(|j| 10_000f64.powf(-(j as f64) / HALF as f64)).collect() }
}

impl Operation for Turn {
    fn packing(&self) -> &Packing {
        &self.packing
    }

    fn only(&self, client: usize) -> Self {
        Self { packing: one_client(&self.packing, client) }
    }

    fn inputs(&self) -> Vec<(Of, Vec<f64>)> {
        vec![(Of::Rows, made_up(self.packing.rows() * TURN_ROW, 1))]
    }

    fn oracle(&self, inputs: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<f64> {
        let mut y = inputs[0].clone();
        for rows in self.packing.all_sequence_rows() {
            for (position, row) in rows.enumerate() {
                for head in 0..2 {
                    for (j, frequency) in rotary().inverse_frequencies.iter().enumerate() {
                        let first = row * TURN_ROW + 2 + head * 2 * HALF + j;
                        let (sin, cos) = (position as f64 * frequency).sin_cos();
                        let (a, b) = (inputs[0][first], inputs[0][first + HALF]);
                        y[first] = a * cos - b * sin;
                        y[first + HALF] = a * sin + b * cos;
                    }
                }
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
        let (mut y, mut d) = (inputs[0].clone(), d_out.to_vec());
        backend.rotate(&self.packing, &rotary(), 2, false, &mut y, TURN_ROW, 2);
        backend.rotate(&self.packing, &rotary(), 2, true, &mut d, TURN_ROW, 2);
        (y, vec![Gradient::Written(d)])
    }
}

#[test]
fn rotary_positions() {
    check("rotary", &Turn { packing: small() });
}
