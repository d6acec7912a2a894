//! What the passes read from a layout: where products find their own weights, and which columns low-rank terms write.

use super::super::slots::{HeadKind, OutputSlots};
use super::super::{LoraConfig, LoraScaling, LoraVariant, PeftMethod, PromptConfig, Selection, SelectiveConfig};
use super::ParameterLayout;
use crate::backend::{HeadSlot, Pooling};
use crate::data::Objective;
use crate::fomo::{Architecture, Projection, preset};

const CLASSES: Objective = Objective::Classification { classes: 3 };

fn layout(architecture: &Architecture, methods: &[PeftMethod], objective: Objective) -> ParameterLayout {
    ParameterLayout::new(architecture, methods, objective).expect("methods that fit")
}

fn model(name: &str) -> Architecture {
    preset(name).expect("a preset")
}

fn full(architecture: &Architecture) -> PeftMethod {
    let blocks = vec![true; architecture.blocks()];
    PeftMethod::Selective(SelectiveConfig { selection: Selection::Everything, blocks, outside: true })
}

fn lora(architecture: &Architecture, targets: Vec<Projection>) -> PeftMethod {
    PeftMethod::Lora(LoraConfig {
        rank_per_block: vec![4; architecture.blocks()],
        alpha: 8.0,
        targets,
        scaling: LoraScaling::RankRoot,
        dropout: 0.0,
        variant: LoraVariant::Plain,
    })
}

/// The offset of the tensor called `name`.
fn offset(layout: &ParameterLayout, name: &str) -> Option<usize> {
    layout.tensors().iter().find(|t| t.name == name).map(|t| t.offset)
}

/// Asserts that the tensors called `names` lie end to end, and returns where the first starts.
fn end_to_end(layout: &ParameterLayout, names: &[&str]) -> Option<usize> {
    let find = |name: &&str| layout.tensors().iter().find(|t| t.name == *name).unwrap_or_else(|| panic!("no {name}"));
    let tensors: Vec<_> = names.iter().map(find).collect();
    for pair in tensors.windows(2) {
        assert_eq!(pair[0].range().end, pair[1].offset, "{} before {}", pair[0].name, pair[1].name);
    }
    Some(tensors[0].offset)
}

#[test]
fn parts_of_one_product_lie_end_to_end() {
    let bert = model("minilm-l6");
    let bert = layout(&bert, &[full(&bert)], CLASSES);
    let qkv = ["query.weight", "key.weight", "value.weight", "query.bias", "key.bias", "value.bias"]
        .map(|p| format!("encoder.layer.3.attention.self.{p}"));
    let qkv = qkv.each_ref().map(String::as_str);
    let slots = &bert.block(3).attention.qkv;
    assert_eq!(slots.weight, end_to_end(&bert, &qkv));
    assert_eq!(slots.bias, offset(&bert, qkv[3]));

    let llama = model("tinyllama-1.1b");
    let llama = layout(&llama, &[full(&llama)], Objective::NextToken);
    let gate_and_up = ["model.layers.5.mlp.gate_proj.weight", "model.layers.5.mlp.up_proj.weight"];
    assert_eq!(llama.block(5).ffn_up.weight, end_to_end(&llama, &gate_and_up));
    assert_eq!((llama.block(5).ffn_up.bias, llama.block(5).attention.norm.shift), (None, None));

    let t5 = model("t5-small");
    let t5 = layout(&t5, &[full(&t5)], Objective::NextToken);
    let cross = ["k", "v"].map(|p| format!("decoder.block.1.layer.1.EncDecAttention.{p}.weight"));
    let slots = &t5.block(7).cross;
    assert_eq!(slots.key_value.weight, end_to_end(&t5, &cross.each_ref().map(String::as_str)));
    assert_eq!(slots.qkv.weight, offset(&t5, "decoder.block.1.layer.1.EncDecAttention.q.weight"));
    assert_eq!(slots.norm.gain, offset(&t5, "decoder.block.1.layer.1.layer_norm.weight"));
    assert!(t5.block(5).cross.is_frozen());
}

#[test]
fn low_rank_terms_write_the_columns_of_their_projection() {
    use Projection::{FfnGate, FfnUp, Key, Query, Value};
    let llama = model("smollm2-135m");
    let targets = vec![Value, FfnUp, Query, Key];
    let llama = layout(&llama, &[lora(&llama, targets)], CLASSES);
    let block = llama.block(2);
    // 9 query heads and 3 key heads of 64.
    let columns: Vec<_> = block.attention.qkv.lora.iter().map(|t| (t.column, t.outputs, t.reduced_column)).collect();
    assert_eq!(columns, [(0, 576, 0), (576, 192, 4), (768, 192, 8)]);
    let up: Vec<_> = block.ffn_up.lora.iter().map(|t| (t.column, t.outputs, t.reduced_column)).collect();
    assert_eq!(up, [(1536, 1536, 0)], "the gate comes first");
    assert!(block.attention.qkv.lora.iter().all(|t| t.scale == 4.0), "8 / sqrt 4");
    assert_eq!(llama.lora_slots().count(), 30 * 4);

    let t5 = Architecture { gated_ffn: true, ..model("t5-small") };
    let t5 = layout(&t5, &[lora(&t5, vec![Query, Key, FfnGate])], Objective::NextToken);
    let decoder = t5.block(6);
    assert_eq!((decoder.attention.qkv.lora.len(), decoder.cross.qkv.lora.len()), (2, 1));
    let key = &decoder.cross.key_value.lora[0];
    assert_eq!((key.column, key.reduced_column), (0, 0));
    assert_eq!(Some(key.a), offset(&t5, "decoder.block.0.layer.1.EncDecAttention.k.lora_A"));
    assert_eq!(decoder.ffn_up.lora[0].column, 0);
    assert_eq!(t5.lora_slots().count(), 6 * 3 + 6 * 5);
}

#[test]
fn heads_pool_as_their_family_does_and_pass_over_prompts() {
    let prompt = PeftMethod::Prompt(PromptConfig { tokens: 5 });
    for (name, pooling) in [
        ("minilm-l6", Pooling::Mean),
        ("roberta-base", Pooling::Mean),
        ("gpt2", Pooling::Last),
        ("smollm2-135m", Pooling::Last),
        ("vit-b-16", Pooling::First),
    ] {
        let architecture = model(name);
        let layout = layout(&architecture, std::slice::from_ref(&prompt), CLASSES);
        let HeadKind::Linear(HeadSlot { outputs, skip, pooling: found, weight, .. }) = layout.output().head else {
            panic!("{name} has no linear head")
        };
        assert_eq!((outputs, skip, found), (3, 5, pooling), "{name}");
        assert_eq!(Some(weight), offset(&layout, "head.weight"));
        let slot = layout.input().embedding.prompt.expect("a prompt");
        assert_eq!((slot.prompt, slot.tokens, slot.takes_positions), (0, 5, name != "vit-b-16"));
    }
}

#[test]
fn a_tied_output_matrix_is_the_embedding() {
    let next_token = |architecture: &Architecture, methods: &[PeftMethod]| {
        let layout = layout(architecture, methods, Objective::NextToken);
        let OutputSlots { head: HeadKind::NextToken { weight, skip: 0 }, .. } = *layout.output() else {
            panic!("a next-token head")
        };
        (weight, layout.input().embedding.words, offset(&layout, "lm_head.weight"))
    };
    let tied = model("gpt2");
    assert_eq!(next_token(&tied, &[full(&tied)]), (Some(0), Some(0), None));
    assert_eq!(next_token(&tied, &[lora(&tied, vec![Projection::Query])]), (None, None, None));
    let own = model("tinyllama-1.1b");
    let (weight, words, output) = next_token(&own, &[full(&own)]);
    assert!(weight.is_some() && weight == output && weight != words);
}

#[test]
fn all_blocks_of_a_stack_read_one_table_of_biases() {
    let t5 = model("t5-small");
    let all = layout(&t5, &[full(&t5)], Objective::NextToken);
    let table = |stack| offset(&all, &format!("{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"));
    let (encoder, decoder) = (table("encoder"), table("decoder"));
    assert!(encoder.is_some() && decoder.is_some());
    for block in 0..12 {
        let read = if block < 6 { encoder } else { decoder };
        let slots = all.block(block);
        assert_eq!((slots.attention.bias_table, slots.cross.bias_table), (read, None), "block {block}");
    }
    let lora = layout(&t5, &[lora(&t5, vec![Projection::Query])], Objective::NextToken);
    assert!((0..12).all(|block| lora.block(block).attention.bias_table.is_none()));
}
