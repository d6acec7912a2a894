//! Digital aggregation where the two sides of a cut go different ways.

use super::{Delivery, digital};
use crate::learning::{Combination, Learning, StateHandle};
use crate::scenario::{DeviceSide, TechniqueSpec};
use crate::world::World;

/// The split point below which nothing trains, where that is so.
pub(super) fn frozen_below(plan: &TechniqueSpec) -> Option<usize> {
    let frozen = plan.cut.as_ref().is_some_and(|cut| cut.device_side == DeviceSide::Frozen);
    plan.split_point.fixed().filter(|_| frozen)
}

/// The edge side becomes what `rule` makes of the updates, the device side stays.
pub(super) fn edge_side_alone(
    learn: &Learning,
    reference: StateHandle,
    updates: &[Delivery],
    split_point: usize,
    rule: Combination,
) -> StateHandle {
    let states: Vec<StateHandle> = updates.iter().map(|u| u.state).collect();
    learn.combine_sides(reference, &states, split_point, [None, Some(rule)])
}

/// The device sides become their mean weighted by samples; the edge side is that of `server`, whoever delivered.
pub async fn combine_beside_shared_server(
    world: &World,
    learn: &Learning,
    plan: &TechniqueSpec,
    reference: StateHandle,
    updates: &[Delivery],
    server: StateHandle,
) -> StateHandle {
    world.synchronise_servers().await;
    // Cuts of devices differ only without a shared server side.
    let Some(split_point) = plan.split_point.fixed() else { return reference };
    let mut states: Vec<StateHandle> = updates.iter().map(|u| u.state).collect();
    states.push(server);
    let devices = (frozen_below(plan).is_none() && !updates.is_empty())
        .then(|| with_last(digital::weighted_mean(learn, plan.averaging, updates)));
    let edge =
        Combination::Mean { weights: (0..states.len()).map(|i| if i == updates.len() { 1.0 } else { 0.0 }).collect() };
    learn.combine_sides(reference, &states, split_point, [devices, Some(edge)])
}

/// The same mean over one state more, which does not count.
fn with_last(mean: Combination) -> Combination {
    match mean {
        Combination::Mean { mut weights } => {
            weights.push(0.0);
            Combination::Mean { weights }
        }
        Combination::MeanOfProducts { mut weights } => {
            weights.push(0.0);
            Combination::MeanOfProducts { weights }
        }
        other => other,
    }
}
