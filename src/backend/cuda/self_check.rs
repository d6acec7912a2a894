//! Whether the kernels for one architecture agree with those for all, on the card that is there: a mistake in what only it can
//! check, such as the bits of a matrix descriptor, then costs time and nothing else.

use super::Cuda;
use super::arena::Block;
use super::buffer::Kind;
use super::launch::{Grouped, Output, Product, ProductArguments, ProductKind, Tile};
use half::f16;

/// What large products may be computed by, besides `mma.sync`, which computes all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LargeProducts {
    /// `wgmma` on what `cp.async` copies.
    pub warpgroups: bool,
    /// `wgmma` on what bulk tensor copies bring, where there are maps of both operands.
    pub tensor_copies: bool,
}

impl LargeProducts {
    pub fn any(self) -> bool {
        self.warpgroups || self.tensor_copies
    }
}

/// Several tiles, the last ones not full, and a depth that is no multiple of a stage.
const SHAPE: [usize; 3] = [136, 264, 152];
/// Two clients, by rows or by depth.
const ROWS_OF_TWO: [i32; 3] = [0, 37, SHAPE[0] as i32];
const DEPTHS_OF_TWO: [i32; 3] = [0, 101, SHAPE[2] as i32];

#[derive(Clone, Copy)]
enum Way {
    EveryCard,
    Warpgroups,
    TensorCopies,
}

/// Factors of products, the second for two clients, and where the results go.
struct Factors {
    a: Block,
    b: Block,
    rows: Block,
    depths: Block,
    sums: Block,
}

impl Cuda {
    /// What the device has and is right, and a line for each that it has and is not.
    pub(super) fn checked_large_products(&self) -> (LargeProducts, Vec<String>) {
        let mut lines = vec![];
        let mut agrees = |has: bool, way: Way, name: &str| {
            let wrong = || match Self::catching(|| self.disagreement(way)) {
                Ok(outcome) => outcome,
                Err(error) => Some(error.to_string()),
            };
            let wrong = if has { wrong() } else { return false };
            lines.extend(wrong.iter().map(|why| format!("{name} are left out: {why}")));
            wrong.is_none()
        };
        let warpgroups = agrees(self.device().has_warpgroups(), Way::Warpgroups, "products by warpgroups (wgmma)");
        let copies = self.device().has_tensor_copies();
        let tensor_copies = agrees(copies, Way::TensorCopies, "products by bulk tensor copies (TMA)");
        (LargeProducts { warpgroups, tensor_copies }, lines)
    }

    /// Why products of some kind are not, to the last bit, those of `product.cu`: their factors are such that every sum of
    /// products is a number of single precision, so that no order of adding rounds.
    fn disagreement(&self, way: Way) -> Option<String> {
        let [m, n, k] = SHAPE;
        // Eighths of whole numbers up to 8 in magnitude: sums of 152 products are whole 64ths below 2^8.
        let made_up = |len: usize, salt: usize| {
            let value = |i: usize| f16::from_f32(((i * 37 + i / 7 * salt) % 17) as f32 / 8.0 - 1.0);
            self.table(&(0..len).map(value).collect::<Vec<f16>>())
        };
        let factors = Factors {
            // Starts off any alignment but that of 16 bytes.
            a: made_up(8 + m * k, 5),
            b: made_up(2 * n * k, 11),
            rows: self.table(&ROWS_OF_TWO),
            depths: self.table(&DEPTHS_OF_TWO),
            sums: self.working(Kind::Single, 2 * m * n),
        };
        let kinds = [ProductKind::Nt, ProductKind::Nn, ProductKind::Tn];
        let cases = kinds.into_iter().flat_map(|kind| [(kind, false), (kind, true)]);
        for (kind, of_two) in cases {
            let product = factors.product(kind, of_two);
            let [expected, found] = [Way::EveryCard, way].map(|way| {
                self.zero_bytes(factors.sums.address(), Kind::Single.bytes() * 2 * m * n);
                self.run(match way {
                    Way::EveryCard => product.launch(),
                    Way::Warpgroups => Product { tile: Tile::OfWarpgroups, ..product }.launch(),
                    Way::TensorCopies => self.of_tensors(&product)?,
                });
                Some(self.fetched::<f32>(factors.sums.address(), 2 * m * n))
            });
            if found.is_none() {
                return Some("the driver makes no map of an operand".to_owned());
            }
            if found != expected {
                let clients = if of_two { " of two clients" } else { "" };
                return Some(format!("those of kind {kind:?}{clients} differ from those of mma.sync"));
            }
        }
        None
    }
}

impl Factors {
    fn product(&self, kind: ProductKind, of_two: bool) -> Product {
        let [m, n, k] = SHAPE;
        let rows = match kind {
            ProductKind::Nt => [k, k],
            ProductKind::Nn => [k, n],
            ProductKind::Tn => [m, n],
        };
        let (factors, out) =
            ([self.a.address().halves(8), self.b.address()], Output::sums(self.sums.address(), n, 1.0));
        let mut arguments = ProductArguments::of_one(factors, out, SHAPE, rows);
        if of_two {
            let by_depth = kind == ProductKind::Tn;
            arguments.grouped = if by_depth { Grouped::ByDepth } else { Grouped::ByRows };
            arguments.offsets = if by_depth { self.depths.address() } else { self.rows.address() };
            arguments.b_group = if by_depth { 0 } else { (n * k) as i64 };
            arguments.out_group = if by_depth { (m * n) as i64 } else { 0 };
        }
        let rows = if kind == ProductKind::Tn { k } else { m };
        Product { kind, tile: Tile::Of64, groups: if of_two { 2 } else { 1 }, rows, arguments }
    }
}
