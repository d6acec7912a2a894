//! Products of every kind, shape, epilogue and grouping.

use crate::cuda_device::{takes_tensor_copies, takes_warpgroups};
use crate::harness::*;
use deft::backend::cuda::Address;
use deft::backend::cuda::launch::{Activation, Grouped, Output, Product, ProductArguments, ProductKind, Tile};

/// What computes a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Tile(Tile),
    TensorCopies,
}

impl Way {
    pub fn launch(self, run: &Run, product: &Product) {
        run.launch(&match self {
            Self::Tile(tile) => Product { tile, ..*product }.launch(),
            Self::TensorCopies => run.of_tensors(product),
        });
    }
}

pub fn multiply(
    (m, n, k): (usize, usize, usize),
    a: impl Fn(usize, usize) -> f64,
    b: impl Fn(usize, usize) -> f64,
) -> Vec<f64> {
    (0..m * n).map(|i| (0..k).map(|p| a(i / n, p) * b(p, i % n)).sum()).collect()
}

pub fn plain(kind: ProductKind, (m, n, k): (usize, usize, usize), a: Address, b: Address, out: Output) -> Product {
    let rows = match kind {
        ProductKind::Nt => [k, k],
        ProductKind::Nn => [k, n],
        ProductKind::Tn => [m, n],
    };
    let arguments = ProductArguments::of_one([a, b], out, [m, n, k], rows);
    Product { kind, tile: Tile::Of64, groups: 1, rows: 0, arguments }
}

/// Those that the device of the tests takes: the host runtime takes all.
fn ways() -> impl Iterator<Item = Way> {
    let tiles = [Tile::Of64, Tile::Of128, Tile::OfWarpgroups].map(Way::Tile);
    tiles.into_iter().chain([Way::TensorCopies]).filter(|way| match way {
        Way::Tile(Tile::OfWarpgroups) => takes_warpgroups(),
        Way::Tile(_) => true,
        Way::TensorCopies => takes_tensor_copies(),
    })
}

pub const KINDS: [ProductKind; 3] = [ProductKind::Nt, ProductKind::Nn, ProductKind::Tn];

#[test]
fn every_kind_at_awkward_sizes() {
    // Tiles of 128 that one shape fills and one does not; warpgroups sum 64 at a time.
    let large = [(129, 24, 33), (40, 72, 200)];
    let of_warpgroups = [(1, 1, 1), (7, 33, 13), (129, 136, 65), (66, 264, 200)];
    let sizes = [(1, 1, 1), (7, 33, 13), (33, 129, 7), (129, 24, 33), (40, 72, 200), (64, 64, 1), (65, 8, 136)];
    for (kind, way) in KINDS.into_iter().flat_map(|k| ways().map(move |w| (k, w))) {
        let sizes = match way {
            Way::Tile(Tile::Of64) => &sizes[..],
            Way::Tile(Tile::Of128) => &large,
            Way::Tile(Tile::OfWarpgroups) => &of_warpgroups,
            // Their rows must be aligned: `tensor_copies.rs`.
            Way::TensorCopies => continue,
        };
        for (m, n, k) in sizes.iter().copied() {
            let (a, b) = (made_up(m * k, 1), made_up(k * n, 2));
            let found = under_all_schedules(|run| {
                let y = run.half_room(m * n);
                let product = plain(kind, (m, n, k), run.half(&a), run.half(&b), Output::half(y, n));
                way.launch(run, &product);
                vec![run.read_half(y, m * n)]
            });
            let Some(found) = found else { return };
            let left = |i, p| if kind == ProductKind::Tn { a[p * m + i] } else { a[i * k + p] };
            let right = |p, j| if kind == ProductKind::Nt { b[j * k + p] } else { b[p * n + j] };
            assert_close(&format!("{kind:?} {way:?} {m} {n} {k}"), &found[0], &multiply((m, n, k), left, right), HALF);
        }
    }
}

fn curve(kind: Activation, x: f64) -> f64 {
    let gelu_tanh =
        |x: f64| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh());
    match kind {
        Activation::None => x,
        Activation::Gelu => x * normal_distribution(x),
        Activation::GeluTanh => gelu_tanh(x),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Relu => x.max(0.0),
    }
}

#[test]
fn epilogues() {
    let (m, n, k) = (33, 22, 40);
    let (a, b, bias, factor, before) =
        (made_up(m * k, 1), made_up(n * k, 2), made_up(n, 3), made_up(m * n, 4), made_up(m * n, 5));
    let sums = multiply((m, n, k), |i, p| a[i * k + p], |p, j| b[j * k + p]);
    for way in ways().filter(|way| *way != Way::Tile(Tile::Of128)) {
        one_way((m, n, k), way, [&a, &b, &bias, &factor, &before], &sums);
    }
}

fn one_way((m, n, k): (usize, usize, usize), way: Way, [a, b, bias, factor, before]: [&[f64]; 5], sums: &[f64]) {
    let kinds = [Activation::None, Activation::Gelu, Activation::GeluTanh, Activation::Silu, Activation::Relu];
    for (activation, with_factor, accumulate, single) in kinds.into_iter().map(|a| (a, false, false, false)).chain([
        (Activation::None, true, false, false),
        (Activation::None, false, true, false),
        (Activation::None, false, true, true),
    ]) {
        let found = under_all_schedules(|run| {
            let derivative = run.half_room(m * n);
            let y = if single { run.single(before) } else { run.half(before) };
            let mut out = Output::half(y, n);
            (out.scale, out.bias, out.activation) = (0.7, run.half(bias), activation);
            (out.accumulate, out.single) = (accumulate.into(), single.into());
            if activation != Activation::None {
                out.derivative = derivative;
            }
            if with_factor {
                out.factor = run.half(factor);
            }
            way.launch(run, &plain(ProductKind::Nt, (m, n, k), run.half(a), run.half(b), out));
            let y = if single { run.read_single(y, m * n) } else { run.read_half(y, m * n) };
            let derivative = if activation == Activation::None { vec![] } else { run.read_half(derivative, m * n) };
            vec![y, derivative]
        });
        let Some(found) = found else { return };
        let linear: Vec<f64> = sums.iter().enumerate().map(|(i, s)| 0.7 * s + bias[i % n]).collect();
        let expected: Vec<f64> = (0..m * n)
            .map(|i| {
                let v = curve(activation, linear[i]) * if with_factor { factor[i] } else { 1.0 };
                if accumulate { v + before[i] } else { v }
            })
            .collect();
        let name = format!("{way:?} {activation:?}, factor {with_factor}, added {accumulate}, single {single}");
        assert_close(&name, &found[0], &expected, if single { SINGLE } else { HALF });
        if activation != Activation::None {
            let h = 1e-6;
            let slope = |&x: &f64| (curve(activation, x + h) - curve(activation, x - h)) / (2.0 * h);
            assert_close(&name, &found[1], &linear.iter().map(slope).collect::<Vec<_>>(), HALF);
        }
    }
}

#[test]
fn groups_of_uneven_rows_have_their_own_factors_and_sums() {
    let (lengths, n, k) = ([5, 0, 70, 1], 40, 24);
    let (starts, groups, longest) = (offsets(&lengths), lengths.len(), 70);
    let rows = starts[groups];
    let (x, w, bias) = (made_up(rows * k, 1), made_up(groups * n * k, 2), made_up(groups * n, 3));
    let dy = made_up(rows * n, 4);
    for way in ways() {
        let name = |what: &str| format!("{way:?}: {what}");
        let found = under_all_schedules(|run| {
            let (x, dy, offsets) = (run.half(&x), run.half(&dy), run.integers(&starts));
            let y = run.half_room(rows * n);
            let mut out = Output::half(y, n);
            (out.bias, out.bias_group) = (run.half(&bias), n as i64);
            let mut forward = plain(ProductKind::Nt, (longest, n, k), x, run.half(&w), out);
            (forward.groups, forward.rows) = (groups, rows);
            (forward.arguments.grouped, forward.arguments.offsets) = (Grouped::ByRows, offsets);
            forward.arguments.b_group = (n * k) as i64;
            way.launch(run, &forward);

            let dw = run.single(&vec![0.5; groups * n * k]);
            let mut backward = plain(ProductKind::Tn, (n, k, longest), dy, x, Output::sums(dw, k, 0.3));
            (backward.groups, backward.rows) = (groups, rows);
            (backward.arguments.grouped, backward.arguments.offsets) = (Grouped::ByDepth, offsets);
            backward.arguments.out_group = (n * k) as i64;
            way.launch(run, &backward);
            vec![run.read_half(y, rows * n), run.read_single(dw, groups * n * k)]
        });
        let Some(found) = found else { return };
        let (mut y, mut dw) = (vec![], vec![]);
        for (g, (&first, &len)) in starts.iter().zip(&lengths).enumerate() {
            let sums = multiply((len, n, k), |i, p| x[(first + i) * k + p], |p, j| w[(g * n + j) * k + p]);
            y.extend(sums.iter().enumerate().map(|(i, s)| s + bias[g * n + i % n]));
            let sums = multiply((n, k, len), |o, i| dy[(first + i) * n + o], |i, j| x[(first + i) * k + j]);
            dw.extend(sums.iter().map(|s| 0.5 + 0.3 * s));
        }
        assert_close(&name("rows"), &found[0], &y, HALF);
        assert_close(&name("weights' gradient"), &found[1], &dw, SINGLE);
    }
}
