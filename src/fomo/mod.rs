//! Foundation models (FoMos) as shapes, files and costs.
//!
//! `architecture` and `presets` say what a model looks like, `parameters` counts it, `cost` says what a step of
//! fine-tuning takes in operations, bytes and memory. [`ModelFiles`] opens what is published of a model: weights
//! (`checkpoint` for safetensors, `gguf`), configuration (`config`) and `tokenizer`; [`RandomWeights`] makes one up,
//! [`Emulator`] a smaller stand-in for one.
//! Nothing here knows time, devices or tensors in motion. Start with [`Architecture`], then [`ModelCost`] or [`ModelFiles`].

mod architecture;
mod bytes;
pub mod checkpoint;
mod config;
pub mod cost;
pub mod emulator;
mod error;
pub mod gguf;
mod model_files;
pub(crate) mod names;
mod parameters;
mod presets;
mod projection;
mod random_weights;
pub(crate) mod safetensors_header;
mod spelling;
mod tensor_source;
pub mod tokenizer;
pub mod vendored;

pub use architecture::{
    Activation, Architecture, Family, ImageGeometry, RelativePositions, RotaryGeometry, RotaryScaling,
};
pub use checkpoint::SafetensorsCheckpoint;
pub use config::{ConfigError, architecture_from_config};
pub use cost::{ADAMW_BYTES_PER_PARAMETER, BatchShape, BlockPeft, ModelCost, Part, PeftShape, Segment, Task};
pub use emulator::{Emulator, EmulatorSource, EmulatorSpec, Remainder};
pub use error::FomoError;
pub use gguf::GgufCheckpoint;
pub use model_files::{FileStamp, ModelFiles, Weights};
pub use presets::{preset, preset_names, preset_source};
pub use projection::Projection;
pub use random_weights::RandomWeights;
pub use tensor_source::{CheckpointError, TensorSource};
pub use tokenizer::{Tokenizer, TokenizerError};
