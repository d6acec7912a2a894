//! Next-token prediction over the vocabulary, a block of rows at a time: the logits of a batch need not fit.

use super::buffer::{Buffer, Kind};
use super::launch::{CrossEntropyArguments, Output, ProductArguments, ProductKind};
use super::{Address, Cuda};
use crate::backend::rows::{Predicted, predicted_rows};
use crate::backend::{HeadGradient, Linear, Packing, SequenceOutcome, Trainable};

/// Logits that are held at once, in single precision and, with a gradient, in half precision too.
const MOST_LOGITS: usize = 1 << 26;
/// Rows that are computed together at least, however large the vocabulary.
const LEAST_ROWS: usize = 64;

/// The matrix between hidden states and logits.
pub(super) struct Vocabulary<'a, 'b> {
    pub output: &'a Linear<Cuda>,
    /// Where the client's own matrix lies.
    pub weight: Option<usize>,
    pub scale: f64,
    pub trainable: Trainable<'b, Cuda>,
}

fn block_rows(vocabulary: usize) -> usize {
    (MOST_LOGITS / vocabulary.max(1)).max(LEAST_ROWS)
}

impl Cuda {
    /// Logits that are held at once, in a pass of about [`Cuda::CHUNK_TOKENS`] tokens: whole sequences may make it longer.
    pub fn logits_at_once(vocabulary: usize) -> usize {
        vocabulary * block_rows(vocabulary).min(2 * Self::CHUNK_TOKENS)
    }

    pub(super) fn predict_rows(
        &self,
        packing: &Packing,
        hidden: &Buffer,
        head: &Vocabulary<'_, '_>,
        targets: &[u32],
        gradient: Option<HeadGradient<'_, Self>>,
    ) -> Vec<SequenceOutcome> {
        let spans = self.spans(packing);
        let (width, vocabulary) = (head.output.inputs, head.output.outputs);
        let hidden = hidden.halves(spans.rows * width);
        let by_client = predicted_rows(packing, targets);
        let all: Vec<Predicted> = by_client.iter().flatten().copied().collect();
        let single = |len| self.working(Kind::Single, len);
        let (losses, best) = (single(all.len()), single(all.len()));
        let mut gradient = gradient.map(|g| {
            let parameters = head.weight.map(|_| g.parameters.singles(spans.client_count * head.trainable.stride));
            let d_hidden = self.room(g.hidden, spans.rows * width);
            (g.weights, parameters, d_hidden, self.working(Kind::Half, all.len() * width))
        });
        // Rows of one client together where each has a matrix of its own.
        let runs: Vec<(usize, usize)> = match head.weight {
            Some(_) => by_client.iter().enumerate().map(|(client, rows)| (client, rows.len())).collect(),
            None => vec![(0, all.len())],
        };
        let block_rows = block_rows(vocabulary);
        let mut first = 0;
        for (client, len) in runs {
            let end = first + len;
            while first < end {
                let block = first..end.min(first + block_rows);
                let m = block.len();
                let part = &all[block.clone()];
                let rows = self.working(Kind::Half, m * width);
                self.pick_rows(hidden, part.iter().map(|p| Some(p.row)), width, rows.address());
                let logits = single(m * vocabulary);
                head.logits(self, client, (m, rows.address()), logits.address());
                let d_logits = gradient.as_ref().map(|_| self.working(Kind::Half, m * vocabulary));
                let weight = |p: &Predicted| gradient.as_ref().map_or(0.0, |(w, ..)| w[p.sequence] as f32);
                let weights = self.table(&part.iter().map(weight).collect::<Vec<f32>>());
                let targets = self.table(&part.iter().map(|p| p.target as i32).collect::<Vec<i32>>());
                let loss = CrossEntropyArguments {
                    logits: logits.address(),
                    targets: targets.address(),
                    weights: weights.address(),
                    d_logits: d_logits.as_ref().map_or(Address::NULL, |d| d.address()),
                    losses: losses.address().singles(block.start),
                    best: best.address().singles(block.start),
                    vocabulary: vocabulary as i32,
                    unused: 0,
                };
                self.run(loss.launch(m));
                if let (Some(d_logits), Some((_, parameters, _, d_rows))) = (d_logits, &mut gradient) {
                    let d_rows = d_rows.address().halves(block.start * width);
                    head.gradient(self, client, (m, rows.address()), d_logits.address(), *parameters, d_rows);
                }
                first = block.end;
            }
        }
        if let Some((_, _, d_hidden, d_rows)) = gradient {
            let mut place = vec![None; spans.rows];
            all.iter().enumerate().for_each(|(i, p)| place[p.row] = Some(i));
            self.pick_rows(d_rows.address(), place.into_iter(), width, d_hidden);
        }
        let losses: Vec<f32> = self.fetched(losses.address(), all.len());
        let best: Vec<i32> = self.fetched(best.address(), all.len());
        let mut outcomes = vec![SequenceOutcome::default(); packing.sequences()];
        for ((p, loss), best) in all.iter().zip(losses).zip(best) {
            let outcome = &mut outcomes[p.sequence];
            outcome.loss += f64::from(loss);
            outcome.targets += 1;
            outcome.correct += u32::from(best == p.target as i32);
        }
        outcomes
    }
}

impl Vocabulary<'_, '_> {
    fn matrix(&self, client: usize) -> Address {
        let Trainable { values, stride } = self.trainable;
        match self.weight {
            // The output matrix comes as numbers.
            None => self.output.weight.block.address(),
            Some(at) => values.halves((client + 1) * stride).halves(client * stride + at),
        }
    }

    fn product(&self, cuda: &Cuda, kind: ProductKind, a: Address, b: Address, shape: [usize; 5], out: Output) {
        let [m, n, k, a_row, b_row] = shape;
        cuda.product(kind, 1, m, ProductArguments::of_one([a, b], out, [m, n, k], [a_row, b_row]));
    }

    /// `scale rows W^T + b`, single precision.
    fn logits(&self, cuda: &Cuda, client: usize, (m, rows): (usize, Address), logits: Address) {
        let (width, vocabulary) = (self.output.inputs, self.output.outputs);
        let out = Output {
            accumulate: 0,
            bias: self.output.bias.as_ref().map_or(Address::NULL, |b| b.halves(vocabulary)),
            ..Output::sums(logits, vocabulary, self.scale as f32)
        };
        let shape = [m, vocabulary, width, width, width];
        self.product(cuda, ProductKind::Nt, rows, self.matrix(client), shape, out);
    }

    /// `d_rows = scale d_logits W`; with the client's own matrix also `dW += scale d_logits^T rows`.
    fn gradient(
        &self,
        cuda: &Cuda,
        client: usize,
        (m, rows): (usize, Address),
        d_logits: Address,
        parameters: Option<Address>,
        d_rows: Address,
    ) {
        let (width, vocabulary, scale) = (self.output.inputs, self.output.outputs, self.scale as f32);
        let out = Output { scale, ..Output::half(d_rows, width) };
        let shape = [m, width, vocabulary, vocabulary, width];
        self.product(cuda, ProductKind::Nn, d_logits, self.matrix(client), shape, out);
        if let (Some(gradient), Some(at)) = (parameters, self.weight) {
            let to = gradient.singles(client * self.trainable.stride + at);
            let shape = [vocabulary, width, m, vocabulary, width];
            self.product(cuda, ProductKind::Tn, d_logits, rows, shape, Output::sums(to, width, scale));
        }
    }
}
