//! Foundation models (FoMos) as shapes, files and costs.
//!
//! `architecture` and `presets` say what a model looks like, `parameters` counts it, `cost` says what a step of
//! fine-tuning takes in operations, bytes and memory, `checkpoint` and `tokenizer` read its files. Nothing here knows
//! time, devices or tensors in motion. Start with [`Architecture`], then [`ModelCost`].

mod architecture;
pub mod checkpoint;
mod config;
pub mod cost;
mod error;
mod half_precision;
mod parameters;
mod presets;
mod projection;
mod tensor_source;
pub mod tokenizer;
pub mod vendored;

pub use architecture::{
    Activation, Architecture, Family, ImageGeometry, RelativePositions, RotaryGeometry, RotaryScaling,
};
pub use checkpoint::SafetensorsCheckpoint;
pub use config::{ConfigError, bert_from_config};
pub use cost::{ADAMW_BYTES_PER_PARAMETER, BatchShape, BlockPeft, ModelCost, Part, PeftShape, Segment, Task};
pub use error::FomoError;
pub use presets::{preset, preset_names, preset_source};
pub use projection::Projection;
pub use tensor_source::{CheckpointError, TensorSource};
pub use tokenizer::{Tokenizer, TokenizerError};
