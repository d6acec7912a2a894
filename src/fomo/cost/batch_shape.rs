//! A batch, as far as its cost goes.

use std::iter::Sum;
use std::ops::Add;

/// Sums over the sequences of a batch, laid end to end without padding.
///
/// Products with weights cost in proportion to tokens, attention in proportion to squared lengths. The decoder's fields
/// are zero unless the model has two stacks, and a model with two stacks takes zeros as one decoder token a sequence. A
/// decoder-only model's tokens are `tokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BatchShape {
    pub sequences: u64,
    /// Sum of lengths.
    pub tokens: u64,
    /// Sum of squared lengths.
    pub squared_tokens: u64,
    /// Sum of the lengths of the decoder's sequences.
    pub decoder_tokens: u64,
    /// Sum of their squares.
    pub decoder_squared_tokens: u64,
    /// Sum of products of a sequence's two lengths.
    pub cross_tokens: u64,
}

impl BatchShape {
    /// Sequences of the given lengths.
    pub fn from_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        Self::from_length_pairs(lengths.into_iter().map(|length| (length, 0)))
    }

    /// Sequences of the given lengths (encoder, decoder).
    pub fn from_length_pairs(lengths: impl IntoIterator<Item = (usize, usize)>) -> Self {
        lengths.into_iter().fold(Self::default(), |sum, (encoder, decoder)| {
            let (e, d) = (encoder as u64, decoder as u64);
            Self {
                sequences: sum.sequences + 1,
                tokens: sum.tokens + e,
                squared_tokens: sum.squared_tokens + e * e,
                decoder_tokens: sum.decoder_tokens + d,
                decoder_squared_tokens: sum.decoder_squared_tokens + d * d,
                cross_tokens: sum.cross_tokens + e * d,
            }
        })
    }

    /// The same batch with one decoder token a sequence: the start token, behind which the decoder says the class.
    pub(super) fn with_one_decoder_token(self) -> Self {
        let Self { sequences, tokens, .. } = self;
        Self { decoder_tokens: sequences, decoder_squared_tokens: sequences, cross_tokens: tokens, ..self }
    }

    /// The same batch with `prompt` more tokens before every sequence (of the encoder, if there are two stacks).
    pub(super) fn with_prompt(self, prompt: u64) -> Self {
        Self {
            tokens: self.tokens + prompt * self.sequences,
            squared_tokens: self.squared_tokens + 2 * prompt * self.tokens + prompt * prompt * self.sequences,
            cross_tokens: self.cross_tokens + prompt * self.decoder_tokens,
            ..self
        }
    }

    /// `sequences` sequences of `length` tokens.
    pub fn uniform(sequences: usize, length: usize) -> Self {
        Self::uniform_pairs(sequences, length, 0)
    }

    /// `sequences` sequences of `length` tokens, and `decoder_length` in the decoder.
    pub fn uniform_pairs(sequences: usize, length: usize, decoder_length: usize) -> Self {
        let (n, e, d) = (sequences as u64, length as u64, decoder_length as u64);
        Self {
            sequences: n,
            tokens: n * e,
            squared_tokens: n * e * e,
            decoder_tokens: n * d,
            decoder_squared_tokens: n * d * d,
            cross_tokens: n * e * d,
        }
    }
}

/// Batches laid end to end.
impl Add for BatchShape {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            sequences: self.sequences + other.sequences,
            tokens: self.tokens + other.tokens,
            squared_tokens: self.squared_tokens + other.squared_tokens,
            decoder_tokens: self.decoder_tokens + other.decoder_tokens,
            decoder_squared_tokens: self.decoder_squared_tokens + other.decoder_squared_tokens,
            cross_tokens: self.cross_tokens + other.cross_tokens,
        }
    }
}

impl Sum for BatchShape {
    fn sum<I: Iterator<Item = Self>>(batches: I) -> Self {
        batches.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_end_to_end_are_one_batch() {
        let parts = [[(5, 3), (2, 7)], [(4, 0), (9, 1)]];
        let whole = BatchShape::from_length_pairs(parts.concat());
        assert_eq!(parts.into_iter().map(BatchShape::from_length_pairs).sum::<BatchShape>(), whole);
    }

    #[test]
    fn equal_lengths_agree_with_the_general_case() {
        assert_eq!(BatchShape::from_length_pairs([(5, 3); 4]), BatchShape::uniform_pairs(4, 5, 3));
        let ragged = BatchShape::from_lengths([1, 2, 3]);
        assert_eq!((ragged.sequences, ragged.tokens, ragged.squared_tokens), (3, 6, 14));
        assert_eq!(ragged.decoder_tokens, 0);
    }

    #[test]
    fn a_prompt_is_so_many_tokens_more() {
        let longer = BatchShape::from_length_pairs([(5 + 4, 3), (2 + 4, 7)]);
        assert_eq!(BatchShape::from_length_pairs([(5, 3), (2, 7)]).with_prompt(4), longer);
    }
}
