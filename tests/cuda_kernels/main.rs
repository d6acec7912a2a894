//! Every kernel of `kernels/`, run on the CPU by the host runtime or on a GPU (`support/cuda_device.rs`), against its formula in double precision.

mod attention;
#[path = "../support/cuda_device.rs"]
mod cuda_device;
#[path = "../support/cuda_host.rs"]
mod cuda_host;
mod ends;
mod harness;
mod low_rank;
mod magnitude;
mod product;
mod quantised;
mod rows;
mod table;
mod tensor_copies;
mod updates;
