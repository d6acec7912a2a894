//! Aggregation without waiting: updates that started from older models move the present one, the less the older.
//!
//! Nguyen et al. 2022 (arXiv 2106.06639, FedBuff) with a buffer, Xie, Koyejo, Gupta 2019 (arXiv 1903.03934, FedAsync)
//! one by one. Updates arrive without error, each over a digital uplink of its own.

use super::{Combined, Delivery, client_of, combine, sides};
use crate::learning::{Combination, Learning, StateHandle};
use crate::scenario::{StalenessSpec, SynchronySpec, TechniqueSpec};
use crate::world::World;

/// An update, where it started, and how many times the model has moved since.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub delivery: Delivery,
    pub start: StateHandle,
    pub age: usize,
}

/// The next model after `global` out of a buffer of arrivals. With n_k the samples of device k, n those of the buffer,
/// x_k where its update led, x_start where it started, and s its staleness weight:
///
/// - a buffer: `x + sum_k n_k / n s_k (x_k - x_start)`, which is plain aggregation where nothing in it is stale;
/// - one by one: `(1 - a s) x + a s x_k` with the mixing weight a.
pub async fn combine_stale(
    world: &World,
    learn: &Learning,
    plan: &TechniqueSpec,
    global: StateHandle,
    arrivals: Vec<Arrival>,
) -> Combined {
    let (terms, delivered) = match plan.synchrony {
        SynchronySpec::Asynchronous { mixing, staleness } if arrivals.len() == 1 => {
            (mixed(global, &arrivals[0], mixing, staleness), arrivals)
        }
        SynchronySpec::SemiAsynchronous { staleness, .. } if arrivals.iter().any(|a| a.age > 0) => {
            (buffered(learn, global, &arrivals, staleness), arrivals)
        }
        _ => {
            let updates = arrivals.into_iter().map(|a| a.delivery).collect();
            return combine(world, learn, plan, global, updates).await;
        }
    };
    world.synchronise_servers().await;
    let (states, weights): (Vec<StateHandle>, Vec<f64>) = terms.into_iter().unzip();
    let mean = Combination::Mean { weights };
    Combined {
        global: match sides::frozen_below(plan) {
            Some(split_point) => learn.combine_sides(global, &states, split_point, [None, Some(mean)]),
            None => learn.combine(global, &states, None, mean.clone(), mean),
        },
        delivered: delivered.into_iter().map(|a| a.delivery).collect(),
        measures: vec![],
    }
}

type Terms = Vec<(StateHandle, f64)>;

fn mixed(global: StateHandle, arrival: &Arrival, mixing: f64, staleness: StalenessSpec) -> Terms {
    let weight = mixing * staleness.weight(arrival.age);
    vec![(global, 1.0 - weight), (arrival.delivery.state, weight)]
}

fn buffered(learn: &Learning, global: StateHandle, arrivals: &[Arrival], staleness: StalenessSpec) -> Terms {
    let samples = |a: &Arrival| learn.samples(client_of(a.delivery.device));
    let total: f64 = arrivals.iter().map(samples).sum();
    let mut terms = vec![(global, 1.0)];
    for a in arrivals {
        let weight = samples(a) / total * staleness.weight(a.age);
        terms.extend([(a.delivery.state, weight), (a.start, -weight)]);
    }
    terms
}
