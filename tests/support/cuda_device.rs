//! Where tests run kernels: on the CPU under a schedule, or, where `DEFT_TEST_GPU` is set, on the first GPU.

use crate::cuda_host::{HostDevice, Schedule};
use deft::backend::cuda::{Address, Device, DeviceError, Gpu, Launch, Tensor, TensorMap};
use std::sync::{Arc, OnceLock};

/// Whether tests run on a GPU, of which nothing but the card and the program is there.
pub fn on_gpu() -> bool {
    std::env::var_os("DEFT_TEST_GPU").is_some()
}

/// Whether it takes the kernels for Hopper; the host runtime takes all.
#[allow(dead_code, reason = "one of the test programs asks")]
pub fn takes_warpgroups() -> bool {
    !on_gpu() || card().has_warpgroups()
}

#[allow(dead_code, reason = "one of the test programs asks")]
pub fn takes_tensor_copies() -> bool {
    !on_gpu() || card().has_tensor_copies()
}

/// `None`, and a line that says so, where there is neither.
pub fn device(schedule: Schedule) -> Option<Arc<dyn Device>> {
    if on_gpu() {
        return Some(Arc::new(Card(card())));
    }
    HostDevice::new(schedule).map(|device| Arc::new(device) as _)
}

/// Opened once: its kernels are translated once.
fn card() -> &'static Gpu {
    static CARD: OnceLock<Gpu> = OnceLock::new();
    CARD.get_or_init(|| Gpu::open().unwrap_or_else(|why| panic!("DEFT_TEST_GPU is set: {why}")))
}

/// The GPU with memory that is NaN before anyone writes it.
struct Card(&'static Gpu);

const POISON: u8 = 0xFF;

impl Device for Card {
    fn allocate(&self, bytes: usize) -> Result<Address, DeviceError> {
        let address = self.0.allocate(bytes.max(1))?;
        self.reused(address, bytes);
        Ok(address)
    }

    fn free(&self, address: Address) {
        self.0.free(address);
    }

    fn write(&self, address: Address, bytes: &[u8]) -> Result<(), DeviceError> {
        self.0.write(address, bytes)
    }

    fn read(&self, address: Address, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.0.read(address, bytes)
    }

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), DeviceError> {
        self.0.copy(from, to, bytes)
    }

    fn zero(&self, address: Address, bytes: usize) -> Result<(), DeviceError> {
        self.0.zero(address, bytes)
    }

    fn launch(&self, launch: &Launch) -> Result<(), DeviceError> {
        self.0.launch(launch)
    }

    fn multiprocessors(&self) -> usize {
        self.0.multiprocessors()
    }

    fn has_warpgroups(&self) -> bool {
        self.0.has_warpgroups()
    }

    fn has_tensor_copies(&self) -> bool {
        self.0.has_tensor_copies()
    }

    fn tensor_map(&self, tensor: &Tensor) -> Option<TensorMap> {
        self.0.tensor_map(tensor)
    }

    fn reused(&self, address: Address, bytes: usize) {
        self.0.write(address, &vec![POISON; bytes]).expect("memory of this card");
    }
}
