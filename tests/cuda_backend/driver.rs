//! The driver behind the device, played by a library that pretends (`support/fake_driver.cpp`): what is asked of it, in which
//! order, and what its refusals become.

use crate::cuda_device::on_gpu;
use crate::cuda_host::compiler;
use deft::backend::Backend;
use deft::backend::cuda::launch::FAMILIES;
use deft::backend::cuda::{Cuda, Device, DeviceError, Gpu, Kernel, Launch};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// The pretending library, built anew; `None` without a compiler.
fn pretender() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/fake_driver.cpp");
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fake_driver.{}.so", std::process::id()));
    let mut command = Command::new(compiler()?);
    command.args(["-std=c++20", "-O1", "-fPIC", "-shared"]).arg(source).arg("-o").arg(&library);
    let output = command.output().expect("the compiler runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(library)
}

/// Says what [`Gpu::open_with`] says of the library in a process whose environment says what the library is.
#[test]
fn probed_in_a_process_of_its_own() {
    if let Some(library) = std::env::var_os("DEFT_TEST_PRETENDER") {
        match Gpu::open_with(&library.to_string_lossy()) {
            Ok(gpu) => println!("probed: {} of {}", gpu.name(), gpu.multiprocessors()),
            Err(why) => println!("probed: {why}"),
        }
    }
}

#[test]
fn what_cannot_be_used_is_one_line_each() {
    if on_gpu() {
        return;
    }
    let missing = Gpu::open_with("libno_such_driver.so").err().expect("no such library");
    assert_eq!(missing.to_string(), "no NVIDIA driver on this machine: libcuda was not found");
    let Some(library) = pretender() else { return };
    for (variable, value, expected) in [
        ("FAKE_CUDA", "12040", "Pretended Card of 3"),
        (
            "FAKE_CUDA",
            "11080",
            "the NVIDIA driver is too old: it supports CUDA 11.8, the kernels need CUDA 12.0 (driver 525 or later)",
        ),
        ("FAKE_CARDS", "0", "no NVIDIA GPU on this machine: the driver finds none"),
        (
            "FAKE_CAPABILITY",
            "75",
            "Pretended Card is not supported: its compute capability is 7.5, the kernels need 8.0 or higher",
        ),
    ] {
        let mut probe = Command::new(std::env::current_exe().expect("this program"));
        probe.args(["--exact", "driver::probed_in_a_process_of_its_own", "--nocapture"]);
        let ran = probe.env("DEFT_TEST_PRETENDER", &library).env(variable, value).output().expect("it starts");
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let line = said.lines().find_map(|l| l.split_once("probed: ")).map(|(_, line)| line.to_owned());
        assert_eq!(line.as_deref(), Some(expected), "{said}");
    }
}

#[test]
fn memory_copies_and_launches_go_through_the_driver() {
    if on_gpu() {
        return;
    }
    let Some(library) = pretender() else { return };
    let gpu = Arc::new(Gpu::open_with(&library.to_string_lossy()).expect("a card that pretends"));
    assert_eq!(gpu.free_bytes(), Ok(64 << 20));
    let refused = gpu.allocate(65 << 20).expect_err("more than there is");
    assert_eq!(refused, DeviceError::TooLittleMemory { wanted: 65 << 20, free: 64 << 20 });

    // Longer than the ring of pinned memory.
    let bytes: Vec<u8> = (0..19_000_001u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (one, other) = (gpu.allocate(bytes.len()).expect("room"), gpu.allocate(bytes.len()).expect("room"));
    gpu.write(one, &bytes).expect("a copy");
    gpu.copy(one, other, bytes.len()).expect("a copy");
    gpu.zero(other, 3).expect("a fill");
    let mut read = vec![1; bytes.len()];
    gpu.read(other, &mut read).expect("a copy");
    assert!(read[..3] == [0; 3] && read[3..] == bytes[3..]);
    gpu.free(one);
    gpu.free(other);

    let cuda = Cuda::new(gpu.clone(), 8 << 20).expect("room");
    let (x, mut y) = (cuda.upload(&[0.5; 1000]), cuda.upload(&[0.25; 1000]));
    // Operations may come from any thread.
    std::thread::scope(|s| s.spawn(|| cuda.add(&x, 1000, &mut y)).join()).expect("a launch");
    assert_eq!(cuda.read(&y, 1000), [0.75; 1000]);
    // Every kernel is in its family's PTX; those with more than 48 KiB of shared memory ask for it.
    let kernels: Vec<&Kernel> = FAMILIES.iter().flat_map(|f| f.kernels).copied().collect();
    assert!(kernels.iter().any(|k| k.shared_bytes > 48 << 10), "a kernel that must ask");
    for kernel in kernels {
        let arguments = vec![0; kernel.argument_bytes];
        gpu.launch(&Launch { kernel, grid: [1, 1, 1], arguments }).unwrap_or_else(|why| panic!("{why}"));
    }
    let wide = Launch { kernel: FAMILIES[0].kernels[0], grid: [1, 65_536, 1], arguments: vec![] };
    assert!(gpu.launch(&wide).expect_err("too many blocks").to_string().contains("1 x 65536 x 1"));
}
