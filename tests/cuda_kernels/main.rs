//! Every kernel of `kernels/`, run on the CPU by the host runtime, against its formula in double precision.

mod attention;
#[path = "../support/cuda_host.rs"]
mod cuda_host;
mod ends;
mod harness;
mod low_rank;
mod product;
mod rows;
mod table;
mod updates;
