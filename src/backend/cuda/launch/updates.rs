//! `kernels/optimiser.cu` and `kernels/air.cu`: what happens to gradients, parameters and updates after the passes.

use super::super::{Address, Arguments, Launch};
use super::{CounterKey, family};

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct AccumulateArguments {
    pub x: Address,
    pub y: Address,
    pub len: i64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct UnscaleArguments {
    pub gradient: Address,
    /// `i32`, becomes 1 if a value is not finite; never 0.
    pub overflow: Address,
    pub len: i64,
    pub inverse_scale: f32,
    pub unused: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SquaresArguments {
    pub values: Address,
    /// `f64`, [`SquaresArguments::runs_of`] of them.
    pub partial: Address,
    /// `f64`: the sum of squares.
    pub sum: Address,
    pub len: i64,
    pub runs: i32,
    pub unused: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ClipArguments {
    pub gradient: Address,
    /// Of squares.
    pub sum: Address,
    pub len: i64,
    /// The largest norm that stays.
    pub most: f64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct AdamWArguments {
    pub parameters: Address,
    pub m: Address,
    pub v: Address,
    pub gradient: Address,
    /// Half precision, or null.
    pub copy: Address,
    pub overflow: Address,
    pub len: i64,
    /// `1 - rate weight_decay`.
    pub decay: f32,
    /// `rate / (1 - beta1^k)`.
    pub size: f32,
    pub fresh1: f32,
    pub beta2: f32,
    pub fresh2: f32,
    /// `sqrt(1 - beta2^k)`.
    pub correction2_root: f32,
    pub epsilon: f32,
    pub unused: i32,
}

/// Updates of many devices that arrive as one sum: entries `first..end` of one tensor.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct AirArguments {
    pub reference: Address,
    /// `[devices, stride]`, single precision.
    pub states: Address,
    /// `f64`, of each device; 0 is silent.
    pub weights: Address,
    /// `f64`, at the centre of the band, or null where all arrive in phase.
    pub radians: Address,
    /// `f64`, from one subcarrier to the next.
    pub slopes: Address,
    pub out: Address,
    pub noise: CounterKey,
    pub stride: i64,
    pub first: i64,
    pub end: i64,
    /// Of an entry, normalisation included.
    pub noise_std: f64,
    /// Of a vote.
    pub step: f64,
    pub devices: i32,
    pub subcarriers: i32,
}

// SAFETY: `repr(C)`, eight-byte fields first, an even number of four-byte fields after them.
unsafe impl Arguments for AccumulateArguments {}
// SAFETY: as above.
unsafe impl Arguments for UnscaleArguments {}
// SAFETY: as above.
unsafe impl Arguments for SquaresArguments {}
// SAFETY: as above.
unsafe impl Arguments for ClipArguments {}
// SAFETY: as above.
unsafe impl Arguments for AdamWArguments {}
// SAFETY: as above.
unsafe impl Arguments for AirArguments {}

family! {
    OPTIMISER = "optimiser" {
        ACCUMULATE = "accumulate" (AccumulateArguments, 256, 0);
        UNSCALE = "unscale" (UnscaleArguments, 256, 0);
        SQUARES = "squares_of_runs" (SquaresArguments, 256, 2048);
        SQUARES_FINISH = "squares_finish" (SquaresArguments, 32, 0);
        CLIP = "clip" (ClipArguments, 256, 0);
        ADAMW = "adamw" (AdamWArguments, 256, 0);
    }
}
family! {
    AIR = "air" {
        SUPERPOSE = "superpose" (AirArguments, 256, 0);
        VOTE = "vote" (AirArguments, 256, 0);
    }
}

fn blocks(elements: i64) -> [usize; 3] {
    [(elements as usize).div_ceil(256), 1, 1]
}

impl AccumulateArguments {
    /// `y += x`.
    pub fn launch(&self) -> Launch {
        Launch::new(&ACCUMULATE, blocks(self.len), self)
    }
}

impl UnscaleArguments {
    pub fn launch(&self) -> Launch {
        Launch::new(&UNSCALE, blocks(self.len), self)
    }
}

impl SquaresArguments {
    pub fn runs_of(len: usize) -> usize {
        len.div_ceil(4096)
    }

    /// In order.
    pub fn launch(&self) -> [Launch; 2] {
        [Launch::new(&SQUARES, [self.runs as usize, 1, 1], self), Launch::new(&SQUARES_FINISH, [1, 1, 1], self)]
    }
}

impl ClipArguments {
    pub fn launch(&self) -> Launch {
        Launch::new(&CLIP, blocks(self.len), self)
    }
}

impl AdamWArguments {
    pub fn launch(&self) -> Launch {
        Launch::new(&ADAMW, blocks(self.len), self)
    }
}

impl AirArguments {
    pub fn superpose(&self) -> Launch {
        Launch::new(&SUPERPOSE, blocks(self.end - self.first), self)
    }

    pub fn vote(&self) -> Launch {
        Launch::new(&VOTE, blocks(self.end - self.first), self)
    }
}
