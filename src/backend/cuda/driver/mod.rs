//! A [`Device`] that is a GPU: the CUDA driver, found when the program runs.
//!
//! Kernels are loaded from the PTX that is part of this program, a family at a time, when the first of it is launched; the
//! driver translates it for the card and keeps the result. All work goes through one stream, so it is done in order. What comes
//! from the host goes through a ring of pinned memory: the caller's array may change as soon as [`Device::write`] returns.
//! Without the driver's library nothing here does more than say so.

mod library;

use super::launch::{Family, family_of};
use super::{Address, Device, DeviceError, Kernel, Launch};
use library::{Failure, Handle, Library};
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// Where the driver puts its library.
const LIBRARY: &str = "libcuda.so.1";
/// The oldest CUDA whose driver takes the PTX of `kernels/` (ISA 8.0), as the driver counts: driver 525.
const OLDEST_CUDA: c_int = 12_000;
/// The oldest card: `mma.m16n8k16` and `cp.async` (compute capability 8.0, Ampere).
const OLDEST_CARD: (c_int, c_int) = (8, 0);
/// Shared memory that a block gets without asking.
const SHARED_WITHOUT_ASKING: u32 = 48 << 10;
/// Blocks in the second and third direction of a grid.
const MOST_BLOCKS: u32 = 65_535;
const RING_BYTES: usize = 8 << 20;

/// The first GPU of this machine.
pub struct Gpu {
    calls: Library,
    context: Handle,
    stream: Handle,
    name: String,
    multiprocessors: usize,
    functions: Mutex<HashMap<&'static str, Function>>,
    ring: Mutex<Ring>,
}

#[derive(Clone, Copy)]
struct Function(Handle);

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
        Self::open_with(LIBRARY)
    }

    /// The same with another library than the driver's: tests have one that only pretends.
    ///
    /// # Errors
    /// As [`Gpu::open`].
    pub fn open_with(file: &str) -> Result<Self, DeviceError> {
        let library = Library::load(file)?;
        let check = |outcome: Result<(), Failure>, call: &str| checked(&library, outcome, call);
        let mut version = 0;
        // SAFETY: may come before `cuInit`, and writes one number.
        check(unsafe { library.driver_version(&mut version) }, "cuDriverGetVersion")?;
        if version < OLDEST_CUDA {
            return Err(DeviceError::DriverTooOld { cuda: cuda_version(version), needed: cuda_version(OLDEST_CUDA) });
        }
        // SAFETY: the first call of all that need it.
        match unsafe { library.init(0) } {
            Err(Failure(library::NO_DEVICE)) => return Err(DeviceError::NoCard),
            other => check(other, "cuInit")?,
        }
        let (mut count, mut card) = (0, 0);
        // SAFETY: writes one number.
        check(unsafe { library.device_count(&mut count) }, "cuDeviceGetCount")?;
        if count == 0 {
            return Err(DeviceError::NoCard);
        }
        // SAFETY: there is a first one.
        check(unsafe { library.device(&mut card, 0) }, "cuDeviceGet")?;
        let mut name: [c_char; 128] = [0; 128];
        // SAFETY: writes at most that many bytes, the last of them zero.
        check(unsafe { library.device_name(name.as_mut_ptr(), 128, card) }, "cuDeviceGetName")?;
        // SAFETY: as above.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
        let attribute = |which| {
            let mut value = 0;
            // SAFETY: the card exists; writes one number.
            check(unsafe { library.device_attribute(&mut value, which, card) }, "cuDeviceGetAttribute").map(|()| value)
        };
        let capability = (attribute(library::COMPUTE_CAPABILITY_MAJOR)?, attribute(library::COMPUTE_CAPABILITY_MINOR)?);
        if capability < OLDEST_CARD {
            let found = format!("{}.{}", capability.0, capability.1);
            return Err(DeviceError::CardTooOld {
                name,
                found,
                needed: format!("{}.{}", OLDEST_CARD.0, OLDEST_CARD.1),
            });
        }
        let multiprocessors = attribute(library::MULTIPROCESSOR_COUNT)?.max(1) as usize;
        let (mut context, mut stream, mut memory) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: the card exists; the context stays until the process ends.
        check(unsafe { library.retain_context(&mut context, card) }, "cuDevicePrimaryCtxRetain")?;
        // SAFETY: the context was just retained, and is current from here on.
        unsafe {
            check(library.set_current(context), "cuCtxSetCurrent")?;
            check(library.stream_create(&mut stream, library::NON_BLOCKING), "cuStreamCreate")?;
            check(library.allocate_pinned(&mut memory, RING_BYTES, 0), "cuMemHostAlloc")?;
        }
        let (functions, ring) = (Mutex::default(), Mutex::new(Ring { memory: memory.cast(), used: 0 }));
        Ok(Self { calls: library, context, stream, name, multiprocessors, functions, ring })
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
        let (mut free, mut total) = (0, 0);
        self.enter()?;
        // SAFETY: writes two numbers.
        self.check(unsafe { self.calls.memory_info(&mut free, &mut total) }, "cuMemGetInfo").map(|()| free)
    }

    fn check(&self, outcome: Result<(), Failure>, call: &str) -> Result<(), DeviceError> {
        checked(&self.calls, outcome, call)
    }

    fn enter(&self) -> Result<(), DeviceError> {
        // SAFETY: the context lives as long as the process.
        self.check(unsafe { self.calls.set_current(self.context) }, "cuCtxSetCurrent")
    }

    fn wait(&self) -> Result<(), DeviceError> {
        // SAFETY: the stream lives as long as this.
        self.check(unsafe { self.calls.stream_synchronize(self.stream) }, "cuStreamSynchronize")
    }

    fn function(&self, launch: &Launch) -> Result<Function, DeviceError> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions.get(launch.kernel.name) {
            return Ok(*function);
        }
        functions.extend(self.load(family_of(launch.kernel))?);
        Ok(functions[launch.kernel.name])
    }

    /// Loads a family; its module stays loaded.
    fn load(&self, family: &Family) -> Result<Vec<(&'static str, Function)>, DeviceError> {
        let image = CString::new(family.ptx).expect("PTX is text");
        let mut module = ptr::null_mut();
        // SAFETY: the image is PTX that ends with a zero; a context is current.
        match unsafe { self.calls.load_module(&mut module, image.as_ptr().cast()) } {
            Err(Failure(library::UNSUPPORTED_PTX_VERSION)) => {
                let needed = cuda_version(OLDEST_CUDA);
                return Err(DeviceError::DriverTooOld { cuda: "an older PTX".to_owned(), needed });
            }
            other => self.check(other, "cuModuleLoadData")?,
        }
        let of = |kernel: &&'static Kernel| {
            let name = CString::new(kernel.name).expect("a name");
            let mut function = ptr::null_mut();
            // SAFETY: the module was just loaded.
            unsafe { self.calls.find_function(&mut function, module, name.as_ptr()) }
                .map_err(|failure| self.kernel_error(kernel, failure))?;
            if kernel.shared_bytes > SHARED_WITHOUT_ASKING {
                let (attribute, bytes) = (library::MAX_DYNAMIC_SHARED_SIZE_BYTES, kernel.shared_bytes as c_int);
                // SAFETY: the function was just found.
                unsafe { self.calls.set_function_attribute(function, attribute, bytes) }
                    .map_err(|failure| self.kernel_error(kernel, failure))?;
            }
            Ok((kernel.name, Function(function)))
        };
        family.kernels.iter().map(of).collect()
    }

    fn kernel_error(&self, kernel: &Kernel, failure: Failure) -> DeviceError {
        DeviceError::Kernel { kernel: kernel.name, cause: self.calls.name_of(failure) }
    }
}

impl Device for Gpu {
    fn allocate(&self, bytes: usize) -> Result<Address, DeviceError> {
        let mut address = 0;
        self.enter()?;
        // SAFETY: a context is current; writes one number.
        match unsafe { self.calls.allocate(&mut address, bytes) } {
            Err(Failure(library::OUT_OF_MEMORY)) => {
                Err(DeviceError::TooLittleMemory { wanted: bytes, free: self.free_bytes()? })
            }
            other => self.check(other, "cuMemAlloc").map(|()| Address(address)),
        }
    }

    fn free(&self, address: Address) {
        // At the end of the process the driver may be gone already; it takes the memory with it.
        if self.enter().and_then(|()| self.wait()).is_ok() {
            // SAFETY: memory of this device, and nothing that is queued reads it.
            let _ = unsafe { self.calls.free(address.0) };
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
                self.calls.copy_to_device(to.0, staged.cast(), part.len(), self.stream)
            };
            self.check(outcome, "cuMemcpyHtoDAsync")?;
            ring.used += part.len().next_multiple_of(16);
            to = to.offset(part.len());
        }
        Ok(())
    }

    fn read(&self, address: Address, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.enter()?;
        let (to, len) = (bytes.as_mut_ptr().cast(), bytes.len());
        // SAFETY: the caller owns the memory on the device; the array stays until the copy is done.
        self.check(unsafe { self.calls.copy_to_host(to, address.0, len, self.stream) }, "cuMemcpyDtoHAsync")?;
        self.wait()
    }

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), DeviceError> {
        self.enter()?;
        // SAFETY: the caller owns both.
        self.check(unsafe { self.calls.copy_on_device(to.0, from.0, bytes, self.stream) }, "cuMemcpyDtoDAsync")
    }

    fn zero(&self, address: Address, bytes: usize) -> Result<(), DeviceError> {
        self.enter()?;
        // SAFETY: the caller owns the memory.
        self.check(unsafe { self.calls.fill(address.0, 0, bytes, self.stream) }, "cuMemsetD8Async")
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
        let Function(function) = self.function(launch)?;
        // One parameter: the structure, which the driver copies before it returns.
        let mut parameters = [launch.arguments.as_ptr().cast::<c_void>().cast_mut()];
        let (threads, shared, parameters) = (kernel.threads, kernel.shared_bytes, parameters.as_mut_ptr());
        // SAFETY: the table of launches has the kernel's shape and the size of its structure, which a test compares with the
        // source; what the structure points at is the caller's.
        let outcome = unsafe {
            self.calls.launch(function, x, y, z, threads, 1, 1, shared, self.stream, parameters, ptr::null_mut())
        };
        outcome.map_err(|failure| self.kernel_error(kernel, failure))
    }

    fn multiprocessors(&self) -> usize {
        self.multiprocessors
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // Nothing can be done about failures here: the process or the driver is ending.
        if self.enter().and_then(|()| self.wait()).is_ok() {
            let ring = self.ring.get_mut().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: nothing is queued any more.
            unsafe {
                let _ = self.calls.free_pinned(ring.memory.cast());
                let _ = self.calls.stream_destroy(self.stream);
            }
        }
    }
}

fn checked(library: &Library, outcome: Result<(), Failure>, call: &str) -> Result<(), DeviceError> {
    outcome.map_err(|failure| DeviceError::Driver(format!("{call} failed: {}", library.name_of(failure))))
}

/// As in 12040 for CUDA 12.4.
fn cuda_version(number: c_int) -> String {
    format!("CUDA {}.{}", number / 1000, number % 1000 / 10)
}
