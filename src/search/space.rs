//! The combinations that a search tries.

use crate::random::Streams;
use crate::scenario::{Sampler, SearchSpec};
use rand::seq::SliceRandom as _;
use serde_json::Value;

/// Values for the searched keys: what one point of the space sets.
pub type Combination = Vec<(String, Value)>;

/// The combinations to try, in the order in which they are reported. The last key of the space varies fastest.
///
/// Random sampling draws without replacement, so asking for more than there are gives the whole grid.
pub fn combinations(spec: &SearchSpec, seed: u64) -> Vec<Combination> {
    let mut grid: Vec<Combination> = vec![vec![]];
    for (key, values) in &spec.space {
        let extended = grid.iter().flat_map(|head| {
            values.iter().map(move |value| {
                let mut combination = head.clone();
                combination.push((key.clone(), value.clone()));
                combination
            })
        });
        grid = extended.collect();
    }
    match spec.sampler {
        Sampler::Grid => grid,
        Sampler::Random { trials } => {
            let mut order: Vec<usize> = (0..grid.len()).collect();
            order.shuffle(&mut Streams::new(seed, 0).stream("search", "random sampler"));
            order.truncate(trials);
            order.sort_unstable();
            order.into_iter().map(|i| grid[i].clone()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Objective;
    use serde_json::json;
    use std::collections::{BTreeMap, BTreeSet};

    fn spec(sampler: Sampler) -> SearchSpec {
        let space = BTreeMap::from([
            ("a".to_owned(), vec![json!(1), json!(2), json!(3)]),
            ("b".to_owned(), vec![json!("x"), json!("y")]),
        ]);
        SearchSpec { sampler, space, objective: Objective { target_accuracy: 0.7 } }
    }

    #[test]
    fn a_grid_holds_every_combination_once() {
        let all = combinations(&spec(Sampler::Grid), 1);
        let distinct: BTreeSet<String> = all.iter().map(|c| format!("{c:?}")).collect();
        assert_eq!((all.len(), distinct.len()), (6, 6));
        assert_eq!(all[1], vec![("a".to_owned(), json!(1)), ("b".to_owned(), json!("y"))]);
    }

    #[test]
    fn random_sampling_repeats_nothing_and_follows_its_seed() {
        let drawn = combinations(&spec(Sampler::Random { trials: 4 }), 1);
        let distinct: BTreeSet<String> = drawn.iter().map(|c| format!("{c:?}")).collect();
        assert_eq!((drawn.len(), distinct.len()), (4, 4));
        assert_eq!(drawn, combinations(&spec(Sampler::Random { trials: 4 }), 1));
        assert!((2..20).any(|seed| combinations(&spec(Sampler::Random { trials: 4 }), seed) != drawn));
        assert_eq!(combinations(&spec(Sampler::Random { trials: 99 }), 1).len(), 6);
    }
}
