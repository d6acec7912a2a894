//! A device of the host runtime that tells what was launched, and spoils some of it.

use crate::cuda_host::HostDevice;
use deft::backend::cuda::{Address, Device, DeviceError, Launch, Tensor, TensorMap};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// A device of which `spoilt` says what becomes of a kernel's launch.
pub struct Watched {
    device: HostDevice,
    spoilt: fn(&Launch) -> Option<Result<(), DeviceError>>,
    makes_maps: bool,
    launches: Mutex<Launches>,
    order: Mutex<Vec<&'static str>>,
}

/// Grids of all launches of a kernel.
pub type Launches = BTreeMap<&'static str, Vec<[u32; 3]>>;

impl Watched {
    pub fn new(device: HostDevice, spoilt: fn(&Launch) -> Option<Result<(), DeviceError>>) -> Self {
        Self { device, spoilt, makes_maps: true, launches: Mutex::default(), order: Mutex::default() }
    }

    /// One whose driver refuses to make maps of tensors.
    pub fn without_maps(self) -> Self {
        Self { makes_maps: false, ..self }
    }

    /// Since [`Watched::forget`].
    pub fn launches(&self) -> Launches {
        self.launches.lock().expect("no panic").clone()
    }

    /// Kernels in the order in which they were launched, and `read` where the host waited for all so far.
    pub fn order(&self) -> Vec<&'static str> {
        self.order.lock().expect("no panic").clone()
    }

    pub fn forget(&self) {
        self.launches.lock().expect("no panic").clear();
        self.order.lock().expect("no panic").clear();
    }
}

impl Device for Watched {
    fn allocate(&self, bytes: usize) -> Result<Address, DeviceError> {
        self.device.allocate(bytes)
    }
    fn free(&self, address: Address) {
        self.device.free(address);
    }
    fn write(&self, address: Address, bytes: &[u8]) -> Result<(), DeviceError> {
        self.device.write(address, bytes)
    }
    fn read(&self, address: Address, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.order.lock().expect("no panic").push("read");
        self.device.read(address, bytes)
    }
    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), DeviceError> {
        self.device.copy(from, to, bytes)
    }
    fn zero(&self, address: Address, bytes: usize) -> Result<(), DeviceError> {
        self.device.zero(address, bytes)
    }
    fn multiprocessors(&self) -> usize {
        self.device.multiprocessors()
    }
    fn has_warpgroups(&self) -> bool {
        self.device.has_warpgroups()
    }
    fn has_tensor_copies(&self) -> bool {
        self.device.has_tensor_copies()
    }
    fn tensor_map(&self, tensor: &Tensor) -> Option<TensorMap> {
        self.device.tensor_map(tensor).filter(|_| self.makes_maps)
    }
    fn reused(&self, address: Address, bytes: usize) {
        self.device.reused(address, bytes);
    }
    fn launch(&self, launch: &Launch) -> Result<(), DeviceError> {
        self.order.lock().expect("no panic").push(launch.kernel.name);
        self.launches.lock().expect("no panic").entry(launch.kernel.name).or_default().push(launch.grid);
        (self.spoilt)(launch).unwrap_or_else(|| self.device.launch(launch))
    }
}
