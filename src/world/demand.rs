//! What the scenario's technique asks of hardware and network: operations, memory and bytes on the air.

use super::memo::{Memo, Question};
use super::peft_shape::peft_shape;
use crate::compute::{Precision, Work};
use crate::fomo::cost::MOMENTUM_BYTES_PER_PARAMETER;
use crate::fomo::{ADAMW_BYTES_PER_PARAMETER, Architecture, BatchShape, Emulator, FomoError, ModelCost, Segment, Task};
use crate::scenario::{
    AttentionMemory, BlockSizes, ConnectionMethod, Correction, CutCompression, CutSpec, DeviceSide, LabelPlace,
    LearningTask, LocalSpec, Optimizer, PeftMethod, PeftSpec, Scenario, ServerSide, TechniqueKind,
};

/// Size of one scalar of a zeroth-order step on the network: by how much the loss differs between its two points.
const SCALAR_BYTES: u64 = 4;

/// The cost of the scenario's model and PEFT methods, cut as its technique cuts it; of the emulator, where devices tune
/// against one.
#[derive(Clone, Debug)]
pub struct Demand {
    pub(super) cost: ModelCost,
    precision: Precision,
    kind: TechniqueKind,
    pub(super) split_point: usize,
    pub(super) cut: CutSpec,
    /// What the forms in which activations cross may lose, where the scenario leaves the form open.
    pub(super) largest_cut_error: Option<f64>,
    /// Blocks beyond the cut that devices hold in slices, and how many these are; none and 1 where all are whole.
    pub(super) sliced_blocks: Vec<usize>,
    pub(super) slices: u64,
    pub(super) sums_in_the_air: bool,
    /// Values of the grid that carry a slope over the air.
    slope_repetitions: u64,
    devices_per_round: u64,
    local_steps: u64,
    optimizer: Optimizer,
    local: LocalSpec,
    /// The same for devices that hold low-rank pairs of at most so many ranks.
    by_rank: Vec<(usize, Demand)>,
    /// Whether a device keeps what its updates left unsent.
    keeps_residual: bool,
    /// Prompts that answer a query together, and prompts that the edge keeps; 0 where it answers none.
    answering_prompts: usize,
    kept_prompts: u64,
    /// The largest mini-batch that a device can meet.
    nominal: BatchShape,
    passes: Memo<Work>,
    device_memory: Memo<u64>,
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
        let optimizer = scenario.optimizer();
        let mut peft = peft_shape(peft, architecture);
        // Where every device has its own, this one stands for all until they are chosen.
        let split_point = technique.split_point.fixed().unwrap_or(architecture.blocks() / 2);
        let split_point = technique.gradients.map_or(split_point, |g| g.device_blocks);
        let mut cut = technique.cut.clone().unwrap_or_default();
        let largest_cut_error = match cut.compression {
            CutCompression::Auto { largest_error } => Some(largest_error),
            _ => None,
        };
        if largest_cut_error.is_some() {
            // It stands for the chosen form until the world is built.
            cut.compression = CutCompression::None;
        }
        if cut.device_side == DeviceSide::Frozen {
            peft = peft.frozen_below(split_point);
        }
        Ok(Self {
            cost: match &technique.emulator {
                Some(plan) => {
                    let emulator = Emulator::new(architecture, &plan.spec);
                    ModelCost::of_emulator(&emulator, task, model.precision, model.precision, &peft)?
                }
                None => ModelCost::new(architecture, task, model.precision, model.precision, &peft)?,
            }
            .with_attention_fused(model.attention == AttentionMemory::Fused),
            precision: model.precision,
            kind: technique.kind,
            split_point,
            cut,
            largest_cut_error,
            sliced_blocks: technique.connections.as_ref().map_or(vec![], |c| c.blocks.clone()),
            slices: technique.connections.as_ref().map_or(1, |c| c.slices as u64),
            sums_in_the_air: technique
                .connections
                .as_ref()
                .is_some_and(|c| matches!(c.method, ConnectionMethod::AirComp { .. })),
            slope_repetitions: technique.zeroth_order.and_then(|z| z.repetitions).unwrap_or(1) as u64,
            devices_per_round: technique.devices_per_round as u64,
            local_steps: technique.local_steps as u64,
            optimizer,
            answering_prompts: technique.ensemble.as_ref().map_or(0, |e| e.combine.members(scenario.device_count())),
            kept_prompts: scenario.device_count() as u64,
            local: technique.local,
            by_rank: vec![],
            keeps_residual: technique.kind.aggregates() && technique.aggregation.has_error_feedback(),
            nominal: BatchShape::uniform_pairs(workload.batch_size, workload.sequence_tokens, decoder_tokens),
            passes: Memo::default(),
            device_memory: Memo::default(),
        })
    }

    /// What is asked of a device that holds at most `rank` ranks of each low-rank pair.
    pub fn of_rank(&self, rank: Option<usize>) -> &Self {
        self.by_rank.iter().find(|(known, _)| Some(*known) == rank).map_or(self, |(_, demand)| demand)
    }

    /// The same technique with its model cut at `split_point` and what crosses made smaller in this way.
    pub(super) fn with_cut(&self, split_point: usize, compression: CutCompression) -> Self {
        let by_rank = self.by_rank.iter().map(|(rank, demand)| (*rank, demand.with_cut(split_point, compression)));
        let cut = CutSpec { compression, ..self.cut.clone() };
        Self { split_point, cut, by_rank: by_rank.collect(), ..self.clone() }
    }

    /// Who has the labels, under a split technique.
    pub fn label_place(&self) -> LabelPlace {
        self.cut.labels
    }

    pub fn kind(&self) -> TechniqueKind {
        self.kind
    }

    pub fn devices_per_round(&self) -> usize {
        self.devices_per_round as usize
    }

    /// Blocks below it run on the device, under a split technique.
    pub fn split_point(&self) -> usize {
        self.split_point
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
            TechniqueKind::OnDevice
            | TechniqueKind::Federated
            | TechniqueKind::OffsiteTuning
            | TechniqueKind::BlockFederated
            | TechniqueKind::ZerothOrderFederated => Some(self.cost.whole()),
            TechniqueKind::Split
            | TechniqueKind::SplitFederated
            | TechniqueKind::TensorParallel
            | TechniqueKind::GradientDownload => {
                let head = self.cut.labels == LabelPlace::Device;
                Some(Segment { head, ..self.cost.device_side(self.split_point) })
            }
            TechniqueKind::PromptEnsemble | TechniqueKind::PromptTransfer => Some(self.cost.whole()),
        }
    }

    /// What the edge holds of the model; `None` where it only averages or is not asked at all.
    pub fn at_edge(&self) -> Option<Segment> {
        match self.kind {
            TechniqueKind::Centralized => Some(self.cost.whole()),
            TechniqueKind::OnDevice
            | TechniqueKind::Federated
            | TechniqueKind::OffsiteTuning
            | TechniqueKind::BlockFederated
            | TechniqueKind::ZerothOrderFederated => None,
            TechniqueKind::Split
            | TechniqueKind::SplitFederated
            | TechniqueKind::TensorParallel
            | TechniqueKind::GradientDownload => {
                let head = self.cut.labels == LabelPlace::Edge;
                Some(Segment { head, ..self.cost.edge_side(self.split_point) })
            }
            // It trains nothing; answering queries has memory of its own.
            TechniqueKind::PromptEnsemble | TechniqueKind::PromptTransfer => None,
        }
    }

    /// Memory that a device needs for one training step.
    pub fn device_memory_bytes(&self, batch: &BatchShape) -> u64 {
        let question = Question { segment: None, backward: false, batch: *batch };
        self.device_memory.get(question, || self.count_device_memory(batch))
    }

    fn count_device_memory(&self, batch: &BatchShape) -> u64 {
        let residual = if self.keeps_residual { self.device_side_bytes() } else { 0 };
        let Some(segment) = self.on_device() else { return 0 };
        let step = match self.kind {
            // The block that asks for least: who cannot train it cannot take part.
            TechniqueKind::BlockFederated => {
                let blocks = self.trainable_blocks();
                blocks.into_iter().map(|block| self.block_memory_bytes(block, batch)).min().unwrap_or(0)
            }
            TechniqueKind::GradientDownload => self.owner_memory_bytes(&segment, batch),
            _ => self.memory_bytes(&segment, batch),
        };
        step + residual + self.slice_memory_bytes(batch)
    }

    /// Memory that an edge server needs to serve `devices` at once: one copy of the frozen weights, and of the trainable
    /// parameters with gradients, moments and activations one a device.
    pub fn edge_memory_bytes(&self, batch: &BatchShape, devices: u64) -> u64 {
        if self.answering_prompts > 0 {
            return self.answering_memory_bytes();
        }
        let Some(segment) = self.at_edge() else { return 0 };
        let one = self.memory_bytes(&segment, batch);
        let weights = self.cost.segment_weight_bytes(&segment);
        // The pool's mini-batch is as large as those of all devices together.
        let in_turn = matches!(self.kind, TechniqueKind::Split | TechniqueKind::TensorParallel);
        let copies = if in_turn || self.cut.server_side == ServerSide::Shared { 1 } else { devices };
        weights + copies * (one - weights) - self.sliced_memory_bytes(batch)
    }

    /// Memory that the edge needs to answer a query: the frozen model, all prompts, and one pass with those that answer.
    fn answering_memory_bytes(&self) -> u64 {
        let n = &self.nominal;
        let longest = (n.tokens / n.sequences.max(1)) as usize;
        let passes = BatchShape::uniform(self.answering_prompts, longest);
        let kept = self.kept_prompts * self.bytes_of(self.parameters());
        self.cost.inference_memory_bytes(&self.cost.whole(), &passes) + kept
    }

    fn memory_bytes(&self, segment: &Segment, batch: &BatchShape) -> u64 {
        if self.is_zeroth_order() {
            return self.cost.inference_memory_bytes(segment, batch);
        }
        let per_parameter = self.optimizer_bytes_per_parameter() + self.local_bytes_per_parameter();
        self.cost.training_memory_bytes(segment, batch, per_parameter)
    }

    /// What the optimizer keeps for a parameter.
    pub(super) fn optimizer_bytes_per_parameter(&self) -> u64 {
        match self.optimizer {
            Optimizer::AdamW => ADAMW_BYTES_PER_PARAMETER,
            Optimizer::Sgd { momentum } if momentum > 0.0 => MOMENTUM_BYTES_PER_PARAMETER,
            Optimizer::Sgd { .. } | Optimizer::ZerothOrder { .. } => 0,
        }
    }

    /// What the terms in local gradients keep, in 32 bits: the round's start for a proximal term; that and two control
    /// variates for a correction.
    pub(super) fn local_bytes_per_parameter(&self) -> u64 {
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
        match self.kind {
            // Devices own all of them, wherever they are used.
            TechniqueKind::GradientDownload => self.parameters(),
            TechniqueKind::ZerothOrderFederated => self.slope_repetitions,
            _ => self.on_device().map_or(0, |s| self.cost.segment_trainable_parameters(&s)),
        }
    }

    /// All trainable parameters.
    pub fn parameters(&self) -> u64 {
        self.cost.segment_trainable_parameters(&self.cost.whole())
    }

    /// Size of the device-side parameters on the network.
    pub fn device_side_bytes(&self) -> u64 {
        match self.kind {
            TechniqueKind::ZerothOrderFederated => SCALAR_BYTES,
            _ => self.bytes_of(self.device_side_parameters()),
        }
    }

    /// Size of the slopes of `steps` zeroth-order steps.
    pub fn slope_bytes(&self, steps: u64) -> u64 {
        SCALAR_BYTES * steps
    }

    /// What a device downloads before it can tune adapters: the frozen weights of the emulator.
    pub fn emulator_bytes(&self) -> u64 {
        self.cost.frozen_bytes()
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

    /// What an edge server holds for one device alone: its trainable parameters there in 32 bits, and their moments. 0 where
    /// devices share the edge's side, or it holds none.
    pub fn edge_state_bytes(&self) -> u64 {
        const MASTER_BYTES: u64 = 4;
        let own = self.kind.is_split() && self.cut.server_side == ServerSide::PerDevice;
        let Some(segment) = self.at_edge().filter(|_| own) else { return 0 };
        self.cost.segment_trainable_parameters(&segment) * (MASTER_BYTES + self.optimizer_bytes_per_parameter())
    }

    /// What edge servers exchange after a round.
    pub fn server_update_bytes(&self) -> u64 {
        match self.kind {
            TechniqueKind::ZerothOrderFederated => SCALAR_BYTES,
            _ if self.is_zeroth_order() => self.update_down_bytes(),
            _ => self.bytes_of(self.parameters()),
        }
    }

    fn is_zeroth_order(&self) -> bool {
        matches!(self.optimizer, Optimizer::ZerothOrder { .. })
    }

    /// Size of `parameters` numbers on the network.
    pub(super) fn bytes_of(&self, parameters: u64) -> u64 {
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
        let question = Question { segment: Some(segment.clone()), backward: false, batch: *batch };
        self.passes.get(question, || self.cost.segment_forward(segment, batch))
    }

    pub fn backward(&self, segment: &Segment, batch: &BatchShape) -> Work {
        let question = Question { segment: Some(segment.clone()), backward: true, batch: *batch };
        self.passes.get(question, || self.cost.segment_backward(segment, batch))
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
