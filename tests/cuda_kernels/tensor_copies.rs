//! Products whose operands bulk tensor copies bring, and that the host runtime sees the mistakes that would hang a card.

use crate::cuda_device::{on_gpu, takes_tensor_copies, takes_warpgroups};
use crate::cuda_host::{SCHEDULES, Schedule, compiler, run_of_source};
use crate::harness::*;
use crate::product::{KINDS, Way, multiply, plain};
use deft::backend::cuda::launch::{Grouped, Output, ProductKind, Tile};
use deft::backend::cuda::{Kernel, Launch};
use std::path::Path;

/// A matrix with NaN behind each of its rows, and from one row to the next a multiple of 8.
fn padded(values: &[f64], columns: usize) -> (Vec<f64>, usize) {
    let row = (columns + 1).next_multiple_of(8);
    let rows = values.chunks(columns).flat_map(|r| r.iter().copied().chain(vec![f64::NAN; row - columns]));
    (rows.collect(), row)
}

/// Rows as memory has them.
fn columns(kind: ProductKind, (m, n, k): (usize, usize, usize)) -> (usize, usize) {
    match kind {
        ProductKind::Nt => (k, k),
        ProductKind::Nn => (k, n),
        ProductKind::Tn => (m, n),
    }
}

#[test]
fn every_kind_at_awkward_sizes_with_nan_behind_every_row() {
    if !takes_tensor_copies() {
        return;
    }
    // Less than a box, boxes that lie outside altogether, one stage and more than there are, used again.
    let sizes = [(1, 1, 1), (7, 33, 13), (33, 129, 7), (129, 136, 65), (65, 1, 136), (66, 264, 449)];
    for (kind, (m, n, k)) in KINDS.into_iter().flat_map(|kind| sizes.map(|size| (kind, size))) {
        let (a, b) = (made_up(m * k, 1), made_up(k * n, 2));
        let (a_columns, b_columns) = columns(kind, (m, n, k));
        let ((padded_a, a_row), (padded_b, b_row)) = (padded(&a, a_columns), padded(&b, b_columns));
        let found = under_all_schedules(|run| {
            let y = run.half_room(m * n);
            let mut product = plain(kind, (m, n, k), run.half(&padded_a), run.half(&padded_b), Output::half(y, n));
            (product.arguments.a_row, product.arguments.b_row) = (a_row as i32, b_row as i32);
            Way::TensorCopies.launch(run, &product);
            vec![run.read_half(y, m * n)]
        });
        let Some(found) = found else { return };
        let left = |i, p| if kind == ProductKind::Tn { a[p * m + i] } else { a[i * k + p] };
        let right = |p, j| if kind == ProductKind::Nt { b[j * k + p] } else { b[p * n + j] };
        assert_close(&format!("{kind:?} {m} {n} {k}"), &found[0], &multiply((m, n, k), left, right), HALF);
    }
}

/// A client gets the same bits whichever way its operands come: strides and addresses decide that.
#[test]
fn the_bits_are_those_of_warpgroups_that_copy_for_themselves() {
    if !takes_tensor_copies() || !takes_warpgroups() {
        return;
    }
    let (groups, lengths, n, k) = (3, [70, 130, 1], 136, 200);
    let starts = offsets(&lengths);
    let rows = starts[groups];
    for kind in KINDS {
        let by_depth = kind == ProductKind::Tn;
        let found = under_all_schedules(|run| {
            let (x, offsets) = (run.half(&made_up(rows * k, 1)), run.integers(&starts));
            // Of the weights' gradient in groups of depth, else of the weights.
            let other = run.half(&made_up(if by_depth { rows * n } else { groups * n * k }, 2));
            let by = |way: Way| {
                let (len, row) = if by_depth { (groups * k * n, n) } else { (rows * n, n) };
                let sums = run.single(&vec![0.0; len]);
                let shape = if by_depth { (k, n, 130) } else { (130, n, k) };
                let mut product = plain(kind, shape, x, other, Output::sums(sums, row, 0.7));
                (product.groups, product.rows, product.arguments.offsets) = (groups, rows, offsets);
                product.arguments.grouped = if by_depth { Grouped::ByDepth } else { Grouped::ByRows };
                product.arguments.b_group = if by_depth { 0 } else { (n * k) as i64 };
                product.arguments.out_group = if by_depth { (k * n) as i64 } else { 0 };
                way.launch(run, &product);
                run.read_single(sums, len)
            };
            vec![by(Way::TensorCopies), by(Way::Tile(Tile::OfWarpgroups))]
        });
        let Some(found) = found else { return };
        assert!(found[0] == found[1], "{kind:?}");
        assert!(found[0].iter().filter(|v| **v != 0.0).count() > found[0].len() / 2, "{kind:?}: sums of something");
    }
}

/// Groups of depth follow each other in memory, and a stage brings rows of the next one.
#[test]
fn what_overflowed_in_one_client_stays_there() {
    if !takes_tensor_copies() {
        return;
    }
    let (lengths, m, n) = ([70, 3, 20], 24, 40);
    let (starts, groups) = (offsets(&lengths), lengths.len());
    let rows = starts[groups];
    let (mut a, mut b) = (made_up(rows * m, 1), made_up(rows * n, 2));
    a[starts[1] * m..starts[2] * m].fill(f64::INFINITY);
    b[starts[1] * n..starts[2] * n].fill(f64::NAN);
    let found = under_all_schedules(|run| {
        let sums = run.single(&vec![0.0; groups * m * n]);
        let mut product = plain(ProductKind::Tn, (m, n, 70), run.half(&a), run.half(&b), Output::sums(sums, n, 1.0));
        (product.groups, product.rows) = (groups, rows);
        (product.arguments.grouped, product.arguments.offsets) = (Grouped::ByDepth, run.integers(&starts));
        product.arguments.out_group = (m * n) as i64;
        Way::TensorCopies.launch(run, &product);
        let sums = run.read_single(sums, groups * m * n);
        assert!(sums[m * n..2 * m * n].iter().all(|v| v.is_nan()));
        vec![sums[..m * n].to_vec(), sums[2 * m * n..].to_vec()]
    });
    let Some(found) = found else { return };
    for (found, group) in found.iter().zip([0, 2]) {
        let (a, b) = (&a[starts[group] * m..], &b[starts[group] * n..]);
        let expected = multiply((m, n, lengths[group]), |i, p| a[p * m + i], |p, j| b[p * n + j]);
        assert_close("sums", found, &expected, SINGLE);
    }
}

#[test]
fn matrices_at_a_stride_are_reached_by_their_number() {
    if !takes_tensor_copies() {
        return;
    }
    let (groups, m, n, k) = (3, 40, 72, 136);
    let (a, b) = (made_up(groups * m * k, 1), made_up(groups * n * k, 2));
    for kind in KINDS {
        let found = under_all_schedules(|run| {
            let y = run.half_room(groups * m * n);
            let mut product = plain(kind, (m, n, k), run.half(&a), run.half(&b), Output::half(y, n));
            product.groups = groups;
            (product.arguments.a_group, product.arguments.b_group) = ((m * k) as i64, (n * k) as i64);
            product.arguments.out_group = (m * n) as i64;
            Way::TensorCopies.launch(run, &product);
            vec![run.read_half(y, groups * m * n)]
        });
        let Some(found) = found else { return };
        let expected: Vec<f64> = (0..groups)
            .flat_map(|g| {
                let (a, b) = (&a[g * m * k..], &b[g * n * k..]);
                let left = |i, p| if kind == ProductKind::Tn { a[p * m + i] } else { a[i * k + p] };
                let right = |p, j| if kind == ProductKind::Nt { b[j * k + p] } else { b[p * n + j] };
                multiply((m, n, k), left, right)
            })
            .collect();
        assert_close(&format!("{kind:?}"), &found[0], &expected, HALF);
    }
}

#[test]
fn without_aligned_rows_there_is_no_map() {
    let address = deft::backend::cuda::Address(4096);
    for (kind, shape, possible) in [
        (ProductKind::Nt, (7, 9, 16), true),
        (ProductKind::Nt, (7, 9, 20), false),
        (ProductKind::Nn, (7, 24, 16), true),
        (ProductKind::Nn, (7, 9, 16), false),
        (ProductKind::Tn, (16, 24, 5), true),
        (ProductKind::Tn, (7, 24, 5), false),
    ] {
        let product = plain(kind, shape, address, address, Output::half(address, shape.1));
        assert_eq!(product.tensors().is_some(), possible, "{kind:?} {shape:?}");
        let shifted = plain(kind, shape, address.halves(4), address, Output::half(address, shape.1));
        assert_eq!(shifted.tensors(), None);
    }
}

/// `mistakes.cu`: what the host runtime says of each, under every schedule.
#[test]
fn mistakes_that_would_hang_a_card_or_go_unnoticed_are_errors() {
    if on_gpu() || compiler().is_none() {
        return;
    }
    const PLACES: usize = 64 * 8;
    let bytes: Vec<u16> = (0..PLACES as u16).collect();
    let mut out = vec![0u16; PLACES];
    let mut said = |name: &'static str, schedule: Schedule| -> Result<(), String> {
        let kernel = Box::leak(Box::new(Kernel { name, argument_bytes: 192, threads: 64, shared_bytes: 4096 }));
        let mut words = [0u64; 24];
        words[..9].copy_from_slice(&[
            0x7061_4D72_6F73_6E54,
            bytes.as_ptr() as u64,
            64,
            8,
            1,
            128,
            1024,
            64 | 8 << 32,
            1,
        ]);
        words[16] = out.as_mut_ptr() as u64;
        let arguments = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        let launch = Launch { kernel, grid: [1, 1, 1], arguments };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/mistakes.cu");
        // SAFETY: the launch has the arguments of `mistakes.cu`, which point at as much as it reads and writes.
        unsafe { run_of_source(&source, &launch, schedule) }
    };
    for schedule in SCHEDULES {
        assert_eq!(said("no_mistake", schedule), Ok(()));
        for (name, expected) in [
            ("too_many_bytes_expected", "; a barrier lacks 0 arrivals and 16 bytes"),
            ("too_few_bytes_expected", "a copy brings more bytes than its barrier expects"),
            ("too_few_arrivals", "; a barrier lacks 1 arrivals and 0 bytes"),
            ("too_many_arrivals", "phase"),
            ("never_made", "a barrier is used that nobody made"),
            ("never_shown", "a copy is to arrive at a barrier that no fence has shown it"),
            ("off_the_pattern", "a swizzled box starts off a multiple of 1024 bytes"),
            ("written_over", "a barrier was written over"),
            ("gone_too_early", "before all that it had brought"),
        ] {
            // What lands at once is there before anyone could go.
            if name == "gone_too_early" && schedule.seed & 2 != 0 {
                continue;
            }
            let said = said(name, schedule).expect_err(name);
            assert!(said.contains(expected), "{name}, {schedule:?}: {said}");
        }
    }
    assert!(out == bytes, "the box, its swizzle undone");
}
