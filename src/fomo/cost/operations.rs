//! The operations of every family's parts, in the order of a straightforward implementation: query, key and value as
//! one product, attention scores in full (masked, not skipped, under a causal mask), probabilities kept.

use super::ledger::{Ledger, Linear};
use super::stage::Stage;
use super::{BatchShape, Task};
use crate::fomo::architecture::{Architecture, Family};

/// Tokens and token pairs that one attention works on.
struct Attention {
    queries: u64,
    keys: u64,
    /// Sum over sequences of queries times keys.
    pairs: u64,
}

/// Tokens, `prompt` of which a sequence are given as vectors, to vectors.
pub(super) fn embedding(a: &Architecture, batch: &BatchShape, prompt: u64, mut ledger: Ledger) -> Ledger {
    let h = a.hidden_size();
    let vectors = batch.tokens * h;
    let tables = match a.family {
        Family::Bert => 3,
        Family::Roberta | Family::Gpt2 => 2,
        Family::Llama | Family::T5 => 1,
        Family::Vit => {
            let patches = batch.tokens - ((1 + prompt) * batch.sequences).min(batch.tokens);
            // Pixels have no gradient: nothing is below.
            ledger.linear(Linear { rows: patches, inputs: a.patch_size(), outputs: h });
            ledger.at(Stage::QueryKeyValue);
            2
        }
    };
    ledger.at(Stage::QueryKeyValue);
    ledger.pointwise(tables * vectors, vectors, 0);
    if a.family.normalises_embedding() {
        norm(&mut ledger, vectors);
    }
    ledger
}

/// Block `index`, with `prefix` keys and values before those of every sequence's self-attention.
pub(super) fn block(a: &Architecture, index: usize, batch: &BatchShape, prefix: u64, mut ledger: Ledger) -> Ledger {
    let l = &mut ledger;
    let h = a.hidden_size();
    let in_decoder = a.has_cross_attention(index);
    let (tokens, squared) = match in_decoder {
        true => (batch.decoder_tokens, batch.decoder_squared_tokens),
        false => (batch.tokens, batch.squared_tokens),
    };
    l.at(Stage::AttentionNorm);
    if in_decoder && index == a.encoder_layers {
        l.pointwise(tokens * h, tokens * h, 0);
    }

    l.at(Stage::QueryKeyValue);
    l.linears(tokens, h, &[a.query_size(), a.key_size(), a.key_size()]);
    l.input_is_kept(tokens * h, false);
    l.at(Stage::Attention);
    if a.family == Family::Llama {
        let rotated = tokens * (a.query_size() + a.key_size());
        l.pointwise(rotated, rotated, 0);
    }
    // The prefix itself is a parameter, read once; a PEFT shape counts it.
    let pairs = squared + prefix * tokens;
    l.positioned_scores = if a.relative_positions.is_some() { squared * a.heads as u64 } else { 0 };
    let own = [Stage::Attention, Stage::AttentionOutput, Stage::AttentionEnd];
    attention(a, l, &Attention { queries: tokens, keys: tokens, pairs }, a.family == Family::T5, own);
    if in_decoder {
        l.at(Stage::CrossQueryKeyValue);
        l.linear(Linear { rows: tokens, inputs: h, outputs: a.query_size() });
        l.input_is_kept(tokens * h, false);
        l.linears_from_source(batch.tokens, h, &[a.key_size(); 2]);
        // One copy for all decoder blocks.
        l.input_is_kept(batch.tokens * h, true);
        let size = Attention { queries: tokens, keys: batch.tokens, pairs: batch.cross_tokens };
        attention(a, l, &size, false, [Stage::CrossAttention, Stage::CrossOutput, Stage::CrossAdapter]);
    }
    feed_forward(a, l, tokens);
    if a.family == Family::T5 && index + 1 == a.encoder_layers {
        l.at(Stage::EncoderNorm);
        norm(l, tokens * h);
    }
    ledger
}

/// From queries, keys and values to the residual stream, norm included: at `stages` the products of activations, that of the
/// output, and what follows.
fn attention(a: &Architecture, l: &mut Ledger, size: &Attention, position_bias: bool, stages: [Stage; 3]) {
    let (h, q, k) = (a.hidden_size(), a.query_size(), a.key_size());
    let scores = size.pairs * a.heads as u64;
    let product_flops = 2 * size.pairs * q;
    let [inner, output, end] = stages;
    l.at(inner);
    let project = Linear { rows: size.queries, inputs: q, outputs: h };
    if l.fused {
        l.fused_attention(
            product_flops,
            size.queries * q + 2 * size.keys * k,
            size.queries * q,
            size.queries * a.heads as u64,
        );
        l.at(output);
        l.linear(project);
        l.input_is_kept(size.queries * q, true);
        l.at(end);
        return residual_and_norm(l, size.queries * h);
    }
    l.activation_product(product_flops, size.queries * q, size.keys * k, scores);
    if position_bias {
        l.pointwise(2 * scores, scores, 0);
    }
    // Softmax's gradient needs its output, which the next product keeps.
    l.pointwise(scores, scores, 0);
    l.activation_product(product_flops, scores, size.keys * k, size.queries * q);
    l.at(output);
    l.linear(project);
    l.at(end);
    residual_and_norm(l, size.queries * h);
}

fn feed_forward(a: &Architecture, l: &mut Ledger, tokens: u64) {
    let (h, f) = (a.hidden_size(), a.ffn_size());
    let up = if a.gated_ffn { 2 * f } else { f };
    l.at(Stage::FfnUp);
    l.linears(tokens, h, &vec![f; if a.gated_ffn { 2 } else { 1 }]);
    l.input_is_kept(tokens * h, false);
    l.at(Stage::FfnInner);
    l.pointwise(tokens * up, tokens * f, tokens * up);
    l.at(Stage::FfnDown);
    l.linear(Linear { rows: tokens, inputs: f, outputs: h });
    l.at(Stage::FfnEnd);
    residual_and_norm(l, tokens * h);
}

fn residual_and_norm(l: &mut Ledger, elements: u64) {
    l.pointwise(2 * elements, elements, 0);
    norm(l, elements);
}

fn norm(l: &mut Ledger, elements: u64) {
    l.pointwise(elements, elements, elements);
}

/// Tokens that reach the head.
pub(super) fn output_tokens(a: &Architecture, batch: &BatchShape) -> u64 {
    if a.family == Family::T5 { batch.decoder_tokens } else { batch.tokens }
}

/// Final norm of all tokens that are `seen`; of those of the `batch` itself pooling or the masked-token transform, output
/// projection, softmax and cross entropy.
pub(super) fn head(a: &Architecture, task: Task, seen: &BatchShape, batch: &BatchShape, mut ledger: Ledger) -> Ledger {
    let l = &mut ledger;
    let h = a.hidden_size();
    let tokens = output_tokens(a, batch);
    l.at(Stage::QueryKeyValue);
    if a.family.has_final_norm() {
        norm(l, output_tokens(a, seen) * h);
    }
    let (rows, outputs) = match task.head_outputs() {
        Some(outputs) => {
            l.pointwise(tokens * h, batch.sequences * h, 0);
            (batch.sequences, outputs)
        }
        None => {
            if has_masked_token_transform(a) {
                l.at(Stage::Input);
                l.linear(Linear { rows: tokens, inputs: h, outputs: h });
                l.at(Stage::QueryKeyValue);
                l.pointwise(tokens * h, tokens * h, tokens * h);
                norm(l, tokens * h);
            }
            (tokens, a.vocabulary_size())
        }
    };
    l.at(Stage::Input);
    l.linear(Linear { rows, inputs: h, outputs });
    l.at(Stage::QueryKeyValue);
    l.pointwise(rows * outputs, rows * outputs, rows * outputs);
    ledger
}

/// BERT and RoBERTa put a product, GELU and a norm before the output matrix.
fn has_masked_token_transform(a: &Architecture) -> bool {
    matches!(a.family, Family::Bert | Family::Roberta)
}

/// Parameters of what [`head`] computes. BERT's pooler is not among them: nothing here uses it.
pub(super) fn head_parameters(a: &Architecture, task: Task) -> u64 {
    let h = a.hidden_size();
    let output = match task.head_outputs() {
        Some(outputs) => outputs * (h + 1),
        None if has_masked_token_transform(a) => (h * h + h) + a.norm_parameters() + a.vocabulary_size() * (h + 1),
        None => a.vocabulary_size() * h,
    };
    a.final_norm_parameters() + output
}
