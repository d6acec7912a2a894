//! Matrices in few bits, compressed updates.

use crate::harness::*;
use deft::backend::cuda::launch::{
    Activation, Bits, CounterKey, Output, QsgdArguments, QuantiseArguments, QuantisedArguments, TopK,
};
use deft::learning::compression::{Compression, qsgd};
use deft::random::CounterStream;

/// Scale and whole number of each weight, by definition.
fn rounded(w: &[f64], columns: usize, group: usize, bits: Bits) -> (Vec<f64>, Vec<i32>) {
    let levels = f64::from((1 << (bits.number() - 1)) - 1);
    let (mut scales, mut numbers) = (vec![], vec![]);
    for row in w.chunks(columns) {
        for group in row.chunks(group) {
            let largest = group.iter().fold(0.0f64, |a, w| a.max(w.abs()));
            // As the kernel does it, so that halves round alike.
            let scale = (largest as f32) / levels as f32;
            scales.push(f64::from(scale));
            numbers.extend(group.iter().map(|w| if scale > 0.0 { (*w as f32 / scale).round() as i32 } else { 0 }));
        }
    }
    (scales, numbers)
}

fn packed(numbers: &[i32], columns: usize, bits: Bits) -> Vec<u8> {
    let row = |row: &[i32]| -> Vec<u8> {
        match bits {
            Bits::Eight => row.iter().map(|q| *q as i8 as u8).collect(),
            Bits::Four => row.chunks(2).map(|p| (p[0] + 8) as u8 | ((p.get(1).unwrap_or(&0) + 8) as u8) << 4).collect(),
        }
    };
    numbers.chunks(columns).flat_map(row).collect()
}

#[test]
fn products_with_matrices_in_few_bits() {
    for (bits, rows, columns, group, m) in [
        (Bits::Eight, 7, 13, 13, 5),
        (Bits::Eight, 129, 40, 40, 70),
        (Bits::Four, 33, 129, 64, 7),
        (Bits::Four, 64, 192, 64, 65),
    ] {
        let w = made_up(rows * columns, 1);
        let groups = columns.div_ceil(group);
        let (scales, numbers) = rounded(&w, columns, group, bits);
        let bytes = packed(&numbers, columns, bits);
        let weight = |r: usize, c: usize| half(scales[r * groups + c / group] * f64::from(numbers[r * columns + c]));
        let (x, dy, bias) = (made_up(m * columns, 2), made_up(m * rows, 3), made_up(rows, 4));
        let found = under_all_schedules(|run| {
            let (w_row, row_bytes) = (bits.row_bytes(columns) as i32, bits.row_bytes(columns));
            let (made, made_scales) = (run.bytes_room(rows * row_bytes), run.single_room(rows * groups));
            let quantise = QuantiseArguments {
                values: run.half(&w),
                w: made,
                scales: made_scales,
                rows: rows as i32,
                columns: columns as i32,
                w_row,
                bits: bits.number() as i32,
                group: group as i32,
                groups: groups as i32,
            };
            run.launch(&quantise.quantise());
            let made_bytes = run.read_bytes(made, rows * row_bytes);
            let back = run.half_room(rows * columns);
            run.launch(&QuantiseArguments { values: back, ..quantise }.dequantise());
            let (y, dx) = (run.half_room(m * rows), run.half_room(m * columns));
            let mut out = Output::half(y, rows);
            (out.bias, out.activation) = (run.half(&bias), Activation::Relu);
            let forward = QuantisedArguments {
                a: run.half(&x),
                w: made,
                scales: made_scales,
                out,
                m: m as i32,
                n: rows as i32,
                k: columns as i32,
                a_row: columns as i32,
                w_row,
                group: group as i32,
                groups: groups as i32,
                unused: 0,
            };
            run.launch(&forward.forward(bits));
            let backward = QuantisedArguments {
                a: run.half(&dy),
                out: Output::half(dx, columns),
                n: columns as i32,
                k: rows as i32,
                a_row: rows as i32,
                ..forward
            };
            run.launch(&backward.backward(bits));
            vec![
                run.read_half(y, m * rows),
                run.read_half(dx, m * columns),
                run.read_half(back, rows * columns),
                run.read_single(made_scales, rows * groups),
                made_bytes.into_iter().map(f64::from).collect(),
            ]
        });
        let Some(found) = found else { return };
        let name = format!("{bits:?} bits, {rows} x {columns}");
        let y = |e: usize| {
            let (i, o) = (e / rows, e % rows);
            let sum: f64 = (0..columns).map(|c| x[i * columns + c] * weight(o, c)).sum();
            (sum + bias[o]).max(0.0)
        };
        let dx = |e: usize| (0..rows).map(|o| dy[e / columns * rows + o] * weight(o, e % columns)).sum::<f64>();
        assert_eq!(found[4], bytes.iter().map(|b| f64::from(*b)).collect::<Vec<_>>(), "{name}: bytes");
        assert_close(&format!("{name}: scales"), &found[3], &scales, SINGLE);
        assert_close(&format!("{name}: y"), &found[0], &(0..m * rows).map(y).collect::<Vec<_>>(), HALF);
        assert_close(&format!("{name}: dx"), &found[1], &(0..m * columns).map(dx).collect::<Vec<_>>(), HALF);
        let all: Vec<f64> = (0..rows * columns).map(|e| weight(e / columns, e % columns)).collect();
        assert_close(&format!("{name}: and back"), &found[2], &all, HALF);
    }
}

#[test]
fn stochastic_quantisation_draws_as_on_the_cpu() {
    for (len, bucket, levels) in [(1, 7, 1), (129, 33, 4), (600, 600, 15)] {
        let values = made_up(len, 1);
        let noise = CounterStream::new(5, 6);
        let streams: Vec<CounterStream> = (0..len.div_ceil(bucket)).map(|b| noise.child(b as u64)).collect();
        let found = under_all_schedules(|run| {
            let keys = streams.iter().map(|s| CounterKey::from(*s)).flat_map(|k| [k.key, k.tweak]);
            let buffer = run.single(&values);
            let arguments = QsgdArguments {
                values: buffer,
                keys: run.words(&keys.collect::<Vec<u64>>()),
                len: len as i64,
                factor: 0.75,
                bucket: bucket as i32,
                levels: levels as i32,
            };
            run.launch(&arguments.launch());
            vec![run.read_single(buffer, len)]
        });
        let Some(found) = found else { return };
        let mut expected = values;
        for (run, stream) in expected.chunks_mut(bucket).zip(&streams) {
            qsgd(run, levels, stream);
            run.iter_mut().for_each(|v| *v *= 0.75);
        }
        assert_close(&format!("{len} in buckets of {bucket}"), &found[0], &expected, SINGLE);
    }
}

#[test]
fn the_largest_stay_and_of_equals_the_first() {
    // Exact in single precision, many equal: three magnitudes and their signs.
    let coarse =
        |len: usize| -> Vec<f64> { (0..len).map(|i| [0.5, -0.25, 0.25, -1.0, 0.0][(i * i + i / 7) % 5]).collect() };
    for (values, kept) in [
        (made_up(9001, 1), 100),
        (made_up(33, 2), 1),
        (made_up(129, 3), 129),
        (coarse(9001), 2500),
        (coarse(5000), 4700),
        (vec![0.0; 40], 7),
    ] {
        let len = values.len();
        let found = under_all_schedules(|run| {
            let buffer = run.single(&values);
            let counts = run.single_room(TopK::counts_len(len));
            let (found, equal) = (run.integers(&[0, kept]), run.single_room(TopK::runs_of(len)));
            for launch in (TopK { values: buffer, len, counts, found, equal }).launch() {
                run.launch(&launch);
            }
            vec![run.read_single(buffer, len)]
        });
        let Some(found) = found else { return };
        let mut expected = values;
        Compression::TopK { kept }.apply(&mut expected, &CounterStream::new(1, 1));
        assert_eq!(found[0], expected, "{kept} of {len}");
    }
}
