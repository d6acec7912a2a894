//! The search section. Every value of its spaces is tried once alone, and every variant as a whole, so that no search
//! fails at its last trial over a slip in its first line.

use super::check::{Check, from_to, quoted};
use crate::scenario::error::{Complaint, Issue};
use crate::scenario::key_path::KeyPath;
use crate::scenario::raw::{self, SamplerKind};
use crate::scenario::schema::{MEASURES, NUMBERS, Objective, PlotSpec, Sampler, SearchSpec, Space, Variant};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Values in all lists of a space together; each costs one reading of the scenario.
const MOST_VALUES: usize = 2_000;
const EXAMPLE: &str = "space: {technique.split_point: [0, 2, 4]}";

/// Keys and what each is set to.
type Settings = [(String, Value)];

/// The search that `raw` describes. `attempt` reads the scenario with some keys set.
///
/// # Errors
/// Every problem found.
pub(in crate::scenario) fn search(
    raw: raw::Search,
    attempt: impl Fn(&Settings) -> Result<(), Vec<Issue>>,
) -> Result<SearchSpec, Vec<Issue>> {
    let mut check = Check::default();
    let c = &mut check;
    let at = KeyPath::default().key("search");
    let written_variants = raw.variants.unwrap_or_default();
    let space = match raw.space {
        None if !written_variants.is_empty() => Space::new(),
        written => c.required(&at, "space", written, EXAMPLE).unwrap_or_default(),
    };
    if space.is_empty() && written_variants.is_empty() && c.issues.is_empty() {
        let issue = Issue::value(at.key("space"), "an empty map", "at least one key, or variants");
        c.issues.push(issue.help(EXAMPLE.to_owned()));
    }
    let mut variants: Vec<Variant> = vec![];
    for (i, written) in written_variants.into_iter().enumerate() {
        let variant = variant(c, &at.key("variants").index(i), written, &space, &attempt);
        if variants.iter().any(|v| v.name == variant.name) {
            let place = at.key("variants").index(i).key("name");
            c.conflict(place, format!("two variants are called {}", quoted(&variant.name)), "names tell lines apart");
        }
        variants.push(variant);
    }
    // A value must fit at least the scenario as it is, or each variant that it will meet.
    match variants.as_slice() {
        [] => dimensions(c, &at.key("space"), &space, &[], &attempt),
        all => all.iter().for_each(|v| dimensions(c, &at.key("space"), &space, &settings(v), &attempt)),
    }
    let plots = raw.plots.unwrap_or_default().into_iter().enumerate();
    let plots = plots.map(|(i, raw)| plot(c, &at.key("plots").index(i), raw, &space, &variants)).collect();
    let sampler = sampler(c, &at.key("sampler"), raw.sampler.unwrap_or_default());
    let objective = raw.objective.unwrap_or_default();
    let target = c.number(&at.key("objective"), "target_accuracy", objective.target_accuracy, 0.7, from_to(0.0, 1.0));
    if check.issues.is_empty() {
        Ok(SearchSpec { sampler, variants, space, plots, objective: Objective { target_accuracy: target } })
    } else {
        Err(check.issues)
    }
}

fn settings(variant: &Variant) -> Vec<(String, Value)> {
    variant.set.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn variant(
    c: &mut Check,
    at: &KeyPath,
    raw: raw::Variant,
    common: &Space,
    attempt: &impl Fn(&Settings) -> Result<(), Vec<Issue>>,
) -> Variant {
    let name = c.required(at, "name", raw.name, "name: baseline").unwrap_or_default();
    let set: BTreeMap<String, Value> = raw.set.unwrap_or_default();
    let space = raw.space.unwrap_or_default();
    for key in space.keys().filter(|key| common.contains_key(*key)) {
        c.conflict(at.key("space").key(key), "the search's own space holds this key too", "keep one of the two");
    }
    let variant = Variant { name, set, space };
    let known = c.issues.len();
    for key in variant.set.keys().filter(|key| of_search(key)) {
        c.conflict(at.key("set").key(key), "a search cannot vary itself", "name a key of another section");
    }
    if c.issues.len() == known
        && let Err(issues) = attempt(&settings(&variant))
        && let Some(cause) = issues.into_iter().next()
    {
        let message = format!("with these settings {} fails: {}", cause.path, cause.complaint);
        c.issues.push(Issue::new(at.key("set"), Complaint::Conflict(message)).help(cause.help));
    } else {
        dimensions(c, &at.key("space"), &variant.space, &settings(&variant), attempt);
    }
    variant
}

/// Checks the values of all keys of a space, each beside `settings`.
fn dimensions(
    c: &mut Check,
    at: &KeyPath,
    space: &Space,
    settings: &Settings,
    attempt: &impl Fn(&Settings) -> Result<(), Vec<Issue>>,
) {
    let values: usize = space.values().map(Vec::len).sum();
    if values > MOST_VALUES {
        c.issues.push(Issue::value(at.clone(), format!("{values} values"), format!("at most {MOST_VALUES}")));
        return;
    }
    for (key, values) in space {
        dimension(c, &at.key(key), key, values, settings, attempt);
    }
}

/// Checks the `values` of one `key`.
fn dimension(
    c: &mut Check,
    at: &KeyPath,
    key: &str,
    values: &[Value],
    settings: &Settings,
    attempt: &impl Fn(&Settings) -> Result<(), Vec<Issue>>,
) {
    if values.is_empty() {
        let issue = Issue::value(at.clone(), "an empty list", "at least one value to try");
        c.issues.push(issue.help("list values, or drop the key".to_owned()));
        return;
    }
    if of_search(key) {
        c.conflict(at.clone(), "a search cannot vary itself", "name a key of another section");
        return;
    }
    for (i, value) in values.iter().enumerate() {
        if values[..i].contains(value) {
            c.conflict(at.index(i), "this value is listed twice", "keep one of the two");
            continue;
        }
        let all = [settings, &[(key.to_owned(), value.clone())]].concat();
        let Err(issues) = attempt(&all) else { continue };
        // One cause is enough, and an unknown key is one for all values.
        let Some(cause) = issues.into_iter().next() else { continue };
        let unknown = matches!(*cause.complaint, Complaint::UnknownKey(_));
        let place = if unknown { at.clone() } else { at.index(i) };
        let message = format!("setting {} fails: {}", cause.path, cause.complaint);
        let complaint = if unknown { *cause.complaint } else { Complaint::Conflict(message) };
        c.issues.push(Issue::new(place, complaint).help(cause.help));
        if unknown {
            return;
        }
    }
}

fn of_search(key: &str) -> bool {
    key.split(['.', '[']).next() == Some("search")
}

fn plot(c: &mut Check, at: &KeyPath, raw: raw::Plot, space: &Space, variants: &[Variant]) -> PlotSpec {
    let x = c.required(at, "x", raw.x, "x: simulated_seconds").unwrap_or_default();
    let y = c.required(at, "y", raw.y, "y: final_accuracy").unwrap_or_default();
    let numbers: Vec<&str> = NUMBERS.iter().chain(MEASURES).map(|(name, _)| *name).collect();
    let keys: BTreeSet<&str> =
        variants.iter().map(|v| &v.space).chain([space]).flat_map(|s| s.keys()).map(String::as_str).collect();
    let axes: Vec<&str> = keys.into_iter().chain(numbers.iter().copied()).collect();
    if !x.is_empty() {
        c.known(at.key("x"), &x, &axes, "a key of the space, a column of trials.csv, or a measure of docs/metrics.md");
    }
    if !y.is_empty() {
        c.known(at.key("y"), &y, &numbers, "a column of trials.csv, or a measure of docs/metrics.md");
    }
    PlotSpec { x, y }
}

fn sampler(c: &mut Check, at: &KeyPath, raw: raw::Sampler) -> Sampler {
    match raw.kind.unwrap_or(SamplerKind::Grid) {
        SamplerKind::Grid => {
            c.unused(at, &[("trials", raw.trials.is_some())], "grid", "kind");
            Sampler::Grid
        }
        SamplerKind::Random => {
            let trials = c.required(at, "trials", raw.trials, "trials: 50");
            Sampler::Random { trials: c.count(at, "trials", trials, 1, 1..=1_000_000) }
        }
    }
}
