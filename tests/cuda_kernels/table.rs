//! The table of launches says what the sources say.

use crate::cuda_device::on_gpu;
use crate::cuda_host::{HostDevice, Schedule, shape_in_source};
use deft::backend::cuda::launch::FAMILIES;
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn every_kernel_has_the_shape_that_its_source_says() {
    if on_gpu() || HostDevice::new(Schedule::default()).is_none() {
        return;
    }
    for family in FAMILIES {
        for kernel in family.kernels {
            let table = [kernel.argument_bytes as u32, kernel.threads, kernel.shared_bytes];
            assert_eq!(table, shape_in_source(family, kernel), "{}: arguments, threads, shared bytes", kernel.name);
        }
    }
}

#[test]
fn the_table_and_the_ptx_hold_the_same_kernels() {
    // The sources stay behind where a built test goes to a GPU.
    if on_gpu() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    let sources = std::fs::read_dir(folder).expect("the folder of kernels").map(|f| f.expect("a file").path());
    let sources = sources.filter(|f| f.extension().is_some_and(|e| e == "cu"));
    let sources: BTreeSet<String> =
        sources.map(|f| f.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
    assert_eq!(sources, FAMILIES.iter().map(|f| f.name.to_owned()).collect());
    for family in FAMILIES {
        let entries = family.ptx.lines().filter_map(|l| l.strip_prefix(".visible .entry ")?.strip_suffix('('));
        let entries: BTreeSet<&str> = entries.collect();
        assert_eq!(entries, family.kernels.iter().map(|k| k.name).collect(), "{}", family.name);
        assert!(
            family.ptx.contains(&format!("\n.version 8.0\n.target {}\n", family.target)),
            "{}: PTX for drivers from 525 on",
            family.name
        );
    }
}
