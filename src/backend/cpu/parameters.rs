//! Access to the clients' parameter sets, and which rows share one.

use super::Cpu;
use super::scalar::Scalar;
use super::storage::Storage;
use crate::backend::{Packing, Trainable};
use std::ops::Range;

/// The clients' parameters, one set a client.
#[derive(Clone, Copy)]
pub(super) struct Sets<'a, T> {
    values: &'a [T],
    stride: usize,
}

impl<'a, T> Sets<'a, T> {
    /// The `len` values at `offset` of a client's set.
    pub(super) fn tensor(&self, client: usize, offset: usize, len: usize) -> &'a [T] {
        &self.values[client * self.stride + offset..][..len]
    }
}

impl<'a, T: Scalar, S: Storage<T>> From<Trainable<'a, Cpu<T, S>>> for Sets<'a, T> {
    fn from(trainable: Trainable<'a, Cpu<T, S>>) -> Self {
        Self { values: trainable.values, stride: trainable.stride }
    }
}

/// The gradients of the clients' parameters, laid out as [`Sets`].
pub(super) struct GradientSets<'a, T> {
    values: &'a mut [T],
    stride: usize,
}

impl<'a, T> GradientSets<'a, T> {
    pub(super) fn new(values: &'a mut [T], stride: usize) -> Self {
        Self { values, stride }
    }

    pub(super) fn tensor(&mut self, client: usize, offset: usize, len: usize) -> &mut [T] {
        &mut self.values[client * self.stride + offset..][..len]
    }
}

/// Rows that share their parameters, with the client whose they are: one part a client where clients have their
/// `own`, otherwise one part for all.
pub(super) fn parts(packing: &Packing, own: bool) -> Vec<(usize, Range<usize>)> {
    if own { packing.segment_rows().enumerate().collect() } else { vec![(0, 0..packing.rows())] }
}
