//! What the scenario's technique asks of hardware and network: operations, memory and bytes on the air.

use super::peft_shape::peft_shape;
use crate::compute::{Precision, Work};
use crate::fomo::cost::MOMENTUM_BYTES_PER_PARAMETER;
use crate::fomo::{ADAMW_BYTES_PER_PARAMETER, Architecture, BatchShape, FomoError, ModelCost, Segment, Task};
use crate::scenario::{
    BlockSizes, Correction, LearningTask, LocalSpec, Optimizer, PeftMethod, PeftSpec, Scenario, TechniqueKind,
};

/// Size of one scalar of a zeroth-order step on the network: by how much the loss differs between its two points.
const SCALAR_BYTES: u64 = 4;

/// The cost of the scenario's model and PEFT methods, cut as its technique cuts it.
#[derive(Clone, Debug)]
pub struct Demand {
    cost: ModelCost,
    precision: Precision,
    kind: TechniqueKind,
    split_point: usize,
    devices_per_round: u64,
    local_steps: u64,
    optimizer: Optimizer,
    local: LocalSpec,
    /// The same for devices that hold low-rank pairs of at most so many ranks.
    by_rank: Vec<(usize, Demand)>,
    /// Whether a device keeps what its updates left unsent.
    keeps_residual: bool,
    /// The largest mini-batch that a device can meet.
    nominal: BatchShape,
}

impl Demand {
    pub fn new(scenario: &Scenario, architecture: &Architecture) -> Result<Self, FomoError> {
        let mut demand = Self::with_peft(scenario, architecture, &scenario.peft)?;
        for rank in scenario.devices.iter().filter_map(|group| group.lora_rank) {
            if demand.by_rank.iter().all(|(known, _)| *known != rank) {
                let peft = ranks_at_most(&scenario.peft, rank, architecture.blocks());
                demand.by_rank.push((rank, Self::with_peft(scenario, architecture, &peft)?));
            }
        }
        Ok(demand)
    }

    fn with_peft(scenario: &Scenario, architecture: &Architecture, peft: &PeftSpec) -> Result<Self, FomoError> {
        let Scenario { model, technique, workload, training, .. } = scenario;
        let learning = training.as_ref().map_or(LearningTask::Classification, |t| t.task);
        let task = match learning {
            LearningTask::Classification => Task::Classification { classes: model.classes.unwrap_or(2) },
            LearningTask::Regression => Task::Regression,
            LearningTask::LanguageModel | LearningTask::SequenceToSequence => Task::LanguageModel,
        };
        let decoder_tokens = match learning {
            // Targets are cut where texts are.
            LearningTask::SequenceToSequence => workload.sequence_tokens,
            _ => usize::from(architecture.decoder_layers > 0 && architecture.encoder_layers > 0),
        };
        let peft = peft_shape(peft, architecture);
        Ok(Self {
            cost: ModelCost::new(architecture, task, model.precision, model.precision, &peft)?,
            precision: model.precision,
            kind: technique.kind,
            split_point: technique.split_point,
            devices_per_round: technique.devices_per_round as u64,
            local_steps: technique.local_steps as u64,
            optimizer: training.as_ref().map_or(Optimizer::AdamW, |t| t.optimizer),
            local: technique.local,
            by_rank: vec![],
            keeps_residual: technique.kind.aggregates() && technique.aggregation.has_error_feedback(),
            nominal: BatchShape::uniform_pairs(workload.batch_size, workload.sequence_tokens, decoder_tokens),
        })
    }

    /// What is asked of a device that holds at most `rank` ranks of each low-rank pair.
    pub fn of_rank(&self, rank: Option<usize>) -> &Self {
        self.by_rank.iter().find(|(known, _)| Some(*known) == rank).map_or(self, |(_, demand)| demand)
    }

    pub fn cost(&self) -> &ModelCost {
        &self.cost
    }

    pub fn precision(&self) -> Precision {
        self.precision
    }

    pub fn blocks(&self) -> usize {
        self.cost.blocks()
    }

    /// The mini-batch by which memory is planned.
    pub fn nominal_batch(&self) -> &BatchShape {
        &self.nominal
    }

    /// What a device holds of the model: all of it, its side of the cut, or nothing where only its data is wanted.
    pub fn on_device(&self) -> Option<Segment> {
        match self.kind {
            TechniqueKind::Centralized => None,
            TechniqueKind::OnDevice | TechniqueKind::Federated => Some(self.cost.whole()),
            TechniqueKind::Split | TechniqueKind::SplitFederated => Some(self.cost.device_side(self.split_point)),
        }
    }

    /// What the edge holds of the model; `None` where it only averages or is not asked at all.
    pub fn at_edge(&self) -> Option<Segment> {
        match self.kind {
            TechniqueKind::Centralized => Some(self.cost.whole()),
            TechniqueKind::OnDevice | TechniqueKind::Federated => None,
            TechniqueKind::Split | TechniqueKind::SplitFederated => Some(self.cost.edge_side(self.split_point)),
        }
    }

    /// Memory that a device needs for one training step.
    pub fn device_memory_bytes(&self, batch: &BatchShape) -> u64 {
        let residual = if self.keeps_residual { self.device_side_bytes() } else { 0 };
        self.on_device().map_or(0, |s| self.memory_bytes(&s, batch) + residual)
    }

    /// Memory that the edge needs to serve a round's devices at once: one copy of the frozen weights, and of the
    /// trainable parameters with gradients, moments and activations one a device.
    pub fn edge_memory_bytes(&self, batch: &BatchShape) -> u64 {
        let Some(segment) = self.at_edge() else { return 0 };
        let one = self.memory_bytes(&segment, batch);
        let weights = self.cost.segment_weight_bytes(&segment);
        // The pool's mini-batch is as large as those of all devices together.
        let copies = if self.kind == TechniqueKind::Split { 1 } else { self.devices_per_round };
        weights + copies * (one - weights)
    }

    fn memory_bytes(&self, segment: &Segment, batch: &BatchShape) -> u64 {
        let per_parameter = match self.optimizer {
            Optimizer::AdamW => ADAMW_BYTES_PER_PARAMETER,
            Optimizer::Sgd { momentum } if momentum > 0.0 => MOMENTUM_BYTES_PER_PARAMETER,
            Optimizer::Sgd { .. } => 0,
            Optimizer::ZerothOrder { .. } => return self.cost.inference_memory_bytes(segment, batch),
        };
        self.cost.training_memory_bytes(segment, batch, per_parameter + self.local_bytes_per_parameter())
    }

    /// What the terms in local gradients keep, in 32 bits: the round's start for a proximal term; that and two control
    /// variates for a correction.
    fn local_bytes_per_parameter(&self) -> u64 {
        const COPY_BYTES: u64 = 4;
        match self.local {
            LocalSpec { correction: Correction::Scaffold, .. } => 3 * COPY_BYTES,
            LocalSpec { proximal_mu, .. } if proximal_mu > 0.0 => COPY_BYTES,
            LocalSpec { .. } => 0,
        }
    }

    /// Size of a control variate on the network; 0 where there are none.
    pub fn control_variate_bytes(&self) -> u64 {
        if self.local.correction == Correction::Scaffold { self.device_side_bytes() } else { 0 }
    }

    /// Trainable parameters on the devices' side: what aggregation has to bring together over the air.
    pub fn device_side_parameters(&self) -> u64 {
        self.on_device().map_or(0, |s| self.cost.segment_trainable_parameters(&s))
    }

    /// All trainable parameters.
    pub fn parameters(&self) -> u64 {
        self.cost.segment_trainable_parameters(&self.cost.whole())
    }

    /// Size of the device-side parameters on the network.
    pub fn device_side_bytes(&self) -> u64 {
        self.bytes_of(self.device_side_parameters())
    }

    /// What a device hands in after a round, where it hands it in alone: its parameters; under a zeroth-order optimizer one
    /// scalar a step, since everybody can draw the random directions from their seeds (Qin et al. 2024, FedKSeed).
    pub fn update_up_bytes(&self) -> u64 {
        if self.is_zeroth_order() { SCALAR_BYTES * self.local_steps } else { self.device_side_bytes() }
    }

    /// What a device gets before a round: the parameters, or the scalars of all devices of a round. Who was not drawn in
    /// some rounds would need those of each of them; they are not counted.
    pub fn update_down_bytes(&self) -> u64 {
        let scalars = SCALAR_BYTES * self.local_steps * self.devices_per_round;
        if self.is_zeroth_order() { scalars } else { self.device_side_bytes() }
    }

    /// What edge servers exchange after a round.
    pub fn server_update_bytes(&self) -> u64 {
        if self.is_zeroth_order() { self.update_down_bytes() } else { self.bytes_of(self.parameters()) }
    }

    fn is_zeroth_order(&self) -> bool {
        matches!(self.optimizer, Optimizer::ZerothOrder { .. })
    }

    /// Size of `parameters` numbers on the network.
    fn bytes_of(&self, parameters: u64) -> u64 {
        parameters * self.precision.bytes()
    }

    /// One step of fine-tuning on the whole of `segment`, phase by phase.
    pub fn step(&self, segment: &Segment, batch: &BatchShape) -> Vec<Work> {
        match self.optimizer {
            Optimizer::ZerothOrder { .. } => vec![self.cost.segment_zeroth_order_step(segment, batch)],
            Optimizer::AdamW | Optimizer::Sgd { .. } => {
                vec![self.forward(segment, batch), self.backward(segment, batch)]
            }
        }
    }

    pub fn forward(&self, segment: &Segment, batch: &BatchShape) -> Work {
        self.cost.segment_forward(segment, batch)
    }

    pub fn backward(&self, segment: &Segment, batch: &BatchShape) -> Work {
        self.cost.segment_backward(segment, batch)
    }

    /// Activations and labels that go up through the cut.
    pub fn smashed_bytes(&self, batch: &BatchShape) -> u64 {
        self.cost.boundary_bytes(self.split_point, batch) + self.cost.label_bytes(batch)
    }

    /// Gradient that comes back through the cut; 0 if nothing below it trains.
    pub fn gradient_bytes(&self, batch: &BatchShape) -> u64 {
        if self.cost.gradient_crosses(self.split_point) { self.cost.boundary_bytes(self.split_point, batch) } else { 0 }
    }
}

/// `peft` with low-rank pairs of at most `rank` ranks.
fn ranks_at_most(peft: &PeftSpec, rank: usize, blocks: usize) -> PeftSpec {
    let mut peft = peft.clone();
    for method in std::iter::once(&mut peft.method).chain(&mut peft.combine_with) {
        if let PeftMethod::Lora(lora) | PeftMethod::Dora(lora) = method {
            let ranks = lora.rank.per_block(&lora.blocks, blocks);
            lora.rank = BlockSizes::PerBlock { blocks: ranks.into_iter().map(|r| r.min(rank)).collect() };
        }
    }
    peft
}
