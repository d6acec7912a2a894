//! The loop that most of the work is done in: a column of tiles of 9 rows by 48 columns, 27 sums in 32 registers.
//!
//! It is in assembly because frozen panels and results are larger than the second-level cache, so that they are better asked
//! for beforehand, and with that in the loop compilers give up keeping the sums in registers. And it goes on from tile to
//! tile without a word on the stack: the same loop, called for each tile with registers saved around it, took up to 18%
//! longer where results were in no cache, and no longer where they were (docs/performance.md). Most likely what is saved
//! waits behind results on their way to memory, and loads from addresses a multiple of 4096 away wait for both.

use super::tile::WIDEST as COLUMNS;
use std::arch::asm;
use std::mem::offset_of;

const ROWS: usize = 9;
// What the loop below is written for.
const _: () = assert!(COLUMNS == 48);

/// Summands between two checks for the end.
const UNROLLED: usize = 4;
const BYTES: usize = size_of::<f32>();
const LINE_BYTES: usize = 64;

/// What stays the same from tile to tile.
#[repr(C)]
struct Column {
    /// Rounds of `UNROLLED` summands.
    rounds: usize,
    /// A tile brings a line of the next panel in each round as long as more rounds than these are left.
    bringing: usize,
    /// And a row of its own result, which it will write.
    own: usize,
    b_bytes: usize,
    /// From behind the last summand of a row to the row nine below.
    a_next: usize,
    a_end: *const f32,
    scale: f32,
    accumulate: u32,
}

/// Three sums more of the row of `a` at `$from`, in a free register `$x`; a row of `b` is in zmm27 to zmm29.
#[rustfmt::skip]
macro_rules! add_row {
    ($x:literal, $from:literal, $first:literal, $second:literal, $third:literal) => {
        concat!(
            "vbroadcastss zmm", $x, ", dword ptr [", $from, " + 4*\\p]\n",
            "vfmadd231ps zmm", $first, ", zmm27, zmm", $x, "\n",
            "vfmadd231ps zmm", $second, ", zmm28, zmm", $x, "\n",
            "vfmadd231ps zmm", $third, ", zmm29, zmm", $x,
        )
    };
}

/// The sums of a row of the result at `$to`, which becomes the next row.
#[rustfmt::skip]
macro_rules! write_row {
    ($to:literal, $row:literal, $first:literal, $second:literal, $third:literal) => {
        concat!(
            "vmovups zmmword ptr [", $to, "], zmm", $first, "\n",
            "vmovups zmmword ptr [", $to, " + 64], zmm", $second, "\n",
            "vmovups zmmword ptr [", $to, " + 128], zmm", $third, "\n",
            "add ", $to, ", ", $row, "\n",
        )
    };
}

/// What is in a row of the result at `$to`, which becomes the next row, is added to its sums.
#[rustfmt::skip]
macro_rules! read_row {
    ($to:literal, $row:literal, $first:literal, $second:literal, $third:literal) => {
        concat!(
            "vaddps zmm", $first, ", zmm", $first, ", zmmword ptr [", $to, "]\n",
            "vaddps zmm", $second, ", zmm", $second, ", zmmword ptr [", $to, " + 64]\n",
            "vaddps zmm", $third, ", zmm", $third, ", zmmword ptr [", $to, " + 128]\n",
            "add ", $to, ", ", $row, "\n",
        )
    };
}

/// `$row!` for each row of a tile.
#[rustfmt::skip]
macro_rules! rows {
    ($row:ident, $to:literal, $by:literal) => {
        concat!(
            $row!($to, $by, 0, 1, 2), $row!($to, $by, 3, 4, 5), $row!($to, $by, 6, 7, 8),
            $row!($to, $by, 9, 10, 11), $row!($to, $by, 12, 13, 14), $row!($to, $by, 15, 16, 17),
            $row!($to, $by, 18, 19, 20), $row!($to, $by, 21, 22, 23), $row!($to, $by, 24, 25, 26),
        )
    };
}

/// `out = [out +] scale * a b` for as many rows as make whole tiles, whose number is returned; as
/// [`Scalar::column`](super::scalar::Scalar::column) says. Each element is the chain of fused multiplications and additions
/// that the other kernels make it.
#[target_feature(enable = "avx512f")]
pub(super) fn column(
    (rows, k): (usize, usize),
    a: &[f32],
    b: &[f32],
    (scale, accumulate): (f32, bool),
    (out, out_row): (&mut [f32], usize),
    next: &[f32],
) -> usize {
    let done = rows - rows % ROWS;
    if done == 0 || k == 0 || k % UNROLLED != 0 {
        return 0;
    }
    assert!(done * k <= a.len(), "a column out of the bounds of a");
    assert!(k * COLUMNS <= b.len(), "a column out of the bounds of b");
    assert!((done - 1) * out_row + COLUMNS <= out.len(), "a column out of the bounds of the result");
    let rounds = k / UNROLLED;
    let lines = (next.len() * BYTES).div_ceil(LINE_BYTES).div_ceil(done / ROWS);
    let column = Column {
        rounds,
        bringing: rounds.saturating_sub(lines),
        own: rounds.saturating_sub(ROWS),
        b_bytes: k * COLUMNS * BYTES,
        a_next: (ROWS - 1) * k * BYTES,
        a_end: a.as_ptr().wrapping_add(done * k),
        scale,
        accumulate: u32::from(accumulate),
    };
    // SAFETY: `done` rows of `a`, `k` rows of `b` and `done` rows of the result are reached, as asserted; the rest are hints.
    unsafe {
        asm!(
            "2:",
            ".irp s, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26",
            "vpxord zmm\\s, zmm\\s, zmm\\s",
            ".endr",
            "mov {rounds}, qword ptr [{column} + {ROUNDS}]",
            "mov {own}, {out}",
            "3:",
            "cmp {rounds}, qword ptr [{column} + {BRINGING}]",
            "jbe 4f",
            "prefetcht1 byte ptr [{next}]",
            "add {next}, 64",
            "4:",
            "cmp {rounds}, qword ptr [{column} + {OWN}]",
            "jbe 5f",
            "prefetchw byte ptr [{own}]",
            "prefetchw byte ptr [{own} + 64]",
            "prefetchw byte ptr [{own} + 128]",
            // Rows may start anywhere in a line.
            "prefetchw byte ptr [{own} + 191]",
            "add {own}, {out_row}",
            "5:",
            ".irp p, 0, 1, 2, 3",
            "vmovups zmm27, zmmword ptr [{b} + 192*\\p]",
            "vmovups zmm28, zmmword ptr [{b} + 192*\\p + 64]",
            "vmovups zmm29, zmmword ptr [{b} + 192*\\p + 128]",
            add_row!(30, "{a}", 0, 1, 2),
            add_row!(31, "{a} + {a_row}", 3, 4, 5),
            add_row!(30, "{a} + 2*{a_row}", 6, 7, 8),
            add_row!(31, "{a3}", 9, 10, 11),
            add_row!(30, "{a3} + {a_row}", 12, 13, 14),
            add_row!(31, "{a3} + 2*{a_row}", 15, 16, 17),
            add_row!(30, "{a6}", 18, 19, 20),
            add_row!(31, "{a6} + {a_row}", 21, 22, 23),
            add_row!(30, "{a6} + 2*{a_row}", 24, 25, 26),
            ".endr",
            "add {a}, 16",
            "add {a3}, 16",
            "add {a6}, 16",
            "add {b}, 768",
            "sub {rounds}, 1",
            "jnz 3b",
            "vbroadcastss zmm27, dword ptr [{column} + {SCALE}]",
            ".irp s, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26",
            "vmulps zmm\\s, zmm\\s, zmm27",
            ".endr",
            "cmp dword ptr [{column} + {ACCUMULATE}], 0",
            "je 6f",
            "mov {own}, {out}",
            rows!(read_row, "{own}", "{out_row}"),
            "6:",
            rows!(write_row, "{out}", "{out_row}"),
            "sub {b}, qword ptr [{column} + {B_BYTES}]",
            "add {a}, qword ptr [{column} + {A_NEXT}]",
            "add {a3}, qword ptr [{column} + {A_NEXT}]",
            "add {a6}, qword ptr [{column} + {A_NEXT}]",
            "cmp {a}, qword ptr [{column} + {A_END}]",
            "jb 2b",
            column = in(reg) &column,
            a = inout(reg) a.as_ptr() => _,
            a3 = inout(reg) a.as_ptr().wrapping_add(3 * k) => _,
            a6 = inout(reg) a.as_ptr().wrapping_add(6 * k) => _,
            a_row = in(reg) k * BYTES,
            b = inout(reg) b.as_ptr() => _,
            next = inout(reg) next.as_ptr() => _,
            out = inout(reg) out.as_mut_ptr() => _,
            out_row = in(reg) out_row * BYTES,
            own = out(reg) _,
            rounds = out(reg) _,
            ROUNDS = const offset_of!(Column, rounds),
            BRINGING = const offset_of!(Column, bringing),
            OWN = const offset_of!(Column, own),
            B_BYTES = const offset_of!(Column, b_bytes),
            A_NEXT = const offset_of!(Column, a_next),
            A_END = const offset_of!(Column, a_end),
            SCALE = const offset_of!(Column, scale),
            ACCUMULATE = const offset_of!(Column, accumulate),
            out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _, out("zmm5") _, out("zmm6") _,
            out("zmm7") _, out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _, out("zmm12") _, out("zmm13") _,
            out("zmm14") _, out("zmm15") _, out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _, out("zmm20") _,
            out("zmm21") _, out("zmm22") _, out("zmm23") _, out("zmm24") _, out("zmm25") _, out("zmm26") _, out("zmm27") _,
            out("zmm28") _, out("zmm29") _, out("zmm30") _, out("zmm31") _,
            options(nostack),
        );
    }
    done
}
