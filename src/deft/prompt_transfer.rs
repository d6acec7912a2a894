//! Device-to-device prompt transfer: who starts late starts from a neighbour's prompt.
//!
//! Named as a technique of DEFT in Wu, Chen, Huang 2023 (arXiv 2310.18602; abstract only); that a prompt tuned for a similar
//! task is a better start, and that similarity can be told beforehand, is SPoT (Vu, Lester, Constant, Al-Rfou, Cer 2022,
//! arXiv 2110.07904). Needed on the device: the whole model. Crosses the sidelink: keys and a prompt; nothing else is sent.
//!
//! 1. Rounds 0..R: the donors tune, each for itself.
//! 2. Round R: each newcomer asks the donors in range for their tasks' keys, picks one, and receives its prompt. Who hears
//!    nobody, or loses the prompt, starts cold.
//! 3. The rounds after: the newcomers tune, each for itself.

use super::Run;
use super::cold_start::ColdStart;
use super::on_device::device_round;
use super::prompt_ensemble::look_at;
use super::run::Measured;
use crate::aggregation::{Delivery, client_of};
use crate::learning::{EvaluationHandle, EvaluationOptions, KeySource, LearningError, StateHandle};
use crate::scenario::{Carried, DonorChoice, KeyLayer, TransferSpec};
use crate::sim::join_all;
use crate::world::{Content, DeviceId, Lost, Neighbour};
use std::collections::BTreeSet;

pub(super) async fn play(run: &Run<'_>) -> Result<(), LearningError> {
    let Some(plan) = &run.plan.transfer else { return Ok(()) };
    let everybody: Vec<DeviceId> = run.world.devices().map(|d| d.id).collect();
    let (newcomers, donors): (Vec<DeviceId>, Vec<DeviceId>) =
        everybody.iter().partition(|d| plan.newcomers.contains(&d.index()));
    let mut models = vec![run.learn.initial(); everybody.len()];

    let mut tuned = BTreeSet::new();
    for round in 0..plan.donor_rounds {
        let Some(devices) = run.begin_round_of(round, &donors) else { return Ok(()) };
        let delivered = run.gather(&devices, |d| device_round(run, round, d, models[d.index()])).await;
        tuned.extend(keep(&mut models, &delivered));
        if run.end_round_with(round, &models, &delivered, test_all(run, &newcomers, &models))?.is_last() {
            return Ok(());
        }
    }
    for donor in &tuned {
        let accuracy = test(run, *donor, models[donor.index()], run.test_samples(true), false);
        run.measure("donor_accuracy", Measured::Accuracy(accuracy));
    }

    if plan.choose != DonorChoice::None {
        exchange(run, plan, &everybody, &newcomers, &tuned, &mut models).await?;
    }

    let mut cold = ColdStart::new(run, plan, &newcomers, &models);
    let first = plan.donor_rounds + 1;
    for round in first..run.plan.rounds {
        let Some(devices) = run.begin_round_of(round, &newcomers) else { break };
        // A newcomer's first step uses its first mini-batch, whenever it starts.
        let delivered = run.gather(&devices, |d| device_round(run, round - first, d, models[d.index()])).await;
        keep(&mut models, &delivered);
        let end = run.end_round_with(round, &models, &delivered, test_all(run, &newcomers, &models))?;
        cold.follow(run, round - first, &models);
        if end.is_last() {
            break;
        }
    }
    cold.compare(run)
}

fn keep(models: &mut [StateHandle], delivered: &[Delivery]) -> Vec<DeviceId> {
    for d in delivered {
        models[d.device.index()] = d.state;
    }
    delivered.iter().map(|d| d.device).collect()
}

/// A device's model on the tests of its own domain, where there are domains.
pub(super) fn test(
    run: &Run<'_>,
    device: DeviceId,
    model: StateHandle,
    samples: usize,
    keep: bool,
) -> EvaluationHandle {
    let options = EvaluationOptions { domain: run.learn.domain_of(client_of(device)), ..EvaluationOptions::default() };
    run.learn.evaluate_with(model, samples, keep, options, &[])
}

fn test_all(
    run: &Run<'_>,
    devices: &[DeviceId],
    models: &[StateHandle],
) -> impl Fn(usize, bool) -> Vec<EvaluationHandle> {
    move |samples, keep| devices.iter().map(|d| test(run, *d, models[d.index()], samples, keep)).collect()
}

/// The round in which prompts change hands. Newcomers that receive one start from it.
async fn exchange(
    run: &Run<'_>,
    plan: &TransferSpec,
    everybody: &[DeviceId],
    newcomers: &[DeviceId],
    tuned: &BTreeSet<DeviceId>,
    models: &mut [StateHandle],
) -> Result<(), LearningError> {
    let here = run.world.begin_round_of(plan.donor_rounds, everybody);
    let heard: Vec<(DeviceId, Vec<Neighbour>)> = newcomers
        .iter()
        .filter(|n| here.contains(n))
        .map(|&n| {
            let donors: Vec<DeviceId> = here.iter().copied().filter(|d| tuned.contains(d)).collect();
            (n, run.world.neighbours(n, &donors))
        })
        .collect();
    if let (Some(KeyLayer::Hidden), Some(samples)) = (plan.key, plan.key_samples) {
        // Both sides of a comparison have to look at their samples.
        let asked: BTreeSet<DeviceId> = heard
            .iter()
            .filter(|(_, n)| !n.is_empty())
            .flat_map(|(d, n)| n.iter().map(|n| n.device).chain([*d]))
            .collect();
        join_all(asked.into_iter().map(|device| look_at(run, device, samples))).await;
    }
    let started = run.world.now();
    let outcomes = join_all(heard.iter().map(|(newcomer, neighbours)| async move {
        let donor = receive(run, plan, *newcomer, neighbours).await?;
        Ok::<_, LearningError>((*newcomer, donor, (run.world.now() - started).as_seconds()))
    }))
    .await;
    let mut received = vec![];
    for outcome in outcomes {
        let (newcomer, donor, seconds) = outcome?;
        run.measure("received_share", Measured::Number(f64::from(u8::from(donor.is_some()))));
        let Some(donor) = donor else { continue };
        run.measure("transfer_seconds", Measured::Number(seconds));
        let keep_head = plan.carries == Some(Carried::Prompt);
        let cold = models[newcomer.index()];
        models[newcomer.index()] = run.learn.transplant(cold, models[donor.index()], keep_head);
        received.push(newcomer);
    }
    for (newcomer, neighbours) in &heard {
        run.measure("neighbours_in_range", Measured::Number(neighbours.len() as f64));
        let start = test(run, *newcomer, models[newcomer.index()], run.test_samples(true), false);
        run.measure("start_accuracy", Measured::Accuracy(start));
    }
    run.end_without_learning(plan.donor_rounds, models, &received);
    Ok(())
}

/// The donor whose prompt has reached `newcomer`.
async fn receive(
    run: &Run<'_>,
    plan: &TransferSpec,
    newcomer: DeviceId,
    neighbours: &[Neighbour],
) -> Result<Option<DeviceId>, LearningError> {
    let donor = match plan.choose {
        DonorChoice::None => None,
        DonorChoice::Nearest => neighbours.first().map(|n| n.device),
        DonorChoice::Random => run.world.draw_neighbour(newcomer, neighbours),
        DonorChoice::MostSimilar | DonorChoice::LeastSimilar => by_similarity(run, plan, newcomer, neighbours).await?,
    };
    let Some(donor) = donor else { return Ok(None) };
    let bytes = match plan.carries {
        Some(Carried::Prompt) => run.world.demand().prompt_bytes(),
        _ => run.world.demand().update_up_bytes(),
    };
    let arrived = run.world.send_to_device(donor, newcomer, bytes, Content::Prompt).await;
    Ok(arrived.is_ok().then_some(donor))
}

/// The neighbour whose key is nearest to the newcomer's, or farthest, among those whose key arrives. Without training
/// all keys are alike, and of equals the nearest device is chosen.
async fn by_similarity(
    run: &Run<'_>,
    plan: &TransferSpec,
    newcomer: DeviceId,
    neighbours: &[Neighbour],
) -> Result<Option<DeviceId>, LearningError> {
    let (Some(layer), Some(samples)) = (plan.key, plan.key_samples) else { return Ok(None) };
    let source = KeySource { layer, samples };
    let sign = if plan.choose == DonorChoice::LeastSimilar { -1.0 } else { 1.0 };
    let mut best: Option<(f64, DeviceId)> = None;
    for n in neighbours {
        let key: Result<(), Lost> =
            run.world.send_to_device(n.device, newcomer, run.world.demand().key_bytes(), Content::TaskKey).await;
        if key.is_err() {
            continue;
        }
        let cosine = run.learn.similarity(client_of(newcomer), client_of(n.device), source)?.unwrap_or(0.0);
        if best.is_none_or(|(score, _)| sign * cosine > score) {
            best = Some((sign * cosine, n.device));
        }
    }
    if let Some((score, _)) = best.filter(|_| run.learn.trains()) {
        run.measure("chosen_similarity", Measured::Number(sign * score));
    }
    Ok(best.map(|(_, donor)| donor))
}
