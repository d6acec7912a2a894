//! `kernels/attention.cu`: attention inside each sequence.

use super::super::{Address, Arguments, Kernel, Launch};
use super::family;

/// What all kernels of attention take; each reads what it needs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct AttentionArguments {
    /// At the first column, as are the keys and values.
    pub query: Address,
    pub key: Address,
    pub value: Address,
    /// Of the first client, or null.
    pub prefix_key: Address,
    pub prefix_value: Address,
    /// `[heads, span]`, single precision: entry `longest_query - 1 + key - query`; or null.
    pub bias: Address,
    pub context: Address,
    /// `[rows, heads]`, single precision.
    pub log_sum: Address,
    /// First row of each sequence and one more.
    pub query_offsets: Address,
    pub key_offsets: Address,
    /// Client of each sequence.
    pub clients: Address,
    pub d_context: Address,
    /// `[rows, heads]`, single precision.
    pub delta: Address,
    /// Laid out as the inputs.
    pub d_query: Address,
    pub d_key: Address,
    pub d_value: Address,
    /// `[sequences, 2, prefix, kv_heads dim]`, single precision.
    pub d_prefix: Address,
    /// Elements from one client's parameters to the next.
    pub prefix_group: i64,
    pub query_row: i32,
    pub key_row: i32,
    pub value_row: i32,
    pub heads: i32,
    pub kv_heads: i32,
    pub dim: i32,
    pub prefix: i32,
    pub causal: i32,
    pub span: i32,
    pub longest_query: i32,
    pub scale: f32,
    /// Of queries, all sequences together.
    pub rows: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PrefixGradientArguments {
    /// `[sequences, 2, width]`.
    pub partial: Address,
    /// Of the first client.
    pub d_key: Address,
    pub d_value: Address,
    /// First sequence of each client and one more.
    pub segments: Address,
    pub query_offsets: Address,
    pub group: i64,
    pub width: i32,
    pub unused: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BiasArguments {
    /// `[buckets, heads]`.
    pub table: Address,
    /// `i32`, of each distance.
    pub buckets: Address,
    /// `[heads, span]`, single precision.
    pub bias: Address,
    pub heads: i32,
    pub span: i32,
}

// SAFETY: `repr(C)`, eight-byte fields first, an even number of four-byte fields after them.
unsafe impl Arguments for AttentionArguments {}
// SAFETY: as above.
unsafe impl Arguments for BiasArguments {}
// SAFETY: as above.
unsafe impl Arguments for PrefixGradientArguments {}

const SIDE: u32 = 64;

const fn forward(dim: u32) -> u32 {
    3 * SIDE * dim * 2
}

const fn backward(dim: u32) -> u32 {
    let other = if dim > 64 { 32 } else { 64 };
    2 * (SIDE + other) * dim * 2
}

family! {
    ATTENTION = "attention" {
        FORWARD_32 = "attention_forward_32" (AttentionArguments, 128, forward(32));
        FORWARD_64 = "attention_forward_64" (AttentionArguments, 128, forward(64));
        FORWARD_128 = "attention_forward_128" (AttentionArguments, 128, forward(128));
        DELTA = "attention_delta" (AttentionArguments, 128, 0);
        QUERY_32 = "attention_query_gradient_32" (AttentionArguments, 128, backward(32));
        QUERY_64 = "attention_query_gradient_64" (AttentionArguments, 128, backward(64));
        QUERY_128 = "attention_query_gradient_128" (AttentionArguments, 128, backward(128));
        KEY_32 = "attention_key_gradient_32" (AttentionArguments, 128, backward(32));
        KEY_64 = "attention_key_gradient_64" (AttentionArguments, 128, backward(64));
        KEY_128 = "attention_key_gradient_128" (AttentionArguments, 128, backward(128));
        PREFIX = "attention_prefix_gradient" (PrefixGradientArguments, 128, 0);
        BIAS = "attention_bias" (BiasArguments, 128, 0);
    }
}

/// The widest head.
pub const MOST_HEAD_COLUMNS: usize = 128;

impl AttentionArguments {
    fn pick(&self, kernels: [&'static Kernel; 3]) -> &'static Kernel {
        kernels[match self.dim {
            ..=32 => 0,
            33..=64 => 1,
            _ => 2,
        }]
    }

    fn tiles(longest: usize) -> usize {
        longest.div_ceil(SIDE as usize)
    }

    pub fn forward(&self, sequences: usize) -> Launch {
        let tiles = Self::tiles(self.longest_query as usize);
        let kernel = self.pick([&FORWARD_32, &FORWARD_64, &FORWARD_128]);
        Launch::new(kernel, [tiles, self.heads as usize, sequences], self)
    }

    /// In order; `longest_key` without the prefix.
    pub fn backward(&self, sequences: usize, longest_key: usize) -> [Launch; 3] {
        let pairs = self.rows as usize * self.heads as usize;
        let queries = Self::tiles(self.longest_query as usize);
        let keys = Self::tiles(self.prefix as usize + longest_key);
        [
            Launch::new(&DELTA, [pairs.div_ceil(4), 1, 1], self),
            Launch::new(self.pick([&QUERY_32, &QUERY_64, &QUERY_128]), [queries, self.heads as usize, sequences], self),
            Launch::new(self.pick([&KEY_32, &KEY_64, &KEY_128]), [keys, self.kv_heads as usize, sequences], self),
        ]
    }
}

impl PrefixGradientArguments {
    pub fn launch(&self, clients: usize) -> Launch {
        Launch::new(&PREFIX, [(self.width as usize).div_ceil(128), 2, clients], self)
    }
}

impl BiasArguments {
    pub fn launch(&self) -> Launch {
        Launch::new(&BIAS, [(self.heads as usize * self.span as usize).div_ceil(128), 1, 1], self)
    }
}
