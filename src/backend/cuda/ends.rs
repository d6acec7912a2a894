//! The two ends of a model: first hidden states, pooled heads and their losses.

use super::arena::Block;
use super::buffer::{Buffer, Kind};
use super::launch::{GatherArguments, HeadArguments, MOST_TABLES, ScatterArguments};
use super::linear::parameters;
use super::{Address, Cuda};
use crate::backend::rows::{EmbeddedRow, Source, content_rows, embedded_rows, read_rows};
use crate::backend::{
    Content, Embedding, EmbeddingSlots, HeadGradient, HeadSlot, Packing, SequenceOutcome, Targets, Trainable,
};
use std::collections::BTreeMap;

/// Tables that a row of an embedding is summed from, numbered as in a gather's list.
const PARAMETERS: i32 = 0;
const CONTENT: i32 = 1;
const POSITIONS: i32 = 2;
const TOKEN_TYPE: i32 = 3;
const CLASS: i32 = 4;

/// Table rows that a row is the sum of.
const SOURCES: usize = 3;

/// Up to three table rows for each row: which table, and the first element there.
#[derive(Default)]
struct Sums {
    places: Vec<i64>,
    which: Vec<i32>,
}

impl Sums {
    fn push(&mut self, sources: [Option<(i32, usize)>; SOURCES]) {
        self.places.extend(sources.map(|s| s.map_or(-1, |(_, at)| at as i64)));
        self.which.extend(sources.map(|s| s.map_or(0, |(table, _)| table)));
    }
}

impl Cuda {
    /// `out[row]` is the sum of its sources.
    fn gather(&self, tables: [Address; MOST_TABLES], sums: &Sums, width: usize, out: Address) {
        let (places, which) = (self.table(&sums.places), self.table(&sums.which));
        let arguments = GatherArguments {
            tables,
            places: places.address(),
            which: which.address(),
            out,
            width: width as i32,
            unused: 0,
        };
        self.run(arguments.launch(sums.places.len() / SOURCES));
    }

    /// `out[i] = table[rows[i]]`, zeros for `None`.
    pub(super) fn pick_rows(
        &self,
        table: Address,
        rows: impl Iterator<Item = Option<usize>>,
        width: usize,
        out: Address,
    ) {
        let mut sums = Sums::default();
        rows.for_each(|row| sums.push([row.map(|r| (0, r * width)), None, None]));
        let mut tables = [Address::NULL; MOST_TABLES];
        tables[0] = table;
        self.gather(tables, &sums, width, out);
    }

    pub(super) fn embed_rows(
        &self,
        packing: &Packing,
        content: Content<'_, Self>,
        embedding: &Embedding<Self>,
        slots: &EmbeddingSlots,
        trainable: Trainable<'_, Self>,
        out: &mut Buffer,
    ) {
        let (width, stride) = (embedding.width, trainable.stride);
        let out = self.room(out, packing.rows() * width);
        let address = |buffer: Option<&Buffer>| buffer.map_or(Address::NULL, |b| b.halves(width));
        let mut tables = [Address::NULL; MOST_TABLES];
        tables[PARAMETERS as usize] = parameters(&self.spans(packing), trainable);
        tables[POSITIONS as usize] = address(embedding.positions.as_ref());
        tables[TOKEN_TYPE as usize] = address(embedding.token_type.as_ref());
        tables[CLASS as usize] = address(embedding.class_token.as_ref());
        tables[CONTENT as usize] = match &content {
            Content::Tokens(_) => address(Some(&embedding.words)),
            Content::Patches(patches) => {
                let rows = content_rows(packing, slots, embedding.class_token.is_some());
                patches.halves(rows * width)
            }
        };
        // Row `index` of the client's own table, or of the frozen one.
        let entry = |client: usize, slot: Option<usize>, frozen: i32, index: usize| match slot {
            Some(at) => (PARAMETERS, client * stride + at + index * width),
            None => (frozen, index * width),
        };
        let mut sums = Sums::default();
        let rows = embedded_rows(packing, slots, embedding.class_token.is_some());
        for EmbeddedRow { client, source, position, .. } in rows {
            let content = match (source, &content) {
                (Source::Prompt(i), _) => entry(client, slots.prompt.map(|p| p.prompt), PARAMETERS, i),
                (Source::Class, _) => entry(client, slots.class_token, CLASS, 0),
                (Source::Content(i), Content::Tokens(ids)) => entry(client, slots.words, CONTENT, ids[i] as usize),
                (Source::Content(i), Content::Patches(_)) => (CONTENT, i * width),
            };
            let position = position.filter(|_| embedding.positions.is_some());
            let position = position.map(|p| entry(client, slots.positions, POSITIONS, p));
            let token_type = embedding.token_type.as_ref().map(|_| entry(client, slots.token_type, TOKEN_TYPE, 0));
            sums.push([Some(content), position, token_type]);
        }
        self.gather(tables, &sums, width, out);
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn embed_backward(
        &self,
        packing: &Packing,
        content: Content<'_, Self>,
        slots: &EmbeddingSlots,
        has_class_token: bool,
        (d_out, width): (&Buffer, usize),
        (gradient, stride): (&Buffer, usize),
        d_patches: Option<&mut Buffer>,
    ) {
        let d_out = d_out.halves(packing.rows() * width);
        // Rows of each destination in order, so that a token that comes twice is always summed alike.
        let mut destinations: BTreeMap<usize, Vec<i32>> = BTreeMap::new();
        let mut patches = Vec::new();
        for EmbeddedRow { client, row, source, position } in embedded_rows(packing, slots, has_class_token) {
            let mut add = |slot: Option<usize>, index: usize| {
                if let Some(at) = slot {
                    destinations.entry(client * stride + at + index * width).or_default().push(row as i32);
                }
            };
            match (source, &content) {
                (Source::Prompt(i), _) => add(slots.prompt.map(|p| p.prompt), i),
                (Source::Class, _) => add(slots.class_token, 0),
                (Source::Content(i), Content::Tokens(ids)) => add(slots.words, ids[i] as usize),
                (Source::Content(_), Content::Patches(_)) => patches.push(row),
            }
            if let Some(position) = position {
                add(slots.positions, position);
            }
            add(slots.token_type, 0);
        }
        if let Some(d_patches) = d_patches {
            let out = self.room(d_patches, patches.len() * width);
            self.pick_rows(d_out, patches.into_iter().map(Some), width, out);
        }
        if destinations.is_empty() {
            return;
        }
        let ends = destinations.values().scan(0, |sum, rows| {
            *sum += rows.len() as i32;
            Some(*sum)
        });
        let starts = self.table(&std::iter::once(0).chain(ends).collect::<Vec<i32>>());
        let list = self.table(&destinations.values().flatten().copied().collect::<Vec<i32>>());
        let at = self.table(&destinations.keys().map(|d| *d as i64).collect::<Vec<i64>>());
        let arguments = ScatterArguments {
            rows: d_out,
            out: gradient.singles(packing.segments().len() * stride),
            starts: starts.address(),
            list: list.address(),
            destinations: at.address(),
            width: width as i32,
            unused: 0,
        };
        self.run(arguments.launch(destinations.len()));
    }

    pub(super) fn classify_rows(
        &self,
        packing: &Packing,
        hidden: &Buffer,
        slot: HeadSlot,
        trainable: Trainable<'_, Self>,
        targets: Targets<'_>,
        gradient: Option<HeadGradient<'_, Self>>,
    ) -> Vec<SequenceOutcome> {
        let spans = self.spans(packing);
        let (sequences, len) = (spans.sequence_count, spans.rows * slot.width);
        let read: Vec<_> = packing.all_sequence_rows().map(|rows| read_rows(rows, slot)).collect();
        let first = self.table(&read.iter().map(|r| r.start as i32).collect::<Vec<i32>>());
        let end = self.table(&read.iter().map(|r| r.end as i32).collect::<Vec<i32>>());
        let labels = match targets {
            Targets::Classes(classes) => Some(self.table(&classes.iter().map(|c| *c as i32).collect::<Vec<i32>>())),
            Targets::Values(_) => None,
        };
        let values = match targets {
            Targets::Classes(_) => None,
            Targets::Values(values) => Some(self.table(values)),
        };
        let weights: Vec<f32> = match &gradient {
            Some(gradient) => gradient.weights.iter().map(|w| *w as f32).collect(),
            None => vec![0.0; sequences],
        };
        let weights = self.table(&weights);
        let single = |len: usize| self.working(Kind::Single, len);
        let (pooled, losses) = (single(sequences * slot.width), single(sequences));
        let (answers, d_answers) = (single(sequences * slot.outputs), single(sequences * slot.outputs));
        let mut arguments = HeadArguments {
            hidden: hidden.halves(len),
            parameters: parameters(&spans, trainable),
            offsets: spans.sequences,
            read_first: first.address(),
            read_end: end.address(),
            clients: spans.client_of,
            segments: spans.segments,
            labels: labels.as_ref().map_or(Address::NULL, Block::address),
            values: values.as_ref().map_or(Address::NULL, Block::address),
            weights: weights.address(),
            pooled: pooled.address(),
            answers: answers.address(),
            d_answers: d_answers.address(),
            losses: losses.address(),
            d_hidden: Address::NULL,
            gradient: Address::NULL,
            group: trainable.stride as i64,
            weight: slot.weight as i64,
            bias: slot.bias as i64,
            width: slot.width as i32,
            outputs: slot.outputs as i32,
        };
        arguments.forward(sequences).into_iter().for_each(|launch| self.run(launch));
        if let Some(gradient) = gradient {
            arguments.d_hidden = self.room(gradient.hidden, len);
            arguments.gradient = gradient.parameters.singles(spans.client_count * trainable.stride);
            arguments.backward(sequences, spans.client_count).into_iter().for_each(|launch| self.run(launch));
        }
        let losses: Vec<f32> = self.fetched(losses.address(), sequences);
        let answers: Vec<f32> = self.fetched(answers.address(), sequences * slot.outputs);
        let outcomes = losses.iter().zip(answers.chunks_exact(slot.outputs)).enumerate();
        outcomes.map(|(i, (loss, answers))| outcome(f64::from(*loss), answers, i, targets)).collect()
    }
}

fn outcome(loss: f64, answers: &[f32], sequence: usize, targets: Targets<'_>) -> SequenceOutcome {
    match targets {
        Targets::Classes(labels) => {
            let best = (1..answers.len()).fold(0, |best, c| if answers[c] > answers[best] { c } else { best });
            let correct = u32::from(best == labels[sequence] as usize);
            SequenceOutcome { loss, targets: 1, correct, prediction: best as u32, value: 0.0 }
        }
        Targets::Values(_) => {
            SequenceOutcome { loss, targets: 1, correct: 0, prediction: 0, value: f64::from(answers[0]) }
        }
    }
}
