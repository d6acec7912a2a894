//! Device memory for one test, runs under all schedules, comparisons.

use crate::cuda_device::device;
use crate::cuda_host::SCHEDULES;
use deft::backend::cuda::launch::Product;
use deft::backend::cuda::{Address, Device, Launch};
use deft::random::CounterStream;
use half::f16;
use std::cell::RefCell;
use std::sync::Arc;

/// One run of a test's launches on a device of its own.
pub struct Run {
    device: Arc<dyn Device>,
    allocations: RefCell<Vec<Address>>,
}

impl Run {
    fn bytes(&self, bytes: &[u8]) -> Address {
        let address = self.room(bytes.len());
        self.device.write(address, bytes).expect("memory of this device");
        address
    }

    /// Memory that holds NaN.
    fn room(&self, bytes: usize) -> Address {
        let address = self.device.allocate(bytes).expect("a little memory");
        self.allocations.borrow_mut().push(address);
        address
    }

    pub fn half(&self, values: &[f64]) -> Address {
        self.bytes(&values.iter().flat_map(|&v| f16::from_f64(v).to_le_bytes()).collect::<Vec<u8>>())
    }

    pub fn single(&self, values: &[f64]) -> Address {
        self.bytes(&values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect::<Vec<u8>>())
    }

    pub fn integers(&self, values: &[usize]) -> Address {
        self.bytes(&values.iter().flat_map(|&v| (v as i32).to_le_bytes()).collect::<Vec<u8>>())
    }

    pub fn double(&self, values: &[f64]) -> Address {
        self.words(&values.iter().map(|v| v.to_bits()).collect::<Vec<u64>>())
    }

    pub fn words(&self, values: &[u64]) -> Address {
        self.bytes(&values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
    }

    pub fn bytes_room(&self, len: usize) -> Address {
        self.room(len)
    }

    pub fn read_bytes(&self, address: Address, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.device.read(address, &mut bytes).expect("memory of this device");
        bytes
    }

    pub fn half_room(&self, len: usize) -> Address {
        self.room(2 * len)
    }

    pub fn single_room(&self, len: usize) -> Address {
        self.room(4 * len)
    }

    pub fn double_room(&self, len: usize) -> Address {
        self.room(8 * len)
    }

    pub fn read_double(&self, address: Address, len: usize) -> Vec<f64> {
        let mut bytes = vec![0; 8 * len];
        self.device.read(address, &mut bytes).expect("memory of this device");
        bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect()
    }

    pub fn read_integers(&self, address: Address, len: usize) -> Vec<i32> {
        let mut bytes = vec![0; 4 * len];
        self.device.read(address, &mut bytes).expect("memory of this device");
        bytes.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b)).collect()
    }

    pub fn read_half(&self, address: Address, len: usize) -> Vec<f64> {
        let mut bytes = vec![0; 2 * len];
        self.device.read(address, &mut bytes).expect("memory of this device");
        bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f64()).collect()
    }

    pub fn read_single(&self, address: Address, len: usize) -> Vec<f64> {
        let mut bytes = vec![0; 4 * len];
        self.device.read(address, &mut bytes).expect("memory of this device");
        bytes.as_chunks().0.iter().map(|&b| f64::from(f32::from_le_bytes(b))).collect()
    }

    /// The launch of a product whose operands bulk tensor copies bring.
    pub fn of_tensors(&self, product: &Product) -> Launch {
        let tensors = product.tensors().expect("operands of which maps can be made");
        product.launch_of_tensors(tensors.map(|tensor| self.device.tensor_map(&tensor).expect("a map")))
    }

    pub fn launch(&self, launch: &Launch) {
        self.device.launch(launch).unwrap_or_else(|e| panic!("{e}"));
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.allocations.borrow_mut().drain(..).for_each(|a| self.device.free(a));
        }
    }
}

/// What `test` reads back, the same bits under every schedule; `None` where there is no compiler.
pub fn under_all_schedules(test: impl Fn(&Run) -> Vec<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
    let mut first: Option<Vec<Vec<f64>>> = None;
    for schedule in SCHEDULES {
        let run = Run { device: device(schedule)?, allocations: RefCell::default() };
        let found = test(&run);
        let bits = |tensors: &[Vec<f64>]| tensors.iter().flatten().map(|v| v.to_bits()).collect::<Vec<u64>>();
        match &first {
            Some(first) => assert!(bits(first) == bits(&found), "{schedule:?} gives other bits"),
            None => first = Some(found),
        }
    }
    first
}

/// Values in -1..1 that are exact in half precision.
pub fn made_up(len: usize, salt: u64) -> Vec<f64> {
    let stream = CounterStream::new(9, salt);
    (0..len as u64).map(|i| half(2.0 * stream.uniform(i) - 1.0)).collect()
}

/// Rounded to half precision.
pub fn half(value: f64) -> f64 {
    f16::from_f64(value).to_f64()
}

/// First row of each run of `lengths`, and one more.
pub fn offsets(lengths: &[usize]) -> Vec<usize> {
    std::iter::once(0)
        .chain(lengths.iter().scan(0, |sum, l| {
            *sum += l;
            Some(*sum)
        }))
        .collect()
}

/// The distance of `found` from `expected`, relative to the length of `expected`, is below `tolerance`.
#[track_caller]
pub fn assert_close(name: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{name}");
    if let Some(i) = found.iter().position(|v| !v.is_finite()) {
        panic!("{name}: entry {i} of {} is {}", found.len(), found[i]);
    }
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let error = length(&mut found.iter().zip(expected).map(|(f, e)| f - e));
    let size = length(&mut expected.iter().copied());
    if error > tolerance * size {
        let worst =
            (0..found.len()).max_by(|&a, &b| (found[a] - expected[a]).abs().total_cmp(&(found[b] - expected[b]).abs()));
        let worst = worst.expect("an entry");
        let (f, e) = (found[worst], expected[worst]);
        panic!("{name}: off by {:e}; entry {worst} of {}: {f} against {e}", error / size, found.len());
    }
}

/// Rounding to half precision once.
pub const HALF: f64 = 6e-4;
/// Sums in single precision.
pub const SINGLE: f64 = 3e-6;

/// The standard normal distribution function, by its series around 0 (Marsaglia 2004, "Evaluating the normal distribution"):
/// good for |x| < 6.
pub fn normal_distribution(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for i in (3..200).step_by(2) {
        term *= x * x / f64::from(i);
        sum += term;
    }
    0.5 + sum * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}
