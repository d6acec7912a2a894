//! Folders of Hugging Face's `peft` 0.21: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! [`export`] and [`import`] share one file a method, which holds both directions side by side: `lora.rs` writes and
//! `lora_import.rs` reads low-rank adapters, `ia3.rs` and `prompts.rs` do both. `config.rs` reads the configuration. Keys,
//! shapes and fields are those that `peft` 0.21.2 writes; `docs/adapters.md` lists them.

mod config;
mod export;
mod ia3;
mod import;
mod lora;
mod lora_import;
mod prompts;

pub use export::{ExportOptions, PeftFolder, export};
pub use import::import;

/// The configuration of an adapter: what marks a folder as one of `peft`.
pub const CONFIG: &str = "adapter_config.json";
/// Its tensors.
pub const TENSORS: &str = "adapter_model.safetensors";
/// The linear head of deft, which `peft` has no place for: `weight` `[outputs, hidden]` and `bias` `[outputs]`.
pub const HEAD: &str = "head.safetensors";

/// In front of every module's path.
const PREFIX: &str = "base_model.model.";
/// The one tensor of prompt and prefix tuning.
const PROMPT_EMBEDDINGS: &str = "prompt_embeddings";
