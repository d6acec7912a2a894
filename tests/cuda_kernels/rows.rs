//! Norms, sums over rows, and loops over single elements.

use crate::harness::*;
use deft::backend::cuda::Address;
use deft::backend::cuda::launch::{
    Activation, ColumnSums, ConvertArguments, CounterKey, DropArguments, GateArguments, NormArguments,
    NormGradientArguments, PairArguments, RotateArguments, ScaleArguments,
};
use deft::random::CounterStream;

const LENGTHS: [usize; 3] = [5, 0, 600];
const EPSILON: f64 = 1e-5;

fn starts() -> Vec<usize> {
    offsets(&LENGTHS)
}

/// (row, client) of all rows.
fn clients() -> impl Iterator<Item = usize> {
    LENGTHS.into_iter().enumerate().flat_map(|(client, len)| std::iter::repeat_n(client, len))
}

#[test]
fn norms_with_own_and_shared_parameters() {
    for (width, centred, own, residual) in [(7, true, true, true), (129, false, true, false), (32, true, false, true)] {
        let rows = starts()[3];
        let (x, other) = (made_up(rows * width, 1), made_up(rows * width, 2));
        let (gain, shift) = (made_up(3 * width, 3), made_up(3 * width, 4));
        let (dy, before) = (made_up(rows * width, 5), made_up(rows * width, 6));
        let group = if own { width } else { 0 };
        let found = under_all_schedules(|run| {
            let (out, normalised) = (run.half_room(rows * width), run.half_room(rows * width));
            let (inverse, offsets, gain) = (run.single_room(rows), run.integers(&starts()), run.half(&gain));
            let forward = NormArguments {
                x: run.half(&x),
                residual: if residual { run.half(&other) } else { Address::NULL },
                gain,
                shift: if centred { run.half(&shift) } else { Address::NULL },
                out,
                normalised,
                inverse,
                offsets,
                gain_group: group as i64,
                shift_group: group as i64,
                width: width as i32,
                centred: centred.into(),
                epsilon: EPSILON as f32,
                unused: 0,
            };
            run.launch(&forward.launch(3, 600));
            let dx = if residual { run.half(&before) } else { run.half_room(rows * width) };
            let backward = NormGradientArguments {
                dy: run.half(&dy),
                gain,
                normalised,
                inverse,
                dx,
                offsets,
                gain_group: group as i64,
                width: width as i32,
                centred: centred.into(),
                accumulate: residual.into(),
                unused: 0,
            };
            run.launch(&backward.launch(3, 600));
            vec![run.read_half(out, rows * width), run.read_half(dx, rows * width), run.read_single(inverse, rows)]
        });
        let Some(found) = found else { return };
        let (mut y, mut dx, mut inverses) = (vec![], vec![], vec![]);
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        for (row, client) in clients().enumerate() {
            let at = row * width;
            let h: Vec<f64> = (at..at + width).map(|i| x[i] + if residual { other[i] } else { 0.0 }).collect();
            let centre = if centred { mean(&h) } else { 0.0 };
            let variance = mean(&h.iter().map(|h| (h - centre).powi(2)).collect::<Vec<_>>());
            let inverse = 1.0 / (variance + EPSILON).sqrt();
            let n: Vec<f64> = h.iter().map(|h| (h - centre) * inverse).collect();
            let shift_of = |c: usize| if centred { shift[client * group + c] } else { 0.0 };
            y.extend((0..width).map(|c| n[c] * gain[client * group + c] + shift_of(c)));
            let g: Vec<f64> = (0..width).map(|c| dy[at + c] * gain[client * group + c]).collect();
            let slope = mean(&g.iter().zip(&n).map(|(g, n)| g * n).collect::<Vec<_>>());
            let first = if centred { mean(&g) } else { 0.0 };
            let was = |c: usize| if residual { before[at + c] } else { 0.0 };
            dx.extend((0..width).map(|c| was(c) + (g[c] - first - n[c] * slope) * inverse));
            inverses.push(inverse);
        }
        let name = format!("width {width}, centred {centred}");
        assert_close(&name, &found[0], &y, HALF);
        assert_close(&format!("{name}: dx"), &found[1], &dx, 2.0 * HALF);
        assert_close(&format!("{name}: 1 / deviation"), &found[2], &inverses, SINGLE);
    }
}

#[test]
fn sums_over_the_rows_of_each_client() {
    for (columns, with_b, with_weight) in [(1, false, false), (33, true, true), (129, true, false)] {
        let (rows, a_row, b_row) = (starts()[3], columns + 2, columns + 1);
        let (a, b, weight) = (made_up(rows * a_row, 1), made_up(rows * b_row, 2), made_up(3 * columns, 3));
        let found = under_all_schedules(|run| {
            let out = run.single(&vec![0.5; 3 * (columns + 4)]);
            let sums = ColumnSums {
                a: run.half(&a),
                a_row,
                b: if with_b { run.half(&b) } else { Address::NULL },
                b_row,
                columns,
                weight: if with_weight { run.single(&weight) } else { Address::NULL },
                weight_group: columns,
                factor: 0.3,
                out,
                out_group: columns + 4,
                offsets: run.integers(&starts()),
            };
            let partial = run.single_room(sums.partial_len(3, 600));
            sums.launch(3, 600, partial).iter().for_each(|l| run.launch(l));
            vec![run.read_single(out, 3 * (columns + 4))]
        });
        let Some(found) = found else { return };
        let mut expected = vec![0.5; 3 * (columns + 4)];
        for (row, client) in clients().enumerate() {
            for c in 0..columns {
                let factor = if with_b { b[row * b_row + c] } else { 1.0 };
                let weight = if with_weight { weight[client * columns + c] } else { 1.0 };
                expected[client * (columns + 4) + c] += 0.3 * weight * a[row * a_row + c] * factor;
            }
        }
        assert_close(&format!("{columns} columns"), &found[0], &expected, SINGLE);
    }
}

#[test]
fn sums_products_conversions_and_gates() {
    let len = 777;
    let (x, y) = (made_up(len, 1), made_up(len, 2));
    let (rows, width) = (37, 7);
    let (pairs, d_out) = (made_up(rows * 2 * width, 3), made_up(rows * width, 4));
    let found = under_all_schedules(|run| {
        let (x_half, sum, product) = (run.half(&x), run.half(&y), run.half(&y));
        run.launch(&PairArguments { x: x_half, y: sum, len: len as i64 }.add());
        run.launch(&PairArguments { x: x_half, y: product, len: len as i64 }.multiply());
        let converted = run.half_room(len);
        run.launch(&ConvertArguments { single: run.single(&x), half: converted, len: len as i64 }.launch());
        let (out, d_pairs) = (run.half_room(rows * width), run.half_room(rows * 2 * width));
        let gate = GateArguments {
            pairs: run.half(&pairs),
            d_out: run.half(&d_out),
            out,
            rows: rows as i64,
            width: width as i32,
            activation: Activation::Silu,
        };
        run.launch(&gate.forward());
        run.launch(&GateArguments { out: d_pairs, ..gate }.backward());
        let halves = [(sum, len), (product, len), (converted, len), (out, rows * width), (d_pairs, rows * 2 * width)];
        halves.map(|(address, len)| run.read_half(address, len)).to_vec()
    });
    let Some(found) = found else { return };
    assert_close("sum", &found[0], &x.iter().zip(&y).map(|(x, y)| x + y).collect::<Vec<_>>(), HALF);
    assert_close("product", &found[1], &x.iter().zip(&y).map(|(x, y)| x * y).collect::<Vec<_>>(), HALF);
    assert_eq!(found[2], x);
    let silu = |g: f64| g / (1.0 + (-g).exp());
    let (mut out, mut d_pairs) = (vec![0.0; rows * width], vec![0.0; rows * 2 * width]);
    for (i, (out, &d)) in out.iter_mut().zip(&d_out).enumerate() {
        let at = i / width * 2 * width + i % width;
        let (g, u) = (pairs[at], pairs[at + width]);
        let s = 1.0 / (1.0 + (-g).exp());
        *out = silu(g) * u;
        d_pairs[at] = d * u * (s + g * s * (1.0 - s));
        d_pairs[at + width] = d * silu(g);
    }
    assert_close("gate", &found[3], &out, HALF);
    assert_close("gate's gradient", &found[4], &d_pairs, HALF);
}

#[test]
fn factors_rotations_and_dropout() {
    let (rows, row, column, columns) = (starts()[3], 13, 2, 6);
    let (x, factor) = (made_up(rows * row, 1), made_up(3 * 9, 2));
    let positions: Vec<usize> = (0..rows).map(|r| r % 41).collect();
    let angles: Vec<f64> = (0..41 * 3).map(|i| (i / 3) as f64 * 0.3_f64.powi(i % 3)).collect();
    let streams = [CounterStream::new(1, 2), CounterStream::new(3, 4), CounterStream::new(5, 6)];
    let found = under_all_schedules(|run| {
        let (scaled, before, offsets) = (run.half(&x), run.half_room(rows * columns), run.integers(&starts()));
        let scale = ScaleArguments {
            x: scaled,
            factor: run.half(&factor),
            before,
            offsets,
            factor_group: 9,
            row: row as i32,
            column: column as i32,
            columns: columns as i32,
            unused: 0,
        };
        run.launch(&scale.launch(3, 600));
        let rotated = run.half(&x);
        let rotate = RotateArguments {
            x: rotated,
            cosine: run.single(&angles.iter().map(|a| a.cos()).collect::<Vec<_>>()),
            sine: run.single(&angles.iter().map(|a| a.sin()).collect::<Vec<_>>()),
            positions: run.integers(&positions),
            rows: rows as i64,
            heads: 2,
            half_width: 3,
            row: row as i32,
            column: 1,
        };
        run.launch(&rotate.launch());
        let dropped = run.half(&x);
        let drop = DropArguments {
            x: run.half(&x),
            out: dropped,
            keys: run.words(
                &streams
                    .iter()
                    .flat_map(|&s| {
                        let CounterKey { key, tweak } = s.into();
                        [key, tweak]
                    })
                    .collect::<Vec<u64>>(),
            ),
            first_rows: run.words(&[10, 0, 7]),
            offsets,
            share: 0.25,
            width: row as i32,
            accumulate: 1,
        };
        run.launch(&drop.launch(3, 600));
        let values = rows * row;
        vec![
            run.read_half(scaled, values),
            run.read_half(before, rows * columns),
            run.read_half(rotated, values),
            run.read_half(dropped, values),
        ]
    });
    let Some(found) = found else { return };
    let (mut scaled, mut before, mut rotated, mut dropped) = (x.clone(), vec![], x.clone(), x.clone());
    for (r, client) in clients().enumerate() {
        for c in 0..columns {
            before.push(x[r * row + column + c]);
            scaled[r * row + column + c] *= factor[client * 9 + c];
        }
        for (h, j) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
            let (at, angle) = (r * row + 1 + h * 6 + j, angles[positions[r] * 3 + j]);
            rotated[at] = x[at] * angle.cos() - x[at + 3] * angle.sin();
            rotated[at + 3] = x[at + 3] * angle.cos() + x[at] * angle.sin();
        }
        let in_batch = [10, 0, 7][client] + r - starts()[client];
        for c in 0..row {
            let kept = streams[client].uniform((in_batch * row + c) as u64) >= 0.25;
            dropped[r * row + c] += if kept { x[r * row + c] / 0.75 } else { 0.0 };
        }
    }
    assert_close("scaled", &found[0], &scaled, HALF);
    assert_eq!(found[1], before);
    assert_close("rotated", &found[2], &rotated, HALF);
    assert_close("dropped", &found[3], &dropped, HALF);
}
