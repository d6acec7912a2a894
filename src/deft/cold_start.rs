//! What a received prompt was worth: the same newcomers on the same mini-batches, had they started cold.
//!
//! The cold start is played on the learning plane alone. A newcomer's tuning costs the same wherever it starts, so the
//! rounds that were played give its seconds and joules too.

use super::Run;
use super::prompt_transfer::test;
use super::run::Measured;
use crate::aggregation::{Delivery, client_of};
use crate::learning::{EvaluationHandle, LearningError, StateHandle};
use crate::scenario::TransferSpec;
use crate::world::DeviceId;

/// Both starts of the newcomers side by side; idle where no target asks for it.
pub(super) struct ColdStart {
    target_accuracy: Option<f64>,
    newcomers: Vec<DeviceId>,
    /// Cold models, by newcomer.
    models: Vec<StateHandle>,
    /// Tests before the first round and after each, by round and newcomer.
    cold: Vec<Vec<EvaluationHandle>>,
    warm: Vec<Vec<EvaluationHandle>>,
    /// What the exchange took, then each round.
    costs: Vec<Cost>,
}

#[derive(Clone, Copy, Default)]
struct Cost {
    seconds: f64,
    joules: f64,
}

impl ColdStart {
    /// Newcomers are about to start from `models`; the exchange, if there was one, was the last round.
    pub fn new(run: &Run<'_>, plan: &TransferSpec, newcomers: &[DeviceId], models: &[StateHandle]) -> Self {
        let mut start = Self {
            target_accuracy: plan.target_accuracy,
            newcomers: newcomers.to_vec(),
            models: vec![run.learn.initial(); newcomers.len()],
            cold: vec![],
            warm: vec![],
            costs: vec![],
        };
        start.note(run, models);
        start
    }

    /// Plays the cold newcomers' round after the warm ones' have played it and stand at `models`.
    pub fn follow(&mut self, run: &Run<'_>, round: usize, models: &[StateHandle]) {
        if self.target_accuracy.is_none() {
            return;
        }
        for (device, model) in self.newcomers.iter().zip(&mut self.models) {
            let mut update = Delivery::starting_from(*device, *model);
            run.steps_of(round).for_each(|step| update.step(run.learn, client_of(*device), step));
            *model = update.state;
        }
        self.note(run, models);
    }

    fn note(&mut self, run: &Run<'_>, models: &[StateHandle]) {
        if self.target_accuracy.is_none() {
            return;
        }
        let samples = run.test_samples(false);
        let pairs = || self.newcomers.iter().zip(&self.models);
        self.cold.push(pairs().map(|(d, m)| test(run, *d, *m, samples, false)).collect());
        self.warm.push(self.newcomers.iter().map(|d| test(run, *d, models[d.index()], samples, false)).collect());
        let totals = run.last_round();
        self.costs.push(Cost { seconds: (totals.end - totals.start).as_seconds(), joules: totals.device_joules });
    }

    /// Notes what was saved, or lost, up to the target; only where both starts reach it.
    pub fn compare(&self, run: &Run<'_>) -> Result<(), LearningError> {
        let Some(target) = self.target_accuracy else { return Ok(()) };
        for last in self.cold.last().into_iter().flatten() {
            run.measure("cold_accuracy", Measured::Accuracy(*last));
        }
        let rounds = |tests: &[Vec<EvaluationHandle>]| -> Result<Option<usize>, LearningError> {
            let accuracies = mean_accuracies(run, tests)?;
            Ok(accuracies.iter().position(|a| *a >= target))
        };
        let (warm, cold) = (rounds(&self.warm)?, rounds(&self.cold)?);
        for (name, reached) in [("rounds_to_target", warm), ("cold_rounds_to_target", cold)] {
            if let Some(rounds) = reached {
                run.measure(name, Measured::Number(rounds as f64));
            }
        }
        let Some((warm, cold)) = warm.zip(cold) else { return Ok(()) };
        let sum = |range: &[Cost], of: fn(&Cost) -> f64| range.iter().map(of).sum::<f64>();
        // Entry 0 is the exchange, which a cold start does without.
        let saved = |of: fn(&Cost) -> f64| sum(&self.costs[1..=cold], of) - sum(&self.costs[..=warm], of);
        run.measure("saved_rounds", Measured::Number(cold as f64 - warm as f64));
        run.measure("saved_seconds", Measured::Number(saved(|c| c.seconds)));
        run.measure("saved_joules", Measured::Number(saved(|c| c.joules)));
        Ok(())
    }
}

/// Mean over the newcomers, round by round.
fn mean_accuracies(run: &Run<'_>, tests: &[Vec<EvaluationHandle>]) -> Result<Vec<f64>, LearningError> {
    let all: Vec<EvaluationHandle> = tests.iter().flatten().copied().collect();
    run.learn.resolve(&all, &[])?;
    let mut means = Vec::with_capacity(tests.len());
    for round in tests {
        let mut sum = 0.0;
        for test in round {
            sum += run.learn.evaluation(*test)?.map_or(0.0, |e| e.accuracy);
        }
        means.push(sum / round.len() as f64);
    }
    Ok(means)
}
