//! The candidates that a search tries.

use crate::random::Streams;
use crate::scenario::{Sampler, SearchSpec, Space};
use rand::seq::SliceRandom as _;
use serde_json::Value;

/// Values for the searched keys: what one point of the space sets.
pub type Combination = Vec<(String, Value)>;

/// One thing to try: a variant at a point of the space.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Name of the variant; `None` in a search without variants.
    pub variant: Option<String>,
    pub combination: Combination,
    /// All keys to set, the variant's first.
    pub settings: Vec<(String, Value)>,
}

/// The candidates to try, in the order in which they are reported: variant by variant; the last key of the space varies
/// fastest.
///
/// Random sampling draws without replacement, so asking for more than there are gives the whole grid.
pub fn candidates(spec: &SearchSpec, seed: u64) -> Vec<Candidate> {
    let all: Vec<Candidate> = if spec.variants.is_empty() {
        let plain = |combination: Combination| Candidate { variant: None, settings: combination.clone(), combination };
        grid(&spec.space).into_iter().map(plain).collect()
    } else {
        let of = |variant: &crate::scenario::Variant| {
            let space: Space =
                spec.space.iter().chain(&variant.space).map(|(key, values)| (key.clone(), values.clone())).collect();
            let set: Vec<(String, Value)> =
                variant.set.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            let name = variant.name.clone();
            let candidate = move |combination: Combination| {
                let settings = set.iter().chain(&combination).cloned().collect();
                Candidate { variant: Some(name.clone()), combination, settings }
            };
            grid(&space).into_iter().map(candidate).collect::<Vec<_>>()
        };
        spec.variants.iter().flat_map(of).collect()
    };
    match spec.sampler {
        Sampler::Grid => all,
        Sampler::Random { trials } => {
            let mut order: Vec<usize> = (0..all.len()).collect();
            order.shuffle(&mut Streams::new(seed, 0).stream("search", "random sampler"));
            order.truncate(trials);
            order.sort_unstable();
            order.into_iter().map(|i| all[i].clone()).collect()
        }
    }
}

fn grid(space: &Space) -> Vec<Combination> {
    let mut grid: Vec<Combination> = vec![vec![]];
    for (key, values) in space {
        let extended = grid.iter().flat_map(|head| {
            values.iter().map(move |value| {
                let mut combination = head.clone();
                combination.push((key.clone(), value.clone()));
                combination
            })
        });
        grid = extended.collect();
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Objective, Variant};
    use serde_json::json;
    use std::collections::{BTreeMap, BTreeSet};

    fn spec(sampler: Sampler) -> SearchSpec {
        let space = BTreeMap::from([
            ("a".to_owned(), vec![json!(1), json!(2), json!(3)]),
            ("b".to_owned(), vec![json!("x"), json!("y")]),
        ]);
        let objective = Objective { target_accuracy: 0.7 };
        SearchSpec { sampler, variants: vec![], space, plots: vec![], objective }
    }

    #[test]
    fn a_grid_holds_every_combination_once() {
        let all = candidates(&spec(Sampler::Grid), 1);
        let distinct: BTreeSet<String> = all.iter().map(|c| format!("{c:?}")).collect();
        assert_eq!((all.len(), distinct.len()), (6, 6));
        assert_eq!(all[1].combination, vec![("a".to_owned(), json!(1)), ("b".to_owned(), json!("y"))]);
    }

    #[test]
    fn each_variant_meets_every_point_and_its_own_keys() {
        let variant = |name: &str, own: Space| {
            let set = BTreeMap::from([("v".to_owned(), json!(name))]);
            Variant { name: name.to_owned(), set, space: own }
        };
        let own = BTreeMap::from([("c".to_owned(), vec![json!(7), json!(8)])]);
        let spec = SearchSpec { variants: vec![variant("p", Space::new()), variant("q", own)], ..spec(Sampler::Grid) };
        let all = candidates(&spec, 1);
        let count = |name: &str| all.iter().filter(|c| c.variant.as_deref() == Some(name)).count();
        assert_eq!((count("p"), count("q")), (6, 12));
        let last = &all[17].settings;
        assert_eq!(last[0], ("v".to_owned(), json!("q")));
        assert_eq!(last[1..], [("a".to_owned(), json!(3)), ("b".to_owned(), json!("y")), ("c".to_owned(), json!(8))]);
    }

    #[test]
    fn random_sampling_repeats_nothing_and_follows_its_seed() {
        let drawn = candidates(&spec(Sampler::Random { trials: 4 }), 1);
        let distinct: BTreeSet<String> = drawn.iter().map(|c| format!("{c:?}")).collect();
        assert_eq!((drawn.len(), distinct.len()), (4, 4));
        assert_eq!(drawn, candidates(&spec(Sampler::Random { trials: 4 }), 1));
        assert!((2..20).any(|seed| candidates(&spec(Sampler::Random { trials: 4 }), seed) != drawn));
        assert_eq!(candidates(&spec(Sampler::Random { trials: 99 }), 1).len(), 6);
    }
}
