//! Embeddings, heads and next-token losses.

use crate::harness::*;
use deft::backend::cuda::Address;
use deft::backend::cuda::launch::{
    CrossEntropyArguments, GatherArguments, HeadArguments, MOST_TABLES, ScatterArguments,
};

#[test]
fn rows_are_gathered_from_tables_and_scattered_back() {
    let (rows, width) = (37, 130);
    let (words, positions) = (made_up(5 * width, 1), made_up(40 * width, 2));
    let word = |row: usize| row * 3 % 5;
    let d_out = made_up(rows * width, 3);
    let found = under_all_schedules(|run| {
        let mut tables = [Address::NULL; MOST_TABLES];
        (tables[2], tables[5]) = (run.half(&words), run.half(&positions));
        let places =
            (0..rows).flat_map(|r| [(word(r) * width) as i64, -1, if r % 4 == 0 { -1 } else { (r * width) as i64 }]);
        let out = run.half_room(rows * width);
        let gather = GatherArguments {
            tables,
            places: run.words(&places.map(i64::cast_unsigned).collect::<Vec<u64>>()),
            which: run.integers(&[2, 0, 5].repeat(rows)),
            out,
            width: width as i32,
            unused: 0,
        };
        run.launch(&gather.launch(rows));
        // Word 4 lies first among the destinations.
        let order = [4, 0, 1, 2, 3];
        let lists = order.map(|w| (0..rows).filter(|&r| word(r) == w).collect::<Vec<_>>());
        let gradient = run.single(&vec![0.5; 5 * width]);
        let scatter = ScatterArguments {
            rows: run.half(&d_out),
            out: gradient,
            starts: run.integers(&offsets(&lists.each_ref().map(Vec::len))),
            list: run.integers(&lists.concat()),
            destinations: run.words(&order.map(|w| (w * width) as u64)),
            width: width as i32,
            unused: 0,
        };
        run.launch(&scatter.launch(5));
        vec![run.read_half(out, rows * width), run.read_single(gradient, 5 * width)]
    });
    let Some(found) = found else { return };
    let position = |r: usize, c: usize| if r.is_multiple_of(4) { 0.0 } else { positions[r * width + c] };
    let out: Vec<f64> = (0..rows * width)
        .map(|i| words[word(i / width) * width + i % width] + position(i / width, i % width))
        .collect();
    let mut gradient = vec![0.5; 5 * width];
    (0..rows * width).for_each(|i| gradient[word(i / width) * width + i % width] += d_out[i]);
    assert_close("gathered", &found[0], &out, HALF);
    assert_close("scattered", &found[1], &gradient, SINGLE);
}

#[test]
fn pooled_heads_of_two_clients() {
    let (lengths, clients, segments) = ([3, 19, 4, 33], [0, 0, 1, 1], [0, 2, 4]);
    let (starts, columns) = (offsets(&lengths), 70);
    for (outputs, regression, skip) in [(5, false, 2), (1, true, 0)] {
        let (weight, stride) = (1, 3 + outputs * (columns + 1));
        let bias = weight + outputs * columns + 1;
        let (hidden, parameters) = (made_up(starts[4] * columns, 1), made_up(2 * stride, 2));
        let (labels, values, weights) = ([0, 4, 2, 2], [0.3, -0.2, 1.0, 0.0], [0.5, 0.25, 1.0, 2.0]);
        let found = under_all_schedules(|run| {
            let (losses, gradient) = (run.single_room(4), run.single(&vec![0.5; 2 * stride]));
            let d_hidden = run.half_room(starts[4] * columns);
            let head = HeadArguments {
                hidden: run.half(&hidden),
                parameters: run.half(&parameters),
                offsets: run.integers(&starts),
                read_first: run.integers(&[0, 1, 2, 3].map(|s| starts[s] + skip)),
                read_end: run.integers(&starts[1..]),
                clients: run.integers(&clients),
                segments: run.integers(&segments),
                labels: if regression { Address::NULL } else { run.integers(&labels) },
                values: run.single(&values),
                weights: run.single(&weights),
                pooled: run.single_room(4 * columns),
                answers: run.single_room(4 * outputs),
                d_answers: run.single_room(4 * outputs),
                losses,
                d_hidden,
                gradient,
                group: stride as i64,
                weight: weight as i64,
                bias: bias as i64,
                width: columns as i32,
                outputs: outputs as i32,
            };
            head.forward(4).iter().chain(&head.backward(4, 2)).for_each(|l| run.launch(l));
            vec![
                run.read_single(losses, 4),
                run.read_half(d_hidden, starts[4] * columns),
                run.read_single(gradient, 2 * stride),
            ]
        });
        let Some(found) = found else { return };
        let (mut losses, mut d_hidden) = (vec![], vec![0.0; starts[4] * columns]);
        let mut gradient = vec![0.5; 2 * stride];
        for (s, span) in starts.windows(2).enumerate() {
            let (first, end, set) = (span[0] + skip, span[1], clients[s] * stride);
            let share = 1.0 / (end - first) as f64;
            let pooled: Vec<f64> =
                (0..columns).map(|c| (first..end).map(|r| hidden[r * columns + c]).sum::<f64>() * share).collect();
            let w = |o: usize, c: usize| parameters[set + weight + o * columns + c];
            let answer = |o: usize| (0..columns).map(|c| w(o, c) * pooled[c]).sum::<f64>() + parameters[set + bias + o];
            let answers: Vec<f64> = (0..outputs).map(answer).collect();
            let sum: f64 = answers.iter().map(|a| a.exp()).sum();
            let hot = |o: usize| if o == labels[s] { 1.0 } else { 0.0 };
            let d: Vec<f64> = match regression {
                true => vec![2.0 * weights[s] * (answers[0] - values[s])],
                false => (0..outputs).map(|o| weights[s] * (answers[o].exp() / sum - hot(o))).collect(),
            };
            losses.push(if regression { (answers[0] - values[s]).powi(2) } else { sum.ln() - answers[labels[s]] });
            for (o, &d) in d.iter().enumerate() {
                gradient[set + bias + o] += d;
                for c in 0..columns {
                    gradient[set + weight + o * columns + c] += d * pooled[c];
                    (first..end).for_each(|r| d_hidden[r * columns + c] += d * w(o, c) * share);
                }
            }
        }
        assert_close("losses", &found[0], &losses, SINGLE);
        assert_close("d_hidden", &found[1], &d_hidden, HALF);
        assert_close("gradient", &found[2], &gradient, SINGLE);
    }
}

#[test]
fn next_tokens() {
    let (rows, vocabulary) = (7, 1000);
    let mut logits: Vec<f64> = made_up(rows * vocabulary, 1).iter().map(|l| 6.0 * l).collect();
    // The lowest of equals wins.
    (logits[vocabulary + 20], logits[vocabulary + 900]) = (7.0, 7.0);
    let targets: Vec<usize> = (0..rows).map(|r| r * 131 % vocabulary).collect();
    let weights = made_up(rows, 2);
    let found = under_all_schedules(|run| {
        let (losses, best) = (run.single_room(rows), run.integers(&vec![0; rows]));
        let d_logits = run.half_room(rows * vocabulary);
        let arguments = CrossEntropyArguments {
            logits: run.single(&logits),
            targets: run.integers(&targets),
            weights: run.single(&weights),
            d_logits,
            losses,
            best,
            vocabulary: vocabulary as i32,
            unused: 0,
        };
        run.launch(&arguments.launch(rows));
        vec![
            run.read_single(losses, rows),
            run.read_half(d_logits, rows * vocabulary),
            run.read_integers(best, rows).iter().map(|&b| b as f64).collect(),
        ]
    });
    let Some(found) = found else { return };
    let (mut losses, mut d_logits) = (vec![], vec![]);
    for (row, logits) in logits.chunks_exact(vocabulary).enumerate() {
        let sum: f64 = logits.iter().map(|l| l.exp()).sum();
        losses.push(sum.ln() - logits[targets[row]]);
        let hot = |v: usize| if v == targets[row] { 1.0 } else { 0.0 };
        d_logits.extend(logits.iter().enumerate().map(|(v, l)| weights[row] * (l.exp() / sum - hot(v))));
        let best = (0..vocabulary).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b])).expect("a token");
        assert_eq!(found[2][row], best as f64);
    }
    assert_close("losses", &found[0], &losses, SINGLE);
    assert_close("d_logits", &found[1], &d_logits, HALF);
}
