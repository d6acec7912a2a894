//! Which parameters are trained: one method, or several beside one another.

use super::check::{Check, above_to, from_to};
use super::peft_sizes::{Chosen, all_zero, block_choice, sizes};
use super::steps::Steps;
use super::technique::emulator::ends;
use crate::fomo::Architecture;
use crate::scenario::error::Issue;
use crate::scenario::key_path::KeyPath;
use crate::scenario::raw::{self, PeftKind, PlainOrMap, WrittenBlocks};
use crate::scenario::schema::{
    AdaLoraSpec, AdapterActivation, AdapterPlacement, AdapterSpec, BlockSizes, LoraScaling, LoraSpec, PeftMethod,
    PeftSpec, Projection, SelectiveSpec, TechniqueKind, TechniqueSpec, TrainingSpec,
};

/// What the methods of a scenario have to fit.
pub(super) struct Setting<'a> {
    pub architecture: Option<&'a Architecture>,
    pub technique: Option<&'a TechniqueSpec>,
    pub training: Option<&'a TrainingSpec>,
    pub steps: Option<Steps>,
}

impl Setting<'_> {
    /// Where a method works if nothing is said: with an emulator, in the blocks that carry adapters.
    fn default_blocks(
        &self,
        kind: PeftKind,
        raw: &raw::PeftMethod,
    ) -> Option<PlainOrMap<WrittenBlocks, raw::BlockRange>> {
        let (emulator, a) = self.technique?.emulator.as_ref().zip(self.architecture)?;
        let one_size = [&raw.rank, &raw.bottleneck, &raw.tokens].iter().all(|s| !matches!(s, Some(PlainOrMap::Map(_))));
        let ends = ends(&emulator.spec, a.blocks()).into_iter().map(|block| block as u64).collect();
        let applies = one_size && keys_of(kind).1.contains(&"blocks");
        applies.then_some(PlainOrMap::Plain(WrittenBlocks::Listed(ends)))
    }

    fn is_zeroth_order(&self) -> bool {
        self.steps.is_some_and(|s| s.are_zeroth_order())
    }

    /// Why ranks cannot move between products here, and what to do.
    fn why_no_moving_ranks(&self) -> Option<(String, String)> {
        let rather = |other: &str| format!("use `method: lora`, or {other}");
        if self.is_zeroth_order() {
            let message = "`ada_lora` weighs ranks by their gradients, and `zeroth_order` computes none";
            return Some((message.to_owned(), rather("another optimizer")));
        }
        let technique = self.technique?;
        let aggregation = technique.aggregation.name();
        if technique.kind == TechniqueKind::BlockFederated {
            let message = "`ada_lora` moves ranks between all blocks, and a device of `block_federated` trains some";
            Some((message.to_owned(), rather("`technique: {kind: federated}`")))
        } else if technique.aggregation.is_over_the_air() {
            let message = format!("`ada_lora` prunes entries to zero, and what `{aggregation}` adds up is never zero");
            Some((message, rather("`aggregation: {method: digital}`")))
        } else if !technique.synchrony.is_synchronous() {
            let message =
                "`ada_lora` prunes by one schedule, and devices that do not wait are at different steps of it";
            Some((message.to_owned(), rather("`synchrony: {kind: synchronous}`")))
        } else {
            None
        }
    }

    /// Gradient steps of a device in the whole run.
    fn steps(&self) -> usize {
        self.technique.map_or(1, |t| t.rounds.saturating_mul(t.local_steps))
    }
}

pub(super) fn peft(c: &mut Check, raw: raw::Peft, setting: &Setting) -> PeftSpec {
    let at = KeyPath::default().key("peft");
    let (first, others) = raw.apart();
    let method = method(c, &at, first, setting);
    let list = at.key("combine_with");
    let mut combine_with: Vec<PeftMethod> = Vec::with_capacity(others.len());
    for (i, raw) in others.into_iter().enumerate() {
        let at = list.index(i);
        if c.required(&at, "method", raw.method, "method: bitfit").is_none() {
            continue;
        }
        let other = self::method(c, &at, raw, setting);
        let before = std::iter::once(&method).chain(&combine_with);
        if let Some(reason) = before.filter_map(|earlier| why_not_together(earlier, &other, setting)).next() {
            c.conflict(at.key("method"), reason, "combine methods that train different parameters");
        }
        combine_with.push(other);
    }
    if setting.training.is_some_and(|t| t.task.predicts_tokens()) && method == PeftMethod::HeadOnly {
        let message = "next tokens are predicted with the model's own output matrix: there is no task head to train";
        c.conflict(at.key("method"), message, "for example: method: lora");
    }
    PeftSpec { method, combine_with }
}

/// Why two methods cannot go together.
fn why_not_together(first: &PeftMethod, second: &PeftMethod, setting: &Setting) -> Option<String> {
    use PeftMethod::{AdaLora, Bitfit, Dora, Full, HeadOnly, LayerNorm, Lora, Selective};
    let own = |m: &PeftMethod| matches!(m, Bitfit(_) | LayerNorm(_) | Selective(_));
    let pairs = |m: &PeftMethod| matches!(m, Lora(_) | Dora(_) | AdaLora(_));
    let (a, b) = (first.name(), second.name());
    match (first, second) {
        (HeadOnly, _) | (_, HeadOnly) => {
            Some("`head_only` trains nothing but the head, which every other method trains too".to_owned())
        }
        (Full, _) | (_, Full) => {
            let other = if a == "full" { b } else { a };
            Some(format!("`full` trains the whole model: it leaves nothing to `{other}`"))
        }
        _ if a == b => Some(format!("`{a}` is there already, with sizes of its own for each block")),
        _ if own(first) && own(second) => {
            Some(format!("`{a}` and `{b}` both choose among the model's own parameters: there can be one of them"))
        }
        _ if pairs(first) && pairs(second) => {
            Some(format!("`{a}` and `{b}` both put low-rank pairs beside the weights: there can be one of them"))
        }
        _ => {
            let block = trained_twice(first, second, setting).or_else(|| trained_twice(second, first, setting))?;
            Some(format!("`selective` trains all of block {block}: nothing there is left frozen for low-rank pairs"))
        }
    }
}

/// A block in which `whole` trains all weights and `pairs` has pairs beside them.
fn trained_twice(whole: &PeftMethod, pairs: &PeftMethod, setting: &Setting) -> Option<usize> {
    let blocks = setting.architecture?.blocks();
    let PeftMethod::Selective(SelectiveSpec { blocks: chosen, .. }) = whole else { return None };
    let (PeftMethod::Lora(lora) | PeftMethod::Dora(lora) | PeftMethod::AdaLora(AdaLoraSpec { lora, .. })) = pairs
    else {
        return None;
    };
    let ranks = lora.rank.per_block(&lora.blocks, blocks);
    chosen.per_block(blocks).iter().zip(ranks).position(|(whole, rank)| *whole && rank > 0)
}

fn method(c: &mut Check, at: &KeyPath, raw: raw::PeftMethod, setting: &Setting) -> PeftMethod {
    let kind = raw.method.unwrap_or(PeftKind::Lora);
    unused(c, at, kind, &raw);
    let Setting { architecture, .. } = *setting;
    let written = raw.blocks.clone().or_else(|| setting.default_blocks(kind, &raw));
    let chosen = block_choice(c, &at.key("blocks"), written, architecture);
    match kind {
        PeftKind::Lora => PeftMethod::Lora(lora(c, at, raw, chosen, setting, kind)),
        PeftKind::Dora => PeftMethod::Dora(lora(c, at, raw, chosen, setting, kind)),
        PeftKind::AdaLora => PeftMethod::AdaLora(ada_lora(c, at, raw, chosen, setting)),
        PeftKind::Adapter => {
            let placement = raw.placement.unwrap_or(AdapterPlacement::Houlsby);
            PeftMethod::Adapter { placement, bottleneck: adapter(c, at, raw, chosen, architecture, kind) }
        }
        PeftKind::ParallelAdapter => PeftMethod::ParallelAdapter(adapter(c, at, raw, chosen, architecture, kind)),
        PeftKind::Prefix => {
            let at = at.key("tokens");
            let tokens = sizes(c, &at, raw.tokens, 8, &chosen, (MOST_PREFIX_TOKENS, ""), architecture);
            note_all_zero(c, &at, &tokens, "prefixes", kind);
            PeftMethod::Prefix { tokens, blocks: chosen.blocks }
        }
        PeftKind::Prompt => PeftMethod::Prompt { tokens: prompt_tokens(c, at, raw, architecture) },
        PeftKind::Ia3 => PeftMethod::Ia3 { blocks: chosen.blocks },
        PeftKind::Bitfit => {
            if let Some(a) = architecture.filter(|a| !a.family.has_biases()) {
                let message = format!("`bitfit` trains biases, and {} has none", a.name);
                c.conflict(at.key("method"), message, "for example: method: layer_norm");
            }
            PeftMethod::Bitfit(selective(&raw, chosen))
        }
        PeftKind::LayerNorm => PeftMethod::LayerNorm(selective(&raw, chosen)),
        PeftKind::Selective => PeftMethod::Selective(selective(&raw, chosen)),
        PeftKind::Full => PeftMethod::Full,
        PeftKind::HeadOnly => PeftMethod::HeadOnly,
    }
}

/// More trainable keys than any sequence has of its own are a typing slip.
const MOST_PREFIX_TOKENS: usize = 4096;

/// As scenarios write the method, and the keys that it uses.
fn keys_of(kind: PeftKind) -> (&'static str, &'static [&'static str]) {
    const LORA: [&str; 6] = ["blocks", "rank", "alpha", "scaling", "targets", "dropout"];
    const SELECTIVE: [&str; 2] = ["blocks", "outside_blocks"];
    match kind {
        PeftKind::Lora => ("lora", &LORA),
        PeftKind::Dora => ("dora", &LORA),
        PeftKind::AdaLora => (
            "ada_lora",
            &[
                "blocks",
                "rank",
                "alpha",
                "scaling",
                "targets",
                "dropout",
                "target_rank",
                "warmup_steps",
                "final_step",
                "orthogonality",
            ],
        ),
        PeftKind::Adapter => ("adapter", &["blocks", "placement", "bottleneck", "activation", "adapter_scale"]),
        PeftKind::ParallelAdapter => ("parallel_adapter", &["blocks", "bottleneck", "activation", "adapter_scale"]),
        PeftKind::Prefix => ("prefix", &["blocks", "tokens"]),
        PeftKind::Prompt => ("prompt", &["tokens"]),
        PeftKind::Ia3 => ("ia3", &["blocks"]),
        PeftKind::Bitfit => ("bitfit", &SELECTIVE),
        PeftKind::LayerNorm => ("layer_norm", &SELECTIVE),
        PeftKind::Selective => ("selective", &SELECTIVE),
        PeftKind::Full => ("full", &[]),
        PeftKind::HeadOnly => ("head_only", &[]),
    }
}

/// Notes the keys that the method has no use for.
fn unused(c: &mut Check, at: &KeyPath, kind: PeftKind, raw: &raw::PeftMethod) {
    let (name, used) = keys_of(kind);
    let mut keys = raw.written();
    keys.retain(|(key, _)| *key != "method" && !used.contains(key));
    let used = if used.is_empty() { "method".to_owned() } else { used.join(", ") };
    c.unused(at, &keys, name, &used);
}

/// Notes that a method would train nothing.
fn note_all_zero(c: &mut Check, at: &KeyPath, sizes: &BlockSizes, plural: &str, kind: PeftKind) {
    let noted = c.issues.iter().any(|issue| issue.path.starts_with(at));
    if all_zero(sizes) && !noted {
        let message = format!("all {plural} are 0, so `{}` has nothing to train", keys_of(kind).0);
        c.conflict(at.clone(), message, "raise at least one of them, or write `method: head_only`");
    }
}

fn lora(
    c: &mut Check,
    at: &KeyPath,
    raw: raw::PeftMethod,
    chosen: Chosen,
    setting: &Setting,
    kind: PeftKind,
) -> LoraSpec {
    // Zhang et al. 2023 start with one and a half times the target.
    let default = if kind == PeftKind::AdaLora { 12 } else { 8 };
    let rank_at = at.key("rank");
    let targets = targets(c, &at.key("targets"), raw.targets, setting.architecture, kind);
    let (most, reason) = rank_limit(&targets, setting.architecture);
    let rank = sizes(c, &rank_at, raw.rank, default, &chosen, (most, &reason), setting.architecture);
    note_all_zero(c, &rank_at, &rank, "ranks", kind);
    if setting.is_zeroth_order() && raw.dropout.is_some_and(|rate| rate > 0.0) {
        let message = "`zeroth_order` compares two losses of one model, so that nothing may be dropped from either";
        c.conflict(at.key("dropout"), message, "drop the key, or use another optimizer");
    }
    LoraSpec {
        rank,
        blocks: chosen.blocks,
        alpha: c.number(at, "alpha", raw.alpha, 16.0, above_to(0.0, 1e6)),
        scaling: raw.scaling.unwrap_or(LoraScaling::Rank),
        targets,
        dropout: c.number(at, "dropout", raw.dropout, 0.0, from_to(0.0, 0.9)),
    }
}

/// The largest rank that is still low for all `targets`, and why.
fn rank_limit(targets: &[Projection], architecture: Option<&Architecture>) -> (usize, String) {
    let Some(a) = architecture else { return (usize::MAX, String::new()) };
    let smaller_side = |target: &Projection| {
        let (inputs, outputs) = target.shape(a);
        (inputs.min(outputs), *target)
    };
    targets.iter().map(smaller_side).min().map_or((a.hidden, String::new()), |(side, target)| {
        let (inputs, outputs) = target.shape(a);
        (side, format!("{} of {} is {inputs} x {outputs}", target.name(), a.name))
    })
}

/// The targets in the order in which their parameters are laid out, so that equal sets are equal lists.
fn targets(
    c: &mut Check,
    at: &KeyPath,
    raw: Option<Vec<Projection>>,
    architecture: Option<&Architecture>,
    kind: PeftKind,
) -> Vec<Projection> {
    let mut targets = raw.unwrap_or_else(|| vec![Projection::Query, Projection::Value]);
    if targets.is_empty() {
        let message = format!("an empty list: `{}` has nothing to train", keys_of(kind).0);
        c.conflict(at.clone(), message, "for example: targets: [query, value]");
    }
    for (i, target) in targets.iter().enumerate() {
        if targets[..i].contains(target) {
            c.conflict(at.index(i), "this target is listed twice", "keep one of the two");
        } else if let Some(a) = architecture.filter(|a| !Projection::of(a).any(|p| p == *target)) {
            let message = format!("the feed-forward layers of {} have no gate", a.name);
            c.conflict(at.index(i), message, "use ffn_up and ffn_down");
        }
    }
    targets.sort_unstable();
    targets.dedup();
    targets
}

fn ada_lora(c: &mut Check, at: &KeyPath, raw: raw::PeftMethod, chosen: Chosen, setting: &Setting) -> AdaLoraSpec {
    let (target_rank, warmup_steps, final_step) = (raw.target_rank, raw.warmup_steps, raw.final_step);
    let orthogonality = c.number(at, "orthogonality", raw.orthogonality, 0.5, from_to(0.0, 1e3));
    if let Some((message, help)) = setting.why_no_moving_ranks() {
        c.conflict(at.key("method"), message, &help);
    }
    let lora = lora(c, at, raw, chosen, setting, PeftKind::AdaLora);
    let blocks = setting.architecture.map_or(1, Architecture::blocks);
    let ranks: Vec<usize> = lora.rank.per_block(&lora.blocks, blocks).into_iter().filter(|rank| *rank > 0).collect();
    let mean = (ranks.iter().sum::<usize>() / ranks.len().max(1)).max(1);
    let reason = format!("the mean of the ranks it starts with is {mean}");
    let target_rank = c.count_because(at, "target_rank", target_rank, (2 * mean).div_ceil(3), 1..=mean, &reason);
    // About where Zhang et al. 2023, appendix, table 7 put them.
    let steps = setting.steps().min(MOST_STEPS);
    let before_end = final_step.map_or(MOST_STEPS, |end| usize::try_from(end).unwrap_or(MOST_STEPS).saturating_sub(1));
    let warmup = c.count(at, "warmup_steps", warmup_steps, (steps / 10).min(before_end), 0..=MOST_STEPS);
    let end = c.count(at, "final_step", final_step, (steps / 2).max(warmup + 1), 1..=MOST_STEPS);
    if warmup >= end {
        let key = if warmup_steps.is_some() { "warmup_steps" } else { "final_step" };
        let message = format!("warmup_steps {warmup} is not below final_step {end}");
        c.conflict(at.key(key), message, "leave steps in which ranks can go");
    }
    let step = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    AdaLoraSpec { lora, target_rank, warmup_steps: step(warmup), final_step: step(end), orthogonality }
}

/// Steps of the longest schedule.
const MOST_STEPS: usize = 1_000_000_000;

fn adapter(
    c: &mut Check,
    at: &KeyPath,
    raw: raw::PeftMethod,
    chosen: Chosen,
    architecture: Option<&Architecture>,
    kind: PeftKind,
) -> AdapterSpec {
    let key = at.key("bottleneck");
    let reason = width_reason(architecture);
    let most = (architecture.map_or(usize::MAX, |a| a.hidden), reason.as_str());
    let bottleneck = sizes(c, &key, raw.bottleneck, 16, &chosen, most, architecture);
    note_all_zero(c, &key, &bottleneck, "bottlenecks", kind);
    AdapterSpec {
        bottleneck,
        blocks: chosen.blocks,
        activation: raw.activation.unwrap_or(AdapterActivation::Gelu),
        adapter_scale: c.number(at, "adapter_scale", raw.adapter_scale, 1.0, above_to(0.0, 1e3)),
    }
}

fn width_reason(architecture: Option<&Architecture>) -> String {
    architecture.map_or(String::new(), |a| format!("{} is {} wide", a.name, a.hidden))
}

fn prompt_tokens(c: &mut Check, at: &KeyPath, raw: raw::PeftMethod, architecture: Option<&Architecture>) -> usize {
    let written = match raw.tokens {
        Some(raw::PlainOrMap::Map(_)) => {
            let issue = Issue::value(at.key("tokens"), "a map", "a whole number");
            c.issues.push(issue.help("a prompt stands before the first block, once; `prefix` has blocks".to_owned()));
            None
        }
        Some(raw::PlainOrMap::Plain(tokens)) => Some(tokens),
        None => None,
    };
    let (most, reason) = super::workload::text_positions(architecture);
    let most = most.saturating_sub(super::workload::SHORTEST_SEQUENCE).max(1);
    c.count_because(at, "tokens", written, 8.min(most), 1..=most, &reason)
}

fn selective(raw: &raw::PeftMethod, chosen: Chosen) -> SelectiveSpec {
    SelectiveSpec { blocks: chosen.blocks, outside_blocks: raw.outside_blocks.unwrap_or(false) }
}
