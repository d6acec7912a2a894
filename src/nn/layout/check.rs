//! Which methods are chosen, and whether they fit the architecture and each other.

use super::super::{
    AdapterConfig, AdapterPlacement, Ia3Config, LoraConfig, LoraVariant, NnError, PeftMethod, PrefixConfig,
    PromptConfig, Selection, SelectiveConfig,
};
use crate::data::Objective;
use crate::fomo::{Architecture, Family, Projection};

/// At most one method of each kind, each checked.
#[derive(Default)]
pub(super) struct Chosen<'a> {
    pub lora: Option<&'a LoraConfig>,
    /// In series with layers.
    pub adapter: Option<&'a AdapterConfig>,
    pub parallel_adapter: Option<&'a AdapterConfig>,
    pub prefix: Option<&'a PrefixConfig>,
    pub prompt: Option<&'a PromptConfig>,
    pub ia3: Option<&'a Ia3Config>,
    pub selective: Option<&'a SelectiveConfig>,
}

impl<'a> Chosen<'a> {
    pub fn new(architecture: &Architecture, methods: &'a [PeftMethod]) -> Result<Self, NnError> {
        let mut chosen = Self::default();
        for method in methods {
            match method {
                PeftMethod::Lora(config) => only("LoRA", &mut chosen.lora, config)?,
                PeftMethod::Adapter(config) => match config.placement {
                    AdapterPlacement::Parallel => only("parallel adapter", &mut chosen.parallel_adapter, config)?,
                    AdapterPlacement::Houlsby | AdapterPlacement::Pfeiffer => {
                        only("adapter", &mut chosen.adapter, config)?;
                    }
                },
                PeftMethod::Prefix(config) => only("prefix", &mut chosen.prefix, config)?,
                PeftMethod::Prompt(config) => only("prompt", &mut chosen.prompt, config)?,
                PeftMethod::Ia3(config) => only("(IA)3", &mut chosen.ia3, config)?,
                PeftMethod::Selective(config) => only("selective", &mut chosen.selective, config)?,
            }
        }
        let blocks = architecture.blocks();
        if let Some(config) = chosen.lora {
            lora(architecture, config)?;
        }
        for config in chosen.adapter.iter().chain(&chosen.parallel_adapter) {
            adapter(architecture, config)?;
        }
        if let Some(config) = chosen.prefix {
            per_block("prefix tokens", config.tokens_per_block.len(), blocks)?;
        }
        if let Some(config) = chosen.prompt {
            prompt(architecture, *config)?;
        }
        if let Some(config) = chosen.ia3 {
            per_block("(IA)3", config.blocks.len(), blocks)?;
        }
        if let Some(config) = chosen.selective {
            per_block("selective fine-tuning", config.blocks.len(), blocks)?;
            let takes_part = config.outside || config.blocks.contains(&true);
            if config.selection == Selection::Biases && takes_part && !has_biases(architecture.family) {
                return Err(NnError::NoBiases { family: architecture.family });
            }
        }
        let twice = |&block: &usize| chosen.rank(block) > 0 && chosen.selection(block) == Some(Selection::Everything);
        match (0..blocks).find(twice) {
            Some(block) => Err(NnError::TrainedTwice { block }),
            None => Ok(chosen),
        }
    }

    /// LoRA's rank in `block`; 0 without LoRA.
    pub fn rank(&self, block: usize) -> usize {
        self.lora.map_or(0, |config| config.rank_per_block[block])
    }

    /// Which of the block's own parameters train.
    pub fn selection(&self, block: usize) -> Option<Selection> {
        self.selective.filter(|config| config.blocks[block]).map(|config| config.selection)
    }

    /// Which of the model's own parameters outside the blocks train.
    pub fn selection_outside(&self) -> Option<Selection> {
        self.selective.filter(|config| config.outside).map(|config| config.selection)
    }
}

/// Whether products and norms of the family add a bias.
pub(super) fn has_biases(family: Family) -> bool {
    match family {
        Family::Bert | Family::Roberta | Family::Gpt2 | Family::Vit => true,
        Family::Llama | Family::T5 => false,
    }
}

/// Whether the family can answer the objective.
pub(super) fn objective(architecture: &Architecture, objective: Objective) -> Result<(), NnError> {
    let family = architecture.family;
    let refuse = |objective, instead| Err(NnError::Objective { family, objective, instead });
    match (objective, family) {
        (Objective::Classification { classes }, _) if classes < 2 => {
            Err(NnError::Geometry { what: "number of classes", found: classes, expected: "2 or more".into() })
        }
        (Objective::Classification { .. }, Family::T5) => {
            refuse("classification", "write the classes as target texts and train for next tokens")
        }
        (Objective::Regression, Family::T5) => {
            refuse("regression", "write the numbers as target texts and train for next tokens")
        }
        (Objective::NextToken, Family::Bert | Family::Roberta | Family::Vit) => {
            refuse("next-token", "take a decoder such as GPT-2 or Llama, or T5, or train for classification")
        }
        _ => Ok(()),
    }
}

fn only<'a, T>(method: &'static str, place: &mut Option<&'a T>, config: &'a T) -> Result<(), NnError> {
    match place.replace(config) {
        Some(_) => Err(NnError::Duplicate { method }),
        None => Ok(()),
    }
}

fn per_block(method: &'static str, found: usize, expected: usize) -> Result<(), NnError> {
    if found == expected { Ok(()) } else { Err(NnError::PerBlock { method, found, expected }) }
}

fn lora(architecture: &Architecture, config: &LoraConfig) -> Result<(), NnError> {
    let setting = |setting, found, expected| Err(NnError::Setting { method: "LoRA", setting, found, expected });
    per_block("LoRA ranks", config.rank_per_block.len(), architecture.blocks())?;
    if !(config.alpha.is_finite() && config.alpha > 0.0) {
        return setting("alpha", config.alpha, "a finite number above 0");
    }
    if !(0.0..1.0).contains(&config.dropout) {
        return setting("dropout", config.dropout, "a share from 0 to below 1");
    }
    for target in &config.targets {
        if !Projection::of(architecture).any(|p| p == *target) {
            return Err(NnError::MissingTarget {
                projection: target.name(),
                model: architecture.name.clone(),
                accepted: Projection::of(architecture).map(Projection::name).collect::<Vec<_>>().join(", "),
            });
        }
    }
    if config.targets.is_empty() && config.rank_per_block.iter().any(|&rank| rank > 0) {
        return Err(NnError::NoTargets);
    }
    for (block, &rank) in config.rank_per_block.iter().enumerate() {
        for target in &config.targets {
            let (inputs, outputs) = target.shape(architecture);
            let limit = inputs.min(outputs);
            if rank > limit {
                return Err(NnError::RankTooLarge { rank, block, limit, projection: target.name() });
            }
        }
    }
    adaptive_ranks(config)
}

fn adaptive_ranks(config: &LoraConfig) -> Result<(), NnError> {
    let LoraVariant::Adaptive(ranks) = config.variant else { return Ok(()) };
    let (warmup_steps, final_step) = (ranks.warmup_steps, ranks.final_step);
    if final_step <= warmup_steps {
        return Err(NnError::BudgetSteps { warmup_steps, final_step });
    }
    let adapted: Vec<usize> = config.rank_per_block.iter().copied().filter(|&rank| rank > 0).collect();
    let start = adapted.iter().sum::<usize>() as f64 / adapted.len().max(1) as f64;
    if !adapted.is_empty() && ranks.target_rank as f64 > start {
        return Err(NnError::BudgetGrows { target: ranks.target_rank, start });
    }
    let setting = |setting, found, expected| Err(NnError::Setting { method: "AdaLoRA", setting, found, expected });
    if ranks.target_rank == 0 {
        return setting("target rank", 0.0, "1 or more");
    }
    if !(ranks.orthogonality.is_finite() && ranks.orthogonality >= 0.0) {
        return setting("orthogonality", ranks.orthogonality, "a finite number, 0 or more");
    }
    Ok(())
}

fn adapter(architecture: &Architecture, config: &AdapterConfig) -> Result<(), NnError> {
    let hidden = architecture.hidden;
    per_block("adapter widths", config.bottleneck_per_block.len(), architecture.blocks())?;
    if !(config.scale.is_finite() && config.scale > 0.0) {
        let (found, expected) = (config.scale, "a finite number above 0");
        return Err(NnError::Setting { method: "adapter", setting: "scale", found, expected });
    }
    match config.bottleneck_per_block.iter().position(|&width| width > hidden) {
        Some(block) => {
            let bottleneck = config.bottleneck_per_block[block];
            Err(NnError::BottleneckTooWide { bottleneck, block, hidden })
        }
        None => Ok(()),
    }
}

fn prompt(architecture: &Architecture, config: PromptConfig) -> Result<(), NnError> {
    let tokens = config.tokens;
    if tokens == 0 {
        let expected = "1 or more, or leave the method out";
        return Err(NnError::Setting { method: "prompt", setting: "number of tokens", found: 0.0, expected });
    }
    let positions = super::ends::text_positions(architecture);
    match positions {
        Some(positions) if tokens >= positions => Err(NnError::PromptTooLong { tokens, positions }),
        _ => Ok(()),
    }
}
