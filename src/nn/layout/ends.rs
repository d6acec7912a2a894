//! The trainable tensors that belong to no block: before the first and after the last, and those of a whole stack.

use super::super::slots::{HeadKind, InputSlots};
use super::super::{Selection, names};
use super::builder::{Builder, Owner};
use super::check::{Chosen, has_biases};
use super::initial::{Initial, Origin};
use crate::backend::{EmbeddingSlots, HeadSlot, LinearSlots, NormSlots, Pooling, PromptSlot};
use crate::data::Objective;
use crate::fomo::{Architecture, Family};

/// Rows of RoBERTa's position table before that of the first token: positions count from the padding index on.
const ROBERTA_POSITION_OFFSET: usize = 2;

/// Learned positions that text can take; `None` where text has none.
pub(super) fn text_positions(architecture: &Architecture) -> Option<usize> {
    let positions = architecture.positions;
    match architecture.family {
        Family::Bert | Family::Gpt2 => Some(positions),
        Family::Roberta => Some(positions.saturating_sub(ROBERTA_POSITION_OFFSET)),
        Family::Llama | Family::T5 | Family::Vit => None,
    }
}

/// Patches, tables, prompt and norm of the embedding.
pub(super) fn input(builder: &mut Builder, architecture: &Architecture, chosen: &Chosen) -> InputSlots {
    let selection = chosen.selection_outside();
    let mut embedding = EmbeddingSlots::default();
    let patches = patches(builder, architecture, selection);
    if selection == Some(Selection::Everything) {
        tables(builder, architecture, &mut embedding);
    }
    embedding.prompt = chosen.prompt.map(|config| prompt(builder, architecture, config.tokens));
    let norm = match architecture.family {
        Family::Bert | Family::Roberta => {
            builder.norm(names::EMBEDDING_NORM, architecture.hidden, Owner::Input, selection, true)
        }
        Family::Gpt2 | Family::Llama | Family::T5 | Family::Vit => NormSlots::default(),
    };
    InputSlots { patches, embedding, norm }
}

fn patch_values(architecture: &Architecture) -> Option<[usize; 3]> {
    architecture.image.map(|image| [image.channels, image.patch_px, image.patch_px])
}

fn patches(builder: &mut Builder, architecture: &Architecture, selection: Option<Selection>) -> LinearSlots {
    let mut slots = LinearSlots::default();
    let (Some(patch), Some(selection)) = (patch_values(architecture), selection) else { return slots };
    let hidden = architecture.hidden;
    if selection == Selection::Everything {
        let name = format!("{}.weight", names::PATCHES);
        let origin = Origin::whole(&name, [vec![hidden], patch.to_vec()].concat());
        let shape = [hidden, patch.iter().product()];
        slots.weight = Some(builder.push(name, shape, Owner::Input, Initial::Own(origin)));
    }
    if selection != Selection::Norms {
        slots.bias = Some(builder.own_vector(format!("{}.bias", names::PATCHES), hidden, Owner::Input));
    }
    slots
}

fn tables(builder: &mut Builder, architecture: &Architecture, slots: &mut EmbeddingSlots) {
    let Architecture { family, hidden, vocabulary, positions, token_types, image, .. } = *architecture;
    let mut push =
        |name: &str, rows, origin| Some(builder.push(name, [rows, hidden], Owner::Input, Initial::Own(origin)));
    if vocabulary > 0 {
        let name = names::words(family);
        slots.words = push(name, vocabulary, Origin::whole(name, vec![vocabulary, hidden]));
    }
    if let Some(name) = names::positions(family) {
        let (used, origin) = match text_positions(architecture) {
            Some(used) => (used, Origin::rows(name, vec![positions, hidden], positions - used..positions)),
            None => (positions, Origin::whole(name, vec![1, positions, hidden])),
        };
        slots.positions = push(name, used, origin);
    }
    if token_types > 0 {
        // Every text has type 0.
        slots.token_type =
            push(names::TOKEN_TYPES, 1, Origin::rows(names::TOKEN_TYPES, vec![token_types, hidden], 0..1));
    }
    if image.is_some() {
        slots.class_token = push(names::CLASS_TOKEN, 1, Origin::whole(names::CLASS_TOKEN, vec![1, 1, hidden]));
    }
}

/// Text prompts start as words of the vocabulary, which Lester et al. 2021 find better than noise; prompts before
/// patches as Jia et al. 2022 start them, by Xavier's rule of the patch projection.
fn prompt(builder: &mut Builder, architecture: &Architecture, tokens: usize) -> PromptSlot {
    let Architecture { family, hidden, vocabulary, .. } = *architecture;
    let initial = match patch_values(architecture) {
        Some(patch) => Initial::Xavier { fans: patch.iter().product::<usize>() + hidden },
        None => Initial::SampledRows {
            table: Origin::whole(names::words(family), vec![vocabulary, hidden]),
            rows: vocabulary,
        },
    };
    let prompt = builder.push("prompt", [tokens, hidden], Owner::Input, initial);
    PromptSlot { prompt, tokens, takes_positions: family != Family::Vit }
}

/// T5's relative position biases of the stack that starts with `block`: one table, with the gradients of all its blocks.
pub(super) fn relative_bias(
    builder: &mut Builder,
    architecture: &Architecture,
    chosen: &Chosen,
    block: usize,
) -> Option<usize> {
    let relative = architecture.relative_positions?;
    if chosen.selection_outside() != Some(Selection::Everything) {
        return None;
    }
    let (shape, name) =
        ([relative.buckets, architecture.heads], names::relative_bias(block >= architecture.encoder_layers));
    let origin = Origin::whole(&name, shape.to_vec());
    Some(builder.push(name, shape, Owner::Block(block), Initial::Own(origin)))
}

/// The norm that ends an encoder-decoder's encoder, in its last block `block`.
pub(super) fn encoder_norm(
    builder: &mut Builder,
    architecture: &Architecture,
    chosen: &Chosen,
    block: usize,
) -> Option<NormSlots> {
    let (width, selection) = (architecture.hidden, chosen.selection_outside());
    (architecture.family == Family::T5)
        .then(|| builder.norm(names::ENCODER_NORM, width, Owner::Block(block), selection, false))
}

/// The norm behind the last block.
pub(super) fn final_norm(builder: &mut Builder, architecture: &Architecture, chosen: &Chosen) -> NormSlots {
    let Architecture { family, hidden, .. } = *architecture;
    let (selection, shifted) = (chosen.selection_outside(), has_biases(family));
    names::final_norm(family)
        .map(|module| builder.norm(module, hidden, Owner::Head, selection, shifted))
        .unwrap_or_default()
}

/// What answers. With full fine-tuning, a next-token model's output matrix is `words` where the two are tied: one
/// tensor with both gradients.
pub(super) fn head(
    builder: &mut Builder,
    architecture: &Architecture,
    chosen: &Chosen,
    objective: Objective,
    words: Option<usize>,
) -> HeadKind {
    let Architecture { family, hidden: width, vocabulary, tied_output, .. } = *architecture;
    let skip = chosen.prompt.map_or(0, |config| config.tokens);
    let outputs = match objective {
        Objective::Classification { classes } => classes,
        Objective::Regression => 1,
        Objective::NextToken => {
            let trained = chosen.selection_outside() == Some(Selection::Everything);
            let weight = if tied_output {
                words
            } else {
                trained.then(|| {
                    let origin = Origin::whole(names::OUTPUT, vec![vocabulary, width]);
                    builder.push(names::OUTPUT, [vocabulary, width], Owner::Head, Initial::Own(origin))
                })
            };
            return HeadKind::NextToken { weight, skip };
        }
    };
    let pooling = match family {
        Family::Bert | Family::Roberta | Family::T5 => Pooling::Mean,
        Family::Gpt2 | Family::Llama => Pooling::Last,
        Family::Vit => Pooling::First,
    };
    let weight = builder.push_head("head.weight", [outputs, width], Initial::Uniform { fan_in: width });
    let bias = builder.push_head("head.bias", [1, outputs], Initial::Zero);
    HeadKind::Linear(HeadSlot { weight, bias, width, outputs, skip, pooling })
}
