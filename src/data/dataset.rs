//! Examples with a fixed split into train and test.

use super::error::list;
use super::{DataError, ImageSize, Objective, TableOptions, TaskKind, table, vendored};
use std::ops::Range;
use std::path::Path;

/// What a model reads and what it should answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    pub input: Input,
    pub target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Text(String),
    /// `[channel, y, x]`, of the data set's [`ImageSize`].
    Image(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Index of a class.
    Class(u32),
    /// A finite number.
    Value(f32),
    Text(String),
    /// The input is its own target: a language model predicts each token from those before it.
    Itself,
}

impl Example {
    pub fn labelled(text: impl Into<String>, class: u32) -> Self {
        Self { input: Input::Text(text.into()), target: Target::Class(class) }
    }

    /// The text to read; empty for an image.
    pub fn text(&self) -> &str {
        match &self.input {
            Input::Text(text) => text,
            Input::Image(_) => "",
        }
    }

    /// Index of the class, where the task has classes.
    pub fn class(&self) -> Option<u32> {
        match self.target {
            Target::Class(class) => Some(class),
            _ => None,
        }
    }

    /// Size as people store it: a text in UTF-8, an image as a byte a pixel and channel, a class as one byte, a number
    /// as four.
    pub fn bytes(&self) -> u64 {
        let input = match &self.input {
            Input::Text(text) => text.len(),
            Input::Image(pixels) => pixels.len(),
        };
        let target = match &self.target {
            Target::Class(_) => 1,
            Target::Value(_) => 4,
            Target::Text(text) => text.len(),
            Target::Itself => 0,
        };
        (input + target) as u64
    }
}

/// Where a data set's examples come from: the part of `train` and of `test` that one source contributed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    pub name: String,
    pub train: Range<usize>,
    pub test: Range<usize>,
}

/// Examples of one task. `train` and `test` are both non-empty; inputs and targets are all of the kinds that `task`
/// says, classes are below `classes.len()`, images all have the size `image`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    pub name: String,
    pub task: TaskKind,
    /// Empty where the task has no classes.
    pub classes: Vec<String>,
    /// For images only.
    pub image: Option<ImageSize>,
    pub train: Vec<Example>,
    pub test: Vec<Example>,
    /// One entry for a plain data set, one per part for a joined one; they cover `train` and `test` in order.
    pub domains: Vec<Domain>,
}

impl Dataset {
    /// The data set of this name among [`VENDORED`](super::VENDORED), for the task it was made for: decompressed from
    /// the binary, no file is read.
    pub fn vendored(name: &str) -> Result<Self, DataError> {
        vendored::load(name, None)
    }

    /// A vendored data set, read for a task that it [offers](super::VendoredSet::tasks): any texts serve language
    /// modelling, and classified texts sequence to sequence, the class's name being the text to write (Raffel et al.
    /// 2020, section 2.4).
    pub fn vendored_for(name: &str, task: TaskKind) -> Result<Self, DataError> {
        vendored::load(name, Some(task))
    }

    /// Reads a user's table: see [`TableOptions`] for its columns. The file's name decides how it is read: `.tsv`
    /// (tabs, no quoting) or `.csv` (RFC 4180), each optionally followed by `.gz`. The data set's name is the file's
    /// stem.
    pub fn from_file(path: &Path, options: &TableOptions) -> Result<Self, DataError> {
        table::read(path, options)
    }

    /// What a model is trained to answer.
    pub fn objective(&self) -> Objective {
        self.task.objective(self.classes.len())
    }

    /// Puts data sets of one task with equal classes end to end, one [`Domain`] each: the natural non-IID setting of
    /// [`Partition::Domain`](super::Partition::Domain). Domains of parts that are joined sets themselves stay apart.
    pub fn join(name: &str, parts: Vec<Dataset>) -> Result<Self, DataError> {
        let mut parts = parts.into_iter();
        let mut whole = parts.next().ok_or(DataError::NothingToJoin)?;
        for part in parts {
            if (part.task, part.image) != (whole.task, whole.image) {
                let (first_kind, other_kind) = (whole.kind(), part.kind());
                return Err(DataError::KindsDiffer { first: whole.name, first_kind, other: part.name, other_kind });
            }
            if part.classes != whole.classes {
                return Err(DataError::ClassesDiffer {
                    first: whole.name,
                    first_classes: list(&whole.classes),
                    other: part.name,
                    other_classes: list(&part.classes),
                });
            }
            let (train, test) = (whole.train.len(), whole.test.len());
            whole.domains.extend(part.domains.into_iter().map(|d| Domain {
                name: d.name,
                train: d.train.start + train..d.train.end + train,
                test: d.test.start + test..d.test.end + test,
            }));
            whole.train.extend(part.train);
            whole.test.extend(part.test);
        }
        whole.name = name.to_owned();
        Ok(whole)
    }

    fn kind(&self) -> String {
        self.image.map_or_else(|| self.task.name().to_owned(), |size| format!("{} of {size}", self.task.name()))
    }

    /// A set of one domain, with neither classes nor images. The caller has checked that neither half is empty.
    pub(super) fn single(name: String, task: TaskKind, train: Vec<Example>, test: Vec<Example>) -> Self {
        let domains = vec![Domain { name: name.clone(), train: 0..train.len(), test: 0..test.len() }];
        Self { name, task, classes: vec![], image: None, train, test, domains }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny(name: &str, classes: [&str; 2], train: usize) -> Dataset {
        let example = |i: usize| Example::labelled(format!("{name} {i}"), (i % 2) as u32);
        let examples = |n: usize| (0..n).map(example).collect();
        let classes = classes.map(String::from).to_vec();
        Dataset { classes, ..Dataset::single(name.into(), TaskKind::Classification, examples(train), examples(2)) }
    }

    #[test]
    fn joined_domains_point_at_their_own_examples() {
        let parts = vec![tiny("a", ["no", "yes"], 3), tiny("b", ["no", "yes"], 5), tiny("c", ["no", "yes"], 2)];
        let inner = Dataset::join("bc", parts[1..].to_vec()).unwrap();
        let all = Dataset::join("abc", vec![parts[0].clone(), inner]).unwrap();
        assert_eq!((all.train.len(), all.test.len(), all.domains.len()), (10, 6, 3));
        for (domain, part) in all.domains.iter().zip(&parts) {
            assert_eq!(domain.name, part.name);
            assert_eq!(all.train[domain.train.clone()], part.train);
            assert_eq!(all.test[domain.test.clone()], part.test);
        }
    }

    #[test]
    fn sets_of_other_kinds_or_with_other_classes_do_not_join() {
        let message = |parts| Dataset::join("ab", parts).unwrap_err().to_string();
        let classes = message(vec![tiny("a", ["no", "yes"], 3), tiny("b", ["yes", "no"], 3)]);
        assert!(classes.contains("`a` has the classes `no`, `yes`"), "{classes}");
        let image = Some(ImageSize { side_px: 8, channels: 1 });
        let images = Dataset { task: TaskKind::Images, image, ..tiny("b", ["no", "yes"], 3) };
        let kinds = message(vec![tiny("a", ["no", "yes"], 3), images]);
        assert!(kinds.contains("`a` is for classification, `b` for images of 8 x 8 pixels in 1 channel"), "{kinds}");
        assert!(matches!(Dataset::join("none", vec![]), Err(DataError::NothingToJoin)));
    }
}
