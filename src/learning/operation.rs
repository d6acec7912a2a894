//! The operations of the learning plane, as data.

use super::evaluation_options::EvaluationOptions;
use super::identity::{Identity, IdentityBuilder};
use super::step_options::StepOptions;
use crate::random::CounterStream;
use crate::scenario::ServerSpec;
use std::ops::Range;

/// Whose data a step uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// The device with this number.
    Device(u32),
    /// All training samples pooled, as after uploading raw data.
    Pool,
}

impl Client {
    /// The name that derives the client's random streams.
    pub fn name(self) -> String {
        match self {
            Client::Device(n) => format!("device/{n}"),
            Client::Pool => "pool".to_owned(),
        }
    }
}

/// How several updates become one, entry by entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Combination {
    /// Mean of the states with these weights (they sum to 1).
    Mean { weights: Vec<f64> },
    /// The same, but of low-rank pairs the mean of their products, taken apart again into the ranks that they had.
    MeanOfProducts { weights: Vec<f64> },
    /// Superposition of the updates (differences to the reference) by the channel.
    ///
    /// With `sigma` the largest root mean square of a tensor's updates over the devices that transmit, the tensor
    /// becomes reference + sigma * (sum_k weights_k update_k / sigma + noise_std * n), n standard normal. Dividing by
    /// the largest keeps every device within its average power.
    OverTheAir { weights: Vec<f64>, noise_std: f64, noise: CounterStream },
}

impl Combination {
    fn identify(&self, mut b: IdentityBuilder) -> IdentityBuilder {
        let (kind, weights) = match self {
            Combination::Mean { weights } => ("mean", weights),
            Combination::MeanOfProducts { weights } => ("mean_of_products", weights),
            Combination::OverTheAir { weights, .. } => ("over_the_air", weights),
        };
        b = b.text(kind).word(weights.len() as u64);
        b = weights.iter().fold(b, |b, w| b.real(*w));
        if let Combination::OverTheAir { noise_std, noise, .. } = self {
            b = b.real(*noise_std).word(noise.key().0).word(noise.key().1);
        }
        b
    }
}

/// One operation; its inputs are other nodes of the graph.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// The untrained parameters. No input.
    Initial,
    /// One optimiser step on one mini-batch. Inputs: the state before, then those that the options ask for.
    LocalStep { client: Client, step: u64, fresh_optimizer: bool, options: StepOptions },
    /// Inputs: the reference state, then the updated states. Ranges are disjoint; entries in none keep the reference.
    Combine { parts: Vec<(Vec<Range<usize>>, Combination)> },
    /// Loss and accuracy on `samples` test samples, evenly spread. Inputs: the state, then those that the options ask for.
    Evaluate { samples: usize, options: EvaluationOptions },
    /// Mean training loss of the steps that led to the inputs.
    MeanLoss,
    /// Parameters that are all zero. No input.
    Zeros,
    /// SCAFFOLD's next control variate. Inputs: the device's own, the server's, where its `steps` local steps started
    /// and where they led.
    ControlVariate { steps: u64 },
    /// The state with the first `rank` ranks of each low-rank pair, the others zero. Input: the state.
    FirstRanks { rank: usize },
    /// A step of the server's optimiser. Inputs: the state before, whose moments are the server's memory, and the round's
    /// combined state.
    ServerStep { rule: ServerSpec },
}

impl Operation {
    /// Whether the result is a number to report rather than a state to go on from.
    pub fn is_metric(&self) -> bool {
        matches!(self, Operation::Evaluate { .. } | Operation::MeanLoss)
    }

    pub fn identity(&self, task: Identity, inputs: impl Iterator<Item = Identity>) -> Identity {
        let b = match self {
            Operation::Initial => IdentityBuilder::new("initial").identity(task),
            Operation::LocalStep { client, step, fresh_optimizer, options } => {
                let number = match client {
                    Client::Device(n) => u64::from(*n),
                    Client::Pool => u64::MAX,
                };
                let b = IdentityBuilder::new("local_step").word(number).word(*step).word(u64::from(*fresh_optimizer));
                options.identify(b)
            }
            Operation::Combine { parts } => {
                let b = IdentityBuilder::new("combine").word(parts.len() as u64);
                parts.iter().fold(b, |b, (ranges, combination)| {
                    let b = b.word(ranges.len() as u64);
                    let b = ranges.iter().fold(b, |b, r| b.word(r.start as u64).word(r.end as u64));
                    combination.identify(b)
                })
            }
            Operation::Evaluate { samples, options } => {
                options.identify(IdentityBuilder::new("evaluate").word(*samples as u64))
            }
            Operation::MeanLoss => IdentityBuilder::new("mean_loss"),
            Operation::Zeros => IdentityBuilder::new("zeros").identity(task),
            Operation::ControlVariate { steps } => IdentityBuilder::new("control_variate").word(*steps),
            Operation::FirstRanks { rank } => IdentityBuilder::new("first_ranks").word(*rank as u64),
            Operation::ServerStep { rule } => IdentityBuilder::new("server_step").text(&format!("{rule:?}")),
        };
        inputs.fold(b, |b, i| b.identity(i)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_an_operation_is_part_of_its_identity() {
        let task = IdentityBuilder::new("task").finish();
        let step = |client, step, fresh_optimizer| {
            let options = StepOptions::default();
            Operation::LocalStep { client, step, fresh_optimizer, options }.identity(task, std::iter::once(task))
        };
        let test = |samples| {
            let options = EvaluationOptions::default();
            Operation::Evaluate { samples, options }.identity(task, std::iter::once(task))
        };
        let air = |noise_std, key| {
            let c = Combination::OverTheAir { weights: vec![1.0], noise_std, noise: CounterStream::new(key, 0) };
            let whole: Vec<Range<usize>> = std::iter::once(0..4).collect();
            Operation::Combine { parts: vec![(whole, c)] }.identity(task, std::iter::once(task))
        };
        let all = [
            step(Client::Device(0), 0, true),
            step(Client::Device(1), 0, true),
            step(Client::Pool, 0, true),
            step(Client::Device(0), 1, true),
            step(Client::Device(0), 0, false),
            air(0.1, 1),
            air(0.2, 1),
            air(0.1, 2),
            Operation::MeanLoss.identity(task, std::iter::once(task)),
            test(5),
            test(6),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(step(Client::Device(3), 7, false), step(Client::Device(3), 7, false));
    }
}
