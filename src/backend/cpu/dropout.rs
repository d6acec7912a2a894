//! Dropout (Srivastava et al. 2014) of a low-rank term's input.

use super::scalar::Scalar;
use crate::backend::{Dropout, LoraSlot};
use crate::random::CounterStream;

/// Which elements of one client's rows of one slot's input are left out.
#[derive(Clone, Copy)]
pub(super) struct Mask {
    stream: CounterStream,
    first_row: u64,
    share: f64,
}

impl Mask {
    /// `None` where nothing is dropped.
    pub(super) fn of(dropout: Option<&Dropout>, slot: &LoraSlot, client: usize) -> Option<Self> {
        let (stream, first_row) = dropout.filter(|_| slot.dropout > 0.0)?.masks[client];
        Some(Self { stream: stream.child(slot.a as u64), first_row, share: slot.dropout })
    }

    /// Calls `each(kept factor, x, y)` for all elements of rows of `width`: the factor is 0 or `1 / (1 - share)`, so
    /// that the mean of what is left stays.
    fn for_each<T: Scalar>(&self, x: &[T], y: &mut [T], width: usize, each: impl Fn(T, T, &mut T)) {
        let kept = T::from_f64(1.0 / (1.0 - self.share));
        let first = self.first_row * width as u64;
        for ((n, &x), y) in (first..).zip(x).zip(y) {
            each(if self.stream.uniform(n) >= self.share { kept } else { T::ZERO }, x, y);
        }
    }

    /// `out = drop(x)`.
    pub(super) fn apply<T: Scalar>(&self, x: &[T], width: usize, out: &mut [T]) {
        self.for_each(x, out, width, |factor, x, out| *out = factor * x);
    }

    /// `dx += drop(d)`: the gradient of [`Mask::apply`].
    pub(super) fn add_gradient<T: Scalar>(&self, d: &[T], width: usize, dx: &mut [T]) {
        self.for_each(d, dx, width, |factor, d, dx| *dx += factor * d);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_share_the_mean_and_the_place_in_the_batch() {
        let slot = LoraSlot {
            a: 5,
            b: 0,
            rank: 1,
            scale: 1.0,
            inputs: 7,
            outputs: 1,
            column: 0,
            reduced_column: 0,
            diagonal: None,
            magnitude: None,
            dropout: 0.25,
        };
        let from_row = |row| Dropout { masks: vec![(CounterStream::new(1, 2), row)] };
        let x = vec![1.0; 7 * 4000];
        let (mut whole, mut tail) = (vec![f64::NAN; 7 * 4000], vec![f64::NAN; 7 * 1000]);
        Mask::of(Some(&from_row(0)), &slot, 0).expect("drops").apply(&x, 7, &mut whole);
        Mask::of(Some(&from_row(3000)), &slot, 0).expect("drops").apply(&x[..7000], 7, &mut tail);
        assert_eq!(whole[21_000..], tail, "a batch cut in two drops the same elements");
        let dropped = whole.iter().filter(|&&v| v == 0.0).count() as f64 / 28_000.0;
        // Four standard errors of a binomial share.
        assert!((dropped - 0.25).abs() < 4.0 * (0.25 * 0.75 / 28_000f64).sqrt(), "{dropped}");
        assert!(whole.iter().all(|&v| v == 0.0 || v == 1.0 / 0.75));
        assert!(Mask::of(None, &slot, 0).is_none());
        assert!(Mask::of(Some(&from_row(0)), &LoraSlot { dropout: 0.0, ..slot }, 0).is_none());
        let other = Mask::of(Some(&from_row(0)), &LoraSlot { a: 6, ..slot }, 0).expect("drops");
        let mut elsewhere = vec![0.0; 28_000];
        other.apply(&x, 7, &mut elsewhere);
        assert_ne!(whole, elsewhere);
    }
}
