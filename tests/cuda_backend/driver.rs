//! The driver behind the device, played by a library that pretends (`support/fake_driver.cpp`): what is asked of it, in which
//! order, and what its refusals become. The program finds the library as it finds the driver's, by its name: so each of
//! these runs in a process of its own whose search path begins with the pretender's folder.

use crate::cuda_device::on_gpu;
use crate::cuda_host::compiler;
use deft::backend::Backend;
use deft::backend::cuda::launch::FAMILIES;
use deft::backend::cuda::{Address, Cuda, Device, DeviceError, Gpu, Kernel, Launch, Tensor, TensorMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

/// Says to a test that its process sees the pretender.
const PRETENDED: &str = "DEFT_TEST_PRETENDED";

/// The folder of the pretending library, built anew; `None` without a compiler.
fn pretender(name: &str, defines: &[&str]) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/fake_driver.cpp");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fake_driver.{name}.{}", std::process::id()));
    let compiler = compiler()?;
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut command = Command::new(compiler);
    command.args(["-std=c++20", "-O1", "-fPIC", "-shared"]).args(defines).arg(source);
    let output = command.arg("-o").arg(folder.join("libcuda.so")).output().expect("the compiler runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(folder)
}

/// Runs a test of this program where the pretender is the driver.
fn in_a_process_that_sees(pretender: &Path, test: &str, variables: &[(&str, &str)]) -> Output {
    let mut program = Command::new(std::env::current_exe().expect("this program"));
    program.args(["--exact", test, "--nocapture"]).env("LD_LIBRARY_PATH", pretender).env(PRETENDED, "1");
    program.envs(variables.iter().copied()).output().expect("it starts")
}

/// Says what [`Gpu::open`] says, and what becomes of a first launch, in a process that sees the pretender.
#[test]
fn probed_in_a_process_of_its_own() {
    if std::env::var_os(PRETENDED).is_none() {
        return;
    }
    match Gpu::open() {
        Ok(gpu) => {
            let first = FAMILIES[0].kernels[0];
            let launch = Launch { kernel: first, grid: [1, 1, 1], arguments: vec![0; first.argument_bytes] };
            match gpu.launch(&launch) {
                Ok(()) => println!("probed: {} of {}", gpu.name(), gpu.multiprocessors()),
                Err(why) => println!("probed: {why}"),
            }
        }
        Err(why) => println!("probed: {why}"),
    }
}

#[test]
fn what_cannot_be_used_is_one_line_each() {
    if on_gpu() {
        return;
    }
    // Where there is a driver, this cannot be seen; where there is none, nothing may panic.
    if let Err(missing @ DeviceError::NoDriver) = Gpu::open().map(drop) {
        assert_eq!(missing.to_string(), "no NVIDIA driver on this machine: libcuda was not found");
    }
    let Some(whole) = pretender("whole", &[]) else { return };
    let old = pretender("old", &["-DOLD_DRIVER"]).expect("a compiler was there");
    for (library, variable, value, expected) in [
        (&whole, "FAKE_CUDA", "12040", "Pretended Card of 3"),
        (
            &whole,
            "FAKE_CUDA",
            "11080",
            "the NVIDIA driver is too old: it supports CUDA 11.8, the kernels need CUDA 12.0 (driver 525 or later)",
        ),
        (&old, "FAKE_CUDA", "12040", "the NVIDIA driver lacks cuFuncSetAttribute: it is too old"),
        (&whole, "FAKE_CARDS", "0", "no NVIDIA GPU on this machine: the driver finds none"),
        (
            &whole,
            "FAKE_CAPABILITY",
            "75",
            "Pretended Card is not supported: its compute capability is 7.5, the kernels need 8.0 or higher",
        ),
        (&whole, "FAKE_PTX", "refused", "the PTX of air is not taken: CUDA_ERROR_INVALID_PTX: ptxas fatal : pretended"),
    ] {
        let ran = in_a_process_that_sees(library, "driver::probed_in_a_process_of_its_own", &[(variable, value)]);
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
    if std::env::var_os(PRETENDED).is_some() {
        return use_the_pretended_card();
    }
    let Some(library) = pretender("used", &[]) else { return };
    let ran = in_a_process_that_sees(&library, "driver::memory_copies_and_launches_go_through_the_driver", &[]);
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&ran.stderr));
}

fn use_the_pretended_card() {
    let gpu = Arc::new(Gpu::open().expect("a card that pretends"));
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
    // A card of another architecture has no maps.
    let tensor = Tensor::new(Address(4096), [64, 8, 1], [64, 0], 8).expect("possible");
    assert!(!gpu.has_tensor_copies() && gpu.tensor_map(&tensor).is_none());
    let wide = Launch { kernel: FAMILIES[0].kernels[0], grid: [1, 65_536, 1], arguments: vec![] };
    assert!(gpu.launch(&wide).expect_err("too many blocks").to_string().contains("1 x 65536 x 1"));
}

/// Says in a process that sees the pretender whether warpgroups and tensor copies are taken, and what a map holds.
#[test]
fn maps_of_tensors_in_a_process_of_their_own() {
    if std::env::var_os(PRETENDED).is_none() {
        return;
    }
    let gpu = Gpu::open().expect("a card that pretends");
    let tensor = Tensor::new(Address(4096), [13, 7, 3], [16, 200], 64).expect("possible");
    let map = gpu.tensor_map(&tensor).map(|TensorMap(words)| words[..9].to_vec());
    println!("probed: {} {} {map:?}", gpu.has_warpgroups(), gpu.has_tensor_copies());
}

#[test]
fn tensor_copies_want_hopper_a_driver_that_makes_maps_and_nobody_who_forbids_them() {
    if on_gpu() {
        return;
    }
    let Some(whole) = pretender("maps", &[]) else { return };
    let without = pretender("no_maps", &["-DNO_MAPS"]).expect("a compiler was there");
    let map = "true true Some([4096, 13, 7, 3, 32, 400, 64, 64, 1])";
    for (library, capability, forbidden, expected) in [
        (&whole, "90", None, map),
        (&whole, "80", None, "false false None"),
        (&whole, "100", None, "false false None"),
        (&whole, "90", Some("DEFT_CUDA_NO_TMA"), "true false None"),
        (&whole, "90", Some("DEFT_CUDA_NO_WGMMA"), "false false None"),
        (&without, "90", None, "true false None"),
    ] {
        let variables: Vec<(&str, &str)> =
            std::iter::once(("FAKE_CAPABILITY", capability)).chain(forbidden.map(|f| (f, "1"))).collect();
        let ran = in_a_process_that_sees(library, "driver::maps_of_tensors_in_a_process_of_their_own", &variables);
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let line = said.lines().find_map(|l| l.split_once("probed: ")).map(|(_, line)| line.to_owned());
        assert_eq!(line.as_deref(), Some(expected), "{said}");
    }
}
