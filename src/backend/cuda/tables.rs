//! Small tables that kernels read beside their arrays: where clients and sequences start, angles of rotary positions.
//!
//! They come again from operation to operation and from step to step, so they are kept.

use super::arena::{Block, Purpose};
use super::{Address, Cuda};
use crate::backend::{Packing, Rotary};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Packings whose tables are kept: a pass has up to three, and several passes may be under way.
const KEPT: usize = 64;

/// A [`Packing`] as kernels read it. All tables are `i32`.
pub(super) struct Spans {
    _block: Block,
    /// First row of each sequence and one more.
    pub sequences: Address,
    /// First row of each client and one more.
    pub clients: Address,
    /// Client of each sequence.
    pub client_of: Address,
    /// First sequence of each client and one more.
    pub segments: Address,
    /// Of each row in its sequence.
    pub positions: Address,
    pub rows: usize,
    pub sequence_count: usize,
    pub client_count: usize,
    /// Of a client.
    pub most_rows: usize,
    /// Of a sequence.
    pub longest: usize,
}

/// Cosines and sines, `[positions, half]`, single precision.
pub(super) struct Angles {
    _block: Block,
    pub cosine: Address,
    pub sine: Address,
    /// For the gradient.
    pub negative_sine: Address,
    positions: usize,
}

#[derive(Default)]
pub(super) struct Tables {
    packings: Mutex<VecDeque<(Packing, Arc<Spans>)>>,
    rotaries: Mutex<Vec<(Rotary, Arc<Angles>)>>,
}

impl Cuda {
    pub(super) fn spans(&self, packing: &Packing) -> Arc<Spans> {
        let mut kept = self.tables().packings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, spans)) = kept.iter().find(|(p, _)| p == packing) {
            return spans.clone();
        }
        let spans = Arc::new(self.new_spans(packing));
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back((packing.clone(), spans.clone()));
        spans
    }

    fn new_spans(&self, packing: &Packing) -> Spans {
        let mut words: Vec<i32> = Vec::new();
        let mut table = |values: &mut dyn Iterator<Item = usize>| {
            let first = words.len();
            words.extend(values.map(|v| v as i32));
            first
        };
        let ends = |last: usize| std::iter::once(last);
        let (rows, sequence_count) = (packing.rows(), packing.sequences());
        let sequences = table(&mut packing.all_sequence_rows().map(|r| r.start).chain(ends(rows)));
        let clients = table(&mut packing.segment_rows().map(|r| r.start).chain(ends(rows)));
        let segments = packing.segments().iter().enumerate();
        let client_of = table(&mut segments.flat_map(|(client, s)| s.clone().map(move |_| client)));
        let segments = table(&mut packing.segments().iter().map(|s| s.start).chain(ends(sequence_count)));
        let positions = table(&mut packing.all_sequence_rows().flat_map(|r| 0..r.len()));
        let block = self.uploaded(bytes_of(&words), Purpose::Uploads);
        let at = |first: usize| block.address().singles(first);
        Spans {
            sequences: at(sequences),
            clients: at(clients),
            client_of: at(client_of),
            segments: at(segments),
            positions: at(positions),
            rows,
            sequence_count,
            client_count: packing.segments().len(),
            most_rows: packing.segment_rows().map(|r| r.len()).max().unwrap_or(0),
            longest: packing.all_sequence_rows().map(|r| r.len()).max().unwrap_or(0),
            _block: block,
        }
    }

    /// Angles of at least `positions` positions.
    pub(super) fn angles(&self, rotary: &Rotary, positions: usize) -> Arc<Angles> {
        let mut kept = self.tables().rotaries.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().position(|(r, _)| r == rotary);
        if let Some(angles) = found.map(|i| &kept[i].1).filter(|a| a.positions >= positions) {
            return angles.clone();
        }
        let positions = positions.next_power_of_two();
        let angle = |p: usize| rotary.inverse_frequencies.iter().map(move |f| p as f64 * f);
        let all = || (0..positions).flat_map(angle);
        let (cosines, sines) = (all().map(f64::cos), all().map(f64::sin));
        let values: Vec<f32> = cosines.chain(sines.clone()).chain(sines.map(|s| -s)).map(|v| v as f32).collect();
        let block = self.uploaded(bytes_of(&values), Purpose::Uploads);
        let at = |part: usize| block.address().singles(part * values.len() / 3);
        let angles = Arc::new(Angles { cosine: at(0), sine: at(1), negative_sine: at(2), positions, _block: block });
        match found {
            Some(i) => kept[i].1 = angles.clone(),
            None => kept.push((rotary.clone(), angles.clone())),
        }
        angles
    }
}

/// Numbers as they lie in memory.
pub(super) trait Plain: Copy {}
impl Plain for i32 {}
impl Plain for i64 {}
impl Plain for u64 {}
impl Plain for f32 {}
impl Plain for half::f16 {}

pub(super) fn bytes_of<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: `Plain` types are numbers: all bytes are initialised, and any alignment is one of bytes.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

pub(super) fn bytes_of_mut<T: Plain>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: as above, and any bytes are a number.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}
