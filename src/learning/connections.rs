//! Neural connections formed by a channel, as a field of the options of steps and tests.

use super::identity::IdentityBuilder;
use super::operation::Client;
use crate::nn::SumChannel;
use crate::random::CounterStream;

/// Adds `channel` to the identity of a step or a test, unless there is none.
pub(super) fn identify(b: IdentityBuilder, channel: Option<&SumChannel>) -> IdentityBuilder {
    let Some(SumChannel { blocks, gains, noise_std, noise }) = channel else { return b };
    let b = b.text("connections").word(blocks.len() as u64);
    let b = blocks.iter().fold(b, |b, block| b.word(*block as u64)).word(gains.len() as u64);
    let b = gains.iter().fold(b, |b, gain| b.real(*gain)).real(*noise_std);
    b.word(noise.key().0).word(noise.key().1)
}

/// The channel as one step of one client meets it: every step has noise of its own.
pub(super) fn of_step(channel: &SumChannel, client: Client, step: u64) -> SumChannel {
    let number = match client {
        Client::Device(n) => u64::from(n),
        Client::Pool => u64::MAX,
    };
    let noise: CounterStream = channel.noise.child(number).child(step);
    SumChannel { noise, ..channel.clone() }
}
