//! Who gets which resource blocks of a slot: a trait, a file each.
//!
//! A scheduler sees candidates and block counts, no channels and no bytes; start at [`Scheduler`]. The band fades as
//! one, so a block is as good as another and only their number is dealt.

mod best_first;
mod max_rate;
mod proportional_fair;
mod round_robin;

pub use max_rate::MaxRate;
pub use proportional_fair::ProportionalFair;
pub use round_robin::RoundRobin;

/// A transfer that could send in this slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Of the transfer; candidates come in rising order.
    pub key: u64,
    /// Bits that the link adaptation expects of one resource block in this slot.
    pub bits_per_block: f64,
    /// Bits served in a slot, averaged over [`Scheduler::window_slots`]; 0 for a scheduler without a window.
    pub average_bits: f64,
    /// Part of the band that is this transfer's own.
    pub reserved_share: Option<f64>,
}

/// What a candidate made of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    pub blocks: u32,
    /// It has nothing left to send: the rest of the grant is free for others.
    pub satisfied: bool,
}

pub trait Scheduler: std::fmt::Debug + Send {
    /// Deals `blocks` resource blocks. `serve(i, n)` lets `ready[i]` transmit on at most `n` of them, once a slot.
    fn deal(&mut self, blocks: u32, ready: &[Candidate], serve: &mut dyn FnMut(usize, u32) -> Use);

    /// Whether [`Candidate::bits_per_block`] is looked at; it is 0 otherwise.
    fn weighs_rates(&self) -> bool {
        true
    }

    /// Over how many slots [`Candidate::average_bits`] is to be averaged.
    fn window_slots(&self) -> Option<f64> {
        None
    }
}
