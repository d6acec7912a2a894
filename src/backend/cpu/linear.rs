//! Products with frozen matrices and their low-rank terms.

use super::scalar::Scalar;
use super::{Cpu, elementwise, grow};
use crate::backend::{Epilogue, GradientEpilogue, Linear, Lora, LoraGradient, LoraSlot, Packing};

/// A frozen matrix, kept in both orientations: whichever product runs, its rows are contiguous along the result's
/// columns, the order in which the GEMM packs fastest (measured: up to a fifth over the other one).
pub struct CpuMatrix<T> {
    /// `[inputs, outputs]`, for `x W^T`.
    transposed: Vec<T>,
    /// `[outputs, inputs]`, for `dy W`.
    straight: Vec<T>,
}

impl<T: Scalar> CpuMatrix<T> {
    pub(super) fn new(values: &[f32], outputs: usize, inputs: usize) -> Self {
        assert_eq!(values.len(), outputs * inputs, "a matrix of {outputs} x {inputs}");
        let transposed = (0..inputs * outputs).map(|i| T::from_f32(values[i % outputs * inputs + i / outputs]));
        Self { transposed: transposed.collect(), straight: values.iter().map(|&v| T::from_f32(v)).collect() }
    }
}

/// A matrix whose element (i, j) is `data[i * row + j * column]`.
#[derive(Clone, Copy)]
struct View<'a, T> {
    data: &'a [T],
    row: usize,
    column: usize,
}

impl<'a, T> View<'a, T> {
    fn rows(data: &'a [T], row: usize) -> Self {
        Self { data, row, column: 1 }
    }

    fn transposed(self) -> Self {
        Self { row: self.column, column: self.row, ..self }
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0 || columns == 0 || (rows - 1) * self.row + (columns - 1) * self.column < self.data.len()
    }
}

/// `out = [out +] scale * a b` for `a` `[m, k]`, `b` `[k, n]`; rows of `out` are `out_row` apart.
fn product<T: Scalar>(
    (m, n, k): (usize, usize, usize),
    a: View<'_, T>,
    b: View<'_, T>,
    scale: T,
    accumulate: bool,
    out: &mut [T],
    out_row: usize,
) {
    assert!(a.holds(m, k) && b.holds(k, n) && View::rows(out, out_row).holds(m, n), "a product out of bounds");
    // SAFETY: every element that the strides reach lies inside its slice, as just checked.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            out_row as isize,
            accumulate,
            a.data.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.column as isize,
            b.row as isize,
            if accumulate { T::ONE } else { T::ZERO },
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

pub(super) fn forward<T: Scalar>(
    packing: &Packing,
    x: &[T],
    layer: &Linear<Cpu<T>>,
    lora: Lora<'_, Cpu<T>>,
    epilogue: Epilogue<'_, Cpu<T>>,
    y: &mut [T],
) {
    let (rows, inputs, outputs) = (packing.rows(), layer.inputs, layer.outputs);
    let w = View::rows(&layer.weight.transposed, outputs);
    product((rows, outputs, inputs), View::rows(x, inputs), w, T::ONE, false, y, outputs);

    let reduced = grow(lora.reduced, rows * reduced_columns(lora.slots));
    for slot in lora.slots {
        for (segment, range) in packing.segment_rows().enumerate() {
            let (t, r, start) = (range.len(), slot.rank, range.start);
            let set = &lora.parameters[segment * lora.stride..][..lora.stride];
            let a = View::rows(&set[slot.a..][..r * inputs], inputs);
            let b = View::rows(&set[slot.b..][..slot.outputs * r], r);
            let u = &mut reduced[slot.reduced_column * rows + start * r..][..t * r];
            product((t, r, inputs), View::rows(&x[start * inputs..], inputs), a.transposed(), T::ONE, false, u, r);
            let scale = T::from_f64(slot.scale);
            let y = &mut y[start * outputs + slot.column..];
            product((t, slot.outputs, r), View::rows(u, r), b.transposed(), scale, true, y, outputs);
        }
    }
    match epilogue {
        Epilogue::None => elementwise::add_bias(y, &layer.bias),
        Epilogue::Gelu { derivative: None } => elementwise::bias_gelu(y, &layer.bias),
        Epilogue::Gelu { derivative: Some(derivative) } => {
            elementwise::bias_gelu_cached(y, &layer.bias, grow(derivative, rows * outputs));
        }
    }
}

pub(super) fn gradient<T: Scalar>(
    packing: &Packing,
    dy: &[T],
    layer: &Linear<Cpu<T>>,
    lora: LoraGradient<'_, Cpu<T>>,
    epilogue: GradientEpilogue<'_, Cpu<T>>,
    dx: &mut [T],
) {
    let (rows, inputs, outputs) = (packing.rows(), layer.inputs, layer.outputs);
    let wanted = !matches!(epilogue, GradientEpilogue::Skip);
    if wanted {
        let accumulate = matches!(epilogue, GradientEpilogue::Accumulate);
        let w = View::rows(&layer.weight.straight, inputs);
        product((rows, inputs, outputs), View::rows(dy, outputs), w, T::ONE, accumulate, dx, inputs);
    }

    let d_reduced = grow(lora.d_reduced, rows * reduced_columns(lora.slots));
    for slot in lora.slots {
        for (segment, range) in packing.segment_rows().enumerate() {
            let (t, r, start) = (range.len(), slot.rank, range.start);
            let set = &lora.parameters[segment * lora.stride..][..lora.stride];
            let gradient = &mut lora.gradient[segment * lora.stride..][..lora.stride];
            let scale = T::from_f64(slot.scale);
            let at = slot.reduced_column * rows + start * r;
            let u = View::rows(&lora.reduced[at..][..t * r], r);
            let dy = View::rows(&dy[start * outputs + slot.column..], outputs);
            let b = View::rows(&set[slot.b..][..slot.outputs * r], r);
            let db = &mut gradient[slot.b..][..slot.outputs * r];
            product((slot.outputs, r, t), dy.transposed(), u, scale, true, db, r);

            let du = &mut d_reduced[at..][..t * r];
            product((t, r, slot.outputs), dy, b, scale, false, du, r);
            let du = View::rows(du, r);
            let da = &mut gradient[slot.a..][..r * inputs];
            let x = View::rows(&lora.x[start * inputs..], inputs);
            product((r, inputs, t), du.transposed(), x, T::ONE, true, da, inputs);
            if wanted {
                let a = View::rows(&set[slot.a..][..r * inputs], inputs);
                product((t, inputs, r), du, a, T::ONE, true, &mut dx[start * inputs..], inputs);
            }
        }
    }
    if let GradientEpilogue::Multiply(factor) = epilogue {
        elementwise::multiply(dx, &factor[..rows * inputs]);
    }
}

fn reduced_columns(slots: &[LoraSlot]) -> usize {
    slots.last().map_or(0, |s| s.reduced_column + s.rank)
}
