//! Answers worked out before: devices with equal mini-batches ask the same question of the cost model again and again.

use crate::fomo::{BatchShape, Segment};
use std::cell::RefCell;
use std::collections::HashMap;

/// More answers than this are forgotten, and worked out again.
const MOST_ANSWERS: usize = 1 << 14;

/// What an answer depends on, beside the demand that is asked: a part of the model, the way through it, the batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub segment: Option<Segment>,
    pub backward: bool,
    pub batch: BatchShape,
}

/// Answers of one kind. A copy starts empty, for the copy's owner may answer otherwise.
#[derive(Debug)]
pub(super) struct Memo<T>(RefCell<HashMap<Question, T>>);

impl<T: Copy> Memo<T> {
    pub fn get(&self, question: Question, answer: impl FnOnce() -> T) -> T {
        if let Some(known) = self.0.borrow().get(&question) {
            return *known;
        }
        let answer = answer();
        let mut known = self.0.borrow_mut();
        if known.len() >= MOST_ANSWERS {
            known.clear();
        }
        known.insert(question, answer);
        answer
    }
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> Clone for Memo<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}
