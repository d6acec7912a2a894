//! What the kernels need from whatever runs them.

use super::arena::Purpose;
use super::{Tensor, TensorMap};
use std::fmt;

/// Where something lies in a device's memory: an address that only the device can follow, or 0 for nothing.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub u64);

impl Address {
    pub const NULL: Self = Self(0);

    /// `bytes` further on.
    #[must_use]
    pub fn offset(self, bytes: usize) -> Self {
        Self(self.0 + bytes as u64)
    }

    /// So many half-precision numbers further on.
    #[must_use]
    pub fn halves(self, numbers: usize) -> Self {
        self.offset(2 * numbers)
    }

    /// So many numbers of four bytes further on.
    #[must_use]
    pub fn singles(self, numbers: usize) -> Self {
        self.offset(4 * numbers)
    }
}

/// A kernel as it is built: it takes one structure by value, and its block and shared memory are fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its name in the PTX.
    pub name: &'static str,
    /// Size of its arguments.
    pub argument_bytes: usize,
    /// Threads of a block.
    pub threads: u32,
    /// Shared memory of a block, all of it dynamic.
    pub shared_bytes: u32,
}

/// A kernel with its arguments and the number of blocks in each direction.
#[derive(Clone, Debug)]
pub struct Launch {
    pub kernel: &'static Kernel,
    pub grid: [u32; 3],
    pub arguments: Vec<u8>,
}

/// A type that a kernel's source declares too, field by field.
///
/// # Safety
/// The type is `repr(C)`, holds addresses and numbers only, and has no padding.
pub unsafe trait Arguments: Copy {}

impl Launch {
    /// A launch of nothing is allowed: devices skip it.
    pub fn new<A: Arguments>(kernel: &'static Kernel, grid: [usize; 3], arguments: &A) -> Self {
        assert_eq!(size_of::<A>(), kernel.argument_bytes, "arguments of another kernel than {}", kernel.name);
        let grid = grid.map(|blocks| u32::try_from(blocks).expect("fewer than 2^32 blocks"));
        // SAFETY: `A` has no padding, so all of its bytes are initialised.
        let bytes = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(arguments).cast::<u8>(), size_of::<A>()) };
        Self { kernel, grid, arguments: bytes.to_vec() }
    }

    pub fn is_empty(&self) -> bool {
        self.grid.contains(&0)
    }
}

/// Why a device did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    #[error("out of device memory: {} wanted for {purpose}, {} free; {held}", Size(*wanted), Size(*free))]
    OutOfMemory { wanted: usize, purpose: Purpose, free: usize, held: String },
    #[error("device memory: {} wanted in one piece, {} free", Size(*wanted), Size(*free))]
    TooLittleMemory { wanted: usize, free: usize },
    #[error("no NVIDIA driver on this machine: libcuda was not found")]
    NoDriver,
    #[error("no NVIDIA GPU on this machine: the driver finds none")]
    NoCard,
    #[error("the NVIDIA driver is too old: it supports {cuda}, the kernels need {needed} (driver 525 or later)")]
    DriverTooOld { cuda: String, needed: String },
    #[error("{name} is not supported: its compute capability is {found}, the kernels need {needed} or higher")]
    CardTooOld { name: String, found: String, needed: String },
    #[error("kernel {kernel}: {cause}")]
    Kernel { kernel: &'static str, cause: String },
    #[error("{0}")]
    Driver(String),
}

/// Bytes as people read them.
pub(super) struct Size(pub usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.0 as f64 / f64::from(1 << 20);
        match mib {
            1024.0.. => write!(f, "{:.2} GiB", mib / 1024.0),
            0.1.. => write!(f, "{mib:.1} MiB"),
            _ => write!(f, "{} bytes", self.0),
        }
    }
}

/// Memory and a queue of launches, done in order.
pub trait Device: Send + Sync {
    /// Memory aligned to 256 bytes; what it holds is unspecified.
    fn allocate(&self, bytes: usize) -> Result<Address, DeviceError>;

    /// Gives back what [`Device::allocate`] gave, after all launches so far.
    fn free(&self, address: Address);

    fn write(&self, address: Address, bytes: &[u8]) -> Result<(), DeviceError>;

    /// Waits for all launches so far.
    fn read(&self, address: Address, bytes: &mut [u8]) -> Result<(), DeviceError>;

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), DeviceError>;

    /// Fills with zeros.
    fn zero(&self, address: Address, bytes: usize) -> Result<(), DeviceError>;

    fn launch(&self, launch: &Launch) -> Result<(), DeviceError>;

    /// How many blocks of 256 threads fill it.
    fn multiprocessors(&self) -> usize;

    /// Whether it takes the kernels for `sm_90a`.
    fn has_warpgroups(&self) -> bool {
        false
    }

    /// Whether it takes bulk tensor copies, too.
    fn has_tensor_copies(&self) -> bool {
        false
    }

    /// What tensor copies read about a tensor; `None` where the driver makes no map of it.
    fn tensor_map(&self, _tensor: &Tensor) -> Option<TensorMap> {
        None
    }

    /// Part of an allocation is used anew: a device that checks its programs may spoil what was there.
    fn reused(&self, _address: Address, _bytes: usize) {}
}
