//! Attention inside each sequence of a packed batch, one head of keys at a time.

use super::attention_plan::{Group, Rows, Scratch, Sources, plan, softmax_input};
use super::dispatch::{LANES, vectorised};
use super::elementwise::{lane_maximum, lane_sum};
use super::scalar::Scalar;
use super::small_product::{Strided, small_product};
use super::{Cpu, Storage};
use crate::backend::{AttentionInput, AttentionShape, Packing};

pub(super) fn forward<T: Scalar, S: Storage<T>>(
    packing: &Packing,
    shape: AttentionShape,
    input: &AttentionInput<'_, Cpu<T, S>>,
    context: &mut [T],
    log_sum: &mut [T],
) {
    let sources = Sources::new(packing, shape, input);
    let mut scratch = Scratch::new(packing, shape, input, false);
    for group in plan(packing, shape, input) {
        group_forward(group, &sources, context, log_sum, &mut scratch);
    }
    S::store(context);
}

vectorised! {
    fn group_forward<T>(
        group: Group,
        sources: &Sources<'_, T>,
        context: &mut [T],
        log_sum: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        let (padded, dim) = (group.padded(), group.dim);
        let Scratch { keys, values, transposed, probabilities, .. } = scratch;
        let keys = group.keys(sources, keys);
        let values = group.values(sources, values);
        group.transpose(keys, transposed);
        for h in 0..group.heads {
            let query = &sources.query[group.query + h * dim..];
            for tile in group.tiles() {
                let (rows, visible) = (tile.len(), group.visible(tile.end));
                let a = Strided { data: &query[tile.start * group.query_row..], row: group.query_row, column: 1 };
                let shape = (rows, group.whole_registers(visible), dim);
                small_product::<T, false>(shape, a, (transposed, padded), (probabilities, padded));
                for (i, row) in tile.clone().zip(probabilities.chunks_exact_mut(padded)) {
                    let seen = group.visible(i + 1);
                    let scale = softmax_input(&group, sources, h, i, &mut row[..seen]);
                    // Columns that are not seen are a copy of one that is, then zeros.
                    let registers = group.whole_registers(seen);
                    let one = row[0];
                    row[seen..registers].fill(one);
                    let (lanes, _) = row[..registers].as_chunks_mut::<LANES>();
                    let largest = lane_maximum(lanes);
                    for lanes in lanes {
                        for s in lanes {
                            *s = ((*s - largest) * scale).exp();
                        }
                    }
                    row[seen..registers.max(visible)].fill(T::ZERO);
                    let sum = lane_sum(&row[..seen], &row[..seen], |p, _| p);
                    let inverse = T::ONE / sum;
                    for p in &mut row[..registers] {
                        *p *= inverse;
                    }
                    log_sum[group.log_sum + h + i * group.all_heads] = largest * scale + sum.ln();
                }
                let p = Strided { data: &*probabilities, row: padded, column: 1 };
                let out = &mut context[group.context + h * dim + tile.start * group.width..];
                let Rows { data, row } = values;
                small_product::<T, false>((rows, dim, visible), p, (data, row), (out, group.width));
            }
        }
    }
}
