//! The search section. Every value of its space is tried once alone, so that no search fails at its last trial over
//! a slip in its first line.

use super::check::{Check, from_to};
use crate::scenario::error::{Complaint, Issue};
use crate::scenario::key_path::KeyPath;
use crate::scenario::raw::{self, SamplerKind};
use crate::scenario::schema::{Objective, Sampler, SearchSpec};

/// Values in all lists of a space together; each costs one reading of the scenario.
const MOST_VALUES: usize = 2_000;

/// The search that `raw` describes. `attempt` reads the scenario with one key set to one value.
///
/// # Errors
/// Every problem found.
pub(in crate::scenario) fn search(
    raw: raw::Search,
    attempt: impl Fn(&str, &serde_json::Value) -> Result<(), Vec<Issue>>,
) -> Result<SearchSpec, Vec<Issue>> {
    let mut check = Check::default();
    let c = &mut check;
    let at = KeyPath::default().key("search");
    let space_at = at.key("space");
    let example = "space: {technique.split_point: [0, 2, 4]}";
    let space = c.required(&at, "space", raw.space, example).unwrap_or_default();
    let values: usize = space.values().map(Vec::len).sum();
    if space.is_empty() && c.issues.is_empty() {
        c.issues.push(Issue::value(space_at.clone(), "an empty map", "at least one key").help(example.to_owned()));
    } else if values > MOST_VALUES {
        c.issues.push(Issue::value(space_at, format!("{values} values"), format!("at most {MOST_VALUES}")));
    } else {
        for (key, values) in &space {
            dimension(c, &space_at.key(key), key, values, &attempt);
        }
    }
    let sampler = sampler(c, &at.key("sampler"), raw.sampler.unwrap_or_default());
    let objective = raw.objective.unwrap_or_default();
    let target = c.number(&at.key("objective"), "target_accuracy", objective.target_accuracy, 0.7, from_to(0.0, 1.0));
    if check.issues.is_empty() {
        Ok(SearchSpec { sampler, space, objective: Objective { target_accuracy: target } })
    } else {
        Err(check.issues)
    }
}

/// Checks the `values` of one `key`.
fn dimension(
    c: &mut Check,
    at: &KeyPath,
    key: &str,
    values: &[serde_json::Value],
    attempt: impl Fn(&str, &serde_json::Value) -> Result<(), Vec<Issue>>,
) {
    if values.is_empty() {
        let issue = Issue::value(at.clone(), "an empty list", "at least one value to try");
        c.issues.push(issue.help("list values, or drop the key".to_owned()));
        return;
    }
    if key.split(['.', '[']).next() == Some("search") {
        c.conflict(at.clone(), "a search cannot vary itself", "name a key of another section");
        return;
    }
    for (i, value) in values.iter().enumerate() {
        if values[..i].contains(value) {
            c.conflict(at.index(i), "this value is listed twice", "keep one of the two");
            continue;
        }
        let Err(issues) = attempt(key, value) else { continue };
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
