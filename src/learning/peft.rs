//! The scenario's trainable parameters and task, in the terms of `nn`.

use crate::backend::Activation;
use crate::data::Objective;
use crate::fomo::Architecture;
use crate::nn::{
    AdapterConfig, AdapterPlacement, AdaptiveRanks, Ia3Config, LoraConfig, LoraScaling, LoraVariant, PeftMethod,
    PrefixConfig, PromptConfig, Selection, SelectiveConfig,
};
use crate::scenario::{self, AdapterActivation, AdapterSpec, LearningTask, LoraSpec, Scenario, SelectiveSpec};

/// What a client trains beside its head; empty where the head is all.
pub(super) fn peft_methods(scenario: &Scenario, architecture: &Architecture) -> Vec<PeftMethod> {
    let blocks = architecture.blocks();
    scenario.peft.methods().filter_map(|method| peft_method(method, blocks)).collect()
}

/// What it is trained for; `classes` are those of the data set.
pub(super) fn objective(scenario: &Scenario, classes: usize) -> Objective {
    match scenario.training.as_ref().map_or(LearningTask::Classification, |t| t.task) {
        LearningTask::Classification => Objective::Classification { classes },
        LearningTask::Regression => Objective::Regression,
        LearningTask::LanguageModel | LearningTask::SequenceToSequence => Objective::NextToken,
    }
}

fn peft_method(method: &scenario::PeftMethod, blocks: usize) -> Option<PeftMethod> {
    use scenario::PeftMethod as Spec;
    Some(match method {
        Spec::Lora(lora) => PeftMethod::Lora(low_rank(lora, LoraVariant::Plain, blocks)),
        Spec::Dora(lora) => PeftMethod::Lora(low_rank(lora, LoraVariant::Dora, blocks)),
        Spec::AdaLora(ada) => {
            let ranks = AdaptiveRanks {
                target_rank: ada.target_rank,
                warmup_steps: ada.warmup_steps,
                final_step: ada.final_step,
                orthogonality: ada.orthogonality,
            };
            PeftMethod::Lora(low_rank(&ada.lora, LoraVariant::Adaptive(ranks), blocks))
        }
        Spec::Adapter { placement, bottleneck } => {
            let placement = match placement {
                scenario::AdapterPlacement::Houlsby => AdapterPlacement::Houlsby,
                scenario::AdapterPlacement::Pfeiffer => AdapterPlacement::Pfeiffer,
            };
            PeftMethod::Adapter(adapter(bottleneck, placement, blocks))
        }
        Spec::ParallelAdapter(spec) => PeftMethod::Adapter(adapter(spec, AdapterPlacement::Parallel, blocks)),
        Spec::Prefix { tokens, blocks: chosen } => {
            PeftMethod::Prefix(PrefixConfig { tokens_per_block: tokens.per_block(chosen, blocks) })
        }
        Spec::Prompt { tokens } => PeftMethod::Prompt(PromptConfig { tokens: *tokens }),
        Spec::Ia3 { blocks: chosen } => PeftMethod::Ia3(Ia3Config { blocks: chosen.per_block(blocks) }),
        Spec::Bitfit(spec) => PeftMethod::Selective(selective(spec, Selection::Biases, blocks)),
        Spec::LayerNorm(spec) => PeftMethod::Selective(selective(spec, Selection::Norms, blocks)),
        Spec::Selective(spec) => PeftMethod::Selective(selective(spec, Selection::Everything, blocks)),
        Spec::Full => PeftMethod::Selective(SelectiveConfig {
            selection: Selection::Everything,
            blocks: vec![true; blocks],
            outside: true,
        }),
        Spec::HeadOnly => return None,
    })
}

fn low_rank(lora: &LoraSpec, variant: LoraVariant, blocks: usize) -> LoraConfig {
    LoraConfig {
        rank_per_block: lora.rank.per_block(&lora.blocks, blocks),
        alpha: lora.alpha,
        targets: lora.targets.clone(),
        scaling: match lora.scaling {
            scenario::LoraScaling::Rank => LoraScaling::Rank,
            scenario::LoraScaling::RankRoot => LoraScaling::RankRoot,
        },
        dropout: lora.dropout,
        variant,
    }
}

fn adapter(spec: &AdapterSpec, placement: AdapterPlacement, blocks: usize) -> AdapterConfig {
    AdapterConfig {
        bottleneck_per_block: spec.bottleneck.per_block(&spec.blocks, blocks),
        placement,
        activation: match spec.activation {
            AdapterActivation::Gelu => Activation::Gelu,
            AdapterActivation::GeluTanh => Activation::GeluTanh,
            AdapterActivation::Silu => Activation::Silu,
            AdapterActivation::Relu => Activation::Relu,
        },
        scale: spec.adapter_scale,
    }
}

fn selective(spec: &SelectiveSpec, selection: Selection, blocks: usize) -> SelectiveConfig {
    SelectiveConfig { selection, blocks: spec.blocks.per_block(blocks), outside: spec.outside_blocks }
}
