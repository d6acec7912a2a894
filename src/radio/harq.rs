//! Hybrid ARQ: transport blocks that failed wait for their feedback and go out again, and the receiver combines what
//! it got. Knows counts and SNRs; whether a transmission fails is the caller's draw.

use std::collections::VecDeque;

/// What a receiver makes of several transmissions of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combining {
    /// Each transmission stands for itself.
    None,
    /// Chase: the SNRs add.
    Chase,
    /// Each transmission brings new redundancy: the mutual information of Gaussian symbols adds, that is
    /// 1 + SNR multiplies (Caire and Tuninetti 2001, from memory).
    IncrementalRedundancy,
}

impl Combining {
    /// Effective SNR after a further transmission; `before` is 0 for the first.
    pub fn after(self, before: f64, snr: f64) -> f64 {
        match self {
            Self::None => snr,
            Self::Chase => before + snr,
            Self::IncrementalRedundancy => before + snr + before * snr,
        }
    }
}

/// A transport block that has failed and waits to go out again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waiting<B> {
    /// First slot in which it may go out.
    pub due: u64,
    /// Transmissions so far.
    pub transmissions: u32,
    /// Linear effective SNR of them together.
    pub effective_snr: f64,
    pub block: B,
}

/// The processes of one transfer: stop-and-wait each, all with the same round-trip time.
///
/// That time being one for all, blocks come due in the order in which they went out.
#[derive(Clone, Debug)]
pub struct Processes<B> {
    limit: usize,
    round_trip_slots: u64,
    waiting: VecDeque<Waiting<B>>,
    /// Decoded blocks whose acknowledgement is on its way, and whether it tells anything new.
    acknowledged: VecDeque<(u64, bool)>,
}

impl<B: Copy> Processes<B> {
    pub fn new(limit: usize, round_trip_slots: u64) -> Self {
        let (waiting, acknowledged) = (VecDeque::with_capacity(limit), VecDeque::with_capacity(limit));
        Self { limit, round_trip_slots, waiting, acknowledged }
    }

    /// Whether a new block may go out.
    pub fn has_free(&self) -> bool {
        self.waiting.len() + self.acknowledged.len() < self.limit
    }

    /// A block got through in `slot`; `informative` comes back with its acknowledgement.
    pub fn succeeded(&mut self, slot: u64, informative: bool) {
        self.acknowledged.push_back((slot + self.round_trip_slots, informative));
    }

    /// A block failed in `slot`.
    pub fn failed(&mut self, slot: u64, transmissions: u32, effective_snr: f64, block: B) {
        let due = slot + self.round_trip_slots;
        self.waiting.push_back(Waiting { due, transmissions, effective_snr, block });
    }

    /// Frees a process whose acknowledgement has arrived by `slot`.
    pub fn take_acknowledged(&mut self, slot: u64) -> Option<bool> {
        let (due, informative) = *self.acknowledged.front()?;
        (due <= slot).then(|| self.acknowledged.pop_front())?.map(|_| informative)
    }

    /// The block that is due in `slot`, longest waiting first.
    pub fn due(&self, slot: u64) -> Option<&Waiting<B>> {
        self.waiting.front().filter(|w| w.due <= slot)
    }

    /// Takes the block that is due in `slot` for its next transmission, or for giving it up.
    pub fn take_due(&mut self, slot: u64) -> Option<Waiting<B>> {
        self.due(slot)?;
        self.waiting.pop_front()
    }

    /// When something comes due, if anything is on its way.
    pub fn next_due(&self) -> Option<u64> {
        let acknowledged = self.acknowledged.front().map(|(due, _)| *due);
        self.waiting.front().map(|w| w.due).into_iter().chain(acknowledged).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combining_adds_snr_or_information() {
        let after = |c: Combining| c.after(c.after(0.0, 3.0), 1.0);
        assert_eq!(after(Combining::None), 1.0);
        assert_eq!(after(Combining::Chase), 4.0);
        // log2(1 + 7) = log2(1 + 3) + log2(1 + 1).
        assert_eq!(after(Combining::IncrementalRedundancy), 7.0);
    }

    #[test]
    fn processes_are_busy_until_their_feedback() {
        let mut p = Processes::new(2, 8);
        p.succeeded(10, true);
        p.failed(11, 1, 0.5, 'b');
        assert!(!p.has_free());
        assert_eq!((p.next_due(), p.take_acknowledged(17), p.due(18)), (Some(18), None, None));
        assert_eq!(p.take_acknowledged(18), Some(true));
        assert!(p.has_free());
        assert_eq!(p.take_due(19), Some(Waiting { due: 19, transmissions: 1, effective_snr: 0.5, block: 'b' }));
        assert_eq!(p.next_due(), None);
    }
}
