//! A device that runs the kernels on the CPU: it compiles their sources with the C++ compiler that it finds.
//!
//! Memory is NaN before anyone writes it and lies between guards, so that what is left out or reached by mistake shows.

use deft::backend::cuda::launch::{FAMILIES, Family, family_of};
use deft::backend::cuda::{Address, Device, DeviceError, Kernel, Launch, Tensor, TensorMap};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

/// In which order a device runs warps, and when asynchronous copies land.
#[derive(Clone, Copy, Debug, Default)]
pub struct Schedule {
    pub seed: u32,
    pub early_copies: bool,
}

/// What every kernel is tried under: warps in order and shuffled, lanes forwards and backwards, copies late and early, and bulk copies
/// late and early (the second bit of the seed) beside each.
pub const SCHEDULES: [Schedule; 4] = [
    Schedule { seed: 0, early_copies: false },
    Schedule { seed: 1, early_copies: true },
    Schedule { seed: 6, early_copies: true },
    Schedule { seed: 11, early_copies: false },
];

const GUARD: usize = 256;
const POISON: u8 = 0xFF;

pub struct HostDevice {
    schedule: Schedule,
    warpgroups: bool,
    tensor_copies: bool,
    memory: Mutex<BTreeMap<u64, Allocation>>,
}

struct Allocation {
    /// Guard, values, guard; the values start at a multiple of 256.
    bytes: Vec<u8>,
    first: usize,
    len: usize,
}

impl Allocation {
    fn is_whole(&self) -> bool {
        let (before, rest) = self.bytes.split_at(self.first);
        before.iter().chain(&rest[self.len..]).all(|&b| b == POISON)
    }
}

impl HostDevice {
    /// `None`, and a line that says so, where no C++ compiler is found.
    pub fn new(schedule: Schedule) -> Option<Self> {
        compiler().map(|_| Self { schedule, warpgroups: false, tensor_copies: false, memory: Mutex::default() })
    }

    /// One that takes the kernels for Hopper.
    #[allow(dead_code, reason = "one of the test programs asks")]
    pub fn with_warpgroups(self) -> Self {
        Self { warpgroups: true, ..self }
    }

    /// One that takes bulk tensor copies.
    #[allow(dead_code, reason = "one of the test programs asks")]
    pub fn with_tensor_copies(self) -> Self {
        Self { tensor_copies: true, ..self }
    }
}

impl Device for HostDevice {
    fn allocate(&self, bytes: usize) -> Result<Address, DeviceError> {
        let store = vec![POISON; bytes + 3 * GUARD];
        let first = GUARD + store.as_ptr().align_offset(GUARD);
        let address = store.as_ptr() as u64 + first as u64;
        self.memory.lock().expect("no panic").insert(address, Allocation { bytes: store, first, len: bytes });
        Ok(Address(address))
    }

    fn free(&self, address: Address) {
        let allocation = self.memory.lock().expect("no panic").remove(&address.0).expect("memory of this device");
        assert!(allocation.is_whole(), "a kernel wrote outside of its memory");
    }

    fn write(&self, address: Address, bytes: &[u8]) -> Result<(), DeviceError> {
        // SAFETY: callers pass addresses inside allocations of this device, which stay where they are.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), address.0 as *mut u8, bytes.len()) };
        Ok(())
    }

    fn read(&self, address: Address, bytes: &mut [u8]) -> Result<(), DeviceError> {
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(address.0 as *const u8, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), DeviceError> {
        // SAFETY: as above.
        unsafe { std::ptr::copy(from.0 as *const u8, to.0 as *mut u8, bytes) };
        Ok(())
    }

    fn zero(&self, address: Address, bytes: usize) -> Result<(), DeviceError> {
        // SAFETY: as above.
        unsafe { std::ptr::write_bytes(address.0 as *mut u8, 0, bytes) };
        Ok(())
    }

    fn multiprocessors(&self) -> usize {
        4
    }

    fn has_warpgroups(&self) -> bool {
        self.warpgroups
    }

    fn has_tensor_copies(&self) -> bool {
        self.tensor_copies
    }

    /// As `HostMap` of kernels/host/runtime.h.
    fn tensor_map(&self, tensor: &Tensor) -> Option<TensorMap> {
        const MAGIC: u64 = 0x7061_4D72_6F73_6E54;
        let Tensor { address, extents: [columns, rows, count], strides: [row, matrix], box_extents } = *tensor;
        let [width, height, depth] = box_extents.map(u64::from);
        let words = [MAGIC, address.0, columns, rows, count, row, matrix, width | height << 32, depth];
        let mut map = TensorMap([0; 16]);
        map.0[..words.len()].copy_from_slice(&words);
        Some(map)
    }

    fn reused(&self, address: Address, bytes: usize) {
        // SAFETY: as above.
        unsafe { std::ptr::write_bytes(address.0 as *mut u8, POISON, bytes) };
    }

    fn launch(&self, launch: &Launch) -> Result<(), DeviceError> {
        let kernel = launch.kernel;
        if launch.is_empty() {
            return Ok(());
        }
        let library = library(family_of(kernel));
        // SAFETY: the arguments are as many bytes as the kernel takes, and what they point at is the caller's.
        unsafe { library.run(kernel.name, launch, self.schedule) }
            .map_err(|cause| DeviceError::Kernel { kernel: kernel.name, cause })?;
        let memory = self.memory.lock().expect("no panic");
        if memory.values().all(Allocation::is_whole) {
            return Ok(());
        }
        Err(DeviceError::Kernel { kernel: kernel.name, cause: "wrote outside of its memory".to_owned() })
    }
}

/// What the source says about a kernel: bytes of its arguments, threads of a block, shared bytes of a block.
#[allow(dead_code, reason = "one of the test programs asks")]
pub fn shape_in_source(family: &Family, kernel: &Kernel) -> [u32; 3] {
    type Shape = unsafe extern "C" fn(*mut u32);
    let mut shape = [0; 3];
    // SAFETY: the symbol has this type (kernels/host/runtime.h) and writes three numbers.
    unsafe {
        let get: Shape = library(family).function(&format!("shape_{}", kernel.name));
        get(shape.as_mut_ptr());
    }
    shape
}

/// The C++ compiler: `$CXX`, else the first that answers.
pub fn compiler() -> Option<&'static OsString> {
    static FOUND: OnceLock<Option<OsString>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let mut candidates = std::env::var_os("CXX").into_iter().chain(["g++", "clang++", "c++"].map(OsString::from));
        let answers = |c: &OsString| Command::new(c).arg("--version").output().is_ok_and(|o| o.status.success());
        let found = candidates.find(answers);
        if found.is_none() {
            assert!(std::env::var_os("CI").is_none(), "no C++ compiler found to run the CUDA kernels on the CPU");
            eprintln!("skipped: no C++ compiler (g++, clang++, $CXX) to run the CUDA kernels on the CPU");
        }
        found
    });
    found.as_ref()
}

// Of the C library; not worth a dependency.
unsafe extern "C" {
    fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// A library that stays loaded.
struct Library(*mut c_void);

// SAFETY: the handle may be used by any thread.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    fn open(file: &Path) -> Self {
        const NOW: c_int = 2;
        let name = CString::new(file.as_os_str().as_bytes()).expect("a path without zeros");
        // SAFETY: the library is built from our own sources and runs nothing when it is loaded.
        let handle = unsafe { dlopen(name.as_ptr(), NOW) };
        assert!(!handle.is_null(), "{} cannot be loaded", file.display());
        Self(handle)
    }

    /// Runs a kernel of the library.
    ///
    /// # Errors
    /// With what the host runtime found wrong.
    ///
    /// # Safety
    /// The launch has the arguments of that kernel.
    unsafe fn run(
        &self,
        kernel: &str,
        launch: &Launch,
        Schedule { seed, early_copies }: Schedule,
    ) -> Result<(), String> {
        type Run = unsafe extern "C" fn(*const u32, usize, u32, c_int, *const c_void) -> c_int;
        type Error = unsafe extern "C" fn() -> *const c_char;
        /// Alignment of the widest field, a tensor's map.
        #[repr(C, align(64))]
        #[derive(Clone, Copy)]
        struct Piece([u8; 64]);
        let mut arguments = vec![Piece([0; 64]); launch.arguments.len().div_ceil(64)];
        let shared = launch.kernel.shared_bytes as usize;
        // SAFETY: the symbols have these types (kernels/host/runtime.h); the caller knows the arguments.
        unsafe {
            let to = arguments.as_mut_ptr().cast::<u8>();
            std::ptr::copy_nonoverlapping(launch.arguments.as_ptr(), to, launch.arguments.len());
            let run: Run = self.function(&format!("run_{kernel}"));
            if run(launch.grid.as_ptr(), shared, seed, early_copies.into(), arguments.as_ptr().cast()) == 0 {
                return Ok(());
            }
            let error: Error = self.function("host_error");
            Err(CStr::from_ptr(error()).to_string_lossy().into_owned())
        }
    }

    /// # Safety
    /// `F` is a pointer to a function, of the type that the library gives the one of this name.
    unsafe fn function<F: Copy>(&self, name: &str) -> F {
        assert_eq!(size_of::<F>(), size_of::<*mut c_void>());
        let c_name = CString::new(name).expect("a name without zeros");
        // SAFETY: the handle is that of a loaded library; the caller knows the type.
        unsafe {
            let at = dlsym(self.0, c_name.as_ptr());
            assert!(!at.is_null(), "{name} is not in its library");
            std::mem::transmute_copy(&at)
        }
    }
}

fn library(family: &Family) -> &'static Library {
    static LIBRARIES: [OnceLock<Library>; 32] = [const { OnceLock::new() }; 32];
    let place = FAMILIES.iter().position(|f| f.name == family.name).expect("a family of the table");
    LIBRARIES[place].get_or_init(|| Library::open(&compile(&kernels().join(format!("{}.cu", family.name)))))
}

/// Runs a kernel of a source that is no family.
///
/// # Errors
/// With what the host runtime found wrong.
///
/// # Safety
/// The launch has the arguments of that kernel.
#[allow(dead_code, reason = "one of the test programs asks")]
pub unsafe fn run_of_source(source: &Path, launch: &Launch, schedule: Schedule) -> Result<(), String> {
    // SAFETY: as the caller says.
    unsafe { Library::open(&compile(source)).run(launch.kernel.name, launch, schedule) }
}

fn kernels() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels")
}

/// A source of kernels as a library, built anew only if it or a header has changed.
fn compile(source: &Path) -> PathBuf {
    let kernels = kernels();
    let name = source.file_stem().expect("a name").to_string_lossy();
    let mut hash = Sha256::new();
    let headers = ["", "host"].map(|folder| kernels.join(folder)).into_iter().flat_map(|folder| {
        let files = std::fs::read_dir(&folder).expect("the folder of kernels can be listed");
        files.map(|file| file.expect("a file").path()).filter(|f| f.extension().is_some_and(|e| e == "cuh" || e == "h"))
    });
    let mut files: Vec<PathBuf> = headers.chain([source.to_owned()]).collect();
    files.sort();
    files.iter().for_each(|f| hash.update(std::fs::read(f).expect("a readable source")));
    let hash: String = hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = folder.join(format!("kernels_{name}_{hash}.so"));
    if library.exists() {
        return library;
    }
    let building = folder.join(format!("kernels_{name}_{hash}.{}.tmp", std::process::id()));
    let flags = [
        "-x",
        "c++",
        "-std=c++20",
        "-O2",
        "-march=native",
        "-ffp-contract=off",
        "-fPIC",
        "-ftls-model=initial-exec",
        "-shared",
        "-fvisibility=hidden",
        // Fibers jump between stacks, which hardening takes for an attack.
        "-U_FORTIFY_SOURCE",
        "-DDEFT_HOST",
        "-w",
    ];
    let mut command = Command::new(compiler().expect("a compiler"));
    command.args(flags).arg("-I").arg(&kernels).arg(source).arg("-o").arg(&building);
    let output = command.output().expect("the compiler runs");
    assert!(output.status.success(), "{}: {}", source.display(), String::from_utf8_lossy(&output.stderr));
    std::fs::rename(&building, &library).expect("the library can be put in its place");
    library
}
