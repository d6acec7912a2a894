//! From the trainable tensors that a case file lists to the methods and values that they stand for.

use crate::compare::{fill, number};
use deft::backend::Activation;
use deft::fomo::{Architecture, TensorSource};
use deft::nn::{
    AdapterConfig, AdapterPlacement, AdaptiveRanks, Ia3Config, LoraConfig, LoraScaling, LoraVariant, ParameterLayout,
    PeftMethod, PrefixConfig, Projection, PromptConfig, Selection, SelectiveConfig, TensorSpec,
};
use deft::random::Streams;
use serde_json::Value;

/// Ranks that stay where they are.
const RANKS: AdaptiveRanks = AdaptiveRanks { target_rank: 1, warmup_steps: 1000, final_step: 1001, orthogonality: 0.0 };

/// The file's tensors of one method.
pub struct Listed<'a> {
    /// For messages.
    pub file: &'a str,
    pub method: &'a str,
    pub tensors: &'a [Value],
    pub constants: &'a Value,
}

/// Its block, or `None` for a tensor outside the blocks.
fn block(name: &str) -> Option<usize> {
    ["layer.", "layers.", "h.", "block."].iter().find_map(|marker| {
        let rest = &name[name.find(marker)? + marker.len()..];
        rest.split('.').next()?.parse().ok()
    })
}

fn name(tensor: &Value) -> &str {
    tensor["name"].as_str().expect("a tensor has a name")
}

fn shape(tensor: &Value) -> Vec<usize> {
    tensor["shape"].as_array().expect("a tensor has a shape").iter().map(|s| number(s) as usize).collect()
}

impl Listed<'_> {
    /// Whether any of its tensors is in `block` and has `part` in its name.
    fn has(&self, block_index: usize, part: &str) -> bool {
        self.tensors.iter().any(|t| block(name(t)) == Some(block_index) && name(t).contains(part))
    }

    /// The first dimension of the first tensor with `part` in its name.
    fn rows(&self, part: &str) -> usize {
        let tensor = self.tensors.iter().find(|t| name(t).contains(part));
        shape(tensor.unwrap_or_else(|| panic!("{}: no tensor of {part}", self.method)))[0]
    }

    /// What `nn` calls the method. LoRA's targets may be a sample of its blocks; they are the same in all.
    pub fn peft(&self, architecture: &Architecture) -> Vec<PeftMethod> {
        let blocks = architecture.blocks();
        let where_listed = |part: &str| (0..blocks).map(|b| self.has(b, part)).collect::<Vec<bool>>();
        let size =
            |part: &str, rows: usize| where_listed(part).into_iter().map(|has| if has { rows } else { 0 }).collect();
        vec![match self.method {
            "lora" | "rslora" | "dora" | "ada_lora" => {
                let spellings = |p: Projection| match p {
                    Projection::Query => [".query.", ".q_proj."],
                    Projection::Key => [".key.", ".k_proj."],
                    Projection::Value => [".value.", ".v_proj."],
                    Projection::AttentionOutput => [".attention.output.dense.", ".o_proj."],
                    Projection::FfnGate => [".gate_proj.", ".gate_proj."],
                    Projection::FfnUp => [".intermediate.dense.", ".up_proj."],
                    Projection::FfnDown => [".down_proj.", ".down_proj."],
                };
                let is_target = |p: &Projection| {
                    let plain = |t: &&Value| spellings(*p).iter().any(|s| name(t).contains(s));
                    let ffn_down = |t: &&Value| {
                        *p == Projection::FfnDown
                            && name(t).contains(".output.dense.")
                            && !name(t).contains(".attention.output.dense.")
                    };
                    self.tensors.iter().any(|t| plain(&t) || ffn_down(&t))
                };
                PeftMethod::Lora(LoraConfig {
                    rank_per_block: vec![number(&self.constants["lora_r"]) as usize; blocks],
                    alpha: number(&self.constants["lora_alpha"]),
                    targets: Projection::of(architecture).filter(|p| is_target(p)).collect(),
                    scaling: if self.method == "rslora" { LoraScaling::RankRoot } else { LoraScaling::Rank },
                    dropout: 0.0,
                    variant: match self.method {
                        "dora" => LoraVariant::Dora,
                        "ada_lora" => LoraVariant::Adaptive(RANKS),
                        _ => LoraVariant::Plain,
                    },
                })
            }
            "prompt" => PeftMethod::Prompt(PromptConfig { tokens: self.rows("prompt") }),
            "bitfit" => PeftMethod::Selective(SelectiveConfig {
                selection: Selection::Biases,
                blocks: where_listed("bias"),
                outside: self.tensors.iter().any(|t| name(t).starts_with("embeddings.")),
            }),
            "layer_norm" => PeftMethod::Selective(SelectiveConfig {
                selection: Selection::Norms,
                blocks: (0..blocks).map(|b| self.has(b, "LayerNorm") || self.has(b, "layernorm")).collect(),
                outside: self.tensors.iter().any(|t| block(name(t)).is_none() && !name(t).starts_with("head.")),
            }),
            "selective" => PeftMethod::Selective(SelectiveConfig {
                selection: Selection::Everything,
                blocks: where_listed("weight"),
                outside: false,
            }),
            "adapter" | "parallel_adapter" => PeftMethod::Adapter(AdapterConfig {
                bottleneck_per_block: size("adapter", self.rows("down.weight")),
                placement: match self.method {
                    "adapter" => AdapterPlacement::Houlsby,
                    _ => AdapterPlacement::Parallel,
                },
                activation: Activation::Gelu,
                scale: 1.0,
            }),
            "prefix" => PeftMethod::Prefix(PrefixConfig { tokens_per_block: size("prefix_k", self.rows("prefix_k")) }),
            "ia3" => PeftMethod::Ia3(Ia3Config { blocks: where_listed("ia3") }),
            other => panic!("{}: no reader for method `{other}`", self.file),
        }]
    }

    /// Our tensor that the file calls `tensor`: of the same name, or in the same block and with the longest common end.
    pub fn find<'l>(&self, layout: &'l ParameterLayout, tensor: &Value) -> &'l TensorSpec {
        let (wanted, len) = (name(tensor), shape(tensor).iter().product::<usize>());
        let common =
            |ours: &str| ours.split('.').rev().zip(wanted.split('.').rev()).take_while(|(a, b)| a == b).count();
        let fits = |t: &&TensorSpec| t.range().len() == len && block(&t.name) == block(wanted);
        let exact = layout.tensors().iter().find(|t| t.name == wanted && t.range().len() == len);
        exact.unwrap_or_else(|| {
            let best = layout.tensors().iter().filter(fits).max_by_key(|t| common(&t.name));
            let best = best.filter(|t| common(&t.name) > 0);
            best.unwrap_or_else(|| panic!("{}: no tensor like `{wanted}` of {len} values", self.method))
        })
    }

    /// The parameters that the file starts from: made-up numbers, or the checkpoint's own.
    ///
    /// A file may leave out tensors of blocks between those that it lists: `t` counts them all the same.
    pub fn parameters(&self, layout: &ParameterLayout, source: &dyn TensorSource) -> Vec<f32> {
        let mut parameters = layout.initial(&Streams::new(0, 0), source).expect("the checkpoint's own values");
        let seed = self.constants["seed"].as_u64().expect("a seed");
        let amp = |name: &str| number(&self.constants[name]) as f32;
        let made_up = |name: &str, t: u64, n: usize| match (self.method, name) {
            (_, name) if name.starts_with("head.") => fill(seed, t, n, amp("head_amp")),
            (_, name) if name.ends_with("lora_A") => fill(seed, t, n, amp("lora_amp_a")),
            (_, name) if name.ends_with("lora_B") => fill(seed, t, n, amp("lora_amp_b")),
            ("ia3" | "dora" | "ada_lora", _) => fill(seed, t, n, amp("ia3_amp")).into_iter().map(|u| 1.0 + u).collect(),
            ("parallel_adapter", _) => fill(seed, t, n, amp("adapter_amp")),
            (method, _) => fill(seed, t, n, amp(&format!("{method}_amp"))),
        };
        for tensor in self.tensors.iter().filter(|t| !t["t"].is_null()) {
            let ours = self.find(layout, tensor);
            let t = tensor["t"].as_u64().expect("t counts");
            parameters[ours.range()].copy_from_slice(&made_up(&ours.name, t, ours.range().len()));
        }
        if self.method == "lora" {
            for (t, ours) in (100..).zip(layout.tensors().iter().filter(|t| t.name.contains(".lora_"))) {
                parameters[ours.range()].copy_from_slice(&made_up(&ours.name, t, ours.range().len()));
            }
        }
        parameters
    }
}
