//! Packed batches: sequences laid end to end, no padding.

use super::image::{ImageSize, push_patches};

/// Sequences of several samples and what a model should answer to each.
///
/// Sequence `i` holds rows `offsets[i]..offsets[i + 1]`; `offsets` has one more entry than there are sequences. A row is
/// a token of a text, or a patch of an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PackedBatch {
    /// Token ids, one a row; empty for images.
    pub tokens: Vec<u32>,
    pub offsets: Vec<usize>,
    /// Class of each sequence; 0 where the task has none.
    pub labels: Vec<u32>,
    /// What a regression should answer to each sequence; empty for other tasks.
    pub values: Vec<f32>,
    /// Pixels of each patch, `[rows, patch values]`; empty for text.
    pub patches: Vec<f32>,
    /// What an encoder-decoder should write for each sequence.
    pub decoder: Option<TargetText>,
}

/// The sequences that a decoder learns to write, one a sample, laid end to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetText {
    pub tokens: Vec<u32>,
    pub offsets: Vec<usize>,
}

impl PackedBatch {
    /// Packs labelled texts in order.
    pub fn pack<'a>(sequences: impl IntoIterator<Item = (&'a [u32], u32)>) -> Self {
        let mut batch = Self { offsets: vec![0], ..Self::default() };
        for (tokens, label) in sequences {
            batch.tokens.extend_from_slice(tokens);
            batch.offsets.push(batch.tokens.len());
            batch.labels.push(label);
        }
        batch
    }

    /// Packs labelled images of one size in order, cut into patches of `patch_px`, which divides their side. Rows are patches, row
    /// by row from the top left; the values of a row are `[channel, y, x]`, from -1 to 1, as the patch convolution of a Hugging
    /// Face ViT reads them.
    ///
    /// # Panics
    /// On an image of another size.
    pub fn pack_images<'a>(
        images: impl IntoIterator<Item = (&'a [u8], u32)>,
        size: ImageSize,
        patch_px: usize,
    ) -> Self {
        let patches = (size.side_px / patch_px).pow(2);
        let mut batch = Self { offsets: vec![0], ..Self::default() };
        for (image, label) in images {
            push_patches(image, size, patch_px, &mut batch.patches);
            batch.offsets.push(batch.offsets.len() * patches);
            batch.labels.push(label);
        }
        batch
    }

    /// Number of sequences.
    pub fn sequences(&self) -> usize {
        self.labels.len()
    }

    /// Rows of all sequences together.
    pub fn rows(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// The tokens of text `i`.
    pub fn sequence(&self, i: usize) -> &[u32] {
        &self.tokens[self.offsets[i]..self.offsets[i + 1]]
    }

    /// Rows of sequence `i`: tokens of a text, patches of an image.
    pub fn length(&self, i: usize) -> usize {
        self.offsets[i + 1] - self.offsets[i]
    }

    /// Lengths in rows, in order.
    pub fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        self.offsets.windows(2).map(|w| w[1] - w[0])
    }

    /// The samples with these indices, in the order given.
    ///
    /// # Panics
    /// On an index out of range.
    pub fn subset(&self, indices: &[usize]) -> Self {
        let mut batch = Self { offsets: vec![0], ..Self::default() };
        let patch_values = self.patches.len().checked_div(self.rows()).unwrap_or(0);
        for &i in indices {
            let rows = self.offsets[i]..self.offsets[i + 1];
            batch.offsets.push(batch.offsets[batch.offsets.len() - 1] + rows.len());
            batch.labels.push(self.labels[i]);
            batch.values.extend(self.values.get(i));
            batch.patches.extend_from_slice(&self.patches[rows.start * patch_values..rows.end * patch_values]);
            if !self.tokens.is_empty() {
                batch.tokens.extend_from_slice(&self.tokens[rows]);
            }
            if let Some(decoder) = &self.decoder {
                batch.decoder.get_or_insert_with(TargetText::new).push(decoder.sequence(i));
            }
        }
        batch
    }
}

impl TargetText {
    pub fn new() -> Self {
        Self { tokens: Vec::new(), offsets: vec![0] }
    }

    /// Appends one sequence.
    pub fn push(&mut self, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
        self.offsets.push(self.tokens.len());
    }

    pub fn sequence(&self, i: usize) -> &[u32] {
        &self.tokens[self.offsets[i]..self.offsets[i + 1]]
    }

    /// Tokens of sequence `i`.
    pub fn length(&self, i: usize) -> usize {
        self.offsets[i + 1] - self.offsets[i]
    }

    /// Lengths in tokens, in order.
    pub fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        self.offsets.windows(2).map(|w| w[1] - w[0])
    }
}

/// What a model is trained to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Objective {
    /// One of so many classes a sequence: a text's or an image's label. Cross entropy.
    Classification { classes: usize },
    /// One number a sequence. Squared error.
    Regression,
    /// The next token everywhere: of the text itself for a decoder, of the target text for an encoder-decoder.
    NextToken,
}
