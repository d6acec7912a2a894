//! The trainable tensors of one block.

use super::super::names::BlockNames;
use super::super::slots::{AttentionSlots, BlockSlots};
use super::super::{AdapterPlacement, LoraScaling, LoraVariant, Selection};
use super::builder::{Builder, Owner};
use super::check::{Chosen, has_biases};
use super::initial::{Initial, Origin};
use crate::backend::{AdapterSlot, LinearSlots, LoraSlot, PrefixSlot, ScaleSlot};
use crate::fomo::{Architecture, Family, Projection};
use std::ops::Range;

/// Lays out block `index`, encoder first, whose stack has its table of relative position biases at `bias_table`.
pub(super) fn slots(
    builder: &mut Builder,
    architecture: &Architecture,
    chosen: &Chosen,
    index: usize,
    bias_table: Option<usize>,
) -> BlockSlots {
    let names = BlockNames::new(architecture, index);
    let mut slots =
        BlockBuilder { builder, architecture, chosen, names, index, selection: chosen.selection(index) }.build();
    slots.attention.bias_table = bias_table;
    slots
}

struct BlockBuilder<'a> {
    builder: &'a mut Builder,
    architecture: &'a Architecture,
    chosen: &'a Chosen<'a>,
    names: BlockNames,
    index: usize,
    selection: Option<Selection>,
}

/// One projection of a product: `[outputs, inputs]`, in the checkpoint and here.
struct Part {
    projection: Projection,
    module: String,
    inputs: usize,
    outputs: usize,
}

impl BlockBuilder<'_> {
    fn build(mut self) -> BlockSlots {
        use Projection::{FfnDown, FfnGate, FfnUp};
        let crosses = self.architecture.family == Family::T5 && self.index >= self.architecture.encoder_layers;
        let attention = self.self_attention();
        let attention_adapter = self.adapter(AdapterPlacement::Houlsby, "attention_adapter");
        let (cross, cross_adapter) = if crosses {
            (self.cross_attention(), self.adapter(AdapterPlacement::Houlsby, "cross_adapter"))
        } else {
            Default::default()
        };
        let up = if self.architecture.gated_ffn { vec![FfnGate, FfnUp] } else { vec![FfnUp] };
        BlockSlots {
            attention,
            attention_adapter,
            cross,
            cross_adapter,
            ffn_up: self.product(&up),
            ffn_scale: self.scale("ia3_ff", self.architecture.ffn),
            ffn_down: self.product(&[FfnDown]),
            ffn_adapter: self
                .adapter(AdapterPlacement::Houlsby, "ffn_adapter")
                .or_else(|| self.adapter(AdapterPlacement::Pfeiffer, "ffn_adapter")),
            ffn_parallel: self.adapter(AdapterPlacement::Parallel, "parallel_adapter"),
            ffn_norm: self.norm(&self.names.ffn_norm()),
        }
    }

    fn self_attention(&mut self) -> AttentionSlots {
        use Projection::{AttentionOutput, Key, Query, Value};
        let width = self.kv_width();
        AttentionSlots {
            qkv: self.product(&[Query, Key, Value]),
            key_scale: self.scale("ia3_k", width),
            value_scale: self.scale("ia3_v", width),
            prefix: self.prefix(),
            output: self.product(&[AttentionOutput]),
            norm: self.norm(&self.names.attention_norm()),
            ..AttentionSlots::default()
        }
    }

    fn cross_attention(&mut self) -> AttentionSlots {
        use Projection::{AttentionOutput, Key, Query, Value};
        let width = self.kv_width();
        AttentionSlots {
            qkv: self.cross_product(&[Query]),
            key_value: self.cross_product(&[Key, Value]),
            key_scale: self.scale("cross_ia3_k", width),
            value_scale: self.scale("cross_ia3_v", width),
            output: self.cross_product(&[AttentionOutput]),
            norm: self.norm(&self.names.cross_norm()),
            ..AttentionSlots::default()
        }
    }

    fn kv_width(&self) -> usize {
        self.architecture.kv_heads * self.architecture.head_dim
    }

    fn owner(&self) -> Owner {
        Owner::Block(self.index)
    }

    fn norm(&mut self, module: &str) -> crate::backend::NormSlots {
        let (width, shifted) = (self.architecture.hidden, has_biases(self.architecture.family));
        self.builder.norm(module, width, self.owner(), self.selection, shifted)
    }

    fn product(&mut self, projections: &[Projection]) -> LinearSlots {
        let module = |p: &Projection| self.names.projection(*p);
        let parts = projections.iter().map(|p| self.part(*p, module(p))).collect();
        self.layer(parts)
    }

    fn cross_product(&mut self, projections: &[Projection]) -> LinearSlots {
        let module = |p: &Projection| self.names.cross_projection(*p);
        let parts = projections.iter().map(|p| self.part(*p, module(p))).collect();
        self.layer(parts)
    }

    fn part(&self, projection: Projection, module: String) -> Part {
        let (inputs, outputs) = projection.shape(self.architecture);
        Part { projection, module, inputs, outputs }
    }

    /// The trainable side of a product with these columns: its own weights, then its own biases, then LoRA.
    fn layer(&mut self, parts: Vec<Part>) -> LinearSlots {
        let weights = self.selection == Some(Selection::Everything);
        let biases = has_biases(self.architecture.family)
            && matches!(self.selection, Some(Selection::Everything | Selection::Biases));
        let owner = self.owner();
        let mut slots = LinearSlots::default();
        for part in parts.iter().filter(|_| weights) {
            let initial = Initial::Own(self.weight_origin(part));
            let name = format!("{}.weight", part.module);
            let offset = self.builder.push(name, [part.outputs, part.inputs], owner, initial);
            slots.weight.get_or_insert(offset);
        }
        for part in parts.iter().filter(|_| biases) {
            let initial = Initial::Own(self.bias_origin(part));
            let offset = self.builder.push(format!("{}.bias", part.module), [1, part.outputs], owner, initial);
            slots.bias.get_or_insert(offset);
        }
        let mut column = 0;
        for part in &parts {
            let reduced_column = slots.lora.iter().map(|t| t.rank).sum();
            slots.lora.extend(self.lora(part, column, reduced_column));
            column += part.outputs;
        }
        slots
    }

    fn lora(&mut self, part: &Part, column: usize, reduced_column: usize) -> Option<LoraSlot> {
        let rank = self.chosen.rank(self.index);
        let config = self.chosen.lora.filter(|c| rank > 0 && c.targets.contains(&part.projection))?;
        let &Part { inputs, outputs, .. } = part;
        let divisor = match config.scaling {
            LoraScaling::Rank => rank as f64,
            LoraScaling::RankRoot => (rank as f64).sqrt(),
        };
        let (adaptive, dora) =
            (matches!(config.variant, LoraVariant::Adaptive(_)), config.variant == LoraVariant::Dora);
        let (initial_a, initial_b) = if adaptive {
            (Initial::Normal, Initial::Normal)
        } else {
            (Initial::Uniform { fan_in: inputs }, Initial::Zero)
        };
        let matrix = self.weight_origin(part);
        let owner = self.owner();
        let mut push = |suffix: &str, shape, initial| {
            self.builder.push(format!("{}.lora_{suffix}", part.module), shape, owner, initial)
        };
        Some(LoraSlot {
            a: push("A", [rank, inputs], initial_a),
            b: push("B", [outputs, rank], initial_b),
            diagonal: adaptive.then(|| push("E", [rank, 1], Initial::Zero)),
            magnitude: dora
                .then(|| push("magnitude_vector", [1, outputs], Initial::RowNorms { matrix, columns: inputs })),
            rank,
            scale: config.alpha / divisor,
            inputs,
            outputs,
            column,
            reduced_column,
            dropout: config.dropout,
        })
    }

    /// GPT-2 keeps its matrices as `[inputs, outputs]`, those of queries, keys and values in one.
    fn weight_origin(&self, part: &Part) -> Origin {
        let &Part { inputs, outputs, .. } = part;
        if let Some((fused, rows, all)) = self.fused(part) {
            return Origin::transposed(&format!("{fused}.weight"), [inputs, all], rows);
        }
        let name = format!("{}.weight", part.module);
        if self.architecture.family == Family::Gpt2 {
            Origin::transposed(&name, [inputs, outputs], 0..outputs)
        } else {
            Origin::whole(&name, vec![outputs, inputs])
        }
    }

    fn bias_origin(&self, part: &Part) -> Origin {
        match self.fused(part) {
            Some((fused, rows, all)) => Origin::rows(&format!("{fused}.bias"), vec![all], rows),
            None => Origin::whole(&format!("{}.bias", part.module), vec![part.outputs]),
        }
    }

    /// The checkpoint's module that holds a projection together with others, the projection's outputs in it, and all.
    fn fused(&self, part: &Part) -> Option<(String, Range<usize>, usize)> {
        let index =
            [Projection::Query, Projection::Key, Projection::Value].iter().position(|p| *p == part.projection)?;
        let width = part.outputs;
        Some((self.names.fused_qkv()?, index * width..(index + 1) * width, 3 * width))
    }

    fn scale(&mut self, name: &str, columns: usize) -> Option<ScaleSlot> {
        self.chosen.ia3.filter(|config| config.blocks[self.index])?;
        let factor = self.builder.push(self.names.part(name), [1, columns], self.owner(), Initial::One);
        Some(ScaleSlot { factor, columns })
    }

    fn prefix(&mut self) -> Option<PrefixSlot> {
        let tokens = self.chosen.prefix.map(|config| config.tokens_per_block[self.index]).filter(|&n| n > 0)?;
        let (owner, shape) = (self.owner(), [tokens, self.kv_width()]);
        let key = self.builder.push(self.names.part("prefix_k"), shape, owner, Initial::Normal);
        let value = self.builder.push(self.names.part("prefix_v"), shape, owner, Initial::Normal);
        Some(PrefixSlot { key, value, tokens })
    }

    /// The adapter called `name`, if the method puts adapters where `placement` does. It starts as the identity.
    fn adapter(&mut self, placement: AdapterPlacement, name: &str) -> Option<AdapterSlot> {
        let mut adapters = self.chosen.adapter.into_iter().chain(self.chosen.parallel_adapter);
        let config = adapters.find(|config| config.placement == placement)?;
        let bottleneck = config.bottleneck_per_block[self.index];
        if bottleneck == 0 {
            return None;
        }
        let (owner, width) = (self.owner(), self.architecture.hidden);
        let name = self.names.part(self.adapter_name(name));
        let mut push =
            |suffix: &str, shape, initial| self.builder.push(format!("{name}.{suffix}"), shape, owner, initial);
        Some(AdapterSlot {
            down_weight: push("down.weight", [bottleneck, width], Initial::Uniform { fan_in: width }),
            down_bias: push("down.bias", [1, bottleneck], Initial::Zero),
            up_weight: push("up.weight", [width, bottleneck], Initial::Zero),
            up_bias: push("up.bias", [1, width], Initial::Zero),
            width,
            bottleneck,
            activation: config.activation,
            scale: config.scale,
        })
    }

    /// BERT's are named after the layer whose output they read.
    fn adapter_name<'n>(&self, name: &'n str) -> &'n str {
        match (self.architecture.family, name) {
            (Family::Bert | Family::Roberta, "attention_adapter") => "attention.output.adapter",
            (Family::Bert | Family::Roberta, "ffn_adapter") => "output.adapter",
            _ => name,
        }
    }
}
