//! Data sets as models read them: token ids or patches, what a device stores and what a batch is cut from.

use super::{
    DataError, Dataset, Domain, Example, ImageSize, Input, Objective, PackedBatch, Target, TargetText, TaskKind,
    excerpt,
};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

/// Turns text into token ids. Implemented by the tokenizers of `fomo`, which stands above this module.
pub trait Tokenize: Sync {
    /// Token ids of `text`, special tokens included, at most `max_tokens` of them. The error is the cause alone.
    fn encode(&self, text: &str, max_tokens: usize) -> Result<Vec<u32>, String>;
}

/// The tokens or patches of a [`Dataset`], example by example, in its order.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizedDataset {
    pub name: String,
    pub task: TaskKind,
    /// Empty where the task has no classes.
    pub classes: Vec<String>,
    /// All training examples as one pack: sequence `i` is example `i`.
    pub train: PackedBatch,
    pub test: PackedBatch,
    pub domains: Vec<Domain>,
    /// Most tokens that a text, read or to be written, may have; of images, the patches that each has.
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

/// Tokens of a text to read and of the text to write for it.
type Encoded = (Vec<u32>, Option<Vec<u32>>);

impl TokenizedDataset {
    /// Tokenises texts on all threads of the current rayon pool; the result does not depend on their number. Texts to
    /// write get the same special tokens as texts to read: a T5 tokenizer closes both with `</s>`.
    ///
    /// Fails on a set of images, where the tokenizer does, and where a text has too few tokens: a language model needs 2,
    /// one to read and one to predict, any other task 1.
    pub fn new(dataset: &Dataset, tokenizer: &impl Tokenize, max_tokens: usize) -> Result<Self, DataError> {
        if dataset.image.is_some() {
            return Err(wrong_input(dataset, "text"));
        }
        let least = if dataset.task == TaskKind::LanguageModel { 2 } else { 1 };
        let encode = |text: &str, least: usize| match tokenizer.encode(text, max_tokens)? {
            tokens if tokens.len() < least => Err(format!(
                "{} of at least {least} tokens, at a limit of {max_tokens}: `{}`",
                tokens.len(),
                excerpt(text)
            )),
            tokens => Ok(tokens),
        };
        let pack = |examples: &[Example], split: &'static str| {
            let encoded: Vec<Result<Encoded, String>> = examples
                .par_iter()
                .map(|e| {
                    let read = encode(e.text(), least)?;
                    let write = match &e.target {
                        Target::Text(text) => Some(encode(text, 1).map_err(|cause| format!("its target: {cause}"))?),
                        _ => None,
                    };
                    Ok((read, write))
                })
                .collect();
            // The first failure in order, not in time.
            let name = |index, cause| DataError::Tokenize { dataset: dataset.name.clone(), split, index, cause };
            let encoded: Vec<Encoded> = encoded
                .into_iter()
                .enumerate()
                .map(|(i, e)| e.map_err(|cause| name(i, cause)))
                .collect::<Result<_, _>>()?;
            let labels = examples.iter().map(|e| e.class().unwrap_or(0));
            let mut batch =
                PackedBatch::pack(encoded.iter().zip(labels).map(|((read, _), label)| (read.as_slice(), label)));
            batch.values = values(examples);
            for write in encoded.iter().filter_map(|(_, write)| write.as_ref()) {
                batch.decoder.get_or_insert_with(TargetText::new).push(write);
            }
            Ok(batch)
        };
        Ok(Self::of(dataset, pack(&dataset.train, "train")?, pack(&dataset.test, "test")?, max_tokens))
    }

    /// Cuts images into square patches with sides of `patch_px` for a model that reads images of size `expected`. Rows are
    /// patches, row by row from the top left; the values of a row are `[channel, y, x]`, from -1 to 1, as the patch
    /// convolution of a Hugging Face ViT reads them.
    ///
    /// Fails on a set of texts, on images of another size, and where patches do not fit an image.
    pub fn from_images(dataset: &Dataset, expected: ImageSize, patch_px: usize) -> Result<Self, DataError> {
        let Some(size) = dataset.image.filter(|size| *size == expected) else {
            return Err(wrong_input(dataset, &format!("images of {expected}")));
        };
        if patch_px == 0 || !size.side_px.is_multiple_of(patch_px) {
            return Err(DataError::Patch { dataset: dataset.name.clone(), size, patch_px });
        }
        let patches = (size.side_px / patch_px).pow(2);
        let pack = |examples: &[Example]| {
            let images = examples.iter().filter_map(|e| match &e.input {
                Input::Image(pixels) => Some((&**pixels, e.class().unwrap_or(0))),
                Input::Text(_) => None,
            });
            PackedBatch::pack_images(images, size, patch_px)
        };
        Ok(Self::of(dataset, pack(&dataset.train), pack(&dataset.test), patches))
    }

    fn of(dataset: &Dataset, train: PackedBatch, test: PackedBatch, max_tokens: usize) -> Self {
        Self {
            name: dataset.name.clone(),
            task: dataset.task,
            classes: dataset.classes.clone(),
            train,
            test,
            domains: dataset.domains.clone(),
            max_tokens,
        }
    }

    /// What a model is trained to answer.
    pub fn objective(&self) -> Objective {
        self.task.objective(self.classes.len())
    }

    /// The training examples with these indices as one batch, in the order given. Panics on an index out of range.
    pub fn train_batch(&self, indices: &[usize]) -> PackedBatch {
        self.train.subset(indices)
    }

    /// Lengths of what is read, not of what is to be written.
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

    /// SHA-256 of everything that learning can see (task, inputs and targets, not names): the identity of this data.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.task.name());
        hash.update((self.classes.len() as u64).to_le_bytes());
        for half in [&self.train, &self.test] {
            add_indices(&mut hash, &half.offsets);
            add_words(&mut hash, half.tokens.len(), half.tokens.iter().copied());
            add_words(&mut hash, half.labels.len(), half.labels.iter().copied());
            add_words(&mut hash, half.values.len(), half.values.iter().map(|v| v.to_bits()));
            add_words(&mut hash, half.patches.len(), half.patches.iter().map(|v| v.to_bits()));
            if let Some(decoder) = &half.decoder {
                add_indices(&mut hash, &decoder.offsets);
                add_words(&mut hash, decoder.tokens.len(), decoder.tokens.iter().copied());
            }
        }
        hash.finalize().into()
    }
}

fn values(examples: &[Example]) -> Vec<f32> {
    let value = |e: &Example| match e.target {
        Target::Value(value) => Some(value),
        _ => None,
    };
    examples.iter().filter_map(value).collect()
}

fn wrong_input(dataset: &Dataset, expected: &str) -> DataError {
    let found = dataset.image.map_or_else(|| "text".to_owned(), |size| format!("images of {size}"));
    DataError::WrongInput { dataset: dataset.name.clone(), found, expected: expected.to_owned() }
}

/// Lists are preceded by their lengths, so that no two data sets give the hash the same bytes.
fn add_words(hash: &mut Sha256, length: usize, words: impl Iterator<Item = u32>) {
    hash.update((length as u64).to_le_bytes());
    words.for_each(|word| hash.update(word.to_le_bytes()));
}

fn add_indices(hash: &mut Sha256, indices: &[usize]) {
    hash.update((indices.len() as u64).to_le_bytes());
    indices.iter().for_each(|&i| hash.update((i as u64).to_le_bytes()));
}

#[cfg(test)]
#[path = "tokenized_tests.rs"]
mod tests;
