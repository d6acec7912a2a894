//! Matrices of whole numbers in few bits, as checkpoints hold them.

/// `[rows, columns]`, each group of neighbours in a row with a scale: a weight is its whole number times its scale.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantisedMatrix {
    /// 8, a signed byte a weight; or 4, two weights a byte, the first in the low half, each plus 8.
    pub bits: u32,
    pub columns: usize,
    /// Columns that share a scale; divides the number of columns.
    pub group: usize,
    /// Row by row.
    pub scales: Vec<f32>,
    pub weights: Vec<u8>,
}

impl QuantisedMatrix {
    pub fn rows(&self) -> usize {
        self.scales.len() * self.group / self.columns
    }

    /// The rows of all `parts`, in order; `None` if they are of different kinds, or there are none.
    pub fn stacked(parts: Vec<Self>) -> Option<Self> {
        let kind = |part: &Self| (part.bits, part.columns, part.group);
        let mut parts = parts.into_iter();
        let mut all = parts.next()?;
        for part in parts {
            if kind(&part) != kind(&all) {
                return None;
            }
            all.scales.extend(part.scales);
            all.weights.extend(part.weights);
        }
        Some(all)
    }
}
