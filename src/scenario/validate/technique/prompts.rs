//! Prompt ensembles and prompt transfer, and what they need of the rest of the scenario.

use crate::radio::sidelink::Sidelink;
use crate::scenario::error::Issue;
use crate::scenario::key_path::KeyPath;
use crate::scenario::raw::{self, CombineKind};
use crate::scenario::schema::{
    Carried, DeviceGroup, DonorChoice, EnsembleCombine, EnsembleSpec, KeyLayer, LearningTask, Mobility, PeftMethod,
    PeftSpec, Placement, QueryForm, RadioSpec, SidelinkEnvironment, SidelinkSpec, TechniqueKind, TechniqueSpec,
    TrainingSpec, TransferSpec,
};
use crate::scenario::validate::check::{Check, above_to, from_to};

const MOST_SAMPLES: usize = 1_000_000;
const KEY_SAMPLES: usize = 64;
/// TR 37.885 evaluates up to 63 GHz; below lie no sidelink bands.
const CARRIER_GHZ: (f64, f64) = (0.4, 64.0);
/// Band n47 of TS 38.101-1.
const SIDELINK_GHZ: f64 = 5.9;
const SIDELINK_MHZ: f64 = 20.0;
/// Shadowing that strengthens a link by more is met once in 30,000 links.
const LUCK_IN_SIGMAS: f64 = 4.0;

/// `None` under every other kind, where the section must not stand.
pub(super) fn ensemble(
    c: &mut Check,
    technique: &KeyPath,
    raw: Option<raw::Ensemble>,
    kind: Option<TechniqueKind>,
    device_count: usize,
) -> Option<EnsembleSpec> {
    let at = technique.key("ensemble");
    if kind != Some(TechniqueKind::PromptEnsemble) {
        section_of_another_kind(c, at, raw.is_some(), kind, TechniqueKind::PromptEnsemble);
        return None;
    }
    let raw = raw.unwrap_or_default();
    let most = device_count.max(1);
    let reason = format!("each of {device_count} devices tunes one prompt");
    let mut top = || c.count_because(&at, "top", raw.top, most.min(3), 1..=most, &reason);
    let combine = match raw.combine.unwrap_or(CombineKind::KeySimilarity) {
        CombineKind::Uniform => EnsembleCombine::Uniform,
        CombineKind::ValidationWeighted => EnsembleCombine::ValidationWeighted {
            top: top(),
            temperature: c.number(&at, "temperature", raw.temperature, 0.05, above_to(0.0, 1e6)),
            validation_samples: c.count(&at, "validation_samples", raw.validation_samples, 64, 1..=MOST_SAMPLES),
        },
        CombineKind::KeySimilarity => EnsembleCombine::KeySimilarity {
            top: top(),
            temperature: c.number(&at, "temperature", raw.temperature, 0.1, above_to(0.0, 1e6)),
            key: raw.key.unwrap_or(KeyLayer::Embeddings),
            key_samples: c.count(&at, "key_samples", raw.key_samples, KEY_SAMPLES, 1..=MOST_SAMPLES),
        },
    };
    let weighing = [("top", raw.top.is_some()), ("temperature", raw.temperature.is_some())];
    let validation = [("validation_samples", raw.validation_samples.is_some())];
    let keys = [("key", raw.key.is_some()), ("key_samples", raw.key_samples.is_some())];
    match combine {
        EnsembleCombine::Uniform => {
            let unused = [&weighing[..], &validation, &keys].concat();
            c.unused(&at, &unused, "uniform", "combine, queries, query");
        }
        EnsembleCombine::ValidationWeighted { .. } => {
            let own = "combine, top, temperature, validation_samples, queries, query";
            c.unused(&at, &keys, "validation_weighted", own);
        }
        EnsembleCombine::KeySimilarity { .. } => {
            let own = "combine, top, temperature, key, key_samples, queries, query";
            c.unused(&at, &validation, "key_similarity", own);
        }
    }
    Some(EnsembleSpec {
        combine,
        queries: c.count(&at, "queries", raw.queries, 10, 1..=100_000),
        query: raw.query.unwrap_or(QueryForm::Text),
    })
}

/// `None` under every other kind, where the section must not stand.
pub(super) fn transfer(
    c: &mut Check,
    technique: &KeyPath,
    raw: Option<raw::Transfer>,
    kind: Option<TechniqueKind>,
    rounds: usize,
    device_count: usize,
) -> Option<TransferSpec> {
    let at = technique.key("transfer");
    if kind != Some(TechniqueKind::PromptTransfer) {
        section_of_another_kind(c, at, raw.is_some(), kind, TechniqueKind::PromptTransfer);
        return None;
    }
    let raw = raw.unwrap_or_default();
    if rounds < 3 {
        let message = format!("`prompt_transfer` cannot be played in {rounds} rounds");
        let help = "at least 3: donors tune in the first, prompts are sent in the second, newcomers tune in the third";
        c.conflict(technique.key("rounds"), message, help);
        return None;
    }
    let reason = format!("of {rounds} rounds, one sends prompts and at least one is the newcomers'");
    let donor_rounds =
        c.count_because(&at, "donor_rounds", raw.donor_rounds, (rounds - 1) / 2, 1..=rounds - 2, &reason);
    let newcomers = newcomers(c, &at.key("newcomers"), raw.newcomers, device_count);
    let choose = raw.choose.unwrap_or(DonorChoice::MostSimilar);
    let keys = [("key", raw.key.is_some()), ("key_samples", raw.key_samples.is_some())];
    let sending = [
        ("carries", raw.carries.is_some()),
        ("sidelink", raw.sidelink.is_some()),
        ("target_accuracy", raw.target_accuracy.is_some()),
    ];
    match choose {
        DonorChoice::None => {
            c.unused(&at, &[&keys[..], &sending].concat(), "none", "donor_rounds, newcomers, choose");
        }
        DonorChoice::Nearest | DonorChoice::Random => {
            let name = if choose == DonorChoice::Nearest { "nearest" } else { "random" };
            c.unused(&at, &keys, name, "donor_rounds, newcomers, choose, carries, sidelink, target_accuracy");
        }
        DonorChoice::MostSimilar | DonorChoice::LeastSimilar => {}
    }
    let sends = choose != DonorChoice::None;
    let key_samples = c.count(&at, "key_samples", raw.key_samples, KEY_SAMPLES, 1..=MOST_SAMPLES);
    let target_accuracy =
        raw.target_accuracy.map(|t| c.number(&at, "target_accuracy", Some(t), 1.0, above_to(0.0, 1.0)));
    let sidelink = sidelink(c, &at.key("sidelink"), raw.sidelink.unwrap_or_default());
    Some(TransferSpec {
        donor_rounds,
        newcomers,
        choose,
        carries: sends.then(|| raw.carries.unwrap_or(Carried::PromptAndHead)),
        key: choose.reads_keys().then(|| raw.key.unwrap_or(KeyLayer::Embeddings)),
        key_samples: choose.reads_keys().then_some(key_samples),
        sidelink: sends.then_some(sidelink),
        target_accuracy: target_accuracy.filter(|_| sends),
    })
}

fn section_of_another_kind(
    c: &mut Check,
    at: KeyPath,
    written: bool,
    kind: Option<TechniqueKind>,
    owner: TechniqueKind,
) {
    if let Some(kind) = kind.filter(|_| written) {
        let message = format!("`{}` has no such section", kind.name());
        c.conflict(at, message, &format!("drop it, or use `kind: {}`", owner.name()));
    }
}

/// Every other device unless written.
fn newcomers(c: &mut Check, at: &KeyPath, written: Option<Vec<u64>>, device_count: usize) -> Vec<usize> {
    let Some(written) = written else { return (0..device_count).filter(|k| k % 2 == 1).collect() };
    let mut numbers = Vec::with_capacity(written.len());
    for (i, n) in written.iter().enumerate() {
        match usize::try_from(*n) {
            Ok(n) if n < device_count && !numbers.contains(&n) => numbers.push(n),
            Ok(n) if n < device_count => c.conflict(at.index(i), format!("device {n} is listed twice"), "drop one"),
            _ => {
                let allowed = format!("0..={} (the scenario has {device_count} devices)", device_count.max(1) - 1);
                c.issues.push(Issue::value(at.index(i), n, allowed));
            }
        }
    }
    if written.is_empty() || numbers.len() == device_count {
        let message = if written.is_empty() { "nobody starts late" } else { "every device starts late" };
        c.conflict(at.clone(), message, "there must be at least one newcomer and at least one donor");
    }
    numbers.sort_unstable();
    numbers
}

fn sidelink(c: &mut Check, at: &KeyPath, raw: raw::Sidelink) -> SidelinkSpec {
    let (low, high) = CARRIER_GHZ;
    SidelinkSpec {
        environment: raw.environment.unwrap_or(SidelinkEnvironment::Urban),
        carrier_ghz: c.number(at, "carrier_ghz", raw.carrier_ghz, SIDELINK_GHZ, from_to(low, high)),
        bandwidth_mhz: c.number(at, "bandwidth_mhz", raw.bandwidth_mhz, SIDELINK_MHZ, from_to(5.0, 400.0)),
    }
}

/// What the prompt techniques ask of other sections.
pub(in crate::scenario::validate) struct Around<'a> {
    pub peft: &'a PeftSpec,
    pub training: Option<&'a TrainingSpec>,
    pub devices: &'a [DeviceGroup],
    pub placement: &'a Placement,
    pub mobility: &'a Mobility,
    pub radio: &'a RadioSpec,
}

/// Notes where a prompt technique does not go with the rest of the scenario.
pub(in crate::scenario::validate) fn prompts_fit(c: &mut Check, technique: &TechniqueSpec, around: &Around) {
    if !technique.kind.needs_prompts() {
        return;
    }
    let (top, name) = (KeyPath::default(), technique.kind.name());
    let prompts = |m: &&PeftMethod| matches!(m, PeftMethod::Prompt { .. } | PeftMethod::Prefix { .. });
    if let Some(other) = around.peft.methods().find(|m| !prompts(m)) {
        let message = format!("`{name}` hands prompts around, and `{}` tunes none", other.name());
        c.conflict(top.key("technique").key("kind"), message, "for example: peft: {method: prompt, tokens: 8}");
    }
    if let Some(training) = around.training.filter(|t| t.task != LearningTask::Classification) {
        let message = format!("`{name}` is defined for classes, and the task is `{}`", training.task.name());
        c.conflict(top.key("technique").key("kind"), message, "use `task: classification`, or another technique");
    }
    let Some(transfer) = &technique.transfer else { return };
    let at = top.key("technique").key("transfer");
    let device_count: usize = around.devices.iter().map(|g| g.count).sum();
    if technique.devices_per_round < device_count {
        let message = "under `prompt_transfer` all donors tune, then all newcomers: nobody is drawn";
        c.conflict(top.key("technique").key("devices_per_round"), message, "drop the key");
    }
    if transfer.newcomers.is_empty() {
        let help = "add a device: every other one starts late";
        c.conflict(top.key("technique").key("kind"), "`prompt_transfer` needs a donor and a newcomer", help);
    }
    if let Some(spec) = &transfer.sidelink {
        reach(c, &at, transfer, spec, around);
    }
}

/// Notes a band that holds nothing, and newcomers that certainly hear no donor.
fn reach(c: &mut Check, at: &KeyPath, transfer: &TransferSpec, spec: &SidelinkSpec, around: &Around) {
    let sidelink = match spec.config(around.radio).and_then(Sidelink::new) {
        Ok(sidelink) => sidelink,
        Err(reason) => {
            let message = format!("{} MHz do not fit a sidelink: {reason}", spec.bandwidth_mhz);
            return c.conflict(at.key("sidelink").key("bandwidth_mhz"), message, "raise it");
        }
    };
    let (Placement::Fixed { positions_m }, Mobility::Static) = (around.placement, around.mobility) else { return };
    let powers: Vec<f64> = around.devices.iter().flat_map(|g| vec![g.tx_power_dbm; g.count]).collect();
    for newcomer in transfer.newcomers.iter().filter(|n| **n < positions_m.len()) {
        let [x, y] = positions_m[*newcomer];
        let donors = || (0..positions_m.len()).filter(|k| !transfer.newcomers.contains(k));
        let away = |k: usize| (positions_m[k][0] - x).hypot(positions_m[k][1] - y);
        let hears = |k: usize| powers.get(k).is_none_or(|dbm| away(k) <= sidelink.range_m(*dbm, LUCK_IN_SIGMAS));
        let Some(nearest) = donors().min_by(|a, b| away(*a).total_cmp(&away(*b))) else { continue };
        if !donors().any(hears) {
            let range = powers.get(nearest).map_or(0.0, |dbm| sidelink.range_m(*dbm, LUCK_IN_SIGMAS));
            let message = format!(
                "device {newcomer} has no donor in range: the nearest is {:.0} m away, and however lucky the sidelink \
                 reaches {range:.0} m",
                away(nearest)
            );
            let help = "move them together, raise `devices[].tx_power_dbm`, or use `choose: none`";
            c.conflict(KeyPath::default().key("placement").key("positions_m").index(*newcomer), message, help);
        }
    }
}
