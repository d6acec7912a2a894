//! Optimiser steps, and what the air does to updates.

use crate::harness::*;
use deft::backend::cuda::Address;
use deft::backend::cuda::launch::{AdamWArguments, AirArguments, ClipArguments, SquaresArguments, UnscaleArguments};
use deft::random::CounterStream;

#[test]
fn a_clipped_step_of_adamw() {
    let len = 4_300;
    let values = |salt| made_up(len, salt);
    let (p, m, g) = (values(1), values(2), values(3));
    let v: Vec<f64> = values(4).iter().map(|v| v.abs()).collect();
    let (rate, decay, beta1, beta2, epsilon, step) = (0.01, 0.1, 0.9, 0.99, 1e-6, 3);
    let (correction1, correction2) = (1.0 - f64::powi(beta1, step), 1.0 - f64::powi(beta2, step));
    for overflows in [false, true] {
        let mut scaled: Vec<f64> = g.iter().map(|g| 1024.0 * g).collect();
        if overflows {
            scaled[len - 1] = f64::INFINITY;
        }
        let found = under_all_schedules(|run| {
            let (gradient, overflow) = (run.single(&scaled), run.integers(&[0]));
            let (parameters, first, second) = (run.single(&p), run.single(&m), run.single(&v));
            let (copy, sum) = (run.half(&p), run.double_room(1));
            let unscale =
                UnscaleArguments { gradient, overflow, len: len as i64, inverse_scale: 1.0 / 1024.0, unused: 0 };
            run.launch(&unscale.launch());
            let runs = SquaresArguments::runs_of(len);
            let partial = run.double_room(runs);
            let squares =
                SquaresArguments { values: gradient, partial, sum, len: len as i64, runs: runs as i32, unused: 0 };
            squares.launch().iter().for_each(|l| run.launch(l));
            let sum_of_squares = run.read_double(sum, 1)[0];
            if !overflows {
                run.launch(&ClipArguments { gradient, sum, len: len as i64, most: 2.0 }.launch());
            }
            let adamw = AdamWArguments {
                parameters,
                m: first,
                v: second,
                gradient,
                copy,
                overflow,
                len: len as i64,
                decay: (1.0 - rate * decay) as f32,
                size: (rate / correction1) as f32,
                fresh1: (1.0 - beta1) as f32,
                beta2: beta2 as f32,
                fresh2: (1.0 - beta2) as f32,
                correction2_root: correction2.sqrt() as f32,
                epsilon: epsilon as f32,
                unused: 0,
            };
            run.launch(&adamw.launch());
            vec![
                run.read_single(parameters, len),
                run.read_single(first, len),
                run.read_single(second, len),
                run.read_half(copy, len),
                vec![sum_of_squares],
            ]
        });
        let Some(found) = found else { return };
        if overflows {
            assert_eq!(
                (&found[0], &found[1], &found[2], &found[3]),
                (&p, &m, &v, &p),
                "a step that overflows is skipped"
            );
            continue;
        }
        let squares: f64 = g.iter().map(|g| g * g).sum();
        assert!((found[4][0] / squares - 1.0).abs() < 1e-12);
        let clipped: Vec<f64> = g.iter().map(|g| g * 2.0 / squares.sqrt()).collect();
        let m: Vec<f64> = m.iter().zip(&clipped).map(|(m, g)| m + (1.0 - beta1) * (g - m)).collect();
        let v: Vec<f64> = v.iter().zip(&clipped).map(|(v, g)| beta2 * v + (1.0 - beta2) * g * g).collect();
        let moved = m.iter().zip(&v).map(|(m, v)| rate / correction1 * m / ((v / correction2).sqrt() + epsilon));
        let p: Vec<f64> = p.iter().zip(moved).map(|(p, d)| (1.0 - rate * decay) * p - d).collect();
        for (name, found, expected) in [("p", &found[0], &p), ("m", &found[1], &m), ("v", &found[2], &v)] {
            assert_close(name, found, expected, SINGLE);
        }
        assert_close("copy", &found[3], &p, HALF);
    }
}

/// As `Superposition::sum` of the learning plane has it.
fn superposed(weights: &[f64], turned: bool, i: usize, len: usize, value: impl Fn(usize, usize) -> f64) -> f64 {
    let heard = weights.iter().enumerate().filter(|(_, w)| **w > 0.0);
    heard
        .map(|(k, w)| {
            if !turned {
                return w * value(k, i);
            }
            let angle = radians(k) + 0.01 * k as f64 * ((i / 2 % 12) as f64 - 5.5);
            let (neighbour, leaks) = (i ^ 1, if i.is_multiple_of(2) { -1.0 } else { 1.0 });
            let leaked = if neighbour < len { leaks * value(k, neighbour) } else { 0.0 };
            w * (angle.cos() * value(k, i) + angle.sin() * leaked)
        })
        .sum()
}

fn radians(k: usize) -> f64 {
    0.3 * k as f64 - 0.4
}

#[test]
fn superposition_and_votes_with_the_generator_of_the_cpu() {
    let (devices, len) = (3, 517);
    let (reference, mut states) = (made_up(len, 1), made_up(devices * len, 2));
    // An update of 0 is decided by a coin.
    (0..len).step_by(7).for_each(|i| states[i] = reference[i]);
    let (weights, noise) = ([0.4, 0.0, 0.7], CounterStream::new(5, 6));
    let update = |k: usize, i: usize| states[k * len + i] - reference[i];
    let coins = noise.child(u64::MAX);
    let sign = |k: usize, i: usize| {
        let heads = coins.child(k as u64).bits(i as u64) & 1 == 1;
        if update(k, i) > 0.0 || (update(k, i) == 0.0 && heads) { 1.0 } else { -1.0 }
    };
    for turned in [false, true] {
        let found = under_all_schedules(|run| {
            let (sum, votes) = (run.single_room(len), run.single_room(len));
            let arguments = AirArguments {
                reference: run.single(&reference),
                states: run.single(&states),
                weights: run.double(&weights),
                radians: if turned { run.double(&[0, 1, 2].map(radians)) } else { Address::NULL },
                slopes: run.double(&[0.0, 0.01, 0.02]),
                out: sum,
                noise: noise.into(),
                stride: len as i64,
                first: 0,
                end: len as i64,
                noise_std: 0.3,
                step: 0.25,
                devices: devices as i32,
                subcarriers: 12,
            };
            run.launch(&arguments.superpose());
            run.launch(&AirArguments { out: votes, ..arguments }.vote());
            vec![run.read_single(sum, len), run.read_single(votes, len)]
        });
        let Some(found) = found else { return };
        let heard = |i: usize, value: &dyn Fn(usize, usize) -> f64| {
            superposed(&weights, turned, i, len, value) + 0.3 * noise.normal(i as u64)
        };
        let sum: Vec<f64> = (0..len).map(|i| reference[i] + heard(i, &update)).collect();
        let votes: Vec<f64> = (0..len).map(|i| reference[i] + 0.25 * heard(i, &sign).signum()).collect();
        assert_close("sum", &found[0], &sum, 1e-7);
        assert_close("votes", &found[1], &votes, 1e-7);
    }
}
