//! What a device makes of its update before it crosses the air, and what it keeps of it for the next round.
//!
//! Error feedback (Stich, Cordonnier, Jaggi 2018, arXiv 1809.07599; Karimireddy et al. 2019, arXiv 1901.09847): whatever
//! a compressed, weakened or withheld update left unsent is kept on the device and added to its next update. Sent and
//! kept parts always sum to the update.

use super::compression::Compression;
use super::identity::IdentityBuilder;
use super::value::State;
use crate::random::CounterStream;
use std::ops::Range;

/// A change of one device's state, entry by entry or of its update as a whole.
#[derive(Clone, Debug, PartialEq)]
pub enum Shaping {
    /// Adds what earlier rounds left unsent. Inputs: the state, the residual.
    Compensate,
    /// The state as the receiver gets it: reference plus compressed update. Inputs: the reference, the state.
    Compress { compression: Compression, noise: CounterStream },
    /// The residual of an update of which `sent` (0 to 1) arrived. Inputs: the reference, the state.
    Withhold { sent: f64 },
    /// The residual of an update that arrived as another one. Inputs: the state as it was, the state that arrived.
    Remainder,
}

impl Shaping {
    pub(super) fn identify(&self, b: IdentityBuilder) -> IdentityBuilder {
        match self {
            Self::Compensate => b.text("compensate"),
            Self::Compress { compression, noise } => {
                compression.identify(b.text("compress")).word(noise.key().0).word(noise.key().1)
            }
            Self::Withhold { sent } => b.text("withhold").real(*sent),
            Self::Remainder => b.text("remainder"),
        }
    }

    /// The outcome on the entries in `ranges`. Elsewhere a state keeps what it has, and a residual is 0.
    pub(super) fn apply(&self, ranges: &[Range<usize>], [first, second]: [&State; 2]) -> State {
        let (a, b) = (&first.parameters, &second.parameters);
        let entries = || ranges.iter().cloned().flatten();
        let difference = |x: &[f32], y: &[f32], i: usize| f64::from(x[i]) - f64::from(y[i]);
        let mut out = match self {
            Self::Compensate => a.clone(),
            Self::Compress { .. } => b.clone(),
            Self::Withhold { .. } | Self::Remainder => vec![0.0; a.len()],
        };
        match self {
            Self::Compensate => entries().for_each(|i| out[i] = (f64::from(a[i]) + f64::from(b[i])) as f32),
            Self::Compress { compression, noise } => {
                let mut update: Vec<f64> = entries().map(|i| difference(b, a, i)).collect();
                let before = update.clone();
                compression.apply(&mut update, noise);
                for ((i, sent), whole) in entries().zip(update).zip(before) {
                    // What is sent as it is arrives as it is: adding it to the reference again would round.
                    out[i] = if sent == whole { b[i] } else { (f64::from(a[i]) + sent) as f32 };
                }
            }
            Self::Withhold { sent } => entries().for_each(|i| out[i] = ((1.0 - sent) * difference(b, a, i)) as f32),
            Self::Remainder => entries().for_each(|i| out[i] = difference(a, b, i) as f32),
        }
        State { parameters: out, moments: None, loss: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(parameters: &[f32]) -> State {
        State { parameters: parameters.to_vec(), moments: None, loss: None }
    }

    #[test]
    fn what_is_sent_and_what_is_kept_sum_to_the_update() {
        let reference = state(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let trained = state(&[1.5, 1.75, 3.0, 8.0, 5.125, 0.0]);
        let ranges = [0..2, 3..6];
        for compression in
            [Compression::TopK { kept: 2 }, Compression::qsgd(2, 3), Compression::rand_k(2, 5).contracting()]
        {
            let noise = CounterStream::new(1, 2);
            let sent = Shaping::Compress { compression, noise }.apply(&ranges, [&reference, &trained]);
            let kept = Shaping::Remainder.apply(&ranges, [&trained, &sent]);
            let again = Shaping::Compensate.apply(&ranges, [&sent, &kept]);
            for i in 0..6 {
                assert!((again.parameters[i] - trained.parameters[i]).abs() < 1e-6, "entry {i}");
            }
            assert_eq!(sent.parameters[2], trained.parameters[2], "entries beside the ranges stay");
            assert_eq!(kept.parameters[2], 0.0);
        }
        let kept = Shaping::Withhold { sent: 0.25 }.apply(&ranges, [&reference, &trained]);
        assert_eq!(kept.parameters, [0.375, -0.1875, 0.0, 3.0, 0.09375, -4.5]);
        let all = Shaping::Withhold { sent: 1.0 }.apply(&ranges, [&reference, &trained]);
        assert!(all.parameters.iter().all(|x| *x == 0.0));
    }

    #[test]
    fn keeping_every_entry_is_sending_the_state_itself() {
        let (reference, trained) = (state(&[0.1, 0.7, -3.3]), state(&[0.3, 0.7, 1e-9]));
        let noise = CounterStream::new(1, 2);
        let compress = Shaping::Compress { compression: Compression::TopK { kept: 3 }, noise };
        let whole: Vec<Range<usize>> = std::iter::once(0..3).collect();
        assert_eq!(compress.apply(&whole, [&reference, &trained]), state(&trained.parameters));
    }
}
