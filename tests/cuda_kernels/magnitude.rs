//! Magnitudes, the last step of products that are not fused, gradients beside a diagonal, biases by distance.

use crate::harness::*;
use crate::product::plain;
use deft::backend::cuda::Address;
use deft::backend::cuda::launch::{
    Activation, DiagonalArguments, FinishArguments, MOST_SLOTS, MagnitudeArguments, MagnitudeSlot, Output, ProductKind,
};

const LENGTHS: [usize; 4] = [5, 0, 70, 1];

#[test]
fn magnitudes_of_two_terms_and_none() {
    for (inputs, outputs, own) in [(13, 23, false), (33, 129, true)] {
        let ranks = [3, 2];
        let widths = [outputs / 3, outputs / 2];
        let columns = [0, outputs / 3 + 1];
        let (mut at, mut slots) = (1, [MagnitudeSlot::default(); MOST_SLOTS]);
        let mut take = |len: usize| {
            at += len;
            (at - len) as i64
        };
        for (i, slot) in slots.iter_mut().take(2).enumerate() {
            *slot = MagnitudeSlot {
                a: take(ranks[i] * inputs),
                b: take(widths[i] * ranks[i]),
                magnitude: take(widths[i]),
                diagonal: if i == 1 { take(ranks[i]) } else { -1 },
                scale: 0.7,
                rank: ranks[i] as i32,
                outputs: widths[i] as i32,
                column: columns[i] as i32,
            };
        }
        let stride = at;
        let groups = if own { 2 } else { 1 };
        let (values, weight) = (made_up(2 * stride, 1), made_up(groups * outputs * inputs, 2));
        let group = if own { outputs * inputs } else { 0 };
        let found = under_all_schedules(|run| {
            let (inverse, factor) = (run.single_room(2 * outputs), run.single_room(2 * outputs));
            let arguments = MagnitudeArguments {
                values: run.half(&values),
                weight: run.half(&weight),
                inverse,
                factor,
                stride: stride as i64,
                weight_group: group as i64,
                slots,
                count: 2,
                inputs: inputs as i32,
                outputs: outputs as i32,
                unused: 0,
            };
            run.launch(&arguments.launch(2));
            vec![run.read_single(inverse, 2 * outputs), run.read_single(factor, 2 * outputs)]
        });
        let Some(found) = found else { return };
        let (mut inverse, mut factor) = (vec![0.0; 2 * outputs], vec![1.0; 2 * outputs]);
        for client in 0..2 {
            let set = &values[client * stride..][..stride];
            for slot in &slots[..2] {
                let (rank, scale) = (slot.rank as usize, f64::from(slot.scale));
                for row in 0..slot.outputs as usize {
                    let o = slot.column as usize + row;
                    let square: f64 = (0..inputs)
                        .map(|i| {
                            let term = |j: usize| {
                                let e = if slot.diagonal < 0 { 1.0 } else { set[slot.diagonal as usize + j] };
                                set[slot.b as usize + row * rank + j] * e * set[slot.a as usize + j * inputs + i]
                            };
                            let low_rank: f64 = (0..rank).map(term).sum();
                            (weight[client * group + o * inputs + i] + scale * low_rank).powi(2)
                        })
                        .sum();
                    inverse[client * outputs + o] = 1.0 / square.sqrt();
                    factor[client * outputs + o] = set[slot.magnitude as usize + row] / square.sqrt();
                }
            }
        }
        assert_close("1 / norm", &found[0], &inverse, SINGLE);
        assert_close("magnitude / norm", &found[1], &factor, SINGLE);
    }
}

#[test]
fn the_last_step_of_a_product() {
    let starts = offsets(&LENGTHS);
    let rows = starts[4];
    for (columns, with_factor, with_bias, own, accumulate, activation) in [
        (7, true, true, true, false, Activation::Relu),
        (33, false, true, false, true, Activation::None),
        (129, true, false, false, true, Activation::None),
        (1, false, false, false, false, Activation::Relu),
    ] {
        let (product, before) = (made_up(rows * columns, 1), made_up(rows * columns, 2));
        let (factor, bias) = (made_up(4 * columns, 3), made_up(4 * columns, 4));
        let group = if own { columns } else { 0 };
        let found = under_all_schedules(|run| {
            let product = run.half(&product);
            // In place, where nothing is added to.
            let y = if accumulate { run.half(&before) } else { product };
            let derivative = run.half_room(rows * columns);
            let arguments = FinishArguments {
                product,
                factor: if with_factor { run.single(&factor) } else { Address::NULL },
                bias: if with_bias { run.half(&bias) } else { Address::NULL },
                y,
                derivative: if activation == Activation::None { Address::NULL } else { derivative },
                offsets: run.integers(&starts),
                bias_group: group as i64,
                columns: columns as i32,
                accumulate: accumulate.into(),
                activation,
                unused: 0,
            };
            run.launch(&arguments.launch(4, 70));
            let kept = if activation == Activation::None { vec![] } else { run.read_half(derivative, rows * columns) };
            vec![run.read_half(y, rows * columns), kept]
        });
        let Some(found) = found else { return };
        let clients = LENGTHS.iter().enumerate().flat_map(|(client, len)| std::iter::repeat_n(client, *len));
        let clients: Vec<usize> = clients.collect();
        let sum = |i: usize| {
            let (client, c) = (clients[i / columns], i % columns);
            let scaled = product[i] * if with_factor { factor[client * columns + c] } else { 1.0 };
            scaled + if with_bias { bias[client * group + c] } else { 0.0 }
        };
        let y = |i: usize| {
            let v = if activation == Activation::Relu { sum(i).max(0.0) } else { sum(i) };
            if accumulate { before[i] + v } else { v }
        };
        let name = format!("{columns} columns");
        assert_close(&name, &found[0], &(0..rows * columns).map(y).collect::<Vec<_>>(), HALF);
        if activation == Activation::Relu {
            let slopes: Vec<f64> = (0..rows * columns).map(|i| f64::from(sum(i) > 0.0)).collect();
            assert_eq!(found[1], slopes, "{name}: derivatives");
        }
    }
}

#[test]
fn gradients_of_b_and_of_the_diagonal() {
    for (outputs, rank, clients) in [(1, 1, 1), (129, 7, 3), (300, 33, 2)] {
        let stride = outputs * rank + rank + 5;
        let (sums, values) = (made_up(clients * outputs * rank, 1), made_up(clients * stride, 2));
        let diagonal = outputs * rank + 5;
        let found = under_all_schedules(|run| {
            let (gradient, values) = (run.single(&vec![0.5; clients * stride]), run.half(&values));
            let arguments = DiagonalArguments {
                sums: run.single(&sums),
                b: values,
                diagonal: values.halves(diagonal),
                d_b: gradient,
                d_diagonal: gradient.singles(diagonal),
                stride: stride as i64,
                rank: rank as i32,
                outputs: outputs as i32,
            };
            run.launch(&arguments.launch(clients));
            vec![run.read_single(gradient, clients * stride)]
        });
        let Some(found) = found else { return };
        let mut expected = vec![0.5; clients * stride];
        for client in 0..clients {
            let set = &values[client * stride..];
            for i in 0..outputs * rank {
                let g = f64::from(sums[client * outputs * rank + i] as f32);
                expected[client * stride + i] += g * set[diagonal + i % rank];
                expected[client * stride + diagonal + i % rank] += g * set[i];
            }
        }
        assert_close(&format!("{outputs} x {rank}"), &found[0], &expected, SINGLE);
    }
}

#[test]
fn a_bias_has_a_factor_of_its_own() {
    let (m, n, k) = (33, 7, 40);
    let (a, b, bias, before) = (made_up(m * k, 1), made_up(n * k, 2), made_up(n, 3), made_up(m * n, 4));
    let found = under_all_schedules(|run| {
        let y = run.half(&before);
        let out = Output { bias: run.half(&bias), scale: 0.5, bias_scale: 0.25, accumulate: 1, ..Output::half(y, n) };
        run.launch(&plain(ProductKind::Nt, (m, n, k), run.half(&a), run.half(&b), out).launch());
        vec![run.read_half(y, m * n)]
    });
    let Some(found) = found else { return };
    let dot = |i: usize| (0..k).map(|p| a[i / n * k + p] * b[i % n * k + p]).sum::<f64>();
    let expected: Vec<f64> = (0..m * n).map(|i| before[i] + 0.5 * dot(i) + 0.25 * bias[i % n]).collect();
    assert_close("product with a scaled bias", &found[0], &expected, HALF);
}
