//! What protocols see of the learning plane: operations in, handles out, numbers only when asked for.

use super::emulated::Emulated;
use super::evaluation_options::EvaluationOptions;
use super::graph::{Graph, NodeId};
use super::keys::KeySource;
use super::operation::{Client, Combination, Operation};
use super::shaping::Shaping;
use super::similarity::cosine;
use super::slopes::{SharedDirection, SlopeMean};
use super::step_options::StepOptions;
use super::store::Store;
use super::task::Task;
use super::value::{Evaluation, Metric, State, Value};
use super::{LearningError, schedule};
use crate::fomo::{Architecture, BatchShape, Emulator};
use crate::nn::ParameterLayout;
use crate::scenario::EmulatorPlan;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// A set of trainable parameters at some moment of the run, computed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateHandle(pub(super) NodeId);

/// A test result, computed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvaluationHandle(NodeId);

/// A mean training loss, computed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossHandle(NodeId);

/// The learning plane of one replication.
///
/// Without training every operation returns a handle that names nothing, no node is made and no tensor is touched.
pub struct Learning {
    task: Arc<Task>,
    pub(super) store: Arc<Store>,
    pub(super) graph: RefCell<Graph>,
    /// What devices keep of updates that they could not send, by the client's number.
    residuals: RefCell<BTreeMap<u32, StateHandle>>,
}

impl Learning {
    pub fn new(task: Arc<Task>, store: Arc<Store>) -> Self {
        Self { task, store, graph: RefCell::default(), residuals: RefCell::default() }
    }

    /// Whether numbers exist at all.
    pub fn trains(&self) -> bool {
        self.task.trains()
    }

    /// Where each trainable tensor lies in a state's parameters; `None` without training.
    pub fn layout(&self) -> Option<&ParameterLayout> {
        self.trains().then(|| self.task.layout())
    }

    /// The geometry of the model that is trained; `None` without training.
    pub fn architecture(&self) -> Option<&Architecture> {
        self.trains().then(|| &self.task.engine().backbone_key().architecture)
    }

    /// The emulator of the trained model that `plan` describes; `None` without training, and where it is the model itself.
    ///
    /// # Errors
    /// If the data that it is to be distilled on cannot be read.
    pub fn emulator(&self, plan: &EmulatorPlan) -> Result<Option<Arc<Emulated>>, LearningError> {
        let Some(architecture) = self.architecture() else { return Ok(None) };
        let emulator = Emulator::new(architecture, &plan.spec);
        if emulator.removes_nothing() {
            return Ok(None);
        }
        let distillation = plan.distillation.as_ref().map(|d| self.task.distillation(&self.store, d)).transpose()?;
        Ok(Some(Arc::new(Emulated { emulator, distillation })))
    }

    /// How far the hidden states of `emulated` are from the model's, on `samples` test samples.
    pub fn emulator_distance(&self, emulated: &Arc<Emulated>, samples: usize) -> LossHandle {
        let samples = samples.min(self.task.test_samples());
        LossHandle(self.add(Operation::EmulatorDistance { samples, emulated: emulated.clone() }, vec![]))
    }

    /// What a local step of `client` has to process, known without computing it.
    pub fn batch_shape(&self, client: Client, step: u64) -> BatchShape {
        self.task.batch_shape(client, step)
    }

    /// Lengths (encoder or only stack, decoder) of the sequences of that step, in order.
    pub fn batch_lengths(&self, client: Client, step: u64) -> Vec<(usize, usize)> {
        self.task.batch_lengths(client, step)
    }

    /// Names of the samples of that step, in order: equal ones are one sample.
    pub fn sample_names(&self, client: Client, step: u64) -> Vec<usize> {
        self.task.sample_names(client, step)
    }

    /// Entries of the parameters that belong to the edge's side of a cut; `None` without training.
    pub fn edge_side(&self, split_point: usize) -> Option<Vec<Range<usize>>> {
        self.trains().then(|| self.task.sides(split_point).1)
    }

    /// Training samples of a client: its weight in averages.
    pub fn samples(&self, client: Client) -> f64 {
        self.task.samples(client)
    }

    /// Bytes of a client's training samples as raw data.
    pub fn raw_bytes(&self, client: Client) -> u64 {
        self.task.raw_bytes(client)
    }

    /// The untrained parameters.
    pub fn initial(&self) -> StateHandle {
        StateHandle(self.add(Operation::Initial, vec![]))
    }

    /// One optimiser step of `client` on its mini-batch number `step`.
    pub fn local_step(&self, state: StateHandle, client: Client, step: u64, fresh_optimizer: bool) -> StateHandle {
        self.local_step_with(state, client, step, fresh_optimizer, StepOptions::default())
    }

    /// [`Learning::local_step`] with `options`.
    pub fn local_step_with(
        &self,
        state: StateHandle,
        client: Client,
        step: u64,
        fresh_optimizer: bool,
        options: StepOptions,
    ) -> StateHandle {
        self.local_step_beside(state, &[], client, step, fresh_optimizer, options)
    }

    /// [`Learning::local_step_with`] where terms of the gradient speak of other states, the `companions`.
    pub fn local_step_beside(
        &self,
        state: StateHandle,
        companions: &[StateHandle],
        client: Client,
        step: u64,
        fresh_optimizer: bool,
        options: StepOptions,
    ) -> StateHandle {
        let inputs = std::iter::once(state.0).chain(companions.iter().map(|c| c.0)).collect();
        StateHandle(self.add(Operation::LocalStep { client, step, fresh_optimizer, options }, inputs))
    }

    /// One state out of `updates`, all of which started from `reference`. `device_side` governs what belongs to blocks
    /// below `split_point`, `edge_side` the rest; without a split point, `device_side` governs everything.
    ///
    /// Where both sides are combined alike, the split point leaves no mark on the operation: a lossless split changes
    /// when things happen, not what.
    pub fn combine(
        &self,
        reference: StateHandle,
        updates: &[StateHandle],
        split_point: Option<usize>,
        device_side: Combination,
        edge_side: Combination,
    ) -> StateHandle {
        if !self.trains() {
            return reference;
        }
        let everything: Vec<Range<usize>> = std::iter::once(0..self.task.parameters()).collect();
        let (device, edge) = match split_point {
            Some(split_point) => self.task.sides(split_point),
            None => (everything.clone(), vec![]),
        };
        let parts = match (device.is_empty(), edge.is_empty()) {
            (true, _) => vec![(everything, edge_side)],
            (_, true) => vec![(everything, device_side)],
            _ if device_side == edge_side => vec![(everything, edge_side)],
            _ => vec![(device, device_side), (edge, edge_side)],
        };
        let inputs = std::iter::once(reference.0).chain(updates.iter().map(|u| u.0)).collect();
        StateHandle(self.add(Operation::Combine { parts }, inputs))
    }

    /// As [`Learning::combine`] with one rule for each side of the cut, even where the two are alike; a side whose rule is
    /// `None` stays as in `reference`.
    pub fn combine_sides(
        &self,
        reference: StateHandle,
        updates: &[StateHandle],
        split_point: usize,
        [device_side, edge_side]: [Option<Combination>; 2],
    ) -> StateHandle {
        if !self.trains() {
            return reference;
        }
        let (device, edge) = self.task.sides(split_point);
        let sides = [(device, device_side), (edge, edge_side)];
        let parts = sides.into_iter().filter(|(ranges, _)| !ranges.is_empty());
        let parts = parts.filter_map(|(ranges, rule)| rule.map(|rule| (ranges, rule))).collect();
        let inputs = std::iter::once(reference.0).chain(updates.iter().map(|u| u.0)).collect();
        StateHandle(self.add(Operation::Combine { parts }, inputs))
    }

    /// `state` with the edge's side of the cut, its optimiser's memory included, taken from `other`.
    pub fn with_edge_side_of(&self, state: StateHandle, other: StateHandle, split_point: usize) -> StateHandle {
        if !self.trains() || state == other {
            return state;
        }
        let ranges = self.task.sides(split_point).1;
        StateHandle(self.add(Operation::Splice { ranges }, vec![state.0, other.0]))
    }

    /// What a device makes of `inputs`, the two states that `shaping` speaks of: of what belongs to blocks below
    /// `split_point`, or of all parameters without one.
    pub fn shape(&self, shaping: Shaping, split_point: Option<usize>, inputs: [StateHandle; 2]) -> StateHandle {
        if !self.trains() {
            return inputs[0];
        }
        let ranges = match split_point {
            Some(split_point) => self.task.sides(split_point).0,
            None => std::iter::once(0..self.task.parameters()).collect(),
        };
        StateHandle(self.add(Operation::Shape { ranges, shaping }, inputs.map(|i| i.0).to_vec()))
    }

    /// What device number `device` kept of its earlier updates; `None` if it kept nothing.
    pub fn residual(&self, device: u32) -> Option<StateHandle> {
        self.residuals.borrow().get(&device).copied()
    }

    /// Lets device number `device` keep `residual` until it sends again.
    pub fn keep_residual(&self, device: u32, residual: Option<StateHandle>) {
        let mut residuals = self.residuals.borrow_mut();
        match residual {
            Some(residual) => residuals.insert(device, residual),
            None => residuals.remove(&device),
        };
    }

    /// One state out of `updates`, all of which started from `reference`, as `parts` say of their entries; those in no part
    /// keep the reference. Ranges are disjoint.
    pub fn combine_parts(
        &self,
        reference: StateHandle,
        updates: &[StateHandle],
        parts: Vec<(Vec<Range<usize>>, Combination)>,
    ) -> StateHandle {
        let inputs = std::iter::once(reference.0).chain(updates.iter().map(|u| u.0)).collect();
        StateHandle(self.add(Operation::Combine { parts }, inputs))
    }

    /// The loss's slope at `state` along the direction that all clients share at `step`, on the client's mini-batch.
    pub fn slope(&self, state: StateHandle, client: Client, step: u64) -> StateHandle {
        let options = StepOptions { shared_direction: Some(SharedDirection::Slope), ..StepOptions::default() };
        self.local_step_with(state, client, step, false, options)
    }

    /// `state` after following the mean of `slopes` along the direction that all clients share at `step`.
    pub fn follow_slopes(&self, state: StateHandle, slopes: &[StateHandle], step: u64, mean: SlopeMean) -> StateHandle {
        let inputs = std::iter::once(state.0).chain(slopes.iter().map(|s| s.0)).collect();
        StateHandle(self.add(Operation::FollowSlopes { step, mean }, inputs))
    }

    /// `into` with the entries of `from`, all but the head's if `keep_head`.
    pub fn transplant(&self, into: StateHandle, from: StateHandle, keep_head: bool) -> StateHandle {
        if !self.trains() || !keep_head {
            return from;
        }
        let all_blocks = self.task.engine().backbone_key().architecture.blocks();
        let (below_the_head, _) = self.task.sides(all_blocks);
        let parts = vec![(below_the_head, Combination::Mean { weights: vec![1.0] })];
        StateHandle(self.add(Operation::Combine { parts }, vec![into.0, from.0]))
    }

    /// Says that operations on `state` are still to come although the run has moved on from it: a device may be at work
    /// from an old model. Without that it may have to be computed again.
    pub fn hold(&self, state: StateHandle) {
        if self.trains() {
            self.graph.borrow_mut().nodes[state.0].open_uses += 1;
        }
    }

    /// Takes back one [`Learning::hold`].
    pub fn release(&self, state: StateHandle) {
        if self.trains() {
            let node = &mut self.graph.borrow_mut().nodes[state.0];
            node.open_uses -= 1;
            node.drop_if_done();
        }
    }

    /// Test result of `state` on `samples` test samples, evenly spread. `keep` also keeps the state on disk, so that a
    /// longer run can go on from here.
    pub fn evaluate(&self, state: StateHandle, samples: usize, keep: bool) -> EvaluationHandle {
        self.evaluate_with(state, samples, keep, EvaluationOptions::default(), &[])
    }

    /// [`Learning::evaluate`] with `options`; `companions` are the states that these ask for beside the one tested.
    pub fn evaluate_with(
        &self,
        state: StateHandle,
        samples: usize,
        keep: bool,
        options: EvaluationOptions,
        companions: &[StateHandle],
    ) -> EvaluationHandle {
        if keep && self.trains() {
            self.graph.borrow_mut().nodes[state.0].keep = true;
        }
        // Asking for more than there are is asking for all: one identity, one computation.
        let samples = samples.min(self.task.test_range(options.domain).len());
        let inputs = std::iter::once(state.0).chain(companions.iter().map(|c| c.0)).collect();
        EvaluationHandle(self.add(Operation::Evaluate { samples, options }, inputs))
    }

    /// Mean training loss of the local steps that led to `states`.
    pub fn mean_loss(&self, states: &[StateHandle]) -> LossHandle {
        LossHandle(self.add(Operation::MeanLoss, states.iter().map(|s| s.0).collect()))
    }

    /// The key of a client's task; `None` without training. Depends on data and frozen model alone: no step is computed.
    pub fn task_key(&self, client: Client, source: KeySource) -> Result<Option<Arc<Vec<f64>>>, LearningError> {
        if !self.trains() {
            return Ok(None);
        }
        self.task.engine().client_key(&self.task, client, source).map(Some)
    }

    /// How alike the tasks of two clients are: the cosine of their keys; `None` without training.
    pub fn similarity(&self, a: Client, b: Client, source: KeySource) -> Result<Option<f64>, LearningError> {
        let keys = self.task_key(a, source)?.zip(self.task_key(b, source)?);
        Ok(keys.map(|(a, b)| cosine(&a, &b)))
    }

    /// The domain of which all of a client's samples are, where data was dealt by domain.
    pub fn domain_of(&self, client: Client) -> Option<usize> {
        self.task.domain_of(client)
    }

    /// Computes whatever `evaluations` and `losses` still need, sharing and batching as far as possible.
    pub fn resolve(&self, evaluations: &[EvaluationHandle], losses: &[LossHandle]) -> Result<(), LearningError> {
        if !self.trains() {
            return Ok(());
        }
        let wanted: Vec<NodeId> = losses.iter().map(|l| l.0).chain(evaluations.iter().map(|e| e.0)).collect();
        schedule::resolve(&mut self.graph.borrow_mut(), &self.task, &self.store, &wanted)
    }

    /// The number behind a handle; `None` without training.
    pub fn evaluation(&self, handle: EvaluationHandle) -> Result<Option<Evaluation>, LearningError> {
        self.resolve(&[handle], &[])?;
        Ok(self.metric(handle.0).and_then(|m| match m {
            Metric::Evaluation(e) => Some(e),
            Metric::MeanLoss(_) => None,
        }))
    }

    /// The number behind a handle; `None` without training.
    pub fn loss(&self, handle: LossHandle) -> Result<Option<f64>, LearningError> {
        self.resolve(&[], &[handle])?;
        Ok(self.metric(handle.0).and_then(|m| match m {
            Metric::MeanLoss(l) => Some(l),
            Metric::Evaluation(_) => None,
        }))
    }

    /// The parameters behind a handle; `None` without training.
    pub fn state(&self, handle: StateHandle) -> Result<Option<Arc<State>>, LearningError> {
        if !self.trains() {
            return Ok(None);
        }
        let mut graph = self.graph.borrow_mut();
        schedule::force_state(&mut graph, &self.task, &self.store, handle.0).map(Some)
    }

    /// Operations asked for and computed so far.
    pub fn counts(&self) -> (u64, u64) {
        let graph = self.graph.borrow();
        (graph.asked, graph.computed)
    }

    pub(super) fn add(&self, operation: Operation, inputs: Vec<NodeId>) -> NodeId {
        if !self.trains() {
            return 0;
        }
        self.store.count(1, 0);
        self.graph.borrow_mut().add(&self.task, operation, inputs)
    }

    fn metric(&self, node: NodeId) -> Option<Metric> {
        self.graph.borrow().nodes.get(node)?.value.as_ref().map(Value::metric)
    }
}
