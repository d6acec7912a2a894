//! A [`Device`] that is a GPU: the CUDA driver through cudarc, which finds it when the program runs.
//!
//! Kernels are loaded from the PTX that is part of this program, a family at a time, when the first of it is launched; the
//! driver translates it for the card and keeps the result. All work goes through one stream, so it is done in order. What comes
//! from the host goes through a ring of pinned memory: the caller's array may change as soon as [`Device::write`] returns.
//! Without the driver's library nothing here does more than say so (`library.rs`). The thin layer of cudarc (`result`) is
//! used, not the safe one: memory is the arena's, and a launch is a structure of bytes.

mod library;
mod module;

use super::launch::{Family, family_of};
use super::{Address, Device, DeviceError, Kernel, Launch, Tensor, TensorMap};
use cudarc::driver::result::{self, stream::StreamKind};
use cudarc::driver::{DriverError, sys};
use library::{checked, cuda_version, name_of};
use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, PoisonError};
use sys::CUdevice_attribute as Attribute;
use sys::CUresult as Code;

/// The oldest CUDA whose driver takes the PTX of `kernels/` (ISA 8.0), as the driver counts: driver 525.
const OLDEST_CUDA: i32 = 12_000;
/// The oldest card: `mma.m16n8k16` and `cp.async` (compute capability 8.0, Ampere).
const OLDEST_CARD: (i32, i32) = (8, 0);
/// The first number of the compute capability whose cards take `sm_90a`.
const HOPPER: i32 = 9;
/// Set in the environment, it leaves all products to the kernels of every card.
const NO_WARPGROUPS: &str = "DEFT_CUDA_NO_WGMMA";
/// Set in the environment, it leaves bulk tensor copies alone.
const NO_TENSOR_COPIES: &str = "DEFT_CUDA_NO_TMA";
/// What makes their maps; asked for apart, as nothing else needs it.
const MAKES_MAPS: &str = "cuTensorMapEncodeTiled";
/// Blocks in the second and third direction of a grid.
const MOST_BLOCKS: u32 = 65_535;
const RING_BYTES: usize = 8 << 20;

/// The first GPU of this machine.
pub struct Gpu {
    context: sys::CUcontext,
    stream: sys::CUstream,
    name: String,
    multiprocessors: usize,
    warpgroups: bool,
    tensor_copies: bool,
    functions: Mutex<HashMap<&'static str, Function>>,
    ring: Mutex<Ring>,
}

#[derive(Clone, Copy)]
struct Function(sys::CUfunction);

/// Pinned memory, used from front to back again and again.
struct Ring {
    memory: *mut u8,
    used: usize,
}

// SAFETY: handles of the driver may be used by any thread that has made the context current, as every method does.
unsafe impl Send for Gpu {}
// SAFETY: as above; what changes is behind mutexes.
unsafe impl Sync for Gpu {}
// SAFETY: the memory belongs to the ring alone.
unsafe impl Send for Ring {}
// SAFETY: a handle.
unsafe impl Send for Function {}

impl Gpu {
    /// # Errors
    /// If there is no driver or no GPU, or one of them is too old.
    pub fn open() -> Result<Self, DeviceError> {
        library::check()?;
        let mut version = 0;
        // SAFETY: may come before `cuInit`, and writes one number.
        checked(unsafe { sys::cuDriverGetVersion(&mut version) }.result(), "cuDriverGetVersion")?;
        if version < OLDEST_CUDA {
            return Err(DeviceError::DriverTooOld { cuda: cuda_version(version), needed: cuda_version(OLDEST_CUDA) });
        }
        match result::init() {
            Err(DriverError(Code::CUDA_ERROR_NO_DEVICE)) => return Err(DeviceError::NoCard),
            other => checked(other, "cuInit")?,
        }
        if checked(result::device::get_count(), "cuDeviceGetCount")? == 0 {
            return Err(DeviceError::NoCard);
        }
        let card = checked(result::device::get(0), "cuDeviceGet")?;
        let name = checked(result::device::get_name(card), "cuDeviceGetName")?;
        // SAFETY: the card exists.
        let attribute = |which| checked(unsafe { result::device::get_attribute(card, which) }, "cuDeviceGetAttribute");
        let capability = (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        );
        if capability < OLDEST_CARD {
            let words = |(major, minor)| format!("{major}.{minor}");
            return Err(DeviceError::CardTooOld { name, found: words(capability), needed: words(OLDEST_CARD) });
        }
        let warpgroups = capability.0 == HOPPER && std::env::var_os(NO_WARPGROUPS).is_none();
        let tensor_copies = warpgroups && std::env::var_os(NO_TENSOR_COPIES).is_none() && library::has(MAKES_MAPS);
        let multiprocessors = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?.max(1) as usize;
        // SAFETY: the card exists; the context stays until the process ends.
        let context = checked(unsafe { result::primary_ctx::retain(card) }, "cuDevicePrimaryCtxRetain")?;
        // SAFETY: the context was just retained, and is current from here on.
        checked(unsafe { result::ctx::set_current(context) }, "cuCtxSetCurrent")?;
        let stream = checked(result::stream::create(StreamKind::NonBlocking), "cuStreamCreate")?;
        // SAFETY: written before it is read.
        let memory = checked(unsafe { result::malloc_host(RING_BYTES, 0) }, "cuMemHostAlloc")?;
        let (functions, ring) = (Mutex::default(), Mutex::new(Ring { memory: memory.cast(), used: 0 }));
        Ok(Self { context, stream, name, multiprocessors, warpgroups, tensor_copies, functions, ring })
    }

    /// As the driver calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes that nobody holds.
    ///
    /// # Errors
    /// If the driver fails.
    pub fn free_bytes(&self) -> Result<usize, DeviceError> {
        self.enter()?;
        checked(result::mem_get_info(), "cuMemGetInfo").map(|(free, _)| free)
    }

    fn enter(&self) -> Result<(), DeviceError> {
        // SAFETY: the context lives as long as the process.
        checked(unsafe { result::ctx::set_current(self.context) }, "cuCtxSetCurrent")
    }

    fn wait(&self) -> Result<(), DeviceError> {
        // SAFETY: the stream lives as long as this.
        checked(unsafe { result::stream::synchronize(self.stream) }, "cuStreamSynchronize")
    }

    fn function(&self, kernel: &'static Kernel) -> Result<Function, DeviceError> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions.get(kernel.name) {
            return Ok(*function);
        }
        let family: &Family = family_of(kernel);
        let loaded = module::load(family)?;
        functions.extend(family.kernels.iter().map(|k| k.name).zip(loaded.into_iter().map(Function)));
        Ok(functions[kernel.name])
    }
}

impl Device for Gpu {
    fn allocate(&self, bytes: usize) -> Result<Address, DeviceError> {
        self.enter()?;
        // SAFETY: a context is current.
        match unsafe { result::malloc_sync(bytes) } {
            Err(DriverError(Code::CUDA_ERROR_OUT_OF_MEMORY)) => {
                Err(DeviceError::TooLittleMemory { wanted: bytes, free: self.free_bytes()? })
            }
            other => checked(other, "cuMemAlloc").map(Address),
        }
    }

    fn free(&self, address: Address) {
        // At the end of the process the driver may be gone already; it takes the memory with it.
        if self.enter().and_then(|()| self.wait()).is_ok() {
            // SAFETY: memory of this device, and nothing that is queued reads it.
            let _ = unsafe { result::free_sync(address.0) };
        }
    }

    fn write(&self, address: Address, bytes: &[u8]) -> Result<(), DeviceError> {
        self.enter()?;
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let mut to = address;
        for part in bytes.chunks(RING_BYTES / 2) {
            if ring.used + part.len() > RING_BYTES {
                self.wait()?;
                ring.used = 0;
            }
            // SAFETY: the part fits behind what is used, which copies that are queued may still read; the caller owns the
            // memory on the device.
            let outcome = unsafe {
                let staged = ring.memory.add(ring.used);
                ptr::copy_nonoverlapping(part.as_ptr(), staged, part.len());
                result::memcpy_htod_async(to.0, std::slice::from_raw_parts(staged, part.len()), self.stream)
            };
            checked(outcome, "cuMemcpyHtoDAsync")?;
            ring.used += part.len().next_multiple_of(16);
            to = to.offset(part.len());
        }
        Ok(())
    }

    fn read(&self, address: Address, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.enter()?;
        // SAFETY: the caller owns the memory on the device; the array stays until the copy is done.
        checked(unsafe { result::memcpy_dtoh_async(bytes, address.0, self.stream) }, "cuMemcpyDtoHAsync")?;
        self.wait()
    }

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), DeviceError> {
        self.enter()?;
        // SAFETY: the caller owns both.
        checked(unsafe { result::memcpy_dtod_async(to.0, from.0, bytes, self.stream) }, "cuMemcpyDtoDAsync")
    }

    fn zero(&self, address: Address, bytes: usize) -> Result<(), DeviceError> {
        self.enter()?;
        // SAFETY: the caller owns the memory.
        checked(unsafe { result::memset_d8_async(address.0, 0, bytes, self.stream) }, "cuMemsetD8Async")
    }

    fn launch(&self, launch: &Launch) -> Result<(), DeviceError> {
        if launch.is_empty() {
            return Ok(());
        }
        let (kernel, [x, y, z]) = (launch.kernel, launch.grid);
        if y > MOST_BLOCKS || z > MOST_BLOCKS {
            let cause = format!("a grid of {x} x {y} x {z} blocks is more than a card takes");
            return Err(DeviceError::Kernel { kernel: kernel.name, cause });
        }
        self.enter()?;
        let Function(function) = self.function(kernel)?;
        // One parameter: the structure, which the driver copies before it returns.
        let mut parameters = [launch.arguments.as_ptr().cast::<c_void>().cast_mut()];
        let threads = (kernel.threads, 1, 1);
        // SAFETY: the table of launches has the kernel's shape and the size of its structure, which a test compares with the
        // source; what the structure points at is the caller's.
        let outcome = unsafe {
            result::launch_kernel(function, (x, y, z), threads, kernel.shared_bytes, self.stream, &mut parameters)
        };
        outcome.map_err(|error| DeviceError::Kernel { kernel: kernel.name, cause: name_of(error) })
    }

    fn multiprocessors(&self) -> usize {
        self.multiprocessors
    }

    fn has_warpgroups(&self) -> bool {
        self.warpgroups
    }

    fn has_tensor_copies(&self) -> bool {
        self.tensor_copies
    }

    fn tensor_map(&self, tensor: &Tensor) -> Option<TensorMap> {
        use sys::CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
        use sys::CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;
        use sys::CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE;
        use sys::CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_128B;
        use sys::CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B;
        if !self.tensor_copies || self.enter().is_err() {
            return None;
        }
        let Tensor { address, extents, strides, box_extents } = tensor;
        let mut map = sys::CUtensorMap { opaque: [0; 16] };
        // SAFETY: the function is there; the arrays have as many entries as it reads for three dimensions; it does not follow the
        // address.
        let outcome = unsafe {
            sys::cuTensorMapEncodeTiled(
                &mut map,
                CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
                extents.len() as u32,
                ptr::without_provenance_mut(address.0 as usize),
                extents.as_ptr(),
                strides.as_ptr(),
                box_extents.as_ptr(),
                [1; 3].as_ptr(),
                CU_TENSOR_MAP_INTERLEAVE_NONE,
                CU_TENSOR_MAP_SWIZZLE_128B,
                CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
        };
        outcome.result().ok().map(|()| TensorMap(map.opaque))
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // Nothing can be done about failures here: the process or the driver is ending.
        if self.enter().and_then(|()| self.wait()).is_ok() {
            let ring = self.ring.get_mut().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: nothing is queued any more.
            unsafe {
                let _ = result::free_host(ring.memory.cast());
                let _ = result::stream::destroy(self.stream);
            }
        }
    }
}
