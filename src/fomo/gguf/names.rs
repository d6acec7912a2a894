//! Hugging Face's names of tensors to those of GGUF, and what the converter did to the values.
//!
//! Names: `gguf-py/gguf/tensor_mapping.py` of llama.cpp; values: `modify_tensors` of its `convert_hf_to_gguf.py`.

use crate::fomo::architecture::Family;
use crate::fomo::spelling::bare;

/// How a tensor in the file differs from the one that Hugging Face's model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    AsIs,
    /// Rows of Llama's query or key projection, reordered for rotary positions that pair neighbours: within each head of
    /// 2 n rows, row 2 i + j of the file is row j n + i of the model.
    InterleavedQuery,
    InterleavedKey,
    /// GPT-2's `Conv1D` weights, `[in, out]` in the model, are `[out, in]` in the file.
    Transposed,
}

/// Model's module, file's module, what was done to its weight.
type Row = (&'static str, &'static str, Stored);

const LLAMA: [Row; 3] = [
    ("embed_tokens", "token_embd", Stored::AsIs),
    ("norm", "output_norm", Stored::AsIs),
    ("lm_head", "output", Stored::AsIs),
];
const LLAMA_BLOCK: [Row; 9] = [
    ("input_layernorm", "attn_norm", Stored::AsIs),
    ("self_attn.q_proj", "attn_q", Stored::InterleavedQuery),
    ("self_attn.k_proj", "attn_k", Stored::InterleavedKey),
    ("self_attn.v_proj", "attn_v", Stored::AsIs),
    ("self_attn.o_proj", "attn_output", Stored::AsIs),
    ("post_attention_layernorm", "ffn_norm", Stored::AsIs),
    ("mlp.gate_proj", "ffn_gate", Stored::AsIs),
    ("mlp.up_proj", "ffn_up", Stored::AsIs),
    ("mlp.down_proj", "ffn_down", Stored::AsIs),
];
const GPT2: [Row; 4] = [
    ("wte", "token_embd", Stored::AsIs),
    ("wpe", "position_embd", Stored::AsIs),
    ("ln_f", "output_norm", Stored::AsIs),
    ("lm_head", "output", Stored::AsIs),
];
const GPT2_BLOCK: [Row; 6] = [
    ("ln_1", "attn_norm", Stored::AsIs),
    ("attn.c_attn", "attn_qkv", Stored::Transposed),
    ("attn.c_proj", "attn_output", Stored::Transposed),
    ("ln_2", "ffn_norm", Stored::AsIs),
    ("mlp.c_fc", "ffn_up", Stored::Transposed),
    ("mlp.c_proj", "ffn_down", Stored::Transposed),
];

/// The name of one family's tensors in a GGUF file.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    outside: &'static [Row],
    block: &'static [Row],
    /// What precedes a block's number in the model.
    block_prefix: &'static str,
    /// The parameters that a module may have.
    parameters: &'static [&'static str],
}

/// What precedes a block's number in the file.
const BLOCK: &str = "blk.";

impl Names {
    /// `None` for families that `deft` does not read from GGUF files.
    pub fn of(family: Family) -> Option<Self> {
        match family {
            Family::Llama => {
                Some(Self { outside: &LLAMA, block: &LLAMA_BLOCK, block_prefix: "layers.", parameters: &["weight"] })
            }
            Family::Gpt2 => {
                Some(Self { outside: &GPT2, block: &GPT2_BLOCK, block_prefix: "h.", parameters: &["weight", "bias"] })
            }
            _ => None,
        }
    }

    /// The file's name of the model's tensor `name`; `None` if the family has no such tensor.
    pub fn in_file(&self, name: &str) -> Option<(String, Stored)> {
        let (path, parameter) = bare(name).rsplit_once('.')?;
        if !self.parameters.contains(&parameter) {
            return None;
        }
        let find = |rows: &[Row], module: &str| rows.iter().find(|(model, ..)| *model == module).copied();
        let (file_module, stored) = match path.strip_prefix(self.block_prefix) {
            Some(inside) => {
                let (number, module) = inside.split_once('.')?;
                let (_, file, stored) = find(self.block, module)?;
                (format!("{BLOCK}{number}.{file}"), stored)
            }
            None => {
                let (_, file, stored) = find(self.outside, path)?;
                (file.to_owned(), stored)
            }
        };
        // Biases are vectors, and only Llama, which has none, reorders rows.
        let stored = if parameter == "weight" { stored } else { Stored::AsIs };
        Some((format!("{file_module}.{parameter}"), stored))
    }

    /// Whether a tensor of the file has a part in the family's arithmetic.
    pub fn knows(&self, file_name: &str) -> bool {
        let Some((path, parameter)) = file_name.rsplit_once('.') else { return false };
        let known = |rows: &[Row], module: &str| rows.iter().any(|(_, file, _)| *file == module);
        let module_known = match path.strip_prefix(BLOCK).and_then(|inside| inside.split_once('.')) {
            Some((number, module)) => number.parse::<u32>().is_ok() && known(self.block, module),
            None => known(self.outside, path),
        };
        module_known && self.parameters.contains(&parameter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_families() {
        let llama = Names::of(Family::Llama).unwrap();
        for (name, file, stored) in [
            ("model.layers.3.self_attn.q_proj.weight", "blk.3.attn_q.weight", Stored::InterleavedQuery),
            ("layers.12.mlp.down_proj.weight", "blk.12.ffn_down.weight", Stored::AsIs),
            ("model.embed_tokens.weight", "token_embd.weight", Stored::AsIs),
            ("model.norm.weight", "output_norm.weight", Stored::AsIs),
            ("lm_head.weight", "output.weight", Stored::AsIs),
        ] {
            assert_eq!(llama.in_file(name), Some((file.to_owned(), stored)), "{name}");
            assert!(llama.knows(file));
        }
        let gpt2 = Names::of(Family::Gpt2).unwrap();
        for (name, file, stored) in [
            ("h.0.attn.c_attn.weight", "blk.0.attn_qkv.weight", Stored::Transposed),
            ("transformer.h.0.attn.c_attn.bias", "blk.0.attn_qkv.bias", Stored::AsIs),
            ("wpe.weight", "position_embd.weight", Stored::AsIs),
        ] {
            assert_eq!(gpt2.in_file(name), Some((file.to_owned(), stored)), "{name}");
            assert!(gpt2.knows(file));
        }
        for absent in ["", "weight", "model.layers.weight", "model.layers.0.self_attn.q_proj.bias", "wte.weight"] {
            assert_eq!(llama.in_file(absent), None, "{absent}");
        }
        for other in ["blk.0.attn_q.bias", "blk.0.ffn_gate_inp.weight", "blk.x.attn_q.weight", "output", ""] {
            assert!(!llama.knows(other), "{other}");
        }
        assert!(Names::of(Family::T5).is_none());
    }
}
