//! The backend: a device, its memory, and what all operations need of both.

use super::arena::{Arena, Block, Purpose};
use super::buffer::{Buffer, Kind};
use super::launch::{Product, ProductArguments, ProductKind, Tile};
use super::tables::{Plain, Tables, bytes_of, bytes_of_mut};
use super::{Address, Device, DeviceError, LargeProducts, Launch};
use std::sync::Arc;

/// Computes in half precision on a [`Device`]. Clones share the device and its memory.
#[derive(Clone)]
pub struct Cuda(Arc<Choice>);

#[derive(Clone)]
struct Choice {
    shared: Arc<Shared>,
    large_products: LargeProducts,
    left_out: Vec<String>,
}

struct Shared {
    device: Arc<dyn Device>,
    arena: Arc<Arena>,
    tables: Tables,
    chunk_tokens: usize,
}

impl Cuda {
    /// Takes `bytes` of the device's memory, once and for all.
    ///
    /// # Errors
    /// If there is not so much.
    pub fn new(device: Arc<dyn Device>, bytes: usize) -> Result<Self, DeviceError> {
        Self::in_passes_of(Self::CHUNK_TOKENS, device, bytes)
    }

    /// The same with passes of about so many tokens.
    ///
    /// # Errors
    /// As [`Cuda::new`].
    pub fn in_passes_of(chunk_tokens: usize, device: Arc<dyn Device>, bytes: usize) -> Result<Self, DeviceError> {
        let arena = Arena::new(device.clone(), bytes)?;
        let shared = Arc::new(Shared { device, arena, tables: Tables::default(), chunk_tokens });
        let choice = Choice { shared, large_products: LargeProducts::default(), left_out: vec![] };
        let (large_products, left_out) = Self(Arc::new(choice.clone())).checked_large_products();
        Ok(Self(Arc::new(Choice { large_products, left_out, ..choice })))
    }

    /// What computes large products: the device has it, and it was right when it was asked.
    pub fn large_products(&self) -> LargeProducts {
        self.0.large_products
    }

    /// A line for each way of large products that the device has and that was wrong when it was asked.
    pub fn left_out(&self) -> &[String] {
        &self.0.left_out
    }

    /// The same device and memory with no more than `these` ways of large products.
    #[must_use]
    pub fn with_at_most(&self, these: LargeProducts) -> Self {
        let LargeProducts { warpgroups, tensor_copies } = self.0.large_products;
        let large_products = LargeProducts {
            warpgroups: warpgroups && these.warpgroups,
            tensor_copies: tensor_copies && these.tensor_copies,
        };
        Self(Arc::new(Choice { large_products, ..Choice::clone(&self.0) }))
    }

    pub(super) fn pass_tokens(&self) -> usize {
        self.0.shared.chunk_tokens
    }

    /// Bytes that are held for `purpose`.
    pub fn held_bytes(&self, purpose: Purpose) -> usize {
        self.0.shared.arena.held(purpose)
    }

    /// The most bytes that were in use at once.
    pub fn most_bytes(&self) -> usize {
        self.0.shared.arena.most_bytes()
    }

    /// What `computation` gives, or why the device could not do it.
    ///
    /// # Errors
    /// If the device failed, which may be on another thread that works for the computation.
    pub fn catching<T>(computation: impl FnOnce() -> T) -> Result<T, DeviceError> {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(computation));
        outcome.or_else(|cause| match cause.downcast::<DeviceError>() {
            Ok(error) => Err(*error),
            Err(other) => std::panic::resume_unwind(other),
        })
    }

    pub(super) fn arena(&self) -> &Arc<Arena> {
        &self.0.shared.arena
    }

    pub(super) fn tables(&self) -> &Tables {
        &self.0.shared.tables
    }

    pub(super) fn device(&self) -> &dyn Device {
        &*self.0.shared.device
    }

    pub(super) fn take(&self, bytes: usize, purpose: Purpose) -> Block {
        must(self.0.shared.arena.take(bytes, purpose))
    }

    /// Memory inside an operation, for so many numbers of a kind.
    pub(super) fn working(&self, kind: Kind, len: usize) -> Block {
        self.take(kind.bytes() * len, Purpose::Working)
    }

    pub(super) fn uploaded(&self, bytes: &[u8], purpose: Purpose) -> Block {
        let block = self.take(bytes.len(), purpose);
        self.write_bytes(block.address(), bytes);
        block
    }

    /// A table for one operation.
    pub(super) fn table<T: Plain>(&self, values: &[T]) -> Block {
        self.uploaded(bytes_of(values), Purpose::Working)
    }

    /// The first `len` numbers at `address`.
    pub(super) fn fetched<T: Plain + Default>(&self, address: Address, len: usize) -> Vec<T> {
        let mut values = vec![T::default(); len];
        if len > 0 {
            must(self.device().read(address, bytes_of_mut(&mut values)));
        }
        values
    }

    pub(super) fn run(&self, launch: Launch) {
        if !launch.is_empty() {
            must(self.device().launch(&launch));
        }
    }

    pub(super) fn write_bytes(&self, to: Address, bytes: &[u8]) {
        if !bytes.is_empty() {
            must(self.device().write(to, bytes));
        }
    }

    pub(super) fn copy_bytes(&self, from: Address, to: Address, bytes: usize) {
        if bytes > 0 {
            must(self.device().copy(from, to, bytes));
        }
    }

    pub(super) fn zero_bytes(&self, address: Address, bytes: usize) {
        if bytes > 0 {
            must(self.device().zero(address, bytes));
        }
    }

    /// Room for `len` numbers in `buffer`; what they are is unspecified.
    pub(super) fn room_for(&self, buffer: &mut Buffer, len: usize, kind: Kind, purpose: Purpose) -> Address {
        let bytes = kind.bytes() * len;
        if buffer.block.as_ref().is_none_or(|b| b.capacity() < bytes) {
            // What is there goes first, so that its place can be used.
            buffer.block = None;
            buffer.block = Some(self.take(bytes, purpose));
        }
        buffer.kind = kind;
        buffer.block.as_ref().map_or(Address::NULL, Block::address)
    }

    pub(super) fn room(&self, buffer: &mut Buffer, len: usize) -> Address {
        self.room_for(buffer, len, Kind::Half, Purpose::Activations)
    }

    pub(super) fn single_room(&self, buffer: &mut Buffer, len: usize) -> Address {
        self.room_for(buffer, len, Kind::Single, Purpose::Activations)
    }

    /// A product, in tiles that suit the device; `rows` are those of all groups, where offsets say which are whose.
    pub(super) fn product(&self, kind: ProductKind, groups: usize, rows: usize, arguments: ProductArguments) {
        let [m, n, k] = [arguments.m, arguments.n, arguments.k].map(|length| length as usize);
        let large = Tile::suits_warpgroups(kind, m, n, k);
        let tile = match large && self.0.large_products.warpgroups {
            true => Tile::OfWarpgroups,
            false => Tile::for_output(m, n, groups, self.device().multiprocessors()),
        };
        let product = Product { kind, tile, groups, rows, arguments };
        let of_tensors = (large && self.0.large_products.tensor_copies).then(|| self.of_tensors(&product)).flatten();
        self.run(of_tensors.unwrap_or_else(|| product.launch()));
    }

    /// With operands that bulk tensor copies bring; `None` where there is no map of one of them.
    pub(super) fn of_tensors(&self, product: &Product) -> Option<Launch> {
        let [a, b] = product.tensors()?;
        Some(product.launch_of_tensors([self.device().tensor_map(&a)?, self.device().tensor_map(&b)?]))
    }
}

impl Buffer {
    /// Where its first `len` numbers lie.
    ///
    /// # Panics
    /// If it does not hold so many of the kind.
    fn numbers(&self, len: usize, kind: Kind) -> Address {
        let block = self.block.as_ref().filter(|b| b.capacity() >= kind.bytes() * len);
        let block = block.expect("a buffer that an earlier operation filled");
        assert_eq!(self.kind, kind, "a buffer of numbers of this kind");
        block.address()
    }

    pub(super) fn halves(&self, len: usize) -> Address {
        self.numbers(len, Kind::Half)
    }

    pub(super) fn singles(&self, len: usize) -> Address {
        self.numbers(len, Kind::Single)
    }
}

/// Operations cannot fail: a device that does unwinds, silently, to whoever started the computation through
/// [`Cuda::catching`].
pub(super) fn must<T>(outcome: Result<T, DeviceError>) -> T {
    outcome.unwrap_or_else(|error| std::panic::resume_unwind(Box::new(error)))
}
