//! The backend for NVIDIA GPUs: our own kernels in half precision, sums in single precision (docs/gpu.md).
//!
//! `launch/` is the table of all kernels of `kernels/`: what each takes and in how many blocks it runs. A [`Device`] holds
//! memory and runs launches: a GPU through its driver, or, in tests, a CPU that compiles the same sources. [`Cuda`] is the
//! backend on top: all its memory is one allocation (`arena.rs`), and an operation is a few launches. Nothing here
//! knows models or files. Start reading at [`Device`], then `launch/mod.rs`, then `operations.rs`.

mod adapter;
mod arena;
mod attention;
mod backend;
mod buffer;
mod device;
mod driver;
mod ends;
mod language;
pub mod launch;
mod layers;
mod linear;
mod linear_gradient;
mod low_rank;
mod matrix;
mod operations;
mod self_check;
mod tables;
mod tensor;
mod update;

pub use arena::Purpose;
pub use backend::Cuda;
pub use buffer::{Buffer, Matrix};
pub use device::{Address, Arguments, Device, DeviceError, Kernel, Launch};
pub use driver::Gpu;
pub use self_check::LargeProducts;
pub use tensor::{Tensor, TensorMap};
