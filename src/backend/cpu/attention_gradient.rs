//! The gradient of attention, with the probabilities recomputed from the kept logarithms.

use super::attention_plan::{Group, Scratch, Sources, plan, softmax_input};
use super::dispatch::{LANES, vectorised};
use super::elementwise::lane_sum;
use super::parameters::GradientSets;
use super::scalar::Scalar;
use super::small_product::{Strided, small_product};
use super::{Cpu, Storage, grow};
use crate::backend::{AttentionGradient, AttentionInput, AttentionSaved, AttentionShape, Packing};

pub(super) fn gradient<T: Scalar, S: Storage<T>>(
    packing: &Packing,
    shape: AttentionShape,
    input: &AttentionInput<'_, Cpu<T, S>>,
    saved: AttentionSaved<'_, Cpu<T, S>>,
    d_context: &[T],
    gradient: AttentionGradient<'_, Cpu<T, S>>,
) {
    let sources = Sources::new(packing, shape, input);
    let mut scratch = Scratch::new(packing, shape, input, true);
    let values = packing.rows() * shape.width();
    head_sums(&saved.context[..values], &d_context[..values], shape.head_dim, &mut scratch.d_sums);
    let saved = Saved { log_sum: saved.log_sum, d_context };
    let query = grow(gradient.query, packing.rows() * input.query.row);
    let key_value = gradient.key_value.map(|buffer| grow(buffer, input.keys.rows() * input.key.row));
    let parameters = GradientSets::new(gradient.parameters, input.trainable.stride);
    let mut out = Gradients { query, key_value, parameters };
    for group in plan(packing, shape, input) {
        group_gradient(group, &sources, saved, &mut out, &mut scratch);
    }
    S::store(out.query);
    if let Some(key_value) = out.key_value {
        S::store(key_value);
    }
}

#[derive(Clone, Copy)]
struct Saved<'a, T> {
    log_sum: &'a [T],
    d_context: &'a [T],
}

struct Gradients<'a, T> {
    query: &'a mut [T],
    /// `None` where keys and values share the queries' buffer.
    key_value: Option<&'a mut [T]>,
    parameters: GradientSets<'a, T>,
}

impl<T> Gradients<'_, T> {
    fn key_value(&mut self) -> &mut [T] {
        self.key_value.as_deref_mut().unwrap_or(self.query)
    }
}

vectorised! {
    /// `sums[i] = sum of a o b` over values `i dim..(i + 1) dim`. In one run over the rows, and not head by head, since they
    /// come from far away.
    fn head_sums<T>(a: &[T], b: &[T], dim: usize, sums: &mut [T]) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.chunks_exact(dim).zip(b.chunks_exact(dim))) {
            *sum = lane_sum(a, b, |a, b| a * b);
        }
    }
}

vectorised! {
    /// With P the probabilities and O the context (Dao et al. 2022, appendix B.4):
    /// `dV = P^T dO`, `dS = P (dO V^T - rowsum(dO O)) scale`, `dQ = dS K`, `dK = dS^T Q`; the query heads of a group add
    /// to dK and dV in order. A bias's gradient is the sum of `dS / scale` over the pairs that read it, a sequence at a time.
    fn group_gradient<T>(
        group: Group,
        sources: &Sources<'_, T>,
        saved: Saved<'_, T>,
        out: &mut Gradients<'_, T>,
        scratch: &mut Scratch<T>,
    ) {
        let (padded, dim, width, query_row) = (group.padded(), group.dim, group.width, group.query_row);
        let outer_scale = T::from_f64(group.scale);
        let Scratch { keys, values, d_keys, d_values, transposed, probabilities, d_scores, d_sums, bias_sums } =
            scratch;
        let bias = sources.bias.as_ref().filter(|_| !bias_sums.is_empty());
        let keys = group.keys(sources, keys);
        let values = group.values(sources, values);
        for h in 0..group.heads {
            let query_at = group.query + h * dim;
            let context_at = group.context + h * dim;
            // One buffer for both, so that keys, values and scores of a short sequence stay in the nearest cache.
            group.transpose(keys, transposed);
            for tile in group.tiles() {
                let shape = (tile.len(), group.whole_registers(group.visible(tile.end)), dim);
                let query = &sources.query[query_at + tile.start * query_row..];
                let query = Strided { data: query, row: query_row, column: 1 };
                let p_tile = &mut probabilities[tile.start * padded..];
                small_product::<T, false>(shape, query, (transposed, padded), (p_tile, padded));
            }
            group.transpose(values, transposed);
            for tile in group.tiles() {
                let (rows, visible) = (tile.len(), group.visible(tile.end));
                let shape = (rows, group.whole_registers(visible), dim);
                let d_out = &saved.d_context[context_at + tile.start * width..];
                let d_out = Strided { data: d_out, row: width, column: 1 };
                let p_tile = &mut probabilities[tile.start * padded..];
                let d_tile = &mut d_scores[tile.start * padded..];
                small_product::<T, false>(shape, d_out, (transposed, padded), (d_tile, padded));
                let rows_of_scores = p_tile.chunks_exact_mut(padded).zip(d_tile.chunks_exact_mut(padded));
                for (i, (p, d)) in tile.clone().zip(rows_of_scores) {
                    let seen = group.visible(i + 1);
                    let scale = softmax_input(&group, sources, h, i, &mut p[..seen]);
                    let log_sum = saved.log_sum[group.log_sum + h + i * group.all_heads];
                    let d_sum = d_sums[group.log_sum + h + i * group.all_heads];
                    let registers = group.whole_registers(seen);
                    let (p_lanes, _) = p[..registers].as_chunks_mut::<LANES>();
                    let (d_lanes, _) = d[..registers].as_chunks_mut::<LANES>();
                    for (p, d) in p_lanes.iter_mut().zip(d_lanes) {
                        for (p, d) in p.iter_mut().zip(d) {
                            *p = (*p * scale - log_sum).exp();
                            *d = *p * (*d - d_sum) * outer_scale;
                        }
                    }
                    if let Some(bias) = bias {
                        bias.sum(i, &d[group.prefix..seen], bias_sums);
                    }
                    if group.causal {
                        p[seen..visible].fill(T::ZERO);
                        d[seen..visible].fill(T::ZERO);
                    }
                }
                let d = Strided { data: &*d_tile, row: padded, column: 1 };
                let d_query = &mut out.query[query_at + tile.start * query_row..];
                small_product::<T, false>((rows, dim, visible), d, (keys.data, keys.row), (d_query, query_row));
            }
            if let Some(bias) = bias {
                let of_head = (group.client, group.first_head + h);
                bias.add_to_table(of_head, T::from_f64(group.scale.recip()), bias_sums, &mut out.parameters);
            }
            for (columns, first) in group.column_tiles() {
                let (shape, at) = ((columns.len(), dim, group.tokens - first), first * padded + columns.start);
                let d_transposed = Strided { data: &d_scores[at..], row: 1, column: padded };
                let p_transposed = Strided { data: &probabilities[at..], row: 1, column: padded };
                let query = &sources.query[query_at + first * query_row..];
                let d_out = &saved.d_context[context_at + first * width..];
                let gathered = group.prefix > 0;
                let (d_key, row) = match gathered {
                    true => (&mut d_keys[columns.start * dim..], dim),
                    false => (&mut out.key_value()[group.key + columns.start * group.key_row..], group.key_row),
                };
                sum_heads(h, shape, d_transposed, (query, query_row), (d_key, row));
                let (d_value, row) = match gathered {
                    true => (&mut d_values[columns.start * dim..], dim),
                    false => (&mut out.key_value()[group.value + columns.start * group.value_row..], group.value_row),
                };
                sum_heads(h, shape, p_transposed, (d_out, width), (d_value, row));
            }
        }
        if group.prefix > 0 {
            scatter(&group, d_keys, group.prefix_key, (group.key, group.key_row), out);
            scatter(&group, d_values, group.prefix_value, (group.value, group.value_row), out);
        }
    }
}

/// `c = a b` for the first head of a group, `c += a b` for the others.
#[inline(always)]
fn sum_heads<T: Scalar>(
    head: usize,
    shape: (usize, usize, usize),
    a: Strided<'_, T>,
    b: (&[T], usize),
    c: (&mut [T], usize),
) {
    if head == 0 { small_product::<T, false>(shape, a, b, c) } else { small_product::<T, true>(shape, a, b, c) }
}

/// Adds the prefix's rows of `[total, dim]` to its gradient and puts the others where they belong.
#[inline(always)]
fn scatter<T: Scalar>(group: &Group, rows: &[T], prefix: usize, (at, row): (usize, usize), out: &mut Gradients<'_, T>) {
    let dim = group.dim;
    let (before, after) = rows[..group.total() * dim].split_at(group.prefix * dim);
    for (i, values) in before.chunks_exact(dim).enumerate() {
        let sums = out.parameters.tensor(group.client, prefix + i * group.prefix_row, dim);
        for (s, &v) in sums.iter_mut().zip(values) {
            *s += v;
        }
    }
    let key_value = out.key_value();
    for (i, values) in after.chunks_exact(dim).enumerate() {
        key_value[at + i * row..][..dim].copy_from_slice(values);
    }
}
