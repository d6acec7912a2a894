//! The roofline model: a task is bound by arithmetic or by memory, whichever takes longer (Williams, Waterman and
//! Patterson, "Roofline: an insightful visual performance model for multicore architectures", CACM 52(4), 2009).

use super::{HardwareProfile, Precision};
use crate::sim::SimDuration;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul};

/// An amount of work, independent of who does it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Floating-point operations of matrix products; a multiply-add counts as two.
    pub flops: f64,
    /// Traffic between memory and processor.
    pub bytes: f64,
    /// Operations launched one after another, each at a fixed cost.
    pub kernels: u32,
}

impl Add for Work {
    type Output = Work;
    fn add(self, other: Work) -> Work {
        Work {
            flops: self.flops + other.flops,
            bytes: self.bytes + other.bytes,
            kernels: self.kernels.saturating_add(other.kernels),
        }
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Work) {
        *self = *self + other;
    }
}

impl Sum for Work {
    fn sum<I: Iterator<Item = Work>>(parts: I) -> Work {
        parts.fold(Work::default(), Add::add)
    }
}

/// The same work several times.
impl Mul<u32> for Work {
    type Output = Work;
    fn mul(self, times: u32) -> Work {
        Work {
            flops: self.flops * f64::from(times),
            bytes: self.bytes * f64::from(times),
            kernels: self.kernels.saturating_mul(times),
        }
    }
}

impl HardwareProfile {
    /// Arithmetic rate in FLOP/s that a real program reaches: peak times efficiency.
    pub fn sustained_flops_per_second(&self, precision: Precision) -> f64 {
        let peak_gflops = match precision {
            Precision::Fp32 => self.fp32_gflops,
            Precision::Fp16 | Precision::Bf16 => self.fp16_gflops,
            Precision::Int8 => self.int8_gops,
        };
        peak_gflops * 1e9 * self.compute_efficiency
    }

    /// Memory rate in bytes/s that a real program reaches: peak times efficiency.
    pub fn sustained_bytes_per_second(&self) -> f64 {
        self.memory_bandwidth_gb_per_s * 1e9 * self.bandwidth_efficiency
    }

    /// Seconds that `work` takes with products in `precision`:
    /// max(flops / sustained FLOP/s, bytes / sustained bytes/s) + kernels x launch overhead; the sum of both in place of the larger
    /// where they do not overlap.
    pub fn seconds(&self, work: &Work, precision: Precision) -> f64 {
        let arithmetic = work.flops / self.sustained_flops_per_second(precision);
        let memory = work.bytes / self.sustained_bytes_per_second();
        let bound = if self.overlap { arithmetic.max(memory) } else { arithmetic + memory };
        bound + f64::from(work.kernels) * self.launch_overhead_us * 1e-6
    }

    /// [`seconds`](Self::seconds) as virtual time.
    pub fn time(&self, work: &Work, precision: Precision) -> SimDuration {
        SimDuration::from_seconds(self.seconds(work, precision))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::profile;

    #[test]
    fn the_slower_of_arithmetic_and_memory_binds_and_launches_add() {
        let a100 = profile("nvidia_a100_80gb").unwrap();
        let peak = 312e12 * a100.compute_efficiency;
        let memory = 2039e9 * a100.bandwidth_efficiency;
        let compute_bound = Work { flops: peak, bytes: memory / 2.0, kernels: 0 };
        assert!((a100.seconds(&compute_bound, Precision::Fp16) - 1.0).abs() < 1e-12);
        let memory_bound = Work { flops: peak / 2.0, bytes: memory, kernels: 1000 };
        let expected = 1.0 + 1000.0 * a100.launch_overhead_us * 1e-6;
        assert!((a100.seconds(&memory_bound, Precision::Fp16) - expected).abs() < 1e-12);
        assert_eq!(a100.time(&Work::default(), Precision::Fp32), SimDuration::ZERO);
        assert!(a100.seconds(&compute_bound, Precision::Fp32) > 10.0);
    }

    #[test]
    fn work_adds_and_repeats() {
        let w = Work { flops: 3.0, bytes: 5.0, kernels: 2 };
        assert_eq!([w; 4].into_iter().sum::<Work>(), w * 4);
    }
}
