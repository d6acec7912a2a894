//! On-the-fly prompt ensemble: every device tunes a prompt for itself, the edge answers queries with the best of them.
//!
//! Named as a technique of DEFT in Wu, Chen, Huang 2023 (arXiv 2310.18602; abstract only). Needed on the device: the whole
//! model. Crosses the air: prompts and keys up after tuning; then queries up, answers down. The answer is the weighted
//! mean of the class probabilities under the chosen prompts (`learning::Ensemble`); docs/deft/prompt_ensemble.md.

use super::Run;
use super::run::Measured;
use crate::aggregation::{Delivery, client_of};
use crate::fomo::BatchShape;
use crate::learning::{Ensemble, EvaluationHandle, EvaluationOptions, KeySource, LearningError, StateHandle, Weighing};
use crate::scenario::{EnsembleCombine, EnsembleSpec, KeyLayer};
use crate::sim::join_all;
use crate::world::{Content, DeviceId, Lost};
use std::collections::BTreeMap;

/// Size of an accuracy that goes up beside a prompt.
const ACCURACY_BYTES: u64 = 4;

/// The prompts that lie at the edge.
type Kept = BTreeMap<DeviceId, StateHandle>;

pub(super) async fn play(run: &Run<'_>) -> Result<(), LearningError> {
    let Some(plan) = &run.plan.ensemble else { return Ok(()) };
    let mut own = vec![run.learn.initial(); run.world.device_count()];
    let mut kept = Kept::new();
    for round in 0..run.plan.rounds {
        let Some(devices) = run.begin_round(round) else { break };
        let is_new = |device: DeviceId| !kept.contains_key(&device);
        let tuned = run
            .gather(&devices, |device| tune_and_upload(run, plan, round, device, own[device.index()], is_new(device)))
            .await;
        for t in &tuned {
            own[t.device.index()] = t.state;
            kept.insert(t.device, t.state);
        }
        run.world.synchronise_servers().await;
        let test = |samples, keep| vec![answer_together(run, plan, &kept, samples, keep)];
        if run.end_round_with(round, &own, &tuned, test)?.is_last() {
            break;
        }
    }
    for prompt in kept.values() {
        let alone = run.learn.evaluate(*prompt, run.test_samples(true), false);
        run.measure("mean_single_accuracy", Measured::Accuracy(alone));
        run.measure("best_single_accuracy", Measured::BestAccuracy(alone));
    }
    serve(run, plan, &own, kept.len()).await;
    Ok(())
}

async fn tune_and_upload(
    run: &Run<'_>,
    plan: &EnsembleSpec,
    round: usize,
    device: DeviceId,
    prompt: StateHandle,
    is_new: bool,
) -> Result<Delivery, Lost> {
    let demand = run.world.demand();
    let tuned = super::on_device::device_round(run, round, device, prompt).await?;
    let mut bytes = demand.update_up_bytes();
    match plan.combine {
        EnsembleCombine::Uniform => {}
        EnsembleCombine::ValidationWeighted { validation_samples, .. } => {
            look_at(run, device, validation_samples).await?;
            bytes += ACCURACY_BYTES;
        }
        EnsembleCombine::KeySimilarity { key, key_samples, .. } if is_new => {
            if key == KeyLayer::Hidden {
                look_at(run, device, key_samples).await?;
            }
            run.world.upload(device, demand.key_bytes(), Content::TaskKey).await?;
        }
        EnsembleCombine::KeySimilarity { .. } => {}
    }
    run.world.upload(device, bytes, Content::Prompt).await?;
    Ok(tuned)
}

/// Time of forward passes over so many of the device's samples.
pub(super) async fn look_at(run: &Run<'_>, device: DeviceId, samples: usize) -> Result<(), Lost> {
    let batch = run.learn.batch_shape(client_of(device), 0);
    for _ in 0..(samples as u64).div_ceil(batch.sequences.max(1)) {
        run.world.infer_on_device(device, &batch).await?;
    }
    Ok(())
}

/// The accuracy of all prompts at the edge together; of the untuned model while there are none.
fn answer_together(run: &Run<'_>, plan: &EnsembleSpec, kept: &Kept, samples: usize, keep: bool) -> EvaluationHandle {
    let states: Vec<StateHandle> = kept.values().copied().collect();
    let Some((first, others)) = states.split_first() else {
        return run.learn.evaluate(run.learn.initial(), samples, keep);
    };
    let weighing = match plan.combine {
        EnsembleCombine::Uniform => Weighing::Uniform,
        EnsembleCombine::ValidationWeighted { top, temperature, .. } => Weighing::Validation { top, temperature },
        EnsembleCombine::KeySimilarity { top, temperature, key, key_samples } => {
            Weighing::Similarity { top, temperature, source: KeySource { layer: key, samples: key_samples } }
        }
    };
    let members = kept.keys().map(|device| client_of(*device)).collect();
    let options = EvaluationOptions { ensemble: Some(Ensemble { members, weighing }), ..EvaluationOptions::default() };
    run.learn.evaluate_with(*first, samples, keep, options, others)
}

/// When tuning is over, every device asks its queries, one after another: a round of its own, behind the last.
async fn serve(run: &Run<'_>, plan: &EnsembleSpec, own: &[StateHandle], prompts: usize) {
    if prompts == 0 {
        return;
    }
    let round = run.rounds_played();
    let everybody: Vec<DeviceId> = run.world.devices().map(|d| d.id).collect();
    let devices = run.world.begin_round_of(round, &everybody);
    if devices.is_empty() {
        return;
    }
    let served = join_all(devices.iter().map(|&device| ask(run, plan, device, plan.combine.members(prompts)))).await;
    let answered: Vec<DeviceId> = devices.iter().zip(served).filter(|(_, s)| s.is_ok()).map(|(d, _)| *d).collect();
    run.end_without_learning(round, own, &answered);
}

async fn ask(run: &Run<'_>, plan: &EnsembleSpec, device: DeviceId, members: usize) -> Result<(), Lost> {
    let (world, demand) = (run.world, run.world.demand());
    let batch = run.learn.batch_shape(client_of(device), 0);
    let tokens = batch.tokens.div_ceil(batch.sequences.max(1)) as usize;
    let query = BatchShape::uniform(1, tokens);
    // Where keys are hidden states, one more pass finds the query's.
    let hidden_key = matches!(plan.combine, EnsembleCombine::KeySimilarity { key: KeyLayer::Hidden, .. });
    let passes = BatchShape::uniform(members + usize::from(hidden_key), tokens);
    let (up, down) = (demand.query_bytes(plan.query, &query), demand.answer_bytes(&query));
    for _ in 0..plan.queries {
        let asked = world.now();
        world.upload(device, up, Content::Query).await?;
        world.infer_at_edge(device, &passes).await;
        world.download(device, down, Content::Answer).await?;
        run.measure("query_latency_seconds", Measured::Number((world.now() - asked).as_seconds()));
        run.measure("query_traffic_bytes", Measured::Number((up + down) as f64));
    }
    Ok(())
}
