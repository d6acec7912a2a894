//! The backend for NVIDIA GPUs: our own kernels in half precision, sums in single precision (docs/gpu.md).
//!
//! `launch/` is the table of all kernels of `kernels/`: what each takes and in how many blocks it runs. A [`Device`] holds
//! memory and runs launches: a GPU through its driver, or, in tests, a CPU that compiles the same sources. Nothing here
//! knows models or files. Start reading at [`Device`], then `launch/mod.rs`.

mod device;
pub mod launch;

pub use device::{Address, Arguments, Device, DeviceError, Kernel, Launch};
