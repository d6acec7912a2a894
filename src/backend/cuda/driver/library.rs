//! The driver's library, found when the program runs: whether it is there and whole, so that cudarc, which panics where it is
//! not, is only asked for what is there; and what its codes mean.

use super::DeviceError;
use cudarc::driver::{DriverError, sys};

/// What is called, each in the driver since CUDA 12.0 at the latest.
const SYMBOLS: [&str; 26] = [
    "cuInit",
    "cuDriverGetVersion",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceGetAttribute",
    "cuDevicePrimaryCtxRetain",
    "cuCtxSetCurrent",
    "cuStreamCreate",
    "cuStreamSynchronize",
    "cuStreamDestroy_v2",
    "cuMemGetInfo_v2",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemHostAlloc",
    "cuMemFreeHost",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyDtoDAsync_v2",
    "cuMemsetD8Async",
    "cuModuleLoadDataEx",
    "cuModuleGetFunction",
    "cuFuncSetAttribute",
    "cuLaunchKernel",
    "cuGetErrorName",
    "cuGetErrorString",
];

/// # Errors
/// If there is no such library, or a function is missing from it.
pub(super) fn check() -> Result<(), DeviceError> {
    // SAFETY: opens and closes libraries of the driver's names, whose initialisers are those of the driver.
    if !unsafe { sys::is_culib_present() } {
        return Err(DeviceError::NoDriver);
    }
    // SAFETY: as above; it was just there, and stays open from here on.
    let library = unsafe { sys::culib() };
    // SAFETY: an address that nobody calls.
    let is_missing = |symbol: &&&str| unsafe { library.get::<unsafe extern "C" fn()>(symbol.as_bytes()) }.is_err();
    match SYMBOLS.iter().find(is_missing) {
        None => Ok(()),
        Some(symbol) => Err(DeviceError::Driver(format!("the NVIDIA driver lacks {symbol}: it is too old"))),
    }
}

/// Whether the library has a function of that name, which newer drivers do; after [`check`].
pub(super) fn has(symbol: &str) -> bool {
    // SAFETY: it is open, and nobody calls the address.
    unsafe { sys::culib().get::<unsafe extern "C" fn()>(symbol.as_bytes()) }.is_ok()
}

/// What the driver calls a code.
pub(super) fn name_of(error: DriverError) -> String {
    error.error_name().map_or_else(|_| format!("error {}", error.0 as u32), |name| name.to_string_lossy().into_owned())
}

/// `outcome` of a call, in words.
pub(super) fn checked<T>(outcome: Result<T, DriverError>, call: &str) -> Result<T, DeviceError> {
    outcome.map_err(|error| DeviceError::Driver(format!("{call} failed: {}", name_of(error))))
}

/// As in 12040 for CUDA 12.4.
pub(super) fn cuda_version(number: i32) -> String {
    format!("CUDA {}.{}", number / 1000, number % 1000 / 10)
}
