//! What every protocol needs: rounds, participants, deadlines, and the record of what happened.

use super::sampling::Sampling;
use crate::aggregation::{self, Combined, Delivery};
use crate::learning::{EvaluationHandle, EvaluationOptions, Learning, LearningError, LossHandle, StateHandle};
use crate::scenario::{TechniqueSpec, TrainingSpec};
use crate::sim::join_all;
use crate::world::{DeviceId, Lost, RoundTotals, World};
use std::cell::{Cell, RefCell};
use std::future::Future;

/// When numbers are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenToCompute {
    /// Round by round, so that somebody can watch.
    AsRoundsEnd,
    /// All at once when the protocol has ended, so that trials share as much as they can.
    AtTheEnd,
}

/// What somebody who watches gets to see at the end of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    pub round: usize,
    pub rounds: usize,
    pub simulated_seconds: f64,
    pub train_loss: Option<f64>,
    pub accuracy: Option<f64>,
}

/// One round as played: its time, and handles to its numbers.
pub struct PlayedRound {
    pub totals: RoundTotals,
    pub delivered: usize,
    pub loss: Option<LossHandle>,
    /// One a model: techniques whose devices end with different models have several.
    pub evaluations: Vec<EvaluationHandle>,
}

/// A number that only one technique has, known or to be computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measured {
    Number(f64),
    /// The accuracy of a test.
    Accuracy(EvaluationHandle),
    /// The accuracy of a test; of several the highest counts, not the mean.
    BestAccuracy(EvaluationHandle),
    /// A loss that is no accuracy's.
    Loss(LossHandle),
}

/// All rounds, and why there were no more.
#[derive(Default)]
pub struct Played {
    pub rounds: Vec<PlayedRound>,
    /// Numbers of one technique's own; see [`Run::measure`].
    pub measures: Vec<(&'static str, Measured)>,
    /// What the last round left: one state, or one a device where devices keep their own.
    pub models: Vec<StateHandle>,
    pub initial: Option<EvaluationHandle>,
    pub reached_accuracy: bool,
    pub ran_out_of_devices: bool,
}

/// Whether the protocol goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndOfRound {
    last: bool,
}

impl EndOfRound {
    pub fn is_last(self) -> bool {
        self.last
    }
}

/// The two planes and the plan, as a protocol sees them.
pub struct Run<'a> {
    pub world: &'a World,
    pub learn: &'a Learning,
    pub plan: &'a TechniqueSpec,
    training: Option<&'a TrainingSpec>,
    when: WhenToCompute,
    watch: &'a dyn Fn(Progress) -> Result<(), LearningError>,
    played: RefCell<Played>,
    /// How tests differ from plain ones.
    tests: RefCell<EvaluationOptions>,
    round_started: Cell<crate::sim::SimTime>,
    sampling: RefCell<Sampling>,
}

impl<'a> Run<'a> {
    pub fn new(
        world: &'a World,
        learn: &'a Learning,
        plan: &'a TechniqueSpec,
        training: Option<&'a TrainingSpec>,
        when: WhenToCompute,
        watch: &'a dyn Fn(Progress) -> Result<(), LearningError>,
    ) -> Self {
        let played = RefCell::new(Played::default());
        let tests = RefCell::default();
        let sampling = RefCell::new(Sampling::new(plan.sampling, world.device_count()));
        Self { world, learn, plan, training, when, watch, played, tests, round_started: Cell::default(), sampling }
    }

    /// What was played, once the protocol has ended.
    pub fn finish(self) -> Played {
        self.played.into_inner()
    }

    /// Notes a number of the technique's own: a row of `measures.csv`, the mean over all times it was noted in a run.
    /// docs/metrics.md defines each `name`.
    pub(super) fn measure(&self, name: &'static str, value: Measured) {
        self.played.borrow_mut().measures.push((name, value));
    }

    /// One model out of `updates` that all started from `reference`, as the plan aggregates; its numbers are noted.
    pub(super) async fn aggregate(&self, reference: StateHandle, updates: Vec<Delivery>) -> Combined {
        let combined = aggregation::combine(self.world, self.learn, self.plan, reference, updates).await;
        for &(name, value) in &combined.measures {
            self.measure(name, Measured::Number(value));
        }
        combined
    }

    /// Lets the tests that end rounds differ from plain ones from now on.
    pub(super) fn test_with(&self, options: EvaluationOptions) {
        *self.tests.borrow_mut() = options;
    }

    /// Test samples behind the last word on a model; `None` without training.
    pub(super) fn final_samples(&self) -> Option<usize> {
        self.training.map(|t| t.final_evaluation_samples)
    }

    /// Starts a round and names its devices; `None` when nobody is left who can take part.
    pub(super) fn begin_round(&self, round: usize) -> Option<Vec<DeviceId>> {
        self.begin_round_beside(round, &[])
    }

    /// Starts a round in which the `busy` go on with what they began before, and names those who begin now; `None` when
    /// nobody is left who can take part.
    pub(super) fn begin_round_beside(&self, round: usize, busy: &[DeviceId]) -> Option<Vec<DeviceId>> {
        if round == 0 {
            self.test_initial();
        }
        let draw = self.sampling.borrow().draw(self.world, self.learn);
        let devices = self.world.begin_round_beside(round, self.plan.devices_per_round, busy, &draw);
        self.sampling.borrow_mut().begin(self.world, &devices);
        self.started(devices, busy)
    }

    /// Starts a round of `wanted` devices; `None` when none of them can take part.
    pub(super) fn begin_round_of(&self, round: usize, wanted: &[DeviceId]) -> Option<Vec<DeviceId>> {
        if round == 0 {
            self.test_initial();
        }
        let devices = self.world.begin_round_of(round, wanted);
        self.started(devices, &[])
    }

    fn test_initial(&self) {
        if let Some(training) = self.training {
            let initial = self.learn.evaluate(self.learn.initial(), training.evaluation_samples, false);
            self.played.borrow_mut().initial = Some(initial);
        }
    }

    /// Test samples of an evaluation, the run's last or another; 0 without training.
    pub(super) fn test_samples(&self, last: bool) -> usize {
        self.training.map_or(0, |t| if last { t.final_evaluation_samples } else { t.evaluation_samples })
    }

    /// Rounds that have ended.
    pub(super) fn rounds_played(&self) -> usize {
        self.played.borrow().rounds.len()
    }

    /// What the last round came to; zeros before the first.
    pub(super) fn last_round(&self) -> RoundTotals {
        self.played.borrow().rounds.last().map(|r| r.totals).unwrap_or_default()
    }

    fn started(&self, devices: Vec<DeviceId>, busy: &[DeviceId]) -> Option<Vec<DeviceId>> {
        self.round_started.set(self.world.now());
        if devices.is_empty() && busy.is_empty() {
            self.played.borrow_mut().ran_out_of_devices = true;
            return None;
        }
        Some(devices)
    }

    /// Numbers of the local steps of a round, over the whole run: step n always uses mini-batch n of its device.
    pub(super) fn steps_of(&self, round: usize) -> impl Iterator<Item = u64> + use<> {
        let steps = self.plan.local_steps as u64;
        round as u64 * steps..(round as u64 + 1) * steps
    }

    /// Lets all `devices` play at once and returns what was delivered in time, in the order of `devices`.
    pub(super) async fn gather<F>(&self, devices: &[DeviceId], play: impl Fn(DeviceId) -> F) -> Vec<Delivery>
    where
        F: Future<Output = Result<Delivery, Lost>>,
    {
        // A device's part is moved into nothing that would keep a second place for it: in large rounds, what it costs to go on
        // with one of them is to find it in memory.
        let outcomes = match self.plan.round_deadline_s {
            None => join_all(devices.iter().map(|&device| play(device))).await,
            Some(_) => join_all(devices.iter().map(|&device| self.in_time(Box::pin(play(device))))).await,
        };
        outcomes.into_iter().filter_map(Result::ok).collect()
    }

    /// Lets `playing` go on until the round's deadline, if there is one.
    pub(super) async fn in_time<T>(&self, playing: impl Future<Output = Result<T, Lost>>) -> Result<T, Lost> {
        match self.plan.round_deadline_s {
            None => playing.await,
            Some(seconds) => self.world.within(self.round_started.get(), seconds, playing).await,
        }
    }

    /// Ends a round whose outcome is `models`: one state, or one a device where devices keep their own.
    pub(super) fn end_round(
        &self,
        round: usize,
        models: &[StateHandle],
        delivered: &[Delivery],
    ) -> Result<EndOfRound, LearningError> {
        let options = self.tests.borrow().clone();
        let one = |m: &StateHandle, samples, keep| self.learn.evaluate_with(*m, samples, keep, options.clone(), &[]);
        let test = |samples, keep| models.iter().map(|m| one(m, samples, keep)).collect();
        self.end_round_with(round, models, delivered, test)
    }

    /// [`Run::end_round`] with tests of the technique's own: `test` is given the number of samples and whether this is
    /// the last round.
    pub(super) fn end_round_with(
        &self,
        round: usize,
        models: &[StateHandle],
        delivered: &[Delivery],
        test: impl Fn(usize, bool) -> Vec<EvaluationHandle>,
    ) -> Result<EndOfRound, LearningError> {
        let last = round + 1 == self.plan.rounds;
        let ids: Vec<DeviceId> = delivered.iter().map(|d| d.device).collect();
        let totals = self.world.end_round(round, &ids);
        self.sampling.borrow_mut().learn_from(self.world, self.learn, delivered)?;
        let steps: Vec<StateHandle> = delivered.iter().flat_map(|d| d.steps.iter().copied()).collect();
        let mut played = PlayedRound { totals, delivered: ids.len(), loss: None, evaluations: vec![] };
        if let Some(training) = self.training {
            played.loss = (!steps.is_empty()).then(|| self.learn.mean_loss(&steps));
            if last || (round + 1).is_multiple_of(training.evaluate_every_rounds) {
                let samples = if last { training.final_evaluation_samples } else { training.evaluation_samples };
                played.evaluations = test(samples, last);
            }
        }
        let reached = self.watch_round(round, &played)?;
        let mut all = self.played.borrow_mut();
        all.rounds.push(played);
        all.models = models.to_vec();
        all.reached_accuracy = reached;
        Ok(EndOfRound { last: last || reached })
    }

    /// Ends a round that took time but trained nothing; `models` are what its devices hold now.
    pub(super) fn end_without_learning(&self, round: usize, models: &[StateHandle], delivered: &[DeviceId]) {
        let totals = self.world.end_round(round, delivered);
        let mut all = self.played.borrow_mut();
        all.rounds.push(PlayedRound { totals, delivered: delivered.len(), loss: None, evaluations: vec![] });
        all.models = models.to_vec();
    }

    /// Reports progress where somebody watches; whether the accuracy at which to stop was reached.
    fn watch_round(&self, round: usize, played: &PlayedRound) -> Result<bool, LearningError> {
        let stop_at = self.training.and_then(|t| t.stop_at_accuracy).filter(|_| !played.evaluations.is_empty());
        let watching = self.when == WhenToCompute::AsRoundsEnd;
        let mut accuracy = None;
        if watching || stop_at.is_some() {
            accuracy = mean_accuracy(self.learn, &played.evaluations)?;
        }
        if watching {
            let train_loss = played.loss.map(|l| self.learn.loss(l)).transpose()?.flatten();
            (self.watch)(Progress {
                round,
                rounds: self.plan.rounds,
                simulated_seconds: self.world.now().as_seconds(),
                train_loss,
                accuracy,
            })?;
        }
        Ok(stop_at.zip(accuracy).is_some_and(|(goal, a)| a >= goal))
    }
}

fn mean_accuracy(learn: &Learning, evaluations: &[EvaluationHandle]) -> Result<Option<f64>, LearningError> {
    learn.resolve(evaluations, &[])?;
    let mut sum = 0.0;
    for &e in evaluations {
        match learn.evaluation(e)? {
            Some(evaluation) => sum += evaluation.accuracy,
            None => return Ok(None),
        }
    }
    Ok((!evaluations.is_empty()).then(|| sum / evaluations.len() as f64))
}
