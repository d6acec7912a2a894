//! Which operations run, in which order, and which run together.
//!
//! From the wanted metrics the scheduler walks back to what is already known, then works forward in waves. All local
//! steps that are ready in a wave run as one stacked pass, whatever state each starts from: they share the frozen
//! backbone and differ only in their own parameters.

use super::LearningError;
use super::engine::StepRequest;
use super::federated;
use super::graph::{Graph, NodeId};
use super::low_rank;
use super::operation::Operation;
use super::store::Store;
use super::task::Task;
use super::value::{Metric, State, Value};
use crate::backend::cuda::Cuda;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Local steps in one stacked pass at most: bounds the memory of activations.
const MAX_STACK: usize = 64;

/// Gives every wanted metric its value.
pub(super) fn resolve(graph: &mut Graph, task: &Task, store: &Store, wanted: &[NodeId]) -> Result<(), LearningError> {
    let mut open: BTreeMap<_, _> =
        wanted.iter().filter(|&&n| graph.nodes[n].value.is_none()).map(|&n| (graph.nodes[n].identity, n)).collect();
    while !open.is_empty() {
        let identities: Vec<_> = open.keys().copied().collect();
        let claim = store.claim(&identities);
        for (identity, metric) in &claim.known {
            graph.settle(open[identity], Value::Metric(*metric));
        }
        let mine: Vec<NodeId> = claim.mine.iter().map(|i| open[i]).collect();
        run(graph, task, store, &mine)?;
        let elsewhere = claim.elsewhere.clone();
        drop(claim);
        // Whoever computes them may fail; then the next pass of this loop claims them.
        store.wait_for(&elsewhere);
        open.retain(|_, node| graph.nodes[*node].value.is_none());
    }
    store.forget_dropped_states();
    Ok(())
}

/// Gives one state its value.
pub(super) fn force_state(
    graph: &mut Graph,
    task: &Task,
    store: &Store,
    node: NodeId,
) -> Result<Arc<State>, LearningError> {
    if graph.nodes[node].value.is_none() {
        run(graph, task, store, &[node])?;
    }
    Ok(graph.nodes[node].value.as_ref().expect("just computed").state().clone())
}

/// Nodes that must be computed for `targets`, in ascending order: inputs come before what they feed.
fn needed(graph: &mut Graph, store: &Store, targets: &[NodeId]) -> BTreeSet<NodeId> {
    let mut needed = BTreeSet::new();
    let mut stack = targets.to_vec();
    while let Some(node) = stack.pop() {
        if graph.nodes[node].value.is_some() || needed.contains(&node) {
            continue;
        }
        if !graph.nodes[node].operation.is_metric()
            && let Some(state) = store.state(graph.nodes[node].identity)
        {
            // Its inputs are not told: they may be needed by others, and have no value to drop if not.
            graph.nodes[node].value = Some(Value::State(state));
            continue;
        }
        needed.insert(node);
        stack.extend(&graph.nodes[node].inputs);
    }
    needed
}

fn run(graph: &mut Graph, task: &Task, store: &Store, targets: &[NodeId]) -> Result<(), LearningError> {
    let needed = needed(graph, store, targets);
    let mut missing_inputs: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut feeds: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
    for &node in &needed {
        let waits_for: BTreeSet<_> = graph.nodes[node].inputs.iter().filter(|i| needed.contains(i)).copied().collect();
        missing_inputs.insert(node, waits_for.len());
        for input in waits_for {
            feeds.entry(input).or_default().push(node);
        }
    }
    // Recomputed states get new consumers: those of this pass must not find their inputs dropped under them.
    for &node in &needed {
        if std::mem::replace(&mut graph.nodes[node].settled, false) {
            for input in graph.nodes[node].inputs.clone() {
                graph.nodes[input].open_uses += 1;
            }
        }
    }
    let mut ready: BTreeSet<NodeId> = missing_inputs.iter().filter(|(_, n)| **n == 0).map(|(node, _)| *node).collect();
    while !ready.is_empty() {
        let (steps, others): (Vec<NodeId>, Vec<NodeId>) =
            ready.iter().partition(|&&n| matches!(graph.nodes[n].operation, Operation::LocalStep { .. }));
        // What is not a step goes first: it frees states and may make more steps ready for one stack.
        let wave = if others.is_empty() { stack(graph, steps) } else { others };
        let values = execute(graph, task, &wave)?;
        graph.computed += wave.len() as u64;
        store.count(0, wave.len() as u64);
        for (node, value) in wave.into_iter().zip(values) {
            let (identity, keep) = (graph.nodes[node].identity, graph.nodes[node].keep);
            match &value {
                Value::Metric(metric) => store.publish(identity, *metric)?,
                Value::State(state) => store.offer_state(identity, state, keep)?,
            }
            graph.settle(node, value);
            ready.remove(&node);
            for next in feeds.remove(&node).unwrap_or_default() {
                let missing = missing_inputs.get_mut(&next).expect("every needed node was counted");
                *missing -= 1;
                if *missing == 0 {
                    ready.insert(next);
                }
            }
        }
    }
    Ok(())
}

/// As many of `steps` as run together: those on the model of the first.
fn stack(graph: &Graph, steps: Vec<NodeId>) -> Vec<NodeId> {
    let emulator = |n: &NodeId| match &graph.nodes[*n].operation {
        Operation::LocalStep { options, .. } => options.emulator.as_ref(),
        _ => None,
    };
    let first = steps.first().and_then(emulator);
    steps.iter().copied().filter(|n| emulator(n) == first).take(MAX_STACK).collect()
}

/// Runs one wave: either local steps only (stacked) or anything else (one by one). A device that fails stops it.
fn execute(graph: &Graph, task: &Task, wave: &[NodeId]) -> Result<Vec<Value>, LearningError> {
    Cuda::catching(|| compute(graph, task, wave))?
}

fn compute(graph: &Graph, task: &Task, wave: &[NodeId]) -> Result<Vec<Value>, LearningError> {
    let state = |node: NodeId| graph.nodes[node].value.as_ref().expect("inputs come first").state().clone();
    let steps: Vec<StepRequest> = wave
        .iter()
        .filter_map(|&n| match &graph.nodes[n].operation {
            Operation::LocalStep { client, step, fresh_optimizer, options } => Some(StepRequest {
                state: state(graph.nodes[n].inputs[0]),
                companions: graph.nodes[n].inputs[1..].iter().map(|&i| state(i)).collect(),
                client: *client,
                step: *step,
                fresh_optimizer: *fresh_optimizer,
                options: options.clone(),
            }),
            _ => None,
        })
        .collect();
    if !steps.is_empty() {
        let states = task.engine().local_steps(task, &steps)?;
        return Ok(states.into_iter().map(|s| Value::State(Arc::new(s))).collect());
    }
    let mut values = Vec::with_capacity(wave.len());
    for &n in wave {
        let node = &graph.nodes[n];
        let inputs: Vec<Arc<State>> = node.inputs.iter().map(|&i| state(i)).collect();
        let mut value = match &node.operation {
            Operation::Initial => Value::State(Arc::new(task.initial_state()?)),
            Operation::Combine { parts } => {
                Value::State(Arc::new(super::engine::combine(task.layout(), &inputs[0], &inputs[1..], parts)))
            }
            Operation::Splice { ranges } => {
                Value::State(Arc::new(super::engine::splice(&inputs[0], &inputs[1], ranges)))
            }
            Operation::Shape { ranges, shaping } => {
                Value::State(Arc::new(shaping.apply(ranges, [&inputs[0], &inputs[1]])))
            }
            Operation::FollowSlopes { step, mean } => {
                Value::State(Arc::new(task.engine().follow_slopes(task, &inputs, *step, mean)))
            }
            Operation::Evaluate { samples, options } => {
                Value::Metric(Metric::Evaluation(task.engine().evaluate(task, &inputs, *samples, options)?))
            }
            Operation::EmulatorDistance { samples, emulated } => {
                Value::Metric(Metric::MeanLoss(task.engine().emulator_distance(task, *samples, emulated)?))
            }
            Operation::MeanLoss => {
                let sum: f64 = inputs.iter().filter_map(|s| s.loss).sum();
                Value::Metric(Metric::MeanLoss(sum / inputs.len() as f64))
            }
            Operation::Zeros => {
                Value::State(Arc::new(State { parameters: vec![0.0; task.parameters()], moments: None, loss: None }))
            }
            Operation::ControlVariate { steps } => {
                let rates = task.engine().learning_rates();
                let states = std::array::from_fn(|i| &*inputs[i]);
                Value::State(Arc::new(federated::control_variate(task.layout(), rates, *steps, states)))
            }
            Operation::FirstRanks { rank } => {
                Value::State(Arc::new(low_rank::first_ranks(task.layout(), &inputs[0], *rank)))
            }
            Operation::ServerStep { rule } => {
                Value::State(Arc::new(federated::server_step(rule, &inputs[0], &inputs[1])))
            }
            Operation::LocalStep { .. } => unreachable!("waves of local steps were handled above"),
        };
        if let Value::State(state) = &mut value {
            Arc::make_mut(state).keep_loss_scale(&inputs);
        }
        values.push(value);
    }
    Ok(values)
}
