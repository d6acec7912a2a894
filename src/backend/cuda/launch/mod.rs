//! The table of kernels: for each family of `kernels/`, its argument structures, its kernels and the rule for their grids.
//!
//! The structures repeat, field by field, those of the sources. A test asks the sources, compiled for the CPU, for the
//! size of every structure and the shape of every block, and compares.

mod attention;
mod compress;
mod elementwise;
mod ends;
mod low_rank;
mod magnitude;
mod product;
mod product_tma;
mod quantised;
mod rows;
mod updates;

pub use attention::{
    AttentionArguments, BiasArguments, BiasGradientArguments, MOST_HEAD_COLUMNS, PrefixGradientArguments,
};
pub use compress::{QsgdArguments, TopK};
pub use elementwise::{
    ConvertArguments, CounterKey, DropArguments, GateArguments, PairArguments, RotateArguments, ScaleArguments,
};
pub use ends::{CrossEntropyArguments, GatherArguments, HeadArguments, MOST_TABLES, ScatterArguments};
pub use low_rank::{DiagonalArguments, LowRankArguments, MOST_SLOTS, PackArguments, Rank, Slot};
pub use magnitude::{FinishArguments, MagnitudeArguments, MagnitudeSlot};
pub use product::{Activation, Grouped, Output, Product, ProductArguments, ProductKind, Tile};
pub use product_tma::TensorProductArguments;
pub use quantised::{Bits, QuantiseArguments, QuantisedArguments};
pub use rows::{ColumnSums, NormArguments, NormGradientArguments};
pub use updates::{
    AccumulateArguments, AdamWArguments, AirArguments, ClipArguments, SquaresArguments, UnscaleArguments,
};

use super::Kernel;

/// The kernels of one source file.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Of the file, without ending.
    pub name: &'static str,
    /// The file compiled to PTX ISA 8.0 for `target`.
    pub ptx: &'static str,
    /// `sm_80`, which every later card takes too, or `sm_90a`, which Hopper alone does.
    pub target: &'static str,
    pub kernels: &'static [&'static Kernel],
}

/// Declares a family: its kernels as statics, and the list of them.
macro_rules! family {
    ($family:ident = $file:literal { $($rest:tt)* }) => {
        family! { $family = $file on "sm_80" { $($rest)* } }
    };
    ($family:ident = $file:literal on $target:literal { $($id:ident = $name:literal ($arguments:ty, $threads:expr, $shared:expr);)* }) => {
        $(pub(crate) static $id: $crate::backend::cuda::Kernel = $crate::backend::cuda::Kernel {
            name: $name,
            argument_bytes: size_of::<$arguments>(),
            threads: $threads,
            shared_bytes: $shared,
        };)*
        pub(crate) static $family: $crate::backend::cuda::launch::Family = $crate::backend::cuda::launch::Family {
            name: $file,
            ptx: include_str!(concat!("../../../../kernels/ptx/", $file, ".ptx")),
            target: $target,
            kernels: &[$(&$id),*],
        };
    };
}
use family;

/// All families.
pub static FAMILIES: [&Family; 15] = [
    &updates::AIR,
    &attention::ATTENTION,
    &attention::ATTENTION_BIAS,
    &compress::COMPRESS,
    &elementwise::ELEMENTWISE,
    &ends::ENDS,
    &low_rank::LOW_RANK,
    &magnitude::MAGNITUDE,
    &rows::NORM,
    &updates::OPTIMISER,
    &product::PRODUCT,
    &product_tma::PRODUCT_TMA,
    &product::PRODUCT_WGMMA,
    &quantised::QUANTISED,
    &rows::REDUCE,
];

/// The family of a kernel.
pub fn family_of(kernel: &Kernel) -> &'static Family {
    let has = |family: &&&Family| family.kernels.iter().any(|k| k.name == kernel.name);
    FAMILIES.iter().find(has).expect("every kernel is in the table")
}
