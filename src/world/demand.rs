//! What the scenario's technique asks of hardware and network: operations, memory and bytes on the air.

use crate::compute::{Precision, Work};
use crate::fomo::{
    ADAMW_BYTES_PER_PARAMETER, Architecture, BatchShape, FomoError, ModelCost, PeftShape, Segment, Task,
};
use crate::scenario::{PeftMethod, Scenario, TechniqueKind};

/// The cost of the scenario's model and PEFT method, cut as its technique cuts it.
#[derive(Clone, Debug)]
pub struct Demand {
    cost: ModelCost,
    precision: Precision,
    kind: TechniqueKind,
    split_point: usize,
    devices_per_round: u64,
    /// The largest mini-batch that a device can meet.
    nominal: BatchShape,
}

impl Demand {
    pub fn new(scenario: &Scenario, architecture: &Architecture) -> Result<Self, FomoError> {
        let precision = scenario.model.precision;
        let task = Task::Classification { classes: scenario.model.classes };
        let peft = peft_shape(scenario, architecture);
        let workload = &scenario.workload;
        Ok(Self {
            cost: ModelCost::new(architecture, task, precision, precision, &peft)?,
            precision,
            kind: scenario.technique.kind,
            split_point: scenario.technique.split_point,
            devices_per_round: scenario.technique.devices_per_round as u64,
            nominal: BatchShape::uniform_pairs(
                workload.batch_size,
                workload.sequence_tokens,
                usize::from(architecture.decoder_layers > 0 && architecture.encoder_layers > 0),
            ),
        })
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
        self.on_device().map_or(0, |s| self.cost.training_memory_bytes(&s, batch, ADAMW_BYTES_PER_PARAMETER))
    }

    /// Memory that the edge needs to serve a round's devices at once: one copy of the frozen weights, and of the
    /// trainable parameters with gradients, moments and activations one a device.
    pub fn edge_memory_bytes(&self, batch: &BatchShape) -> u64 {
        let Some(segment) = self.at_edge() else { return 0 };
        let one = self.cost.training_memory_bytes(&segment, batch, ADAMW_BYTES_PER_PARAMETER);
        let weights = self.cost.segment_weight_bytes(&segment);
        // The pool's mini-batch is as large as those of all devices together.
        let copies = if self.kind == TechniqueKind::Split { 1 } else { self.devices_per_round };
        weights + copies * (one - weights)
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

    /// Size of `parameters` numbers on the network.
    pub fn bytes_of(&self, parameters: u64) -> u64 {
        parameters * self.precision.bytes()
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

/// The scenario's PEFT method in the terms of the cost model.
fn peft_shape(scenario: &Scenario, architecture: &Architecture) -> PeftShape {
    match scenario.peft.method {
        PeftMethod::HeadOnly => PeftShape::head_only(architecture),
        PeftMethod::Lora => {
            let ranks = scenario.peft.rank.per_block(architecture.blocks());
            PeftShape::lora(architecture, &ranks, &scenario.peft.targets)
        }
    }
}
