//! How results are kept between operations.

use super::scalar::Scalar;
use std::fmt::Debug;

/// What happens to values when an operation stores them for another one to read.
pub trait Storage<T>: Copy + Debug + Default + Send + Sync + 'static {
    /// Whether `store` changes nothing.
    const EXACT: bool;

    fn store(values: &mut [T]);
}

/// Values are kept as they were computed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exact;

impl<T: Scalar> Storage<T> for Exact {
    const EXACT: bool = true;

    #[inline(always)]
    fn store(_: &mut [T]) {}
}
