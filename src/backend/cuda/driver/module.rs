//! Loading a family of kernels: the driver translates its PTX, and says what it does not like.

use super::library::{cuda_version, name_of};
use super::{DeviceError, Family, Kernel, OLDEST_CUDA};
use cudarc::driver::{DriverError, result, sys};
use std::ffi::{CStr, CString, c_void};
use std::ptr;
use sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
use sys::CUjit_option::{CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
use sys::CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION;

/// Shared memory that a block gets without asking.
const SHARED_WITHOUT_ASKING: u32 = 48 << 10;
/// Of what the driver says about PTX that it does not take.
const LOG_BYTES: usize = 4096;

/// The functions of a family's kernels, in their order; a context is current. The module stays loaded.
///
/// # Errors
/// If the driver does not take the PTX, or a kernel is missing or asks for too much.
pub(super) fn load(family: &Family) -> Result<Vec<sys::CUfunction>, DeviceError> {
    let module = translate(family)?;
    let of = |kernel: &&'static Kernel| {
        let failed = |error| DeviceError::Kernel { kernel: kernel.name, cause: name_of(error) };
        let name = CString::new(kernel.name).expect("a name");
        // SAFETY: the module was just loaded.
        let function = unsafe { result::module::get_function(module, name) }.map_err(failed)?;
        if kernel.shared_bytes > SHARED_WITHOUT_ASKING {
            let (attribute, bytes) = (CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, kernel.shared_bytes as i32);
            // SAFETY: the function was just found.
            unsafe { result::function::set_function_attribute(function, attribute, bytes) }.map_err(failed)?;
        }
        Ok(function)
    };
    family.kernels.iter().map(of).collect()
}

fn translate(family: &Family) -> Result<sys::CUmodule, DeviceError> {
    let image = CString::new(family.ptx).expect("PTX is text");
    let mut log = [0u8; LOG_BYTES];
    let mut options = [CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    // The driver takes a number where a pointer goes.
    let mut values = [log.as_mut_ptr().cast::<c_void>(), ptr::without_provenance_mut(LOG_BYTES - 1)];
    let mut module = ptr::null_mut();
    // SAFETY: the image is PTX that ends with a zero; a context is current; the log is as long as said, and one more.
    let outcome = unsafe {
        let count = options.len() as u32;
        let (options, values) = (options.as_mut_ptr(), values.as_mut_ptr());
        sys::cuModuleLoadDataEx(&mut module, image.as_ptr().cast(), count, options, values).result()
    };
    outcome.map(|()| module).map_err(|error| match error {
        DriverError(CUDA_ERROR_UNSUPPORTED_PTX_VERSION) => {
            DeviceError::DriverTooOld { cuda: "an older PTX".to_owned(), needed: cuda_version(OLDEST_CUDA) }
        }
        error => {
            let log = CStr::from_bytes_until_nul(&log).map(CStr::to_string_lossy).unwrap_or_default();
            let said = log.lines().find(|line| !line.trim().is_empty()).map_or(String::new(), |l| format!(": {l}"));
            DeviceError::Driver(format!("the PTX of {} is not taken: {}{said}", family.name, name_of(error)))
        }
    })
}
