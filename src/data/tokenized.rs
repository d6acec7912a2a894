//! Data sets as token ids: what a device stores and what a batch is packed from.

use super::{DataError, Dataset, Domain, Example, PackedBatch};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

/// Turns text into token ids. Implemented by the tokenizers of `fomo`, which stands above this module.
pub trait Tokenize: Sync {
    /// Token ids of `text`, special tokens included, at most `max_tokens` of them. The error is the cause alone.
    fn encode(&self, text: &str, max_tokens: usize) -> Result<Vec<u32>, String>;
}

/// The token ids of a [`Dataset`], example by example, in its order.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizedDataset {
    pub name: String,
    pub classes: Vec<String>,
    /// All training examples as one pack: sequence `i` is example `i`.
    pub train: PackedBatch,
    pub test: PackedBatch,
    pub domains: Vec<Domain>,
    pub max_tokens: usize,
}

/// How long the examples of both halves are, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthStatistics {
    pub total: usize,
    pub median: usize,
    pub p95: usize,
    pub longest: usize,
    /// Examples that fill `max_tokens`: nearly all of them were cut.
    pub at_limit: usize,
}

impl TokenizedDataset {
    /// Tokenises on all threads of the current rayon pool; the result does not depend on their number.
    pub fn new(dataset: &Dataset, tokenizer: &impl Tokenize, max_tokens: usize) -> Result<Self, DataError> {
        let pack = |examples: &[Example], split: &'static str| {
            let encoded: Vec<Result<Vec<u32>, String>> =
                examples.par_iter().map(|e| tokenizer.encode(&e.text, max_tokens)).collect();
            let mut sequences = Vec::with_capacity(examples.len());
            // The first failure in order, not in time.
            for (index, tokens) in encoded.into_iter().enumerate() {
                let dataset = &dataset.name;
                sequences.push(tokens.map_err(|cause| DataError::Tokenize {
                    dataset: dataset.clone(),
                    split,
                    index,
                    cause,
                })?);
            }
            Ok(PackedBatch::pack(sequences.iter().zip(examples).map(|(t, e)| (t.as_slice(), e.label))))
        };
        Ok(Self {
            name: dataset.name.clone(),
            classes: dataset.classes.clone(),
            train: pack(&dataset.train, "train")?,
            test: pack(&dataset.test, "test")?,
            domains: dataset.domains.clone(),
            max_tokens,
        })
    }

    /// The training examples with these indices as one batch, in the order given. Panics on an index out of range.
    pub fn train_batch(&self, indices: &[usize]) -> PackedBatch {
        PackedBatch::pack(indices.iter().map(|&i| (self.train.sequence(i), self.train.labels[i])))
    }

    pub fn lengths(&self) -> LengthStatistics {
        let mut lengths: Vec<usize> = self.train.lengths().chain(self.test.lengths()).collect();
        lengths.sort_unstable();
        // Nearest rank: the smallest length that at least this share of examples does not exceed.
        let quantile = |q: f64| lengths[((q * lengths.len() as f64).ceil() as usize).clamp(1, lengths.len()) - 1];
        LengthStatistics {
            total: lengths.iter().sum(),
            median: quantile(0.5),
            p95: quantile(0.95),
            longest: quantile(1.0),
            at_limit: lengths.iter().filter(|&&l| l == self.max_tokens).count(),
        }
    }

    /// SHA-256 of everything that learning can see (tokens and labels, not names): the identity of this data.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update((self.classes.len() as u64).to_le_bytes());
        for half in [&self.train, &self.test] {
            hash.update((half.sequences() as u64).to_le_bytes());
            half.offsets.iter().for_each(|&o| hash.update((o as u64).to_le_bytes()));
            half.tokens.iter().chain(&half.labels).for_each(|&v| hash.update(v.to_le_bytes()));
        }
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One token a character; refuses texts with a `#`.
    struct Characters;

    impl Tokenize for Characters {
        fn encode(&self, text: &str, max_tokens: usize) -> Result<Vec<u32>, String> {
            if text.contains('#') {
                return Err("holds a #".into());
            }
            Ok(text.chars().take(max_tokens).map(u32::from).collect())
        }
    }

    fn dataset(texts: &[&str]) -> Dataset {
        let examples: Vec<Example> =
            texts.iter().enumerate().map(|(i, t)| Example { text: (*t).into(), label: i as u32 % 2 }).collect();
        Dataset::single("d".into(), vec!["a".into(), "b".into()], examples.clone(), examples)
    }

    #[test]
    fn order_is_kept_and_batches_pick_by_index() {
        let texts: Vec<String> = (0..500).map(|i| "x".repeat(i % 7 + 1) + &i.to_string()).collect();
        let d = dataset(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let t = TokenizedDataset::new(&d, &Characters, 5).unwrap();
        for (i, text) in texts.iter().enumerate() {
            assert_eq!(t.train.sequence(i), Characters.encode(text, 5).unwrap());
        }
        let batch = t.train_batch(&[9, 2]);
        assert_eq!((batch.sequence(0), batch.sequence(1)), (t.train.sequence(9), t.train.sequence(2)));
        assert_eq!(batch.labels, [1, 0]);
    }

    #[test]
    fn statistics_count_both_halves() {
        let t = TokenizedDataset::new(&dataset(&["a", "bb", "ccc", "dddd"]), &Characters, 3).unwrap();
        let expected = LengthStatistics { total: 18, median: 2, p95: 3, longest: 3, at_limit: 4 };
        assert_eq!(t.lengths(), expected);
    }

    #[test]
    fn the_first_bad_example_is_named() {
        let e = TokenizedDataset::new(&dataset(&["a", "#", "b", "#"]), &Characters, 3).unwrap_err();
        assert_eq!(e.to_string(), "d: train example 1 cannot be tokenised: holds a #");
    }

    #[test]
    fn the_digest_sees_tokens_and_labels() {
        let digest = |d: &Dataset| TokenizedDataset::new(d, &Characters, 9).unwrap().digest();
        let base = dataset(&["ab", "c"]);
        let mut relabelled = base.clone();
        relabelled.train[0].label = 1;
        let mut renamed = base.clone();
        renamed.name = "other".into();
        assert_ne!(digest(&base), digest(&dataset(&["a", "bc"])));
        assert_ne!(digest(&base), digest(&relabelled));
        assert_eq!(digest(&base), digest(&renamed));
    }
}
