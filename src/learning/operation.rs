//! The operations of the learning plane, as data.

use super::emulated::{self, Emulated};
use super::evaluation_options::EvaluationOptions;
use super::identity::{Identity, IdentityBuilder};
use super::shaping::Shaping;
use super::slopes::SlopeMean;
use super::step_options::StepOptions;
use super::superposition::{Normalisation, Superposition};
use crate::scenario::ServerSpec;
use std::ops::Range;
use std::sync::Arc;

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
    /// the largest keeps every device within its average power. [`Normalisation`] has other ways.
    OverTheAir { air: Superposition, normalisation: Normalisation },
    /// The majority of the updates' signs as the channel adds them: each entry becomes reference +- step.
    MajorityVote { air: Superposition, step: f64 },
}

impl Combination {
    fn identify(&self, b: IdentityBuilder) -> IdentityBuilder {
        match self {
            Combination::Mean { weights } => {
                weights.iter().fold(b.text("mean").word(weights.len() as u64), |b, w| b.real(*w))
            }
            Combination::MeanOfProducts { weights } => {
                weights.iter().fold(b.text("mean_of_products").word(weights.len() as u64), |b, w| b.real(*w))
            }
            Combination::OverTheAir { air, normalisation } => {
                let b = air.identify(b.text("over_the_air"));
                match normalisation {
                    Normalisation::PerTensor => b,
                    Normalisation::Global => b.text("normalised globally"),
                    Normalisation::None => b.text("not normalised"),
                }
            }
            Combination::MajorityVote { air, step } => air.identify(b.text("majority_vote")).real(*step),
        }
    }
}

/// One operation; its inputs are other nodes of the graph.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// The untrained parameters. No input.
    Initial,
    /// One optimiser step on one mini-batch. Inputs: the state before, then those of which the options' terms speak.
    LocalStep { client: Client, step: u64, fresh_optimizer: bool, options: StepOptions },
    /// Inputs: the reference state, then the updated states. Ranges are disjoint; entries in none keep the reference.
    Combine { parts: Vec<(Vec<Range<usize>>, Combination)> },
    /// One state with some entries, and what the optimiser remembers of them, from another. Inputs: the one, the other.
    Splice { ranges: Vec<Range<usize>> },
    /// What one device makes of its state, on the entries in `ranges`. Inputs: as the shaping says.
    Shape { ranges: Vec<Range<usize>>, shaping: Shaping },
    /// A zeroth-order step along the direction that all clients share at this step. Inputs: the state before, then the slopes.
    FollowSlopes { step: u64, mean: SlopeMean },
    /// Loss and accuracy on `samples` test samples, evenly spread. Inputs: the state, then those that the options ask for.
    Evaluate { samples: usize, options: EvaluationOptions },
    /// Mean training loss of the steps that led to the inputs.
    MeanLoss,
    /// How far an emulator's hidden states are from the model's on `samples` test samples, evenly spread. No input.
    EmulatorDistance { samples: usize, emulated: Arc<Emulated> },
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
        matches!(self, Operation::Evaluate { .. } | Operation::MeanLoss | Operation::EmulatorDistance { .. })
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
            Operation::Splice { ranges } => {
                let b = IdentityBuilder::new("splice").word(ranges.len() as u64);
                ranges.iter().fold(b, |b, r| b.word(r.start as u64).word(r.end as u64))
            }
            Operation::Shape { ranges, shaping } => {
                let b = IdentityBuilder::new("shape").word(ranges.len() as u64);
                let b = ranges.iter().fold(b, |b, r| b.word(r.start as u64).word(r.end as u64));
                shaping.identify(b)
            }
            Operation::FollowSlopes { step, mean } => mean.identify(IdentityBuilder::new("follow_slopes").word(*step)),
            Operation::Evaluate { samples, options } => {
                options.identify(IdentityBuilder::new("evaluate").word(*samples as u64))
            }
            Operation::MeanLoss => IdentityBuilder::new("mean_loss"),
            Operation::EmulatorDistance { samples, emulated } => {
                let b = IdentityBuilder::new("emulator_distance").identity(task).word(*samples as u64);
                emulated::identify(b, Some(emulated))
            }
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
    use crate::learning::{Compression, Misalignment};
    use crate::random::CounterStream;

    #[test]
    fn every_field_of_what_crosses_the_air_is_part_of_the_identity() {
        let task = IdentityBuilder::new("task").finish();
        let whole: Vec<Range<usize>> = std::iter::once(0..4).collect();
        let combined = |c| Operation::Combine { parts: vec![(whole.clone(), c)] }.identity(task, std::iter::once(task));
        let shaped =
            |shaping| Operation::Shape { ranges: whole.clone(), shaping }.identity(task, std::iter::once(task));
        let noise = CounterStream::new(1, 2);
        let air = |radians: Option<f64>| Superposition {
            weights: vec![1.0],
            misalignment: radians.map(|r| Misalignment {
                radians: vec![r],
                radians_per_subcarrier: vec![0.0],
                subcarriers: 12,
            }),
            noise_std: 0.1,
            noise,
        };
        let over_the_air =
            |radians, normalisation| combined(Combination::OverTheAir { air: air(radians), normalisation });
        let compress = |compression, noise| shaped(Shaping::Compress { compression, noise });
        let all = [
            over_the_air(None, Normalisation::PerTensor),
            over_the_air(None, Normalisation::Global),
            over_the_air(None, Normalisation::None),
            over_the_air(Some(0.1), Normalisation::PerTensor),
            over_the_air(Some(0.2), Normalisation::PerTensor),
            combined(Combination::MajorityVote { air: air(None), step: 0.1 }),
            combined(Combination::MajorityVote { air: air(None), step: 0.2 }),
            shaped(Shaping::Compensate),
            shaped(Shaping::Remainder),
            shaped(Shaping::Withhold { sent: 0.0 }),
            shaped(Shaping::Withhold { sent: 0.5 }),
            compress(Compression::TopK { kept: 2 }, noise),
            compress(Compression::TopK { kept: 2 }, noise.child(1)),
            compress(Compression::TopK { kept: 3 }, noise),
            compress(Compression::rand_k(2, 4), noise),
            compress(Compression::rand_k(2, 4).contracting(), noise),
            compress(Compression::qsgd(2, 4), noise),
            compress(Compression::qsgd(3, 4), noise),
            compress(Compression::qsgd(2, 8), noise),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

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
            let noise = CounterStream::new(key, 0);
            let air = Superposition { weights: vec![1.0], misalignment: None, noise_std, noise };
            let c = Combination::OverTheAir { air, normalisation: Normalisation::PerTensor };
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
