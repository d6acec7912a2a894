//! The two ends of a model: embeddings and heads.

use super::harness::*;
use deft::backend::cpu::{Cpu, Scalar, Storage};
use deft::backend::{
    Backend, Content, Embedding, EmbeddingSlots, HeadGradient, HeadSlot, Linear, Packing, Pooling, PromptSlot,
    SequenceOutcome, Targets, Trainable,
};

const WIDTH: usize = 19;
const VOCABULARY: usize = 37;
const POSITIONS: usize = 40;

#[derive(Clone)]
struct Embedded {
    packing: Packing,
    slots: EmbeddingSlots,
    stride: usize,
    class_token: bool,
    patches: bool,
    /// Row of the whole batch that this part starts with, so that a part holds the tokens of the whole.
    first_row: usize,
}

impl Embedded {
    fn before(&self) -> usize {
        self.slots.prompt.map_or(0, |p| p.tokens) + usize::from(self.class_token)
    }

    fn content_rows(&self) -> usize {
        self.packing.rows() - self.packing.sequences() * self.before()
    }

    /// The token of a row; few different ones, so that most come again.
    fn token(&self, row: usize) -> u32 {
        ((row + self.first_row) * 7 % 11) as u32
    }

    fn tokens(&self) -> Vec<u32> {
        let rows = self.packing.all_sequence_rows();
        rows.flat_map(|rows| rows.skip(self.before()).map(|row| self.token(row))).collect()
    }
}

impl Operation for Embedded {
    fn packing(&self) -> &Packing {
        &self.packing
    }

    fn keys(&self) -> &Packing {
        unreachable!("patches are tested with one client")
    }

    fn only(&self, client: usize) -> Self {
        let first_row = self.packing.segment_rows().nth(client).expect("a client").start;
        Self { packing: one_client(&self.packing, client), first_row, ..self.clone() }
    }

    fn inputs(&self) -> Vec<(Of, Vec<f64>)> {
        let clients = self.packing.segments().len();
        let mut inputs = vec![(Of::Clients, made_up(clients * self.stride, 3))];
        if self.patches {
            inputs.push((Of::Clients, made_up(self.content_rows() * WIDTH, 4)));
        }
        inputs
    }

    fn oracle(&self, inputs: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<f64> {
        let (words, positions) = (made_up(VOCABULARY * WIDTH, 1), made_up(POSITIONS * WIDTH, 2));
        let (token_type, class_token) = (made_up(WIDTH, 5), made_up(WIDTH, 6));
        let (mut y, mut content) = (vec![], 0);
        for (client, sequences) in self.packing.segments().iter().enumerate() {
            let set = &inputs[0][client * self.stride..][..self.stride];
            let pick = |own: Option<usize>, frozen: &[f64], index: usize| match own {
                Some(at) => set[at + index * WIDTH..][..WIDTH].to_vec(),
                None => frozen[index * WIDTH..][..WIDTH].to_vec(),
            };
            for s in sequences.clone() {
                for (i, row) in self.packing.sequence_rows(s).enumerate() {
                    let prompt = self.slots.prompt.filter(|p| i < p.tokens);
                    let mut sum = if let Some(prompt) = prompt {
                        pick(Some(prompt.prompt), &[], i)
                    } else if i < self.before() {
                        pick(self.slots.class_token, &class_token, 0)
                    } else if self.patches {
                        content += 1;
                        inputs[1][(content - 1) * WIDTH..][..WIDTH].to_vec()
                    } else {
                        pick(self.slots.words, &words, self.token(row) as usize)
                    };
                    let mut add = |more: Vec<f64>| sum.iter_mut().zip(more).for_each(|(s, m)| *s += m);
                    let unplaced = self.slots.prompt.filter(|p| !p.takes_positions).map_or(0, |p| p.tokens);
                    if i >= unplaced {
                        add(pick(self.slots.positions, &positions, i - unplaced));
                    }
                    add(pick(self.slots.token_type, &token_type, 0));
                    y.extend(sum);
                }
            }
        }
        y
    }

    fn run<T: Scalar, S: Storage<T>>(
        &self,
        backend: &Cpu<T, S>,
        inputs: &[Vec<T>],
        d_out: &[T],
    ) -> (Vec<T>, Vec<Gradient<T>>) {
        let upload = |len, salt| backend.upload(&single(&made_up(len, salt)));
        let embedding = Embedding {
            words: upload(if self.patches { 0 } else { VOCABULARY * WIDTH }, 1),
            positions: Some(upload(POSITIONS * WIDTH, 2)),
            token_type: Some(upload(WIDTH, 5)),
            class_token: self.class_token.then(|| upload(WIDTH, 6)),
            width: WIDTH,
        };
        let (packing, slots, tokens) = (&self.packing, &self.slots, self.tokens());
        let content = || if self.patches { Content::Patches(&inputs[1]) } else { Content::Tokens(&tokens) };
        let trainable = Trainable { values: &inputs[0], stride: self.stride };
        let len = packing.rows() * WIDTH;
        let (mut y, mut gradient) = (garbage(len), base(inputs[0].len()));
        backend.embed(packing, content(), &embedding, slots, trainable, &mut y);
        let mut d_patches = self.patches.then(|| garbage(inputs[1].len()));
        let (d, class) = (d_out.to_vec(), self.class_token);
        let stride = self.stride;
        backend.embed_gradient(packing, content(), slots, class, WIDTH, &d, stride, &mut gradient, d_patches.as_mut());
        let mut gradients = vec![Gradient::Added(gradient)];
        gradients.extend(d_patches.map(|d| Gradient::Written(cut(d, inputs[1].len()))));
        (cut(y, len), gradients)
    }
}

fn text(slots: EmbeddingSlots) -> Embedded {
    let packing = packing(&[6, 19, 7, 33], &[0..1, 1..3, 3..4]);
    let stride = 2 + (VOCABULARY + POSITIONS + 6) * WIDTH;
    Embedded { packing, slots, stride, class_token: false, patches: false, first_row: 0 }
}

#[test]
fn text_embeddings_with_every_table_trained() {
    let table = |i: usize| Some(2 + i * WIDTH);
    let prompt = PromptSlot { prompt: 2 + (VOCABULARY + POSITIONS + 1) * WIDTH, tokens: 5, takes_positions: true };
    let own = EmbeddingSlots { words: table(0), positions: table(VOCABULARY), ..EmbeddingSlots::default() };
    let own = EmbeddingSlots { token_type: table(VOCABULARY + POSITIONS), ..own };
    check("words", &text(EmbeddingSlots { words: own.words, ..EmbeddingSlots::default() }));
    check("positions", &text(EmbeddingSlots { positions: own.positions, ..EmbeddingSlots::default() }));
    check("token type", &text(EmbeddingSlots { token_type: own.token_type, ..EmbeddingSlots::default() }));
    check("prompt", &text(EmbeddingSlots { prompt: Some(prompt), ..EmbeddingSlots::default() }));
    check("all tables and a prompt", &text(EmbeddingSlots { prompt: Some(prompt), ..own }));
}

#[test]
fn image_embeddings_with_class_tokens_and_prompts() {
    let packing = packing(&[7, 9, 8], std::slice::from_ref(&(0..3)));
    let prompt = PromptSlot { prompt: 2 + WIDTH, tokens: 3, takes_positions: false };
    for (class_token, prompt) in [(None, None), (Some(2), None), (None, Some(prompt)), (Some(2), Some(prompt))] {
        let slots = EmbeddingSlots { class_token, positions: Some(2 + 5 * WIDTH), prompt, ..EmbeddingSlots::default() };
        let image = Embedded { packing: packing.clone(), class_token: true, patches: true, ..text(slots) };
        check(&format!("image, {slots:?}"), &image);
    }
}

#[derive(Clone)]
struct Classified {
    packing: Packing,
    slot: HeadSlot,
    regression: bool,
    first: usize,
}

impl Classified {
    fn stride(&self) -> usize {
        self.slot.bias + self.slot.outputs + 1
    }

    fn classes(&self) -> Vec<u32> {
        (0..self.packing.sequences()).map(|s| ((s + self.first) % self.slot.outputs) as u32).collect()
    }

    fn values(&self) -> Vec<f32> {
        (0..self.packing.sequences()).map(|s| (s + self.first) as f32 * 0.3 - 0.5).collect()
    }

    fn answers(&self, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let HeadSlot { weight, bias, outputs, skip, pooling, .. } = self.slot;
        let mut all = vec![];
        for (client, sequences) in self.packing.segments().iter().enumerate() {
            let set = &inputs[1][client * self.stride()..][..self.stride()];
            for s in sequences.clone() {
                let rows: Vec<usize> = self.packing.sequence_rows(s).skip(skip).collect();
                let rows = match pooling {
                    Pooling::Mean => &rows[..],
                    Pooling::First => &rows[..1],
                    Pooling::Last => &rows[rows.len() - 1..],
                };
                let pooled = |i: usize| rows.iter().map(|r| inputs[0][r * WIDTH + i]).sum::<f64>() / rows.len() as f64;
                let product = |o: usize| (0..WIDTH).map(|i| set[weight + o * WIDTH + i] * pooled(i)).sum::<f64>();
                all.push((0..outputs).map(|o| product(o) + set[bias + o]).collect());
            }
        }
        all
    }

    fn compute<T: Scalar, S: Storage<T>>(
        &self,
        backend: &Cpu<T, S>,
        inputs: &[Vec<T>],
        gradient: Option<HeadGradient<'_, Cpu<T, S>>>,
    ) -> Vec<SequenceOutcome> {
        let (classes, values) = (self.classes(), self.values());
        let targets = if self.regression { Targets::Values(&values) } else { Targets::Classes(&classes) };
        let trainable = Trainable { values: &inputs[1], stride: self.stride() };
        backend.classify(&self.packing, &inputs[0], self.slot, trainable, targets, gradient)
    }
}

fn cross_entropy(logits: &[f64], target: usize) -> f64 {
    logits.iter().map(|l| l.exp()).sum::<f64>().ln() - logits[target]
}

/// Losses as an output, and the weights of the losses as its gradient.
fn losses<T: Scalar>(outcomes: &[SequenceOutcome]) -> Vec<T> {
    outcomes.iter().map(|o| T::from_f64(o.loss)).collect()
}

fn weights<T: Scalar>(d_out: &[T]) -> Vec<f64> {
    d_out.iter().map(|d| d.to_f64()).collect()
}

impl Operation for Classified {
    fn packing(&self) -> &Packing {
        &self.packing
    }

    fn only(&self, client: usize) -> Self {
        let first = self.packing.segments()[client].start;
        Self { packing: one_client(&self.packing, client), first, ..self.clone() }
    }

    fn inputs(&self) -> Vec<(Of, Vec<f64>)> {
        let (rows, clients) = (self.packing.rows(), self.packing.segments().len());
        vec![(Of::Rows, made_up(rows * WIDTH, 1)), (Of::Clients, made_up(clients * self.stride(), 2))]
    }

    fn output(&self) -> Of {
        Of::Sequences
    }

    fn oracle(&self, inputs: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<f64> {
        let answers = self.answers(inputs).into_iter().enumerate();
        let (classes, values) = (self.classes(), self.values());
        answers
            .map(|(s, answers)| match self.regression {
                true => (answers[0] - f64::from(values[s])).powi(2),
                false => cross_entropy(&answers, classes[s] as usize),
            })
            .collect()
    }

    fn run<T: Scalar, S: Storage<T>>(
        &self,
        backend: &Cpu<T, S>,
        inputs: &[Vec<T>],
        d_out: &[T],
    ) -> (Vec<T>, Vec<Gradient<T>>) {
        let (mut hidden, mut parameters) = (garbage(inputs[0].len()), base(inputs[1].len()));
        let weights = weights(d_out);
        let gradient = HeadGradient { weights: &weights, parameters: &mut parameters, hidden: &mut hidden };
        let outcomes = self.compute(backend, inputs, Some(gradient));
        (losses(&outcomes), vec![Gradient::Written(cut(hidden, inputs[0].len())), Gradient::Added(parameters)])
    }
}

#[test]
fn heads_with_every_pooling_and_loss() {
    for pooling in [Pooling::Mean, Pooling::First, Pooling::Last] {
        for (outputs, regression, skip) in [(3, false, 0), (5, false, 2), (1, true, 0), (1, true, 2)] {
            let slot = HeadSlot { weight: 1, bias: 2 + outputs * WIDTH, width: WIDTH, outputs, skip, pooling };
            let packing = packing(&[3, 19, 4, 33], &[0..1, 1..3, 3..4]);
            let head = Classified { packing, slot, regression, first: 0 };
            check(&format!("{pooling:?} of {outputs}, skip {skip}"), &head);

            let inputs: Vec<Vec<f64>> = head.inputs().into_iter().map(|(_, values)| values).collect();
            for (s, outcome) in head.compute(&Cpu::<f64>::new(), &inputs, None).iter().enumerate() {
                let answers = &head.answers(&inputs)[s];
                let best = (0..outputs).max_by(|&a, &b| answers[a].total_cmp(&answers[b])).expect("an answer");
                assert_eq!((outcome.targets, outcome.prediction), (1, best as u32));
                assert_eq!(outcome.correct, u32::from(!regression && best as u32 == head.classes()[s]));
                let value = if regression { answers[0] } else { 0.0 };
                assert!((outcome.value - value).abs() < 1e-12);
            }
        }
    }
}

#[derive(Clone)]
struct Predicted {
    packing: Packing,
    own: bool,
    has_bias: bool,
    first_row: usize,
}

/// More than a block of rows of one client has targets.
const LANGUAGE_STRIDE: usize = 2 + VOCABULARY * WIDTH;

impl Predicted {
    fn targets(&self) -> Vec<u32> {
        let rows = self.first_row..self.first_row + self.packing.rows();
        rows.map(|row| if row % 5 == 2 { u32::MAX } else { (row * 11 % VOCABULARY) as u32 }).collect()
    }

    fn logits(&self, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let (frozen, bias) = (made_up(VOCABULARY * WIDTH, 3), made_up(VOCABULARY, 4));
        let rows = client_rows(&self.packing);
        rows.map(|(client, _, row)| {
            let hidden = &inputs[0][row * WIDTH..][..WIDTH];
            let w = if self.own { &inputs[1][client * LANGUAGE_STRIDE + 1..] } else { &frozen[..] };
            let logit = |v: usize| w[v * WIDTH..][..WIDTH].iter().zip(hidden).map(|(w, h)| w * h).sum::<f64>();
            (0..VOCABULARY).map(|v| 0.6 * logit(v) + if self.has_bias { bias[v] } else { 0.0 }).collect()
        })
        .collect()
    }

    fn compute<T: Scalar, S: Storage<T>>(
        &self,
        backend: &Cpu<T, S>,
        inputs: &[Vec<T>],
        gradient: Option<HeadGradient<'_, Cpu<T, S>>>,
    ) -> Vec<SequenceOutcome> {
        let output = Linear {
            weight: backend.matrix(&single(&made_up(VOCABULARY * WIDTH, 3)), VOCABULARY, WIDTH),
            bias: self.has_bias.then(|| backend.upload(&single(&made_up(VOCABULARY, 4)))),
            inputs: WIDTH,
            outputs: VOCABULARY,
        };
        let none = vec![];
        let trainable = Trainable { values: inputs.get(1).unwrap_or(&none), stride: LANGUAGE_STRIDE };
        let (weight, targets) = (self.own.then_some(1), self.targets());
        backend.predict_tokens(&self.packing, &inputs[0], &output, weight, 0.6, trainable, &targets, gradient)
    }
}

impl Operation for Predicted {
    fn packing(&self) -> &Packing {
        &self.packing
    }

    fn only(&self, client: usize) -> Self {
        let first_row = self.packing.segment_rows().nth(client).expect("a client").start;
        Self { packing: one_client(&self.packing, client), first_row, ..self.clone() }
    }

    fn inputs(&self) -> Vec<(Of, Vec<f64>)> {
        let (rows, clients) = (self.packing.rows(), self.packing.segments().len());
        let mut inputs = vec![(Of::Rows, made_up(rows * WIDTH, 1))];
        inputs.extend(self.own.then(|| (Of::Clients, made_up(clients * LANGUAGE_STRIDE, 2))));
        inputs
    }

    fn output(&self) -> Of {
        Of::Sequences
    }

    fn oracle(&self, inputs: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<f64> {
        let (logits, targets) = (self.logits(inputs), self.targets());
        let of_row = |row: usize| match targets[row] {
            u32::MAX => 0.0,
            target => cross_entropy(&logits[row], target as usize),
        };
        self.packing.all_sequence_rows().map(|rows| rows.map(of_row).sum()).collect()
    }

    fn run<T: Scalar, S: Storage<T>>(
        &self,
        backend: &Cpu<T, S>,
        inputs: &[Vec<T>],
        d_out: &[T],
    ) -> (Vec<T>, Vec<Gradient<T>>) {
        let len = inputs.get(1).map_or(0, Vec::len);
        let (mut hidden, mut parameters, weights) = (garbage(inputs[0].len()), base(len), weights(d_out));
        let gradient = HeadGradient { weights: &weights, parameters: &mut parameters, hidden: &mut hidden };
        let outcomes = self.compute(backend, inputs, Some(gradient));
        let mut gradients = vec![Gradient::Written(cut(hidden, inputs[0].len()))];
        gradients.extend(self.own.then_some(Gradient::Added(parameters)));
        (losses(&outcomes), gradients)
    }
}

#[test]
fn next_tokens_with_frozen_and_own_matrices() {
    for (own, has_bias) in [(false, false), (false, true), (true, false)] {
        let packing = packing(&[1, 90, 4, 33], &[0..1, 1..3, 3..4]);
        let head = Predicted { packing, own, has_bias, first_row: 0 };
        check(&format!("own {own}, bias {has_bias}"), &head);

        let inputs: Vec<Vec<f64>> = head.inputs().into_iter().map(|(_, values)| values).collect();
        let (logits, targets) = (head.logits(&inputs), head.targets());
        for (s, outcome) in head.compute(&Cpu::<f64>::new(), &inputs, None).iter().enumerate() {
            let rows: Vec<usize> = head.packing.sequence_rows(s).filter(|&r| targets[r] != u32::MAX).collect();
            let best = |r: usize| (0..VOCABULARY).max_by(|&a, &b| logits[r][a].total_cmp(&logits[r][b]));
            let correct = rows.iter().filter(|&&r| best(r) == Some(targets[r] as usize)).count();
            assert_eq!((outcome.targets, outcome.correct), (rows.len() as u32, correct as u32));
        }
    }
}

#[test]
fn the_lowest_of_equal_tokens_is_the_prediction() {
    let backend = Cpu::<f32>::new();
    let weight = backend.matrix(&[0.0, 1.0, 1.0, 0.5], 4, 1);
    let output = Linear { weight, bias: None, inputs: 1, outputs: 4 };
    let packing = packing(&[2], std::slice::from_ref(&(0..1)));
    let trainable = Trainable { values: &vec![], stride: 0 };
    let outcome = backend.predict_tokens(&packing, &vec![1.0, 1.0], &output, None, 1.0, trainable, &[1, 2], None);
    assert_eq!((outcome[0].targets, outcome[0].correct), (2, 1));
}
