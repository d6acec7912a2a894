//! `kernels/product_tma.cu`: products whose operands bulk tensor copies bring.

use super::super::{Address, Arguments, Kernel, Launch, Tensor, TensorMap};
use super::family;
use super::product::{Grouped, Product, ProductArguments, ProductKind};

#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct TensorProductArguments {
    pub a: TensorMap,
    pub b: TensorMap,
    pub product: ProductArguments,
    pub unused: [i64; 7],
}

// SAFETY: it is `repr(C)`; what follows the maps fills a multiple of their alignment.
unsafe impl Arguments for TensorProductArguments {}

/// Side of a block's tile of the output, and what a stage sums over.
const SPAN: usize = 128;
const DEEP: usize = 64;

const fn shared() -> u32 {
    const STAGES: usize = 3;
    const ALIGNED: usize = 1024;
    const BARRIER: usize = 8;
    (ALIGNED + STAGES * (2 * SPAN * DEEP * 2 + 2 * BARRIER)) as u32
}

family! {
    PRODUCT_TMA = "product_tma" on "sm_90a" {
        NT_TMA = "product_nt_tma" (TensorProductArguments, 256, shared());
        NN_TMA = "product_nn_tma" (TensorProductArguments, 256, shared());
        TN_TMA = "product_tn_tma" (TensorProductArguments, 256, shared());
    }
}

impl Product {
    /// What copies bring A and B from; `None` where no map of one of them can be made.
    pub fn tensors(&self) -> Option<[Tensor; 2]> {
        let ProductArguments { a, b, a_group, b_group, grouped, .. } = self.arguments;
        let [m, n, k] = [self.arguments.m, self.arguments.n, self.arguments.k].map(|length| length as usize);
        // Where offsets say which rows are a group's, all of them are one matrix.
        let (all_m, all_k) = match grouped {
            Grouped::ByStride => (m, k),
            Grouped::ByRows => (self.rows, k),
            Grouped::ByDepth if self.kind == ProductKind::Tn => (m, self.rows),
            Grouped::ByDepth => return None,
        };
        let (left, right) = match self.kind {
            ProductKind::Nt => (([k, all_m], SPAN), ([k, n], SPAN)),
            ProductKind::Nn => (([k, all_m], SPAN), ([n, k], DEEP)),
            ProductKind::Tn => (([m, all_k], DEEP), ([n, all_k], DEEP)),
        };
        let tensor = |address: Address, ([columns, rows], box_rows): ([usize; 2], usize), row: i32, group: i64| {
            let count = if group == 0 { 1 } else { self.groups };
            Tensor::new(address, [columns, rows, count], [row as usize, group as usize], box_rows)
        };
        Some([tensor(a, left, self.arguments.a_row, a_group)?, tensor(b, right, self.arguments.b_row, b_group)?])
    }

    /// The launch of `kernels/product_tma.cu`, with the maps of [`Product::tensors`]; the tile is its own.
    pub fn launch_of_tensors(&self, [a, b]: [TensorMap; 2]) -> Launch {
        let kernel: &'static Kernel = match self.kind {
            ProductKind::Nt => &NT_TMA,
            ProductKind::Nn => &NN_TMA,
            ProductKind::Tn => &TN_TMA,
        };
        let arguments = TensorProductArguments { a, b, product: self.arguments, unused: [0; 7] };
        let blocks = |length: i32| (length as usize).div_ceil(SPAN);
        Launch::new(kernel, [blocks(self.arguments.n), blocks(self.arguments.m), self.groups], &arguments)
    }
}
