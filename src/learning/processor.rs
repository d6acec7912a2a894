//! What the arithmetic runs on.

use super::LearningError;
use crate::backend::cuda::{Cuda, Device, DeviceError, Gpu, LargeProducts};
use crate::fomo::{Architecture, TensorSource};
use crate::nn::PassMemory;
use std::sync::Arc;

/// What a user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendChoice {
    Cpu,
    /// A GPU, or nothing.
    Cuda,
    /// A GPU where there is one that can compute what is asked, else the CPU.
    #[default]
    Auto,
}

/// What computes.
#[derive(Clone, Default)]
pub enum Processor {
    #[default]
    Cpu,
    /// Models in half precision on a GPU, others on the CPU.
    Gpu(GpuProcessor),
}

/// A GPU and its memory.
#[derive(Clone)]
pub struct GpuProcessor {
    pub(super) cuda: Cuda,
    name: String,
    capacity: u64,
}

/// What the driver, its context and the translated kernels may take besides.
const RESERVED_BYTES: usize = 512 << 20;
/// With less there is no point in starting.
const LEAST_BYTES: usize = 256 << 20;

impl Processor {
    /// What `choice` means on this machine for work in half precision, or not. Under [`BackendChoice::Auto`] also says why a
    /// GPU that is there is not used.
    ///
    /// # Errors
    /// Under [`BackendChoice::Cuda`], if no GPU can be used.
    pub fn choose(choice: BackendChoice, half_precision: bool) -> Result<(Self, Option<DeviceError>), DeviceError> {
        match choice {
            BackendChoice::Cpu => Ok((Self::Cpu, None)),
            BackendChoice::Cuda => Self::gpu().map(|gpu| (gpu, None)),
            BackendChoice::Auto if !half_precision => Ok((Self::Cpu, None)),
            BackendChoice::Auto => Ok(match Self::gpu() {
                Ok(gpu) => (gpu, None),
                Err(DeviceError::NoDriver | DeviceError::NoCard) => (Self::Cpu, None),
                Err(why) => (Self::Cpu, Some(why)),
            }),
        }
    }

    /// The first GPU, with nearly all memory that nobody else holds.
    fn gpu() -> Result<Self, DeviceError> {
        let gpu = Gpu::open()?;
        let free = gpu.free_bytes()?;
        let bytes = free.saturating_sub(RESERVED_BYTES);
        if bytes < LEAST_BYTES {
            return Err(DeviceError::TooLittleMemory { wanted: RESERVED_BYTES + LEAST_BYTES, free });
        }
        let name = gpu.name().to_owned();
        Self::on(Arc::new(gpu), &name, bytes)
    }

    /// Computes on `device` in `bytes` of its memory.
    ///
    /// # Errors
    /// If there is not so much.
    pub fn on(device: Arc<dyn Device>, name: &str, bytes: usize) -> Result<Self, DeviceError> {
        let cuda = Cuda::new(device, bytes)?;
        let LargeProducts { warpgroups, tensor_copies } = cuda.large_products();
        let ways = [(warpgroups || tensor_copies, ", wgmma"), (tensor_copies, ", TMA")];
        let name = ways.into_iter().filter(|(used, _)| *used).fold(name.to_owned(), |name, (_, way)| name + way);
        Ok(Self::Gpu(GpuProcessor { cuda, name, capacity: bytes as u64 }))
    }

    /// A line for each part of a GPU that is left out, because it was wrong when it was asked.
    pub fn left_out(&self) -> &[String] {
        match self {
            Self::Gpu(gpu) => gpu.cuda.left_out(),
            Self::Cpu => &[],
        }
    }

    /// What computes models in that precision.
    pub(super) fn for_precision(&self, half_precision: bool) -> Option<&GpuProcessor> {
        match self {
            Self::Gpu(gpu) if half_precision => Some(gpu),
            _ => None,
        }
    }

    /// As a manifest says it.
    pub fn description(&self, half_precision: bool) -> String {
        match self.for_precision(half_precision) {
            Some(gpu) => format!("cuda ({})", gpu.name),
            None => "cpu".to_owned(),
        }
    }
}

impl GpuProcessor {
    /// # Errors
    /// If its kernels do not compute such a model, or its memory does not hold it.
    pub(super) fn check(
        &self,
        architecture: &Architecture,
        predicts_tokens: bool,
        source: &dyn TensorSource,
    ) -> Result<(), LearningError> {
        if architecture.head_dim > Cuda::MOST_HEAD_COLUMNS {
            return Err(LearningError::GpuHeads {
                model: architecture.name.clone(),
                found: architecture.head_dim,
                most: Cuda::MOST_HEAD_COLUMNS,
            });
        }
        let logits = predicts_tokens.then(|| Cuda::logits_at_once(architecture.vocabulary) as u64);
        let need = PassMemory::new(architecture, Cuda::CHUNK_TOKENS as u64, logits);
        let need = need.with_few_bits(architecture, source);
        // Less what optimisers may keep there.
        let capacity = self.capacity - self.capacity / Cuda::MOMENTS_SHARE as u64;
        if need.bytes() > capacity {
            return Err(LearningError::GpuMemory {
                model: architecture.name.clone(),
                frozen: gib(need.frozen),
                activations: gib(need.activations),
                logits: gib(need.logits),
                free: gib(capacity),
            });
        }
        Ok(())
    }
}

fn gib(bytes: u64) -> String {
    format!("{:.2} GiB", bytes as f64 / f64::from(1u32 << 30))
}
