//! Several prompts answer together: the mean of their class probabilities, weighted.
//!
//! Ensembles of prompts with weights by the instance's similarity: ATTEMPT (Asai, Salehi, Peters, Hajishirzi 2022, arXiv
//! 2205.11961) mixes the prompts themselves with learned attention; here the edge mixes answers, with keys that need no
//! training (as in the DEFT framework, arXiv 2310.18602, of which only the abstract was seen).

use super::LearningError;
use super::engine::Engine;
use super::identity::IdentityBuilder;
use super::keys::KeySource;
use super::operation::Client;
use super::similarity::{cosine, mean, minus, top_weights};
use super::task::Task;
use super::value::{Evaluation, State};
use crate::data::Objective;
use crate::nn::{Cached, ClassAnswer, StackItem};
use std::sync::Arc;

/// The prompts of several clients, as one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Ensemble {
    /// Whose prompts: one for the state tested and one for each companion, in that order.
    pub members: Vec<Client>,
    pub weighing: Weighing,
}

/// How members are weighed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weighing {
    Uniform,
    /// Softmax of the members' accuracies on what their clients kept from training, over the `top` best.
    Validation {
        top: usize,
        temperature: f64,
    },
    /// Sample by sample: softmax of the cosines between its key and the members', over the `top` nearest. What all
    /// members' keys have in common is taken off both first, since hidden states point mostly the same way.
    Similarity {
        top: usize,
        temperature: f64,
        source: KeySource,
    },
}

impl Ensemble {
    pub(super) fn identify(&self, b: IdentityBuilder) -> IdentityBuilder {
        let b = b.text("ensemble").word(self.members.len() as u64);
        let b = self.members.iter().fold(b, |b, member| b.text(&member.name()));
        match self.weighing {
            Weighing::Uniform => b.text("uniform"),
            Weighing::Validation { top, temperature } => b.text("validation").word(top as u64).real(temperature),
            Weighing::Similarity { top, temperature, source } => {
                let b = b.text("similarity").word(top as u64).real(temperature);
                source.words().into_iter().fold(b, IdentityBuilder::word)
            }
        }
    }
}

/// The answer to one sample as members add to it.
#[derive(Default)]
struct Blend {
    /// The only answer so far, while there is only one.
    alone: Option<ClassAnswer>,
    members: usize,
    probabilities: Vec<f64>,
}

impl Blend {
    fn add(&mut self, weight: f64, answer: ClassAnswer) {
        self.probabilities.resize(answer.log_probabilities.len(), 0.0);
        for (p, log) in self.probabilities.iter_mut().zip(&answer.log_probabilities) {
            *p += weight * log.exp();
        }
        self.members += 1;
        self.alone = (self.members == 1).then_some(answer);
    }

    /// Loss, and whether the likeliest class, the lowest of equals, is the right one. One member alone answers as it
    /// would without an ensemble, to the last bit.
    fn judge(&self, label: usize) -> (f64, bool) {
        if let Some(answer) = &self.alone {
            return (answer.outcome.loss, answer.outcome.correct > 0);
        }
        let p = &self.probabilities;
        let best = (1..p.len()).fold(0, |best, c| if p[c] > p[best] { c } else { best });
        (-p[label].max(f64::MIN_POSITIVE).ln(), best == label)
    }
}

impl Engine {
    /// Tests `ensemble`, whose members' parameters are `states`, on the test samples `chosen`.
    pub fn evaluate_ensemble(
        &self,
        task: &Task,
        states: &[Arc<State>],
        ensemble: &Ensemble,
        chosen: &[usize],
    ) -> Result<Evaluation, LearningError> {
        let ground = self.ground(task.layout(), None)?;
        let Objective::Classification { classes } = task.layout().objective() else {
            // The reader of scenarios admits ensembles of classifiers only.
            return self.evaluate_alone(task, &ground, &states[0], chosen, None);
        };
        let (backbone, layout, test) = (&ground.backbone, task.layout(), task.test_set());
        let weights = self.weights(task, states, ensemble, chosen)?;
        let prefixes = ground.prefixes();
        let mut blends: Vec<Blend> = chosen.iter().map(|_| Blend::default()).collect();
        for (member, state) in states.iter().enumerate() {
            // Who has no say in a sample is not asked.
            let asked: Vec<usize> = (0..chosen.len()).filter(|&i| weights[i][member] > 0.0).collect();
            if asked.is_empty() {
                continue;
            }
            let samples: Vec<usize> = asked.iter().map(|&i| chosen[i]).collect();
            let batch = test.subset(&samples);
            backbone.check_batch(layout, &batch)?;
            let prefix = prefixes.map(|p| Cached { cache: &p.test, samples: &samples });
            let answers = backbone.class_answers(layout, &state.parameters, &batch, classes, prefix);
            for (i, answer) in asked.into_iter().zip(answers) {
                blends[i].add(weights[i][member], answer);
            }
        }
        let (mut loss_sum, mut correct) = (0.0, 0usize);
        for (blend, &sample) in blends.iter().zip(chosen) {
            let (loss, right) = blend.judge(test.labels[sample] as usize);
            loss_sum += loss;
            correct += usize::from(right);
        }
        let n = chosen.len() as f64;
        Ok(Evaluation { loss: loss_sum / n, accuracy: correct as f64 / n, samples: chosen.len() })
    }

    /// `[sample][member]`; each sample's weights sum to 1.
    fn weights(
        &self,
        task: &Task,
        states: &[Arc<State>],
        ensemble: &Ensemble,
        chosen: &[usize],
    ) -> Result<Vec<Vec<f64>>, LearningError> {
        let same = |weights: Vec<f64>| vec![weights; chosen.len()];
        match ensemble.weighing {
            Weighing::Uniform => Ok(same(vec![1.0 / states.len() as f64; states.len()])),
            Weighing::Validation { top, temperature } => {
                let scores: Vec<f64> = states
                    .iter()
                    .zip(&ensemble.members)
                    .map(|(state, member)| self.validation_accuracy(task, state, *member))
                    .collect::<Result<_, _>>()?;
                Ok(same(top_weights(&scores, top, temperature)))
            }
            Weighing::Similarity { top, temperature, source } => {
                let keys: Vec<Vec<f64>> = ensemble
                    .members
                    .iter()
                    .map(|member| Ok(self.client_key(task, *member, source)?.to_vec()))
                    .collect::<Result<_, LearningError>>()?;
                let common = mean(&keys);
                let own: Vec<Vec<f64>> = keys.iter().map(|k| minus(k, &common)).collect();
                let queries = self.sample_keys(task, &task.test_set().subset(chosen), source.layer)?;
                let of_query = |query: &Vec<f64>| {
                    let query = minus(query, &common);
                    let scores: Vec<f64> = own.iter().map(|k| cosine(&query, k)).collect();
                    top_weights(&scores, top, temperature)
                };
                Ok(queries.iter().map(of_query).collect())
            }
        }
    }

    /// On the samples that `client` kept from training; 0 if it has none.
    fn validation_accuracy(&self, task: &Task, state: &State, client: Client) -> Result<f64, LearningError> {
        let kept = task.held_out(client);
        if kept.is_empty() {
            return Ok(0.0);
        }
        let batch = task.train_batch(kept);
        let backbone = self.ground(task.layout(), None)?.backbone;
        backbone.check_batch(task.layout(), &batch)?;
        let outcome = backbone.evaluate(task.layout(), &StackItem::new(&state.parameters, &batch));
        Ok(outcome.correct as f64 / outcome.targets as f64)
    }
}
