//! Attention in all its forms, forward and backward.

use crate::harness::*;
use deft::backend::cuda::Address;
use deft::backend::cuda::launch::{AttentionArguments, BiasArguments, BiasGradientArguments, PrefixGradientArguments};

#[derive(Clone, Copy)]
struct Case {
    heads: usize,
    kv_heads: usize,
    dim: usize,
    causal: bool,
    prefix: usize,
    bias: bool,
    /// Whether each client has biases of its own, whose gradient is wanted.
    own: bool,
    /// Keys of another packing.
    cross: bool,
}

const PLAIN: Case =
    Case { heads: 2, kv_heads: 2, dim: 32, causal: false, prefix: 0, bias: false, own: false, cross: false };
const LENGTHS: [usize; 4] = [1, 70, 0, 33];
const KEY_LENGTHS: [usize; 4] = [5, 40, 3, 66];
/// First sequence of each client and one more.
const SEGMENTS: [usize; 3] = [0, 1, 4];
const SCALE: f64 = 0.41;
/// Of distances, each one run: the second has none.
const BUCKETS: [usize; 6] = [30, 0, 27, 1, 9, usize::MAX];

struct Data {
    query_starts: Vec<usize>,
    key_starts: Vec<usize>,
    /// Two columns that nobody reads lie before the queries, one after the values.
    rows: Vec<f64>,
    row: usize,
    key_rows: Vec<f64>,
    key_row: usize,
    key_column: usize,
    parameters: Vec<f64>,
    stride: usize,
    /// Two clients' `[buckets, heads]`, and a number that nobody reads before each.
    tables: Vec<f64>,
    /// Bucket of every distance.
    buckets: Vec<usize>,
    longest: usize,
    span: usize,
    d_context: Vec<f64>,
}

impl Case {
    fn width(&self) -> usize {
        self.heads * self.dim
    }

    fn kv_width(&self) -> usize {
        self.kv_heads * self.dim
    }

    fn table_stride(&self) -> usize {
        1 + BUCKETS.len() * self.heads
    }

    /// Where the bias of a head is at a distance.
    fn bias_at(&self, data: &Data, client: usize, head: usize, distance: usize) -> usize {
        let client = if self.own { client } else { 0 };
        client * self.table_stride() + 1 + data.buckets[distance] * self.heads + head
    }

    fn data(&self) -> Data {
        let query_starts = offsets(&LENGTHS);
        let key_starts = if self.cross { offsets(&KEY_LENGTHS) } else { query_starts.clone() };
        let kv = 2 * self.kv_width() + 1;
        let row = 2 + self.width() + if self.cross { 0 } else { kv };
        let rows = made_up(query_starts[4] * row, 1);
        let (key_rows, key_row, key_column) = match self.cross {
            true => (made_up(key_starts[4] * kv, 2), kv, 0),
            false => (rows.clone(), row, 2 + self.width()),
        };
        let stride = 3 + 2 * self.prefix * self.kv_width();
        let (longest, longest_key) = (70, if self.cross { 66 } else { 70 });
        let span = longest + longest_key;
        Data {
            d_context: made_up(query_starts[4] * self.width(), 5),
            query_starts,
            key_starts,
            rows,
            row,
            key_rows,
            key_row,
            key_column,
            parameters: made_up(2 * stride, 3),
            stride,
            tables: made_up(2 * self.table_stride(), 4),
            buckets: (0..6).flat_map(|b| std::iter::repeat_n(b, BUCKETS[b].min(span))).take(span).collect(),
            longest,
            span,
        }
    }
}

/// What the operation leaves, in the order in which the kernels' results are read.
#[derive(Default)]
struct Results {
    context: Vec<f64>,
    log_sum: Vec<f64>,
    d_rows: Vec<f64>,
    d_key_rows: Vec<f64>,
    d_parameters: Vec<f64>,
    d_tables: Vec<f64>,
}

fn oracle(case: Case, data: &Data) -> Results {
    let Case { heads, kv_heads, dim, .. } = case;
    let queries = data.query_starts[4];
    let mut r = Results {
        context: vec![0.0; queries * case.width()],
        log_sum: vec![0.0; queries * heads],
        d_rows: vec![0.0; data.rows.len()],
        d_key_rows: vec![0.0; data.key_rows.len()],
        d_parameters: vec![0.5; data.parameters.len()],
        d_tables: vec![0.5; data.tables.len()],
    };
    let prefix_len = case.prefix * case.kv_width();
    for s in 0..4 {
        let client = usize::from(s >= SEGMENTS[1]);
        let (rows, keys) = (data.query_starts[s]..data.query_starts[s + 1], data.key_starts[s]..data.key_starts[s + 1]);
        for (h, i) in (0..heads).flat_map(|h| (0..rows.len()).map(move |i| (h, i))) {
            let kv_head = h / (heads / kv_heads);
            let query_at = (rows.start + i) * data.row + 2 + h * dim;
            let context_at = (rows.start + i) * case.width() + h * dim;
            // Places of key and value: in the parameters for the prefix.
            let places: Vec<(usize, usize)> = (0..case.prefix)
                .map(|j| {
                    let at = client * data.stride + 1 + (j * kv_heads + kv_head) * dim;
                    (at, at + 1 + prefix_len)
                })
                .chain(keys.clone().map(|k| {
                    let at = k * data.key_row + data.key_column + kv_head * dim;
                    (at, at + case.kv_width())
                }))
                .collect();
            let seen = if case.causal { case.prefix + i + 1 } else { places.len() };
            let part = |j: usize| if j < case.prefix { &data.parameters } else { &data.key_rows };
            let bias_place = |j: usize| {
                let seen = case.bias && j >= case.prefix;
                seen.then(|| case.bias_at(data, client, h, data.longest - 1 + j - case.prefix - i))
            };
            let score = |j: usize| {
                let key = &part(j)[places[j].0..][..dim];
                let dot: f64 = key.iter().zip(&data.rows[query_at..]).map(|(k, q)| k * q).sum();
                SCALE * dot + bias_place(j).map_or(0.0, |place| data.tables[place])
            };
            let scores: Vec<f64> = (0..seen).map(score).collect();
            let log_sum = scores.iter().map(|s| s.exp()).sum::<f64>().ln();
            r.log_sum[(rows.start + i) * heads + h] = log_sum;
            let p: Vec<f64> = scores.iter().map(|s| (s - log_sum).exp()).collect();
            let d_out = &data.d_context[context_at..][..dim];
            let value = |j: usize, c: usize| part(j)[places[j].1 + c];
            for c in 0..dim {
                r.context[context_at + c] = (0..seen).map(|j| p[j] * value(j, c)).sum();
            }
            let delta: f64 = d_out.iter().zip(&r.context[context_at..]).map(|(d, o)| d * o).sum();
            for j in 0..seen {
                let dp: f64 = (0..dim).map(|c| d_out[c] * value(j, c)).sum();
                let ds = p[j] * (dp - delta) * SCALE;
                if let Some(place) = bias_place(j) {
                    r.d_tables[place] += p[j] * (dp - delta);
                }
                let (key, value) = places[j];
                for c in 0..dim {
                    r.d_rows[query_at + c] += ds * part(j)[key + c];
                    let into = if j < case.prefix { &mut r.d_parameters } else { &mut r.d_key_rows };
                    into[key + c] += ds * data.rows[query_at + c];
                    into[value + c] += p[j] * d_out[c];
                }
            }
        }
    }
    if !case.cross {
        r.d_rows.iter_mut().zip(&r.d_key_rows).for_each(|(d, k)| *d += k);
    }
    r
}

fn run(case: Case, data: &Data) -> Option<Vec<Vec<f64>>> {
    let queries = data.query_starts[4];
    under_all_schedules(|run| {
        let at = |base: Address, column: usize| base.offset(2 * column);
        let rows = run.half(&data.rows);
        let key_rows = if case.cross { run.half(&data.key_rows) } else { rows };
        // What no attention writes stays as it is.
        let d_rows = run.half(&vec![0.0; data.rows.len()]);
        let d_key_rows = if case.cross { run.half(&vec![0.0; data.key_rows.len()]) } else { d_rows };
        let (parameters, d_parameters) = (run.half(&data.parameters), run.single(&vec![0.5; data.parameters.len()]));
        let prefix_len = case.prefix * case.kv_width();
        let (context, log_sum) = (run.half_room(queries * case.width()), run.single_room(queries * case.heads));
        let query_offsets = run.integers(&data.query_starts);
        let d_prefix = run.single_room(4 * 2 * prefix_len);
        let (table_stride, tables) = (case.table_stride(), if case.own { 2 } else { 1 });
        let bias = if case.bias { run.single_room(tables * case.heads * data.span) } else { Address::NULL };
        let biases = BiasArguments {
            table: at(run.half(&data.tables), 1),
            buckets: run.integers(&data.buckets),
            bias,
            group: table_stride as i64,
            heads: case.heads as i32,
            span: data.span as i32,
        };
        if case.bias {
            run.launch(&biases.launch(tables));
        }
        let tiles = AttentionArguments::tiles(data.longest);
        let sums = if case.own { run.single_room(4 * case.heads * tiles * data.span) } else { Address::NULL };
        let d_tables = run.single(&vec![0.5; data.tables.len()]);
        let arguments = AttentionArguments {
            query: at(rows, 2),
            key: at(key_rows, data.key_column),
            value: at(key_rows, data.key_column + case.kv_width()),
            prefix_key: at(parameters, 1),
            prefix_value: at(parameters, 2 + prefix_len),
            bias,
            context,
            log_sum,
            query_offsets,
            key_offsets: run.integers(&data.key_starts),
            clients: run.integers(&[0, 1, 1, 1]),
            d_context: run.half(&data.d_context),
            delta: run.single_room(queries * case.heads),
            d_query: at(d_rows, 2),
            d_key: at(d_key_rows, data.key_column),
            d_value: at(d_key_rows, data.key_column + case.kv_width()),
            d_prefix,
            d_bias: sums,
            prefix_group: data.stride as i64,
            bias_group: if case.own { (case.heads * data.span) as i64 } else { 0 },
            query_row: data.row as i32,
            key_row: data.key_row as i32,
            value_row: data.key_row as i32,
            heads: case.heads as i32,
            kv_heads: case.kv_heads as i32,
            dim: case.dim as i32,
            prefix: case.prefix as i32,
            causal: case.causal.into(),
            span: data.span as i32,
            longest_query: data.longest as i32,
            scale: SCALE as f32,
            rows: queries as i32,
        };
        run.launch(&arguments.forward(4));
        arguments.backward(4, data.span - data.longest).iter().for_each(|l| run.launch(l));
        if case.prefix > 0 {
            let gradient = PrefixGradientArguments {
                partial: d_prefix,
                d_key: d_parameters.offset(4),
                d_value: d_parameters.offset(4 * (2 + prefix_len)),
                segments: run.integers(&SEGMENTS),
                query_offsets,
                group: data.stride as i64,
                width: prefix_len as i32,
                unused: 0,
            };
            run.launch(&gradient.launch(2));
        }
        if case.own {
            let run_of = |bucket: usize| {
                let before = data.buckets.iter().filter(|&&b| b < bucket).count();
                [before, before + data.buckets.iter().filter(|&&b| b == bucket).count()]
            };
            let gradient = BiasGradientArguments {
                sums,
                distances: run.integers(&(0..BUCKETS.len()).flat_map(run_of).collect::<Vec<_>>()),
                d_table: d_tables.offset(4),
                segments: run.integers(&SEGMENTS),
                query_offsets,
                group: table_stride as i64,
                heads: case.heads as i32,
                tiles: tiles as i32,
                span: data.span as i32,
                unused: 0,
            };
            run.launch(&gradient.launch(BUCKETS.len(), 2));
        }
        let mut results = vec![
            run.read_half(context, queries * case.width()),
            run.read_single(log_sum, queries * case.heads),
            run.read_half(d_rows, data.rows.len()),
        ];
        if case.cross {
            results.push(run.read_half(d_key_rows, data.key_rows.len()));
        }
        if case.prefix > 0 {
            results.push(run.read_single(d_parameters, data.parameters.len()));
        }
        if case.own {
            results.push(run.read_single(d_tables, data.tables.len()));
        }
        results
    })
}

fn check(name: &str, case: Case) {
    let data = case.data();
    let Some(found) = run(case, &data) else { return };
    let expected = oracle(case, &data);
    let mut tensors = vec![&expected.context, &expected.log_sum, &expected.d_rows];
    if case.cross {
        tensors.push(&expected.d_key_rows);
    }
    if case.prefix > 0 {
        tensors.push(&expected.d_parameters);
    }
    if case.own {
        tensors.push(&expected.d_tables);
    }
    // Probabilities and the gradients of scores are rounded to half precision too.
    for (i, (found, expected)) in found.iter().zip(tensors).enumerate() {
        assert_close(&format!("{name}, tensor {i}"), found, expected, 2.0 * HALF);
    }
}

#[test]
fn heads_of_every_width() {
    for dim in [7, 32, 40, 64, 128] {
        check(&format!("dim {dim}"), Case { dim, heads: 1 + usize::from(dim < 64), kv_heads: 1, ..PLAIN });
    }
}

#[test]
fn causal_with_grouped_queries() {
    check("causal", Case { causal: true, ..PLAIN });
    check("grouped", Case { causal: true, heads: 4, kv_heads: 2, dim: 16, ..PLAIN });
    check("causal, 128", Case { causal: true, heads: 1, kv_heads: 1, dim: 128, ..PLAIN });
}

#[test]
fn prefixes_biases_and_other_keys() {
    check("prefix", Case { prefix: 5, ..PLAIN });
    check("prefix, causal, grouped", Case { prefix: 66, causal: true, heads: 4, dim: 8, ..PLAIN });
    check("bias", Case { bias: true, ..PLAIN });
    check("bias, prefix, causal", Case { bias: true, prefix: 3, causal: true, dim: 9, ..PLAIN });
    check("cross", Case { cross: true, ..PLAIN });
    check("cross, bias, prefix", Case { cross: true, bias: true, prefix: 2, dim: 5, ..PLAIN });
}

#[test]
fn biases_of_each_client_and_their_gradients() {
    let own = Case { bias: true, own: true, ..PLAIN };
    check("own biases", own);
    check("own biases, causal, prefix, 64", Case { causal: true, prefix: 3, heads: 1, kv_heads: 1, dim: 64, ..own });
    check("own biases, grouped, prefix, 128", Case { prefix: 66, kv_heads: 1, dim: 128, ..own });
    check("own biases, cross", Case { cross: true, dim: 9, ..own });
}

#[test]
fn biases_by_distance() {
    for (heads, buckets, span) in [(1, 3, 1), (3, 8, 47), (2, 32, 129)] {
        // Each client's table lies behind a number that nobody reads.
        let (tables, stride) = (made_up(2 * (1 + buckets * heads), 1), 1 + buckets * heads);
        let by_distance: Vec<usize> = (0..span).map(|d| d * d % buckets).collect();
        let found = under_all_schedules(|run| {
            let bias = run.single_room(2 * heads * span);
            let (table, buckets) = (run.half(&tables).offset(2), run.integers(&by_distance));
            let (group, heads, span) = (stride as i64, heads as i32, span as i32);
            run.launch(&BiasArguments { table, buckets, bias, group, heads, span }.launch(2));
            vec![run.read_single(bias, (2 * heads * span) as usize)]
        });
        let Some(found) = found else { return };
        let of_head = |at: usize| by_distance.iter().map(move |b| at + b * heads);
        let heads_of = |client: usize| (0..heads).flat_map(move |h| of_head(client * stride + 1 + h));
        let expected: Vec<f64> = (0..2).flat_map(heads_of).map(|at| tables[at]).collect();
        assert_eq!(found[0], expected);
    }
}
