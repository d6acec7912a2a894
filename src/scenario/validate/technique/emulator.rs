//! What devices tune against under `offsite_tuning`, and whether the rest of the scenario goes with it.

use crate::compute::Precision;
use crate::fomo::emulator::{Quantisation, QuantisationScope};
use crate::fomo::{Architecture, Emulator, EmulatorSpec};
use crate::scenario::error::Issue;
use crate::scenario::key_path::KeyPath;
use crate::scenario::raw;
use crate::scenario::schema::{
    AdaLoraSpec, BlockChoice, DeviceGroup, DistillationSpec, EmulatorPlan, OwnHardware, PeftMethod, PeftSpec,
    TechniqueKind, TechniqueSpec, TrainingSpec, own_or_listed,
};
use crate::scenario::validate::Surroundings;
use crate::scenario::validate::check::{Check, above_to};
use crate::scenario::validate::training::public_dataset;

/// `None` for techniques without one, and where the model is not known.
pub(super) fn emulator(
    c: &mut Check,
    technique: &KeyPath,
    raw: Option<raw::Emulator>,
    kind: TechniqueKind,
    architecture: Option<&Architecture>,
) -> Option<EmulatorPlan> {
    let at = technique.key("emulator");
    if kind != TechniqueKind::OffsiteTuning {
        if raw.is_some() {
            let message = format!("`{}` uses the model itself: no device tunes against an emulator", kind.name());
            c.conflict(at, message, "drop the key, or use `kind: offsite_tuning`");
        }
        return None;
    }
    let (raw, a) = (raw.unwrap_or_default(), architecture?);
    let blocks = a.blocks();
    let reason = format!("{} has {blocks} blocks, and those at either end do not overlap", a.name);
    let tuned_blocks =
        c.count_because(&at, "tuned_blocks", raw.tuned_blocks, 1.min(blocks / 2), 0..=blocks / 2, &reason);
    let reason = format!("{} has {blocks} blocks, and {tuned_blocks} at either end always stay", a.name);
    let least = (2 * tuned_blocks).max(1);
    let keep_blocks = c.count_because(&at, "keep_blocks", raw.keep_blocks, blocks, least..=blocks, &reason);
    let ffn_share = c.number(&at, "ffn_share", raw.ffn_share, 1.0, above_to(0.0, 1.0));
    let head_share = c.number(&at, "head_share", raw.head_share, 1.0, above_to(0.0, 1.0));
    if head_share < 1.0 && a.relative_positions.is_some() {
        let message = format!("the heads of {} share a table of relative positions in all blocks", a.name);
        c.conflict(at.key("head_share"), message, "use ffn_share, which narrows the feed-forward layers");
    }
    let most = a.hidden.min(a.ffn);
    let reason = format!("the smallest matrix of a block of {} is {most} wide", a.name);
    let rank = raw.rank.map(|rank| c.count_because(&at, "rank", Some(rank), most, 1..=most, &reason));
    let quantisation = raw.quantisation.and_then(|raw| quantisation(c, &at.key("quantisation"), &raw));
    let spec = EmulatorSpec { tuned_blocks, keep_blocks, ffn_share, head_share, rank, quantisation };
    // Its data are read when the task is known.
    Some(EmulatorPlan { spec, distillation: None })
}

fn quantisation(c: &mut Check, at: &KeyPath, raw: &raw::Quantisation) -> Option<Quantisation> {
    let bits = c.required(at, "bits", raw.bits, "bits: 8")?;
    let bits = match bits {
        4 => 4,
        8 => 8,
        _ => {
            c.issues.push(Issue::value(at.key("bits"), bits, "4 or 8"));
            8
        }
    };
    Some(Quantisation { bits, scope: raw.scope.unwrap_or(QuantisationScope::Middle) })
}

/// How the emulator is fitted to the model, where the scenario says so and trains.
pub(in crate::scenario::validate) fn distillation(
    c: &mut Check,
    raw: Option<raw::Distillation>,
    plan: &EmulatorPlan,
    training: Option<&TrainingSpec>,
    batch_size: usize,
    (architecture, around): (&Architecture, &Surroundings),
) -> Option<DistillationSpec> {
    let (raw, top) = (raw?, KeyPath::default().key("technique").key("emulator"));
    let at = top.key("distillation");
    // Who asks for time alone asks for no numbers, and distilling changes nothing else.
    let training = training?;
    if plan.spec.keep_blocks == 2 * plan.spec.tuned_blocks {
        let message = "the emulator is the two ends of the model, and distilling fits what is left between them";
        c.conflict(at.clone(), message, &format!("raise keep_blocks above {}", plan.spec.keep_blocks));
    }
    Some(DistillationSpec {
        dataset: public_dataset(c, &at, raw.dataset, training, (architecture, around)),
        steps: c.count(&at, "steps", raw.steps, 100, 1..=1_000_000),
        learning_rate: c.number(&at, "learning_rate", raw.learning_rate, 1e-4, above_to(0.0, 1.0)),
        batch_size: c.count(&at, "batch_size", raw.batch_size, batch_size, 1..=4096),
    })
}

/// Blocks at either end of a model with `blocks` of them, in which adapters can be.
pub(in crate::scenario::validate) fn ends(spec: &EmulatorSpec, blocks: usize) -> Vec<usize> {
    (0..blocks).filter(|b| *b < spec.tuned_blocks || *b + spec.tuned_blocks >= blocks).collect()
}

/// Notes methods that would train what the emulator compresses.
pub(in crate::scenario::validate) fn adapters_fit(
    c: &mut Check,
    technique: Option<&TechniqueSpec>,
    architecture: Option<&Architecture>,
    peft: &PeftSpec,
) {
    let (Some(spec), Some(a)) = (technique.and_then(|t| t.emulator.as_ref()).map(|plan| &plan.spec), architecture)
    else {
        return;
    };
    let ends = ends(spec, a.blocks());
    let at = KeyPath::default().key("peft");
    for (i, method) in peft.methods().enumerate() {
        let at = if i == 0 { at.clone() } else { at.key("combine_with").index(i - 1) };
        let trained = trained_blocks(method, a.blocks());
        let Some(block) = trained.iter().enumerate().position(|(b, trains)| *trains && !ends.contains(&b)) else {
            continue;
        };
        let message = format!(
            "`{}` trains block {block}, which the emulator compresses: adapters are in the first and the last {}",
            method.name(),
            spec.tuned_blocks
        );
        let (key, help) = match method {
            PeftMethod::Full => ("method", format!("train whole blocks: `method: selective` with `blocks: {ends:?}`")),
            _ => ("blocks", format!("use `blocks: {ends:?}`, or raise technique.emulator.tuned_blocks")),
        };
        c.conflict(at.key(key), message, &help);
    }
}

/// Whether a method trains something in each of a model's `blocks` blocks.
fn trained_blocks(method: &PeftMethod, blocks: usize) -> Vec<bool> {
    let sized = |sizes: Vec<usize>| sizes.iter().map(|size| *size > 0).collect();
    match method {
        PeftMethod::Lora(lora) | PeftMethod::Dora(lora) | PeftMethod::AdaLora(AdaLoraSpec { lora, .. }) => {
            sized(lora.rank.per_block(&lora.blocks, blocks))
        }
        PeftMethod::Adapter { bottleneck: spec, .. } | PeftMethod::ParallelAdapter(spec) => {
            sized(spec.bottleneck.per_block(&spec.blocks, blocks))
        }
        PeftMethod::Prefix { tokens, blocks: chosen } => sized(tokens.per_block(chosen, blocks)),
        PeftMethod::Ia3 { blocks: chosen } => chosen.per_block(blocks),
        PeftMethod::Bitfit(own) | PeftMethod::LayerNorm(own) | PeftMethod::Selective(own) => {
            own.blocks.per_block(blocks)
        }
        PeftMethod::Full => BlockChoice::All.per_block(blocks),
        PeftMethod::Prompt { .. } | PeftMethod::HeadOnly => vec![false; blocks],
    }
}

/// Notes an emulator whose frozen weights alone are more than any device has memory for.
pub(in crate::scenario::validate) fn fits_some_device(
    c: &mut Check,
    technique: Option<&TechniqueSpec>,
    (architecture, precision): (Option<&Architecture>, Precision),
    (devices, own): (&[DeviceGroup], &[OwnHardware]),
) {
    let (Some(spec), Some(a)) = (technique.and_then(|t| t.emulator.as_ref()).map(|plan| &plan.spec), architecture)
    else {
        return;
    };
    let memories = devices.iter().filter_map(|g| {
        own_or_listed(own, &g.hardware).map(|hardware| (hardware.available_bytes(g.memory_share), &g.name))
    });
    let Some((most, group)) = memories.max_by_key(|(bytes, _)| *bytes) else { return };
    let bytes = |spec: &EmulatorSpec| Emulator::new(a, spec).least_bytes(precision);
    if bytes(spec) <= most {
        return;
    }
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let message = format!(
        "an emulator of {:.0} MB is larger than what any device leaves to fine-tuning: {:.0} MB on \"{group}\"",
        megabytes(bytes(spec)),
        megabytes(most)
    );
    let smaller = (2 * spec.tuned_blocks.max(1)..spec.keep_blocks).rev();
    let fitting = smaller.map(|keep_blocks| EmulatorSpec { keep_blocks, ..spec.clone() }).find(|s| bytes(s) <= most);
    let help = match fitting {
        Some(s) => format!("`keep_blocks: {}` would fit ({:.0} MB)", s.keep_blocks, megabytes(bytes(&s))),
        None => {
            "choose a smaller model or larger devices, raise their memory_share, or use `kind: split_federated`".into()
        }
    };
    let emulator = KeyPath::default().key("technique").key("emulator");
    c.conflict(emulator, message, &help);
}
