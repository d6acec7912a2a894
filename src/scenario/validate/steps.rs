//! Whether the optimizer of devices' steps goes with the technique, computed or only emulated.

use super::check::Check;
use crate::scenario::key_path::KeyPath;
use crate::scenario::raw::OptimizerKind;
use crate::scenario::schema::{
    AggregationSpec, EmulatedOptimizer, Optimizer, TechniqueKind, TechniqueSpec, TrainingSpec, UpdateCompression,
};

/// How steps are made, and which section says so.
#[derive(Clone, Copy)]
pub(super) struct Steps {
    pub optimizer: Optimizer,
    trained: bool,
}

impl Steps {
    /// What a scenario says that trains, or else what its workload says; `None` where nothing does.
    pub(super) fn of(
        c: &mut Check,
        training: Option<&TrainingSpec>,
        trains: bool,
        emulated: Option<EmulatedOptimizer>,
    ) -> Option<Self> {
        if let Some(emulated) = emulated.filter(|_| trains) {
            let at = KeyPath::default().key("workload").key("optimizer");
            let help = format!("drop the key, or use `training: {{optimizer: {{kind: {}}}}}`", emulated.name());
            c.conflict(at, "where the model is trained, `training.optimizer` says how", &help);
        }
        match training {
            Some(training) => Some(Self { optimizer: training.optimizer, trained: true }),
            None => emulated.map(|e| Self { optimizer: e.optimizer(), trained: false }),
        }
    }

    pub(super) fn are_zeroth_order(&self) -> bool {
        matches!(self.optimizer, Optimizer::ZerothOrder { .. })
    }

    fn key(&self) -> KeyPath {
        let at = KeyPath::default();
        if self.trained { at.key("training").key("optimizer").key("kind") } else { at.key("workload").key("optimizer") }
    }

    /// How the scenario would ask for another optimizer.
    pub(super) fn instead(&self, kind: OptimizerKind) -> String {
        let word = match kind {
            OptimizerKind::AdamW => "adamw",
            OptimizerKind::Sgd => "sgd",
            OptimizerKind::ZerothOrder => "zeroth_order",
        };
        let section = if self.trained {
            format!("training: {{optimizer: {{kind: {word}}}}}")
        } else {
            format!("workload: {{optimizer: {word}}}")
        };
        format!("`{section}`")
    }
}

/// Notes where the optimizer does not go with the technique.
pub(super) fn optimizer_fits(c: &mut Check, steps: Steps, technique: &TechniqueSpec) {
    let at = steps.key();
    let slopes_only = technique.kind == TechniqueKind::ZerothOrderFederated;
    let with_gradients = steps.instead(OptimizerKind::AdamW);
    match steps.optimizer {
        Optimizer::ZerothOrder { .. } if slopes_only => return,
        Optimizer::ZerothOrder { .. } => {}
        Optimizer::AdamW | Optimizer::Sgd { .. } => {
            if slopes_only {
                let message = "under `zeroth_order_federated` devices send slopes, and this optimizer needs gradients";
                let help =
                    format!("use {}, or `technique: {{kind: federated}}`", steps.instead(OptimizerKind::ZerothOrder));
                c.conflict(at, message, &help);
            }
            return;
        }
    }
    if technique.kind == TechniqueKind::BlockFederated {
        let message = "`zeroth_order` has no backward pass that would end at the block of a device";
        c.conflict(at, message, &format!("use {with_gradients}, or `technique: {{kind: federated}}`"));
    } else if !matches!(
        technique.kind,
        TechniqueKind::OnDevice | TechniqueKind::Federated | TechniqueKind::OffsiteTuning
    ) {
        let message = format!(
            "`zeroth_order` compares losses of the whole model on a device, and `{}` has none there",
            technique.kind.name()
        );
        let help = format!("use {with_gradients}, or one of the techniques on_device, federated and offsite_tuning");
        c.conflict(at, message, &help);
    } else if technique.aggregation.is_over_the_air() {
        let method = technique.aggregation.name();
        let message = format!("under `zeroth_order` devices send a few scalars, and `{method}` adds up whole updates");
        c.conflict(at, message, &format!("use `aggregation: {{method: digital}}`, or {with_gradients}"));
    } else if let AggregationSpec::Digital(digital) = &technique.aggregation
        && digital.compression != UpdateCompression::None
    {
        let message = "under `zeroth_order` devices send a few scalars: there is no update to compress";
        c.conflict(at, message, &format!("use `compression: {{kind: none}}`, or {with_gradients}"));
    }
}
