//! The CPU backend: one pass on one thread, products of frozen matrices from panels, thin ones by the same tiles, others by
//! the `gemm` crate, everything else vectorised here.
//!
//! Generic over the number type: `f32` for work, `f64` so that finite differences can check the gradients; and over how
//! values are stored between operations (`storage.rs`). Threads belong to the caller, who runs many small passes side by
//! side; nothing in here forks, so no result depends on how many threads there are. No value of one client, forward or
//! backward, depends on another client of the pass.

mod activation;
mod adapter;
mod attention;
mod attention_gradient;
mod attention_plan;
mod classify;
#[cfg(target_arch = "x86_64")]
mod column;
mod dispatch;
mod dropout;
mod elementwise;
mod embedding;
mod language;
mod linear;
mod linear_gradient;
mod magnitude;
mod norm;
mod operations;
mod packed;
mod parameters;
mod product;
mod relative_bias;
mod rotary;
mod scalar;
mod scaling;
mod small_product;
mod storage;
mod tile;
#[cfg(target_arch = "x86_64")]
mod tile_x86;
mod transpose;

pub use product::CpuMatrix;
pub use scalar::Scalar;
pub use storage::{Exact, Storage};

use std::marker::PhantomData;

/// Tokens a pass: products of this many rows run near the crate's peak, and a client's batch still splits into a few.
const CHUNK_TOKENS: usize = 320;

/// Computes on the calling thread in numbers of type `T`, kept between operations as `S` says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu<T: Scalar = f32, S: Storage<T> = Exact>(PhantomData<(T, S)>);

impl<T: Scalar, S: Storage<T>> Cpu<T, S> {
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

/// The first `len` values, after making room for them; what they are is unspecified.
fn grow<T: Scalar>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        *buffer = vec![T::ZERO; len];
    }
    &mut buffer[..len]
}
