//! Low-rank adapters as deft reads them from `peft`: LoRA, rsLoRA and DoRA.
//!
//! `peft` may adapt any module at any rank; deft adapts the same products in every block that it adapts, at one rank a block
//! and with one alpha. Whatever a folder holds is brought into that form without changing the model: a block's rank is
//! the largest of its modules', the others get rows of zeros, and where a module's scale differs the difference goes into
//! its `B`. Folders of the usual kind, and deft's own, need none of this and keep every bit.

use super::super::AdapterError;
use super::super::modules::{Module, Part};
use super::import::Source;
use super::lora::alpha_for;
use crate::fomo::{CheckpointError, Projection};
use crate::nn::{LoraConfig, LoraScaling, LoraVariant, PeftMethod};
use std::collections::{BTreeMap, BTreeSet};

/// Fields that change what is computed, or the base model, in ways that deft does not have.
const MUST_BE_OFF: [&str; 12] = [
    "bias",
    "lora_bias",
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "use_qalora",
    "use_bdlora",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "velora_config",
];
/// Values of `init_lora_weights` that leave the base model as it was.
const HARMLESS_STARTS: [&str; 3] = ["gaussian", "eva", "orthogonal"];
/// Quotients this close to 1 differ by the rounding of double precision only.
const ROUNDING: f64 = 1e-12;

/// The tensors of one module.
struct Found<'k> {
    /// As the folder spells it, which is how its patterns spell it.
    path: &'k str,
    a: Option<&'k str>,
    b: Option<&'k str>,
    magnitude: Option<&'k str>,
}

/// The term of one of our products, as the folder has it.
struct Term<'a> {
    part: &'a Part,
    rank: usize,
    /// What the module's alpha is at the module's rank.
    alpha: f64,
    module_rank: usize,
    /// `[rank, inputs]`.
    a: Vec<f32>,
    /// `[outputs, rank]`.
    b: Vec<f32>,
    magnitude: Option<Vec<f32>>,
}

/// What the configuration says of all modules.
struct Settings {
    rank: usize,
    alpha: f64,
    scaling: LoraScaling,
    dropout: f64,
    variant: LoraVariant,
}

impl Settings {
    fn read(source: &Source<'_>) -> Result<Self, AdapterError> {
        let config = source.config;
        config.must_be_off(&MUST_BE_OFF)?;
        if let Some(serde_json::Value::String(start)) = config.get("init_lora_weights")?
            && !HARMLESS_STARTS.contains(&start.as_str())
        {
            let cause = format!("is `{start}`, which changes the base model; convert the adapter to plain LoRA");
            return Err(config.refuse("init_lora_weights", cause));
        }
        let flag = |field| Ok::<bool, AdapterError>(config.get(field)?.unwrap_or(false));
        Ok(Self {
            rank: config.get("r")?.unwrap_or(8),
            alpha: config.get("lora_alpha")?.unwrap_or(8.0),
            scaling: if flag("use_rslora")? { LoraScaling::RankRoot } else { LoraScaling::Rank },
            dropout: config.get("lora_dropout")?.unwrap_or(0.0),
            variant: if flag("use_dora")? { LoraVariant::Dora } else { LoraVariant::Plain },
        })
    }
}

/// The method and its tensors under our names.
pub(super) fn read(source: &Source<'_>) -> Result<(PeftMethod, BTreeMap<String, Vec<f32>>), AdapterError> {
    let settings = Settings::read(source)?;
    let keys = source.keys();
    let mut modules: BTreeMap<&str, (&Module, Found<'_>)> = BTreeMap::new();
    for key in &keys {
        let known = key.split().and_then(|(path, parameter)| Some((path, source.modules.find(path)?, parameter)));
        let Some((path, (own_path, module), parameter)) = known else { return Err(source.unexpected(key.stored)) };
        let nothing = Found { path, a: None, b: None, magnitude: None };
        let found = &mut modules.entry(own_path).or_insert((module, nothing)).1;
        let place = match parameter {
            "lora_A" => &mut found.a,
            "lora_B" => &mut found.b,
            "lora_magnitude_vector" if settings.variant == LoraVariant::Dora => &mut found.magnitude,
            _ => return Err(source.unexpected(key.stored)),
        };
        if place.replace(key.stored).is_some() {
            return Err(source.unexpected(key.stored));
        }
    }
    source.check_targets(&modules.keys().copied().collect::<Vec<_>>(), "lora_A.weight")?;
    let mut terms = Vec::new();
    for (module, found) in modules.values() {
        terms.extend(read_module(source, &settings, module, found)?);
    }
    arrange(source, &settings, &terms)
}

/// The terms of a module's parts.
fn read_module<'m>(
    source: &Source<'_>,
    settings: &Settings,
    module: &'m Module,
    found: &Found<'_>,
) -> Result<Vec<Term<'m>>, AdapterError> {
    let path = found.path;
    let missing = |parameter: &str| CheckpointError::Missing {
        file: source.tensors.file().to_owned(),
        tensor: format!("{}{path}.{parameter}", super::PREFIX),
    };
    let rank = source.config.pattern("rank_pattern", path)?.unwrap_or(settings.rank);
    let alpha = source.config.pattern("alpha_pattern", path)?.unwrap_or(settings.alpha);
    if rank == 0 || !(alpha > 0.0 && f64::is_finite(alpha)) {
        let cause = format!("`{path}` has rank {rank} and alpha {alpha}; both must be above 0");
        return Err(source.config.refuse("r, lora_alpha", cause));
    }
    let a_key = found.a.ok_or_else(|| missing("lora_A.weight"))?;
    let b_key = found.b.ok_or_else(|| missing("lora_B.weight"))?;
    let a = source.tensors.values(a_key, &[rank, module.inputs])?;
    let b = source.tensors.values(b_key, &[module.outputs, rank])?;
    let magnitude = match (settings.variant, found.magnitude) {
        (LoraVariant::Dora, None) => return Err(missing("lora_magnitude_vector").into()),
        (_, key) => key.map(|key| source.tensors.values(key, &[module.outputs])).transpose()?,
    };
    let terms = module.parts.iter().map(|part| {
        let rows: Vec<&[f32]> = b[part.rows.start * rank..part.rows.end * rank].chunks_exact(rank).collect();
        // Of several products in one module, each keeps the directions that reach it; all, where none reaches any.
        let reaches = |k: &usize| module.parts.len() == 1 || rows.iter().any(|row| row[*k] != 0.0);
        let kept: Vec<usize> = match b.iter().any(|&v| v != 0.0) {
            true => (0..rank).filter(reaches).collect(),
            false => (0..rank).collect(),
        };
        Term {
            part,
            rank: kept.len(),
            alpha,
            module_rank: rank,
            a: kept.iter().flat_map(|&k| &a[k * module.inputs..][..module.inputs]).copied().collect(),
            b: rows.iter().flat_map(|row| kept.iter().map(|&k| row[k])).collect(),
            magnitude: magnitude.as_ref().map(|m| m[part.rows.clone()].to_vec()),
        }
    });
    Ok(terms.filter(|term| term.rank > 0 || term.magnitude.is_some()).collect())
}

/// Brings `terms` into deft's form.
fn arrange(
    source: &Source<'_>,
    settings: &Settings,
    terms: &[Term<'_>],
) -> Result<(PeftMethod, BTreeMap<String, Vec<f32>>), AdapterError> {
    let mut ranks = vec![0; source.architecture.blocks()];
    for term in terms {
        ranks[term.part.block] = term.rank.max(1).max(ranks[term.part.block]);
    }
    let targets: BTreeSet<Projection> = terms.iter().map(|term| term.part.projection).collect();
    let Some(first) = terms.first() else { return Err(source.empty()) };
    let own_alpha = |term: &Term<'_>| alpha_for(term.alpha, term.module_rank, ranks[term.part.block], settings.scaling);
    let alpha = own_alpha(first);
    let method = PeftMethod::Lora(LoraConfig {
        rank_per_block: ranks.clone(),
        alpha,
        targets: targets.into_iter().collect(),
        scaling: settings.scaling,
        dropout: settings.dropout,
        variant: settings.variant,
    });
    let layout = source.layout(&method)?;
    let by_name: BTreeMap<&str, &Term<'_>> = terms.iter().map(|term| (term.part.name.as_str(), term)).collect();
    let mut values = BTreeMap::new();
    for tensor in layout.tensors() {
        let Some((module, parameter)) = tensor.name.rsplit_once(".lora_") else { continue };
        let len = tensor.range().len();
        let Some(term) = by_name.get(module) else {
            if settings.variant == LoraVariant::Dora {
                let cause =
                    format!("`{module}` has no adapter beside others of its block, which deft's DoRA cannot leave out");
                return Err(source.config.refuse("target_modules", cause));
            }
            continue;
        };
        values.insert(
            tensor.name.clone(),
            match parameter {
                "A" => padded(&term.a, 1, len, 1.0),
                "B" => padded(&term.b, tensor.shape[0], len, own_alpha(term) / alpha),
                _ => term.magnitude.clone().unwrap_or_default(),
            },
        );
    }
    Ok((method, values))
}

/// `rows` rows of `values`, each filled up with zeros to `len / rows` and multiplied by `factor`.
fn padded(values: &[f32], rows: usize, len: usize, factor: f64) -> Vec<f32> {
    let (from, to) = (values.len() / rows, len / rows);
    let exact = (factor - 1.0).abs() < ROUNDING;
    let scaled = |v: f32| if exact { v } else { (f64::from(v) * factor) as f32 };
    let mut out = vec![0.0; len];
    for row in 0..rows {
        for column in 0..from {
            out[row * to + column] = scaled(values[row * from + column]);
        }
    }
    out
}
