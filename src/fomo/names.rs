//! What Hugging Face checkpoints call the tensors of each family: the one place with these strings.

use super::architecture::{Architecture, Family};
use super::projection::Projection;

/// Modules of one block; a parameter's name is a module's with `.weight` or `.bias`.
pub(crate) struct BlockNames {
    prefix: String,
    family: Family,
    /// Of an encoder-decoder's decoder.
    in_decoder: bool,
    gated: bool,
}

impl BlockNames {
    pub fn new(architecture: &Architecture, block: usize) -> Self {
        let Architecture { family, encoder_layers, gated_ffn, .. } = *architecture;
        let in_decoder = family == Family::T5 && block >= encoder_layers;
        let prefix = match family {
            Family::Bert | Family::Roberta | Family::Vit => format!("encoder.layer.{block}"),
            Family::Gpt2 => format!("h.{block}"),
            Family::Llama => format!("model.layers.{block}"),
            Family::T5 if in_decoder => format!("decoder.block.{}", block - encoder_layers),
            Family::T5 => format!("encoder.block.{block}"),
        };
        Self { prefix, family, in_decoder, gated: gated_ffn }
    }

    /// `part` inside this block, for tensors that PEFT adds.
    pub fn part(&self, part: &str) -> String {
        format!("{}.{part}", self.prefix)
    }

    /// GPT-2 keeps queries, keys and values in one matrix, and all matrices as `[inputs, outputs]`.
    pub fn fused_qkv(&self) -> Option<String> {
        (self.family == Family::Gpt2).then(|| self.part("attn.c_attn"))
    }

    /// The module of a projection; attention's are those of the self-attention.
    pub fn projection(&self, projection: Projection) -> String {
        use Projection::{AttentionOutput, FfnDown, FfnGate, FfnUp, Key, Query, Value};
        let ffn = if self.in_decoder { 2 } else { 1 };
        let module = match (self.family, projection) {
            (Family::Bert | Family::Roberta, Query) => "attention.self.query".into(),
            (Family::Bert | Family::Roberta, Key) => "attention.self.key".into(),
            (Family::Bert | Family::Roberta, Value) => "attention.self.value".into(),
            (Family::Vit, Query) => "attention.attention.query".into(),
            (Family::Vit, Key) => "attention.attention.key".into(),
            (Family::Vit, Value) => "attention.attention.value".into(),
            (Family::Bert | Family::Roberta | Family::Vit, AttentionOutput) => "attention.output.dense".into(),
            (Family::Bert | Family::Roberta | Family::Vit, FfnUp | FfnGate) => "intermediate.dense".into(),
            (Family::Bert | Family::Roberta | Family::Vit, FfnDown) => "output.dense".into(),
            (Family::Gpt2, Query) => "attn.query".into(),
            (Family::Gpt2, Key) => "attn.key".into(),
            (Family::Gpt2, Value) => "attn.value".into(),
            (Family::Gpt2, AttentionOutput) => "attn.c_proj".into(),
            (Family::Gpt2, FfnUp | FfnGate) => "mlp.c_fc".into(),
            (Family::Gpt2, FfnDown) => "mlp.c_proj".into(),
            (Family::Llama, Query) => "self_attn.q_proj".into(),
            (Family::Llama, Key) => "self_attn.k_proj".into(),
            (Family::Llama, Value) => "self_attn.v_proj".into(),
            (Family::Llama, AttentionOutput) => "self_attn.o_proj".into(),
            (Family::Llama, FfnGate) => "mlp.gate_proj".into(),
            (Family::Llama, FfnUp) => "mlp.up_proj".into(),
            (Family::Llama, FfnDown) => "mlp.down_proj".into(),
            (Family::T5, Query) => "layer.0.SelfAttention.q".into(),
            (Family::T5, Key) => "layer.0.SelfAttention.k".into(),
            (Family::T5, Value) => "layer.0.SelfAttention.v".into(),
            (Family::T5, AttentionOutput) => "layer.0.SelfAttention.o".into(),
            (Family::T5, FfnGate) => format!("layer.{ffn}.DenseReluDense.wi_0"),
            (Family::T5, FfnUp) if self.gated => format!("layer.{ffn}.DenseReluDense.wi_1"),
            (Family::T5, FfnUp) => format!("layer.{ffn}.DenseReluDense.wi"),
            (Family::T5, FfnDown) => format!("layer.{ffn}.DenseReluDense.wo"),
        };
        self.part(&module)
    }

    /// The module of a projection of a decoder's attention to its encoder.
    pub fn cross_projection(&self, projection: Projection) -> String {
        self.projection(projection).replace("layer.0.SelfAttention", "layer.1.EncDecAttention")
    }

    /// The norm of the self-attention: before it, or after its residual sum in post-norm families.
    pub fn attention_norm(&self) -> String {
        self.part(match self.family {
            Family::Bert | Family::Roberta => "attention.output.LayerNorm",
            Family::Gpt2 => "ln_1",
            Family::Llama => "input_layernorm",
            Family::T5 => "layer.0.layer_norm",
            Family::Vit => "layernorm_before",
        })
    }

    /// The norm of a decoder's attention to its encoder.
    pub fn cross_norm(&self) -> String {
        self.part("layer.1.layer_norm")
    }

    /// The norm of the feed-forward layer.
    pub fn ffn_norm(&self) -> String {
        self.part(match self.family {
            Family::Bert | Family::Roberta => "output.LayerNorm",
            Family::Gpt2 => "ln_2",
            Family::Llama => "post_attention_layernorm",
            Family::T5 if self.in_decoder => "layer.2.layer_norm",
            Family::T5 => "layer.1.layer_norm",
            Family::Vit => "layernorm_after",
        })
    }
}

/// The token embedding, `[vocabulary, hidden]`.
pub(crate) fn words(family: Family) -> &'static str {
    match family {
        Family::Bert | Family::Roberta => "embeddings.word_embeddings.weight",
        Family::Gpt2 => "wte.weight",
        Family::Llama => "model.embed_tokens.weight",
        Family::T5 => "shared.weight",
        Family::Vit => "",
    }
}

/// The learned positions; `None` where positions are rotary or relative.
pub(crate) fn positions(family: Family) -> Option<&'static str> {
    match family {
        Family::Bert | Family::Roberta => Some("embeddings.position_embeddings.weight"),
        Family::Gpt2 => Some("wpe.weight"),
        Family::Vit => Some("embeddings.position_embeddings"),
        Family::Llama | Family::T5 => None,
    }
}

pub(crate) const TOKEN_TYPES: &str = "embeddings.token_type_embeddings.weight";
pub(crate) const EMBEDDING_NORM: &str = "embeddings.LayerNorm";
pub(crate) const CLASS_TOKEN: &str = "embeddings.cls_token";
/// Module of ViT's patch projection, a convolution `[hidden, channels, patch, patch]`.
pub(crate) const PATCHES: &str = "embeddings.patch_embeddings.projection";
/// The output matrix of a language model that does not share it with the embedding.
pub(crate) const OUTPUT: &str = "lm_head.weight";
pub(crate) const ENCODER_NORM: &str = "encoder.final_layer_norm";

/// The norm behind the last block; `None` for post-norm families.
pub(crate) fn final_norm(family: Family) -> Option<&'static str> {
    match family {
        Family::Bert | Family::Roberta => None,
        Family::Gpt2 => Some("ln_f"),
        Family::Llama => Some("model.norm"),
        Family::T5 => Some("decoder.final_layer_norm"),
        Family::Vit => Some("layernorm"),
    }
}

/// T5's relative position bias of one stack, `[buckets, heads]`: the first block's, used by all.
pub(crate) fn relative_bias(in_decoder: bool) -> String {
    let stack = if in_decoder { "decoder" } else { "encoder" };
    format!("{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight")
}
