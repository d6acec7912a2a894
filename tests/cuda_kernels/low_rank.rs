//! Low-rank terms fused with a frozen product, for several clients.

use crate::harness::*;
use deft::backend::cuda::launch::{Activation, LowRankArguments, MOST_SLOTS, Output, PackArguments, Rank, Slot, Tile};

const LENGTHS: [usize; 4] = [5, 0, 70, 1];

struct Case {
    inputs: usize,
    outputs: usize,
    /// (rank, outputs, column) of each term.
    terms: Vec<(usize, usize, usize)>,
    diagonal: bool,
    tile: Tile,
}

impl Case {
    fn rank(&self) -> usize {
        self.terms.iter().map(|t| t.0).sum()
    }

    fn slots(&self) -> (Vec<Slot>, usize) {
        let (mut at, mut first) = (3, 0);
        let mut take = |len: usize| {
            at += len;
            (at - len) as i64
        };
        let slots = self.terms.iter().enumerate().map(|(i, &(rank, outputs, column))| {
            first += rank;
            Slot {
                a: take(rank * self.inputs),
                b: take(outputs * rank),
                diagonal: if self.diagonal { take(rank) } else { -1 },
                scale: 0.7 + i as f32,
                rank: rank as i32,
                outputs: outputs as i32,
                column: column as i32,
                first: (first - rank) as i32,
                unused: 0,
            }
        });
        let slots: Vec<Slot> = slots.collect();
        (slots, at)
    }

    /// Product, reduced input and the product of what was reduced, by definition.
    fn oracle(&self, backwards: bool, x: &[f64], w: &[f64], values: &[f64], stride: usize) -> (Vec<f64>, Vec<f64>) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let (n, k) = if backwards { (inputs, outputs) } else { (outputs, inputs) };
        let starts = offsets(&LENGTHS);
        let rows = starts[4];
        let frozen = |i: usize, j: usize| {
            (0..k).map(|p| x[i * k + p] * if backwards { w[p * inputs + j] } else { w[j * inputs + p] }).sum::<f64>()
        };
        let mut y: Vec<f64> = (0..rows * n).map(|e| frozen(e / n, e % n)).collect();
        let mut reduced = vec![f64::NAN; rows * self.rank()];
        for (client, span) in starts.windows(2).enumerate() {
            let set = &values[client * stride..][..stride];
            for slot in self.slots().0 {
                let (rank, column, scale) = (slot.rank as usize, slot.column as usize, f64::from(slot.scale));
                let a = |j: usize, i: usize| set[slot.a as usize + j * inputs + i];
                let b = |o: usize, j: usize| set[slot.b as usize + o * rank + j];
                for row in span[0]..span[1] {
                    for j in 0..rank {
                        let e = if slot.diagonal < 0 { 1.0 } else { set[slot.diagonal as usize + j] };
                        let terms = 0..slot.outputs as usize;
                        let u: f64 = match backwards {
                            false => (0..inputs).map(|i| x[row * k + i] * a(j, i)).sum(),
                            true => scale * e * terms.clone().map(|o| x[row * k + column + o] * b(o, j)).sum::<f64>(),
                        };
                        let u = half(u);
                        reduced[rows * slot.first as usize + row * rank + j] = u;
                        match backwards {
                            false => terms.for_each(|o| y[row * n + column + o] += scale * e * u * b(o, j)),
                            true => (0..inputs).for_each(|i| y[row * n + i] += u * a(j, i)),
                        }
                    }
                }
            }
        }
        (y, reduced)
    }

    fn check(&self, name: &str) {
        let (inputs, outputs, starts) = (self.inputs, self.outputs, offsets(&LENGTHS));
        let rows = starts[4];
        let (slots, stride) = self.slots();
        let rank = Rank::padded(self.rank()).expect("at most 64");
        let w = made_up(outputs * inputs, 1);
        let (values, bias) = (made_up(4 * stride, 2), made_up(outputs, 3));
        for backwards in [false, true] {
            let (n, k) = if backwards { (inputs, outputs) } else { (outputs, inputs) };
            let x = made_up(rows * k, 4);
            let factor = made_up(rows * n, 5);
            let found = under_all_schedules(|run| {
                let down_row = k.next_multiple_of(8);
                let (down, up) = (run.half_room(4 * rank.columns() * down_row), run.half_room(4 * n * rank.columns()));
                let factors = run.single_room(4 * rank.columns());
                let mut all = [Slot::default(); MOST_SLOTS];
                all[..slots.len()].copy_from_slice(&slots);
                let pack = PackArguments {
                    values: run.half(&values),
                    down,
                    up,
                    factors,
                    stride: stride as i64,
                    slots: all,
                    count: slots.len() as i32,
                    rank: rank.columns() as i32,
                    inputs: inputs as i32,
                    outputs: outputs as i32,
                    down_row: down_row as i32,
                    backwards: backwards.into(),
                };
                run.launch(&pack.launch(4));
                let (y, reduced) = (run.half_room(rows * n), run.half_room(rows * self.rank()));
                let mut out = Output::half(y, n);
                if backwards {
                    out.factor = run.half(&factor);
                } else {
                    (out.bias, out.activation) = (run.half(&bias), Activation::Relu);
                }
                let arguments = LowRankArguments {
                    x: run.half(&x),
                    w: run.half(&w),
                    down,
                    up,
                    factors,
                    reduced,
                    offsets: run.integers(&starts),
                    out,
                    down_group: (rank.columns() * down_row) as i64,
                    up_group: (n * rank.columns()) as i64,
                    n: n as i32,
                    k: k as i32,
                    x_row: k as i32,
                    w_row: inputs as i32,
                    down_row: down_row as i32,
                    rows: rows as i32,
                    backwards: backwards.into(),
                    slots: slots.len() as i32,
                    ranks: all.map(|s| s.rank),
                    firsts: all.map(|s| s.first),
                };
                run.launch(&arguments.launch(rank, self.tile, 4, 70));
                vec![run.read_half(y, rows * n), run.read_half(reduced, rows * self.rank())]
            });
            let Some(found) = found else { return };
            let (mut y, reduced) = self.oracle(backwards, &x, &w, &values, stride);
            for (i, y) in y.iter_mut().enumerate() {
                *y = if backwards { *y * factor[i] } else { (*y + bias[i % n]).max(0.0) };
            }
            let name = format!("{name}, backwards {backwards}");
            assert_close(&format!("{name}: y"), &found[0], &y, 2.0 * HALF);
            assert_close(&format!("{name}: reduced"), &found[1], &reduced, HALF);
        }
    }
}

#[test]
fn one_term_and_several_on_different_columns() {
    let case = |inputs, outputs, terms: &[(usize, usize, usize)], diagonal, tile| Case {
        inputs,
        outputs,
        terms: terms.to_vec(),
        diagonal,
        tile,
    };
    case(40, 72, &[(8, 72, 0)], false, Tile::Of64).check("rank 8");
    case(13, 23, &[(3, 9, 0), (2, 11, 9)], true, Tile::Of64).check("two terms");
    case(104, 136, &[(4, 40, 0), (4, 8, 64), (8, 30, 100)], false, Tile::Of128).check("three terms");
    case(33, 65, &[(17, 60, 5)], false, Tile::Of64).check("rank 17");
    case(7, 129, &[(32, 64, 0), (32, 64, 65)], true, Tile::Of64).check("rank 64");
    assert_eq!(Rank::padded(65), None);
}
