//! The CUDA driver's library, found when the program runs: the functions that [`super::Gpu`] calls, with the types that the
//! driver API gives them (CUDA 12.0, cuda.h), and what their codes mean.

use super::DeviceError;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr;

/// A handle of the driver.
pub(super) type Handle = *mut c_void;

/// Codes that are told apart.
pub(super) const SUCCESS: c_int = 0;
pub(super) const OUT_OF_MEMORY: c_int = 2;
pub(super) const NO_DEVICE: c_int = 100;
pub(super) const UNSUPPORTED_PTX_VERSION: c_int = 222;

/// `CUdevice_attribute`.
pub(super) const MULTIPROCESSOR_COUNT: c_int = 16;
pub(super) const COMPUTE_CAPABILITY_MAJOR: c_int = 75;
pub(super) const COMPUTE_CAPABILITY_MINOR: c_int = 76;
/// `CUfunction_attribute`.
pub(super) const MAX_DYNAMIC_SHARED_SIZE_BYTES: c_int = 8;
/// `CUstream_flags`.
pub(super) const NON_BLOCKING: c_uint = 1;

/// A call that went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure(pub c_int);

unsafe extern "C" {
    fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

macro_rules! functions {
    ($($function:ident = $symbol:literal ($($argument:ident: $type:ty),*);)*) => {
        /// The functions, each as the driver declares it.
        pub(super) struct Library {
            $($function: unsafe extern "C" fn($($type),*) -> c_int,)*
        }

        impl Library {
            /// # Errors
            /// If there is no such library, or a function is missing from it.
            pub fn load(file: &str) -> Result<Self, DeviceError> {
                const NOW: c_int = 2;
                let name = CString::new(file).map_err(|_| DeviceError::NoDriver)?;
                // SAFETY: a name that ends with a zero.
                let library = unsafe { dlopen(name.as_ptr(), NOW) };
                if library.is_null() {
                    return Err(DeviceError::NoDriver);
                }
                Ok(Self {
                    $($function: {
                        let name = CString::new($symbol).expect("a name without zeros");
                        // SAFETY: the library stays loaded; the driver's function of this name has this type.
                        unsafe {
                            let at = dlsym(library, name.as_ptr());
                            if at.is_null() {
                                let cause = format!("the NVIDIA driver lacks {}: it is too old", $symbol);
                                return Err(DeviceError::Driver(cause));
                            }
                            std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($type),*) -> c_int>(at)
                        }
                    },)*
                })
            }

            $(
                /// # Safety
                /// As the driver API says of the function.
                #[allow(clippy::too_many_arguments)]
                pub unsafe fn $function(&self, $($argument: $type),*) -> Result<(), Failure> {
                    // SAFETY: the caller knows what the driver asks for.
                    match unsafe { (self.$function)($($argument),*) } {
                        SUCCESS => Ok(()),
                        code => Err(Failure(code)),
                    }
                }
            )*
        }
    };
}

functions! {
    init = "cuInit" (flags: c_uint);
    driver_version = "cuDriverGetVersion" (version: *mut c_int);
    device_count = "cuDeviceGetCount" (count: *mut c_int);
    device = "cuDeviceGet" (device: *mut c_int, ordinal: c_int);
    device_name = "cuDeviceGetName" (name: *mut c_char, len: c_int, device: c_int);
    device_attribute = "cuDeviceGetAttribute" (value: *mut c_int, attribute: c_int, device: c_int);
    retain_context = "cuDevicePrimaryCtxRetain" (context: *mut Handle, device: c_int);
    set_current = "cuCtxSetCurrent" (context: Handle);
    stream_create = "cuStreamCreate" (stream: *mut Handle, flags: c_uint);
    stream_synchronize = "cuStreamSynchronize" (stream: Handle);
    stream_destroy = "cuStreamDestroy_v2" (stream: Handle);
    memory_info = "cuMemGetInfo_v2" (free: *mut usize, total: *mut usize);
    allocate = "cuMemAlloc_v2" (address: *mut u64, bytes: usize);
    free = "cuMemFree_v2" (address: u64);
    allocate_pinned = "cuMemHostAlloc" (memory: *mut *mut c_void, bytes: usize, flags: c_uint);
    free_pinned = "cuMemFreeHost" (memory: *mut c_void);
    copy_to_device = "cuMemcpyHtoDAsync_v2" (to: u64, from: *const c_void, bytes: usize, stream: Handle);
    copy_to_host = "cuMemcpyDtoHAsync_v2" (to: *mut c_void, from: u64, bytes: usize, stream: Handle);
    copy_on_device = "cuMemcpyDtoDAsync_v2" (to: u64, from: u64, bytes: usize, stream: Handle);
    fill = "cuMemsetD8Async" (to: u64, value: u8, bytes: usize, stream: Handle);
    load_module = "cuModuleLoadData" (module: *mut Handle, image: *const c_void);
    find_function = "cuModuleGetFunction" (function: *mut Handle, module: Handle, name: *const c_char);
    set_function_attribute = "cuFuncSetAttribute" (function: Handle, attribute: c_int, value: c_int);
    launch = "cuLaunchKernel" (
        function: Handle, grid_x: c_uint, grid_y: c_uint, grid_z: c_uint, block_x: c_uint, block_y: c_uint,
        block_z: c_uint, shared_bytes: c_uint, stream: Handle, parameters: *mut *mut c_void, extra: *mut *mut c_void
    );
    error_name = "cuGetErrorName" (code: c_int, name: *mut *const c_char);
}

impl Library {
    /// What the driver calls a code.
    pub fn name_of(&self, failure: Failure) -> String {
        let mut name = ptr::null();
        // SAFETY: writes a pointer to a text that stays.
        match unsafe { self.error_name(failure.0, &mut name) } {
            // SAFETY: as above.
            Ok(()) if !name.is_null() => unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned(),
            _ => format!("error {}", failure.0),
        }
    }
}
