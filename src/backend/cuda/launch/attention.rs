//! `kernels/attention.cu` and `kernels/attention_bias.cu`: attention inside each sequence, biases by distance.

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
    /// `[heads, span]` of the first client, single precision: entry `longest_query - 1 + key - query`; or null.
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
    /// `[sequences, heads, tiles of queries, span]`, single precision: where the gradients of biases are wanted; or null.
    pub d_bias: Address,
    /// Elements from one client's parameters to the next.
    pub prefix_group: i64,
    /// Elements from one client's biases to the next; 0 where all share them.
    pub bias_group: i64,
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
    /// `[buckets, heads]`, of the first client.
    pub table: Address,
    /// `i32`, of each distance.
    pub buckets: Address,
    /// `[clients, heads, span]`, single precision.
    pub bias: Address,
    /// Elements from one client's table to the next.
    pub group: i64,
    pub heads: i32,
    pub span: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BiasGradientArguments {
    /// `[sequences, heads, tiles, span]`, as the attention leaves them.
    pub sums: Address,
    /// `i32`, `[buckets, 2]`: the first distance of each bucket and the one after its last.
    pub distances: Address,
    /// `[buckets, heads]`, of the first client, single precision; added to.
    pub d_table: Address,
    /// First sequence of each client and one more.
    pub segments: Address,
    pub query_offsets: Address,
    /// Elements from one client's table to the next.
    pub group: i64,
    pub heads: i32,
    pub tiles: i32,
    pub span: i32,
    pub unused: i32,
}

// SAFETY: `repr(C)`, eight-byte fields first, an even number of four-byte fields after them.
unsafe impl Arguments for AttentionArguments {}
// SAFETY: as above.
unsafe impl Arguments for BiasArguments {}
// SAFETY: as above.
unsafe impl Arguments for BiasGradientArguments {}
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

/// With the gradients of a tile of scores in single precision.
const fn biased(dim: u32) -> u32 {
    let other = if dim > 64 { 32 } else { 64 };
    backward(dim) + SIDE * (other + 8) * 4
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
    }
}

family! {
    ATTENTION_BIAS = "attention_bias" {
        BIAS = "attention_bias" (BiasArguments, 128, 0);
        BIASED_32 = "attention_biased_gradient_32" (AttentionArguments, 128, biased(32));
        BIASED_64 = "attention_biased_gradient_64" (AttentionArguments, 128, biased(64));
        BIASED_128 = "attention_biased_gradient_128" (AttentionArguments, 128, biased(128));
        BIAS_GRADIENT = "attention_bias_gradient" (BiasGradientArguments, 128, 4 * 4);
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

    /// Tiles of so many queries or keys.
    pub fn tiles(longest: usize) -> usize {
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
        let of_queries = match self.d_bias == Address::NULL {
            true => [&QUERY_32, &QUERY_64, &QUERY_128],
            false => [&BIASED_32, &BIASED_64, &BIASED_128],
        };
        [
            Launch::new(&DELTA, [pairs.div_ceil(4), 1, 1], self),
            Launch::new(self.pick(of_queries), [queries, self.heads as usize, sequences], self),
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
    /// For `tables` tables: one a client, or one for all.
    pub fn launch(&self, tables: usize) -> Launch {
        Launch::new(&BIAS, [(self.heads as usize * self.span as usize).div_ceil(128), tables, 1], self)
    }
}

impl BiasGradientArguments {
    pub fn launch(&self, buckets: usize, clients: usize) -> Launch {
        Launch::new(&BIAS_GRADIENT, [buckets, self.heads as usize, clients], self)
    }
}
