//! What a GPU in half precision would compute, emulated on the CPU: every value that one operation leaves for another
//! is rounded to 16 bits (IEEE 754 binary16, to nearest, ties to even).
//!
//! Rounded: what is uploaded (weights, tables, trainable parameters, hidden states from elsewhere), every activation and
//! every gradient of an activation that an operation writes, and between the two halves of an operation what a GPU keeps
//! in memory: `x A^T` and its gradient, a product before its magnitude, the gradients of an adapter's bottleneck and of
//! the logits. Kept in single precision, as on a GPU: sums inside an operation, attention's probabilities and the
//! logarithms of their denominators, reciprocal deviations and norms, gradients of parameters, losses.
//!
//! Not emulated: memory is not halved and time is not saved; a GPU adds in another order, and a fused attention may round
//! its probabilities. Magnitudes beyond 65,504 become infinite, as there: scaling the loss is the caller's task.

use super::cpu::{Cpu, Storage};
use ::half::f16;
use ::half::slice::HalfFloatSliceExt;

/// A CPU that stores in half precision.
pub type HalfCpu = Cpu<f32, Half>;

/// Values are rounded to half precision when they are stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Half;

impl Storage<f32> for Half {
    const EXACT: bool = false;

    fn store(values: &mut [f32]) {
        let mut block = [f16::ZERO; 256];
        for values in values.chunks_mut(block.len()) {
            let block = &mut block[..values.len()];
            block.convert_from_f32_slice(values);
            block.convert_to_f32_slice(values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend as _;

    #[test]
    fn values_are_rounded_to_the_nearest_half_ties_to_even() {
        // Binary16 has 10 bits behind the point; 2049 and 2051 lie in the middle between their even neighbours.
        let cases = [
            (1.0, 1.0),
            (1.0 + 1.0 / 2048.0, 1.0),
            (1.0 + 3.0 / 2048.0, 1.0 + 2.0 / 1024.0),
            (2049.0, 2048.0),
            (2051.0, 2052.0),
            (65_504.0, 65_504.0),
            (65_519.9, 65_504.0),
            (65_520.0, f32::INFINITY),
            (-1e9, f32::NEG_INFINITY),
            (5.960_464_5e-8, 5.960_464_5e-8),
            (2.0e-8, 0.0),
        ];
        let (given, expected): (Vec<f32>, Vec<f32>) = cases.into_iter().unzip();
        let backend = HalfCpu::new();
        assert_eq!(backend.read(&backend.upload(&given), given.len()), expected);
        // Longer than one block.
        let long: Vec<f32> = (0..1000).map(|i| i as f32 * 0.001).collect();
        let rounded = backend.read(&backend.upload(&long), 1000);
        assert!(long.iter().zip(&rounded).all(|(&v, &r)| r == f16::from_f32(v).to_f32()));
        assert!(long != rounded);
    }
}
