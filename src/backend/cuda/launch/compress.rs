//! `kernels/compress.cu`: compressed updates.

use super::super::{Address, Arguments, Launch};
use super::family;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct QsgdArguments {
    /// Single precision.
    pub values: Address,
    /// [`super::CounterKey`] of each bucket.
    pub keys: Address,
    pub len: i64,
    pub factor: f64,
    pub bucket: i32,
    pub levels: i32,
}

/// The `kept` entries of largest magnitude; of equals, those that come first.
#[derive(Clone, Copy, Debug)]
pub struct TopK {
    /// Single precision; the others become 0.
    pub values: Address,
    pub len: usize,
    /// `i32`, [`TopK::counts_len`] of them.
    pub counts: Address,
    /// `i32`, two of them: 0, and how many entries are kept.
    pub found: Address,
    /// `i32`, one a run of 4096 entries.
    pub equal: Address,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct ThresholdArguments {
    values: Address,
    counts: Address,
    found: Address,
    len: i64,
    shift: i32,
    blocks: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct KeepArguments {
    values: Address,
    found: Address,
    equal: Address,
    len: i64,
    blocks: i32,
    unused: i32,
}

// SAFETY: `repr(C)`, eight-byte fields first, an even number of four-byte fields after them.
unsafe impl Arguments for QsgdArguments {}
// SAFETY: as above.
unsafe impl Arguments for ThresholdArguments {}
// SAFETY: as above.
unsafe impl Arguments for KeepArguments {}

const RUN: usize = 4096;

family! {
    COMPRESS = "compress" {
        QSGD = "qsgd" (QsgdArguments, 256, 2048);
        THRESHOLD_COUNTS = "threshold_counts" (ThresholdArguments, 256, 4 * RUN as u32);
        THRESHOLD_BITS = "threshold_bits" (ThresholdArguments, 256, 1024);
        THRESHOLD_EQUALS = "threshold_equals" (KeepArguments, 256, 1024);
        KEEP_LARGEST = "keep_largest" (KeepArguments, 256, 4);
    }
}

impl QsgdArguments {
    pub fn launch(&self) -> Launch {
        Launch::new(&QSGD, [(self.len as usize).div_ceil(self.bucket as usize), 1, 1], self)
    }
}

impl TopK {
    pub fn runs_of(len: usize) -> usize {
        len.div_ceil(RUN)
    }

    pub fn counts_len(len: usize) -> usize {
        256 * Self::runs_of(len)
    }

    /// In order.
    pub fn launch(&self) -> Vec<Launch> {
        let blocks = Self::runs_of(self.len);
        let by_bits = [24, 16, 8, 0].into_iter().flat_map(|shift| {
            let arguments = ThresholdArguments {
                values: self.values,
                counts: self.counts,
                found: self.found,
                len: self.len as i64,
                shift,
                blocks: blocks as i32,
            };
            [
                Launch::new(&THRESHOLD_COUNTS, [blocks, 1, 1], &arguments),
                Launch::new(&THRESHOLD_BITS, [1, 1, 1], &arguments),
            ]
        });
        let keep = KeepArguments {
            values: self.values,
            found: self.found,
            equal: self.equal,
            len: self.len as i64,
            blocks: blocks as i32,
            unused: 0,
        };
        let last = [&THRESHOLD_EQUALS, &KEEP_LARGEST].map(|kernel| Launch::new(kernel, [blocks, 1, 1], &keep));
        by_bits.chain(last).collect()
    }
}
